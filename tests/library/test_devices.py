"""Device and precision rules, with hardware that is pretended."""

from __future__ import annotations

from pathlib import Path

import pytest

from library import devices
from library.devices import choose_device, choose_precision, cpu_has_fast_bf16
from library.errors import ConfigError

torch = pytest.importorskip("torch")


@pytest.fixture
def hardware(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """A machine without accelerators, whatever this one has."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    return monkeypatch


def test_auto_prefers_cuda_then_mps_then_cpu(hardware: pytest.MonkeyPatch) -> None:
    assert choose_device("auto") == "cpu"
    hardware.setattr(torch.backends.mps, "is_available", lambda: True)
    assert choose_device(" Auto ") == "mps" == choose_device("mps")
    hardware.setattr(torch.cuda, "is_available", lambda: True)
    assert choose_device() == "cuda" == choose_device("cuda")
    assert choose_device("cuda:1") == "cuda:1"
    assert choose_device("cpu") == "cpu"


@pytest.mark.parametrize("wanted", ["cuda", "mps", "cuda:0", "tpu", "", "cuda:x", "cpu:1"])
def test_absent_devices_are_named(hardware: pytest.MonkeyPatch, wanted: str) -> None:
    with pytest.raises(ConfigError) as caught:
        choose_device(wanted)
    assert repr(wanted) in caught.value.message


def test_too_high_a_cuda_number(hardware: pytest.MonkeyPatch) -> None:
    hardware.setattr(torch.cuda, "is_available", lambda: True)
    with pytest.raises(ConfigError, match="only 2"):
        choose_device("cuda:2")


def test_precision_by_device(hardware: pytest.MonkeyPatch) -> None:
    hardware.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: including_emulation)
    assert choose_precision("auto", "cuda:1") == "fp16"
    hardware.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: True)
    assert choose_precision("auto", "cuda") == "bf16"
    assert choose_precision("auto", "mps") == "fp32"
    hardware.setattr(devices, "cpu_has_fast_bf16", lambda: True)
    assert choose_precision("auto", "cpu") == "bf16"
    hardware.setattr(devices, "cpu_has_fast_bf16", lambda: False)
    assert choose_precision("auto", "cpu") == "fp32"
    assert choose_precision("BF16", "cpu") == "bf16"


@pytest.mark.parametrize("wanted", ["fp8", "", "fp16"])
def test_precisions_that_cannot_be(wanted: str) -> None:
    with pytest.raises(ConfigError) as caught:
        choose_precision(wanted, "cpu")
    assert repr(wanted) in caught.value.message


@pytest.mark.parametrize(
    ("flags", "machine", "torch_says", "fast"),
    [
        ("fpu avx512f avx512_bf16", "x86_64", False, True),
        ("fpu amx_bf16 amx_tile", "x86_64", False, True),
        ("fpu avx2 avx512f", "x86_64", True, False),
        ("", "AMD64", True, True),
        ("", "AMD64", False, False),
        ("avx512_bf16", "arm64", True, False),
    ],
)
def test_bf16_by_processor(
    monkeypatch: pytest.MonkeyPatch, flags: str, machine: str, torch_says: bool, fast: bool
) -> None:
    monkeypatch.setattr("platform.machine", lambda: machine)
    monkeypatch.setattr(devices, "_cpuinfo_flags", lambda: frozenset(flags.split()))
    monkeypatch.setattr(devices, "_torch_says_bf16", lambda: torch_says)
    cpu_has_fast_bf16.cache_clear()
    try:
        assert cpu_has_fast_bf16() is fast
    finally:
        cpu_has_fast_bf16.cache_clear()


def test_flags_are_read_from_linux(tmp_path: Path) -> None:
    path = tmp_path / "cpuinfo"
    path.write_text("processor\t: 0\nflags\t\t: fpu avx512_bf16 sse\n\nprocessor\t: 1\nflags\t\t: fpu\n")
    assert devices._cpuinfo_flags(path) == {"fpu", "avx512_bf16", "sse"}
    assert devices._cpuinfo_flags(tmp_path / "absent") == frozenset()


def test_torch_without_its_probe(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(torch.cpu, "_is_avx512_bf16_supported", raising=False)
    assert devices._torch_says_bf16() is False
