"""Opening the catalog's database, and turning its errors into oko's."""

from __future__ import annotations

import os
import re
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, inspect
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError

from library.errors import (
    ConfigError,
    DiskFull,
    LibraryDamaged,
    LibraryLocked,
    LibraryUnreadable,
    NoLibrary,
    OkoError,
)
from library.folder import CATALOG_NAME
from library.geography import distance_km
from library.migrations import migrate

BUSY_TIMEOUT_MS = 10_000
# 64 MiB of pages: a quarter of the embeddings of 300,000 photos stays warm.
CACHE_KIB = 65_536


@dataclass(slots=True)
class Catalog:
    """An open catalog. `reading()` never blocks a writer; `writing()` is one transaction."""

    engine: Engine
    _observer: Any = field(default=None, init=False)  # a connection of its own that only looks for changes
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False)

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A connection that sees one consistent state."""
        with translated(self.engine), self.engine.connect() as connection, connection.begin():
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """One transaction: all of it is on disk afterwards, or nothing."""
        with (
            translated(self.engine),
            self.engine.connect().execution_options(oko_write=True) as connection,
            connection.begin(),
        ):
            yield connection

    def state(self) -> int | None:
        """A number that changes with every commit, of any process; None where the database has no such thing."""
        if self.engine.dialect.name != "sqlite":
            return None
        with translated(self.engine), self._lock:
            # Only the same connection's answers can be compared (sqlite.org/pragma.html, data_version).
            self._observer = self._observer or self.engine.raw_connection()
            cursor = self._observer.cursor()
            try:
                return int(cursor.execute("PRAGMA data_version").fetchone()[0])
            finally:
                cursor.close()

    def close(self) -> None:
        """Give the files back."""
        with self._lock:
            if self._observer is not None:
                self._observer.close()
                self._observer = None
        self.engine.dispose()


def open_catalog(folder: Path, database_url: str = "", *, create: bool) -> Catalog:
    """Open the catalog and bring its schema up to date.

    Raises LibraryTooNew, LibraryDamaged, LibraryUnreadable, LibraryLocked, ConfigError for a bad URL, or NoLibrary
    for one of an empty database unless `create` is given.
    """
    path = folder / CATALOG_NAME
    if not database_url:
        _require_file(path, create=create)
    # As an object, not as text: a "?" in the path is no query, and its bytes need not be UTF-8.
    engine = _engine(database_url or URL.create("sqlite", database=str(path)))
    catalog = Catalog(engine)
    try:
        with translated(engine):
            if database_url and not create:
                _require_tables(engine, folder)
            migrate(engine)
            if create and engine.dialect.name == "sqlite":
                _use_wal(engine)
    except BaseException:
        catalog.close()
        raise
    return catalog


def _require_file(path: Path, *, create: bool) -> None:
    """See that the database file is there, readable by its owner alone from its first moment."""
    try:
        if create:
            os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
        elif not path.is_file():
            raise LibraryUnreadable(f"there is no catalog in {path.parent}")
    except OSError as e:
        raise LibraryUnreadable(
            f"the catalog {path} cannot be used: {e.strerror}",
            hint="Look at the folder's owner and permissions.",
        ) from e


def _require_tables(engine: Engine, folder: Path) -> None:
    """See that somebody made the database, without making it: connecting alone would make SQLite's file."""
    name = engine.url.database
    is_file = engine.dialect.name == "sqlite" and name not in (None, "", ":memory:")
    is_absent = is_file and not str(name).startswith("file:") and not os.path.exists(str(name))
    if is_absent or not inspect(engine).get_table_names():
        raise NoLibrary(folder, database=engine.url.render_as_string(hide_password=True))


def _use_wal(engine: Engine) -> None:
    # Only now that the database is known to be ours; the mode stays with the file, so that readers find it.
    connection = engine.raw_connection()
    deadline = time.monotonic() + BUSY_TIMEOUT_MS / 1000
    try:
        while connection.cursor().execute("PRAGMA journal_mode").fetchone()[0] != "wal":
            try:
                connection.cursor().execute("PRAGMA journal_mode = WAL")
            except sqlite3.OperationalError as e:
                # SQLite does not wait by itself here when a reader has just opened the new file.
                if time.monotonic() > deadline:
                    raise DBAPIError("PRAGMA journal_mode = WAL", None, e) from e
                time.sleep(0.02)
    finally:
        connection.close()


def _engine(url: str | URL) -> Engine:
    try:
        parsed = make_url(url)
        is_sqlite = parsed.drivername.startswith("sqlite")
        engine = create_engine(parsed, connect_args={"timeout": BUSY_TIMEOUT_MS / 1000} if is_sqlite else {})
    except (ArgumentError, NoSuchModuleError, ModuleNotFoundError) as e:
        raise ConfigError(
            _without_password(f"database_url {str(url)!r} cannot be used: {e}"),
            hint="Leave it empty for SQLite in the library folder.",
        ) from e
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
    return engine


def _without_password(text: str) -> str:
    """As `render_as_string` does it, for URLs that may not even be any."""
    return re.sub(r"(://[^:/@\s]*:)\S*@", r"\1***@", text)


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    # The driver's own transaction handling is switched off, so that BEGIN below decides (SQLAlchemy's
    # "Serializable isolation / Savepoints / Transactional DDL" note for pysqlite).
    connection.isolation_level = None
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")
    cursor.execute("PRAGMA synchronous = NORMAL")
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
    cursor.close()
    # SQLite's own sine and cosine are left out of many builds.
    connection.create_function("oko_distance_km", 4, distance_km, deterministic=True)


def _begin_sqlite(connection: Connection) -> None:
    write = connection.get_execution_options().get("oko_write")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")


@contextmanager
def translated(engine: Engine) -> Iterator[None]:
    """Turn the database's errors into oko's, with their cause kept."""
    try:
        yield
    except DBAPIError as e:
        raise _translation(e, str(engine.url.database)) from e


def _translation(error: DBAPIError, database: str) -> OkoError:
    text = str(error.orig).lower()
    if "full" in text or "no space" in text:
        return DiskFull(
            f"the disk that holds {database} is full",
            hint="Free some space and run the command again: everything committed before is kept.",
        )
    if "locked" in text or "busy" in text:
        return LibraryLocked(
            f"the catalog {database} is locked by another program", hint="Close that program and try again."
        )
    if "not a database" in text or "malformed" in text:
        return LibraryDamaged(
            f"the catalog {database} is damaged: {error.orig}",
            hint="Restore it from a backup, or index into a new folder with --library DIR; your photos are untouched.",
        )
    if isinstance(error.orig, sqlite3.OperationalError):
        return LibraryUnreadable(
            f"the catalog {database} cannot be used: {error.orig}",
            hint="Look at the folder's owner and permissions.",
        )
    raise error
