"""Phase 8 of the journal: training a GPT."""

import os

# Torch reads this when it is imported: on a CPU, large tensors in pages of 2 MB (see `allocator`).
os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
