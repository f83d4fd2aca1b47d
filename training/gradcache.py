"""One step on a large batch in little memory: the gradient of the whole batch, computed in pieces.

Source: Gao et al. 2021, "Scaling Deep Contrastive Learning Batch Size under Memory Limited Setup" (GradCache).
The vectors of all pieces are made without gradients, the loss is taken over all of them at once, and each piece
is then made again with gradients, which start from the loss's gradient at its vectors.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from torch import Tensor

Encode = Callable[["Tensor"], "Tensor"]
# One vector (N, D) a row of each input -> a scalar.
Loss = Callable[[Sequence["Tensor"]], "Tensor"]


def backward(encoders: Sequence[Encode], inputs: Sequence[Tensor], loss: Loss, *, piece: int) -> float:
    """Adds the gradients of `loss` over the vectors of all inputs to the parameters; returns the loss.

    `inputs[i]` (N, ...) goes through `encoders[i]`, `piece` rows at a time; with N no more than `piece` there
    is one forward pass, else two. Dropout draws the same in both. The vectors must not depend on the other
    rows of a batch: batch norms have to be in eval mode.
    """
    rows = max(len(each) for each in inputs)
    if rows <= piece:
        value = loss([encode(each) for encode, each in zip(encoders, inputs, strict=True)])
        value.backward()  # type: ignore[no-untyped-call]
        return float(value.detach())
    made = [_without_gradients(encode, each, piece) for encode, each in zip(encoders, inputs, strict=True)]
    vectors = [value.detach().requires_grad_() for value, _ in made]
    value = loss(vectors)
    value.backward()  # type: ignore[no-untyped-call]
    for encode, each, vector, (_, states) in zip(encoders, inputs, vectors, made, strict=True):
        _again(encode, each, vector.grad, states, piece)
    return float(value.detach())


def _without_gradients(encode: Encode, inputs: Tensor, piece: int) -> tuple[Tensor, list[_Random]]:
    """All vectors, and the state of the random generators before each piece."""
    import torch

    vectors, states = [], []
    with torch.no_grad():
        for start in range(0, len(inputs), piece):
            states.append(_Random(inputs.device))
            vectors.append(encode(inputs[start : start + piece]))
    return torch.cat(vectors), states


def _again(
    encode: Encode, inputs: Tensor, gradient: Tensor | None, states: list[_Random], piece: int
) -> None:
    if gradient is None:
        return
    for number, start in enumerate(range(0, len(inputs), piece)):
        states[number].restore()
        vectors = encode(inputs[start : start + piece])
        if vectors.requires_grad:
            vectors.backward(gradient[start : start + piece])  # type: ignore[no-untyped-call]


class _Random:
    """The random generators as they were, on the processor and on the inputs' device."""

    def __init__(self, device: torch.device) -> None:
        import torch

        self._device = device
        self._cpu = torch.get_rng_state()
        self._cuda = torch.cuda.get_rng_state(device) if device.type == "cuda" else None

    def restore(self) -> None:
        import torch

        torch.set_rng_state(self._cpu)
        if self._cuda is not None:
            torch.cuda.set_rng_state(self._cuda, self._device)
