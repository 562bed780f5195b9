"""Which text is for training, which for validation, and which for testing.

A document goes to validation or test by a hash of its text (of its first piece, where it is long),
so that equal documents are never on both sides, and a longer corpus leaves every document where
it was. The embedded documents, whose texts differ a little from one Python to the next, go by a
hash of their names. A source that is a single document is cut by position instead: the first part
trains, the next validates, the last tests.
"""

import hashlib
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

SPLITS = ("train", "val", "test")


class Piece(NamedTuple):
    """Some text of one document and one split; `first` where the document begins."""

    content: bytes
    split: int  # index into SPLITS
    first: bool


@dataclass(frozen=True)
class Splitting:
    """Which text is for validation and for testing."""

    val_fraction: float
    test_fraction: float
    seed: int = 0
    by_name: bool = False  # the document's name is hashed, not its text
    cuts: tuple[int, int] | None = None  # by position: the characters where val and test begin

    @classmethod
    def by_position(cls, val_fraction: float, test_fraction: float, n: int) -> "Splitting":
        """A text of `n` characters, cut: first train, then val, then test."""
        cuts = int(n * (1 - val_fraction - test_fraction)), int(n * (1 - test_fraction))
        return cls(val_fraction, test_fraction, cuts=cuts)

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> "Splitting":
        """What `asdict` made of one."""
        cuts = content["cuts"]
        return cls(
            content["val_fraction"],
            content["test_fraction"],
            content["seed"],
            content["by_name"],
            (cuts[0], cuts[1]) if cuts else None,
        )

    def describe(self) -> str:
        """One line for the manifest."""
        if self.cuts is None:
            what = "name" if self.by_name else "text"
            return f"each document by a hash of its {what} (seed {self.seed})"
        return f"by position: val begins at character {self.cuts[0]}, test at {self.cuts[1]}"

    def of_document(self, name: str, content: bytes) -> int:
        """The split of a document with this name, whose text begins with `content`."""
        content = name.encode("utf-8") if self.by_name else content
        key = str(self.seed).encode()
        digest = hashlib.blake2b(content, digest_size=8, key=key).digest()
        place = int.from_bytes(digest, "big") / 2**64  # uniform in [0, 1)
        if place < self.val_fraction:
            return 1
        return 2 if place < self.val_fraction + self.test_fraction else 0

    def of_place(self, text: str, start: int, first: bool) -> list[Piece]:
        """A piece that starts at character `start`, cut where a split begins."""
        assert self.cuts is not None
        stop = start + len(text)
        ends = sorted({start, stop, *(cut for cut in self.cuts if start < cut < stop)})
        return [
            Piece(
                text[a - start : b - start].encode("utf-8"),
                sum(a >= cut for cut in self.cuts),
                first if a == start and a not in self.cuts else True,
            )
            for a, b in pairwise(ends)
        ]
