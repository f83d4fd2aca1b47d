"""The labels of `oko classify`: where they come from, and their vectors, which the library remembers."""

from __future__ import annotations

import argparse
import csv
import dataclasses
import hashlib
import logging
import unicodedata
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from library.catalog import reading, tagging
from library.encoder import Encoder
from library.errors import LibraryError, UsageError
from library.models import ModelSpec
from library.prompts import label_prompts, text_classifier
from library.store import Store
from oko import assemble
from oko.context import Context
from oko.transfers import transfer_bar

log = logging.getLogger(__name__)

STEP_LABELS = 20  # embedded at a time: a second or two on two cores
COMMENT = "#"
SHOWN = 3


def labels_of(args: argparse.Namespace) -> list[str]:
    """The labels that a command line names; with --evaluate and none, the folders below its one path."""
    if args.labels is not None or args.labels_file is not None:
        return read_labels(args.labels, args.labels_file)
    from oko.evaluating import folder_labels

    return folder_labels(args.paths)


def read_labels(listed: str | None, file: Path | None) -> list[str]:
    """Labels from a list with commas, or from a file with one a line (where commas are part of a label).

    In the list a label with a comma stands in double quotes; in the file, lines that begin with # are comments. Raises
    UsageError if the file cannot be read.
    """
    if file is None:
        return next(csv.reader([listed or ""], skipinitialspace=True), [])
    try:
        lines = file.expanduser().read_text(encoding="utf-8-sig").splitlines()
    except OSError as e:
        raise UsageError(
            f"the labels file {file} cannot be read: {e.strerror or 'the system refuses it'}"
        ) from e
    except UnicodeDecodeError as e:
        raise UsageError(
            f"the labels file {file} is no text in UTF-8 (byte {e.start + 1:,} is not)",
            hint="Save it as UTF-8, one label a line.",
        ) from e
    return [line for line in lines if not line.lstrip().startswith(COMMENT)]


def unread_scripts(labels: Sequence[str], spec: ModelSpec) -> list[str]:
    """Labels in a script that the model has hardly seen; [] for models that read many, or of which nothing is known.

    Text that a model cannot read lies near its photos by accident, and wins.
    """
    if spec.source not in ("builtin", "preset") or spec.needs_transformers:
        return []
    return [label for label in labels if any(c.isalpha() and not _is_latin(c) for c in label)]


def _is_latin(letter: str) -> bool:
    return unicodedata.name(letter, "").startswith(("LATIN", "FEMININE", "MASCULINE"))


def warn_of_scripts(context: Context, labels: Sequence[str], spec: ModelSpec) -> None:
    """Say which labels the model cannot read."""
    unread = unread_scripts(labels, spec)
    if unread:
        more = f" and {len(unread) - SHOWN:,} more" if len(unread) > SHOWN else ""
        context.note(
            f"Warning: {spec.name} reads Latin letters only; what it says about {', '.join(unread[:SHOWN])}{more} "
            "is chance. Models of many languages: oko models list"
        )


@dataclasses.dataclass(frozen=True, slots=True)
class LabelVectors:
    """Embeds labels; a library that has photos of this model remembers them, so that the next run need not."""

    context: Context
    store: Store | None
    encoder: Encoder
    templates: Sequence[str]

    def __call__(self, labels: Sequence[str]) -> NDArray[np.float32]:
        """Vectors (L, D) float32 of L2 norm 1, in the order of the labels. Raises as `text_classifier` does."""
        digests = {label: self._digest(label) for label in labels}
        known = self._known(list(digests.values()))
        lacking = [label for label in labels if digests[label] not in known]
        made: dict[bytes, NDArray[np.float32]] = {}
        with transfer_bar(self.context, "Reading the labels") as progress:
            for start in range(0, len(lacking), STEP_LABELS):
                part = lacking[start : start + STEP_LABELS]
                vectors = text_classifier(self.encoder, part, self.templates)
                made.update(zip((digests[label] for label in part), vectors, strict=True))
                progress(start + len(part), len(lacking))
        self._remember(made)
        return np.stack([{**known, **made}[digests[label]] for label in labels])

    def _digest(self, label: str) -> bytes:
        return hashlib.sha256("\0".join(("label", *label_prompts(label, self.templates))).encode()).digest()

    def _known(self, digests: Sequence[bytes]) -> dict[bytes, NDArray[np.float32]]:
        if self.store is None:
            return {}
        stamp = self.encoder.stamp
        with self.store.catalog.reading() as c:
            model_id = reading.model_id(c, stamp)
            return tagging.text_vectors(c, model_id, digests, stamp.dim) if model_id is not None else {}

    def _remember(self, made: dict[bytes, NDArray[np.float32]]) -> None:
        if self.store is None or not made:
            return
        config = dataclasses.replace(self.context.config, lock_timeout_s=0)
        try:
            with self.store.catalog.reading() as c:
                model_id = reading.model_id(c, self.encoder.stamp)
            if model_id is not None:
                with assemble.writing(self.context.folder, config, purpose=self.context.purpose) as writer:
                    writer.remember_tag_vectors(model_id, list(made), np.stack(list(made.values())))
        except (
            LibraryError
        ) as e:  # another writer is at work, or the library may only be read: it costs time alone
            log.info("the labels' vectors are not remembered: %s", e.message)
