"""What people decide about tags: of which photos, and how a decision is taken back."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from library.catalog import Connection, forgetting, reading, tagging
from library.catalog.forgetting import Chosen
from library.catalog.tagging import CONFIRMED, REJECTED
from library.catalog.writing import now
from library.config import Config
from library.errors import UsageError
from library.records import display_path
from library.store import Store
from library.vocabulary import load_vocabulary
from oko import assemble
from oko.context import Context
from oko.forgetting import spellings
from oko.tagnames import TagNames
from search.tagger import LEARNED_KEY, taught


@dataclass(frozen=True, slots=True)
class Decision:
    """What was decided of which photos."""

    name: str  # as it is kept
    photo_ids: tuple[int, ...]
    is_new: bool = False  # no tag was called so before
    near: tuple[str, ...] = ()  # tags that a new one may be a slip of


def decide(context: Context, name: str, photos: Sequence[str], *, accept: bool) -> Decision:
    """Confirm or reject a tag of some photos.

    Raises UsageError for a photo that the library does not have; then nothing is written.
    """
    with assemble.writing(context.folder, context.config, purpose=context.purpose) as store:
        return decide_in(store, context.config, name, photos, accept=accept)


def decide_in(
    store: Store, config: Config, name: str, photos: Sequence[str | int], *, accept: bool
) -> Decision:
    """The same in a library that is open."""
    names = TagNames.of(store, config)
    known = names.known(name) if accept else names.require(name)
    ids = list(find_photos(store, photos))
    write_decisions(store, known, ids, CONFIRMED if accept else REJECTED)
    is_new = known not in names
    return Decision(known, tuple(ids), is_new, tuple(names.near(known)) if is_new else ())


def clear(context: Context, name: str, photos: Sequence[str]) -> Decision:
    """Take back what was decided of a tag for some photos: it is a suggestion again where it was one."""
    with assemble.writing(context.folder, context.config, purpose=context.purpose) as store:
        return clear_in(store, context.config, name, photos)


def clear_in(store: Store, config: Config, name: str, photos: Sequence[str | int]) -> Decision:
    """The same in a library that is open."""
    known = TagNames.of(store, config).require(name)
    ids = list(find_photos(store, photos))
    with store.catalog.reading() as c:
        decided = tagging.decisions(c).get(known, {})
    store.clear_decisions(known, [key for key in ids if key in decided])
    return Decision(known, tuple(key for key in ids if key in decided))


def favour(context: Context, photos: Sequence[str], *, is_favourite: bool) -> list[int]:
    """Make photos favourites, or none. Raises UsageError for a photo that the library does not have."""
    with assemble.writing(context.folder, context.config, purpose=context.purpose) as store:
        ids = list(find_photos(store, photos))
        store.set_favourite(ids, is_favourite)
    return ids


def unlearn(context: Context, name: str) -> tuple[str, int, int]:
    """Forget that a tag was taught. What people confirmed stays; its suggestions go unless the vocabulary has it.

    Returns its name, how many suggestions went, and how many photos it stays confirmed for. Raises UsageError for a
    tag that was not taught.
    """
    with assemble.writing(context.folder, context.config, purpose=context.purpose) as store:
        known = TagNames.of(store, context.config).known(name)
        names = taught(store)
        if known not in names:
            raise UsageError(
                f"{shlex.quote(known)} was not taught by example",
                hint=f"Taught are: {', '.join(names)}." if names else "No tag was.",
            )
        store.set_meta(LEARNED_KEY, json.dumps([each for each in names if each != known], ensure_ascii=False))
        is_listed = known in load_vocabulary(context.config.tags, context.config.tags_file).names
        dropped = 0 if is_listed else store.drop_suggestions(known)
        with store.catalog.reading() as c:
            confirmed = sum(tagging.decisions(c).get(known, {}).values())
    return known, dropped, confirmed


def write_decisions(store: Store, name: str, ids: Sequence[int], state: str) -> None:
    """Write one decision for many photos; the scores that they have are kept."""
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


def find_photos(store: Store, texts: Sequence[str | int], *, folders: bool = False) -> dict[int, Path | None]:
    """Ids of photos given as paths or ids, each with the path it was found by; folders stand for all below if they may.

    A number is an id; a text of digits may be a path, too. Raises UsageError naming what the library does not have.
    """
    found: dict[int, Path | None] = {}
    with store.catalog.reading() as c:
        for text in texts:
            path = Path(str(text)).expanduser().absolute()
            photos: dict[int, Path | None] = {}
            if isinstance(text, str):
                photos = dict(_photos_at(c, path, folders=folders))
            if not photos and str(text).isdecimal() and len(str(text)) < 19:
                photos = dict.fromkeys(reading.photo_rows(c, [int(text)]))
            if not photos:
                raise _no_photo(str(text), path, folders=folders)
            for key, place in photos.items():
                found.setdefault(key, place)
    return found


def _no_photo(text: str, path: Path, *, folders: bool) -> UsageError:
    if path.is_dir() and folders:
        return UsageError(
            f"the library has no photo of the folder {display_path(Path(text))}",
            hint=f"Index it first: oko index {shlex.quote(text)}",
        )
    if path.is_dir():
        return UsageError(
            f"{display_path(Path(text))} is a folder; a decision is about photos",
            hint="Name the photos themselves (DIR/*.jpg), or teach the tag: oko tag --learn NAME --from DIR",
        )
    return UsageError(
        f"the library has no photo {display_path(Path(text))}",
        hint="Name a file that is indexed (oko index), or an id (oko search --json shows them).",
    )


def _photos_at(c: Connection, path: Path, *, folders: bool) -> dict[int, Path]:
    for place in spellings(path):
        files: list[Chosen] = []
        for root in reading.roots(c):
            if folders and (root.path == place or place in root.path.parents):
                files += forgetting.files_below(c, root.id)
            elif root.path in place.parents:
                files += forgetting.files_below(c, root.id, os.fsencode(place.relative_to(root.path)))
        found = {
            each.photo_id: each.path for each in files if each.photo_id and (folders or each.path == place)
        }
        if found:
            return found
    return {}
