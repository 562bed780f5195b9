"""journal.data: lookups, downloads over a server of our own, and the real files where they are."""

import gzip
import hashlib
import io
import json
import lzma
import os
import re
import socket
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from journal import data, texts

REAL_DATA = os.environ.get("JOURNAL_DATA", "")
needs_data = pytest.mark.skipif(not REAL_DATA, reason="JOURNAL_DATA is not set")
PLAIN = b"To be, or not to be, that is the question:\n" * 7
NOVEL = b"\xef\xbb\xbfIt was a bright cold day\r\nin April.\r\n" * 5
CLEAN = NOVEL.removeprefix(b"\xef\xbb\xbf").replace(b"\r\n", b"\n")
REVIEWS = "a charming film , na\u00efve \u2014 and caf\u00e9\n" * 3


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def zipped(member: str, content: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr(member, content)
    return out.getvalue()


def npz() -> bytes:
    out = io.BytesIO()
    np.savez_compressed(out, images=np.arange(24.0).reshape(2, 3, 4), labels=np.array([3, 1]))
    return out.getvalue()


def npz_content(packed: bytes) -> bytes:
    with zipfile.ZipFile(io.BytesIO(packed)) as archive:
        return b"".join(archive.read(name) for name in sorted(archive.namelist()))


REVIEWS_ZIP = zipped("corpus/pos", REVIEWS.encode("cp1252"))
NPZ = npz()


class Server(ThreadingHTTPServer):
    """Serves `pages`; `mode` says how it misbehaves, `requests` what it was asked for."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.pages: dict[str, bytes] = {}
        self.mode = "well"
        self.requests: list[str] = []
        self.released = threading.Event()


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        server = self.server
        assert isinstance(server, Server)
        server.requests.append(self.path)
        mode, body = server.mode, server.pages.get(self.path.lstrip("/"))
        if mode == "silent":
            server.released.wait(20)
            return
        if body is None:
            self.send_error(404)
            return
        self.send_response(200)
        if mode != "no length":
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body if mode == "well" else body[: len(body) // 2])

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.02,))
        thread.start()
        yield running
        running.released.set()
        running.shutdown()
        thread.join()


def registry_text(base: str) -> str:
    lines = [
        "[play]",
        'about = "a play"',
        'licence = "MIT"',
        'source = "a page"',
        f'base = "{base}/"',
        "[play.files]",
        f'"play.txt" = {{ path = "play.txt", bytes = {len(PLAIN)}, sha256 = "{sha256(PLAIN)}" }}',
        f'"novel.txt.gz" = {{ path = "novel.txt", convert = ["no-bom", "lf", "gzip"], '
        f'bytes = {len(NOVEL)}, sha256 = "{sha256(NOVEL)}", content = "{sha256(CLEAN)}" }}',
        f'"pos.gz" = {{ path = "reviews.zip", convert = ["unzip corpus/pos", "cp1252", "gzip"], '
        f'bytes = {len(REVIEWS_ZIP)}, sha256 = "{sha256(REVIEWS_ZIP)}", '
        f'content = "{sha256(REVIEWS.encode())}" }}',
        "[kept]",
        'about = "nowhere else"',
        'licence = "none"',
        "[kept.files]",
        f'"a.txt.xz" = {{ local_only = "a choice of ours", bytes = 9, '
        f'content = "{sha256(PLAIN)}" }}',
        f'"b.npz" = {{ local_only = "a choice of ours", bytes = {len(NPZ)}, '
        f'content = "{sha256(npz_content(NPZ))}" }}',
    ]
    return "\n".join(lines) + "\n"


@pytest.fixture
def cache(tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache folder, a small registry, and a server that has its public files."""
    server.pages = {"play.txt": PLAIN, "novel.txt": NOVEL, "reviews.zip": REVIEWS_ZIP}
    registry = tmp_path / "registry.toml"
    registry.write_text(registry_text(f"http://127.0.0.1:{server.server_port}"))
    monkeypatch.setattr(data, "REGISTRY", registry)
    monkeypatch.setenv("JOURNAL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.delenv("JOURNAL_DATA", raising=False)
    return tmp_path / "cache"


def files_under(folder: Path) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


def put(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


# ------------------------------------------------------------------ downloading


def test_download_is_kept_and_not_repeated(cache: Path, server: Server) -> None:
    path = data.fetch("play/play.txt")
    assert path == cache / "play/play.txt"
    assert path.read_bytes() == PLAIN
    assert data.fetch("play/play.txt") == path
    assert data.read_text("play/play.txt") == PLAIN.decode()
    assert server.requests == ["/play.txt"]
    assert files_under(cache) == ["play/play.txt"]


def test_public_file_is_converted_to_the_content(cache: Path) -> None:
    assert data.read_bytes("play/novel.txt.gz") == CLEAN
    assert gzip.decompress((cache / "play/novel.txt.gz").read_bytes()) == CLEAN


def test_member_of_a_zip_is_recoded_to_utf8(cache: Path) -> None:
    assert data.read_text("play/pos.gz") == REVIEWS


@pytest.mark.parametrize("mode", ["well", "no length"])
def test_wrong_bytes_are_refused_and_nothing_is_kept(
    cache: Path, server: Server, mode: str
) -> None:
    server.mode = mode
    server.pages["play.txt"] = PLAIN[:-1] + b"!" if mode == "well" else PLAIN
    with pytest.raises(ValueError, match=r"play\.txt sent is not the registered file"):
        data.fetch("play/play.txt")
    assert files_under(cache) == []


def test_interrupted_download_is_a_connection_error_and_nothing_is_kept(
    cache: Path, server: Server
) -> None:
    server.mode = "cut off"
    with pytest.raises(ConnectionError, match="the connection broke off"):
        data.fetch("play/novel.txt.gz")
    assert files_under(cache) == []
    server.mode = "well"
    assert data.read_bytes("play/novel.txt.gz") == CLEAN


def test_missing_page_is_reported_with_its_status(cache: Path, server: Server) -> None:
    server.pages.clear()
    with pytest.raises(ConnectionError, match=r"play/play\.txt .*status 404"):
        data.fetch("play/play.txt")


def test_server_that_never_answers_is_given_up(
    cache: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(data, "TIMEOUT", (0.2, 0.2))
    server.mode = "silent"
    with pytest.raises(ConnectionError, match="no answer in time"):
        data.fetch("play/play.txt")


def test_offline_error_names_file_address_and_what_to_do(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as closed:  # bound but not listening: connections are refused
        closed.bind(("127.0.0.1", 0))
        base = f"http://127.0.0.1:{closed.getsockname()[1]}"
        registry = cache.parent / "offline.toml"
        registry.write_text(registry_text(base))
        monkeypatch.setattr(data, "REGISTRY", registry)
        with pytest.raises(ConnectionError) as caught:
            data.fetch("play/novel.txt.gz")
    message = str(caught.value)
    place = cache / "downloads/play/novel.txt"
    for part in ("play/novel.txt.gz", f"{base}/novel.txt", "JOURNAL_DATA", str(place)):
        assert part in message
    assert "\n" not in message
    put(place, NOVEL)  # what the message tells the reader to do works, still offline
    assert data.read_bytes("play/novel.txt.gz") == CLEAN
    assert place.read_bytes() == NOVEL


def test_public_file_fetched_by_hand_is_verified(cache: Path, server: Server) -> None:
    put(cache / "downloads/play/play.txt", PLAIN + b"!")
    with pytest.raises(ValueError, match="is not the file of"):
        data.fetch("play/play.txt")
    assert server.requests == []


def test_several_threads_may_fetch_the_same_file(cache: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        contents = list(pool.map(data.read_bytes, ["play/novel.txt.gz"] * 4))
    assert contents == [CLEAN] * 4
    assert files_under(cache) == ["play/novel.txt.gz"]


# ------------------------------------------------------------------ what is there already


def test_journal_data_comes_first(
    cache: Path, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JOURNAL_DATA", str(tmp_path / "mine"))
    own = put(tmp_path / "mine/play/play.txt", PLAIN)
    assert data.fetch("play/play.txt") == own
    assert server.requests == []
    assert data.fetch("play/novel.txt.gz") == cache / "play/novel.txt.gz"


def test_altered_file_in_journal_data_is_an_error_not_a_download(
    cache: Path, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JOURNAL_DATA", str(tmp_path / "mine"))
    put(tmp_path / "mine/play/play.txt", PLAIN[:-3])
    with pytest.raises(ValueError, match="truncated or altered"):
        data.fetch("play/play.txt")
    assert server.requests == []


def test_journal_data_that_is_no_folder_is_named(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JOURNAL_DATA", str(tmp_path / "nowhere"))
    with pytest.raises(FileNotFoundError, match=r"JOURNAL_DATA is set to .*nowhere"):
        data.fetch("play/play.txt")


def test_file_packed_differently_has_the_same_content(cache: Path) -> None:
    put(cache / "play/novel.txt.gz", gzip.compress(CLEAN, compresslevel=1, mtime=1234567))
    assert data.read_bytes("play/novel.txt.gz") == CLEAN


def test_file_changed_after_it_was_verified_is_noticed(cache: Path) -> None:
    path = data.fetch("play/play.txt")
    path.write_bytes(PLAIN.replace(b"question", b"Question"))
    os.utime(path, ns=(1, 1))
    with pytest.raises(ValueError, match="truncated or altered"):
        data.fetch("play/play.txt")


PACKED = {
    "play/play.txt": PLAIN,
    "play/novel.txt.gz": gzip.compress(CLEAN, mtime=0),
    "kept/a.txt.xz": lzma.compress(PLAIN),
    "kept/b.npz": NPZ,
}


def loaded(name: str) -> bytes:
    """What a reader of this file gets."""
    content = data.read_bytes(name)
    return npz_content(content) if name.endswith(".npz") else content


def loaded_or_message(name: str) -> bytes | str:
    try:
        return loaded(name)
    except ValueError as error:
        return str(error)


hypothetical = settings(
    max_examples=150,
    derandomize=True,
    database=None,  # it would be written into the working folder
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@hypothetical
@given(name=st.sampled_from(sorted(PACKED)), at=st.integers(0, 10**6), flip=st.integers(1, 255))
def test_altering_any_byte_is_detected_or_changes_no_content(
    cache: Path, name: str, at: int, flip: int
) -> None:
    good = PACKED[name]
    put(cache / name, good)
    right = loaded(name)
    at %= len(good)
    damaged = put(cache / name, good[:at] + bytes([good[at] ^ flip]) + good[at + 1 :])
    data._verified.clear()  # a later process; within one the modification time tells
    outcome = loaded_or_message(name)
    if outcome != right or damaged.suffix == ".txt":  # a time stamp in a header may change
        assert "truncated or altered" in str(outcome)


@hypothetical
@given(name=st.sampled_from(sorted(PACKED)), at=st.integers(0, 10**6))
def test_truncation_anywhere_is_detected(cache: Path, name: str, at: int) -> None:
    put(cache / name, PACKED[name][: at % len(PACKED[name])])
    data._verified.clear()
    with pytest.raises(ValueError, match="truncated or altered"):
        data.fetch(name)
    with pytest.raises(ValueError, match="truncated or altered"):
        data.read_bytes(name)


# ------------------------------------------------------------------ names and lists


def test_unknown_names_get_the_nearest_ones(cache: Path) -> None:
    with pytest.raises(ValueError, match=r"'play/pley\.txt'; did you mean play/play\.txt"):
        data.fetch("play/pley.txt")
    with pytest.raises(ValueError, match=r"no data file 'play'; did you mean play/"):
        data.fetch("play")
    with pytest.raises(ValueError, match="no data set 'ply'; did you mean play"):
        data.verify("ply")
    with pytest.raises(ValueError, match="'shakespear' is unknown; did you mean shakespeare"):
        texts.documents("shakespear")


def test_local_only_file_that_is_missing_says_why_and_where(cache: Path) -> None:
    with pytest.raises(FileNotFoundError) as caught:
        data.read_bytes("kept/a.txt.xz")
    for part in ("kept/a.txt.xz", "a choice of ours", "JOURNAL_DATA", str(cache / "kept")):
        assert part in str(caught.value)


def test_list_sets_tells_what_is_present(cache: Path, server: Server) -> None:
    put(cache / "play/play.txt", PLAIN)
    play, kept = data.list_sets()
    assert (play.name, play.licence, play.source) == ("play", "MIT", "a page")
    assert play.files == ("play/novel.txt.gz", "play/play.txt", "play/pos.gz")
    assert play.bytes == len(PLAIN) + len(NOVEL) + len(REVIEWS_ZIP)
    assert (play.found, play.present, kept.source) == (1, False, "local only")
    for name in play.files:
        data.fetch(name)
    assert data.list_sets()[0].present


def test_verify_tells_ok_missing_and_damaged_without_a_download(
    cache: Path, server: Server
) -> None:
    put(cache / "play/play.txt", PLAIN)
    put(cache / "play/pos.gz", b"no gzip file")
    states = {v.name: v.state for v in data.verify("play")}
    assert states == {
        "play/novel.txt.gz": "missing",
        "play/play.txt": "ok",
        "play/pos.gz": "damaged",
    }
    assert [v.state for v in data.verify("play/play.txt")] == ["ok"]
    assert server.requests == []


# ------------------------------------------------------------------ texts


def test_python_docs_are_english_sorted_and_hashed() -> None:
    documents = list(texts.python_docs())
    assert [topic for topic, _ in documents] == sorted(topic for topic, _ in documents)
    assert sum(len(text) for _, text in documents) > 200_000
    joined = "".join(f"{topic}\0{text}\0" for topic, text in documents)
    assert texts.python_docs_hash() == sha256(joined.encode())
    assert list(texts.documents("python-docs")) == documents


def text_registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, text: str) -> None:
    """A registry of one local file, and that file."""
    set_name, _, file = name.partition("/")
    put(tmp_path / "mine" / name, gzip.compress(text.encode()))
    row = f'local_only = "test", bytes = 1, content = "{sha256(text.encode())}"'
    lines = f'[{set_name}]\nabout = ""\nlicence = ""\n[{set_name}.files]\n"{file}" = {{ {row} }}\n'
    (tmp_path / "texts.toml").write_text(lines)
    monkeypatch.setattr(data, "REGISTRY", tmp_path / "texts.toml")
    monkeypatch.setenv("JOURNAL_DATA", str(tmp_path / "mine"))


def test_wikipedia_articles_are_parted_by_two_empty_lines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "wikipedia-en/part-07.txt.gz"
    text_registry(tmp_path, monkeypatch, name, "Ants\n\nSmall.\n\n\nBees\n\nFly.\n\nHum.\n")
    assert list(texts.documents("wikipedia")) == [
        (f"{name}#0", "Ants\n\nSmall.\n"),
        (f"{name}#1", "Bees\n\nFly.\n\nHum.\n"),
    ]


def test_wikitext_articles_start_at_first_level_headings_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nests = " = = Nests = = \n \n Deep . \n k = 1 \n = 2 = \n \n"  # an equation is no heading
    one = " \n = Ants = \n \n Ants are small . \n \n" + nests
    two = " = Bees = \n \n Bees fly . \n"
    text_registry(tmp_path, monkeypatch, "wikitext-2/valid.txt.gz", one + two)
    assert [text for _, text in texts.documents("wikitext-2")] == [one, two]


def test_stories_are_a_document_each(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = "tinystories-sample/tiny-stories-3000.json.gz"
    text_registry(tmp_path, monkeypatch, name, json.dumps({"texts": ["A cat.", "A dog."]}))
    expected = [(f"{name}#0", "A cat."), (f"{name}#1", "A dog.")]
    assert list(texts.documents("tinystories-sample")) == expected


def test_tinydigits_has_balanced_classes_and_no_image_twice() -> None:
    labels = np.arange(1797) % 10
    pixels = np.arange(1797)[:, None] // np.array([1, 17, 289] + [5000] * 61) % 17
    rows = np.column_stack([pixels, labels])
    source = ("# a comment\n" + "\n".join(",".join(map(str, row)) for row in rows)).encode()
    parts = [np.load(io.BytesIO(data._tinydigits(source, part))) for part in (0, 1)]
    images = np.concatenate([part["images"].reshape(-1, 64) for part in parts])
    assert [part["images"].shape for part in parts] == [(1000, 8, 8), (200, 8, 8)]
    assert [np.bincount(part["labels"]).tolist() for part in parts] == [[100] * 10, [20] * 10]
    assert images.dtype == np.float32
    assert (images.min(), images.max()) == (0, 1)
    assert len(np.unique(images, axis=0)) == 1200


def test_importing_is_light() -> None:
    heavy = ["torch", "numpy", "pooch", "requests", "datasets", "tiktoken"]
    code = f"import sys, journal.data; print([m for m in {heavy} if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


# ------------------------------------------------------------------ the real registry


def test_registry_lines_are_complete_and_pinned() -> None:
    for name in data.names():
        file = data.info(name)
        assert re.fullmatch("[0-9a-f]{64}", file.content), name
        assert file.bytes > 0, name
        if file.address is None:
            assert len(file.reason) > 20, name
            continue
        assert file.address.startswith("https://"), name
        assert re.fullmatch("[0-9a-f]{64}", file.sha256), name
        if "githubusercontent" in file.address:
            assert re.search("/[0-9a-f]{40}/", file.address), name
        steps = [step.split()[0] for step in file.convert]
        assert set(steps) <= {"unzip", *data._STEPS}, name
        repacked = name.endswith((".gz", ".xz")) and bool(steps)
        assert repacked == (steps[-1:] == ["gzip"]), name


def test_tiktoken_files_are_named_by_the_hash_of_their_address() -> None:
    assert sorted(data.TIKTOKEN_FILES) == data.names("tiktoken-cache/*")
    for name in data.TIKTOKEN_FILES:
        address = data.info(name).address or ""
        assert name == "tiktoken-cache/" + hashlib.sha1(address.encode()).hexdigest()


@needs_data
def test_registry_forgets_no_file_of_the_data_folder() -> None:
    sums = (Path(REAL_DATA) / "SHA256SUMS").read_text().splitlines()
    there = {line.split(maxsplit=1)[1] for line in sums}
    assert set(data.names()) - there == {"cifar-10-binary/cifar-10-binary.tar.gz"}
    assert there - set(data.names()) == set()


@needs_data
@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[pytest.mark.slow] if name == "cifar-10" else [])
        for name in sorted({name.partition("/")[0] for name in data.names()})
    ],
)
def test_real_files_have_the_registered_content(name: str) -> None:
    verdicts = data.verify(name)
    assert [v for v in verdicts if v.state == "damaged"] == []
    if not any(v.state == "ok" for v in verdicts):
        pytest.skip(f"{name} is not in JOURNAL_DATA")


@needs_data
@pytest.mark.parametrize(("source", "count"), [("tinystories-sample", 3000), ("wikitext-2", 120)])
def test_real_texts_split_into_their_documents(source: str, count: int) -> None:
    documents = dict(texts.documents(source))
    assert len(documents) == count
    if source == "wikitext-2":
        whole = "".join(data.read_text(name) for name in data.names("wikitext-2/*"))
        assert "".join(documents.values()) == whole


@needs_data
def test_tiktoken_works_from_the_data_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path))
    data.use_tiktoken_cache()
    code = "import tiktoken; print(tiktoken.get_encoding('gpt2').encode('hello world'))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[31373, 995]"
