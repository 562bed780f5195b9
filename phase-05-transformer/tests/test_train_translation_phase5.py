"""The translation on a language of a few words: what it learns, writes and refuses."""

import dataclasses
import itertools
import json
from xml.etree import ElementTree

import numpy as np
import pytest

from phase03.bpe import ByteLevelBPE
from phase05 import train_translation
from phase05.train_translation import Config, batches, main, score_bleu

NUMBERS = {"zwei": "two", "drei": "three", "vier": "four"}
COLOURS = {"rote": "red", "alte": "old", "neue": "new"}
THINGS = {"Hunde": "dogs", "Autos": "cars", "Boote": "boats"}
PAIRS = [
    (f"{n} {c} {t}.", f"{NUMBERS[n]} {COLOURS[c]} {THINGS[t]}.")
    for n, c, t in itertools.product(NUMBERS, COLOURS, THINGS)
]
SHORT = Config(
    n_epochs=40,
    batch_size=8,
    vocab_size=300,
    d_model=24,
    n_head=3,
    d_ff=32,
    n_layer=1,
    dropout=0.0,
    warmup_steps=20,
    scale=0.25,
    width=2,
    n_val=9,
)


@pytest.fixture
def words(monkeypatch):
    """The little language instead of the data set; every third sentence is for validation."""
    parts = {"train": PAIRS, "val": PAIRS[::3], "test_2016_flickr": PAIRS[1::3]}
    read = []

    def read_pairs(part, limit):
        read.append(part)
        return parts[part][:limit]

    monkeypatch.setattr(train_translation, "read_pairs", read_pairs)
    return read


def test_a_little_language_is_learned_by_heart_and_all_is_written(words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    metrics = main(SHORT)
    assert metrics["val_bleu_greedy"] > 95
    assert metrics["val_bleu_beam"] > 95
    assert metrics["val_loss"] < 0.2
    assert "test_bleu_beam" not in metrics
    assert words == ["train", "val"]  # the test part stays closed
    folder = tmp_path / "runs" / "phase05"
    assert sorted(file.name for file in folder.iterdir()) == [
        "train_translation-attention.svg",
        "train_translation-curve.svg",
        "train_translation.json",
    ]
    for picture in folder.glob("*.svg"):
        assert ElementTree.parse(picture).getroot().tag.endswith("svg")
    written = json.loads((folder / "train_translation.json").read_text(encoding="utf-8"))
    assert len(written["metrics"]["curve"]["val_loss"]) == SHORT.n_epochs
    assert written["metrics"]["examples"][0]["german"] == PAIRS[0][0]
    assert json.loads(json.dumps(metrics)) == metrics


def test_same_seed_gives_the_same_result_and_the_test_part_is_read_on_demand(
    words, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    brief = dataclasses.replace(SHORT, n_epochs=1, n_val=3, dropout=0.2, test=True)
    once, again = main(brief), main(brief)
    assert words.count("test_2016_flickr") == 2
    for name in ("val_loss", "val_bleu_beam", "test_bleu_greedy", "test_length_ratio"):
        assert once[name] == again[name]
    other = main(dataclasses.replace(brief, seed=1, test=False))
    assert once["val_loss"] != other["val_loss"]


def test_batches_hold_every_pair_once_and_like_lengths_together():
    rng = np.random.default_rng(0)
    lengths = rng.integers(1, 30, 100)
    ids = [([i] * int(n), [i] * int(n + i % 3)) for i, n in enumerate(lengths, start=1)]
    found = list(batches(ids, 8, np.random.default_rng(1)))
    assert len(found) == 13
    firsts = [source for batch in found for source in batch.source[:, 0].tolist()]
    assert sorted(firsts) == list(range(1, 101))
    filled = 1 - np.mean([batch.target_mask.mean() for batch in found])
    assert filled < 0.1
    for batch in found:
        np.testing.assert_array_equal(batch.source[:, 0], batch.target[:, 0])
    again = list(batches(ids, 8, np.random.default_rng(2)))
    assert [b.source.shape for b in found] != [b.source.shape for b in again]


def test_translations_come_back_in_the_order_of_the_sentences(monkeypatch):
    tokenizer = ByteLevelBPE.train([text for pair in PAIRS for text in pair], 300)
    model = train_translation.untrained(tokenizer, SHORT)
    asked = [PAIRS[0][0] + PAIRS[5][0], PAIRS[3][0], PAIRS[2][0] * 3]

    def echo(model, source, mask, longest):
        return np.where(mask, source, tokenizer.end_of_text)

    monkeypatch.setattr(train_translation, "greedy", echo)
    assert train_translation.translate(model, tokenizer, asked, 1, 0.0) == asked
    monkeypatch.setattr(train_translation, "AT_ONCE", 2)
    assert train_translation.translate(model, tokenizer, asked, 1, 0.0) == asked


def test_bleu_is_100_for_the_reference_itself_and_low_for_another():
    sentences = ["a man rides a red horse on the beach .", "two dogs play in the grass ."]
    assert score_bleu(sentences, sentences) == {"bleu": 100.0, "length_ratio": 1.0}
    assert score_bleu(sentences[::-1], sentences)["bleu"] < 10


def test_labels_are_not_smoothed_in_the_loss_of_the_validation():
    texts = [text for pair in PAIRS for text in pair]
    tokenizer = ByteLevelBPE.train(texts, 300)
    ids = train_translation.encoded(PAIRS, tokenizer)
    losses = []
    for smoothing in (0.0, 0.3):
        config = dataclasses.replace(SHORT, label_smoothing=smoothing, dropout=0.5)
        model = train_translation.untrained(tokenizer, config)
        losses.append(train_translation.plain_loss(model, ids, config))
        assert model.config.label_smoothing == smoothing
    assert losses[0] == losses[1]


@pytest.mark.parametrize(
    "fault",
    [{"n_epochs": 0}, {"batch_size": 0}, {"max_tokens": 0}, {"width": 0}, {"n_val": 0}],
)
def test_settings_that_make_no_sense_are_refused(fault):
    with pytest.raises(ValueError, match=next(iter(fault))):
        Config(**fault)


def test_sentences_that_are_all_too_long_are_refused(words):
    with pytest.raises(ValueError, match="max_tokens"):
        main(dataclasses.replace(SHORT, max_tokens=1))
