"""The allocator's setting: freed tensors leave the process."""

import platform
import subprocess
import sys

import pytest

from phase08 import allocator

# Blocks of 8 MB between small ones that stay: what glibc's heap does not give back.
PROGRAM = """
import ctypes, sys
from pathlib import Path
from phase08 import allocator

libc = ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
libc.free.argtypes = [ctypes.c_void_p]

def resident():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS"))

def block(size):
    address = libc.malloc(size)
    ctypes.memset(address, 1, size)
    return address

if sys.argv[1] == "on":
    assert allocator.give_back_freed_memory()
libc.free(block(16 << 20))  # without the setting, glibc learns that this size is for the heap
before = resident()
large = [(block(8 << 20), block(100_000))[0] for _ in range(8)]
for address in large:
    libc.free(address)
print(resident() - before)
"""


def kept(setting: str) -> int:
    command = [sys.executable, "-c", PROGRAM, setting]
    return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="not glibc")
def test_freed_tensors_leave_the_process_only_with_the_setting():
    assert kept("on") < 8_000_000
    assert kept("off") > 40_000_000


def test_other_systems_are_left_alone(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    assert not allocator.give_back_freed_memory()


def test_huge_pages_are_what_the_environment_says(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(allocator.HUGE_PAGES, "1")
    assert allocator.huge_pages()
    monkeypatch.setenv(allocator.HUGE_PAGES, "0")
    assert not allocator.huge_pages()
