"""An XMP packet as XML: the lists of its properties, read and changed with everything else left in its place.

XMP specification part 1, ISO 16684-1. What a property holds is read in all the forms that it may be written in: a list,
plain text, and an attribute of the description.
"""

from __future__ import annotations

import codecs
from collections.abc import Callable
from typing import Final

from lxml import etree

from library.errors import SidecarUnusable

RDF: Final = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
EMPTY: Final = (
    b"<?xpacket begin='\xef\xbb\xbf' id='W5M0MpCehiHzreSzNTczkc9d'?>\n"
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/">\n <rdf:RDF xmlns:rdf="' + RDF.encode() + b'">\n'
    b'  <rdf:Description rdf:about=""/>\n </rdf:RDF>\n</x:xmpmeta>\n<?xpacket end="w"?>\n'
)
_LISTS = tuple(f"{{{RDF}}}{name}" for name in ("Bag", "Seq", "Alt"))
# The longer ones first: that of UTF-16 begins that of UTF-32.
_WIDE = (
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)


class Packet:
    """A parsed packet. A property is named as lxml does it: "{namespace}name"."""

    def __init__(self, content: bytes) -> None:
        """Raises SidecarUnusable for what is no sound XMP."""
        text, encoding = _as_bytes(content)
        parser = etree.XMLParser(
            resolve_entities=False,
            no_network=True,
            load_dtd=False,
            huge_tree=False,
            strip_cdata=False,
            encoding=encoding,
        )
        try:
            root = etree.fromstring(text, parser)
        except (etree.XMLSyntaxError, ValueError) as e:
            raise SidecarUnusable(f"it is not valid XML{_why(e)}") from e
        self._tree = root.getroottree()
        if self._tree.docinfo.internalDTD is not None:
            raise SidecarUnusable("it declares a document type, which no XMP does")
        rdf = root if root.tag == f"{{{RDF}}}RDF" else root.find(f".//{{{RDF}}}RDF")
        if rdf is None:
            raise SidecarUnusable("it is no XMP: it has no rdf:RDF")
        self._rdf = rdf
        self._is_declared = text.startswith(b"<?xml ")

    def serialised(self) -> bytes:
        """As UTF-8, which XMP asks for, with everything around the root element; a declaration if there was one."""
        return etree.tostring(self._tree, encoding="UTF-8", xml_declaration=self._is_declared) + b"\n"

    def items(self, kind: str) -> list[str]:
        """What a property of the photo itself holds."""
        found = [each.attrib[kind] for each in self._descriptions() if kind in each.attrib]
        # Some programs write a single keyword as plain text.
        found += [each.text or "" for each in self._properties(kind)]
        found += [item.text or "" for item in self._listed(kind)]
        return [str(text).strip() for text in found if text.strip()]

    def add(self, kind: str, text: str, *, form: str, prefix: str) -> None:
        """Append an item. A new list takes `form` (Bag or Seq) and, where it is free, the namespace's `prefix`."""
        container = self._container(kind, form, prefix)
        item = etree.SubElement(container, f"{{{RDF}}}li")
        item.text = text
        _indent(container, item)

    def take_away(self, kind: str, is_going: Callable[[str], bool]) -> bool:
        """Remove the items of a property's lists that are going; returns whether there were any."""
        going = [item for item in self._listed(kind) if item.text and is_going(item.text.strip())]
        for item in going:
            parent = item.getparent()
            assert parent is not None, "an item stands in a list"
            parent.remove(item)
        return bool(going)

    def _descriptions(self) -> list[etree._Element]:
        return self._rdf.findall(f"{{{RDF}}}Description")

    def _properties(self, kind: str) -> list[etree._Element]:
        return [found for each in self._descriptions() for found in each.findall(kind)]

    def _listed(self, kind: str) -> list[etree._Element]:
        return [item for found in self._properties(kind) for item in found.iterfind(f"*/{{{RDF}}}li")]

    def _container(self, kind: str, form: str, prefix: str) -> etree._Element:
        """The list of a property, made where it is not there; plain text and an attribute become its items."""
        made = next((c for found in self._properties(kind) for c in found if c.tag in _LISTS), None)
        if made is None:
            made = self._new_list(kind, form, prefix)
        for each in self._descriptions():
            if kind in each.attrib:
                # The attribute and an element for one property would be two of it, which no parser of XMP accepts.
                etree.SubElement(made, f"{{{RDF}}}li").text = str(each.attrib.pop(kind))
        return made

    def _new_list(self, kind: str, form: str, prefix: str) -> etree._Element:
        existing = self._properties(kind)
        if existing:
            container = etree.SubElement(existing[0], f"{{{RDF}}}{form}")
            if existing[0].text and existing[0].text.strip():
                etree.SubElement(container, f"{{{RDF}}}li").text = existing[0].text.strip()
                existing[0].text = None
            return container
        parent = self._description(kind)
        namespace = str(etree.QName(kind).namespace)
        is_taken = parent.nsmap.get(prefix) not in (None, namespace)
        names: dict[str, str] = {} if is_taken else {prefix: namespace}
        made = etree.SubElement(parent, kind, nsmap=names)
        container = etree.SubElement(made, f"{{{RDF}}}{form}")
        _indent(parent, made)
        return container

    def _description(self, kind: str) -> etree._Element:
        """Where a new property goes: the description that has it, or others of its namespace, else the first."""
        descriptions = self._descriptions()
        if not descriptions:
            made = etree.SubElement(self._rdf, f"{{{RDF}}}Description")
            made.set(f"{{{RDF}}}about", "")
            return made
        namespace = etree.QName(kind).namespace
        own = next((d for d in descriptions if kind in d.attrib), None)
        near = next((d for d in descriptions if namespace in d.nsmap.values()), descriptions[0])
        return near if own is None else own


def _as_bytes(content: bytes) -> tuple[bytes, str | None]:
    """The content as the parser takes it, without padding, and its encoding where that is not to be found out."""
    for mark, encoding in _WIDE:
        if content.startswith(mark):
            try:
                text = content.removeprefix(mark).decode(encoding)
            except UnicodeDecodeError as e:
                raise SidecarUnusable("its text is damaged: it is no sound UTF-16 or UTF-32") from e
            return text.strip("\0 \t\r\n").encode(), "utf-8"
    if b"\0" in content[:2]:  # UTF-16 without a mark: a zero byte is half a character
        return content, None
    return content.strip(b"\0 \t\r\n").removeprefix(codecs.BOM_UTF8), None


def _why(error: Exception) -> str:
    line = getattr(error, "lineno", None)
    what = str(getattr(error, "msg", None) or error).split(", line ")[0].split("(<string>")[0].strip()
    return f" (line {line}: {what})" if line else f" ({what})" if what else ""


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
