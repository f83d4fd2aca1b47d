"""What the catalog answers: filters, files, tags, counts; and that no question grows with the square of the photos."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from sqlalchemy import Connection, event, insert, select

from library.catalog import Catalog, filtering, forgetting, open_catalog, reading, writing
from library.catalog.batch import Written, write_batch
from library.records import (
    FailedFile,
    FileStamp,
    FileState,
    ImageFacts,
    KnownPhoto,
    ModelStamp,
    NewPhoto,
    PhotoFilter,
)
from library.schema import embedding, file, photo, tag, thumbnail

DIM = 8
MODEL = ModelStamp("m", "0" * 64, DIM, "p")
ROOT = Path("/photos")


def stamp(path: str, *, size: int = 10, mtime: int = 1) -> FileStamp:
    return FileStamp(path.encode(), size, mtime, 1)


def content(seed: int) -> bytes:
    return hashlib.sha256(b"%d" % seed).digest()


def new(path: str, seed: int, **facts: Any) -> NewPhoto:
    vector = np.random.default_rng(seed).standard_normal(DIM).astype(np.float32)
    unit = vector / np.linalg.norm(vector)
    about = ImageFacts(4, 3, "JPEG", **facts)
    return NewPhoto(stamp(path), content(seed), about, seed, b"webp%d" % seed, unit)


def failure(path: str, state: FileState = FileState.UNREADABLE, **options: Any) -> FailedFile:
    return FailedFile(stamp(path, **options), state, "the reason")


class Library:
    """A catalog with one root and one model."""

    def __init__(self, folder: Path) -> None:
        self.catalog: Catalog = open_catalog(folder, create=True)
        with self.catalog.writing() as c:
            self.root = writing.ensure_root(c, ROOT)
            self.model = writing.ensure_model(c, MODEL)

    def write(self, *items: NewPhoto | KnownPhoto | FailedFile, model: int | None = None) -> Written:
        with self.catalog.writing() as c:
            return write_batch(
                c,
                self.root,
                model or self.model,
                [i for i in items if isinstance(i, NewPhoto)],
                [i for i in items if isinstance(i, KnownPhoto)],
                [i for i in items if isinstance(i, FailedFile)],
            )

    def tag(self, path: str, *names: str, state: str = "confirmed") -> None:
        rows = [
            {"photo_id": self.at(path), "name": n, "state": state, "score": 0.5, "decided_at": "now"}
            for n in names
        ]
        with self.catalog.writing() as c:
            writing.set_decisions(c, rows)

    def ask(self, question: Callable[..., Any], *args: Any, **options: Any) -> Any:
        with self.catalog.reading() as c:
            found = question(c, *args, **options)
            return list(found) if isinstance(found, Iterator) else found

    def at(self, path: str) -> int:
        (row,) = self.ask(reading.rows_at, self.root, [path.encode()])
        return int(row.photo_id)

    def matching(self, **wanted: Any) -> set[str]:
        """Names of the files of the photos that pass the filter."""
        ids = self.ask(filtering.matching_photo_ids, PhotoFilter(**wanted)).tolist()
        files = self.ask(reading.photo_files, ids)
        return {str(files[key][0][0].relative_to(ROOT)) for key in ids}


@pytest.fixture
def library(tmp_path: Path) -> Iterator[Library]:
    library = Library(tmp_path)
    yield library
    library.catalog.close()


@pytest.fixture
def full(library: Library) -> Library:
    library.write(
        new("a.jpg", 1, taken_at="2023-07-14T18:03:22", camera_make="Canon", camera_model="EOS R5"),
        new("trip/b.jpg", 2, taken_at="2023-12-31T23:59:59", camera_make="NIKON", lens="50mm f/1.8"),
        new("trip/c.jpg", 3, taken_at="2024-01-01T00:00:00+01:00", camera_model="100%_cam"),
        new("trip2/d.jpg", 4),  # dated by its file, of 1970
        failure("bad.jpg"),
    )
    return library


def test_what_is_written_is_what_is_read(full: Library) -> None:
    (row,) = full.ask(reading.photo_rows, [full.at("a.jpg")]).values()
    assert (row.content_sha256, row.width, row.height, row.format) == (content(1), 4, 3, "JPEG")
    assert (row.taken_at, row.camera_make, row.perceptual_hash) == ("2023-07-14T18:03:22", "Canon", 1)
    assert full.ask(reading.thumbnails, [row.id]) == {row.id: b"webp1"}
    ids, vectors = next(iter(full.ask(reading.embeddings, full.model, DIM)))
    np.testing.assert_allclose(vectors[ids.tolist().index(row.id)], new("a.jpg", 1).embedding, atol=2e-3)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
    counts = full.ask(reading.file_counts)
    assert counts == {"indexed": 4, "missing": 0, "unreadable": 1, "failed": 0}
    (problem,) = full.ask(reading.problem_files, [FileState.UNREADABLE])
    assert (problem.root, problem.path, problem.reason) == (b"/photos", b"bad.jpg", "the reason")


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ({}, "abcd"),
        ({"taken_after": "2023"}, "abc"),
        ({"taken_after": "2023-08"}, "bc"),
        ({"taken_after": "2024-01-01"}, "c"),
        ({"taken_before": "2023"}, "abd"),
        ({"taken_before": "2023-07-14"}, "ad"),
        ({"taken_before": "2023-07-13"}, "d"),
        ({"taken_after": "2023-12", "taken_before": "2024"}, "bc"),
        ({"camera": "canon"}, "a"),
        ({"camera": "nikon"}, "b"),
        ({"camera": "50MM"}, "b"),
        ({"camera": "%"}, "c"),
        ({"camera": "canon eos"}, "a"),
        ({"folders": (ROOT,)}, "abcd"),
        ({"folders": (Path("/"),)}, "abcd"),
        ({"folders": (ROOT / "trip",)}, "bc"),
        ({"folders": (ROOT / "trip", ROOT / "trip2")}, "bcd"),
        ({"folders": (ROOT / "trip" / "b.jpg",)}, "b"),
        ({"folders": (ROOT / "tri",)}, ""),
        ({"folders": (Path("/elsewhere"),)}, ""),
        ({"folders": (ROOT / "trip",), "taken_before": "2023"}, "b"),
    ],
)
def test_filters(full: Library, wanted: dict[str, Any], expected: str) -> None:
    assert {name[-5] for name in full.matching(**wanted)} == set(expected)


def test_tags_filter_together_and_rejected_ones_do_not_count(full: Library) -> None:
    full.tag("a.jpg", "dog", "beach")
    full.tag("trip/b.jpg", "dog", state="suggested")
    full.tag("trip/c.jpg", "dog", state="rejected")
    assert full.matching(tags=("dog",)) == {"a.jpg", "trip/b.jpg"}
    assert full.matching(tags=("dog", "beach")) == {"a.jpg"}
    assert full.matching(tags=("cat",)) == set()


def test_missing_photos_answer_only_when_asked(full: Library) -> None:
    gone, copy = full.at("a.jpg"), full.at("trip/b.jpg")
    full.write(KnownPhoto(stamp("trip2/copy.jpg"), content(2)))
    with full.catalog.writing() as c:
        rows = reading.rows_at(c, full.root, [b"a.jpg", b"trip/b.jpg"])
        writing.set_missing(c, [row.id for row in rows])
    assert full.ask(reading.hidden_photo_ids).tolist() == [gone], "the other has a copy that is there"
    assert full.matching(taken_after="2023") == {"trip2/copy.jpg", "trip/c.jpg"}
    assert full.matching(taken_after="2023", include_missing=True) >= {"a.jpg"}
    assert full.matching(folders=(ROOT / "trip",)) == {"trip/c.jpg"}, "the copy lies elsewhere"
    in_trip = full.ask(
        filtering.matching_photo_ids, PhotoFilter(folders=(ROOT / "trip",), include_missing=True)
    )
    assert copy in in_trip


def test_photos_of_the_second_root_are_found_by_their_own_folder(full: Library) -> None:
    with full.catalog.writing() as c:
        other = writing.ensure_root(c, Path("/other"))
        assert writing.ensure_root(c, Path("/other")) == other
    with full.catalog.writing() as c:
        write_batch(c, other, full.model, [new("trip/e.jpg", 5)])
    ids = full.ask(filtering.matching_photo_ids, PhotoFilter(folders=(Path("/other"),)))
    assert [f[0][0] for f in full.ask(reading.photo_files, ids.tolist()).values()] == [
        Path("/other/trip/e.jpg")
    ]


NAMES = st.lists(st.sampled_from([b"a", b"/", b"-", b"0", b".", b"\xff"]), min_size=1, max_size=5).map(
    b"".join
)


@given(st.sets(NAMES, max_size=8), NAMES)
@example({b"a/\xff\xff", b"a0", b"a-"}, b"a")
def test_below_a_folder_is_what_the_path_says(names: set[bytes], folder: bytes) -> None:
    """The range in the index against the plain meaning."""
    import sqlite3

    from sqlalchemy.dialects import sqlite

    compiled = reading.below(folder).compile(dialect=sqlite.dialect())
    connection = sqlite3.connect(":memory:")
    connection.execute("CREATE TABLE file (path BLOB)")
    connection.executemany("INSERT INTO file VALUES (?)", [(n,) for n in names])
    values = [compiled.params[name] for name in compiled.positiontup or ()]
    found = {r[0] for r in connection.execute(f"SELECT path FROM file WHERE {compiled}", values)}
    connection.close()
    assert found == {name for name in names if name == folder or name.startswith(folder + b"/")}


# Batches


def test_a_batch_says_what_the_index_must_do(full: Library) -> None:
    before = full.ask(reading.revision)
    b = full.at("trip/b.jpg")
    written = full.write(new("a.jpg", 50), KnownPhoto(stamp("trip/b.jpg"), content(4)), new("e.jpg", 5))
    assert written.revision == before + 1
    assert written.ids.tolist() == [full.at("a.jpg"), full.at("e.jpg")]
    assert (written.removed, written.lost) == ([b], [])
    assert full.at("trip/b.jpg") == full.at("trip2/d.jpg")
    assert full.ask(reading.removals, full.model, before).tolist() == sorted([full.at("a.jpg"), b])


def test_content_that_is_not_known_after_all_is_given_back(full: Library) -> None:
    written = full.write(KnownPhoto(stamp("x.jpg"), content(99)))
    assert written.lost == [stamp("x.jpg")]
    assert full.ask(reading.rows_at, full.root, [b"x.jpg"]) == []


def test_an_edit_deletes_the_vectors_of_every_model(full: Library) -> None:
    with full.catalog.writing() as c:
        second = writing.ensure_model(c, ModelStamp("second", "1" * 64, DIM, "p"))
    full.write(new("a.jpg", 1), model=second)
    assert full.ask(reading.embedding_count, second) == 1
    full.write(new("a.jpg", 50))
    assert full.ask(reading.embedding_count, second) == 0
    assert full.ask(reading.embedding_count, full.model) == 4


def test_a_photo_that_goes_leaves_nothing_behind(full: Library) -> None:
    full.tag("trip/b.jpg", "dog")
    gone = full.at("trip/b.jpg")
    with full.catalog.writing() as c:
        (row,) = reading.rows_at(c, full.root, [b"trip/b.jpg"])
        assert writing.delete_files(c, [row.id]) == 1
    for table, column in (
        (photo, photo.c.id),
        *((t, t.c.photo_id) for t in (embedding, tag, thumbnail, file)),
    ):
        assert full.ask(lambda c, t=table, k=column: c.execute(select(t).where(k == gone)).all()) == []


def test_decisions_of_the_heir_stand(full: Library) -> None:
    full.tag("a.jpg", "dog", "beach")
    full.tag("trip/b.jpg", "dog", state="rejected")
    full.write(KnownPhoto(stamp("a.jpg"), content(2)))
    rows = full.ask(reading.photo_tags, [full.at("a.jpg")])[full.at("a.jpg")]
    assert {r.name: r.state for r in rows} == {"dog": "rejected", "beach": "confirmed"}


def test_a_failure_keeps_the_photo_and_success_clears_the_reason(full: Library) -> None:
    key = full.at("a.jpg")
    full.write(failure("a.jpg", mtime=2))
    (row,) = full.ask(reading.rows_at, full.root, [b"a.jpg"])
    assert (row.photo_id, row.state) == (key, "unreadable")
    (known,) = [r for r in full.ask(reading.file_rows, full.root, full.model) if r.path == b"a.jpg"]
    assert (known.failed, known.has_embedding, known.mtime_ns) == (True, True, 2)
    full.write(KnownPhoto(stamp("a.jpg", mtime=3), content(1)))
    (known,) = [r for r in full.ask(reading.file_rows, full.root, full.model) if r.path == b"a.jpg"]
    assert (known.failed, known.state) == (False, FileState.INDEXED)


def test_known_contents_are_those_of_a_size_that_the_model_has_seen(full: Library) -> None:
    assert full.ask(reading.known_contents, [10], full.model) == {content(n) for n in (1, 2, 3, 4)}
    assert full.ask(reading.known_contents, [11], full.model) == set()
    assert full.ask(reading.known_contents, [10], full.model + 1) == set()
    assert full.ask(reading.known_contents, range(20_000), full.model) == {content(n) for n in (1, 2, 3, 4)}


def test_a_transaction_that_fails_leaves_nothing(full: Library) -> None:
    def fail(c: Connection) -> None:
        write_batch(c, full.root, full.model, [new("e.jpg", 5), new("a.jpg", 50)])
        raise RuntimeError

    before = (full.ask(reading.revision), full.ask(reading.photo_count))
    with pytest.raises(RuntimeError), full.catalog.writing() as c:
        fail(c)
    assert (full.ask(reading.revision), full.ask(reading.photo_count)) == before
    assert full.matching() == {"a.jpg", "trip/b.jpg", "trip/c.jpg", "trip2/d.jpg"}


# Scale: how SQLite goes about each question


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Library]:
    """20,000 photos, one in ten missing."""
    library = Library(tmp_path_factory.mktemp("large"))
    count = range(1, 20_001)
    with library.catalog.writing() as c:
        facts = {"added_at": "", "width": 1, "height": 1, "format": "JPEG", "orientation": 1}
        rows = [
            {"id": n, "content_sha256": content(n), "size_bytes": n, "perceptual_hash": n, **facts}
            | {"dated_at": f"20{n % 30:02}-01-01"}
            for n in count
        ]
        c.execute(insert(photo), rows)
        states = {True: "missing", False: "indexed"}
        place = {"root_id": library.root, "size_bytes": 1, "mtime_ns": 1, "inode": 1, "companions": b""}
        files = [
            {"path": b"%d/%d.jpg" % (n % 100, n), "photo_id": n, "state": states[n % 10 == 0]} for n in count
        ]
        c.execute(insert(file), [row | place for row in files])
        c.execute(insert(tag), [{"photo_id": n, "name": f"t{n % 50}", "state": "suggested"} for n in count])
        vector = np.zeros(DIM, "<f2").tobytes()
        c.execute(
            insert(embedding),
            [{"model_id": library.model, "photo_id": n, "vector": vector, "revision": n} for n in count],
        )
    yield library
    library.catalog.close()


QUESTIONS: dict[str, tuple[Callable[[Connection, Library], Any], int]] = {
    "hidden": (lambda c, _: reading.hidden_photo_ids(c), 2_000),
    "date": (lambda c, _: filtering.matching_photo_ids(c, PhotoFilter(taken_after="2015")), 9_329),
    "folder": (lambda c, _: filtering.matching_photo_ids(c, PhotoFilter(folders=(ROOT / "7",))), 200),
    "tag": (lambda c, _: filtering.matching_photo_ids(c, PhotoFilter(tags=("t7",))), 400),
    "camera": (lambda c, _: filtering.matching_photo_ids(c, PhotoFilter(camera="x")), 0),
    "known": (lambda c, lib: reading.known_contents(c, range(1000), lib.model), 999),
    "rows": (lambda c, lib: list(reading.file_rows(c, lib.root, lib.model)), 20_000),
    "part": (lambda c, lib: list(reading.file_rows(c, lib.root, lib.model, b"7")), 200),
    "few new": (
        lambda c, lib: [
            1 for ids, _ in reading.embeddings(c, lib.model, DIM, since_revision=19_990) for _ in ids
        ],
        10,
    ),
    "lacking": (lambda c, lib: [0] * reading.photos_without_embedding(c, lib.model), 0),
    "gone": (lambda c, lib: forgetting.missing_files(c, lib.root), 2_000),
}


@pytest.mark.parametrize("name", QUESTIONS)
def test_no_question_takes_more_than_a_few_steps_a_photo(large: Library, name: str) -> None:
    """Counted in instructions of SQLite's machine: a wrong index would take 20,000 times as many."""
    question, expected = QUESTIONS[name]
    thousands = 0

    def count() -> int:
        nonlocal thousands
        thousands += 1
        return int(thousands > 4_000)  # a fifth of a second; 200 instructions a photo

    with large.catalog.reading() as c:
        driver: Any = c.connection.driver_connection
        driver.set_progress_handler(count, 1000)
        try:
            assert len(question(c, large)) == expected
        finally:
            driver.set_progress_handler(None, 0)
    if name in ("folder", "part", "few new", "tag"):
        assert thousands < 100, "what few photos answer does not walk through all"


def test_a_batch_takes_a_fixed_number_of_statements(large: Library) -> None:
    def statements(size: int) -> int:
        count = 0

        def add(*_: Any) -> None:
            nonlocal count
            count += 1

        event.listen(large.catalog.engine, "before_cursor_execute", add)
        try:
            large.write(*(new(f"new/{size}-{n}.jpg", 10**6 + size * 1000 + n) for n in range(size)))
        finally:
            event.remove(large.catalog.engine, "before_cursor_execute", add)
        return count

    assert statements(64) == statements(8) < 25


def test_an_edit_of_many_is_one_batch_too(large: Library) -> None:
    paths = [os.fsdecode(b"%d/%d.jpg" % (n % 100, n)) for n in range(1, 65)]
    before = [large.at(path) for path in paths]
    written = large.write(*(new(path, 2 * 10**6 + n) for n, path in enumerate(paths)))
    assert written.ids.tolist() == before
    assert large.ask(reading.photo_count) >= 20_000
