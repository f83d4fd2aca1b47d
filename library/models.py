"""The registry: which models there are, by name; which one "auto" means; adding, removing, downloading.

Imports neither torch nor open_clip: `oko models list` and `auto` answer at once.
"""

from __future__ import annotations

import difflib
import importlib.util
import json
import logging
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, get_args

from library.errors import ConfigError, ModelUnavailable, UnknownModel, UsageError
from library.extras import how_to_install
from library.presets import (
    BUILTIN,
    BUILTIN_NAME,
    BUILTIN_VQGAN_NAME,
    HUB_PREFIX,
    PRESETS,
    RECOMMENDED_PRESET,
    Kind,
    ModelSpec,
)
from library.weights import (
    CONFIG_FILE,
    WEIGHTS_FILES,
    Progress,
    cached_file,
    fetch_file,
    has_transformers,
    hub_repo,
    require_transformers,
    write_atomically,
)

__all__ = ["Choice", "ModelSpec", "Registry"]
log = logging.getLogger(__name__)

MODELS_FILE = "models.json"
_FORMAT = 1
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_TAKEN = frozenset({"auto", BUILTIN_NAME, BUILTIN_VQGAN_NAME, *PRESETS})


@dataclass(frozen=True, slots=True)
class Choice:
    """What "auto" came to: the model, and one sentence for the user on why and how to get a better one."""

    spec: ModelSpec
    sentence: str


class Registry:
    """The models of one library: those oko brings, and those its user added.

    `library_folder` None means that no library is open: nothing can be added. `cache_dir` replaces
    the ordinary hub cache.
    """

    def __init__(self, library_folder: Path | None, *, cache_dir: Path | None = None) -> None:
        self._file = None if library_folder is None else library_folder / MODELS_FILE
        self._cache_dir = cache_dir

    def list(self, kind: Kind | None = None) -> list[ModelSpec]:
        """Every model with a name of its own: builtin, presets, added. Raises ConfigError (models.json)."""
        specs = [BUILTIN, *PRESETS.values(), *self._added().values()]
        return [spec for spec in specs if kind in (None, spec.kind)]

    def resolve(self, name: str) -> ModelSpec:
        """The model called `name`: auto, builtin, a preset, an added one, ARCH/PRETRAINED, hf-hub:ORG/NAME.

        Raises UnknownModel with the nearest names. A tag is only looked up when the model is loaded or
        downloaded, for that needs open_clip; an architecture is checked here.
        """
        name = name.strip()
        if name == "auto":
            return self.auto().spec
        named = {spec.name: spec for spec in self.list()}
        if name in named:
            return named[name]
        if name.startswith(HUB_PREFIX):
            return _hub_spec(name)
        if "/" in name:
            return _open_clip_spec(name)
        known = [*named, "auto", *_architectures()]
        near = difflib.get_close_matches(name.lower(), known, n=3, cutoff=0.5) or [*named][:5]
        raise UnknownModel(
            f"there is no model called {name!r}; nearest: {', '.join(near)}",
            hint="`oko models list` shows them all; ARCH/PRETRAINED and hf-hub:ORG/NAME are names too.",
        )

    def add(
        self,
        name: str,
        *,
        arch: str,
        weights: Path,
        kind: Kind = "clip",
        summary: str = "",
        check: Callable[[ModelSpec], object] | None = None,
    ) -> ModelSpec:
        """Gives a local weights file a name, after checking that it fits the architecture.

        `weights` may also be a folder with a model's configuration and weights, as open_clip saves it; `arch` is
        then only shown. `check` loads the spec or raises; the default does so for CLIP, others bring their own.
        Raises UsageError (name not allowed or taken, no library), ModelUnavailable (no such file),
        UnknownModel (architecture), WeightsInvalid (does not fit, not sound, unsafe), ConfigError.
        """
        if check is None and kind != "clip":
            raise UsageError(f"no way to check the weights of a {kind} model was given")
        spec = ModelSpec(
            name=name, source="local", kind=kind, arch=arch.strip(), weights=weights, summary=summary
        )
        return self.register(spec, check or _check_clip)

    def register(self, spec: ModelSpec, check: Callable[[ModelSpec], object]) -> ModelSpec:
        """Adds a local model as described, after `check` has loaded it or raised; errors as `add`."""
        name = spec.name.strip()
        self.require_free(name)
        assert spec.weights is not None, "a local model says where its weights lie"
        path, config = spec.weights.expanduser().absolute(), spec.config
        if not path.exists():
            raise ModelUnavailable(f"the weights file {path} does not exist")
        config = config.expanduser().absolute() if config is not None else None
        spec = replace(spec, name=name, weights=path, config=config)
        check(spec)
        self._save({**self._added(), name: spec})
        return spec

    def remove(self, name: str) -> None:
        """Forgets an added model; its file stays. Raises UsageError (one of oko's own), UnknownModel."""
        name = name.strip()
        if name in _TAKEN:
            raise UsageError(f"{name} belongs to oko and cannot be removed")
        added = self._added()
        if name not in added:
            raise UnknownModel(f"no model called {name!r} was added to this library", hint=", ".join(added))
        self._save({key: spec for key, spec in added.items() if key != name})

    def auto(self) -> Choice:
        """The recommended preset if it could run at once, else builtin; downloads nothing, needs no torch."""
        best = PRESETS[RECOMMENDED_PRESET]
        size = _size(best.download_bytes)
        if not self.is_cached(best):
            better = f"for far better results: oko models use {best.name} ({size})"
            if best.needs_transformers and not has_transformers():
                better += f", after: {how_to_install('hub-tokenizers')}"
            return Choice(BUILTIN, f"Using the built-in model; {better}.")
        if best.needs_transformers and not has_transformers():
            needed = how_to_install("hub-tokenizers")
            return Choice(
                BUILTIN, f"Using the built-in model: {best.name} is downloaded, but needs {needed}."
            )
        found = f"Using {best.name} ({best.canonical_name}), found in the hub cache"
        return Choice(best, f"{found}; others: oko models list.")

    def is_cached(self, spec: ModelSpec) -> bool:
        """Whether the weights are on this machine. Imports open_clip only for a spec without a repository."""
        if spec.source in ("builtin", "local"):
            return spec.weights is not None and spec.weights.exists()
        repo, names = self._files(spec)
        if spec.source == "hub" and cached_file(repo, (CONFIG_FILE,), cache_dir=self._cache_dir) is None:
            return False
        return cached_file(repo, names, cache_dir=self._cache_dir) is not None

    def download(self, spec: ModelSpec, progress: Progress | None = None) -> Path:
        """Puts the weights into the ordinary hub cache, verified by their SHA-256; returns the file.

        `progress(done_bytes, total_bytes)` is called as they arrive. At once for what is here already.
        Raises ModelUnavailable (hub unreachable, optional package missing), WeightsInvalid, UnknownModel.
        """
        if spec.source in ("builtin", "local"):
            if spec.weights is None or not spec.weights.exists():
                raise ModelUnavailable(f"the weights of {spec.name} are gone: {spec.weights}")
            return spec.weights
        require_transformers(spec)
        repo, names = self._files(spec)
        if spec.source == "hub":
            fetch_file(repo, (CONFIG_FILE,), what=spec.name, cache_dir=self._cache_dir)
        return fetch_file(repo, names, what=spec.name, cache_dir=self._cache_dir, progress=progress)

    def _files(self, spec: ModelSpec) -> tuple[str, tuple[str, ...]]:
        if spec.repo:
            return spec.repo, WEIGHTS_FILES
        from library.clip import pretrained_files

        return pretrained_files(spec.arch, spec.pretrained)

    def require_free(self, name: str) -> None:
        """Raises UsageError when no model can be added under this name: not allowed, taken, or no library."""
        if self._file is None:
            raise UsageError(
                "a model is added to a library, and none is open", hint="Name one: --library DIR"
            )
        if not _NAME.fullmatch(name):
            raise UsageError(f"{name!r} cannot be a model's name", hint="Letters, digits, . _ - only.")
        if name in _TAKEN or name in self._added():
            raise UsageError(f"there is a model called {name} already", hint="Choose another name.")

    def _added(self) -> dict[str, ModelSpec]:
        if self._file is None or not self._file.exists():
            return {}
        try:
            content = json.loads(self._file.read_text("utf-8"))
            if content["format"] != _FORMAT:
                raise ValueError(f"format {content['format']} is not known to this version of oko")
            return {row["name"]: _from_row(row) for row in content["models"]}
        except (OSError, ValueError, KeyError, TypeError) as error:
            hint = "Repair it, or delete it and add the models again."
            raise ConfigError(f"{self._file} cannot be read: {error}", hint=hint) from error

    def _save(self, added: dict[str, ModelSpec]) -> None:
        assert self._file is not None, "checked by require_free"
        rows = [_to_row(spec) for spec in added.values()]
        try:
            content = {"format": _FORMAT, "models": rows}
            write_atomically(self._file, json.dumps(content, indent=2) + "\n")
        except OSError as error:
            raise ConfigError(f"{self._file} cannot be written: {error.strerror}") from error


def _check_clip(spec: ModelSpec) -> None:
    from library.clip import load_clip

    load_clip(spec, device="cpu", precision="fp32")


def _hub_spec(name: str) -> ModelSpec:
    repo = hub_repo(name)
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", repo):
        raise UnknownModel(f"{name!r} does not name a hub repository", hint="The form is hf-hub:ORG/NAME.")
    return ModelSpec(name=f"{HUB_PREFIX}{repo}", source="hub", repo=repo, summary="a model on the hub")


def _open_clip_spec(name: str) -> ModelSpec:
    """ "ARCH/PRETRAINED" as a spec; the tag is normalised as open_clip does."""
    arch, _, tag = (part.strip() for part in name.partition("/"))
    tag = tag.lower().replace("-", "_")
    known = _architectures()
    if not tag or (known and arch not in known):
        near = difflib.get_close_matches(arch, known, n=3, cutoff=0.5)
        raise UnknownModel(
            f"there is no model {name!r}" + (f"; nearest architectures: {', '.join(near)}" if near else ""),
            hint="The form is ARCH/PRETRAINED with open_clip's names, such as ViT-B-32/laion2b_s34b_b79k.",
        )
    for preset in PRESETS.values():
        if (preset.arch, preset.pretrained) == (arch, tag):
            return replace(preset, name=f"{arch}/{tag}")
    return ModelSpec(
        name=f"{arch}/{tag}", source="open_clip", arch=arch, pretrained=tag, summary="published by open_clip"
    )


def _architectures() -> list[str]:
    """open_clip's architectures, read off its configuration files without importing it."""
    package = importlib.util.find_spec("open_clip")
    folders = package.submodule_search_locations if package is not None else None
    return sorted(path.stem for folder in folders or [] for path in Path(folder).glob("model_configs/*.json"))


def _to_row(spec: ModelSpec) -> dict[str, str]:
    return {
        "name": spec.name,
        "kind": spec.kind,
        "arch": spec.arch,
        "weights": str(spec.weights),  # bytes that are no UTF-8 are lone surrogates, which JSON escapes
        "summary": spec.summary,
        **({"config": str(spec.config)} if spec.config is not None else {}),
    }


def _from_row(row: dict[str, Any]) -> ModelSpec:
    if row["kind"] not in get_args(Kind) or not _NAME.fullmatch(row["name"]):
        raise ValueError(f"{row['name']!r} is not a model entry")
    return ModelSpec(
        name=row["name"],
        source="local",
        kind=row["kind"],
        arch=row["arch"],
        weights=Path(row["weights"]),
        config=Path(row["config"]) if row.get("config") else None,
        summary=row.get("summary", ""),
    )


def _size(size_bytes: int | None) -> str:
    return "download size unknown" if size_bytes is None else f"{size_bytes / 1e9:.1f} GB to download"
