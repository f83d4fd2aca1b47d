"""The demonstration: real photographs out of two packages are indexed, searched, classified and tagged, offline."""

from __future__ import annotations

import importlib.util
import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import oko
from library.errors import UsageError
from library.records import IndexReport, SearchResult
from library.sheets import Cell, Section, contact_sheet
from oko.aligned import count
from oko.api import Library
from oko.context import Context
from oko.searching import status

# Package -> where its pictures lie, and which of them are photographs people can search for.
PHOTOS = {
    "skimage": (
        "data",
        (
            *(
                "astronaut.png",
                "chelsea.png",
                "coffee.png",
                "rocket.jpg",
                "motorcycle_left.png",
                "camera.png",
            ),
            *("coins.png", "moon.png", "grass.png", "gravel.png", "brick.png", "page.png"),
            *("hubble_deep_field.jpg", "retina.jpg"),
        ),
    ),
    "sklearn": ("datasets/images", ("china.jpg", "flower.jpg")),
}
QUERIES = ("a cat", "a motorcycle", "a flower in the garden", "a temple by a lake", "kočka")
LABELS = (
    "a cat",
    "a person",
    "a motorcycle",
    "a temple",
    "a flower",
    "food",
    "a rocket",
    "text",
    "the night sky",
)
CLASSIFIED = ("chelsea.png", "rocket.jpg", "china.jpg")
MOST_TAGS = 5  # of one photo
RESULTS = 3


def run(into: Path, context: Context) -> None:
    """The whole demonstration; everything it writes lies below `into`."""
    into = into.expanduser().absolute()
    photos = copy_photos(into / "photos")
    say = context.result
    say(
        f"{len(photos)} real photographs from scikit-image and scikit-learn are in {_short(into / 'photos')}.\n"
    )
    with oko.open_library(into / "library", model="builtin") as library:
        with status(context, "Loading the built-in model and indexing"):
            report = library.index([into / "photos"])
        say(f"$ oko index {_short(into / 'photos')}\n  {_done(report)}, offline, with the built-in model.\n")
        sections = [Section(f"“{query}”", _cells(_search(library, query, context))) for query in QUERIES]
        sections.append(Section("What is it? (zero-shot)", _classify(library, into / "photos", context)))
        _tag(library, context)
    sheet = into / "results.png"
    contact_sheet(sections, columns=RESULTS, title="oko").save(sheet)
    say(f"The same as pictures: {_short(sheet)}\n")
    say("Now your own photos (they stay on this machine):")
    say(f"  {_command()} index ~/Pictures\n  {_command()} search a dog running on the beach")
    say(f"  {_command()} serve --open        (the page, in your browser)")


def _done(report: IndexReport) -> str:
    if report.embedded:
        return f"{report.embedded} photos indexed in {report.elapsed_s:.1f} s"
    return f"{report.unchanged} photos were indexed before: nothing to do"


def _command() -> str:
    """How this oko was called, so that the lines can be copied."""
    called = Path(sys.argv[0])
    return _short(called.absolute()) if called.name == "oko" and called.parent != Path() else "oko"


def copy_photos(folder: Path) -> list[Path]:
    """The demo's photographs, copied out of the installed packages. Raises UsageError if none is installed."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as e:
        raise UsageError(
            f"the demo cannot write to {folder}: {e.strerror}", hint="Name a folder: --into DIR"
        ) from e
    copied = []
    for source in _sources():
        target = folder / source.name
        if not target.exists():
            shutil.copyfile(source, target)
        copied.append(target)
    if not copied:
        raise UsageError(
            "the demo's photos are not installed",
            hint="pip install scikit-image scikit-learn, or run: make demo",
        )
    return copied


def _sources() -> Iterator[Path]:
    for package, (folder, names) in PHOTOS.items():
        spec = importlib.util.find_spec(package)
        if spec is not None and spec.origin:
            yield from (
                p for p in (Path(spec.origin).parent / folder / name for name in names) if p.is_file()
            )


def _search(library: Library, query: str, context: Context) -> list[SearchResult]:
    started = time.perf_counter()
    results = list(library.search(query, top=RESULTS, everything=True))
    took_ms = 1000 * (time.perf_counter() - started)
    context.result(f"$ oko search {query} --all -k {RESULTS}        ({took_ms:.0f} ms)")
    for rank, result in enumerate(results, 1):
        context.result(
            f"  {rank}  {result.score:.2f}  {result.relevance or 0:.0%} relevant  {result.path.name}"
        )
    context.result("")
    return results


def _classify(library: Library, folder: Path, context: Context) -> list[Cell]:
    context.result(f"$ oko classify {' '.join(CLASSIFIED)} --labels '{','.join(LABELS)}'")
    cells = []
    for photo in (folder / name for name in CLASSIFIED):
        best = library.classify(photo, LABELS, top=2)
        answers = [f"{label.name} {label.probability:.0%}" for label in best]
        context.result(f"  {photo.name:<12} {', '.join(answers)}")
        cells.append(Cell(photo.read_bytes(), "\n".join(answers)))
    context.result("")
    return cells


def _tag(library: Library, context: Context) -> None:
    context.result("$ oko tag")
    with status(context, "Reading a thousand tags"):
        report = library.tag()
    context.result(f"  {count(report.suggestions, 'tag')} suggested for {count(report.photos, 'photo')}:")
    for photo in sorted(library.search("-is:untagged", top=report.photos), key=lambda photo: photo.path.name):
        context.result(f"  {photo.path.name:<21} {', '.join(tag.name for tag in photo.tags[:MOST_TAGS])}")
    context.result("")


def _cells(results: list[SearchResult]) -> list[Cell]:
    return [
        Cell(r.path.read_bytes(), f"{r.path.name}\n{r.score:.2f}", accent=rank == 0)
        for rank, r in enumerate(results)
    ]


def _short(path: Path) -> str:
    here = Path.cwd()
    return str(path.relative_to(here)) if here in path.parents else str(path)
