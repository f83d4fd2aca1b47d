"""The catalog's tables. SQLite is the truth; everything else in the library folder can be made anew from it."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)

metadata = MetaData()

# SQLite numbers rows by itself only for a column whose type is exactly INTEGER.
Id = BigInteger().with_variant(Integer, "sqlite")

meta = Table(
    "meta",
    metadata,
    Column("key", String, primary_key=True),
    Column("value", String, nullable=False),
)

migration = Table(
    "migration",
    metadata,
    Column("name", String, primary_key=True),
    Column("applied_at", String, nullable=False),
)

root = Table(
    "root",
    metadata,
    Column("id", Id, primary_key=True),
    Column("path", LargeBinary, nullable=False, unique=True),  # absolute, in the file system's bytes
    Column("scanned_at", String),
    Column(
        "offline", Integer, nullable=False, default=0
    ),  # absent, empty, or lost over 20 % at the last scan
)

photo = Table(
    "photo",
    metadata,
    Column("id", Id, primary_key=True),
    Column("content_sha256", LargeBinary(32), nullable=False, unique=True),
    Column("size_bytes", BigInteger, nullable=False, index=True),
    Column("added_at", String, nullable=False),
    Column("width", Integer, nullable=False),
    Column("height", Integer, nullable=False),
    Column("format", String, nullable=False),
    Column("orientation", Integer, nullable=False),
    Column("taken_at", String),  # ISO 8601, local time first, so that text order is time order
    Column("camera_make", String),
    Column("camera_model", String),
    Column("lens", String),
    Column("latitude", Float),
    Column("longitude", Float),
    Column("altitude_m", Float),
    Column("perceptual_hash", BigInteger, nullable=False),
    Column("dated_at", String, index=True),  # taken_at, else the earliest time of its files, likewise
    sqlite_autoincrement=True,  # ids are never used twice: they are also FAISS ids and what users keep
)

thumbnail = Table(
    "thumbnail",
    metadata,
    Column("photo_id", ForeignKey("photo.id", ondelete="CASCADE"), primary_key=True),
    Column("webp", LargeBinary, nullable=False),
)

file = Table(
    "file",
    metadata,
    Column("id", Id, primary_key=True),
    Column("root_id", ForeignKey("root.id", ondelete="CASCADE"), nullable=False),
    Column("path", LargeBinary, nullable=False),  # relative to the root
    Column("photo_id", ForeignKey("photo.id", ondelete="CASCADE")),
    Column("size_bytes", BigInteger, nullable=False),
    Column("mtime_ns", BigInteger, nullable=False),
    Column("inode", BigInteger, nullable=False),
    Column("companions", LargeBinary, nullable=False, default=b""),  # relative paths, NUL between them
    Column("state", String, nullable=False),
    Column("reason", Text),
    Column("missing_since", String),
    UniqueConstraint("root_id", "path"),
    # Both columns, so that "is any file of this photo there?" never goes through the index on the state.
    Index("file_photo", "photo_id", "state"),
    Index("file_state", "state"),
)

model = Table(
    "model",
    metadata,
    Column("id", Id, primary_key=True),
    Column("name", String, nullable=False),
    Column("weights_sha256", String, nullable=False),
    Column("dim", Integer, nullable=False),
    Column("preprocessing", Text, nullable=False),
    UniqueConstraint("name", "weights_sha256", "dim", "preprocessing"),
)

embedding = Table(
    "embedding",
    metadata,
    Column("model_id", ForeignKey("model.id", ondelete="CASCADE"), primary_key=True),
    Column("photo_id", ForeignKey("photo.id", ondelete="CASCADE"), primary_key=True, index=True),
    Column("vector", LargeBinary, nullable=False),  # (D,) little-endian float16, L2 norm 1 before rounding
    Column("revision", BigInteger, nullable=False),
    Index("embedding_revision", "model_id", "revision"),
)

# Which vectors went away since which revision, so that a saved FAISS file can be caught up.
removal = Table(
    "removal",
    metadata,
    Column("id", Id, primary_key=True),
    Column("model_id", ForeignKey("model.id", ondelete="CASCADE"), nullable=False),
    Column("photo_id", BigInteger, nullable=False),
    Column("revision", BigInteger, nullable=False),
    Index("removal_revision", "model_id", "revision"),
)

tag = Table(
    "tag",
    metadata,
    Column("photo_id", ForeignKey("photo.id", ondelete="CASCADE"), primary_key=True),
    Column("name", String, primary_key=True, index=True),
    Column("state", String, nullable=False),  # suggested, confirmed, rejected
    Column("score", Float),
    Column("decided_at", String),
)

favourite = Table(
    "favourite",
    metadata,
    Column("photo_id", ForeignKey("photo.id", ondelete="CASCADE"), primary_key=True),
    Column("is_favourite", Integer, nullable=False),  # 0 where somebody took it back
    Column("decided_at", String),
)

# What tagging worked out for a model, so that it need not again. All of it can be made anew.
tag_vector = Table(
    "tag_vector",
    metadata,
    Column("model_id", ForeignKey("model.id", ondelete="CASCADE"), primary_key=True),
    Column("prompts_sha256", LargeBinary(32), primary_key=True),
    Column("vector", LargeBinary, nullable=False),  # (D,) little-endian float32, L2 norm 1
)

tag_calibration = Table(
    "tag_calibration",
    metadata,
    Column("model_id", ForeignKey("model.id", ondelete="CASCADE"), primary_key=True),
    Column("prompts_sha256", LargeBinary(32), nullable=False),  # of all tags together
    Column("photos", BigInteger, nullable=False),  # how many the library had of this model
    Column("revision", BigInteger, nullable=False),  # of the vectors
    Column("numbers", LargeBinary, nullable=False),  # (2, L) little-endian float32: mean and deviation a tag
)

# Which photos were tagged with a model, whatever came of it.
tagged = Table(
    "tagged",
    metadata,
    Column("model_id", ForeignKey("model.id", ondelete="CASCADE"), primary_key=True),
    Column("photo_id", ForeignKey("photo.id", ondelete="CASCADE"), primary_key=True, index=True),
)

run = Table(
    "run",
    metadata,
    Column("id", Id, primary_key=True),
    Column("kind", String, nullable=False),
    Column("started_at", String, nullable=False),
    Column("ended_at", String),
    Column("report", Text),
)
