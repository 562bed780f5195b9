"""The few file operations that everything durable goes through.

A file is safe only when its bytes have been synced to the disk *and* the folder that names it
has been synced too; a rename is what makes a new file or folder appear all at once. Everything
in phase 8 that must survive a kill or a power cut is written with the functions below and with
nothing else, each of them called through the module (`durable.rename(...)`), so that a test can
stop the process before and after any single one of them.

Left out: locking (one process writes a folder) and the syncing of folders on Windows, which
offers no such call.
"""

import contextlib
import datetime
import os
import sys
from collections.abc import Iterable
from pathlib import Path

Piece = bytes | memoryview


def write(path: Path, data: bytes | Iterable[Piece]) -> None:
    """Write the bytes, or one piece after the other, to `path`; not yet synced."""
    pieces = (data,) if isinstance(data, bytes) else data
    with path.open("wb") as file:
        for piece in pieces:
            file.write(piece)


def sync(path: Path) -> None:
    """Return when the bytes of the file have reached the disk."""
    with path.open("rb+") as file:
        _flush_to_disk(file.fileno())


def sync_folder(path: Path) -> None:
    """Return when the names in the folder (creations, renames, removals) have reached the disk."""
    if os.name == "nt":  # Windows cannot open a folder
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        _flush_to_disk(descriptor)
    finally:
        os.close(descriptor)


def rename(source: Path, target: Path) -> None:
    """Give the file or folder another name at once; a file of that name is replaced."""
    source.replace(target)


def make_folder(path: Path) -> None:
    """Make the folder, which must not exist yet."""
    path.mkdir()


def remove(path: Path) -> None:
    """Remove one file, link or empty folder."""
    if path.is_dir() and not path.is_symlink():
        path.rmdir()
    else:
        path.unlink()


def remove_tree(path: Path) -> None:
    """Remove a file, a link, or a folder and all in it, one `remove` after the other."""
    if path.is_dir() and not path.is_symlink():
        for entry in sorted(path.iterdir()):
            remove_tree(entry)
    remove(path)


def set_aside(folder: Path) -> Path:
    """Give the folder a dated name that is free, `<name>-before-<date>`; returns the new path."""
    folder = folder.resolve()
    stamp = datetime.datetime.now().strftime("%Y%m%d-%H%M%S")
    kept, number = folder.with_name(f"{folder.name}-before-{stamp}"), 1
    while kept.exists():
        number += 1
        kept = folder.with_name(f"{folder.name}-before-{stamp}-{number}")
    rename(folder, kept)
    return kept


def write_atomically(path: Path, data: bytes | Iterable[Piece]) -> None:
    """Write a file so that, whenever the process dies, `path` is the old file or the new one.

    Raises OSError (a full disk, a folder that is not there); the old file is then untouched.
    """
    temporary = path.with_name(f".new-{path.name}")
    try:
        write(temporary, data)
        sync(temporary)
        rename(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):  # what matters is the error that brought us here
            temporary.unlink()
        raise
    sync_folder(path.parent)


def _flush_to_disk(descriptor: int) -> None:
    if sys.platform == "darwin":  # where fsync stops at the drive's own cache
        import fcntl

        try:
            fcntl.fcntl(descriptor, fcntl.F_FULLFSYNC)
        except OSError:  # a file system without it, a network share for example
            os.fsync(descriptor)
    else:
        os.fsync(descriptor)
