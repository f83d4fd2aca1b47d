"""Photos over HTTP: by id alone, pictures made anew, limits on what is handed in."""

from __future__ import annotations

import io
import os
from pathlib import Path

import pytest
from PIL import Image

from oko.web.previews import PreviewCache, forget_previews
from tests.oko.small_library import PLACE
from tests.oko.web.conftest import Site
from tests.pictures import photo as scene


def opened(data: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(data))
    image.load()
    return image


def png(size: tuple[int, int] = (64, 48), colour: tuple[int, int, int] = (230, 20, 20)) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", size, colour).save(out, "PNG")
    return out.getvalue()


def test_what_is_known_of_a_photo(site: Site) -> None:
    found = site.client.get(f"/api/photos/{site.id_of('red.jpg')}").json()
    assert (found["width_px"], found["height_px"], found["format"]) == (64, 48, "JPEG")
    assert [Path(file["path"]).name for file in found["files"]] == ["red.jpg", "copy.jpg"]
    assert found["camera"] == "Secretcam"
    assert found["latitude"] == pytest.approx(PLACE[0], abs=1e-3)
    assert found["missing"] is False
    assert found["sha256"].startswith(found["version"])


@pytest.mark.parametrize(
    "name", ["0", "-1", "x", "99999999999999999999", "..%2f..%2fetc%2fpasswd", "1.5", "%00"]
)
def test_only_ids_of_photos_are_served(site: Site, name: str) -> None:
    for what in ("", "/thumbnail", "/preview"):
        answer = site.client.get(f"/api/photos/{name}{what}")
        assert answer.status_code in (404, 422)
        assert answer.headers["content-type"] == "application/json"


CLIMBING = ["../app.py", "..%2fapp.py", "%2e%2e/app.py", "/etc/passwd", "..%5capp.py", "%00"]


@pytest.mark.parametrize("path", [f"/static/{rest}" for rest in CLIMBING])
def test_the_pages_files_are_all_that_lies_below_static(site: Site, path: str) -> None:
    assert site.client.get(f"http://127.0.0.1:8017{path}").status_code in (404, 405)


def test_the_pages_files_are_revalidated(site: Site) -> None:
    answer = site.client.get("/static/app.js")
    assert answer.headers["content-type"].startswith("text/javascript")
    again = site.client.get("/static/app.js", headers={"if-none-match": answer.headers["etag"]})
    assert again.status_code == 304


def test_the_thumbnail_is_kept_by_content(site: Site) -> None:
    key = site.id_of("red.jpg")
    version = site.client.get(f"/api/photos/{key}").json()["version"]
    answer = site.client.get(f"/api/photos/{key}/thumbnail", params={"v": version})
    assert answer.headers["content-type"] == "image/webp"
    assert "immutable" in answer.headers["cache-control"]
    assert opened(answer.content).size == (64, 48)
    again = {"if-none-match": answer.headers["etag"]}
    assert site.client.get(f"/api/photos/{key}/thumbnail", headers=again).status_code == 304
    # An address that does not name the content may show another picture tomorrow.
    for v in ("", "0" * 16):
        assert (
            "immutable"
            not in site.client.get(f"/api/photos/{key}/thumbnail", params={"v": v}).headers["cache-control"]
        )


def test_a_preview_is_upright_and_tells_nothing_of_its_file(site: Site) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees
    exif[0x010F] = "Secretcam"
    path = site.library.photos / "turned.jpg"
    scene(7, (1200, 900)).save(path, exif=exif, quality=95)
    site.library.index()
    key = site.id_of("turned.jpg")
    answer = site.client.get(f"/api/photos/{key}/preview", params={"size": 800})
    image = opened(answer.content)
    assert answer.headers["content-type"] == "image/jpeg"
    assert image.size == (600, 800)
    assert not image.getexif()
    assert set(image.info) <= {
        "jfif",
        "jfif_version",
        "jfif_unit",
        "jfif_density",
        "progressive",
        "progression",
    }
    assert b"Secretcam" not in answer.content
    large = opened(site.client.get(f"/api/photos/{key}/preview", params={"size": 2560}).content)
    assert large.size == (900, 1200), "never enlarged"


def test_a_preview_is_made_once(site: Site) -> None:
    key = site.id_of("red.jpg")
    first = site.client.get(f"/api/photos/{key}/preview").content
    (kept,) = (site.library.folder / "previews").iterdir()
    assert kept.read_bytes() == first
    if os.name == "posix":
        assert kept.stat().st_mode & 0o077 == 0
        assert kept.parent.stat().st_mode & 0o077 == 0
    kept.write_bytes(b"from the cache")
    assert site.client.get(f"/api/photos/{key}/preview").content == b"from the cache"
    forget_previews(site.library.folder)
    assert site.client.get(f"/api/photos/{key}/preview").content == first


def test_a_file_that_is_gone_has_a_thumbnail_and_a_sentence(site: Site) -> None:
    key = site.id_of("green.jpg")
    (site.library.photos / "green.jpg").unlink()
    answer = site.client.get(f"/api/photos/{key}/preview")
    assert answer.status_code == 404
    assert "green.jpg is not on disk" in answer.json()["error"]["message"]
    assert site.client.get(f"/api/photos/{key}/thumbnail").status_code == 200


def test_a_copy_stands_in_for_a_file_that_is_gone(site: Site) -> None:
    key = site.id_of("red.jpg")
    (site.library.photos / "red.jpg").unlink()
    assert site.client.get(f"/api/photos/{key}/preview").status_code == 200


def test_a_file_that_changed_since_is_shown_but_not_kept(site: Site) -> None:
    key = site.id_of("green.jpg")
    (site.library.photos / "green.jpg").write_bytes(png((30, 20)))
    answer = site.client.get(f"/api/photos/{key}/preview")
    assert opened(answer.content).size == (30, 20)
    assert answer.headers["cache-control"] == "no-store"
    assert not (site.library.folder / "previews").exists()


def test_a_file_that_became_unreadable_says_why(site: Site) -> None:
    key = site.id_of("green.jpg")
    (site.library.photos / "green.jpg").write_text("<script>alert(1)</script>")
    answer = site.client.get(f"/api/photos/{key}/preview")
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/json"
    assert "script" not in answer.text


def test_the_preview_cache_keeps_to_its_size(tmp_path: Path) -> None:
    cache = PreviewCache(tmp_path, most_bytes=1000)
    names = [f"{n:064x}" for n in range(5)]
    for n, name in enumerate(names[:4]):
        cache.put(name, 800, bytes([n]) * 300)
    assert [cache.get(name, 800) is not None for name in names[:4]] == [False, True, True, True]
    cache.get(names[1], 800)
    cache.put(names[4], 800, b"x" * 300)
    assert [cache.get(name, 800) is not None for name in names] == [False, True, False, True, True]
    cache.put(names[0], 800, b"x" * 2000)
    assert cache.get(names[0], 800) is None, "larger than all that may be kept"
    again = PreviewCache(tmp_path, most_bytes=600)  # a later server knows what was there
    again.put(names[2], 800, b"y" * 300)
    assert sum(path.stat().st_size for path in (tmp_path / "previews").iterdir()) <= 600


def test_where_no_preview_can_be_kept_it_is_only_not_kept(tmp_path: Path) -> None:
    (tmp_path / "previews").write_text("a file, where a folder should be")
    cache = PreviewCache(tmp_path, most_bytes=1000)
    cache.put("0" * 64, 800, b"x" * 300)
    assert cache.get("0" * 64, 800) is None


# Handing in


def hand_in(site: Site, data: bytes, name: str = "picture.png", **options: object) -> object:
    return site.client.post("/api/pictures", files={"file": (name, data, "image/png")}, **options)  # type: ignore[arg-type]


def test_a_picture_finds_what_looks_like_it(site: Site) -> None:
    key = hand_in(site, png()).json()["picture"]  # type: ignore[attr-defined]
    found = site.client.get("/api/search", params={"picture": key, "all": True}).json()["results"]
    assert found[0]["id"] == site.id_of("red.jpg")
    embedded = site.library.encoders["one"].embedded
    assert hand_in(site, png()).json()["picture"] == key  # type: ignore[attr-defined]
    assert site.library.encoders["one"].embedded == embedded, "embedded once"


def test_words_and_pictures_mix(site: Site) -> None:
    key = hand_in(site, png()).json()["picture"]  # type: ignore[attr-defined]
    found = site.client.get("/api/search", params={"picture": key, "q": "blue - red", "all": True}).json()[
        "results"
    ]
    assert found[0]["id"] == site.id_of("blue.jpg")


def test_an_unknown_picture_is_said(site: Site) -> None:
    answer = site.client.get("/api/search", params={"picture": "0" * 32})
    assert answer.status_code == 404
    assert "again" in answer.json()["error"]["hint"]


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("x.svg", b'<svg xmlns="http://www.w3.org/2000/svg"/>'),
        ("x.html", b"<!doctype html><script>alert(1)</script>"),
        ("x.png", b""),
        ("x.png", b"\x89PNG\r\n\x1a\n" + b"\0" * 50),
        ("x.png", png()[:60]),
        ("../../x.png", b"nothing"),
    ],
)
def test_only_pictures_are_taken(site: Site, name: str, data: bytes) -> None:
    answer = hand_in(site, data, name)
    assert answer.status_code == 422  # type: ignore[attr-defined]
    assert "cannot be used" in answer.json()["error"]["message"]  # type: ignore[attr-defined]


def test_too_many_pixels_are_refused_from_the_header_alone(site: Site) -> None:
    answer = hand_in(site, png((1500, 1000)))
    assert answer.status_code == 422  # type: ignore[attr-defined]
    assert "megapixels" in answer.json()["error"]["message"]  # type: ignore[attr-defined]


def test_too_many_bytes_are_refused(site: Site) -> None:
    assert hand_in(site, b"\0" * 1_100_000).status_code == 413  # type: ignore[attr-defined]


def test_pictures_handed_in_are_forgotten_in_order() -> None:
    import numpy as np

    from library.fakes import FakeEncoder
    from oko.web.pictures import Pictures

    stamp, other = FakeEncoder(name="a").stamp, FakeEncoder(name="b").stamp
    pictures = Pictures(2)
    for name in ("x", "y"):
        pictures.put(name, stamp, np.ones(3, np.float32))
    assert pictures.get("x", stamp) is not None
    assert pictures.get("x", other) is None
    pictures.put("z", stamp, np.ones(3, np.float32))
    assert [pictures.get(name, stamp) is not None for name in "xyz"] == [True, False, True]


def test_favourites(site: Site) -> None:
    key = site.id_of("blue.jpg")
    assert site.client.put(f"/api/photos/{key}/favourite", json={"favourite": True}).json() == {
        "id": key,
        "favourite": True,
    }
    assert site.client.get(f"/api/photos/{key}").json()["favourite"] is True
    found = site.client.get("/api/search", params={"q": "is:favourite"}).json()
    assert [r["id"] for r in found["results"]] == [key]
    assert found["results"][0]["favourite"] is True
    site.client.put(f"/api/photos/{key}/favourite", json={"favourite": False})
    assert site.client.get("/api/search", params={"q": "is:favourite"}).json()["total"] == 0
    assert site.client.put("/api/photos/999/favourite", json={"favourite": True}).status_code == 404
