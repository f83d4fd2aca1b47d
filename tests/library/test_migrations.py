"""The catalog's schema through time: old ones get what they lack, new and foreign ones are left alone."""

from __future__ import annotations

import functools
import re
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import Connection, inspect, select

from library import schema
from library.catalog import Catalog, open_catalog
from library.errors import LibraryDamaged, LibraryTooNew
from library.filetimes import local_time
from library.folder import CATALOG_NAME
from library.migrations import MIGRATIONS, Migration, migrate

# What released versions made, as SQL. Never edit these files: add a migration, and the dump after it.
HISTORY = {
    "0001_initial": Path(__file__).with_name("schema_0001.sql"),
    "0002_tagging": Path(__file__).with_name("schema_0002.sql"),
    "0003_tagged": Path(__file__).with_name("schema_0003.sql"),
    "0004_dates_and_favourites": Path(__file__).with_name("schema_0004.sql"),
}


def dump(path: Path) -> str:
    """The schema as SQLite keeps it, in order of names."""
    connection = sqlite3.connect(path)
    rows = connection.execute("SELECT sql FROM sqlite_master WHERE sql NOTNULL ORDER BY type DESC, name")
    lines = [
        _constraints_last(" ".join(row[0].split())) + ";" for row in rows if "sqlite_sequence" not in row[0]
    ]
    connection.close()
    return "\n".join(lines) + "\n"


def _constraints_last(statement: str) -> str:
    """SQLite writes a column that was added behind the constraints, which says the same."""
    if not statement.startswith("CREATE TABLE") or "( " not in statement:
        return statement
    name, _, inside = statement.partition("( ")
    parts = re.split(r" ?, (?![^(]*\))", inside.removesuffix(")").strip())
    parts.sort(key=lambda part: part.startswith(("PRIMARY KEY", "UNIQUE", "FOREIGN KEY")))
    return f"{name}( {', '.join(parts)} )"


def migrations_of(path: Path) -> list[str]:
    connection = sqlite3.connect(path)
    names = [row[0] for row in connection.execute("SELECT name FROM migration ORDER BY name")]
    connection.close()
    return names


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    catalog = open_catalog(tmp_path, create=True)
    catalog.close()
    return catalog


def made_by(folder: Path, name: str) -> None:
    """A catalog as the released version with this newest migration made it."""
    connection = sqlite3.connect(folder / CATALOG_NAME)
    connection.executescript(HISTORY[name].read_text())
    done = [m.name for m in MIGRATIONS if m.name <= name]
    connection.executemany("INSERT INTO migration VALUES (?, '2026-01-01')", [(each,) for each in done])
    connection.execute("INSERT INTO meta VALUES ('kept', 'value')")
    connection.commit()
    connection.close()


def test_a_new_catalog_is_what_the_last_release_made(tmp_path: Path, catalog: Catalog) -> None:
    """If this fails, somebody edited the schema without a migration: released catalogs would lack the change."""
    newest = HISTORY[MIGRATIONS[-1].name]
    assert dump(tmp_path / CATALOG_NAME) == newest.read_text()
    assert migrations_of(tmp_path / CATALOG_NAME) == [m.name for m in MIGRATIONS]


def test_every_migration_has_its_dump() -> None:
    assert list(HISTORY) == [m.name for m in MIGRATIONS]
    assert list(HISTORY) == sorted(HISTORY)


@pytest.mark.parametrize("name", HISTORY)
def test_every_older_catalog_becomes_the_newest(tmp_path: Path, name: str) -> None:
    made_by(tmp_path, name)
    open_catalog(tmp_path, create=False).close()
    assert dump(tmp_path / CATALOG_NAME) == HISTORY[MIGRATIONS[-1].name].read_text()
    catalog = open_catalog(tmp_path, create=False)
    with catalog.reading() as c:
        assert c.execute(select(schema.meta.c.value).where(schema.meta.c.key == "kept")).scalar() == "value"
    catalog.close()


def test_photos_of_an_older_catalog_get_their_dates(tmp_path: Path) -> None:
    made_by(tmp_path, "0003_tagged")
    connection = sqlite3.connect(tmp_path / CATALOG_NAME)
    connection.execute("INSERT INTO root VALUES (1, x'2f70', NULL, 0)")
    for key, taken_at in ((1, "2023-07-14T18:03:22"), (2, None), (3, None)):
        facts = (key, bytes([key]), 1, "", 1, 1, "JPEG", 1, taken_at, 0)
        connection.execute(
            "INSERT INTO photo (id, content_sha256, size_bytes, added_at, width, height, format, orientation, taken_at,"
            " perceptual_hash) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            facts,
        )
    for key, photo_id, mtime_ns in ((1, 1, 1), (2, 2, 2_000_000_000 * 10**9), (3, 2, 1_000_000_000 * 10**9)):
        row = (key, 1, bytes([key]), photo_id, 1, mtime_ns, key, b"", "indexed", None, None)
        connection.execute("INSERT INTO file VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", row)
    connection.commit()
    connection.close()
    catalog = open_catalog(tmp_path, create=False)
    with catalog.reading() as c:
        dates = c.execute(select(schema.photo.c.dated_at).order_by(schema.photo.c.id)).scalars().all()
    catalog.close()
    assert dates == ["2023-07-14T18:03:22", local_time(1_000_000_000 * 10**9), None]


def add_table(c: Connection) -> None:
    c.exec_driver_sql("CREATE TABLE later (id INTEGER PRIMARY KEY)")


def add_column_then_fail(c: Connection) -> None:
    c.exec_driver_sql("ALTER TABLE photo ADD COLUMN mood TEXT")
    c.exec_driver_sql("DELETE FROM meta")
    raise RuntimeError("a bug in a migration")


def test_an_older_catalog_gets_what_it_lacks_once(tmp_path: Path, catalog: Catalog) -> None:
    later = (*MIGRATIONS, Migration("9001_later", add_table))
    assert migrate(catalog.engine, later) == ["9001_later"]
    assert migrate(catalog.engine, later) == []
    with catalog.reading() as c:
        assert "later" in inspect(c).get_table_names()
    assert migrations_of(tmp_path / CATALOG_NAME)[-1] == "9001_later"


def test_a_failing_migration_leaves_everything_as_it_was(tmp_path: Path, catalog: Catalog) -> None:
    with catalog.writing() as c:
        c.execute(schema.meta.insert().values(key="kept", value="value"))
    before = dump(tmp_path / CATALOG_NAME)
    steps = (*MIGRATIONS, Migration("9001_ok", add_table), Migration("9002_bad", add_column_then_fail))
    with pytest.raises(RuntimeError, match="bug in a migration"):
        migrate(catalog.engine, steps)
    # The one before it was done and recorded by itself; of the failing one nothing is left.
    assert migrations_of(tmp_path / CATALOG_NAME)[-1] == "9001_ok"
    after = dump(tmp_path / CATALOG_NAME)
    assert "mood" not in after
    assert set(after.splitlines()) - set(before.splitlines()) == {
        "CREATE TABLE later (id INTEGER PRIMARY KEY);"
    }
    with catalog.reading() as c:
        assert c.execute(select(schema.meta.c.value)).scalars().all() == ["value"]


def test_a_newer_catalog_is_refused_and_not_touched(tmp_path: Path, catalog: Catalog) -> None:
    with catalog.writing() as c:
        c.execute(schema.migration.insert().values(name="9999_future", applied_at="2031"))
    catalog.close()
    before = (tmp_path / CATALOG_NAME).read_bytes()
    for create in (True, False):
        with pytest.raises(LibraryTooNew, match="9999_future") as caught:
            open_catalog(tmp_path, create=create)
        assert "Upgrade" in caught.value.hint
    assert (tmp_path / CATALOG_NAME).read_bytes() == before


def test_a_foreign_database_is_refused_and_not_touched(tmp_path: Path) -> None:
    path = tmp_path / CATALOG_NAME
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE customers (name TEXT)")
    connection.close()
    before = path.read_bytes()
    for create in (True, False):
        with pytest.raises(LibraryDamaged, match="not made by oko"):
            open_catalog(tmp_path, create=create)
    with pytest.raises(LibraryDamaged, match="not made by oko"):
        open_catalog(tmp_path / "elsewhere", f"sqlite:///{path}", create=True)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == [CATALOG_NAME]


def test_several_may_open_a_new_catalog_at_once(tmp_path: Path) -> None:
    for attempt in range(5):
        folder = tmp_path / str(attempt)
        folder.mkdir()
        (folder / CATALOG_NAME).touch()  # so that readers come before the first table, too
        opened = functools.partial(open_catalog, folder)
        with ThreadPoolExecutor(4) as pool:
            waiting = [pool.submit(opened, create=create) for create in (True, False, False, True)]
            for each in waiting:
                each.result().close()
        assert migrations_of(folder / CATALOG_NAME) == [m.name for m in MIGRATIONS]
        connection = sqlite3.connect(folder / CATALOG_NAME)
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        connection.close()
