"""Weights as files: found in the hub cache, downloaded and verified, hashed once. No torch here."""

from __future__ import annotations

import hashlib
import importlib.util
import inspect
import json
import logging
import os
import re
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import platformdirs

from library.errors import ModelUnavailable, WeightsInvalid
from library.extras import how_to_install
from library.presets import HUB_PREFIX, ModelSpec

log = logging.getLogger(__name__)

Progress = Callable[[int, int | None], None]  # bytes done, bytes in all (None while unknown)

CONFIG_FILE = "open_clip_config.json"
# In the order open_clip itself prefers: safetensors cannot carry code.
WEIGHTS_FILES = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_HASHES_KEPT = 500  # entries in the small cache of hashes; a few dozen models are a lot
_READ_BYTES = 1 << 22
_hashes_lock = threading.Lock()


def cached_file(repo: str, names: tuple[str, ...], *, cache_dir: Path | None = None) -> Path | None:
    """The first of `names` of hub repository `repo` that lies in the hub cache; asks nobody."""
    from huggingface_hub import try_to_load_from_cache

    for name in names:
        try:
            found = try_to_load_from_cache(repo, name, cache_dir=cache_dir)
        except ValueError:  # not a repository name at all
            return None
        if isinstance(found, str) and Path(found).is_file():
            return Path(found)
    return None


def fetch_file(
    repo: str,
    names: tuple[str, ...],
    *,
    what: str,
    cache_dir: Path | None = None,
    progress: Progress | None = None,
) -> Path:
    """The first of `names` that `repo` has: from the hub cache, else downloaded into it and verified.

    `what` is how to call the model in an error.
    Raises ModelUnavailable when the hub cannot be reached or has no such file, and WeightsInvalid
    when what arrived does not match its published hash.
    """
    cached = cached_file(repo, names, cache_dir=cache_dir)
    if cached is not None:
        return cached
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

    missing: Exception | None = None
    for name in names:
        try:
            return _download(repo, name, cache_dir, progress)
        except WeightsInvalid:
            raise
        except Exception as error:  # whatever the hub's client raises means the same to us
            if isinstance(error, EntryNotFoundError) and not isinstance(error, LocalEntryNotFoundError):
                missing = error
                continue
            raise unavailable(what, error) from error
    raise unavailable(what, missing) from missing


def unavailable(what: str, error: Exception | None) -> ModelUnavailable:
    """The error for weights, or a tokenizer, that could not be had; keeps to the first line of the reason."""
    reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
    return ModelUnavailable(
        f"the weights of {what} could not be downloaded: {reason}",
        hint="Check the network (and HF_HUB_OFFLINE), or use the built-in model: --model builtin",
    )


def require_transformers(spec: ModelSpec) -> None:
    """Raises ModelUnavailable when the model needs the optional package `transformers` and it is not here."""
    if spec.needs_transformers and not has_transformers():
        raise missing_transformers(spec.name)


def has_transformers() -> bool:
    """Whether the optional package `transformers` is installed; does not import it."""
    return importlib.util.find_spec("transformers") is not None


def missing_transformers(name: str) -> ModelUnavailable:
    """The error for a model whose texts cannot be read without the optional package."""
    return ModelUnavailable(
        f"the model {name} needs the Python package transformers to read texts, and it is not installed",
        hint=f"{how_to_install('hub-tokenizers')}, or use the built-in model: --model builtin",
    )


def hub_repo(name: str) -> str:
    """ "hf-hub:org/name" -> "org/name"; anything else -> ""."""
    return name.removeprefix(HUB_PREFIX).strip("/") if name.startswith(HUB_PREFIX) else ""


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, in hex. A hub blob is named by it; any other file is hashed once per size and times.

    Raises ModelUnavailable when the file cannot be read.
    """
    try:
        real = path.resolve(strict=True)
        if _SHA256.fullmatch(real.name):
            return real.name
        stat = real.stat()
    except OSError as error:
        raise ModelUnavailable(f"the weights file {path} cannot be read: {error.strerror}") from error
    key, stamp = str(real), [stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns]
    known = _read_hashes().get(key)
    if isinstance(known, list) and known[:-1] == stamp and isinstance(known[-1], str):
        return known[-1]
    digest = _hash(real)
    _remember_hash(key, [*stamp, digest])
    return digest


def write_atomically(path: Path, text: str) -> None:
    """Replaces `path` by `text` (UTF-8): a reader sees the old or the new, never half. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _download(repo: str, name: str, cache_dir: Path | None, progress: Progress | None) -> Path:
    from huggingface_hub import hf_hub_download

    options: dict[str, Any] = {}
    if (
        "tqdm_class" in inspect.signature(hf_hub_download).parameters
    ):  # the client's older versions draw their own
        options["tqdm_class"] = _progress_bar(progress)
    path = Path(hf_hub_download(repo, name, cache_dir=cache_dir, **options))
    blob = path.resolve()
    if _SHA256.fullmatch(blob.name) and _hash(blob) != blob.name:
        blob.unlink(missing_ok=True)
        raise WeightsInvalid(
            f"the download of {name} from {repo} does not match its published SHA-256; it was deleted",
            hint="Run the same command again.",
        )
    return path


def _progress_bar(progress: Progress | None) -> Any:
    """A tqdm class that draws nothing and tells `progress` how far the download is."""
    from tqdm import tqdm

    class Bar(tqdm):  # type: ignore[type-arg,misc,unused-ignore]
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            kwargs.pop("name", None)  # the hub's client names its bars
            self.done_bytes = int(kwargs.get("initial") or 0)
            self.total_bytes = int(kwargs["total"]) if kwargs.get("total") else None
            super().__init__(*args, **{**kwargs, "disable": True})

        def update(self, n: float | None = 1) -> bool | None:
            self.done_bytes += int(n or 0)
            if progress is not None:
                progress(self.done_bytes, self.total_bytes)
            return None

    return Bar


def _hash(path: Path) -> str:
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while block := file.read(_READ_BYTES):
                digest.update(block)
    except OSError as error:
        raise ModelUnavailable(f"the weights file {path} cannot be read: {error.strerror}") from error
    return digest.hexdigest()


def _hashes_path() -> Path:
    return platformdirs.user_cache_path("oko", appauthor=False) / "weights-sha256.json"


def _read_hashes() -> dict[str, Any]:
    try:
        entries = json.loads(_hashes_path().read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return entries if isinstance(entries, dict) else {}


def _remember_hash(key: str, entry: list[Any]) -> None:
    """Best effort: a cache folder that cannot be written only costs the hashing next time."""
    with _hashes_lock:
        entries = {k: v for k, v in _read_hashes().items() if k != key}
        kept = dict(list(entries.items())[-(_HASHES_KEPT - 1) :])
        try:
            write_atomically(_hashes_path(), json.dumps({**kept, key: entry}, indent=0))
        except OSError as error:
            log.debug("hashes not kept: %s", error)
