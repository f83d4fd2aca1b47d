"""Embeddings in clip-retrieval's layout: float16 matrices and Parquet tables, in shards, with bounded memory.

DIR/img_emb/img_emb_0.npy            (N, D) float16, rows of L2 norm 1 before rounding
DIR/metadata/metadata_0.parquet      image_path, id, width, height, taken_at: row for row
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from library.catalog import Connection, reading
from library.errors import LibraryUnreadable, UsageError
from library.extras import how_to_install
from library.store import Store

# clip-retrieval's own number of rows a file (its `write_batch_size`).
SHARD_ROWS = 1_000_000

Progress = Callable[[int, int], None]  # photos done, photos in all


def export_embeddings(
    store: Store,
    model_id: int,
    dim: int,
    folder: Path,
    *,
    shard_rows: int = SHARD_ROWS,
    progress: Progress | None = None,
) -> int:
    """Write the vectors of one model, of the photos on disk, ascending by id. Returns how many.

    Raises UsageError when pyarrow is not installed or `folder` holds an export already, LibraryUnreadable
    when it cannot be written. A failed export leaves no half-written shard.
    """
    parquet = _parquet()
    try:
        _refuse_used(folder)
        with store.catalog.reading() as c:
            ids = reading.embedded_photo_ids(c, model_id)
            shards = [ids[start : start + shard_rows] for start in range(0, len(ids), shard_rows)] or [ids]
            digits = len(str(len(shards) - 1))  # readers sort the names as text
            done = 0
            for number, part in enumerate(shards):
                shard = _Shard(folder, f"{number:0{digits}d}", parquet)
                for rows in shard.write(c, model_id, dim, part):
                    done += rows
                    if progress is not None:
                        progress(done, len(ids))
    except OSError as e:
        raise LibraryUnreadable(
            f"{folder} cannot be written: {e.strerror or e}", hint="Look at its permissions and free space."
        ) from e
    return len(ids)


def _parquet() -> ModuleType:
    try:
        import pyarrow.parquet
    except ImportError as e:
        raise UsageError("writing embeddings needs the package pyarrow", hint=how_to_install("export")) from e
    module: ModuleType = pyarrow.parquet
    return module


def _refuse_used(folder: Path) -> None:
    for name in ("img_emb", "metadata"):
        if (folder / name).exists() and any((folder / name).iterdir()):
            raise UsageError(f"{folder / name} is not empty", hint="Name a new folder, or empty this one.")
        (folder / name).mkdir(parents=True, exist_ok=True)


class _Shard:
    """One matrix and its table, written beside their places and renamed when both are whole."""

    def __init__(self, folder: Path, number: str, parquet: ModuleType) -> None:
        self.matrix = folder / "img_emb" / f"img_emb_{number}.npy"
        self.table = folder / "metadata" / f"metadata_{number}.parquet"
        self.parquet = parquet

    def write(self, c: Connection, model_id: int, dim: int, ids: NDArray[np.int64]) -> Iterator[int]:
        """Write the photos `ids`; yields the number of rows after each step."""
        places = [(path.with_name(f"{path.name}.tmp"), path) for path in (self.matrix, self.table)]
        try:
            yield from self._fill(c, model_id, dim, ids, *(temporary for temporary, _ in places))
            for temporary, path in places:
                os.replace(temporary, path)
        finally:
            for temporary, _ in places:
                temporary.unlink(missing_ok=True)

    def _fill(
        self, c: Connection, model_id: int, dim: int, ids: NDArray[np.int64], matrix: Path, table: Path
    ) -> Iterator[int]:
        halves = _open_matrix(matrix, (len(ids), dim))
        with self.parquet.ParquetWriter(table, _schema()) as writer:
            row = 0
            for part in reading.chunked(ids.tolist()):
                for found, vectors in reading.embeddings(c, model_id, dim, ids=part):
                    halves[row : row + len(found)] = vectors.astype(np.float16)
                    writer.write_table(_table(c, found.tolist()))
                    row += len(found)
                    yield len(found)
        assert row == len(ids), "one reading transaction sees one state"
        if isinstance(halves, np.memmap):
            halves.flush()


def _open_matrix(path: Path, shape: tuple[int, int]) -> NDArray[np.float16]:
    """A float16 matrix that lives in the file."""
    if not shape[0]:  # an empty file cannot be mapped into memory
        empty = np.empty(shape, np.float16)
        with path.open("wb") as out:
            np.save(out, empty)
        return empty
    return np.lib.format.open_memmap(path, mode="w+", dtype=np.float16, shape=shape)


def _schema() -> Any:
    import pyarrow

    text, number = pyarrow.string(), pyarrow.int64()
    return pyarrow.schema(
        [("image_path", text), ("id", number), ("width", number), ("height", number), ("taken_at", text)]
    )


def _table(c: Connection, ids: Sequence[int]) -> Any:
    import pyarrow

    photos, files = reading.photo_rows(c, ids), reading.photo_files(c, ids)
    columns = {
        "image_path": [os.fsencode(files[key][0][0]).decode("utf-8", "replace") for key in ids],
        "id": list(ids),
        "width": [photos[key].width for key in ids],
        "height": [photos[key].height for key in ids],
        "taken_at": [photos[key].taken_at for key in ids],
    }
    return pyarrow.table(columns, schema=_schema())
