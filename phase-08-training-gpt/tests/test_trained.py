"""A trained model, loaded again: from a run, its best checkpoint, or a Hugging Face folder."""

import contextlib
import io
import shutil
from pathlib import Path

import pytest
import torch

from journal import script
from phase07.gpt import GPT, GPTConfig
from phase07.hf_weights import save_hf_gpt2
from phase08 import train
from phase08.tokenizers import GPT2Tokenizer
from phase08.trained import load, load_hf, load_run

OPTIONS = [
    *("--source", "files", "--files", "text.txt", "--tokenizer", "bytes", "--run-dir", "run"),
    *("--steps", "40", "--warmup-steps", "5", "--n-layer", "1", "--n-head", "2"),
    *("--d-model", "16", "--block-size", "16", "--batch-size", "4", "--learning-rate", "0.01"),
    *("--save-every", "10", "--eval-every", "10", "--eval-tokens", "64", "--sample-every", "0"),
    *("--sample-tokens", "4", "--threads", "1", "--device", "cpu", "--dtype", "float32"),
]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained")
    (folder / "text.txt").write_text("the cat sat on the mat and ate the rat. " * 100)
    with contextlib.chdir(folder), contextlib.redirect_stdout(io.StringIO()):
        script.run(train.main, train.PRESETS, OPTIONS)
    return folder


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Path:
    shutil.copytree(trained / "run", tmp_path / "run")
    return tmp_path / "run"


def test_the_newest_checkpoint_comes_with_tokenizer_data_and_step(run: Path) -> None:
    found = load_run(run)
    assert found.step == 40
    assert found.complaints == []
    assert not found.model.training
    assert found.tokenizer.decode(found.tokenizer.encode("a cat")) == "a cat"
    assert found.data is not None
    assert found.data.name == "files-bytes"


def test_the_loaded_model_has_learned(run: Path) -> None:
    found = load_run(run)
    ids = torch.tensor([found.tokenizer.encode("the cat sat on ").tolist()])  # (1, T)
    with torch.no_grad():
        loss = found.model.loss(ids[:, :-1], ids[:, 1:])
    assert loss < 5.0  # nats; a model that guesses among 257 bytes has 5.55


def test_a_damaged_checkpoint_is_passed_over_with_a_sentence(run: Path) -> None:
    weights = run / "checkpoints" / "step-00000040" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-3])
    found = load_run(run)
    assert found.step == 30
    assert len(found.complaints) == 1
    assert "step-00000040" in found.complaints[0]


def test_a_damaged_best_checkpoint_gives_way_to_the_newest(run: Path) -> None:
    best = load_run(run, "best")
    assert best.step in (10, 20, 30, 40)
    weights = run / "checkpoints" / f"step-{best.step:08}" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-3])
    found = load_run(run, "best")
    assert found.step != best.step
    assert any(weights.parent.name in complaint for complaint in found.complaints)


def test_a_folder_that_is_no_run_and_one_without_checkpoints_are_refused(run: Path) -> None:
    with pytest.raises(FileNotFoundError, match="not the folder of a run"):
        load_run(run / "checkpoints")
    shutil.rmtree(run / "checkpoints")
    with pytest.raises(FileNotFoundError, match="no checkpoint yet"):
        load_run(run)


def test_a_hugging_face_folder_comes_with_its_own_tokenizer_and_goes_first(
    run: Path, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    model = GPT(GPTConfig(n_layer=1, n_head=2, d_model=8, block_size=12, vocab_size=50257))
    save_hf_gpt2(model, tmp_path / "gpt2")
    for found in (load_hf(tmp_path / "gpt2"), load(run, "last", tmp_path / "gpt2")):
        assert isinstance(found.tokenizer, GPT2Tokenizer)
        assert (found.data, found.step, found.complaints) == (None, None, [])
        ours, theirs = model.state_dict(), found.model.state_dict()
        assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert load(run).step == 40
