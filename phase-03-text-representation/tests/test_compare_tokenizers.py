"""The comparison of tokenizers: the numbers that it must find, on the help text of Python."""

import json

import pytest

from phase03 import compare_tokenizers

SMALL = compare_tokenizers.Config(
    text="python-docs", characters=20_000, sizes=(300, 400), min_counts=(1, 3)
)


@pytest.fixture(scope="module")
def metrics(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        found = compare_tokenizers.main(SMALL)
    written = folder / "runs/phase03/compare_tokenizers.json"
    assert json.loads(written.read_text(encoding="utf-8"))["metrics"] == found
    assert (folder / "runs/phase03/compare_tokenizers-length.svg").is_file()
    return found


def rows(metrics, kind):
    return [row for row in metrics["rows"] if row["kind"] == kind]


def test_text_is_cut_in_two(metrics):
    assert (metrics["seen"], metrics["unseen"]) == (18_000, 2_000)


def test_characters_are_as_many_as_the_text_has(metrics):
    (row,) = rows(metrics, "characters")
    assert row["tokens"] == metrics["unseen"]
    assert row["characters_per_token"] == 1


def test_larger_vocabulary_of_bpe_makes_shorter_sequences(metrics):
    small, large = rows(metrics, "BPE")
    assert (small["vocab_size"], large["vocab_size"]) == SMALL.sizes
    assert metrics["unseen"] > small["tokens"] > large["tokens"]
    assert small["unknown"] == large["unknown"] == 0


def test_smaller_vocabulary_of_words_lacks_more(metrics):
    all_words, frequent = rows(metrics, "words")
    assert all_words["vocab_size"] > frequent["vocab_size"]
    assert all_words["tokens"] == frequent["tokens"]
    assert 0 < all_words["unknown"] < frequent["unknown"] < 1


def test_run_is_the_same_twice(metrics, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert compare_tokenizers.main(SMALL) == metrics


@pytest.mark.parametrize(
    ("fault", "say"),
    [
        ({"sizes": (400, 300)}, "rising order"),
        ({"sizes": (200,)}, "258"),
        ({"sizes": ()}, "sizes"),
        ({"unseen": 0.0}, "unseen"),
        ({"unseen": 1.0}, "unseen"),
        ({"characters": 5}, "characters"),
    ],
)
def test_settings_that_make_no_sense_are_refused(fault, say):
    with pytest.raises(ValueError, match=say):
        compare_tokenizers.Config(**fault)
