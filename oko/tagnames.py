"""Which tag a name means: the vocabulary's, the library's, whatever its capitals; and what a slip may have meant."""

from __future__ import annotations

import difflib
import shlex
from collections.abc import Iterable

from library.catalog import tagging
from library.config import Config
from library.errors import UsageError
from library.store import Store
from library.vocabulary import load_vocabulary, tidy_name
from search.tagger import taught

NEAR = 3  # how many similar names are shown


class TagNames:
    """The names of all tags, one for each whatever its capitals: the vocabulary's spelling, else the first one used."""

    def __init__(self, names: Iterable[str]) -> None:
        self._by_folded: dict[str, str] = {}
        for name in names:
            self._by_folded.setdefault(_folded(name), name)

    @classmethod
    def of(cls, store: Store | None, config: Config) -> TagNames:
        """Of the vocabulary, of the library's tags, and of those that were taught."""
        names = list(load_vocabulary(config.tags, config.tags_file).names)
        if store is not None:
            with store.catalog.reading() as c:
                counts = tagging.tag_counts(c)
            # Where an older library has two spellings of one name, the one that more photos have.
            names += sorted(counts, key=lambda name: (-sum(counts[name].values()), name))
            names += taught(store)
        return cls(names)

    def __contains__(self, name: str) -> bool:
        return _folded(name) in self._by_folded

    def known(self, name: str) -> str:
        """The name in the spelling that is kept; a new one as it is. Raises UsageError for what cannot be a name."""
        try:
            tidy = tidy_name(name)
        except ValueError as e:
            raise UsageError(f"{shlex.quote(name)} cannot be a tag: {e}") from e
        return self._by_folded.get(_folded(tidy), tidy)

    def taken_up(self, name: str) -> str:
        """As `known`, and from now on this is how the name is spelled."""
        return self._by_folded.setdefault(_folded(name), name)

    def near(self, name: str) -> list[str]:
        """Names that this may be a slip of, the most similar first."""
        found = difflib.get_close_matches(_folded(name), list(self._by_folded), n=NEAR + 1)
        return [self._by_folded[each] for each in found if each != _folded(name)][:NEAR]

    def require(self, name: str) -> str:
        """The name of a tag that there is. Raises UsageError, naming the nearest."""
        if name not in self:
            near = self.near(name)
            raise UsageError(
                f"there is no tag {shlex.quote(name)}",
                hint=f"Did you mean {', '.join(near)}?" if near else "All tags: oko tag --list",
            )
        return self.known(name)


def _folded(name: str) -> str:
    return " ".join(name.split()).casefold()
