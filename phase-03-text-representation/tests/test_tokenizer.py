"""The files of tokenizers: what is written comes back, whole, and only to its own class."""

import json
from pathlib import Path

import pytest

from phase03.char_tokenizer import CharTokenizer
from phase03.tokenizer import Tokenizer, checked_id, read_json, write_json
from phase03.word_tokenizer import WordTokenizer

pytestmark = pytest.mark.kept  # they judge the module that all items of tokenizers are given


@pytest.mark.parametrize("kind", [CharTokenizer, WordTokenizer])
def test_tokenizers_have_the_one_interface(kind):
    assert isinstance(kind.train(["ab"]), Tokenizer)


@pytest.mark.parametrize("text", ["", "a\nb", "é 你 😀", "\ud83d", "\ud83d\ude00"])
def test_content_comes_back_exactly(tmp_path, text):
    write_json(tmp_path / "t.json", "some", {"text": text, "n": [1, 2]})
    assert read_json(tmp_path / "t.json", "some") == {"text": text, "n": [1, 2]}


def test_file_is_json_that_can_be_read(tmp_path):
    write_json(str(tmp_path / "t.json"), "some", {"text": "é你"})
    text = (tmp_path / "t.json").read_bytes().decode("utf-8")
    assert json.loads(text) == {"kind": "some", "text": "é你"}
    assert "é你" in text
    assert text.endswith("\n")


def test_file_is_replaced_whole_and_no_draft_stays(tmp_path):
    write_json(tmp_path / "t.json", "some", {"text": "a" * 1000})
    write_json(tmp_path / "t.json", "some", {"text": "b"})
    assert read_json(tmp_path / "t.json", "some") == {"text": "b"}
    assert [file.name for file in tmp_path.iterdir()] == ["t.json"]


def test_failed_save_leaves_the_old_file_and_no_draft(tmp_path, monkeypatch):
    write_json(tmp_path / "t.json", "some", {"text": "old"})
    with monkeypatch.context() as patch:

        def refuse(self, target):
            raise OSError("the disk is full")

        patch.setattr(Path, "replace", refuse)
        with pytest.raises(OSError, match="full"):
            write_json(tmp_path / "t.json", "some", {"text": "new"})
    assert read_json(tmp_path / "t.json", "some") == {"text": "old"}
    assert [file.name for file in tmp_path.iterdir()] == ["t.json"]


@pytest.mark.parametrize("content", ["{", "", "[1]", "3", '{"kind": "other"}', '{"text": "a"}'])
def test_file_of_another_kind_is_refused_by_name(tmp_path, content):
    (tmp_path / "t.json").write_text(content, encoding="utf-8")
    with pytest.raises(ValueError, match=r"t\.json"):
        read_json(tmp_path / "t.json", "some")


def test_file_that_is_no_text_is_refused_by_name(tmp_path):
    (tmp_path / "t.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match=r"t\.json"):
        read_json(tmp_path / "t.json", "some")


def test_missing_file_is_an_oserror(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_json(tmp_path / "t.json", "some")


def test_ids_end_before_the_size_of_the_vocabulary():
    assert [checked_id(n, 3) for n in range(3)] == [0, 1, 2]
    for wrong in (-1, 3):
        with pytest.raises(ValueError, match=rf"(?<!\d){wrong}\b"):
            checked_id(wrong, 3)
