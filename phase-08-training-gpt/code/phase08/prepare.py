"""Turns text into token shards that the trainer reads.

    uv run python -m phase08.prepare                                  # the embedded text, gpt2
    uv run python -m phase08.prepare --source shakespeare --tokenizer char
    uv run python -m phase08.prepare --source novels --tokenizer bpe --vocab-size 4096
    uv run python -m phase08.prepare --source files --files "books/*.txt" more.jsonl.gz
    uv run python -m phase08.prepare --source fineweb-edu --max-tokens 100000000

The result is a folder `data/SOURCE-TOKENIZER` with shards and a manifest (`phase08.shards`). The
preparation streams: memory does not grow with the text. It can be killed at any moment; the same
command (without --overwrite, which begins anew) continues it and ends in the same bytes, with any
number of workers.

Two tokenizers are learned from the text, which is read once more for that: `char` takes the
characters of all of it, `bpe` learns its merges from the training split alone (all of it, also
with --max-tokens), so that validation and test text stay unseen. They are part of the manifest.
"""

import contextlib
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import psutil
from tqdm import tqdm

from journal import data, script
from phase08 import durable, forecast, shards, spool, tokenizers
from phase08.pipeline import Job, Position, Progress, explained, fill, training_texts
from phase08.shards import Manifest
from phase08.sources import Source, open_source
from phase08.splitting import Splitting
from phase08.tokenizers import BPETokenizer, Tokenizer

SMALL = 8_000_000  # bytes of text below which one process is faster than starting others
LEARNED = {"char": "characters", "bpe": "merges"}  # what a tokenizer reads the text for first
MOST_WORKERS = 61 if sys.platform == "win32" else 10_000  # Windows waits for so many at once


@dataclass(frozen=True)
class PrepareConfig:
    """What to prepare, and where to."""

    source: str = "python-docs"
    """python-docs, shakespeare, novels, ..., files, openwebtext, fineweb-edu or tinystories"""
    tokenizer: Literal["char", "bytes", "bpe", "gpt2"] = "gpt2"
    """characters of the text, UTF-8 bytes, byte pairs learned from the text, or GPT-2's"""
    vocab_size: int | None = None
    """with --tokenizer bpe: how many tokens to learn; by default 1024"""
    out: Path | None = None
    """folder of the result; by default data/SOURCE-TOKENIZER, with the --vocab-size behind it"""
    files: tuple[str, ...] = ()
    """with --source files: paths or globs of .txt, .jsonl (both also .gz) and .parquet"""
    text_field: str = "text"
    """with --source files: the field or column of the text in jsonl and parquet"""
    max_tokens: int | None = None
    """stop at exactly this many training tokens"""
    shard_tokens: int = shards.SHARD_TOKENS
    """tokens in a shard"""
    val_fraction: float | None = None
    """share of the documents for validation; by default what suits the source"""
    test_fraction: float | None = None
    """share of the documents for testing; by default what suits the source"""
    seed: int = 0
    """of the hash that deals documents to the splits"""
    repeat: int = 1
    """read the source this many times over (for measuring)"""
    workers: int | None = None
    """processes that encode; by default one for a small source, else one for each core"""
    start_method: Literal["spawn", "fork", "forkserver"] = "spawn"
    """how the processes are started"""
    overwrite: bool = False
    """begin anew where there is something already, which is kept under a dated name; a run that was
    stopped continues without this"""

    @property
    def folder(self) -> Path:
        """Where the result goes."""
        return self.out or Path("data") / name_of(self.source, self.tokenizer, self.vocab_size)

    def request(self) -> dict[str, Any]:
        """What decides the bytes of the result."""
        fields = ("source", "tokenizer", "text_field", "max_tokens", "shard_tokens")
        more = ("val_fraction", "test_fraction", "seed", "repeat")
        request = {name: getattr(self, name) for name in (*fields, *more)}
        if self.tokenizer == "bpe":
            request["vocab_size"] = self.vocab_size or tokenizers.BPE_VOCAB_SIZE
        return request


def name_of(source: str, tokenizer: str, vocab_size: int | None) -> str:
    """What prepared data is called: novels-bpe, or novels-bpe-4096 where 4096 was said."""
    return f"{source}-{tokenizer}" + (f"-{vocab_size}" if vocab_size else "")


def main(config: PrepareConfig) -> dict[str, Any]:
    """Prepares the data, and returns what there is now and how fast it went."""
    start = time.perf_counter()
    progress = prepare(config)
    manifest = Manifest.read(config.folder)
    metrics: dict[str, Any] = {"folder": str(config.folder), "vocab_size": manifest.vocab_size}
    for name, split in manifest.splits.items():
        metrics[f"{name}_tokens"] = split.tokens
        metrics[f"{name}_documents"] = split.documents
    if progress.steady_seconds > 0:
        metrics["steady_mb_per_s"] = round(progress.steady_bytes / progress.steady_seconds / 1e6, 3)
    return {**metrics, "seconds": round(time.perf_counter() - start, 3)}


def prepare(config: PrepareConfig, quiet: bool = False) -> Progress:
    """Prepares the data that `config` asks for, or what is missing of it.

    Returns what this call did; a folder that is finished already is left alone.
    """
    _check(config)
    say = _silent if quiet else _say
    folder = config.folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with spool.locked(folder) as alone:
        if not alone:
            say(f"files cannot be locked beside {folder}: run no second prepare into it")
        folder.mkdir(exist_ok=True)
        try:
            if (folder / shards.MANIFEST).exists() and not config.overwrite:
                return _already_there(config, say)
            return _prepare(config, quiet, say)
        finally:
            with contextlib.suppress(OSError):  # nothing is left behind where nothing was done
                folder.rmdir()


def _prepare(config: PrepareConfig, quiet: bool, say: Callable[[str], None]) -> Progress:
    folder = config.folder
    state = None if config.overwrite else spool.load_state(folder)
    job = _begin(config, say) if state is None else _continue(config, state, say)
    if config.overwrite and any(folder.iterdir()):
        # only now: a source that cannot be opened has moved nothing away
        say(f"what was in {folder} is kept in {durable.set_aside(folder)}")
        folder.resolve().mkdir()
    growing = spool.Spool(folder, config.shard_tokens, state)
    start = Position(*state["position"]) if state else Position()
    try:
        with forecast.Bar(job, growing, say, quiet) as bar:
            progress = fill(growing, job, start, bar.show)
        with explained(growing):
            manifest = _finish(config, job, growing)
    finally:
        growing.close()
    splits = ", ".join(f"{name} {s.tokens:,} tokens" for name, s in manifest.splits.items())
    say(f"{folder}: {splits}")
    n_tokens = manifest.splits["train"].tokens
    if config.max_tokens is not None and n_tokens < config.max_tokens:
        say(f"the source ended after {n_tokens:,} of the {config.max_tokens:,} training tokens")
    return progress


def _check(config: PrepareConfig) -> None:
    tokenizers.check_vocab_size(config.tokenizer, config.vocab_size)
    for name in ("max_tokens", "shard_tokens", "repeat", "workers"):
        value = getattr(config, name)
        if value is not None and value < 1:
            raise ValueError(f"{name} is {value}, but it must be at least 1")
    if (config.workers or 1) > MOST_WORKERS:
        raise ValueError(f"workers is {config.workers}, but Windows allows {MOST_WORKERS} at most")
    if config.shard_tokens > shards.MAX_SHARD_TOKENS:
        raise ValueError(f"shard_tokens can be {shards.MAX_SHARD_TOKENS} at most (an int32)")
    for name in ("val_fraction", "test_fraction"):
        value = getattr(config, name)
        if value is not None and not 0 <= value < 1:
            raise ValueError(f"{name} is {value}, but it must be from 0 to less than 1")


def _already_there(config: PrepareConfig, say: Callable[[str], None]) -> Progress:
    """A finished folder: fine if it is what was asked for and whole."""
    manifest = Manifest.read(config.folder)
    _same_request(config, manifest.preparation.get("request"), "was prepared")
    if config.source == "files" and _open(config).revision != manifest.revision:
        raise ValueError(
            f"{config.folder} was prepared from other files, or they have changed since; give "
            f"another folder with --out, or begin anew with --overwrite"
        )
    for split in manifest.splits:
        shards.open_split(config.folder, split, verify=False)
    (config.folder / spool.STATE).unlink(missing_ok=True)
    say(f"{config.folder} is prepared already (use --overwrite to prepare it anew)")
    return Progress()


def _same_request(config: PrepareConfig, before: Any, what: str) -> None:
    now = config.request()
    before = before if isinstance(before, dict) else {}
    other = [name for name in now if before.get(name, "?") != now[name]]
    if other:
        name = other[0]
        raise ValueError(
            f"{config.folder} {what} with {name} = {before.get(name, '?')}, not {now[name]}; "
            f"give another folder with --out, or begin anew with --overwrite"
        )


# Beginning, continuing, finishing


def _begin(config: PrepareConfig, say: Callable[[str], None]) -> Job:
    """Opens the source for the first time: tokenizer, splits, and the estimate."""
    source = _open(config)
    if config.tokenizer in LEARNED and source.remote:
        raise ValueError(
            f"the tokenizer {config.tokenizer} reads all of {config.source} first to learn its "
            f"{LEARNED[config.tokenizer]}, which means downloading it twice; use the tokenizer "
            f"bytes or gpt2"
        )
    n_characters, alphabet = 0, ""
    if config.tokenizer == "char" or source.single:
        n_characters, alphabet = forecast.scan(source, config.tokenizer == "char")
    fractions = source.val_fraction, source.test_fraction
    if source.single:
        splitting = Splitting.by_position(*fractions, n_characters)
    else:
        splitting = Splitting(*fractions, config.seed, source.by_name)
    if config.tokenizer == "bpe":
        tokenizer = _learn_merges(config, source, splitting, say)
    else:
        tokenizer = _tokenizer(config, alphabet)
    job = _job(config, source, tokenizer, splitting)
    say(forecast.estimate(job, config.folder))
    return job


def _continue(config: PrepareConfig, state: dict[str, Any], say: Callable[[str], None]) -> Job:
    """Opens the source as it was before, or says that it is not what it was."""
    _same_request(config, state["request"], "was begun")
    source = _open(config, state["revision"])
    if source.revision != state["revision"]:
        raise ValueError(
            f"the source {config.source} is not what it was when {config.folder} was begun "
            f"({source.revision[:19]}, not {state['revision'][:19]}); bring it back, or begin anew "
            f"with --overwrite"
        )
    splitting = Splitting.from_dict(state["splitting"])
    tokens = state["splits"]["train"]["tokens"]
    say(f"continuing {config.folder} after {tokens:,} training tokens")
    if config.tokenizer == "gpt2":
        data.use_tiktoken_cache()
    job = _job(config, source, tokenizers.from_dict(state["tokenizer"]), splitting)
    done = sum(split["bytes"] for split in state["splits"].values())
    say(forecast.estimate(job, config.folder, done, tokens))
    return job


def _open(config: PrepareConfig, revision: str | None = None) -> Source:
    source = open_source(config.source, config.files, config.text_field, revision)
    if config.val_fraction is not None:
        source = replace(source, val_fraction=config.val_fraction)
    if config.test_fraction is not None:
        source = replace(source, test_fraction=config.test_fraction)
    if source.val_fraction + source.test_fraction >= 1:
        raise ValueError(
            f"validation ({source.val_fraction}) and test ({source.test_fraction}) leave nothing "
            f"to train on; their sum must be less than 1"
        )
    return source.repeated(config.repeat)


def _tokenizer(config: PrepareConfig, alphabet: str) -> Tokenizer:
    if config.tokenizer == "gpt2":
        data.use_tiktoken_cache()
    return tokenizers.from_dict({"kind": config.tokenizer, "characters": alphabet})


def _learn_merges(
    config: PrepareConfig, source: Source, splitting: Splitting, say: Callable[[str], None]
) -> Tokenizer:
    texts = training_texts(source, splitting)
    tokenizer = BPETokenizer.from_texts(texts, config.vocab_size or tokenizers.BPE_VOCAB_SIZE)
    say(f"learned {tokenizer.vocab_size:,} byte pair tokens from the training text")
    return tokenizer


def _job(config: PrepareConfig, source: Source, tokenizer: Tokenizer, splitting: Splitting) -> Job:
    workers = config.workers
    if workers is None:
        cores = min(psutil.cpu_count() or 1, MOST_WORKERS)
        workers = 1 if source.text_bytes < SMALL else cores
    request = config.request()
    return Job(
        source, tokenizer, splitting, config.max_tokens, request, workers, config.start_method
    )


def _finish(config: PrepareConfig, job: Job, growing: spool.Spool) -> Manifest:
    """Finishes the shards, and writes the manifest that makes the folder valid."""
    splitting = job.splitting
    tokens = {name: g.split.tokens for name, g in growing.splits.items()}
    for name, wanted in (("train", True), ("val", splitting.val_fraction > 0)):
        if wanted and not tokens[name]:
            what = "text" if not any(tokens.values()) else f"document for the split {name}"
            raise ValueError(
                f"the source {config.source} has no {what}; give it more text, or, with few "
                f"documents, another --val-fraction or --seed (and --overwrite)"
            )
    manifest = Manifest(
        dataset=config.source,
        revision=job.source.revision,
        tokenizer=job.tokenizer.to_dict(),
        vocab_size=job.tokenizer.vocab_size,
        splits=growing.finish(),
        preparation={
            "request": job.request,
            "patterns": list(config.files),  # as they were given, to be said again
            "files": [part.name for part in job.source.parts[:1000]],
            "splitting": asdict(splitting) | {"description": splitting.describe()},
        },
    )
    manifest.write(config.folder)
    durable.remove(config.folder / spool.STATE)
    return manifest


# What is said


def _say(text: str) -> None:
    tqdm.write(text, file=sys.stdout)
    sys.stdout.flush()


def _silent(text: str) -> None:
    del text


if __name__ == "__main__":
    script.run(main, PrepareConfig)
