"""The choice of device, precision and compilation, each branch on faked answers of torch.

Only the CPU is real here: what these tests say about cuda and mps is that the code asks the right
questions and draws the stated conclusions.
"""

import importlib.util
import subprocess
import sys
import sysconfig
import types
from pathlib import Path

import pytest
import torch

from phase08 import devices
from phase08.devices import Device

CPU = Device(torch.device("cpu"), torch.float32, False, "")


class Machine:
    """A pretended machine; without any of the methods called, a plain CPU without a compiler."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        self.patch, self.folder = monkeypatch, tmp_path
        monkeypatch.delenv("LOCAL_RANK", raising=False)
        monkeypatch.delenv("CXX", raising=False)
        monkeypatch.setattr(sys, "platform", "linux")
        monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
        monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: True)
        self.instructions()
        self.programs()
        self.headers(there=True)

    def instructions(self, **flags: bool) -> None:
        self.patch.setattr(torch.cpu, "get_capabilities", lambda: flags)

    def programs(self, *found: str) -> None:
        which = {name: f"/usr/bin/{name}" for name in found}
        self.patch.setattr(devices.shutil, "which", which.get)

    def headers(self, there: bool) -> None:
        if there:
            (self.folder / "Python.h").touch()
        else:
            (self.folder / "Python.h").unlink()
        self.patch.setattr(sysconfig, "get_path", lambda name: str(self.folder))

    def gpus(self, count: int, capability: tuple[int, int] = (9, 0), triton: bool = True) -> None:
        cuda = torch.cuda
        self.patch.setattr(cuda, "is_available", lambda: True)
        self.patch.setattr(cuda, "device_count", lambda: count)
        self.patch.setattr(cuda, "get_device_capability", lambda device: capability)
        self.patch.setattr(cuda, "get_device_name", lambda device: "Pretended GPU")
        self.patch.setattr(torch.version, "hip", None)
        spec = types.SimpleNamespace() if triton else None
        self.patch.setattr(importlib.util, "find_spec", lambda name: spec)

    def apple(self, macos: int = 15) -> None:
        self.patch.setattr(sys, "platform", "darwin")
        self.patch.setattr(torch.backends.mps, "is_available", lambda: True)
        newer = lambda major, minor: macos >= major  # noqa: E731
        self.patch.setattr(torch.backends.mps, "is_macos_or_newer", newer)


@pytest.fixture
def machine(monkeypatch, tmp_path):
    return Machine(monkeypatch, tmp_path)


def choice(*arguments: str, **hints: bool) -> tuple[str, torch.dtype, bool]:
    chosen = devices.choose(*arguments, **hints)
    return str(chosen.device), chosen.dtype, chosen.compile


# --- the CPU -----------------------------------------------------------------------------------


def test_plain_cpu_computes_in_float32_and_eagerly_and_says_why(machine):
    chosen = devices.choose()
    assert (chosen.type, chosen.dtype, chosen.compile) == ("cpu", torch.float32, False)
    assert "no bfloat16 instructions" in chosen.reason
    assert "no C++ compiler was found" in chosen.reason


@pytest.mark.parametrize(
    ("flag", "name"),
    [
        ("amx_bf16", "AMX"),
        ("avx512_bf16", "AVX512-BF16"),
        ("bf16", "Arm bf16"),
        ("sve_bf16", "SVE bf16"),
    ],
)
def test_cpu_with_bfloat16_instructions_uses_them(machine, flag, name):
    machine.instructions(avx2=True, **{flag: True})
    chosen = devices.choose()
    assert chosen.dtype == torch.bfloat16
    assert name in chosen.reason


def test_cpu_bfloat16_needs_more_than_avx512(machine):
    machine.instructions(avx512_f=True, avx512_bf16=False, amx_tile=True)
    assert devices.choose().dtype == torch.float32


def test_cpu_bfloat16_needs_onednn_and_is_not_used_on_macos(machine, monkeypatch):
    machine.instructions(bf16=True)
    assert devices.cpu_bfloat16() == "Arm bf16"
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    assert devices.cpu_bfloat16() is None
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: True)
    monkeypatch.setattr(sys, "platform", "darwin")
    assert devices.cpu_bfloat16() is None


def test_precision_that_was_asked_for_is_used_and_a_slow_one_named_so(machine):
    assert choice("cpu", "bfloat16") == ("cpu", torch.bfloat16, False)
    assert "may be slower" in devices.choose("cpu", "bfloat16").reason
    machine.instructions(amx_bf16=True)
    assert "may be slower" not in devices.choose("cpu", "bfloat16").reason
    assert choice("cpu", "float32") == ("cpu", torch.float32, False)


@pytest.mark.parametrize("compiler", ["g++", "clang++", "c++"])
def test_cpu_compiles_where_there_is_a_compiler_and_it_is_worth_it(machine, compiler):
    machine.programs(compiler)
    assert devices.choose(worth_compiling=True).compile
    chosen = devices.choose(worth_compiling=False)
    assert not chosen.compile
    assert "too short" in chosen.reason
    assert devices.choose(compile="on", worth_compiling=False).compile
    assert not devices.choose(compile="off", worth_compiling=True).compile


def test_compiling_that_was_asked_for_but_cannot_be_runs_eagerly_and_says_so(machine):
    chosen = devices.choose(compile="on")
    assert not chosen.compile
    assert "not compiled (no C++ compiler was found; install g++" in chosen.reason


def test_compiler_of_the_environment_comes_first_and_alone(machine, monkeypatch):
    machine.programs("g++", "my-c++")
    monkeypatch.setenv("CXX", "my-c++")
    assert devices.cpp_compiler() == "/usr/bin/my-c++"
    monkeypatch.setenv("CXX", "not-there")
    assert devices.cpp_compiler() is None
    monkeypatch.delenv("CXX")
    assert devices.cpp_compiler() == "/usr/bin/g++"


def test_compiling_needs_the_headers_of_python(machine):
    machine.programs("g++")
    machine.headers(there=False)
    chosen = devices.choose()
    assert not chosen.compile
    assert "Python's headers are missing" in chosen.reason


# --- GPUs --------------------------------------------------------------------------------------


def test_gpu_comes_first_with_bfloat16_and_compiled(machine):
    machine.gpus(1)
    machine.patch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert choice(worth_compiling=False) == ("cuda:0", torch.bfloat16, True)
    assert "Pretended GPU" in devices.choose().reason
    assert devices.available() == ["cuda", "mps", "cpu"]


def test_older_gpu_computes_in_float32_unless_told_otherwise(machine):
    machine.gpus(1, capability=(7, 5))
    assert choice() == ("cuda:0", torch.float32, True)
    assert choice("cuda", "bfloat16") == ("cuda:0", torch.bfloat16, True)
    assert "may be slower" in devices.choose("cuda", "bfloat16").reason


def test_amd_gpu_has_bfloat16_whatever_its_capability(machine, monkeypatch):
    machine.gpus(1, capability=(0, 0))
    monkeypatch.setattr(torch.version, "hip", "6.4")
    assert devices.choose().dtype == torch.bfloat16


def test_gpu_without_triton_runs_eagerly_and_says_so(machine):
    machine.gpus(1, triton=False)
    chosen = devices.choose()
    assert not chosen.compile
    assert "Triton is not installed" in chosen.reason


def test_each_process_of_torchrun_takes_its_own_gpu(machine, monkeypatch):
    machine.gpus(4)
    monkeypatch.setenv("LOCAL_RANK", "2")
    assert choice()[0] == "cuda:2"
    assert choice("cuda")[0] == "cuda:2"
    assert choice("cuda:1")[0] == "cuda:1"


def test_gpu_number_that_is_not_there_is_refused(machine, monkeypatch):
    machine.gpus(2)
    with pytest.raises(ValueError, match=r"cuda:2 was asked for, this machine has 2 of them"):
        devices.choose("cuda:2")
    monkeypatch.setenv("LOCAL_RANK", "5")
    with pytest.raises(ValueError, match=r"cuda:5 .* fewer processes"):
        devices.choose()


def test_mps_computes_in_float32_and_eagerly(machine):
    machine.apple()
    machine.programs("clang++")
    assert choice() == ("mps", torch.float32, False)
    assert choice("mps", "bfloat16", "on") == ("mps", torch.bfloat16, True)
    assert choice("cpu") == ("cpu", torch.float32, True)


def test_mps_of_an_older_macos_has_no_bfloat16(machine):
    machine.apple(macos=13)
    assert choice() == ("mps", torch.float32, False)
    with pytest.raises(ValueError, match="bfloat16 on mps needs macOS 14; use --dtype float32"):
        devices.choose(dtype="bfloat16")


# --- refusals ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["cuda", "cuda:0", "mps", "xpu", "gpu", "cpu:1", "cpu:x", ""])
def test_device_that_is_not_there_is_refused_with_what_there_is(machine, name):
    complaint = f"{name} was asked for, this machine has cpu; use --device cpu or auto"
    with pytest.raises(ValueError, match=f"^{complaint}$"):
        devices.choose(name)


def test_refusal_names_every_device_that_there_is(machine):
    machine.apple()
    with pytest.raises(ValueError, match="this machine has mps and cpu; use --device mps or cpu"):
        devices.choose("cuda")


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ({"dtype": "float16"}, "auto, float32 or bfloat16, not 'float16'"),
        ({"compile": "yes"}, "auto, on or off, not 'yes'"),
    ],
)
def test_unknown_words_are_refused(machine, arguments, complaint):
    with pytest.raises(ValueError, match=complaint):
        devices.choose(**arguments)


# --- using it ----------------------------------------------------------------------------------


def test_this_machine_gets_a_device_that_computes():
    chosen = devices.choose("auto", worth_compiling=False)
    with devices.autocast(chosen):
        product = torch.ones(3, 5, device=chosen.device) @ torch.ones(5, 2, device=chosen.device)
    assert product.dtype == chosen.dtype
    assert product.sum().item() == 30
    devices.synchronize(chosen)


def test_autocast_keeps_parameters_in_float32_and_multiplies_in_bfloat16():
    layer = torch.nn.Linear(3, 2)
    with devices.autocast(Device(torch.device("cpu"), torch.bfloat16, False, "")):
        out = layer(torch.ones(5, 3))
    assert out.dtype == torch.bfloat16
    out.sum().backward()
    assert layer.weight.dtype == torch.float32
    assert layer.weight.grad is not None
    assert layer.weight.grad.dtype == torch.float32
    with devices.autocast(CPU):
        assert layer(torch.ones(5, 3)).dtype == torch.float32


@pytest.mark.parametrize(
    ("kind", "module", "names"),
    [
        ("cuda", torch.cuda, ("memory_allocated", "max_memory_allocated", "synchronize")),
        ("mps", torch.mps, ("current_allocated_memory", "driver_allocated_memory", "synchronize")),
    ],
)
def test_gpu_is_asked_for_its_own_memory_and_to_finish(monkeypatch, kind, module, names):
    device = Device(torch.device(kind), torch.float32, False, "")
    calls = []
    for number, name in enumerate(names):
        monkeypatch.setattr(module, name, lambda *_, n=number: calls.append(n) or 1000 + n)
    assert devices.memory_in_use(device) == 1000
    assert devices.peak_memory(device) == 1001
    devices.synchronize(device)
    assert calls == [0, 1, 2]


def test_peak_memory_grows_by_what_is_touched_and_stays():
    before = devices.peak_memory(CPU)
    size = 64 * 2**20 + max(0, before - devices.memory_in_use(CPU))
    block = torch.ones(size, dtype=torch.uint8)
    grown = devices.peak_memory(CPU)
    assert grown >= before + 48 * 2**20
    del block
    assert devices.peak_memory(CPU) >= grown - 2**20
    assert 10 * 2**20 < devices.memory_in_use(CPU) <= devices.peak_memory(CPU)


@pytest.mark.skipif(not devices.STATUS.exists(), reason="needs /proc")
def test_peak_memory_is_not_inherited_from_the_process_that_started_this_one():
    block = torch.ones(300 * 2**20, dtype=torch.uint8)
    code = (
        "import sys; sys.modules['torch'] = type(sys)('torch')\n"
        "sys.modules['torch'].device = sys.modules['torch'].dtype = object\n"
        "from phase08 import devices; print(devices._process_memory('VmHWM'))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) < block.numel()


@pytest.mark.parametrize(("platform", "unit"), [("darwin", 1), ("linux", 1024)])
def test_peak_memory_without_proc_knows_the_units_of_the_system(
    monkeypatch, tmp_path, platform, unit
):
    import resource

    monkeypatch.setattr(devices, "STATUS", tmp_path / "none")
    monkeypatch.setattr(sys, "platform", platform)
    usage = types.SimpleNamespace(ru_maxrss=77_000)
    monkeypatch.setattr(resource, "getrusage", lambda who: usage)
    assert devices.peak_memory(CPU) == devices.memory_in_use(CPU) == 77_000 * unit


def test_peak_flops_are_counted_from_the_quickest_product(monkeypatch):
    clock = iter([0.0, 4.0, 10.0, 12.0, 20.0, 25.0])
    monkeypatch.setattr(devices.time, "perf_counter", lambda: next(clock))
    assert devices.measure_peak_flops(CPU, n=7, repeats=3) == 2 * 7**3 / 2.0


@pytest.mark.parametrize("dtype", [None, torch.float32, torch.bfloat16])
def test_peak_flops_of_this_machine_are_positive(dtype):
    assert devices.measure_peak_flops(CPU, dtype, n=65, repeats=2) > 0


def test_peak_flops_use_the_precision_of_the_device(monkeypatch):
    seen = []
    product = torch.mm
    monkeypatch.setattr(torch, "mm", lambda a, b, **k: seen.append(a.dtype) or product(a, b, **k))
    devices.measure_peak_flops(Device(CPU.device, torch.bfloat16, False, ""), n=3, repeats=1)
    devices.measure_peak_flops(Device(CPU.device, torch.bfloat16, False, ""), torch.float32, 3, 1)
    assert seen == [torch.bfloat16] * 2 + [torch.float32] * 2


def test_peak_flops_of_nothing_are_refused():
    with pytest.raises(ValueError, match="n and repeats must be 1 or more, not 0 and 10"):
        devices.measure_peak_flops(CPU, n=0)
