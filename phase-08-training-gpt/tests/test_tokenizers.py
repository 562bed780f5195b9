import json
import os
import re

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from journal import data
from phase03.bpe import ByteLevelBPE
from phase08 import tokenizers
from phase08.tokenizers import BPETokenizer, ByteTokenizer, CharTokenizer, GPT2Tokenizer

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


SENTENCES = [
    "the cat sat on the mat, and ate the rat.\n",
    "  don't 've 's 12 123 1234  naïve 東京\n\n",
]


@pytest.fixture(scope="module")
def bpe():
    return BPETokenizer.from_texts(SENTENCES * 3, 300)


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
def test_nasty_texts_come_back_from_bytes_chars_and_byte_pairs(bpe, text):
    learned = BPETokenizer.from_texts([text], 280)
    for tokenizer in (ByteTokenizer(), CharTokenizer.from_text([text]), bpe, learned):
        ids = tokenizer.encode(text)
        assert ids.dtype == np.uint16
        assert tokenizer.decode(ids) == text
        assert tokenizer.end_of_text not in ids
        assert tokenizer.token_bytes()[ids].sum() == len(text.encode())


@given(TEXT)
@settings(deadline=None)
def test_token_bytes_add_up_to_the_utf8_length(gpt2, bpe, text):
    for tokenizer in (gpt2, bpe, ByteTokenizer(), CharTokenizer.from_text([text])):
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
def test_pieces_encode_as_the_whole(gpt2, bpe, parts, size):
    whole = "".join(parts)
    pieces = list(tokenizers.pieces(parts, size))
    assert "".join(pieces) == whole
    assert all(pieces)
    for tokenizer in (gpt2, bpe, BPETokenizer.from_texts([whole], 270)):
        encoded = [i for piece in pieces for i in tokenizer.encode(piece).tolist()]
        assert encoded == tokenizer.encode(whole).tolist()


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


def test_half_a_surrogate_pair_becomes_a_replacement_character(gpt2, bpe):
    for tokenizer in (gpt2, bpe, BPETokenizer.from_texts(["a\ud800b"]), ByteTokenizer()):
        assert tokenizer.decode(tokenizer.encode("a\ud800b")) == "a�b"


def test_byte_pairs_are_those_that_phase_3_learns_and_applies():
    text = "".join(SENTENCES * 3)
    ours = BPETokenizer.from_texts([text[:50], text[50:]], 290)
    theirs = ByteLevelBPE.train([text[:50], text[50:]], 290)
    assert ours.to_dict() == {"kind": "bpe", "merges": [list(pair) for pair in theirs.merges]}
    assert ours.encode(text).tolist() == theirs.encode(text)
    assert (ours.vocab_size, ours.end_of_text) == (290, 289)
    assert ours.decode([289, *ours.encode("東京!").tolist(), 289]) == "東京!"


def test_a_short_text_gives_a_smaller_vocabulary():
    tokenizer = BPETokenizer.from_texts(["abab"], 1000)
    assert tokenizer.vocab_size == 259
    assert tokenizer.encode("ababab").tolist() == [257, 256]
    assert BPETokenizer.from_texts([], 1000).vocab_size == 257


def test_of_more_pieces_than_can_be_held_the_frequent_ones_are_counted(monkeypatch):
    monkeypatch.setattr(tokenizers, "COUNTED_CHARACTERS", 60)
    rare = (f" rare{n}" for n in range(1000))
    texts = [f" often{next(rare)} often{next(rare)} and" for _ in range(100)]
    counts = tokenizers.frequent_pieces(texts)
    assert (counts[" often"], counts[" and"]) == (200, 100)
    assert sum(map(len, counts)) <= 60
    assert list(tokenizers.frequent_pieces(["x" * 100, " ab"])) == [" ab"]
    monkeypatch.undo()
    assert len(tokenizers.frequent_pieces(texts)) == 203


@pytest.mark.parametrize(
    ("kind", "size", "message"),
    [
        ("char", 300, "the vocabulary of the tokenizer char cannot be chosen"),
        ("gpt2", 300, "use the tokenizer bpe"),
        ("bpe", 256, "from 257"),
        ("bpe", 65_537, "to 65536"),
    ],
)
def test_a_vocabulary_that_cannot_be_is_refused(kind, size, message):
    with pytest.raises(ValueError, match=message):
        tokenizers.check_vocab_size(kind, size)
    tokenizers.check_vocab_size(kind, None)
    tokenizers.check_vocab_size("bpe", 257)


def test_tokenizers_come_back_from_their_dictionaries(bpe):
    for tokenizer in (CharTokenizer('a"\n東'), ByteTokenizer(), bpe, GPT2Tokenizer()):
        again = tokenizers.from_dict(json.loads(json.dumps(tokenizer.to_dict())))
        assert type(again) is type(tokenizer)
        assert again.vocab_size == tokenizer.vocab_size
        assert again.to_dict() == tokenizer.to_dict()


@pytest.mark.parametrize(
    "merges", [[[1]], [[1, 2.0]], [[True, 2]], ["ab"], [[1, 256]], [[1, 2]] * 2]
)
def test_merges_that_are_none_are_refused(merges):
    with pytest.raises(ValueError, match=r"merge"):
        tokenizers.from_dict({"kind": "bpe", "merges": merges})


@pytest.mark.parametrize("content", [{}, {"kind": "bpe"}, {"kind": "char", "characters": 3}])
def test_unknown_description_is_refused(content):
    with pytest.raises(ValueError, match=r"unknown; there are|lacks"):
        tokenizers.from_dict(content)


def test_empty_text_has_no_tokens(gpt2, bpe):
    for tokenizer in (gpt2, bpe, ByteTokenizer(), CharTokenizer("a")):
        assert tokenizer.encode("").shape == (0,)
        assert tokenizer.decode([]) == ""
