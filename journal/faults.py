"""What can be seen of a learner's file before anything runs: that it is Python, and their own.

Each function gives sentences; no sentence means that the file can be judged. Left out: what only a
run can show, which is `journal.check`'s.
"""

import ast
import re
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

from journal import stubs

ALWAYS = {"jaxtyping", "journal"}  # of journal, `stubs.borrowed` says which parts


def read(file: Path) -> str:
    """The text of a Python file, without the mark that some editors put in front."""
    return decoded(file.read_bytes(), file.name)


def decoded(content: bytes, name: str) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{name} is not UTF-8 text (byte {error.start}): save it as UTF-8"
        ) from None


def faults(content: bytes, module: str, reference: str) -> list[str]:
    """What keeps the learner's version of a module from being judged at all."""
    with warnings.catch_warnings(action="ignore"):  # a wrong escape is no fault of this kind
        return list(_faults(content, module, reference))


def _faults(content: bytes, module: str, reference: str) -> Iterator[str]:
    try:
        text = decoded(content, "it")
        tree = ast.parse(text)
    except (SyntaxError, ValueError) as error:
        line = getattr(error, "lineno", None)
        words = getattr(error, "msg", None) or str(error)
        yield f"it is not Python: {words}" + (f", line {line}" if line else "")
        return
    if not tree.body:
        yield "it is empty"
        return
    yield from stubs.missing(text, reference)
    yield from stubs.borrowed(text, module, reference)
    yield from foreign_imports(text, module, reference)
    yield from other_parameters(text, reference)


def foreign_imports(text: str, module: str, reference: str) -> Iterator[str]:
    """What the module is written without: packages, its siblings, and later phases.

    The standard library, what the reference imports and whole phases before are free to use (phase
    3 does without phase 2).
    """
    allowed = {name for _, name in _imports(reference)}
    packages = {name.partition(".")[0] for name in allowed} | ALWAYS | sys.stdlib_module_names
    said = set()
    for line, name in _imports(text):
        package = name.partition(".")[0]
        phase = re.fullmatch(r"phase(\d\d)", package)
        if phase:
            here = int(module[5:7])
            earlier = int(phase[1]) < here and (here, phase[1]) != (3, "02")
            if earlier or name == package or ".".join(name.split(".")[:2]) in allowed:
                continue
            name = ".".join(name.split(".")[:2])
        elif package in packages:
            continue
        else:
            name = package
        if (line, name) not in said:
            said.add((line, name))
            yield f"line {line} imports {name}; {module} is written without it"


def _imports(text: str) -> Iterator[tuple[int, str]]:
    """Every imported name in full, with its line; not those under a main guard."""
    tree = ast.parse(text)
    guarded = {
        id(inner) for node in tree.body if stubs.is_main_guard(node) for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if id(node) in guarded:
            continue
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.lineno, node.module
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)


def other_parameters(text: str, reference: str) -> Iterator[str]:
    """Public functions whose parameters have other names: later phases may call them by name."""
    expected, found = _parameters(reference), _parameters(text)
    for name, names in expected.items():
        if name in found and found[name] != names:
            mine, theirs = ", ".join(found[name]), ", ".join(names)
            yield f"{name} takes ({theirs}), yours ({mine}): keep the names and their order"


def _parameters(text: str) -> dict[str, list[str]]:
    """The parameters of every public function and method at the top of a module."""
    found = {}
    for node in ast.parse(text).body:
        inner = node.body if isinstance(node, ast.ClassDef) else [node]
        prefix = f"{node.name}." if isinstance(node, ast.ClassDef) else ""
        for function in inner:
            if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
                args = function.args
                every = [*args.posonlyargs, *args.args, args.vararg, *args.kwonlyargs, args.kwarg]
                if not function.name.startswith("_"):
                    found[prefix + function.name] = [arg.arg for arg in every if arg is not None]
    return found
