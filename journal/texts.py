"""Texts to train a language model on, as documents, from the registry of `journal.data`.

`documents("novels")` yields (document id, text) in a fixed order, one file in memory at a time.
`python-docs` needs no download at all: it is the help text that every CPython carries.
"""

import hashlib
import io
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from journal import data
from journal.nearest import suggestion


@dataclass(frozen=True)
class TextSource:
    """A text to train a language model on: (document id, text) pairs, in a fixed order."""

    name: str
    about: str
    files: str  # pattern of registry names; empty for the embedded text
    documents: Callable[[], Iterator[tuple[str, str]]]


def _from_files(
    name: str, about: str, files: str, split: Callable[[str], Iterator[str]] | None = None
) -> TextSource:
    """A source with one file in memory at a time: a document each, or split into several."""

    def documents() -> Iterator[tuple[str, str]]:
        for file in data.names(files):
            if split is None:
                yield file, data.read_text(file)
            else:
                for number, text in enumerate(split(file)):
                    yield f"{file}#{number}", text

    return TextSource(name, about, files, documents)


def _json_texts(name: str) -> Iterator[str]:
    yield from json.loads(data.read_bytes(name))["texts"]


def _wikitext_articles(name: str) -> Iterator[str]:
    """Articles start at a heading of the first level, ` = Title = `, alone between empty lines."""
    yield from re.split(r"(?<=\n \n)(?= = [^=\n]+ = \n \n)", data.read_text(name))


def _articles(name: str) -> Iterator[str]:
    """Articles that two empty lines part from one another, read line by line."""
    lines: list[str] = []
    with data.open_content(data.fetch(name)) as stream:
        for line in io.TextIOWrapper(stream, encoding="utf-8", newline="\n"):
            lines.append(line)
            if lines[-2:] == ["\n", "\n"]:
                if article := "".join(lines).strip("\n"):
                    yield article + "\n"
                lines = []
    if article := "".join(lines).strip("\n"):
        yield article + "\n"


def python_docs() -> Iterator[tuple[str, str]]:
    """(topic, text) of the help that every CPython carries, sorted by topic.

    It differs a little between Python releases: `python_docs_hash` tells which one it was.
    """
    from pydoc_data.topics import topics

    yield from sorted(topics.items())


def python_docs_hash() -> str:
    """The sha256 of all topics and texts, each followed by a zero byte."""
    digest = hashlib.sha256()
    for topic, text in python_docs():
        digest.update(f"{topic}\0{text}\0".encode())
    return digest.hexdigest()


_STORIES = "tinystories-sample/tiny-stories-3000.json.gz"
TEXTS: dict[str, TextSource] = {
    source.name: source
    for source in (
        TextSource("python-docs", "Python's built-in help; no download", "", python_docs),
        _from_files("shakespeare", "plays, one document", "tinyshakespeare/input.txt"),
        _from_files("novels", "87 English novels, a document each", "english-novels/*"),
        _from_files("wikipedia", "23,694 articles; local only", "wikipedia-en/*", _articles),
        _from_files("tinystories-sample", "3,000 short stories", _STORIES, _json_texts),
        _from_files("wikitext-2", "validation and test", "wikitext-2/*", _wikitext_articles),
    )
}


def sources() -> list[str]:
    """The names that `documents` knows."""
    return list(TEXTS)


def documents(source: str) -> Iterator[tuple[str, str]]:
    """(document id, text) of a source, in a fixed order, never the whole set in memory."""
    if source not in TEXTS:
        raise ValueError(f"the text source {source!r} is unknown; {suggestion(source, TEXTS)}")
    return TEXTS[source].documents()
