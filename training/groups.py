"""An image tower as a row of layer groups: so that its last few can be trained and the rest be computed once.

Known families are taken apart by hand; whether the parts give what the whole gives is tried on one picture, and
an unknown tower, or one that fails, is a single group.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from torch import Tensor, nn

log = logging.getLogger(__name__)

_TOLERANCE = 1e-4  # of the vectors' largest value: only the order of additions may differ


@dataclass(frozen=True, slots=True)
class Group:
    """Consecutive layers: `run` maps the output of the group before (or pixels) to this one's."""

    name: str
    run: Callable[[Tensor], Tensor]
    parameters: tuple[nn.Parameter, ...]


def layer_groups(visual: nn.Module, pixels: Tensor) -> list[Group]:
    """The groups of an image tower, first layers first; run in a row they are `visual`.

    `pixels` (1, 3, H, W) float32 is any picture, to try them on.
    """
    import torch

    whole = Group("tower", _first_output(visual), tuple(visual.parameters()))
    try:
        groups = list(_take_apart(visual))
        with torch.no_grad():
            wanted, found = whole.run(pixels), run_groups(groups, pixels)
        is_same = found.shape == wanted.shape and torch.allclose(
            found, wanted, atol=_TOLERANCE * float(wanted.abs().max())
        )
    except (AttributeError, TypeError, RuntimeError) as error:
        log.debug("the image tower is not of a known kind: %s", error)
        return [whole]
    covered = sum(len(group.parameters) for group in groups)
    return groups if groups and is_same and covered == len(whole.parameters) else [whole]


def run_groups(groups: Sequence[Group], values: Tensor) -> Tensor:
    """The groups one after the other."""
    for group in groups:
        values = group.run(values)
    return values


def _first_output(visual: nn.Module) -> Callable[[Tensor], Tensor]:
    def run(pixels: Tensor) -> Tensor:
        out = visual(pixels)
        return cast("Tensor", out[0] if isinstance(out, tuple) else out)

    return run


def _take_apart(visual: Any) -> Iterator[Group]:
    trunk = getattr(visual, "trunk", None)
    kind = type(visual if trunk is None else trunk).__name__
    if trunk is None:
        if kind == "VisionTransformer":
            yield from _vit(visual)
        return
    if kind == "EfficientNet":
        yield from _efficient_net(trunk)
    elif kind == "VisionTransformer":
        yield from _timm_vit(trunk)
    else:
        yield _group("trunk", trunk, trunk)
    if list(visual.head.parameters()):
        yield _group("head", visual.head, visual.head)


def _efficient_net(trunk: Any) -> Iterator[Group]:
    yield _group("stem", lambda x: trunk.bn1(trunk.conv_stem(x)), trunk.conv_stem, trunk.bn1)
    for number, block in enumerate(trunk.blocks):
        yield _group(f"blocks.{number}", block, block)
    yield _group(
        "top",
        lambda x: trunk.forward_head(trunk.bn2(trunk.conv_head(x))),
        trunk.conv_head,
        trunk.bn2,
        trunk.classifier,
    )


def _timm_vit(trunk: Any) -> Iterator[Group]:
    def embed(x: Tensor) -> Tensor:
        return cast("Tensor", trunk.norm_pre(trunk.patch_drop(trunk._pos_embed(trunk.patch_embed(x)))))

    def pool(x: Tensor) -> Tensor:
        return cast("Tensor", trunk.forward_head(trunk.norm(x)))

    blocks = set(trunk.blocks.parameters())
    early = {trunk.pos_embed, trunk.cls_token, trunk.reg_token, *trunk.patch_embed.parameters()}
    early |= set(trunk.norm_pre.parameters())
    first = tuple(p for p in trunk.parameters() if p in early)
    yield Group("embeddings", embed, first)
    for number, block in enumerate(trunk.blocks):
        yield _group(f"blocks.{number}", block, block)
    yield Group("pool", pool, tuple(p for p in trunk.parameters() if p not in early and p not in blocks))


def _vit(visual: Any) -> Iterator[Group]:
    """open_clip's own transformer; its blocks may want the sequence first."""

    def block_of(layer: Any) -> Callable[[Tensor], Tensor]:
        if visual.transformer.batch_first:
            return lambda x: cast("Tensor", layer(x))
        return lambda x: cast("Tensor", layer(x.transpose(0, 1)).transpose(0, 1))

    def project(x: Tensor) -> Tensor:
        pooled = visual._pool(x)[0]
        return cast("Tensor", pooled if visual.proj is None else pooled @ visual.proj)

    blocks = set(visual.transformer.parameters())
    early = {visual.class_embedding, visual.positional_embedding, *visual.conv1.parameters()}
    early |= set(visual.ln_pre.parameters())
    yield Group("embeddings", visual._embeds, tuple(p for p in visual.parameters() if p in early))
    for number, layer in enumerate(visual.transformer.resblocks):
        yield Group(f"blocks.{number}", block_of(layer), tuple(layer.parameters()))
    rest = tuple(p for p in visual.parameters() if p not in early and p not in blocks)
    yield Group("projection", project, rest)


def _group(name: str, run: Callable[[Any], Any], *modules: nn.Module) -> Group:
    return Group(name, run, tuple(p for module in modules for p in module.parameters()))


def depthwise_in_float32(module: nn.Module) -> None:
    """Keeps depthwise convolutions out of autocast, in place: their bfloat16 backward is slow on processors.

    The built-in model's upper blocks, forward and backward, two cores with AMX: 157 pictures/s, not 18.
    """
    import torch

    for part in module.modules():
        if isinstance(part, torch.nn.Conv2d) and part.groups > 1:
            part.forward = without_autocast(part.forward)  # type: ignore[method-assign, assignment]


def without_autocast(forward: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """The same function in float32, whatever number format is set around it."""
    import torch

    def run(x: Tensor) -> Tensor:
        with torch.autocast(x.device.type, enabled=False):
            return forward(x.float())

    return run
