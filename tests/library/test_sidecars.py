"""XMP sidecars: nothing in an existing one is lost, and a program not written here reads what oko writes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from lxml import etree

from library.errors import SidecarUnusable
from library.sidecars import (
    Keyword,
    merged,
    read_keywords,
    read_sidecar,
    sidecar_to_write,
    sidecars_of,
    write_keywords,
)

DOG = Keyword("dog", "animals")
BEACH = Keyword("beach", "places", is_suggested=True)

# As a photo editor leaves them: settings, ratings, a history, keywords in three forms, comments, foreign prefixes.
EDITED = b"""<?xpacket begin="\xef\xbb\xbf" id="W5M0MpCehiHzreSzNTczkc9d"?>
<!-- kept by hand -->
<x:xmpmeta xmlns:x="adobe:ns:meta/" x:xmptk="XMP Core 4.4.0-Exiv2">
 <rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
  <rdf:Description rdf:about=""
    xmlns:xmp="http://ns.adobe.com/xap/1.0/"
    xmlns:darktable="http://darktable.sf.net/"
    xmlns:keys="http://purl.org/dc/elements/1.1/"
   xmp:Rating="4"
   darktable:history_end="2">
   <darktable:history>
    <rdf:Seq>
     <rdf:li darktable:operation="exposure" darktable:params="00ff"/>
     <rdf:li darktable:operation="crop"/>
    </rdf:Seq>
   </darktable:history>
   <keys:subject>
    <rdf:Bag>
     <rdf:li>Brno</rdf:li>
     <rdf:li>Dog</rdf:li>
    </rdf:Bag>
   </keys:subject>
  </rdf:Description>
  <rdf:Description rdf:about="" xmlns:lr="http://ns.adobe.com/lightroom/1.0/">
   <lr:hierarchicalSubject><rdf:Bag><rdf:li>Europe|Czechia|Brno</rdf:li></rdf:Bag></lr:hierarchicalSubject>
  </rdf:Description>
 </rdf:RDF>
</x:xmpmeta>
<?xpacket end="w"?>"""

exiftool = pytest.mark.skipif(shutil.which("exiftool") is None, reason="exiftool is not installed")


def asked(path: Path) -> dict[str, Any]:
    """What exiftool reads in a file; lists stay lists."""
    out = subprocess.run(["exiftool", "-json", "-struct", path], capture_output=True, check=True).stdout
    found: dict[str, Any] = json.loads(out)[0]
    return found


def facts(packet: bytes) -> set[tuple[str, ...]]:
    """Everything that a packet says: each text and attribute with the way to it."""
    found = set()
    root = etree.fromstring(packet)
    for element in root.iter():
        kind = str(element.tag) if isinstance(element.tag, str) else "comment"
        way = tuple(str(each.tag) for each in element.iterancestors())
        found |= {(*way, kind, name, str(value)) for name, value in element.attrib.items()}
        if element.text and element.text.strip():
            found.add((*way, kind, element.text.strip()))
    return found


@exiftool
def test_exiftool_reads_a_new_sidecar(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg.xmp"
    assert write_keywords(path, [DOG, BEACH, Keyword("kočka & pes", "own")])
    found = asked(path)
    assert found["Subject"] == ["dog", "beach", "kočka & pes"]
    assert found["TagsList"] == ["animals/dog", "places/beach", "own/kočka & pes"]
    assert found["HierarchicalSubject"] == ["animals|dog", "places|beach", "own|kočka & pes"]
    assert "Warning" not in found


@exiftool
def test_exiftool_finds_an_edited_sidecar_as_it_was_and_more(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg.xmp"
    path.write_bytes(EDITED)
    before = asked(path)
    assert write_keywords(path, [DOG, BEACH])
    after = asked(path)
    assert after["Subject"] == ["Brno", "Dog", "beach"]
    assert after["HierarchicalSubject"] == ["Europe|Czechia|Brno", "animals|dog", "places|beach"]
    ours = {"Subject", "HierarchicalSubject", "TagsList", "Suggested", "Added"}
    volatile = {key for key in before if key.startswith("File")}
    rest = {key: value for key, value in before.items() if key not in ours | volatile}
    assert {key: after.get(key) for key in rest} == rest
    assert set(after) - set(before) <= ours


@exiftool
def test_what_exiftool_wrote_is_read_and_merged(tmp_path: Path) -> None:
    path = tmp_path / "a.xmp"
    arguments = [
        "-XMP-dc:Subject=cat",
        "-XMP-dc:Subject=old town",
        "-XMP-xmp:Rating=5",
        "-XMP-dc:Creator=Eva",
    ]
    subprocess.run(["exiftool", *arguments, path], check=True, capture_output=True)
    assert read_sidecar(path) == ["cat", "old town"]
    assert write_keywords(path, [DOG])
    found = asked(path)
    assert (found["Subject"], found["Rating"], found["Creator"]) == (["cat", "old town", "dog"], 5, ["Eva"])


def test_nothing_is_lost_and_a_second_time_changes_nothing() -> None:
    once = merged(EDITED, [DOG, BEACH])
    assert facts(EDITED) <= facts(once)
    assert b"<!-- kept by hand -->" in once
    assert b'x:xmptk="XMP Core 4.4.0-Exiv2"' in once
    assert merged(once, [DOG, BEACH]) == once


def test_a_keyword_that_is_there_in_other_capitals_is_not_added() -> None:
    assert merged(EDITED, [Keyword("brno"), Keyword("DOG")]).count(b"<rdf:li>DOG") == 2  # only in hierarchies
    assert read_keywords(merged(EDITED, [Keyword("brno"), Keyword("DOG")])) == ["Brno", "Dog"]


def test_suggestions_are_no_keywords_of_people_and_go_when_they_are_no_more() -> None:
    packet = merged(EDITED, [DOG, BEACH])
    assert read_keywords(packet) == ["Brno", "Dog"]
    without = merged(packet, [DOG])
    assert b"beach" not in without
    assert facts(EDITED) <= facts(without)


def test_a_suggestion_that_a_person_had_already_stays_when_it_is_rejected() -> None:
    packet = merged(EDITED, [Keyword("dog", "animals", is_suggested=True)])
    assert "Dog" in read_keywords(merged(packet, []))


def test_a_confirmed_suggestion_becomes_a_keyword() -> None:
    packet = merged(merged(EDITED, [BEACH]), [Keyword("beach", "places")])
    assert read_keywords(packet) == ["Brno", "Dog", "beach"]
    assert read_keywords(merged(packet, [])) == ["Brno", "Dog", "beach"]


def test_separators_inside_a_name_make_no_level() -> None:
    packet = merged(EDITED, [Keyword("his/hers | ours", "own")])
    assert b"own/his-hers | ours" in packet
    assert b"own|his/hers - ours" in packet


def test_a_keyword_as_plain_text_and_an_empty_description_are_understood() -> None:
    rdf = b'<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" xmlns:dc="http://purl.org/dc/elements/1.1/">'
    plain = rdf + b"<rdf:Description><dc:subject>sea</dc:subject></rdf:Description></rdf:RDF>"
    assert read_keywords(plain) == ["sea"]
    assert read_keywords(merged(plain, [DOG])) == ["sea", "dog"]
    assert read_keywords(merged(rdf + b"</rdf:RDF>", [DOG])) == ["dog"]


def xmp(properties: str, attributes: str = "") -> bytes:
    """A packet with these properties, for short cases."""
    spaces = {
        "rdf": "http://www.w3.org/1999/02/22-rdf-syntax-ns#",
        "dc": "http://purl.org/dc/elements/1.1/",
        "lr": "http://ns.adobe.com/lightroom/1.0/",
        "digiKam": "http://www.digikam.org/ns/1.0/",
    }
    named = " ".join(f'xmlns:{prefix}="{uri}"' for prefix, uri in spaces.items())
    return f"<rdf:RDF {named}><rdf:Description {attributes}>{properties}</rdf:Description></rdf:RDF>".encode()


def listed(kind: str, *items: str) -> str:
    entries = "".join(f"<rdf:li>{item}</rdf:li>" for item in items)
    return f"<{kind}><rdf:Bag>{entries}</rdf:Bag></{kind}>"


@pytest.mark.parametrize("kind", ["lr:hierarchicalSubject", "digiKam:TagsList"])
def test_a_persons_own_path_survives_a_suggestion_of_the_same_name(kind: str) -> None:
    separator = "|" if kind.startswith("lr") else "/"
    theirs = xmp(listed(kind, f"Pets{separator}Dog"))
    guess = Keyword("dog", "animals", is_suggested=True)
    for step in (
        merged(theirs, [guess]),
        merged(merged(theirs, [guess]), []),
        merged(theirs, [], rejected=["dog"]),
    ):
        assert f"Pets{separator}Dog".encode() in step
        assert read_keywords(step) == ["Dog"]
    # One that came after the suggestion stays, too.
    guessed = merged(xmp(""), [guess])
    later = guessed.replace(
        b"<rdf:li>animals" + separator.encode() + b"dog", b"<rdf:li>Pets" + separator.encode() + b"Dog"
    )
    assert read_keywords(later) == ["Dog"]
    assert f"Pets{separator}Dog".encode() in merged(later, [])


def test_what_is_rejected_goes_as_far_as_oko_added_it() -> None:
    packet = merged(merged(EDITED, [BEACH]), [Keyword("beach", "places"), DOG])
    assert read_keywords(packet) == ["Brno", "Dog", "beach"]
    without = merged(packet, [], rejected=["Beach", "dog"])
    assert b"beach" not in without
    assert b"animals|dog" not in without
    assert read_keywords(without) == ["Brno", "Dog"]  # people's own


def test_a_keyword_confirmed_once_is_no_suggestion_in_a_library_made_anew() -> None:
    packet = merged(xmp(""), [Keyword("beach", "places")])
    assert merged(packet, [BEACH]) == packet
    assert read_keywords(packet) == ["beach"]


def test_a_keyword_in_an_attribute_is_read_and_moved_into_the_list() -> None:
    packet = xmp("", 'dc:subject="holiday"')
    assert read_keywords(packet) == ["holiday"]
    assert read_keywords(merged(packet, [DOG])) == ["holiday", "dog"]
    assert merged(packet, [DOG]).count(b"subject") == 2 + merged(xmp(""), [DOG]).count(b"dc:subject=")
    assert merged(packet, []) == packet


@exiftool
def test_exiftool_reads_what_became_of_an_attribute(tmp_path: Path) -> None:
    path = tmp_path / "a.xmp"
    path.write_bytes(xmp("", 'dc:subject="holiday"'))
    assert write_keywords(path, [DOG])
    assert asked(path)["Subject"] == ["holiday", "dog"]


def test_names_with_separators_breed_nothing() -> None:
    packet = xmp("")
    names = ["his/hers | ours", "a|b"]
    for _ in range(3):
        packet = merged(packet, [Keyword(name, "own") for name in names])
        assert read_keywords(packet) == names
        names = read_keywords(packet)
    other = xmp(listed("dc:subject", "1/2 price") + listed("digiKam:TagsList", "shop/1/2 price"))
    assert read_keywords(other) == ["1/2 price"]


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"])
@pytest.mark.parametrize("declaration", ["", '<?xml version="1.0" encoding="UTF-16"?>'])
def test_wide_characters(encoding: str, declaration: str) -> None:
    text = declaration + xmp(listed("dc:subject", "kočka")).decode()
    packet = ("\ufeff" + text + "\n").encode(encoding)
    assert read_keywords(packet) == ["kočka"]
    assert merged(packet, []) == packet
    assert read_keywords(merged(packet, [DOG])) == ["kočka", "dog"]


def test_zero_bytes_after_a_packet_are_padding() -> None:
    assert read_keywords(xmp(listed("dc:subject", "sea")) + b"\0\0 \n") == ["sea"]


def test_what_an_editor_notes_for_itself_is_no_keyword() -> None:
    packet = xmp(
        listed("lr:hierarchicalSubject", "darktable|style|warm", "Places|Brno")
        + listed("dc:subject", "darktable|format|jpg")
    )
    assert read_keywords(packet) == ["Brno"]


def test_a_path_that_a_person_made_is_used_in_the_other_programs_list() -> None:
    packet = merged(xmp(listed("digiKam:TagsList", "Family/Grandma")), [Keyword("Grandma")])
    assert b"<rdf:li>Family|Grandma</rdf:li>" in packet
    assert packet.count(b"<rdf:li>Family/Grandma</rdf:li>") == 1


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes with names here")
def test_a_pipe_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.jpg.xmp")
    assert sidecars_of(tmp_path / "a.jpg") == []
    with pytest.raises(SidecarUnusable, match="no ordinary file"):
        write_keywords(tmp_path / "a.jpg.xmp", [DOG])


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "valid XML"),
        (b"not XML at all", "valid XML"),
        (b"<html/>", "no XMP"),
        (
            b'<!DOCTYPE a [<!ENTITY e SYSTEM "file:///etc/passwd">]>' + EDITED.split(b"-->\n")[1],
            "document type",
        ),
        (EDITED[:400], "valid XML"),
    ],
)
def test_what_is_no_xmp_is_left_alone(tmp_path: Path, content: bytes, why: str) -> None:
    path = tmp_path / "a.xmp"
    path.write_bytes(content or b" ")
    with pytest.raises(SidecarUnusable, match=why):
        write_keywords(path, [DOG])
    assert path.read_bytes() == (content or b" ")
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_is_replaced_at_once_with_its_rights_and_through_its_link(tmp_path: Path) -> None:
    real, link = tmp_path / "real.xmp", tmp_path / "a.jpg.xmp"
    real.write_bytes(EDITED)
    real.chmod(0o640)
    link.symlink_to(real)
    assert write_keywords(link, [DOG])
    assert link.is_symlink()
    assert real.stat().st_mode & 0o777 == 0o640
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.jpg.xmp", "real.xmp"]


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_rights_is_reported(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(SidecarUnusable, match="cannot be written"):
            write_keywords(tmp_path / "a.xmp", [DOG])
    finally:
        tmp_path.chmod(0o700)


def test_no_sidecar_is_made_for_nothing(tmp_path: Path) -> None:
    assert not write_keywords(tmp_path / "a.xmp", [])
    assert list(tmp_path.iterdir()) == []


def test_which_sidecar_is_whose(tmp_path: Path) -> None:
    photo, raw = tmp_path / "IMG.jpg", tmp_path / "IMG.cr2"
    assert sidecar_to_write(photo).name == "IMG.jpg.xmp"
    (tmp_path / "IMG.xmp").write_bytes(EDITED)
    assert sidecar_to_write(photo).name == "IMG.jpg.xmp"  # IMG.xmp may be the RAW file's
    assert sidecar_to_write(raw).name == "IMG.xmp"
    assert [path.name for path in sidecars_of(photo)] == ["IMG.xmp"]
    write_keywords(sidecar_to_write(photo), [DOG])
    assert [path.name for path in sidecars_of(photo)] == ["IMG.jpg.xmp", "IMG.xmp"]
