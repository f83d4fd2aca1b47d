"""What relevance is measured and fitted on: albums, queries that something answers, and some that nothing does.

Vectors are made once for exactly these weights and texts, and kept beside the system's temporary files.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.captions import truth
from benchmarks.shards import DEVELOPMENT, held_out, translations
from benchmarks.tagging_data import load_album
from library.encoder import Encoder
from library.vocabulary import Vocabulary, shipped_vocabulary

F32 = NDArray[np.float32]
ABSENT = "text/absent_queries.txt"
# Their photos, as far as they are held out from training, are what constants are fitted on.
FITTED_ON = ("coco_human.tar", "caltech101.tar", "tinyimagenet.tar", "coco_vqa.tar")
# One in so many of the photos that were trained on: their own captions score too high, names and what is absent do not.
TRAINED_ON_STEP = 9
TRAINED_ON = "trained on"
# Names of these groups are absent from a photo when nobody mentions them; nobody mentions that there is a tree.
THINGS = frozenset(
    ("animals", "food", "drinks", "plants", "vehicles", "sports", "documents", "events", "rooms", "objects")
)
BATCH = 256


@dataclass(frozen=True)
class Scene:
    """One album with its queries. Every vector has L2 norm 1."""

    name: str
    photos: F32  # (n, D)
    captions: F32  # (c, D)
    rows: NDArray[np.int64]  # (c,) the photo of each caption
    names: F32  # (k, D) of tags that some photos have
    has: NDArray[np.bool_]  # (k, n) two captions say so
    may_have: NDArray[np.bool_]  # (k, n) one caption says so
    absent: F32  # (a, D) names of what no photo shows
    absent_names: list[str]


class Texts:
    """Vectors of texts by one model, no text embedded twice."""

    def __init__(self, encoder: Encoder) -> None:
        self.encoder = encoder

    def __call__(self, texts: Sequence[str]) -> F32:
        """(n, D) of n texts, n >= 0."""
        what = "\0".join((str(self.encoder.stamp), *texts))
        digest = hashlib.sha256(what.encode()).hexdigest()[:16]
        file = Path(tempfile.gettempdir(), f"oko-relevance-{digest}.npy")
        if file.is_file():
            kept: F32 = np.load(file)
            return kept
        parts = [
            self.encoder.encode_texts(list(texts[at : at + BATCH])) for at in range(0, len(texts), BATCH)
        ]
        made = np.concatenate(parts) if parts else np.zeros((0, self.encoder.stamp.dim), np.float32)
        np.save(file, made)
        return made


@dataclass
class Data:
    """The shards as one model sees them."""

    folder: Path
    encoder: Encoder

    @cached_property
    def texts(self) -> Texts:
        """The model's vectors of texts."""
        return Texts(self.encoder)

    @cached_property
    def vocabulary(self) -> Vocabulary:
        """The shipped tags."""
        return shipped_vocabulary()

    @cached_property
    def absent_names(self) -> list[str]:
        """Things that no caption of the development photos mentions."""
        return (self.folder / ABSENT).read_text(encoding="utf-8").split("\n")[:-1]

    def development(self) -> Scene | None:
        """What is measured on; None when it is not here."""
        album = load_album(self.folder, self.encoder, development=True)
        if album is None or not (self.folder / ABSENT).is_file():
            return None
        return self._scene("development", album.vectors, album.captions, self.absent_names)

    def fitting(self) -> list[Scene]:
        """What constants are fitted on: none of it is measured on."""
        found = []
        for shard in FITTED_ON:
            album = load_album(self.folder, self.encoder, shard=shard, development=True)
            if album is not None:
                found.append(self._scene(shard, album.vectors, album.captions, None))
        album = load_album(self.folder, self.encoder, development=False)
        if album is not None:
            step = slice(None, None, TRAINED_ON_STEP)
            found.append(self._scene(TRAINED_ON, album.vectors[step], album.captions[step], None))
        return found

    def in_languages(self) -> dict[str, tuple[NDArray[np.int64], F32]]:
        """Language -> (rows of the development photos (c,), vectors (c, D) of their captions)."""
        keys = [photo.key for photo in held_out(self.folder / DEVELOPMENT)]
        row_of = {key: row for row, key in enumerate(keys)}
        found = translations(self.folder, set(row_of))
        return {
            language: (np.array([row_of[key] for key, _ in pairs]), self.texts([text for _, text in pairs]))
            for language, pairs in found.items()
        }

    def _scene(
        self, name: str, photos: F32, captions: Sequence[Sequence[str]], absent: list[str] | None
    ) -> Scene:
        tags = self.vocabulary.tags
        has: NDArray[np.bool_] = truth(captions, tags)
        may_have: NDArray[np.bool_] = truth(captions, tags, least=1)
        some = np.flatnonzero(has.sum(axis=0) >= 3)
        if absent is None:
            named = [bool(column.any()) for column in may_have.T]
            left = [
                tag.name for tag, there in zip(tags, named, strict=True) if not there and tag.group in THINGS
            ]
            absent = [each for each in left if each not in self.absent_names]
        if name == TRAINED_ON:  # its own captions are not looked at
            captions = []
        texts = [text for each in captions for text in each]
        return Scene(
            name,
            photos,
            self.texts(texts),
            np.repeat(np.arange(len(captions)), [len(each) for each in captions]).astype(np.int64),
            self.texts([tags[column].name for column in some]),
            has.T[some],
            may_have.T[some],
            self.texts(absent),
            absent,
        )
