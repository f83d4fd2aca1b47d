"""The page, served for a real browser: a small library, a fake model, a thread of this process."""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from library.catalog import reading
from library.config import Config
from library.fakes import COLOURS, FakeEncoder
from library.records import Tag
from library.store import Store
from oko.web.access import Policy
from oko.web.app import make_app
from oko.web.connections import listen, make_server
from oko.web.serving import serving
from tests import libraries
from tests.pictures import camera_exif, jpeg_bytes

MODEL = "builtin"  # a name that every registry knows; the encoder behind it is a fake
TOKEN = "a token that is long enough to be one of the server's"
HOSTILE = "<img src=x onerror=alert(1)><script>alert(2)<script>.jpg"
SHAPES = ((600, 400), (400, 600), (640, 480), (480, 480), (800, 340))
KINDS = ("red", "green", "blue", "yellow")
OF_EACH = 8


@dataclass(frozen=True)
class Site:
    """A served library."""

    url: str
    folder: Path
    photos: Path

    def id_of(self, name: str) -> int:
        """The photo in a file below `photos`."""
        with self._reading() as store, store.catalog.reading() as c:
            for row in reading.photo_rows(c, range(1, 200)).values():
                paths = reading.photo_files(c, [row.id])[row.id]
                if any(path == self.photos / name for path, _ in paths):
                    return int(row.id)
        raise AssertionError(f"{name} is not in the library")

    def tags_of(self, photo_id: int) -> dict[str, str]:
        """Tag -> state, as the catalog has them."""
        with self._reading() as store, store.catalog.reading() as c:
            found: list[Tag] = reading.photo_tags(c, [photo_id]).get(photo_id, [])
        return {tag.name: tag.state for tag in found}

    def is_favourite(self, photo_id: int) -> bool:
        """As the catalog has it."""
        with self._reading() as store, store.catalog.reading() as c:
            return bool(reading.photo_rows(c, [photo_id])[photo_id].favourite)

    def suggest(self, photo_id: int, *names: str) -> None:
        """Let the model have suggested these tags, the first with the best score."""
        rows = [(photo_id, name, 0.9 - n / 100) for n, name in enumerate(names)]
        with Store.open_writer(self.folder, purpose="test", timeout_s=5) as store:
            store.set_suggestions([photo_id], rows)

    @contextmanager
    def _reading(self) -> Iterator[Store]:
        store = Store.open(self.folder)
        try:
            yield store
        finally:
            store.close()


def make_library(base: Path) -> Site:
    """Pictures of four colours in all shapes, one with a camera and a place, one with a hostile name."""
    photos = base / "photos"
    photos.mkdir(parents=True)
    for kind in KINDS:
        for number in range(OF_EACH):
            data = jpeg_bytes(painting(kind, number))
            (photos / f"{kind}-{number}.jpg").write_bytes(data)
    (photos / "camera.jpg").write_bytes(jpeg_bytes(painting("purple", 1), exif=camera_exif()))
    (photos / HOSTILE).write_bytes(jpeg_bytes(painting("orange", 2)))
    libraries.index(base / "library", photos, FakeEncoder(name=MODEL), Config(reduced_decoding=False))
    return Site("", base / "library", photos)


def painting(kind: str, number: int) -> Image.Image:
    """A picture of one colour, a little different for each number."""
    width, height = SHAPES[number % len(SHAPES)]
    light = np.linspace(0.86, 1.0, width)[None, :, None] * (0.9 + 0.012 * number)
    pixels = np.array(COLOURS[kind])[None, None, :] * light * np.ones((height, 1, 1)) * 255
    return Image.fromarray(pixels.astype(np.uint8))


def png(kind: str) -> bytes:
    """A picture to search with."""
    out = io.BytesIO()
    painting(kind, 3).save(out, "PNG")
    return out.getvalue()


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """The address of a server for the library, in a thread; `assemble.make_encoder` must be the fake's by now."""
    policy = Policy(frozenset({"127.0.0.1"}), TOKEN, needs_token=False)
    with serving(folder, Config()) as desk, listen("127.0.0.1", 0) as listener:
        desk.warm_up()
        server = make_server(make_app(desk, policy), desk.stopping)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.stop()
            thread.join(20)
            assert not thread.is_alive(), "the server ends when it is told to"
