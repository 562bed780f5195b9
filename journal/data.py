"""The data sets: where they are, where they come from, and that they are what they should be.

A thin layer over `pooch`. `registry.toml`, beside this file, names every file with its public
address, licence, size and hashes. `fetch` looks for a file under `$JOURNAL_DATA`, then in the
user's cache folder (`$JOURNAL_CACHE`, or the one that the system provides for it), else it
downloads the public file, converts it where the registry says so, and puts it into the cache
under its name in one step, verified.

What must agree is the content: two copies of a text may have been packed by different gzips, the
bytes that the code reads are the same. So hashes are taken of the unpacked bytes. `fetch` takes
them once in a process for a file of the same size and modification time; `read_bytes` takes them
of the very bytes that it returns.

Left out: unpacking of archives with many members, hub data sets (phase 8 streams those), and
deleting anything. Importing this module imports neither pooch nor numpy.
"""

import gzip
import hashlib
import io
import lzma
import os
import shutil
import struct
import sys
import tempfile
import tomllib
import zipfile
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from journal.nearest import suggestion

REGISTRY = Path(__file__).with_name("registry.toml")
TIMEOUT = (5, 20)  # seconds: for a connection, and for the next bytes to come
PROGRESS_FROM = 5_000_000  # bytes: larger downloads show a bar on a terminal
CHUNK = 1 << 20

TIKTOKEN_FILES = (  # GPT-2's merges and vocabulary, under the names that tiktoken looks for
    "tiktoken-cache/6d1cbeee0f20b3d9449abfede4726ed8212e3aee",
    "tiktoken-cache/6c7ea1a7e38e3a7f062df639a5b80947f075ffe6",
)

# What unpacking damaged bytes can raise: gz and xz files, and zip archives with a wrong header.
_DAMAGED = (
    EOFError,
    gzip.BadGzipFile,
    zlib.error,
    lzma.LZMAError,
    zipfile.BadZipFile,
    struct.error,
    RuntimeError,
    ValueError,
)


@dataclass(frozen=True)
class DataFile:
    """One line of the registry. A file without an address is local-only; `reason` says why."""

    name: str  # "mnist/train-images-idx3-ubyte.gz"
    set_name: str  # "mnist"
    address: str | None
    reason: str
    bytes: int  # of the public file; of the file as it lies here where there is none
    sha256: str  # of the public file; empty where there is none
    convert: tuple[str, ...]  # the steps from the public file to this one
    content: str  # sha256 of what the code reads


@dataclass(frozen=True)
class DataSet:
    """A set of the registry, and what of it is on this machine (looked for, not verified)."""

    name: str
    about: str
    licence: str
    source: str  # for people: a repository or page, or "local only"
    files: tuple[str, ...]
    bytes: int  # to download, or on the disk where the set is local-only
    found: int  # number of its files that are there

    @property
    def present(self) -> bool:
        """Whether all its files are there."""
        return self.found == len(self.files)


class Verdict(NamedTuple):
    """What `verify` found about a file: state is "ok", "missing" or "damaged"."""

    name: str
    state: str
    message: str


# ---------------------------------------------------------------------------- the registry


@lru_cache(maxsize=4)
def _tables(registry: Path) -> dict[str, dict]:
    return tomllib.loads(registry.read_text(encoding="utf-8"))


@lru_cache(maxsize=4)
def _files(registry: Path) -> dict[str, DataFile]:
    files = {}
    for set_name, table in _tables(registry).items():
        for file, row in table["files"].items():
            name = f"{set_name}/{file}"
            files[name] = DataFile(
                name=name,
                set_name=set_name,
                address=table["base"] + row["path"] if "path" in row else None,
                reason=row.get("local_only", ""),
                bytes=row["bytes"],
                sha256=row.get("sha256", ""),
                convert=tuple(row.get("convert", ())),
                content=row["content"] if "content" in row else row["sha256"],
            )
    return files


def _unknown(kind: str, name: str, known: Iterable[str]) -> ValueError:
    return ValueError(f"there is no {kind} {name!r}; {suggestion(name, known)}")


def info(name: str) -> DataFile:
    """The registry's line for a file. Raises ValueError, with the nearest names, if unknown."""
    files = _files(REGISTRY)
    if name not in files:
        same_set = names(f"{name.partition('/')[0]}/*")
        if not same_set and "/" in name:
            raise _unknown("data set", name.partition("/")[0], _tables(REGISTRY))
        raise _unknown("data file", name, same_set or files)
    return files[name]


def names(pattern: str = "*") -> list[str]:
    """The names of the registry that match a pattern such as `english-novels/*`, sorted."""
    return sorted(name for name in _files(REGISTRY) if fnmatchcase(name, pattern))


# ---------------------------------------------------------------------------- where files are


def cache_folder() -> Path:
    """Where downloads are kept: `$JOURNAL_CACHE`, or the system's folder for caches."""
    if folder := os.environ.get("JOURNAL_CACHE"):
        return Path(folder).expanduser().resolve()
    import pooch  # slow to import, and not needed where everything is there

    return Path(pooch.os_cache("transformers-from-scratch"))


def data_folder() -> Path | None:
    """The reader's own folder of data, `$JOURNAL_DATA`; None where it is not set."""
    folder = os.environ.get("JOURNAL_DATA")
    if not folder:
        return None
    path = Path(folder).expanduser().resolve()
    if not path.is_dir():
        raise FileNotFoundError(
            f"JOURNAL_DATA is set to {folder}, which is no folder: correct or unset it"
        )
    return path


def find(name: str) -> Path | None:
    """Where a file lies on this machine, unverified; None where it would have to be downloaded."""
    info(name)
    own = data_folder()
    if own is not None and (own / name).is_file():
        return own / name
    cached = cache_folder() / name
    return cached if cached.is_file() else None


def fetch(name: str) -> Path:
    """The path of a file whose content is what the registry says, downloaded if need be.

    Raises ValueError for an unknown name or a wrong content, FileNotFoundError for a local-only
    file that is not there, ConnectionError where the download fails.
    """
    path = find(name) or _download(info(name))
    _check(path, info(name))
    return path


def read_bytes(name: str) -> bytes:
    """The content of a file: unpacked, and verified as the bytes that are returned."""
    if name.endswith(".npz"):  # its hash is one of the arrays in it
        return fetch(name).read_bytes()
    file = info(name)
    path = find(name) or _download(file)
    try:
        if _is_gzip(path):
            content = gzip.decompress(path.read_bytes())  # in one piece: faster than a stream
        else:
            with open_content(path) as stream:
                content = stream.read()
    except _DAMAGED as error:
        raise _wrong(path, file, f"it cannot be unpacked: {error}") from error
    _compare(path, file, hashlib.sha256(content).hexdigest())
    return content


def read_text(name: str) -> str:
    """The content of a UTF-8 text file, line ends kept."""
    return read_bytes(name).decode("utf-8")


def use_tiktoken_cache() -> None:
    """Point tiktoken at GPT-2's two vocabulary files, so that it never downloads by itself."""
    folders = {fetch(name).parent for name in TIKTOKEN_FILES}
    if len(folders) > 1:
        raise FileNotFoundError(
            "GPT-2's two vocabulary files must lie in one folder, but they are in "
            f"{' and '.join(sorted(map(str, folders)))}: put both into one of them"
        )
    os.environ["TIKTOKEN_CACHE_DIR"] = str(folders.pop())


# ---------------------------------------------------------------------------- verifying

_verified: dict[Path, tuple[int, int, str]] = {}  # path -> size, modification time, content


def open_content(path: Path) -> gzip.GzipFile | lzma.LZMAFile | io.BufferedReader:
    """The stream of a file's content. Archives (.tar.gz, .npz) are their own content."""
    if _is_gzip(path):
        return gzip.GzipFile(path)
    if path.suffix == ".xz":
        return lzma.open(path, "rb")
    return path.open("rb")


def _is_gzip(path: Path) -> bool:
    return path.suffix == ".gz" and not path.name.endswith(".tar.gz")


def _content_hash(path: Path) -> str:
    digest = hashlib.sha256()
    if path.suffix == ".npz":  # a zip of arrays: what is in it counts, not how it was packed
        with zipfile.ZipFile(io.BytesIO(path.read_bytes())) as archive:
            for member in sorted(archive.namelist()):
                digest.update(archive.read(member))
        return digest.hexdigest()
    with open_content(path) as stream:
        while chunk := stream.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def _wrong(path: Path, file: DataFile, what: str) -> ValueError:
    again = "delete it to have it downloaded, or " if file.address else ""
    return ValueError(
        f"{path} is not what the registry says ({what}), it was truncated or altered: "
        f"{again}put a good copy in its place"
    )


def _compare(path: Path, file: DataFile, content: str) -> None:
    if content != file.content:
        what = f"its content has sha256 {content[:16]}, not {file.content[:16]}"
        raise _wrong(path, file, what)


def _check(path: Path, file: DataFile) -> None:
    """Raise ValueError unless the content is right; hashes a file once in a process."""
    stat = path.stat()
    stamp = (stat.st_size, stat.st_mtime_ns, file.content)
    if _verified.get(path) == stamp:
        return
    try:
        content = _content_hash(path)
    except _DAMAGED as error:
        raise _wrong(path, file, f"it cannot be unpacked: {error}") from error
    _compare(path, file, content)
    _verified[path] = stamp


def verify(name_or_set: str) -> list[Verdict]:
    """What is on this machine of a file or of a whole set, hashed anew. Downloads nothing."""
    sets = _tables(REGISTRY)
    if "/" not in name_or_set and name_or_set not in sets:
        raise _unknown("data set", name_or_set, sets)
    wanted = names(f"{name_or_set}/*") if name_or_set in sets else [info(name_or_set).name]
    return [_verdict(info(name)) for name in wanted]


def _verdict(file: DataFile) -> Verdict:
    path = find(file.name)
    if path is None:
        return Verdict(file.name, "missing", file.address or f"local only: {file.reason}")
    _verified.pop(path, None)
    try:
        _check(path, file)
    except ValueError as error:
        return Verdict(file.name, "damaged", str(error))
    return Verdict(file.name, "ok", str(path))


def list_sets() -> list[DataSet]:
    """Every set of the registry, with what of it is on this machine."""
    sets = []
    for set_name, table in _tables(REGISTRY).items():
        files = [info(name) for name in names(f"{set_name}/*")]
        sizes = {file.address or file.name: file.bytes for file in files}  # an archive counts once
        sets.append(
            DataSet(
                name=set_name,
                about=table["about"],
                licence=table["licence"],
                source=table.get("source", "local only"),
                files=tuple(file.name for file in files),
                bytes=sum(sizes.values()),
                found=sum(find(file.name) is not None for file in files),
            )
        )
    return sets


# ---------------------------------------------------------------------------- downloading


def _download(file: DataFile) -> Path:
    """Download, verify, convert, verify again, and only then give the file its name."""
    path = cache_folder() / file.name
    if file.address is None:
        raise FileNotFoundError(
            f"{file.name} is not on this machine and has no public address ({file.reason}): set "
            f"JOURNAL_DATA to a folder that has it, or put it at {path}"
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".download-", dir=path.parent) as folder:
        public = _own_download(file) or _retrieve(file, Path(folder))
        ready = Path(folder) / "ready" / path.name  # its suffix says how to read it
        ready.parent.mkdir()
        if file.convert:
            ready.write_bytes(_convert(public.read_bytes(), file.convert))
        else:
            shutil.copyfile(public, ready)
        if (content := _content_hash(ready)) != file.content:
            raise ValueError(
                f"{file.address} converted by {', '.join(file.convert) or 'nothing'} gave a "
                f"content with sha256 {content[:16]}, not {file.content[:16]}: the registry and "
                "journal.data do not fit together"
            )
        ready.replace(path)
    return path


def _own_path(file: DataFile) -> Path:
    """Where a reader without a network may put the public file, fetched by other means."""
    return cache_folder() / "downloads" / file.set_name / (file.address or "").rpartition("/")[2]


def _own_download(file: DataFile) -> Path | None:
    path = _own_path(file)
    if not path.is_file():
        return None
    with path.open("rb") as stream:
        found = hashlib.file_digest(stream, "sha256").hexdigest()
    if found != file.sha256:
        raise ValueError(
            f"{path} is not the file of {file.address}: sha256 is {found[:16]}, "
            f"expected {file.sha256[:16]}; delete it or download it again"
        )
    return path


def _retrieve(file: DataFile, folder: Path) -> Path:
    import pooch
    import requests

    assert file.address is not None
    pooch.get_logger().setLevel("WARNING")  # it would name the temporary folder
    print(f"downloading {file.name} from {file.address} ({file.bytes:,} bytes)", file=sys.stderr)
    bar = sys.stderr.isatty() and file.bytes >= PROGRESS_FROM
    downloader = pooch.HTTPDownloader(progressbar=bar, timeout=TIMEOUT, chunk_size=1 << 16)
    try:
        # pooch's protocol and pooch's own class differ in the name of a parameter
        found = pooch.retrieve(
            file.address,
            f"sha256:{file.sha256}",
            fname=file.address.rpartition("/")[2],
            path=folder,
            downloader=downloader,  # ty: ignore[invalid-argument-type]
        )
    except requests.exceptions.RequestException as error:
        raise ConnectionError(
            f"could not download {file.name} from {file.address} ({why(error)}): check the "
            "network, or set JOURNAL_DATA to a folder that has it, or download that address by "
            f"other means to {_own_path(file)}"
        ) from error
    except ValueError as error:
        raise ValueError(
            f"what {file.address} sent is not the registered file (expected {file.bytes} bytes "
            f"with sha256 {file.sha256[:16]}): it was cut off on the way, or it has changed; "
            "nothing was kept, try again"
        ) from error
    return Path(found)


def why(error: Exception) -> str:
    import requests

    if isinstance(error, requests.exceptions.HTTPError) and error.response is not None:
        return f"status {error.response.status_code}"
    if isinstance(error, requests.exceptions.Timeout):
        return "no answer in time"
    if isinstance(error, requests.exceptions.SSLError):
        return "its certificate could not be verified"
    if isinstance(error, requests.exceptions.ChunkedEncodingError):
        return "the connection broke off"
    return "no connection"


# ---------------------------------------------------------------------------- converting


def _convert(content: bytes, steps: tuple[str, ...]) -> bytes:
    for step in steps:
        verb, _, argument = step.partition(" ")
        content = _unzip(content, argument) if argument else _STEPS[verb](content)
    return content


def _unzip(content: bytes, member: str) -> bytes:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return archive.read(member)


def _tinydigits(content: bytes, part: int) -> bytes:
    """The 1,000 training (part 0) or 200 test (part 1) images as `.npz`, from the 1,797 of UCI.

    TinyTorch's choice of images and their order follow from NumPy's old generator with seed 42,
    whose numbers never change. Pixels are 0 to 16 in the source, 0 to 1 here.
    """
    import numpy as np

    rows = np.loadtxt(io.BytesIO(content), delimiter=",", dtype=np.int64)  # (1797, 65)
    labels = rows[:, 64]
    rng = np.random.RandomState(42)
    chosen: list[list] = [[], []]
    for digit in range(10):
        of_digit = np.flatnonzero(labels == digit)
        rng.shuffle(of_digit)
        chosen[0].append(of_digit[:100])
        chosen[1].append(of_digit[100:120])
    orders = [rng.permutation(1000), rng.permutation(200)]
    picked = np.concatenate(chosen[part])[orders[part]]
    images = (rows[picked, :64].reshape(-1, 8, 8) / 16).astype(np.float32)
    out = io.BytesIO()
    np.savez_compressed(out, images=images, labels=labels[picked])
    return out.getvalue()


_STEPS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": lambda content: gzip.compress(content, mtime=0),
    "lf": lambda content: content.replace(b"\r\n", b"\n"),
    "no-bom": lambda content: content.removeprefix(b"\xef\xbb\xbf"),
    "cp1252": lambda content: content.decode("cp1252").encode("utf-8"),
    "tinydigits-train": lambda content: _tinydigits(content, 0),
    "tinydigits-test": lambda content: _tinydigits(content, 1),
}
