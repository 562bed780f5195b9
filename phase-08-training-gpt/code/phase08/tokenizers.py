"""Four tokenizers behind one interface: characters, bytes, byte pairs learned here, and GPT-2's.

Each has `encode(text)`, `decode(ids)`, `vocab_size`, `end_of_text` (the token put in front of
every document), `token_bytes()` and `to_dict()`; `from_dict` brings one back. Ordinary text
never yields `end_of_text`: the string "<|endoftext|>" in a text is thirteen characters like any
others. `token_bytes` are the UTF-8 bytes that each token stands for; over a text they add up to
the text's length in bytes, so that a loss in nats per token turns into bits per byte.

`pieces` cuts a long text where every one of the four surely begins a new token, so that a text
of any length can be encoded part by part.

The byte pair encoding is phase 3's, with GPT-2's splitting; its merges are part of what `to_dict`
gives, so that shards and models carry them. For GPT-2's own vocabulary tiktoken applies the merges,
which is faster and gives the same ids (phase 3's `compare_tiktoken`). tiktoken finds its vocabulary
through `TIKTOKEN_CACHE_DIR`, which a script sets.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import cached_property
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Int64, Integer, UInt16

from phase03.bpe import BYTE_IDS, ByteLevelBPE
from phase03.bpe_training import Pair, train
from phase03.splitting import split

GPT2_VOCAB_SIZE = 50257
BPE_VOCAB_SIZE = 1024  # where no other is asked for
LEAST_BPE_VOCAB_SIZE = 257  # the bytes and end_of_text
MAX_VOCAB_SIZE = 2**16  # token ids are uint16
PIECE_CHARACTERS = 1 << 18
COUNTED_CHARACTERS = 1 << 20  # in the different pieces that merges are learned from
# A non-space followed by a space or line end. No token of GPT-2's pattern reaches over such a
# place (only the first character of a token can be a space, or all of them), none left of it
# looks past it (only a run of spaces looks ahead), and nothing right of it looks back.
CUT = re.compile(r"\S(?=[ \n])")


@runtime_checkable
class Tokenizer(Protocol):
    """What the four have in common."""

    @property
    def vocab_size(self) -> int: ...
    @property
    def end_of_text(self) -> int: ...
    def encode(self, text: str) -> UInt16[np.ndarray, " n"]: ...
    def decode(self, ids: Integer[np.ndarray, " n"] | list[int]) -> str: ...
    def token_bytes(self) -> Int64[np.ndarray, " V"]: ...
    def to_dict(self) -> dict[str, Any]: ...


class CharTokenizer:
    """One token for each character of a given alphabet, in its order; then end_of_text."""

    def __init__(self, characters: str) -> None:
        if len(set(characters)) != len(characters):
            raise ValueError("the alphabet of a character tokenizer names a character twice")
        if len(characters) >= MAX_VOCAB_SIZE:
            raise ValueError(
                f"the text has {len(characters)} different characters, more than fit into "
                f"{MAX_VOCAB_SIZE} token ids; use the tokenizer bytes or gpt2"
            )
        self.characters = characters
        self.vocab_size = len(characters) + 1
        self.end_of_text = len(characters)
        self._codes = np.array([ord(c) for c in characters], dtype=np.uint32)
        self._order = np.argsort(self._codes).astype(np.uint16)
        self._sorted = self._codes[self._order]

    @classmethod
    def from_text(cls, texts: Iterable[str]) -> "CharTokenizer":
        """The tokenizer of all characters that occur in the texts, sorted by code point."""
        return cls(alphabet(texts))

    def encode(self, text: str) -> UInt16[np.ndarray, " n"]:
        """The ids of a text's characters; a ValueError names one that is not in the alphabet."""
        codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4")
        where = np.searchsorted(self._sorted, codes)
        known = where < len(self._sorted)
        known[known] = self._sorted[where[known]] == codes[known]
        if not known.all():
            at = int(np.argmin(known))
            raise ValueError(
                f"the character {text[at]!r} (position {at}) is not among the "
                f"{len(self.characters)} of this character tokenizer; leave it out, or prepare "
                f"the data with the tokenizer bytes or gpt2, which know every text"
            )
        return self._order[where]

    def decode(self, ids: Integer[np.ndarray, " n"] | list[int]) -> str:
        """The text of the ids; end_of_text is shown as nothing."""
        ids = _checked(ids, self.vocab_size)
        codes = self._codes[ids[ids != self.end_of_text]]
        return codes.astype("<u4").tobytes().decode("utf-32-le", "surrogatepass")

    def token_bytes(self) -> Int64[np.ndarray, " V"]:
        """UTF-8 bytes of each token; end_of_text stands for none."""
        lengths = [len(c.encode("utf-8", "surrogatepass")) for c in self.characters]
        return np.array([*lengths, 0], dtype=np.int64)

    def to_dict(self) -> dict[str, Any]:
        """What `from_dict` needs."""
        return {"kind": "char", "characters": self.characters}


class ByteTokenizer:
    """One token for each UTF-8 byte, 0 to 255, and end_of_text as 256."""

    vocab_size = 257
    end_of_text = 256

    def encode(self, text: str) -> UInt16[np.ndarray, " n"]:
        """The UTF-8 bytes of a text."""
        return np.frombuffer(without_surrogates(text).encode("utf-8"), dtype=np.uint8).astype(
            np.uint16
        )

    def decode(self, ids: Integer[np.ndarray, " n"] | list[int]) -> str:
        """The text of the ids; bytes that are not UTF-8 become U+FFFD."""
        ids = _checked(ids, self.vocab_size)
        return ids[ids != self.end_of_text].astype(np.uint8).tobytes().decode("utf-8", "replace")

    def token_bytes(self) -> Int64[np.ndarray, " V"]:
        """One byte for each token; end_of_text stands for none."""
        return np.array([1] * 256 + [0], dtype=np.int64)

    def to_dict(self) -> dict[str, Any]:
        """What `from_dict` needs."""
        return {"kind": "bytes"}


class BPETokenizer:
    """Byte pair encoding with merges of its own: 256 bytes, the merges, and end_of_text.

    The pieces in which pairs are merged follow the Unicode tables of this Python: in another
    version's, a character that is new there may be encoded otherwise, and is decoded all the same.
    """

    def __init__(self, merges: Iterable[Pair]) -> None:
        self._bpe = ByteLevelBPE(merges)
        self.vocab_size = self._bpe.vocab_size
        self.end_of_text = self._bpe.end_of_text
        if self.vocab_size > MAX_VOCAB_SIZE:
            raise ValueError(
                f"{len(self._bpe.merges)} merges make a vocabulary of {self.vocab_size}, more than "
                f"fit into {MAX_VOCAB_SIZE} token ids; take fewer"
            )

    @classmethod
    def from_texts(cls, texts: Iterable[str], vocab_size: int = BPE_VOCAB_SIZE) -> "BPETokenizer":
        """The tokenizer of the merges that phase 3 learns from the texts (see `frequent_pieces`).

        The vocabulary is smaller where no pair is left to merge.
        """
        check_vocab_size("bpe", vocab_size)
        pieces = frequent_pieces(map(without_surrogates, texts))
        words = {tuple(BYTE_IDS[byte] for byte in piece.encode()): n for piece, n in pieces.items()}
        return cls(train(words, vocab_size - LEAST_BPE_VOCAB_SIZE, len(BYTE_IDS)))

    def encode(self, text: str) -> UInt16[np.ndarray, " n"]:
        """The ids of a text, all of it ordinary text."""
        return np.array(self._bpe.encode(text), dtype=np.uint16)

    def decode(self, ids: Integer[np.ndarray, " n"] | list[int]) -> str:
        """The text of the ids; bytes that are not UTF-8 become U+FFFD."""
        return self._bpe.decode(_checked(ids, self.vocab_size).tolist())

    def token_bytes(self) -> Int64[np.ndarray, " V"]:
        """Bytes of each token, part of a character or many; end_of_text stands for none."""
        return self._bpe.token_bytes()

    def to_dict(self) -> dict[str, Any]:
        """What `from_dict` needs: each merge as the two ids that it joins, oldest first."""
        return {"kind": "bpe", "merges": [list(pair) for pair in self._bpe.merges]}


class GPT2Tokenizer:
    """GPT-2's byte-level BPE, by tiktoken: 50,256 tokens, and end_of_text as 50256."""

    vocab_size = GPT2_VOCAB_SIZE
    end_of_text = GPT2_VOCAB_SIZE - 1

    @cached_property
    def _encoding(self) -> Any:
        import tiktoken  # here, since the others do without it

        return tiktoken.get_encoding("gpt2")

    def encode(self, text: str) -> UInt16[np.ndarray, " n"]:
        """The ids of a text, all of it ordinary text."""
        # disallowed_special=() is what makes "<|endoftext|>" text; nothing is allowed as special.
        try:
            ids = self._encoding.encode_to_numpy(text, disallowed_special=())
        except UnicodeEncodeError:
            ids = self._encoding.encode_to_numpy(without_surrogates(text), disallowed_special=())
        return ids.astype(np.uint16)

    def decode(self, ids: Integer[np.ndarray, " n"] | list[int]) -> str:
        """The text of the ids; bytes that are not UTF-8 become U+FFFD."""
        ids = _checked(ids, self.vocab_size)
        return self._encoding.decode(ids[ids != self.end_of_text].tolist(), errors="replace")

    def token_bytes(self) -> Int64[np.ndarray, " V"]:
        """Bytes of each token, part of a character or many; end_of_text stands for none."""
        single = self._encoding.decode_single_token_bytes
        lengths = [len(single(token)) for token in range(self.end_of_text)]
        return np.array([*lengths, 0], dtype=np.int64)

    def to_dict(self) -> dict[str, Any]:
        """What `from_dict` needs."""
        return {"kind": "gpt2"}


def from_dict(content: dict[str, Any]) -> Tokenizer:
    """The tokenizer that `to_dict` described."""
    kind = content.get("kind")
    if kind == "char":
        characters = content.get("characters")
        if not isinstance(characters, str):
            raise ValueError("the character tokenizer's entry lacks the string 'characters'")
        return CharTokenizer(characters)
    if kind == "bytes":
        return ByteTokenizer()
    if kind == "bpe":
        return BPETokenizer(_merges(content.get("merges")))
    if kind == "gpt2":
        return GPT2Tokenizer()
    raise ValueError(f"the tokenizer {kind!r} is unknown; there are char, bytes, bpe and gpt2")


def check_vocab_size(kind: str, vocab_size: int | None) -> None:
    """Raise a ValueError for a vocabulary that a tokenizer of this kind cannot have."""
    if vocab_size is None:
        return
    if kind != "bpe":
        raise ValueError(
            f"vocab_size is {vocab_size}, but the vocabulary of the tokenizer {kind} cannot be "
            f"chosen; leave it out, or use the tokenizer bpe"
        )
    if not LEAST_BPE_VOCAB_SIZE <= vocab_size <= MAX_VOCAB_SIZE:
        raise ValueError(
            f"vocab_size is {vocab_size}, but it must be from {LEAST_BPE_VOCAB_SIZE} (the bytes "
            f"and end_of_text) to {MAX_VOCAB_SIZE} (token ids are uint16)"
        )


def alphabet(texts: Iterable[str]) -> str:
    """All characters that occur in the texts, sorted by code point."""
    seen: set[int] = set()
    for text in texts:
        codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4")
        seen.update(np.flatnonzero(np.bincount(codes)).tolist())
    return "".join(chr(code) for code in sorted(seen))


def frequent_pieces(texts: Iterable[str]) -> Counter[str]:
    """How often each of GPT-2's pieces occurs in the texts.

    At most `COUNTED_CHARACTERS` characters of different pieces come out, and about twice as many
    are held: where there are more, the rarest are forgotten, and of equally rare ones those that
    came last.
    """
    counts: Counter[str] = Counter()
    new = 0  # characters since pieces were last forgotten
    for text in texts:
        counts.update(split(text))
        new += len(text)
        if new > COUNTED_CHARACTERS:
            counts, new = _most_frequent(counts), 0
    return _most_frequent(counts)


def _most_frequent(counts: Counter[str]) -> Counter[str]:
    if sum(map(len, counts)) <= COUNTED_CHARACTERS:
        return counts
    kept: Counter[str] = Counter()
    room = COUNTED_CHARACTERS
    for piece, n in counts.most_common():  # equal counts in the order of the text
        if len(piece) <= room:
            kept[piece] = n
            room -= len(piece)
    return kept


def pieces(texts: Iterable[str], characters: int | None = None) -> Iterator[str]:
    """Regroups a document's consecutive parts into pieces that encode as the whole does.

    encode(a) + encode(b) + ... over the pieces equals encode(document), for all four tokenizers
    (see `CUT`). A piece has about `characters` characters, by default `PIECE_CHARACTERS`; it is
    longer only where the text has no space or line end to cut at. Nothing but the current piece is
    held.
    """
    characters = PIECE_CHARACTERS if characters is None else characters
    rest, start, searched = "", 0, 0  # no place to cut lies between start and searched
    for text in texts:
        rest, start, searched = rest[start:] + text, 0, searched - start
        while len(rest) - start > characters:
            found = CUT.search(rest, max(searched, start + characters - 1))
            if found is None:
                searched = len(rest) - 1  # what follows may put a space behind the last character
                break
            yield rest[start : found.end()]
            start = searched = found.end()
    if start < len(rest):
        yield rest[start:]


def without_surrogates(text: str) -> str:
    """The text with halves of surrogate pairs, which UTF-8 cannot hold, replaced by U+FFFD."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def _merges(content: Any) -> list[Pair]:
    if not isinstance(content, list):
        raise ValueError("the bpe tokenizer's entry lacks the list 'merges'")
    for pair in content:
        if not isinstance(pair, list) or [type(id) for id in pair] != [int, int]:
            raise ValueError(f"the bpe tokenizer's merge {pair!r} is not a pair of token ids")
    return [(left, right) for left, right in content]


def _checked(ids: Integer[np.ndarray, " n"] | list[int], vocab_size: int) -> np.ndarray:
    array = np.asarray(ids, dtype=np.int64)
    if array.size and not 0 <= array.min() <= array.max() < vocab_size:
        bad = array[(array < 0) | (array >= vocab_size)][0]
        raise ValueError(f"the token id {bad} is not in the vocabulary (ids 0 to {vocab_size - 1})")
    return array
