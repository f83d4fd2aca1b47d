"""The shape of a VQGAN: what its configuration says, without the network itself, and so without torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class VQGANConfig:
    """The shape of a network; the first block of names is that of the authors' .yaml files (`ddconfig`)."""

    ch: int = 128
    ch_mult: tuple[int, ...] = (1, 1, 2, 2, 4)
    num_res_blocks: int = 2
    attn_resolutions: tuple[int, ...] = (16,)  # of the feature map when the picture has `resolution`
    resolution: int = 256  # trained at; other sizes work
    z_channels: int = 256
    in_channels: int = 3
    out_ch: int = 3
    dropout: float = 0.0
    resamp_with_conv: bool = True
    double_z: bool = False  # a mean and a variance, of networks with no codebook

    n_embed: int = 1024
    embed_dim: int = 256
    quantizer: Literal["vq", "gumbel"] = "vq"
    beta: float = 0.25  # weight of the lesser of the two terms of the codebook loss
    legacy: bool = True  # which term that is: see VectorQuantizer.loss
    kl_weight: float = 1e-8  # Gumbel only

    num_groups: int = 32  # of the group norms; fewer suit fewer channels
    patch: int = 1  # pixels each way that become one place of the largest map, their colours its channels
    l2_norm: bool = (
        False  # codes of length 1, compared by their direction (Yu et al. 2022, ViT-VQGAN, section 3.2)
    )

    @property
    def factor(self) -> int:
        """How many pixels wide and high one code is."""
        return int(self.patch * 2 ** (len(self.ch_mult) - 1))

    def check(self) -> None:
        """Raises ValueError, in words for a person, for a shape that cannot be built."""
        limits = {
            "ch": (1, 4096),
            "num_res_blocks": (1, 16),
            "resolution": (1, 65_536),
            "z_channels": (1, 4096),
            "n_embed": (1, 1_000_000),
            "embed_dim": (1, 4096),
            "num_groups": (1, 4096),
            "patch": (1, 64),
        }
        for name, (least, most) in limits.items():
            if not least <= getattr(self, name) <= most:
                raise ValueError(f"{name} is {getattr(self, name)}, not {least} to {most}")
        if not 1 <= len(self.ch_mult) <= 8 or not all(1 <= times <= 64 for times in self.ch_mult):
            raise ValueError(f"ch_mult is {list(self.ch_mult)}, not 1 to 8 factors of 1 to 64")
        if self.quantizer not in ("vq", "gumbel"):
            raise ValueError(f"quantizer is {self.quantizer!r}, not vq or gumbel")
        if (self.in_channels, self.out_ch) != (3, 3):
            raise ValueError(
                f"it is not for RGB pictures: {self.in_channels} channels in, {self.out_ch} channels out"
            )
        if self.double_z:
            raise ValueError("double_z is on, as in networks without a codebook")
        if any(self.ch * times % self.num_groups for times in self.ch_mult):
            raise ValueError(f"{self.ch} channels times {self.ch_mult} are no multiples of {self.num_groups}")
        if self.quantizer == "gumbel" and self.z_channels != self.embed_dim:
            raise ValueError("a Gumbel quantiser needs z_channels equal to embed_dim")

    def as_json(self) -> dict[str, Any]:
        """A plain object, which `from_json` takes."""
        return {
            key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> VQGANConfig:
        """The inverse of `as_json`. Raises TypeError for an unknown name and ValueError for a bad value."""
        values: dict[str, Any] = dict(content)
        lists = {key: tuple(value) for key, value in values.items() if isinstance(value, list)}
        made = cls(**{**values, **lists})
        made.check()
        return made
