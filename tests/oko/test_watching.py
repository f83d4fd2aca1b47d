"""A whole session of `oko watch` in this process: its settings read again, and tags that never stand in its way."""

from __future__ import annotations

import argparse
import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from library.catalog import reading, tagging
from library.errors import DiskFull
from library.fakes import COLOURS
from library.store import Store
from library.vocabulary import TagSpec, Vocabulary
from oko import jobs, watching
from oko.context import Context
from oko.signals import Signals
from tests.albums import jpeg_scene
from tests.oko.small_library import SmallLibrary, make
from tests.watched import LONG_S, wait_for


@dataclass
class Session:
    """`oko watch` over a small library, in a thread; signals are given by hand."""

    library: SmallLibrary
    signals: Signals = field(default_factory=Signals)
    reread: int = 0

    def context(self) -> Context:
        """The settings as they are now."""
        self.reread += 1
        words = argparse.Namespace(library=self.library.folder, config=None, quiet=True, command="watch")
        return Context.from_arguments(words, {})

    @contextmanager
    def running(self, *, ready: bool = True) -> Iterator[Session]:
        """Watch meanwhile."""
        errors: list[BaseException] = []

        def watch() -> None:
            try:
                watching.watch(self.context(), [], reread=self.context, signals=self.signals)
            except BaseException as e:
                errors.append(e)

        thread = threading.Thread(target=watch)
        thread.start()
        try:
            if ready:
                wait_for(lambda: errors or self.is_idle(), "the watcher gets ready")
            yield self
        finally:
            self.signals.end()
            thread.join(LONG_S)
            assert not thread.is_alive()
            assert not errors, errors

    def job(self) -> dict[str, Any]:
        """What it tells of itself."""
        return jobs.read_job(self.library.folder, "watch") or {}

    def is_idle(self) -> bool:
        """Whether nothing is left to do, tags included."""
        return bool(self.job().get("phase") == "watching")

    def reload(self, **settings: object) -> None:
        """Write settings, and give SIGHUP."""
        lines = [f"{name} = {json.dumps(value)}\n" for name, value in settings.items()]
        (self.library.folder / "config.toml").write_text("".join(lines), encoding="utf-8")
        before = self.reread
        self.signals._reload(1, None)
        wait_for(lambda: self.reread > before)

    def until_tagged(self, photos: int) -> None:
        """Wait until there are so many photos with a vector, each of them tagged."""
        wait_for(lambda: self.counts() == (photos, 0), f"{photos} photos, not {self.counts()}")

    def counts(self, model: str = "one") -> tuple[int, int]:
        """(photos with a vector of a model, those of them that were never tagged)."""
        store = Store.open(self.library.folder)
        try:
            with store.catalog.reading() as c:
                number = reading.model_id(c, self.library.encoders[model].stamp) or 0
                return tagging.vector_state(c, number)[0], tagging.never_tagged_count(c, number)
        finally:
            store.close()


@pytest.fixture
def session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Session:
    few = Vocabulary(tuple(TagSpec(colour, "colours", share=0.15) for colour in COLOURS))
    monkeypatch.setattr("search.tagger.shipped_vocabulary", lambda: few)
    monkeypatch.setattr("library.vocabulary.shipped_vocabulary", lambda: few)
    monkeypatch.setattr("oko.prompts.STEP_TAGS", 2)
    monkeypatch.setattr("indexer.follower.REST_S", 0.01)
    monkeypatch.setattr("oko.watch_tags.RETRY_S", 0.05)
    monkeypatch.setattr("oko.watch_tags.LOOK_S", 0.2)
    return Session(make(tmp_path, monkeypatch))


def put(session: Session, name: str, seed: int) -> None:
    (session.library.photos / name).write_bytes(jpeg_scene(seed))


def test_photos_that_missed_their_tags_get_them(session: Session) -> None:
    """Indexed by `oko index`, or by a watcher that was killed between a photo and its tags."""
    assert session.counts() == (3, 3)
    with session.running():
        assert session.counts() == (3, 0)
        put(session, "later.jpg", 1)
        session.until_tagged(4)
        put(session, "by hand.jpg", 2)
        session.library.index()
        session.until_tagged(5)


def test_without_tags_none_are_made(session: Session) -> None:
    (session.library.folder / "config.toml").write_text("watch_tags = false\n")
    with session.running():
        assert session.counts() == (3, 3)


def test_tags_that_cannot_be_written_lose_no_photo(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*arguments: Any, **more: Any) -> int:
        raise DiskFull("the disk is full", hint="Free some space.")

    with session.running():
        with monkeypatch.context() as patch:
            patch.setattr(Store, "set_suggestions", full)
            put(session, "later.jpg", 1)
            wait_for(lambda: session.counts() == (4, 1))
            wait_for(lambda: "without tags: the disk is full" in str(session.job().get("trouble")))
        session.until_tagged(4)
        wait_for(lambda: session.job().get("trouble") is None)
    assert session.counts() == (4, 0)


def encoding(session: Session, monkeypatch: pytest.MonkeyPatch, before: Callable[[], None]) -> None:
    encoder = session.library.encoders["one"]
    encode = encoder.encode_texts

    def encode_texts(texts: list[str]) -> np.ndarray:
        before()
        return encode(texts)

    monkeypatch.setattr(encoder, "encode_texts", encode_texts)


def test_others_can_write_while_the_tags_are_read(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[int] = []

    def write() -> None:
        with Store.open_writer(session.library.folder, purpose="another", timeout_s=0):
            written.append(session.counts()[0])
        if len(written) == 1:
            put(session, "meanwhile.jpg", 1)  # which must not wait for the rest
        time.sleep(0.3)  # a step's work; after two of them the photo counts as whole

    encoding(session, monkeypatch, write)
    with session.running():
        session.until_tagged(4)
    assert written[0] == 3
    assert written[-1] == 4


def test_it_ends_in_the_middle_of_reading_the_tags(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[None] = []

    def end() -> None:
        calls.append(None)
        session.signals.end()

    encoding(session, monkeypatch, end)
    with session.running(ready=False):
        wait_for(lambda: session.job().get("phase") == "done")
    assert len(calls) == 1
    assert session.counts() == (3, 3)


@pytest.mark.parametrize(
    "wrong",
    [{"model": "nosuch"}, {"tags_file": "/nowhere/tags.toml"}, {"tags": ["-nosuch"]}, {"nosuch": 1}],
    ids=["model", "tags_file", "tags", "name"],
)
def test_settings_that_cannot_be_used_change_nothing(session: Session, wrong: dict[str, object]) -> None:
    with session.running():
        session.reload(**wrong)
        wait_for(lambda: "the settings stay as they were" in str(session.job().get("trouble")))
        put(session, "later.jpg", 1)
        session.until_tagged(4)
        session.reload(include=["*.jpg"])
        wait_for(lambda: session.job().get("trouble") is None)
    assert session.counts() == (4, 0)


def test_another_model_is_taken_up(session: Session) -> None:
    with session.running():
        session.reload(model="two")
        wait_for(lambda: session.library.encoders["two"].embedded >= 3)
        wait_for(session.is_idle)
    assert session.counts("two") == (3, 0)


def test_a_reload_during_a_reload_counts(session: Session) -> None:
    asked = 0
    read = session.context

    def context() -> Context:
        nonlocal asked
        asked += 1
        if asked == 2:
            session.signals._reload(1, None)
        return read()

    session.context = context  # type: ignore[method-assign]
    with session.running():
        session.reload(include=["*.jpg"])
        wait_for(lambda: session.reread >= 3)
    assert session.reread == 3, "each reload is answered once"


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="there is no such signal")
def test_signals_are_heard_before_anybody_asks() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with Signals().heard() as signals:
        os.kill(os.getpid(), signal.SIGHUP)
        os.kill(os.getpid(), signal.SIGTERM)
        assert signals.ended.is_set()
        assert signals.take_reload()
        assert not signals.take_reload()
        os.kill(os.getpid(), signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(signal.SIGTERM) == before
