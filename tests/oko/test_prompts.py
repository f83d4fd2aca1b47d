"""Prompts that are embedded ahead: in steps, without the lock, and kept when it is stopped in the middle."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np
import pytest

from library.errors import LibraryLocked
from library.fakes import FakeEncoder
from library.store import Store
from library.vocabulary import shipped_vocabulary
from oko.prompts import STEP_TAGS, PromptsAhead
from search.tagger import Tagger, lacking_prompts
from tests.albums import Album

VOCABULARY = shipped_vocabulary()


class WritingEncoder(FakeEncoder):
    """While it embeds, another writer does something with the library."""

    def __init__(self, album: Album) -> None:
        super().__init__()
        self.album = album
        self.calls = 0

    def encode_texts(self, texts: list[str]) -> np.ndarray:
        with Store.open_writer(self.album.library, purpose="another", timeout_s=0):
            self.calls += 1
        return super().encode_texts(texts)


@pytest.fixture
def album(tmp_path: Path) -> Album:
    album = Album(tmp_path)
    album.put("a.png", 1)
    album.index()
    return album


def ahead(album: Album, encoder: FakeEncoder) -> PromptsAhead:
    def writer() -> AbstractContextManager[Store]:
        return Store.open_writer(album.library, purpose="test", timeout_s=0)

    return PromptsAhead(album.reading, writer, encoder.stamp, lambda: encoder, VOCABULARY)


def lacking(album: Album) -> int:
    with album.reading() as store:
        return len(lacking_prompts(store, album.encoder.stamp, VOCABULARY))


def test_prompts_are_embedded_while_others_write(album: Album) -> None:
    assert lacking(album) > 900
    encoder = WritingEncoder(album)
    told: list[tuple[int, int | None]] = []
    ahead(album, encoder).all(lambda done, total: told.append((done, total)))
    assert encoder.calls == len(told) > 900 / STEP_TAGS
    assert told[-1][0] == told[-1][1]
    assert lacking(album) == 0

    def none() -> FakeEncoder:
        raise AssertionError("nothing is lacking")

    with album.writing() as store:
        assert Tagger(store, encoder.stamp, none, VOCABULARY).tag_all().photos == 1


def test_what_was_embedded_before_it_was_stopped_is_kept(album: Album) -> None:
    encoder = WritingEncoder(album)
    before = lacking(album)
    ahead(album, encoder).all(is_stopping=lambda: encoder.calls == 2)
    assert lacking(album) == before - 2 * STEP_TAGS
    ahead(album, encoder).all()
    assert lacking(album) == 0


def test_a_library_that_is_taken_costs_no_work_twice(album: Album) -> None:
    encoder = FakeEncoder()
    one = ahead(album, encoder)
    with (
        Store.open_writer(album.library, purpose="another", timeout_s=0),
        pytest.raises(LibraryLocked),
    ):
        list(iter(one.step, False))
    one.all()
    assert lacking(album) == 0
