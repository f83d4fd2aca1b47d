"""Training of a VQGAN from the first step to the saved network, on a tiny network and coloured shapes."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
import torch
from PIL import Image

from generate.load import load_vqgan
from generate.vqgan import VQGAN, VQGANConfig
from library.errors import ModelError, UsageError
from library.presets import ModelSpec
from tests.training import shapes
from training.crops import read_pictures
from training.photos import Split, identify, split
from training.run import Progress, checkpoint_file
from training.vqgan import SHEET_FILE, TrainedVQGAN, VQGANRun, save_vqgan
from training.vqgan_losses import Features
from training.vqgan_options import VQGANOptions

NETWORK = VQGANConfig(
    ch=8,
    ch_mult=(1, 2, 2),
    num_res_blocks=1,
    attn_resolutions=(),
    resolution=16,
    z_channels=8,
    embed_dim=4,
    n_embed=32,
    num_groups=4,
    l2_norm=True,
    legacy=False,
    dropout=0.1,
)
OPTIONS = VQGANOptions(
    steps=24,
    batch=6,
    crop=16,
    lr=4e-3,
    warmup=2,
    adversarial_from=0.5,
    discriminator_ch=8,
    unquantised=4,
    restart_every=5,
    average=0.8,
    measure_every=10,
    measure_px=16,
    precision="fp32",
)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Split:
    folder = shapes.folder_of(tmp_path_factory.mktemp("shapes"), 40)
    (folder / "broken.png").write_bytes(b"no picture")
    return split(identify(read_pictures([str(folder)]).photos)[0], 0.2)


def run_of(
    pictures: Split, folder: Path, options: VQGANOptions = OPTIONS, features: Features | None = None
) -> VQGANRun:
    torch.manual_seed(options.seed)
    return VQGANRun(VQGAN(NETWORK), features, pictures, options, folder)


def lines(folder: Path, kind: str) -> list[dict[str, object]]:
    text = (folder / "training" / "log.jsonl").read_text().splitlines()
    return [line for line in map(json.loads, text) if line["kind"] == kind]


@pytest.fixture(scope="module")
def trained(pictures: Split, tmp_path_factory: pytest.TempPathFactory) -> TrainedVQGAN:
    return run_of(pictures, tmp_path_factory.mktemp("whole") / "network").run()


def test_a_run_leaves_a_network_that_loads(trained: TrainedVQGAN) -> None:
    folder = trained.folder
    model = load_vqgan(folder)
    assert model.config == NETWORK
    assert trained.steps == 24
    assert [problem.name.rpartition("/")[2] for problem in trained.problems] == ["broken.png"]
    assert not checkpoint_file(folder).exists()
    facts = json.loads((folder / "vqgan_config.json").read_text())["trained"]
    assert trained.measured is not None
    assert facts == {"steps": 24, "held_out": trained.measured.as_json()}
    assert 1 <= trained.measured.perplexity <= 32
    for sheet in (folder / SHEET_FILE, folder / "training" / "step-000010.png"):
        with Image.open(sheet) as picture:
            assert picture.width > 1000


def test_the_losses_fall_and_the_discriminator_joins(trained: TrainedVQGAN) -> None:
    steps = lines(trained.folder, "step")
    pixels = [float(str(line["pixels"])) for line in steps]
    assert sum(pixels[-5:]) < 0.7 * sum(pixels[:5])
    judged = [bool(line["weight"]) for line in steps]
    assert judged == [False] * 12 + [True] * 12
    assert steps[3]["restarted"] == 32  # the start of the codebook
    assert steps[5]["codebook"] != 0


def test_a_killed_run_goes_on_to_the_same_losses(
    trained: TrainedVQGAN, pictures: Split, tmp_path: Path
) -> None:
    class Stop(Exception):
        pass

    def stop(progress: Progress) -> None:
        if progress.done == 15:
            raise Stop

    run = run_of(pictures, tmp_path)
    run._told = stop
    with pytest.raises(Stop):
        run.run()
    assert checkpoint_file(tmp_path).exists()
    run_of(pictures, tmp_path).run(resume=True)
    assert lines(tmp_path, "step") == lines(trained.folder, "step")
    assert lines(tmp_path, "measured") == lines(trained.folder, "measured")
    weights = "vqgan.safetensors"
    assert (tmp_path / weights).read_bytes() == (trained.folder / weights).read_bytes()


def test_another_seed_is_another_run(trained: TrainedVQGAN, pictures: Split, tmp_path: Path) -> None:
    run_of(pictures, tmp_path, dataclasses.replace(OPTIONS, seed=1, steps=3)).run()
    assert lines(tmp_path, "step")[0]["loss"] != lines(trained.folder, "step")[0]["loss"]


def test_other_options_do_not_go_on(pictures: Split, tmp_path: Path) -> None:
    def stop(progress: Progress) -> None:
        raise KeyboardInterrupt

    run = run_of(pictures, tmp_path)
    run._told = stop
    with pytest.raises(KeyboardInterrupt):
        run.run()
    with pytest.raises(UsageError, match="differs in lr"):
        run_of(pictures, tmp_path, dataclasses.replace(OPTIONS, lr=1e-3)).run(resume=True)


def test_with_features_of_a_clip(pictures: Split, tiny: ModelSpec, tmp_path: Path) -> None:
    features = Features(shapes.loaded(tiny), crop=16)
    assert features.names[0] == "embeddings"
    run_of(pictures, tmp_path, dataclasses.replace(OPTIONS, steps=3), features).run()
    found = [float(str(line["features"])) for line in lines(tmp_path, "step")]
    assert all(0 < value < 4 for value in found)


def test_gumbel_and_nothing_held_back(pictures: Split, tmp_path: Path) -> None:
    network = dataclasses.replace(NETWORK, quantizer="gumbel", z_channels=4, l2_norm=False)
    torch.manual_seed(0)
    photos = Split(pictures.training, ())
    options = dataclasses.replace(OPTIONS, steps=4, adversarial=0.0)
    done = VQGANRun(VQGAN(network), None, photos, options, tmp_path).run()
    assert done.measured is None
    assert load_vqgan(tmp_path).config == network


@pytest.mark.parametrize(
    ("change", "why"),
    [({"crop": 18}, "multiple of 4"), ({"batch": 0}, "batch must lie"), ({"lr": 2.0}, "lr must")],
)
def test_options_that_make_no_sense(
    change: dict[str, float], why: str, pictures: Split, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=why):
        run_of(pictures, tmp_path, dataclasses.replace(OPTIONS, **change))  # type: ignore[arg-type]


def test_a_run_that_goes_wrong_says_so(pictures: Split, tmp_path: Path) -> None:
    run = run_of(pictures, tmp_path)
    with torch.no_grad():
        run._model.codebook.fill_(float("nan"))
        run._model.decoder.conv_out.weight.fill_(float("nan"))
    with pytest.raises(ModelError, match="the loss of step 1 is no number"):
        run.run()


def test_weights_beyond_float16_are_not_written(tmp_path: Path) -> None:
    model = VQGAN(NETWORK)
    with torch.no_grad():
        model.quant_conv.bias.fill_(1e6)
    with pytest.raises(ModelError, match=r"quant_conv\.bias"):
        save_vqgan(model, tmp_path)
    assert not list(tmp_path.iterdir())
