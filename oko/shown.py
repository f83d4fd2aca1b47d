"""What a search gives back in Python: a sequence of photos that shows itself, in Jupyter as pictures."""

from __future__ import annotations

import base64
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, overload

from library.errors import OkoError
from library.records import SearchResult, display_path

if TYPE_CHECKING:
    from search.duplicates import Group, Member

Thumbnails = Callable[[Sequence[int]], Mapping[int, bytes]]
Item = TypeVar("Item")

# A picture is about 10 kB of the notebook's file.
MOST_PICTURES = 100
MOST_LINES = 20
_ROW = "display:flex;flex-wrap:wrap;gap:12px;align-items:flex-start"
_FIGURE = "margin:0;width:160px;font-size:12px;overflow-wrap:anywhere"
_PICTURE = "max-width:160px;max-height:160px;border-radius:4px"
_EMPTY = "width:160px;height:107px;border-radius:4px;background:#8884"


@dataclass(frozen=True, repr=False)
class Results(Sequence[SearchResult]):
    """Photos that answer a query, in order.

    `total` counts all that answer, of which these are those from place `offset` on; `cut` those that pass the filters
    and lie below the relevance line. In a large library `total` may be what was counted, and `at_least` say so.
    """

    results: tuple[SearchResult, ...]
    total: int
    cut: int = 0
    offset: int = 0
    at_least: bool = False
    _thumbnails: Thumbnails = field(default=lambda ids: {}, compare=False)

    @overload
    def __getitem__(self, place: int) -> SearchResult: ...
    @overload
    def __getitem__(self, place: slice) -> tuple[SearchResult, ...]: ...
    def __getitem__(self, place: int | slice) -> SearchResult | tuple[SearchResult, ...]:
        return self.results[place]

    def __len__(self) -> int:
        return len(self.results)

    def __repr__(self) -> str:
        lines = [
            f"{place:>3}  {_figure(result)}  {display_path(result.path)}"
            for place, result in enumerate(self.results[:MOST_LINES], self.offset + 1)
        ]
        return "\n".join([*lines, self._summary(len(lines))])

    def _summary(self, shown: int) -> str:
        """How many there are, and what is not shown."""
        counted = "1 photo" if self.total == 1 else f"{self.total:,} photos"
        counted = f"more than {counted}" if self.at_least else counted
        if shown < self.total:
            counted += f", {shown:,} of them shown"
        return counted + (f"; {self.cut:,} below the relevance line" if self.cut else "")

    def _repr_html_(self) -> str:
        shown = self.results[:MOST_PICTURES]
        pictures = _read(self._thumbnails, [result.id for result in shown])
        figures = "".join(_html_of(result, pictures.get(result.id)) for result in shown)
        return f'<div style="{_ROW}">{figures}</div><p>{escape(self._summary(len(shown)))}</p>'

    def _repr_mimebundle_(
        self, include: Collection[str] | None = None, exclude: Collection[str] | None = None
    ) -> dict[str, str]:
        return _bundle(self, include, exclude)


@dataclass(frozen=True, repr=False)
class Groups(Sequence["Group"]):
    """Groups of duplicates, the one that takes most space first."""

    groups: tuple[Group, ...]
    _thumbnails: Thumbnails = field(default=lambda ids: {}, compare=False)

    @overload
    def __getitem__(self, place: int) -> Group: ...
    @overload
    def __getitem__(self, place: slice) -> tuple[Group, ...]: ...
    def __getitem__(self, place: int | slice) -> Group | tuple[Group, ...]:
        return self.groups[place]

    def __len__(self) -> int:
        return len(self.groups)

    @property
    def redundant(self) -> list[Path]:
        """Every file but the one of each group that is worth keeping."""
        return [each.path for group in self.groups for each in group.redundant]

    def __repr__(self) -> str:
        lines = [
            f"{place:>3}  {group.kind.value}: keep {display_path(group.kept.path)} ({group.reason}), "
            f"{len(group.redundant)} more"
            for place, group in enumerate(self.groups[:MOST_LINES], 1)
        ]
        return "\n".join([*lines, self._summary(len(lines))])

    def _summary(self, shown: int) -> str:
        counted = "1 group" if len(self) == 1 else f"{len(self):,} groups"
        more = f", {shown:,} of them shown" if shown < len(self) else ""
        return f"{counted}{more}; files too many: {len(self.redundant):,}"

    def _repr_html_(self) -> str:
        parts, left = [], MOST_PICTURES
        for group in self.groups:
            if len(group.members) > left:
                break
            left -= len(group.members)
            parts.append(group)
        pictures = _read(self._thumbnails, [m.id for group in parts for m in group.members])
        rows = "".join(
            f'<div style="{_ROW};margin-bottom:16px">'
            + "".join(_html_of_member(group, member, pictures.get(member.id)) for member in group.members)
            + "</div>"
            for group in parts
        )
        return f"{rows}<p>{escape(self._summary(len(parts)))}</p>"

    def _repr_mimebundle_(
        self, include: Collection[str] | None = None, exclude: Collection[str] | None = None
    ) -> dict[str, str]:
        return _bundle(self, include, exclude)


def _bundle(shown: Any, include: Collection[str] | None, exclude: Collection[str] | None) -> dict[str, str]:
    """Every way to show it that is asked for, as Jupyter takes them."""
    ways: dict[str, Callable[[], str]] = {"text/plain": lambda: repr(shown), "text/html": shown._repr_html_}
    return {
        name: make()
        for name, make in ways.items()
        if (not include or name in include) and name not in (exclude or ())
    }


def _read(thumbnails: Thumbnails, ids: Sequence[int]) -> Mapping[int, bytes]:
    try:
        return thumbnails(ids)
    except OkoError:  # the library is gone: what was found is still worth showing
        return {}


def _figure(result: SearchResult) -> str:
    return f"{result.score:.3f}" if result.relevance is None else f"{result.relevance:.2f}"


def _html_of(result: SearchResult, thumbnail: bytes | None) -> str:
    lines = [_figure(result), *(tag.name for tag in result.tags)]
    return _html(result.path, thumbnail, [" · ".join(lines), "not on disk now" if result.missing else ""])


def _html_of_member(group: Group, member: Member, thumbnail: bytes | None) -> str:
    relation = f"keep: {group.reason}" if member.kind is None else member.kind.value
    copies = f"{len(member.files)} files with this content" if len(member.files) > 1 else ""
    return _html(member.files[0].path, thumbnail, [relation, f"{member.width} x {member.height}", copies])


def _html(path: Path, thumbnail: bytes | None, lines: Sequence[str]) -> str:
    """One photo. Names of files and tags are other people's text: everything is escaped."""
    name, full = escape(display_path(Path(path.name))), escape(display_path(path))
    picture = f'<div style="{_EMPTY}"></div>'
    if thumbnail is not None:
        data = base64.b64encode(thumbnail).decode("ascii")
        picture = f'<img style="{_PICTURE}" alt="{name}" src="data:image/webp;base64,{data}">'
    said = "<br>".join(escape(line) for line in _filled(lines))
    return (
        f'<figure style="{_FIGURE}" title="{full}">{picture}'
        f"<figcaption><b>{name}</b><br>{said}</figcaption></figure>"
    )


def _filled(lines: Sequence[str]) -> Iterator[str]:
    return (line for line in lines if line)
