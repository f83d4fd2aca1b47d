"""What can be wrong with a library, found and, where that loses nothing, mended: `oko doctor`.

Nothing here embeds a photo: what has to be made anew is marked so that the next indexing run makes it.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import stat
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from library.catalog import checks, reading
from library.errors import LibraryDamaged, OkoError
from library.extras import how_to_install
from library.folder import NETWORK_FILE_SYSTEMS, file_system
from library.indexes import STALE_AFTER_S
from library.models import Registry
from library.overview import index_state, library_model
from library.records import ModelStamp
from library.store import Store
from library.vectorcheck import differences
from library.vectors import TEMPORARY_SUFFIX

PACKAGES = (
    *("torch", "open_clip_torch", "faiss-cpu", "SQLAlchemy", "numpy", "pillow"),
    *("pillow-heif", "rawpy", "transformers", "pyarrow"),  # optional
)
EXTRAS = {"heic": ("pillow_heif", "HEIC"), "raw": ("rawpy", "RAW")}  # extra -> its module, and what it reads
RESTORE = (
    "Restore catalog.sqlite from a backup, or index into a new folder with --library DIR; "
    "your photos are untouched."
)


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is not as it should be.

    `serious` findings make the check fail until they are mended; the others are for the user to know.
    """

    name: str
    count: int
    sentence: str
    hint: str = ""
    mended: bool = False
    serious: bool = True


def examine_folder(folder: Path, *, mend: bool) -> Iterator[Finding]:
    """What is wrong with the folder itself, whether or not its catalog can be opened."""
    kind = file_system(folder)
    if kind in NETWORK_FILE_SYSTEMS:
        hint = "Move the library to a local disk; the photos may stay where they are."
        yield Finding("network_file_system", 1, f"The library lies on a network file system ({kind}).", hint)
    mode = stat.S_IMODE(folder.stat().st_mode)
    if os.name == "posix" and mode & 0o077:
        sentence = f"Others on this machine can look into the library folder (its mode is {mode:03o})."
        yield Finding(
            "folder_open_to_others",
            1,
            sentence,
            f"If you did not mean that: chmod 700 '{folder}'",
            serious=False,
        )
    leftovers = [path for path in folder.glob(f"vectors-*{TEMPORARY_SUFFIX}") if _is_leftover(path)]
    if leftovers:
        for path in leftovers if mend else ():
            path.unlink(missing_ok=True)
        sentence = "Index files were left half-written by a process that was killed."
        yield Finding("leftover_files", len(leftovers), sentence, mended=mend, serious=False)


def _is_leftover(path: Path) -> bool:
    try:
        return time.time() - path.stat().st_mtime > STALE_AFTER_S
    except OSError:  # its writer has just renamed it
        return False


IndexStates = dict[int, tuple[str, int]]  # model -> (state, vectors behind), as `index_state` says it


def saved_indexes(store: Store) -> IndexStates:
    """How the saved indexes are before anybody opens the library for writing, which tidies them up."""
    with store.catalog.reading() as c:
        return {key: index_state(c, store, key, stamp) for key, stamp, _ in reading.models(c)}


def examine(store: Store, indexes: IndexStates, *, mend: bool) -> Iterator[Finding]:
    """What is wrong with an open library; with `mend`, `store` must be its writer.

    `indexes` comes from `saved_indexes`. After damage to the database itself nothing else is looked at or touched.
    """
    try:
        damage = list(_damage(store))
        yield from damage
        if damage:
            return
        for check in (_strangers, _vectors, _thumbnails):
            yield from check(store, mend)
        yield from _indexes(store, indexes, mend)
        for look in (_unembedded, _model, _extras):
            yield from look(store)
    except LibraryDamaged as e:
        yield damaged(e)


def damaged(error: LibraryDamaged) -> Finding:
    """The finding for a catalog that could not be read on."""
    return Finding("catalog_damaged", 1, _sentence(error.message), RESTORE)


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:].rstrip(".") + "."


def _damage(store: Store) -> Iterator[Finding]:
    with store.catalog.reading() as c:
        broken = checks.integrity(c)
        if broken:
            first = broken[0].splitlines()[-1]  # above it stands only which database is meant
            yield Finding("catalog_damaged", len(broken), f"The catalog is damaged: {first}.", RESTORE)
            return
        for table, number in checks.broken_references(c).items():
            sentence = f"{number:,} rows of the table {table} name rows that are not there."
            yield Finding("broken_references", number, sentence, RESTORE)


def _strangers(store: Store, mend: bool) -> Iterator[Finding]:
    with store.catalog.reading() as c:
        plain = checks.photos_without_files(c, decided=False)
        decided = checks.photos_without_files(c, decided=True)
    if plain:
        if mend:
            store.delete_photos_without_files(plain)
        yield Finding(
            "photos_without_files", len(plain), "Photos are known that no file belongs to.", mended=mend
        )
    if decided:
        sentence = "Photos that no file belongs to carry tags that you confirmed or rejected; they are kept."
        hint = "They are in use again as soon as a file with their content is indexed. oko export writes their tags."
        yield Finding("tagged_photos_without_files", len(decided), sentence, hint, serious=False)


def _vectors(store: Store, mend: bool) -> Iterator[Finding]:
    for model_id, stamp in _models(store):
        with store.catalog.reading() as c:
            wrong = checks.wrong_vectors(c, model_id, stamp.dim)
        if wrong:
            if mend:
                store.drop_vectors(model_id, wrong)
            sentence = f"Vectors by {stamp.name} have the wrong length or are no numbers."
            yield Finding("wrong_vectors", len(wrong), sentence, _remake(stamp), mended=mend)


def _models(store: Store) -> list[tuple[int, ModelStamp]]:
    with store.catalog.reading() as c:
        return [(key, stamp) for key, stamp, _ in reading.models(c)]


def _remake(stamp: ModelStamp) -> str:
    return f"The next run makes them anew: oko index (with --model {stamp.name} if that is not the library's own)"


def _thumbnails(store: Store, mend: bool) -> Iterator[Finding]:
    with store.catalog.reading() as c:
        bare = checks.photos_without_thumbnail(c)
    if not bare:
        return
    own = library_model(store)
    can_mend = mend and own is not None
    if own is not None and mend:
        # Only a photo without a vector is read again, and a photo that is read gets its thumbnail.
        store.drop_vectors(own[0], bare)
    hint = "The next run reads them again and makes their thumbnails: oko index" if can_mend else ""
    yield Finding("photos_without_thumbnail", len(bare), "Photos have no thumbnail.", hint, mended=can_mend)


def _indexes(store: Store, indexes: IndexStates, mend: bool) -> Iterator[Finding]:
    for model_id, stamp in _models(store):
        finding = _index(store, model_id, stamp, indexes.get(model_id))
        if finding is None:
            continue
        mended = mend and store.rebuild_index(model_id, stamp.dim)
        hint = (
            "It could not be saved: is the disk full, or the folder read-only?" if mend and not mended else ""
        )
        serious = finding.serious or (mend and not mended)
        yield Finding(finding.name, finding.count, finding.sentence, hint, mended=mended, serious=serious)


def _index(store: Store, model_id: int, stamp: ModelStamp, before: tuple[str, int] | None) -> Finding | None:
    """What is wrong with the saved index of one model: by its stamp, else by comparing every vector."""
    with store.catalog.reading() as c:
        state, behind = index_state(c, store, model_id, stamp)
        if state == "missing" and before is not None:
            state, behind = before
        if state in ("current", "behind") and not checks.wrong_vectors(c, model_id, stamp.dim):
            found = differences(c, store.index_path(model_id), model_id, stamp.dim)
            if found.is_torn:
                state = "torn"
            elif found.any:
                return Finding(
                    "index_wrong", found.total, f"The vector index of {stamp.name} {found.sentence}."
                )
    sentences = {
        "torn": "is cut off or damaged",
        "foreign": "belongs to another library, or to another state of this one",
        "missing": "is not there",
        "behind": f"is behind the catalog by {behind:,} changes",
    }
    if state not in sentences:
        return None
    # A search makes up for these two by itself, so they only cost it time.
    serious = state not in ("missing", "behind")
    return Finding(
        f"index_{state}",
        max(behind, 1),
        f"The vector index of {stamp.name} {sentences[state]}.",
        serious=serious,
    )


def _unembedded(store: Store) -> Iterator[Finding]:
    own = library_model(store)
    if own is None:
        return
    with store.catalog.reading() as c:
        number = reading.photos_without_embedding(c, own[0])
    if number:
        sentence = f"Photos on disk have no vector by {own[1].name} yet, so that no search finds them."
        yield Finding("photos_without_vector", number, sentence, "Make them: oko index", serious=False)


def _model(store: Store) -> Iterator[Finding]:
    name = store.default_model()
    if name is None:
        return
    try:
        spec = Registry(store.folder).resolve(name)
        if not Registry(store.folder).is_cached(spec):
            hint = f"Fetch it: oko models use {name}"
            yield Finding("model_not_here", 1, f"The weights of {name} are not on this machine.", hint)
        if spec.needs_transformers and importlib.util.find_spec("transformers") is None:
            sentence = f"The library's model {name} needs the package transformers to read words."
            yield Finding("missing_package", 1, sentence, how_to_install("hub-tokenizers"))
    except OkoError as e:
        yield Finding("model_unknown", 1, _sentence(e.message), e.hint)


def _extras(store: Store) -> Iterator[Finding]:
    for extra, (module, what) in EXTRAS.items():
        with store.catalog.reading() as c:
            number = checks.unreadable_because(c, how_to_install(extra))
        if not number:
            continue
        if importlib.util.find_spec(module) is None:
            sentence = f"{what} files cannot be read, because the package {module} is not installed."
            hint = f"{how_to_install(extra)}, then: oko retry"
        else:
            sentence = f"{what} files could not be read before the package {module} was installed."
            hint = "Read them now: oko retry"
        yield Finding("missing_package", number, sentence, hint, serious=False)


def versions() -> dict[str, str | None]:
    """Versions of Python and of what oko stands on, without importing any of it; None where it is not installed."""
    return {"python": sys.version.split()[0], **{name: _version(name) for name in PACKAGES}}


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None
