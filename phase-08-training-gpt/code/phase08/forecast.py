"""What a preparation will take, said before it begins, and how far it is while it runs.

The rate is measured on the first megabyte of the text, on this machine; the amount of text is
known for files and guessed for compressed ones; so the forecast is right to a factor of two.
"""

import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
from tqdm import tqdm

from phase08 import tokenizers
from phase08.pipeline import Job, Progress
from phase08.sources import Source
from phase08.spool import Spool

PROBE_CHARACTERS = 1 << 20
WORKER_BYTES = 150_000_000  # about what one more process holds
LINE_SECONDS = 60.0  # between two lines where there is no terminal


def texts(source: Source) -> Iterator[str]:
    """All text of a source, in order."""
    for part in source.parts:
        for _, document in part.read(0):
            yield from document


def scan(source: Source, with_alphabet: bool) -> tuple[int, str]:
    """One pass over the text: how many characters it has and, if wanted, which."""
    n_characters = 0

    def counted() -> Iterator[str]:
        nonlocal n_characters
        for text in texts(source):
            n_characters += len(text)
            yield text

    if with_alphabet:
        alphabet = tokenizers.alphabet(counted())
        return n_characters, alphabet
    return sum(map(len, texts(source))), ""


def estimate(job: Job, folder: Path, done_bytes: int = 0, done_tokens: int = 0) -> str:
    """One line on text, tokens, disk, time and memory; an OSError where the disk is too small.

    Where some text, and some tokens for training, are done already, it is about what is left, and
    refuses nothing.
    """
    probe = "".join(_first(job.source, PROBE_CHARACTERS))
    if not probe:
        raise ValueError(f"the source {job.source.name} has no text; give it some")
    job.tokenizer.encode(probe[:1000])  # loads what the tokenizer needs
    begin = time.perf_counter()
    n_tokens = len(job.tokenizer.encode(probe))
    seconds = time.perf_counter() - begin
    size = len(probe.encode("utf-8"))
    text_bytes = max(job.source.text_bytes - done_bytes, 0)
    if job.max_tokens is not None:
        share = 1 - job.splitting.val_fraction - job.splitting.test_fraction
        wanted = max(job.max_tokens - done_tokens, 0)
        text_bytes = min(text_bytes, int(wanted / share * size / n_tokens))
    tokens = int(text_bytes * n_tokens / size)
    rate = size / seconds * min(job.workers, psutil.cpu_count() or 1)
    disk, free = 2 * tokens, shutil.disk_usage(folder).free
    memory = psutil.Process().memory_info().rss
    memory += job.workers * WORKER_BYTES if job.workers > 1 else 0
    if disk > free and not done_bytes:
        raise OSError(
            f"{folder} needs about {in_bytes(disk)}, but its disk has {in_bytes(free)} free; "
            f"take a part with --max-tokens, or another disk with --out"
        )
    left = " left" if done_bytes else ""
    return (
        f"{job.source.name}: about {in_bytes(text_bytes)} of text{left}, {tokens:,} tokens, into "
        f"{folder}: {in_bytes(disk)} of disk ({in_bytes(free)} free), "
        f"{in_time(text_bytes / rate)} with {job.workers} process"
        f"{'es' if job.workers > 1 else ''} at {rate / 1e6:.1f} MB/s, {in_bytes(memory)} of memory"
        + (", and the time of the download" if job.source.remote else "")
    )


def _first(source: Source, characters: int) -> Iterator[str]:
    """The first so many characters of a source."""
    for text in texts(source):
        yield text[:characters]
        characters -= len(text)
        if characters <= 0:
            return


class Bar:
    """The progress bar, or a line a minute where there is no terminal to draw it on.

    Rate and time left are in tokens where their number was asked for, else in bytes of text.
    """

    def __init__(self, job: Job, spool: Spool, say: Callable[[str], None], quiet: bool) -> None:
        splits = [growing.split for growing in spool.splits.values()]
        self._in_tokens = job.max_tokens is not None
        self._before = 0 if self._in_tokens else sum(split.bytes for split in splits)
        self._start = splits[0].tokens if self._in_tokens else self._before
        self._total = max(job.max_tokens or job.source.text_bytes, self._start)
        self._shown = self._start
        self._say = say
        self._began = self._said = time.monotonic()
        self._bar = tqdm(
            total=self._total,
            initial=self._start,
            unit="tokens" if self._in_tokens else "B",
            unit_scale=True,
            disable=True if quiet else None,  # None: only on a terminal
            desc="preparing",
            leave=False,
        )

    def __enter__(self) -> "Bar":
        return self

    def __exit__(self, *error: object) -> None:
        self._bar.close()

    def show(self, progress: Progress) -> None:
        """Moves the bar to where the preparation is now, or says it now and then."""
        done = progress.train_tokens if self._in_tokens else self._before + progress.text_bytes
        now = time.monotonic()
        if self._bar.disable:
            if now - self._said >= LINE_SECONDS:
                self._said = now
                self._say(self._line(done, now - self._began))
            return
        self._bar.set_postfix_str(f"{progress.tokens:,} tokens", refresh=False)
        self._bar.update(done - self._shown)
        self._shown = done

    def _line(self, done: int, seconds: float) -> str:
        rate = (done - self._start) / max(seconds, 1e-9)
        share = min(done / self._total, 1.0) if self._total else 1.0
        left = in_time((self._total - done) / rate) if rate else "?"
        speed = f"{rate:,.0f} tokens/s" if self._in_tokens else f"{rate / 1e6:.1f} MB/s"
        amount = f"{done:,} tokens" if self._in_tokens else f"{in_bytes(done)} of text"
        return f"prepared {amount}, about {share:.0%}, at {speed}, about {left} left"


def in_bytes(n: float | int) -> str:
    """A number of bytes, rounded for reading."""
    for unit in ("bytes", "kB", "MB"):
        if n < 1000:
            return f"{n:.0f} {unit}"
        n /= 1000
    return f"{n:.1f} GB"


def in_time(seconds: float | int) -> str:
    """A number of seconds, rounded for reading."""
    if seconds < 90:
        return f"{max(seconds, 1):.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
