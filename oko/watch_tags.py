"""Tags of a watcher's photos: suggested with each batch, later for those that missed it, never in indexing's way."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

from indexer.troubles import Troubles
from library.catalog import reading, tagging
from library.config import Config
from library.encoder import Encoder
from library.errors import LibraryLocked, OkoError
from library.records import NewPhoto
from library.store import Store
from library.vocabulary import Vocabulary
from oko.aligned import count
from oko.prompts import PromptsAhead
from oko.tagging import make_tagger
from search.tagger import Tagger

log = logging.getLogger(__name__)

LEFT_PHOTOS = 1_000  # photos a turn: their scores take less than a second
LOOK_S = 15.0  # how often the library is asked for photos that others have indexed
RETRY_S, MOST_RETRY_S = 2.0, 600.0


@dataclass
class WatchTags:
    """Suggests tags with one model and one vocabulary. What goes wrong is a trouble, and tried again later."""

    config: Config
    vocabulary: Vocabulary
    encoder: Encoder
    open_reader: Callable[[], AbstractContextManager[Store]]
    open_writer: Callable[[], AbstractContextManager[Store]]
    troubles: Troubles
    _has_prompts: bool = False
    _seen_revision: int | None = None  # of the vectors, when last none was left without tags
    _look_at: float = 0.0
    _retry_at: float = 0.0
    _retry_s: float = RETRY_S
    _prompts: PromptsAhead = field(init=False)

    def __post_init__(self) -> None:
        self._prompts = PromptsAhead(
            self.open_reader, self.open_writer, self.encoder.stamp, lambda: self.encoder, self.vocabulary
        )

    def on_batch(self, store: Store) -> Callable[[Sequence[NewPhoto]], None]:
        """What tags each batch of new photos written through this store; they are never lost, whatever it meets."""
        taggers: list[Tagger] = []

        def tag(new: Sequence[NewPhoto]) -> None:
            if not self._has_prompts or time.monotonic() < self._retry_at:
                return
            with self._survived():
                taggers[:] = taggers or [self._tagger(store)]
                taggers[0].tag_contents([photo.content_sha256 for photo in new])

        return tag

    def turn(self, is_busy: bool) -> bool:
        """Do a moment's work that photos do not wait for; returns whether there is more of it.

        While photos come in, only the tags' words are read; those that came before are tagged when it is quiet.
        """
        if time.monotonic() < max(self._look_at, self._retry_at) or (is_busy and self._has_prompts):
            return False
        has_more = False
        with self._survived():
            if self._has_prompts:
                has_more = self._tag_left()
            else:
                self._has_prompts = not self._prompts.step()
                has_more = True
        return has_more

    def _tag_left(self) -> bool:
        """Tag photos that have a vector and were never tagged."""
        with self.open_reader() as store, store.catalog.reading() as c:
            revision, model_id = reading.revision(c), reading.model_id(c, self.encoder.stamp)
            is_known = revision == self._seen_revision or model_id is None
            left = [] if is_known else tagging.never_tagged(c, model_id or 0, most=LEFT_PHOTOS)
        if not left:
            self._seen_revision = revision
            self._look_at = time.monotonic() + LOOK_S
            return False
        with self.open_writer() as store:
            # Between the two somebody may have deleted some of them.
            with store.catalog.reading() as c:
                left = tagging.never_tagged(c, model_id or 0, most=LEFT_PHOTOS)
            self._tagger(store).tag(left)
        log.info("%s tagged that came before", count(len(left), "photo"))
        return True

    def _tagger(self, store: Store) -> Tagger:
        return make_tagger(
            store, self.config, self.encoder.stamp, lambda: self.encoder, vocabulary=self.vocabulary
        )

    @contextlib.contextmanager
    def _survived(self) -> Iterator[None]:
        try:
            yield
        except LibraryLocked:
            self._put_off(RETRY_S)
        except Exception as e:
            if not isinstance(e, OkoError):
                log.debug("in full:", exc_info=e)
            what = e.message if isinstance(e, OkoError) else f"{type(e).__name__}: {e}"
            hint = e.hint if isinstance(e, OkoError) else ""
            self.troubles.begin(
                "tags",
                f"photos are indexed without tags: {what}",
                hint or "They get them when that is over",
            )
            self._retry_s = min(2 * self._retry_s, MOST_RETRY_S)
            self._put_off(self._retry_s)
        else:
            self.troubles.end("tags", "photos are tagged again")
            self._retry_s = RETRY_S

    def _put_off(self, wait_s: float) -> None:
        self._seen_revision = None
        self._look_at = self._retry_at = time.monotonic() + wait_s
