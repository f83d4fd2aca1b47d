"""`oko tag`: suggestions for the whole library, what people decide about them, and what they taught."""

from __future__ import annotations

import functools
import shlex
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from library.catalog import reading, tagging
from library.catalog.tagging import CONFIRMED, REJECTED, SUGGESTED
from library.config import Config
from library.encoder import Encoder
from library.errors import ModelMismatch, UsageError
from library.models import ModelSpec
from library.overview import library_model
from library.records import FileState, ModelStamp, Tag
from library.store import Store
from library.vocabulary import Vocabulary, load_vocabulary
from oko import assemble, jobs
from oko.context import Context
from oko.coverage import about_part
from oko.deciding import find_photos, write_decisions
from oko.prompts import PromptsAhead
from oko.tagnames import TagNames
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
    is_tagged: bool = True  # False: nothing was ever suggested for it


def vocabulary_of(config: Config) -> Vocabulary:
    """The shipped tags with the changes that the settings ask for."""
    return load_vocabulary(config.tags, config.tags_file)


def make_tagger(
    store: Store,
    config: Config,
    stamp: ModelStamp,
    encoder: Callable[[], Encoder],
    *,
    vocabulary: Vocabulary | None = None,
) -> Tagger:
    """What suggests tags in one library with one model; `vocabulary` saves reading it from the settings again."""

    return Tagger(
        store,
        stamp,
        lambda: _of_state(encoder(), stamp),
        vocabulary or vocabulary_of(config),
        least=config.tag_threshold,
    )


def tag_library(context: Context, *, model: Callable[[], Encoder] | None = None) -> tuple[TagReport, float]:
    """Suggest tags for all photos from their stored vectors. Returns the report and the seconds it took.

    `model` gives the one that the settings choose where it is loaded already; else it is loaded if it is needed.
    """
    with jobs.telling(context.folder, "tag") as job, _tagging(context, model) as tagger:
        started = time.monotonic()
        with transfer_bar(context, "Tagging") as show:

            def progress(done: int, total: int | None) -> None:
                show(done, total)
                job.tell(phase="tag", done=done, total=total)

            report = tagger.tag_all(progress)
        elapsed_s = time.monotonic() - started
        if part := about_part(tagger.store, tagger.stamp, have=report.photos):
            context.note(part)
        return report, elapsed_s


@contextmanager
def _tagging(context: Context, model: Callable[[], Encoder] | None) -> Iterator[Tagger]:
    """The library opened for writing, after the words of the tags were read without holding its lock."""
    folder, config = context.folder, context.config

    def open_reader() -> AbstractContextManager[Store]:
        return assemble.reading(folder, config)

    def open_writer() -> AbstractContextManager[Store]:
        return assemble.writing(folder, config, purpose=context.purpose)

    with open_reader() as store:
        spec = assemble.choose_model(folder, config, store, context.note)
        stamp = _stamp(context, store, spec)

    @functools.cache
    def encoder() -> Encoder:
        context.note("Reading the tags; the library remembers them for this model.")
        return _of_state(model() if model else assemble.make_encoder(spec, config), stamp)

    vocabulary = vocabulary_of(config)
    with transfer_bar(context, "Reading the tags") as progress:
        PromptsAhead(open_reader, open_writer, stamp, encoder, vocabulary).all(progress)
    with open_writer() as store:
        yield make_tagger(store, config, stamp, encoder, vocabulary=vocabulary)


def _of_state(encoder: Encoder, stamp: ModelStamp) -> Encoder:
    if encoder.stamp != stamp:
        raise ModelMismatch(
            f"the photos were embedded by another state of {stamp.name} than the one that is installed",
            hint="Embed them again: oko index",
        )
    return encoder


def _stamp(context: Context, store: Store, spec: ModelSpec) -> ModelStamp:
    """Of the model's vectors here; known without loading the model when it is the library's own."""
    own = library_model(store)
    if own is not None and own[1].name == spec.canonical_name:
        return own[1]
    stamp = assemble.make_encoder(spec, context.config).stamp
    store.model_id(stamp)
    return stamp


# Decisions


def learn(
    context: Context,
    name: str,
    places: Sequence[str | int],
    *,
    confirm: Callable[[int], bool] = lambda examples: True,
    model: Callable[[], Encoder] | None = None,
) -> tuple[str, int, TagReport]:
    """Confirm a tag of example photos (files, folders, ids), suggest it for the rest; (name, examples, report).

    Without places it is learned from what is confirmed already. Raises UsageError if that is nothing, or if `confirm`
    says no to the number of examples. `model` as in `tag_library`.
    """
    with assemble.reading(context.folder, context.config) as store:
        many = len(find_photos(store, places, folders=True)) if places else 0
    if not confirm(many):
        raise UsageError("nothing was learned", hint="Name fewer photos, or say --yes.")
    with assemble.writing(context.folder, context.config, purpose=context.purpose) as store:
        name = TagNames.of(store, context.config).known(name)
        ids = list(find_photos(store, places, folders=True)) if places else []
        with store.catalog.reading() as c:
            confirmed = sum(tagging.decisions(c).get(name, {}).values())
        if not ids and not confirmed:
            raise UsageError(
                f"there are no examples of {shlex.quote(name)}",
                hint=f"Name some indexed photos: oko tag --learn {shlex.quote(name)} --from PATH...",
            )
        write_decisions(store, name, ids, CONFIRMED)
        teach(store, name)
    with _tagging(context, model) as tagger:
        report = tagger.tag_all()
    return name, len(ids) or confirmed, report


# Showing


def list_tags(context: Context) -> list[TagRow]:
    """Every tag of the vocabulary and of the library, with how many photos have it in which state."""
    vocabulary = vocabulary_of(context.config)
    with assemble.reading_if_there(context.folder, context.config) as store:
        return tag_rows(store, vocabulary)


def tag_rows(store: Store | None, vocabulary: Vocabulary) -> list[TagRow]:
    """The same of a library that is open, or of none."""
    counts: dict[str, dict[str, int]] = {}
    learned: set[str] = set()
    if store is not None:
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
        return tagged_photos(store, photos)


def tagged_photos(store: Store, photos: Sequence[str | int]) -> list[TaggedPhoto]:
    """The same in a library that is open."""
    named = find_photos(store, photos)
    ids = list(named)
    own = library_model(store)
    with store.catalog.reading() as c:
        tags, files = reading.photo_tags(c, ids), reading.photo_files(c, ids)
        never = tagging.never_tagged_of(c, own[0], ids) if own else set()
    return [
        TaggedPhoto(
            key,
            named[key] or files[key][0][0],
            tuple(Tag(t.name, t.score, t.state) for t in _in_order(tags.get(key, []))),
            key not in never,
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
