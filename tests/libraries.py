"""Small real libraries for tests: pictures of one colour each, indexed with the deterministic encoder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from PIL import Image

from indexer.pipeline import IndexRun
from library.config import Config
from library.encoder import Encoder
from library.fakes import COLOURS, FakeEncoder
from library.records import IndexReport
from library.store import Store
from oko.assemble import index_settings


def paint(folder: Path, names: Mapping[str, str]) -> Path:
    """Write pictures, given as file name -> colour name."""
    for name, colour in names.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        rgb = tuple(round(255 * part) for part in COLOURS[colour])
        Image.new("RGB", (64, 48), rgb).save(path, exif=Image.Exif())
    return folder


def index(
    folder: Path, photos: Path, encoder: Encoder | None = None, config: Config | None = None
) -> IndexReport:
    """Index `photos` into the library in `folder`; the encoder's name becomes the library's model."""
    encoder = encoder or FakeEncoder()
    config = config or Config()
    with Store.open_writer(folder, purpose="test", timeout_s=5, create=True) as store:
        settings = index_settings(config, folder, encoder)
        run = IndexRun(store, encoder, settings, model_name=encoder.stamp.name)
        for _ in run.steps([photos]):
            pass
    return run.report
