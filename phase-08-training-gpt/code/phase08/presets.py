"""What a training run is made of: one flat config, and the presets that fill it.

    tiny              the architecture and step budget of nanoGPT's recipe for a CPU, at three
                      times its learning rate, which serves so small a model better, and with
                      byte pairs learned from the text in place of characters
    shakespeare       nanoGPT's character model of Shakespeare: minutes on a GPU, hours on a CPU
    gpt2-small        GPT-2 Small, 124M parameters, on 2.5 billion tokens
    gpt2-small-check  its rehearsal: the same in every size, on 100 million tokens

Units: steps are optimizer steps; one step is `batch_size * accumulation` sequences of
`block_size` tokens, however many processes share them.
"""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from phase07.gpt import GPTConfig
from phase08 import tokenizers
from phase08.schedule import Schedule


@dataclass(frozen=True)
class TrainConfig:
    """One training run. Every field is an option: `n_layer` is `--n-layer`."""

    preset: str = "tiny"
    """where the values below come from"""

    # data
    source: str = "python-docs"
    """text to train on: python-docs (no download), shakespeare, novels, ..., or files"""
    tokenizer: Literal["char", "bytes", "bpe", "gpt2"] = "bpe"
    """how text becomes token ids: characters, bytes, byte pairs learned from the text, GPT-2's"""
    vocab_size: int | None = None
    """for --tokenizer bpe: how many tokens to learn; by default 1024"""
    files: tuple[str, ...] = ()
    """for --source files: paths or globs of .txt, .gz, .jsonl, .parquet"""
    data_dir: Path | None = None
    """folder of prepared shards; by default data/SOURCE-TOKENIZER (behind it the --vocab-size),
    prepared when it is missing"""

    # model
    n_layer: int = 4
    n_head: int = 4
    d_model: int = 128
    block_size: int = 64
    """context length in tokens"""
    dropout: float = 0.0
    bias: bool = True
    """in linear layers and LayerNorm; GPT-2 has them"""

    # optimization
    steps: int = 2000
    batch_size: int = 12
    """sequences in a micro-batch: what goes through the model at once"""
    accumulation: int = 1
    """micro-batches whose gradients are added up for one step, over all processes"""
    schedule: Literal["cosine", "constant-decay"] = "cosine"
    learning_rate: float = 3e-3
    min_learning_rate: float = 1e-4
    warmup_steps: int = 100
    decay_steps: int = 0
    """for constant-decay: the steps at the end over which the rate falls"""
    weight_decay: float = 0.1
    beta1: float = 0.9
    beta2: float = 0.99
    clip: float = 1.0
    """largest norm of the gradient; 0 for no clipping"""
    seed: int = 1337

    # evaluation and samples, during the run
    eval_every: int = 250
    eval_tokens: int = 8_192
    """predictions in an evaluation during the run; the one at the end takes the whole split"""
    sample_every: int = 1000
    """0 for never"""
    sample_tokens: int = 200
    prompt: str = ""
    temperature: float = 0.8
    top_k: int | None = 40

    # checkpoints
    run_dir: Path | None = None
    """where everything of the run is kept; by default runs/PRESET-SOURCE-TOKENIZER"""
    save_every: int = 500
    keep_last: int = 2
    """checkpoints kept besides the best one"""
    resume: bool = False
    """go on from the newest whole checkpoint without asking"""
    overwrite: bool = False
    """start anew; the run folder that is there is kept under a dated name"""

    # machine
    device: str = "auto"
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    compile: Literal["auto", "on", "off"] = "auto"
    threads: int = 0
    """CPU threads; 0 for all cores"""
    log_every: int = 10
    record: bool = False
    """write the numbers and the picture into the phase's results/"""

    def model(self, vocab_size: int) -> GPTConfig:
        """The model's config, given the tokenizer's vocabulary."""
        return GPTConfig(
            n_layer=self.n_layer,
            n_head=self.n_head,
            d_model=self.d_model,
            block_size=self.block_size,
            vocab_size=vocab_size,
            dropout=self.dropout,
            bias=self.bias,
        )

    def learning_rates(self) -> Schedule:
        """The schedule of the learning rate."""
        return Schedule(
            kind=self.schedule,
            learning_rate=self.learning_rate,
            min_learning_rate=self.min_learning_rate,
            warmup_steps=self.warmup_steps,
            total_steps=self.steps,
            decay_steps=self.decay_steps,
        )

    @property
    def tokens_per_step(self) -> int:
        return self.batch_size * self.accumulation * self.block_size

    def check(self) -> None:
        """Raise a ValueError for values that no run can have."""
        at_least = {
            **dict.fromkeys(("steps", "batch_size", "accumulation", "block_size"), 1),
            **dict.fromkeys(("eval_every", "save_every", "log_every"), 1),
            **dict.fromkeys(("eval_tokens", "sample_tokens", "keep_last"), 1),
            **dict.fromkeys(("sample_every", "clip", "weight_decay", "threads", "seed"), 0),
        }
        for name, least in at_least.items():
            if not getattr(self, name) >= least:
                raise ValueError(f"{name} must be at least {least}, not {getattr(self, name)}")
        for name in ("beta1", "beta2"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} must be from 0 to below 1, not {getattr(self, name)}")
        if self.source == "files" and not self.files and self.data_dir is None:
            raise ValueError("--source files needs --files: paths or globs of text to train on")
        if self.resume and self.overwrite:
            raise ValueError("--resume goes on with a run and --overwrite starts anew: choose one")
        tokenizers.check_vocab_size(self.tokenizer, self.vocab_size)
        self.learning_rates()


# What may differ between a run and its continuation: where and how it runs, not what it computes.
MAY_CHANGE = {
    *("resume", "overwrite", "record", "run_dir", "data_dir", "files"),
    *("device", "dtype", "compile", "threads", "keep_last", "save_every", "log_every"),
    *("eval_every", "eval_tokens", "sample_every", "sample_tokens", "prompt"),
    *("temperature", "top_k"),
}


def as_json(config: TrainConfig) -> dict[str, Any]:
    """The config as it is saved with the run."""
    values = dataclasses.asdict(config)
    return {
        name: value.as_posix() if isinstance(value, Path) else value
        for name, value in values.items()
    } | {"files": list(config.files)}


def differences(saved: dict[str, Any], config: TrainConfig) -> list[str]:
    """Each value that makes this another run than the saved one: `seed is 1 there and 2 here`."""
    asked = as_json(config)
    return [
        f"{name} is {saved.get(name)!r} there and {asked[name]!r} here"
        for name in asked
        if name not in MAY_CHANGE and saved.get(name) != asked[name]
    ]


TINY = TrainConfig(bias=False)

SHAKESPEARE = TrainConfig(
    preset="shakespeare",
    source="shakespeare",
    tokenizer="char",
    n_layer=6,
    n_head=6,
    d_model=384,
    block_size=256,
    dropout=0.2,
    bias=False,
    steps=5000,
    batch_size=64,
    learning_rate=1e-3,
    eval_tokens=65_536,
)

GPT2_SMALL = TrainConfig(
    preset="gpt2-small",
    source="fineweb-edu",
    tokenizer="gpt2",
    n_layer=12,
    n_head=12,
    d_model=768,
    block_size=1024,
    dropout=0.1,
    steps=19_073,  # 2.5 billion tokens; 10 billion are 76,294 steps
    batch_size=8,
    accumulation=16,
    learning_rate=6e-4,
    min_learning_rate=6e-5,
    warmup_steps=2000,
    beta2=0.95,
    eval_tokens=1_048_576,
    sample_every=1000,
    save_every=500,
    keep_last=3,
)

GPT2_SMALL_CHECK = dataclasses.replace(
    GPT2_SMALL,
    preset="gpt2-small-check",
    steps=763,  # 100 million tokens
    warmup_steps=80,  # the same share of the run as 2000 of 19,073
    eval_every=100,
    eval_tokens=131_072,
    sample_every=100,
    save_every=100,
)

PRESETS = {preset.preset: preset for preset in (TINY, SHAKESPEARE, GPT2_SMALL, GPT2_SMALL_CHECK)}
