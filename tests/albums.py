"""A folder of photos and a library of it, for tests of the core: index, look inside, check that all agrees."""

from __future__ import annotations

import hashlib
import os
import struct
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import select

from indexer.pipeline import IndexRun, Settings
from library import images
from library.catalog import reading
from library.config import Config
from library.encoder import Encoder
from library.fakes import FakeEncoder
from library.records import FileState, IndexReport
from library.schema import embedding, file, photo, root, tag
from library.store import Store
from oko.assemble import decode_limits, index_settings
from tests.pictures import photo as scene

# A vector is stored as float16: 11 significant bits of numbers below 1.
HALF_TOLERANCE = 2e-3


def picture(seed: int) -> bytes:
    """A small PNG; different seeds, different contents and vectors."""
    return tiny_png(np.random.default_rng(seed).integers(0, 256, (8, 8, 3), np.uint8))


def tiny_png(pixels: NDArray[np.uint8]) -> bytes:
    """(H, W, 3) uint8 -> an RGB PNG, without Pillow: thousands a second."""
    height, width, _ = pixels.shape
    rows = b"".join(b"\0" + row.tobytes() for row in pixels)
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows, 1)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in chunks
    )


def jpeg_scene(seed: int) -> bytes:
    """A JPEG of a scene, for tests whose file names end in .jpg."""
    from tests.pictures import jpeg_bytes

    return jpeg_bytes(scene(seed, (64, 48)))


def nothing_embedded(report: IndexReport) -> bool:
    """Whether a run neither embedded nor failed on anything."""
    return (report.embedded, report.unreadable, report.failed) == (0, 0, 0)


@dataclass
class Album:
    """Photos in `photos`, the library in `library`; `index` runs the real pipeline with the encoder."""

    base: Path
    encoder: Encoder = field(default_factory=FakeEncoder)
    config: Config = field(default_factory=lambda: Config(decode_workers=2, batch_size=8))

    def __post_init__(self) -> None:
        self.photos.mkdir(parents=True, exist_ok=True)

    @property
    def photos(self) -> Path:
        return self.base / "photos"

    @property
    def library(self) -> Path:
        return self.base / "library"

    def put(self, name: str, seed: int | bytes) -> Path:
        """Write a picture (or given bytes) at a path below `photos`."""
        path = self.photos / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(seed if isinstance(seed, bytes) else picture(seed))
        return path

    def settings(self, **options: Any) -> Settings:
        return index_settings(self.config, self.library, self.encoder, **options)

    @contextmanager
    def writing(self) -> Iterator[Store]:
        with Store.open_writer(self.library, purpose="test", timeout_s=5, create=True) as store:
            yield store

    @contextmanager
    def reading(self) -> Iterator[Store]:
        store = Store.open(self.library)
        try:
            yield store
        finally:
            store.close()

    def index(self, *paths: Path, every: bool = False, **options: Any) -> IndexReport:
        """One run over `photos`, or over other folders, or over every known one."""
        wanted: Sequence[Path] = () if every else paths or (self.photos,)
        with self.writing() as store:
            run = IndexRun(store, self.encoder, self.settings(**options))
            for _ in run.steps(wanted):
                pass
        return run.report

    def steps(self, **options: Any) -> Iterator[tuple[str, int]]:
        """A run over `photos`, step by step: (phase, files done)."""
        with self.writing() as store:
            run = IndexRun(store, self.encoder, self.settings(**options))
            for step in run.steps([self.photos]):
                yield step.phase, step.done

    def exclude(self, *patterns: str) -> None:
        self.config = replace(self.config, exclude=patterns)

    # What the catalog holds

    def ask(self, query: Any) -> list[Any]:
        with self.reading() as store, store.catalog.reading() as c:
            return list(c.execute(query))

    def rows(self) -> dict[str, Any]:
        """File rows by path: relative to `photos` where they lie there, else absolute."""
        wanted = (file, root.c.path.label("root"))
        found = {}
        for row in self.ask(select(*wanted).join(root, root.c.id == file.c.root_id)):
            path = Path(os.fsdecode(os.path.join(row.root, row.path)))
            home = self.photos.resolve()
            found[str(path.relative_to(home) if home in path.parents else path)] = row
        return found

    def ids(self) -> dict[str, int | None]:
        """Photo by path."""
        return {path: row.photo_id for path, row in self.rows().items()}

    def states(self) -> dict[str, str]:
        return {path: row.state for path, row in self.rows().items()}

    def photo_of(self, name: str) -> int:
        key = self.rows()[name].photo_id
        assert key is not None
        return int(key)

    def tag(self, name: str, *tags: str, state: str = "confirmed") -> None:
        rows = [
            {"photo_id": self.photo_of(name), "name": t, "state": state, "score": None, "decided_at": "2026"}
            for t in tags
        ]
        with self.writing() as store:
            store.set_decisions(rows)

    def tags(self, name: str) -> set[str]:
        return {r.name for r in self.ask(select(tag).where(tag.c.photo_id == self.photo_of(name)))}

    def found(self, name: str, *, k: int = 1) -> list[str]:
        """File names of the best answers to the picture at `name`, copies included."""
        from search.rank import Searcher

        with self.reading() as store:
            vector = self.fresh_vector(self.photos / name)
            answers = Searcher(store, self.encoder.stamp).search(vector, k)
        return [p.name for answer in answers for p in (answer.path, *answer.copies)]

    def fresh_vector(self, path: Path) -> NDArray[np.float32]:
        """The file's vector, made here and now, past everything that is under test."""
        limits = decode_limits(self.config, self.encoder)
        decoded = images.decode(
            path.read_bytes(), name=path.name, max_pixels=limits.max_pixels, min_side_px=limits.min_side_px
        )
        return self.encoder.encode_images(self.encoder.prepare(decoded.image)[None])[0]

    def check(self) -> None:
        """Catalog, disk and FAISS agree; every vector is that of its own file."""
        self._check_files(self.check_vectors())

    def check_vectors(self) -> dict[int, NDArray[np.float32]]:
        """FAISS holds exactly what the catalog does, which is returned: vectors by photo."""
        with self.reading() as store:
            model_id = store.model_id(self.encoder.stamp)
            with store.catalog.reading() as c:
                stored = {
                    int(i): v
                    for ids, rows in reading.embeddings(c, model_id, self.encoder.stamp.dim)
                    for i, v in zip(ids, rows, strict=True)
                }
            ids, vectors = store.vectors(model_id, self.encoder.stamp.dim).contents()
        assert sorted(ids) == sorted(stored), "FAISS and the catalog hold the same photos"
        for key, vector in zip(ids, vectors, strict=True):
            np.testing.assert_allclose(vector, stored[int(key)], atol=1e-6)
        lost = select(embedding.c.photo_id).where(embedding.c.photo_id.not_in(select(file.c.photo_id)))
        assert self.ask(lost) == [], "no vector without a file"
        return stored

    def _check_files(self, stored: dict[int, NDArray[np.float32]]) -> None:
        contents = {r.id: r.content_sha256 for r in self.ask(select(photo.c.id, photo.c.content_sha256))}
        for name, row in self.rows().items():
            path = self.photos / name
            if row.state == FileState.MISSING:
                assert not path.exists(), f"{name} is there"
            elif row.state == FileState.INDEXED:
                assert hashlib.sha256(path.read_bytes()).digest() == contents[row.photo_id], name
                fresh = self.fresh_vector(path)
                np.testing.assert_allclose(stored[row.photo_id], fresh, atol=HALF_TOLERANCE, err_msg=name)
