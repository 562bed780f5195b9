"""The training on reversed digits in a few hundred steps: what it learns, hides and writes."""

import dataclasses
import json
from xml.etree import ElementTree

import numpy as np
import pytest

from phase02 import train_reverse
from phase02.seq2seq import END, Seq2Seq, Seq2SeqConfig, exact_matches, reversal_batch
from phase02.train_reverse import Config, main

SHORT = Config(sizes=(4, 24), max_length=4, beyond=2, n_steps=200, n_test=60, batch_size=32)


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """(metrics, folder of what was written) of one short run."""
    folder = tmp_path_factory.mktemp("reverse")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        return main(SHORT), folder / "runs" / "phase02"


def curves(folder):
    written = json.loads((folder / "train_reverse.json").read_text(encoding="utf-8"))
    return written["metrics"]["curves"]


def test_short_sequences_are_learned_and_long_ones_fail(ran):
    exact = curves(ran[1])["24"]["exact"]
    assert len(exact) == 6
    assert exact[0] == 1.0
    assert exact[1] > 0.9
    assert exact[5] < 0.3


def test_larger_state_carries_longer_sequences(ran):
    small, large = ran[0]["sizes"]["4"], ran[0]["sizes"]["24"]
    assert large["exact_mean"] > small["exact_mean"] + 0.3
    assert large["longest_of_90_percent"] > small["longest_of_90_percent"]
    assert (small["numbers_between_the_halves"], large["numbers_between_the_halves"]) == (8, 48)


def test_digits_are_right_more_often_than_whole_sequences_and_most_when_told(ran):
    for curve in curves(ran[1]).values():
        for exact, digits in zip(curve["exact"], curve["digits"], strict=True):
            assert exact <= digits
        assert np.mean(curve["forced"]) > np.mean(curve["digits"])


def test_same_seed_gives_the_same_result(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    brief = Config(sizes=(6,), max_length=3, beyond=1, n_steps=30, n_test=20, batch_size=16)
    once, again = main(brief), main(brief)
    other = main(dataclasses.replace(brief, seed=1))
    assert once == again
    assert once != other


def test_numbers_and_picture_are_written(ran):
    metrics, folder = ran
    assert json.loads(json.dumps(metrics)) == metrics
    assert sorted(file.name for file in folder.iterdir()) == [
        "train_reverse-accuracy.svg",
        "train_reverse.json",
    ]
    assert ElementTree.parse(folder / "train_reverse-accuracy.svg").getroot().tag.endswith("svg")
    written = json.loads((folder / "train_reverse.json").read_text(encoding="utf-8"))
    assert written["metrics"]["sizes"] == metrics["sizes"]


def test_training_never_sees_a_hidden_sequence():
    tests = train_reverse.held_out(SHORT)
    hidden = set(train_reverse.sequences(tests[3]))
    batch = reversal_batch(np.random.default_rng(0), 3000, 4, 4)
    left = train_reverse.without(batch, hidden)
    assert 0 < len(left.source) < len(batch.source)
    assert not hidden & set(train_reverse.sequences(left))
    np.testing.assert_array_equal(left.target[:, :4], left.source[:, ::-1])


def test_test_sequences_are_fixed_by_the_seed_and_of_one_length_each():
    one, same = train_reverse.held_out(SHORT), train_reverse.held_out(SHORT)
    other = train_reverse.held_out(Config(max_length=4, beyond=2, n_test=60, seed=1))
    assert [test.source.shape for test in one] == [(60, n) for n in range(1, 7)]
    for mine, again, different in zip(one, same, other, strict=True):
        np.testing.assert_array_equal(mine.source, again.source)
        assert np.any(mine.source != different.source)


def test_whole_sequence_is_right_in_greedy_decoding_where_it_is_under_teacher_forcing(capsys):
    config = Config(sizes=(8,), max_length=3, beyond=0, n_steps=100, n_test=50, batch_size=32)
    tests = train_reverse.held_out(config)
    model = train_reverse.train(8, tests, config)
    shares = []
    for test in tests:
        forced = np.argmax(train_reverse.forced_logits(model, test), axis=-1)  # (B, T)
        written = model.greedy(test.source, test.source_mask, test.target.shape[1])
        greedy = exact_matches(written, test.target, test.target_mask)
        np.testing.assert_array_equal(greedy, np.all(forced == test.target, axis=1))
        shares.append(greedy.mean())
    assert 0 < np.mean(shares) < 1  # else the two would be equal for no reason
    assert " -> " in capsys.readouterr().out


def test_model_that_ends_at_once_gets_no_digit_right():
    model = Seq2Seq(Seq2SeqConfig(5, 3), np.random.default_rng(0))
    model.params["output.bias"][END] += 100
    found = train_reverse.measure(model, reversal_batch(np.random.default_rng(1), 20, 3, 3))
    assert (found["exact"], found["digits"], found["forced"]) == (0, 0, 0)


@pytest.mark.parametrize(
    ("fault", "say"),
    [
        ({"sizes": ()}, "sizes must be 1 or more, in rising order"),
        ({"sizes": (8, 4)}, "rising order"),
        ({"max_length": 0}, "max_length must be 1 or more, not 0"),
        ({"n_test": 0}, "n_test"),
        ({"beyond": -1}, "beyond must be 0 or more"),
        ({"learning_rate": 0.0}, "learning_rate must be above 0"),
    ],
)
def test_settings_that_make_no_sense_are_refused(fault, say):
    with pytest.raises(ValueError, match=say):
        Config(**fault)
