import gzip
import json
import types
from itertools import chain

import pytest

from journal import texts
from phase08 import sources
from phase08.sources import open_source

ROWS = [f"document {n}, line one\r\nline two: naïve {'x' * n}" for n in range(23)]


@pytest.fixture(autouse=True)
def hub_cache(tmp_path, monkeypatch):
    """`datasets` keeps its lock files in a folder of the test."""
    datasets_config = pytest.importorskip("datasets").config
    monkeypatch.setattr(datasets_config, "HF_DATASETS_CACHE", str(tmp_path / "hub-cache"))


def texts_of(source, skip=0):
    return ["".join(text) for part in source.parts for _, text in part.read(skip)]


def write_jsonl(path, rows, field="text"):
    lines = "".join(json.dumps({"id": n, field: row}) + "\n" for n, row in enumerate(rows))
    if path.suffix.lower() == ".gz":
        path.write_bytes(gzip.compress(lines.encode()))
    else:
        path.write_text(lines)
    return path


def write_parquet(path, rows, field="text"):
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.table({"id": list(range(len(rows))), field: rows})
    pq.write_table(table, path, row_group_size=5)
    return path


@pytest.mark.parametrize(
    "name", ["a.jsonl", "a.jsonl.gz", "a.parquet", "A.JSONL.GZ", "A [1].PARQUET"]
)
def test_rows_of_a_file_are_its_documents(tmp_path, name):
    path = tmp_path / name
    (write_parquet if path.suffix.lower() == ".parquet" else write_jsonl)(path, ROWS)
    source = open_source("files", [str(path)])
    assert texts_of(source) == ROWS
    assert texts_of(source, skip=7) == ROWS[7:]
    assert texts_of(source, skip=23) == []
    assert not source.single


@pytest.mark.parametrize("name", ["a.txt", "a.txt.gz", "A.TXT.GZ"])
def test_text_file_is_one_document_read_in_blocks(tmp_path, name, monkeypatch):
    monkeypatch.setattr(sources, "BLOCK", 10)
    text = "naïve 東京\r\n\rmixed\nline ends \U0001f600 " * 9
    content = text.encode()
    path = tmp_path / name
    path.write_bytes(gzip.compress(content) if name.lower().endswith(".gz") else content)
    source = open_source("files", [str(path)])
    assert source.single
    documents = source.parts[0].read(0)  # kept: the file is open while it is
    title, blocks = next(documents)
    assert title == name
    blocks = list(blocks)
    assert "".join(blocks) == text
    assert max(map(len, blocks)) == 10
    assert texts_of(source, skip=1) == []


def test_globs_are_sorted_and_files_are_taken_once(tmp_path):
    for name in ("b.txt", "a.txt", "c.jsonl"):
        (tmp_path / name).write_text(json.dumps({"text": name}))
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "d.TXT").write_text("d")
    patterns = [str(tmp_path / "*.txt"), str(tmp_path / "c.jsonl"), str(tmp_path / "a.txt")]
    assert [part.name for part in open_source("files", patterns).parts] == [
        "a.txt",
        "b.txt",
        "c.jsonl",
    ]
    everything = open_source("files", [str(tmp_path)])
    assert sorted(part.name for part in everything.parts) == ["a.txt", "b.txt", "c.jsonl", "d.TXT"]
    deep = open_source("files", [str(tmp_path / "**" / "d.*")])
    assert [part.name for part in deep.parts] == ["d.TXT"]


def test_revision_is_that_of_the_content(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("one text")
    before = open_source("files", [str(path)]).revision
    path.write_text("one text")
    assert open_source("files", [str(path)]).revision == before
    path.write_text("One text")  # as long as before
    assert open_source("files", [str(path)]).revision != before


def test_named_field_is_read(tmp_path):
    path = write_jsonl(tmp_path / "a.jsonl", ROWS, "content")
    assert texts_of(open_source("files", [str(path)], "content")) == ROWS
    path = write_parquet(tmp_path / "a.parquet", ROWS, "content")
    assert texts_of(open_source("files", [str(path)], "content")) == ROWS


@pytest.mark.parametrize("name", ["a.jsonl", "a.parquet"])
def test_missing_field_is_named(tmp_path, name):
    path = tmp_path / name
    (write_parquet if path.suffix == ".parquet" else write_jsonl)(path, ROWS, "content")
    with pytest.raises(ValueError, match=r"no text in a \w+ 'text'.*--text-field"):
        texts_of(open_source("files", [str(path)]))


def test_blank_lines_are_no_documents_and_bad_lines_are_named(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "one"}\n\n{"text": "two"}\n{"text": 3}\n')
    documents = open_source("files", [str(path)]).parts[0].read(0)
    assert ["".join(next(documents)[1]) for _ in range(2)] == ["one", "two"]
    with pytest.raises(ValueError, match=r"a\.jsonl:4 has no text in a field 'text'"):
        next(documents)
    path.write_text('{"text": "one"}\n{"text": ')
    with pytest.raises(ValueError, match=r"a\.jsonl:2 is not a line of json"):
        texts_of(open_source("files", [str(path)]))


def test_half_a_surrogate_pair_in_json_is_replaced(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "a\\ud800b"}\n')
    assert texts_of(open_source("files", [str(path)])) == ["a�b"]


def test_text_that_is_not_utf8_is_refused(tmp_path):
    path = tmp_path / "latin.txt"
    path.write_bytes("naïve".encode("latin-1"))
    with pytest.raises(ValueError, match=r"latin\.txt is not UTF-8 text.*iconv"):
        texts_of(open_source("files", [str(path)]))


def test_torn_files_are_refused(tmp_path):
    packed = gzip.compress(b"some text " * 1000)
    path = tmp_path / "torn.txt.gz"
    path.write_bytes(packed[:-20])
    with pytest.raises(ValueError, match=r"torn\.txt\.gz is no whole gzip file"):
        texts_of(open_source("files", [str(path)]))
    path = write_parquet(tmp_path / "torn.parquet", ROWS)
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(ValueError, match=r"torn\.parquet is no whole parquet file"):
        texts_of(open_source("files", [str(path)]))


@pytest.mark.parametrize("name", ["a.jsonl", "a.parquet"])
def test_null_is_an_empty_document(tmp_path, name):
    path = tmp_path / name
    (write_parquet if path.suffix == ".parquet" else write_jsonl)(path, ["one", None, "three"])
    assert texts_of(open_source("files", [str(path)])) == ["one", "", "three"]


def test_large_row_groups_are_decoded_in_bounded_parts(tmp_path, monkeypatch):
    from datasets.packaged_modules.parquet import parquet

    sizes = []
    original = parquet.Parquet._cast_table
    monkeypatch.setattr(sources, "PARQUET_ROWS", 2)
    monkeypatch.setattr(
        parquet.Parquet,
        "_cast_table",
        lambda self, table: sizes.append(table.num_rows) or original(self, table),
    )
    path = write_parquet(tmp_path / "a.parquet", ROWS)  # its row groups have 5 rows
    assert texts_of(open_source("files", [str(path)])) == ROWS
    assert max(sizes) == 2


def test_damaged_page_and_column_of_another_library_are_one_sentence(tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = tmp_path / "damaged.parquet"
    table = pa.table({"text": [str(n) * 5000 for n in range(50)]})
    pq.write_table(table, path, compression="snappy", use_dictionary=False)
    content = bytearray(path.read_bytes())
    content[40 : len(content) // 2] = b"\xff" * (len(content) // 2 - 40)
    path.write_bytes(bytes(content))
    with pytest.raises(ValueError, match=r"damaged\.parquet is no whole parquet file") as error:
        texts_of(open_source("files", [str(path)]))
    assert "\n" not in str(error.value)
    path = tmp_path / "map.parquet"
    column = pa.array([[], []], type=pa.map_(pa.string(), pa.string()))
    pq.write_table(pa.table({"text": ["one", "two"], "more": column}), path)
    try:
        outcome = texts_of(open_source("files", [str(path)]))
    except ValueError as error:
        outcome = str(error).split(" (")[0]
    sentence = f"{path} is no whole parquet file, or has columns that `datasets` cannot read"
    assert outcome in (sentence, ["one", "two"])  # a `datasets` that reads maps is welcome to


def test_files_that_are_not_there_or_not_read_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="no text file matches"):
        open_source("files", [str(tmp_path / "*.txt")])
    (tmp_path / "a.pdf").write_text("")
    with pytest.raises(ValueError, match=r"none of the kinds that are read here: \.txt,"):
        open_source("files", [str(tmp_path / "a.pdf")])
    with pytest.raises(ValueError, match="needs to know which"):
        open_source("files")
    with pytest.raises(ValueError, match="say --source files"):
        open_source("python-docs", ["a.txt"])


def test_unknown_source_names_those_there_are():
    with pytest.raises(ValueError, match=r"'xyz' is unknown; there are python-docs.*tinystories"):
        open_source("xyz")
    with pytest.raises(ValueError, match=r"did you mean fineweb-edu\?"):
        open_source("fineweb-ed")


def test_python_docs_are_embedded():
    source = open_source("python-docs")
    found = [(name, "".join(text)) for name, text in source.parts[0].read(0)]
    assert found == list(texts.python_docs())
    assert source.revision == open_source("python-docs").revision
    assert source.text_bytes == sum(len(text.encode()) for _, text in found)
    assert [name for name, _ in source.parts[0].read(70)] == [name for name, _ in found[70:]]


def test_repeated_source_reads_itself_over(tmp_path):
    source = open_source("files", [str(write_jsonl(tmp_path / "a.jsonl", ROWS))])
    assert texts_of(source.repeated(3)) == ROWS * 3
    assert source.repeated(3).text_bytes == 3 * source.text_bytes
    with pytest.raises(ValueError, match="not 0 times"):
        source.repeated(0)


# The hub, through the same path but with local files


class FakeHub:
    """`HfApi` for a repository of which each commit lies in a folder of its name."""

    def __init__(self, folder, sha):
        self.folder, self.sha, self.asked = folder, sha, []

    def dataset_info(self, repository, revision=None, files_metadata=False, timeout=None):
        self.asked.append((repository, revision))
        assert files_metadata
        assert timeout is not None
        sha = revision or self.sha
        siblings = [
            types.SimpleNamespace(
                rfilename=str(p.relative_to(self.folder / sha)), size=p.stat().st_size
            )
            for p in (self.folder / sha).rglob("*.*")
        ]
        return types.SimpleNamespace(sha=sha, siblings=siblings)


OLDER_ROWS = [f"older {row}" for row in ROWS]


@pytest.fixture
def hub(tmp_path, monkeypatch):
    import huggingface_hub

    folder = tmp_path / "repository"
    for sha, rows in (("c0ffee", ROWS), ("older", OLDER_ROWS)):
        (folder / sha / "data").mkdir(parents=True)
        for number, part in enumerate((rows[:9], rows[9:])):
            write_parquet(folder / sha / "data" / f"train-0000{number}-of-00002.parquet", part)
        write_parquet(folder / sha / "data" / "validation-00000-of-00001.parquet", ["not this"])
        (folder / sha / "README.md").write_text("card")
    fake = FakeHub(folder, "c0ffee")
    monkeypatch.setattr(huggingface_hub, "HfApi", lambda: fake)
    monkeypatch.setattr(sources, "_hub_url", lambda repository, sha, file: str(folder / sha / file))
    return fake


def test_hub_set_streams_the_training_files_of_a_resolved_revision(hub):
    source = open_source("tinystories")
    assert source.revision == "c0ffee"
    assert source.remote
    assert texts_of(source) == ROWS
    assert list(chain.from_iterable(text for _, text in source.parts[1].read(4))) == ROWS[13:]
    assert source.text_bytes > 0
    older = open_source("tinystories", revision="older")
    assert older.revision == "older"
    assert texts_of(older) == OLDER_ROWS
    assert hub.asked == [("roneneldan/TinyStories", None), ("roneneldan/TinyStories", "older")]


def test_hub_set_without_its_files_is_refused(hub):
    with pytest.raises(ValueError, match=r"has no files sample/10BT/\*\.parquet"):
        open_source("fineweb-edu")


def test_hub_address_pins_the_revision():
    url = sources._hub_url("a/b", "c0ffee", "data/x.parquet")
    assert url == "hf://datasets/a/b@c0ffee/data/x.parquet"


def test_json_streams_through_the_same_path(tmp_path):
    path = write_jsonl(tmp_path / "a.jsonl", ROWS)
    documents = list(sources.stream_documents(str(path), "text", 5))
    assert ["".join(text) for _, text in documents] == ROWS[5:]


def test_unreachable_hub_is_one_sentence(monkeypatch):
    import huggingface_hub
    from huggingface_hub.errors import HTTPError

    class Nowhere:
        def dataset_info(self, *_, **__):
            raise HTTPError("name or service not known\nand more")

    monkeypatch.setattr(huggingface_hub, "HfApi", Nowhere)
    with pytest.raises(
        ConnectionError, match="could not be reached for the data set Skylion007"
    ) as error:
        open_source("openwebtext")
    assert "run the same command again" in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["RepositoryNotFoundError", "RevisionNotFoundError"])
def test_commit_that_is_gone_is_not_called_a_lost_network(monkeypatch, name):
    import huggingface_hub
    from huggingface_hub import errors

    class Gone:
        def dataset_info(self, *_, **__):
            raise hub_error(getattr(errors, name), 404)

    monkeypatch.setattr(huggingface_hub, "HfApi", Gone)
    with pytest.raises(FileNotFoundError, match=r"the commit c0ffee of \S+ is no longer there"):
        open_source("openwebtext", revision="c0ffee")


@pytest.mark.parametrize(
    ("status", "kind", "message"),
    [(404, FileNotFoundError, "is no longer there"), (503, ConnectionError, "check the network")],
)
def test_refusal_while_streaming_says_what_it_is(tmp_path, monkeypatch, status, kind, message):
    import datasets
    from huggingface_hub.errors import HfHubHTTPError

    def refuse(*_, **__):
        raise hub_error(HfHubHTTPError, status)

    monkeypatch.setattr(datasets, "load_dataset", refuse)
    with pytest.raises(kind, match=message) as error:
        next(sources.stream_documents("hf://datasets/a/b@c0ffee/x.parquet", "text", 0))
    assert "a/b@c0ffee" in str(error.value)
    assert "\n" not in str(error.value)


def hub_error(kind, status):
    """An error of huggingface_hub, as an answer with this status would raise it."""
    response = types.SimpleNamespace(status_code=status, headers={}, request=None)
    return kind("refused\nand more", response=response)
