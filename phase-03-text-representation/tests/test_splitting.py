"""GPT-2's pieces: by hand, against the pattern itself in the package regex, on nasty strings."""

import re
import unicodedata

import pytest
import regex
from hypothesis import example, given
from hypothesis import strategies as st

from phase03.splitting import ranges, split

# GPT-2's pattern as tiktoken writes it: ++ is + without giving back, which changes no piece.
GPT2 = regex.compile(
    r"'(?:[sdmt]|ll|ve|re)| ?\p{L}++| ?\p{N}++| ?[^\s\p{L}\p{N}]++|\s++$|\s+(?!\S)|\s"
)
UNUSED = ("Cn", "Co")  # categories of what is not assigned, or has no meaning of its own
KNOWN = [chr(code) for code in range(0x40000) if unicodedata.category(chr(code)) not in UNUSED]
TRICKY = list(
    " \t\n\r\x0b\x0c\x1c\x1f\x85\xa0\u1680\u2028\u3000\u200b\u200d"  # spaces, and none
    "'’sdmtlverSLé\u0301ªßЖ你नि"
    "019²½Ⅷ४.,!?_-<|>"
    "\U00010400\U0001d400\U0001d7d8\U0001f100\U0001f600\U00020000\U000e0100"  # planes 1 to 14
    "\ud800\udc00\ue000\uffff\U0010ffff"
)
NASTY = st.text(alphabet=st.one_of(st.sampled_from(TRICKY), st.sampled_from(KNOWN)))


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("Hello, it's  12 km", ["Hello", ",", " it", "'s", " ", " 12", " km"]),
        ("Hello,", ["Hello", ","]),
        ("", []),
        (" ", [" "]),
        ("  ", ["  "]),
        (" a", [" a"]),
        ("   a", ["  ", " a"]),
        ("a  ", ["a", "  "]),
        ("a \n", ["a", " \n"]),
        ("\n\na", ["\n", "\n", "a"]),
        ("a\r\nb", ["a", "\r", "\n", "b"]),
        ("a\t b", ["a", "\t", " b"]),
        ("a \tb", ["a", " ", "\t", "b"]),
        ("a <|endoftext|>", ["a", " <|", "endoftext", "|>"]),
    ],
)
def test_spaces_join_the_piece_behind_them(text, pieces):
    assert split(text) == pieces


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("I'll we've you're he'd I'm", "I|'ll| we|'ve| you|'re| he|'d| I|'m"),
        ("it's it'S it’s", "it|'s| it|'|S| it|’|s"),  # small letters and one apostrophe only
        ("'style 'll 'lx", "'s|tyle| '|ll| '|lx"),
        ("don't", "don|'t"),
        ("o'clock", "o|'|clock"),
        ("abc123def", "abc|123|def"),
        ("1,000.5", "1|,|000|.|5"),
        ("x² ½ Ⅷ", "x|²| ½| Ⅷ"),  # not only digits are numbers
        ("!? ... $5", "!?| ...| $|5"),
        ("snake_case", "snake|_|case"),
        ("e\u0301t\u00e9", "e|\u0301|t\u00e9"),
        ("नि", "न|\u093f"),
        ("你好，世界", "你好|，|世界"),
        ("a😀b 😀", "a|😀|b| 😀"),
        ("👨‍👩‍👧", "👨‍👩‍👧"),
        ("\U00010400a\U0001d400b", "\U00010400a\U0001d400b"),  # letters of several planes
        ("1\U0001d7d82 \U0001d7d8", "1\U0001d7d82| \U0001d7d8"),
        ("!\U0001f600? \U0001f600", "!\U0001f600?| \U0001f600"),
        ("a\ud800b", "a|\ud800|b"),
        ("a\x1cb \x1c", "a|\x1c|b| \x1c"),  # a space to Python, none to Unicode
        ("a\u00a0b\u3000c", "a|\u00a0|b|\u3000|c"),
        ("a\u200bb", "a|\u200b|b"),  # of no width, and no space
    ],
)
def test_pieces_are_of_one_kind_of_character(text, pieces):
    assert split(text) == pieces.split("|")


def test_classes_are_those_of_the_pattern_for_every_character():
    # Behind a letter, a number and a space: where it is cut off shows which class it is in.
    text = "".join(f"a{c}1{c}! {c}\n" for c in KNOWN)
    found, truth = split(text), GPT2.findall(text)
    different = [pair for pair in zip(found, truth, strict=False) if pair[0] != pair[1]]
    assert different[:1] == []
    assert len(found) == len(truth)


@given(NASTY)
@example("  'll  ")
@example("\n \n")
def test_pieces_are_those_of_the_pattern(text):
    assert split(text) == GPT2.findall(text)


@given(st.text(alphabet=st.characters()))
def test_pieces_joined_are_any_text(text):
    pieces = split(text)
    assert "".join(pieces) == text
    assert "" not in pieces


@given(NASTY)
def test_pieces_split_no_further(text):
    for piece in split(text):
        if not piece.isspace():
            assert split(piece) == [piece]


def test_long_runs_are_one_piece():
    for character in ("a", "1", "!", " ", "é", "\U0001f600", "\U00010400"):
        assert split(character * 100_000) == [character * 100_000]


def test_ranges_by_hand():
    assert ranges("N", 0x00, 0x7F) == r"\U00000030-\U00000039"
    assert ranges("L", 0x00, 0xB5) == (
        r"\U00000041-\U0000005a\U00000061-\U0000007a\U000000aa-\U000000aa\U000000b5-\U000000b5"
    )
    assert ranges("L", 0x62, 0x62) == r"\U00000062-\U00000062"
    assert ranges("L", 0x30, 0x40) == ""


@pytest.mark.parametrize("kind", ["L", "N", "P"])
def test_ranges_hold_what_is_of_the_kind_and_nothing_else(kind):
    found = re.compile(f"[{ranges(kind, 0x100, 0x2FFF)}]")
    assert {c for c in map(chr, range(0x3100)) if found.match(c)} == {
        c for c in map(chr, range(0x100, 0x3000)) if unicodedata.category(c)[0] == kind
    }


def test_no_letter_or_number_lies_in_planes_that_are_not_read():
    assert ranges("L", 0x40000, 0x10FFFF) == ""
    assert ranges("N", 0x40000, 0x10FFFF) == ""
