"""The comparison with tiktoken on whole texts: what it counts, and that it sees a difference."""

import json

import pytest

from journal import data
from phase03 import compare_tiktoken
from phase03.bpe import ByteLevelBPE


@pytest.fixture(autouse=True)
def there():
    names = (*data.TIKTOKEN_FILES, *data.names("tinytalks/*"))
    if not all(data.find(name) for name in names):
        pytest.skip("tinytalks or tiktoken-cache is not there: set JOURNAL_DATA")


def test_all_ids_of_a_data_set_are_equal(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    metrics = compare_tiktoken.main(compare_tiktoken.Config(files="tinytalks/*"))
    size = sum(len(data.read_bytes(name)) for name in data.names("tinytalks/*"))
    one = metrics["sets"]["tinytalks"]
    assert one["files"] == metrics["files"] == len(data.names("tinytalks/*"))
    assert one["bytes"] == metrics["bytes"] == size
    assert 0 < metrics["tokens"] < size
    assert metrics["different"] == metrics["missing"] == []
    written = json.loads((tmp_path / "runs/phase03/compare_tiktoken.json").read_text("utf-8"))
    assert written["metrics"] == metrics


def test_file_with_other_ids_is_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(ByteLevelBPE, "from_gpt2", classmethod(lambda cls: cls()))
    metrics = compare_tiktoken.main(compare_tiktoken.Config(files="tinytalks/test.txt"))
    assert metrics["different"] == ["tinytalks/test.txt"]


def test_missing_file_is_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    find = data.find
    monkeypatch.setattr(data, "find", lambda name: None if "val" in name else find(name))
    metrics = compare_tiktoken.main(compare_tiktoken.Config(files="tinytalks/*.txt"))
    assert metrics["missing"] == ["tinytalks/val.txt"]
    assert metrics["files"] == 2


def test_images_are_no_texts():
    found = compare_tiktoken.text_files("*")
    assert not [name for name in found if name.startswith(("mnist", "cifar")) or "npz" in name]
    assert "tinyshakespeare/input.txt" in found
    with pytest.raises(ValueError, match="nowhere"):
        compare_tiktoken.text_files("nowhere/*")
