"""An image tower made fast for inference: number format, memory order, batch norms folded away.

Measured with the built-in model (64 photos, batch 32, two busy cores of an AMD EPYC with avx512_bf16;
cosine to float32):

    float32, channels-last                                        31 photos/s
    float32, folded                                               43 photos/s   1.000000
    bfloat16, converted as it is                                  64 photos/s   least 0.9951, mean 0.9985
    bfloat16, folded, stem and first stage in float32             76 photos/s   least 0.9985, mean 0.9995
    the same, depthwise kernels rounded with their sums kept      the same      least 0.9990, mean 0.9996

On the same machine less busy, second row against last: 78-108 against 204-266 photos/s.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    import torch

_CONVOLUTIONS = 4  # a patch embedding has one; more of them make a convolutional tower


def make_fast(visual: torch.nn.Module, dtype: torch.dtype) -> None:
    """Prepares an image tower for inference, in place: it can no longer be trained or saved.

    EfficientNets (the built-in model) are folded and keep their first layers in float32; others are
    only converted, since child order need not be call order there.
    """
    import torch

    trunk = getattr(visual, "trunk", None)
    if type(trunk).__name__ != "EfficientNet":
        convert(visual, dtype)
        return
    assert isinstance(trunk, torch.nn.Module)
    _fold_batch_norms(visual)
    if dtype == torch.float32:
        convert(visual, dtype)
        return
    first = [cast(torch.nn.Module, part) for part in (trunk.conv_stem, trunk.bn1, cast(Any, trunk.blocks)[0])]
    exact = [{name: value.clone() for name, value in part.state_dict().items()} for part in first]
    for part in visual.modules():
        if isinstance(part, torch.nn.Conv2d) and part.groups > 1:
            part.weight.data = round_keeping_sums(part.weight.data, dtype)
    convert(visual, dtype)
    for part, values in zip(first, exact, strict=True):
        part.float().load_state_dict(values)
    first[0].register_forward_pre_hook(lambda module, inputs: (inputs[0].float(),))
    first[-1].register_forward_hook(lambda module, inputs, output: output.to(dtype))


def convert(visual: torch.nn.Module, dtype: torch.dtype) -> None:
    """Number format, and channels-last order where there are convolutions to profit: nothing else changes.

    Channels-last, built-in model, idle machine: fp32 34 -> 46 photos/s, bf16 101 -> 170.
    """
    import torch

    visual.to(dtype=dtype)
    if sum(isinstance(part, torch.nn.Conv2d) for part in visual.modules()) >= _CONVOLUTIONS:
        visual.to(memory_format=torch.channels_last)


def round_keeping_sums(weight: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """(C, ...) float32 rounded to `dtype` (and returned in float32), the sum of each kernel nearly kept.

    Each rounding error is carried into the next weight. Neighbouring pixels are nearly equal, so what
    a depthwise kernel does to them is mostly its sum, which plain rounding shifts for every photo alike.
    """
    import torch

    rounded = weight.flatten(1).clone()  # (C, K)
    carried = torch.zeros(len(rounded), device=weight.device)
    for column in range(rounded.shape[1]):
        wanted = rounded[:, column] + carried
        rounded[:, column] = wanted.to(dtype).float()
        carried = wanted - rounded[:, column]
    return rounded.reshape(weight.shape)


def _fold_batch_norms(visual: torch.nn.Module) -> None:
    """Multiplies each batch norm into the convolution before it: the same function with fewer steps."""
    import torch
    from torch.nn.utils.fusion import fuse_conv_bn_eval

    for module in list(visual.modules()):
        before: tuple[str, torch.nn.Module] | None = None
        for name, child in list(module.named_children()):
            if isinstance(child, torch.nn.BatchNorm2d) and before and isinstance(before[1], torch.nn.Conv2d):
                setattr(module, before[0], fuse_conv_bn_eval(before[1], child))
                setattr(module, name, getattr(child, "act", torch.nn.Identity()))  # timm's norms carry it
            before = (name, child)
