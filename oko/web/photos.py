"""Photos by their ids: what is known of them, and pictures of them. No address ever names a file."""

from __future__ import annotations

import hashlib
from enum import IntEnum
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from fastapi import Path as InPath

from library import images
from library.catalog import reading
from library.errors import PictureError
from library.records import FileState, display_path
from oko.render import path_fields
from oko.web import previews
from oko.web.answers import MOST_ID, Favour, FavouriteAnswer, FileOfPhoto, PhotoAnswer, TagOnPhoto
from oko.web.failures import NotThere, documented
from oko.web.serving import Desk, Serving

router = APIRouter(prefix="/api/photos", tags=["photos"])

PhotoId = Annotated[int, InPath(ge=1, le=MOST_ID)]
Version = Annotated[
    str | None,
    Query(alias="v", max_length=64, description="`version` of the photo: such an address never changes"),
]
VERSION_CHARACTERS = 16  # of the content's SHA-256 in hex
FOR_EVER = "private, max-age=31536000, immutable"
# An address without a version may show another picture once the file was edited.
FOR_A_WHILE = "private, max-age=60"


class PreviewSize(IntEnum):
    """How large a preview may be, in pixels of the longer side."""

    SMALL, MEDIUM, LARGE = previews.SIZES


def version_of(row: Any) -> str:
    """What tells a photo's content from those it had before."""
    return str(row.content_sha256.hex()[:VERSION_CHARACTERS])


def photo_row(serving: Serving, photo_id: int) -> Any:
    """What the catalog knows of a photo. Raises NotThere."""
    with serving.store.catalog.reading() as c:
        rows = reading.photo_rows(c, [photo_id])
    if photo_id not in rows:
        raise NotThere(f"there is no photo {photo_id}")
    return rows[photo_id]


@router.get(
    "/{photo_id}", operation_id="get_photo", response_model_exclude_unset=True, responses=documented(404, 422)
)
def get_photo(serving: Desk, photo_id: PhotoId) -> PhotoAnswer:
    """Everything that is known of a photo."""
    with serving.store.catalog.reading() as c:
        row = reading.photo_rows(c, [photo_id]).get(photo_id)
        files = reading.photo_files(c, [photo_id]).get(photo_id, [])
        tags = reading.photo_tags(c, [photo_id]).get(photo_id, [])
    if row is None or not files:
        raise NotThere(f"there is no photo {photo_id}")
    return PhotoAnswer(
        **_facts(row),
        path=path_fields(files[0][0])["path"],
        files=[FileOfPhoto(**path_fields(path), state=state.value) for path, state in files],
        missing=all(state != FileState.INDEXED for _, state in files),
        tags=[TagOnPhoto(name=t.name, score=t.score, state=t.state) for t in tags],
    )


def _facts(row: Any) -> dict[str, Any]:
    return {
        "id": row.id,
        "version": version_of(row),
        "sha256": row.content_sha256.hex(),
        "favourite": bool(row.favourite),
        "width_px": row.width,
        "height_px": row.height,
        "format": row.format,
        "size_bytes": row.size_bytes,
        "taken_at": row.dated_at,
        "taken_from": row.taken_from,
        "added_at": row.added_at,
        "camera": " ".join(filter(None, [row.camera_make, row.camera_model])) or None,
        "lens": row.lens,
        "latitude": row.latitude,
        "longitude": row.longitude,
        "altitude_m": row.altitude_m,
    }


def _a_picture(kind: str) -> dict[int | str, dict[str, Any]]:
    """The answers of an operation that gives a picture, for its description."""
    unchanged = {"description": "Not Modified"}
    return {200: {"content": {kind: {}}}, 304: unchanged, **documented(404, 422)}


@router.get(
    "/{photo_id}/thumbnail",
    operation_id="get_thumbnail",
    response_class=Response,
    responses=_a_picture("image/webp"),
)
def get_thumbnail(serving: Desk, request: Request, photo_id: PhotoId, version: Version = None) -> Response:
    """The thumbnail, as it was made when the photo was indexed; also while its file is not on disk."""
    row = photo_row(serving, photo_id)
    headers = _caching(row, version, "thumbnail")
    if _has_already(request, headers):
        return Response(status_code=304, headers=headers)
    with serving.store.catalog.reading() as c:
        found = reading.thumbnails(c, [photo_id])
    if photo_id not in found:
        raise NotThere(f"photo {photo_id} has no thumbnail", hint="Make it: oko index")
    return Response(found[photo_id], media_type="image/webp", headers=headers)


@router.get(
    "/{photo_id}/preview",
    operation_id="get_preview",
    response_class=Response,
    responses=_a_picture("image/jpeg"),
)
async def get_preview(
    serving: Desk,
    request: Request,
    photo_id: PhotoId,
    size: PreviewSize = PreviewSize.MEDIUM,
    version: Version = None,
) -> Response:
    """The photo at the size of a screen, upright, made from its file; without anything the file says about itself."""
    return await serving.slowly(request, _preview, serving, request, photo_id, (size, version))


def _preview(
    serving: Serving, request: Request, photo_id: int, wanted: tuple[PreviewSize, str | None]
) -> Response:
    size, version = wanted
    row = photo_row(serving, photo_id)
    headers = _caching(row, version, str(int(size)))
    if _has_already(request, headers):
        return Response(status_code=304, headers=headers)
    content = row.content_sha256.hex()
    with serving.previews.being_made(content):
        data = serving.previews.get(content, size)
        if data is None:
            data, is_current = _make_preview(serving, row, size)
            if is_current:
                serving.previews.put(content, size, data)
            else:
                headers = {"cache-control": "no-store"}
    return Response(data, media_type="image/jpeg", headers=headers)


def _make_preview(serving: Serving, row: Any, size_px: int) -> tuple[bytes, bool]:
    """(the preview, whether the file still is what was indexed). Raises NotThere and PictureError."""
    config = serving.config
    path = _file_on_disk(serving, row.id)
    try:
        data = images.read_bytes(path, max_bytes=config.max_file_mb * 1_000_000)
        picture = images.decode(
            data,
            name=path.name,
            max_pixels=config.max_megapixels * 1_000_000,
            # The shorter side; twice as much as is shown keeps the reduced decoding invisible.
            min_side_px=size_px,
        )
    except PictureError as e:
        if not path.exists():
            raise _gone(path) from e
        e.message = f"{display_path(path)}: {e.message}"
        raise
    return previews.encode(picture.image, size_px), hashlib.sha256(data).digest() == row.content_sha256


def _file_on_disk(serving: Serving, photo_id: int) -> Path:
    with serving.store.catalog.reading() as c:
        files = reading.photo_files(c, [photo_id]).get(photo_id, [])
    for path, state in files:
        if state == FileState.INDEXED and path.exists():
            return path
    if not files:
        raise NotThere(f"there is no photo {photo_id}")
    raise _gone(files[0][0])


def _gone(path: Path) -> NotThere:
    return NotThere(
        f"{display_path(path)} is not on disk at the moment",
        hint="Connect its drive; if it was moved or deleted, oko index notices.",
    )


def _caching(row: Any, version: str | None, what: str) -> dict[str, str]:
    """Headers that let a browser keep a picture: for ever when the address names the content."""
    is_named = version == version_of(row)
    return {
        "etag": f'"{row.content_sha256.hex()}-{what}"',
        "cache-control": FOR_EVER if is_named else FOR_A_WHILE,
    }


def _has_already(request: Request, headers: dict[str, str]) -> bool:
    given = request.headers.get("if-none-match", "")
    tags = [tag.strip().removeprefix("W/") for tag in given.split(",")]
    return headers["etag"] in tags or given.strip() == "*"


@router.put("/{photo_id}/favourite", operation_id="set_favourite", responses=documented(404, 409, 422))
def set_favourite(serving: Desk, photo_id: PhotoId, wanted: Favour) -> FavouriteAnswer:
    """Make a photo a favourite, or none."""
    photo_row(serving, photo_id)
    serving.store.set_favourite([photo_id], wanted.favourite)
    return FavouriteAnswer(id=photo_id, favourite=wanted.favourite)
