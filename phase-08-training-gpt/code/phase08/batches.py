"""The batch of step i as a pure function of (data, seed, i).

Nothing is drawn one after the other, so there is no loader to save: a run that is resumed at step i
asks for batch i, and any number of processes that share out the rows of a batch read, together,
the same tokens in the same order.

An epoch e lays windows of `block_size` tokens end to end over the text, beginning at an offset
drawn from (seed, e), taking the text as a circle; there are K = N // block_size of them, visited in
an order drawn from (seed, e). Step i takes the sequences i * batch_size up to (i + 1) * batch_size
of the endless row of epochs, so a batch may reach from one epoch into the next.

A window is the input x, and the same window moved on by one token is the target y. Within an
epoch, therefore, no token is the target of two predictions, and every token is the target of one,
except N mod block_size of them (fewer than block_size), which no window reaches; the offset makes
those different ones from epoch to epoch. One of the N pairs joins the last token to the first.

Both drawings use the raw output of PCG64 seeded by SeedSequence([seed, e]), whose streams NumPy
promises to keep, unlike those of its `Generator`: another NumPy gives the same batches.

Left out: documents are not kept apart (a window may span several, as in GPT-2's training), and
there is no prefetching, a batch taking microseconds to gather.

Shapes: B rows of the batch, T = block_size, K windows of an epoch.
"""

from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Int64, UInt16


@runtime_checkable
class Tokens(Protocol):
    """A text as token ids, read in parts: `phase08.shards.Tokens`, or anything like it."""

    def __len__(self) -> int: ...

    def slice(self, start: int, stop: int) -> UInt16[np.ndarray, " n"]: ...


class Batches:
    """Batches of `batch_size` windows of `block_size` tokens; see the module's docstring.

    Raises ValueError where the text is no longer than a window.
    """

    def __init__(self, tokens: Tokens, block_size: int, batch_size: int, seed: int) -> None:
        for name, value, least in (
            ("block_size", block_size, 1),
            ("batch_size", batch_size, 1),
            ("seed", seed, 0),
        ):
            if value < least:
                raise ValueError(f"{name} must be {least} or more, not {value}")
        if len(tokens) <= block_size:
            raise ValueError(
                f"the text has {len(tokens)} tokens, fewer than one window of block_size "
                f"{block_size} and its target need: use a longer text or a smaller block_size"
            )
        self.tokens = tokens
        self.block_size = block_size
        self.batch_size = batch_size
        self.seed = seed
        self.windows_per_epoch = len(tokens) // block_size
        self._epochs: dict[int, tuple[int, np.ndarray]] = {}

    def epoch_of(self, step: int) -> int:
        """The epoch, counted from 0, that the first row of the step's batch belongs to."""
        return self._first_sequence(step) // self.windows_per_epoch

    def windows(self, step: int) -> Int64[np.ndarray, " B"]:
        """Where in the text each row of the step's batch begins, in tokens."""
        first = self._first_sequence(step)
        sequences = np.arange(first, first + self.batch_size)
        epochs, places = np.divmod(sequences, self.windows_per_epoch)
        starts = np.empty(self.batch_size, dtype=np.int64)
        for epoch in range(int(epochs[0]), int(epochs[-1]) + 1):
            offset, order = self._epoch(epoch)
            of_epoch = epochs == epoch
            starts[of_epoch] = offset + order[places[of_epoch]].astype(np.int64) * self.block_size
        return starts % len(self.tokens)

    def get(
        self, step: int, rows: slice = slice(None)
    ) -> tuple[Int64[torch.Tensor, "B T"], Int64[torch.Tensor, "B T"]]:
        """Inputs and targets of the given rows of the step's batch; only these rows are read.

        Row r of the whole batch is the same whatever `rows` is asked for with it.
        """
        starts = self.windows(step)[rows]
        window = np.empty((len(starts), self.block_size + 1), dtype=np.uint16)
        for row, start in zip(window, starts.tolist(), strict=True):
            self._read(start, row)
        x = torch.from_numpy(window[:, :-1].astype(np.int64))  # (B, T)
        y = torch.from_numpy(window[:, 1:].astype(np.int64))  # (B, T)
        return x, y

    def _first_sequence(self, step: int) -> int:
        if step < 0:
            raise ValueError(f"a step must be 0 or more, not {step}")
        return step * self.batch_size

    def _read(self, start: int, row: np.ndarray) -> None:
        """Fill the row with the tokens from `start` on, going round at the end of the text."""
        stop = start + len(row)
        beyond = max(0, stop - len(self.tokens))
        row[: len(row) - beyond] = self.tokens.slice(start, stop - beyond)
        if beyond:  # at most the whole text again: len(tokens) >= block_size + 1
            row[len(row) - beyond :] = self.tokens.slice(0, beyond)

    def _epoch(self, epoch: int) -> tuple[int, np.ndarray]:
        """The offset of the epoch and the order of its windows; the last two epochs are kept."""
        if epoch not in self._epochs:
            generator = np.random.PCG64(np.random.SeedSequence([self.seed, epoch]))
            offset = int(generator.random_raw() % self.block_size)
            drawn = generator.random_raw(self.windows_per_epoch)
            order = np.argsort(drawn, kind="stable").astype(np.uint32)  # (K,)
            while len(self._epochs) > 1:
                del self._epochs[min(self._epochs)]
            self._epochs[epoch] = (offset, order)
        return self._epochs[epoch]
