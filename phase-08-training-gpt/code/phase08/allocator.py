"""Memory of tensors that goes back to the system when they are freed.

glibc keeps what is freed in a heap, and grows what it counts as small enough for that up to 32 MB.
A training step frees and asks for activations and gradients of all sizes in turn, so the heap
becomes holes: GPT-2 small with 4 x 512 tokens held 3.8 GB at its peak instead of 3.3. With a fixed
threshold every larger tensor is a mapping of its own and freeing it frees memory.

The price is that fresh memory has to be mapped page by page. Torch eases that: where the
environment says THP_MEM_ALLOC_ENABLE=1 when it is imported, it asks the kernel for pages of 2 MB.

Linux with glibc only; elsewhere nothing is changed. GPU memory is torch's own business.
"""

import ctypes
import os
import sys

HUGE_PAGES = "THP_MEM_ALLOC_ENABLE"
M_MMAP_THRESHOLD = -3  # from glibc's malloc.h


def give_back_freed_memory(threshold: int = 1 << 20) -> bool:
    """From now on, memory of `threshold` bytes or more goes back to the system when it is freed.

    For the whole process. Returns whether the C library took the setting.
    """
    if sys.platform != "linux":
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # not glibc
        return False
    return bool(mallopt(M_MMAP_THRESHOLD, threshold))


def huge_pages() -> bool:
    """Whether torch was asked to take large tensors in pages of 2 MB."""
    return os.environ.get(HUGE_PAGES) == "1"
