import os
import re

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from journal import data
from phase08 import tokenizers
from phase08.tokenizers import ByteTokenizer, CharTokenizer, GPT2Tokenizer

NASTY = [
    "Hello,",
    " leading space",
    "trailing space ",
    "\n\n\n",
    " ",
    "\t \r\n x",
    "a<|endoftext|>b",
    "<|endoftext|>",
    "don't 've I'LL 's",
    "naïve café Ωmega 東京 emoji \U0001f600\U0001f468‍\U0001f469",
    "\u00a0nbsp\u2003em\u3000ideographic\u180e\x1c\x1f",
    "zero\x00byte",
    "1234567 3.14 x²",
    "ﷺ ẞ ǅ e\u0301",
    "a" * 5000,
    "!?" * 3000,
    " " * 4000,
]
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)
WORDS = st.text(st.sampled_from(" \n\t\u00a0\u2028\x1cab1!'s東\u0301"), max_size=60)


@pytest.fixture(scope="module")
def gpt2():
    patch = pytest.MonkeyPatch()
    with patch.context():
        try:
            found = all(data.find(name) for name in data.TIKTOKEN_FILES)
        except OSError:
            found = False
        if not found:
            pytest.skip("GPT-2's vocabulary (tiktoken-cache) is not there: set JOURNAL_DATA")
        patch.setenv("TIKTOKEN_CACHE_DIR", os.environ.get("TIKTOKEN_CACHE_DIR", ""))
        data.use_tiktoken_cache()
        tokenizer = GPT2Tokenizer()
        tokenizer.encode("loads the vocabulary")
        yield tokenizer


@pytest.mark.parametrize("text", NASTY)
def test_nasty_texts_come_back_from_gpt2_and_equal_tiktoken(gpt2, text):
    import tiktoken

    ids = gpt2.encode(text)
    assert ids.dtype == np.uint16
    assert ids.tolist() == tiktoken.get_encoding("gpt2").encode_ordinary(text)
    assert gpt2.decode(ids) == text
    assert gpt2.end_of_text not in ids


@pytest.mark.parametrize("text", NASTY)
def test_nasty_texts_come_back_from_bytes_and_chars(text):
    for tokenizer in (ByteTokenizer(), CharTokenizer.from_text([text])):
        ids = tokenizer.encode(text)
        assert ids.dtype == np.uint16
        assert tokenizer.decode(ids) == text
        assert tokenizer.end_of_text not in ids
        assert tokenizer.token_bytes()[ids].sum() == len(text.encode())


@given(TEXT)
@settings(deadline=None)
def test_token_bytes_add_up_to_the_utf8_length(gpt2, text):
    for tokenizer in (gpt2, ByteTokenizer(), CharTokenizer.from_text([text])):
        lengths = tokenizer.token_bytes()
        assert lengths.shape == (tokenizer.vocab_size,)
        assert lengths[tokenizer.end_of_text] == 0
        assert lengths[tokenizer.encode(text)].sum() == len(text.encode())
        assert tokenizer.decode(tokenizer.encode(text)) == text


@given(st.binary(max_size=50))
@settings(deadline=None)
def test_gpt2_token_bytes_count_arbitrary_bytes(gpt2, content):
    # tokens of single bytes: as text each may be a replacement character of three bytes
    single = {gpt2._encoding.decode_single_token_bytes(i): i for i in range(256)}
    ids = np.array([single[bytes([byte])] for byte in content], dtype=np.uint16)
    assert gpt2.token_bytes()[ids].sum() == len(content)


@given(st.lists(st.one_of(TEXT, WORDS), max_size=5), st.integers(1, 30))
@example(["a ", " b", "", "\n", "c d"], 1)
@example([" ", " ", " x"], 1)
@example(["don'", "t ", "stop"], 3)
@settings(deadline=None, max_examples=300)
def test_pieces_encode_as_the_whole(gpt2, parts, size):
    whole = "".join(parts)
    pieces = list(tokenizers.pieces(parts, size))
    assert "".join(pieces) == whole
    assert all(pieces)
    encoded = [i for piece in pieces for i in gpt2.encode(piece).tolist()]
    assert encoded == gpt2.encode(whole).tolist()


def test_pieces_are_as_small_as_the_text_allows():
    text = "word " * 1000
    pieces = list(tokenizers.pieces([text[:777], text[777:]], 100))
    assert max(map(len, pieces)) <= 105
    assert len(pieces) >= 45
    unbroken = "x" * 1000
    assert list(tokenizers.pieces([unbroken], 100)) == [unbroken]
    assert list(tokenizers.pieces([])) == []


def test_a_piece_is_cut_at_a_space_that_only_the_next_part_shows():
    assert list(tokenizers.pieces(["abcd", " ef"], 2)) == ["abcd", " ef"]


def test_characters_are_sorted_and_followed_by_end_of_text():
    tokenizer = CharTokenizer.from_text(["banana", "cab!"])
    assert tokenizer.characters == "!abcn"
    assert tokenizer.encode("cab").tolist() == [3, 1, 2]
    assert tokenizer.end_of_text == 5
    assert tokenizer.vocab_size == 6
    assert tokenizer.decode([5, 3, 1, 2]) == "cab"


def test_alphabet_in_another_order_is_kept():
    tokenizer = CharTokenizer("zya")
    assert tokenizer.encode("azy").tolist() == [2, 0, 1]
    assert tokenizer.decode([0, 1, 2]) == "zya"


def test_unknown_character_is_named():
    tokenizer = CharTokenizer("abc")
    with pytest.raises(ValueError, match=r"'Ω' \(position 2\).*tokenizer bytes or gpt2"):
        tokenizer.encode("abΩc")
    with pytest.raises(ValueError, match="'x'"):
        CharTokenizer("").encode("x")


def test_alphabet_named_twice_is_refused():
    with pytest.raises(ValueError, match="twice"):
        CharTokenizer("aba")


def test_broken_utf8_decodes_to_replacement_characters(gpt2):
    assert ByteTokenizer().decode([0x68, 0xE2, 0x82, 256]) == "h�"
    smile = gpt2.encode("\U0001f600")
    assert len(smile) > 1
    assert "�" in gpt2.decode(smile[:-1])


@pytest.mark.parametrize("bad", [-1, 257, 99999])
def test_id_beyond_the_vocabulary_is_refused(bad):
    with pytest.raises(ValueError, match=re.escape(f"token id {bad} is not in the vocabulary")):
        ByteTokenizer().decode([1, bad])


def test_half_a_surrogate_pair_becomes_a_replacement_character(gpt2):
    for tokenizer in (gpt2, ByteTokenizer()):
        assert tokenizer.decode(tokenizer.encode("a\ud800b")) == "a�b"


def test_tokenizers_come_back_from_their_dictionaries():
    for tokenizer in (CharTokenizer('a"\n東'), ByteTokenizer(), GPT2Tokenizer()):
        again = tokenizers.from_dict(tokenizer.to_dict())
        assert type(again) is type(tokenizer)
        assert again.vocab_size == tokenizer.vocab_size
        assert again.to_dict() == tokenizer.to_dict()


@pytest.mark.parametrize("content", [{}, {"kind": "bpe"}, {"kind": "char", "characters": 3}])
def test_unknown_description_is_refused(content):
    with pytest.raises(ValueError, match=r"unknown; there are|lacks"):
        tokenizers.from_dict(content)


def test_empty_text_has_no_tokens(gpt2):
    for tokenizer in (gpt2, ByteTokenizer(), CharTokenizer("a")):
        assert tokenizer.encode("").shape == (0,)
        assert tokenizer.decode([]) == ""
