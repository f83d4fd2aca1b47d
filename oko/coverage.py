"""How much of a library a model has read, as sentences: one that has read a part answers for that part alone."""

from __future__ import annotations

from library.catalog import checks, reading
from library.records import ModelStamp
from library.store import Store
from oko.aligned import count

ENOUGH = 0.95  # of the photos on disk; a few that came lately are no reason to speak at every search


def about_part(store: Store, stamp: ModelStamp, *, have: int | None = None) -> str:
    """A sentence where this model has vectors of some photos, and lacks many; else "".

    `have` is the number of its vectors where the caller knows it; else it is that of the index at work. Raises
    NoLibrary and ModelMismatch as `Store.model_id` does.
    """
    if have is None:
        have = len(store.vectors(store.model_id(stamp), stamp.dim))
    with store.catalog.reading() as c:
        # The highest id is known at once, and says enough of all but libraries that much was forgotten in.
        if not have or have >= ENOUGH * checks.highest_photo_id(c):
            return ""
        on_disk = reading.photo_count(c) - len(reading.hidden_photo_ids(c))
    if have >= ENOUGH * on_disk:
        return ""
    return (
        f"Only {have:,} of {count(on_disk, 'photo')} {'has a vector' if have == 1 else 'have vectors'} by this "
        f"model; {store.index_command(stamp.name)} makes the rest."
    )


def about_none(store: Store, stamp: ModelStamp) -> str:
    """A sentence where this model has no vector of any of the photos there are; else ""."""
    with store.catalog.reading() as c:
        key = reading.model_id(c, stamp)
        if key is not None and reading.embedding_count(c, key):
            return ""
        photos = reading.photo_count(c)
    whose = f"None of the {photos:,} photos has" if photos > 1 else "The one photo does not have"
    return (
        f"{whose} a vector by these weights of {stamp.name} yet. Make them: {store.index_command(stamp.name)}"
    )
