"""The tags that photos may get: about a thousand shipped ones, and the user's own changes to them.

library/vocabulary.toml holds the shipped ones in groups; a user's file has the same form, and its tags are added, or
replace those of the same name. The settings `tags` and `tags_file` say what is changed.
"""

from __future__ import annotations

import difflib
import json
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from library.errors import ConfigError

SHIPPED = Path(__file__).with_name("vocabulary.toml")
RELATIONS = Path(__file__).with_name("tag_relations.json")
OWN_GROUP = "own"
# Of how many photos a tag is expected to be true when nothing is known about it: rather rare, so that it is suggested
# only where it stands out clearly.
DEFAULT_SHARE = 0.001
LONGEST_NAME = 100  # characters


@dataclass(frozen=True, slots=True)
class TagSpec:
    """One tag. `share` is the expected part of photos that have it, 0 to 1, from which its threshold follows."""

    name: str
    group: str = OWN_GROUP
    words: tuple[str, ...] = ()  # other words for the same thing
    prompts: tuple[str, ...] = ()  # sentences that a picture of it could have as its caption
    share: float = DEFAULT_SHARE
    implies: tuple[str, ...] = ()  # tags that are true of every photo that has this one


@dataclass(frozen=True, slots=True, eq=False)
class Relations:
    """What the tags `seen` tell of the tags `told`: `weights` (S, K) float32, of the deviations of the former."""

    seen: tuple[str, ...] = ()
    told: tuple[str, ...] = ()
    weights: NDArray[np.float32] = field(default_factory=lambda: np.zeros((0, 0), np.float32))


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """Tags in a fixed order, and what they tell of each other."""

    tags: tuple[TagSpec, ...]
    related: Relations = field(default_factory=Relations)

    def __len__(self) -> int:
        return len(self.tags)

    @property
    def names(self) -> list[str]:
        """The tags' names, in order."""
        return [tag.name for tag in self.tags]

    def implications(self) -> list[tuple[str, str]]:
        """(tag, a tag that it implies), with what follows from several steps, of tags that are there."""
        direct = {tag.name: tag.implies for tag in self.tags}
        found: dict[tuple[str, str], None] = {}
        for name in direct:
            ahead = list(direct[name])
            while ahead:
                other = ahead.pop(0)
                if other in direct and other != name and (name, other) not in found:
                    found[name, other] = None
                    ahead += direct[other]
        return list(found)

    def group_of(self, name: str) -> str:
        """The group of a tag; `own` for one that is not in the vocabulary."""
        return next((tag.group for tag in self.tags if tag.name == name), OWN_GROUP)

    def with_tags(self, tags: Sequence[TagSpec]) -> Vocabulary:
        """The same with these added, or put in place of those of the same name."""
        new = {tag.name: tag for tag in tags}
        kept = [new.pop(tag.name, tag) for tag in self.tags]
        return replace(self, tags=(*kept, *new.values()))

    def without(self, names: Sequence[str]) -> Vocabulary:
        """The same without these tags."""
        return replace(self, tags=tuple(tag for tag in self.tags if tag.name not in names))


def shipped_vocabulary() -> Vocabulary:
    """The tags that come with oko."""
    text = SHIPPED.read_text(encoding="utf-8")
    return Vocabulary(tuple(_parse(tomllib.loads(text), str(SHIPPED))), _relations())


def _relations() -> Relations:
    """The shipped ones: a list of the tags that tell, and for each tag told of their weights in thousandths."""
    content = json.loads(RELATIONS.read_text(encoding="utf-8"))
    rows = np.array(list(content["told"].values()), np.float32) / 1000
    weights = rows.reshape(len(content["told"]), len(content["seen"])).T
    return Relations(tuple(content["seen"]), tuple(content["told"]), np.ascontiguousarray(weights))


def load_vocabulary(changes: Sequence[str] = (), file: str = "") -> Vocabulary:
    """The shipped tags with the user's changes: first those of the file, then those of the list.

    An item of the list is "NAME", "NAME: a sentence; another sentence", or "-NAME" to leave a tag out ("-*": all
    shipped ones). Raises ConfigError for a file or an item that makes no sense.
    """
    vocabulary = shipped_vocabulary()
    own = _read(Path(file).expanduser()) if file else []
    if "-*" in changes:
        vocabulary = replace(vocabulary, tags=())
    vocabulary = vocabulary.with_tags(own)
    for item in changes:
        if item == "-*":
            continue
        if item.startswith("-"):
            vocabulary = vocabulary.without([_existing(item[1:], vocabulary)])
        else:
            vocabulary = vocabulary.with_tags([_from_text(item, vocabulary)])
    if not vocabulary.tags:
        raise ConfigError(
            "there are no tags left to suggest", hint="Look at the settings tags and tags_file."
        )
    return vocabulary


def tidy_name(name: str) -> str:
    """A tag's name as it is kept: single spaces, no control characters. Raises ValueError when nothing is left."""
    text = " ".join("".join(c if c.isprintable() else " " for c in name).split())
    if not text or len(text) > LONGEST_NAME:
        raise ValueError(f"a tag's name has 1 to {LONGEST_NAME} characters")
    return text


def _existing(name: str, vocabulary: Vocabulary) -> str:
    name = name.strip()
    if name not in vocabulary.names:
        near = difflib.get_close_matches(name, vocabulary.names, n=1)
        raise ConfigError(
            f"the setting tags leaves out {name!r}, which is no tag",
            hint=f"Did you mean {near[0]}?" if near else "All tags: oko tag --list",
        )
    return name


def _from_text(item: str, vocabulary: Vocabulary) -> TagSpec:
    name, _, sentences = item.partition(":")
    try:
        name = tidy_name(name)
    except ValueError as e:
        raise ConfigError(f"the setting tags has {item!r}: {e}") from e
    prompts = tuple(part.strip() for part in sentences.split(";") if part.strip())
    known = next((tag for tag in vocabulary.tags if tag.name == name), TagSpec(name))
    return replace(known, prompts=prompts or known.prompts)


def _read(file: Path) -> list[TagSpec]:
    try:
        return _parse(tomllib.loads(file.read_text(encoding="utf-8")), str(file))
    except OSError as e:
        raise ConfigError(
            f"the tags file {file} cannot be read: {e.strerror or 'the system refuses it'}"
        ) from e
    except UnicodeDecodeError as e:
        raise ConfigError(
            f"the tags file {file} is no text in UTF-8 (byte {e.start + 1:,} is not)",
            hint="Save it as UTF-8.",
        ) from e
    except tomllib.TOMLDecodeError as e:
        raise ConfigError(f"the tags file {file} is not valid TOML: {e}") from e


def _parse(content: Mapping[str, Any], place: str) -> list[TagSpec]:
    """Tables are groups; their keys are tags, and each value a table of words, prompts, share, implies (all free)."""
    found: dict[str, TagSpec] = {}
    for group, tags in content.items():
        if not isinstance(tags, dict):
            raise ConfigError(f"{place}: {group} must be a group, written as [{group}]")
        for name, value in tags.items():
            if name in found:
                raise ConfigError(f"{place}: the tag {name!r} is there twice")
            found[name] = _tag(name, group, value, place)
    return list(found.values())


def _tag(name: str, group: str, value: Any, place: str) -> TagSpec:
    def wrong(why: str) -> ConfigError:
        return ConfigError(f"{place}: the tag {name!r} {why}", hint='Write: dog = { words = ["hound"] }')

    if not isinstance(value, dict) or set(value) - {"words", "prompts", "share", "implies"}:
        raise wrong("must be a table with words, prompts, share and implies, or empty: {}")
    texts = {key: value.get(key, []) for key in ("words", "prompts", "implies")}
    for key, listed in texts.items():
        if not isinstance(listed, list) or not all(isinstance(t, str) and t.strip() for t in listed):
            raise wrong(f"has {key} that are no list of texts")
    share = value.get("share", DEFAULT_SHARE)
    if isinstance(share, bool) or not isinstance(share, int | float) or not 0 < share < 1:
        raise wrong("has a share that does not lie between 0 and 1")
    try:
        tidy = tidy_name(name)
    except ValueError as e:
        raise wrong(f"has no name: {e}") from e
    return TagSpec(tidy, group, share=float(share), **{key: tuple(listed) for key, listed in texts.items()})


def toml_key(name: str) -> str:
    """A tag's name as TOML writes a key."""
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else json.dumps(name, ensure_ascii=False)
