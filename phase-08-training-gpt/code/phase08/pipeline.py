"""From documents to tokens in splits: cut, batched, encoded in several processes, in order.

The parent reads the source, decides each document's split, and hands out batches of text; the
workers encode them; the parent takes the results back in the order of the text and appends them.
At most a few batches are on the way at any time, so memory does not grow with the source, and the
outcome does not depend on the number of workers or on where batches begin.

Which document goes to which split is `phase08.splitting`'s to say, what becomes of the tokens
`phase08.spool`'s.
"""

import contextlib
import errno
import multiprocessing
import os
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass, field
from multiprocessing import connection
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int64, UInt16

from phase08 import tokenizers
from phase08.sources import Source
from phase08.splitting import SPLITS, Piece, Splitting
from phase08.spool import Spool
from phase08.tokenizers import Tokenizer

BATCH_BYTES = 1 << 19
BATCH_PIECES = 4096
SAVE_SECONDS = 10.0  # between two states that a killed run can continue from


class Position(NamedTuple):
    """How far the source was read: pieces of a document of a part, and characters in all."""

    part: int = 0
    document: int = 0
    piece: int = 0
    characters: int = 0


class Batch(NamedTuple):
    """Pieces to be encoded together, and the position behind them."""

    pieces: list[Piece]
    after: Position


def read_pieces(
    source: Source, splitting: Splitting, start: Position
) -> Iterator[tuple[list[Piece], Position]]:
    """The pieces of the source from `start` on, each with the position behind it."""
    characters = start.characters
    for part in range(start.part, len(source.parts)):
        skip = start.document if part == start.part else 0
        for document, (name, texts) in enumerate(source.parts[part].read(skip), skip):
            seen = start.piece if (part, document) == (start.part, start.document) else 0
            split, found = 0, []
            for index, text in enumerate(tokenizers.pieces(texts)):
                if splitting.cuts is None:
                    content = text.encode("utf-8")
                    split = splitting.of_document(name, content) if index == 0 else split
                    found = [Piece(content, split, index == 0)]
                if index < seen:
                    continue
                if splitting.cuts is not None:
                    found = splitting.of_place(text, characters, index == 0)
                characters += len(text)
                yield found, Position(part, document, index + 1, characters)


def training_texts(source: Source, splitting: Splitting) -> Iterator[str]:
    """The text of the training split, in pieces and in order."""
    for found, _ in read_pieces(source, splitting, Position()):
        for piece in found:
            if piece.split == 0:
                yield piece.content.decode("utf-8")


def read_batches(
    source: Source, splitting: Splitting, start: Position, full: Callable[[], bool]
) -> Iterator[Batch]:
    """The pieces, grouped; without those for train once it is `full`."""
    pieces: list[Piece] = []
    size, after = 0, start
    for found, after in read_pieces(source, splitting, start):
        wanted = [piece for piece in found if piece.split != 0 or not full()]
        pieces += wanted
        size += sum(len(piece.content) for piece in wanted)
        if size >= BATCH_BYTES or len(pieces) >= BATCH_PIECES:
            yield Batch(pieces, after)
            pieces, size = [], 0
    if pieces:
        yield Batch(pieces, after)


# Encoding


class Encoded(NamedTuple):
    """The tokens of a batch's pieces, one after the other, and how many each piece has."""

    tokens: UInt16[np.ndarray, " n"]
    lengths: Int64[np.ndarray, " pieces"]


def encode_pieces(tokenizer: Tokenizer, pieces: list[Piece]) -> Encoded:
    """Encodes pieces; the first of a document has end_of_text in front (llm.c's way)."""
    separator = np.array([tokenizer.end_of_text], dtype=np.uint16)
    arrays: list[np.ndarray] = []
    lengths = []
    for content, _, first in pieces:
        ids = tokenizer.encode(content.decode("utf-8"))
        arrays += [separator, ids] if first else [ids]
        lengths.append(len(ids) + first)
    return Encoded(np.concatenate(arrays), np.array(lengths, dtype=np.int64))


_tokenizer: Tokenizer | None = None  # of this worker


def _start_worker(description: dict[str, Any]) -> None:
    global _tokenizer
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    threading.Thread(target=_die_with_parent, daemon=True).start()
    _tokenizer = tokenizers.from_dict(description)


def _die_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    connection.wait([parent.sentinel])
    os._exit(1)


def _encode_in_worker(pieces: list[Piece]) -> Encoded:
    assert _tokenizer is not None
    return encode_pieces(_tokenizer, pieces)


def encode_in_order(
    batches: Iterator[Batch], tokenizer: Tokenizer, workers: int, start_method: str
) -> Generator[tuple[Batch, Encoded]]:
    """Each batch with its tokens, in order; one worker is this process itself."""
    if workers == 1:
        for batch in batches:
            yield batch, encode_pieces(tokenizer, batch.pieces)
        return
    context = multiprocessing.get_context(start_method)
    pool = ProcessPoolExecutor(workers, context, _start_worker, (tokenizer.to_dict(),))
    waiting: deque[tuple[Batch, Future[Encoded]]] = deque()
    try:
        for batch in batches:
            waiting.append((batch, pool.submit(_encode_in_worker, batch.pieces)))
            if len(waiting) > 2 * workers:  # enough that nobody waits, and no more
                first, future = waiting.popleft()
                yield first, future.result()
        while waiting:
            first, future = waiting.popleft()
            yield first, future.result()
    except BrokenProcessPool as error:
        raise ChildProcessError(
            "a worker process died, most likely for want of memory; run the same command again, "
            "without --overwrite and with fewer --workers, and it continues where it was"
        ) from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


# The whole way


@dataclass
class Progress:
    """What this run did: text in bytes, tokens, and the speed between first and last result."""

    text_bytes: int = 0
    tokens: int = 0
    train_tokens: int = 0  # those of earlier runs included
    steady_bytes: int = 0
    steady_seconds: float = 0.0
    _first: float | None = field(default=None, repr=False)

    def add(self, pieces: list[Piece], n_tokens: int) -> None:
        """Counts one batch whose result has just arrived."""
        size = sum(len(piece.content) for piece in pieces)
        now = time.perf_counter()
        if self._first is None:
            self._first = now
        else:
            self.steady_bytes += size
            self.steady_seconds = now - self._first
        self.text_bytes += size
        self.tokens += n_tokens


@dataclass(frozen=True)
class Job:
    """All that decides which bytes are written (and, last, how fast)."""

    source: Source
    tokenizer: Tokenizer
    splitting: Splitting
    max_tokens: int | None
    request: dict[str, Any]  # what was asked for; kept in the state and in the manifest
    workers: int = 1
    start_method: str = "spawn"


def fill(spool: Spool, job: Job, start: Position, report: Callable[[Progress], None]) -> Progress:
    """Reads the source from `start` to its end, or to `max_tokens`, into the spool."""
    progress = Progress(train_tokens=spool.splits["train"].split.tokens)
    fractions = job.splitting.val_fraction, job.splitting.test_fraction
    others_follow = job.splitting.cuts is not None and any(fractions)

    def full() -> bool:
        return job.max_tokens is not None and progress.train_tokens >= job.max_tokens

    def done() -> bool:  # asked before the source is read any further: reading is what costs
        return full() and not others_follow

    batches = read_batches(job.source, job.splitting, start, full)
    results = encode_in_order(batches, job.tokenizer, job.workers, job.start_method)
    with contextlib.closing(results), explained(spool):
        _save(spool, job, start)
        saved = time.monotonic()
        for batch, encoded in () if done() else results:
            n_shards = len(spool.splits["train"].split.shards)
            _append(spool, batch.pieces, encoded, job)
            progress.add(batch.pieces, len(encoded.tokens))
            progress.train_tokens = spool.splits["train"].split.tokens
            report(progress)
            if done():
                break
            finished = len(spool.splits["train"].split.shards) > n_shards
            if finished or time.monotonic() - saved > SAVE_SECONDS:
                _save(spool, job, batch.after)
                saved = time.monotonic()
    return progress


def _save(spool: Spool, job: Job, position: Position) -> None:
    spool.save(
        {
            "request": job.request,
            "revision": job.source.revision,
            "tokenizer": job.tokenizer.to_dict(),
            "splitting": asdict(job.splitting),
            "position": list(position),
        }
    )


def _append(spool: Spool, pieces: list[Piece], encoded: Encoded, job: Job) -> None:
    """Appends a batch's tokens to their splits, up to `max_tokens` of train and no further."""
    tokens, lengths = encoded
    splits = np.array([piece.split for piece in pieces])  # (pieces,)
    firsts = np.array([piece.first for piece in pieces])
    sizes = np.array([len(piece.content) for piece in pieces])
    if job.max_tokens is not None:
        room = job.max_tokens - spool.splits["train"].split.tokens
        keep = _kept(splits, lengths, room, to_the_end=job.splitting.cuts is not None)
        starts = np.cumsum(lengths) - lengths
        for piece in np.flatnonzero(keep < lengths):
            kept = tokens[starts[piece] : starts[piece] + keep[piece]]
            firsts[piece] &= len(kept) > 0
            sizes[piece] = job.tokenizer.token_bytes()[kept].sum() if len(kept) else 0
        places = np.arange(len(tokens)) - np.repeat(starts, lengths)
        tokens, lengths = tokens[places < np.repeat(keep, lengths)], keep
    for index in np.unique(splits):
        mine = splits == index
        chosen = tokens if mine.all() else tokens[np.repeat(mine, lengths)]
        spool.append(SPLITS[index], chosen, int(firsts[mine].sum()), int(sizes[mine].sum()))


def _kept(
    splits: Int64[np.ndarray, " pieces"],
    lengths: Int64[np.ndarray, " pieces"],
    room: int,
    to_the_end: bool,
) -> Int64[np.ndarray, " pieces"]:
    """How many tokens of each piece to keep where train has room for `room` more.

    Nothing is kept behind the piece that fills train, so that the other splits do not depend on
    how far the batch reaches; unless the source is cut by position, where they come last.
    """
    train = np.where(splits == 0, lengths, 0)
    before = np.cumsum(train) - train
    keep = np.where(splits == 0, np.clip(room - before, 0, lengths), lengths)
    return keep if to_the_end else np.where(before < room, keep, 0)


@contextlib.contextmanager
def explained(spool: Spool) -> Generator[None]:
    """Turns a full disk into one sentence; what was saved before stays."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        whole = sum(len(growing.split.shards) for growing in spool.splits.values())
        raise OSError(
            f"the disk is full: {whole} whole shards are in {spool.folder}; free some space and "
            f"run the same command again without --overwrite, and it continues where it was (or "
            f"take less text, into another folder, with --max-tokens and --out)"
        ) from error
