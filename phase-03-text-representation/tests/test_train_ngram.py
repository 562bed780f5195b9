"""The script on a small text: what it compares, writes, returns and refuses."""

import json
from dataclasses import replace
from xml.etree import ElementTree

import jaxtyping
import pytest

from phase03 import train_ngram
from phase03.train_ngram import Config, main, readable, split, split_lines

SMALL = Config(source="embedded", n=3, ks=(1.0, 0.01), discounts=(0.7,), sample_words=20)
LINES = ("the king is here", "the queen is there", "where is the king ?", "here is the queen .")
TIMES = ("cpu_seconds", "seconds")


@pytest.fixture(autouse=True)
def few_sentences(monkeypatch):
    """The embedded text is long: 400 sentences of it do, the same ones in every release."""
    sentences = [[*LINES[i % 4].split(), "\n", *LINES[i * 7 % 3].split()] for i in range(400)]
    monkeypatch.setattr(train_ngram, "read_sentences", lambda source, novel: sentences)
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)  # as in use, and quicker


@pytest.fixture
def ran(tmp_path, monkeypatch):
    """(metrics, what was written, the folder) of one run."""
    monkeypatch.chdir(tmp_path)
    metrics = main(SMALL)
    folder = tmp_path / "runs" / "phase03"
    file = folder / "train_ngram-embedded.json"
    return metrics, json.loads(file.read_text(encoding="utf-8"))["metrics"], folder


def test_longer_contexts_help_and_all_beat_knowing_nothing(ran):
    metrics = ran[0]
    assert set(metrics["perplexity"]) == {"add-k", "back-off", "Kneser-Ney"}
    for values in metrics["perplexity"].values():
        assert len(values) == 3
        assert values[0] < metrics["vocabulary"]
        assert values[2] < values[1] < values[0]


def test_sizes_settings_and_samples_are_returned(ran):
    metrics, written, folder = ran
    assert metrics["vocabulary"] == 12  # seven words, two signs, the end of a line, <UNK>, <EOS>
    assert metrics["seen"][0] == 1.0
    assert metrics["settings"]["add-k"][2] in SMALL.ks
    assert all(setting in (None, 0.7) for setting in metrics["settings"]["Kneser-Ney"])
    assert len(metrics["samples"]) == 3
    assert all(0 < len(sample.split()) <= 21 for sample in metrics["samples"])
    assert json.loads(json.dumps(metrics)) == metrics  # the last line of its output
    assert written["perplexity"] == metrics["perplexity"]
    picture = folder / "train_ngram-embedded-perplexity.svg"
    assert ElementTree.parse(picture).getroot().tag.endswith("svg")


def test_word_of_one_context_is_told_from_a_word_of_many(monkeypatch, tmp_path):
    once = [["QUEEN", "ELIZABETH", "my", "lord"] for _ in range(6)]
    many = [[f"w{n}", "nothing", "my", "lord"] for n in range(6)]
    monkeypatch.setattr(train_ngram, "read_sentences", lambda source, novel: (once + many) * 2)
    monkeypatch.chdir(tmp_path)
    found = main(replace(SMALL, min_count=1))["one_context"]
    words = found["ELIZABETH"], found["nothing"]
    assert [(one["count"], one["words_before"]) for one in words] == [(12, 1), (7, 6)]
    ratios = [words[0][kind] / words[1][kind] for kind in ("back-off", "Kneser-Ney")]
    assert ratios[0] > 1 > ratios[1]


def test_same_seed_gives_the_same_run_and_another_seed_other_samples(ran):
    again, other = main(SMALL), main(replace(SMALL, seed=1))
    for name in set(again) - set(TIMES):
        assert again[name] == ran[0][name], name
    assert other["samples"] != again["samples"]
    assert other["perplexity"] == again["perplexity"]


def test_table_and_samples_are_printed(ran, capsys):
    main(SMALL)
    printed = capsys.readouterr().out
    assert "perplexity of the held-out text" in printed
    assert all(f"n = {n}\n" in printed for n in (1, 2, 3))
    assert "To think about" in printed


# ---- parts -------------------------------------------------------------------------------


def test_lines_end_in_a_word_of_their_own():
    assert split_lines("Ana:\nDon't stop!\n") == ["Ana", ":", "\n", "Don't", "stop", "!"]


def test_written_words_are_put_together_again():
    written = ["Ana", ":", "\n", "Don't", "stop", "!", "\n", "\n", "Who", "?"]
    assert readable(written) == "Ana:\nDon't stop!\n\nWho?"


def test_parts_follow_each_other():
    parts = split([[str(n)] for n in range(20)])
    assert [len(part) for part in parts] == [16, 2, 2]
    assert parts.train[0] == ["0"]
    assert parts.validation[0] == ["16"]
    assert parts.held_out[-1] == ["19"]
    with pytest.raises(ValueError, match="9"):
        split([["a"]] * 9)


def test_results_are_named_after_the_text():
    assert Config().name == ""
    assert Config(source="novel").name == "novel"


@pytest.mark.parametrize(
    ("fault", "say"),
    [
        ({"n": 0}, "n must be 1 or more, not 0"),
        ({"min_count": 0}, "min_count must be 1 or more, not 0"),
        ({"sample_words": 0}, "sample_words must be 1 or more, not 0"),
        ({"ks": ()}, "ks must be one or more"),
        ({"record": True}, "differs between releases of Python"),
    ],
)
def test_settings_that_make_no_sense_are_refused(fault, say):
    with pytest.raises(ValueError, match=say):
        replace(SMALL, **fault)


@pytest.mark.parametrize("fault", [{"ks": (0.0,)}, {"discounts": (1.5,)}])
def test_settings_that_are_no_model_are_refused(fault, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=r"k must be positive|discounts"):
        main(replace(SMALL, **fault))


def test_unknown_text_is_refused(monkeypatch):
    monkeypatch.undo()
    with pytest.raises(ValueError, match="shakespeare, novel or embedded, not 'odes'"):
        train_ngram.read_sentences("odes", "")


def test_embedded_text_is_cut_at_its_empty_lines(monkeypatch):
    monkeypatch.undo()
    sentences = train_ngram.read_sentences("embedded", "")
    assert len(sentences) > 1000
    assert all(sentence and "\n" not in (sentence[0], sentence[-1]) for sentence in sentences)
