"""Photos at the size of a screen: made from their files when asked for, kept by content in a folder of bounded size."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import shutil
import threading
import uuid
from collections import OrderedDict
from pathlib import Path
from typing import TYPE_CHECKING

from library.folder import owners_alone

if TYPE_CHECKING:
    from PIL import Image

log = logging.getLogger(__name__)

FOLDER = "previews"
SIZES = (800, 1600, 2560)  # pixels, of the longer side
# At 88 with full colour a JPEG of 1,600 pixels has some 300 kB and takes 15 ms; a WebP of the same quality has two
# thirds of the bytes and takes ten times as long, which a person waits for.
_QUALITY = 88
_LOCKS = 16


class PreviewCache:
    """JPEGs in `folder`/previews by content hash and size; the ones asked for longest ago go. Any thread may use it.

    The files are nobody's truth: whoever deletes them loses nothing.
    """

    def __init__(self, folder: Path, *, most_bytes: int) -> None:
        self.folder = folder / FOLDER
        self.most_bytes = most_bytes
        self._sizes: OrderedDict[str, int] | None = None  # bytes by name, the one asked for longest ago first
        self._total = 0
        self._lock = threading.Lock()
        self._making = [threading.Lock() for _ in range(_LOCKS)]

    def being_made(self, content: str) -> threading.Lock:
        """Held while a photo's preview is made: who asks for the same one meanwhile waits for it."""
        return self._making[int(content[:8], 16) % _LOCKS]

    def get(self, content: str, size_px: int) -> bytes | None:
        """The preview of a content (SHA-256 in hex), or None."""
        name = _name(content, size_px)
        path = self.folder / name
        try:
            data = path.read_bytes()
        except OSError:
            return None
        with contextlib.suppress(OSError):
            os.utime(path)  # so that a later server knows what was asked for last
        with self._lock:
            if name in self._known():
                self._known().move_to_end(name)
        return data

    def put(self, content: str, size_px: int, data: bytes) -> None:
        """Keep a preview, and delete others that no longer fit. A full disk only means that it is not kept."""
        if len(data) > self.most_bytes:
            return
        name = _name(content, size_px)
        temporary = self.folder / f"{uuid.uuid4().hex}.tmp"
        with self._lock:
            known = self._known()
            try:
                self.folder.mkdir(mode=0o700, exist_ok=True)
                with open(temporary, "xb", opener=owners_alone) as out:
                    out.write(data)
                os.replace(temporary, self.folder / name)
            except OSError as e:
                log.info("a preview could not be kept: %s", e)
                with contextlib.suppress(OSError):  # a read-only disk refuses this, too
                    temporary.unlink()
                return
            self._total += len(data) - known.pop(name, 0)
            known[name] = len(data)
            self._shrink(known)

    def _known(self) -> OrderedDict[str, int]:
        if self._sizes is None:
            found = []
            with contextlib.suppress(OSError), os.scandir(self.folder) as entries:
                for entry in entries:
                    with contextlib.suppress(OSError):
                        status = entry.stat(follow_symlinks=False)
                        found.append((status.st_mtime_ns, entry.name, status.st_size))
            self._sizes = OrderedDict((name, size) for _, name, size in sorted(found))
            self._total = sum(self._sizes.values())
        return self._sizes

    def _shrink(self, known: OrderedDict[str, int]) -> None:
        while self._total > self.most_bytes and known:
            name, size = known.popitem(last=False)
            self._total -= size
            with contextlib.suppress(OSError):
                (self.folder / name).unlink()


def forget_previews(folder: Path) -> None:
    """Delete all previews of the library in `folder`; they are made again when asked for."""
    shutil.rmtree(folder / FOLDER, ignore_errors=True)


def _name(content: str, size_px: int) -> str:
    return f"{content}-{size_px}.jpg"


def encode(image: Image.Image, size_px: int) -> bytes:
    """A JPEG of the upright RGB picture, its longer side at most `size_px`, with nothing in it but pixels."""
    from PIL import Image

    scale = min(1.0, size_px / max(image.size))
    if scale < 1.0:
        size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
        image = image.resize(size, Image.Resampling.LANCZOS, reducing_gap=3.0)
    out = io.BytesIO()
    image.save(out, "JPEG", quality=_QUALITY, subsampling=0, progressive=True)
    return out.getvalue()
