"""Pictures that were handed in to search with: decoded and embedded once, then only their vectors are kept."""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from pathlib import PurePath
from typing import Annotated

import numpy as np
from fastapi import APIRouter, File, Request, UploadFile
from numpy.typing import NDArray

from library import images
from library.encoder import Encoder
from library.errors import PictureError, TooManyPixels, UnreadablePicture
from library.records import ModelStamp
from oko.web.answers import PictureAnswer
from oko.web.failures import NotThere, documented
from oko.web.serving import Desk, Serving

router = APIRouter(prefix="/api/pictures", tags=["search"])

ID_CHARACTERS = 32  # of a SHA-256 in hex: half of it


class Pictures:
    """The vectors of the pictures handed in last, by the hash of their content. Any thread may use it."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._vectors: OrderedDict[tuple[str, ModelStamp], NDArray[np.float32]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: str, stamp: ModelStamp) -> NDArray[np.float32] | None:
        """The vector (D,) float32 of a picture by a model, L2 norm 1; None when it is not, or no longer, known."""
        with self._lock:
            if (key, stamp) in self._vectors:
                self._vectors.move_to_end((key, stamp))
            return self._vectors.get((key, stamp))

    def put(self, key: str, stamp: ModelStamp, vector: NDArray[np.float32]) -> None:
        """Keep a vector; the one that was not asked for longest goes when there are too many."""
        with self._lock:
            self._vectors[key, stamp] = vector
            self._vectors.move_to_end((key, stamp))
            while len(self._vectors) > self._most:
                self._vectors.popitem(last=False)


def vector_of(serving: Serving, key: str, stamp: ModelStamp) -> NDArray[np.float32]:
    """The vector of a picture that was handed in. Raises NotThere."""
    found = serving.pictures.get(key, stamp)
    if found is None:
        raise NotThere(
            "the server does not remember that picture",
            hint="Hand it in again: drop it on the page, or POST /api/pictures.",
        )
    return found


@router.post("", operation_id="add_picture", status_code=201, responses=documented(413, 415, 422))
async def add_picture(
    serving: Desk,
    request: Request,
    file: Annotated[UploadFile, File(description="a picture in any format that oko reads")],
) -> PictureAnswer:
    """Hand in a picture, to search for what looks like it with `picture=`. It is embedded and forgotten."""
    return PictureAnswer(picture=await serving.slowly(request, _take, serving, file))


def _take(serving: Serving, file: UploadFile) -> str:
    # Read only now: those that wait for their turn lie on the disk, not in memory.
    data = file.file.read(serving.config.upload_mb * 1_000_000 + 1)
    key = hashlib.sha256(data).hexdigest()[:ID_CHARACTERS]
    model = serving.model()
    if serving.pictures.get(key, model.stamp) is None:
        serving.pictures.put(key, model.stamp, _embed(serving, model.encoder, data, file.filename or ""))
    return key


def _embed(serving: Serving, encoder: Encoder, data: bytes, filename: str) -> NDArray[np.float32]:
    config = serving.config
    if len(data) > config.upload_mb * 1_000_000:
        raise UnreadablePicture(f"the picture has more than {config.upload_mb} MB")
    most = min(config.upload_megapixels, config.max_megapixels) * 1_000_000
    # Only the name's ending is looked at, and only to tell RAW files; it is the name of nothing here.
    name = "picture" + PurePath(filename).suffix[:8]
    try:
        picture = images.decode(data, name=name, max_pixels=most).image
    except PictureError as e:
        e.message = f"the picture cannot be used: {e.message}"
        if isinstance(e, TooManyPixels):
            e.hint = (
                "Hand in a smaller copy, or raise upload_megapixels and max_megapixels in the configuration."
            )
        raise
    vector: NDArray[np.float32] = encoder.encode_images(encoder.prepare(picture)[None])[0]
    return vector
