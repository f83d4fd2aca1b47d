"""`oko classify --evaluate`: how often zero-shot classification is right, where folders are named after classes."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from library.errors import UsageError
from library.records import display_path
from oko.aligned import columns, count
from oko.classifying import Classified

TOP = 5
WIDEST = 12  # classes whose confusion is shown as a whole; of more, only the commonest confusions
CONFUSIONS_SHOWN = 15
FOLDERS_SHOWN = 10


@dataclass(slots=True)
class Evaluation:
    """Counts of photos. `confusion[true][answer]`."""

    confusion: dict[str, Counter[str]] = field(default_factory=dict)
    among_top: int = 0
    labels: int = 0  # to choose from
    unlabelled: int = 0  # in a folder that is none of the labels
    unreadable: int = 0
    other_folders: set[str] = field(default_factory=set)  # those of the unlabelled photos

    @property
    def has_top_5(self) -> bool:
        """Whether it says anything that the right answer is among so many."""
        return self.labels > TOP

    @property
    def photos(self) -> int:
        """How many were judged."""
        return sum(sum(row.values()) for row in self.confusion.values())

    @property
    def right(self) -> int:
        """How many had their own class as first answer."""
        return sum(row[true] for true, row in self.confusion.items())

    def as_json(self) -> dict[str, Any]:
        """One object; the shares are null when nothing was judged, top_5 also with no more than five labels."""
        n = self.photos
        return {
            "photos": n,
            "top_1": self.right / n if n else None,
            "top_5": self.among_top / n if n and self.has_top_5 else None,
            "unlabelled": self.unlabelled,
            "unreadable": self.unreadable,
            "confusion": {true: dict(row.most_common()) for true, row in sorted(self.confusion.items())},
        }

    def lines(self) -> list[str]:
        """For people."""
        n = self.photos
        if not n:
            return ["No photo lies in a folder that is named like a label."]
        top_5 = f", top-5 {self.among_top / n:.1%}" if self.has_top_5 else ""
        lines = [f"top-1 {self.right / n:.1%}{top_5} of {count(n, 'photo')}"]
        if self.unlabelled:
            lines.append(f"in folders that are none of the labels: {count(self.unlabelled, 'photo')}")
        if self.unreadable:
            lines.append(f"could not be read: {count(self.unreadable, 'file')}")
        return [*lines, "", *(self._table() if len(self.confusion) <= WIDEST else self._commonest())]

    def _table(self) -> list[str]:
        answers = sorted({answer for row in self.confusion.values() for answer in row} | set(self.confusion))
        if len(answers) > 2 * WIDEST:
            return self._commonest()
        cells = [("true \\ answer", *answers)]
        cells += [
            (true, *(str(row[a] or "") for a in answers)) for true, row in sorted(self.confusion.items())
        ]
        return columns(cells, right=frozenset(range(1, len(answers) + 1)))

    def _commonest(self) -> list[str]:
        wrong = Counter(
            {(true, a): n for true, row in self.confusion.items() for a, n in row.items() if a != true}
        )
        cells = [("photos", "true", "answer")]
        cells += [(str(n), true, answer) for (true, answer), n in wrong.most_common(CONFUSIONS_SHOWN)]
        return columns(cells, right=frozenset({0})) if wrong else ["No confusion."]


def plain(name: str) -> str:
    """A folder's or a label's name for comparing: "Golden_Retriever" is "golden retriever"."""
    return " ".join(name.replace("_", " ").split()).casefold()


def folder_labels(paths: Sequence[Path]) -> list[str]:
    """The names of the folders directly below the paths, as labels. Raises UsageError when there are none."""
    names = {
        entry.name.replace("_", " ")
        for path in paths
        if path.expanduser().is_dir()
        for entry in path.expanduser().iterdir()
        if entry.is_dir() and not entry.name.startswith(".")
    }
    if not names:
        raise UsageError(
            "there are no labels to choose from",
            hint="Give some with --labels, or one folder a class with --evaluate.",
        )
    return sorted(names)


def evaluate(found: Iterable[Classified], paths: Sequence[Path], labels: Sequence[str]) -> Evaluation:
    """Compare each photo's labels (at least TOP, or all) with the folder below the path in which it lies.

    Raises UsageError when no folder with photos is named like a label.
    """
    names: dict[str, str] = {}
    for label in labels:  # the first spelling, as the classifier takes it
        names.setdefault(plain(label), " ".join(label.split()))
    tops = [os.fsencode(path.expanduser().absolute()) for path in paths]
    result = Evaluation(labels=len(names))
    for photo in found:
        folder = _class_of(photo.raw_path, tops)
        true = names.get(plain(folder))
        if photo.problem:
            result.unreadable += 1
        elif true is None:
            result.unlabelled += 1
            result.other_folders.add(folder or ".")
        else:
            answers = [label.name for label in photo.labels]
            result.confusion.setdefault(true, Counter())[answers[0]] += 1
            result.among_top += plain(true) in map(plain, answers[:TOP])
    if result.unlabelled and not result.photos:
        seen = sorted(map(display_path, map(Path, result.other_folders)))
        more = f" and {len(seen) - FOLDERS_SHOWN:,} more" if len(seen) > FOLDERS_SHOWN else ""
        raise UsageError(
            f"no folder is named like a label; there are photos in: {', '.join(seen[:FOLDERS_SHOWN])}{more}",
            hint="Name the folder that holds one folder a class, and labels that are called like those.",
        )
    return result


def _class_of(path: bytes, tops: Sequence[bytes]) -> str:
    for top in tops:
        inside = path.removeprefix(top.rstrip(b"/") + b"/")
        if inside != path and b"/" in inside:
            return os.fsdecode(inside.split(b"/")[0])
    return ""
