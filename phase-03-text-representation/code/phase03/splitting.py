r"""GPT-2's splitting: a text in pieces, before the pairs in each piece are merged.

Byte pair encoding never merges over the border of two pieces, so "dog." and "dog!" share the token
"dog" and learn none for "dog.". GPT-2's pattern for a piece, tried from left to right, is

    '(?:[sdmt]|ll|ve|re)     an English ending behind its apostrophe: 's, 'll
    ` ?\p{L}+`               letters, with the one space before them
    ` ?\p{N}+`               numbers, likewise
    ` ?[^\s\p{L}\p{N}]+`     anything else that is no space: punctuation, symbols, emoji
    \s+(?!\S)                spaces up to the last one before something else, or up to the end
    \s+                      that last one, if it was no " " that the next piece could begin with

    "Hello, it's  12 km"  ->  "Hello" "," " it" "'s" " " " 12" " km"

Every character is a letter, a number, a space or something else, so the pieces cover the text, and
joined they are the text. Python's `re` knows no \p{L} (letters) and \p{N} (numbers). Here they are
ranges of code points, read from `unicodedata`; \s is Unicode's white space, which unlike Python's
leaves out U+001C to U+001F. A lone surrogate, half a character that a Python string can hold, is
"anything else", and so is a combining mark: an e and an accent of its own are two pieces.

The classes are those of the Unicode version that Python carries (`unicodedata.unidata_version`; in
Python 3.11 it is 14). A letter that came into Unicode later counts as "anything else", where a
library with newer tables sees a letter. For every character that Python knows, the pieces are those
of GPT-2's own code.

Left out: the patterns of later models, which also cut runs of digits and ignore case.

Alec Radford et al. (2019), "Language Models are Unsupervised Multitask Learners", section 2.2; the
pattern itself is in the code released with it.
"""

import re
import unicodedata
from functools import cache

LAST_BASIC = 0xFFFF  # the last code point of Unicode's first plane
LAST_WRITTEN = 0x3FFFF  # Unicode has letters and numbers in its first four planes only
WHITE_SPACE = (
    r"\t-\r \u0085\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"  # Unicode's White_Space
)


def split(text: str) -> list[str]:
    """The pieces of a text by GPT-2's pattern; joined they are the text. No text, no pieces."""
    return _pattern().findall(text)


def ranges(kind: str, first: int, last: int) -> str:
    r"""The code points from `first` to `last` of one kind, as the inside of a [...] of `re`.

    `kind` is the first letter of Unicode's general categories: "L" for letters, "N" for numbers.
    `ranges("N", 0x00, 0x7F)` is `\U00000030-\U00000039`: the digits 0 to 9.
    """
    found, start = [], None
    for code in range(first, last + 2):
        inside = code <= last and unicodedata.category(chr(code)).startswith(kind)
        if inside and start is None:
            start = code
        elif not inside and start is not None:
            found.append(rf"\U{start:08x}-\U{code - 1:08x}")
            start = None
    return "".join(found)


@cache
def _pattern() -> re.Pattern[str]:
    r"""The pattern above; made when it is first needed, since that reads all of Unicode.

    `re` looks a code point of the first plane up in a table, but compares one that is not there
    with the ranges of the other planes one by one, hundreds of them. So each class is written in
    two parts, and the second is tried only at a code point that lies in the other planes. `++`
    never gives back what it took, which changes nothing here: nothing stands after it.
    """
    letters, numbers = (ranges(kind, 0, LAST_BASIC) for kind in "LN")
    more_letters, more_numbers = (ranges(kind, LAST_BASIC + 1, LAST_WRITTEN) for kind in "LN")
    beyond = r"(?=[\U00010000-\U0010ffff])"
    other = rf"[^{WHITE_SPACE}{letters}{numbers}\U00010000-\U0010ffff]"
    more_other = rf"[^\u0000-\uffff{more_letters}{more_numbers}]"
    return re.compile(
        r"'(?:[sdmt]|ll|ve|re)"
        rf"| ?(?:[{letters}]++|{beyond}[{more_letters}]++)++"
        rf"| ?(?:[{numbers}]++|{beyond}[{more_numbers}]++)++"
        rf"| ?(?:{other}++|{beyond}{more_other}++)++"
        rf"|[{WHITE_SPACE}]+(?![^{WHITE_SPACE}])"
        rf"|[{WHITE_SPACE}]+"
    )
