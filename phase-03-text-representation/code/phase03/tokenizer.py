"""What all tokenizers of this phase have in common: one interface, and a json file each.

A tokenizer turns a text into a list of ids, whole numbers from 0 to `vocab_size` - 1, and ids back
into text. It is made by `train`, a classmethod that reads texts, or by `load` from a file. Between
the two it never changes, so the same text always gives the same ids.

    tokenizer = CharTokenizer.train(["abba"])
    tokenizer.encode("ab")  ->  [0, 1]
    tokenizer.decode([1, 0])  ->  "ba"

Files are json in UTF-8: they can be read, compared and sent without running anything, which a
pickle cannot. They are written to a draft beside them which then takes their name, so a file is
there in full or not at all.

Left out: ids as arrays, and packing them for training (phase 8).
"""

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

# A Python string can hold half a character, a lone surrogate, for which UTF-8 has no bytes; this
# way of Python's writes it all the same, and the file brings back exactly what was saved.
SURROGATES = "surrogatepass"


@runtime_checkable
class Tokenizer(Protocol):
    """A text to ids and back. What `train` may be told besides the texts, each class adds."""

    @property
    def vocab_size(self) -> int:
        """How many ids there are: V. They are 0 to V - 1."""
        ...

    @classmethod
    def train(cls, texts: Iterable[str]) -> "Tokenizer":
        """A tokenizer whose vocabulary is made from these texts."""
        ...

    def encode(self, text: str) -> list[int]:
        """The ids of a text."""
        ...

    def decode(self, ids: Iterable[int]) -> str:
        """The text of some ids. Raises ValueError, naming it, at an id that there is not."""
        ...

    def save(self, path: str | Path) -> None:
        """Write the tokenizer as json."""
        ...

    @classmethod
    def load(cls, path: str | Path) -> "Tokenizer":
        """The tokenizer that `save` wrote. Raises ValueError where the file holds another thing."""
        ...


def write_json(path: str | Path, kind: str, content: Mapping[str, Any]) -> None:
    """Write a tokenizer's content as json, with the name of its kind, in full or not at all."""
    path = Path(path)
    draft = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        text = json.dumps({"kind": kind, **content}, ensure_ascii=False) + "\n"
        draft.write_bytes(text.encode("utf-8", SURROGATES))
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def read_json(path: str | Path, kind: str) -> dict[str, Any]:
    """The content that `write_json` wrote for this kind, without the name of the kind.

    Raises ValueError, naming the file, where it is no json or belongs to another kind.
    """
    path = Path(path)
    try:
        content = json.loads(path.read_bytes().decode("utf-8", SURROGATES))
    except ValueError as error:
        raise ValueError(
            f"{path} is no json file ({error}): give the file that `save` of a tokenizer wrote"
        ) from None
    found = content.pop("kind", None) if isinstance(content, dict) else None
    if found != kind:
        raise ValueError(
            f"{path} should hold a tokenizer of the kind {kind!r}, not {found!r}: load it with the "
            "class that saved it"
        )
    return content


def checked_id(token: int, vocab_size: int) -> int:
    """The id itself. Raises ValueError, naming it, unless it is one of 0 to `vocab_size` - 1."""
    if not 0 <= token < vocab_size:
        raise ValueError(
            f"id {token} is no token: this tokenizer has {vocab_size}, from 0 to {vocab_size - 1}"
        )
    return token
