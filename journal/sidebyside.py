"""The learner's file and the reference, one definition after the other.

Functions, classes and constants are matched by name and come in the reference's order; what only
the learner has comes last. Two columns where there is room, one below the other where there is not.
A mark between the columns tells the lines that differ, as `diff --side-by-side` does: `|` differ,
`<` only yours, `>` only the reference's.

Left out: the module's docstring, its imports, and what is defined inside an `if` or a `try`; any
judgement on which of two ways is better.
"""

import ast
import difflib
from collections.abc import Collection, Iterator
from itertools import zip_longest

from rich.console import Console
from rich.syntax import Syntax
from rich.table import Table
from rich.text import Text

from journal.views import emit

ROOM_FOR_TWO = 100  # characters of width
HANG = 2  # how much further in a wrapped line goes on
YOURS, REFERENCE = "yours", "reference"

Row = tuple[int | None, str, int | None]  # a line of each side, by number, and the mark between


def show(out: Console, mine: str, reference: str, names: Collection[str] | None = None) -> None:
    """Print both versions of every definition, or of those called `names` and the learner's extras.

    Raises ValueError where the learner's file does not parse.
    """
    yours, theirs = definitions(mine), definitions(reference)
    for name, text in theirs.items():
        if names is None or name in names:
            _show_one(out, name, yours.get(name), text)
    for name, text in yours.items():
        if name not in theirs:
            _show_one(out, name, text, None)


def definitions(source: str) -> dict[str, str]:
    """The text of each function, class and constant of a module, with the comments on top of it."""
    try:
        tree = ast.parse(source)
    except SyntaxError as error:
        raise ValueError(
            f"the file does not parse (line {error.lineno}: {error.msg}), so its definitions "
            "cannot be told apart; correct that first"
        ) from None
    # Not splitlines: a form feed inside a line is no end of it for the syntax tree.
    lines = source.replace("\r\n", "\n").split("\n")
    found: dict[str, str] = {}
    end = 0  # of the statement before
    for node in tree.body:
        decorators = getattr(node, "decorator_list", [])
        start = min([node.lineno, *(decorator.lineno for decorator in decorators)]) - 1
        while start > end and lines[start - 1].startswith("#"):
            start -= 1
        end = node.end_lineno or node.lineno
        text = "\n".join(line.rstrip() for line in lines[start:end])
        name = _name(node)
        if name:  # several of one name (overloads) belong together
            found[name] = f"{found[name]}\n\n{text}" if name in found else text
    return found


def _name(node: ast.stmt) -> str | None:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return node.name
    if isinstance(node, ast.Assign):
        return ", ".join(ast.unparse(target) for target in node.targets)
    return ast.unparse(node.target) if isinstance(node, ast.AnnAssign) else None


def _show_one(out: Console, name: str, yours: str | None, theirs: str | None) -> None:
    if yours is None or theirs is None:
        whose = "in the reference" if yours is None else "in your file"
        _heading(out, f"{name}: only {whose}")
    elif yours == theirs:
        emit(out, f"{name}: identical")
        return
    elif ast.dump(ast.parse(yours)) == ast.dump(ast.parse(theirs)):
        _heading(out, f"{name}: the same code, with other comments or line breaks")
    else:
        _heading(out, name)
    columns = _lines(out, yours), _lines(out, theirs)
    rows = list(_rows(*([line.plain for line in column] for column in columns)))
    if yours is None or theirs is None:
        _below(out, columns, [(i, " ", j) for i, _, j in rows])  # nothing to tell apart
    elif out.width < ROOM_FOR_TWO:
        _below(out, columns, rows)
    else:
        _beside(out, columns, rows)


def _heading(out: Console, text: str) -> None:
    out.print()
    out.print(Text(text, style="bold"))


def _lines(out: Console, code: str | None) -> list[Text]:
    """The lines of a definition, coloured where the output is a terminal."""
    if code is None:
        return []
    code = code.expandtabs(4)
    if not out.is_terminal:
        return [Text(line) for line in code.split("\n")]
    syntax = Syntax("", "python", theme="ansi_dark", background_color="default")
    return list(syntax.highlight(code).split("\n", allow_blank=True))[: code.count("\n") + 1]


def _rows(yours: list[str], theirs: list[str]) -> Iterator[Row]:
    """Both sides line by line, equal lines opposite each other."""
    matcher = difflib.SequenceMatcher(None, yours, theirs, autojunk=False)
    for tag, i1, i2, j1, j2 in matcher.get_opcodes():
        for i, j in zip_longest(range(i1, i2), range(j1, j2)):
            if tag == "equal":
                yield i, " ", j
            else:
                yield i, "<" if j is None else ">" if i is None else "|", j


def _wrapped(out: Console, line: Text, width: int) -> Text:
    """A line that is too long, going on under its own indent and a little more."""
    indent = len(line.plain) - len(line.plain.lstrip())
    if line.cell_len <= width:
        return line
    pieces = line[indent:].wrap(out, max(width - indent - HANG, HANG))
    margins = (" " * indent, *[" " * (indent + HANG)] * (len(pieces) - 1))
    return Text("\n").join(Text(m) + piece for m, piece in zip(margins, pieces, strict=True))


def _beside(out: Console, columns: tuple[list[Text], list[Text]], rows: list[Row]) -> None:
    """Two columns with the marks between them."""
    width = (out.width - 3) // 2  # the mark, and a blank on either side of it
    table = Table(box=None, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column(YOURS, width=width, overflow="fold")
    table.add_column("", width=1, style="bold")
    table.add_column(REFERENCE, width=width, overflow="fold")
    for i, mark, j in rows:
        left = Text() if i is None else _wrapped(out, columns[0][i], width)
        right = Text() if j is None else _wrapped(out, columns[1][j], width)
        table.add_row(left, mark, right)
    emit(out, table)


def _below(out: Console, columns: tuple[list[Text], list[Text]], rows: list[Row]) -> None:
    """The learner's lines, then the reference's, the marks in front."""
    for side, title in enumerate((YOURS, REFERENCE)):
        if not columns[side]:
            continue
        if all(columns):
            out.print(Text(f"{title}:", style="italic"))
        table = Table.grid(padding=(0, 1, 0, 0))
        table.add_column(width=1, style="bold")
        table.add_column(overflow="fold")
        for row in rows:
            number = row[0] if side == 0 else row[2]
            if number is not None:
                table.add_row(row[1], _wrapped(out, columns[side][number], out.width - 2))
        emit(out, table)
