"""The training script on small texts: what it learns, writes, returns and refuses."""

import json
import math
import os
from itertools import pairwise
from xml.etree import ElementTree

import jaxtyping
import numpy as np
import pytest

from journal import data
from phase02 import train_char_lm
from phase02.char_text import Vocabulary
from phase02.train_char_lm import Config, Corpus, baselines, main, measured_steps, rate, read_corpus

needs_data = pytest.mark.skipif(
    not os.environ.get("JOURNAL_DATA"), reason="JOURNAL_DATA names no folder"
)
SMALL = Config(
    source="embedded",
    max_characters=6000,
    d_hidden=32,
    d_embedding=8,
    n_steps=150,
    n_batch=16,
    chunk_length=20,
    learning_rate=2e-2,
    n_measurements=4,
    sample_length=50,
)
TIMES = ("training_seconds", "cpu_seconds", "characters_per_second", "seconds")


def run(config, folder):
    """(metrics, what was written) of one run in a folder of its own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(jaxtyping.config, "jaxtyping_disable", True)  # as in use, and quicker
        metrics = main(config)
    (file,) = (folder / "runs" / "phase02").glob("*.json")
    return metrics, json.loads(file.read_text(encoding="utf-8"))["metrics"]


def small(**changes):
    return Config(
        **{**{name: getattr(SMALL, name) for name in SMALL.__dataclass_fields__}, **changes}
    )


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """(metrics, what was written, the folder) of one short run of the LSTM."""
    folder = tmp_path_factory.mktemp("learn")
    return *run(SMALL, folder), folder / "runs" / "phase02"


def test_model_learns_more_than_the_frequencies_of_characters(ran):
    metrics, written, _ = ran
    assert written["curve"][0]["held_out_bits"] == pytest.approx(metrics["uniform_bits"], rel=0.03)
    assert metrics["held_out_bits"] < 0.9 * metrics["unigram_bits"]
    assert metrics["unigram_bits"] < metrics["uniform_bits"]


def test_bits_are_nats_over_ln_2(ran):
    metrics = ran[0]
    assert metrics["held_out_bits"] == pytest.approx(
        metrics["held_out_nats"] / math.log(2), abs=2e-4
    )


def test_loss_in_rows_is_nearly_that_of_the_text_in_one_piece(ran):
    metrics, written, _ = ran
    assert written["curve"][-1]["held_out_bits"] == pytest.approx(
        metrics["held_out_bits"], rel=0.05
    )


def test_sizes_are_those_of_text_and_model(ran):
    metrics = ran[0]
    n, d = metrics["vocabulary"], 32
    assert metrics["parameters"] == 8 * n + 4 * d * (8 + d + 2) + n * (d + 1)
    assert metrics["characters_of_training_text"] == 5400
    assert metrics["characters_held_out"] == 600
    # 5399 characters fill 16 rows of 337: 17 chunks a pass, so 150 are 8 passes and 14 more.
    assert metrics["characters_seen"] == 16 * (8 * 337 + 14 * 20)


def test_last_sample_and_the_curve_are_written(ran):
    metrics, written, folder = ran
    moments = [point["characters"] for point in written["curve"]]
    assert [sample["characters"] for sample in written["samples"]] == [
        moments[n] for n in (0, 1, 3, 4)
    ]
    assert written["samples"][-1]["text"] == metrics["sample"]
    assert all(len(sample["text"]) == 50 for sample in written["samples"])
    assert written["curve"][0]["training_bits"] is None
    assert json.loads(json.dumps(metrics)) == metrics  # the last line of its output
    picture = folder / "train_char_lm-embedded-first-6000-curve.svg"
    assert ElementTree.parse(picture).getroot().tag.endswith("svg")


@pytest.mark.parametrize("cell", ["rnn", "gru"])
def test_other_cells_learn_too_and_have_results_of_their_own(cell, tmp_path):
    metrics, _ = run(small(cell=cell), tmp_path)
    assert metrics["held_out_bits"] < 0.9 * metrics["unigram_bits"]
    name = f"train_char_lm-{cell}-embedded-first-6000.json"
    assert (tmp_path / "runs" / "phase02" / name).is_file()


def test_samples_are_printed_while_it_learns(tmp_path, capsys):
    _, written = run(small(n_steps=12, n_measurements=2), tmp_path)
    printed = capsys.readouterr().out
    for sample in written["samples"]:
        for line in sample["text"].strip().splitlines():
            assert f"    {line}" in printed or not line.strip()
    assert printed.count("bits per held-out character") == len(written["curve"])


def test_same_seed_gives_the_same_run_and_another_seed_another(ran, tmp_path_factory):
    again = run(SMALL, tmp_path_factory.mktemp("again"))
    other = run(small(seed=1), tmp_path_factory.mktemp("other"))
    for mine, truth in zip(again, ran[:2], strict=True):
        for name in set(truth) - set(TIMES):
            assert mine[name] == truth[name], name
    assert other[0]["held_out_bits"] != ran[0]["held_out_bits"]
    assert other[0]["sample"] != ran[0]["sample"]


# ---- parts -------------------------------------------------------------------------------


def test_results_are_named_after_what_differs_from_the_exhibit():
    assert Config().name == ""
    assert Config(source="novel").name == "novel"
    assert Config(cell="rnn", source="novel", max_characters=3000).name == "rnn-novel-first-3000"


def test_baselines_of_a_text_by_hand():
    vocabulary = Vocabulary.of("abcd")
    # a 3 times, b once, c and d never, and each once more: 4, 2, 1, 1 of 8.
    corpus = Corpus(vocabulary, vocabulary.encode("aaba"), vocabulary.encode("dabc"))
    found = baselines(corpus)
    assert found["uniform_bits"] == 2
    assert found["unigram_bits"] == (1 + 2 + 3) / 3  # of a, b and c


def test_measurements_begin_at_nothing_and_end_with_the_last_step():
    assert measured_steps(1000, 3) == [0, 10, 100, 1000]
    assert measured_steps(4, 3) == [0, 4]
    assert measured_steps(1, 1) == [0, 1]


def test_rate_rises_to_its_highest_and_falls_to_its_lowest():
    config = Config(n_steps=100, learning_rate=1.0)
    rates = [rate(step, config) for step in range(100)]
    assert rates[:4] == pytest.approx([0.25, 0.5, 0.75, 1.0])
    assert rates[-1] == pytest.approx(train_char_lm.LOWEST_RATE)
    assert all(after < before for before, after in pairwise(rates[3:]))


def test_corpus_is_the_text_with_its_last_tenth_held_out():
    corpus = read_corpus("embedded", "", 500)
    whole = read_corpus("embedded", "")
    text = corpus.vocabulary.decode(np.concatenate([corpus.train, corpus.held_out]))
    assert (len(corpus.train), len(corpus.held_out)) == (450, 50)
    assert len(whole.train) > 200_000
    assert whole.vocabulary.decode(whole.train[:500]) == text


@needs_data
@pytest.mark.parametrize(
    ("source", "first"), [("shakespeare", "First Citizen:"), ("novel", " Jane Eyre")]
)
def test_texts_are_those_of_the_registry(source, first):
    name = {"shakespeare": train_char_lm.SHAKESPEARE}.get(
        source, f"english-novels/{Config().novel}.txt.gz"
    )
    if data.find(name) is None:
        pytest.skip(f"{name} is not in JOURNAL_DATA")
    corpus = read_corpus(source, Config().novel)
    assert corpus.vocabulary.decode(corpus.train[: len(first)]) == first
    assert len(corpus.held_out) > 100_000


def test_unknown_text_is_refused():
    with pytest.raises(
        ValueError, match="the source is shakespeare, novel or embedded, not 'odes'"
    ):
        read_corpus("odes", "")


# ---- mistakes ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "say"),
    [
        ({"n_steps": 0}, "n_steps must be 1 or more, not 0"),
        ({"n_batch": 0}, "n_batch must be 1 or more, not 0"),
        ({"n_measurements": 0}, "n_measurements must be 1 or more, not 0"),
        ({"sample_length": 0}, "sample_length must be 1 or more, not 0"),
        ({"record": True}, "differs between releases of Python"),
    ],
)
def test_settings_that_make_no_sense_are_refused(fault, say):
    with pytest.raises(ValueError, match=say):
        small(**fault)


@pytest.mark.parametrize(
    ("fault", "say"),
    [
        ({"source": "novel", "novel": "Cbronte_Jane_1848"}, "did you mean .*Cbronte_Jane_1847"),
        ({"max_characters": 1}, "max_characters must be 2 or more, not 1"),
        ({"max_characters": 20, "n_batch": 40}, "18 characters cannot fill 40 rows"),
        ({"chunk_length": 0}, "a chunk has at least 1 character, not 0"),
        ({"max_norm": 0.0}, "max_norm must be positive"),
        ({"temperature": -1.0}, "the temperature must be 0 or more"),
        ({"learning_rate": -1.0}, "learning_rate must be 0 or more"),
        ({"d_hidden": 0}, "all sizes must be at least 1"),
    ],
)
def test_run_that_cannot_be_is_refused(fault, say, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=say):
        main(small(**fault))
