"""Batches: every token once an epoch, and the same batch for the same step in any process."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from phase08 import shards
from phase08.batches import Batches


class InMemory:
    """A text whose token at position p is p, so that a batch shows where it was read."""

    def __init__(self, length: int) -> None:
        self.ids = np.arange(length, dtype=np.uint16)
        self.reads: list[tuple[int, int]] = []

    def __len__(self) -> int:
        return len(self.ids)

    def slice(self, start: int, stop: int) -> np.ndarray:
        assert 0 <= start <= stop <= len(self.ids)
        self.reads.append((start, stop))
        return self.ids[start:stop]


def sequences(batches: Batches, first: int, stop: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Rows `first` to `stop - 1` of the endless row of epochs, by going through the steps."""
    last_step = (stop - 1) // batches.batch_size
    x, y = zip(*(batches.get(step) for step in range(last_step + 1)), strict=True)
    return torch.cat(x)[first:stop], torch.cat(y)[first:stop]


@pytest.mark.parametrize(
    ("length", "block_size", "batch_size"),
    [(103, 7, 4), (105, 7, 4), (8, 7, 3), (15, 7, 5), (50, 1, 6), (1003, 13, 77), (999, 10, 1)],
)
def test_every_token_but_fewer_than_block_size_is_a_target_exactly_once_an_epoch(
    length, block_size, batch_size
):
    batches = Batches(InMemory(length), block_size, batch_size, seed=3)
    windows = length // block_size
    assert batches.windows_per_epoch == windows
    for epoch in range(4):
        x, y = sequences(batches, epoch * windows, (epoch + 1) * windows)
        for tokens in (x, y):
            counts = np.bincount(tokens.numpy().ravel(), minlength=length)
            assert counts.max() == 1
            assert (counts == 0).sum() == length % block_size


def test_what_is_left_out_changes_from_epoch_to_epoch():
    batches = Batches(InMemory(103), 9, 11, seed=0)  # 11 windows: an epoch is one step
    left_out = [
        frozenset(range(103)) - frozenset(batches.get(epoch)[1].ravel().tolist())
        for epoch in range(12)
    ]
    assert {len(tokens) for tokens in left_out} == {4}
    assert len(set(left_out)) > 4


def test_order_changes_from_epoch_to_epoch_and_with_the_seed():
    orders = [
        tuple(Batches(InMemory(500), 5, 100, seed).windows(epoch).tolist())
        for seed in range(3)
        for epoch in range(3)
    ]
    assert len(set(orders)) == 9
    assert all(order != tuple(sorted(order)) for order in orders)


def test_target_is_the_next_token_and_the_text_a_circle():
    batches = Batches(InMemory(61), 6, 4, seed=1)
    wrapped = 0
    for step in range(30):
        x, y = batches.get(step)
        assert torch.equal(y, (x + 1) % 61)
        assert torch.equal(x[:, 1:], y[:, :-1])
        assert torch.equal(x[:, 0], torch.from_numpy(batches.windows(step)))
        wrapped += int((y == 0).sum())
    assert wrapped > 5


def test_shapes_and_types():
    x, y = Batches(InMemory(200), 6, 4, seed=1).get(2)
    for ids in (x, y):
        assert ids.shape == (4, 6)
        assert ids.dtype == torch.int64
        assert ids.is_contiguous()


def test_large_ids_do_not_turn_negative():
    text = InMemory(65536)
    x, _ = Batches(text, 4096, 15, seed=0).get(0)
    assert x.min() >= 0
    assert x.max() > 60000


@settings(max_examples=60, deadline=None)
@given(
    length=st.integers(2, 400),
    block_size=st.integers(1, 40),
    batch_size=st.integers(1, 30),
    seed=st.integers(0, 2**32),
    step=st.integers(0, 10_000),
    cuts=st.lists(st.integers(0, 30), max_size=4),
)
def test_batch_is_a_pure_function_of_the_step_and_may_be_shared_out(
    length, block_size, batch_size, seed, step, cuts
):
    length = max(length, block_size + 1)
    x, y = Batches(InMemory(length), block_size, batch_size, seed).get(step)
    used = Batches(InMemory(length), block_size, batch_size, seed)
    for other in (step + 3, 0, step + 1, max(step - 1, 0)):
        used.get(other)
    borders = [0, *sorted(min(cut, batch_size) for cut in cuts), batch_size]
    parts = [used.get(step, slice(*pair)) for pair in itertools.pairwise(borders)]
    assert torch.equal(torch.cat([part[0] for part in parts]), x)
    assert torch.equal(torch.cat([part[1] for part in parts]), y)


@pytest.mark.parametrize("processes", [1, 2, 3, 4, 6])
def test_any_number_of_processes_reads_the_same_tokens_in_the_same_order(processes):
    alone = Batches(InMemory(1000), 8, 12, seed=5)
    each = [Batches(InMemory(1000), 8, 12, seed=5) for _ in range(processes)]
    rows = 12 // processes
    for step in range(25):  # into the third epoch
        together = [
            batches.get(step, slice(rank * rows, (rank + 1) * rows))[0]
            for rank, batches in enumerate(each)
        ]
        assert torch.equal(torch.cat(together), alone.get(step)[0])


def test_only_the_rows_asked_for_are_read():
    text = InMemory(1000)
    batches = Batches(text, 8, 12, seed=5)
    starts = batches.windows(3).tolist()
    assert text.reads == []
    batches.get(3, slice(4, 7))
    assert text.reads == [(start, start + 9) for start in starts[4:7]]


def test_rows_may_be_none():
    x, y = Batches(InMemory(100), 8, 4, seed=0).get(1, slice(2, 2))
    assert x.shape == y.shape == (0, 8)


def test_epoch_is_that_of_the_first_row():
    batches = Batches(InMemory(100), 10, 4, seed=0)  # 10 windows: 2.5 steps an epoch
    assert [batches.epoch_of(step) for step in range(6)] == [0, 0, 0, 1, 1, 2]


def test_batch_larger_than_the_text_goes_through_several_epochs():
    x, _ = Batches(InMemory(20), 9, 7, seed=2).get(0)  # 2 windows an epoch
    starts = x[:, 0].tolist()
    for first in (0, 2, 4):
        assert (starts[first] - starts[first + 1]) % 20 in (9, 11)


def test_windows_are_those_first_written_down():
    """Raw PCG64 output is promised not to change: nor may the batches of a seed."""
    batches = Batches(InMemory(1000), 64, 6, seed=1337)
    assert batches.windows(0).tolist() == [577, 833, 257, 1, 321, 641]
    assert batches.windows(7).tolist() == [170, 490, 682, 394, 650, 906]


def test_one_epoch_costs_four_bytes_a_window_and_two_are_kept():
    batches = Batches(InMemory(1000), 5, 50, seed=0)
    for step in range(40):
        batches.get(step)
    kept = [order for _, order in batches._epochs.values()]
    assert [(order.dtype, order.shape) for order in kept] == [(np.uint32, (200,))] * 2


def test_tokens_of_several_shards_give_the_batches_of_one_text(tmp_path):
    ids = np.random.default_rng(0).integers(0, 50257, size=1000).astype(np.uint16)
    parts = np.split(ids, [1, 300, 317, 318, 900])
    for number, part in enumerate(parts):
        shards.write_shard(tmp_path / f"{number}.bin", part)
    files = [shards.read_shard(tmp_path / f"{number}.bin") for number in range(len(parts))]
    text = InMemory(1000)
    text.ids = ids
    one = Batches(text, 32, 5, seed=9)
    many = Batches(shards.Tokens(files, 50257, "none"), 32, 5, seed=9)
    for step in range(20):
        for a, b in zip(one.get(step), many.get(step), strict=True):
            assert torch.equal(a, b)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ((10, 2, 0), "the text has 10 tokens.*block_size 10.*smaller block_size"),
        ((11, 2, 0), "longer text"),
        ((0, 2, 0), "block_size must be 1 or more, not 0"),
        ((4, 0, 0), "batch_size must be 1 or more, not 0"),
        ((4, 2, -1), "seed must be 0 or more, not -1"),
    ],
)
def test_what_cannot_be_is_refused(arguments, complaint):
    with pytest.raises(ValueError, match=complaint):
        Batches(InMemory(10), *arguments)


def test_text_of_one_window_and_a_target_is_enough():
    x, y = Batches(InMemory(11), 10, 1, seed=0).get(0)
    assert torch.equal(y, (x + 1) % 11)


def test_negative_step_is_refused():
    with pytest.raises(ValueError, match="step must be 0 or more, not -1"):
        Batches(InMemory(100), 10, 1, seed=0).get(-1)
