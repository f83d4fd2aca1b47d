"""Every error oko raises on purpose, in one tree.

    OkoError
    ├── UsageError                the command or call does not make sense
    │   └── QueryError            a query that cannot be understood, and where
    ├── ConfigError               a setting is unknown or has a wrong value
    ├── LibraryError              the library folder or its catalog
    │   ├── NoLibrary             nothing has been indexed there yet
    │   ├── LibraryUnreadable     the folder or catalog cannot be read or written
    │   ├── LibraryLocked         another process is writing
    │   ├── LibraryTooNew         written by a newer oko
    │   ├── LibraryDamaged        the catalog is not a sound database
    │   ├── LibraryOnNetwork      SQLite's WAL is unsafe on a network file system
    │   └── DiskFull              no space left for what was to be written
    ├── PictureError              one file that cannot become a picture
    │   ├── UnreadablePicture     damaged, empty, not a picture, no permission
    │   ├── TooManyPixels         above the pixel limit
    │   ├── FileChanging          changed while it was read
    │   └── MissingExtra          the format needs an optional package
    ├── SidecarUnusable           a sidecar file that cannot be read or written
    └── ModelError                a model or its weights
        ├── UnknownModel          no such name
        ├── ModelUnavailable      weights are neither here nor can be fetched
        ├── WeightsInvalid        damaged, or not for this architecture
        ├── ModelMismatch         vectors of another model than the one asked for
        └── OutOfMemory           a batch did not fit

The message says what happened, and to which file or setting; `hint` says what to do now.
"""

from __future__ import annotations

import unicodedata
from pathlib import Path

from library.extras import how_to_install


class OkoError(Exception):
    """Base of all of oko's errors. `hint` is one sentence on what the user can do, or ""."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return self.message


class UsageError(OkoError):
    """Arguments that contradict each other or name something that is not there; call again, corrected."""


class QueryError(UsageError):
    """A search text that cannot be understood; the message says why, and the marks below it say where.

    `text[start:end]` is the place; it is empty where something is missing. `str()` shows it underlined.
    """

    def __init__(self, message: str, *, text: str, start: int, end: int, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.text = text
        self.start = start
        self.end = end

    def __str__(self) -> str:
        return "\n".join([self.message, *_underlined(self.text, self.start, self.end)])


_CONTEXT = 60  # characters shown before and after the place


def _underlined(text: str, start: int, end: int) -> tuple[str, str]:
    """The part of a text around a place, in one line, and a line of ^ that stands below the place."""
    first, last = max(start - _CONTEXT, 0), min(end + _CONTEXT, len(text))
    before = ("…" if first else "") + _on_one_line(text[first:start])
    place = _on_one_line(text[start:end])
    after = _on_one_line(text[end:last]) + ("…" if last < len(text) else "")
    marks = " " * _columns(before) + "^" * max(_columns(place), 1)
    return f"     {before}{place}{after}", f"     {marks}"


def _on_one_line(text: str) -> str:
    return "".join(c if c.isprintable() or unicodedata.category(c) == "Cf" else " " for c in text)


def _columns(text: str) -> int:
    """How many columns of a terminal a text takes, as far as Unicode's own tables tell."""
    unseen = ("Mn", "Me", "Cf")
    return sum(
        0 if unicodedata.category(c) in unseen else 1 + (unicodedata.east_asian_width(c) in "WF")
        for c in text
    )


class ConfigError(OkoError):
    """A setting is unknown or has a wrong value; the message names the place and the key."""


class LibraryError(OkoError):
    """Something about the library folder; the subclasses say what."""


class NoLibrary(LibraryError):
    """There is no library in the folder yet; index some photos first."""

    def __init__(self, folder: Path, *, database: str = "") -> None:
        super().__init__(
            f"there is no library in {database or folder} yet",
            hint="Index some photos first: oko index ~/Pictures",
        )
        self.folder = folder


class LibraryUnreadable(LibraryError):
    """The library folder or its catalog cannot be read or written; look at its permissions."""


class LibraryLocked(LibraryError):
    """Another process is writing to this library; wait for it, or stop it."""


class LibraryTooNew(LibraryError):
    """The catalog was written by a newer version of oko; upgrade oko, nothing was changed."""


class LibraryDamaged(LibraryError):
    """The catalog is not a sound SQLite database; restore a copy, or index into a new folder."""


class LibraryOnNetwork(LibraryError):
    """The library lies on a network file system; move the library (not the photos) to a local disk."""


class DiskFull(LibraryError):
    """The disk is full; everything committed before is kept, so free some space and run again."""


class PictureError(OkoError):
    """One file that cannot become a picture. It is recorded and skipped, and never stops a run."""


class UnreadablePicture(PictureError):
    """Damaged, empty, not a picture, or not permitted; `oko retry` tries it again."""


class TooManyPixels(PictureError):
    """The picture has more pixels than the `max_megapixels` setting allows."""


class FileChanging(PictureError):
    """The file changed while it was being read; the next run takes it."""


class MissingExtra(PictureError):
    """The format needs an optional package, which the hint names; `extra` is its name in pyproject.toml."""

    def __init__(self, message: str, *, extra: str) -> None:
        super().__init__(message, hint=f"{how_to_install(extra)}, then: oko retry")
        self.extra = extra


class SidecarUnusable(OkoError):
    """An XMP file beside a photo is damaged, or cannot be read or written; it is left as it is, and the run goes on."""


class ModelError(OkoError):
    """Something about a model; the subclasses say what."""


class UnknownModel(ModelError):
    """No model has that name; `oko models list` shows those that exist."""


class ModelUnavailable(ModelError):
    """The weights are not on this machine and could not be fetched."""


class WeightsInvalid(ModelError):
    """The weights file is damaged, unsafe, or made for another architecture."""


class ModelMismatch(ModelError):
    """Vectors made by one model were about to be compared with those of another."""


class OutOfMemory(ModelError):
    """A batch did not fit into the device's memory; the caller tries a smaller one."""
