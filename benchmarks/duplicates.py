"""How well altered copies are told from different photos: python -m benchmarks.duplicates [--data DIR] [--model NAME]

Held-out photos are altered in the ways people's programs do it. For each way: which share of the copies lies within a
Hamming distance of the original by the perceptual hash alone, which share is a near-duplicate (within the default
distance, and the thumbnails look the same), and with --model which cosine the vectors have. Against that: how many
pairs of different photos, of all in the shards, come out by the same rules.
"""

from __future__ import annotations

import argparse
import io
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageEnhance, ImageOps

from benchmarks.machine import describe, write
from benchmarks.shards import held_out
from library.encoder import Encoder, load_encoder
from library.images import decode
from library.models import Registry
from library.previews import hamming, perceptual_hash, thumbnail
from search.appearance import same_pictures, small
from search.duplicates import NEAR_BITS
from search.lookalikes import close_hashes

SHARDS = ("flickr8k.tar", "coco_human.tar")
DISTANCES = (0, 2, 4, 6, 8, 10, 12)
_MAX_PIXELS = 100_000_000


def recompressed(image: Image.Image, quality: int) -> Image.Image:
    """The picture after a round through JPEG."""
    out = io.BytesIO()
    image.save(out, "JPEG", quality=quality)
    return decode(out.getvalue(), name="", max_pixels=_MAX_PIXELS).image


def _scaled(image: Image.Image, factor: float) -> Image.Image:
    size = (max(1, round(image.width * factor)), max(1, round(image.height * factor)))
    return image.resize(size, Image.Resampling.LANCZOS)


def _cropped(image: Image.Image, share: float) -> Image.Image:
    x, y = round(image.width * share), round(image.height * share)
    return image.crop((x, y, image.width - x, image.height - y))


def _captioned(image: Image.Image) -> Image.Image:
    copy = image.copy()
    pen = ImageDraw.Draw(copy)
    pen.rectangle((0, round(0.9 * copy.height), copy.width, copy.height), fill="black")
    pen.text((8, round(0.92 * copy.height)), "Summer 2023", fill="white")
    return copy


ALTERATIONS: dict[str, Callable[[Image.Image], Image.Image]] = {
    "half the size": lambda im: _scaled(im, 0.5),
    "a quarter of the size, JPEG 60": lambda im: recompressed(_scaled(im, 0.25), 60),
    "JPEG 75": lambda im: recompressed(im, 75),
    "JPEG 30": lambda im: recompressed(im, 30),
    "JPEG 10": lambda im: recompressed(im, 10),
    "brighter by 35 %": lambda im: ImageEnhance.Brightness(im).enhance(1.35),
    "darker by 35 %": lambda im: ImageEnhance.Brightness(im).enhance(0.65),
    "more contrast": lambda im: ImageEnhance.Contrast(im).enhance(1.4),
    "without colour": lambda im: im.convert("L").convert("RGB"),
    "caption bar below": _captioned,
    "white frame of 4 %": lambda im: ImageOps.expand(im, round(0.04 * max(im.size)), "white"),
    "cropped by 2 % a side": lambda im: _cropped(im, 0.02),
    "cropped by 5 % a side": lambda im: _cropped(im, 0.05),
    "cropped by 10 % a side": lambda im: _cropped(im, 0.10),
    "turned by 2 degrees": lambda im: im.rotate(2, Image.Resampling.BICUBIC, fillcolor="white"),
    "mirrored": ImageOps.mirror,
}


@dataclass
class Copies:
    """One alteration's copies against their originals."""

    bits: list[int] = field(default_factory=list)
    same_look: list[bool] = field(default_factory=list)
    cosines: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class Different:
    """Pairs of different photos that the hash proposes: their bits, and whether they look the same."""

    photos: int
    keys: list[tuple[str, str]]
    bits: NDArray[np.int64]
    same_look: NDArray[np.bool_]


def embed(encoder: Encoder, images: list[Image.Image]) -> NDArray[np.float32]:
    """RGB pictures -> (n, D) float32, L2 norm 1."""
    return encoder.encode_images(np.stack([encoder.prepare(image) for image in images]))


def altered_copies(encoder: Encoder | None, originals: list[Image.Image]) -> dict[str, Copies]:
    """Distances, looks and cosines of every alteration of every photo."""
    found = {name: Copies() for name in ALTERATIONS}
    for original in originals:
        versions = [original, *(alter(original) for alter in ALTERATIONS.values())]
        hashes = [perceptual_hash(each) for each in versions]
        looks = np.stack([small(thumbnail(each)) for each in versions])
        rows = np.arange(1, len(versions))
        same = same_pictures(looks, rows, np.zeros_like(rows))
        vectors = embed(encoder, versions) if encoder else None
        for at, copies in enumerate(found.values(), 1):
            copies.bits.append(hamming(hashes[0], hashes[at]))
            copies.same_look.append(bool(same[at - 1]))
            copies.cosines += [float(vectors[0] @ vectors[at])] if vectors is not None else []
    return found


def photos_of(shard: Path) -> Iterator[tuple[str, bytes]]:
    """(key, content) of every picture of a shard."""
    if not shard.is_file():
        return
    with tarfile.open(shard) as tar:
        for member in tar:
            content = None if member.name.endswith(".json") else tar.extractfile(member)
            if content is not None:
                yield member.name, content.read()


def different_photos(data: Path) -> Different:
    """What the rules say of all photos of the shards, in pairs."""
    keys: list[str] = []
    thumbnails: list[bytes] = []
    hashes: list[int] = []
    for shard in SHARDS:
        for key, content in photos_of(data / shard):
            image = decode(content, name="", max_pixels=_MAX_PIXELS).image
            keys.append(key)
            thumbnails.append(thumbnail(image))
            hashes.append(perceptual_hash(image))
    pairs = close_hashes(np.array(hashes, np.int64), max(DISTANCES))
    involved, places = np.unique(np.concatenate([pairs.worse, pairs.better]), return_inverse=True)
    looks = np.stack([small(thumbnails[row]) for row in involved])
    same = same_pictures(looks, *np.split(places, 2))
    named = [(keys[a], keys[b]) for a, b in zip(pairs.worse, pairs.better, strict=True)]
    return Different(len(keys), named, np.asarray(pairs.values, np.int64), same)


def report(copies: dict[str, Copies], others: Different) -> None:
    """The tables."""
    print(f"\n{'altered copies found, % within bits':36}" + "".join(f"{d:>5}" for d in DISTANCES) + "   near")
    for name, each in copies.items():
        bits, same = np.array(each.bits), np.array(each.same_look)
        shares = "".join(f"{100 * np.mean(bits <= d):5.0f}" for d in DISTANCES)
        cosine = (
            "   cosine 5 % {:.3f}, median {:.3f}".format(*np.percentile(each.cosines, [5, 50]))
            if each.cosines
            else ""
        )
        print(f"{name:36}{shares}{100 * np.mean(same & (bits <= NEAR_BITS)):7.0f}{cosine}")
    print(
        f"\npairs among {others.photos:,} different photos ({others.photos * (others.photos - 1) // 2:,} pairs)"
    )
    for name, passed in (
        ("hash alone", others.bits >= 0),
        ("and the thumbnails look the same", others.same_look),
    ):
        print(f"{name:36}" + "".join(f"{int((passed & (others.bits <= d)).sum()):>5}" for d in DISTANCES))
    for keys, bits, same in zip(others.keys, others.bits, others.same_look, strict=True):
        if same:
            print(f"  {keys[0]} and {keys[1]}: {bits} bits")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder with the shards")
    parser.add_argument("--model", metavar="NAME", help="also the cosines of this model's vectors")
    parser.add_argument("--photos", type=int, default=150, help="photos a shard to alter")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every distance, look and cosine")
    args = parser.parse_args()
    print(describe())
    encoder = None
    if args.model:
        encoder = load_encoder(Registry(None).resolve(args.model), device="auto", precision="auto")
    originals = [photo.image for shard in SHARDS for photo in held_out(args.data / shard)[: args.photos]]
    copies, others = altered_copies(encoder, originals), different_photos(args.data)
    report(copies, others)
    if args.json:
        write(
            args.json,
            {"copies": {name: vars(each) for name, each in copies.items()}, "photos": others.photos},
        )


if __name__ == "__main__":
    main()
