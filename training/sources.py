"""Pictures with texts, read from what people have: tar shards, a folder with .txt files, a table, their library.

Nothing is decoded here; a picture stays where it is until a step needs it.
"""

from __future__ import annotations

import csv
import io
import json
import logging
import os
import tarfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from library.catalog import reading
from library.errors import UsageError
from library.images import PICTURE_SUFFIXES
from library.records import FileState, display_path
from library.store import Store
from training.photos import Photo, Problem, Source

log = logging.getLogger(__name__)

LIBRARY = "library"
TABLES = {".csv", ".tsv"}
_PICTURES = frozenset(os.fsdecode(suffix) for suffix in PICTURE_SUFFIXES)
_MAX_TEXT_BYTES = 1_000_000
_PICTURE_COLUMNS = (
    "path",
    "file",
    "filename",
    "file_name",
    "filepath",
    "image",
    "image_path",
    "photo",
    "img",
)
_CAPTION_COLUMNS = ("caption", "captions", "text", "title", "description", "sentence")
_LABEL_COLUMNS = ("label", "class", "category")
_FORMS = (
    "Give a folder of pictures with .txt files beside them, .tar shards, a .csv with the columns path and caption, "
    "or the word library."
)


@dataclass(slots=True)
class Found:
    """What was read: photos with captions, and what was passed over."""

    photos: list[Photo] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)


def read_all(data: Sequence[str], store: Store | None = None) -> Found:
    """Every photo with a caption in the given places, in their order.

    `store` is the library that the word "library" means. Raises UsageError for a place that is none of the
    four kinds, and when there is no captioned photo at all.
    """
    found = Found()
    for place in data:
        _read(place, store, found)
    if not found.photos:
        raise UsageError(f"no picture with a caption was found in {', '.join(data)}", hint=_FORMS)
    return found


def _read(place: str, store: Store | None, found: Found) -> None:
    path = Path(place).expanduser().absolute()
    if place == LIBRARY:  # a folder of that name is ./library
        if store is None:
            raise UsageError(
                "there is no library to take photos from", hint="Index and tag some photos first."
            )
        found.photos += library_photos(store)
    elif path.is_dir():
        read_folder(path, found)
    elif not path.is_file():
        raise UsageError(f"{display_path(path)} does not exist", hint=_FORMS)
    elif path.suffix.lower() in TABLES:
        read_table(path, found)
    elif path.suffix.lower() == ".tar":
        read_tar(path, found)
    else:
        raise UsageError(f"{display_path(path)} is not a source of pictures with captions", hint=_FORMS)


def read_folder(folder: Path, found: Found) -> None:
    """Pictures with a text file of the same name beside them, at any depth; tar shards in it, too.

    A .txt file holds one caption a line; a .json file `captions` (a list) or `caption`, and `label`.
    """
    for place, folders, names in os.walk(folder):
        folders.sort()
        here = set(names)
        for name in sorted(names):
            path = Path(place, name)
            suffix = path.suffix.lower()
            if suffix == ".tar":
                read_tar(path, found)
            texts = [path.stem + ending for ending in (".txt", ".json") if path.stem + ending in here]
            if suffix in _PICTURES and texts:
                _add(found, Source(path), {text: _sidecar(Path(place, text)) for text in texts})


def _sidecar(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(_MAX_TEXT_BYTES)
    except OSError as error:
        log.warning("%s cannot be read: %s", display_path(path), error.strerror)
        return b""


def read_tar(path: Path, found: Found) -> None:
    """WebDataset's form: members KEY.jpg (or another picture) with KEY.txt or KEY.json, in any order."""
    pictures: dict[str, Source] = {}
    texts: dict[str, dict[str, bytes]] = {}
    read_members(path, found, lambda tar, member: _sort_member(path, tar, member, pictures, texts))
    for key, source in pictures.items():
        _add(found, source, texts.get(key, {}))


def read_members(path: Path, found: Found, take: Callable[[tarfile.TarFile, tarfile.TarInfo], None]) -> None:
    """Gives each member of an archive to `take`, as far as it can be read; the rest is a problem in `found`.

    Raises UsageError for a file that cannot be read at all.
    """
    try:
        with tarfile.open(path, "r:") as tar:
            for member in tar:
                take(tar, member)
        if not _has_an_end(path):
            found.problems.append(
                Problem(display_path(path), "the archive is cut off; what it has was taken")
            )
    except tarfile.ReadError as error:
        reason = f"the archive is damaged or compressed, and was read up to there: {error}"
        found.problems.append(Problem(display_path(path), reason))
    except OSError as error:
        raise UsageError(f"{display_path(path)} cannot be read: {error.strerror or error}") from error


def _has_an_end(path: Path) -> bool:
    """Whether an archive closes with its blocks of zeros: tarfile passes over a header that is cut off."""
    with path.open("rb") as file:
        file.seek(-min(1024, path.stat().st_size), os.SEEK_END)
        return not any(file.read())


def _sort_member(
    path: Path,
    tar: tarfile.TarFile,
    member: tarfile.TarInfo,
    pictures: dict[str, Source],
    texts: dict[str, dict[str, bytes]],
) -> None:
    name = PurePosixPath(member.name)
    key, _, ending = name.name.partition(".")
    key, ending = str(name.parent / key), f".{ending.lower()}"
    if not member.isfile():
        return
    if ending in _PICTURES:
        pictures[key] = Source(path, member.name, member.offset_data, member.size)
    elif ending in (".txt", ".json"):
        content = tar.extractfile(member)
        assert content is not None, "it is a file"
        texts.setdefault(key, {})[ending] = content.read(_MAX_TEXT_BYTES)


def _add(found: Found, source: Source, texts: dict[str, bytes]) -> None:
    """Makes a photo of a picture and its text files, by their names; without a caption it is a problem."""
    captions: list[str] = []
    labels: list[str] = []
    for name, content in texts.items():
        text = content.decode("utf-8-sig", errors="replace")
        try:
            lines, marks = _from_json(json.loads(text)) if name.endswith(".json") else (text.splitlines(), [])
        except ValueError as error:
            found.problems.append(Problem(source.name, f"its .json is not sound: {error}"))
            continue
        captions += lines
        labels += marks
    photo = photo_of(source, captions, labels)
    if photo is None:
        found.problems.append(Problem(source.name, "it has no caption"))
    else:
        found.photos.append(photo)


def _from_json(content: Any) -> tuple[list[str], list[str]]:
    if not isinstance(content, dict):
        raise ValueError("it holds no object")
    return _texts(content, "captions", "caption", "text"), _texts(content, "labels", "label")


def _texts(content: dict[str, Any], *keys: str) -> list[str]:
    values: Any = next((content[key] for key in keys if content.get(key)), [])
    listed = values if isinstance(values, list) else [values]
    return [value for value in listed if isinstance(value, str)]


def photo_of(source: Source, captions: Iterable[str], labels: Sequence[str] = ()) -> Photo | None:
    """A photo with its captions tidied; labels stand in where there is none. None when there is neither."""
    tidy = tuple(dict.fromkeys(filter(None, (" ".join(text.split()) for text in captions))))
    names = tuple(dict.fromkeys(filter(None, (" ".join(text.split()) for text in labels))))
    if not tidy:
        tidy = tag_captions(names)
    return Photo(source, tidy, names[0] if len(names) == 1 else "") if tidy else None


def tag_captions(tags: Sequence[str]) -> tuple[str, ...]:
    """What a person would type to find a photo with these tags: each alone, in a phrase, and all together."""
    each = [text for tag in tags for text in (tag, f"a photo of {tag}")]
    return tuple(each + ([", ".join(tags)] if len(tags) > 1 else []))


def read_table(path: Path, found: Found) -> None:
    """A CSV or TSV: one row a caption, several rows may name one picture; paths are relative to the table.

    Columns by name (path, image, ...; caption, text, ...; label), or without a header picture and caption.
    Raises UsageError when it cannot be told which is which.
    """
    captions: dict[Path, list[str]] = {}
    labels: dict[Path, list[str]] = {}
    for name, caption, label in _table_rows(path):
        picture = path.parent / name
        captions.setdefault(picture, []).append(caption)
        labels.setdefault(picture, []).append(label)
    for picture, texts in captions.items():
        if not picture.is_file():
            found.problems.append(Problem(display_path(picture), "the file is gone"))
        elif (photo := photo_of(Source(picture), texts, labels[picture])) is not None:
            found.photos.append(photo)


def _table_rows(path: Path) -> Iterator[tuple[str, str, str]]:
    """(picture, caption, label) of each row."""
    try:
        text = path.read_text(encoding="utf-8-sig", errors="replace")
    except OSError as error:
        raise UsageError(f"{display_path(path)} cannot be read: {error.strerror}") from error
    first = text.partition("\n")[0]
    delimiter = max(",;\t|", key=first.count)
    rows = [row for row in csv.reader(io.StringIO(text), delimiter=delimiter) if any(row)]
    picture, caption, label, skip = _columns(path, rows)
    for row in rows[skip:]:
        if len(row) > max(picture, caption):
            yield (
                row[picture].strip(),
                row[caption],
                row[label] if label is not None and label < len(row) else "",
            )


def _columns(path: Path, rows: list[list[str]]) -> tuple[int, int, int | None, int]:
    """Which column is the picture, the caption, the label if any; and how many rows of header there are."""
    header = [cell.strip().lower() for cell in rows[0]] if rows else []
    places = [
        next((header.index(name) for name in names if name in header), None)
        for names in (_PICTURE_COLUMNS, _CAPTION_COLUMNS, _LABEL_COLUMNS)
    ]
    picture, caption, label = places
    if picture is not None and caption is not None:
        return picture, caption, label, 1
    if len(header) >= 2 and (path.parent / rows[0][0].strip()).is_file():
        return 0, 1, None, 0
    raise UsageError(
        f"{display_path(path)} does not say which columns are picture and caption: {', '.join(header[:8])}",
        hint="Name them path and caption in its first line.",
    )


def library_photos(store: Store) -> list[Photo]:
    """The library's photos on disk with their confirmed tags as captions, in the order of their content."""
    tags: dict[int, list[str]] = {}
    with store.catalog.reading() as c:
        for row in reading.decided_tags(c):
            if row.state == "confirmed":
                tags.setdefault(row.id, []).append(row.name)
        files = reading.photo_files(c, list(tags))
    photos = []
    for key, names in tags.items():
        path, state = files[key][0] if files.get(key) else (Path(), FileState.MISSING)
        if state == FileState.INDEXED and (photo := photo_of(Source(path), (), names)) is not None:
            photos.append(photo)
    return photos
