"""Checkpoints that are whole or not there: folders of safetensors and json, no pickle.

    step-00000123/
        model.safetensors       one file for each entry of `tensors`
        optimizer.safetensors
        state.json              {"format": 1, "state": {...}, "step": 123}
        SHA256SUMS              `sha256sum -c SHA256SUMS` verifies the folder by hand

A checkpoint is written under a temporary name, every file synced, then the folder, then renamed,
then the parent synced. So a name `step-...` stands for a checkpoint that was whole once, and the
sums tell whether it still is. Names that a kill can leave behind, tidied up by the next `save`:

    .new-step-00000123      being written: removed
    .old-step-00000123      the one that is being replaced by another of the same step: put back
                            where the new one did not get its name, and until then read in its place
    .trash-step-00000123    being deleted: removed

The same content gives the same bytes (sorted names, sorted json, no times), so two runs can be
compared with `diff -r`. The tensors are written by hand, one after the other, so that a model on
a GPU is never copied whole; the format is that of the safetensors library, which reads them.

Left out: several writers of one folder, sharded tensors, compression, signatures (the sums
guard against accidents, not against an adversary).
"""

import contextlib
import hashlib
import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file

from phase08 import durable

FORMAT = 1
SUMS = "SHA256SUMS"
STATE = "state.json"

_FINAL = re.compile(r"step-(\d{8,})")
_ASIDE = re.compile(r"\.old-step-(\d{8,})")
_LEFT_OVER = re.compile(r"\.(new|trash)-step-\d{8,}")
_STEM = re.compile(r"[A-Za-z0-9_-]+")

_DTYPES = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.int16: "I16",
    torch.int8: "I8",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}

Tensors = dict[str, dict[str, torch.Tensor]]


class DamagedCheckpointError(ValueError):
    """A checkpoint is not, byte for byte, what was saved; the message names the file."""


class Latest(NamedTuple):
    """The newest whole checkpoint: its folder (None where there is none yet), its state, and a
    sentence for each newer one that had to be passed over."""

    path: Path | None
    state: dict[str, Any]
    complaints: list[str]


# --- saving -----------------------------------------------------------------------------------


def save(folder: Path, step: int, *, tensors: Tensors, state: dict[str, Any]) -> Path:
    """Write the checkpoint of `step` into `folder` and return its path.

    `tensors` maps a file's stem ("model", "optimizer") to named tensors on any device; `state`
    is what json can hold and give back equal (no tuples, no NaN). A whole checkpoint of this step
    with the same content is left as it is; another one is replaced once the new one is whole.

    Raises ValueError for a state or a tensor that cannot be stored, OSError for a full disk; the
    older checkpoints are then untouched and the half-written one is removed.
    """
    files = _contents(step, tensors, state)
    if not folder.exists():
        folder.mkdir(parents=True)
        durable.sync_folder(folder.parent)
    _tidy(folder)
    temporary, final = folder / f".new-{_name(step)}", folder / _name(step)
    try:
        sums = _write_folder(temporary, files)
        if _holds(final, sums):
            durable.remove_tree(temporary)
            return final
        _swap_in(temporary, final)
    except BaseException:
        with contextlib.suppress(OSError):  # the error that brought us here is the one to report
            if temporary.exists():
                durable.remove_tree(temporary)
        raise
    return final


def _contents(step: int, tensors: Tensors, state: dict[str, Any]) -> dict[str, Iterable[Any]]:
    """The files of the checkpoint as name -> pieces of bytes; checks all that the caller gave."""
    if step < 0:
        raise ValueError(f"a checkpoint's step must be 0 or more, not {step}")
    try:
        text = json.dumps(
            {"format": FORMAT, "step": step, "state": state},
            sort_keys=True,
            indent=1,
            allow_nan=False,
        )
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"the state of a checkpoint must be plain json without NaN or infinity: {error}"
        ) from error
    if json.loads(text)["state"] != state:
        raise ValueError(
            "the state of a checkpoint would not come back from json as it was: "
            "use lists for tuples and strings for the keys of dictionaries"
        )
    files: dict[str, Iterable[Any]] = {STATE: [text.encode() + b"\n"]}
    for stem, named in tensors.items():
        if not _STEM.fullmatch(stem):
            raise ValueError(f"{stem!r} is no file stem: use letters, digits, - and _")
        files[f"{stem}.safetensors"] = _safetensors(stem, named)
    return files


def _safetensors(stem: str, named: dict[str, torch.Tensor]) -> Iterator[bytes | memoryview]:
    """The bytes of a safetensors file in pieces, one tensor on the CPU at a time.

    The length of the header (8 bytes, little endian), the header (json, padded with spaces to a
    multiple of 8), the tensors. The widest types come first, so that all are aligned.
    """
    for name, tensor in named.items():
        if tensor.dtype not in _DTYPES or tensor.layout != torch.strided:
            raise ValueError(
                f"tensor {name!r} of {stem} is {tensor.dtype} and {tensor.layout}: a checkpoint "
                "holds dense tensors of floats, integers and booleans"
            )
    names = sorted(named, key=lambda name: (-named[name].itemsize, name))
    header, offset = {}, 0
    for name in names:
        tensor = named[name]
        end = offset + tensor.numel() * tensor.itemsize
        header[name] = {
            "dtype": _DTYPES[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [offset, end],
        }
        offset = end
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)

    def pieces() -> Iterator[bytes | memoryview]:
        yield len(text).to_bytes(8, "little") + text
        for name in names:
            flat = named[name].detach().cpu().contiguous().reshape(-1)
            yield memoryview(flat.view(torch.uint8).numpy())

    return pieces()


def _write_folder(temporary: Path, files: dict[str, Iterable[Any]]) -> bytes:
    """Write and sync all files and their sums; returns the content of SHA256SUMS."""
    durable.make_folder(temporary)
    digests = {}
    for name, pieces in sorted(files.items()):
        digest = hashlib.sha256()
        durable.write(temporary / name, _hashing(pieces, digest))
        durable.sync(temporary / name)
        digests[name] = digest.hexdigest()
    sums = _render_sums(digests)
    durable.write(temporary / SUMS, sums)
    durable.sync(temporary / SUMS)
    durable.sync_folder(temporary)
    return sums


def _hashing(pieces: Iterable[Any], digest: Any) -> Iterator[Any]:
    for piece in pieces:
        digest.update(piece)
        yield piece


def _render_sums(digests: dict[str, str]) -> bytes:
    return "".join(f"{digests[name]}  {name}\n" for name in sorted(digests)).encode()


def _holds(final: Path, sums: bytes) -> bool:
    """Whether `final` is a whole checkpoint with these sums."""
    try:
        verify(final)
    except (FileNotFoundError, DamagedCheckpointError):
        return False
    return (final / SUMS).read_bytes() == sums


def _swap_in(temporary: Path, final: Path) -> None:
    """Give the whole, synced temporary folder its name.

    A folder cannot be renamed over another, so one of the same step steps aside first; between
    the two renames it is still found, under the name `.old-...`.
    """
    aside = final.with_name(f".old-{final.name}")
    if final.exists():
        durable.rename(final, aside)
    durable.rename(temporary, final)
    durable.sync_folder(final.parent)
    if aside.exists():
        _discard(aside)


def _tidy(folder: Path) -> None:
    """Undo what a killed save or prune left behind; touches only names of our own."""
    for aside, step in _matching(folder, _ASIDE):
        final = folder / _name(step)
        if _whole(final) or not _whole(aside):
            _discard(aside)  # the new one got its name, or there is nothing to save
        else:
            if final.exists():
                _discard(final)
            durable.rename(aside, final)
            durable.sync_folder(folder)
    for entry in sorted(folder.iterdir()):
        if _LEFT_OVER.fullmatch(entry.name) and entry.is_dir() and not entry.is_symlink():
            durable.remove_tree(entry)


# --- reading ----------------------------------------------------------------------------------


def verify(path: Path) -> dict[str, Any]:
    """Check every byte of a checkpoint and return its state.

    Raises FileNotFoundError where there is none, DamagedCheckpointError (a ValueError) where a
    file was altered, cut, lost or added, or where the state belongs to another step.
    """
    if not path.exists():
        raise FileNotFoundError(f"there is no checkpoint {path}")
    if not path.is_dir():
        raise DamagedCheckpointError(f"{path} is no folder, so no checkpoint")
    try:
        _verify_sums(path)
        state = _read_state(path)
        for file in sorted(path.glob("*.safetensors")):
            _verify_header(file)
    except OSError as error:  # a bad sector, for example
        raise DamagedCheckpointError(f"{path} cannot be read: {error}") from error
    return state


def _verify_sums(path: Path) -> None:
    entries = {entry.name: entry for entry in sorted(path.iterdir())}
    sums = entries.pop(SUMS, None)
    if sums is None:
        raise DamagedCheckpointError(f"{path / SUMS} is missing")
    for entry in (sums, *entries.values()):
        if not entry.is_file() or entry.is_symlink():
            raise DamagedCheckpointError(f"{entry} is no plain file; it does not belong there")
    listed = _parse_sums(sums)
    for name in sorted(entries.keys() - listed.keys()):
        raise DamagedCheckpointError(f"{path / name} is not listed in {SUMS}")
    for name in sorted(listed.keys() - entries.keys()):
        raise DamagedCheckpointError(f"{path / name} is missing")
    for name, expected in listed.items():
        with (path / name).open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        if found != expected:
            raise DamagedCheckpointError(
                f"{path / name} was altered: its sha256 is {found[:12]}..., "
                f"{SUMS} says {expected[:12]}..."
            )


def _verify_header(file: Path) -> None:
    try:
        with safe_open(file, framework="pt"):
            pass
    except SafetensorError as error:
        raise DamagedCheckpointError(f"{file} is no safetensors file: {error}") from error


def _parse_sums(path: Path) -> dict[str, str]:
    content = path.read_bytes()
    lines = re.findall(rb"^([0-9a-f]{64})  ([A-Za-z0-9_.-]+)\n", content, flags=re.MULTILINE)
    listed = {name.decode(): digest.decode() for digest, name in lines}
    if _render_sums(listed) != content or STATE not in listed:
        raise DamagedCheckpointError(f"{path} was altered: it is no list of sums as we write it")
    return listed


def _read_state(path: Path) -> dict[str, Any]:
    file = path / STATE
    try:
        content = json.loads(file.read_bytes())
    except ValueError as error:
        raise DamagedCheckpointError(f"{file} is no json: {error}") from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise DamagedCheckpointError(f"{file} is not of format {FORMAT}")
    name = path.name.removeprefix(".old-")
    if not isinstance(content.get("step"), int) or _name(content["step"]) != name:
        raise DamagedCheckpointError(
            f"{file} is of step {content.get('step')}, but its folder is called {path.name}"
        )
    if not isinstance(content.get("state"), dict):
        raise DamagedCheckpointError(f"{file} holds no state")
    return content["state"]


def load(path: Path) -> tuple[Tensors, dict[str, Any]]:
    """Verify a checkpoint and return its (tensors, state), the tensors on the CPU.

    Raises what `verify` raises.
    """
    state = verify(path)
    return {file.stem: load_file(file) for file in sorted(path.glob("*.safetensors"))}, state


def latest(folder: Path) -> Latest:
    """Find the newest whole checkpoint, verifying from the newest backwards; changes nothing.

    Raises ValueError where there are checkpoints but none is whole.
    """
    complaints = []
    for path in reversed(_candidates(folder)):
        try:
            return Latest(path, verify(path), complaints)
        except DamagedCheckpointError as error:
            complaints.append(f"passed over {path.name}: {error}")
    if complaints:
        raise ValueError(
            f"no whole checkpoint is left in {folder} ({'; '.join(complaints)}): "
            "put one back from a copy, or start the run anew in another folder"
        )
    return Latest(None, {}, [])


# --- pruning ----------------------------------------------------------------------------------


def prune(folder: Path, keep_last: int, best: int | None = None) -> None:
    """Delete all but the newest `keep_last` checkpoints and that of step `best`.

    The newest whole one is kept in any case, so pruning cannot lose the run to a damaged disk.
    """
    if keep_last < 1:
        raise ValueError(f"keep_last must be 1 or more, not {keep_last}")
    newest_first = list(reversed(_matching(folder, _FINAL)))
    kept = keep_last
    while kept < len(newest_first) and not any(_whole(path) for path, _ in newest_first[:kept]):
        kept += 1
    for path, step in newest_first[kept:]:
        if step != best:
            _discard(path)


def _discard(path: Path) -> None:
    """Delete a checkpoint under another name, so that a half-deleted one is never taken for one."""
    step = path.name.removeprefix(".old-")
    trash = path.with_name(f".trash-{step}")
    if trash.exists():
        durable.remove_tree(trash)
    durable.rename(path, trash)
    durable.sync_folder(path.parent)
    durable.remove_tree(trash)


# --- names ------------------------------------------------------------------------------------


def _name(step: int) -> str:
    return f"step-{step:08d}"


def _matching(folder: Path, pattern: re.Pattern[str]) -> list[tuple[Path, int]]:
    """The entries of the folder with such a name and their steps, by step."""
    if not folder.is_dir():
        return []
    found = []
    for entry in folder.iterdir():
        match = pattern.fullmatch(entry.name)
        if match and entry.name.endswith(_name(int(match[1]))):
            found.append((entry, int(match[1])))
    return sorted(found, key=lambda pair: pair[1])


def _candidates(folder: Path) -> list[Path]:
    """All that may be read, the one to prefer last: by step, the one set aside before its heir."""
    ranked = [(step, 0, path) for path, step in _matching(folder, _ASIDE)]
    ranked += [(step, 1, path) for path, step in _matching(folder, _FINAL)]
    return [path for _, _, path in sorted(ranked)]


def _whole(path: Path) -> bool:
    try:
        verify(path)
    except (FileNotFoundError, DamagedCheckpointError):
        return False
    return True
