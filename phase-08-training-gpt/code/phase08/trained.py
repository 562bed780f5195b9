"""A trained model with its tokenizer, from the folder of a run or a Hugging Face GPT-2 folder."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from phase07.gpt import GPT, GPTConfig
from phase07.hf_weights import load_hf_gpt2
from phase08 import checkpoint, tokenizers
from phase08.run_folder import RunFolder
from phase08.tokenizers import GPT2Tokenizer, Tokenizer
from phase08.trainer import restore_model


@dataclass(frozen=True)
class Trained:
    """A model in evaluation mode, its tokenizer, its data folder (None for Hugging Face's), the
    step it stands at, and a sentence for each damaged checkpoint that was passed over."""

    model: GPT
    tokenizer: Tokenizer
    data: Path | None
    step: int | None
    complaints: list[str]


def load(
    run_dir: Path, which: Literal["last", "best"] = "last", hf_folder: Path | None = None
) -> Trained:
    """The model of a run, or of a Hugging Face folder where one is named."""
    return load_hf(hf_folder) if hf_folder else load_run(run_dir, which)


def load_run(folder: Path, which: Literal["last", "best"] = "last") -> Trained:
    """The model of a run: of its newest whole checkpoint, or of the best on validation text."""
    there = RunFolder(folder)
    if not there.exists:
        raise FileNotFoundError(
            f"{folder} is not the folder of a run (it has no config.json); train one with "
            f"`uv run journal train`, or name another with --run-dir"
        )
    saved = there.read()
    path, state, complaints = there.latest()
    if path is None:
        raise FileNotFoundError(
            f"{folder} has no checkpoint yet; go on with the training that it belongs to"
        )
    if which == "best" and state["best"] is not None:
        try:
            path = there.checkpoint_of(state["best"]["step"])
            checkpoint.verify(path)
        except (ValueError, FileNotFoundError) as error:
            path = there.latest().path or path
            complaints = [*complaints, f"{error}; taking {path} instead"]
    tensors, state = checkpoint.load(path)
    model = GPT(GPTConfig(**saved["model"]))
    restore_model(model, tensors["model"])
    tokenizer = tokenizers.from_dict(saved["tokenizer"])
    return Trained(model.eval(), tokenizer, Path(saved["data_dir"]), state["step"], complaints)


def load_hf(folder: Path) -> Trained:
    """GPT-2 as Hugging Face stores it, with GPT-2's own tokenizer."""
    return Trained(load_hf_gpt2(folder).eval(), GPT2Tokenizer(), None, None, [])
