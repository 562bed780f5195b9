"""Words as tokens: how a text is split, which words are kept, and what comes back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phase03.char_tokenizer import CharTokenizer
from phase03.word_tokenizer import WordTokenizer, words

SPECIAL = ("<PAD>", "<BOS>", "<EOS>")
TEXTS = ["the cat sat.", "the dog sat, the cat ran!"]  # the 3, cat 2, sat 2; the rest once
SIGNS = st.sampled_from(list("ab1_ '’.,;!?()[]{}%-<>\"ßİΣσ\n\u0301é你😀"))
REAL_TEXT = st.one_of(st.text(), st.text(alphabet=SIGNS))


# ---- splitting ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Don't stop, Ana!", ["Don't", "stop", ",", "Ana", "!"]),
        ("  two\tspaces\r\n", ["two", "spaces"]),
        ("wait...", ["wait", ".", ".", "."]),
        ("3.14 km", ["3", ".", "14", "km"]),
        ("'quoted'", ["'", "quoted", "'"]),
        ("rock'n'roll l’été", ["rock'n'roll", "l’été"]),
        ("snake_case well-known", ["snake_case", "well", "-", "known"]),
        ("<BOS>", ["<", "BOS", ">"]),
        ("a\u00a0b", ["a", "b"]),
        ("naïve 你好 2²", ["naïve", "你好", "2²"]),
        ("👨‍👩", ["👨", "\u200d", "👩"]),
        ("e\u0301t", ["e", "\u0301", "t"]),
        ("\ud800a", ["\ud800", "a"]),
        ("", []),
        (" ", []),
    ],
)
def test_words_and_signs_of_a_text(text, expected):
    assert words(text) == expected


@given(REAL_TEXT)
def test_words_are_the_text_without_its_white_space(text):
    assert "".join(words(text)) == "".join(text.split())


# ---- vocabulary --------------------------------------------------------------------------


def test_most_frequent_words_come_first_and_equals_by_code_point():
    tokenizer = WordTokenizer.train(TEXTS)
    assert tokenizer.tokens == (
        *("<UNK>", "the", "cat", "sat"),
        *("!", ",", ".", "dog", "ran"),
    )
    assert tokenizer.vocab_size == 9
    assert tokenizer.unknown == 0


def test_special_tokens_come_first_in_their_order():
    tokenizer = WordTokenizer.train(["b a a"], special=SPECIAL)
    assert tokenizer.tokens == (*SPECIAL, "<UNK>", "a", "b")
    assert [tokenizer.ids[token] for token in (*SPECIAL, "<UNK>")] == [0, 1, 2, 3]
    assert tokenizer.unknown == 3
    assert tokenizer.encode("b z") == [5, 3]


@pytest.mark.parametrize(("min_count", "size"), [(1, 9), (2, 4), (3, 2), (4, 1)])
def test_rare_words_are_left_out(min_count, size):
    assert WordTokenizer.train(TEXTS, min_count=min_count).vocab_size == size


@pytest.mark.parametrize("max_vocab", [4, 5, 6, 13, 100])
def test_vocabulary_is_limited_with_special_tokens_counted(max_vocab):
    tokenizer = WordTokenizer.train(TEXTS, max_vocab=max_vocab, special=SPECIAL)
    assert tokenizer.vocab_size == min(max_vocab, 12)
    assert tokenizer.tokens[4:6] == ("the", "cat")[: max_vocab - 4]


def test_no_limit_and_no_texts():
    assert WordTokenizer.train([]).tokens == ("<UNK>",)
    assert WordTokenizer.train(["", "  "]).encode("a b") == [0, 0]


def test_upper_case_is_kept_unless_told_otherwise():
    texts = ["The the THE"]
    assert WordTokenizer.train(texts).tokens == ("<UNK>", "THE", "The", "the")
    lower = WordTokenizer.train(texts, lowercase=True)
    assert lower.tokens == ("<UNK>", "the")
    assert lower.encode("tHe The") == [1, 1]


def test_words_may_have_an_order_of_their_own():
    assert WordTokenizer(["b", "a"]).encode("a b c") == [2, 1, 0]


@pytest.mark.parametrize(
    ("tokens", "special"),
    [
        (["a", "a"], ()),  # twice
        (["a b"], ()),  # two words
        ([""], ()),
        (["<UNK>"], ()),
        (["a"], ("<PAD>", "<PAD>")),
        (["a"], ("<UNK>",)),
        (["a"], ("pad",)),  # a word that a text can have
        (["a"], ("<",)),
        (["a"], ("",)),
        (["a"], (" ",)),
    ],
)
def test_tokens_that_could_be_mistaken_are_refused(tokens, special):
    with pytest.raises(ValueError, match=r"."):
        WordTokenizer(tokens, special)


def test_token_that_is_given_twice_is_named():
    with pytest.raises(ValueError, match="twin"):
        WordTokenizer(["a", "twin", "b", "twin"])


@pytest.mark.parametrize("options", [{"min_count": 0}, {"max_vocab": 0}, {"max_vocab": -3}])
def test_settings_without_sense_are_refused(options):
    with pytest.raises(ValueError, match=r"."):
        WordTokenizer.train(TEXTS, **options)


def test_one_string_instead_of_texts_is_refused():
    with pytest.raises(ValueError, match=r"."):
        WordTokenizer.train("the cat")


def test_limit_below_the_special_tokens_is_refused():
    with pytest.raises(ValueError, match=r"."):
        WordTokenizer.train(TEXTS, max_vocab=3, special=SPECIAL)
    assert WordTokenizer.train(TEXTS, max_vocab=4, special=SPECIAL).vocab_size == 4


# ---- encode and decode -------------------------------------------------------------------


def test_unknown_words_become_unk():
    tokenizer = WordTokenizer.train(TEXTS)
    assert tokenizer.encode("the fish sat.") == [1, 0, 3, 6]
    assert tokenizer.decode([1, 0, 3, 6]) == "the <UNK> sat."


def test_no_text_becomes_a_special_token():
    tokenizer = WordTokenizer.train(["a"], special=SPECIAL)
    assert tokenizer.encode("<BOS> <UNK>") == [3] * 6


def test_special_tokens_are_not_shown():
    tokenizer = WordTokenizer.train(["a b"], special=SPECIAL)
    assert tokenizer.decode([1, 4, 5, 2, 0, 0]) == "a b"
    assert tokenizer.decode([4, 0, 5]) == "a b"
    assert tokenizer.decode([3]) == "<UNK>"


@pytest.mark.parametrize(
    "text", ["(a, [b] {c}): d; e? f! 5%.", "Don't.", "a - b", "a ' b", "", "(()) ("]
)
def test_spaces_stand_where_a_reader_expects_them(text):
    tokenizer = WordTokenizer.train([text])
    assert tokenizer.decode(tokenizer.encode(text)) == text


@given(REAL_TEXT, st.booleans())
def test_ids_survive_the_way_there_and_back(text, lowercase):
    tokenizer = WordTokenizer.train([text], lowercase=lowercase, special=SPECIAL)
    ids = tokenizer.encode(text)
    assert tokenizer.encode(tokenizer.decode(ids)) == ids
    assert tokenizer.unknown not in ids
    assert len(ids) == len(words(text.lower() if lowercase else text))


@given(REAL_TEXT, st.data())
def test_words_in_any_order_survive_the_way_there_and_back(text, data):
    tokenizer = WordTokenizer.train([text + " a"], special=SPECIAL)
    ids = data.draw(st.lists(st.integers(4, tokenizer.vocab_size - 1)))
    assert tokenizer.encode(tokenizer.decode(ids)) == ids


def test_ids_are_a_list_of_python_numbers():
    assert [type(n) for n in WordTokenizer(["a"]).encode("a b")] == [int, int]


def test_decode_takes_any_series_of_ids():
    tokenizer = WordTokenizer(["a", "b"])
    assert tokenizer.decode((2, 1)) == "b a"
    assert tokenizer.decode(n for n in (2, 1)) == "b a"


@pytest.mark.parametrize("wrong", [-1, 3])
def test_id_outside_the_vocabulary_is_named(wrong):
    with pytest.raises(ValueError, match=rf"(?<!\d){wrong}\b"):
        WordTokenizer(["a", "b"]).decode([1, wrong])


# ---- files -------------------------------------------------------------------------------


@pytest.mark.parametrize("lowercase", [True, False])
@pytest.mark.parametrize("special", [(), SPECIAL])
def test_saved_tokenizer_is_loaded_again(tmp_path, lowercase, special):
    tokenizer = WordTokenizer.train([*TEXTS, "Été 你 😀"], lowercase=lowercase, special=special)
    tokenizer.save(tmp_path / "t.json")
    loaded = WordTokenizer.load(tmp_path / "t.json")
    assert loaded.tokens == tokenizer.tokens
    assert loaded.unknown == len(special)
    for text in ("The été, 你!", "zzz"):
        assert loaded.encode(text) == tokenizer.encode(text)


def test_file_of_another_tokenizer_is_refused(tmp_path):
    WordTokenizer(["a"]).save(tmp_path / "t.json")
    text = (tmp_path / "t.json").read_text(encoding="utf-8")
    broken = [text.replace('["a"]', other) for other in ("3", '"ab"', "[3]", '["a", "a"]')]
    broken += [text.replace("[]", other) for other in ("7", '["pad"]')]
    broken += [text.replace("false", "3"), text.replace("special", "other"), "{}"]
    for wrong in broken:
        assert wrong != text
        (tmp_path / "t.json").write_text(wrong, encoding="utf-8")
        with pytest.raises(ValueError, match=r"t\.json"):
            WordTokenizer.load(tmp_path / "t.json")


def test_words_are_no_characters(tmp_path):
    CharTokenizer("a").save(tmp_path / "t.json")
    with pytest.raises(ValueError, match=r"t\.json"):
        WordTokenizer.load(tmp_path / "t.json")
