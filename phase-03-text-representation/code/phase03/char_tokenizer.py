"""The smallest tokenizer that works: each character is a token.

The vocabulary is a string of characters, and a character's id is its place in it:

    CharTokenizer.train(["hello"])  has the characters  e h l o
    encode("hole")  ->  [1, 3, 2, 0]

A character in the sense of Python is a code point of Unicode. What a reader takes for one sign may
be several: an accent can stand behind its letter, and a family of emoji is people joined by an
invisible character. Each part is a token, and decoding puts them together again.

The vocabulary is as small as the alphabet, but a text has as many tokens as characters, and a
character that no training text had cannot be written at all. Byte pair encoding (`phase03.bpe`)
changes both.

Left out: a token for unknown characters, and tokens with a meaning of their own (phase 8).
"""

from collections.abc import Iterable
from pathlib import Path

from phase03.tokenizer import checked_id, read_json, write_json

KIND = "characters"


class CharTokenizer:
    """One token for each character of a vocabulary; its id is its place there.

    `characters` is that vocabulary, as one string.
    """

    def __init__(self, characters: str) -> None:
        """From the characters themselves, each once, in the order of their ids.

        Raises ValueError where there is none, or where one occurs twice.
        """
        self.characters = characters
        self.ids = {character: n for n, character in enumerate(characters)}
        if not characters or len(self.ids) < len(characters):
            raise ValueError(
                f"a vocabulary has one or more characters, each once, not {characters!r}; "
                "`CharTokenizer.train(texts)` makes one from texts"
            )

    @classmethod
    def train(cls, texts: Iterable[str]) -> "CharTokenizer":
        """The tokenizer of all characters that occur in the texts, sorted by code point.

        Raises ValueError where the texts have no character.
        """
        seen: set[str] = set()
        for text in texts:
            seen.update(text)
        return cls("".join(sorted(seen)))

    @property
    def vocab_size(self) -> int:
        """How many characters there are: V."""
        return len(self.characters)

    def encode(self, text: str) -> list[int]:
        """The id of each character. Raises ValueError, naming it, for one that is unknown."""
        try:
            return [self.ids[character] for character in text]
        except KeyError as unknown:
            raise ValueError(
                f"the character {unknown.args[0]!r} (place {text.index(unknown.args[0])} of the "
                f"text) is not among the {self.vocab_size} of this tokenizer: leave it out, or "
                "train on texts that have it"
            ) from None

    def decode(self, ids: Iterable[int]) -> str:
        """The text of some ids. Raises ValueError, naming it, for an id without a character."""
        return "".join(self.characters[checked_id(n, self.vocab_size)] for n in ids)

    def save(self, path: str | Path) -> None:
        """Write the characters as json."""
        write_json(path, KIND, {"characters": self.characters})

    @classmethod
    def load(cls, path: str | Path) -> "CharTokenizer":
        """The tokenizer that `save` wrote. Raises ValueError, naming the file, for another."""
        characters = read_json(path, KIND).get("characters")
        if not isinstance(characters, str) or not 0 < len(characters) == len(set(characters)):
            raise ValueError(
                f"{path} has no 'characters', a text with each once: save the tokenizer again"
            )
        return cls(characters)
