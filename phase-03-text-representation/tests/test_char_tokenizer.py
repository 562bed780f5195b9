"""Characters as tokens, and what becomes of a text on the way to ids and back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phase03.char_tokenizer import CharTokenizer

ANY_TEXT = st.text(alphabet=st.characters())  # lone surrogates too


def test_vocabulary_is_the_sorted_set_of_characters():
    tokenizer = CharTokenizer.train(["hello,", " world"])
    assert tokenizer.characters == " ,dehlorw"
    assert tokenizer.vocab_size == 9


def test_ids_are_places_in_the_vocabulary():
    tokenizer = CharTokenizer.train(["hello"])
    assert tokenizer.encode("hole") == [1, 3, 2, 0]
    assert tokenizer.decode([1, 3, 2, 0]) == "hole"


def test_vocabulary_may_have_an_order_of_its_own():
    assert CharTokenizer("ba").encode("abb") == [1, 0, 0]


def test_order_of_the_texts_does_not_matter():
    texts = ["zebra", "", "ant"]
    assert CharTokenizer.train(texts).characters == "abenrtz"
    assert CharTokenizer.train(iter(texts[::-1])).characters == "abenrtz"


def test_ids_are_a_list_of_python_numbers():
    ids = CharTokenizer("ab").encode("ba")
    assert ids == [1, 0]
    assert [type(n) for n in ids] == [int, int]


@given(st.lists(ANY_TEXT, min_size=1).filter(any))
def test_any_text_survives_the_way_there_and_back(texts):
    tokenizer = CharTokenizer.train(texts)
    for text in texts:
        assert tokenizer.decode(tokenizer.encode(text)) == text
        assert len(tokenizer.encode(text)) == len(text)


@given(st.lists(st.integers(0, 4)))
def test_any_ids_survive_the_way_there_and_back(ids):
    tokenizer = CharTokenizer("héß你😀")
    assert tokenizer.encode(tokenizer.decode(ids)) == ids


@pytest.mark.parametrize(
    ("text", "n_tokens"), [("é", 1), ("e\u0301", 2), ("👨‍👩‍👧", 5), ("\r\n", 2), ("\ud800", 1)]
)
def test_character_is_a_code_point(text, n_tokens):
    assert len(CharTokenizer.train([text]).encode(text)) == n_tokens


def test_empty_text_has_no_ids_and_back():
    assert CharTokenizer("a").encode("") == []
    assert CharTokenizer("a").decode([]) == ""


def test_decode_takes_any_series_of_ids():
    tokenizer = CharTokenizer("abc")
    assert tokenizer.decode((2, 0)) == "ca"
    assert tokenizer.decode(n for n in (2, 0)) == "ca"


@pytest.mark.parametrize(("text", "shown"), [("abz", "z"), ("zab", "z"), ("a~b", "~"), ("é", "é")])
def test_unknown_character_is_named(text, shown):
    with pytest.raises(ValueError, match=shown):
        CharTokenizer("ab").encode(text)


@pytest.mark.parametrize("wrong", [-1, 2, 100])
def test_id_outside_the_vocabulary_is_named(wrong):
    with pytest.raises(ValueError, match=rf"(?<!\d){wrong}\b"):
        CharTokenizer("ab").decode([0, wrong])


@pytest.mark.parametrize("characters", ["", "aa", "aba"])
def test_vocabulary_refuses_what_is_no_list_of_characters(characters):
    with pytest.raises(ValueError, match=r"."):
        CharTokenizer(characters)


@pytest.mark.parametrize("texts", [[], [""]])
def test_texts_without_a_character_make_no_vocabulary(texts):
    with pytest.raises(ValueError, match=r"."):
        CharTokenizer.train(texts)


@pytest.mark.parametrize("characters", ["a", "ba", "é你😀\n\"'\\", "\ud83d\ude00"])
def test_saved_tokenizer_is_loaded_again(tmp_path, characters):
    CharTokenizer(characters).save(tmp_path / "t.json")
    loaded = CharTokenizer.load(tmp_path / "t.json")
    assert loaded.characters == characters
    assert loaded.encode(characters) == list(range(len(characters)))


def test_file_without_characters_is_refused(tmp_path):
    CharTokenizer("ab").save(tmp_path / "t.json")
    text = (tmp_path / "t.json").read_text(encoding="utf-8")
    for wrong in ("{}", *(text.replace('"ab"', other) for other in ("3", '""', '"aa"'))):
        (tmp_path / "t.json").write_text(wrong, encoding="utf-8")
        with pytest.raises(ValueError, match=r"t\.json"):
            CharTokenizer.load(tmp_path / "t.json")
