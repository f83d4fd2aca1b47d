"""`oko tag`: suggestions for the whole library, what people decide about them, and what they taught."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from library.catalog import Connection, forgetting, reading, tagging
from library.catalog.forgetting import Chosen
from library.catalog.tagging import CONFIRMED, REJECTED, SUGGESTED
from library.catalog.writing import now
from library.config import Config
from library.encoder import Encoder
from library.errors import ModelMismatch, UsageError
from library.models import ModelSpec
from library.overview import library_model
from library.records import FileState, ModelStamp, NewPhoto, Tag, display_path
from library.store import Store
from library.vocabulary import Vocabulary, load_vocabulary, tidy_name
from oko import assemble
from oko.context import Context
from oko.forgetting import spellings
from oko.transfers import transfer_bar
from search.tagger import Tagger, TagReport, taught, teach


@dataclass(frozen=True, slots=True)
class TagRow:
    """One tag as a list shows it: counts are photos."""

    name: str
    group: str
    suggested: int
    confirmed: int
    rejected: int
    learned: bool  # taught by example


@dataclass(frozen=True, slots=True)
class TaggedPhoto:
    """One photo with its tags."""

    id: int
    path: Path
    tags: tuple[Tag, ...]


def vocabulary_of(config: Config) -> Vocabulary:
    """The shipped tags with the changes that the settings ask for."""
    return load_vocabulary(config.tags, config.tags_file)


def make_tagger(store: Store, config: Config, stamp: ModelStamp, encoder: Callable[[], Encoder]) -> Tagger:
    """What suggests tags in one library with one model."""

    def texts() -> Encoder:
        found = encoder()
        if found.stamp != stamp:
            raise ModelMismatch(
                f"the photos were embedded by another state of {stamp.name} than the one that is installed",
                hint="Embed them again: oko index",
            )
        return found

    return Tagger(store, stamp, texts, vocabulary_of(config), least=config.tag_threshold)


def on_batch(config: Config, encoder: Encoder) -> Callable[[Store], Callable[[Sequence[NewPhoto]], None]]:
    """For an indexing run: a function of the store that gives what tags each batch of new photos."""

    def of_store(store: Store) -> Callable[[Sequence[NewPhoto]], None]:
        tagger = make_tagger(store, config, encoder.stamp, lambda: encoder)

        def tag(new: Sequence[NewPhoto]) -> None:
            tagger.tag_contents([photo.content_sha256 for photo in new])

        return tag

    return of_store


def tag_library(context: Context) -> tuple[TagReport, float]:
    """Suggest tags for all photos from their stored vectors. Returns the report and the seconds it took."""
    with assemble.writing(context.folder, context.config, purpose=context.purpose) as store:
        tagger = _tagger(context, store)
        started = time.monotonic()
        with transfer_bar(context, "Tagging") as progress:
            report = tagger.tag_all(progress)
        return report, time.monotonic() - started


def _tagger(context: Context, store: Store) -> Tagger:
    spec = assemble.choose_model(context.folder, context.config, store, context.note)
    stamp = _stamp(context, store, spec)

    def encoder() -> Encoder:
        context.note("Reading the tags; the library remembers them for this model.")
        return assemble.make_encoder(spec, context.config)

    return make_tagger(store, context.config, stamp, encoder)


def _stamp(context: Context, store: Store, spec: ModelSpec) -> ModelStamp:
    """Of the model's vectors here; known without loading the model when it is the library's own."""
    own = library_model(store)
    if own is not None and own[1].name == spec.canonical_name:
        return own[1]
    stamp = assemble.make_encoder(spec, context.config).stamp
    store.model_id(stamp)
    return stamp


# Decisions


def decide(context: Context, name: str, photos: Sequence[str], *, accept: bool) -> tuple[str, list[int]]:
    """Confirm or reject a tag of some photos. Returns its name as it is kept, and their ids.

    Raises UsageError for a photo that the library does not have; then nothing is written.
    """
    name = known_name(name, context.config)
    with assemble.writing(context.folder, context.config, purpose=context.purpose) as store:
        ids = find_photos(store, photos)
        _write_decisions(store, name, ids, CONFIRMED if accept else REJECTED)
    return name, ids


def _write_decisions(store: Store, name: str, ids: Sequence[int], state: str) -> None:
    with store.catalog.reading() as c:
        there = reading.photo_tags(c, ids)
    scores = {(r.photo_id, r.name): r.score for rows in there.values() for r in rows}
    moment = now()
    store.set_decisions(
        [
            {
                "photo_id": key,
                "name": name,
                "state": state,
                "score": scores.get((key, name)),
                "decided_at": moment,
            }
            for key in ids
        ]
    )


def learn(context: Context, name: str, places: Sequence[str]) -> tuple[str, int, TagReport]:
    """Confirm a tag of example photos (files, folders, ids), suggest it for the rest; (name, examples, report).

    Without places it is learned from what is confirmed already. Raises UsageError if that is nothing.
    """
    name = known_name(name, context.config)
    with assemble.writing(context.folder, context.config, purpose=context.purpose) as store:
        ids = find_photos(store, places, folders=True) if places else []
        with store.catalog.reading() as c:
            confirmed = sum(tagging.decisions(c).get(name, {}).values())
        if not ids and not confirmed:
            raise UsageError(
                f"there are no examples of {name!r}",
                hint=f"Name some indexed photos: oko tag --learn {name!r} --from PATH...",
            )
        _write_decisions(store, name, ids, CONFIRMED)
        teach(store, name)
        report = _tagger(context, store).tag_all()
    return name, len(ids) or confirmed, report


def known_name(name: str, config: Config) -> str:
    """A tag's name in the vocabulary's spelling. Raises UsageError for one that cannot be a name."""
    try:
        tidy = tidy_name(name)
    except ValueError as e:
        raise UsageError(f"{name!r} cannot be a tag: {e}") from e
    same = {each.casefold(): each for each in vocabulary_of(config).names}
    return same.get(tidy.casefold(), tidy)


def find_photos(store: Store, texts: Sequence[str], *, folders: bool = False) -> list[int]:
    """Ids of photos given as paths or ids; folders stand for all photos below if they may.

    Raises UsageError naming what the library does not have.
    """
    found: list[int] = []
    with store.catalog.reading() as c:
        for text in texts:
            ids = _photos_at(c, Path(text).expanduser().absolute(), folders=folders)
            if not ids and text.isdecimal():
                ids = list(reading.photo_rows(c, [int(text)]) if len(text) < 19 else {})
            if not ids:
                raise UsageError(
                    f"the library has no photo {display_path(Path(text))}",
                    hint="Name a file that is indexed (oko index), or an id (oko search --json shows them).",
                )
            found += ids
    return list(dict.fromkeys(found))


def _photos_at(c: Connection, path: Path, *, folders: bool) -> list[int]:
    for place in spellings(path):
        files: list[Chosen] = []
        for root in reading.roots(c):
            if folders and (root.path == place or place in root.path.parents):
                files += forgetting.files_below(c, root.id)
            elif root.path in place.parents:
                files += forgetting.files_below(c, root.id, os.fsencode(place.relative_to(root.path)))
        ids = [each.photo_id for each in files if each.photo_id and (folders or each.path == place)]
        if ids:
            return ids
    return []


# Showing


def list_tags(context: Context) -> list[TagRow]:
    """Every tag of the vocabulary and of the library, with how many photos have it in which state."""
    vocabulary = vocabulary_of(context.config)
    with assemble.reading_if_there(context.folder, context.config) as store:
        if store is None:
            counts, learned = {}, set()
        else:
            with store.catalog.reading() as c:
                counts = tagging.tag_counts(c)
            learned = set(taught(store))
    groups = {tag.name: tag.group for tag in vocabulary.tags}
    names = list(dict.fromkeys([*groups, *sorted(counts), *sorted(learned)]))
    rows = []
    for name in names:
        suggested, confirmed, rejected = (
            counts.get(name, {}).get(state, 0) for state in (SUGGESTED, CONFIRMED, REJECTED)
        )
        rows.append(TagRow(name, groups.get(name, "own"), suggested, confirmed, rejected, name in learned))
    return rows


def show(context: Context, photos: Sequence[str]) -> list[TaggedPhoto]:
    """The tags of some photos, rejected ones too. Raises UsageError for a photo that is not there."""
    with assemble.reading(context.folder, context.config) as store:
        ids = find_photos(store, photos)
        with store.catalog.reading() as c:
            tags, files = reading.photo_tags(c, ids), reading.photo_files(c, ids)
    return [
        TaggedPhoto(
            key,
            files[key][0][0],
            tuple(Tag(t.name, t.score, t.state) for t in _in_order(tags.get(key, []))),
        )
        for key in ids
        if key in files
    ]


def _in_order(rows: Sequence[Any]) -> list[Any]:
    """Confirmed first, then suggested by score, then rejected."""
    order = {CONFIRMED: 0, SUGGESTED: 1, REJECTED: 2}
    return sorted(rows, key=lambda row: (order.get(row.state, 3), -(row.score or 0), row.name))


def photos_on_disk(store: Store) -> list[tuple[int, list[Path]]]:
    """(photo id, its files that are on disk) of every photo that has one."""
    with store.catalog.reading() as c:
        ids = reading.all_photo_ids(c)
        found = reading.photo_files(c, ids)
    live = {
        key: [path for path, state in files if state == FileState.INDEXED] for key, files in found.items()
    }
    return [(key, live[key]) for key in ids if live.get(key)]
