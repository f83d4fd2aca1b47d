"""VQGAN: pictures to a small grid of codes from a codebook, and back. Source: Esser, Rombach, Ommer 2021,
"Taming Transformers for High-Resolution Image Synthesis", called "the paper" below; training is in training/.

Modules and parameters have the names of the authors' release, so that its weights load as they are. Shapes:
N pictures, C channels, H x W pixels, h x w = H/factor x W/factor places in the grid, K codes of D numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from generate.architecture import VQGANConfig

__all__ = ["VQGAN", "Quantized", "VQGANConfig", "nearest_indices", "perplexity", "straight_through"]

_NORM_EPS = 1e-6
_TINY = 1e-10  # keeps a logarithm finite
_Run = Callable[[nn.Module, Tensor], Tensor]


@dataclass(frozen=True, slots=True)
class Quantized:
    """What quantising gives: `codes` (N, D, h, w), through which gradients pass as if nothing had been rounded;
    `indices` (N, h, w) int64 into the codebook; the codebook `loss` and the `perplexity`, both scalars.

    Perplexity is how many codes are in use, as if all in use were equally frequent: from 1 to K.
    """

    codes: Tensor
    indices: Tensor
    loss: Tensor
    perplexity: Tensor


# Encoder and decoder: section 3.1 and appendix A of the paper, table 7.


class ResnetBlock(nn.Module):
    """Norm, swish, convolution, twice, added to the input."""

    def __init__(self, config: VQGANConfig, channels_in: int, channels_out: int) -> None:
        super().__init__()
        self.norm1 = _norm(config, channels_in)
        self.conv1 = _conv3(channels_in, channels_out)
        self.norm2 = _norm(config, channels_out)
        self.dropout = nn.Dropout(config.dropout)
        self.conv2 = _conv3(channels_out, channels_out)
        self.nin_shortcut: nn.Module | None = None
        if channels_in != channels_out:
            self.nin_shortcut = nn.Conv2d(channels_in, channels_out, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv1(F.silu(self.norm1(x)))  # (N, C, H, W) -> (N, C', H, W)
        y = self.conv2(self.dropout(F.silu(self.norm2(y))))  # (N, C', H, W)
        shortcut = x if self.nin_shortcut is None else self.nin_shortcut(x)  # (N, C', H, W)
        return cast(Tensor, shortcut + y)


class AttnBlock(nn.Module):
    """Each place looks at all others: one head of self-attention, added to the input.

    Its memory grows with H x W, not with its square, where torch has a fused kernel for it.
    """

    def __init__(self, config: VQGANConfig, channels: int) -> None:
        super().__init__()
        self.norm = _norm(config, channels)
        self.q = nn.Conv2d(channels, channels, 1)
        self.k = nn.Conv2d(channels, channels, 1)
        self.v = nn.Conv2d(channels, channels, 1)
        self.proj_out = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        normed = self.norm(x)  # (N, C, H, W)
        q, k, v = (_as_sequence(layer(normed)) for layer in (self.q, self.k, self.v))  # (N, 1, HW, C) each
        seen = F.scaled_dot_product_attention(q, k, v)  # (N, 1, HW, C); scaled by 1 / sqrt(C)
        grid = seen.squeeze(1).transpose(1, 2).reshape(x.shape)  # (N, C, H, W)
        return x + cast(Tensor, self.proj_out(grid))


class Downsample(nn.Module):
    """Half the size, by a convolution with stride 2 or by averages."""

    def __init__(self, config: VQGANConfig, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, stride=2) if config.resamp_with_conv else None

    def forward(self, x: Tensor) -> Tensor:
        if self.conv is None:
            return F.avg_pool2d(x, 2)  # (N, C, H/2, W/2)
        padded = F.pad(x, (0, 1, 0, 1))  # (N, C, H+1, W+1): right and bottom only, as the weights expect
        return cast(Tensor, self.conv(padded))  # (N, C, H/2, W/2)


class Upsample(nn.Module):
    """Twice the size: each value four times, then a convolution."""

    def __init__(self, config: VQGANConfig, channels: int) -> None:
        super().__init__()
        self.conv = _conv3(channels, channels) if config.resamp_with_conv else None

    def forward(self, x: Tensor) -> Tensor:
        larger = F.interpolate(x, scale_factor=2.0, mode="nearest")  # (N, C, 2H, 2W)
        return larger if self.conv is None else cast(Tensor, self.conv(larger))


class Middle(nn.Module):
    """The smallest feature map: two blocks with attention between them."""

    def __init__(self, config: VQGANConfig, channels: int) -> None:
        super().__init__()
        self.block_1 = ResnetBlock(config, channels, channels)
        self.attn_1 = AttnBlock(config, channels)
        self.block_2 = ResnetBlock(config, channels, channels)

    def parts(self) -> list[nn.Module]:
        """In the order in which they run."""
        return [self.block_1, self.attn_1, self.block_2]


class Level(nn.Module):
    """One size of feature map: blocks, each followed by attention where the configuration wants it."""

    def __init__(self, config: VQGANConfig, widths: Sequence[int], *, resolution: int) -> None:
        """`widths`: the channels before the first block, after it, after the second, and so on."""
        super().__init__()
        self.downsample: nn.Module | None = None
        self.upsample: nn.Module | None = None
        self.block = nn.ModuleList(ResnetBlock(config, *pair) for pair in pairwise(widths))
        has_attention = resolution in config.attn_resolutions
        self.attn = nn.ModuleList(AttnBlock(config, width) for width in widths[1:] if has_attention)

    def parts(self) -> list[nn.Module]:
        """In the order in which they run; the change of size comes last."""
        attention = self.attn or [None] * len(self.block)
        pairs = zip(self.block, attention, strict=True)
        row = [*(part for pair in pairs for part in pair), self.downsample, self.upsample]
        return [part for part in row if part is not None]


class Encoder(nn.Module):
    """Pictures (N, 3, H, W) -> features (N, z_channels, h, w)."""

    def __init__(self, config: VQGANConfig) -> None:
        super().__init__()
        before, self.patch = config.ch, config.patch
        self.conv_in = _conv3(config.in_channels * self.patch**2, before)
        self.down = nn.ModuleList()
        for i, times in enumerate(config.ch_mult):
            width = config.ch * times
            widths = [before] + [width] * config.num_res_blocks
            level = Level(config, widths, resolution=config.resolution // (config.patch * 2**i))
            if i + 1 < len(config.ch_mult):
                level.downsample = Downsample(config, width)
            self.down.append(level)
            before = width
        self.mid = Middle(config, before)
        self.norm_out = _norm(config, before)
        self.conv_out = _conv3(before, config.z_channels)

    def forward(self, x: Tensor, run: _Run) -> Tensor:
        y = self.conv_in(
            F.pixel_unshuffle(x, self.patch)
        )  # (N, ch, H, W); both halved by a patch of 2, and so below
        for level in self.down:
            y = _run_all(
                level, y, run
            )  # (N, ch * ch_mult[i], H / 2^(i+1), W / 2^(i+1)); the last keeps the size
        y = _run_all(self.mid, y, run)  # (N, ch * ch_mult[-1], h, w)
        return cast(Tensor, self.conv_out(F.silu(self.norm_out(y))))  # (N, z_channels, h, w)


class Decoder(nn.Module):
    """Features (N, z_channels, h, w) -> pictures (N, 3, H, W), about -1 to 1."""

    def __init__(self, config: VQGANConfig) -> None:
        super().__init__()
        before, self.patch = config.ch * config.ch_mult[-1], config.patch
        self.conv_in = _conv3(config.z_channels, before)
        self.mid = Middle(config, before)
        levels = []
        for i, times in reversed(list(enumerate(config.ch_mult))):
            width = config.ch * times
            widths = [before] + [width] * (config.num_res_blocks + 1)
            level = Level(config, widths, resolution=config.resolution // (config.patch * 2**i))
            if i > 0:
                level.upsample = Upsample(config, width)
            levels.append(level)
            before = width
        self.up = nn.ModuleList(reversed(levels))  # up[0] has the picture's size, and runs last
        self.norm_out = _norm(config, before)
        self.conv_out = _conv3(before, config.out_ch * self.patch**2)

    def forward(self, z: Tensor, run: _Run) -> Tensor:
        y = self.conv_in(z)  # (N, ch * ch_mult[-1], h, w)
        y = _run_all(self.mid, y, run)  # (N, ch * ch_mult[-1], h, w)
        for level in reversed(self.up):
            y = _run_all(
                level, y, run
            )  # (N, ch * ch_mult[i], H / 2^(i-1), W / 2^(i-1)); the last keeps the size
        return F.pixel_shuffle(self.conv_out(F.silu(self.norm_out(y))), self.patch)  # (N, 3, H, W)


# The codebook: section 3.1 of the paper, equations 2 to 4.


class VectorQuantizer(nn.Module):
    """Each place's vector becomes the nearest one of the codebook."""

    def __init__(self, config: VQGANConfig) -> None:
        super().__init__()
        self._config = config
        self.embedding = nn.Embedding(config.n_embed, config.embed_dim)
        bound = 1.0 / config.n_embed
        nn.init.uniform_(self.embedding.weight, -bound, bound)
        if config.l2_norm:
            nn.init.normal_(self.embedding.weight)

    def codebook(self) -> Tensor:
        """(K, D), of length 1 each with l2_norm."""
        weight = self.embedding.weight  # (K, D)
        return F.normalize(weight, dim=1) if self._config.l2_norm else weight

    def forward(self, z: Tensor) -> Quantized:
        z = z.to(self.embedding.weight.dtype)  # under autocast the encoder gives less precise numbers
        if self._config.l2_norm:
            z = F.normalize(z, dim=1)  # (N, D, h, w)
        indices = nearest_indices(z, self.codebook())  # (N, h, w)
        codes = _look_up(indices, self.codebook())  # (N, D, h, w)
        in_use = perplexity(indices, self._config.n_embed)
        return Quantized(straight_through(z, codes), indices, self.loss(z, codes), in_use)

    def loss(self, z: Tensor, codes: Tensor) -> Tensor:
        """Equation 4's last two terms, as a mean over all numbers: z moves to its code, the code moves to z.

        The paper weighs the former by beta, so that codes follow quickly; the authors' program weighs the
        latter, and all weights that they released were trained so. `legacy` means that order.
        """
        commitment = F.mse_loss(z, codes.detach())
        following = F.mse_loss(codes, z.detach())
        beta = self._config.beta
        return commitment + beta * following if self._config.legacy else beta * commitment + following


class GumbelQuantize(nn.Module):
    """Each place chooses a code by K scores. Source: Jang, Gu, Poole 2017, "Categorical Reparameterization with
    Gumbel-Softmax".

    While it learns the choice is drawn at random, the less so the lower `temperature` is; else it is the best
    score. The authors' program draws in both cases, so the same picture gave other codes each time.
    """

    def __init__(self, config: VQGANConfig) -> None:
        super().__init__()
        self._config = config
        self.temperature = 1.0
        self.proj = nn.Conv2d(config.z_channels, config.n_embed, 1)
        self.embed = nn.Embedding(config.n_embed, config.embed_dim)

    def codebook(self) -> Tensor:
        """(K, D)."""
        return self.embed.weight

    def forward(self, z: Tensor) -> Quantized:
        scores = self.proj(z)  # (N, K, h, w)
        shares = scores.softmax(1)  # (N, K, h, w)
        if self.training:
            chosen = F.gumbel_softmax(scores, tau=self.temperature, hard=True, dim=1)  # (N, K, h, w), one-hot
        else:
            best = F.one_hot(scores.argmax(1), self._config.n_embed).movedim(3, 1)  # (N, K, h, w)
            chosen = straight_through(shares, best.to(shares.dtype))
        codes = torch.einsum("nkhw,kd->ndhw", chosen, self.embed.weight)  # (N, D, h, w)
        # The divergence from a uniform choice of codes, so that all are used.
        kl = (shares * torch.log(shares * self._config.n_embed + _TINY)).sum(1).mean()
        indices = chosen.argmax(1)  # (N, h, w)
        in_use = perplexity(indices, self._config.n_embed)
        return Quantized(codes, indices, self._config.kl_weight * kl, in_use)


# The whole: figure 2 of the paper without its transformer.


class VQGAN(nn.Module):
    """encode -> quantize -> decode. Made with random weights; generate/load.py reads trained ones.

    `z` is what the encoder says of each place, `codes` are entries of the codebook; both are (N, D, h, w). Painting
    moves numbers in the space of the codes and rounds them with `nearest`, which suits both kinds of quantiser;
    `quantize` is for what `encode` gave.
    """

    def __init__(self, config: VQGANConfig) -> None:
        """Raises ValueError for a configuration that cannot be built."""
        super().__init__()
        config.check()
        self.config = config
        self.saves_memory = False  # True: blocks run again on the way back, instead of keeping what they made
        self.encoder = Encoder(config)
        self.decoder = Decoder(config)
        quantizer = {"vq": VectorQuantizer, "gumbel": GumbelQuantize}[config.quantizer]
        self.quantize: nn.Module = quantizer(config)  # z (N, D, h, w) -> Quantized
        self.quant_conv = nn.Conv2d(config.z_channels, config.embed_dim, 1)
        self.post_quant_conv = nn.Conv2d(config.embed_dim, config.z_channels, 1)

    @property
    def factor(self) -> int:
        """How many pixels wide and high one code is."""
        return self.config.factor

    @property
    def codebook(self) -> Tensor:
        """(K, D), the entries that the decoder was trained on."""
        return cast("VectorQuantizer | GumbelQuantize", self.quantize).codebook()

    def encode(self, images: Tensor) -> Tensor:
        """(N, 3, H, W) in -1..1 -> z (N, D, h, w), not quantised. Raises ValueError unless factor divides H and W."""
        height, width = images.shape[-2:]
        if height % self.factor or width % self.factor or not height or not width:
            raise ValueError(f"{width} x {height} pixels are no multiples of {self.factor}")
        return cast(Tensor, self.quant_conv(self.encoder(images, self._run)))  # (N, D, h, w)

    def decode(self, codes: Tensor) -> Tensor:
        """Codes (N, D, h, w) -> pictures (N, 3, H, W), about -1..1, not clipped."""
        return cast(Tensor, self.decoder(self.post_quant_conv(codes), self._run))  # (N, 3, H, W)

    def forward(self, images: Tensor) -> tuple[Tensor, Quantized]:
        """Pictures (N, 3, H, W) in -1..1 -> their reconstructions of that shape, and the codes between."""
        quantized: Quantized = self.quantize(self.encode(images))
        return self.decode(quantized.codes), quantized

    def codes_of(self, indices: Tensor) -> Tensor:
        """Indices (N, h, w) int64 -> codes (N, D, h, w)."""
        return _look_up(indices, self.codebook)

    def nearest(self, codes: Tensor) -> Tensor:
        """Any numbers (N, D, h, w) -> the nearest entries of the codebook, with the gradient straight through."""
        if self.config.l2_norm:
            codes = F.normalize(codes, dim=1)  # (N, D, h, w)
        entries = self.codes_of(nearest_indices(codes, self.codebook))  # (N, D, h, w)
        return straight_through(codes, entries)

    def _run(self, part: nn.Module, x: Tensor) -> Tensor:
        if self.saves_memory and torch.is_grad_enabled():
            return cast(Tensor, checkpoint(part, x, use_reentrant=False))
        return cast(Tensor, part(x))


def nearest_indices(z: Tensor, codebook: Tensor) -> Tensor:
    """z (N, D, h, w) -> the index of the nearest of the codebook's (K, D) entries at each place, (N, h, w) int64.

    Equation 2 of the paper, in float32 whatever the format of z; without gradients.
    """
    n, d, h, w = z.shape
    with torch.no_grad(), torch.autocast(z.device.type, enabled=False):
        flat = z.detach().movedim(1, 3).reshape(-1, d).float()  # (N h w, D)
        entries = codebook.detach().float()  # (K, D)
        # |z - e|^2 without |z|^2, which is the same for all e.
        distances = torch.addmm(entries.square().sum(1), flat, entries.T, alpha=-2)  # (N h w, K)
        return distances.argmin(1).view(n, h, w)  # (N, h, w)


def straight_through(values: Tensor, replaced: Tensor) -> Tensor:
    """`replaced`, with the gradient of `values`; both of one shape. Equation 3 of the paper; Bengio et al. 2013."""
    return values + (replaced - values).detach()


def perplexity(indices: Tensor, entries: int) -> Tensor:
    """How many of so many entries are in use, as if those were equally frequent; a float32 scalar."""
    shares = torch.bincount(indices.flatten(), minlength=entries).float() / indices.numel()  # (K,)
    return torch.exp(-(shares * torch.log(shares + _TINY)).sum())


def _look_up(indices: Tensor, codebook: Tensor) -> Tensor:
    return F.embedding(indices, codebook).movedim(3, 1)  # (N, D, h, w)


def _run_all(stage: nn.Module, x: Tensor, run: _Run) -> Tensor:
    for part in cast("Level | Middle", stage).parts():
        x = run(part, x)
    return x


def _as_sequence(x: Tensor) -> Tensor:
    return x.flatten(2).transpose(1, 2).unsqueeze(1)  # (N, C, H, W) -> (N, 1, HW, C)


def _norm(config: VQGANConfig, channels: int) -> nn.GroupNorm:
    return nn.GroupNorm(config.num_groups, channels, eps=_NORM_EPS)


def _conv3(channels_in: int, channels_out: int) -> nn.Conv2d:
    return nn.Conv2d(channels_in, channels_out, 3, padding=1)
