"""The encoder around the built-in model, and the fake one: shapes, norms, laziness, and every way to fail."""

from __future__ import annotations

import io
import threading
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from library.encoder import TEXT_BATCH, ClipEncoder, Encoder, load_encoder
from library.errors import ModelError, OutOfMemory
from library.fakes import COLOURS, FakeEncoder
from library.precision import round_keeping_sums
from library.presets import BUILTIN
from library.records import ModelStamp

torch = pytest.importorskip("torch")

DRAFT_COSINE = 0.995


@pytest.fixture(scope="module")
def encoder() -> ClipEncoder:
    return load_encoder(BUILTIN, device="cpu", precision="fp32")


def real_photos() -> list[Image.Image]:
    data = pytest.importorskip("skimage.data")
    names = ("astronaut", "chelsea", "coffee", "rocket")
    return [Image.fromarray(getattr(data, name)()) for name in names]


def solid(colour: tuple[float, float, float]) -> Image.Image:
    red, green, blue = (round(255 * part) for part in colour)
    return Image.new("RGB", (80, 60), (red, green, blue))


def test_pictures_become_unit_vectors(encoder: ClipEncoder) -> None:
    batch = np.stack([encoder.prepare(solid(COLOURS[name])) for name in ("red", "blue", "white")])
    assert batch.shape == (3, 3, 260, 260)
    assert batch.dtype == np.float32
    assert batch.flags.c_contiguous
    vectors = encoder.encode_images(batch)
    assert vectors.shape == (3, encoder.stamp.dim)
    assert vectors.dtype == np.float32
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


def test_a_vector_does_not_depend_on_its_batch(encoder: ClipEncoder) -> None:
    batch = np.stack([encoder.prepare(photo) for photo in real_photos()])
    alone = np.concatenate([encoder.encode_images(one[None]) for one in batch])
    assert np.abs(alone - encoder.encode_images(batch)).max() <= 1e-5


def test_bfloat16_keeps_the_meaning(encoder: ClipEncoder) -> None:
    batch = np.stack([encoder.prepare(photo) for photo in real_photos()])
    half = load_encoder(BUILTIN, device="cpu", precision="bf16")
    assert half.stamp == encoder.stamp, "precision does not make another model"
    full, rounded = encoder.encode_images(batch), half.encode_images(batch)
    assert (full * rounded).sum(axis=1).min() >= 0.999
    assert np.array_equal(half.encode_texts(["a dog"]), encoder.encode_texts(["a dog"]))


def test_the_fast_tower_is_the_tower(encoder: ClipEncoder) -> None:
    """Batch norms folded away change nothing that could be seen."""
    from library.clip import load_clip

    plain = load_clip(BUILTIN, device="cpu", precision="fp32")
    batch = np.stack([encoder.prepare(photo) for photo in real_photos()])
    assert (
        np.abs(ClipEncoder(lambda: plain).encode_images(batch) - encoder.encode_images(batch)).max() <= 1e-5
    )


def test_rounding_keeps_the_sums_of_kernels() -> None:
    weight = torch.randn(64, 1, 3, 3, generator=torch.Generator().manual_seed(5))
    kept, plain = round_keeping_sums(weight, torch.bfloat16), weight.bfloat16().float()
    assert torch.equal(kept, kept.bfloat16().float())
    sums = weight.sum(dim=(1, 2, 3))
    assert (kept.sum(dim=(1, 2, 3)) - sums).abs().mean() < 0.7 * (
        plain.sum(dim=(1, 2, 3)) - sums
    ).abs().mean()


def test_many_texts_go_in_steps(encoder: ClipEncoder) -> None:
    texts = [f"{number} dogs" for number in range(TEXT_BATCH + 3)]
    vectors = encoder.encode_texts(texts)
    assert vectors.shape == (len(texts), encoder.stamp.dim)
    assert vectors.dtype == np.float32
    assert np.abs(vectors[-1:] - encoder.encode_texts(texts[-1:])).max() <= 1e-5


def test_long_texts_are_cut(encoder: ClipEncoder) -> None:
    long, longer = encoder.encode_texts(["dog " * 200, "dog " * 300])
    assert np.abs(long - longer).max() <= 1e-6


def test_nothing_gives_nothing(encoder: ClipEncoder) -> None:
    assert encoder.encode_texts([]).shape == (0, encoder.stamp.dim)
    assert encoder.encode_images(np.zeros((0, 3, 260, 260), np.float32)).shape == (0, encoder.stamp.dim)


@pytest.mark.parametrize("short_side", [1100, 2200, 4200])
def test_reduced_decoding_is_good_enough(encoder: ClipEncoder, short_side: int) -> None:
    """A JPEG decoded at half, a quarter or an eighth, but never below min_side_px, means the same."""
    for photo in real_photos():
        scale = short_side / min(photo.size)
        large = photo.resize(
            (round(photo.width * scale), round(photo.height * scale)), Image.Resampling.LANCZOS
        )
        file = io.BytesIO()
        large.save(file, "JPEG", quality=92)
        full = Image.open(file).convert("RGB")
        reduced = Image.open(file)
        divisor = max(d for d in (1, 2, 4, 8) if short_side // d >= encoder.min_side_px)
        reduced.draft("RGB", (large.width // divisor, large.height // divisor))
        assert encoder.min_side_px <= min(reduced.size) < short_side
        pair = np.stack([encoder.prepare(full), encoder.prepare(reduced.convert("RGB"))])
        first, second = encoder.encode_images(pair)
        assert first @ second >= DRAFT_COSINE


def stub(encode: Any, loads: list[int] | None = None) -> ClipEncoder:
    """A ClipEncoder whose network is one function."""

    def load() -> Any:
        if loads is not None:
            loads.append(1)
        module = SimpleNamespace(encode_image=encode, encode_text=encode)
        return SimpleNamespace(
            module=module,
            stamp=ModelStamp("stub", "0", 4, "none"),
            device="cpu",
            image_dtype=torch.float32,
            tokenizer=lambda texts: torch.ones(len(texts), 2),
            image_size=10,
        )

    return ClipEncoder(load)


def test_loading_is_lazy_and_happens_once() -> None:
    loads: list[int] = []
    encoder = stub(lambda batch: torch.ones(len(batch), 4), loads)
    encoder.close()
    seen = [encoder.loaded]
    barrier = threading.Barrier(8)

    def use() -> None:
        barrier.wait()
        assert encoder.stamp.dim == 4

    threads = [threading.Thread(target=use) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(loads) == 1
    seen.append(encoder.loaded)
    encoder.close()
    encoder.close()
    seen.append(encoder.loaded)
    assert seen == [False, True, False]
    assert encoder.encode_texts(["again"]).shape == (1, 4)
    assert len(loads) == 2


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory"),
        RuntimeError("MPS backend out of memory"),
        MemoryError(),
    ],
)
def test_out_of_memory_is_ours(error: Exception) -> None:
    def encode(batch: Any) -> Any:
        raise error

    with pytest.raises(OutOfMemory) as caught:
        stub(encode).encode_images(np.zeros((5, 3, 10, 10), np.float32))
    assert "5 photos" in caught.value.message
    assert caught.value.__cause__ is error


def test_other_failures_are_not_out_of_memory() -> None:
    def encode(batch: Any) -> Any:
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    with pytest.raises(ModelError, match="mat1") as caught:
        stub(encode).encode_texts(["x"])
    assert not isinstance(caught.value, OutOfMemory)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 0.0])
def test_vectors_without_direction_are_refused(value: float) -> None:
    encoder = stub(lambda batch: torch.full((len(batch), 4), value))
    with pytest.raises(ModelError, match="stub") as caught:
        encoder.encode_images(np.zeros((1, 3, 10, 10), np.float32))
    assert "fp32" in caught.value.hint


def test_fake_is_an_encoder_that_knows_colours() -> None:
    fake = FakeEncoder()
    as_encoder: Encoder = fake
    names = [name for name in COLOURS if name != "gray"]
    batch = np.stack([as_encoder.prepare(solid(COLOURS[name])) for name in names])
    pictures = as_encoder.encode_images(batch)
    texts = as_encoder.encode_texts([f"a photo of a {name} thing" for name in names])
    assert pictures.dtype == texts.dtype == np.float32
    assert np.allclose(np.linalg.norm(pictures, axis=1), 1, atol=1e-5)
    assert np.allclose(np.linalg.norm(texts, axis=1), 1, atol=1e-5)
    assert [names[best] for best in (texts @ pictures.T).argmax(axis=1)] == names
    assert fake.embedded == len(names)


def test_fakes_are_deterministic_and_can_differ() -> None:
    one, same, other = FakeEncoder(), FakeEncoder(), FakeEncoder(name="other", seed=1, dim=32)
    assert one.stamp == same.stamp != other.stamp
    assert np.array_equal(one.encode_texts(["red dog"]), same.encode_texts(["red dog"]))
    assert other.encode_texts(["red dog"]).shape == (1, 32)
    assert not np.array_equal(*one.encode_texts(["dog", "cat"]))


def test_fake_fails_on_demand() -> None:
    fake = FakeEncoder(max_batch=2)
    batch = np.stack([fake.prepare(solid((0.1, 0.2, 0.3)))] * 3)
    with pytest.raises(OutOfMemory):
        fake.encode_images(batch)
    assert fake.embedded == 0
    assert len(fake.encode_images(batch[:2])) == 2
    fake.close()
    assert fake.closed
