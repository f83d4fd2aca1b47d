"""Changes of the catalog's schema: ordered, recorded, each in one transaction with its record.

A new catalog is made from `schema` as it is today, with every migration recorded as done; an older one
gets what it lacks. Add a migration by appending to MIGRATIONS; never edit one that was released.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import Connection, Engine, bindparam, func, inspect, select, update

from library import schema
from library.errors import LibraryDamaged, LibraryTooNew
from library.filetimes import local_time


@dataclass(frozen=True, slots=True)
class Migration:
    """One step. `apply` gets a connection inside a transaction and must not delete users' data."""

    name: str
    apply: Callable[[Connection], None]


def _initial(connection: Connection) -> None:
    schema.metadata.create_all(connection)


def _tagging(connection: Connection) -> None:
    for table in (schema.tag_vector, schema.tag_calibration):
        table.create(connection, checkfirst=True)


def _tagged(connection: Connection) -> None:
    """Nothing is known of what was tagged before: a watcher tags it once more, from the stored vectors."""
    schema.tagged.create(connection, checkfirst=True)


def _dates_and_favourites(connection: Connection) -> None:
    """A date for every photo: EXIF's, else the earliest time of its files."""
    schema.favourite.create(connection, checkfirst=True)
    connection.exec_driver_sql("ALTER TABLE photo ADD COLUMN dated_at VARCHAR")
    connection.exec_driver_sql("DROP INDEX ix_photo_taken_at")
    photo, file = schema.photo, schema.file
    connection.execute(update(photo).where(photo.c.taken_at.is_not(None)).values(dated_at=photo.c.taken_at))
    earliest = select(file.c.photo_id, func.min(file.c.mtime_ns)).group_by(file.c.photo_id)
    undated = select(photo.c.id).where(photo.c.taken_at.is_(None))
    rows = connection.execute(earliest.where(file.c.photo_id.in_(undated))).all()
    found = [{"key": key, "date": local_time(mtime_ns)} for key, mtime_ns in rows]
    if found:
        dated = update(photo).where(photo.c.id == bindparam("key")).values(dated_at=bindparam("date"))
        connection.execute(dated, found)
    connection.exec_driver_sql("CREATE INDEX ix_photo_dated_at ON photo (dated_at)")


MIGRATIONS: Sequence[Migration] = (
    Migration("0001_initial", _initial),
    Migration("0002_tagging", _tagging),
    Migration("0003_tagged", _tagged),
    Migration("0004_dates_and_favourites", _dates_and_favourites),
)


def migrate(engine: Engine, migrations: Sequence[Migration] = MIGRATIONS) -> list[str]:
    """Bring the catalog up to date; returns the names applied to an existing catalog.

    Raises LibraryTooNew if it records a migration this version does not know, LibraryDamaged if oko did not make it.
    """
    with engine.connect() as connection:
        applied = _applied(connection)
    if applied is None:
        _create(engine, migrations)
        return []
    unknown = sorted(applied - {m.name for m in migrations})
    if unknown:
        raise LibraryTooNew(
            f"the library was written by a newer version of oko (it has {', '.join(unknown)})",
            hint="Upgrade oko. Nothing was changed.",
        )
    return [m.name for m in migrations if m.name not in applied and _apply(engine, m)]


def _applied(connection: Connection) -> set[str] | None:
    """The names of the migrations a catalog records; None for an empty database."""
    tables = set(inspect(connection).get_table_names())
    if not tables:
        return None
    if "migration" not in tables:
        raise LibraryDamaged(
            f"the database {connection.engine.url.render_as_string(hide_password=True)} was not made by oko",
            hint="Name another with database_url or --library.",
        )
    return set(connection.execute(select(schema.migration.c.name)).scalars())


@contextmanager
def _changing(engine: Engine) -> Iterator[Connection]:
    # The lock comes before the look: two processes may open the same catalog at once.
    with engine.connect().execution_options(oko_write=True) as connection, connection.begin():
        yield connection


def _create(engine: Engine, migrations: Sequence[Migration]) -> None:
    with _changing(engine) as connection:
        if _applied(connection) is None:
            schema.metadata.create_all(connection)
            names = [{"name": m.name, "applied_at": _now()} for m in migrations]
            connection.execute(schema.migration.insert(), names)


def _apply(engine: Engine, step: Migration) -> bool:
    with _changing(engine) as connection:
        if step.name in (_applied(connection) or set()):
            return False
        step.apply(connection)
        connection.execute(schema.migration.insert(), [{"name": step.name, "applied_at": _now()}])
    return True


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
