"""Byte pair encoding as a tokenizer, against tiktoken, Hugging Face's tokenizers, and by hand."""

import json
import unicodedata

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from journal import data
from phase03 import bpe
from phase03.bpe import BPE, ByteLevelBPE, byte_characters, count_pieces, read_merges
from phase03.tokenizer import Tokenizer

NASTY = [
    "",
    "Hello,",
    " leading space",
    "trailing space ",
    "\n\n\n",
    " ",
    "\t \r\n x",
    "a<|endoftext|>b",
    "<|endoftext|>",
    "don't 've I'LL 's 'S '",
    "naïve café Ωmega 東京 emoji \U0001f600\U0001f468‍\U0001f469",
    "\u00a0nbsp\u2003em\u3000ideographic\u180e\x1c\x1f\x85\u2028",
    "zero\x00byte \x7f\xad",
    "1234567 3.14 x² Ⅷ ½ ٣٤",
    "ﷺ ẞ ǅ e\u0301 \u0301",
    "\ufeffmark \ufffd \U0010ffff \ue000",
    "a" * 5000,
    "ab" * 3000,
    "!?" * 3000,
    " " * 4000,
]
LETTERS = "abcd "
SMALL = ["a bad cab", "dab a bad cab", "ad ad ad"]
# A character that Python's tables do not know yet may be a letter in tiktoken's newer ones.
ANY = st.text(st.characters(exclude_categories=["Cs", "Cn"]), max_size=60)
WORDS = st.text(st.sampled_from(" \n\t\u00a0\u2028\x1cabet1!'s東\u0301é"), max_size=60)
TEXT = "It was the best of times, it was the worst of times.\n\n" * 3 + "Été à 12 h 30, 東京!"


@pytest.fixture(scope="module")
def folder():
    """The folder of GPT-2's merges."""
    found = [path for name in data.TIKTOKEN_FILES if (path := data.find(name))]
    if len(found) < 2:
        pytest.skip("GPT-2's vocabulary (tiktoken-cache) is not there: set JOURNAL_DATA")
    return found[0].parent


@pytest.fixture(scope="module")
def gpt2(folder):
    return ByteLevelBPE.from_gpt2(folder)


@pytest.fixture(scope="module")
def theirs(folder):
    """tiktoken's encoding of the same name."""
    import tiktoken

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TIKTOKEN_CACHE_DIR", str(folder))
        yield tiktoken.get_encoding("gpt2")


@pytest.fixture(scope="module")
def trained():
    return ByteLevelBPE.train([TEXT], 300)


# ---- GPT-2 ---------------------------------------------------------------------------------


@pytest.mark.parametrize("text", NASTY)
def test_nasty_texts_equal_tiktoken_and_come_back(gpt2, theirs, text):
    ids = gpt2.encode(text)
    assert ids == theirs.encode_ordinary(text)
    assert gpt2.decode(ids) == text
    assert gpt2.end_of_text not in ids


@given(st.one_of(ANY, WORDS))
@example("\ud83d\ude00 \ud800 \udc80")
@settings(deadline=None, max_examples=300)
def test_any_text_equals_tiktoken(gpt2, theirs, text):
    assert gpt2.encode(text) == theirs.encode_ordinary(text)


@given(st.lists(st.integers(0, 50255), max_size=40))
@settings(deadline=None)
def test_any_ids_are_decoded_as_tiktoken_does(gpt2, theirs, ids):
    assert gpt2.decode_bytes(ids) == theirs.decode_bytes(ids)
    assert gpt2.decode(ids) == theirs.decode(ids)


def test_every_token_is_tiktokens(gpt2, theirs):
    assert gpt2.vocab_size == theirs.n_vocab
    assert gpt2.end_of_text == theirs.eot_token
    tokens = [theirs.decode_single_token_bytes(token) for token in range(theirs.eot_token)]
    assert gpt2.decode_bytes(range(theirs.eot_token)) == b"".join(tokens)
    assert gpt2.token_bytes().tolist() == [*map(len, tokens), 0]


def test_every_token_of_whole_characters_is_encoded_as_itself(gpt2):
    """Where it is one piece; so a shortcut for pieces that are tokens would change nothing."""
    tokens = {token: gpt2.decode([token]) for token in range(0, gpt2.end_of_text, 23)}
    single = {token: text for token, text in tokens.items() if count_pieces([text]) == {text: 1}}
    assert len(single) > 2000
    whole = {token: text for token, text in single.items() if "\ufffd" not in text}
    assert [gpt2.encode(text) for text in whole.values()] == [[token] for token in whole]


@pytest.mark.parametrize("name", ["tinyshakespeare/input.txt", "wikitext-2/test.txt.gz"])
def test_part_of_a_corpus_equals_tiktoken(gpt2, theirs, name):
    if data.find(name) is None:
        pytest.skip(f"{name} is not there: set JOURNAL_DATA")
    text = data.read_text(name)[:200_000]
    assert gpt2.encode(text) == theirs.encode_ordinary(text)


def test_merges_are_found_under_either_name_and_by_the_environment(folder, tmp_path, monkeypatch):
    content = (folder / "6d1cbeee0f20b3d9449abfede4726ed8212e3aee").read_bytes()
    (tmp_path / "vocab.bpe").write_bytes(content)
    assert ByteLevelBPE.from_gpt2(tmp_path).encode("hello world") == [31373, 995]
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(folder))
    assert ByteLevelBPE.from_gpt2().encode("hello world") == [31373, 995]


def test_missing_merges_are_named(tmp_path, monkeypatch):
    with pytest.raises(FileNotFoundError, match=r"vocab\.bpe"):
        ByteLevelBPE.from_gpt2(tmp_path)
    monkeypatch.delenv("TIKTOKEN_CACHE_DIR", raising=False)
    with pytest.raises(FileNotFoundError, match="TIKTOKEN_CACHE_DIR"):
        ByteLevelBPE.from_gpt2()


def test_damaged_merges_are_refused(tmp_path):
    path = tmp_path / "vocab.bpe"
    path.write_text("#version: 0.2\nh e\nhe llo\n", encoding="utf-8")
    with pytest.raises(ValueError, match="line 3"):
        read_merges(path)
    path.write_text("#version: 0.2\nh e\n", encoding="utf-8")
    with pytest.raises(ValueError):  # noqa: PT011 - the wording is the module's own
        ByteLevelBPE.from_gpt2(tmp_path)


# ---- bytes ---------------------------------------------------------------------------------


@pytest.mark.kept
def test_bytes_are_ordered_as_in_gpt2():
    visible = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    rest = [byte for byte in range(256) if byte not in visible]
    assert list(bpe.BYTE_ORDER) == visible + rest


def test_every_byte_has_a_visible_character_of_its_own():
    shown = byte_characters()
    assert sorted(shown) == list(range(256))
    assert len(set(shown.values())) == 256
    assert (shown[ord("a")], shown[0xE9], shown[ord(" ")]) == ("a", "é", "Ġ")
    assert (shown[ord("\n")], shown[0x00], shown[0xAD]) == ("Ċ", "Ā", "Ń")
    for character in shown.values():
        assert not character.isspace()
        assert unicodedata.category(character)[0] not in "CZ"


def test_untrained_tokenizer_writes_bytes():
    tokenizer = ByteLevelBPE()
    assert (tokenizer.vocab_size, tokenizer.end_of_text) == (257, 256)
    assert tokenizer.encode("!\nÿ") == [0, 198, 127, 123]  # 0xC3 0xBF is ÿ in UTF-8
    assert tokenizer.decode([0, 198, 127, 123]) == "!\nÿ"


def test_training_merges_the_most_frequent_bytes():
    tokenizer = ByteLevelBPE.train(["aaabdaaabac"], 260)
    assert [tokenizer.decode([token]) for token in (256, 257, 258)] == ["aa", "ab", "aaab"]
    assert tokenizer.encode("aaabdaaabac") == [258, 67, 258, 64, 66]
    assert (tokenizer.vocab_size, tokenizer.end_of_text) == (260, 259)


def test_merges_and_ids_equal_those_of_hugging_face(trained):
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    other = Tokenizer(models.BPE())
    other.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    other.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    made = trainers.BpeTrainer(vocab_size=299, initial_alphabet=alphabet, show_progress=False)
    other.train_from_iterator([TEXT], made)
    ids = json.loads(other.to_str())["model"]["vocab"]
    pairs = json.loads(other.to_str())["model"]["merges"]
    assert trained.merges == [(ids[left], ids[right]) for left, right in pairs]
    text = "The worst times was it!\n 12:30, in 京東 à la été"
    assert trained.encode(text) == other.encode(text).ids


def test_vocabulary_ends_where_no_pair_is_left():
    assert ByteLevelBPE.train(["ab ab"], 1000).vocab_size == 259  # ab, and space+ab
    assert ByteLevelBPE.train([], 1000).vocab_size == 257
    assert ByteLevelBPE.train(["abab"], 257).vocab_size == 257


@given(st.one_of(st.text(st.characters(exclude_categories=["Cs"])), WORDS))
@settings(deadline=None)
def test_any_text_comes_back(trained, text):
    ids = trained.encode(text)
    assert trained.decode(ids) == text
    assert trained.token_bytes()[np.array(ids, dtype=int)].sum() == len(text.encode())
    assert trained.encode_bytes(text.encode()) == ids


@given(st.binary(max_size=60))
@example(b"\xff the \xc3 best \x80\x80 of\xf0\x9f\x98 times \xed\xa0\x80")
@settings(deadline=None)
def test_any_bytes_come_back(trained, content):
    ids = trained.encode_bytes(content)
    assert trained.decode_bytes(ids) == content
    assert trained.token_bytes()[np.array(ids, dtype=int)].sum() == len(content)
    assert trained.decode(ids) == content.decode("utf-8", "replace")


def test_bytes_around_broken_ones_are_merged_as_usual(trained):
    best = trained.encode(" best")
    assert len(best) == 1
    assert trained.encode_bytes(b"\xff best") == [*trained.encode_bytes(b"\xff"), *best]


@pytest.mark.parametrize(
    ("text", "read"),
    [("a\ud800b", "a\ufffdb"), ("\ud83d\ude00", "\U0001f600"), ("\udc80", "\ufffd")],
)
def test_surrogates_become_what_utf8_can_hold(trained, text, read):
    assert trained.encode(text) == trained.encode(read)
    assert trained.decode(trained.encode(text)) == read
    assert ByteLevelBPE.train([text * 3], 262).merges == ByteLevelBPE.train([read * 3], 262).merges


def test_token_bytes_are_the_lengths_of_the_tokens(trained):
    lengths = trained.token_bytes()
    assert lengths.shape == (trained.vocab_size,)
    assert lengths.dtype == np.int64
    expected = [len(trained.decode_bytes([token])) for token in range(trained.vocab_size)]
    assert lengths.tolist() == expected
    assert lengths[trained.end_of_text] == 0


def test_end_of_text_is_decoded_to_nothing(trained):
    ids = [*trained.encode("the"), trained.end_of_text, *trained.encode(" best")]
    assert trained.decode(ids) == "the best"


# ---- characters ----------------------------------------------------------------------------


def test_alphabet_is_sorted_and_merges_follow():
    tokenizer = BPE.train(["aaabdaaabac"], 7)
    assert tokenizer.characters == "abcd"
    assert [tokenizer.decode([token]) for token in range(7)] == [*"abcd", "aa", "ab", "aaab"]
    assert tokenizer.encode("aaabdaaabac") == [6, 3, 6, 0, 2]
    assert tokenizer.vocab_size == 7


def test_character_tokenizer_is_what_no_merges_leave():
    tokenizer = BPE("cba")
    assert tokenizer.encode("abc") == [2, 1, 0]
    assert tokenizer.decode([0, 2]) == "ca"


def test_no_token_reaches_over_a_piece():
    tokenizer = BPE.train(["the cat. the cat!"], 100)
    tokens = [tokenizer.decode([token]) for token in range(tokenizer.vocab_size)]
    assert " cat" in tokens
    assert not [token for token in tokens if "." in token and len(token) > 1]
    assert not [token for token in tokens if " " in token[1:]]


@given(st.text(st.sampled_from(LETTERS), max_size=80))
@settings(deadline=None)
def test_any_text_of_the_alphabet_comes_back(text):
    tokenizer = BPE.train(SMALL, 12)
    assert tokenizer.decode(tokenizer.encode(text)) == text


def test_unknown_character_is_named():
    with pytest.raises(ValueError, match="Ω"):
        BPE.train(SMALL, 9).encode("a Ω b")


def test_alphabet_with_a_character_twice_is_refused():
    with pytest.raises(ValueError):  # noqa: PT011 - the wording is the module's own
        BPE("aba")


def test_characters_of_two_texts_are_not_neighbours():
    assert BPE.train(["ab", "ba"] * 3, 100).merges == [(0, 1), (1, 0)]


# ---- both ----------------------------------------------------------------------------------

BOTH = pytest.mark.parametrize(("kind", "size"), [(BPE, 12), (ByteLevelBPE, 262)])


@BOTH
def test_loaded_tokenizer_equals_the_saved_one(kind, size, tmp_path):
    tokenizer = kind.train(SMALL, size)
    tokenizer.save(tmp_path / "tokenizer.json")
    json.loads((tmp_path / "tokenizer.json").read_text(encoding="utf-8"))
    loaded = kind.load(tmp_path / "tokenizer.json")
    assert loaded.merges == tokenizer.merges
    assert loaded.vocab_size == tokenizer.vocab_size == size
    for text in SMALL:
        assert loaded.encode(text) == tokenizer.encode(text)
        assert loaded.decode(tokenizer.encode(text)) == text
    assert isinstance(loaded, Tokenizer)
    assert [path.name for path in tmp_path.iterdir()] == ["tokenizer.json"]


@BOTH
def test_files_that_hold_no_tokenizer_are_refused_by_name(kind, size, tmp_path):
    path = tmp_path / "tokenizer.json"
    other = BPE if kind is ByteLevelBPE else ByteLevelBPE
    kind.train(SMALL, size).save(path)
    whole = json.loads(path.read_text(encoding="utf-8"))
    broken = [
        "{",
        "[]",
        json.dumps({**whole, "merges": None}),
        json.dumps({**whole, "merges": [[0]]}),
        json.dumps({**whole, "merges": [[0, "1"]]}),
        json.dumps({**whole, "merges": [0, 1]}),
        json.dumps({**whole, "merges": [[0, size]]}),
        json.dumps({**whole, "merges": [[0, 1], [0, 1]]}),
    ]
    if kind is BPE:
        broken += [json.dumps({**whole, "characters": 7})]
    for content in broken:
        path.write_text(content, encoding="utf-8")
        with pytest.raises(ValueError, match=r"tokenizer\.json"):
            kind.load(path)
    path.write_text(json.dumps(whole), encoding="utf-8")
    with pytest.raises(ValueError, match=r"tokenizer\.json"):
        other.load(path)


@BOTH
@pytest.mark.parametrize("bad", [-1, 12_345])
def test_id_that_is_none_is_refused_by_name(kind, size, bad):
    tokenizer = kind.train(SMALL, size)
    with pytest.raises(ValueError, match=str(bad)):
        tokenizer.decode([0, bad, 1])


@BOTH
def test_vocabulary_too_small_for_the_symbols_is_refused(kind, size):
    least = size - len(kind.train(SMALL, size).merges)
    assert kind.train(SMALL, least).merges == []
    with pytest.raises(ValueError):  # noqa: PT011 - the wording is the module's own
        kind.train(SMALL, least - 1)


@BOTH
def test_one_string_instead_of_texts_is_refused(kind, size):
    with pytest.raises(ValueError):  # noqa: PT011 - the wording is the module's own
        kind.train("a bad cab", size)


@BOTH
def test_texts_are_read_once_and_one_at_a_time(kind, size):
    alive = []

    class Text(str):
        __slots__ = ()

        def __del__(self):
            alive.remove(str(self))

    def texts():
        for text in SMALL:
            assert len(alive) <= 1  # the last one may still be in the loop's variable
            alive.append(text)
            yield Text(text)

    assert kind.train(texts(), size).merges == kind.train(SMALL, size).merges


@BOTH
def test_order_of_the_texts_makes_no_difference(kind, size):
    assert kind.train(SMALL[::-1], size).merges == kind.train(SMALL, size).merges


@BOTH
def test_empty_text_has_no_tokens(kind, size):
    tokenizer = kind.train(SMALL, size)
    assert tokenizer.encode("") == []
    assert tokenizer.decode([]) == ""


def test_pieces_are_counted():
    assert count_pieces(["the cat, the", " cat"]) == {"the": 1, " cat": 2, ",": 1, " the": 1}
