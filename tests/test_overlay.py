"""The overlay: the learner's module everywhere, the reference's text nowhere."""

import subprocess
import sys
from pathlib import Path

import pytest
import small_journal

from journal import overlay

MINE = '"""Mine."""\n\nCASES = (1,)\n\n\ndef double(x):\n    return x + x\n'
WHERE = "from phase00 import thing; print(thing.__file__); print(thing.CASES)"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return small_journal.make(tmp_path / "journal")


def output(environment: dict[str, str], code: str, folder: Path) -> list[str]:
    command = [sys.executable, "-c", code]
    done = subprocess.run(
        command, env=environment, cwd=folder, capture_output=True, text=True, check=True
    )
    return done.stdout.splitlines()


def test_the_learners_text_stands_where_the_references_stood(root: Path, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    environment = overlay.lay_out(tree, root, {"phase00.thing": MINE})
    assert output(environment, WHERE, root) == [str(tree / "phase00" / "thing.py"), "(1,)"]


def test_the_references_text_is_not_in_the_tree(root: Path, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    overlay.lay_out(tree, root, {"phase00.thing": MINE})
    texts = [file.read_text() for file in tree.rglob("*") if file.is_file()]
    assert MINE in texts
    assert not any("matrix.T.copy()" in text for text in texts)


def test_a_file_may_stand_in_as_well_as_a_text(root: Path, tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(MINE)
    overlay.lay_out(tmp_path / "tree", root, {"phase00.thing": file})
    assert (tmp_path / "tree" / "phase00" / "thing.py").read_text() == MINE


def test_the_folder_one_stands_in_does_not_come_before_the_tree(root: Path, tmp_path: Path) -> None:
    environment = overlay.lay_out(tmp_path / "tree", root, {"phase00.thing": MINE})
    code = root / small_journal.FOLDER / "code"  # here lies a package phase00, the reference's
    assert output(environment, WHERE, code)[1] == "(1,)"


def test_a_spawned_child_sees_the_tree_too(root: Path, tmp_path: Path) -> None:
    environment = overlay.lay_out(tmp_path / "tree", root, {"phase00.thing": MINE})
    script = tmp_path / "spawns.py"
    script.write_text(
        "import multiprocessing\n"
        "def cases(queue):\n    from phase00 import thing\n    queue.put(thing.CASES)\n"
        "if __name__ == '__main__':\n"
        "    context = multiprocessing.get_context('spawn')\n"
        "    queue = context.Queue()\n"
        "    child = context.Process(target=cases, args=(queue,))\n"
        "    child.start()\n    print(queue.get())\n    child.join()\n"
    )
    done = subprocess.run(
        [sys.executable, str(script)], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "(1,)"


def test_an_unknown_module_is_refused(root: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no module phase00\.other"):
        overlay.lay_out(tmp_path / "tree", root, {"phase00.other": MINE})


def test_a_lasting_tree_is_laid_out_once_for_one_content(root: Path, tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(MINE)
    first = overlay.lasting(root, {"phase00.thing": file})
    second = overlay.lasting(root, {"phase00.thing": file})
    assert first == second
    assert output(first, WHERE, root)[1] == "(1,)"
    file.write_text(MINE.replace("(1,)", "(1, 2, 3)"))
    third = overlay.lasting(root, {"phase00.thing": file})
    assert output(third, WHERE, root)[1] == "(1, 2, 3)"
    assert len(list((root / "build" / "overlays").iterdir())) == 2
