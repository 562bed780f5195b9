import errno
import gzip
import itertools
import json
import multiprocessing
import os
import re
import shlex
import signal
import subprocess
import sys
import time
import types
from dataclasses import replace
from itertools import chain
from pathlib import Path

import numpy as np
import psutil
import pytest

from journal import data, script
from phase08 import benchmark_prepare, durable, pipeline, prepare, sources, spool, tokenizers
from phase08.prepare import PrepareConfig
from phase08.shards import Manifest, file_sha256, open_split, read_tokenizer
from phase08.splitting import Splitting

NEEDS_FORK = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
DURABLE = ("write", "sync", "sync_folder", "rename", "remove")


def document(n):
    rng = np.random.default_rng(n)
    words = ["naïve", "the", "東京", "a", "shard\n", "<|endoftext|>", "\U0001f600", "of", "token."]
    return f"document {n}: " + " ".join(rng.choice(words, size=1 + n % 37))


DOCUMENTS = [document(n) for n in range(150)]


@pytest.fixture
def books(tmp_path):
    """Two files of documents: jsonl lines, and the same again as one text file."""
    folder = tmp_path / "books"
    folder.mkdir()
    lines = "".join(json.dumps({"text": text}) + "\n" for text in DOCUMENTS)
    (folder / "a.jsonl").write_text(lines)
    (folder / "b.txt").write_text("\n".join(DOCUMENTS[::-1]))
    return folder


@pytest.fixture
def config(books, tmp_path):
    return PrepareConfig(
        source="files",
        tokenizer="bytes",
        files=(str(books / "*"),),
        out=tmp_path / "out",
        shard_tokens=1500,
        val_fraction=0.2,
        test_fraction=0.1,
        workers=1,
    )


@pytest.fixture
def small_batches(monkeypatch):
    """Many batches, and a state saved after each."""
    monkeypatch.setattr(pipeline, "BATCH_BYTES", 800)
    monkeypatch.setattr(pipeline, "SAVE_SECONDS", 0.0)


def content(folder):
    return {path.name: file_sha256(path) for path in sorted(folder.iterdir())}


def all_tokens(folder, split):
    tokens = open_split(folder, split)
    return tokens.slice(0, len(tokens))


def documents_of(folder, split):
    """The documents of a split, as text."""
    tokenizer = read_tokenizer(folder)
    ids = all_tokens(folder, split).astype(np.int64)
    starts = np.flatnonzero(ids == tokenizer.end_of_text)
    return [tokenizer.decode(part[1:]) for part in np.split(ids, starts)[1:]]


# What is prepared


def test_every_document_is_in_one_split_with_a_separator_in_front(config):
    metrics = prepare.main(config)
    whole = "\n".join(DOCUMENTS[::-1])
    found = {name: documents_of(config.out, name) for name in ("train", "val", "test")}
    assert sorted(chain.from_iterable(found.values())) == sorted([*DOCUMENTS, whole])
    for name, documents in found.items():
        tokens = all_tokens(config.out, name)
        split = Manifest.read(config.out).splits[name]
        assert tokens[0] == 256
        assert split.documents == len(documents) == metrics[f"{name}_documents"]
        assert split.tokens == len(tokens) == metrics[f"{name}_tokens"]
        assert split.bytes == sum(len(d.encode()) for d in documents)
        assert len(tokens) == split.bytes + split.documents
        assert [shard.tokens for shard in split.shards[:-1]] == [1500] * (len(split.shards) - 1)
    assert len(found["val"]) > 15
    assert len(found["test"]) > 5


def test_splits_are_shares_of_the_documents_and_depend_on_the_seed_alone():
    texts = [f"text {n}" for n in range(5_000)]
    one = [Splitting(0.05, 0.02, seed=1).of_document("same", text.encode()) for text in texts]
    again = [Splitting(0.05, 0.02, seed=1).of_document("same", text.encode()) for text in texts]
    other = [Splitting(0.05, 0.02, seed=2).of_document("same", text.encode()) for text in texts]
    assert one == again != other
    assert abs(one.count(1) / 5_000 - 0.05) < 0.012
    assert abs(one.count(2) / 5_000 - 0.02) < 0.008
    by_name = Splitting(0.05, 0.02, seed=1, by_name=True)
    assert [by_name.of_document(text, b"same") for text in texts] == one
    # widening one split takes documents from train only
    wider = [Splitting(0.05, 0.04, seed=1).of_document("same", text.encode()) for text in texts]
    assert all(b == a or (a, b) == (0, 2) for a, b in zip(one, wider, strict=True))


def test_equal_documents_are_in_one_split(config):
    prepare.prepare(replace(config, repeat=3), quiet=True)
    found = {name: documents_of(config.out, name) for name in ("train", "val", "test")}
    for name, documents in found.items():
        assert len(documents) == 3 * len(set(documents)), name


def test_single_text_is_cut_by_position(books, config):
    text = (books / "b.txt").read_text()
    config = replace(config, files=(str(books / "b.txt"),), val_fraction=None, test_fraction=None)
    prepare.prepare(config, quiet=True)
    n = len(text)
    first, second = int(n * (1 - 0.05 - 0.05)), int(n * (1 - 0.05))
    assert documents_of(config.out, "train") == [text[:first]]
    assert documents_of(config.out, "val") == [text[first:second]]
    assert documents_of(config.out, "test") == [text[second:]]
    assert "by position" in Manifest.read(config.out).preparation["splitting"]["description"]


def test_pieces_cut_by_position_add_up_wherever_they_begin():
    splitting = Splitting(0.1, 0.1, cuts=(10, 14))
    text = "abcdefghijKLMNopqrst"
    for step in range(1, 21):
        pieces = []
        for start in range(0, 20, step):
            pieces += splitting.of_place(text[start : start + step], start, start == 0)
        joined = {s: "".join(p.content.decode() for p in pieces if p.split == s) for s in range(3)}
        assert joined == {0: "abcdefghij", 1: "KLMN", 2: "opqrst"}
        assert [p.split for p in pieces if p.first] == [0, 1, 2]


def test_shakespeare_is_split_as_nanogpt_does(tmp_path):
    if data.find("tinyshakespeare/input.txt") is None:
        pytest.skip("tinyshakespeare is not there: set JOURNAL_DATA")
    config = PrepareConfig(source="shakespeare", tokenizer="char", out=tmp_path / "out")
    metrics = prepare.main(config)
    assert metrics["train_tokens"] == 1_003_854 + 1
    assert metrics["val_tokens"] == 111_540 + 1
    assert "test_tokens" not in metrics
    assert metrics["vocab_size"] == 65 + 1
    text = data.read_text("tinyshakespeare/input.txt")
    assert documents_of(config.out, "val") == [text[1_003_854:]]


def test_embedded_text_needs_no_data(tmp_path, monkeypatch):
    monkeypatch.delenv("JOURNAL_DATA", raising=False)
    config = PrepareConfig(tokenizer="char", out=tmp_path / "out")
    metrics = prepare.main(config)
    assert metrics["train_tokens"] > 5 * metrics["val_tokens"] > 0


def test_gpt2_tokens_of_a_long_text_equal_those_in_one_go(tmp_path, monkeypatch):
    if data.find(data.TIKTOKEN_FILES[0]) is None:
        pytest.skip("GPT-2's vocabulary (tiktoken-cache) is not there: set JOURNAL_DATA")
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", "")
    monkeypatch.setattr(pipeline, "BATCH_BYTES", 100_000)
    text = "\n".join(DOCUMENTS * 60)
    assert len(text) > 2 * tokenizers.PIECE_CHARACTERS
    (tmp_path / "long.txt").write_text(text)
    config = PrepareConfig(
        source="files", files=(str(tmp_path / "long.txt"),), out=tmp_path / "out", workers=1
    )
    prepare.prepare(replace(config, val_fraction=0.0, test_fraction=0.0), quiet=True)
    expected = tokenizers.GPT2Tokenizer().encode(text)
    assert all_tokens(config.out, "train")[1:].tolist() == expected.tolist()


@pytest.mark.parametrize("max_tokens", [1, 1499, 1500, 1501, 4000])
@pytest.mark.parametrize("batch", [1, 700, 10**6])
def test_max_tokens_stops_at_exactly_that_many(config, monkeypatch, max_tokens, batch):
    whole = replace(config, out=config.out.with_name("whole"), val_fraction=0.3)
    prepare.prepare(whole, quiet=True)
    monkeypatch.setattr(pipeline, "BATCH_BYTES", batch)
    config = replace(whole, out=config.out, max_tokens=max_tokens)
    if max_tokens == 1:
        with pytest.raises(ValueError, match="no document for the split val"):
            prepare.prepare(config, quiet=True)
        return
    prepare.prepare(config, quiet=True)
    train = all_tokens(config.out, "train")
    assert train.tolist() == all_tokens(whole.out, "train")[:max_tokens].tolist()
    monkeypatch.setattr(pipeline, "BATCH_BYTES", 300)
    other = replace(config, out=config.out.with_name("other"))
    prepare.prepare(other, quiet=True)
    assert content(other.out) == content(config.out)


@pytest.fixture
def watched(config, monkeypatch):
    """A config for a source without an end, which must not be read far beyond 3000 tokens."""

    def read(skip):
        for n in itertools.count(skip):
            assert n < 150, "the source is read although train is full"
            yield f"{n}", (f"document {n:6}: {'text ' * 9}",)  # 61 bytes

    part = sources.Part("endless", 10**9, read)
    source = sources.Source("files", "sha256:endless", (part,))
    monkeypatch.setattr(prepare, "open_source", lambda *_: source)
    monkeypatch.setattr(prepare.forecast, "PROBE_CHARACTERS", 500)
    return replace(config, max_tokens=3000, val_fraction=0.0, test_fraction=0.0)


@pytest.mark.parametrize("workers", [1, 2])
def test_source_is_not_read_on_once_train_is_full(watched, small_batches, workers):
    method = "fork" if hasattr(os, "fork") else "spawn"
    config = replace(watched, workers=workers, start_method=method)
    prepare.prepare(config, quiet=True)
    assert len(all_tokens(config.out, "train")) == 3000
    stopped = replace(config, out=config.out.with_name("stopped"), shard_tokens=10**6)
    begun(stopped)
    prepare.prepare(stopped, quiet=True)
    assert all_tokens(stopped.out, "train").tolist() == all_tokens(config.out, "train").tolist()


def test_full_train_that_is_continued_reads_nothing(watched, small_batches, monkeypatch):
    config = replace(watched, shard_tokens=10**6)
    begun(config)
    state = spool.load_state(config.out)
    assert state is not None
    growing = spool.Spool(config.out, config.shard_tokens, state)
    job = prepare._continue(config, state, lambda _: None)
    job = replace(job, max_tokens=growing.splits["train"].split.tokens)
    monkeypatch.setattr(pipeline, "read_pieces", lambda *_: pytest.fail("the source was read"))
    progress = pipeline.fill(growing, job, pipeline.Position(*state["position"]), print)
    growing.close()
    assert progress.text_bytes == 0


def test_max_tokens_of_a_single_text_keeps_its_validation_part(books, config, small_batches):
    config = replace(config, files=(str(books / "b.txt"),))
    whole = replace(config, out=config.out.with_name("whole"))
    prepare.prepare(whole, quiet=True)
    prepare.prepare(replace(config, max_tokens=100), quiet=True)
    assert all_tokens(config.out, "train").tolist() == all_tokens(whole.out, "train")[:100].tolist()
    assert all_tokens(config.out, "val").tolist() == all_tokens(whole.out, "val").tolist()


# kind, and how processes are started
SEVERAL = [("char", "spawn"), ("char", "fork"), ("bpe", "spawn")]


@pytest.mark.parametrize(("kind", "start_method"), SEVERAL)
def test_several_processes_write_the_same_bytes(config, small_batches, kind, start_method):
    if start_method not in multiprocessing.get_all_start_methods():
        pytest.skip(f"this system has no {start_method}")
    prepare.prepare(replace(config, tokenizer=kind), quiet=True)
    several = replace(config, tokenizer=kind, out=config.out.with_name("several"), workers=2)
    prepare.prepare(replace(several, start_method=start_method), quiet=True)
    assert content(several.out) == content(config.out)


# Killed and continued


def dies(config, act):
    """Whether preparing in a forked child that `act` has meddled with ends by SIGKILL."""
    child = os.fork()
    if child == 0:
        try:
            act()
            prepare.prepare(config, quiet=True)
        finally:
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL


def kill_at(count, after):
    """Makes this process kill itself at the n-th durable step, before or after doing it."""
    left = [count]

    def wrap(function):
        def step(*args):
            left[0] -= 1
            if left[0] == 0 and not after:
                os.kill(os.getpid(), signal.SIGKILL)
            result = function(*args)
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return result

        return step

    for name in DURABLE:
        setattr(durable, name, wrap(getattr(durable, name)))
    spool._write_all = wrap(spool._write_all)


@pytest.fixture
def few_documents(config, books, small_batches, monkeypatch):
    """A config for a text of a few batches and shards."""
    monkeypatch.setattr(pipeline, "BATCH_BYTES", 1100)
    lines = "".join(json.dumps({"text": text}) + "\n" for text in DOCUMENTS[:24])
    (books / "a.jsonl").write_text(lines)
    (books / "b.txt").unlink()
    return replace(config, shard_tokens=500)


# Merges


def test_merges_are_learned_from_the_training_split_alone(config):
    config = replace(config, tokenizer="bpe", vocab_size=330)
    prepare.prepare(config, quiet=True)
    found = {name: documents_of(config.out, name) for name in ("train", "val", "test")}
    whole = "\n".join(DOCUMENTS[::-1])
    assert sorted(chain.from_iterable(found.values())) == sorted([*DOCUMENTS, whole])
    expected = tokenizers.BPETokenizer.from_texts(found["train"], 330)
    manifest = Manifest.read(config.out)
    assert manifest.tokenizer == expected.to_dict()
    assert manifest.vocab_size == 330
    for name, documents in found.items():
        ids = [[329, *expected.encode(document).tolist()] for document in documents]
        assert all_tokens(config.out, name).tolist() == list(chain.from_iterable(ids))
        assert manifest.splits[name].bytes == sum(len(d.encode()) for d in documents)


def test_merges_of_a_single_text_are_those_of_its_first_part(config, books, monkeypatch):
    monkeypatch.setattr(tokenizers, "PIECE_CHARACTERS", 40)
    text = (books / "b.txt").read_text()
    config = replace(config, tokenizer="bpe", vocab_size=300, files=(str(books / "b.txt"),))
    prepare.prepare(replace(config, max_tokens=100), quiet=True)
    train = text[: int(len(text) * (1 - 0.2 - 0.1))]
    expected = tokenizers.BPETokenizer.from_texts([train], 300)
    assert Manifest.read(config.out).tokenizer == expected.to_dict()
    assert len(all_tokens(config.out, "train")) == 100


def test_another_vocabulary_is_another_preparation(config, capsys):
    config = replace(config, tokenizer="bpe", vocab_size=300)
    prepare.prepare(config)
    assert "learned 300 byte pair tokens from the training text" in capsys.readouterr().out
    prepare.prepare(config)
    assert "is prepared already" in capsys.readouterr().out
    with pytest.raises(ValueError, match="was prepared with vocab_size = 300, not 1024"):
        prepare.prepare(replace(config, vocab_size=None))
    assert "--vocab-size 300" in Manifest.read(config.out).advice(config.out)
    assert prepare.PrepareConfig(tokenizer="bpe").folder == Path("data/python-docs-bpe")
    named = prepare.PrepareConfig(tokenizer="bpe", vocab_size=512)
    assert named.folder == Path("data/python-docs-bpe-512")


@pytest.mark.kept
def test_requests_of_other_tokenizers_are_what_they_were_before_there_were_merges():
    assert "vocab_size" not in PrepareConfig(tokenizer="char").request()


@NEEDS_FORK
@pytest.mark.parametrize("after", [False, True])
def test_killed_at_any_step_and_continued_gives_the_same_bytes(few_documents, after):
    config = few_documents
    prepare.prepare(config, quiet=True)
    expected = content(config.out)
    assert len(expected) > 5
    steps = 0
    for count in itertools.count(1 + after, 2):  # before the odd steps, after the even ones
        out = config.out.with_name(f"killed-{count}")
        killed = replace(config, out=out)
        if not dies(killed, lambda count=count: kill_at(count, after)):
            break
        prepare.prepare(killed, quiet=True)
        assert content(out) == expected, count
        steps += 1
    assert steps > 25


@NEEDS_FORK
@pytest.mark.parametrize("kind", ["bytes", "bpe"])
def test_killed_again_and_again_it_comes_to_the_same_end(few_documents, kind):
    config = few_documents
    if kind == "bpe":  # shards of about as much text
        config = replace(config, tokenizer=kind, vocab_size=270, shard_tokens=350)
    prepare.prepare(config, quiet=True)
    again = replace(config, out=config.out.with_name("again"))
    kills = 0
    while dies(again, lambda: kill_at(30, after=False)):
        kills += 1
        assert kills < 50
    assert kills > 1
    assert content(again.out) == content(config.out)


class Interrupted(BaseException):
    """What stops a preparation in this process, as a kill would."""


def interrupt_at(patch, count):
    """Lets the n-th durable step from now raise instead."""
    left = [count]

    def wrap(function):
        def step(*args):
            left[0] -= 1
            if left[0] == 0:
                raise Interrupted
            return function(*args)

        return step

    for name in DURABLE:
        patch.setattr(durable, name, wrap(getattr(durable, name)))
    patch.setattr(spool, "_write_all", wrap(spool._write_all))


KINDS = {
    "lines": ("a.jsonl",),
    "packed lines": ("a.jsonl.gz",),
    "one text, cut by position": ("a.txt",),
    "two texts": ("a.txt", "b.txt"),
    "parquet": ("a.parquet",),
}


def write_documents(path, documents):
    """Documents in a file of the kind that its name says; of .txt they are one document."""
    lines = "".join(json.dumps({"text": text}) + "\n" for text in documents)
    if path.suffix == ".txt":
        path.write_text("\n".join(documents), newline="")
    elif path.suffix == ".gz":
        path.write_bytes(gzip.compress(lines.encode()))
    elif path.suffix == ".jsonl":
        path.write_text(lines)
    else:
        import pyarrow as pa
        import pyarrow.parquet as pq

        pq.write_table(pa.table({"text": documents}), path, row_group_size=5)


@pytest.mark.parametrize("kind", KINDS)
def test_stopped_inside_a_document_and_continued_gives_the_same_bytes(
    config, tmp_path, monkeypatch, kind
):
    datasets_config = pytest.importorskip("datasets").config
    monkeypatch.setattr(datasets_config, "HF_DATASETS_CACHE", str(tmp_path / "hub-cache"))
    monkeypatch.setattr(tokenizers, "PIECE_CHARACTERS", 40)
    monkeypatch.setattr(sources, "BLOCK", 70)
    monkeypatch.setattr(pipeline, "BATCH_BYTES", 150)
    monkeypatch.setattr(pipeline, "SAVE_SECONDS", 0.0)
    files = [tmp_path / name for name in KINDS[kind]]
    for number, path in enumerate(files):
        write_documents(path, DOCUMENTS[20 + number * 11 :][:15])
    config = replace(config, files=tuple(map(str, files)), shard_tokens=400, val_fraction=0.4)
    if kind == "two texts":  # too few documents to deal out
        config = replace(config, val_fraction=0.0, test_fraction=0.0)
    prepare.prepare(config, quiet=True)
    expected = content(config.out)
    whole = [documents_of(config.out, name) for name in Manifest.read(config.out).splits]
    positions: list[pipeline.Position] = []
    for count in itertools.count(5, 13):
        stopped = replace(config, out=config.out.with_name(f"stopped-{count}"))
        with monkeypatch.context() as patch:
            interrupt_at(patch, count)
            try:
                prepare.prepare(stopped, quiet=True)
                break
            except Interrupted:
                state = spool.load_state(stopped.out)
                positions.append(pipeline.Position(*(state["position"] if state else ())))
        prepare.prepare(stopped, quiet=True)
        assert content(stopped.out) == expected, count
    assert sum(len(document) for split in whole for document in split) > 1000
    assert len({position for position in positions if position.piece > 1}) > 3
    assert max(position.characters for position in positions) > 500


@NEEDS_FORK
def test_continuing_encodes_nothing_twice(config, small_batches, monkeypatch):
    assert dies(config, lambda: kill_at(90, after=True))
    state = spool.load_state(config.out)
    assert state is not None
    done = sum(split["bytes"] for split in state["splits"].values())
    assert done > 3000
    progress = prepare.prepare(config, quiet=True)
    total = sum(split.bytes for split in Manifest.read(config.out).splits.values())
    assert progress.text_bytes == total - done


def command(config, workers):
    return [
        *(sys.executable, "-m", "phase08.prepare", "--source", "files", "--tokenizer", "bytes"),
        *("--files", *config.files, "--out", str(config.out), "--workers", str(workers)),
        *("--shard-tokens", "300000", "--val-fraction", "0.2", "--test-fraction", "0"),
    ]


def test_sigkill_of_the_whole_program_leaves_no_worker_and_continues(books, config, tmp_path):
    for n in range(40):
        (books / f"more-{n}.txt").write_text(f"{n}\n" + "\n".join(DOCUMENTS * 8))
    process = subprocess.Popen(command(config, 2), stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    while process.poll() is None and not (config.out / "train-000002.bin").exists():
        time.sleep(0.001)
    children = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    output = process.communicate()[0].decode()
    assert process.returncode == -signal.SIGKILL, output
    assert children
    _, alive = psutil.wait_procs(children, timeout=60)
    assert not alive
    done = subprocess.run(command(config, 1), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "continuing" in done.stdout
    metrics = json.loads(done.stdout.splitlines()[-1])
    whole = replace(
        config,
        out=tmp_path / "whole",
        shard_tokens=300_000,
        val_fraction=0.2,
        test_fraction=0.0,
    )
    assert prepare.main(whole)["train_tokens"] == metrics["train_tokens"]
    assert content(config.out) == content(whole.out)


# The hub, through the same path but with local files


@pytest.fixture
def hub_config(config, tmp_path, monkeypatch):
    """A config for `tinystories`, whose repository has two commits with texts of their own.

    There is no folder for a branch: what is read must come from a commit. The main branch is at
    the commit that the file `head` names.
    """
    import datasets.config
    import huggingface_hub
    import pyarrow as pa
    import pyarrow.parquet as pq

    folder = tmp_path / "repository"
    for sha in ("first", "second"):
        (folder / sha / "data").mkdir(parents=True)
        for number, part in enumerate((DOCUMENTS[:60], DOCUMENTS[60:])):
            texts = [f"{sha} {text}" for text in part]
            table = pa.table({"text": texts, "n": range(len(texts))})
            path = folder / sha / "data" / f"train-{number}.parquet"
            pq.write_table(table, path, row_group_size=9)
    (folder / "head").write_text("first")

    class Api:
        def dataset_info(self, repository, revision=None, **_):
            sha = revision or (folder / "head").read_text()
            siblings = [
                types.SimpleNamespace(
                    rfilename=str(path.relative_to(folder / sha)), size=path.stat().st_size
                )
                for path in (folder / sha).rglob("*.parquet")
            ]
            return types.SimpleNamespace(sha=sha, siblings=siblings)

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "hub-cache"))
    monkeypatch.setattr(huggingface_hub, "HfApi", Api)
    monkeypatch.setattr(sources, "_hub_url", lambda repository, sha, file: str(folder / sha / file))
    return replace(config, source="tinystories", files=())


def test_hub_set_records_its_revision(hub_config):
    prepare.prepare(hub_config, quiet=True)
    manifest = Manifest.read(hub_config.out)
    assert manifest.revision == "first"
    assert manifest.dataset == "tinystories"
    found = [documents_of(hub_config.out, name) for name in ("train", "val", "test")]
    assert sorted(chain.from_iterable(found)) == sorted(f"first {text}" for text in DOCUMENTS)


class Lossy:
    """Rows of a stream whose network is lost at row 17 of the second file."""

    def __init__(self, rows, url):
        self.features, self.rows, self.url = rows.features, rows, url

    def skip(self, n):
        from huggingface_hub.errors import HTTPError

        for number, row in enumerate(self.rows.skip(n), n):
            if (self.url[-9:], number) == ("1.parquet", 17):
                raise HTTPError("connection reset")
            yield row


def test_lost_network_is_one_sentence_and_the_next_run_continues_the_same_revision(
    hub_config, small_batches, monkeypatch, tmp_path
):
    import datasets

    expected = replace(hub_config, out=hub_config.out.with_name("expected"))
    prepare.prepare(expected, quiet=True)
    monkeypatch.setattr(prepare.forecast, "PROBE_CHARACTERS", 100)
    original = datasets.load_dataset

    def load(kind, data_files, **options):
        return Lossy(original(kind, data_files=data_files, **options), data_files["train"][0])

    with monkeypatch.context() as patch:
        patch.setattr(datasets, "load_dataset", load)
        with pytest.raises(ConnectionError, match="check the network and run the same command"):
            prepare.prepare(hub_config, quiet=True)
    state = spool.load_state(hub_config.out)
    assert state is not None
    assert state["revision"] == "first"
    assert state["position"][0] == 1  # it was in the second file
    (tmp_path / "repository" / "head").write_text("second")  # the main branch moves on
    prepare.prepare(hub_config, quiet=True)
    assert Manifest.read(hub_config.out).revision == "first"
    assert content(hub_config.out) == content(expected.out)
    assert prepare.prepare(hub_config, quiet=True).tokens == 0  # finished stays finished


# Bad input: one sentence, nothing overwritten


def begun(config):
    """Leaves a preparation unfinished, as a failing disk would."""
    original = spool.GrowingSplit.finish_shard
    spool.GrowingSplit.finish_shard = lambda self: (_ for _ in ()).throw(KeyboardInterrupt)
    try:
        with pytest.raises(KeyboardInterrupt):
            prepare.prepare(config, quiet=True)
    finally:
        spool.GrowingSplit.finish_shard = original
    assert (config.out / spool.STATE).exists()


def test_finished_folder_is_left_alone(config, capsys):
    prepare.prepare(config, quiet=True)
    before = content(config.out)
    capsys.readouterr()
    prepare.main(config)
    assert "is prepared already" in capsys.readouterr().out
    assert content(config.out) == before


@pytest.mark.parametrize("finished", [True, False])
def test_folder_of_another_preparation_is_refused(config, finished):
    prepare.prepare(config, quiet=True) if finished else begun(config)
    before = content(config.out)
    with pytest.raises(ValueError, match=r"with seed = 0, not 1; .*--out.*--overwrite"):
        prepare.prepare(replace(config, seed=1), quiet=True)
    assert content(config.out) == before


def test_finished_folder_of_other_files_is_refused(config, books):
    prepare.prepare(config, quiet=True)
    (books / "a.jsonl").write_text('{"text": "another"}\n' * 9)
    with pytest.raises(ValueError, match=r"was prepared from other files.*--out.*--overwrite"):
        prepare.prepare(config, quiet=True)


def test_damaged_finished_folder_is_refused(config):
    prepare.prepare(config, quiet=True)
    path = config.out / "train-000001.bin"
    path.write_bytes(path.read_bytes()[:-2])
    with pytest.raises(ValueError, match=r"was cut short.*--overwrite"):
        prepare.prepare(config, quiet=True)


def test_overwrite_keeps_what_was_there(config):
    prepare.prepare(config, quiet=True)
    before = content(config.out)
    for _ in range(2):
        prepare.prepare(replace(config, seed=1, overwrite=True), quiet=True)
    kept = sorted(config.out.parent.glob("out-before-*"))
    assert len(kept) == 2
    assert content(kept[0]) == before
    assert content(config.out) != before


def test_overwrite_moves_nothing_away_for_a_source_that_cannot_be_opened(config):
    prepare.prepare(config, quiet=True)
    before = content(config.out)
    with pytest.raises(FileNotFoundError, match="no text file matches"):
        prepare.prepare(replace(config, files=("nowhere*.txt",), overwrite=True), quiet=True)
    assert content(config.out) == before
    assert not list(config.out.parent.glob("out-before-*"))


def test_overwriting_preparation_keeps_others_out(config, monkeypatch):
    pytest.importorskip("fcntl")
    prepare.prepare(config, quiet=True)
    monkeypatch.setattr(spool, "LOCK_PATIENCE", 0.0)
    fill, tried = prepare.fill, []

    def meanwhile(*arguments):
        with pytest.raises(ValueError, match="another prepare is writing"):
            prepare.prepare(config, quiet=True)
        tried.append(True)
        return fill(*arguments)

    monkeypatch.setattr(prepare, "fill", meanwhile)
    prepare.prepare(replace(config, seed=1, overwrite=True), quiet=True)
    assert tried == [True]
    assert not list(config.out.parent.glob(".*.lock"))


def test_file_system_without_locks_is_said_and_used(config, monkeypatch, capsys):
    fcntl = pytest.importorskip("fcntl")

    def refuse(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    prepare.prepare(config)
    assert "run no second prepare into it" in capsys.readouterr().out
    assert open_split(config.out, "train")


def test_lock_of_a_removed_file_is_not_taken_for_the_lock(tmp_path):
    pytest.importorskip("fcntl")
    path = tmp_path / ".out.lock"
    with spool.locked(tmp_path / "out"):
        path.unlink()
        path.touch()
        with path.open() as newer:
            assert not spool._is_named(path.with_name("nothing"), newer.fileno())
            assert spool._is_named(path, newer.fileno())
            path.rename(path.with_name("other"))
            path.touch()
            assert not spool._is_named(path, newer.fileno())


def test_advice_about_damaged_data_is_the_command_that_made_it(config, tmp_path):
    config = replace(config, out=tmp_path / "my data", max_tokens=5000, seed=3, text_field="text")
    prepare.prepare(config, quiet=True)
    path = config.out / "val-000000.bin"
    path.write_bytes(path.read_bytes()[:-2])
    with pytest.raises(ValueError, match="was cut short") as error:
        prepare.prepare(config, quiet=True)
    words = shlex.split(str(error.value).split("`")[1])
    assert words[:5] == ["uv", "run", "python", "-m", "phase08.prepare"]
    advised = script.parse(PrepareConfig, words[5:])
    assert advised == replace(config, workers=None, overwrite=True)


def test_source_that_changed_meanwhile_is_refused(config, books):
    begun(config)
    before = content(config.out)
    text = (books / "b.txt").read_text()
    (books / "b.txt").write_text(text.replace("the", "teh"))
    with pytest.raises(ValueError, match=r"is not what it was when .* was begun.*--overwrite"):
        prepare.prepare(config, quiet=True)
    assert content(config.out) == before
    (books / "b.txt").write_text(text)
    prepare.prepare(config, quiet=True)


def test_altered_state_and_lost_shards_are_refused(config, small_batches):
    begun(replace(config, shard_tokens=10**6))
    config = replace(config, shard_tokens=10**6)
    path = config.out / spool.STATE
    state = path.read_bytes()
    path.write_bytes(state.replace(b'"bytes"', b'"bytez"', 1))
    with pytest.raises(ValueError, match=r"state\.json was altered.*--overwrite"):
        prepare.prepare(config, quiet=True)
    path.write_bytes(state)
    partial = config.out / "train.partial"
    partial.write_bytes(partial.read_bytes()[:-2000])
    with pytest.raises(ValueError, match=r"train\.partial is shorter than"):
        prepare.prepare(config, quiet=True)


def test_full_disk_is_one_sentence_and_the_next_run_continues(config, small_batches, monkeypatch):
    expected = replace(config, out=config.out.with_name("expected"))
    prepare.prepare(expected, quiet=True)
    calls = []

    def full(file, content, write=spool._write_all):
        calls.append(content)
        if len(calls) > 40:
            file.write(content[: len(content) // 2])
            raise OSError(errno.ENOSPC, "No space left on device")
        write(file, content)

    with monkeypatch.context() as patch:
        patch.setattr(spool, "_write_all", full)
        with pytest.raises(OSError, match=r"the disk is full: [1-9]\d* whole shards.*continues"):
            prepare.prepare(config, quiet=True)
    prepare.prepare(config, quiet=True)
    assert content(config.out) == content(expected.out)


@NEEDS_FORK
def test_worker_that_dies_is_one_sentence_and_the_next_run_continues(
    config, small_batches, monkeypatch
):
    expected = replace(config, out=config.out.with_name("expected"))
    prepare.prepare(expected, quiet=True)
    original = tokenizers.ByteTokenizer.encode

    def encode(self, text):
        if multiprocessing.parent_process() is not None:
            os.kill(os.getpid(), signal.SIGKILL)
        return original(self, text)

    with monkeypatch.context() as patch:
        patch.setattr(tokenizers.ByteTokenizer, "encode", encode)
        with pytest.raises(ChildProcessError, match=r"a worker process died.*fewer --workers"):
            prepare.prepare(replace(config, workers=2, start_method="fork"), quiet=True)
    prepare.prepare(config, quiet=True)
    assert content(config.out) == content(expected.out)


def test_disk_that_is_too_small_is_seen_before_the_start(config, monkeypatch):
    usage = type("Usage", (), {"free": 1000})
    monkeypatch.setattr(prepare.forecast.shutil, "disk_usage", lambda _: usage)
    with pytest.raises(OSError, match=r"its disk has 1 kB free; take a part with --max-tokens"):
        prepare.prepare(config, quiet=True)
    assert not config.out.exists()


@pytest.mark.parametrize("tokenizer", ["char", "bytes", "bpe"])
@pytest.mark.parametrize("text", ["", "\n"])
def test_source_without_text_is_refused(config, tmp_path, text, tokenizer):
    (tmp_path / "empty.jsonl").write_text(text)
    config = replace(config, files=(str(tmp_path / "empty.jsonl"),), tokenizer=tokenizer)
    with pytest.raises(ValueError, match="the source files has no text"):
        prepare.prepare(config, quiet=True)
    assert not config.out.exists()


def test_too_few_documents_for_validation_are_refused(config, tmp_path):
    path = tmp_path / "two.jsonl"
    path.write_text('{"text": "one"}\n{"text": "two"}\n')
    with pytest.raises(ValueError, match=r"no document for the split val; .*--val-fraction"):
        prepare.prepare(replace(config, files=(str(path),), val_fraction=0.01), quiet=True)


@pytest.mark.kept
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"max_tokens": 0}, "max_tokens is 0"),
        ({"workers": 62}, "workers is 62, but Windows allows 61"),
        ({"shard_tokens": 0}, "shard_tokens is 0"),
        ({"shard_tokens": 2**31}, "int32"),
        ({"workers": 0}, "workers is 0"),
        ({"vocab_size": 300}, "the vocabulary of the tokenizer bytes cannot be chosen"),
        ({"tokenizer": "bpe", "vocab_size": 256}, "must be from 257"),
        ({"val_fraction": 1.0}, "val_fraction is 1.0"),
        ({"val_fraction": 0.6, "test_fraction": 0.5}, "leave nothing to train on"),
        ({"source": "shakespear"}, "unknown; did you mean shakespeare"),
    ],
)
def test_wrong_options_are_refused_and_leave_nothing(config, monkeypatch, change, message):
    if "source" in change:
        change = {**change, "files": ()}
    monkeypatch.setattr(prepare, "MOST_WORKERS", 61)
    with pytest.raises(ValueError, match=message):
        prepare.prepare(replace(config, **change), quiet=True)
    assert not config.out.exists()


def test_second_preparation_of_a_folder_waits_and_gives_up(config, monkeypatch):
    pytest.importorskip("fcntl")
    monkeypatch.setattr(spool, "LOCK_PATIENCE", 0.1)
    config.out.mkdir()
    with spool.locked(config.out), pytest.raises(ValueError, match="another prepare is writing"):
        prepare.prepare(config, quiet=True)


@pytest.mark.parametrize(("kind", "what"), [("char", "characters"), ("bpe", "merges")])
def test_what_a_hub_set_would_be_read_twice_for_is_refused(config, monkeypatch, kind, what):
    remote = replace(prepare.open_source("files", config.files), remote=True)
    monkeypatch.setattr(prepare, "open_source", lambda *_: remote)
    with pytest.raises(ValueError, match=rf"first to learn its {what}, .*downloading it twice"):
        prepare.prepare(replace(config, tokenizer=kind), quiet=True)


def test_mistake_on_the_command_line_is_exit_code_2(tmp_path, capsys):
    with pytest.raises(SystemExit) as exit_:
        script.run(prepare.main, PrepareConfig, ["--source", "nope", "--out", str(tmp_path / "o")])
    assert exit_.value.code == 2
    assert capsys.readouterr().err.startswith("error: the source 'nope' is unknown")


def test_estimate_is_said_before_the_start(config, tmp_path, monkeypatch):
    (tmp_path / "long.txt").write_bytes(b"ten bytes\n" * 300_000)
    clock = types.SimpleNamespace(perf_counter=itertools.count(100, 10).__next__)
    monkeypatch.setattr(prepare.forecast, "time", clock)  # the probe's 2**20 bytes take 10 seconds
    monkeypatch.setattr(prepare.forecast.psutil, "cpu_count", lambda: 2)
    usage = types.SimpleNamespace(free=5_000_000_000)
    monkeypatch.setattr(prepare.forecast.shutil, "disk_usage", lambda _: usage)
    said = []
    config = replace(
        config, files=(str(tmp_path / "long.txt"),), val_fraction=0.25, test_fraction=0.25
    )
    config.folder.mkdir()
    for change in ({}, {"max_tokens": 500_000}, {"workers": 7}):
        prepare._begin(replace(config, **change), said.append)
    out, amounts = config.folder, [re.sub(r", [^,]* of memory$", "", line) for line in said]
    assert amounts == [
        f"files: about 3 MB of text, 3,000,000 tokens, into {out}: 6 MB of disk (5.0 GB free), "
        f"29 s with 1 process at 0.1 MB/s",
        f"files: about 1 MB of text, 1,000,000 tokens, into {out}: 2 MB of disk (5.0 GB free), "
        f"10 s with 1 process at 0.1 MB/s",
        f"files: about 3 MB of text, 3,000,000 tokens, into {out}: 6 MB of disk (5.0 GB free), "
        f"14 s with 7 processes at 0.2 MB/s",
    ]


def test_lines_take_the_place_of_the_bar_where_there_is_no_terminal(
    config, small_batches, monkeypatch, capsys
):
    prepare.prepare(replace(config, out=config.out.with_name("short")))
    assert "prepared " not in capsys.readouterr().out  # a minute has not passed
    monkeypatch.setattr(prepare.forecast, "LINE_SECONDS", 0.0)
    prepare.prepare(config)
    lines = [line for line in capsys.readouterr().out.splitlines() if "prepared " in line]
    form = r"prepared \d+ k?(B|bytes) of text, about (\d+)%, at \d+\.\d MB/s, about .* left"
    shares = [int(re.findall(f"^{form}$", line)[0][1]) for line in lines]
    assert shares == sorted(shares)
    assert len(shares) > 10
    prepare.prepare(replace(config, out=config.out.with_name("some"), max_tokens=4000))
    lines = [line for line in capsys.readouterr().out.splitlines() if "prepared " in line]
    assert re.fullmatch(r"prepared 4,000 tokens, about 100%, at [\d,]+ tokens/s, .*", lines[-1])


def test_continued_preparation_says_what_is_left(config, small_batches, capsys):
    config = replace(config, shard_tokens=8000)
    begun(config)
    capsys.readouterr()
    prepare.prepare(config)
    first, second, *_ = capsys.readouterr().out.splitlines()
    assert first.startswith(f"continuing {config.out} after ")
    total = sum(path.stat().st_size for path in Path(config.files[0]).parent.iterdir())
    left = re.findall(r"^files: about (\d+) kB of text left, ", second)
    assert 0 < int(left[0]) < total / 1000 - 4


def test_source_that_ends_before_max_tokens_is_said(config, capsys):
    metrics = prepare.main(replace(config, max_tokens=10**6))
    said = f"the source ended after {metrics['train_tokens']:,} of the 1,000,000 training tokens"
    assert said in capsys.readouterr().out


def test_benchmark_runs_from_end_to_end(tmp_path, monkeypatch):
    if data.find(data.TIKTOKEN_FILES[0]) is None:
        pytest.skip("GPT-2's vocabulary (tiktoken-cache) is not there: set JOURNAL_DATA")
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", "")
    monkeypatch.chdir(tmp_path)
    config = benchmark_prepare.BenchmarkConfig("python-docs", repeat=3, small_repeat=1, workers=1)
    metrics = benchmark_prepare.main(config)
    assert metrics["large"]["train_tokens"] > 2 * metrics["small"]["train_tokens"] > 0
    assert metrics["ratio"] > 0
    assert metrics["memory_growth"] > 0
    with pytest.raises(ValueError, match="must be more than small_repeat"):
        benchmark_prepare.main(replace(config, repeat=1))
