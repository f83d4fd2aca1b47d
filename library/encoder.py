"""Pictures and texts -> unit vectors: numpy in, numpy out, for all who do not need the network itself."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from library.devices import choose_device, choose_precision
from library.errors import ModelError, OutOfMemory
from library.lanes import Lanes
from library.presets import ModelSpec
from library.records import ModelStamp

if TYPE_CHECKING:
    import torch
    from PIL import Image

    from library.clip import ClipModel
    from library.textual import TextualModel

log = logging.getLogger(__name__)

F32 = NDArray[np.float32]
_Result = TypeVar("_Result")

TEXT_BATCH = 256  # texts a step: a vocabulary of thousands of labels must not need gigabytes
# A JPEG may be decoded at reduced scale as long as its short side keeps this many times the tower's side.
# Cosine to the full decoding, built-in model, 40 real photos of 1 to 16 megapixels: least 0.998 at factor 2
# (mean 0.9994), 0.985 at factor 1; 36 small photos enlarged and with noise added: least 0.990 at factor 2.
DRAFT_FACTOR = 2
# Texts for which torch is not loaded; for more it is, as there may be a GPU. On a processor the recorded model is
# faster for any number: it computes the tokens that a text has, torch all that it could have.
FEW_TEXTS = 1_000
_NO_MEMORY = ("out of memory", "can't allocate memory", "not enough memory", "alloc_cpu")


class Encoder(Protocol):
    """A model that puts pictures and texts into one space. Any thread may call anything but `close`."""

    @property
    def stamp(self) -> ModelStamp:
        """Which model this is: stored beside each vector."""
        ...

    @property
    def logit_scale(self) -> float:
        """The factor on cosines before a softmax or sigmoid."""
        ...

    @property
    def logit_bias(self) -> float | None:
        """What is added after scaling (SigLIP), or None."""
        ...

    @property
    def min_side_px(self) -> int:
        """The shortest side that a picture must keep when it is decoded at reduced scale."""
        ...

    def prepare(self, image: Image.Image) -> F32:
        """An upright RGB picture -> (3, H, W) float32, resized and normalised as the model wants."""
        ...

    def encode_images(self, batch: F32) -> F32:
        """(N, 3, H, W) float32, from `prepare` -> (N, D) float32, L2 norm 1. Raises ModelError."""
        ...

    def encode_texts(self, texts: list[str]) -> F32:
        """N texts -> (N, D) float32, L2 norm 1; a text is cut at the context length. Raises ModelError."""
        ...

    def close(self) -> None:
        """Releases the model's memory."""
        ...


class ClipEncoder:
    """An `Encoder` on a CLIP that is loaded at first use, once, and released by `close`.

    `find_words` gives the model as it was recorded, if it was: facts and a few texts then load nothing else.

    Every method and property may raise what loading raises: UnknownModel, ModelUnavailable,
    WeightsInvalid, ConfigError (device or precision). Used after `close`, it loads again.
    """

    def __init__(
        self, load: Callable[[], ClipModel], find_words: Callable[[], TextualModel | None] | None = None
    ) -> None:
        self._load = load
        self._find_words = find_words
        self._lock = threading.Lock()
        self._model: ClipModel | None = None
        self._lanes = Lanes()
        self._words: TextualModel | None = None

    @property
    def clip(self) -> ClipModel:
        """The loaded model; loads it when nobody has."""
        model = self._model
        if model is None:
            with self._lock:
                model = self._model
                if model is None:
                    model = self._model = self._load()
                    self._words = None  # perhaps there is a record only now
        return model

    @property
    def words(self) -> TextualModel | None:
        """The model as it was recorded, for texts without torch; None when there is no sound record."""
        words = self._words
        if words is None and self._find_words is not None:
            words = self._words = self._find_words()
        return words

    @property
    def _facts(self) -> ClipModel | TextualModel:
        return self._model or self.words or self.clip

    @property
    def loaded(self) -> bool:
        """Whether the model is in memory now."""
        return self._model is not None

    @property
    def stamp(self) -> ModelStamp:
        """Which model this is."""
        return self._facts.stamp

    @property
    def logit_scale(self) -> float:
        """The factor on cosines, already out of its logarithm."""
        return self._facts.logit_scale

    @property
    def logit_bias(self) -> float | None:
        """SigLIP's bias, or None."""
        return self._facts.logit_bias

    @property
    def min_side_px(self) -> int:
        """Twice the tower's input side: see DRAFT_FACTOR."""
        return DRAFT_FACTOR * self._facts.image_size

    def prepare(self, image: Image.Image) -> F32:
        """RGB picture -> (3, H, W) float32, C-contiguous. No shared state: call it from decoding threads."""
        return np.ascontiguousarray(self.clip.preprocess(image).numpy(), dtype=np.float32)

    def encode_images(self, batch: F32) -> F32:
        """(N, 3, H, W) float32 -> (N, D) float32, L2 norm 1.

        Raises OutOfMemory when the batch does not fit (try a smaller one), ModelError when a vector
        is not finite.
        """
        import torch

        clip = self.clip
        if not len(batch):
            return np.zeros((0, clip.stamp.dim), np.float32)
        with _inference(f"{len(batch)} photos"):
            pixels = torch.from_numpy(np.ascontiguousarray(batch, dtype=np.float32))

            def encode(part: torch.Tensor) -> F32:
                return _call(clip.module, "encode_image", part.to(clip.device, clip.image_dtype))

            on_processor = clip.device == "cpu"
            vectors = self._lanes.run(encode, pixels) if on_processor else encode(pixels)  # (N, D)
        return _unit(vectors, clip.stamp.name)

    def encode_texts(self, texts: list[str]) -> F32:
        """N texts -> (N, D) float32, L2 norm 1, in steps of at most TEXT_BATCH texts.

        A text longer than the context length (77 tokens for most models, 32 for builtin) is cut there.
        Without torch where that is as good: see FEW_TEXTS.
        Raises ModelUnavailable when the tokenizer cannot be had, OutOfMemory, ModelError.
        """
        vectors = self._without_torch(texts)
        if vectors is not None:
            return vectors
        clip = self.clip
        parts = [np.zeros((0, clip.stamp.dim), np.float32)]
        for start in range(0, len(texts), TEXT_BATCH):
            tokens = clip.tokenizer(texts[start : start + TEXT_BATCH])  # (N, context)
            with _inference(f"{len(tokens)} texts"):
                vectors = _call(clip.module, "encode_text", tokens.to(clip.device))
            parts.append(_unit(vectors, clip.stamp.name))
        return np.concatenate(parts)

    def _without_torch(self, texts: list[str]) -> F32 | None:
        """The vectors, from the recorded model; None where torch has to do it, or does it sooner."""
        model = self._model
        if model.device != "cpu" if model is not None else len(texts) > FEW_TEXTS:
            return None
        words = self.words
        if words is None:
            return None
        try:
            return _unit(words.encode_texts(texts), words.stamp.name)
        except ModelError as error:
            log.debug("torch is asked: %s", error)
            self._find_words = self._words = None
            return None

    def close(self) -> None:
        """Releases the model; harmless when it was never loaded."""
        with self._lock:
            self._model = self._words = None
        self._lanes.close()


def load_encoder(
    spec: ModelSpec, *, device: str = "auto", precision: str = "auto", cache_dir: Path | None = None
) -> ClipEncoder:
    """An encoder for `spec`. Returns at once: the model is loaded at first use.

    `device` and `precision` as in the settings; `cache_dir` replaces the ordinary hub cache.
    """

    def load() -> ClipModel:
        from library.clip import load_clip
        from library.packed import pack
        from library.textual_export import remember

        chosen = choose_device(device)
        number_format = choose_precision(precision, chosen)
        model = load_clip(spec, device=chosen, precision=number_format, inference=True, cache_dir=cache_dir)
        if chosen == "cpu":  # not in load_clip: painting needs the way back through the tower
            pack(cast("torch.nn.Module", model.module.visual))
        remember(spec, model, cache_dir)
        return model

    def find_words() -> TextualModel | None:
        from library.textual import recorded

        return recorded(spec, cache_dir)

    # Another device or number format is for torch to check, and to use.
    is_usual = device in ("auto", "cpu") and precision in ("auto", "fp32", "bf16")
    return ClipEncoder(load, find_words if is_usual else None)


@contextmanager
def _inference(what: str) -> Iterator[None]:
    """Inference mode, with every device's way of being out of memory turned into OutOfMemory."""
    import torch

    try:
        with torch.inference_mode():
            yield
    except (RuntimeError, MemoryError) as error:  # torch.OutOfMemoryError is a RuntimeError
        text = str(error).lower()
        full = isinstance(error, MemoryError) or any(sign in text for sign in _NO_MEMORY)
        if not full and not isinstance(error, torch.OutOfMemoryError):
            raise ModelError(f"the model failed on {what}: {error}") from error
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        raise OutOfMemory(
            f"{what} at once do not fit into memory", hint="Lower the batch_size setting."
        ) from error


def _call(module: torch.nn.Module, name: str, argument: torch.Tensor) -> F32:
    """`module.name(argument)` -> float32 array on the CPU."""
    vectors: F32 = getattr(module, name)(argument).float().cpu().numpy()
    return vectors


def _unit(vectors: F32, name: str) -> F32:
    """(N, D) float32 -> the same with L2 norm 1. Raises ModelError for a vector without a direction."""
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    if not np.isfinite(norms).all() or (norms == 0).any():
        raise ModelError(
            f"the model {name} gave a vector that is not a number",
            hint='Run it in full precision: --precision fp32 (or precision = "fp32" in config.toml).',
        )
    return np.asarray(vectors / norms, dtype=np.float32)
