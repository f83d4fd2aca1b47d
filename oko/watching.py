"""`oko watch`: one session of following folders, with its signals, its settings and what it tells of itself."""

from __future__ import annotations

import dataclasses
import logging
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from indexer.follower import Follower, Options, Standing, Tools
from indexer.pipeline import IndexRun, Settings
from indexer.scan import Rules, Scan
from indexer.targets import Target, planned_targets, targets_for
from indexer.troubles import Troubles
from library import previews
from library.allocation import return_freed_memory
from library.catalog import reading as catalog_reading
from library.config import Config
from library.encoder import Encoder
from library.errors import LibraryLocked, OkoError, UsageError
from library.folder import create_folder
from library.models import ModelSpec
from library.store import Store
from oko import assemble, jobs
from oko.aligned import count
from oko.context import Context
from oko.power import BatteryPause
from oko.signals import Signals
from oko.tagging import vocabulary_of
from oko.watch_tags import WatchTags

log = logging.getLogger(__name__)

# A batch that finds the library taken is put off, so there is no point in waiting long for its turn.
TURN_S = 0.5
# At most so often what batches freed goes back to the system; to have it handed out anew takes a tenth of a second.
RETURN_S = 10.0


def watch(
    context: Context, paths: Sequence[Path], *, reread: Callable[[], Context], signals: Signals
) -> None:
    """Follow folders, or all that are known, until the signals end it. A reload takes the settings of `reread`.

    Raises LibraryLocked when another process watches for this library.
    """
    assemble.check_paths(context.folder, context.config, paths)
    _require_folders(context, paths)
    create_folder(context.folder)
    with (
        jobs.only_one(context.folder, "watch", context.purpose),
        jobs.telling(context.folder, "watch") as job,
    ):
        Session(context, list(paths), job, signals).run(reread)


def _require_folders(context: Context, paths: Sequence[Path]) -> None:
    with assemble.reading_if_there(context.folder, context.config) as store:
        if paths:
            return
        if store is not None:
            with store.catalog.reading() as c:
                if catalog_reading.roots(c):
                    return
    raise UsageError("no folder has been indexed yet", hint="Name one: oko watch ~/Pictures")


@dataclass(frozen=True, slots=True)
class Setup:
    """What follows from one reading of the settings, each part of it known to be usable."""

    context: Context
    spec: ModelSpec
    encoder: Encoder
    settings: Settings
    tags: WatchTags | None


class Session:
    """What lives as long as the process: the troubles, and which settings, model and follower are at work."""

    def __init__(self, context: Context, paths: list[Path], job: jobs.Job, signals: Signals) -> None:
        self.context = context
        self.paths = paths
        self.job = job
        self.troubles = Troubles()
        self._signals = signals
        self._said_ready = False
        self._returned_at, self._done_then = float("-inf"), 0

    def run(self, reread: Callable[[], Context]) -> None:
        """Follow until the end, anew with each reload."""
        setup = self._set_up(self.context)
        self._make_roots()
        while not self._signals.ended.is_set():
            if self._signals.take_reload():
                setup = self._set_up_again(setup, reread)
            follower = self._make_follower(setup)
            self._said_ready = False
            self._signals.wake = follower.stop
            if not (self._signals.ended.is_set() or self._signals.wants_reload):
                follower.follow()
        log.info("the watcher has ended")

    def _make_roots(self) -> None:
        """New folders become roots, once the library can be written to."""
        while not self._signals.ended.is_set():
            try:
                if any(target.root.id < 0 for target in self._targets()):
                    with self._open_writer(create=True) as store:
                        targets_for(store, self.paths, self._rules)
                return
            except LibraryLocked as e:
                self.troubles.begin("library", e.message, e.hint)
                self._signals.ended.wait(TURN_S)

    def _set_up_again(self, old: Setup, reread: Callable[[], Context]) -> Setup:
        """The setup by the settings as they are now; the old one if anything about them cannot be used."""
        try:
            new = self._set_up(reread(), old)
        except Exception as e:
            if not isinstance(e, OkoError):
                log.debug("in full:", exc_info=e)
            what = e.message if isinstance(e, OkoError) else f"{type(e).__name__}: {e}"
            hint = e.hint if isinstance(e, OkoError) else ""
            self.troubles.begin("settings", f"the settings stay as they were: {what}", hint)
            return old
        if new.encoder is not old.encoder:
            old.encoder.close()
        self.context = new.context
        self.troubles.end("settings")
        self.troubles.end("tags")
        log.info("the settings were read again")
        return new

    def _set_up(self, context: Context, old: Setup | None = None) -> Setup:
        """Everything that the settings ask for, with the model warm: the first photo must not wait for its weights.

        Raises ConfigError, UnknownModel and the like; nothing of the session has changed then.
        """
        config, folder = context.config, context.folder
        # Looked at first: a mistake in them is said without waiting for a model.
        Scan(folder, assemble.scan_rules(config, folder))
        vocabulary = vocabulary_of(config) if config.watch_tags else None
        if old is not None and _model_settings(config) == _model_settings(old.context.config):
            spec, encoder = old.spec, old.encoder
        else:
            with assemble.reading_if_there(folder, config) as store:
                spec = assemble.choose_model(folder, config, store, log.info)
            encoder = assemble.make_encoder(spec, config)
            _warm_up(encoder)
        settings = assemble.index_settings(config, folder, encoder)
        tags = None
        if vocabulary is not None:
            opens = (self._open_reader, self._open_writer)
            tags = WatchTags(config, vocabulary, encoder, *opens, self.troubles)
        return Setup(context, spec, encoder, settings, tags)

    def _make_follower(self, setup: Setup) -> Follower:
        config, tags = setup.context.config, setup.tags

        def make_run(store: Store) -> IndexRun:
            on_batch = None if tags is None else tags.on_batch(store)
            return IndexRun(
                store, setup.encoder, setup.settings, model_name=setup.spec.name, on_batch=on_batch
            )

        tools = Tools(
            self._open_reader,
            self._open_writer,
            make_run,
            setup.settings.rules,
            self._targets,
            pause=BatteryPause() if config.pause_on_battery else lambda: "",
            aside=(lambda is_busy: False) if tags is None else tags.turn,
        )
        return Follower(tools, follow_options(config), troubles=self.troubles, notice=self._tell)

    def _targets(self) -> list[Target]:
        with assemble.reading_if_there(self.context.folder, self.context.config) as store:
            return planned_targets(store, self.paths, self._rules)

    @property
    def _rules(self) -> Rules:
        return assemble.scan_rules(self.context.config, self.context.folder)

    def _open_reader(self) -> AbstractContextManager[Store]:
        return assemble.reading(self.context.folder, self.context.config)

    def _open_writer(self, *, create: bool = False) -> AbstractContextManager[Store]:
        config = dataclasses.replace(self.context.config, lock_timeout_s=TURN_S)
        return assemble.writing(self.context.folder, config, purpose=self.context.purpose, create=create)

    def _tell(self, standing: Standing) -> None:
        if standing.phase in ("watching", "tagging") and not self._said_ready:
            log.info("watching %s", count(standing.folders_watched, "folder"))
            self._said_ready = True
        self._return_memory(standing)
        trouble = next(reversed(self.troubles.now.values()), None)
        last = self.troubles.last
        self.job.tell(
            phase=standing.phase,
            waiting=standing.waiting,
            folders_watched=standing.folders_watched,
            folders_polled=sum(area.is_polled or area.is_limited for area in standing.areas),
            totals=dict(standing.totals),
            trouble=None if trouble is None else dataclasses.asdict(trouble),
            last_trouble=None if last is None else dataclasses.asdict(last),
        )

    def _return_memory(self, standing: Standing) -> None:
        """Once there is time after some work: what runs for a year must not keep the most that it ever needed."""
        done, now = sum(standing.totals.values()), time.monotonic()
        if standing.phase != "watching" or done == self._done_then or now < self._returned_at + RETURN_S:
            return
        self._returned_at, self._done_then = now, done
        return_freed_memory()


def _warm_up(encoder: Encoder) -> None:
    """Do once what is done with each photo: the first one must not wait for imports and weights."""
    picture = Image.new("RGB", (64, 64))
    previews.perceptual_hash(picture)
    previews.thumbnail(picture, 32)
    encoder.encode_images(encoder.prepare(picture)[None])


def follow_options(config: Config) -> Options:
    """How to follow, by the settings."""
    return Options(
        settle_s=config.watch_settle_s,
        poll_s=config.watch_poll_s,
        rescan_s=60 * config.watch_rescan_min,
        method=config.watch_method,
    )


def _model_settings(config: Config) -> tuple[str, ...]:
    return config.model, config.device, config.precision
