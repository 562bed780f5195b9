"""Where prepare's text comes from: the journal's own texts, files on this disk, sets on the hub.

A `Source` is a list of parts (files, or what stands for one) in a fixed order; a part yields its
documents, each as a name and the consecutive parts of its text, so that a text file of any size
is read without being held. `revision` stands for the exact content: two sources with the same
revision yield the same documents.

- `python-docs`, `shakespeare`, ...: the texts of `journal.texts`.
- `files`: .txt (a document each), .jsonl (a document a line), both also as .gz, and .parquet
  (a document a row). A text that is null is an empty document, which leaves no trace.
- `openwebtext`, `fineweb-edu`, `tinystories`: parquet files on the Hugging Face hub, streamed by
  `datasets`, at the commit that the set's main branch had when preparation began.

Left out: sets that only load by running a script from the hub (`datasets` refuses them, rightly),
and any cleaning of the text.
"""

import contextlib
import fnmatch
import glob
import gzip
import hashlib
import io
import json
import socket
import zlib
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import Any

from journal import texts
from journal.nearest import suggestion
from phase08 import shards, tokenizers

Document = tuple[str, Iterable[str]]  # name, and the text in consecutive parts
BLOCK = 1 << 18  # characters of a text file read at once
HUB_TIMEOUT = 15  # seconds
PARQUET_ROWS = 1000  # decoded at once, however large the row groups are
TEXT_PER_PARQUET_BYTE = 1.8  # about; parquet on the hub is compressed
TEXT_PER_GZIP_BYTE = 2.6  # about, for English
SUFFIXES = (".txt", ".txt.gz", ".jsonl", ".jsonl.gz", ".parquet")


@dataclass(frozen=True)
class Part:
    """One file: its name, about how many bytes of text it has, and its documents from the n-th."""

    name: str
    text_bytes: int
    read: Callable[[int], Iterator[Document]]


@dataclass(frozen=True)
class Source:
    """An ordered list of parts, and what prepare needs to know about them."""

    name: str
    revision: str
    parts: tuple[Part, ...]
    val_fraction: float = 0.05
    test_fraction: float = 0.05
    single: bool = False  # one document: it is split by position
    by_name: bool = False  # documents are dealt to the splits by their names, not their texts
    remote: bool = False  # each pass over it is a download

    @property
    def text_bytes(self) -> int:
        """About how many bytes of UTF-8 text there are."""
        return sum(part.text_bytes for part in self.parts)

    def repeated(self, times: int) -> "Source":
        """The source read `times` times over, as if it were that much longer."""
        if times < 1:
            raise ValueError(f"a source is read once or more often, not {times} times")
        return self if times == 1 else replace(self, parts=self.parts * times)


@dataclass(frozen=True)
class HubSet:
    """A data set on the Hugging Face hub: its repository and which of its files are wanted."""

    repository: str
    pattern: str
    about: str


HUB_SETS = {
    "openwebtext": HubSet("Skylion007/openwebtext", "*train-*.parquet", "9 B tokens of web pages"),
    "fineweb-edu": HubSet(
        "HuggingFaceFW/fineweb-edu", "sample/10BT/*.parquet", "10 B tokens of educational pages"
    ),
    "tinystories": HubSet("roneneldan/TinyStories", "data/train-*.parquet", "2.1 M small stories"),
}


def open_source(
    name: str, files: Iterable[str] = (), text_field: str = "text", revision: str | None = None
) -> Source:
    """The source of that name; a `revision` pins a hub set to the commit it was begun with."""
    files = tuple(files)
    if files and name != "files":
        raise ValueError(f"files were given, but the source is {name}; say --source files")
    if name == "files":
        return open_files(files, text_field)
    if name in HUB_SETS:
        return open_hub(name, revision)
    if name in texts.sources():
        return open_registry(name)
    known = [*texts.sources(), "files", *HUB_SETS]
    raise ValueError(f"the source {name!r} is unknown; {suggestion(name, known)}")


# The journal's own texts


def open_registry(name: str) -> Source:
    """A text of `journal.texts`; it is read once to tell its revision."""
    digest, size, documents = hashlib.sha256(), 0, 0
    for title, text in texts.documents(name):
        content = text.encode("utf-8")
        digest.update(f"{title}\0{len(content)}\0".encode() + content)
        size, documents = size + len(content), documents + 1
    part = Part(name, size, partial(_registry_documents, name))
    source = Source(name, f"sha256:{digest.hexdigest()}", (part,), single=documents == 1)
    if name == "shakespeare":  # nanoGPT's split: the last tenth is for validation
        return replace(source, val_fraction=0.1, test_fraction=0.0)
    if name == "python-docs":  # its topics keep their names when their texts change
        return replace(source, val_fraction=0.1, by_name=True)
    return source


def _registry_documents(name: str, skip: int) -> Iterator[Document]:
    for title, text in islice(texts.documents(name), skip, None):
        yield title, (text,)


# Files


def open_files(patterns: tuple[str, ...], text_field: str = "text") -> Source:
    """Text files by path or glob, in the order given and sorted within a glob."""
    if not patterns:
        raise ValueError(
            'the source files needs to know which: for example --files "books/*.txt" more.jsonl.gz'
        )
    paths = list(dict.fromkeys(chain.from_iterable(map(_matches, patterns))))
    digest = hashlib.sha256()
    for path in paths:
        digest.update(f"{path.name}\0{shards.file_sha256(path)}\n".encode())
    digest.update(text_field.encode())
    single = len(paths) == 1 and path_kind(paths[0]) == "text"
    parts = tuple(_file_part(path, text_field) for path in paths)
    return Source("files", f"sha256:{digest.hexdigest()}", parts, single=single)


def _matches(pattern: str) -> list[Path]:
    path = Path(pattern).expanduser()
    if path.is_file():
        found = [path]
    elif path.is_dir():
        files = (file for file in path.rglob("*") if file.is_file())
        found = sorted(file for file in files if file.name.lower().endswith(SUFFIXES))
    else:
        relative = str(path.relative_to(path.anchor))
        found = sorted(file for file in Path(path.anchor).glob(relative) if file.is_file())
    if not found:
        raise FileNotFoundError(f"no text file matches {pattern!r}; check the path or the glob")
    for file in found:
        path_kind(file)
    return found


def path_kind(path: Path) -> str:
    """`text`, `jsonl` or `parquet`, by the file's name."""
    name = path.name.lower().removesuffix(".gz")
    for suffix, kind in ((".txt", "text"), (".jsonl", "jsonl")):
        if name.endswith(suffix):
            return kind
    if path.name.lower().endswith(".parquet"):
        return "parquet"
    raise ValueError(f"{path} is none of the kinds that are read here: {', '.join(SUFFIXES)}")


def _file_part(path: Path, text_field: str) -> Part:
    kind, size = path_kind(path), path.stat().st_size
    if kind == "parquet":
        read = partial(stream_documents, str(path.resolve()), text_field)
        return Part(path.name, int(size * TEXT_PER_PARQUET_BYTE), read)
    if path.name.lower().endswith(".gz"):
        size = int(size * TEXT_PER_GZIP_BYTE)
    if kind == "text":
        return Part(path.name, size, partial(_text_document, path))
    return Part(path.name, size, partial(_jsonl_documents, path, text_field))


def _open_text(path: Path) -> io.TextIOWrapper:
    # newline="" keeps line ends as they are: the tokens stand for exactly the file's bytes
    if path.name.lower().endswith(".gz"):
        return gzip.open(path, "rt", encoding="utf-8", newline="")
    return path.open(encoding="utf-8", newline="")


def _reading(path: Path, items: Iterator[str]) -> Iterator[str]:
    """Passes items on; a file that is damaged or not UTF-8 becomes one sentence."""
    try:
        yield from items
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{path} is not UTF-8 text ({error.reason}); convert it, for example with "
            f"`iconv -f latin1 -t utf-8`, or leave it out"
        ) from error
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise ValueError(f"{path} is no whole gzip file ({error}); fetch it again") from error


def _text_document(path: Path, skip: int) -> Iterator[Document]:
    if skip:
        return
    with _open_text(path) as file:
        yield path.name, _reading(path, iter(partial(file.read, BLOCK), ""))


def _jsonl_documents(path: Path, text_field: str, skip: int) -> Iterator[Document]:
    with _open_text(path) as file:
        lines = ((n, line) for n, line in enumerate(_reading(path, iter(file)), 1) if line.strip())
        for number, line in islice(lines, skip, None):
            yield f"{path.name}:{number}", (_json_text(line, text_field, f"{path}:{number}"),)


def _json_text(line: str, text_field: str, where: str) -> str:
    try:
        content = json.loads(line)
    except ValueError as error:
        raise ValueError(f"{where} is not a line of json ({error}); mend or remove it") from error
    text = content.get(text_field, ...) if isinstance(content, dict) else ...
    if not isinstance(text, str | None):
        fields = ", ".join(content) if isinstance(content, dict) else "none"
        raise ValueError(
            f"{where} has no text in a field {text_field!r} (its fields: {fields}); "
            f"name the field with --text-field"
        )
    return tokenizers.without_surrogates(text or "")


# Parquet, and the hub


def open_hub(name: str, revision: str | None = None) -> Source:
    """A set on the hub at a commit: the given one, else the newest of its main branch."""
    import huggingface_hub

    hub_set = HUB_SETS[name]
    commit = f"the commit {revision} of " if revision else "the data set "
    with _explained(commit + hub_set.repository):
        info = huggingface_hub.HfApi().dataset_info(
            hub_set.repository, revision=revision, files_metadata=True, timeout=HUB_TIMEOUT
        )
    sizes = {file.rfilename: file.size or 0 for file in info.siblings or []}
    names = sorted(fnmatch.filter(sizes, hub_set.pattern))
    if not names or info.sha is None:
        raise ValueError(
            f"{hub_set.repository} at {info.sha} has no files {hub_set.pattern}: it was "
            f"rearranged; download its parquet files by hand and use --source files"
        )
    parts = tuple(
        Part(
            file,
            int(sizes[file] * TEXT_PER_PARQUET_BYTE),
            partial(stream_documents, _hub_url(hub_set.repository, info.sha, file), "text"),
        )
        for file in names
    )
    return Source(name, info.sha, parts, 0.005, 0.005, remote=True)


def _hub_url(repository: str, revision: str, file: str) -> str:
    return f"hf://datasets/{repository}@{revision}/{file}"


def stream_documents(url: str, text_field: str, skip: int) -> Iterator[Document]:
    """The documents of one file, from the `skip`-th, through `datasets` in streaming mode.

    Parquet, or lines of json; `datasets` reads both formats itself, so no script is ever run. Of
    parquet only the text's column is read.
    """
    import datasets

    kind = "parquet" if url.lower().endswith(".parquet") else "json"
    options: dict[str, Any] = {}
    if kind == "parquet":
        options = {"columns": [text_field], "batch_size": PARQUET_ROWS}
    pattern = url if "://" in url else glob.escape(url)  # `datasets` takes each path for a glob
    with _explained(url, kind):
        rows = datasets.load_dataset(
            kind, data_files={"train": [pattern]}, split="train", streaming=True, **options
        )
    if rows.features is not None and text_field not in rows.features:
        raise _no_field(url, text_field)
    for number, row in enumerate(_each(rows.skip(skip), url, kind), skip):
        yield f"{Path(url).name}:{number}", (_row_text(row, text_field, url, number),)


def _each(rows: Iterable[Any], url: str, kind: str) -> Iterator[Any]:
    with _explained(url, kind):
        yield from rows


def _row_text(row: dict[str, Any], text_field: str, url: str, number: int) -> str:
    text = row.get(text_field, ...)
    if not isinstance(text, str | None):
        raise _no_field(f"{url} (row {number})", text_field)
    return tokenizers.without_surrogates(text or "")


def _no_field(where: str, text_field: str) -> ValueError:
    return ValueError(
        f"{where} has no text in a column {text_field!r}; name the column with --text-field"
    )


@contextlib.contextmanager
def _explained(what: str, kind: str = "") -> Generator[None]:
    """Turns what the libraries raise about a file of a kind, or else the hub, into one sentence."""
    import pyarrow
    from huggingface_hub import errors

    missing = (errors.RepositoryNotFoundError, errors.RevisionNotFoundError)
    try:
        yield
    except errors.LocalEntryNotFoundError as error:  # the cache has it not, and there is no network
        raise _unreachable(what, error) from error
    except (*missing, errors.EntryNotFoundError, FileNotFoundError) as error:
        raise _gone(what, error) from error
    except (errors.HTTPError, ConnectionError, TimeoutError, socket.gaierror) as error:
        response = getattr(error, "response", None)
        gone = response is not None and response.status_code in (401, 403, 404, 410)
        raise (_gone if gone else _unreachable)(what, error) from error
    except (pyarrow.ArrowException, ValueError, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # the operating system's own word; pyarrow's about damaged bytes has no number
        if not kind:
            raise _unreachable(what, error) from error
        raise ValueError(
            f"{what} is no whole {kind} file, or has columns that `datasets` cannot "
            f"read ({_reason(error)}); fetch it again, or write it anew with the text's column only"
        ) from error


def _gone(what: str, error: Exception) -> FileNotFoundError:
    return FileNotFoundError(
        f"{what} is no longer there, or not open to everybody ({_reason(error)}); begin "
        f"anew with --overwrite, which takes what is there now, or take another source"
    )


def _unreachable(what: str, error: Exception) -> ConnectionError:
    return ConnectionError(
        f"the hub could not be reached for {what} ({_reason(error)}); check the network and run "
        f"the same command again without --overwrite, or take a source that needs no network, "
        f"such as --source python-docs"
    )


def _reason(error: Exception) -> str:
    first = next(iter(str(error).strip().splitlines()), "")
    return f"{type(error).__name__}: {first}"
