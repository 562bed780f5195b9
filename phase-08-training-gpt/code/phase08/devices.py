"""Where to compute, in which precision, and whether compiled: chosen once, and said.

`choose` picks, in this order, an NVIDIA (or ROCm) GPU, Apple's GPU (MPS), the CPU; then the widest
step that the device is good at:

    cuda   bfloat16 where the GPU has it (compute capability 8), compiled where Triton is there
    mps    float32, not compiled: both are what is known to train well there
    cpu    bfloat16 where the processor multiplies it natively (AMX, AVX512-BF16, Arm bf16 on
           Linux), else float32; compiled where there is a C++ compiler and the caller says that
           the job is long enough to be worth it

bfloat16 means autocast: parameters, gradients and the optimizer stay float32. float16 is left out,
since it would need its losses scaled.

Nothing falls back silently: `Device.reason` is a sentence for the script to show. What ran on real
hardware is the CPU part; the cuda and mps branches ran on fakes of torch's answers only.
"""

import contextlib
import importlib.util
import os
import platform
import shutil
import sys
import sysconfig
import time
from dataclasses import dataclass
from pathlib import Path

import torch


@dataclass(frozen=True)
class Device:
    """The choice: `dtype` is that of autocast, or float32 for none."""

    device: torch.device
    dtype: torch.dtype
    compile: bool
    reason: str
    """One sentence for the reader of the run's first lines."""

    @property
    def type(self) -> str:
        """ "cuda", "mps" or "cpu"."""
        return self.device.type


# --- choosing ---------------------------------------------------------------------------------


def choose(
    device: str = "auto",
    dtype: str = "auto",
    compile: str = "auto",
    *,
    worth_compiling: bool = True,
) -> Device:
    """Decide device, precision and compilation.

    `device` is auto, cpu, cuda, cuda:1 or mps; `dtype` auto, float32 or bfloat16; `compile` auto,
    on or off. `worth_compiling` is the caller's estimate of whether the job is long enough to earn
    back a minute of compiling on a CPU; it counts for compile = auto only.

    Raises ValueError for a device that is not there or a word that is not in these lists.
    """
    if dtype not in ("auto", "float32", "bfloat16"):
        raise ValueError(f"dtype is auto, float32 or bfloat16, not {dtype!r}")
    if compile not in ("auto", "on", "off"):
        raise ValueError(f"compile is auto, on or off, not {compile!r}")
    where = _find_device(device)
    precision, about_precision = _choose_dtype(where, dtype)
    compiled, about_compiling = _choose_compile(where, compile, worth_compiling)
    reason = f"{_describe(where)}, {about_precision}, {about_compiling}"
    return Device(where, precision, compiled, reason)


def available() -> list[str]:
    """The kinds of device that this machine has, the best first; "cpu" is always the last."""
    kinds = []
    if torch.cuda.is_available():
        kinds.append("cuda")
    if torch.backends.mps.is_available():
        kinds.append("mps")
    return [*kinds, "cpu"]


def _find_device(name: str) -> torch.device:
    kinds = available()
    if name == "auto":
        name = kinds[0]
    kind, _, index = name.partition(":")
    there = (
        f"{name} was asked for, this machine has {' and '.join(kinds)}; "
        f"use --device {' or '.join(kinds)} or auto"
    )
    if kind not in kinds or (index and not index.isdecimal()):
        raise ValueError(there)
    if kind != "cuda":
        if int(index or 0) > 0:
            raise ValueError(there)
        return torch.device(kind)
    # Several processes on one machine (torchrun) take a GPU each.
    number = int(index or os.environ.get("LOCAL_RANK", "0"))
    count = torch.cuda.device_count()
    if number >= count:
        raise ValueError(
            f"cuda:{number} was asked for, this machine has {count} of them, counted from 0; "
            "use a lower number or fewer processes"
        )
    return torch.device("cuda", number)


def _choose_dtype(where: torch.device, asked: str) -> tuple[torch.dtype, str]:
    if asked == "float32":
        return torch.float32, "float32 as asked for"
    if asked == "auto" and where.type == "mps":
        return torch.float32, "float32 (the safe choice on mps; --dtype bfloat16 tries it)"
    native, why = _native_bfloat16(where)
    if asked == "auto":
        if native:
            return torch.bfloat16, f"bfloat16 autocast ({why})"
        return torch.float32, f"float32 ({why})"
    if where.type == "mps" and not native:
        raise ValueError(f"bfloat16 was asked for, but {why}; use --dtype float32 or auto")
    slow = "" if native else ", which may be slower than float32 here"
    return torch.bfloat16, f"bfloat16 autocast as asked for ({why}{slow})"


def _native_bfloat16(where: torch.device) -> tuple[bool, str]:
    """Whether the device computes in bfloat16 itself, and the words for it."""
    if where.type == "cuda":
        if torch.version.hip or torch.cuda.get_device_capability(where)[0] >= 8:
            return True, "the GPU has it"
        return False, "the GPU has no bfloat16 of its own"
    if where.type == "mps":
        if torch.backends.mps.is_macos_or_newer(14, 0):
            return True, "macOS 14 or newer has it on mps"
        return False, "bfloat16 on mps needs macOS 14"
    instructions = cpu_bfloat16()
    if instructions:
        return True, f"the processor has {instructions}"
    return False, "the processor has no bfloat16 instructions that torch would use"


def cpu_bfloat16() -> str | None:
    """The name of the processor's bfloat16 instructions, None where torch would only emulate them.

    The fast products are oneDNN's, which torch's builds for macOS lack.
    """
    if sys.platform == "darwin" or not torch.backends.mkldnn.is_available():
        return None
    has = torch.cpu.get_capabilities()
    names = {
        "amx_bf16": "AMX",
        "avx512_bf16": "AVX512-BF16",
        "sve_bf16": "SVE bf16",
        "bf16": "Arm bf16",
    }
    return next((name for flag, name in names.items() if has.get(flag, False)), None)


def _choose_compile(where: torch.device, asked: str, worth: bool) -> tuple[bool, str]:
    if asked == "off":
        return False, "not compiled as asked for"
    if where.type == "mps" and asked == "auto":
        return False, "not compiled (torch.compile is young on mps; --compile on tries it)"
    if where.type == "cpu" and asked == "auto" and not worth:
        return False, "not compiled (the job is too short to earn it back; --compile on does)"
    missing = missing_for_compiling(where.type)
    if missing:
        return False, f"not compiled ({missing})"
    return True, "compiled" + (" as asked for" if asked == "on" else "")


def missing_for_compiling(kind: str) -> str | None:
    """What torch.compile lacks on this machine for that kind of device, None for nothing."""
    if kind == "cuda":
        if importlib.util.find_spec("triton") is None:
            return "Triton is not installed"
        return None
    if kind == "mps":
        return None
    if cpp_compiler() is None:
        return "no C++ compiler was found; install g++ or clang++, or set CXX"
    if not (Path(sysconfig.get_path("include")) / "Python.h").is_file():
        return "Python's headers are missing; install them, python3-dev on Debian and Ubuntu"
    return None


def cpp_compiler() -> str | None:
    """The C++ compiler's path, that of $CXX before others; None where there is none."""
    asked = os.environ.get("CXX")
    names = [asked] if asked else ["g++", "clang++", "c++"] + (["cl"] if os.name == "nt" else [])
    return next(filter(None, map(shutil.which, names)), None)


def _describe(where: torch.device) -> str:
    if where.type == "cuda":
        return f"{where} ({torch.cuda.get_device_name(where)})"
    if where.type == "mps":
        return "mps (Apple's GPU)"
    threads = torch.get_num_threads()
    return f"cpu ({threads} thread{'s' if threads > 1 else ''}, {platform.machine()})"


# --- using it ---------------------------------------------------------------------------------


def autocast(device: Device) -> contextlib.AbstractContextManager[object]:
    """The context for forward passes: autocast to the chosen dtype, or nothing for float32."""
    if device.dtype == torch.float32:
        return contextlib.nullcontext()
    return torch.autocast(device.type, dtype=device.dtype)


def synchronize(device: Device) -> None:
    """Wait until the device has done what it was given; needed before reading a clock."""
    if device.type == "cuda":
        torch.cuda.synchronize(device.device)
    elif device.type == "mps":
        torch.mps.synchronize()


def memory_in_use(device: Device) -> int:
    """Bytes held now: tensors on a GPU, the whole process (resident) on a CPU."""
    if device.type == "cuda":
        return torch.cuda.memory_allocated(device.device)
    if device.type == "mps":
        return torch.mps.current_allocated_memory()
    return _process_memory("VmRSS")


def peak_memory(device: Device) -> int:
    """The most bytes held so far, counted as in `memory_in_use`.

    On mps, which keeps no such count, what the driver has handed out; it is given back late.
    """
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device.device)
    if device.type == "mps":
        return torch.mps.driver_allocated_memory()
    return _process_memory("VmHWM")


STATUS = Path("/proc/self/status")


def _process_memory(field: str) -> int:
    """Bytes of this process; where the system has no /proc, the peak stands for both fields.

    Linux's ru_maxrss is of no use: a child inherits in it the size of the process that started it.
    """
    if STATUS.exists():
        lines = dict(line.split(":", 1) for line in STATUS.read_text().splitlines() if ":" in line)
        return int(lines[field].split()[0]) * 1024  # always in kB
    try:
        import resource
    except ImportError as error:
        raise OSError(f"{platform.system()} does not tell a process's memory this way") from error
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # bytes on macOS, kB elsewhere


def measure_peak_flops(
    device: Device, dtype: torch.dtype | None = None, n: int = 4096, repeats: int = 10
) -> float:
    """FLOP/s of the best of `repeats` products of two n x n matrices, 2 n^3 FLOPs each.

    In the device's own dtype where none is given. It is what a training step is compared with:
    no published number says what this machine, with its cooling and its neighbours, can do.
    """
    if n < 1 or repeats < 1:
        raise ValueError(f"n and repeats must be 1 or more, not {n} and {repeats}")
    generator = torch.Generator().manual_seed(0)
    a, b = (
        torch.randn(n, n, generator=generator).to(device.device, dtype or device.dtype)
        for _ in range(2)
    )
    out = torch.mm(a, b)  # the first one sets up threads and kernels
    best = float("inf")
    for _ in range(repeats):
        synchronize(device)
        started = time.perf_counter()
        torch.mm(a, b, out=out)
        synchronize(device)
        best = min(best, time.perf_counter() - started)
    return 2 * n**3 / best
