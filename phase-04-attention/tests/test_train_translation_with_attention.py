"""The translation in a few dozen steps: what it learns by heart, measures and writes."""

import dataclasses
import json
from xml.etree import ElementTree

import pytest

from journal import data
from phase04.sentence_pairs import Pair
from phase04.train_translation_with_attention import Config, begin, bleu, main, read

pytestmark = pytest.mark.skipif(
    data.find("multi30k/train.de.gz") is None, reason="multi30k is not there: set JOURNAL_DATA"
)

SHORT = Config(
    max_words=8,
    min_count=1,
    d_embedding=24,
    d_hidden=32,
    dropout=0.0,
    n_epochs=12,
    batch_size=8,
    learning_rate=0.02,
    max_pairs=32,
)


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """(metrics, folder of what was written) of one short run."""
    folder = tmp_path_factory.mktemp("translation")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        return main(SHORT), folder / "runs" / "phase04"


def test_training_pairs_are_learned(ran):
    written = json.loads(
        (ran[1] / "train_translation_with_attention.json").read_text(encoding="utf-8")
    )
    curve = written["metrics"]["curve"]
    assert curve["train_loss"][-1] < 0.75 * curve["train_loss"][0]
    assert {len(values) for values in curve.values()} == {12}


def test_metrics_count_what_was_kept_and_read(ran):
    metrics = ran[0]
    assert metrics["pairs"] == {"train": 32, "val": 32}
    assert (metrics["test_pairs"], metrics["all_test_pairs"]) == (32, 32)
    assert 0 <= metrics["test_bleu"] <= 100
    assert json.loads(json.dumps(metrics)) == metrics


def test_numbers_and_pictures_are_written(ran):
    names = sorted(file.name for file in ran[1].iterdir())
    stem = "train_translation_with_attention"
    assert names == [f"{stem}-alignments.svg", f"{stem}-curve.svg", f"{stem}.json"]
    for name in names[:2]:
        assert ElementTree.parse(ran[1] / name).getroot().tag.endswith("svg")


def test_same_seed_gives_the_same_result_and_the_test_set_is_left_alone(
    tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    brief = Config(
        attention="general",
        max_words=6,
        d_embedding=6,
        d_hidden=8,
        n_epochs=1,
        batch_size=8,
        max_pairs=16,
        test=False,
    )
    once, again, other = (main(dataclasses.replace(brief, seed=seed)) for seed in (0, 0, 1))
    assert once == again
    assert once != other
    assert not [name for name in once if "test" in name]
    assert "test_2016" not in capsys.readouterr().out


def test_sentences_are_read_german_first_and_none_is_too_long():
    pairs = read("val", 8, SHORT)
    assert len(pairs) == 32
    assert all(len(pair.source.split()) <= 8 for pair in pairs)
    assert " ein" in " ".join(pair.source.lower() for pair in pairs)
    assert " a " in " ".join(pair.target.lower() for pair in pairs)


def test_translations_come_in_the_order_of_their_sources():
    pairs = [Pair("ein Hund", "a dog"), Pair("ein Hund läuft schnell .", "a dog runs fast .")] * 2
    translator = begin(pairs, SHORT)
    found = translator.translate(pairs)
    assert found == [translator.translate([pair])[0] for pair in pairs]
    assert translator.loss(pairs) == pytest.approx(
        (3 * translator.loss(pairs[:1]) + 6 * translator.loss(pairs[1:2])) / 9, rel=1e-5
    )


def test_bleu_takes_both_cases_for_one_and_an_unknown_word_for_wrong():
    reference = ["A small dog runs over the grass ."]
    assert bleu(["a small dog runs over the grass ."], reference) == 100
    assert bleu(["a small <UNK> runs over the grass ."], reference) < 80


@pytest.mark.parametrize(
    ("fault", "say"),
    [
        ({"attention": "none"}, "attention is one of"),
        ({"max_words": 0}, "max_words must be 1 or more, not 0"),
        ({"max_pairs": 3}, "max_pairs must be 4 or more, not 3"),
        ({"learning_rate": 0.0}, "learning_rate must be above 0"),
    ],
)
def test_settings_that_make_no_sense_are_refused(fault, say):
    with pytest.raises(ValueError, match=say):
        Config(**fault)
