"""How fast byte pair encoding is in Python: training and encoding, beside libraries in Rust.

    uv run journal run phase03.benchmark_tokenizers

Needs Hugging Face's `tokenizers`, which a checkout has among its development tools.

- Training: `ByteLevelBPE.train` against `tokenizers`' BPE trainer, from the same text to the same
  number of merges, splitting and counting included; and against the naive algorithm, which counts
  all pairs anew for each merge, for as many merges as one can wait for. The cost is drawn against
  the number of merges and against the length of the text.
- Encoding with GPT-2's merges: against tiktoken and `tokenizers`. Ours keeps the ids of pieces, so
  a text is encoded with nothing kept, and then again.

First all merges and ids are compared; where one differs, nothing is timed. All use one thread, and
seconds are those of the processor, which other programs disturb less. The ways take turns, round by
round, and a ratio is the median of the ratios of the rounds, with the least and the largest beside:

    ratio     seconds of ours / seconds of theirs
    factor    seconds of the naive algorithm / seconds of ours

Left out: batches of texts, which both libraries spread over threads, and memory.
"""

import json
import os
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from journal import data, plotting, record, script, texts
from phase03.bpe import BYTE_IDS, BYTE_ORDER, ByteLevelBPE, byte_characters, count_pieces
from phase03.bpe_training import Pair, train_naive

# Read by `tokenizers`: no threads.
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("RAYON_NUM_THREADS", "1")

OURS, NAIVE, HUGGING_FACE, TIKTOKEN = "ours", "naive", "tokenizers", "tiktoken"
AGAIN = "ours, again"
GOALS = {"training": 10, "encoding": 15}  # times as long as the library in Rust


@dataclass(frozen=True)
class Config:
    text: str = "shakespeare"
    """a text of the journal to train on"""
    encoded: tuple[str, ...] = ("shakespeare", "wikitext-2")
    """texts of the journal to encode"""
    characters: int = 1_000_000
    """how much of each text is used, at most: its first characters"""
    merges: tuple[int, ...] = (32, 128, 512, 1024, 2048, 4096)
    """how many are learned"""
    naive_merges: int = 128
    """how many the naive algorithm learns at most; as many are learned from shorter texts"""
    parts: tuple[int, ...] = (16, 8, 4, 2, 1)
    """shorter texts: the characters divided by these"""
    rounds: int = 5
    record: bool = False

    def __post_init__(self) -> None:
        if not self.merges or min(self.merges) < 1 or list(self.merges) != sorted(self.merges):
            raise ValueError(f"merges must be 1 or more, in rising order, not {self.merges}")
        if self.naive_merges not in self.merges:
            raise ValueError(
                f"naive_merges must be one of merges {self.merges}, not {self.naive_merges}"
            )
        for name in ("characters", "rounds"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be 1 or more, not {getattr(self, name)}")
        if not self.parts or min(self.parts) < 1:
            raise ValueError(f"parts must be 1 or more, not {self.parts}")


def main(config: Config) -> dict[str, Any]:
    """Compare, then time all ways; returns the ratios (the seconds are written)."""
    started = time.perf_counter()
    data.use_tiktoken_cache()
    text = first_characters(config.text, config.characters)
    by_merges = [training(text, merges, config) for merges in config.merges]
    by_length = [
        training(text[: len(text) // part], config.naive_merges, config) for part in config.parts
    ]
    metrics: dict[str, Any] = {
        "goals": GOALS,
        "training": by_merges,
        "training_by_length": by_length,
        "encoding": [encoding(source, config) for source in config.encoded],
    }
    record.write(
        __file__,
        config=config,
        metrics=metrics,
        seconds=time.perf_counter() - started,
        record=config.record,
    )
    record.write_picture(__file__, "training", draw(metrics), record=config.record)
    longest = by_merges[-1]
    return {
        "merges": longest["merges"],
        "training_ratio": longest["ratio"],
        "training_goal": GOALS["training"],
        "encoding_goal": GOALS["encoding"],
        "encoding": {one["text"]: one["ratios"] for one in metrics["encoding"]},
    }


def first_characters(source: str, characters: int) -> str:
    """The first characters of a text of the journal, its documents behind one another."""
    return "".join(text for _, text in texts.documents(source))[:characters]


# ---- taking turns --------------------------------------------------------------------------


def take_turns(ways: Mapping[str, Callable[[], Any]], rounds: int) -> dict[str, list[float]]:
    """Processor's seconds of each way in each round; every second round in reverse order."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(rounds):
        for name in ways if number % 2 else reversed(list(ways)):
            seconds[name].append(processor_seconds(ways[name])[0])
    return seconds


def processor_seconds(way: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds of one call, at least a tick of the clock, which is coarse on Windows; its result."""
    begun = time.process_time()
    result = way()
    passed = time.process_time() - begun
    return max(passed, time.get_clock_info("process_time").resolution), result


def ratio(above: list[float], below: list[float]) -> dict[str, float]:
    """Median, least and largest ratio of a round."""
    ratios = [a / b for a, b in zip(above, below, strict=True)]
    found = {"median": statistics.median(ratios), "least": min(ratios), "most": max(ratios)}
    return {name: round(value, 3) for name, value in found.items()}


def medians(seconds: Mapping[str, list[float]]) -> dict[str, float]:
    """The median seconds of each way."""
    return {name: round(statistics.median(times), 5) for name, times in seconds.items()}


# ---- training ------------------------------------------------------------------------------


def training(text: str, merges: int, config: Config) -> dict[str, Any]:
    """One text, one number of merges: the seconds of each way, the ratio, and the factor.

    The naive algorithm has a single round; what it is compared with is the median of ours.
    """
    ways: dict[str, Callable[[], list[Pair]]] = {
        OURS: lambda: ByteLevelBPE.train([text], 257 + merges).merges,
        HUGGING_FACE: lambda: hugging_face_merges(text, merges),
    }
    found = {name: way() for name, way in ways.items()}
    seconds = {}
    if merges <= config.naive_merges:
        passed, found[NAIVE] = processor_seconds(lambda: naive_merges(text, merges))
        seconds = {NAIVE: [passed]}
    for name, learned in found.items():
        if learned != found[OURS]:
            raise RuntimeError(f"{name} learned other merges than ours: there is a bug")
    seconds |= take_turns(ways, config.rounds)
    one: dict[str, Any] = {
        "characters": len(text),
        "merges": len(found[OURS]),
        "seconds": medians(seconds),
        "ratio": ratio(seconds[OURS], seconds[HUGGING_FACE]),
    }
    if NAIVE in one["seconds"]:
        one["factor"] = round(one["seconds"][NAIVE] / one["seconds"][OURS], 2)
    each = ", ".join(f"{name} {value:.3f} s" for name, value in one["seconds"].items())
    print(
        f"training on {len(text):>9,} characters to {merges:>5,} merges: {each}; ours takes "
        f"{one['ratio']['median']:.2f} times as long as {HUGGING_FACE}"
    )
    return one


def naive_merges(text: str, merges: int) -> list[Pair]:
    """What `ByteLevelBPE.train` does, with the naive algorithm in it."""
    pieces = count_pieces([text])
    words = {tuple(BYTE_IDS[byte] for byte in piece.encode()): n for piece, n in pieces.items()}
    return train_naive(words, merges, len(BYTE_ORDER))


def hugging_face_merges(text: str, merges: int) -> list[Pair]:
    """The merges that `tokenizers` learns, in our ids: its alphabet has the order of ours."""
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=len(BYTE_ORDER) + merges,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([text], trainer)
    model = json.loads(tokenizer.to_str())["model"]
    ids = model["vocab"]
    return [(ids[left], ids[right]) for left, right in model["merges"]]


# ---- encoding ------------------------------------------------------------------------------


def encoding(source: str, config: Config) -> dict[str, Any]:
    """One text with GPT-2's merges: the seconds of each way, and the ratios to the libraries."""
    import tiktoken

    text = first_characters(source, config.characters)
    ours, theirs = ByteLevelBPE.from_gpt2(), tiktoken.get_encoding("gpt2")
    other = hugging_face_tokenizer(ours)
    libraries: dict[str, Callable[[], list[int]]] = {
        TIKTOKEN: lambda: theirs.encode_ordinary(text),
        HUGGING_FACE: lambda: other.encode(text).ids,
    }
    ids = ours.encode(text)
    for name, encode in libraries.items():
        if encode() != ids:
            raise RuntimeError(f"{name} gives other ids than ours: there is a bug")
    seconds: dict[str, list[float]] = {}
    for _ in range(config.rounds):
        fresh = ByteLevelBPE(ours.merges)  # with nothing kept
        ways = {**libraries, AGAIN: lambda fresh=fresh: fresh.encode(text)}
        for name, times in take_turns({OURS: ways[AGAIN]}, 1).items():
            seconds.setdefault(name, []).extend(times)
        for name, times in take_turns(ways, 1).items():
            seconds.setdefault(name, []).extend(times)
    size = len(text.encode()) / 1e6
    one = {
        "text": source,
        "bytes": len(text.encode()),
        "tokens": len(ids),
        "seconds": medians(seconds),
        "mb_per_second": {name: round(size / s, 3) for name, s in medians(seconds).items()},
        "ratios": {
            f"{name} / {library}": ratio(seconds[name], seconds[library])
            for name in (OURS, AGAIN)
            for library in libraries
        },
    }
    each = ", ".join(f"{name} {rate:.2f}" for name, rate in one["mb_per_second"].items())
    print(f"encoding {source}, {size:.2f} MB, in MB/s: {each}")
    return one


def hugging_face_tokenizer(ours: ByteLevelBPE) -> Any:
    """A tokenizer of `tokenizers` with the same merges and ids."""
    from tokenizers import Tokenizer, models, pre_tokenizers

    shown = byte_characters()
    tokens = [shown[byte] for byte in BYTE_ORDER]
    pairs = []
    for left, right in ours.merges:
        pairs.append((tokens[left], tokens[right]))
        tokens.append(tokens[left] + tokens[right])
    vocabulary = {token: id for id, token in enumerate(tokens)}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=pairs))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    return tokenizer


# ---- the picture ---------------------------------------------------------------------------


def draw(metrics: dict[str, Any]) -> Any:
    """Seconds of training against the number of merges and against the length of the text."""
    figure, (left, right) = plotting.figure(7.0, 3.8, columns=2)
    by_length = metrics["training_by_length"]
    panels = (
        (left, "merges", metrics["training"], "merges"),
        (right, "characters", by_length, f"characters ({by_length[0]['merges']} merges)"),
    )
    for ax, key, ones, label in panels:
        for name, marker in ((NAIVE, "s"), (OURS, "o"), (HUGGING_FACE, "^")):
            timed = [one for one in ones if name in one["seconds"]]
            x, y = [one[key] for one in timed], [one["seconds"][name] for one in timed]
            ax.loglog(x, y, marker=marker, markersize=5, label=name)
        ax.set_xlabel(label)
        ax.set_ylabel("seconds of one core")
    left.set_title("Training BPE, by merges")
    right.set_title("By length of the text")
    left.legend()
    return figure


if __name__ == "__main__":
    script.run(main, Config)
