"""A trained model as a folder that open_clip, and so oko, loads: configuration, vocabulary, weights."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from library.clip import ClipModel
from library.errors import ModelError
from library.weights import CONFIG_FILE, WEIGHTS_FILES, write_atomically
from training.checkpoint import replacing


def save_model(clip: ClipModel, folder: Path) -> Path:
    """Writes the model into `folder` in float16, the weights last; returns the folder.

    Raises ModelError when a weight is not a finite float16, and DiskFull.
    """
    import torch
    from safetensors.torch import save_file

    tensors = {}
    for name, value in clip.module.state_dict().items():
        # A copy, since safetensors refuses tensors that share their memory.
        half = value.detach().to("cpu", copy=True).contiguous()
        half = half.half() if half.is_floating_point() else half
        if half.is_floating_point() and not torch.isfinite(half).all():
            raise ModelError(
                f"the weights {name} have become too large or are no numbers", hint="Train with a lower --lr."
            )
        tensors[name] = half
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(folder / CONFIG_FILE, json.dumps(clip.config, indent=1) + "\n")
    for file in clip.files:
        if file.resolve() != (folder / file.name).resolve():
            shutil.copyfile(file, folder / file.name)
    with replacing(folder / WEIGHTS_FILES[0]) as temporary:
        save_file(tensors, temporary)
    return folder
