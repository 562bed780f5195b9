"""The splits of a data folder while they grow, in a way that a kill cannot hurt.

Each split has finished shards (`train-000000.bin`, ...) and one file that grows
(`train.partial`). `state.json` says how long each of them was, and how far the source was read,
at one moment; everything it speaks of was synced before it was written. What lies beyond it, after
a kill, is cut off, and made anew from the place in the source that the state names. So the bytes
in the end do not depend on when, or how often, the preparation was interrupted.

`phase08.pipeline` fills a spool, `phase08.prepare` turns a full one into a manifest.
"""

import contextlib
import errno
import os
import sys
import time
from collections.abc import Generator
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any

import numpy as np
from jaxtyping import UInt16

from phase08 import durable, shards
from phase08.shards import HEADER_BYTES, TOKEN, Shard, Split

STATE = "state.json"
LOCK_PATIENCE = 3.0  # seconds: workers of a killed run take a moment to notice
NO_LOCKS = {errno.EBADF, errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS}
UNWRITABLE = {errno.EACCES, errno.EPERM, errno.EROFS}  # the folder that the lock file would be in


class GrowingSplit:
    """One split: counts, finished shards, and the file that the next tokens go to."""

    def __init__(self, folder: Path, name: str, shard_tokens: int, split: Split) -> None:
        self.folder, self.name, self.shard_tokens, self.split = folder, name, shard_tokens, split
        self.partial = folder / f"{name}.partial"
        self._file: IO[bytes] | None = None
        self._recover()

    @property
    def waiting(self) -> int:
        """Tokens that are in no finished shard yet."""
        return self.split.tokens - sum(shard.tokens for shard in self.split.shards)

    def append(self, tokens: UInt16[np.ndarray, " n"]) -> None:
        """Adds tokens, finishing each shard that becomes full."""
        while len(tokens):
            chunk = tokens[: self.shard_tokens - self.waiting]
            self._write(chunk)
            self.split.tokens += len(chunk)
            tokens = tokens[len(chunk) :]
            if self.waiting == self.shard_tokens:
                self.finish_shard()

    def finish_shard(self) -> None:
        """Gives the growing file its header and its name, and takes its sha256."""
        n_tokens = self.waiting
        file = self._opened()
        file.seek(0)
        _write_all(file, shards.shard_header(n_tokens))
        self.close()
        durable.sync(self.partial)
        path = self._path(len(self.split.shards))
        durable.rename(self.partial, path)
        durable.sync_folder(self.folder)
        self.split.shards.append(Shard(path.name, n_tokens, shards.file_sha256(path)))

    def sync(self) -> None:
        """Makes what was appended durable."""
        if self._file is not None:
            durable.sync(self.partial)

    def close(self) -> None:
        """Closes the growing file."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _path(self, number: int) -> Path:
        return self.folder / f"{self.name}-{number:06d}.bin"

    def _opened(self) -> IO[bytes]:
        if self._file is None:
            # unbuffered: a full disk shows at the write, and nothing is left to flush on closing
            exists = self.partial.exists()
            self._file = self.partial.open("rb+" if exists else "wb", buffering=0)
            if not exists:
                _write_all(self._file, bytes(HEADER_BYTES))
            self._file.seek(0, os.SEEK_END)
        return self._file

    def _write(self, tokens: UInt16[np.ndarray, " n"]) -> None:
        _write_all(self._opened(), np.ascontiguousarray(tokens, dtype=TOKEN).tobytes())

    def _recover(self) -> None:
        """Brings the folder back to the counts of `split`, whatever happened after them."""
        done = len(self.split.shards)
        for shard in self.split.shards:
            if not (self.folder / shard.file).is_file():
                raise FileNotFoundError(
                    f"{self.folder / shard.file} was written before and is now missing; "
                    f"begin again with --overwrite"
                )
        first = self._path(done)
        if first.exists():  # the growing file was finished after the state was saved
            durable.rename(first, self.partial)
        for path in sorted(self.folder.glob(f"{self.name}-[0-9]*.bin")):
            if path.name not in {shard.file for shard in self.split.shards}:
                durable.remove(path)
        wanted = HEADER_BYTES + TOKEN.itemsize * self.waiting
        if self.waiting == 0:
            self.partial.unlink(missing_ok=True)
        elif not self.partial.exists() or self.partial.stat().st_size < wanted:
            raise ValueError(
                f"{self.partial} is shorter than {self.folder / STATE} says; "
                f"begin again with --overwrite"
            )
        else:
            os.truncate(self.partial, wanted)


def _write_all(file: IO[bytes], content: bytes) -> None:
    view = memoryview(content)
    while view:
        view = view[file.write(view) :]


class Spool:
    """All splits of a data folder, and the state that they can be continued from."""

    def __init__(self, folder: Path, shard_tokens: int, state: dict[str, Any] | None) -> None:
        saved = {} if state is None else state["splits"]
        self.folder = folder
        self.splits = {
            name: GrowingSplit(
                folder,
                name,
                shard_tokens,
                Split.from_dict(saved[name], name, growing=True) if name in saved else Split(),
            )
            for name in ("train", "val", "test")
        }

    def append(
        self, name: str, tokens: UInt16[np.ndarray, " n"], documents: int, text_bytes: int
    ) -> None:
        """Adds tokens to a split: the documents that begin in them, the bytes they stand for."""
        growing = self.splits[name]
        growing.append(tokens)
        growing.split.documents += documents
        growing.split.bytes += text_bytes

    def save(self, state: dict[str, Any]) -> None:
        """Makes everything appended so far durable, and then the state that says so."""
        for growing in self.splits.values():
            growing.sync()
        splits = {name: asdict(growing.split) for name, growing in self.splits.items()}
        shards.write_json(self.folder / STATE, {**state, "splits": splits})

    def finish(self) -> dict[str, Split]:
        """Finishes the last shard of each split; returns those that have tokens."""
        for growing in self.splits.values():
            if growing.waiting:
                growing.finish_shard()
        return {name: g.split for name, g in self.splits.items() if g.split.tokens}

    def close(self) -> None:
        """Closes all files."""
        for growing in self.splits.values():
            growing.close()


def load_state(folder: Path) -> dict[str, Any] | None:
    """The state of a preparation that was begun in this folder, if there is one."""
    path = folder / STATE
    return shards.read_json(path, "begin again with --overwrite") if path.is_file() else None


@contextlib.contextmanager
def locked(folder: Path) -> Generator[bool]:
    """Keeps a second preparation out of the folder; False where that cannot be done here.

    What is locked is a file beside the folder, so that the folder may be renamed meanwhile. On
    Windows nothing is locked.
    """
    if sys.platform == "win32":
        yield True
        return
    path = folder.resolve().parent / f".{folder.resolve().name}.lock"
    handle = _lock(path, folder)
    try:
        yield handle is not None
    finally:
        if handle is not None:
            with contextlib.suppress(OSError):
                path.unlink()  # while it is still held: see `_lock`
            os.close(handle)


def _lock(path: Path, folder: Path) -> int | None:
    """The lock file's descriptor, once it is ours; None where files cannot be locked."""
    import fcntl

    deadline = time.monotonic() + LOCK_PATIENCE
    while True:
        try:
            handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        except OSError as error:
            if error.errno in UNWRITABLE:
                return None
            raise
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # whoever held it before has removed it: the file must still be the one of that name
            if _is_named(path, handle):
                return handle
            os.close(handle)
        except BlockingIOError as error:
            os.close(handle)
            if time.monotonic() > deadline:
                raise ValueError(
                    f"another prepare is writing into {folder}; wait for it, or stop it"
                ) from error
            time.sleep(0.05)
        except OSError as error:
            os.close(handle)
            if error.errno not in NO_LOCKS:
                raise
            with contextlib.suppress(OSError):
                path.unlink()
            return None


def _is_named(path: Path, handle: int) -> bool:
    try:
        return path.stat().st_ino == os.fstat(handle).st_ino
    except FileNotFoundError:
        return False
