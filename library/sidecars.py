"""XMP sidecars: keywords beside a photo, where digiKam, darktable and Lightroom look. The photo is never touched.

A photo's own sidecar is IMG.jpg.xmp (digiKam, darktable), or IMG.xmp (Lightroom), which stands for the RAW file of that
name. Both are read; the first is written, but for a RAW file that has only the second. What is there stays there, in
its place and namespace: keywords are added to
dc:subject (all programs), digiKam:TagsList ("group/name") and lr:hierarchicalSubject ("group|name"), and
only those are ever taken away that oko itself put there as suggestions, which it lists in a property of its own.
(XMP specification part 1, ISO 16684-1; part 2 for dc:subject.)
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from lxml import etree

from library.errors import SidecarUnusable
from library.formats import RAW_SUFFIXES

RDF: Final = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
DC: Final = "http://purl.org/dc/elements/1.1/"
DIGIKAM: Final = "http://www.digikam.org/ns/1.0/"
LIGHTROOM: Final = "http://ns.adobe.com/lightroom/1.0/"
OKO: Final = "urn:oko-photos:xmp:1#"
META: Final = "adobe:ns:meta/"
PREFIXES: Final[Mapping[str, str]] = {
    "rdf": RDF,
    "dc": DC,
    "digiKam": DIGIKAM,
    "lr": LIGHTROOM,
    "oko": OKO,
}

SUBJECT: Final = f"{{{DC}}}subject"
TAGS_LIST: Final = f"{{{DIGIKAM}}}TagsList"
HIERARCHICAL: Final = f"{{{LIGHTROOM}}}hierarchicalSubject"
OURS: Final = f"{{{OKO}}}suggested"
CONTAINERS: Final = {SUBJECT: "Bag", TAGS_LIST: "Seq", HIERARCHICAL: "Bag", OURS: "Bag"}
SEPARATORS: Final = {TAGS_LIST: "/", HIERARCHICAL: "|"}

MOST_BYTES = 16_000_000  # sidecars of edited photos have some hundred kilobytes
EMPTY = (
    b"<?xpacket begin='\xef\xbb\xbf' id='W5M0MpCehiHzreSzNTczkc9d'?>\n"
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/">\n <rdf:RDF xmlns:rdf="' + RDF.encode() + b'">\n'
    b'  <rdf:Description rdf:about=""/>\n </rdf:RDF>\n</x:xmpmeta>\n<?xpacket end="w"?>\n'
)


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
    root = _parse(packet).getroot()
    ours = {_folded(name) for name in _items(root, OURS)}
    names = _items(root, SUBJECT)
    for kind, separator in SEPARATORS.items():
        names += [text.split(separator)[-1] for text in _items(root, kind)]
    found: dict[str, str] = {}
    for name in names:
        tidy = " ".join(name.split())
        if tidy and _folded(tidy) not in ours:
            found.setdefault(_folded(tidy), tidy)
    return list(found.values())


def write_keywords(path: Path, keywords: Sequence[Keyword]) -> bool:
    """Merge keywords into the sidecar at `path`, made if it is absent, replaced at once. Returns whether it changed.

    Raises SidecarUnusable for a file that is no XMP, which is left as it is, or a folder that cannot be written to.
    """
    before = _read(path)
    if before is None and not keywords:
        return False
    after = merged(before or EMPTY, keywords)
    if after == before:
        return False
    _replace(path, after)
    return True


def read_sidecar(path: Path) -> list[str]:
    """The keywords in a sidecar. Raises SidecarUnusable."""
    return read_keywords(_read(path) or EMPTY)


def merged(packet: bytes, keywords: Sequence[Keyword]) -> bytes:
    """The packet with the keywords added, and without those suggestions of oko's that are not among them.

    The same bytes when there is nothing to change. Raises SidecarUnusable.
    """
    tree = _parse(packet)
    root = tree.getroot()
    ours = {_folded(name) for name in _items(root, OURS)}
    wanted = {_folded(keyword.name): keyword for keyword in keywords}
    changed = _remove(root, ours - set(wanted))
    theirs = {_folded(name) for name in _items(root, SUBJECT)} - ours
    for folded, keyword in wanted.items():
        changed |= _add(root, SUBJECT, keyword.name)
        for kind, separator in SEPARATORS.items():
            changed |= _add(root, kind, _path(keyword, separator), last_part=separator)
        if keyword.is_suggested and folded not in theirs:
            changed |= _add(root, OURS, keyword.name)
        elif not keyword.is_suggested:
            changed |= _take_away(root, OURS, {folded})
    return _serialised(tree, packet) if changed else packet


def _path(keyword: Keyword, separator: str) -> str:
    # Neither list has a way to write its own separator inside a name.
    parts = [part.replace(separator, "-") for part in (keyword.group, keyword.name) if part]
    return separator.join(parts)


def _folded(name: str) -> str:
    return " ".join(name.split()).casefold()


# XML


def _parse(packet: bytes) -> etree._ElementTree:
    parser = etree.XMLParser(
        resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False, strip_cdata=False
    )
    try:
        root = etree.fromstring(packet.strip(b"\0 \t\r\n"), parser)
    except (etree.XMLSyntaxError, ValueError) as e:
        raise SidecarUnusable(f"it is not valid XML ({e})") from e
    tree = root.getroottree()
    if tree.docinfo.internalDTD is not None:
        raise SidecarUnusable("it declares a document type, which no XMP does")
    if _rdf(root) is None:
        raise SidecarUnusable("it is no XMP: it has no rdf:RDF")
    return tree


def _rdf(root: etree._Element) -> etree._Element | None:
    return root if root.tag == f"{{{RDF}}}RDF" else root.find(f".//{{{RDF}}}RDF")


def _properties(root: etree._Element, kind: str) -> list[etree._Element]:
    """The elements of a property, of the photo itself: children of its descriptions."""
    rdf = _rdf(root)
    descriptions = [] if rdf is None else rdf.findall(f"{{{RDF}}}Description")
    return [found for each in descriptions for found in each.findall(kind)]


def _listed(root: etree._Element, kind: str) -> list[etree._Element]:
    return [
        item
        for found in _properties(root, kind)
        for item in found.iterfind(f"*/{{{RDF}}}li")
        if item.text and item.text.strip()
    ]


def _items(root: etree._Element, kind: str) -> list[str]:
    # Some programs write a single keyword as plain text.
    plain = [found.text.strip() for found in _properties(root, kind) if found.text and found.text.strip()]
    return plain + [str(item.text).strip() for item in _listed(root, kind)]


def _add(root: etree._Element, kind: str, text: str, *, last_part: str = "") -> bool:
    """Append an item unless it is there, whatever its capitals; with `last_part` under whatever parents."""

    def key(value: str) -> str:
        return _folded(value.split(last_part)[-1] if last_part else value)

    if key(text) in {key(each) for each in _items(root, kind)}:
        return False
    container = _container(root, kind)
    item = etree.SubElement(container, f"{{{RDF}}}li")
    item.text = text
    _indent(container, item)
    return True


def _container(root: etree._Element, kind: str) -> etree._Element:
    """The list of a property, made where it is not there."""
    for found in _properties(root, kind):
        for container in found:
            if container.tag in (f"{{{RDF}}}Bag", f"{{{RDF}}}Seq", f"{{{RDF}}}Alt"):
                return container
    existing = _properties(root, kind)
    if existing:
        container = etree.SubElement(existing[0], f"{{{RDF}}}{CONTAINERS[kind]}")
        if existing[0].text and existing[0].text.strip():
            etree.SubElement(container, f"{{{RDF}}}li").text = existing[0].text.strip()
            existing[0].text = None
        return container
    parent = _description(root, kind)
    namespace = etree.QName(kind).namespace
    prefix = next(p for p, uri in PREFIXES.items() if uri == namespace)
    taken = parent.nsmap.get(prefix) not in (None, namespace)
    names: dict[str, str] = {} if taken else {prefix: str(namespace)}
    made = etree.SubElement(parent, kind, nsmap=names)
    container = etree.SubElement(made, f"{{{RDF}}}{CONTAINERS[kind]}")
    _indent(parent, made)
    return container


def _description(root: etree._Element, kind: str) -> etree._Element:
    """Where a new property goes: the description that has others of its namespace, else the first."""
    rdf = _rdf(root)
    assert rdf is not None, "checked when it was parsed"
    descriptions = rdf.findall(f"{{{RDF}}}Description")
    if not descriptions:
        made = etree.SubElement(rdf, f"{{{RDF}}}Description")
        made.set(f"{{{RDF}}}about", "")
        return made
    namespace = etree.QName(kind).namespace
    return next((d for d in descriptions if namespace in d.nsmap.values()), descriptions[0])


def _indent(parent: etree._Element, made: etree._Element) -> None:
    """Give a new last child a line of its own, as its siblings have."""
    before = made.getprevious()
    if before is None:
        outer = parent.tail if parent.tail and not parent.tail.strip() else "\n"
        parent.text = outer + " "
        made.tail = outer
    else:
        made.tail = before.tail
        before.tail = parent.text if parent.text and not parent.text.strip() else before.tail


def _remove(root: etree._Element, folded: set[str]) -> bool:
    changed = _take_away(root, SUBJECT, folded) | _take_away(root, OURS, folded)
    for kind, separator in SEPARATORS.items():
        changed |= _take_away(root, kind, folded, last_part=separator)
    return changed


def _take_away(root: etree._Element, kind: str, folded: set[str], *, last_part: str = "") -> bool:
    going = [
        item
        for item in _listed(root, kind)
        if _folded(str(item.text).split(last_part)[-1] if last_part else str(item.text)) in folded
    ]
    for item in going:
        parent = item.getparent()
        assert parent is not None, "an item stands in a list"
        parent.remove(item)
    return bool(going)


def _serialised(tree: etree._ElementTree, before: bytes) -> bytes:
    """As UTF-8, which XMP asks for, with everything around the root element; a declaration if there was one."""
    declared = before.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<?xml ")
    return etree.tostring(tree, encoding="UTF-8", xml_declaration=declared) + b"\n"


# Files


def _read(path: Path) -> bytes | None:
    try:
        with path.open("rb") as source:
            content = source.read(MOST_BYTES + 1)
    except FileNotFoundError:
        return None
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
