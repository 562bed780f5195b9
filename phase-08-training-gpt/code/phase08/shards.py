"""Token shards: files of token ids that are read without being loaded.

A shard is llm.c's format (`dev/data/data_common.py` there): 256 little-endian int32 of header,
of which the first three are a magic number, a version and the number of tokens, and then the
tokens as little-endian uint16. llm.c and modded-nanogpt read our shards, and we read theirs.
Beside the shards lies `manifest.json`, which says what text they hold, which tokenizer
made them, and each shard's length and sha256; it carries a checksum of itself. A file under its
final name is whole (`phase08.durable`).

Left out: llm.c's second format (uint32 tokens, for vocabularies above 65,536).
"""

import hashlib
import json
import shlex
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt16

from phase08 import durable, tokenizers

MAGIC = 20240520
VERSION = 1
HEADER_BYTES = 256 * 4
MANIFEST = "manifest.json"
MANIFEST_VERSION = 1
MAX_SHARD_TOKENS = 2**31 - 1  # the count is an int32
SHARD_TOKENS = 100_000_000  # what prepare puts into one
TOKEN = np.dtype("<u2")
CHUNK_TOKENS = 1 << 24  # what a check of all tokens holds in memory at once


# Json that knows whether it is whole


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Writes a dictionary durably as json, with a checksum by which `read_json` knows it whole."""
    content = {**content, "checksum": _checksum(content)}
    text = json.dumps(content, indent=1) + "\n"
    durable.write_atomically(path, text.encode("ascii"))


def read_json(path: Path, advice: str) -> dict[str, Any]:
    """Reads what `write_json` wrote; an altered file is a ValueError that ends in `advice`."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is not valid json ({error}); {advice}") from error
    if not isinstance(content, dict) or "checksum" not in content:
        raise ValueError(f"{path} has no checksum, so it was not written by prepare; {advice}")
    if content.pop("checksum") != _checksum(content):
        raise ValueError(f"{path} was altered: its checksum does not match its content; {advice}")
    return content


def _checksum(content: dict[str, Any]) -> str:
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode("ascii")).hexdigest()


def file_sha256(path: Path) -> str:
    """The sha256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


# One shard


def shard_header(n_tokens: int) -> bytes:
    """The 1024 bytes in front of `n_tokens` tokens."""
    if not 0 <= n_tokens <= MAX_SHARD_TOKENS:
        raise ValueError(f"a shard holds 0 to {MAX_SHARD_TOKENS} tokens, not {n_tokens}")
    header = np.zeros(256, dtype="<i4")
    header[:3] = MAGIC, VERSION, n_tokens
    return header.tobytes()


def write_shard(path: Path, tokens: UInt16[np.ndarray, " n"]) -> None:
    """Writes tokens as one shard, durably."""
    tokens = np.ascontiguousarray(tokens, dtype=TOKEN)
    durable.write_atomically(path, [shard_header(len(tokens)), tokens.tobytes()])


def read_shard(path: Path, advice: str = "prepare it again") -> UInt16[np.ndarray, " n"]:
    """A shard's tokens, mapped into memory; raises if header and size are not those of a shard."""
    n_tokens = _check_header(path, advice)
    if n_tokens == 0:  # an empty file section cannot be mapped
        return np.zeros(0, dtype=TOKEN)
    return np.memmap(path, dtype=TOKEN, mode="r", offset=HEADER_BYTES, shape=(n_tokens,))


def _check_header(path: Path, advice: str) -> int:
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing; {advice}")
    size = path.stat().st_size
    with path.open("rb") as file:
        header = np.frombuffer(file.read(HEADER_BYTES).ljust(HEADER_BYTES, b"\0"), dtype="<i4")
    if size < HEADER_BYTES:
        raise ValueError(f"{path} has {size} bytes, fewer than a shard's header has; {advice}")
    magic, version, n_tokens = (int(number) for number in header[:3])
    if magic != MAGIC:
        raise ValueError(f"{path} is no token shard: it begins with {magic}, not {MAGIC}; {advice}")
    if version != VERSION:
        raise ValueError(f"{path} is a shard of version {version}, not {VERSION}; {advice}")
    expected = HEADER_BYTES + TOKEN.itemsize * n_tokens
    if n_tokens < 0 or size != expected:
        what = "was cut short" if size < expected else "has bytes at its end that are not its own"
        raise ValueError(
            f"{path} {what}: its header says {n_tokens} tokens, which makes {expected} bytes, "
            f"but it has {size}; {advice}"
        )
    return n_tokens


# The manifest


@dataclass(frozen=True)
class Shard:
    """One file of tokens: its name in the data folder, its length, and its sha256."""

    file: str
    tokens: int
    sha256: str


@dataclass
class Split:
    """The tokens of one split; `bytes` is the UTF-8 length of the text that they stand for."""

    tokens: int = 0
    documents: int = 0
    bytes: int = 0
    shards: list[Shard] = field(default_factory=list)

    @classmethod
    def from_dict(cls, content: dict[str, Any], where: str, growing: bool = False) -> "Split":
        """The split written as a dictionary; `where` names it in an error.

        A growing one may have tokens that are in no shard yet.
        """
        for name in ("tokens", "documents", "bytes"):
            _expect(content, name, int, where)
        for shard in _expect(content, "shards", list, where):
            if not isinstance(shard, dict):
                raise ValueError(f"{where}: a shard is {shard!r}, not a dictionary")
            for name, kind in (("file", str), ("tokens", int), ("sha256", str)):
                _expect(shard, name, kind, f"{where}.shards")
            if Path(shard["file"]).name != shard["file"]:
                raise ValueError(f"{where}.shards: {shard['file']!r} is not a plain file name")
        shards = [Shard(s["file"], s["tokens"], s["sha256"]) for s in content["shards"]]
        if not growing and sum(shard.tokens for shard in shards) != content["tokens"]:
            raise ValueError(f"{where}: the shards' tokens do not add up to {content['tokens']}")
        return cls(content["tokens"], content["documents"], content["bytes"], shards)


@dataclass
class Manifest:
    """What `manifest.json` says about the shards beside it."""

    dataset: str
    revision: str
    tokenizer: dict[str, Any]
    vocab_size: int
    splits: dict[str, Split]
    preparation: dict[str, Any] = field(default_factory=dict)
    version: int = MANIFEST_VERSION

    def write(self, folder: Path) -> None:
        """Writes `folder/manifest.json`, durably."""
        write_json(folder / MANIFEST, asdict(self))

    @classmethod
    def read(cls, folder: Path) -> "Manifest":
        """Reads and checks `folder/manifest.json`."""
        path = folder / MANIFEST
        if not path.is_file():
            raise FileNotFoundError(
                f"no prepared data in {folder} (it has no {MANIFEST}); "
                f"prepare some with `{prepare_command('SOURCE', 'TOKENIZER')}`"
            )
        advice = f"prepare it again with `{prepare_command('SOURCE', 'TOKENIZER', folder)}`"
        content = read_json(path, advice)
        try:
            return cls._from_dict(content)
        except ValueError as error:
            raise ValueError(f"{path} is not a manifest: {error}; {advice}") from error

    @classmethod
    def _from_dict(cls, content: dict[str, Any]) -> "Manifest":
        version = _expect(content, "version", int, "the manifest")
        if version != MANIFEST_VERSION:
            raise ValueError(f"its version is {version}, not {MANIFEST_VERSION}")
        splits = _expect(content, "splits", dict, "the manifest")
        return cls(
            dataset=_expect(content, "dataset", str, "the manifest"),
            revision=_expect(content, "revision", str, "the manifest"),
            tokenizer=_expect(content, "tokenizer", dict, "the manifest"),
            vocab_size=_expect(content, "vocab_size", int, "the manifest"),
            splits={
                name: Split.from_dict(_expect(splits, name, dict, "splits"), f"splits.{name}")
                for name in splits
            },
            preparation=_expect(content, "preparation", dict, "the manifest"),
        )

    def advice(self, folder: Path) -> str:
        """What to do about a damaged file of this data: the command that made it, once more."""
        kind = str(self.tokenizer.get("kind", "TOKENIZER"))
        command = prepare_command(self.dataset, kind, folder, self.preparation)
        return f"prepare it again with `{command}`"


REQUEST_DEFAULTS: dict[str, Any] = {
    "vocab_size": tokenizers.BPE_VOCAB_SIZE,
    "text_field": "text",
    "max_tokens": None,
    "shard_tokens": SHARD_TOKENS,
    "val_fraction": None,
    "test_fraction": None,
    "seed": 0,
    "repeat": 1,
}


def prepare_command(
    source: str,
    tokenizer: str,
    folder: Path | None = None,
    preparation: dict[str, Any] | None = None,
) -> str:
    """The command that prepares a source, into a folder that is there already if one is given.

    `preparation` is the manifest's entry; what it says that differs from the defaults is given.
    """
    preparation = preparation or {}
    request, files = preparation.get("request"), preparation.get("patterns")
    words = ["--source", source, "--tokenizer", tokenizer]
    if isinstance(files, list) and files:
        words += ["--files", *map(str, files)]
    for name, default in REQUEST_DEFAULTS.items():
        value = request.get(name, default) if isinstance(request, dict) else default
        if value != default:
            words += [f"--{name.replace('_', '-')}", str(value)]
    if folder is not None:
        words += ["--out", str(folder), "--overwrite"]
    return f"uv run python -m phase08.prepare {shlex.join(words)}"


def _expect(content: dict[str, Any], name: str, kind: type, where: str) -> Any:
    if name not in content:
        raise ValueError(f"{where} lacks the field {name!r}")
    value = content[name]
    if not isinstance(value, kind) or isinstance(value, bool):
        raise ValueError(f"{where}: {name!r} is {value!r}, not of type {kind.__name__}")
    if isinstance(value, int) and value < 0:
        raise ValueError(f"{where}: {name!r} is {value}, which is negative")
    return value


def read_tokenizer(folder: Path) -> tokenizers.Tokenizer:
    """The tokenizer that a data folder was prepared with."""
    manifest = Manifest.read(Path(folder))
    try:
        tokenizer = tokenizers.from_dict(manifest.tokenizer)
    except ValueError as error:
        raise ValueError(f"{folder / MANIFEST}: {error}; {manifest.advice(folder)}") from error
    if tokenizer.vocab_size != manifest.vocab_size:
        raise ValueError(
            f"{folder / MANIFEST} says a vocabulary of {manifest.vocab_size}, but its tokenizer "
            f"has {tokenizer.vocab_size}; {manifest.advice(folder)}"
        )
    return tokenizer


# A split, read as one long array


class Tokens:
    """The tokens of one split as one sequence, over shards that stay on the disk."""

    def __init__(self, shards: list[np.ndarray], vocab_size: int, fingerprint: str) -> None:
        self.vocab_size = vocab_size
        self.fingerprint = fingerprint
        self._shards = shards
        self._ends = np.cumsum([0, *(len(shard) for shard in shards)])  # (n_shards + 1,)

    def __len__(self) -> int:
        return int(self._ends[-1])

    def slice(self, start: int, stop: int) -> UInt16[np.ndarray, " n"]:
        """Tokens `start` to `stop - 1`; a view of the file where they lie in one shard."""
        if not 0 <= start <= stop <= len(self):
            raise ValueError(f"tokens {start}:{stop} were asked for, but there are {len(self)}")
        first = int(np.searchsorted(self._ends, start, side="right")) - 1
        pieces = []
        for shard, offset in zip(self._shards[first:], self._ends[first:], strict=False):
            if offset >= stop:
                break
            pieces.append(shard[max(start - offset, 0) : stop - offset])
        if len(pieces) == 1:
            return pieces[0]
        return np.concatenate(pieces) if pieces else np.zeros(0, dtype=TOKEN)


def open_split(folder: Path, split: str, verify: bool = True) -> Tokens:
    """Opens one split of a data folder, after checking it against the manifest.

    Headers and sizes are always checked. With `verify` every byte is read: each shard's sha256,
    and that no token id lies beyond the vocabulary.
    """
    folder = Path(folder)
    manifest = Manifest.read(folder)
    if split not in manifest.splits:
        known = ", ".join(manifest.splits)
        raise ValueError(f"{folder} has no split {split!r}; it has {known}")
    advice = manifest.advice(folder)
    arrays = []
    for shard in manifest.splits[split].shards:
        tokens = read_shard(folder / shard.file, advice)
        if len(tokens) != shard.tokens:
            raise ValueError(
                f"{folder / shard.file} has {len(tokens)} tokens, but {folder / MANIFEST} says "
                f"{shard.tokens}: they do not belong together; {advice}"
            )
        if verify:
            _verify(folder / shard.file, tokens, shard, manifest.vocab_size, advice)
        arrays.append(tokens)
    return Tokens(arrays, manifest.vocab_size, _fingerprint(manifest.splits[split]))


def _verify(path: Path, tokens: np.ndarray, shard: Shard, vocab_size: int, advice: str) -> None:
    if file_sha256(path) != shard.sha256:
        raise ValueError(
            f"{path} was altered: its sha256 is not the one that {MANIFEST} says; {advice}"
        )
    largest = max((int(chunk.max()) for chunk in _chunks(tokens)), default=-1)
    if largest >= vocab_size:
        raise ValueError(
            f"{path} holds the token id {largest}, beyond the vocabulary of {vocab_size} "
            f"(ids 0 to {vocab_size - 1}); {advice}"
        )


def _chunks(tokens: np.ndarray) -> Iterator[np.ndarray]:
    for start in range(0, len(tokens), CHUNK_TOKENS):
        yield tokens[start : start + CHUNK_TOKENS]


def _fingerprint(split: Split) -> str:
    return hashlib.sha256("\n".join(s.sha256 for s in split.shards).encode()).hexdigest()
