"""`oko watch`: one session of following folders, with its signals, its settings and what it tells of itself."""

from __future__ import annotations

import dataclasses
import logging
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from PIL import Image

from indexer.follower import Follower, Options, Standing, Tools
from indexer.pipeline import IndexRun
from indexer.scan import Rules
from indexer.targets import Target, planned_targets, targets_for
from indexer.troubles import Troubles
from library import previews
from library.catalog import reading as catalog_reading
from library.config import Config
from library.encoder import Encoder
from library.errors import LibraryLocked, OkoError, UsageError
from library.folder import create_folder
from library.models import ModelSpec
from library.store import Store
from oko import assemble, jobs
from oko.context import Context
from oko.power import BatteryPause

log = logging.getLogger(__name__)

# A batch that finds the library taken is put off, so there is no point in waiting long for its turn.
TURN_S = 0.5


def watch(context: Context, paths: Sequence[Path], *, reread: Callable[[], Context]) -> None:
    """Follow folders, or all that are known, until SIGTERM or Ctrl-C. SIGHUP takes the settings of `reread`.

    Raises LibraryLocked when another process watches for this library.
    """
    assemble.check_paths(context.folder, context.config, paths)
    _require_folders(context, paths)
    create_folder(context.folder)
    with (
        jobs.only_one(context.folder, "watch", context.purpose),
        jobs.telling(context.folder, "watch") as job,
    ):
        session = Session(context, list(paths), job, reread)
        with session.signals():
            session.run()


def _require_folders(context: Context, paths: Sequence[Path]) -> None:
    with assemble.reading_if_there(context.folder, context.config) as store:
        if paths:
            return
        if store is not None:
            with store.catalog.reading() as c:
                if catalog_reading.roots(c):
                    return
    raise UsageError("no folder has been indexed yet", hint="Name one: oko watch ~/Pictures")


class Session:
    """What lives as long as the process: the model, the troubles, and which follower is at work."""

    def __init__(
        self, context: Context, paths: list[Path], job: jobs.Job, reread: Callable[[], Context]
    ) -> None:
        self.context = context
        self.paths = paths
        self.job = job
        self.troubles = Troubles()
        self._reread = reread
        self._follower: Follower | None = None
        self._ended = threading.Event()
        self._reload = False
        self._said_ready = False
        self._model: tuple[ModelSpec, Encoder] | None = None

    # Signals

    @contextmanager
    def signals(self) -> Iterator[None]:
        """SIGTERM and Ctrl-C end the session after the batch in flight, a second Ctrl-C at once; SIGHUP reloads."""
        handlers: dict[int, Any] = {signal.SIGTERM: self._end, signal.SIGINT: self._end}
        if hasattr(signal, "SIGHUP"):
            handlers[signal.SIGHUP] = self._begin_reload
        old = {number: signal.signal(number, handler) for number, handler in handlers.items()}
        try:
            yield
        finally:
            for number, handler in old.items():
                signal.signal(number, handler)

    def _end(self, number: int, frame: object) -> None:
        if number == signal.SIGINT:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        self.end()

    def end(self) -> None:
        """Finish the batch in flight and leave `run`."""
        self._ended.set()
        if self._follower is not None:
            self._follower.stop()

    def _begin_reload(self, number: int, frame: object) -> None:
        self._reload = True
        if self._follower is not None:
            self._follower.stop()

    # The session

    def run(self) -> None:
        """Follow until the end, anew with each reload."""
        self._make_roots()
        while not self._ended.is_set():
            self._reload = self._said_ready = False
            self._follower = self._make_follower()
            if not (self._ended.is_set() or self._reload):
                self._follower.follow()
            if self._reload:
                self._reload_settings()
        log.info("the watcher has ended")

    def _make_roots(self) -> None:
        """New folders become roots, once the library can be written to."""
        while not self._ended.is_set():
            try:
                if any(target.root.id < 0 for target in self._targets()):
                    with self._open_writer(create=True) as store:
                        targets_for(store, self.paths, self._rules)
                return
            except LibraryLocked as e:
                self.troubles.begin("library", e.message, e.hint)
                self._ended.wait(TURN_S)

    def _reload_settings(self) -> None:
        try:
            context = self._reread()
        except OkoError as e:
            self.troubles.begin("settings", f"the settings stay as they were: {e.message}", e.hint)
            return
        same = _model_settings(context.config) == _model_settings(self.context.config)
        if not same and self._model is not None:
            self._model[1].close()
            self._model = None
        self.context = context
        self.troubles.end("settings")
        log.info("the settings were read again")

    def _make_follower(self) -> Follower:
        config = self.context.config
        spec, encoder = self._ready_model()
        settings = assemble.index_settings(config, self.context.folder, encoder)
        on_batch = assemble.make_on_batch(self.context.folder, config, encoder)

        def make_run(store: Store) -> IndexRun:
            return IndexRun(
                store, encoder, settings, model_name=spec.name, on_batch=on_batch and on_batch(store)
            )

        tools = Tools(
            self._open_reader,
            self._open_writer,
            make_run,
            settings.rules,
            self._targets,
            pause=BatteryPause() if config.pause_on_battery else lambda: "",
        )
        return Follower(tools, follow_options(config), troubles=self.troubles, notice=self._tell)

    def _ready_model(self) -> tuple[ModelSpec, Encoder]:
        """The model, warm: the first photo must not wait until its weights are read."""
        if self._model is None:
            config, folder = self.context.config, self.context.folder
            with assemble.reading_if_there(folder, config) as store:
                spec = assemble.choose_model(folder, config, store, self.context.note)
            encoder = assemble.make_encoder(spec, config)
            _warm_up(encoder)
            self._model = spec, encoder
        return self._model

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
        if standing.phase == "watching" and not self._said_ready:
            log.info("watching %d folders", standing.folders_watched)
            self._said_ready = True
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
