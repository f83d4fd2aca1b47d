"""A query -> the one vector that photos are compared with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from library.encoder import Encoder
from library.errors import QueryError, UsageError
from search.parts import LIKE, PICTURE, Kind, Query
from search.stored import UnknownPhoto
from search.words import split

if TYPE_CHECKING:
    from PIL import Image

F32 = NDArray[np.float32]

# Shorter than this, what is left of the parts is rounding (bfloat16 has eight significant bits), not a direction.
CANCELLED = 0.01


def query_vector(
    query: Query,
    encoder: Encoder,
    *,
    pictures: Sequence[Image.Image | F32] = (),
    vectors_of: Callable[[Sequence[int]], F32] | None = None,
) -> F32 | None:
    """The direction of the query: (D,) float32, L2 norm 1; None for a query of filters alone.

    With e_i the embedding of part i and w_i its weight, negative where it is not wanted,

        v = normalise(sum_i w_i * normalise(e_i)),    normalise(x) = x / |x|

    which is Rocchio's formula ("Relevance feedback in information retrieval", 1971) for examples of length one: as
    every part has length one before it is weighted, neither a long text nor a picture drowns another part. With
    unwanted parts alone it asks for the photos that are least like them.

    `pictures` are upright RGB, or vectors (D,) float32 of pictures embedded before; those that no part names are
    wanted, too. `vectors_of` gives the vectors (n, D) of n photos by id. Raises QueryError for a picture that was not
    handed in and for parts that cancel each other out, and what `vectors_of` and the encoder raise.
    """
    query = query.with_pictures(len(pictures))
    weights: dict[tuple[Kind, str], float] = {}
    for part in query.parts:
        weights[part.kind, part.text] = weights.get((part.kind, part.text), 0.0) + part.weight
    if not weights:
        return None
    vectors = _embedded(query, list(weights), encoder, pictures, vectors_of)
    each = np.array(list(weights.values()), dtype=np.float64)
    total = each @ (vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12))
    length = float(np.linalg.norm(total))
    if length <= CANCELLED * sum(abs(part.weight) for part in query.parts):
        raise QueryError(
            "what is wanted and what is not cancel each other out",
            text=query.text,
            start=0,
            end=len(query.text),
            hint="Give one of them more weight (dog:2), or leave one out.",
        )
    found: F32 = (total / length).astype(np.float32)
    return found


def _embedded(
    query: Query,
    parts: Sequence[tuple[Kind, str]],
    encoder: Encoder,
    pictures: Sequence[Image.Image | F32],
    vectors_of: Callable[[Sequence[int]], F32] | None,
) -> NDArray[np.float64]:
    """The embeddings (n, D) of the parts, in their order, each kind in one batch."""
    texts = [text for kind, text in parts if kind == "text"]
    ids = [int(text) for kind, text in parts if kind == "photo"]
    found: dict[tuple[Kind, str], NDArray[np.float32]] = {}
    if texts:
        found |= {("text", text): row for text, row in zip(texts, encoder.encode_texts(texts), strict=True)}
    if ids and vectors_of is None:
        raise UsageError("photos of the library cannot be searched for here (like:)")
    if ids and vectors_of is not None:
        try:
            rows = vectors_of(ids)
        except UnknownPhoto as e:
            start, end = _place(query, LIKE, e.id)
            raise QueryError(e.message, text=query.text, start=start, end=end, hint=e.hint) from e
        found |= {("photo", str(key)): row for key, row in zip(ids, rows, strict=True)}
    for kind, text in parts:
        if kind == "picture":
            found[kind, text] = _picture_vector(query, int(text), encoder, pictures)
    return np.stack([found[part] for part in parts]).astype(np.float64)


def _picture_vector(
    query: Query, at: int, encoder: Encoder, pictures: Sequence[Image.Image | F32]
) -> NDArray[np.float32]:
    if at >= len(pictures):
        start, end = _place(query, PICTURE, at + 1)
        raise QueryError(
            f"there is no picture {at + 1}: {len(pictures) or 'none'} came with the query",
            text=query.text,
            start=start,
            end=end,
            hint="picture:1 is the first of the pictures that are handed in with the text.",
        )
    picture = pictures[at]
    if not isinstance(picture, np.ndarray):
        picture = encoder.encode_images(encoder.prepare(picture)[None])[0]
    return picture


def _place(query: Query, name: str, number: int) -> tuple[int, int]:
    """Where like:NUMBER or picture:NUMBER stands in the text; all of it for a query that was made without one."""
    for word in split(query.text):
        value = word.values[0].text.partition(":")[0] if word.values else ""
        if word.name.casefold() == name and value.isdecimal() and int(value) == number:
            return word.start + len(word.sign), word.end
    return 0, len(query.text)
