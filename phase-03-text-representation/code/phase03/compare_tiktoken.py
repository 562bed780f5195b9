"""Whether our byte-level BPE with GPT-2's merges gives GPT-2's tokens, on every text there is here.

    uv run journal run phase03.compare_tiktoken

Each text of the journal's data sets is encoded by `ByteLevelBPE.from_gpt2()` and by tiktoken, id by
id, and decoded again. A file that is not on this machine is left out, and named. So are the sets of
images. tiktoken is asked for ordinary text (`encode_ordinary`), as ours knows no other.

Left out: speed, which `phase03.benchmark_tokenizers` measures.
"""

import time
from dataclasses import dataclass
from typing import Any

from journal import data, record, script
from phase03.bpe import ByteLevelBPE

IMAGES = ("cifar-10*", "mnist/*", "tinydigits/*.npz")


@dataclass(frozen=True)
class Config:
    files: str = "*"
    """which of the registry's files, as a pattern such as english-novels/*"""
    record: bool = False


def main(config: Config) -> dict[str, Any]:
    """Compare all ids; returns files, bytes, tokens and differing files of each data set."""
    import tiktoken

    started = time.perf_counter()
    data.use_tiktoken_cache()
    ours, theirs = ByteLevelBPE.from_gpt2(), tiktoken.get_encoding("gpt2")
    sets: dict[str, dict[str, Any]] = {}
    missing: list[str] = []
    for name in text_files(config.files):
        if data.find(name) is None:
            missing.append(name)
            continue
        content = data.read_bytes(name)
        ids = ours.encode(content.decode("utf-8"))
        same = ids == theirs.encode_ordinary(content.decode("utf-8"))
        add(sets, name, len(content), len(ids), same and ours.decode_bytes(ids) == content)
    metrics = summed(sets) | {"missing": missing, "sets": sets}
    for name, one in {**sets, "all": metrics}.items():
        says = "all equal" if not one["different"] else f"{len(one['different'])} files differ"
        print(f"{name:<24}{one['bytes']:>12,} bytes{one['tokens']:>12,} tokens   {says}")
    record.write(
        __file__,
        config=config,
        metrics=metrics,
        seconds=time.perf_counter() - started,
        record=config.record,
    )
    return metrics


def text_files(pattern: str) -> list[str]:
    """The registry's files of text that match a pattern."""
    images = {name for images in IMAGES for name in data.names(images)}
    found = [name for name in data.names(pattern) if name not in images]
    if not found:
        raise ValueError(
            f"no text of the registry matches {pattern!r}: `journal data` shows what there is"
        )
    return found


def add(sets: dict[str, dict[str, Any]], name: str, size: int, tokens: int, equal: bool) -> None:
    """Add a file to its data set."""
    new = {"files": 0, "bytes": 0, "tokens": 0, "different": []}
    one = sets.setdefault(name.partition("/")[0], new)
    one["files"] += 1
    one["bytes"] += size
    one["tokens"] += tokens
    one["different"] += [] if equal else [name]


def summed(sets: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """The same of all data sets together."""
    total = {key: sum(one[key] for one in sets.values()) for key in ("files", "bytes", "tokens")}
    return total | {"different": [name for one in sets.values() for name in one["different"]]}


if __name__ == "__main__":
    script.run(main, Config)
