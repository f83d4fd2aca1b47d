"""A codebook that stays in use while it learns: a start from the encoder's own vectors, and new lives for dead codes.

Left to itself a codebook collapses: codes that no place is nearest to get no gradient, and are never chosen again.
Here the first codes are the means of groups of what the encoder says (k-means), and a code that is chosen far less
often than others is put where the encoder spoke lately. Sources: Lancucki et al. 2020, "Robust training of vector
quantized bottleneck models"; Dhariwal et al. 2020, "Jukebox", section 3.1, for the random restarts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from torch import Tensor, nn

    from generate.vqgan import VQGAN

_KEPT_OF_STEP = 1024  # vectors of each step that are remembered
_REMEMBERED = 16  # times as many vectors as there are codes
_MEMORY = 0.99  # decay of how often each code was chosen: about the last hundred steps
_DEAD_BELOW = 0.05  # of what an even use would be
_ROUNDS = 20  # of k-means


class CodebookKeeper:
    """What the encoder said lately, and how often each code was chosen; all of it is part of a run's state."""

    def __init__(self, model: VQGAN) -> None:
        import torch

        entries, width = model.codebook.shape
        self._model = model
        self._device = model.codebook.device
        self._lately = torch.zeros(_REMEMBERED * entries, width)  # (B, D) on the processor
        self._filled = 0
        self._at = 0
        self.shares = torch.full((entries,), 1 / entries)  # (K,)

    @property
    def parameter(self) -> nn.Parameter:
        """The codebook (K, D) as it learns."""
        return cast(Any, self._model.quantize).embedding.weight  # type: ignore[no-any-return]

    def note(self, z: Tensor, indices: Tensor, random: Any) -> None:
        """Takes in a step's encoder output (N, D, h, w) and chosen codes (N, h, w); `random` is torch's generator."""
        import torch
        from torch.nn import functional as F

        entries = len(self.shares)
        chosen = torch.bincount(indices.flatten().cpu(), minlength=entries).float()
        self.shares.lerp_(chosen / chosen.sum(), 1 - _MEMORY)
        vectors = z.detach().float().movedim(1, 3).flatten(0, 2).cpu()  # (N h w, D)
        if self._model.config.l2_norm:
            vectors = F.normalize(vectors, dim=1)
        vectors = vectors[torch.randperm(len(vectors), generator=random)[:_KEPT_OF_STEP]]
        rows = (self._at + torch.arange(len(vectors))) % len(self._lately)
        self._lately[rows] = vectors
        self._at = int((self._at + len(vectors)) % len(self._lately))
        self._filled = min(len(self._lately), self._filled + len(vectors))

    def start_codes(self, random: Any) -> Tensor:
        """(K, D): the means of K groups of what the encoder said lately. Lloyd 1982."""
        import torch

        seen = self._lately[: self._filled]
        entries = len(self.shares)
        codes = seen[torch.randint(len(seen), (entries,), generator=random)].clone()
        for _ in range(_ROUNDS):
            nearest = _nearest_rows(seen, codes)  # (B,)
            counts = torch.bincount(nearest, minlength=entries)
            sums = torch.zeros_like(codes).index_add_(0, nearest, seen)
            empty = counts == 0
            codes = sums / counts.clamp(min=1)[:, None]
            again = torch.randint(len(seen), (int(empty.sum()),), generator=random)
            codes[empty] = seen[again]
        self.shares.fill_(1 / entries)
        return codes

    def revive(self, random: Any) -> tuple[Tensor, Tensor]:
        """The rows (R,) int64 of codes that are out of use, and a place for each (R, D)."""
        import torch

        dead = torch.nonzero(self.shares < _DEAD_BELOW / len(self.shares)).flatten()
        dead = dead if self._filled else dead[:0]
        places = self._lately[torch.randint(max(1, self._filled), (len(dead),), generator=random)]
        self.shares[dead] = 1 / len(self.shares)
        return dead, places

    def state(self) -> dict[str, Any]:
        """Tensors and numbers, which `restore` takes."""
        return {"lately": self._lately, "filled": self._filled, "at": self._at, "shares": self.shares}

    def restore(self, state: dict[str, Any]) -> None:
        """The inverse of `state`."""
        self._lately.copy_(state["lately"])
        self.shares.copy_(state["shares"])
        self._filled, self._at = state["filled"], state["at"]


def _nearest_rows(vectors: Tensor, codes: Tensor) -> Tensor:
    """For each of (B, D) vectors the row of the nearest of (K, D) codes; (B,) int64, in pieces that fit in memory."""
    import torch

    squares = codes.square().sum(1)
    pieces = (
        torch.addmm(squares, piece, codes.T, alpha=-2).argmin(1) for piece in torch.split(vectors, 8192)
    )
    return torch.cat(list(pieces))
