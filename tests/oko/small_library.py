"""A small real library for tests of commands: coloured pictures, a copy, two bad files, and a fake model."""

from __future__ import annotations

import shutil
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import pytest
from PIL import Image

from indexer.pipeline import IndexRun
from library.config import Config
from library.fakes import FakeEncoder
from library.models import ModelSpec, Registry
from library.records import IndexReport
from library.store import Store
from oko import assemble
from oko.cli import main

COLOURS = {"red": (230, 20, 20), "green": (20, 180, 20), "blue": (20, 20, 230)}
PLACE = (49.195061, 16.606837)  # what EXIF of red.jpg says; Brno


@dataclass
class SmallLibrary:
    """`folder` is the library, `photos` its one root; models "one" (its own) and "two" are fakes."""

    folder: Path
    photos: Path
    encoders: dict[str, FakeEncoder]

    def index(self, *paths: Path, retry: bool = False) -> IndexReport:
        """Index without the command line."""
        encoder = self.encoders["one"]
        with self.writer() as store:
            run = IndexRun(
                store, encoder, assemble.index_settings(Config(), self.folder, encoder, retry=retry)
            )
            list(run.steps(paths or [self.photos]))
            if store.default_model() is None:
                store.set_default_model("one")
        return run.report

    def writer(self) -> AbstractContextManager[Store]:
        """The store, open for writing."""
        return Store.open_writer(self.folder, purpose="test", timeout_s=5, create=True)

    def oko(self, *arguments: object) -> int:
        """Run a command in this process."""
        command, *rest = map(str, arguments)
        return main([command, "--library", str(self.folder), *rest])


def make(base: Path, monkeypatch: pytest.MonkeyPatch) -> SmallLibrary:
    """A library of 3 photos in 4 files, and 2 files that are no pictures."""
    library = SmallLibrary(base / "lib", base / "photos", {n: FakeEncoder(name=n) for n in ("one", "two")})
    (library.photos / "sub").mkdir(parents=True)
    for name, colour in COLOURS.items():
        Image.new("RGB", (64, 48), colour).save(library.photos / f"{name}.jpg", exif=gps_exif())
    shutil.copy(library.photos / "red.jpg", library.photos / "sub" / "copy.jpg")
    (library.photos / "bad.jpg").write_text("this is no picture")
    (library.photos / "zero.jpg").write_bytes(b"")
    library.index()
    weights = base / "weights.pt"
    weights.write_bytes(b"not read by the fakes")
    for name in library.encoders:
        Registry(library.folder).add(name, arch="ViT-B-32", weights=weights, check=lambda spec: None)

    def make_encoder(spec: ModelSpec, config: Config) -> FakeEncoder:
        return library.encoders[spec.name]

    monkeypatch.setattr(assemble, "make_encoder", make_encoder)
    return library


def gps_exif() -> Image.Exif:
    """EXIF that names a place and a camera."""
    exif = Image.Exif()
    exif[0x010F] = "Secretcam"
    degrees = [(int(d), int(d * 60 % 60), d * 3600 % 60) for d in PLACE]
    exif[0x8825] = {1: "N", 2: degrees[0], 3: "E", 4: degrees[1]}
    return exif
