"""A saved index: some bytes, then a stamp that says whose they are and how many.

Files are written beside their place and renamed, so that nobody ever sees half of one; a reader that has the old one
open or mapped goes on with it.
"""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, BinaryIO

from library.folder import owners_alone

# The file ends in the stamp as JSON, its length (8 bytes), and a mark: one that was cut off anywhere does not.
MARK = b"oko-vectors-2\n"
INVERTED_MARK = b"oko-inverted1\n"
TEMPORARY_SUFFIX = ".tmp"


@dataclass(frozen=True, slots=True)
class IndexStamp:
    """What a saved index reflects."""

    library_id: str
    model_id: int
    dim: int
    revision: int
    count: int
    recall: float | None = field(
        default=None, compare=False
    )  # at 10, as measured when it was made; None: exact


@contextmanager
def replaced(path: Path) -> Iterator[BinaryIO]:
    """A new file, readable too, that takes the place of the one at `path` when all went well. Raises OSError.

    Neither may be mapped any more at the end: Windows then refuses.
    """
    temporary = path.with_name(f"{path.name}.{uuid.uuid4().hex[:8]}{TEMPORARY_SUFFIX}")
    try:
        with open(temporary, "x+b", opener=owners_alone) as out:
            yield out
            out.flush()
            os.fsync(out.fileno())
        os.replace(temporary, path)
    finally:
        _drop(temporary)


@contextmanager
def scratch(path: Path) -> Iterator[BinaryIO]:
    """A file beside `path` for as long as it is needed, not mapped any more at the end. Raises OSError."""
    temporary = path.with_name(f"{path.name}.{uuid.uuid4().hex[:8]}{TEMPORARY_SUFFIX}")
    try:
        with open(temporary, "x+b", opener=owners_alone) as out:
            yield out
    finally:
        _drop(temporary)


def _drop(temporary: Path) -> None:
    # What went wrong is to be told, not that this could not be deleted: old ones go when the library is next written.
    with suppress(OSError):
        temporary.unlink(missing_ok=True)


def invalidate(path: Path) -> None:
    """Break the end of a saved index: nobody opens it any more, who has it mapped goes on. Raises OSError."""
    with path.open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        file.write(b"\0")


def write_tail(out: BinaryIO, stamp: IndexStamp, further: dict[str, Any], mark: bytes = MARK) -> None:
    """End a file, which stands at its end, with its stamp and what else is to be known of its bytes."""
    known = {name: value for name, value in asdict(stamp).items() if value is not None}
    text = json.dumps({**known, **further, "bytes": out.tell()}).encode()
    out.write(text + len(text).to_bytes(8, "little") + mark)


def read_tail(source: BinaryIO) -> tuple[IndexStamp, dict[str, Any], bytes]:
    """The stamp, what else is known of the bytes before it ("bytes": their number), and the mark. Raises ValueError."""
    end = source.seek(0, os.SEEK_END)
    tail = len(MARK) + 8
    if end < tail:
        raise ValueError("the index file is cut off")
    source.seek(end - tail)
    length, mark = int.from_bytes(source.read(8), "little"), source.read()
    if mark not in (MARK, INVERTED_MARK) or length > end - tail:
        raise ValueError("the index file is cut off, or not oko's")
    source.seek(end - tail - length)
    try:
        values = json.loads(source.read(length))
        own = {each.name: values.pop(each.name) for each in fields(IndexStamp) if each.name in values}
        stamp, size_bytes = IndexStamp(**own), values["bytes"]
    except (AttributeError, KeyError, TypeError) as e:
        raise ValueError(f"the index file has a stamp that makes no sense: {e}") from e
    if size_bytes != end - tail - length:
        raise ValueError("the index file has the wrong length")
    return stamp, values, mark


def read_stamp(path: Path) -> IndexStamp:
    """The stamp of a saved index without reading the index. Raises ValueError if torn, OSError if unreadable."""
    with path.open("rb") as source:
        return read_tail(source)[0]
