"""What CLIP models are good and weak in, one column a model: retrieval, colours, counts, light, documents, hubs, speed.

usage: python -m benchmarks.diagnose MODEL... [--data ../shared/data] [--json FILE]
       [--sheet FILE.png] [--only colours]

A MODEL is a registered name (builtin, balanced, ARCH/PRETRAINED ...), a folder with open_clip_config.json and
weights, or the weights file in such a folder. Measured on the held-out tenth of each shard
(training.splits.is_held_out) and on pictures drawn by code; nothing is random. "chance" is what a model would score
that tells nothing apart. The first model is the reference of the speed ratios; timings of the models alternate.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.progress import Progress

from benchmarks import object_probes, probes
from benchmarks.contenders import BATCH, Contender, contenders, ms_a_query, photos_per_s
from benchmarks.machine import describe, write
from benchmarks.measured import Figure, View, World
from library.errors import OkoError
from training.evaluate import answer_sheet

PROBES: dict[str, Callable[[View], Iterator[Figure]]] = {
    "retrieval": probes.retrieval_by_language,
    "length": probes.query_length,
    "colours": probes.colours,
    "counts": probes.counts_and_relations,
    "light": probes.light_and_weather,
    "indoors": probes.indoors_and_food,
    "objects": object_probes.object_names,
    "documents": probes.documents,
    "robustness": object_probes.robustness,
    "hubs": object_probes.hubs,
}
SPEED_ROUNDS = 5
SHEET_COLUMNS = 8
# The same eight wishes in each language, then some that show what is weak.
FIXED_QUERIES: dict[str, tuple[str, ...]] = {
    "English": (
        "a dog in the water",
        "children playing football",
        "a red car",
        "a man in a blue shirt",
        "two dogs running",
        "people at night",
        "snow on a mountain",
        "a woman eating",
    ),
    "Czech": (
        "pes ve vodě",
        "děti hrají fotbal",
        "červené auto",
        "muž v modré košili",
        "dva běžící psi",
        "lidé v noci",
        "sníh na hoře",
        "žena, která jí",
    ),
    "German": (
        "ein Hund im Wasser",
        "Kinder spielen Fußball",
        "ein rotes Auto",
        "ein Mann in einem blauen Hemd",
        "zwei laufende Hunde",
        "Menschen bei Nacht",
        "Schnee auf einem Berg",
        "eine Frau, die isst",
    ),
    "French": (
        "un chien dans l'eau",
        "des enfants jouent au football",
        "une voiture rouge",
        "un homme en chemise bleue",
        "deux chiens qui courent",
        "des gens la nuit",
        "de la neige sur une montagne",
        "une femme qui mange",
    ),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run it; returns the exit code (0 also when the data are absent, which is said)."""
    args = arguments(argv)
    world = World(args.data)
    if not world.photos:
        print(f"skipped: there are no development photos in {args.data} (--data names the folder)")
        return 0
    with tempfile.TemporaryDirectory(prefix="oko-models-") as scratch:
        try:
            models = contenders(args.models, Path(scratch), device=args.device, precision=args.precision)
        except OkoError as error:
            print(f"{error}\n{error.hint or ''}".strip(), file=sys.stderr)
            return 1
        diagnose(world, models, args)
    return 0


def diagnose(world: World, models: Sequence[Contender], args: argparse.Namespace) -> None:
    """Measure, print, and write the files that were asked for."""
    started = time.perf_counter()
    views = [View(world, model) for model in models]
    columns = [measure(view, args.only) for view in views]
    if not args.only or "speed" in args.only:
        for column, figures in zip(columns, speed(world, models), strict=True):
            column.extend(figures)
    print_table([model.name for model in models], columns)
    seen = [model.name for model in models if model.saw_the_photos]
    for name in seen:
        print(f"{name} was trained on these photos: its figures on them are no measure of its quality.")
    print(f"{describe()}; {(time.perf_counter() - started) / len(models):.0f} s a model")
    if args.json:
        figures_of = {
            model.name: [asdict(figure) for figure in column]
            for model, column in zip(models, columns, strict=True)
        }
        write(args.json, {"models": figures_of, "saw_the_photos": seen})
    for view in views if args.sheet else ():
        name = args.sheet.stem if len(views) == 1 else f"{args.sheet.stem}-{view.contender.name}"
        draw_sheet(view, args.sheet.with_name(f"{name}{args.sheet.suffix}"))


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("models", nargs="*", default=["builtin"], metavar="MODEL", help="default: builtin")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--only", action="append", choices=[*PROBES, "speed"], help="this probe (repeatable)")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there")
    parser.add_argument("--sheet", type=Path, metavar="FILE.png", help="the answers to fixed queries")
    return parser.parse_args(argv)


def measure(view: View, only: Sequence[str] | None) -> list[Figure]:
    """All probes of one model, or those named."""
    figures: list[Figure] = []
    chosen = {name: probe for name, probe in PROBES.items() if not only or name in only}
    with Progress(console=Console(stderr=True), transient=True) as progress:
        for name in progress.track(chosen, description=view.contender.name):
            figures.extend(chosen[name](view))
    return figures


def speed(world: World, models: Sequence[Contender]) -> Iterator[list[Figure]]:
    """Pictures and texts a second and the size, with ratios to the first model; one column a model."""
    images = [photo.image for photo in world.photos[:BATCH]]
    texts = [text for _, text in world.captions[:: max(1, len(world.captions) // 30)]]
    rates: list[list[float]] = [[] for _ in models]
    times: list[list[float]] = [[] for _ in models]
    for turn in range(SPEED_ROUNDS + 1):
        for number, model in enumerate(models):
            rate, ms = photos_per_s(model, images), ms_a_query(model, texts)
            if turn:  # the first warms up
                rates[number].append(rate)
                times[number].append(ms)
    best = [statistics.median(values) for values in rates]
    quick = [statistics.median(values) for values in times]
    first = models[0].name
    for number, model in enumerate(models):
        rate, ms = best[number], quick[number]
        figures = [
            Figure("speed", f"photos a second, batch of {BATCH}", rate, BATCH, "/s"),
            Figure("speed", f"photos a second : {first}", rate / best[0], BATCH, "x"),
            Figure("speed", "one text query", ms, len(texts), "ms", less_is_better=True),
            Figure("speed", f"one text query : {first}", ms / quick[0], len(texts), "x", less_is_better=True),
        ]
        if model.size_bytes:
            figures.append(
                Figure("speed", "size on disk", model.size_bytes / 1e6, 1, "MB", less_is_better=True)
            )
        yield figures


def draw_sheet(view: View, file: Path) -> None:
    """The answers to the fixed queries among the development and COCO photos."""
    world = view.world
    queries = [
        f"{text}   ({language})"
        for wishes in zip(*FIXED_QUERIES.values(), strict=True)
        for language, text in zip(FIXED_QUERIES, wishes, strict=True)
    ]
    vectors = view.texts([query.partition("   (")[0] for query in queries])
    pictures = [photo.content for photo in world.photos]
    sheet = answer_sheet(
        queries, vectors, view.photos, pictures, columns=SHEET_COLUMNS, title=view.contender.name
    )
    file.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(file)
    print(f"answers to {len(queries)} queries: {file}")


def print_table(names: Sequence[str], columns: Sequence[Sequence[Figure]]) -> None:
    """One row a figure, one column a model."""
    rows: dict[tuple[str, str], dict[int, Figure]] = {}
    for number, column in enumerate(columns):
        for figure in column:
            rows.setdefault((figure.group, figure.name), {})[number] = figure
    widest = max((len(name) for _, name in rows), default=0)
    width = max(9, *(len(name) + 2 for name in names))
    heads = "".join(f"{name:>{width}}" for name in names)
    print(f"{'':{widest + 2}}{'n':>6}{'chance':>8}{heads}")
    group = ""
    for (section, name), cells in rows.items():
        if section != group:
            group = section
            print(f"\n{group}")
        some = next(iter(cells.values()))
        chance = "" if some.chance is None else f"{some.chance:.1f}"
        values = "".join(f"{shown(cells.get(i)):>{width}}" for i in range(len(names)))
        unit = f"{some.unit} (less is better)" if some.less_is_better else some.unit
        print(f"  {name:{widest}}{some.count:>6}{chance:>8}{values}  {unit}")
    print()


def shown(figure: Figure | None) -> str:
    """The value with as many digits as it is worth."""
    if figure is None:
        return "-"
    return f"{figure.value:.{3 if figure.unit in ('cos', 'x') else 1}f}"


if __name__ == "__main__":
    sys.exit(main())
