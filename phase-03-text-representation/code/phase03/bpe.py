r"""Byte pair encoding as a tokenizer: of characters, and of bytes as in GPT-2.

A text is split into pieces (`phase03.splitting`), each piece into its smallest symbols. To these
the merges that training found (`phase03.bpe_training`) are applied (`phase03.bpe_merging`), and
what comes out are the tokens.

- `BPE` begins with the characters of the training texts, as Sennrich et al. (2016, section 3.2) do.
  A character that is not among them cannot be encoded.
- `ByteLevelBPE` begins with the 256 bytes of UTF-8, so that it can write any text, and any bytes
  (Radford et al. 2019, section 2.2). `from_gpt2` reads GPT-2's own merges.

Sennrich et al. put a mark behind the last character of a word; here, as in GPT-2, a piece carries
the space before it instead, and decoding is joining.

Left out: special tokens within a text (in a text, "<|endoftext|>" is thirteen characters), and
dropping merges at random in training.
"""

import hashlib
import os
from collections import Counter
from collections.abc import Iterable, Mapping
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int64

from phase03.bpe_merging import PieceIds, apply_merges, merge_table
from phase03.bpe_training import Pair, train
from phase03.splitting import split
from phase03.tokenizer import checked_id, read_json, write_json

VOCAB_SIZE = 4096  # of a tokenizer that is trained, where nothing else is asked for

# GPT-2 numbers the bytes like this: first those that are a visible character in Latin-1, then the
# rest (spaces, controls, the soft hyphen). See `byte_characters`.
VISIBLE = tuple(byte for byte in range(256) if chr(byte).isprintable() and chr(byte) != " ")
BYTE_ORDER = VISIBLE + tuple(byte for byte in range(256) if byte not in VISIBLE)
BYTE_IDS = tuple(sorted(range(256), key=BYTE_ORDER.__getitem__))  # the id of each byte

GPT2_MERGES = 50_000
GPT2_FILE = "vocab.bpe"
GPT2_ADDRESS = f"https://openaipublic.blob.core.windows.net/gpt-2/encodings/main/{GPT2_FILE}"


# ---- training ------------------------------------------------------------------------------


def count_pieces(texts: Iterable[str]) -> Counter[str]:
    """How often each piece occurs in the texts, of which only one is held at a time.

    Raises ValueError for one string in place of the texts, which would be read letter by letter.
    """
    if isinstance(texts, str):
        raise ValueError("training reads several texts, not one string: give it as [text]")
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(split(text))
    return counts


# ---- characters ----------------------------------------------------------------------------


class BPE:
    """Byte pair encoding of characters: ids 0 to n-1 are the characters, then come the merges.

    `characters` is the alphabet as one string, `merges` the list of pairs of ids that are joined.
    """

    def __init__(self, characters: str, merges: Iterable[Pair] = ()) -> None:
        """From the alphabet, each character once, and the merges in the order of learning.

        Raises ValueError for a character that is there twice, and for merges that `merge_table`
        refuses.
        """
        if len(set(characters)) < len(characters):
            raise ValueError("the alphabet names a character twice: give each once")
        self.characters = characters
        self.merges = [(left, right) for left, right in merges]
        self._merged = merge_table(self.merges, len(characters))
        self._ids = {character: id for id, character in enumerate(characters)}
        self._tokens = list(characters)
        for left, right in self.merges:
            self._tokens.append(self._tokens[left] + self._tokens[right])
        self._pieces = PieceIds(self._encode_piece)

    @classmethod
    def train(cls, texts: Iterable[str], vocab_size: int = VOCAB_SIZE) -> "BPE":
        """The tokenizer of these texts: their characters, sorted, and merges up to `vocab_size`.

        The vocabulary is smaller where no pair is left to merge. Raises ValueError where not even
        the characters fit, and for one string in place of the texts.
        """
        pieces = count_pieces(texts)
        characters = "".join(sorted(set(chain.from_iterable(pieces))))
        _check_size(vocab_size, len(characters), "the characters of the texts")
        ids = {character: id for id, character in enumerate(characters)}
        words = {tuple(map(ids.__getitem__, piece)): count for piece, count in pieces.items()}
        return cls(characters, train(words, vocab_size - len(characters), len(characters)))

    @property
    def vocab_size(self) -> int:
        """The number of tokens."""
        return len(self._tokens)

    def encode(self, text: str) -> list[int]:
        """The ids of a text. A ValueError names a character that is not in the alphabet."""
        return self._pieces.of(split(text))

    def decode(self, ids: Iterable[int]) -> str:
        """The text of the ids. Raises ValueError, naming it, for an id that there is not."""
        return "".join(map(self._tokens.__getitem__, _checked(ids, self.vocab_size)))

    def save(self, path: str | Path) -> None:
        """Write alphabet and merges as json."""
        write_json(path, "bpe", {"characters": self.characters, "merges": self.merges})

    @classmethod
    def load(cls, path: str | Path) -> "BPE":
        """The tokenizer that `save` wrote. Raises ValueError, naming the file, for another."""
        content = read_json(path, "bpe")
        try:
            if not isinstance(characters := content.get("characters"), str):
                raise ValueError("it has no text 'characters'")
            return cls(characters, _merges_in(content))
        except ValueError as error:
            raise _damaged(path, error) from None

    def _encode_piece(self, piece: str) -> list[int]:
        try:
            ids = [self._ids[character] for character in piece]
        except KeyError as error:
            raise ValueError(
                f"the character {error.args[0]!r} is not among the {len(self.characters)} of this "
                "tokenizer: train it on texts that have it, or take ByteLevelBPE"
            ) from None
        return apply_merges(ids, self._merged)


# ---- bytes ---------------------------------------------------------------------------------


def byte_characters() -> dict[int, str]:
    r"""The visible character that stands for each byte in GPT-2's files.

    A merge is a line there, its two tokens with a space between them, so a token may hold neither
    a space nor a line end. Bytes that are visible in Latin-1 stand for themselves; the n-th of the
    others (0x00, 0x01, ..., 0x20, ...) becomes `chr(256 + n)`: the space is "Ġ", "\n" is "Ċ".
    """
    shown = {byte: chr(byte) for byte in VISIBLE}
    return shown | {byte: chr(256 + n) for n, byte in enumerate(BYTE_ORDER[len(VISIBLE) :])}


class ByteLevelBPE:
    """Byte pair encoding of UTF-8: ids 0 to 255 are the bytes in GPT-2's order, then the merges.

    The last id, `end_of_text`, is put between documents by whoever trains a model on them. No text
    is encoded to it, and it is decoded to nothing. `merges` is the list of pairs of ids.
    """

    def __init__(self, merges: Iterable[Pair] = ()) -> None:
        """From the merges in the order of learning; ValueError where `merge_table` refuses them."""
        self.merges = [(left, right) for left, right in merges]
        self._merged = merge_table(self.merges, len(BYTE_ORDER))
        self._tokens = [bytes([byte]) for byte in BYTE_ORDER]
        for left, right in self.merges:
            self._tokens.append(self._tokens[left] + self._tokens[right])
        self._tokens.append(b"")  # end_of_text
        self._pieces = PieceIds(self._encode_piece)

    @classmethod
    def train(cls, texts: Iterable[str], vocab_size: int = VOCAB_SIZE) -> "ByteLevelBPE":
        """The tokenizer of these texts: 256 bytes, merges, and `end_of_text`, up to `vocab_size`.

        The vocabulary is smaller where no pair is left to merge. Raises ValueError where not even
        the bytes and `end_of_text` fit, and for one string in place of the texts.
        """
        n_base = len(BYTE_ORDER)
        _check_size(vocab_size, n_base + 1, "the bytes and end_of_text")
        pieces = count_pieces(map(_well_formed, texts) if not isinstance(texts, str) else texts)
        words = {tuple(BYTE_IDS[byte] for byte in piece.encode()): n for piece, n in pieces.items()}
        return cls(train(words, vocab_size - n_base - 1, n_base))

    @classmethod
    def from_gpt2(cls, folder: str | Path | None = None) -> "ByteLevelBPE":
        """GPT-2's tokenizer, from its merges: the file vocab.bpe in `folder`.

        Without a folder in the one that `TIKTOKEN_CACHE_DIR` names, where tiktoken keeps the file
        under the sha1 of its address. Raises FileNotFoundError, naming the file or the variable,
        where there is none, and ValueError where it has not the form or the number of GPT-2's.
        """
        folder = folder or os.environ.get("TIKTOKEN_CACHE_DIR")
        if not folder:
            raise FileNotFoundError(
                f"GPT-2's merges are in no known place: give the folder of {GPT2_FILE}, or name it "
                "in TIKTOKEN_CACHE_DIR"
            )
        names = (GPT2_FILE, hashlib.sha1(GPT2_ADDRESS.encode()).hexdigest())
        found = [path for name in names if (path := Path(folder) / name).is_file()]
        if not found:
            raise FileNotFoundError(
                f"{folder} holds neither {' nor '.join(names)}: put GPT-2's merges there, from "
                f"{GPT2_ADDRESS}"
            )
        return cls(read_merges(found[0]))

    @property
    def vocab_size(self) -> int:
        """The number of tokens, `end_of_text` among them."""
        return len(self._tokens)

    @property
    def end_of_text(self) -> int:
        """The id that stands between documents."""
        return len(self._tokens) - 1

    def encode(self, text: str) -> list[int]:
        """The ids of a text. Halves of surrogate pairs, which UTF-8 cannot hold, become U+FFFD."""
        return self._pieces.of(split(_well_formed(text)))

    def encode_bytes(self, content: bytes) -> list[int]:
        """The ids of any bytes; for UTF-8 they are those of its text.

        Bytes that are no UTF-8 are lone surrogates while the rest is split (Python's
        "surrogateescape"), and themselves again before they are merged.
        """
        return self._pieces.of(split(content.decode("utf-8", "surrogateescape")))

    def decode(self, ids: Iterable[int]) -> str:
        """The text of the ids; bytes that are no UTF-8 become U+FFFD.

        Raises ValueError, naming it, for an id that there is not.
        """
        return self.decode_bytes(ids).decode("utf-8", "replace")

    def decode_bytes(self, ids: Iterable[int]) -> bytes:
        """The bytes of the ids. Raises ValueError, naming it, for an id that there is not."""
        return b"".join(map(self._tokens.__getitem__, _checked(ids, self.vocab_size)))

    def token_bytes(self) -> Int64[np.ndarray, " V"]:
        """How many bytes each token stands for; `end_of_text` for none."""
        return np.array([len(token) for token in self._tokens], dtype=np.int64)

    def save(self, path: str | Path) -> None:
        """Write the merges as json."""
        write_json(path, "byte-level-bpe", {"merges": self.merges})

    @classmethod
    def load(cls, path: str | Path) -> "ByteLevelBPE":
        """The tokenizer that `save` wrote. Raises ValueError, naming the file, for another."""
        content = read_json(path, "byte-level-bpe")
        try:
            return cls(_merges_in(content))
        except ValueError as error:
            raise _damaged(path, error) from None

    def _encode_piece(self, piece: str) -> list[int]:
        content = piece.encode("utf-8", "surrogateescape")
        return apply_merges([BYTE_IDS[byte] for byte in content], self._merged)


def read_merges(path: str | Path) -> list[Pair]:
    """The merges in a file of GPT-2's form, as pairs of ids, the bytes in GPT-2's order.

    The first line tells the version; every other line is two tokens that become one. Raises
    ValueError, naming the line, where it is anything else, and where there are not 50,000 merges.
    """
    shown = byte_characters()
    ids = {shown[byte]: id for id, byte in enumerate(BYTE_ORDER)}
    merges: list[Pair] = []
    lines = Path(path).read_text(encoding="utf-8", errors="replace").split("\n")
    for number, line in enumerate(lines[1:], 2):
        left, _, right = line.partition(" ")
        if left in ids and right in ids:
            merges.append((ids[left], ids[right]))
            ids[left + right] = len(ids)
        elif line:
            raise ValueError(
                f"line {number} of {path} is not two known tokens: fetch the file again from "
                f"{GPT2_ADDRESS}"
            )
    if len(merges) != GPT2_MERGES:
        raise ValueError(
            f"{path} should hold GPT-2's {GPT2_MERGES} merges, not {len(merges)}: fetch it again "
            f"from {GPT2_ADDRESS}"
        )
    return merges


# ---- what both need ------------------------------------------------------------------------


def _well_formed(text: str) -> str:
    """The text with paired surrogates joined and single ones replaced by U+FFFD."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def _checked(ids: Iterable[int], vocab_size: int) -> list[int]:
    ids = list(ids)
    if ids:
        checked_id(min(ids), vocab_size)
        checked_id(max(ids), vocab_size)
    return ids


def _check_size(vocab_size: int, least: int, what: str) -> None:
    if vocab_size < least:
        raise ValueError(
            f"a vocabulary of {vocab_size} is too small: {what} alone are {least}, so ask for more"
        )


def _merges_in(content: Mapping[str, Any]) -> list[Pair]:
    merges = content.get("merges")
    if not isinstance(merges, list):
        raise ValueError("it has no list 'merges'")
    for pair in merges:
        if not isinstance(pair, list) or [type(id) for id in pair] != [int, int]:
            raise ValueError(f"its merge {pair!r} is not a pair of ids")
    return [(left, right) for left, right in merges]


def _damaged(path: str | Path, error: ValueError) -> ValueError:
    return ValueError(f"{path} holds no whole tokenizer ({error}): save the tokenizer again")
