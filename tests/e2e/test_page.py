"""The page in a real browser: search, look, tag, with mouse and keyboard, on a wide and on a narrow screen."""

from __future__ import annotations

import base64
import contextlib
import re
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from tests.e2e import page_site
from tests.e2e.page_site import HOSTILE, KINDS, OF_EACH, Site

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from tests.e2e.conftest import Tab

COUNT = len(KINDS) * OF_EACH + 2

# Puts a file into a drop, or into the clipboard, as a person's browser would.
DROP = """([name, type, data, event]) => {
  const bytes = Uint8Array.from(atob(data), (c) => c.charCodeAt(0));
  const transfer = new DataTransfer();
  transfer.items.add(new File([bytes], name, { type }));
  for (const kind of event === "drop" ? ["dragenter", "dragover", "drop"] : [])
    document.body.dispatchEvent(new DragEvent(kind, { dataTransfer: transfer, bubbles: true, cancelable: true }));
  if (event === "paste")
    document.body.dispatchEvent(
      new ClipboardEvent("paste", { clipboardData: transfer, bubbles: true, cancelable: true }));
}"""


def expect(thing: Any) -> Any:
    """Playwright's assertions, which wait."""
    from playwright.sync_api import expect as playwright_expect

    playwright_expect.set_options(timeout=20_000)
    return playwright_expect(thing)


def search(page: Page, text: str) -> None:
    page.get_by_role("combobox", name="Search your photos").fill(text)
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile(r"[?&]q="))
    expect(page.locator("#results")).to_have_attribute("aria-busy", "false")


def search_all(page: Page, text: str) -> None:
    """Search without the relevance line, which means little to a model of colours."""
    page.goto(page.url.split("?")[0] + f"?q={text}&all=1")
    expect(page.locator(".tile.loaded").first).to_be_visible()


def tile(page: Page, number: int) -> Any:
    return page.locator(f'.tile[aria-posinset="{number}"]')


def names(page: Page, count: int) -> list[str]:
    return [str(tile(page, n).locator("a").get_attribute("title")) for n in range(1, count + 1)]


def offer(
    page: Page, data: bytes, *, name: str = "mine.png", kind: str = "image/png", event: str = "drop"
) -> None:
    page.evaluate(DROP, [name, kind, base64.b64encode(data).decode(), event])


def check_soon(found: Callable[[], object], wanted: object) -> None:
    """What the page sent has reached the catalog, after a while."""
    deadline = time.monotonic() + 20
    while found() != wanted and time.monotonic() < deadline:
        time.sleep(0.05)
    assert found() == wanted


def test_search_by_words(site: Site, tab: Tab) -> None:
    page = tab.open(site.url)
    expect(page.locator("#count")).to_contain_text(f"{COUNT} photos")
    search(page, "a green thing")
    search_all(page, "a green thing")
    assert {name.split("-")[0] for name in names(page, 4)} == {"green"}
    expect(page).to_have_title("a green thing – oko")
    expect(page.locator("#live")).to_have_text(f"{COUNT} photos found")
    page.go_back()
    expect(page).to_have_url(re.compile(r"q=a\+green\+thing$"))


def test_the_rows_keep_the_shapes_and_fill_the_width(site: Site, tab: Tab) -> None:
    page = tab.open(site.url)
    expect(page.locator(".tile.loaded").first).to_be_visible()
    expect(page.locator(".tile:not(.loaded)")).to_have_count(0)  # a picture under way has no shape yet
    boxes = page.evaluate(
        """() => [...document.querySelectorAll(".tile")].map((t) => [t.getBoundingClientRect().toJSON(),
           t.querySelector("img").naturalWidth / t.querySelector("img").naturalHeight])"""
    )
    assert all(abs(box["width"] / box["height"] / ratio - 1) < 0.03 for box, ratio in boxes)
    first_row = [box for box, _ in boxes if abs(box["top"] - boxes[0][0]["top"]) < 1]
    grid = page.locator("#grid").bounding_box()
    assert grid is not None
    assert abs(first_row[-1]["right"] - grid["x"] - grid["width"]) < 1


def test_suggestions_with_the_keyboard(site: Site, tab: Tab) -> None:
    page = tab.open(site.url)
    box = page.get_by_role("combobox", name="Search your photos")
    box.press_sequentially("is:")
    options = page.get_by_role("listbox", name="Suggestions").get_by_role("option")
    expect(options.first).to_be_visible()
    expect(box).to_have_attribute("aria-expanded", "true")
    box.press("ArrowDown")
    expect(box).to_have_attribute("aria-activedescendant", "suggestions-0")
    expect(options.first).to_have_attribute("aria-selected", "true")
    box.press("Escape")
    expect(options.first).to_be_hidden()
    box.press_sequentially("f")
    expect(options.filter(has_text="favourite").first).to_be_visible()
    box.press("ArrowDown")
    box.press("Enter")
    expect(page).to_have_url(re.compile(r"q=is%3Afavourite"))
    expect(page.locator(".chip")).to_have_text("favourites")


def test_a_filter_is_a_chip_that_can_be_taken_away(site: Site, tab: Tab) -> None:
    page = tab.open(site.url)
    search(page, 'orientation:portrait -camera:"Okular X100"')
    expect(page.locator(".chip")).to_have_text(["orientation: portrait", "not camera: Okular X100"])
    found = int(str(page.locator("#count strong").text_content()).split()[0])
    assert 0 < found < COUNT
    page.get_by_role("button", name="Remove the filter orientation: portrait").click()
    expect(page.locator(".chip")).to_have_count(1)
    expect(page.locator(".chip button")).to_be_focused()
    expect(page.locator("#count")).to_contain_text(f"{COUNT - 1} photos")


def test_the_filter_form_writes_the_query(site: Site, tab: Tab) -> None:
    page = tab.open(site.url)
    page.get_by_role("button", name="Filters").click()
    page.get_by_label("Camera").fill("Okular X100")
    page.get_by_label("with a place").check()
    page.get_by_role("button", name="Apply").click()
    expect(page.get_by_role("combobox", name="Search your photos")).to_have_value(
        'camera:"Okular X100" has:gps'
    )
    expect(page.locator("#count")).to_contain_text("1 photo")


def test_the_filter_form_leaves_alone_what_was_not_changed(site: Site, tab: Tab) -> None:
    page = tab.open(f"{site.url}/?q=type:png,jpeg tag:sunset tag:beach&all=1")
    page.get_by_role("button", name="Filters").click()
    page.get_by_role("button", name="Apply").click()
    box = page.get_by_role("combobox", name="Search your photos")
    expect(box).to_have_value("type:png,jpeg tag:sunset tag:beach")


def test_an_emoji_is_one_character(site: Site, tab: Tab) -> None:
    page = tab.open(site.url)
    box = page.get_by_role("combobox", name="Search your photos")
    box.press_sequentially("\N{SUNRISE} is:")
    expect(page.get_by_role("listbox", name="Suggestions").get_by_role("option").first).to_be_visible()
    box.press("ArrowDown")
    box.press("Enter")
    expect(box).to_have_value(re.compile("^\N{SUNRISE} is:[a-z]+$"))


def test_words_that_are_being_typed_stay(site: Site, tab: Tab) -> None:
    page = tab.open(site.url)
    expect(page.locator(".tile.loaded").first).to_be_visible()
    box = page.get_by_role("combobox", name="Search your photos")
    box.press_sequentially("a red")
    page.evaluate("() => dispatchEvent(new PopStateEvent('popstate'))")  # the page looks at its address again
    expect(box).to_have_value("a red")


def test_escape_twice_goes_back_once(site: Site, tab: Tab) -> None:
    page = tab.open(site.url)
    search(page, "sort:oldest")
    tile(page, 1).click()
    expect(page.locator("#viewer")).to_be_visible()
    page.keyboard.press("Escape")
    page.keyboard.press("Escape")
    expect(page.locator("#viewer")).to_be_hidden()
    page.wait_for_timeout(300)
    expect(page).to_have_url(re.compile(r"q=sort%3Aoldest$"))


def test_an_error_points_at_the_place(site: Site, tab: Tab) -> None:
    tab.watch.expected.append("400 (Bad Request)")
    page = tab.open(site.url)
    expect(page.locator(".tile").first).to_be_visible()  # they stay
    page.get_by_role("combobox", name="Search your photos").fill("snow colour:red")
    page.keyboard.press("Enter")
    problem = page.locator("#problem")
    expect(problem).to_be_visible()
    expect(problem.locator("mark")).to_contain_text("colour")
    expect(page.locator(".tile").first).to_be_visible()
    search(page, "snow")
    expect(problem).to_be_hidden()


def test_an_error_beside_a_picture_points_at_the_place_too(site: Site, tab: Tab) -> None:
    tab.watch.expected.append("400 (Bad Request)")
    page = tab.open(site.url)
    expect(page.locator(".tile.loaded").first).to_be_visible()
    offer(page, page_site.png("blue"))
    expect(page).to_have_url(re.compile(r"picture=\w+"))
    search(page, "snow picture:3")
    expect(page.locator("#problem mark")).to_have_text("picture:3")
    expect(page.locator("#state")).to_be_hidden()


def test_why_another_question_found_nothing_goes_with_it(site: Site, tab: Tab) -> None:
    tab.watch.expected.append("400 (Bad Request)")
    page = tab.open(site.url)
    search(page, "camera:nothing")
    expect(page.locator("#state")).to_contain_text("No photo found")
    page.get_by_role("combobox", name="Search your photos").fill("snow fodler:alps")
    page.keyboard.press("Enter")
    expect(page.locator("#problem mark")).to_have_text("fodler:")
    expect(page.locator("#state")).to_be_hidden()


def test_open_a_photo_and_come_back(site: Site, tab: Tab) -> None:
    page = tab.open(site.url + "/?q=has:gps")
    tile(page, 1).click()
    viewer = page.get_by_role("dialog", name="Photo: camera.jpg")
    expect(viewer).to_be_visible()
    facts = viewer.locator("#facts")
    expect(facts).to_contain_text("14 July 2023")
    expect(facts).to_contain_text("Okular X100")
    expect(facts).to_contain_text("35mm f/2")
    expect(facts).to_contain_text("50.08750° N, 14.42130° E")
    expect(facts).to_contain_text(str(site.photos))
    expect(page.locator("#large")).to_have_attribute("src", re.compile("preview"))
    page.reload()
    expect(viewer).to_be_visible()
    page.go_back()
    expect(viewer).to_be_hidden()
    expect(tile(page, 1).locator("a")).to_be_focused()
    page.go_forward()
    expect(viewer).to_be_visible()
    page.keyboard.press("Escape")
    expect(viewer).to_be_hidden()


def test_next_and_previous(site: Site, tab: Tab) -> None:
    page = tab.open(site.url)
    first, second = (str(tile(page, n).locator("a").get_attribute("title")) for n in (1, 2))
    tile(page, 1).click()
    expect(page.get_by_role("dialog", name=first)).to_be_visible()
    expect(page.get_by_role("button", name="Previous photo")).to_be_hidden()
    page.get_by_role("button", name="Next photo").click()
    expect(page.get_by_role("dialog", name=second)).to_be_visible()
    page.keyboard.press("ArrowLeft")
    expect(page.get_by_role("dialog", name=first)).to_be_visible()
    page.keyboard.press("m")
    expect(page.locator(".chip")).to_have_text(re.compile("like photo"))


def test_zoom(site: Site, tab: Tab) -> None:
    page = tab.open(site.url)
    tile(page, 1).click()
    image, stage = page.locator("#large"), page.locator("#stage")
    expect(image).to_be_visible()
    room, before = stage.bounding_box(), image.bounding_box()
    assert room is not None
    assert before is not None
    assert before["width"] <= room["width"] + 1
    assert before["height"] <= room["height"] + 1
    page.keyboard.press("+")
    expect(stage).to_have_class(re.compile("zoomed"))
    page.keyboard.press("0")
    expect(stage).not_to_have_class(re.compile("zoomed"))
    image.dblclick()
    expect(stage).to_have_class(re.compile("zoomed"))


def test_accept_reject_add_and_take_back_tags(site: Site, tab: Tab) -> None:
    photo = site.id_of("red-0.jpg")
    site.suggest(photo, "sunset", "night", "beach")
    page = tab.open(f"{site.url}/?photo={photo}")
    page.get_by_role("button", name="Accept sunset").click()
    confirmed = page.get_by_role("list", name="Confirmed tags")
    expect(confirmed).to_contain_text("sunset")
    page.get_by_role("button", name="Reject night").click()
    expect(page.locator("summary")).to_have_text("Rejected (1)")
    page.get_by_label("Add a tag").fill("holiday on Crete")
    page.keyboard.press("Enter")
    expect(confirmed).to_contain_text("holiday on Crete")
    expect(page.locator("#live")).to_have_text("holiday on Crete: accepted")
    wanted = {
        "sunset": "confirmed",
        "night": "rejected",
        "beach": "suggested",
        "holiday on Crete": "confirmed",
    }
    check_soon(lambda: site.tags_of(photo), wanted)
    page.locator("summary").click()
    page.get_by_role("button", name="Take back: night is undecided").click()
    page.get_by_role("button", name="Take back holiday on Crete").click()
    expect(page.get_by_role("list", name="Suggested tags")).to_contain_text("night")
    expect(confirmed).not_to_contain_text("holiday on Crete")
    left = {"sunset": "confirmed", "night": "suggested", "beach": "suggested"}
    check_soon(lambda: site.tags_of(photo), left)


@pytest.mark.parametrize("event", ["drop", "paste"])
def test_a_picture_is_searched_with(site: Site, tab: Tab, event: str) -> None:
    page = tab.open(site.url)
    expect(page.locator(".tile.loaded").first).to_be_visible()
    offer(page, page_site.png("blue"), event=event)
    expect(page).to_have_url(re.compile(r"picture=\w+"))
    expect(page.get_by_alt_text("Your picture")).to_be_visible()
    page.goto(page.url + "&all=1")
    expect(page.locator(".tile.loaded").first).to_be_visible()
    assert {name.split("-")[0] for name in names(page, 4)} == {"blue"}
    page.get_by_role("button", name="Search without the picture").click()
    expect(page.locator("#count")).to_contain_text(f"{COUNT} photos")


def test_of_two_pictures_the_later_one_counts(site: Site, tab: Tab) -> None:
    page = tab.open(site.url)
    expect(page.locator(".tile.loaded").first).to_be_visible()
    held: list[Any] = []
    page.route(
        "**/api/pictures", lambda route: held.append(route), times=1
    )  # the first answer waits until it is let go
    offer(page, page_site.png("blue"))
    page.wait_for_function("() => document.querySelector('#results').getAttribute('aria-busy') === 'true'")
    offer(page, page_site.png("red"))
    expect(page).to_have_url(re.compile(r"picture=\w+"))
    later = page.url
    assert len(held) == 1
    with contextlib.suppress(Exception):  # nobody waits for it any more
        held[0].fulfill(status=201, json={"picture": "0" * 32})
    page.wait_for_timeout(300)
    assert page.url == later
    expect(page.locator("#results")).to_have_attribute("aria-busy", "false")


def test_escape_leaves_the_tag_field_step_by_step(site: Site, tab: Tab) -> None:
    photo = site.id_of("green-3.jpg")
    page = tab.open(f"{site.url}/?photo={photo}")
    viewer, field = page.locator("#viewer"), page.get_by_label("Add a tag")
    expect(page.locator("#facts")).to_contain_text("green-3.jpg")
    field.press_sequentially("be")
    options = page.locator("#tag-completions [role=option]")
    expect(options.first).to_be_visible()
    field.press("Escape")
    expect(options.first).to_be_hidden()
    expect(field).to_have_value("be")
    field.press("Escape")
    expect(field).to_have_value("")
    field.press_sequentially("unheard of")
    field.press("Escape")
    expect(field).to_have_value("")
    page.wait_for_timeout(300)  # a list that was on its way does not come after that, nor does the photo go
    expect(page.locator("#tag-completions")).to_be_hidden()
    expect(viewer).to_be_visible()
    expect(field).to_be_focused()
    field.press("Escape")
    expect(viewer).to_be_hidden()


def test_what_is_no_picture_is_refused(site: Site, tab: Tab) -> None:
    tab.watch.expected.append("422")
    page = tab.open(site.url)
    offer(page, b"milk, bread", name="list.txt", kind="text/plain")
    expect(page.locator(".toast.error")).to_contain_text("That is not a picture.")
    offer(page, b"milk, bread", name="list.png")
    expect(page.locator(".toast.error").nth(1)).to_contain_text("picture cannot be used")


def test_everything_with_the_keyboard(site: Site, tab: Tab) -> None:
    photo = site.id_of("yellow-0.jpg")
    page = tab.open(site.url)
    page.keyboard.press("/")
    page.keyboard.type("folder:photos sort:oldest")
    page.keyboard.press("Enter")
    expect(page.locator(".chip")).to_have_count(2)
    page.goto(f"{site.url}/?q=like:{photo}&all=1")
    expect(page.locator(".tile.loaded").first).to_be_visible()
    page.keyboard.press("ArrowRight")
    expect(tile(page, 1).locator("a")).to_be_focused()
    page.keyboard.press("End")
    expect(page.locator(".tile a:focus")).to_have_attribute("data-index", re.compile(r"^3\d$"))
    page.keyboard.press("Home")
    page.keyboard.press("ArrowDown")
    expect(tile(page, 1).locator("a")).not_to_be_focused()
    page.keyboard.press("ArrowUp")
    expect(tile(page, 1).locator("a")).to_be_focused()
    first = str(tile(page, 1).locator("a").get_attribute("title"))
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog", name=first)).to_be_visible()
    shown = site.id_of(first)
    page.keyboard.press("f")
    star = page.get_by_role("dialog").get_by_role("button", name="Favourite")
    expect(star).to_have_attribute("aria-pressed", "true")
    page.keyboard.press("t")
    page.keyboard.type("keys")
    page.keyboard.press("Enter")
    expect(page.get_by_role("list", name="Confirmed tags")).to_contain_text("keys")
    page.keyboard.press("Escape")
    page.keyboard.press("Escape")
    expect(tile(page, 1).locator("a")).to_be_focused()
    check_soon(lambda: site.is_favourite(shown), True)
    check_soon(lambda: site.tags_of(shown).get("keys"), "confirmed")
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Keys")).to_be_visible()


def test_a_narrow_screen_scrolls_only_downwards(site: Site, tab: Tab) -> None:
    page = tab.open(site.url, viewport={"width": 320, "height": 640}, has_touch=True, is_mobile=True)
    wide = "() => document.documentElement.scrollWidth"
    expect(page.locator(".tile.loaded").first).to_be_visible()
    assert page.evaluate(wide) == 320
    for name in ("Library", "Filters", "Keys"):
        page.get_by_role("button", name=name).tap()
        box = page.get_by_role("dialog", name=name).bounding_box()
        assert box is not None
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= 320
        page.get_by_role("dialog").get_by_role("button", name="Close").tap()
    page.goto(f"{site.url}/?photo={site.id_of('camera.jpg')}")
    page.get_by_role("button", name="Details").tap()
    expect(page.locator("#facts")).to_contain_text("camera.jpg")
    assert page.evaluate("() => document.querySelector('#details').scrollWidth") <= 320


def test_a_swipe_turns_the_page(site: Site, tab: Tab) -> None:
    page = tab.open(site.url, viewport={"width": 390, "height": 800}, has_touch=True, is_mobile=True)
    second = str(tile(page, 2).locator("a").get_attribute("title"))
    tile(page, 1).tap()
    expect(page.locator("#viewer-title")).not_to_be_empty()
    touch = {"pointerType": "touch", "pointerId": 1, "isPrimary": True, "button": 0, "clientY": 400}
    stage = page.locator("#stage")
    page.evaluate("() => { Element.prototype.setPointerCapture = () => {}; }")  # no finger is really there
    for kind, x in (("pointerdown", 300), ("pointermove", 200), ("pointerup", 80)):
        stage.dispatch_event(kind, {**touch, "clientX": x})
    expect(page.locator("#viewer-title")).to_have_text(second)


def test_a_hostile_name_is_only_a_text(site: Site, tab: Tab) -> None:
    page = tab.open(f"{site.url}/?photo={site.id_of(HOSTILE)}")
    expect(page.locator("#viewer-title")).to_have_text(HOSTILE)
    expect(page.locator("#facts .file")).to_have_text(HOSTILE)
    page.get_by_label("Add a tag").fill("<b>bold</b>")
    page.keyboard.press("Enter")
    expect(page.get_by_role("list", name="Confirmed tags")).to_contain_text("<b>bold</b>")
    page.goto(
        f"{site.url}/?q=%22%3Cimg%20src%3Dx%20onerror%3Dalert(5)%3E%22%20tag:%22%3Cb%3Ebold%3C/b%3E%22&all=1"
    )
    expect(page.locator(".chip").first).to_have_text("tag: <b>bold</b>")
    assert page.locator("img[src=x], main script, b").count() == 0
