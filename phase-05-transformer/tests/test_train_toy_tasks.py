"""The training on toy tasks in a few dozen steps: what it learns, hides, writes and draws."""

import dataclasses
import json
from xml.etree import ElementTree

import pytest

from phase05 import train_toy_tasks
from phase05.toy_tasks import answer, is_held_out, target_symbols
from phase05.train_toy_tasks import Config, main

SHORT = Config(
    tasks=("copy",),
    max_length=2,
    n_steps=130,
    batch_size=24,
    d_model=24,
    n_head=3,
    d_ff=32,
    n_layer=1,
    warmup_steps=30,
    scale=0.3,
    n_test=40,
)
TINY = dataclasses.replace(SHORT, tasks=("reverse", "words"), n_steps=3, n_test=5, d_model=6)


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """(metrics, folder of what was written) of one short run."""
    folder = tmp_path_factory.mktemp("toy")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        return main(SHORT), folder / "runs" / "phase05"


def test_two_digits_are_copied_after_a_few_steps(ran):
    copy = ran[0]["tasks"]["copy"]
    # Half of the held-out ones are 4 or 5 alone, which the training shows in pairs only.
    assert copy["exact"] > 0.7
    assert copy["beam"] > 0.7
    assert copy["longer"] < copy["exact"]
    assert ran[0]["exact_least"] == copy["exact"]


def test_loss_falls_and_exact_answers_rise(ran):
    written = json.loads((ran[1] / "train_toy_tasks.json").read_text(encoding="utf-8"))
    curve = written["metrics"]["curves"]["copy"]
    assert curve["step"][-1] == 130
    assert curve["loss"][0] > 1.5 > curve["loss"][-1]
    assert curve["exact"][0] < 0.3 < 0.8 < curve["exact"][-1]


def test_numbers_and_pictures_are_written(ran):
    metrics, folder = ran
    assert json.loads(json.dumps(metrics)) == metrics
    assert sorted(file.name for file in folder.iterdir()) == [
        "train_toy_tasks-attention-copy.svg",
        "train_toy_tasks-curves.svg",
        "train_toy_tasks.json",
    ]
    for picture in folder.glob("*.svg"):
        assert ElementTree.parse(picture).getroot().tag.endswith("svg")


def test_same_seed_gives_the_same_result(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def without_time(metrics):
        return {
            task: {name: value for name, value in row.items() if "seconds" not in name}
            for task, row in metrics["tasks"].items()
        }

    monkeypatch.setattr(train_toy_tasks, "N_CHECKED", 20)
    words = dataclasses.replace(TINY, tasks=("words",))
    once, again = without_time(main(TINY)), without_time(main(words))
    assert once["words"] == again["words"]  # whatever else is trained
    assert "longer" in once["reverse"]
    assert "longer" not in once["words"]
    _, curve = train_toy_tasks.train("words", words)
    _, other = train_toy_tasks.train("words", dataclasses.replace(words, seed=1))
    assert curve["loss"] != other["loss"]


def test_training_never_sees_a_held_out_sequence(monkeypatch):
    seen = []

    def spy(*arguments, **options):
        batch = task_batch(*arguments, **options)
        seen.extend(zip(batch.source, batch.source_mask, strict=True))
        return batch

    task_batch = train_toy_tasks.task_batch
    monkeypatch.setattr(train_toy_tasks, "task_batch", spy)
    train_toy_tasks.train("reverse", TINY)
    assert len(seen) == train_toy_tasks.N_CHECKED + 3 * TINY.batch_size
    assert not any(is_held_out(source[mask].tolist()) for source, mask in seen)


def test_attention_is_drawn_of_every_layer_and_head_with_the_digits_and_the_words():
    model = train_toy_tasks.untrained("words", TINY)
    figure = train_toy_tasks.attention_of("words", model, TINY)
    pictures = [ax.images[0].get_size() for ax in figure.axes]
    below = [[label.get_text() for label in ax.get_xticklabels()] for ax in figure.axes[::3]]
    digits, (start, *said), same = below
    assert start == "<START>"
    assert same == digits
    words = [target_symbols("words")[i] for i in answer("words", list(map(int, digits)))]
    assert said == words[:-1]  # all that is written but the end
    n_read, n_given = len(digits), len(words)
    shapes = [(n_read, n_read), (n_given, n_given), (n_given, n_read)]
    assert pictures == [shape for shape in shapes for _ in range(TINY.n_head)]


@pytest.mark.parametrize(
    ("fault", "say"),
    [
        ({"tasks": ()}, "tasks"),
        ({"tasks": ("copy", "copy")}, "tasks"),
        ({"tasks": ("sort",)}, "sort"),
        ({"n_steps": 0}, "n_steps"),
        ({"n_test": 0}, "n_test"),
        ({"max_length": 1}, "max_length"),
        ({"max_length": 13}, "max_length"),
    ],
)
def test_settings_that_make_no_sense_are_refused(fault, say):
    with pytest.raises(ValueError, match=say):
        Config(**fault)
