"""What a model is (`ModelSpec`), and the models oko knows by a short name.

Imports nothing heavy: `oko models list` and `model = "auto"` must answer without torch.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Kind = Literal["clip", "vqgan"]
Source = Literal["builtin", "preset", "open_clip", "hub", "local"]

BUILTIN_NAME = "builtin"
BUILTIN_VQGAN_NAME = "builtin-vqgan"
BUILTIN_FOLDER = Path(__file__).parent / "builtin"
RECOMMENDED_PRESET = "balanced"
HUB_PREFIX = "hf-hub:"


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSpec:
    """How to get one model. Which fields are filled depends on `source`:

    builtin: `weights` is the folder inside the package; preset and open_clip: `arch` and `pretrained`
    (open_clip's own names); hub: `repo`; local: `arch` and `weights` (a file, or a folder with configuration and
    weights).
    """

    name: str
    source: Source
    kind: Kind = "clip"
    arch: str = ""
    pretrained: str = ""
    weights: Path | None = None
    config: Path | None = None  # what describes the weights of a VQGAN, where it does not lie beside them
    repo: str = ""  # "org/name" on the model hub; empty when only open_clip knows it
    download_bytes: int | None = None
    summary: str = ""
    figures: str = ""
    needs_transformers: bool = False  # its tokenizer comes with the optional package `transformers`

    @property
    def canonical_name(self) -> str:
        """The name that stamps vectors: a preset and its ARCH/PRETRAINED are the same model."""
        if self.source in ("preset", "open_clip"):
            return f"{self.arch}/{self.pretrained}"
        return f"{HUB_PREFIX}{self.repo}" if self.source == "hub" else self.name


BUILTIN = ModelSpec(
    name=BUILTIN_NAME,
    source="builtin",
    weights=BUILTIN_FOLDER,
    summary="oko's own small CLIP, in the package: English, Czech, German, French; quick on any processor",
    figures="caption -> photo among 693: R@1 33 %, R@5 66 % (English), R@5 61 % (Czech); 27 MB",
)

# Figures as published, zero-shot, in %. ImageNet, Flickr30k and COCO of ViT-B-32-256 and xlm-roberta:
# open_clip docs/openclip_results.csv and docs/openclip_retrieval_results.csv; Crossmodal-3600:
# docs/openclip_multilingual_retrieval_results.csv. SigLIP 2: README_siglip2.md of google-research/big_vision.
# Download sizes: parameters x 4 bytes (the published files are float32).
PRESETS: dict[str, ModelSpec] = {
    spec.name: spec
    for spec in (
        ModelSpec(
            name="fast",
            source="preset",
            arch="ViT-B-32-256",
            pretrained="datacomp_s34b_b86k",
            repo="laion/CLIP-ViT-B-32-256x256-DataComp-s34B-b86K",
            download_bytes=605_200_000,
            summary="a light English model for processors without a GPU; needs no extra package",
            figures="ImageNet 72.8; text -> photo R@5: Flickr30k 87.2, COCO 65.4",
        ),
        ModelSpec(
            name="balanced",
            source="preset",
            arch="ViT-B-16-SigLIP2-256",
            pretrained="webli",
            repo="timm/ViT-B-16-SigLIP2-256",
            download_bytes=1_501_000_000,
            summary="recommended: SigLIP 2 base, many languages, fine on a good processor or any GPU",
            figures="ImageNet 79.1; text -> photo R@1: COCO 53.2",
            needs_transformers=True,
        ),
        ModelSpec(
            name="best",
            source="preset",
            arch="ViT-SO400M-16-SigLIP2-384",
            pretrained="webli",
            repo="timm/ViT-SO400M-16-SigLIP2-384",
            download_bytes=4_545_000_000,
            summary="SigLIP 2 so400m at 384 pixels, many languages, for a GPU",
            figures="ImageNet 84.1; text -> photo R@1: COCO 56.0",
            needs_transformers=True,
        ),
        ModelSpec(
            name="multilingual",
            source="preset",
            arch="xlm-roberta-large-ViT-H-14",
            pretrained="frozen_laion5b_s13b_b90k",
            repo="laion/CLIP-ViT-H-14-frozen-xlm-roberta-large-laion5B-s13B-b90k",
            download_bytes=4_772_000_000,
            summary="ViT-H with XLM-RoBERTa: many languages (weak in Bengali, Telugu, Swahili), for a GPU",
            figures="ImageNet 77.0; text -> photo: COCO R@5 73.1, Crossmodal-3600 R@10 Czech 82.3, all 76.0",
            needs_transformers=True,
        ),
    )
}
