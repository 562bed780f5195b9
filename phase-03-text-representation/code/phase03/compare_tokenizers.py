"""What a vocabulary costs and buys: its size against the length of the sequences that it makes.

    uv run journal run phase03.compare_tokenizers

Characters, words, and byte pair encodings of several sizes are made from the first part of a text
and encode the rest, which they have not seen. A small vocabulary makes long sequences. Words make
short ones, since they drop the spaces too, but need a large vocabulary and still lack words of the
new text, whose share is stated as unknown. Byte pair encoding lies between, at the size that one
asks for, lacks nothing and drops nothing.

For BPE one list of merges is learned, the longest; the first part of it is what a smaller
vocabulary would have learned. GPT-2's own vocabulary stands beside it where its file is on this
machine.

Left out: which of them a model learns best from. Sequences are shorter where tokens are larger, but
each token is then seen less often.
"""

import time
from dataclasses import dataclass
from typing import Any

from journal import data, plotting, record, script, texts
from phase03.bpe import ByteLevelBPE
from phase03.char_tokenizer import CharTokenizer
from phase03.tokenizer import Tokenizer
from phase03.word_tokenizer import WordTokenizer

LABELS = {"words": "words (below: unknown in the new text)"}
EXAMPLE = "The tokenizer has never seen these unbelievable words."


@dataclass(frozen=True)
class Config:
    text: str = "shakespeare"
    """a text of the journal, such as shakespeare, novels or python-docs"""
    characters: int = 2_000_000
    """how much of it is used, at most: its first characters"""
    unseen: float = 0.1
    """the share at its end that is encoded, and not trained on"""
    sizes: tuple[int, ...] = (512, 1024, 2048, 4096, 8192)
    """vocabularies of BPE"""
    min_counts: tuple[int, ...] = (1, 2, 5)
    """how often a word must occur to be in a vocabulary of words"""
    record: bool = False

    def __post_init__(self) -> None:
        if not self.sizes or list(self.sizes) != sorted(set(self.sizes)) or self.sizes[0] < 258:
            raise ValueError(f"sizes must be 258 or more, in rising order, not {self.sizes}")
        if not 0 < self.unseen < 1:
            raise ValueError(f"unseen must be between 0 and 1, not {self.unseen}")
        if self.characters < 100:
            raise ValueError(f"characters must be 100 or more, not {self.characters}")


def main(config: Config) -> dict[str, Any]:
    """Make all tokenizers and encode the unseen text; returns sizes and lengths of each."""
    started = time.perf_counter()
    text = first_characters(config.text, config.characters)
    cut = round(len(text) * (1 - config.unseen))
    seen, unseen = text[:cut], text[cut:]
    rows = []
    for kind, tokenizer in tokenizers(config, text, seen):
        ids = tokenizer.encode(unseen)
        lacking = ids.count(tokenizer.unknown) if isinstance(tokenizer, WordTokenizer) else 0
        rows.append(
            {
                "kind": kind,
                "vocab_size": tokenizer.vocab_size,
                "tokens": len(ids),
                "characters_per_token": round(len(unseen) / len(ids), 3),
                "unknown": round(lacking / len(ids), 4),
            }
        )
        show(rows[-1], tokenizer)
    metrics = {"seen": len(seen), "unseen": len(unseen), "rows": rows}
    record.write(
        __file__,
        config=config,
        metrics=metrics,
        seconds=time.perf_counter() - started,
        record=config.record,
    )
    record.write_picture(__file__, "length", draw(metrics), record=config.record)
    return metrics


def first_characters(source: str, characters: int) -> str:
    """The first characters of a text of the journal, its documents behind one another."""
    parts, length = [], 0
    for _, text in texts.documents(source):
        parts.append(text)
        length += len(text)
        if length >= characters:
            break
    return "".join(parts)[:characters]


def tokenizers(config: Config, text: str, seen: str) -> list[tuple[str, Tokenizer]]:
    """All that are compared, by kind. Characters have no `<UNK>`, so they know the whole text's."""
    made: list[tuple[str, Tokenizer]] = [("characters", CharTokenizer.train([text, EXAMPLE]))]
    longest = ByteLevelBPE.train([seen], config.sizes[-1])
    for size in config.sizes:
        if size <= longest.vocab_size:
            made.append(("BPE", ByteLevelBPE(longest.merges[: size - ByteLevelBPE().vocab_size])))
    for least in config.min_counts:
        made.append(("words", WordTokenizer.train([seen], min_count=least)))
    if all(data.find(name) for name in data.TIKTOKEN_FILES):
        data.use_tiktoken_cache()
        made.append(("GPT-2's BPE", ByteLevelBPE.from_gpt2()))
    return made


def show(row: dict[str, Any], tokenizer: Tokenizer) -> None:
    """A line of numbers, and a sentence as the tokenizer sees it."""
    lacking = f", {row['unknown']:.1%} unknown" if row["unknown"] else ""
    print(
        f"{row['kind']:<12}{row['vocab_size']:>7,} tokens to choose from, {row['tokens']:>9,} in "
        f"the text, {row['characters_per_token']:.2f} characters each{lacking}"
    )
    parts = [tokenizer.decode([token]) for token in tokenizer.encode(EXAMPLE)]
    print(f"{'':<12}{'|'.join(parts)}")


def draw(metrics: dict[str, Any]) -> Any:
    """Characters per token against the size of the vocabulary, a mark for each kind."""
    figure, ax = plotting.figure()
    for kind, marker in (("characters", "s"), ("BPE", "o"), ("words", "^"), ("GPT-2's BPE", "D")):
        rows = [row for row in metrics["rows"] if row["kind"] == kind]
        if rows:
            sizes = [row["vocab_size"] for row in rows]
            lengths = [row["characters_per_token"] for row in rows]
            ax.plot(sizes, lengths, marker=marker, markersize=5, label=LABELS.get(kind, kind))
        for row in rows:
            if row["unknown"]:
                ax.annotate(
                    f"{row['unknown']:.0%}",
                    (row["vocab_size"], row["characters_per_token"]),
                    xytext=(0, -14),
                    textcoords="offset points",
                    ha="center",
                    fontsize=8,
                )
    ax.set_xscale("log")
    ax.set_ylim(0, 1.3 * max(row["characters_per_token"] for row in metrics["rows"]))
    ax.set_title("A larger vocabulary makes shorter sequences")
    ax.set_xlabel("vocabulary (tokens)")
    ax.set_ylabel("characters per token of new text")
    ax.legend(loc="upper left")
    return figure


if __name__ == "__main__":
    script.run(main, Config)
