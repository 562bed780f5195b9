"""The comparison with transformers in tiny sizes: rounding alone, written, the same twice."""

import json

import pytest

from phase05 import compare_with_gpt2
from phase05.compare_with_gpt2 import Config

pytest.importorskip("transformers")
TINY = Config(n_layer=2, n_head=2, d_model=8, vocab_size=11, batch_size=2, n_steps=5)


def test_logits_differ_by_rounding_and_the_same_twice(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    metrics = compare_with_gpt2.main(TINY)
    assert metrics["float64"]["largest_difference"] < 1e-10
    assert metrics["float32"]["largest_difference"] < 1e-4
    assert metrics["float64"]["same_best_token"] == 1
    block = 12 * 8**2 + 13 * 8
    assert metrics["n_parameter"] == (11 + 5) * 8 + 2 * block + 2 * 8
    assert compare_with_gpt2.main(TINY) == metrics
    path = tmp_path / "runs/phase05/compare_with_gpt2.json"
    written = json.loads(path.read_text(encoding="utf-8"))
    assert written["metrics"] == json.loads(json.dumps(metrics))
    assert "float64" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("fault", "say"),
    [({"n_steps": 0}, "n_steps must be 1 or more"), ({"n_head": 3}, "multiple of n_head")],
)
def test_sizes_that_make_no_model_are_refused(fault, say):
    with pytest.raises(ValueError, match=say):
        Config(**fault)
