"""The practice file of every module, and what is seen on a learner's syntax tree."""

import ast
import io
import subprocess
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

from journal import roadmap, stubs

ROOT = Path(__file__).resolve().parent.parent
LIBRARY = {
    name: file
    for name, file in roadmap.modules(ROOT).items()
    if not roadmap.is_script(int(name[5:7]), file.stem)
}
TRIVIAL = {"pass", "...", "return", "return None", "break", "continue"}

REFERENCE = '''\
"""Two lengths."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol, overload

LIMIT = 3  # how many
Vector = list[float]


class Sized(Protocol):
    """Has a size."""

    def size(self) -> int: ...


class BadLengthError(ValueError):
    """Raised where lengths differ."""


# The leaf operations


def length(
    x: Vector,  # any
    scale: dict[str, int] | None = None,
) -> float:  # never negative
    """Root of the sum of squares.

    `length([3.0, 4.0])` is 5.
    """  # noqa: D301
    # the trick

    total = sum(value * value for value in x)

    def root(y):
        return math.sqrt(y)

    return root(total)  # é
    # or with hypot


@dataclass(frozen=True)
class Box:
    """A box."""

    side: float
    """in metres"""

    def __post_init__(self) -> None:
        if self.side < 0:
            raise ValueError("negative")

    @property
    def area(self) -> float:
        return self.side**2

    @staticmethod
    def unit() -> Box:
        return Box(1.0)

    class Lid:
        async def lift(self):
            """Up."""
            await self.hand()


try:
    import numpy as np
except ImportError:

    def fast(x):
        return math.fsum(x)
else:

    @overload
    def fast(x): ...
    def fast(x):
        """With é in it."""
        return np.sum(x)


async def _wait():
    await nothing


def nothing():
    pass


# Run it
if __name__ == "__main__":
    print(length([1.0]))
    # done
'''

PRACTICE = '''\
"""Two lengths."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol, overload

from journal.unwritten import Unwritten

LIMIT = 3  # how many
Vector = list[float]


class Sized(Protocol):
    """Has a size."""

    def size(self) -> int: ...


class BadLengthError(ValueError):
    """Raised where lengths differ."""


# The leaf operations


def length(
    x: Vector,  # any
    scale: dict[str, int] | None = None,
) -> float:  # never negative
    """Root of the sum of squares.

    `length([3.0, 4.0])` is 5.
    """  # noqa: D301
    raise Unwritten("length")


@dataclass(frozen=True)
class Box:
    """A box."""

    side: float
    """in metres"""

    def __post_init__(self) -> None:
        raise Unwritten("Box.__post_init__")

    @property
    def area(self) -> float:
        raise Unwritten("Box.area")

    @staticmethod
    def unit() -> Box:
        raise Unwritten("Box.unit")

    class Lid:
        async def lift(self):
            """Up."""
            raise Unwritten("Box.Lid.lift")


try:
    import numpy as np
except ImportError:

    def fast(x):
        raise Unwritten("fast")
else:

    @overload
    def fast(x): ...
    def fast(x):
        """With é in it."""
        raise Unwritten("fast")


async def _wait():
    raise Unwritten("_wait")


def nothing():
    pass
'''


# ---- stub --------------------------------------------------------------------------------


def test_stub_keeps_all_but_the_bodies_byte_for_byte():
    assert stubs.stub(REFERENCE) == PRACTICE


def test_stub_of_a_stub_is_the_same_but_for_a_second_import():
    again = stubs.stub(PRACTICE)
    assert again.replace(stubs.IMPORT, "", 1) == PRACTICE


@pytest.mark.parametrize(
    ("source", "expected"),
    {
        "def f(x): return x\n": "def f(x):\n    raise Unwritten('f')\n",
        "def f(x: int = {1: 2}[1]): return x  # why\n": (
            "def f(x: int = {1: 2}[1]):\n    raise Unwritten('f')\n"
        ),
        "def f(x=lambda: 1, *, é='é:'): a = 1; return a\n": (
            "def f(x=lambda: 1, *, é='é:'):\n    raise Unwritten('f')\n"
        ),
        "def f(): 'Doc.'; return 1\n": "def f():\n    'Doc.'\n    raise Unwritten('f')\n",
        "def f():\n  'Doc.'; return 1\n": "def f():\n  'Doc.'\n  raise Unwritten('f')\n",
        "def f():  # noqa\n    # why\n    return 1": "def f():  # noqa\n    raise Unwritten('f')\n",
        "class A:\n    def f(self): return 1\n    g = 2\n": (
            "class A:\n    def f(self):\n        raise Unwritten('A.f')\n    g = 2\n"
        ),
        "if True:\n    def f():\n        return 1\n    # after\nx = 1\n": (
            "if True:\n    def f():\n        raise Unwritten('f')\n    # after\nx = 1\n"
        ),
        'def f():\n    return """\n    # a\n"""\n# b\nx = 1\n': (
            "def f():\n    raise Unwritten('f')\n# b\nx = 1\n"
        ),
    }.items(),
)
def test_body_goes_however_it_is_laid_out(source, expected):
    lines = stubs.stub(source).splitlines()
    assert "\n".join(lines[lines.index("") :]).strip() == expected.strip().replace(
        "'f'", '"f"'
    ).replace("'A.f'", '"A.f"')


@pytest.mark.parametrize(
    ("source", "before", "after"),
    [
        ("def f():\n    return 1\n", "", "\n\ndef f():"),
        ("#!/bin/python\n# coding: utf-8\nX = 1\n\n\ndef f(): return 1\n", "utf-8\n", "\nX = 1\n"),
        ('"""Doc."""\n\nX = 1\n\n\ndef f(): return 1\n', '"""Doc."""\n\n', "\nX = 1\n"),
        ('"""Doc."""\n\n\ndef f(): return 1\n', '"""Doc."""\n\n', "\n\ndef f():"),
        ("from __future__ import annotations\n\n\ndef f(): return 1\n", "annotations\n\n", "\n\nd"),
        (
            "import math\n\nfrom phase00 import (\n    x,\n)\n\nY = 1\n\n\ndef f(): return 1\n",
            "    x,\n)\n",
            "\nY = 1",
        ),
        ("import math\n\nA = 1\nimport os\n\n\ndef f(): return 1\n", "import os\n\n", "\n\ndef f"),
        ("import math\n\n\ndef f(): return 1\n\n\nimport os\n", "import math\n\n", "\n\ndef f"),
    ],
)
def test_import_of_unwritten_follows_the_imports_at_the_top(source, before, after):
    assert before + stubs.IMPORT + after in stubs.stub(source)


def test_module_without_bodies_needs_no_import():
    source = '"""Sizes."""\n\nSIZE = 3\n\n\ndef later(): ...\n'
    assert stubs.stub(source) == source
    assert stubs.stub("") == ""


def test_main_guard_goes_and_what_follows_it_stays():
    source = 'X = 1\n\n# Run\nif "__main__" == __name__:\n    print(X)\nelse:\n    Y = 2\n\nZ = 3\n'
    assert stubs.stub(source) == "X = 1\n\nZ = 3\n"


# ---- every module that there is ----------------------------------------------------------


def functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """The functions and methods that are not inside another."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node
        else:
            yield from functions(node)


def without_docstring(body: list[ast.stmt]) -> list[ast.stmt]:
    first = body[0]
    documented = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)
    return body[1:] if documented and isinstance(first.value.value, str) else body


def statements(tree: ast.Module) -> tuple[set[str], set[str]]:
    """All statements inside of function bodies, docstrings aside, and all outside."""
    inside: set[int] = set()
    for function in functions(tree):
        for node in without_docstring(function.body):
            inside |= {id(part) for part in ast.walk(node)}
    found: tuple[set[str], set[str]] = set(), set()
    for node in ast.walk(tree):
        if isinstance(node, ast.stmt):
            found[id(node) not in inside].add(ast.unparse(node))
    return found


def comments(source: str) -> list[tuple[int, str]]:
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    return [(token.start[0], token.string) for token in tokens if token.type == tokenize.COMMENT]


@pytest.mark.parametrize("name", LIBRARY)
def test_stub_of_a_module_keeps_its_names_and_leaks_no_body(name):
    source = LIBRARY[name].read_text(encoding="utf-8")
    stub = stubs.stub(source)
    tree, reference = ast.parse(stub), ast.parse(source)
    compile(stub, name, "exec")
    assert stubs.public_names(stub) == stubs.public_names(source)

    inside, outside = statements(reference)
    kept = {ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.stmt)}
    assert kept & (inside - outside - TRIVIAL) == set()
    spans = [
        (without_docstring(function.body), function.end_lineno or 0)
        for function in functions(reference)
    ]
    within = {
        text
        for line, text in comments(source)
        if any(body and body[0].lineno <= line <= end for body, end in spans)
    }
    elsewhere = [text for _, text in comments(source)]
    for text in within:
        assert [found for _, found in comments(stub)].count(text) < elsewhere.count(text)

    for function in functions(tree):
        work = [ast.unparse(node) for node in without_docstring(function.body)]
        assert work in ([], ["..."], ["pass"]) or (
            len(work) == 1 and work[0].startswith("raise Unwritten(")
        )
    # Taken out of the text, not written anew: what is left of each line is a line of the reference.
    assert set(stub.splitlines()) - set(source.splitlines()) <= {
        line for line in stub.splitlines() if "Unwritten" in line
    }


def test_stubs_are_formatted_as_ruff_would(tmp_path):
    for name, file in LIBRARY.items():
        (tmp_path / f"{name}.py").write_text(stubs.stub(file.read_text(encoding="utf-8")))
    (tmp_path / "reference.py").write_text(PRACTICE)
    command = [sys.executable, "-m", "ruff", "format", "--isolated", "--line-length=100", "--diff"]
    answer = subprocess.run([*command, tmp_path], capture_output=True, text=True, check=False)
    assert answer.stdout == ""
    assert answer.returncode == 0, answer.stderr


# ---- what a module defines ---------------------------------------------------------------


def test_public_names_tell_functions_classes_constants_and_methods_apart():
    assert stubs.public_names(REFERENCE) == {
        "LIMIT": "constant",
        "Vector": "constant",
        "Sized": "class",
        "Sized.size": "method",
        "BadLengthError": "class",
        "length": "function",
        "Box": "class",
        "Box.area": "method",
        "Box.unit": "method",
        "fast": "function",
        "nothing": "function",
    }


def test_public_names_of_a_module_with_chained_and_annotated_constants():
    source = "a = b, (_c, d) = 1, (2, 3)\ne: int = 4\nf: int\na[0] = 1\ng.h = 2\n__all__ = []\n"
    assert stubs.public_names(source) == dict.fromkeys("abde", "constant")


def test_unwritten_names_what_still_raises():
    assert stubs.unwritten(PRACTICE) == [
        "length",
        "Box.__post_init__",
        "Box.area",
        "Box.unit",
        "Box.Lid.lift",
        "fast",
        "_wait",
    ]
    assert stubs.unwritten(REFERENCE) == []


def test_function_with_a_first_line_of_its_own_is_no_longer_unwritten():
    source = "def f():\n    x = 1\n    raise Unwritten('f')\n\n\ndef g():\n    raise Unwritten\n"
    assert stubs.unwritten(source) == ["g"]


# ---- what a learner's file lacks ---------------------------------------------------------

SMALL = """\
LIMIT = 3


def dot(a, b):
    return 1


def norm(a):
    return 2


class Adam:
    def step(self):
        return 3

    def zero(self):
        return 4
"""
DOT, NORM = "def dot(a, b):\n    return 1\n", "def norm(a):\n    return 2\n"
ADAM = "class Adam:\n    def step(self): ...\n    def zero(self): ...\n"


def test_reference_and_its_stub_lack_nothing():
    for source in (REFERENCE, SMALL):
        assert stubs.missing(source, source) == []
        assert stubs.missing(stubs.stub(source), source) == []


@pytest.mark.parametrize(
    ("learner", "sentences"),
    {
        f"from fast import dot\nLIMIT = 3\n{NORM}{ADAM}": [
            "dot is not defined in your file: line 1 imports it (`from fast import dot`); "
            "write it with `def`."
        ],
        f"import fast as dot\nLIMIT = 3\n{NORM}{ADAM}": [
            "dot is not defined in your file: line 1 imports it (`import fast as dot`); "
            "write it with `def`."
        ],
        f"LIMIT = 3\n{DOT}dot = numpy.dot\n{NORM}{ADAM}": [
            "dot is not defined in your file: line 4 assigns it (`dot = numpy.dot`); "
            "write it with `def`."
        ],
        f"from x import LIMIT\n{DOT}{NORM}{ADAM}": [
            "LIMIT is not defined in your file: line 1 imports it (`from x import LIMIT`); "
            "assign it."
        ],
        f"LIMIT = 3\n{DOT}{NORM}def Adam(): ...\n": [
            "Adam is not defined in your file: line 6 defines it with `def`; write it with `class`."
        ],
        f"LIMIT = 3\n{NORM}{ADAM}globals()['dot'] = max\n": [
            "dot is not defined in your file: line 7 sets it through globals(); "
            "write it with `def`."
        ],
        f"LIMIT = 3\n{NORM}{ADAM}setattr(sys.modules[__name__], 'dot', max)\n": [
            "dot is not defined in your file: line 7 sets it through setattr; write it with `def`."
        ],
        f"LIMIT = 3\n{DOT}{NORM}class Adam:\n    step = zero = print\n": [
            "Adam.step is not defined in your file: line 7 assigns it (`step = zero = print`); "
            "write it with `def` in the class.",
            "Adam.zero is not defined in your file: line 7 assigns it (`step = zero = print`); "
            "write it with `def` in the class.",
        ],
        f"LIMIT = 3\n{DOT}{NORM}class Adam:\n    def step(self): ...\nAdam.zero = print\n": [
            "Adam.zero is not defined in your file: line 8 assigns it (`Adam.zero = print`); "
            "write it with `def` in the class."
        ],
        f"LIMIT = 3\n{DOT}    def norm(a): ...\n{ADAM}": [
            "norm is not defined in your file but inside dot (line 4); mind the indent."
        ],
        f"LIMIT = 3\n{DOT}{NORM}class Adam:\n    def step(self): ...\ndef zero(self): ...\n": [
            "Adam.zero is not defined in your file but as zero (line 8); mind the indent."
        ],
        f"LIMIT = 3\nfrom fast import *\n{NORM}{ADAM}": [
            "dot is not defined in your file (line 2 is `from fast import *`); write it with `def`."
        ],
        f"LIMIT = 3\n{DOT}def nrom(a): ...\n{ADAM}": [
            "norm is not defined in your file; is nrom meant to be it?"
        ],
        "LIMIT = 3\n": [
            "dot is not defined in your file; write it with `def`.",
            "norm is not defined in your file; write it with `def`.",
            "Adam is not defined in your file; write it with `class`.",
        ],
        "": [
            "LIMIT is not defined in your file; assign it.",
            "dot is not defined in your file; write it with `def`.",
            "norm is not defined in your file; write it with `def`.",
            "Adam is not defined in your file; write it with `class`.",
        ],
    }.items(),
)
def test_what_is_not_defined_in_the_learners_file_is_named(learner, sentences):
    assert stubs.missing(learner, SMALL) == sentences


@pytest.mark.parametrize(
    "learner",
    [
        f"LIMIT = 3\n{DOT}dot = cache(dot)\n{NORM}{ADAM}",
        f"LIMIT: int = 3\nif LIMIT:\n    def dot(): ...\nelse:\n    def dot(): ...\n{NORM}{ADAM}",
        f"LIMIT = 3\n@cache\n{DOT}{NORM}class Base:\n    def zero(self): ...\n"
        "class Adam(Base):\n    def step(self): ...\n",
        f"{SMALL}\nextra = 1\n\n\ndef helper(): ...\n",
    ],
)
def test_own_way_of_defining_a_name_is_accepted(learner):
    assert stubs.missing(learner, SMALL) == []


def test_name_that_the_reference_too_imports_may_be_imported():
    source = "try:\n    import zlib\nexcept ImportError:\n    zlib = None\n"
    assert stubs.missing(source, source) == []
    assert stubs.missing("import zlib\n", source) == []
    assert len(stubs.missing("def zlib(): ...\n", source)) == 1


def test_file_that_does_not_parse_is_refused():
    with pytest.raises(SyntaxError):
        stubs.missing("def dot(:\n", SMALL)


# ---- what a learner's file borrows -------------------------------------------------------

ITSELF = "imports the very module that your file replaces; write it yourself."


@pytest.mark.parametrize(
    ("shortcut", "part"),
    {
        "from phase00.algebra import dot": f"`from phase00.algebra import dot` {ITSELF}",
        "from phase00.algebra import *": f"`from phase00.algebra import *` {ITSELF}",
        "from phase00 import algebra": f"`from phase00 import algebra` {ITSELF}",
        "import phase00.algebra as ref": f"`import phase00.algebra as ref` {ITSELF}",
        "from . import algebra": f"`from . import algebra` {ITSELF}",
        "from .algebra import dot": f"`from .algebra import dot` {ITSELF}",
        "import importlib": "`import importlib` can load code by its path",
        "import importlib.util": "`import importlib.util` can load code by its path",
        "from importlib import machinery, import_module": "can load code by its path",
        "from importlib.machinery import SourceFileLoader": "can load code by its path",
        "SourceFileLoader('x', y).load_module()": "`SourceFileLoader` runs code from elsewhere",
        "import runpy": "`import runpy` can load code",
        "import imp": "`import imp` can load code",
        "import pkgutil": "`import pkgutil` can load code",
        "exec(text)": "`exec` runs code from elsewhere; write it in your file.",
        "eval('1 + 1')": "`eval` runs code",
        "compile(text, 'x', 'exec')": "`compile` runs code",
        "__import__('phase00.algebra')": "`__import__` runs code",
        "builtins.exec(text)": "`exec` runs code",
        "open('../algebra.py').read()": "`../algebra.py` leads to source code",
        "Path(root, 'algebra.py').read_text()": "`algebra.py` leads to source code",
        "(root / 'algebra.py').read_text()": "`algebra.py` leads to source code",
        "open(f'{root}/algebra.py')": "`/algebra.py` leads to source code",
        "list(Path('phase-00-math').glob('*'))": "`phase-00-math` leads to source code",
        "sys.path.insert(0, 'x')": "`sys.path` decides what an import finds; leave it alone.",
        "sys.modules['phase00.algebra']": "`sys.modules` decides what an import finds",
        "from sys import modules": "`from sys import modules` decides what an import finds",
        "import journal": "`import journal` imports the tool",
        "from journal import record": "`from journal import record` imports the tool",
        "import journal.stubs": "`import journal.stubs` imports the tool",
        "import pytest": "`import pytest` imports a test tool",
        "from unittest import mock": "`from unittest import mock` imports a test tool",
    }.items(),
)
def test_shortcut_is_seen_and_allowed_where_the_reference_takes_it(shortcut, part):
    learner = f"def dot(a, b):\n    {shortcut}\n" if "*" not in shortcut[-1] else f"\n{shortcut}\n"
    (sentence,) = stubs.borrowed(learner, "phase00.algebra", "import math\n")
    assert sentence.startswith("line 2: ")
    assert part in sentence
    if ITSELF not in part:
        assert stubs.borrowed(learner, "phase00.algebra", learner) == []


@pytest.mark.parametrize(
    "line",
    [
        "from journal.unwritten import Unwritten",
        "from journal.compare import compare",
        "from journal import compare",
        "import phase00.algebra_numpy",
        "from phase00 import calculus",
        "from .calculus import sine",
        "from importlib import metadata",
        "import importlib.resources",
        "re.compile('x')",
        "model.eval()",
        "open('shakespeare.txt').read()",
        "half = total / 2",
        "print('write it in algebra.py')",
        "import sys\nsys.exit(1)",
        "import important, unit",
    ],
)
def test_what_is_no_shortcut_is_left_alone(line):
    assert stubs.borrowed(line, "phase00.algebra") == []


def test_shortcuts_come_in_the_order_of_their_lines_and_once_each():
    learner = "import math\nexec(a); exec(b)\nimport pytest\nimport runpy\n"
    found = stubs.borrowed(learner, "phase00.algebra")
    assert [sentence[:7] for sentence in found] == ["line 2:", "line 3:", "line 4:"]


@pytest.mark.parametrize("name", LIBRARY)
def test_stub_of_a_module_is_free_of_shortcuts(name):
    source = LIBRARY[name].read_text(encoding="utf-8")
    assert stubs.borrowed(stubs.stub(source), name, source) == []
    assert stubs.missing(stubs.stub(source), source) == []
