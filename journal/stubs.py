"""A module with its bodies taken out, and what a learner's syntax tree says about their version.

`stub` makes the practice file from a reference module. Signatures, decorators, docstrings, comments
between definitions, imports, constants and the fields of classes stay byte for byte as they were;
the body of every function and method becomes `raise Unwritten("name")`. A body that is only a
docstring, `...` or `pass` stays (protocols, overloads, exceptions); what is nested in a function
goes with the body, and so does an `if __name__ == "__main__":` block. One policy for every module.

The rest looks at a file without running it: `public_names` (what a module offers), `unwritten`
(what is still a stub), `missing` (what the learner's own file does not define), `borrowed`
(imports and calls that fetch code instead of writing it).

Left out: whatever only running could show. A file that hides well how it fetches the reference
is not found here; the checker runs it where the reference is absent.
"""

import ast
import re
import tokenize
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from journal.nearest import nearest

Function = ast.FunctionDef | ast.AsyncFunctionDef
Edit = tuple[int, int, str]  # from which byte to which, and what comes there instead

IMPORT = "from journal.unwritten import Unwritten\n"
OURS = re.compile(r"(journal|phase\d\d)\b")
CODING = re.compile(r"#!|#.*coding[:=]")  # lines that count only at the top of a file
GUARDS = ("__name__ == '__main__'", "'__main__' == __name__")

MUST_BE = {
    "function": "write it with `def`",
    "method": "write it with `def` in the class",
    "class": "write it with `class`",
    "constant": "assign it",
}
LOADERS = re.compile(r"(importlib(?!\.(metadata|resources)\b)|runpy|imp|pkgutil|zipimport)\b")
EXECUTORS = {"exec", "eval", "compile", "__import__", "SourceFileLoader"}
READERS = {"open", "Path", "PurePath", "joinpath", "read_text", "read_bytes", "getlines"}
SOURCE_FILE = re.compile(r"\.py$|phase-\d")
TEST_TOOLS = re.compile(r"(_?pytest|unittest)\b")
FOR_LEARNERS = re.compile(r"journal\.(unwritten|compare)\b")


# ---- walking a syntax tree ---------------------------------------------------------------


def _statements(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Every statement of a scope, those inside `if`, `try`, `with` and loops too."""
    for node in body:
        if is_main_guard(node):
            continue
        yield node
        if isinstance(node, Function | ast.ClassDef):
            continue  # a scope of its own
        for block in ("body", "orelse", "finalbody"):
            yield from _statements(getattr(node, block, []))
        for part in (*getattr(node, "handlers", ()), *getattr(node, "cases", ())):
            yield from _statements(part.body)


def _functions(body: list[ast.stmt], prefix: str = "") -> Iterator[tuple[str, Function]]:
    """Every function and method with its name, `Class.method`; none that is inside another."""
    for node in _statements(body):
        if isinstance(node, Function):
            yield prefix + node.name, node
        elif isinstance(node, ast.ClassDef):
            yield from _functions(node.body, f"{prefix}{node.name}.")


def is_main_guard(node: ast.stmt) -> bool:
    """True for `if __name__ == "__main__":`, which no import runs."""
    return isinstance(node, ast.If) and ast.unparse(node.test) in GUARDS


def _work(function: Function) -> list[ast.stmt]:
    """The statements of a body after its docstring."""
    first = function.body[0]
    documented = (
        isinstance(first, ast.Expr)
        and isinstance(first.value, ast.Constant)
        and isinstance(first.value.value, str)
    )
    return function.body[1:] if documented else function.body


def _says_nothing(node: ast.stmt) -> bool:
    if isinstance(node, ast.Pass):
        return True
    value = node.value if isinstance(node, ast.Expr) else None
    return isinstance(value, ast.Constant) and value.value is Ellipsis


# ---- the practice file -------------------------------------------------------------------


class _Text:
    """A source text as lines of bytes, since the columns of a syntax tree count bytes."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.bytes = source.encode()
        self.lines = self.bytes.splitlines(keepends=True)
        self.starts = [0]
        for line in self.lines:
            self.starts.append(self.starts[-1] + len(line))

    def at(self, line: int, column: int) -> int:
        return self.starts[line - 1] + column

    def line(self, number: int) -> str:
        return self.lines[number - 1].decode()

    def colon(self, function: Function) -> tuple[int, int]:
        """Line and column just behind the colon that ends a function's signature."""
        rest = (line.decode() for line in self.lines[function.lineno - 1 :])
        depth = 0
        for token in tokenize.generate_tokens(lambda: next(rest, "")):
            if token.type == tokenize.OP and token.string in "([{":
                depth += 1
            elif token.type == tokenize.OP and token.string in ")]}":
                depth -= 1
            elif token.string == ":" and depth == 0:
                line, column = function.lineno - 1 + token.end[0], token.end[1]
                return line, len(self.line(line)[:column].encode())
        raise AssertionError(f"no colon after def {function.name}")

    def last_line(self, node: ast.stmt) -> int:
        """The last line of a block, the comments that stand below it under its indent included."""
        last = node.end_lineno or node.lineno
        for number in range(last + 1, len(self.lines) + 1):
            text = self.line(number)
            bare = text.lstrip()
            if bare and not (bare.startswith("#") and len(text) - len(bare) > node.col_offset):
                break
            last = number if bare else last
        return last


def stub(source: str) -> str:
    """A module's source with `raise Unwritten("name")` for the body of every function."""
    tree = ast.parse(source)
    text = _Text(source)
    edits = [
        _without_body(text, name, function)
        for name, function in _functions(tree.body)
        if not all(map(_says_nothing, _work(function)))
    ]
    if edits:
        edits.append(_import(text, tree))
    edits += [_without(text, tree, node) for node in tree.body if is_main_guard(node)]
    result = text.bytes
    for start, end, new in sorted(edits, reverse=True):
        result = result[:start] + new.encode() + result[end:]
    return result.decode()


def _without_body(text: _Text, name: str, function: Function) -> Edit:
    """The edit that leaves a function's signature and docstring."""
    work = _work(function)
    first = function.body[0]
    line, column = text.colon(function)
    one_line = first.lineno == line
    indent = " " * (function.col_offset + 4 if one_line else first.col_offset)
    new = f'{indent}raise Unwritten("{name}")\n'
    if work[0] is not first and one_line:
        new = f"{indent}{ast.get_source_segment(text.source, first)}\n{new}"
    elif work[0] is not first:
        line, column = first.end_lineno or line, first.end_col_offset or column
    start = text.at(line, column)
    if work[0].lineno > line:  # a comment behind the signature or the docstring stays
        start = text.starts[line]
    else:
        new = f"\n{new}"
    return start, text.starts[text.last_line(function)], new


def _import(text: _Text, tree: ast.Module) -> Edit:
    """The edit that adds the import of Unwritten, below the imports at the top."""
    last = None
    for node in tree.body:
        if isinstance(node, Function | ast.ClassDef):
            break
        last = node if isinstance(node, ast.Import | ast.ImportFrom) else last
    if last is not None:
        ours = OURS.match(_imported(last, "")[0]) or getattr(last, "level", 0)
        start = text.starts[last.end_lineno or last.lineno]
        return start, start, IMPORT if ours else f"\n{IMPORT}"
    if ast.get_docstring(tree) is not None:
        start = text.starts[tree.body[0].end_lineno or 1]
        return start, start, f"\n{IMPORT}"
    top = 0
    while CODING.match(text.line(top + 1)):
        top += 1
    gap = "\n\n" if isinstance(tree.body[0], Function | ast.ClassDef) else "\n"
    return text.starts[top], text.starts[top], IMPORT + gap


def _without(text: _Text, tree: ast.Module, node: ast.stmt) -> Edit:
    """The edit that leaves out a statement, the comments on top of it and the gap above."""
    before = [other.end_lineno or 0 for other in tree.body if other.lineno < node.lineno]
    first = node.lineno
    while first - 1 > max(before, default=0) and text.line(first - 1).startswith("#"):
        first -= 1
    while first - 1 > max(before, default=0) and not text.line(first - 1).strip():
        first -= 1
    return text.starts[first - 1], text.starts[text.last_line(node)], ""


# ---- what a module defines ---------------------------------------------------------------


@dataclass(frozen=True)
class Binding:
    """One place where a name of a module (or `Class.name`) gets its value."""

    name: str
    kind: str  # function, class, method or constant, or imported
    line: int
    how: str  # a verb and its object, for "line 3 ..."


def public_names(source: str) -> dict[str, str]:
    """What a module offers: name -> function, class or constant, and `Class.method` -> method."""
    tree = ast.parse(source)
    names = {
        binding.name: binding.kind
        for binding in _scope(tree.body)
        if binding.kind in ("function", "class", "method")
        or (binding.kind == "constant" and "." not in binding.name)
    }
    return {name: kind for name, kind in names.items() if not re.search(r"(^|\.)_", name)}


def unwritten(source: str) -> list[str]:
    """The functions and methods whose body is still `raise Unwritten(...)` and nothing else."""
    found = [
        name
        for name, function in _functions(ast.parse(source).body)
        if len(_work(function)) == 1 and _raises_unwritten(_work(function)[0])
    ]
    return list(dict.fromkeys(found))  # a property and its setter have one name


def functions(source: str) -> list[str]:
    """The functions and methods that have a body to write."""
    named = _functions(ast.parse(source).body)
    return list(dict.fromkeys(name for name, function in named if _work(function)))


def _raises_unwritten(node: ast.stmt) -> bool:
    return isinstance(node, ast.Raise) and bool(
        re.match(r"(\w+\.)*Unwritten\b", ast.unparse(node.exc) if node.exc else "")
    )


def _scope(body: list[ast.stmt], owner: str = "") -> Iterator[Binding]:
    """The names that the statements of a module, or of a class of it, bind."""
    for node in _statements(body):
        if isinstance(node, Function):
            kind = "method" if owner else "function"
            yield Binding(owner + node.name, kind, node.lineno, "defines it with `def`")
        elif isinstance(node, ast.ClassDef):
            kind = "class" if not owner else "constant"
            yield Binding(owner + node.name, kind, node.lineno, "defines it with `class`")
            if not owner:
                yield from _scope(node.body, f"{node.name}.")
        elif isinstance(node, ast.Import | ast.ImportFrom):
            for alias in node.names:
                name = alias.asname or alias.name.partition(".")[0]
                how = f"imports it (`{ast.unparse(node)}`)"
                yield Binding(owner + name, "imported", node.lineno, how)
        else:
            for name in _targets(node):
                how = f"assigns it (`{ast.unparse(node).splitlines()[0]}`)"
                yield Binding(owner + name, "constant", node.lineno, how)


def _targets(node: ast.stmt) -> Iterator[str]:
    """The names that an assignment gives a value to; `f = wrap(f)` only wraps what is there."""
    if isinstance(node, ast.Assign):
        value, targets = node.value, node.targets
    elif isinstance(node, ast.AnnAssign) and node.value is not None:
        value, targets = node.value, [node.target]
    else:
        return
    used = {part.id for part in ast.walk(value) if isinstance(part, ast.Name)}
    for part in (part for target in targets for part in ast.walk(target)):
        if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store) and part.id not in used:
            yield part.id
        elif isinstance(part, ast.Attribute) and isinstance(part.value, ast.Name):
            yield f"{part.value.id}.{part.attr}"


def _set_by_call(tree: ast.Module) -> Iterator[Binding]:
    """Names that get their value through `globals()["name"] = ...` or `setattr`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Store):
            made = ast.unparse(node.value)
            if made in ("globals()", "locals()", "vars()") and isinstance(node.slice, ast.Constant):
                yield Binding(str(node.slice.value), "set", node.lineno, f"sets it through {made}")
        elif isinstance(node, ast.Call) and ast.unparse(node.func) == "setattr":
            owner, name, *_ = (*node.args, None, None)
            if isinstance(name, ast.Constant):
                inside = f"{owner.id}." if isinstance(owner, ast.Name) else ""
                how = "sets it through setattr"
                yield Binding(f"{inside}{name.value}", "set", node.lineno, how)


# ---- what a learner's file lacks, what it borrows ----------------------------------------


def missing(learner: str, reference: str) -> list[str]:
    """A sentence for each public name of the reference that the learner's file does not define.

    A function and a method must be a `def` there, a class a `class`, a constant assigned; a method
    may stand in a base class of the same file. Raises SyntaxError where the file does not parse.
    """
    tree = ast.parse(learner)
    own = _by_name((*_scope(tree.body), *_set_by_call(tree)))
    theirs = _by_name(_scope(ast.parse(reference).body))
    expected = public_names(reference)
    found = []
    for name, kind in expected.items():
        owner = name.rpartition(".")[0]
        if owner and not any(binding.kind == "class" for binding in own.get(owner, ())):
            continue  # the sentence about the class says it
        bindings = next((own[known] for known in _inherited(tree, name) if known in own), [])
        kinds = {binding.kind for binding in theirs[name]}  # `try: import x` has two
        other = [binding for binding in bindings if binding.kind not in kinds]
        if other:
            where = f"line {other[0].line} {other[0].how}"
            found.append(f"{name} is not defined in your file: {where}; {MUST_BE[kind]}.")
        elif not bindings:
            found.append(f"{name} is not defined in your file{_instead(tree, name, expected)}")
    return found


def _by_name(bindings: Iterable[Binding]) -> dict[str, list[Binding]]:
    found: dict[str, list[Binding]] = {}
    for binding in bindings:
        found.setdefault(binding.name, []).append(binding)
    return found


def _inherited(tree: ast.Module, name: str) -> list[str]:
    """`Class.method`, then the same method of the classes of this file that Class is made from."""
    owner, _, method = name.rpartition(".")
    classes = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}
    order = [owner]
    for known in order:
        bases = classes[known].bases if known in classes else []
        order += [b.id for b in bases if isinstance(b, ast.Name) and b.id not in order]
    return [f"{known}.{method}" if known else name for known in order]


def _instead(tree: ast.Module, name: str, expected: dict[str, str]) -> str:
    """Why a name may be missing: it stands elsewhere, comes with a star, is misspelt."""
    kind, short = expected[name], name.rpartition(".")[2]
    for other, function in _functions(tree.body):
        if other.rpartition(".")[2] == short and other not in expected:
            return f" but as {other} (line {function.lineno}); mind the indent."
        for node in ast.walk(function):
            if isinstance(node, Function) and node.name == short and node is not function:
                return f" but inside {other} (line {node.lineno}); mind the indent."
    for node in tree.body:
        if isinstance(node, ast.ImportFrom) and node.names[0].name == "*":
            return f" (line {node.lineno} is `{ast.unparse(node)}`); {MUST_BE[kind]}."
    others = {binding.name for binding in _scope(tree.body) if binding.kind == kind}
    close = nearest(name, others - set(expected), count=1, cutoff=0.75)
    return f"; is {close[0]} meant to be it?" if close else f"; {MUST_BE[kind]}."


def borrowed(learner: str, module: str, reference: str = "") -> list[str]:
    """A sentence for each shortcut in the learner's version of `module` (`phase00.calculus`).

    What the reference does itself is no shortcut. Raises SyntaxError where a file does not parse.
    """
    allowed = {key for key, _, _ in _shortcuts(ast.parse(reference), module)}
    found = {
        (line, key): f"line {line}: {sentence}"
        for key, line, sentence in _shortcuts(ast.parse(learner), module)
        if key not in allowed
    }
    return [found[place] for place in sorted(found)]


def _shortcuts(tree: ast.Module, module: str) -> Iterator[tuple[str, int, str]]:
    """Every shortcut: what it uses, its line, and a sentence."""
    body = [node for node in tree.body if not is_main_guard(node)]
    for node in (inner for top in body for inner in ast.walk(top)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            for name in _imported(node, module):
                for key, why in _import_shortcut(name, module):
                    yield key, node.lineno, f"`{ast.unparse(node)}` {why}."
        elif isinstance(node, ast.Call):
            called = ast.unparse(node.func).removeprefix("builtins.")
            if called in EXECUTORS or called.endswith(".SourceFileLoader"):
                key = called.rpartition(".")[2]
                yield key, node.lineno, f"`{key}` runs code from elsewhere; write it in your file."
            if called.rpartition(".")[2] in READERS:
                yield from _source_files(node)
        elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div):
            yield from _source_files(node)
        elif isinstance(node, ast.Attribute) and ast.unparse(node) in ("sys.path", "sys.modules"):
            key = ast.unparse(node)
            yield key, node.lineno, f"`{key}` decides what an import finds; leave it alone."


def _imported(node: ast.Import | ast.ImportFrom, module: str) -> list[str]:
    """The full names that an import in `module` brings in."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    packages = module.split(".")[: -node.level] if node.level else []
    base = [*packages, *filter(None, [node.module])]
    return [".".join([*base, alias.name]) for alias in node.names]


def _import_shortcut(name: str, module: str) -> Iterator[tuple[str, str]]:
    """What is wrong with importing `name`, if anything."""
    if f"{name}.".startswith(f"{module}."):
        yield module, "imports the very module that your file replaces; write it yourself"
    loader = LOADERS.match(name)
    if loader:
        yield loader[1].partition(".")[0], "can load code by its path; write it in your file"
    if name in ("sys.path", "sys.modules"):
        yield name, "decides what an import finds; leave it alone"
    if name.split(".")[0] == "journal" and not FOR_LEARNERS.match(name):
        key = ".".join(name.split(".")[:2])
        yield key, "imports the tool; of it only journal.compare is meant for your file"
    tool = TEST_TOOLS.match(name)
    if tool:
        yield tool[1], "imports a test tool; the tests are kept apart from the module"


def _source_files(node: ast.AST) -> Iterator[tuple[str, int, str]]:
    """The literal paths of source code in an expression."""
    for part in ast.walk(node):
        if not isinstance(part, ast.Constant) or not isinstance(part.value, str):
            continue
        text = part.value
        if SOURCE_FILE.search(text):
            yield text, part.lineno, f"`{text}` leads to source code, which your file may not read."
