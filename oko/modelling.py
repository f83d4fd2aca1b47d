"""`oko models`: the list, adding, removing, and switching a library to another model."""

from __future__ import annotations

import dataclasses
import json
import logging
import time
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from library.catalog import reading
from library.config import ENVIRONMENT_PREFIX
from library.encoder import Encoder, load_encoder
from library.errors import ModelUnavailable, NoLibrary, UsageError
from library.extras import PACKAGES
from library.folder import create_folder
from library.models import ModelSpec, Registry
from library.overview import indexed_folders
from library.records import IndexReport, display_path
from library.store import Store
from library.weights import has_transformers, require_transformers
from oko import assemble, indexing, vqgans
from oko.aligned import count, print_rows, size
from oko.context import Context
from oko.progress import clock
from oko.transfers import transfer_bar
from search.relevance import null_texts

log = logging.getLogger(__name__)

# A download is estimated at 50 Mbit/s, an ordinary line at home.
DOWNLOAD_BYTES_PER_S = 50e6 / 8
TIMED_PHOTOS = 8
SIGLIP2_SOURCE = "google-research/big_vision, README_siglip2.md"
# Where the figures in library/presets.py were published.
FIGURES_FROM = {
    "builtin": "measured by oko, library/builtin/MODEL_CARD.md",
    "fast": "open_clip, docs/openclip_results.csv and openclip_retrieval_results.csv",
    "balanced": SIGLIP2_SOURCE,
    "best": SIGLIP2_SOURCE,
    "multilingual": "open_clip, docs/openclip_results.csv and openclip_multilingual_retrieval_results.csv",
}


def add(context: Context, name: str, arch: str, weights: Path) -> None:
    """Give a local checkpoint a name, after loading it once. Raises ModelError, UsageError."""
    create_folder(context.folder)
    spec = Registry(context.folder).add(name, arch=arch, weights=weights, check=_ready)
    context.note(f"Added {spec.name} ({spec.arch}). Search with it: oko models use {spec.name}")


def _ready(spec: ModelSpec) -> None:
    """Load a model, and embed what every search compares with, so that no first search waits for it."""
    encoder = load_encoder(spec, device="cpu", precision="fp32")
    assert encoder.clip.stamp.dim, "it is loaded"
    try:
        assemble.remembering(encoder).encode_texts(list(null_texts()))
    except ModelUnavailable as e:  # a tokenizer from the hub
        log.debug("the first search will embed its texts itself: %s", e)


def add_vqgan(context: Context, name: str, weights: Path, config: Path | None) -> None:
    """Give a VQGAN's weights file a name, after loading it once. Raises ModelError, UsageError."""
    create_folder(context.folder)
    spec = vqgans.register(Registry(context.folder), name, weights, config)
    context.note(f"Added {spec.name} ({spec.arch}). Paint with it: oko generate --vqgan {spec.name} PROMPT")


def remove(context: Context, name: str) -> None:
    """Forget an added name. Raises UsageError for the model this library uses."""
    used, _ = _used(context)
    if name == used:
        raise UsageError(
            f"this library uses {name}", hint="Switch to another one first: oko models use builtin"
        )
    Registry(context.folder).remove(name)
    context.note(f"Removed {name}; its file and the vectors it made stay.")


def _used(context: Context) -> tuple[str | None, dict[str, int]]:
    """The library's own model, and the number of photos that each model (by canonical name) has embedded."""
    try:
        with assemble.reading(context.folder, context.config) as store:
            own = store.default_model()
            with store.catalog.reading() as c:
                counts: dict[str, int] = {}
                for _, stamp, number in reading.models(c):
                    counts[stamp.name] = max(number, counts.get(stamp.name, 0))
            return own, counts
    except NoLibrary:
        return None, {}


def print_list(context: Context, *, as_json: bool) -> None:
    """Every model with a name, and those that this library has used under other names."""
    rows = _rows(context)
    if as_json:
        context.result(json.dumps({"models": rows}, indent=2))
        return
    width = max(len(row["name"]) for row in rows)
    for row in rows:
        mark = "*" if row["is_library_model"] else " "
        print_rows(context, [(f"{mark} {row['name']:{width}}", _facts(row))])
        lines = [row["summary"], f"{row['figures']} ({row['figures_source']})" if row["figures"] else ""]
        for line in filter(None, lines):
            context.result(f"    {line}")
    context.result("")
    own = next((row["name"] for row in rows if row["is_library_model"]), None)
    context.note(
        f"* this library's model: {own}"
        if own
        else "This library has no model yet; the first oko index chooses one."
    )
    context.note(
        "Switch: oko models use NAME. Any open_clip model is a name too: ARCH/PRETRAINED or hf-hub:ORG/NAME."
    )


def _facts(row: dict[str, Any]) -> str:
    where = "on this machine" if row["cached"] else "to download"
    if row["size_bytes"] is not None:
        where = f"{size(row['size_bytes'])} {where}"
    facts = ["" if row["kind"] == "clip" else f"{row['kind']} (for oko generate)", row["arch"], where]
    if row["photos"]:
        facts.append(f"{count(row['photos'], 'photo')} embedded")
    if row["needs_package"]:
        facts.append(f"needs {row['needs_package']}")
    return ", ".join(filter(None, facts))


def _rows(context: Context) -> list[dict[str, Any]]:
    own, counts = _used(context)
    registry = Registry(context.folder)
    specs = [*registry.list(), *vqgans.builtin()]
    named = {spec.canonical_name for spec in specs}
    specs += [registry.resolve(name) for name in counts if name not in named and "/" in name]
    return [_row(registry, spec, own, counts.get(spec.canonical_name, 0)) for spec in specs]


def _row(registry: Registry, spec: ModelSpec, own: str | None, photos: int) -> dict[str, Any]:
    lacks_package = spec.needs_transformers and not has_transformers()
    return {
        "name": spec.name,
        "kind": spec.kind,
        "source": spec.source,
        "arch": spec.canonical_name if spec.canonical_name != spec.name else spec.arch,
        "summary": spec.summary,
        "figures": spec.figures or None,
        "figures_source": FIGURES_FROM.get(spec.name) if spec.figures else None,
        "size_bytes": size_bytes(spec),
        "cached": registry.is_cached(spec),
        "photos": photos,
        "is_library_model": own is not None and own == spec.name,
        "needs_package": PACKAGES["hub-tokenizers"] if lacks_package else None,
    }


def size_bytes(spec: ModelSpec) -> int | None:
    """How much there is, or is to download; None where only the hub knows."""
    if spec.weights is None:
        return spec.download_bytes
    try:
        files = [spec.weights] if spec.weights.is_file() else list(spec.weights.iterdir())
        return sum(path.stat().st_size for path in files)
    except OSError:
        return None


def use(context: Context, name: str, *, anyway: bool, as_json: bool) -> bool:
    """Embed the library with another model, then make it the library's own. Returns whether that came about.

    Until then the old model answers; what was embedded before an interruption or an error is kept.
    """
    registry = Registry(context.folder)
    spec = registry.resolve(name)
    if spec.kind != "clip":
        raise UsageError(
            f"{spec.name} paints pictures; it cannot find them", hint="oko models list shows those that can."
        )
    require_transformers(spec)
    fetch(context, registry, spec)
    encoder = assemble.make_encoder(spec, context.config)
    # Loads it, unless it was loaded before: a model that does not load shall not leave an empty library behind.
    _ = encoder.stamp
    with assemble.writing(context.folder, context.config, purpose=context.purpose, create=True) as store:
        _announce(context, store, encoder)
        report = indexing.embed_with(context, store, encoder)
        why_not = _why_not(store, report, anyway=anyway)
        if why_not is None:
            store.set_default_model(spec.name)
    if report.embedded and why_not is None:
        indexing.prepare_search(context, encoder)
    if as_json:
        result = {
            "model": spec.name,
            "switched": why_not is None,
            "reason": why_not,
            "report": dataclasses.asdict(report),
        }
        context.result(json.dumps(result, indent=2))
    else:
        _say_result(context, spec, report, why_not)
    if report.interrupted:
        raise KeyboardInterrupt
    return why_not is None


def fetch(context: Context, registry: Registry, spec: ModelSpec) -> None:
    """Download the weights if they are not here, saying first how much that is. Raises ModelError."""
    if registry.is_cached(spec):
        return
    expected = size_bytes(spec)
    if expected is None:
        context.note(f"Downloading {spec.name}; its size is not known before.")
    else:
        about = clock(expected / DOWNLOAD_BYTES_PER_S)
        context.note(
            f"Downloading {spec.name}: {size(expected)}, about {about} at 50 Mbit/s. It is kept for all libraries."
        )
    with transfer_bar(context, f"Downloading {spec.name}", in_bytes=True) as progress:
        registry.download(spec, progress)


def _announce(context: Context, store: Store, encoder: Encoder) -> None:
    with store.catalog.reading() as c:
        model_id = reading.model_id(c, encoder.stamp)
        # No model has the id -1, so for a new one this counts every photo on disk.
        number = reading.photos_without_embedding(c, -1 if model_id is None else model_id)
    if number:
        about = clock(number * seconds_per_photo(encoder))
        context.note(
            f"Embedding {count(number, 'photo')}: about {about}. The library can be searched as before meanwhile."
        )


def seconds_per_photo(encoder: Encoder) -> float:
    """How long the model takes for one photo on this machine: measured on a grey one, after a first to warm up."""
    pixels = encoder.prepare(Image.new("RGB", (encoder.min_side_px, encoder.min_side_px), "grey"))
    batch = np.stack([pixels] * TIMED_PHOTOS)
    encoder.encode_images(batch[:1])
    started = time.perf_counter()
    encoder.encode_images(batch)
    return (time.perf_counter() - started) / len(batch)


def _why_not(store: Store, report: IndexReport, *, anyway: bool) -> str | None:
    """Why the library must not be switched yet, in a sentence; None when it may."""
    if report.interrupted:
        return "it was interrupted; the same command goes on where it stopped"
    if anyway:
        return None
    with store.catalog.reading() as c:
        away = [folder for folder in indexed_folders(c) if folder.is_offline and folder.files]
    if away:
        folders = ", ".join(display_path(folder.path) for folder in away)
        return f"{folders} seems to be offline; connect it and run the same command again, or add --anyway"
    if report.failed:
        failed = count(report.failed, "photo")
        return f"{failed} could not be embedded (why: oko status --problems); run it again, or add --anyway"
    return None


def _say_result(context: Context, spec: ModelSpec, report: IndexReport, why_not: str | None) -> None:
    for line in indexing.report_lines(report) if report.scanned else ():
        context.note(line)
    if why_not is not None:
        context.note(f"Not switched to {spec.name}: {why_not}.")
        return
    context.note(f"This library now uses {spec.name}.")
    source = context.loaded.sources["model"]
    if context.config.model not in ("auto", spec.name):
        place = f"{ENVIRONMENT_PREFIX}MODEL" if source == "environment" else source
        context.note(f"But {place} says model = {context.config.model}, which goes before it.")
