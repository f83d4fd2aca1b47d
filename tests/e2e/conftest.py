"""One browser for all tests of the page; a page of its own for each, which must stay free of errors."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from library.fakes import FakeEncoder

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

    from tests.e2e.page_site import Site

CHROMIUM = Path("/usr/bin/chromium")
WAIT_MS = 20_000  # machines that run tests are busy
# A violation of the content security policy, reported as it happens.
LISTENER = """addEventListener("securitypolicyviolation",
  (e) => console.error("CSP: " + e.violatedDirective + " " + e.blockedURI));"""


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright: pip install playwright")
    if not CHROMIUM.exists():
        pytest.skip(f"needs a browser: there is no {CHROMIUM} (apt-get install chromium)")
    arguments = ["--no-sandbox"] if hasattr(os, "getuid") and os.getuid() == 0 else []
    with playwright.sync_playwright() as p:
        found = p.chromium.launch(executable_path=str(CHROMIUM), args=arguments)
        yield found
        found.close()


@dataclass
class Watch:
    """What a page complains of; a test may expect some of it."""

    complaints: list[str] = field(default_factory=list)
    expected: list[str] = field(default_factory=list)

    def left(self) -> list[str]:
        return [text for text in self.complaints if not any(part in text for part in self.expected)]


@dataclass
class Tab:
    """Makes pages in contexts of their own (storage, size, colours), and looks at their consoles."""

    browser: Browser
    watch: Watch = field(default_factory=Watch)
    _contexts: list[Any] = field(default_factory=list)

    def open(self, url: str, **options: Any) -> Page:
        """A new page at an address; `options` are those of a browser context."""
        context = self.browser.new_context(**{"viewport": {"width": 1200, "height": 800}, **options})
        self._contexts.append(context)
        context.set_default_timeout(WAIT_MS)
        context.add_init_script(LISTENER)
        page = context.new_page()
        page.on(
            "console",
            lambda m: self._note(f"{m.type}: {m.text} {m.location['url']}", m.type in ("error", "warning")),
        )
        page.on("pageerror", lambda e: self._note(f"exception: {e}"))
        page.on("dialog", lambda d: (self._note(f"dialog: {d.message}"), d.dismiss()))
        page.goto(url)
        return page

    def close(self) -> None:
        for context in self._contexts:
            context.close()

    def _note(self, text: str, is_bad: bool = True) -> None:
        if is_bad:
            self.watch.complaints.append(text)


@pytest.fixture
def tab(browser: Browser) -> Iterator[Tab]:
    made = Tab(browser)
    yield made
    made.close()
    assert made.watch.left() == [], "the page has no errors, and its policy is kept"


@pytest.fixture(scope="module")
def fake_model() -> Iterator[None]:
    """Every model is the fake while a module's tests run."""
    from oko import assemble

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(assemble, "make_encoder", lambda spec, config: FakeEncoder(name=spec.name))
        yield


@pytest.fixture(scope="module")
def site(browser: Browser, fake_model: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The small library, served; the browser first, so that nothing is made where there is none."""
    from tests.e2e.page_site import make_library, served

    made = make_library(tmp_path_factory.mktemp("page"))
    with served(made.folder) as url:
        yield replace(made, url=url)
