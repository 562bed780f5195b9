"""Notebooks: run from a fresh kernel, and compared with the outputs that they are committed with.

`python -m journal.notebooks PATH ...` runs each notebook and writes the outputs anew where they are
not what the file says, with the metadata of the editor taken off. `--check` changes nothing, says
what is stale, and ends with 1. Without a path it takes every notebook of the phases.

Text, that of HTML too, is compared by `journal.printed`; of a picture only that there is one. A
notebook runs in a temporary folder, as the blocks of notes do: what it reads of the journal it
finds by `journal.numbers.result` or `journal.numbers.ROOT`. The kernel is the Python that runs this
module, with no settings of the user's.

Left out: widgets (a page on paper has none), and cells whose output may vary: let them print what
does not vary.
"""

import argparse
import os
import re
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from journal import pages
from journal.printed import differences
from journal.record import replace_file

TIMEOUT = 60  # seconds for a cell
KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}
METADATA = {"kernelspec": KERNEL, "language_info": {"name": "python"}}
OF_A_CELL = {"tags"}  # the only metadata of a cell that stays
PLACE = re.compile(
    r"(?<![\w.:/<])(?:/(?:home|root|Users|tmp|var|private|mnt|opt|work)/|[A-Za-z]:\\)[^\s'\")]*"
)
RENEW = "`uv run python -m journal.notebooks {}` renews it"


def load(path: Path) -> NotebookNode:
    """Read a notebook; ValueError where it is none."""
    try:
        notebook = nbformat.read(path, as_version=4)
        nbformat.validate(notebook)
    except (ValueError, KeyError, TypeError, AttributeError, nbformat.ValidationError) as error:
        reason = str(error).strip().splitlines()[0]
        raise ValueError(f"this is no notebook: {reason}") from None
    return notebook


def complaints(root: Path, path: Path) -> Iterator[str]:
    """What is wrong with a notebook: its metadata, its order, and what it prints when it runs."""
    name = path.relative_to(root).as_posix()
    try:
        notebook = load(path)
        wrong = [*untidy(notebook), *out_of_order(notebook)]
        wrong += stale(notebook, execute(notebook))
    except ValueError as error:
        yield f"{name}: {error}; mend it"  # what cannot be run cannot be renewed either
        return
    yield from (f"{name}: {fault}; {RENEW.format(name)}" for fault in wrong)


# ---- looking -------------------------------------------------------------------------------


def untidy(notebook: NotebookNode) -> Iterator[str]:
    """What an editor or a machine left in it: metadata, widgets, folders."""
    for key in sorted(set(notebook.metadata) - set(METADATA)):
        yield f"its metadata has {key!r}, which belongs to an editor"
    for key, value in METADATA.items():
        if notebook.metadata.get(key, value) != value:
            yield f"its {key} is not the plain one of Python 3"
    for number, cell in enumerate(notebook.cells, 1):
        extra = sorted(set(cell.metadata) - OF_A_CELL)
        if extra:
            yield f"cell {number} has the metadata {', '.join(extra)}"
        for text in [cell.source, *(text for _, text in outputs(cell))]:
            found = PLACE.search(text)
            if found:
                yield f"cell {number} names a folder of one machine, {found[0]}: take it out"


def out_of_order(notebook: NotebookNode) -> Iterator[str]:
    """Cells that were not run once each, from the first to the last."""
    codes = [cell for cell in notebook.cells if cell.cell_type == "code" and cell.source.strip()]
    for expected, cell in enumerate(codes, 1):
        number = notebook.cells.index(cell) + 1
        if cell.execution_count is None:
            yield f"cell {number} was never run"
        elif cell.execution_count != expected:
            yield f"cell {number} was run as number {cell.execution_count}, expected {expected}"


def outputs(cell: NotebookNode) -> list[tuple[str, str]]:
    """Kind and text of each output; of what is no text only the kind."""
    found: list[tuple[str, str]] = []
    for output in cell.get("outputs", []):
        if output.output_type == "stream":
            if found and found[-1][0] == output.name:  # it comes in pieces, as the timing has it
                found[-1] = (output.name, found[-1][1] + output.text)
            else:
                found.append((output.name, output.text))
        elif output.output_type == "error":
            found.append(("error", f"{output.ename}: {output.evalue}"))
        else:
            for kind in sorted(output.data):
                found.append((kind, output.data[kind] if kind.startswith("text/") else ""))
    return found


def stale(committed: NotebookNode, fresh: NotebookNode) -> Iterator[str]:
    """Where the committed outputs are not what the cells print now."""
    pairs = enumerate(zip(committed.cells, fresh.cells, strict=True), 1)
    for number, (cell, again) in pairs:
        ours, theirs = outputs(cell), outputs(again)
        kinds, now = [kind for kind, _ in ours], [kind for kind, _ in theirs]
        if "error" in kinds:
            error = ours[kinds.index("error")][1]
            yield f"cell {number} is committed with an error, {error}: mend it"
        elif kinds != now:
            shown = f"{', '.join(kinds) or 'nothing'}, now {', '.join(now) or 'nothing'}"
            yield f"the output of cell {number} is stale: committed is {shown}"
        else:
            for (kind, text), (_, printed) in zip(ours, theirs, strict=True):
                for fault in differences(text, printed)[:1]:
                    yield f"the output of cell {number} is stale ({kind}): {fault}"


# ---- running -------------------------------------------------------------------------------


def execute(notebook: NotebookNode, timeout: float = TIMEOUT) -> NotebookNode:
    """A copy of the notebook with the outputs of a run now; ValueError names a cell that fails."""
    from jupyter_client.kernelspec import KernelSpecManager
    from jupyter_client.manager import AsyncKernelManager
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

    fresh, at = clean(notebook), [0]  # `at[0]` is the cell that runs
    own = KernelSpecManager(kernel_dirs=[])  # no kernel that a user has set up under this name
    with tempfile.TemporaryDirectory(prefix="nb-") as folder:
        manager = AsyncKernelManager(
            kernel_name="python3",
            kernel_spec_manager=own,
            transport="ipc" if os.name == "posix" else "tcp",
            connection_file=str(Path(folder) / "k.json"),
        )
        client = NotebookClient(
            fresh,
            km=manager,
            timeout=timeout,
            record_timing=False,
            on_cell_start=lambda cell, cell_index: at.insert(0, cell_index + 1),
            resources={"metadata": {"path": folder}},
        )
        variables = {key: value for key, value in os.environ.items() if key != "MPLBACKEND"}
        variables["IPYTHONDIR"] = str(Path(folder) / ".ipython")
        try:
            client.execute(env=variables, cleanup_kc=True)
        except CellExecutionError as error:
            raise ValueError(f"cell {at[0]} fails: {error.ename}: {error.evalue}") from None
        except CellTimeoutError:
            raise ValueError(f"cell {at[0]} takes longer than {timeout:g} s") from None
        except DeadKernelError:
            raise ValueError(f"the kernel ended while cell {at[0]} ran") from None
    return clean(fresh, outputs_too=False)


def clean(notebook: NotebookNode, *, outputs_too: bool = True) -> NotebookNode:
    """A copy without an editor's metadata and, unless told otherwise, without outputs."""
    fresh = nbformat.from_dict(dict(notebook))
    fresh = nbformat.reads(nbformat.writes(fresh), as_version=4)  # a copy that shares nothing
    fresh.metadata = nbformat.from_dict(METADATA)
    for cell in fresh.cells:
        cell.metadata = {key: value for key, value in cell.metadata.items() if key in OF_A_CELL}
        if cell.cell_type == "code" and outputs_too:
            cell.outputs, cell.execution_count = [], None
    return fresh


def renew(path: Path) -> bool:
    """Run a notebook and write its outputs anew where they are stale; whether it was changed."""
    notebook = load(path)
    fresh = execute(notebook)
    if not [*untidy(notebook), *out_of_order(notebook), *stale(notebook, fresh)]:
        return False  # the pictures in the file are as good as the new ones
    replace_file(path, nbformat.writes(fresh).rstrip("\n") + "\n")
    return True


def main(argv: Sequence[str] | None = None) -> int:
    """Renew or check notebooks; the exit code is 1 where that fails."""
    parser = argparse.ArgumentParser("python -m journal.notebooks", description="Notebooks.")
    parser.add_argument("paths", nargs="*", type=Path, help="all of the phases if none is given")
    parser.add_argument("--check", action="store_true", help="change nothing; fail if stale")
    options = parser.parse_args(argv)
    root = Path(__file__).resolve().parent.parent
    paths = [path.resolve() for path in options.paths] or pages.notebooks(root)
    failed = False
    for path in paths:
        if options.check:
            inside = path if path.is_relative_to(root) else path.relative_to(path.parent)
            wrong = list(complaints(root if path.is_relative_to(root) else path.parent, path))
            print(*wrong or [f"{inside.name} is as it should be"], sep="\n")
            failed = failed or bool(wrong)
            continue
        try:
            print(f"{path.name} was {'renewed' if renew(path) else 'up to date'}")
        except (ValueError, OSError) as error:
            print(f"{path.name}: {error}", file=sys.stderr)
            failed = True
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
