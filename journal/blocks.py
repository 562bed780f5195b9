"""The Python blocks of prose as tests: run in order, and compared with what follows them.

The blocks of a page share one namespace. A fenced block `python` runs, and so does a comment
`<!--- invisible-code-block: python` ... `-->`, which a reader does not see. A fenced block `output`
states what the Python block before it printed (`journal.printed` compares the two). It is an error
where no Python block stands before it, or where the one before it has an output already.

Pages run in a temporary folder, so that a block that writes does not write into the tree; what it
reads of the journal it finds by `journal.numbers.result` or `journal.numbers.ROOT`. No window opens
(`conftest.py` chooses the backend of matplotlib). After a page its figures are closed, and what it
set of NumPy, matplotlib, the environment and Python's path is put back, so that no page prints what
it prints only because of another.

Left out: what a page changes inside a module (`np.sum = ...` stays changed); shell commands; blocks
of any other language, and a block whose ```` ```python ```` does not begin its line;
`journal.prose` complains about that one.
"""

import contextlib
import io
import os
import sys
import tempfile
from pathlib import Path

import pytest
from sybil import Document, Example, Sybil
from sybil.evaluators.python import PythonEvaluator
from sybil.integration.pytest import SybilFile
from sybil.parsers.markdown import CodeBlockParser

from journal.printed import differences

FOLDERS = ("notes", "blog")
NEXT = "write what was printed into the block, or mend the code"


class Blocks(Document):
    """A page while its blocks run: which have run, and what the last one printed."""

    def __init__(self, text: str, path: str) -> None:
        super().__init__(text, path)
        self.done: set[int] = set()  # where the examples that ran begin
        self.printed: str | None = None  # by the last Python block; None once it was compared
        self.folder: tempfile.TemporaryDirectory[str] | None = None
        self.settings = contextlib.ExitStack()
        self.namespace["__name__"] = "__main__"

    def run(self, example: Example) -> None:
        """Run a Python block, and before it those that were not selected to be tests themselves."""
        __tracebackhide__ = True
        for earlier in self.examples():
            runs = earlier.region.evaluator is evaluate
            if runs and earlier.start < example.start and earlier.start not in self.done:
                self.python(earlier)
        self.python(example)

    def python(self, example: Example) -> None:
        __tracebackhide__ = True
        self.done.add(example.start)
        self.printed = None
        if self.folder is None:
            self.folder = tempfile.TemporaryDirectory(prefix="blocks-")
            _keep_settings(self.settings)
        stream = io.StringIO()
        with contextlib.chdir(self.folder.name), contextlib.redirect_stdout(stream):
            PythonEvaluator()(example)
        self.printed = stream.getvalue()

    def compare(self, example: Example) -> str:
        """What is wrong with a block of output; empty where it is as it should be."""
        before = [earlier for earlier in self.examples() if earlier.start < example.start]
        if not before or before[-1].region.evaluator is not evaluate:
            return "no block of Python stands before this output, or it has one already"
        if before[-1].start not in self.done:
            self.run(before[-1])
        if self.printed is None:
            return f"the block before it, in line {before[-1].line}, did not run to its end"
        found = differences(example.parsed, self.printed, first_line=example.line + 1)
        return "\n".join([*found, NEXT]) if found else ""

    def close(self) -> None:
        """Let go of what the page made: names, figures, files."""
        self.namespace.clear()
        if "matplotlib.pyplot" in sys.modules:
            sys.modules["matplotlib.pyplot"].close("all")
        self.settings.close()
        if self.folder is not None:
            self.folder.cleanup()
        self.folder = None


def _keep_settings(stack: contextlib.ExitStack) -> None:
    """Closing the stack puts back what a page may set for itself alone."""
    import matplotlib
    import numpy as np

    stack.enter_context(np.printoptions())
    stack.enter_context(np.errstate())
    stack.enter_context(matplotlib.rc_context())
    variables, places = dict(os.environ), list(sys.path)

    def put_back() -> None:
        os.environ.clear()
        os.environ.update(variables)
        sys.path[:] = places

    stack.callback(put_back)


class BlocksFile(SybilFile):
    """A page as pytest collects it."""

    def teardown(self) -> None:
        for document in self.documents:
            _page(document).close()


def evaluate(example: Example) -> None:
    __tracebackhide__ = True
    _page(example.document).run(example)


def compare(example: Example) -> str:
    return _page(example.document).compare(example)


def _page(document: Document) -> Blocks:
    assert isinstance(document, Blocks)
    return document


PARSERS = [CodeBlockParser("python", evaluate), CodeBlockParser("output", compare)]
SYBIL = Sybil(PARSERS, pattern="*.md", document_types={".md": Blocks})


def is_page(path: Path) -> bool:
    """Whether this page's blocks are tests: a note, a post, a paper note, a phase's README."""
    folder, above = path.parent.name, path.parent.parent.name
    if path.name == "README.md":
        return folder.startswith("phase-")
    in_phase = above.startswith("phase-") and folder in FOLDERS
    return in_phase or (above, folder) == ("papers", "notes")


def lines(path: Path) -> dict[int, bool]:
    """Where the blocks of a page begin that are tests, and whether each runs (or is compared)."""
    examples = SYBIL.parse(path).examples()
    return {example.line: example.region.evaluator is evaluate for example in examples}


def collect(path: Path, parent: pytest.Collector) -> pytest.Collector:
    """The blocks of a page as tests, for pytest's hook of that name."""
    return BlocksFile.from_parent(parent, path=path, sybils=[SYBIL])
