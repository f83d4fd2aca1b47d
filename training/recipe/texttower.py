"""A CLIP's text tower on texts of unequal length: padding is computed only as far as the longest text of a batch."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from library.clip import ClipModel
from library.devices import cpu_has_fast_bf16

_BATCH = 256
_NOT_TEXT = ("visual.", "logit_")
_PIECE = 10_000  # texts that become tokens at once


def text_tensors(clip: ClipModel) -> dict[str, nn.Parameter]:
    """The tower's parameters by their names in the model."""
    return {name: value for name, value in clip.module.named_parameters() if not name.startswith(_NOT_TEXT)}


def tokens_of(clip: ClipModel, texts: list[str]) -> Tensor:
    """(N, context) int16: a fourth of what the tokenizer's own numbers take."""
    pieces = [
        clip.tokenizer(texts[start : start + _PIECE]).to(torch.int16)
        for start in range(0, len(texts), _PIECE)
    ]
    return torch.cat(pieces) if pieces else torch.zeros(0, 1, dtype=torch.int16)


def lengths_of(tokens: Tensor) -> Tensor:
    """(N, context) -> (N,) int64: how many tokens a text has; the last, end of text, is the highest number."""
    return tokens.argmax(1) + 1


def run_tower(module: Any, tokens: Tensor) -> Tensor:
    """(N, context) integers -> (N, D), not normalised: `encode_text` without the padding that all texts share."""
    longest = int(lengths_of(tokens).max())
    trimmed = tokens[:, :longest].long()
    x = module.token_embedding(trimmed) + module.positional_embedding[:longest]  # (N, longest, width)
    x = module.transformer(x, attn_mask=module.attn_mask[:longest, :longest])
    x = module.ln_final(x)
    pooled = x[torch.arange(len(x)), trimmed.argmax(1)]  # (N, width)
    out: Tensor = pooled @ module.text_projection
    return out


def text_vectors(module: Any, tokens: Tensor) -> Tensor:
    """(N, context) -> (N, D) float32 with L2 norm 1, in batches of like length; gradients flow."""
    order = lengths_of(tokens).argsort(stable=True)
    parts = [run_tower(module, tokens[rows]).float() for rows in torch.split(order, _BATCH)]
    back = torch.empty_like(order)
    back[order] = torch.arange(len(order))
    return F.normalize(torch.cat(parts)[back], dim=-1)


def encode_texts(clip: ClipModel, texts: list[str]) -> Tensor:
    """N texts -> (N, D) float32 with L2 norm 1, without gradients."""
    with torch.no_grad():
        return text_vectors(clip.module, tokens_of(clip, texts))


@contextmanager
def mixed_precision() -> Iterator[None]:
    """bfloat16 where the processor multiplies it natively."""
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=cpu_has_fast_bf16()):
        yield
