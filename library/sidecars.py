"""XMP sidecars: keywords beside a photo, where digiKam, darktable and Lightroom look. The photo is never touched.

A photo's own sidecar is IMG.jpg.xmp (digiKam, darktable), or IMG.xmp (Lightroom), which stands for the RAW file of that
name. Both are read; the first is written, but for a RAW file that has only the second. What is there stays there, in
its place and namespace: keywords are added to
dc:subject (all programs), digiKam:TagsList ("group/name") and lr:hierarchicalSubject ("group|name"). Only entries that
oko added are ever taken out again, exactly as it wrote them: it lists them in oko:added, and the names among them that
are suggestions in oko:suggested.
(XMP specification part 2 for dc:subject.)
"""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
import tempfile
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

from library.errors import SidecarUnusable
from library.formats import RAW_SUFFIXES
from library.xmp import EMPTY, Packet

OKO: Final = "urn:oko-photos:xmp:1#"
SUBJECT: Final = "{http://purl.org/dc/elements/1.1/}subject"
TAGS_LIST: Final = "{http://www.digikam.org/ns/1.0/}TagsList"
HIERARCHICAL: Final = "{http://ns.adobe.com/lightroom/1.0/}hierarchicalSubject"
SUGGESTED: Final = f"{{{OKO}}}suggested"
ADDED: Final = f"{{{OKO}}}added"  # "dc:subject=dog", "lr:hierarchicalSubject=animals|dog"
# How each property is written: (prefix, form of its list).
WRITTEN: Final[Mapping[str, tuple[str, str]]] = {
    SUBJECT: ("dc", "Bag"),
    TAGS_LIST: ("digiKam", "Seq"),
    HIERARCHICAL: ("lr", "Bag"),
    SUGGESTED: ("oko", "Bag"),
    ADDED: ("oko", "Bag"),
}
SEPARATORS: Final = {TAGS_LIST: "/", HIERARCHICAL: "|"}
SHORT: Final = {
    SUBJECT: "dc:subject",
    TAGS_LIST: "digiKam:TagsList",
    HIERARCHICAL: "lr:hierarchicalSubject",
}
# What darktable notes about its own work ("darktable|style|...") is no keyword.
INTERNAL: Final = ("darktable|", "darktable/")

MOST_BYTES = 16_000_000  # sidecars of edited photos have some hundred kilobytes


@dataclass(frozen=True, slots=True)
class Keyword:
    """A keyword to be written. `group` is what it stands under in programs with a hierarchy, or ""."""

    name: str
    group: str = ""
    is_suggested: bool = False  # by a model; not decided by a person


def sidecars_of(photo: Path) -> list[Path]:
    """The sidecars that a photo has, its own first."""
    return [path for path in _names(photo) if path.is_file()]


def sidecar_to_write(photo: Path) -> Path:
    """The sidecar that keywords of a photo go to, whether it is there or not."""
    own, shared = _names(photo)
    if os.fsencode(photo.suffix.lower()) in RAW_SUFFIXES and shared.is_file() and not own.exists():
        return shared
    return own


def _names(photo: Path) -> tuple[Path, Path]:
    return photo.with_name(photo.name + ".xmp"), photo.with_suffix(".xmp")


def read_keywords(packet: bytes) -> list[str]:
    """The keywords that people or other programs put into an XMP packet, without what oko only suggested.

    dc:subject, and the last parts of hierarchical ones. Raises SidecarUnusable.
    """
    return [text for text in _Keywords(packet).of_people().values() if text]


def write_keywords(path: Path, keywords: Sequence[Keyword], *, rejected: Collection[str] = ()) -> bool:
    """Merge keywords into the sidecar at `path`, made if it is absent, replaced at once. Returns whether it changed.

    Raises SidecarUnusable for a file that is no XMP, which is left as it is, or a folder that cannot be written to.
    """
    before = _read(path)
    if before is None and not keywords:
        return False
    after = merged(before or EMPTY, keywords, rejected=rejected)
    if after == before:
        return False
    _replace(path, after)
    return True


def read_sidecar(path: Path) -> list[str]:
    """The keywords in a sidecar. Raises SidecarUnusable."""
    return read_keywords(_read(path) or EMPTY)


def merged(packet: bytes, keywords: Sequence[Keyword], *, rejected: Collection[str] = ()) -> bytes:
    """The packet with the keywords added; without suggestions of oko's that are not among them, and rejected ones.

    Of those too, only what oko itself added goes. A confirmed keyword that is merely not among them stays: the library
    may have been lost since. The same bytes when there is nothing to change. Raises SidecarUnusable.
    """
    there = _Keywords(packet)
    people = there.of_people()
    refused = {_folded(name) for name in rejected}
    wanted = {_folded(k.name): k for k in keywords if not (k.is_suggested and _folded(k.name) in people)}
    there.withdraw((there.suggested - set(wanted)) | refused)
    for folded, keyword in wanted.items():
        there.put(keyword)
        there.mark(keyword.name, is_suggested=keyword.is_suggested and folded not in people)
    return there.packet.serialised() if there.is_changed else packet


class _Keywords:
    """The keywords of one packet, and which entries oko put there."""

    def __init__(self, packet: bytes) -> None:
        self.packet = Packet(packet)
        self.is_changed = False
        self.suggested = {_folded(name) for name in self.packet.items(SUGGESTED)}
        self._added = {_folded(text) for text in self.packet.items(ADDED)}

    def of_people(self) -> dict[str, str]:
        """By folded name: what people or other programs put there, or confirmed in oko."""
        found: dict[str, str] = {}
        for kind in SHORT:
            for text in self.packet.items(kind):
                name = self._name(kind, text)
                is_ours = _folded(_record(kind, text)) in self._added
                if name and not (is_ours and _folded(name) in self._suggested_as(kind)):
                    found.setdefault(_folded(name), name)
        return found

    def _name(self, kind: str, text: str) -> str:
        """The name that an entry stands for, in one spelling whatever the list; "" for none of people's."""
        if text.casefold().startswith(INTERNAL):
            return ""
        if kind == SUBJECT:
            return " ".join(text.split())
        separator = SEPARATORS[kind]
        leaf = " ".join(text.split(separator)[-1].split())
        return self._subjects_by_leaf[kind].get(_folded(leaf), leaf)

    @cached_property
    def _subjects_by_leaf(self) -> Mapping[str, Mapping[str, str]]:
        """Names with a separator in them, by what the hierarchical lists make of them."""
        names = [" ".join(text.split()) for text in self.packet.items(SUBJECT)]
        return {
            kind: {
                _folded(leaf): name
                for name in names
                if separator in name
                for leaf in (name.replace(separator, "-"), name.split(separator)[-1])
            }
            for kind, separator in SEPARATORS.items()
        }

    def _suggested_as(self, kind: str) -> set[str]:
        return self.suggested | {_mangled(name, kind) for name in self.suggested}

    def withdraw(self, names: set[str]) -> None:
        """Take out what oko added for these folded names."""
        if not names:
            return
        for kind in SHORT:
            going = names | {_mangled(name, kind) for name in names}
            records = {
                _folded(_record(kind, text))
                for text in self.packet.items(kind)
                if _folded(_leaf(kind, text)) in going and _folded(_record(kind, text)) in self._added
            }
            self._forget(kind, records)
        self._take(SUGGESTED, lambda text: _folded(text) in names)

    def _forget(self, kind: str, records: set[str]) -> None:
        self._take(kind, lambda text: _folded(_record(kind, text)) in records)
        self._take(ADDED, lambda text: _folded(text) in records)
        self._added -= records

    def put(self, keyword: Keyword) -> None:
        """Add a keyword to each list that lacks it, whatever its capitals and whatever it stands under there."""
        if _folded(keyword.name) not in {_folded(text) for text in self.packet.items(SUBJECT)}:
            self._add(SUBJECT, keyword.name)
        for kind in SEPARATORS:
            leaf = _mangled(keyword.name, kind)
            if leaf not in {_folded(_leaf(kind, text)) for text in self.packet.items(kind)}:
                self._add(kind, self._path(keyword, kind))

    def _path(self, keyword: Keyword, kind: str) -> str:
        """Where it goes: as a person sorted it in the other program's list, else below its group."""
        separator = SEPARATORS[kind]
        for other, its_own in SEPARATORS.items():
            for text in self.packet.items(other):
                is_theirs = _folded(_record(other, text)) not in self._added
                if (
                    other != kind
                    and is_theirs
                    and _folded(_leaf(other, text)) == _mangled(keyword.name, other)
                ):
                    parts = text.split(its_own)[:-1]
                    return separator.join(p.replace(separator, "-") for p in (*parts, keyword.name))
        parts = [part for part in (keyword.group, keyword.name) if part]
        return separator.join(part.replace(separator, "-") for part in parts)

    def mark(self, name: str, *, is_suggested: bool) -> None:
        """Note whether a keyword is a suggestion."""
        folded = _folded(name)
        if is_suggested and folded not in self.suggested:
            self._write(SUGGESTED, name)
        elif not is_suggested:
            self._take(SUGGESTED, lambda text: _folded(text) == folded)

    def _add(self, kind: str, text: str) -> None:
        self._write(kind, text)
        record = _record(kind, text)
        if _folded(record) not in self._added:
            self._write(ADDED, record)
            self._added.add(_folded(record))

    def _write(self, kind: str, text: str) -> None:
        prefix, form = WRITTEN[kind]
        self.packet.add(kind, text, form=form, prefix=prefix)
        self.is_changed = True

    def _take(self, kind: str, is_going: Callable[[str], bool]) -> None:
        self.is_changed |= self.packet.take_away(kind, is_going)


def _record(kind: str, text: str) -> str:
    return f"{SHORT[kind]}={text}"


def _leaf(kind: str, text: str) -> str:
    return text.split(SEPARATORS[kind])[-1] if kind in SEPARATORS else text


def _mangled(name: str, kind: str) -> str:
    # Neither list has a way to write its own separator inside a name.
    return _folded(name.replace(SEPARATORS[kind], "-") if kind in SEPARATORS else name)


def _folded(name: str) -> str:
    return " ".join(name.split()).casefold()


# Files


def _read(path: Path) -> bytes | None:
    flags = (
        os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    )  # a pipe would wait for ever
    try:
        with open(os.open(path, flags), "rb") as source:
            if not stat.S_ISREG(os.fstat(source.fileno()).st_mode):
                raise SidecarUnusable("it is no ordinary file")
            content = source.read(MOST_BYTES + 1)
    except FileNotFoundError:
        return None
    except IsADirectoryError as e:
        raise SidecarUnusable("it is a folder") from e
    except OSError as e:
        raise SidecarUnusable(f"it cannot be read: {e.strerror}") from e
    if len(content) > MOST_BYTES:
        raise SidecarUnusable(f"it has more than {MOST_BYTES // 1_000_000} MB")
    return content


def _replace(path: Path, content: bytes) -> None:
    """Put the content in the file's place in one step; a link stays one, and keeps leading to the file."""
    target = Path(os.path.realpath(path))
    temporary = ""
    try:
        handle, temporary = tempfile.mkstemp(prefix=f".{target.name}.", suffix=".tmp", dir=target.parent)
        with os.fdopen(handle, "wb") as out:
            out.write(content)
            out.flush()
            os.fsync(out.fileno())
        if target.exists():
            shutil.copymode(target, temporary)
        else:
            os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, target)
    except OSError as e:
        raise SidecarUnusable(f"it cannot be written: {e.strerror}") from e
    finally:
        with contextlib.suppress(OSError):
            if temporary:
                os.unlink(temporary)


def _umask() -> int:
    # There is no way to ask for it but to set it.
    found = os.umask(0o077)
    os.umask(found)
    return found


def distinct(names: Iterable[str]) -> list[str]:
    """Each name once, whatever its capitals, in the first spelling."""
    found: dict[str, str] = {}
    for name in names:
        found.setdefault(_folded(name), name)
    return list(found.values())
