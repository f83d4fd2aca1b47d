"""The registry's VQGANs: what they are, giving one a name. torch is imported when one is loaded."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from library.models import Registry
from library.presets import BUILTIN_VQGAN_NAME, ModelSpec

if TYPE_CHECKING:
    from generate.vqgan import VQGAN


def builtin() -> list[ModelSpec]:
    """The network inside the package, if it has one."""
    from generate.load import BUILTIN_FOLDER, VQGAN_WEIGHTS_FILE

    if not (BUILTIN_FOLDER / VQGAN_WEIGHTS_FILE).is_file():
        return []
    return [
        ModelSpec(
            name=BUILTIN_VQGAN_NAME,
            source="builtin",
            kind="vqgan",
            arch=describe(BUILTIN_FOLDER),
            weights=BUILTIN_FOLDER,
            summary="oko's own small VQGAN, in the package",
        )
    ]


def describe(weights: Path, config: Path | None = None) -> str:
    """A network in a few words. Raises ModelError."""
    from generate.load import read_config

    shape = read_config(weights, config)
    kind = " Gumbel" if shape.quantizer == "gumbel" else ""
    return f"VQGAN f{shape.factor}{kind}, {shape.n_embed:,} codes"


def register(registry: Registry, name: str, weights: Path, config: Path | None = None) -> ModelSpec:
    """Adds a VQGAN under a name, after loading it once. Raises UsageError, ModelError."""
    registry.require_free(name.strip())
    weights = weights.expanduser().absolute()
    spec = ModelSpec(
        name=name,
        source="local",
        kind="vqgan",
        arch=describe(weights, config),
        weights=weights,
        config=config,
    )
    return registry.register(spec, load)


def load(spec: ModelSpec) -> VQGAN:
    """The network of an added model, in float32 on the processor. Raises ModelError."""
    from generate.load import load_vqgan

    assert spec.weights is not None, "a local model says where its weights lie"
    return load_vqgan(spec.weights, spec.config)
