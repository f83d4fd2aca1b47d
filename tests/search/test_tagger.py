"""Tagging a real library: what is suggested, remembered, and never touched."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from library.catalog import reading, tagging
from library.fakes import FakeEncoder
from library.store import Store
from library.vocabulary import TagSpec, Vocabulary
from search.tagger import Tagger, teach
from tests.albums import Album
from tests.libraries import paint

COLOURS = ("red", "green", "blue", "yellow", "orange", "purple")
VOCABULARY = Vocabulary(tuple(TagSpec(colour, "colours", share=0.15) for colour in COLOURS))


class CountingEncoder:
    """Counts the texts that are embedded."""

    def __init__(self) -> None:
        self.encoder = FakeEncoder()
        self.texts = 0

    def encode_texts(self, texts: list[str]) -> np.ndarray:
        self.texts += len(texts)
        return self.encoder.encode_texts(texts)


@pytest.fixture
def album(tmp_path: Path) -> Album:
    album = Album(tmp_path)
    paint(album.photos, {f"{colour}.png": colour for colour in (*COLOURS, "black", "white", "grey", "brown")})
    album.index()
    return album


def tagger(
    store: Store, encoder: CountingEncoder | None = None, vocabulary: Vocabulary = VOCABULARY
) -> Tagger:
    found = encoder or CountingEncoder()
    return Tagger(store, found.encoder.stamp, lambda: found, vocabulary)


def states(album: Album) -> dict[str, dict[str, str]]:
    """Tag -> state by file name."""
    with album.reading() as store, store.catalog.reading() as c:
        ids = {name: key for name, key in album.ids().items() if key is not None}
        tags = reading.photo_tags(c, list(ids.values()))
    return {name: {row.name: row.state for row in tags.get(key, [])} for name, key in ids.items()}


def test_each_photo_gets_its_colour(album: Album) -> None:
    with album.writing() as store:
        report = tagger(store).tag_all()
    found = states(album)
    assert report.photos == 10
    assert report.suggestions == sum(map(len, found.values()))
    for colour in COLOURS:
        assert found[f"{colour}.png"].get(colour) == "suggested"


def test_texts_are_embedded_once_and_again_when_they_change(album: Album) -> None:
    encoder = CountingEncoder()
    with album.writing() as store:
        tagger(store, encoder).tag_all()
        first = encoder.texts
        tagger(store, encoder).tag_all()
        assert encoder.texts == first
        changed = VOCABULARY.with_tags([TagSpec("red", prompts=("a ripe tomato",))])
        tagger(store, encoder, changed).tag_all()
    assert encoder.texts == first + 3  # the two templates and the new sentence


def test_decisions_survive_every_run(album: Album) -> None:
    album.tag("red.png", "red", state="rejected")
    album.tag("green.png", "old town")
    album.tag("blue.png", "blue")
    for _ in range(2):
        with album.writing() as store:
            tagger(store).tag_all()
        found = states(album)
        assert found["red.png"].get("red") == "rejected"
        assert found["green.png"]["old town"] == "confirmed"
        assert found["blue.png"]["blue"] == "confirmed"


def test_suggestions_of_a_tag_that_is_gone_go(album: Album) -> None:
    with album.writing() as store:
        tagger(store).tag_all()
        tagger(store, vocabulary=VOCABULARY.without(["red"])).tag_all()
    assert "red" not in states(album)["red.png"]


def test_a_batch_uses_what_is_remembered(album: Album) -> None:
    encoder = CountingEncoder()
    with album.writing() as store:
        tagger(store, encoder).tag_all()
        before = encoder.texts
        model_id = store.model_id(encoder.encoder.stamp)
        with store.catalog.reading() as c:
            kept = tagging.calibration(c, model_id)
        again = tagger(store, encoder)
        assert again.tag([album.photo_of("red.png")]) >= 1
        with store.catalog.reading() as c:
            now = tagging.calibration(c, model_id)
    assert encoder.texts == before
    assert kept is not None
    assert now is not None
    assert (kept.photos, kept.revision) == (now.photos, now.revision)


def test_a_calibration_is_measured_again_when_the_library_has_grown_or_the_words_changed(
    album: Album,
) -> None:
    def measured_on() -> tuple[int, bytes]:
        with album.reading() as store, store.catalog.reading() as c:
            kept = tagging.calibration(c, store.model_id(album.encoder.stamp))
        assert kept is not None
        return kept.photos, kept.prompts_sha256

    with album.writing() as store:
        tagger(store).tag_all()
    first = measured_on()
    paint(album.photos, {"more/one.png": "pink"})
    album.index()
    with album.writing() as store:
        tagger(store).tag([1])
    assert measured_on() == first  # a tenth more
    album.put("more/a.png", 1)
    album.put("more/b.png", 2)
    album.put("more/c.png", 3)
    album.index()
    with album.writing() as store:
        tagger(store).tag([1])
    assert measured_on()[0] == 14
    with album.writing() as store:
        tagger(store, vocabulary=VOCABULARY.without(["red"])).tag([1])
    assert measured_on()[1] != first[1]


def test_an_empty_library_and_photos_that_are_not_there(tmp_path: Path) -> None:
    album = Album(tmp_path)
    with album.writing() as store:
        one = tagger(store)
        assert one.tag_all().photos == 0
        assert one.tag([1, 99]) == 0
        assert one.tag([]) == 0


def test_one_photo_alone_is_tagged(tmp_path: Path) -> None:
    album = Album(tmp_path)
    paint(album.photos, {"red.png": "red"})
    album.index()
    with album.writing() as store:
        tagger(store).tag_all()
    assert "red" in states(album)["red.png"]


def test_a_tag_is_taught_by_examples(tmp_path: Path) -> None:
    album = Album(tmp_path)
    rng = np.random.default_rng(0)
    warm = {f"warm{n}.png": colour for n, colour in enumerate(["red", "orange"] * 3)}
    paint(
        album.photos,
        {**warm, **{f"cold{n}.png": c for n, c in enumerate(["blue", "green", "black", "white"])}},
    )
    for n in range(6):  # the same colours as different pictures
        album.put(f"noise{n}.png", int(rng.integers(1_000)))
    from PIL import Image

    for n in range(8):
        colour = (200 + 5 * n, 20 + 10 * n, 30) if n % 2 else (20, 30 + 10 * n, 200)
        Image.new("RGB", (64, 48), colour).save(album.photos / f"{'warm' if n % 2 else 'cold'}_{n}.png")
    album.index()
    for n in (1, 3):
        album.tag(f"warm_{n}.png", "Mallorca")
    for n in (0, 2):
        album.tag(f"cold_{n}.png", "Mallorca", state="rejected")
    with album.writing() as store:
        teach(store, "Mallorca")
        report = tagger(store).tag_all()
        logits = tagger(store)
        with store.catalog.reading() as c:
            ids = [album.photo_of(f"{kind}.png") for kind in ("warm_5", "warm_7", "cold_4", "cold_6")]
            parts = {
                int(k): v
                for keys, vs in reading.embeddings(c, store.model_id(album.encoder.stamp), 64, ids=ids)
                for k, v in zip(keys, vs, strict=True)
            }
        found = logits.logits(np.stack([parts[key] for key in ids]))[:, -1]
    assert report.learned == 1
    assert found[:2].min() > found[2:].max()


def test_ten_decisions_are_learned_from_and_nine_are_not(album: Album) -> None:
    names = list(album.ids())
    for name in names[:9]:
        album.tag(name, "red", state="confirmed" if name == "red.png" else "rejected")
    with album.writing() as store:
        assert tagger(store).tag_all().learned == 0
    album.tag(names[9], "red", state="rejected")
    with album.writing() as store:
        assert tagger(store).tag_all().learned == 1
