"""What the API says, as types: they check what is sent, and are its OpenAPI description."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

# SQLite's largest id.
MOST_ID = 2**63 - 1


class Answer(BaseModel):
    """The base of all answers."""


class Open(BaseModel):
    """An answer that may carry more than is described here: what `oko ... --json` says grows."""

    model_config = ConfigDict(extra="allow")


# Errors


class Trouble(Answer):
    """What went wrong, and what to do about it. `start` and `end` are the place in a query, in characters."""

    message: str
    hint: str = ""
    kind: str = Field(description="the error's name, as in the README's list of errors")
    start: int | None = None
    end: int | None = None


class ErrorAnswer(Answer):
    """Every answer that is not a success."""

    error: Trouble


# Photos


class TagOnPhoto(Answer):
    """A tag of one photo."""

    name: str
    score: float | None = Field(description="0 to 1; null for a tag that no model gave")
    state: Literal["suggested", "confirmed", "rejected"]


class PathAnswer(Open):
    """A path as text, and as bytes in base64 where text cannot hold it."""

    path: str
    path_b64: str | None = Field(None, description="only where the path is not UTF-8")


class Result(PathAnswer):
    """A photo that answers a query: the object that `oko search --json` prints, and `version`."""

    id: int
    score: float | None = Field(description="cosine similarity, -1 to 1; 0 without anything to compare with")
    relevance: float | None = Field(description="0 to 1; null where it cannot be told")
    tags: list[TagOnPhoto]
    copies: list[PathAnswer]
    taken_at: str | None
    width_px: int
    height_px: int
    missing: bool
    format: str = Field(description="of the file: JPEG, PNG, HEIF, RAW, ...")
    size_bytes: int
    camera: str | None
    lens: str | None
    latitude: float | None
    longitude: float | None
    favourite: bool
    taken_from: str | None = Field(description="exif, or file for the file's own time")
    version: str = Field(description="of the photo's content: add it to picture addresses as ?v=")


class TaggedAnswer(Answer):
    """More photos have the tag that the query's words are the name of than were found by those words."""

    tag: str
    photos: int
    query: str = Field(description="that finds them")


class SearchAnswer(Answer):
    """One page of results."""

    results: list[Result]
    offset: int
    total: int = Field(description="photos that pass filters and cut: what paging runs over")
    cut: int = Field(description="photos that pass the filters and lie below the relevance line")
    at_least: bool = Field(
        description="of a large library: more photos answer than `total`, and how many are cut is not known;"
        " the page that comes to the end of `total` counts them"
    )
    took_ms: float
    notes: list[str] = Field(description="sentences for people")
    tagged: TaggedAnswer | None = Field(
        description="where a search for the tag instead finds more; else null"
    )


class FileOfPhoto(PathAnswer):
    """One file that holds a photo's content."""

    state: Literal["indexed", "missing", "unreadable", "failed"]


class PhotoAnswer(Answer):
    """Everything that is known of a photo; its tags include rejected ones."""

    id: int
    version: str
    sha256: str
    path: str
    files: list[FileOfPhoto]
    missing: bool
    favourite: bool
    width_px: int
    height_px: int
    format: str
    size_bytes: int
    taken_at: str | None
    taken_from: str | None
    added_at: str
    camera: str | None
    lens: str | None
    latitude: float | None
    longitude: float | None
    altitude_m: float | None
    tags: list[TagOnPhoto]


class PictureAnswer(Answer):
    """A picture that was handed in; `picture` names it in searches for as long as the server remembers it."""

    picture: str


# Tags


class TagAnswer(Answer):
    """A tag, and of how many photos it is suggested or confirmed."""

    name: str
    group: str
    suggested: int
    confirmed: int


class DecisionAnswer(Answer):
    """What is decided about a tag of a photo; `state` is null where nothing is, and no model suggests it."""

    id: int
    name: str = Field(description="as it is kept, which may differ in capitals from what was asked")
    state: Literal["suggested", "confirmed", "rejected"] | None
    is_new: bool = Field(description="no tag was called so before")


class Decide(BaseModel):
    """A decision about a tag."""

    model_config = ConfigDict(extra="forbid")
    state: Literal["confirmed", "rejected"]


class FavouriteAnswer(Answer):
    """Whether a photo is a favourite."""

    id: int
    favourite: bool


class Favour(BaseModel):
    """Make a photo a favourite, or none."""

    model_config = ConfigDict(extra="forbid", strict=True)
    favourite: bool


class Suggestion(Answer):
    """A completion: put `text` in place of the query's characters from `start` to `end`."""

    kind: str = Field(description="filter, value, tag, folder, camera or lens")
    text: str
    label: str
    detail: str = Field(description="a few words on what it does, or how many photos it has")
    count: int | None
    start: int
    end: int


class SuggestionsAnswer(Answer):
    """Completions of a query, the likeliest first."""

    suggestions: list[Suggestion]


# The library


class HealthAnswer(Answer):
    """The server is there."""

    status: Literal["ok"]
    version: str


class FolderAnswer(PathAnswer):
    """An indexed folder."""

    id: int
    name: str
    files: int
    missing_files: int
    scanned_at: str | None
    presence: Literal["there", "absent", "empty", "unreadable", "suspicious"]


class StatusAnswer(Open):
    """What `oko status --json` says."""

    library_folder: str
    model: str | None
    photos: dict[str, int]
    files: dict[str, int]
    folders: list[dict[str, Any]]
    models: list[dict[str, Any]]
    last_run: dict[str, Any] | None
    disk: dict[str, int]
    writer: dict[str, Any] | None
    watcher: dict[str, Any] | None
    indexing: dict[str, Any] | None


# Duplicates


class DuplicateGroup(Answer):
    """Photos that are the same, or nearly; the one to keep first. An exact group is one photo with several files."""

    kind: Literal["exact", "near", "similar"]
    ids: list[int]
    photos: list[Result] = Field(description="the first hundred of them")
    reason: str = Field(description="why the first one is suggested for keeping")
    saved_bytes: int = Field(description="what the others take")


class DuplicatesAnswer(Answer):
    """One page of groups."""

    groups: list[DuplicateGroup]
    offset: int
    total: int


class DuplicatesOfPhoto(Answer):
    """The group that a photo is in, if any."""

    id: int
    groups: list[DuplicateGroup]


# Jobs


class StartJob(BaseModel):
    """What to do: index folders (all that are known, unless some are named), or suggest tags for all photos."""

    model_config = ConfigDict(extra="forbid")
    kind: Literal["index", "tag"]
    folder_ids: list[int] | None = Field(None, max_length=1000, description="index only: ids of /api/folders")


class Job(Answer):
    """A job: of this server, or started elsewhere and seen in the library folder."""

    id: str
    kind: Literal["index", "tag", "watch", "generate"]
    pid: int
    phase: str = Field(
        description="starting, scan, index, tag, paused: ..., done, failed, interrupted, killed, ..."
    )
    running: bool
    started_at: str
    ended_at: str | None
    done: int | None
    total: int | None
    photos_per_s: float | None
    left_s: float | None
    sketched: int | None = Field(
        description="of painting: the step whose picture /api/jobs/{job_id}/picture shows; null before the first"
    )
    message: str
    error: str | None


class JobAnswer(Answer):
    """One job."""

    job: Job


class JobsAnswer(Answer):
    """The jobs of this library, those at work first."""

    jobs: list[Job]
