"""Vision transformers on a processor: weights laid out once for oneDNN, and no work that the answer does not need.

Three things, each the same function as the plain tower up to rounding:

- Linear layers keep their weights in oneDNN's own order. torch itself hands float32 to MKL, which on AMD processors
  leaves half of the vector unit idle: 105 against 225 GFLOP/s a core (an AMD EPYC with AVX-512).
- GELU is computed where its input is made, not in a second pass over memory.
- In the last layer only the class token is computed, as nothing else is read from it: 7 % of ViT-B's work.

The operators are those that torch's own compiler emits for processors. They are not published, so a torch without
them, or one where they are not faster, keeps its plain layers.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any, cast

import torch
from torch import nn
from torch.nn import functional

log = logging.getLogger(__name__)

_LEAST_SIDE = 64  # smaller layers are not worth a call of their own
_LEAST_LAYERS = 4  # a convolutional tower has one or two, not worth the trial
_ROWS = 520  # what the layout is chosen for, and the trial done with: eight photos of 65 tokens
_WORTH_IT = 1.15  # a trial this much faster is more than the noise of a busy machine
_TRIALS = 5


class PackedLinear(nn.Module):
    """`nn.Linear`, perhaps with the exact GELU behind it, for inference on the processor."""

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor | None, *, gelu: bool = False) -> None:
        """weight (out, in), bias (out,), both float32 or both bfloat16."""
        super().__init__()
        # No buffer: a packed tensor can be neither saved nor moved to another device.
        self.packed = torch.ops.mkldnn._reorder_linear_weight(weight.detach().contiguous(), _ROWS)
        self.bias = None if bias is None else bias.detach().clone()
        self.after = ("gelu", "none") if gelu else ("none", "")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(..., in) -> (..., out), of the weight's dtype."""
        name, algorithm = self.after
        made = torch.ops.mkldnn._linear_pointwise(x, self.packed, self.bias, name, [], algorithm)
        return cast(torch.Tensor, made)


class _Attention(nn.Module):
    """Multi-head self-attention of an `nn.MultiheadAttention`; with `first_only`, for the first token alone."""

    def __init__(self, plain: nn.MultiheadAttention, *, first_only: bool) -> None:
        super().__init__()
        width = plain.embed_dim
        assert plain.in_proj_weight is not None
        self.heads = plain.num_heads
        self.first_only = first_only
        weight, bias = plain.in_proj_weight, cast("torch.Tensor | None", plain.in_proj_bias)
        parts = (slice(0, width), slice(width, None)) if first_only else (slice(None),)
        self.projections = nn.ModuleList(
            PackedLinear(weight[part], None if bias is None else bias[part]) for part in parts
        )
        self.out = PackedLinear(plain.out_proj.weight, plain.out_proj.bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, T, width) -> (N, T or 1, width)."""
        if self.first_only:
            parts = (self.projections[0](x[:, :1]), *self.projections[1](x).chunk(2, dim=-1))
        else:
            parts = self.projections[0](x).chunk(3, dim=-1)
        q, k, v = (part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in parts)  # (N, heads, T, -)
        mixed = _attended(q, k, v)
        return cast(torch.Tensor, self.out(mixed.transpose(1, 2).flatten(2)))


def _attended(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    """softmax(q k^T / sqrt(d)) v, all (N, heads, T, d).

    In bfloat16 torch's fused kernel takes 2.3 ms for eight photos of 65 tokens, plain products 0.9 ms; in float32
    1.6 ms against 1.8 ms.
    """
    if q.dtype == torch.float32:
        return functional.scaled_dot_product_attention(q, k, v)
    weights = (q * q.shape[-1] ** -0.5 @ k.transpose(-2, -1)).softmax(dim=-1)
    return cast(torch.Tensor, weights @ v)


class _Block(nn.Module):
    """A pre-norm transformer block; with `first_only` it gives the first token alone."""

    def __init__(self, plain: Any, *, first_only: bool) -> None:
        super().__init__()
        self.ln_1, self.ls_1, self.ln_2, self.ls_2 = plain.ln_1, plain.ls_1, plain.ln_2, plain.ls_2
        self.first_only = first_only
        self.attention = _Attention(plain.attn, first_only=first_only)
        fused = type(plain.mlp.gelu) is nn.GELU and plain.mlp.gelu.approximate == "none"
        wide = PackedLinear(plain.mlp.c_fc.weight, plain.mlp.c_fc.bias, gelu=fused)
        last = PackedLinear(plain.mlp.c_proj.weight, plain.mlp.c_proj.bias)
        self.mlp = nn.Sequential(wide, last) if fused else nn.Sequential(wide, plain.mlp.gelu, last)

    def forward(self, x: torch.Tensor, attn_mask: torch.Tensor | None = None) -> torch.Tensor:
        """(N, T, width) -> (N, T or 1, width). Towers of pictures have no mask."""
        assert attn_mask is None
        carried = x[:, :1] if self.first_only else x
        carried = carried + cast(torch.Tensor, self.ls_1(self.attention(self.ln_1(x))))
        return carried + cast(torch.Tensor, self.ls_2(self.mlp(self.ln_2(carried))))


def pack(visual: nn.Module) -> bool:
    """Makes an image tower on the processor faster, in place, where that can be had; whether it did anything.

    open_clip's vision transformers as a whole; of other towers, timm's vision transformers among them, the linear
    layers. The tower can no longer be trained, saved or moved.
    """
    if _linears_in(visual) < _LEAST_LAYERS or not _is_worth_it(next(visual.parameters()).dtype):
        return False
    with torch.inference_mode():
        if _is_plain_transformer(visual):
            _pack_blocks(visual)
        return _pack_linears(visual) > 0


def _pack_blocks(visual: Any) -> None:
    blocks = visual.transformer.resblocks
    only_first = visual.pool_type == "tok" and visual.attn_pool is None and not visual.output_tokens
    for number, block in enumerate(blocks):
        blocks[number] = _Block(block, first_only=only_first and number == len(blocks) - 1)


def _is_plain_transformer(visual: Any) -> bool:
    """Whether this is open_clip's own tower, made of the blocks that `_Block` stands for."""
    blocks = getattr(getattr(visual, "transformer", None), "resblocks", None)
    if type(visual).__name__ != "VisionTransformer" or not isinstance(blocks, nn.ModuleList):
        return False
    return visual.transformer.batch_first and all(_is_plain_block(block) for block in blocks)


def _is_plain_block(block: Any) -> bool:
    if type(block).__name__ != "ResidualAttentionBlock" or hasattr(block, "ln_1_kv"):
        return False
    attention = block.attn
    simple = type(attention) is nn.MultiheadAttention and attention.in_proj_weight is not None
    return bool(simple and attention.bias_k is None and not attention.add_zero_attn)


def _linears_in(module: nn.Module) -> int:
    return sum(isinstance(part, nn.Linear) for part in module.modules())


def _pack_linears(module: nn.Module) -> int:
    """How many linear layers were replaced below a module. Those inside `nn.MultiheadAttention` are of other types."""
    packed = 0
    for name, child in list(module.named_children()):
        if type(child) is nn.Linear and min(child.weight.shape) >= _LEAST_SIDE:
            setattr(module, name, PackedLinear(child.weight, child.bias))
            packed += 1
        elif isinstance(child, PackedLinear):
            packed += 1
        else:
            packed += _pack_linears(child)
    return packed


def _is_worth_it(dtype: torch.dtype) -> bool:
    """Whether packed layers work here and are faster: measured, in some hundredths of a second."""
    if dtype not in (torch.float32, torch.bfloat16):
        return False
    x, weight = torch.ones(_ROWS, 768, dtype=dtype), torch.ones(768, 768, dtype=dtype)
    try:
        with torch.inference_mode():
            packed = PackedLinear(weight, None)
            plain_s = _fastest_s(lambda: functional.linear(x, weight))
            packed_s = _fastest_s(lambda: packed(x))
    except (RuntimeError, AttributeError) as e:  # torch has no such operators, or not for this processor
        log.debug("this torch has no packed layers: %s", e)
        return False
    log.debug("a linear layer takes %.2f ms, packed %.2f ms", 1000 * plain_s, 1000 * packed_s)
    # In bfloat16 the plain layer is oneDNN's too, and only lays its weights out anew each time.
    return packed_s * (_WORTH_IT if dtype == torch.float32 else 1.0) < plain_s


def _fastest_s(call: Callable[[], object]) -> float:
    best = float("inf")
    for _ in range(_TRIALS):
        started = time.perf_counter()
        call()
        best = min(best, time.perf_counter() - started)
    return best
