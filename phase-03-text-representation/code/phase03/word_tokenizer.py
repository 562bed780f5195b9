r"""Words as tokens: what splitting on spaces grows into when it meets real text.

A word is a run of letters, digits and underscores (`\w` of Python's `re`), with an apostrophe
inside kept: "don't" is one word. Every other character that is no space is a token of its own:

    words("Don't stop, Ana!")  ->  "Don't" "stop" "," "Ana" "!"

The vocabulary holds the words of the training texts that occur at least `min_count` times, the most
frequent first and at most `max_vocab` tokens; of equally frequent words the one that comes first by
code points. Every other word becomes `<UNK>`. Special tokens, such as `<BOS>` where a sentence
begins, stand before the words, in the order in which they are given:

    WordTokenizer.train(["a b a"], special=("<PAD>", "<BOS>"))

    id      0       1       2       3     4
    token   <PAD>   <BOS>   <UNK>   a     b

No text becomes a special token: "<BOS>" in a text is the three tokens "<", "BOS" and ">". Their ids
are put in by whoever needs them, from `tokenizer.ids`.

What is lost: how much white space there was, upper case where `lowercase` is set, and which word an
`<UNK>` was. So `decode` gives a readable text and not the text; but encoding that text again
gives the same ids, as long as no token in it is unknown or special.

Left out: stems and endings, numbers such as 3.14 as one token, accents that stand behind their
letter as a character of their own (they become tokens of their own), and languages that write
without spaces.
"""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from phase03.tokenizer import checked_id, read_json, write_json

KIND = "words"
UNKNOWN = "<UNK>"
WORD = re.compile(r"\w+(?:['’]\w+)*|[^\w\s]")
CLOSING = frozenset(".,;:!?)]}%")  # written behind the word before them
OPENING = frozenset("([{")  # written before the word behind them


def words(text: str) -> list[str]:
    """The words and signs of a text in their order, without the white space between them."""
    return WORD.findall(text)


class WordTokenizer:
    """One token for each word of a vocabulary, and `<UNK>` for all others.

    `tokens` are all of them in the order of their ids, and `ids` tells the id of each; `special`
    and `lowercase` are as given.
    """

    def __init__(
        self, tokens: Sequence[str], special: Sequence[str] = (), *, lowercase: bool = False
    ) -> None:
        """From the words, in the order of their ids; before them come `special` and `<UNK>`.

        Raises ValueError where a token occurs twice, where one of `tokens` is not one word, or
        where a special one could be a word of a text.
        """
        self.tokens = (*special, UNKNOWN, *tokens)
        self.ids = {token: n for n, token in enumerate(self.tokens)}
        self.special = tuple(special)
        self.lowercase = lowercase
        if len(self.ids) < len(self.tokens):
            twice = next(token for token, n in Counter(self.tokens).items() if n > 1)
            raise ValueError(f"the token {twice!r} is given twice: give each once")
        for token in special:
            if words(token) in ([], [token]):
                raise ValueError(
                    f"the special token {token!r} is empty, space, or a word that a text can have: "
                    "put it in angle brackets, like <PAD>"
                )
        for token in tokens:
            if words(token) != [token]:
                raise ValueError(
                    f"{token!r} is not one word: give words as `words(text)` splits them"
                )

    @classmethod
    def train(
        cls,
        texts: Iterable[str],
        *,
        lowercase: bool = False,
        min_count: int = 1,
        max_vocab: int | None = None,
        special: Sequence[str] = (),
    ) -> "WordTokenizer":
        """The tokenizer of the words that occur at least `min_count` times in the texts.

        `max_vocab` limits the vocabulary, special tokens and `<UNK>` counted. Raises ValueError
        where `min_count` is below 1, or `max_vocab` too small for the special tokens and `<UNK>`,
        and for one string in place of the texts, which would be read letter by letter.
        """
        if isinstance(texts, str):
            raise ValueError("training reads several texts, not one string: give it as [text]")
        if min_count < 1:
            raise ValueError(f"min_count is 1 or more, not {min_count}")
        n_words = None if max_vocab is None else max_vocab - len(special) - 1
        if n_words is not None and n_words < 0:
            raise ValueError(
                f"max_vocab is {max_vocab}, but special tokens and {UNKNOWN} alone are "
                f"{len(special) + 1}: allow more"
            )
        counts: Counter[str] = Counter()
        for text in texts:
            counts.update(words(text.lower() if lowercase else text))
        kept = [word for word, count in counts.items() if count >= min_count]
        kept.sort(key=lambda word: (-counts[word], word))
        return cls(kept[:n_words], special, lowercase=lowercase)

    @property
    def vocab_size(self) -> int:
        """How many tokens there are, special ones and `<UNK>` counted: V."""
        return len(self.tokens)

    @property
    def unknown(self) -> int:
        """The id of `<UNK>`."""
        return len(self.special)

    def encode(self, text: str) -> list[int]:
        """The ids of a text's words; a word that is not in the vocabulary has `<UNK>`'s."""
        text = text.lower() if self.lowercase else text
        return [self.ids.get(word, self.unknown) for word in words(text)]

    def decode(self, ids: Iterable[int]) -> str:
        """A text of these words, special tokens left out and unknown ones shown as `<UNK>`.

        One space stands between two words; none before . , ; : ! ? ) ] } % and none after ( [ {.
        Raises ValueError, naming it, for an id without a token.
        """
        pieces: list[str] = []
        for n in ids:
            token = self.tokens[checked_id(n, self.vocab_size)]
            if n < len(self.special):
                continue
            if pieces and token not in CLOSING and pieces[-1] not in OPENING:
                pieces.append(" ")
            pieces.append(token)
        return "".join(pieces)

    def save(self, path: str | Path) -> None:
        """Write words, special tokens and the choice of `lowercase` as json."""
        tokens = self.tokens[len(self.special) + 1 :]
        content = {"special": self.special, "lowercase": self.lowercase, "tokens": tokens}
        write_json(path, KIND, content)

    @classmethod
    def load(cls, path: str | Path) -> "WordTokenizer":
        """The tokenizer that `save` wrote. Raises ValueError, naming the file, for another."""
        content = read_json(path, KIND)
        tokens, special, lowercase = map(content.get, ("tokens", "special", "lowercase"))
        lists = isinstance(tokens, list) and isinstance(special, list)
        if not lists or not all(isinstance(token, str) for token in (*tokens, *special)):
            raise ValueError(
                f"{path} has no lists of texts 'tokens' and 'special': save the tokenizer again"
            )
        if not isinstance(lowercase, bool):
            raise ValueError(f"{path} has no true or false 'lowercase': save the tokenizer again")
        try:
            return cls(tokens, special, lowercase=lowercase)
        except ValueError as error:
            raise ValueError(f"{path}: {error}, or save the tokenizer again") from None
