"""From a CLIP that torch has loaded to a record by which its texts need no torch: `library.textual`.

Nothing is exported but facts: the numpy tower reads the weights file itself. Accepted is what gives the same tokens and
the same vectors as torch for texts of many kinds; every other model keeps the torch way.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from library.bpe import BpeTokenizer
from library.errors import OkoError
from library.presets import ModelSpec
from library.tensorfile import SUFFIX, TensorFile
from library.text_tower import TextTower, TowerShape
from library.textual import (
    Record,
    TextualModel,
    open_clip_file,
    read_record,
    recorded,
    witnesses,
    write_record,
)
from library.weights import CONFIG_FILE

if TYPE_CHECKING:
    from library.clip import ClipModel

log = logging.getLogger(__name__)

LEAST_COSINE = 0.9999
MOST_APART = 1e-4  # of any two components of vectors of L2 norm 1
PROBES = (
    "",
    "a dog",
    "A photo of the Golden Gate Bridge at sunset, 1987!",
    "děti na pláži u moře",
    "ein Fahrrad vor der Tür, größer als 3,50 €",
    "l'été n'est pas fini… c'était déjà l'hiver",
    "собака бежит по снегу",
    "海辺で走る犬 ２匹",
    "\N{DOG FACE}\N{HEAVY BLACK HEART}\N{VARIATION SELECTOR-16} they've & don't &amp; it&#39;s",
    "naiÌˆve mojibake â€œquotedâ€\x9d \ufb01ne\u00a0space\ttab\nline",
    "IMG_20230714-0042.JPG (copy) http://example.org/?q=1#top",
    "<start_of_text> x <end_of_text> y",
    "dog cat bird " * 40,
)


class _Refused(Exception):
    """This model's texts need torch; says why."""


def remember(spec: ModelSpec, clip: ClipModel, cache_dir: Path | None = None) -> TextualModel | None:
    """Record how this model's texts are read without torch, unless that is known already. Raises nothing.

    Takes the time of a dozen texts on either side: 0.1 s for the built-in model, a second for ViT-B-32.
    """
    if (known := read_record(spec, cache_dir)) is not None and known.stamp == clip.stamp:
        return recorded(spec, cache_dir)
    try:
        found = witnesses(_files(clip))
    except OSError as e:
        log.debug("nothing is recorded of %s: %s", spec.name, e)
        return None
    try:
        record = _examined(clip, found)
    except (_Refused, OkoError, OSError, EOFError, ValueError, KeyError, RuntimeError, MemoryError) as e:
        log.debug("texts of %s need torch: %s", spec.name, e)
        record = _record(clip, found, None, refused=str(e) or type(e).__name__)
    write_record(spec, record, cache_dir)
    return recorded(spec, cache_dir)


def _files(clip: ClipModel) -> list[Path]:
    files = [path for path in (clip.weights, _vocabulary(clip)) if path is not None]
    folders = {path.parent / CONFIG_FILE for path in files}
    return files + [path for path in sorted(folders) if path.is_file()]


def _vocabulary(clip: ClipModel) -> Path | None:
    """The file that CLIP's own kind of tokenizer reads: the model's, or open_clip's; None where another is used."""
    text = clip.config.get("model_cfg", {}).get("text_cfg", {})
    if text.get("hf_tokenizer_name") or text.get("hf_model_name"):
        return None
    return clip.files[0] if clip.files else open_clip_file("bpe_simple_vocab_16e6.txt.gz")


def _record(
    clip: ClipModel, found: tuple[Any, ...], shape: TowerShape | None, *, context: int = 0, refused: str = ""
) -> Record:
    return Record(
        stamp=clip.stamp,
        logit_scale=clip.logit_scale,
        logit_bias=clip.logit_bias,
        image_size=clip.image_size,
        weights=str(clip.weights),
        vocabulary=str(_vocabulary(clip)),
        context=context,
        shape=shape,
        witnesses=found,
        refused=refused,
    )


def _examined(clip: ClipModel, found: tuple[Any, ...]) -> Record:
    """The record of a model that passes. Raises _Refused, and whatever reading its files raises."""
    vocabulary = _vocabulary(clip)
    if vocabulary is None:
        raise _Refused("its tokenizer comes from the hub")
    if clip.weights is None or clip.weights.suffix != SUFFIX:
        raise _Refused(f"its weights are no {SUFFIX} file")
    tensors = TensorFile(clip.weights)
    shape = _shape(clip.module, tensors)
    theirs = clip.tokenizer(list(PROBES)).numpy()  # (N, L)
    tokens = BpeTokenizer(vocabulary, theirs.shape[1])(list(PROBES))
    if not np.array_equal(tokens, theirs):
        raise _Refused("its tokenizer is another one")
    ours, wanted = (
        _unit(vectors) for vectors in (TextTower(tensors, shape)(tokens), _by_torch(clip, theirs))
    )
    cosine, apart = float((ours * wanted).sum(axis=1).min()), float(np.abs(ours - wanted).max())
    if not (cosine >= LEAST_COSINE and apart <= MOST_APART):
        raise _Refused(f"its vectors would differ (least cosine {cosine:.6f}, most apart {apart:.1e})")
    log.debug("%s: texts without torch, least cosine %.7f, most apart %.1e", clip.stamp.name, cosine, apart)
    return _record(clip, found, shape, context=theirs.shape[1])


def _unit(vectors: np.ndarray) -> np.ndarray:
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))


def _by_torch(clip: ClipModel, tokens: np.ndarray) -> np.ndarray:
    """(N, L) -> (N, D) float32, not normalised."""
    import torch

    with torch.inference_mode():
        encode: Any = clip.module.encode_text
        found: np.ndarray = encode(torch.from_numpy(tokens).to(clip.device)).float().cpu().numpy()
    return found


def _shape(module: Any, tensors: TensorFile) -> TowerShape:
    """What kind of tower open_clip has built. Raises _Refused for one that numpy cannot run.

    Its text towers are a module of their own, or parts of the whole model, in older files and architectures.
    """
    tower = getattr(module, "text", module)
    blocks = getattr(getattr(tower, "transformer", None), "resblocks", None)
    if blocks is None or any(type(block).__name__ != "ResidualAttentionBlock" for block in blocks):
        raise _Refused("its text tower is no plain transformer")
    first = blocks[0]
    plain = (type(first.ls_1).__name__, type(first.ls_2).__name__) == ("Identity", "Identity")
    if not plain or getattr(tower, "cls_emb", None) is not None or getattr(tower, "use_pad_mask", False):
        raise _Refused("its text tower has parts that are unknown here")
    prefix = next((name for name in ("text.", "") if f"{name}token_embedding.weight" in tensors), None)
    if prefix is None:
        raise _Refused("its weights file has names of its own")
    return TowerShape(
        prefix=prefix,
        layers=len(blocks),
        heads=int(first.attn.num_heads),
        activation=_activation(first.mlp.gelu),
        pool=str(getattr(tower, "text_pool_type", None) or tower.pool_type),
        eos_id=int(getattr(tower, "text_eos_id", None) or getattr(tower, "eos_id", None) or 0),
        is_causal=tower.attn_mask is not None,
        projection=_projection(tower.text_projection),
        eps=float(tower.ln_final.eps),
    )


def _activation(layer: Any) -> str:
    if type(layer).__name__ == "QuickGELU":
        return "quick_gelu"
    if type(layer).__name__ != "GELU":
        raise _Refused(f"its activation is {type(layer).__name__}")
    return "gelu_tanh" if layer.approximate == "tanh" else "gelu"


def _projection(last: Any) -> str:
    if last is None:
        return "none"
    return "linear" if hasattr(last, "weight") else "matrix"
