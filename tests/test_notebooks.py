"""Notebooks run and print what they are committed with; a stale, failing or untidy one is found."""

import copy
import sys
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from journal import notebooks, pages

ROOT = Path(__file__).resolve().parent.parent
EXAMPLE = ROOT / "tests" / "notebooks" / "softmax.ipynb"


@pytest.mark.parametrize(
    "path",
    [*pages.notebooks(ROOT), *sorted((ROOT / "tests" / "notebooks").glob("*.ipynb"))],
    ids=lambda path: path.name,
)
def test_notebook_prints_what_it_is_committed_with(path):
    assert list(notebooks.complaints(ROOT, path)) == []


# ---- planted notebooks -------------------------------------------------------------------------


@pytest.fixture
def example():
    return notebooks.load(EXAMPLE)


def streams(text, name="stdout"):
    return new_output("stream", name=name, text=text)


def write(path, *cells):
    """A notebook of these sources, as one leaves it that was never run."""
    made = [new_code_cell(cell) if isinstance(cell, str) else cell for cell in cells]
    notebook = new_notebook(cells=made, metadata=notebooks.METADATA)
    path.write_text(nbformat.writes(notebook), encoding="utf-8")
    return path


def test_stale_copy_is_found_and_renewed_and_then_left_alone(tmp_path, capsys, monkeypatch):
    path = tmp_path / "copy.ipynb"
    path.write_text(EXAMPLE.read_text(encoding="utf-8").replace("0.24472847", "0.25472847"))
    before = path.read_bytes()
    assert notebooks.main(["--check", str(path)]) == 1
    said = capsys.readouterr().out
    assert said.startswith("copy.ipynb: the output of cell 3 is stale (stdout): line 1: ")
    assert "the page says 0.25472847, printed was 0.24472847" in said
    assert said.endswith("`uv run python -m journal.notebooks copy.ipynb` renews it\n")
    assert path.read_bytes() == before
    assert notebooks.main([str(path)]) == 0
    assert "copy.ipynb was renewed" in capsys.readouterr().out
    renewed = path.read_bytes()
    assert renewed != before
    monkeypatch.setattr(notebooks, "execute", copy.deepcopy)  # a run that prints the same again
    assert notebooks.main([str(path)]) == 0
    assert "copy.ipynb was up to date" in capsys.readouterr().out
    assert path.read_bytes() == renewed


def test_cell_that_fails_is_named_and_nothing_is_written(tmp_path, capsys):
    path = write(tmp_path / "a.ipynb", new_markdown_cell("# A"), "x = 1", "x / 0", "print(x)")
    before = path.read_bytes()
    assert notebooks.main([str(path)]) == 1
    said = capsys.readouterr().err
    assert said == "a.ipynb: cell 3 fails: ZeroDivisionError: division by zero\n"
    assert path.read_bytes() == before


def test_notebook_that_fails_is_to_be_mended_not_renewed(tmp_path):
    (complaint,) = notebooks.complaints(tmp_path, write(tmp_path / "a.ipynb", "1 / 0"))
    assert complaint == "a.ipynb: cell 1 fails: ZeroDivisionError: division by zero; mend it"


def test_cell_that_does_not_end_is_stopped(tmp_path):
    path = write(tmp_path / "a.ipynb", "import time\n\ntime.sleep(600)")
    with pytest.raises(ValueError, match=r"^cell 1 takes longer than 1 s$"):
        notebooks.execute(notebooks.load(path), timeout=1)


def test_kernel_that_ends_is_named(tmp_path):
    path = write(tmp_path / "a.ipynb", "x = 1", "import os\n\nos._exit(1)")
    with pytest.raises(ValueError, match=r"^the kernel ended while cell 2 ran$"):
        notebooks.execute(notebooks.load(path))


def test_notebook_runs_on_this_python_away_from_the_tree(tmp_path):
    path = write(
        tmp_path / "a.ipynb",
        "import sys\nfrom pathlib import Path\n\nprint(sys.executable)",
        "Path('made.txt').write_text('a')\nprint(Path('made.txt').exists())",
    )
    fresh = notebooks.execute(notebooks.load(path))
    said = [text.strip() for cell in fresh.cells for kind, text in notebooks.outputs(cell)]
    assert said == [sys.executable, "True"]
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a.ipynb"]


def test_committed_outputs_agree_with_themselves(example):
    assert list(notebooks.stale(example, copy.deepcopy(example))) == []
    assert list(notebooks.untidy(example)) == []
    assert list(notebooks.out_of_order(example)) == []


def test_small_difference_and_another_picture_and_split_streams_are_not_stale(example):
    fresh = copy.deepcopy(example)
    first, second = fresh.cells[2].outputs[0].text.replace("0.09003", "0.09004").splitlines(True)
    fresh.cells[2].outputs = [streams(first), streams(second)]
    fresh.cells[5].outputs[0].data["image/png"] = "iVBORw0KGgo="
    assert list(notebooks.stale(example, fresh)) == []


def picture_gone(notebook):
    del notebook.cells[5].outputs[0].data["image/png"]


STALE = {
    "a wrong number": (
        lambda n: n.cells[3].outputs[0].data.update({"text/plain": "array([0.9, 0.1, 0.0])"}),
        "the output of cell 4 is stale (text/plain): line 1: the page says 0.9",
    ),
    "wrong HTML": (
        lambda n: n.cells[3].outputs[0].data.update({"text/html": "<b>7.5</b>"}),
        "the output of cell 4 is stale (text/html): line 1: the page says 7.5, printed was 7",
    ),
    "a missing output": (
        lambda n: n.cells[2].update(outputs=[]),
        "the output of cell 3 is stale: committed is nothing, now stdout",
    ),
    "an output too many": (
        lambda n: n.cells[1].update(outputs=[streams("a\n")]),
        "the output of cell 2 is stale: committed is stdout, now nothing",
    ),
    "a missing picture": (
        picture_gone,
        "cell 6 is stale: committed is text/plain, now image/png, text/plain",
    ),
    "a committed error": (
        lambda n: n.cells[1].update(
            outputs=[new_output("error", ename="KeyError", evalue="'a'", traceback=[])]
        ),
        "cell 2 is committed with an error, KeyError: 'a'",
    ),
    "a warning on the other stream": (
        lambda n: n.cells[1].update(outputs=[streams("a\n", "stderr")]),
        "cell 2 is stale: committed is stderr, now nothing",
    ),
}


@pytest.mark.parametrize("name", STALE)
def test_stale_output_is_found(name, example):
    if name == "wrong HTML":
        example.cells[3].outputs[0].data["text/html"] = "<b>7.0</b>"
    fresh = copy.deepcopy(example)
    plant, complaint = STALE[name]
    plant(example)
    assert complaint in "\n".join(notebooks.stale(example, fresh))


ORDER = {
    "never run": (lambda n: n.cells[3].update(execution_count=None), "cell 4 was never run"),
    "out of order": (
        lambda n: n.cells[2].update(execution_count=7),
        "cell 3 was run as number 7, expected 2",
    ),
}


@pytest.mark.parametrize("name", ORDER)
def test_cells_out_of_order_are_found(name, example):
    plant, complaint = ORDER[name]
    plant(example)
    assert list(notebooks.out_of_order(example)) == [complaint]


UNTIDY = {
    "widgets": (
        lambda n: n.metadata.update(widgets={}),
        "its metadata has 'widgets', which belongs to an editor",
    ),
    "another kernel": (
        lambda n: n.metadata.kernelspec.update(name="mine"),
        "its kernelspec is not the plain one",
    ),
    "an editor's state": (
        lambda n: n.cells[1].metadata.update(collapsed=True),
        "cell 2 has the metadata collapsed",
    ),
    "a folder in an output": (
        lambda n: n.cells[2].outputs[0].update(text="/home/ada/x.json\n"),
        "cell 3 names a folder of one machine, /home/ada/x.json",
    ),
    "a folder in a source": (
        lambda n: n.cells[2].update(source="open('C:\\\\Users\\\\ada')"),
        "cell 3 names a folder of one machine, C:\\",
    ),
}


@pytest.mark.parametrize("name", UNTIDY)
def test_untidy_notebook_is_found(name, example):
    plant, complaint = UNTIDY[name]
    plant(example)
    assert complaint in "\n".join(notebooks.untidy(example))


def test_address_on_the_web_is_no_folder(example):
    example.cells[0].source = "See https://example.org/home/ada and a/tmp/b."
    assert list(notebooks.untidy(example)) == []


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"cells": 1, "nbformat": 4}'])
def test_file_that_is_no_notebook_is_refused(tmp_path, text):
    path = tmp_path / "a.ipynb"
    path.write_text(text)
    (complaint,) = notebooks.complaints(tmp_path, path)
    assert complaint.startswith("a.ipynb: this is no notebook: ")
    assert complaint.endswith("; mend it")
