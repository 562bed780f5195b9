"""GPT-2 of Hugging Face's transformers and ours in NumPy: the same random weights, the same logits.

    uv run journal run phase05.compare_with_gpt2

A `GPT2LMHeadModel` with random weights is made, its parameters are handed to `phase05.gpt2`, and
both read the same random tokens, in float64 and in float32. The largest difference between any two
logits is what is measured: in float64 it is rounding, in float32 it is more of it.

It needs the package transformers, and PyTorch with it; no weights are downloaded. Left out: the
weights that were released, which phase 7 loads. Shapes: B batch, T time, V vocabulary.
"""

import time
from dataclasses import dataclass
from typing import Any

import numpy as np

from journal import record, script
from phase05.gpt2 import GPT2Config, gpt2_logits, turned


@dataclass(frozen=True)
class Config:
    n_layer: int = 4
    n_head: int = 4
    d_model: int = 128
    vocab_size: int = 1000
    batch_size: int = 2
    n_steps: int = 64
    """tokens in each row"""
    spread: float = 0.1
    """deviation of what is added to each weight, so that none of them is 0 or 1"""
    seed: int = 0
    record: bool = False

    def __post_init__(self) -> None:
        for name in ("n_layer", "n_head", "d_model", "vocab_size", "batch_size", "n_steps"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be 1 or more, not {getattr(self, name)}")
        if self.d_model % self.n_head:
            raise ValueError(
                f"d_model must be a multiple of n_head, not {self.d_model} and {self.n_head}"
            )


def main(config: Config) -> dict[str, Any]:
    """Compare the logits in both precisions; returns the largest differences."""
    started = time.perf_counter()
    rng = np.random.default_rng([config.seed, 1])
    ids = rng.integers(0, config.vocab_size, (config.batch_size, config.n_steps))  # (B, T)
    stored, truths = transformers_logits(config, ids)
    metrics: dict[str, Any] = {"n_parameter": sum(value.size for value in stored.values())}
    print(f"{metrics['n_parameter']:,} parameters, {ids.size} tokens, as many rows of logits")
    for name, truth in truths.items():
        params = {key: value.astype(name) for key, value in turned(stored).items()}
        logits = gpt2_logits(params, ids, GPT2Config(config.n_layer, config.n_head))  # (B, T, V)
        difference = float(np.abs(logits - truth).max())
        metrics[name] = {
            "largest_logit": round(float(np.abs(truth).max()), 4),
            "largest_difference": float(f"{difference:.3g}"),
            "same_best_token": round(float(np.mean(logits.argmax(-1) == truth.argmax(-1))), 4),
        }
        print(f"{name}: logits up to {np.abs(truth).max():.3g}, they differ by {difference:.2g}")
    seconds = time.perf_counter() - started
    record.write(__file__, config=config, metrics=metrics, seconds=seconds, record=config.record)
    return metrics


def transformers_logits(
    config: Config, ids: np.ndarray
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """The parameters of a random GPT-2 in transformers, and its logits by the name of the dtype.

    Raises ValueError where the package is not installed.
    """
    try:
        import torch
        from transformers import GPT2Config as TheirConfig
        from transformers import GPT2LMHeadModel
    except ImportError as error:
        raise ValueError(
            f"this comparison needs torch and transformers, and {error.name} is missing: run "
            "`make setup`, or `pip install torch transformers`"
        ) from error
    torch.manual_seed(config.seed)
    sizes: dict[str, Any] = {
        "n_layer": config.n_layer,
        "n_head": config.n_head,
        "n_embd": config.d_model,
        "n_positions": config.n_steps,
        "vocab_size": config.vocab_size,
        "bos_token_id": None,  # 50256 by default, which is no token of a small vocabulary
        "eos_token_id": None,
    }
    model = GPT2LMHeadModel(TheirConfig(**sizes)).double().eval()
    truths = {}
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=config.spread)
        stored = {name: value.numpy().copy() for name, value in model.state_dict().items()}
        for name in ("float64", "float32"):
            model = model.to(getattr(torch, name))
            truths[name] = model(torch.from_numpy(ids)).logits.numpy()
    del stored["lm_head.weight"]  # the token embedding once more
    return stored, truths


if __name__ == "__main__":
    script.run(main, Config)
