"""Tags in the catalog: what a model suggests, what people decided, and what tagging remembers of a model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import ColumnElement, Connection, delete, exists, func, insert, select, update

from library.catalog.reading import chunked, revision
from library.schema import embedding, tag, tag_calibration, tag_vector, tagged

SUGGESTED, CONFIRMED, REJECTED = "suggested", "confirmed", "rejected"


@dataclass(frozen=True, slots=True)
class Calibration:
    """A model's score distribution in this library, and what it was measured on."""

    prompts_sha256: bytes  # of all tags together, in their order
    photos: int
    revision: int
    numbers: NDArray[np.float32]  # (2, L): mean and deviation of each tag's score


def text_vectors(c: Connection, model_id: int, digests: Sequence[bytes], dim: int) -> dict[bytes, Any]:
    """Remembered vectors (D,) float32 of prompt sets, by their digest."""
    found: dict[bytes, Any] = {}
    for part in chunked(digests):
        rows = c.execute(
            select(tag_vector.c.prompts_sha256, tag_vector.c.vector).where(
                tag_vector.c.model_id == model_id, tag_vector.c.prompts_sha256.in_(part)
            )
        )
        found.update({r.prompts_sha256: np.frombuffer(r.vector, "<f4") for r in rows})
    return {digest: vector for digest, vector in found.items() if vector.shape == (dim,)}


def remember_text_vectors(
    c: Connection, model_id: int, digests: Sequence[bytes], vectors: NDArray[np.float32]
) -> None:
    """Keep vectors (n, D) of prompt sets."""
    for part in chunked(digests):
        c.execute(
            delete(tag_vector).where(tag_vector.c.model_id == model_id, tag_vector.c.prompts_sha256.in_(part))
        )
    rows = [
        {"model_id": model_id, "prompts_sha256": digest, "vector": vector.astype("<f4").tobytes()}
        for digest, vector in zip(digests, vectors, strict=True)
    ]
    if rows:
        c.execute(insert(tag_vector), rows)


def calibration(c: Connection, model_id: int) -> Calibration | None:
    """The remembered calibration of a model."""
    row = c.execute(select(tag_calibration).where(tag_calibration.c.model_id == model_id)).first()
    if row is None:
        return None
    numbers = np.frombuffer(row.numbers, "<f4").reshape(2, -1)
    return Calibration(row.prompts_sha256, row.photos, row.revision, numbers)


def remember_calibration(c: Connection, model_id: int, found: Calibration) -> None:
    """Keep the calibration of a model in place of the one before."""
    c.execute(delete(tag_calibration).where(tag_calibration.c.model_id == model_id))
    c.execute(
        insert(tag_calibration).values(
            model_id=model_id,
            prompts_sha256=found.prompts_sha256,
            photos=found.photos,
            revision=found.revision,
            numbers=found.numbers.astype("<f4").tobytes(),
        )
    )


def sample_ids(c: Connection, model_id: int, most: int) -> NDArray[np.int64]:
    """At most `most` photos that the model has a vector of, spread evenly over their ids; the same ones every time."""
    query = select(embedding.c.photo_id).where(embedding.c.model_id == model_id)
    ids = np.array(c.execute(query.order_by(embedding.c.photo_id)).scalars().all(), dtype=np.int64)
    if len(ids) <= most:
        return ids
    return ids[np.linspace(0, len(ids) - 1, most).round().astype(np.int64)]


def decisions(c: Connection) -> dict[str, dict[int, bool]]:
    """What people decided: tag -> photo -> whether it was confirmed."""
    found: dict[str, dict[int, bool]] = {}
    rows = c.execute(select(tag.c.name, tag.c.photo_id, tag.c.state).where(tag.c.state != SUGGESTED))
    for name, photo_id, state in rows:
        found.setdefault(name, {})[photo_id] = state == CONFIRMED
    return found


def tag_counts(c: Connection) -> dict[str, dict[str, int]]:
    """Number of photos by tag and state."""
    found: dict[str, dict[str, int]] = {}
    rows = c.execute(select(tag.c.name, tag.c.state, func.count()).group_by(tag.c.name, tag.c.state))
    for name, state, count in rows:
        found.setdefault(name, {})[state] = count
    return found


def tagged_count(c: Connection, name: str) -> int:
    """How many photos have a tag, suggested or confirmed."""
    has = select(func.count()).select_from(tag).where(tag.c.name == name, tag.c.state != REJECTED)
    return int(c.execute(has).scalar_one())


def replace_suggestions(
    c: Connection,
    photo_ids: Sequence[int],
    rows: Sequence[tuple[int, str, float]],
    *,
    model_id: int | None = None,
) -> int:
    """Put new suggestions (photo, tag, score) in place of the photos' old ones; a decision is never touched.

    The photos count as tagged with the model from then on. Returns how many suggestions they have now.
    """
    if model_id is not None:
        _note_tagged(c, model_id, photo_ids)
    decided: set[tuple[int, str]] = set()
    for part in chunked(photo_ids):
        mine = tag.c.photo_id.in_(part)
        found = c.execute(select(tag.c.photo_id, tag.c.name).where(mine, tag.c.state != SUGGESTED))
        decided.update((r.photo_id, r.name) for r in found)
        c.execute(delete(tag).where(mine, tag.c.state == SUGGESTED))
    new = [row for row in rows if row[:2] not in decided]
    if new:
        names = ("photo_id", "name", "score")
        c.execute(insert(tag), [{**dict(zip(names, row, strict=True)), "state": SUGGESTED} for row in new])
    return len(new)


def _note_tagged(c: Connection, model_id: int, photo_ids: Sequence[int]) -> None:
    for part in chunked(photo_ids):
        c.execute(delete(tagged).where(tagged.c.model_id == model_id, tagged.c.photo_id.in_(part)))
        c.execute(insert(tagged), [{"model_id": model_id, "photo_id": key} for key in part])


def never_tagged(c: Connection, model_id: int, *, most: int) -> list[int]:
    """At most `most` photos that the model has a vector of and that were never tagged with it, oldest first."""
    query = select(embedding.c.photo_id).where(*_untouched(model_id))
    return list(c.execute(query.order_by(embedding.c.photo_id).limit(most)).scalars())


def never_tagged_of(c: Connection, model_id: int, photo_ids: Sequence[int]) -> set[int]:
    """Those of the photos that the model has a vector of and that were never tagged with it."""
    found: set[int] = set()
    for part in chunked(photo_ids):
        query = select(embedding.c.photo_id).where(*_untouched(model_id), embedding.c.photo_id.in_(part))
        found.update(c.execute(query).scalars())
    return found


def never_tagged_count(c: Connection, model_id: int) -> int:
    """How many photos the model has a vector of that were never tagged with it."""
    query = select(func.count()).select_from(embedding).where(*_untouched(model_id))
    return int(c.execute(query).scalar_one())


def _untouched(model_id: int) -> tuple[ColumnElement[bool], ...]:
    there = exists().where(tagged.c.model_id == model_id, tagged.c.photo_id == embedding.c.photo_id)
    return embedding.c.model_id == model_id, ~there


def undecided(c: Connection, rows: Sequence[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    """Those of the decisions (photo_id, name, ...) that no decision stands against."""
    found: set[tuple[int, str]] = set()
    for part in chunked({row["photo_id"] for row in rows}):
        existing = c.execute(
            select(tag.c.photo_id, tag.c.name).where(tag.c.photo_id.in_(part), tag.c.state != SUGGESTED)
        )
        found.update((r.photo_id, r.name) for r in existing)
    yield from (row for row in rows if (row["photo_id"], row["name"]) not in found)


def clear_decisions(c: Connection, name: str, photo_ids: Sequence[int]) -> None:
    """Take back what people decided about a tag: a suggestion again where a model gave a score, else gone."""
    for part in chunked(photo_ids):
        mine = (tag.c.name == name, tag.c.photo_id.in_(part), tag.c.state != SUGGESTED)
        c.execute(delete(tag).where(*mine, tag.c.score.is_(None)))
        c.execute(update(tag).where(*mine).values(state=SUGGESTED, decided_at=None))


def drop_suggestions(c: Connection, name: str) -> int:
    """Delete a tag wherever it is only suggested; returns for how many photos."""
    return int(c.execute(delete(tag).where(tag.c.name == name, tag.c.state == SUGGESTED)).rowcount)


def vector_state(c: Connection, model_id: int) -> tuple[int, int]:
    """(number of photos with a vector of the model, revision of the vectors)."""
    count = c.execute(
        select(func.count()).select_from(embedding).where(embedding.c.model_id == model_id)
    ).scalar_one()
    return int(count), revision(c)
