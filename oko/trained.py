"""What training was worth, for people and programs: recall before and after, a sheet of answers, curves."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from library.errors import DiskFull, MissingExtra, UsageError
from library.records import display_path
from library.sheets import Cell, Section, contact_sheet
from oko.aligned import columns, count
from oko.context import Context
from oko.progress import clock
from training.clip import Trained
from training.curves import draw_curves
from training.data import open_photo
from training.evaluate import top
from training.examination import Examination, Measured
from training.journal import Journal
from training.photos import Problem

PROBLEMS_SHOWN = 10
QUERIES = 6
ANSWERS = 5
_CELL_PX = 150
_WAYS = (("caption -> photo", "text_to_image"), ("photo -> caption", "image_to_text"))


class Sheet:
    """The best photos for a fixed list of texts, before training and after it, one below the other."""

    def __init__(self, queries_file: Path | None) -> None:
        """`queries_file`: one text a line; without it captions of held-back photos are asked."""
        self._queries = _read_queries(queries_file) if queries_file else []
        self._answers: dict[str, list[list[int]]] = {}
        self._examination: Examination | None = None

    def look(self, when: str, examination: Examination) -> None:
        """Asks the model of this moment."""
        if when not in ("before", "after"):
            return
        self._examination = examination
        self._queries = self._queries or examination.example_queries(QUERIES)
        texts, images = examination.encode_texts(self._queries), examination.image_vectors()
        self._answers[when] = top(texts, images, ANSWERS).tolist()

    def write(self, path: Path) -> None:
        """The sheet as a picture; nothing when no photo was held back. Raises DiskFull."""
        if self._examination is None:
            return
        sections = [
            Section(f"{query}  ({when})", self._cells(query, self._answers[when][row]))
            for row, query in enumerate(self._queries)
            for when in ("before", "after")
        ]
        sheet = contact_sheet(sections, columns=ANSWERS, cell_px=_CELL_PX, title="Before and after training")
        try:
            sheet.save(path)
        except OSError as error:
            raise DiskFull(f"{path} could not be written: {error.strerror or error}") from error

    def _cells(self, query: str, rows: Sequence[int]) -> list[Cell]:
        assert self._examination is not None, "looked before"
        right = self._examination.right_photos(query)
        cells = []
        for row in rows:
            image = open_photo(self._examination.photos[row], side_px=_CELL_PX)
            if not isinstance(image, Problem):
                cells.append(Cell(image, accent=row in right))
        return cells


def _read_queries(file: Path) -> list[str]:
    try:
        lines = file.expanduser().read_text(encoding="utf-8-sig", errors="replace").splitlines()
    except OSError as error:
        raise UsageError(f"{file} cannot be read: {error.strerror}") from error
    queries = list(dict.fromkeys(filter(None, (line.strip() for line in lines))))
    if not queries:
        raise UsageError(f"there is no text in {file}")
    return queries


def write_curves(context: Context, journal: Journal, path: Path) -> None:
    """The curves as a picture, or a line on what they need."""
    try:
        draw_curves(journal, path)
    except MissingExtra as error:
        context.note(f"No picture of the curves: {error.message} ({error.hint.partition(',')[0]}).")


def say_problems(context: Context, problems: Sequence[Problem]) -> None:
    """What was passed over, the first few by name."""
    if not problems:
        return
    context.note(f"{count(len(problems), 'file')} passed over:")
    for problem in problems[:PROBLEMS_SHOWN]:
        context.note(f"  ! {problem.name}: {problem.reason}")
    if len(problems) > PROBLEMS_SHOWN:
        context.note(f"  ! and {len(problems) - PROBLEMS_SHOWN:,} more, in training/log.jsonl")


def show(context: Context, name: str, trained: Trained, *, seconds: float, json_wanted: bool) -> None:
    """Print the table, or one JSON object, and what to do next."""
    if json_wanted:
        context.result(json.dumps(as_json(name, trained, seconds), indent=2))
        return
    before, after = trained.before, trained.after
    if before is not None and after is not None:
        for line in table(before, after):
            context.result(line)
        context.note(
            f"Measured on {count(after.photos, 'photo')} with {count(after.captions, 'caption')} "
            "that it was not trained on."
        )
        if after.mean_recall <= before.mean_recall:
            context.note(
                f"{name} is no better there than what it came from; try --keep 0.5, or fewer --epochs."
            )
    context.note(
        f"{count(trained.steps, 'step')} in {clock(seconds)}. The model: {display_path(trained.folder)}"
    )
    context.note(f"Search with it: oko models use {name}")


def table(before: Measured, after: Measured) -> list[str]:
    """Recall and accuracy in percent, before and after."""
    rows = [("", "", "before", "after")]
    for text, way in _WAYS:
        was, now = getattr(before, way), getattr(after, way)
        rows += [
            (text if place == 0 else "", f"among the best {k}", _percent(was[k]), _percent(now[k]))
            for place, k in enumerate(now)
        ]
    if before.zero_shot is not None and after.zero_shot is not None:
        labels = f"one of {after.labels} labels"
        rows.append(("label right", labels, _percent(before.zero_shot), _percent(after.zero_shot)))
    return columns(rows, right=frozenset({2, 3}))


def as_json(name: str, trained: Trained, seconds: float) -> dict[str, Any]:
    """The same for programs; shares from 0 to 1."""
    return {
        "model": name,
        "folder": str(trained.folder),
        "photos": trained.photos,
        "steps": trained.steps,
        "elapsed_s": round(seconds, 1),
        "before": trained.before.as_json() if trained.before else None,
        "after": trained.after.as_json() if trained.after else None,
        "problems": [{"name": problem.name, "reason": problem.reason} for problem in trained.problems],
    }


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
