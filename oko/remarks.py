"""What is to be said about an answer besides its photos, as sentences."""

from __future__ import annotations

import shlex
from dataclasses import dataclass

from library.catalog import filtering, reading, tagging
from library.config import Config
from library.records import ModelStamp, PhotoFilter
from library.store import Store
from oko.coverage import about_none, about_part
from oko.searching import Request, tags_in, with_known_tags
from search.parts import quoted_value
from search.rank import SearchPage


@dataclass(frozen=True, slots=True)
class Tagged:
    """More photos have the tag that a query's words are the name of than were found by those words."""

    tag: str
    photos: int
    query: str  # that finds them

    def __str__(self) -> str:
        have = "1 photo has" if self.photos == 1 else f"{self.photos:,} photos have"
        return f"{have} the tag {self.tag}: oko search {shlex.quote(self.query)}"


def on_command_line(
    store: Store, config: Config, asked: Request, page: SearchPage, stamp: ModelStamp | None
) -> list[str]:
    """All that `oko search` prints below its results."""
    of_a_tag = tagged(store, asked, page)
    return [
        *about_cut(page),
        *about(store, config, asked, page, stamp),
        *([str(of_a_tag)] if of_a_tag is not None else []),
    ]


def about(
    store: Store, config: Config, asked: Request, page: SearchPage, stamp: ModelStamp | None
) -> list[str]:
    """All sentences but those on the cut and on tags. `stamp` is the model that was used, None where there is none."""
    said = []
    if not page.total and not page.cut:
        said.append(_why_nothing(store, config, stamp, asked.wanted))
    if stamp is not None and not asked.is_of_filters_alone:
        said.append(about_part(store, stamp))
    return [each for each in said if each]


def about_cut(page: SearchPage) -> list[str]:
    """A sentence on the photos that were left out as not relevant, if there are such."""
    if not page.cut:
        return []
    photos = "1 photo lies" if page.cut == 1 else f"{page.cut:,} photos lie"
    return [f"{photos} below the relevance line; --all shows {'it' if page.cut == 1 else 'them'}, too."]


def tagged(store: Store, asked: Request, page: SearchPage) -> Tagged | None:
    """Where the words are the name of a tag that more photos have than were found; else None."""
    words = asked.query.parts
    if asked.everything or asked.offset or page.at_least or asked.pictures or not asked.wanted.is_open:
        return None
    if len(words) != 1 or words[0].kind != "text" or words[0].weight < 0:
        return None
    text = words[0].text
    for name in dict.fromkeys((text, text.casefold(), text.title())):
        with store.catalog.reading() as c:
            photos = tagging.tagged_count(c, name)
        if photos:
            return Tagged(name, photos, f"tag:{quoted_value(name)}") if photos > page.total else None
    return None


def _why_nothing(store: Store, config: Config, stamp: ModelStamp | None, wanted: PhotoFilter) -> str:
    """A sentence for an empty answer. `stamp` is the model that was used, None where the library has none."""
    wanted = with_known_tags(store, config, wanted)
    about_tags = _about_tags(store, config, wanted)
    with store.catalog.reading() as c:
        if stamp is None or not reading.photo_count(c):
            return "The library has no photos yet. Index some: oko index ~/Pictures"
        if about_tags:
            return about_tags
        if not wanted.is_open and not len(filtering.matching_photo_ids(c, wanted)):
            return "No photo passes these filters."
    return about_none(store, stamp) or "No photo is on disk at the moment; --missing shows those that were."


def _about_tags(store: Store, config: Config, wanted: PhotoFilter) -> str:
    """A sentence on the first tag of a filter that no photo has, or ""."""
    from oko.tagnames import TagNames

    names = TagNames.of(store, config)
    with store.catalog.reading() as c:
        counts = tagging.tag_counts(c)
    for name in tags_in(wanted):
        has = counts.get(name, {})
        if has.get(tagging.SUGGESTED) or has.get(tagging.CONFIRMED):
            continue
        if name in names:
            return f"No photo has the tag {name}. Suggest tags for all photos: oko tag"
        near = names.near(name)
        return f"There is no tag {name}." + (f" Did you mean {' or '.join(near)}?" if near else "")
    return ""
