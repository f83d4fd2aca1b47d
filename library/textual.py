"""Texts -> vectors from what was recorded of a model, so that a query in words loads neither torch nor open_clip.

A record is made when a model is loaded by torch (`library.textual_export`), after its numpy tower has given the same
vectors; it says which file holds what, and is believed only while those files are as they were then.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import logging
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import platformdirs
from numpy.typing import NDArray

from library.bpe import BpeTokenizer
from library.errors import ModelError
from library.presets import ModelSpec
from library.records import ModelStamp
from library.tensorfile import TensorFile
from library.text_tower import TextTower, TowerShape
from library.weights import write_atomically

log = logging.getLogger(__name__)

F32 = NDArray[np.float32]

FORMAT = 1  # raised whenever tower, tokenizer or record change their meaning
_MOST_RECORDS = 100  # files of one or two kB; models that are gone are forgotten so
# Where the hub's client looks for what was downloaded.
_HUB_VARIABLES = ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HOME", "XDG_CACHE_HOME")


@dataclass(frozen=True, slots=True)
class Witness:
    """A file that a record depends on, as it was."""

    path: str
    size_bytes: int
    mtime_ns: int
    ctime_ns: int  # weights of one architecture may be of one size, and times of files can be set

    @classmethod
    def of(cls, path: Path) -> Witness:
        """Raises OSError when it is not there."""
        stat = path.stat()
        return cls(str(path), stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)


@dataclass(frozen=True, slots=True)
class Record:
    """What is known of a model without loading it; `refused` says why its texts need torch, or is ""."""

    stamp: ModelStamp
    logit_scale: float
    logit_bias: float | None
    image_size: int
    weights: str
    vocabulary: str
    context: int
    shape: TowerShape | None
    witnesses: tuple[Witness, ...]
    refused: str = ""


class TextualModel:
    """A model as far as texts need it. Any thread may use it; tower and tokenizer are read at the first text."""

    def __init__(self, record: Record) -> None:
        self.stamp = record.stamp
        self.logit_scale = record.logit_scale
        self.logit_bias = record.logit_bias
        self.image_size = record.image_size
        self._record = record

    @cached_property
    def _parts(self) -> tuple[BpeTokenizer, TextTower]:
        record = self._record
        assert record.shape is not None, "a refused record makes no model"
        return (
            BpeTokenizer(Path(record.vocabulary), record.context),
            TextTower(TensorFile(Path(record.weights)), record.shape),
        )

    def encode_texts(self, texts: list[str]) -> F32:
        """N texts -> (N, D) float32, not normalised. Raises ModelError when the files turn out to be unsound."""
        try:
            tokenizer, tower = self._parts
            return tower(tokenizer(texts))
        except (OSError, EOFError, ValueError, KeyError) as e:
            raise ModelError(f"the text tower of {self.stamp.name} cannot be read by itself: {e}") from e


def recorded(spec: ModelSpec, cache_dir: Path | None = None) -> TextualModel | None:
    """The model as it was recorded; None when it never was, was refused, or when one of its files has changed."""
    record = read_record(spec, cache_dir)
    return TextualModel(record) if record is not None and not record.refused else None


def read_record(spec: ModelSpec, cache_dir: Path | None = None) -> Record | None:
    """What is recorded, if it is sound and all files are as they were."""
    try:
        values = json.loads(record_path(spec, cache_dir).read_text("utf-8"))
        if values["sha256"] != _digest(values["record"]):
            raise ValueError("damaged")
        record = _record(values["record"])
        for each in record.witnesses:
            if Witness.of(Path(each.path)) != each:
                raise ValueError(f"{each.path} has changed")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as e:
        log.debug("texts of %s need torch: %s: %s", spec.name, type(e).__name__, e)
        return None
    if record.refused:
        log.debug("texts of %s need torch: %s", spec.name, record.refused)
    return record


def write_record(spec: ModelSpec, record: Record, cache_dir: Path | None = None) -> None:
    """Keep it, readable by its owner alone. Best effort: a cache that cannot be written costs time only."""
    values = json.loads(json.dumps(asdict(record)))
    path = record_path(spec, cache_dir)
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_atomically(path, json.dumps({"sha256": _digest(values), "record": values}, indent=1))
        _forget_old(path.parent)
    except OSError as e:
        log.debug("the text tower of %s is not recorded: %s", spec.name, e)


def record_path(spec: ModelSpec, cache_dir: Path | None = None) -> Path:
    """Where the record of a model lies, or would lie."""
    where = [os.environ.get(name) for name in _HUB_VARIABLES] if spec.weights is None else []
    named = [FORMAT, spec.source, spec.canonical_name, spec.arch, spec.pretrained, spec.repo]
    key = _digest([*named, str(spec.weights), str(cache_dir), where])
    return platformdirs.user_cache_path("oko", appauthor=False) / "text-towers" / f"{key[:32]}.json"


def witnesses(files: Iterable[Path]) -> tuple[Witness, ...]:
    """The files as they are, with what decides which file of the hub cache is meant, and with open_clip's version.

    Raises OSError when one is not there.
    """
    found = [*files]
    for path in tuple(found):
        revision = path.parent
        if revision.parent.name == "snapshots":
            found.append(revision.parent.parent / "refs" / "main")
    version = open_clip_file("version.py")
    if version is not None:
        found.append(version)
    return tuple(Witness.of(path) for path in dict.fromkeys(found))


def open_clip_file(name: str) -> Path | None:
    """A file of open_clip's own, found without loading it; None when it is not installed."""
    package = importlib.util.find_spec("open_clip")
    return (
        Path(package.origin).with_name(name) if package is not None and package.origin is not None else None
    )


def _digest(values: Any) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def _record(values: dict[str, Any]) -> Record:
    """Raises KeyError, TypeError or ValueError for what is no record."""
    shape = values["shape"]
    return Record(
        **{
            **values,
            "stamp": ModelStamp(**values["stamp"]),
            "shape": None if shape is None else TowerShape(**shape),
            "witnesses": tuple(Witness(**each) for each in values["witnesses"]),
        }
    )


def _forget_old(folder: Path) -> None:
    """Raises OSError."""
    files = sorted(folder.glob("*.json"), key=lambda path: path.stat().st_mtime_ns)
    for path in files[:-_MOST_RECORDS]:
        path.unlink(missing_ok=True)
