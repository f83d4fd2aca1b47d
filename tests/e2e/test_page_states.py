"""The page when things are unusual: no photos, no server, very many photos, work going on; and for everybody."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from library.fakes import FakeEncoder
from library.store import Store
from oko.jobs import Job, replace_private, sketch_path
from tests.e2e import many_photos
from tests.e2e.page_site import MODEL, Site, png, served
from tests.e2e.test_page import check_soon, expect, search, tile

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from tests.e2e.conftest import Tab

MANY = 100_000
MOST_TILES = 300
JOB = {
    "id": "index-7",
    "kind": "index",
    "pid": 7,
    "phase": "index",
    "running": True,
    "started_at": "2026-01-01T00:00:00Z",
    "ended_at": None,
    "done": 30,
    "total": 120,
    "photos_per_s": 12.5,
    "left_s": 7.2,
    "message": "Indexing",
    "error": None,
}


@pytest.fixture(scope="module")
def crowd(browser: Any, fake_model: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server of a hundred thousand photos that are nowhere on disk."""
    folder = tmp_path_factory.mktemp("crowd") / "library"
    many_photos.fill(folder, FakeEncoder(name=MODEL), MANY)
    with served(folder) as url:
        yield url


def tile_numbers(page: Page) -> list[int]:
    found = page.evaluate("() => [...document.querySelectorAll('.tile')].map((t) => Number(t.ariaPosInSet))")
    return sorted(int(n) for n in found)


def scroll_to(page: Page, y: float) -> None:
    """Comes back when the page has drawn what is there, and not what was there before."""
    page.evaluate("(y) => scrollTo(0, y)", y)
    page.evaluate("() => new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(drawn)))")


def test_a_hundred_thousand_photos(crowd: str, tab: Tab) -> None:
    tab.watch.expected.append("/preview")  # there are no files, so nothing sharper than the thumbnails
    page = tab.open(crowd)
    expect(page.locator("#count")).to_contain_text("100,000 photos")
    expect(page.locator(".tile.loaded").first).to_be_visible()
    height = page.evaluate("() => document.documentElement.scrollHeight")
    for part in (0.1, 0.5, 0.73, 1.0, 0.2):
        scroll_to(page, part * height)
        expect(page.locator(".tile.waiting")).to_have_count(0)
        expect(page.locator(".tile.loaded").first).to_be_attached()
        numbers = tile_numbers(page)
        assert len(numbers) < MOST_TILES
        assert numbers == list(range(numbers[0], numbers[-1] + 1)), "what is shown is in one piece"
        assert abs(numbers[len(numbers) // 2] / MANY - part) < 0.02, "the scrollbar says where one is"
        if part == 1.0:
            assert numbers[-1] == MANY
            box = tile(page, MANY).bounding_box()
            assert box is not None
            assert box["y"] + box["height"] <= 800


def test_what_was_scrolled_past_is_let_go_of(crowd: str, tab: Tab) -> None:
    tab.watch.expected.append("/preview")
    page = tab.open(crowd)
    expect(page.locator(".tile.loaded").first).to_be_visible()
    kept = page.evaluate(
        """async () => {
          const { Results } = await import("/static/results.js");
          const found = new Results({}, { onBlock: () => {} });
          await found.start();
          const usual = Results.kept;
          Results.kept = 3;
          for (const block of [1, 2, 3, 4, 3, 2]) await (found.blocks.has(block) || found.load(block));
          return [usual, [...found.blocks.keys()].sort()];
        }"""
    )
    assert kept == [40, [2, 3, 4]], "and the page below keeps as few"
    where: dict[int, int] = {}
    for y in (3_000, 20_000, 40_000, 60_000, 80_000, 40_000, 3_000):
        scroll_to(page, y)
        expect(page.locator(".tile.waiting")).to_have_count(0)
        place = page.evaluate("() => scrollY")
        first = next(n for n in tile_numbers(page) if (tile(page, n).bounding_box() or {"y": -1})["y"] >= 0)
        numbers = tile_numbers(page)
        assert numbers == list(range(numbers[0], numbers[-1] + 1))
        assert abs(where.setdefault(y, first) - first) <= 40, f"the same photos as before stand at {place}"


def test_the_end_key_and_the_place_are_kept(crowd: str, tab: Tab) -> None:
    tab.watch.expected.append("/preview")
    page = tab.open(crowd)
    expect(page.locator(".tile.loaded").first).to_be_visible()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("End")
    last = tile(page, MANY).locator("a")
    expect(last).to_be_focused()
    page.keyboard.press("ArrowUp")
    expect(last).not_to_be_focused()
    number = int(str(page.evaluate("() => document.activeElement.closest('li').ariaPosInSet")))
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog")).to_be_visible()
    page.keyboard.press("ArrowLeft")
    expect(page.locator("#viewer-title")).not_to_be_empty()
    page.keyboard.press("Escape")
    expect(tile(page, number - 1).locator("a")).to_be_focused()
    page.wait_for_timeout(400)
    search(page, "orientation:portrait")
    assert page.evaluate("() => scrollY") == 0
    page.go_back()
    expect(tile(page, number - 1)).to_be_visible()


def test_a_photo_far_down_has_neighbours_after_a_reload(crowd: str, tab: Tab) -> None:
    tab.watch.expected.append("/preview")
    page = tab.open(crowd)
    expect(page.locator(".tile.loaded").first).to_be_visible()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("End")
    expect(page.locator(".tile a:focus")).to_have_attribute("data-index", str(MANY - 1))
    page.keyboard.press("Enter")
    expect(page.locator("#viewer")).to_be_visible()
    page.reload()
    expect(page.locator("#viewer")).to_be_visible()
    expect(page.get_by_role("button", name="Previous photo")).to_be_visible()


def test_no_photos_yet(site: Site, fake_model: None, tab: Tab, tmp_path: Path) -> None:
    encoder = FakeEncoder(name=MODEL)
    with Store.open_writer(tmp_path / "library", purpose="test", timeout_s=5, create=True) as store:
        store.use_model(encoder.stamp)
        store.set_default_model(MODEL)
    with served(tmp_path / "library") as url:
        page = tab.open(url)
        expect(page.get_by_role("heading", name="No photos yet")).to_be_visible()
        expect(page.locator("#state")).to_contain_text("oko index ~/Pictures")


def test_nothing_found(site: Site, tab: Tab) -> None:
    page = tab.open(f"{site.url}/?q=camera:nokia")
    expect(page.get_by_role("heading", name="No photo found")).to_be_visible()
    page.get_by_role("button", name="Show all photos").click()
    expect(page.locator(".tile.loaded").first).to_be_visible()


def test_what_lies_below_the_line_can_be_shown(site: Site, tab: Tab) -> None:
    page = tab.open(site.url)

    def cut(route: Any) -> None:
        answer = route.fetch()
        found = answer.json()
        if "all=true" not in route.request.url:
            found |= {"results": found["results"][:3], "total": 3, "cut": found["total"] + found["cut"] - 3}
        route.fulfill(response=answer, json=found)

    page.route("**/api/search?*", cut)
    search(page, "something red")
    expect(page.locator(".tile")).to_have_count(3)
    expect(page.locator("#below")).to_contain_text("31 more photos match less well.")
    page.locator("#below").get_by_role("button", name="Show all").click()
    expect(page.locator("#count")).to_contain_text("34 photos")
    expect(page).to_have_url(re.compile("all=1"))
    expect(page.locator("#below")).to_be_hidden()
    page.get_by_role("button", name="Only good matches").click()
    expect(page.locator(".tile")).to_have_count(3)
    expect(page).not_to_have_url(re.compile("all=1"))


def test_what_is_counted_only_at_the_end_is_said_there(crowd: str, tab: Tab) -> None:
    """As in a library too large for exact search, where the first answers say only that there are more."""
    tab.watch.expected.append("/preview")
    page = tab.open(crowd)

    def uncounted(route: Any) -> None:
        answer = route.fetch()
        found = answer.json()
        if "offset=0" in route.request.url:
            found |= {"total": 150, "at_least": True, "cut": 0}
        else:
            found |= {"results": found["results"][:60], "total": 160, "at_least": False, "cut": MANY - 160}
        route.fulfill(response=answer, json=found)

    page.route("**/api/search?*", uncounted)
    search(page, "something red")
    expect(page.locator("#count")).to_contain_text("more than 150 photos")
    expect(page.locator("#below")).to_be_hidden()
    tile(page, 1).locator("a").focus()
    page.keyboard.press("End")
    expect(page.locator("#count")).to_contain_text("160 photos")
    expect(page.locator("#below")).to_contain_text(f"{MANY - 160:,} more photos match less well.")


@pytest.mark.parametrize("found", [0, 3])
def test_a_tag_that_finds_more_can_be_shown(site: Site, tab: Tab, found: int) -> None:
    tagged = [site.id_of(f"green-{n}.jpg") for n in range(5)]
    for photo in tagged:
        site.suggest(photo, "meadow")
    page = tab.open(site.url)

    def fewer(route: Any) -> None:
        answer = route.fetch()
        told = answer.json()
        if "tag%3A" not in route.request.url and "q=meadow" in route.request.url:
            told |= {"results": told["results"][:found], "total": found, "cut": told["total"] + told["cut"]}
            told["tagged"] = {"tag": "meadow", "photos": 5, "query": "tag:meadow"}
        route.fulfill(response=answer, json=told)

    page.route("**/api/search?*", fewer)
    search(page, "meadow")
    box = page.locator("#notes" if found else "#state")
    expect(box).to_contain_text("5 photos have the tag meadow.")
    box.get_by_role("button", name="Show them").click()
    expect(page).to_have_url(re.compile("tag"))
    expect(page.locator(".tile")).to_have_count(5)
    expect(page.locator("#notes")).to_be_hidden()


def test_the_server_goes_and_comes_back(site: Site, tab: Tab) -> None:
    tab.watch.expected.append("ERR_CONNECTION_REFUSED")
    page = tab.open(site.url)
    expect(page.locator(".tile.loaded").first).to_be_visible()
    page.route("**/api/**", lambda route: route.abort("connectionrefused"))
    page.get_by_role("combobox", name="Search your photos").fill("sort:oldest")
    page.keyboard.press("Enter")
    expect(page.locator("#gone")).to_contain_text("does not answer")
    expect(page.locator(".tile").first).to_be_visible()
    page.unroute("**/api/**")
    page.get_by_role("button", name="Try now").click()
    expect(page.locator("#gone")).to_be_hidden()
    expect(page.locator(".chip")).to_have_text("order: oldest")


def test_what_is_decided_before_the_photo_is_known_stays(site: Site, tab: Tab) -> None:
    photo = site.id_of("blue-5.jpg")
    page = tab.open(site.url + "/?q=is:favourite")
    held: list[Any] = []
    page.route(
        f"**/api/photos/{photo}", lambda route: held.append(route)
    )  # the answer waits until it is let go
    page.goto(f"{site.url}/?photo={photo}")
    page.get_by_label("Add a tag").fill("early")
    page.keyboard.press("Enter")
    confirmed = page.get_by_role("list", name="Confirmed tags")
    expect(confirmed).to_contain_text("early")
    answer = held[0].fetch()
    held[0].fulfill(response=answer, json={**answer.json(), "tags": []})  # as it was before the tag
    expect(page.locator("#facts")).to_contain_text("blue-5.jpg")
    expect(confirmed).to_contain_text("early")


def test_a_tag_that_fails_takes_no_other_along(site: Site, tab: Tab) -> None:
    tab.watch.expected.append("500")
    page = tab.open(f"{site.url}/?photo={site.id_of('blue-6.jpg')}")
    expect(page.locator("#facts")).to_contain_text("blue-6.jpg")
    held: list[Any] = []
    page.route("**/tags/doomed", lambda route: held.append(route))
    box = page.get_by_label("Add a tag")
    for name in ("doomed", "kept"):
        box.fill(name)
        page.keyboard.press("Enter")
    confirmed = page.get_by_role("list", name="Confirmed tags")
    expect(confirmed).to_contain_text("kept")
    held[0].fulfill(status=500, json={"error": {"message": "the disk is full"}})
    expect(confirmed).not_to_contain_text("doomed")
    expect(confirmed).to_contain_text("kept")
    check_soon(lambda: site.tags_of(site.id_of("blue-6.jpg")), {"kept": "confirmed"})


def test_indexing_shows_how_far_it_is(site: Site, tab: Tab) -> None:
    import json

    page = tab.open(site.url)
    going, done = json.dumps(JOB), json.dumps({**JOB, "running": False, "phase": "done", "message": "Done"})
    page.route("**/api/jobs", lambda route: route.fulfill(status=202, json={"job": JOB}))
    page.route(
        "**/api/jobs/*/events",
        lambda route: route.fulfill(
            content_type="text/event-stream", body=f"event: progress\ndata: {going}\n\n"
        ),
    )
    page.get_by_role("button", name="Library").click()
    panel = page.get_by_role("dialog", name="Library")
    expect(panel).to_contain_text(str(site.photos))
    panel.get_by_role("button", name="Look for new photos").click()
    expect(panel.get_by_role("progressbar")).to_have_attribute("value", "0.25")
    expect(panel).to_contain_text("30 of 120 · 13 photos/s · 7 s left")
    expect(page.locator("#library")).to_have_attribute("title", "Library: Indexing, 25 %")
    page.unroute("**/api/jobs/*/events")
    page.route(
        "**/api/jobs/*/events",
        lambda route: route.fulfill(content_type="text/event-stream", body=f"event: done\ndata: {done}\n\n"),
    )
    expect(panel.get_by_role("progressbar")).to_be_hidden()
    expect(panel.get_by_role("button", name="Look for new photos")).to_be_enabled()


def test_painting_elsewhere_is_seen_as_it_goes(site: Site, tab: Tab) -> None:
    replace_private(sketch_path(site.folder), png("green"))  # a browser looks at the bytes, not at the name
    job = Job(site.folder, "generate")
    job.tell(at_once=True, phase="painting", done=10, total=100, sketched=10)
    page = tab.open(site.url)
    page.get_by_role("button", name=re.compile("Library: Painting, 10 %")).click()
    sketch = page.get_by_role("img", name="The picture so far")
    expect(sketch).to_be_visible()
    assert page.evaluate("() => document.querySelector('#job-sketch').naturalWidth") > 0
    expect(
        page.get_by_role("button", name="Look for new photos")
    ).to_be_enabled()  # painting does not write there
    job.tell(at_once=True, done=40, sketched=40)
    expect(sketch).to_have_attribute("src", re.compile("step=40"))
    job.end("done")
    expect(page.locator("#job-title")).to_have_text("Done")


def test_the_colours_are_kept(site: Site, tab: Tab) -> None:
    page = tab.open(site.url, color_scheme="light")
    ground = "() => getComputedStyle(document.documentElement).backgroundColor"
    light = page.evaluate(ground)
    page.get_by_role("button", name="Colours: system. Change to light").click()
    page.get_by_role("button", name="Colours: light. Change to dark").click()
    dark = page.evaluate(ground)
    assert dark != light
    page.reload()
    assert page.evaluate(ground) == dark


def test_focus_stays_in_the_large_view(site: Site, tab: Tab) -> None:
    page = tab.open(f"{site.url}/?photo={site.id_of('camera.jpg')}")
    expect(page.locator("#facts")).to_contain_text("camera.jpg")
    inside = """() => document.activeElement === document.body ||
      document.querySelector('#viewer').contains(document.activeElement)"""
    for _ in range(25):
        page.keyboard.press("Tab")
        assert page.evaluate(inside)


@pytest.mark.parametrize("colours", ["light", "dark"])
def test_axe_finds_nothing(site: Site, tab: Tab, colours: str) -> None:
    axe = pytest.importorskip(
        "axe_playwright_python.sync_playwright", reason="needs axe: pip install axe-playwright-python"
    )
    tab.watch.expected.append("400 (Bad Request)")
    photo = site.id_of({"light": "green-1.jpg", "dark": "green-2.jpg"}[colours])
    site.suggest(photo, "sunset", "night")
    page = tab.open(site.url + "/?q=tag:sunset -tag:night", color_scheme=colours)
    found: dict[str, list[str]] = {}

    def look(where: str) -> None:
        page.wait_for_timeout(250)  # what fades in has its own colours only at the end
        violations = axe.Axe().run(page).response["violations"]
        found[where] = [f"{v['id']}: {v['nodes'][0]['html'][:120]}" for v in violations]

    look("nothing found")
    page.goto(site.url)
    expect(page.locator(".tile.loaded").first).to_be_visible()
    page.get_by_role("combobox", name="Search your photos").press_sequentially("ta")
    expect(page.get_by_role("listbox", name="Suggestions")).to_be_visible()
    look("grid and suggestions")
    search(page, "tag:")
    look("an error")
    for name in ("Library", "Filters", "Keys"):
        page.get_by_role("button", name=name, exact=True).click()
        look(name)
        page.keyboard.press("Escape")
    page.goto(f"{site.url}/?photo={photo}")
    page.get_by_role("button", name="Reject night").click()
    expect(page.locator("summary")).to_be_visible()
    look("a photo")
    assert {where: violations for where, violations in found.items() if violations} == {}
