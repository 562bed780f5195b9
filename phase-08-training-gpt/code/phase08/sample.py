"""Let a trained model write.

    uv run journal run phase08.sample --prompt "The " --tokens 300
    uv run journal run phase08.sample --run-dir runs/shakespeare-shakespeare-char --temperature 1
    uv run journal run phase08.sample --hf-folder path/to/gpt2 --prompt "In a hole in the ground"

`--temperature 0` always takes the likeliest token; `--top-k` and `--top-p` cut off the unlikely.
"""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch

from journal import data, script
from phase07.generate import generate, stream
from phase08 import devices
from phase08.tokenizers import GPT2Tokenizer, Tokenizer
from phase08.trained import load


@dataclass(frozen=True)
class Config:
    run_dir: Path = Path("runs/tiny-python-docs-bpe")
    """the folder of a training run"""
    checkpoint: Literal["last", "best"] = "last"
    hf_folder: Path | None = None
    """a Hugging Face GPT-2 folder (config.json, model.safetensors), instead of a run"""
    prompt: str = ""
    tokens: int = 300
    """tokens to write"""
    samples: int = 1
    """texts to write; more than one are written side by side and printed one after another"""
    temperature: float = 0.8
    top_k: int | None = None
    top_p: float | None = None
    seed: int = 1337
    device: str = "auto"


def main(config: Config) -> dict[str, Any]:
    """Write `samples` texts after the prompt; returns how many tokens came at which rate."""
    if config.tokens < 1 or config.samples < 1:
        raise ValueError("--tokens and --samples must be at least 1")
    device = devices.choose(config.device, "float32", "off").device
    trained = load(config.run_dir, config.checkpoint, config.hf_folder)
    if isinstance(trained.tokenizer, GPT2Tokenizer):
        data.use_tiktoken_cache()
    for complaint in trained.complaints:
        print(complaint)
    model, tokenizer = trained.model.to(device), trained.tokenizer
    start = [tokenizer.end_of_text, *tokenizer.encode(config.prompt).tolist()]
    ids = torch.tensor([start] * config.samples, device=device)  # (samples, T)
    options: dict[str, Any] = {
        "temperature": config.temperature,
        "top_k": config.top_k,
        "top_p": config.top_p,
        "stop_token": tokenizer.end_of_text,
        "generator": torch.Generator(device).manual_seed(config.seed),
    }
    started = time.perf_counter()
    if config.samples == 1:
        written = _print_stream(tokenizer, config, stream(model, ids, config.tokens, **options))
    else:
        rows = generate(model, ids, config.tokens, **options)
        written = rows[:, len(start) :].numel()
        for row in rows[:, 1:].cpu().numpy():
            print(tokenizer.decode(row), end="\n---\n")
    seconds = time.perf_counter() - started
    return {"tokens": written, "tokens_per_second": round(written / seconds, 1)}


def _print_stream(tokenizer: Tokenizer, config: Config, columns: Any) -> int:
    """Print each token as it comes, holding back bytes that do not make a character yet."""
    print(config.prompt, end="", flush=True)
    pending: list[int] = []
    count = 0
    for column in columns:
        count += 1
        pending.append(int(column[0]))
        text = tokenizer.decode(pending)
        if not text.endswith("�") or len(pending) > 8:
            print(text, end="", flush=True)
            pending = []
    print(tokenizer.decode(pending))
    return count


if __name__ == "__main__":
    script.run(main, Config)
