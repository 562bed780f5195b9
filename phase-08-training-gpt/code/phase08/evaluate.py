"""Evaluate a trained model on a whole split: nats a token, perplexity, bits a byte.

    uv run journal run phase08.evaluate                      # the validation split of `make train`
    uv run journal run phase08.evaluate --split test --stride 32
    uv run journal run phase08.evaluate --hf-folder path/to/gpt2 --data-dir data/novels-gpt2

With `--stride` smaller than the context the windows overlap, so that each token is predicted
from at least (context - stride) tokens before it. The test split is for the one number that is
reported in the end: choose nothing by it.
"""

import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from journal import data, record, script
from phase08 import devices, shards
from phase08.perplexity import evaluate
from phase08.prepare import LEARNED
from phase08.tokenizers import GPT2Tokenizer
from phase08.trained import load


@dataclass(frozen=True)
class Config:
    run_dir: Path = Path("runs/tiny-python-docs-bpe")
    """the folder of a training run"""
    checkpoint: Literal["last", "best"] = "last"
    hf_folder: Path | None = None
    """a Hugging Face GPT-2 folder, instead of a run"""
    data_dir: Path | None = None
    """prepared data to evaluate on; by default what the run was trained on"""
    split: Literal["train", "val", "test"] = "val"
    stride: int | None = None
    """new predictions a window; by default the context length (windows end to end)"""
    batch_size: int = 16
    max_tokens: int | None = None
    """only about as many predictions, spread evenly: an estimate"""
    device: str = "auto"
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    """of the products; auto is what training on this device takes"""
    record: bool = False


def main(config: Config) -> dict[str, Any]:
    """The loss over the split; prints it in its three forms."""
    started = time.perf_counter()
    device = devices.choose(config.device, config.dtype, "off")
    trained = load(config.run_dir, config.checkpoint, config.hf_folder)
    if isinstance(trained.tokenizer, GPT2Tokenizer):
        data.use_tiktoken_cache()
    for complaint in trained.complaints:
        print(complaint)
    folder = config.data_dir or trained.data
    if folder is None:
        raise ValueError("say what to evaluate on: --data-dir, a folder made by phase08.prepare")
    kind = trained.tokenizer.to_dict()["kind"]
    if shards.read_tokenizer(folder).to_dict() != trained.tokenizer.to_dict():
        learned = f"; {kind} is learned from a text, so only the model's own fits, {trained.data}"
        again = f"; prepare the text again with --tokenizer {kind}"
        raise ValueError(
            f"{folder} was prepared with another tokenizer than the model's"
            f"{learned if kind in LEARNED else again}"
        )
    found = evaluate(
        trained.model.to(device.device),
        shards.open_split(folder, config.split),
        device,
        token_bytes=trained.tokenizer.token_bytes(),
        stride=config.stride,
        batch_size=config.batch_size,
        max_tokens=config.max_tokens,
    )
    metrics = {
        **asdict(found),
        "perplexity": found.perplexity,
        "bits_per_byte": found.bits_per_byte,
        "split": config.split,
        "step": trained.step,
    }
    print(
        f"{config.split}: {found.loss:.4f} nats a token, perplexity {found.perplexity:.2f}, "
        f"{found.bits_per_byte:.4f} bits a byte ({found.tokens:,} tokens, {found.bytes:,} bytes)"
    )
    record.write(
        __file__,
        config=config,
        metrics=metrics,
        seconds=time.perf_counter() - started,
        record=config.record,
    )
    return metrics


if __name__ == "__main__":
    script.run(main, Config)
