"""Text as numbers, one a character, and batches in which every row reads on where it stopped.

A vocabulary is the sorted list of the characters of a text; a character's number is its place in
it. For training, a long text is cut into as many streams as the batch has rows, each a contiguous
piece of the text, and the streams are cut into chunks:

    text      a b c d e f g h i j k l m          13 characters, 2 rows, chunks of 4
    row 0     a b c d | e f       targets        b c d e | f g
    row 1     g h i j | k l                      h i j k | l m

So the first chunk of a row is followed by its second, and the state that a recurrent network has
after one is the right one to begin the next with (`phase02.bptt`). The target of a character is the
one that follows it. What does not fill all rows is left over at the end of the text.

Left out: words and subwords (phase 3), shuffling (the order is the point), unknown characters.

Shapes: N characters of a text, B batch (rows), L characters of a row, T of a chunk.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import Int64, Integer

Ids = Int64[np.ndarray, "B T"]


class Vocabulary:
    """The characters that a text has, in sorted order; a character's id is its place."""

    def __init__(self, characters: Sequence[str]) -> None:
        """From the characters themselves, each once, in the order of their ids.

        Raises ValueError where there is none, where one occurs twice, or an entry is no single one.
        """
        if not characters:
            raise ValueError("a vocabulary needs at least one character, and got none")
        self.characters = tuple(characters)
        self.ids = {character: n for n, character in enumerate(self.characters)}
        if len(self.ids) != len(self.characters) or any(len(c) != 1 for c in self.characters):
            raise ValueError(
                "a vocabulary has single characters, each once; "
                "`Vocabulary.of(text)` makes one from a text"
            )

    @classmethod
    def of(cls, text: str) -> "Vocabulary":
        """The vocabulary of all characters of `text`; the same for the same set of characters."""
        return cls(sorted(set(text)))

    def __len__(self) -> int:
        """How many characters there are: V."""
        return len(self.characters)

    def encode(self, text: str) -> Int64[np.ndarray, " N"]:
        """The ids of a text's characters. Raises ValueError that names an unknown character."""
        try:
            return np.array([self.ids[character] for character in text], dtype=np.int64)  # (N,)
        except KeyError as unknown:
            raise ValueError(
                f"the character {unknown.args[0]!r} is not in the vocabulary of {len(self)}: make "
                "the vocabulary from all the text, or leave the character out"
            ) from None

    def decode(self, ids: Integer[np.ndarray, " N"]) -> str:
        """The text of some ids. Raises ValueError that names an id outside the vocabulary."""
        outside = ids[(ids < 0) | (ids >= len(self))]
        if outside.size:
            raise ValueError(f"id {outside[0]} is no character: there are {len(self)}, from 0 on")
        return "".join(self.characters[n] for n in ids)


def split_text(text: str, held_out: float = 0.1) -> tuple[str, str]:
    """The text for training and, from its end, the share `held_out` for measuring.

    Cut in one place and not by drawing: what is measured must not stand between what was read.
    Raises ValueError unless both parts have a character.
    """
    cut = len(text) - round(len(text) * held_out)
    if not 0 < cut < len(text):
        raise ValueError(
            f"holding out {held_out:g} of {len(text)} characters leaves one part empty: "
            "take a longer text or another share"
        )
    return text[:cut], text[cut:]


def streams(ids: Integer[np.ndarray, " N"], n_batch: int) -> tuple[Ids, Ids]:
    """The inputs and targets of all rows, (B, L) each with L = (N - 1) // B: see the module's head.

    Raises ValueError where a row would have no character.
    """
    length = _row_length(len(ids), n_batch)
    n_used = length * n_batch
    ids = ids.astype(np.int64, copy=False)
    inputs = ids[:n_used].reshape(n_batch, length)  # (B, L)
    return inputs, ids[1 : n_used + 1].reshape(n_batch, length)  # (B, L)


def stream_batches(
    ids: Integer[np.ndarray, " N"], n_batch: int, chunk_length: int
) -> Iterator[tuple[Ids, Ids]]:
    """One pass over the text: (inputs, targets) of each chunk, (B, T) with T = `chunk_length`.

    Chunk by chunk each row goes on where it stopped; the last chunk may be shorter. Raises
    ValueError where the chunks have no length, and as `streams` does.
    """
    _check_chunk_length(chunk_length)
    inputs, targets = streams(ids, n_batch)
    for start in range(0, inputs.shape[1], chunk_length):
        part = slice(start, start + chunk_length)
        yield inputs[:, part], targets[:, part]


def characters_read(n_text: int, n_batch: int, chunk_length: int, n_chunks: int) -> int:
    """How many characters so many chunks are, where a text of `n_text` is read again and again.

    A chunk is B * T characters, but for the last one of each pass, which may be shorter. Raises
    ValueError as `stream_batches` does.
    """
    _check_chunk_length(chunk_length)
    length = _row_length(n_text, n_batch)
    n_passes, n_more = divmod(n_chunks, -(-length // chunk_length))
    return n_batch * (n_passes * length + n_more * chunk_length)


def _row_length(n_text: int, n_batch: int) -> int:
    """L: how many characters of a text each row gets."""
    if n_batch < 1 or n_text - 1 < n_batch:
        raise ValueError(
            f"{n_text} characters cannot fill {n_batch} rows: each row needs one character and "
            "the last one a target after it"
        )
    return (n_text - 1) // n_batch


def _check_chunk_length(chunk_length: int) -> None:
    if chunk_length < 1:
        raise ValueError(f"a chunk has at least 1 character, not {chunk_length}")
