"""The catalog: photos, files, embeddings and decisions in SQLite, through SQLAlchemy (sole user of it).

`engine` opens the database, `reading` asks it, `writing` changes it; only `library.store` calls the latter.
"""

from sqlalchemy import Connection

from library.catalog.engine import Catalog, open_catalog

__all__ = ["Catalog", "Connection", "open_catalog"]
