"""The comparison of the cells on a small text: equal sizes, equal characters, equal time.

Time comes from a clock that the tests turn, so that nothing depends on the machine.
"""

import json
from dataclasses import replace
from xml.etree import ElementTree

import jaxtyping
import numpy as np
import pytest

from phase01.optimizers import Adam
from phase02 import compare_cells
from phase02.bptt import Step
from phase02.char_lm import CELLS, count_parameters
from phase02.compare_cells import Config, Point, equal_models, main, run, summary, try_rate
from phase02.train_char_lm import read_corpus

SMALL = Config(
    source="embedded",
    max_characters=6000,
    d_hidden=16,
    d_embedding=8,
    n_characters=6400,
    cpu_seconds=30.0,
    learning_rates=(1e-4, 2e-2),
    grid_characters=6400,
    n_batch=16,
    chunk_length=20,
    seeds=(0, 1),
)


class Clock:
    """A clock by which each training step, read before and after, takes so many seconds."""

    def __init__(self, seconds):
        self.seconds, self.reads = seconds, 0

    def __call__(self):
        self.reads += 1
        return self.seconds * (self.reads // 2)


@pytest.fixture(autouse=True)
def _as_in_use(monkeypatch):
    """Without the shape checks that the tests wrap around each function: quicker."""
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """(metrics, what was written, the folder) of one short comparison."""
    folder = tmp_path_factory.mktemp("compare")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(jaxtyping.config, "jaxtyping_disable", True)
        metrics = main(SMALL, Clock(1.0))
    folder = folder / "runs" / "phase02"
    written = json.loads((folder / "compare_cells.json").read_text(encoding="utf-8"))
    return metrics, written["metrics"], folder


@pytest.fixture(scope="module")
def corpus():
    return read_corpus(SMALL.source, SMALL.novel, SMALL.max_characters)


def one_run(corpus, clock, limit="characters", seed=0, cell="gru", rate=0.02, **changes):
    config = replace(SMALL, **changes)
    size = equal_models(len(corpus.vocabulary), config.d_hidden, config.d_embedding)[cell]
    return run(size, corpus, rate, seed, limit, config, clock)


# ---- the whole ---------------------------------------------------------------------------


def test_cells_have_the_same_number_of_parameters_within_a_hundredth():
    for vocab_size in (65, 73):
        sizes = equal_models(vocab_size, Config().d_hidden, Config().d_embedding)
        assert list(sizes) == list(CELLS)
        truth = count_parameters(sizes["lstm"])
        for size in sizes.values():
            assert count_parameters(size) == pytest.approx(truth, rel=0.01)
        assert sizes["lstm"].d_hidden == Config().d_hidden
        assert sizes["rnn"].d_hidden > sizes["gru"].d_hidden > sizes["lstm"].d_hidden


def test_every_cell_learns(ran):
    for cell in ran[0].values():
        assert cell["bits_at_equal_characters"] < 5.0  # of 5.95 for knowing nothing
        assert cell["learning_rate"] == 0.02
        assert cell["grid"]["0.02"] < cell["grid"]["0.0001"]


def test_means_are_those_of_the_seeds(ran):
    for cell in ran[0].values():
        for name in ("bits_at_equal_characters", "bits_at_equal_time"):
            of_seeds = cell[f"{name}_of_seeds"]
            assert len(of_seeds) == 2
            assert of_seeds[0] != of_seeds[1]
            assert cell[name] == pytest.approx(np.mean(of_seeds), abs=1e-4)


def test_where_every_step_takes_a_second_all_cells_are_equally_fast(ran):
    # 5400 characters fill 16 rows of 337: 17 chunks a pass, and 30 steps are 13 chunks more.
    in_time = 16 * (337 + 13 * 20)
    in_text = 16 * (337 + 4 * 20)  # the first that is 6400 or more, after 21 steps
    for cell in ran[0].values():
        assert cell["speed_relative_to_lstm"] == 1
        assert cell["characters_at_equal_time"] == in_time
        truth = 1000 * (30 + 21) / (in_time + in_text)
        assert cell["seconds_per_1000_characters"] == pytest.approx(truth, abs=1e-6)


def test_numbers_and_picture_are_written(ran):
    metrics, written, folder = ran
    assert json.loads(json.dumps(metrics)) == metrics  # the last line of its output
    assert written["cells"] == metrics
    assert list(written["curves"]) == ["characters", "seconds"]
    for limit, last in (("characters", 16 * (337 + 4 * 20)), ("seconds", 30.0)):
        curves = written["curves"][limit]
        assert {name: len(runs) for name, runs in curves.items()} == dict.fromkeys(CELLS, 2)
        assert {run[-1][limit] for runs in curves.values() for run in runs} == {last}
    picture = ElementTree.parse(folder / "compare_cells-curves.svg").getroot()
    assert picture.tag.endswith("svg")


def test_table_names_every_cell(capsys, ran):
    compare_cells.print_table(ran[0], SMALL)
    lines = capsys.readouterr().out.strip().splitlines()
    assert [line.split()[0] for line in lines[1:]] == list(CELLS)


# ---- one run -----------------------------------------------------------------------------


def test_same_seed_and_characters_give_the_same_bits_whatever_the_clock_says(corpus):
    slow, fast = one_run(corpus, Clock(1.0)), one_run(corpus, Clock(0.001))
    other = one_run(corpus, Clock(1.0), seed=1)
    assert [(p.characters, p.bits) for p in slow] == [(p.characters, p.bits) for p in fast]
    assert [p.characters for p in slow] == [p.characters for p in other]
    assert all(mine.bits != theirs.bits for mine, theirs in zip(slow, other, strict=True))


def test_same_seed_and_clock_give_the_same_bits(corpus):
    assert one_run(corpus, Clock(1.0), "seconds") == one_run(corpus, Clock(1.0), "seconds")


@pytest.mark.parametrize("cell", CELLS)
def test_cell_that_takes_twice_the_time_takes_half_the_steps(corpus, cell):
    quick = one_run(corpus, Clock(1.0), "seconds", cell=cell, cpu_seconds=16.0)
    slow = one_run(corpus, Clock(2.0), "seconds", cell=cell, cpu_seconds=16.0)
    assert (quick[-1].seconds, slow[-1].seconds) == (16.0, 16.0)
    assert (quick[-1].characters, slow[-1].characters) == (16 * 320, 8 * 320)


def test_run_is_measured_at_an_eighth_of_its_limit_and_at_each_doubling(corpus):
    in_time = one_run(corpus, Clock(1.0), "seconds", cpu_seconds=16.0)
    assert [point.seconds for point in in_time] == [2, 4, 8, 16]
    in_text = one_run(corpus, Clock(1.0), n_characters=3200)
    assert [point.characters for point in in_text] == [640, 960, 1600, 3200]


def test_measuring_takes_none_of_the_seconds(corpus, monkeypatch):
    clock = Clock(1.0)

    def slow(*arguments):
        clock.reads += 1000
        return 5.0

    monkeypatch.setattr(compare_cells, "held_out_bits", slow)
    points = one_run(corpus, clock, "seconds", cpu_seconds=8.0)
    assert [point.seconds for point in points] == [1, 2, 4, 8]


@pytest.mark.parametrize("limit", ["characters", "seconds"])
def test_rate_falls_in_a_line_with_what_is_spent(corpus, limit, monkeypatch):
    rates = []

    class Watched(Adam):
        def step(self, grads):
            rates.append(self.learning_rate)
            super().step(grads)

    monkeypatch.setattr(compare_cells, "Adam", Watched)
    monkeypatch.setattr(compare_cells, "WARMUP", 0)
    changes = {"n_characters": 3200, "cpu_seconds": 10.0}
    one_run(corpus, Clock(1.0), limit, rate=1.0, **changes)
    # A step has the rate of what had been spent when the one before it was chosen.
    spent = np.array([0, 0, 1, 2, 3, 4, 5, 6, 7, 8]) / 10
    np.testing.assert_allclose(rates, 1 - 0.95 * spent, rtol=1e-12)


def test_summary_is_of_the_ends_of_the_runs():
    in_text = [
        [Point(60, 2.0, 4.0), Point(100, 4.0, 3.0)],
        [Point(60, 2.5, 4.2), Point(100, 5.0, 3.5)],
    ]
    in_time = [
        [Point(70, 3.0, 3.9), Point(140, 6.0, 2.5)],
        [Point(60, 3.0, 4.1), Point(160, 6.0, 2.0)],
    ]
    found = summary(in_text, in_time)
    assert found["bits_at_equal_characters_of_seeds"] == [3.0, 3.5]
    assert found["bits_at_equal_time_of_seeds"] == [2.5, 2.0]
    assert found["bits_at_equal_characters"] == 3.25
    assert found["bits_at_equal_time"] == 2.25
    assert found["characters_at_equal_time"] == 150
    assert found["seconds_per_1000_characters"] == 42.0


def test_rate_is_judged_by_the_last_quarter_of_a_short_run(corpus, monkeypatch):
    losses = iter([9.0, 9.0, 9.0, 9.0, 9.0, 9.0, 1.0, 3.0])

    def read(*arguments):
        return (Step(loss, 1.0, None) for loss in losses)

    monkeypatch.setattr(compare_cells, "train_on_text", read)
    size = equal_models(len(corpus.vocabulary), 16, 8)["rnn"]
    found = try_rate(size, corpus, 0.02, replace(SMALL, grid_characters=8 * 320))
    assert found == pytest.approx(2.0 / np.log(2))


# ---- mistakes ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "say"),
    [
        ({"n_characters": 0}, "n_characters must be above 0 and finite, not 0"),
        ({"grid_characters": 0}, "grid_characters must be above 0 and finite, not 0"),
        ({"cpu_seconds": float("nan")}, "cpu_seconds must be above 0 and finite, not nan"),
        ({"cpu_seconds": float("inf")}, "cpu_seconds must be above 0 and finite, not inf"),
        ({"learning_rates": ()}, "at least one learning rate and one seed"),
        ({"seeds": ()}, "at least one learning rate and one seed"),
        ({"record": True}, "differs between releases of Python"),
    ],
)
def test_settings_that_make_no_sense_are_refused(fault, say):
    with pytest.raises(ValueError, match=say):
        replace(SMALL, **fault)


@pytest.mark.parametrize(
    ("fault", "say"),
    [
        ({"max_characters": 1}, "max_characters must be 2 or more"),
        ({"max_characters": 20, "n_batch": 40}, "18 characters cannot fill 40 rows"),
        ({"d_hidden": 0}, "no rnn over"),
    ],
)
def test_comparison_that_cannot_be_is_refused(fault, say, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=say):
        main(replace(SMALL, **fault))
