"""The benchmark of byte pair encoding: what it compares and states. No test asserts a time."""

import json

import pytest

from journal import data
from phase03 import benchmark_tokenizers
from phase03.bpe import ByteLevelBPE

SMALL = benchmark_tokenizers.Config(
    text="python-docs",
    encoded=("python-docs",),
    characters=2000,
    merges=(3, 10),
    naive_merges=3,
    parts=(2, 1),
    rounds=2,
)
WAYS = {"ours", "tokenizers"}


@pytest.fixture(autouse=True)
def there(monkeypatch):
    if not all(data.find(name) for name in data.TIKTOKEN_FILES):
        pytest.skip("GPT-2's vocabulary (tiktoken-cache) is not there: set JOURNAL_DATA")


def test_benchmark_states_all_ratios(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    returned = benchmark_tokenizers.main(SMALL)
    written = tmp_path / "runs/phase03/benchmark_tokenizers.json"
    metrics = json.loads(written.read_text(encoding="utf-8"))["metrics"]
    assert [one["merges"] for one in metrics["training"]] == [3, 10]
    assert [set(one["seconds"]) for one in metrics["training"]] == [WAYS | {"naive"}, WAYS]
    assert [one["characters"] for one in metrics["training_by_length"]] == [1000, 2000]
    assert returned["training_ratio"] == metrics["training"][-1]["ratio"]
    (encoded,) = metrics["encoding"]
    assert encoded["bytes"] >= 2000 > encoded["tokens"]
    assert set(returned["encoding"]["python-docs"]) == {
        f"{ours} / {theirs}"
        for ours in ("ours", "ours, again")
        for theirs in ("tiktoken", "tokenizers")
    }
    for ratio in (returned["training_ratio"], *returned["encoding"]["python-docs"].values()):
        assert 0 < ratio["least"] <= ratio["median"] <= ratio["most"]
    assert (tmp_path / "runs/phase03/benchmark_tokenizers-training.svg").is_file()


def test_nothing_is_timed_where_merges_differ(monkeypatch):
    monkeypatch.setattr(benchmark_tokenizers, "naive_merges", lambda text, merges: [(0, 1)])
    with pytest.raises(RuntimeError, match="naive"):
        benchmark_tokenizers.training("the cat sat", 3, SMALL)


def test_nothing_is_timed_where_ids_differ(monkeypatch):
    data.use_tiktoken_cache()
    monkeypatch.setattr(ByteLevelBPE, "encode", lambda self, text: [1, 2])
    with pytest.raises(RuntimeError, match="tiktoken"):
        benchmark_tokenizers.encoding("python-docs", SMALL)


def test_ways_take_turns_and_change_order():
    asked = []
    ways = {name: lambda name=name: asked.append(name) for name in "abc"}
    seconds = benchmark_tokenizers.take_turns(ways, 3)
    assert "".join(asked) == "cbaabccba"
    assert [len(seconds[name]) for name in "abc"] == [3, 3, 3]


def test_ratio_is_that_of_the_rounds():
    found = benchmark_tokenizers.ratio([2.0, 3.0, 8.0], [1.0, 2.0, 2.0])
    assert found == {"median": 2.0, "least": 1.5, "most": 4.0}


@pytest.mark.parametrize(
    ("fault", "say"),
    [
        ({"merges": ()}, "merges"),
        ({"merges": (128, 32)}, "rising order"),
        ({"naive_merges": 5}, "naive_merges"),
        ({"characters": 0}, "characters"),
        ({"rounds": 0}, "rounds"),
        ({"parts": ()}, "parts"),
    ],
)
def test_settings_that_make_no_sense_are_refused(fault, say):
    with pytest.raises(ValueError, match=say):
        benchmark_tokenizers.Config(**fault)
