"""The shape of the repository: every check of it, on the real tree and on planted faults.

A check takes the root of a tree and returns its complaints, one line each. Each is run on the
real tree, where it must have none, on a small healthy tree, where it must have none either, and
on that tree with one fault planted, which it must name.
"""

import ast
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from journal import cli, hints, roadmap
from journal.pages import tracked
from journal.plan import Roadmap

ROOT = Path(__file__).resolve().parent.parent
PARTS = ("notes", "code/phase{:02}", "tests", "results", "blog")
UNFINISHED = re.compile(r"^Status: (in progress|to come)$", re.MULTILINE)
NUMPY_ONLY = {"numpy", "jaxtyping"}
FROM_PHASE_6 = {"torch", "safetensors", "tiktoken"}
# prepare.py is too long for one file: these are parts of that script, which may do what a script
# may, but only scripts (and each other) may import them.
SCRIPT_PARTS = {
    "phase08.forecast": {"psutil", "tqdm"},
    "phase08.pipeline": set(),
    "phase08.sources": {"datasets", "huggingface_hub", "journal", "pyarrow"},
}
PICKLES = {".pkl", ".pickle", ".pt", ".pth", ".joblib"}
MEGABYTE = 1_000_000


# ---- the checks --------------------------------------------------------------------------


def phase_folders_are_complete(root: Path) -> Iterator[str]:
    """Eleven phases, each with its five folders, each holding something."""
    phases = roadmap.load(root).phases
    if len(phases) != 11:
        yield f"ROADMAP.md has {len(phases)} phases, not 11"
    files = tracked(root)
    for phase in phases:
        for part in PARTS:
            folder = f"{phase.folder}/{part.format(phase.number)}/"
            if not any(name.startswith(folder) for name in files):
                yield f"{folder} holds nothing; put a README.md there that says what will come"


def no_folder_called_code_is_a_package(root: Path) -> Iterator[str]:
    """`code/__init__.py` would shadow the standard library's `code`, which pdb needs."""
    for file in root.glob("*/code/__init__.py"):
        yield f"{file.relative_to(root)} shadows the standard library's module; delete it"


def links_of_the_roadmap_exist(root: Path) -> Iterator[str]:
    text = (root / "ROADMAP.md").read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^()\s]+)\)", text):
        path = target.partition("#")[0]
        if "://" not in target and path and not (root / path).exists():
            yield f"ROADMAP.md links to {path}, which is not there"


def items_with_code_have_tests(root: Path) -> Iterator[str]:
    yield from code_without_tests(roadmap.load(root))


def code_without_tests(plan: Roadmap) -> Iterator[str]:
    for item in plan.items:
        if item.of("Code") and not item.of("Tests"):
            yield f"item {item.id} has Code and no Tests"


def finished_phases_have_links_on_every_item(root: Path) -> Iterator[str]:
    """A phase is finished when its README does not say that it is in progress or to come."""
    for phase in roadmap.load(root).phases:
        readme = root / phase.folder / "README.md"
        if not readme.is_file():
            yield f"{phase.folder} has no README.md"
        elif not UNFINISHED.search(readme.read_text(encoding="utf-8")):
            for item in phase.items:
                if not item.written:
                    yield f"{phase.folder} counts as finished, but item {item.id} has no links"


def library_modules_import_only_what_is_allowed(root: Path) -> Iterator[str]:
    """The standard library, NumPy, jaxtyping, phases before; from phase 6 on torch and so on."""
    for name, file in roadmap.modules(root).items():
        phase = int(name[5:7])
        if roadmap.is_script(phase, file.stem):
            continue
        allowed = NUMPY_ONLY | (FROM_PHASE_6 if phase >= 6 else set())
        allowed |= {f"phase{earlier:02}" for earlier in range(phase + 1)}
        allowed |= SCRIPT_PARTS.get(name, set())
        if phase == 3:
            allowed.remove("phase02")
        for line, imported in imports(file):
            package = imported.partition(".")[0]
            part = imported in SCRIPT_PARTS and name not in SCRIPT_PARTS
            if part or (package not in allowed and package not in sys.stdlib_module_names):
                what = imported if part else package
                yield f"{file.relative_to(root)}:{line}: {name} may not import {what}"


def imports(file: Path) -> Iterator[tuple[int, str]]:
    """The modules that a file imports anywhere, functions included, each once a line."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            whole = [f"{node.module}.{alias.name}" for alias in node.names]
            parts = [name for name in whole if name in SCRIPT_PARTS]
            yield from ((node.lineno, name) for name in parts or [node.module or ""])


def phase_tests_only_look_back(root: Path) -> Iterator[str]:
    for file in sorted(root.glob("phase-[0-9][0-9]-*/tests/**/*.py")):
        phase = int(file.relative_to(root).parts[0].split("-")[1])
        for line, imported in imports(file):
            later = re.match(r"phase(\d\d)\b", imported)
            if later and int(later[1]) > phase:
                yield f"{file.relative_to(root)}:{line}: phase {phase}'s tests import {imported}"


def library_modules_print_nothing(root: Path) -> Iterator[str]:
    for name, file in roadmap.modules(root).items():
        if roadmap.is_script(int(name[5:7]), file.stem):
            continue
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in ("print", "input"):
                yield f"{file.relative_to(root)}:{node.lineno}: {name} prints; only scripts do"


def scripts_are_told_apart_by_name(root: Path) -> Iterator[str]:
    """What can be run (`if __name__ == ...`) is called like a script, and the other way round."""
    for name, file in roadmap.modules(root).items():
        runs = 'if __name__ == "__main__":' in file.read_text(encoding="utf-8")
        if runs != roadmap.is_script(int(name[5:7]), file.stem):
            what = "can be run but is not called like a script" if runs else "has no main guard"
            yield f"{file.relative_to(root)} {what}"


def the_journal_imports_no_phase(root: Path) -> Iterator[str]:
    for file in sorted((root / "journal").rglob("*.py")):
        for line, imported in imports(file):
            if re.match(r"phase\d\d\b", imported):
                yield f"{file.relative_to(root)}:{line}: the journal may not import {imported}"


def tracked_files_are_small_and_of_the_right_kind(root: Path) -> Iterator[str]:
    for name in tracked(root):
        size = (root / name).stat().st_size
        if size > MEGABYTE:
            yield f"{name} has {size} bytes, over 1 MB"
        if Path(name).name == "uv.lock":
            yield f"{name} pins one registry's addresses; ignore it"
        if Path(name).suffix in PICKLES:
            yield f"{name} is a pickle; use json, safetensors or npz"


def names_of_test_files_are_unique(root: Path) -> Iterator[str]:
    names = (Path(name).name for name in tracked(root))
    for name, count in Counter(names).items():
        if count > 1 and name.startswith("test_") and name.endswith(".py"):
            yield f"{count} test files are called {name}"


def phases_with_hints_have_them_for_every_item_with_code(root: Path) -> Iterator[str]:
    for phase in roadmap.load(root).phases:
        file = root / phase.folder / "hints.md"
        if file.is_file():
            with_code = [item for item in phase.items if item.of("Code")]
            yield from hints.complete(with_code, hints.load(file))


CHECKS: list[Callable[[Path], Iterator[str]]] = [
    phase_folders_are_complete,
    no_folder_called_code_is_a_package,
    links_of_the_roadmap_exist,
    items_with_code_have_tests,
    finished_phases_have_links_on_every_item,
    library_modules_import_only_what_is_allowed,
    phase_tests_only_look_back,
    library_modules_print_nothing,
    scripts_are_told_apart_by_name,
    the_journal_imports_no_phase,
    tracked_files_are_small_and_of_the_right_kind,
    names_of_test_files_are_unique,
    phases_with_hints_have_them_for_every_item_with_code,
]


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_tree_is_in_order(check):
    assert list(check(ROOT)) == []


def test_training_command_finds_its_script_in_the_roadmap():
    assert cli.training_module(roadmap.load(ROOT)) == "phase08.train"


# ---- the lists of the roadmap agree with one another ---------------------------------------


def test_posts_table_has_the_titles_of_the_phases():
    table = (ROOT / "ROADMAP.md").read_text(encoding="utf-8").partition("\n## Posts\n")[2]
    rows = re.findall(
        r"^\| (\d+) \| (?:\[(?=.*\]\())?(.+?)(?:\]\(\S+\))? \|$", table.partition("\n## ")[0], re.M
    )
    plan = roadmap.load(ROOT)
    assert rows == [(str(phase.number), phase.post_title) for phase in plan.phases]


def test_papers_are_the_same_in_the_table_the_phases_and_the_reading_list():
    plan = roadmap.load(ROOT)
    assert [paper.number for paper in plan.papers] == list(range(1, 36))
    text = (ROOT / "papers" / "README.md").read_text(encoding="utf-8")
    anchor, link = r"<a id=\"\w+\"></a>", r"\[(.+?)\]\(.+?\)"
    row = rf"^\| {anchor}(\d+) \| .+? \| {link} \| (\d+) \| .+ \| ([\d, ]+) \| .+? \|$"
    rows = re.findall(row, text, re.M)
    assert len(rows) == 35
    for paper, (number, title, year, phases) in zip(plan.papers, rows, strict=True):
        assert (str(paper.number), paper.year) == (number, year)
        assert f'"{title}"' in paper.title
        assert ", ".join(map(str, paper.phases)) == phases
        named = [phase.number for phase in plan.phases if f"- **{number}.** " in phase.papers]
        assert tuple(named) == paper.phases, paper.title


def test_what_you_will_build_names_every_item_once():
    plan = roadmap.load(ROOT)
    named = [item for outcome in plan.outcomes for item in outcome.items]
    assert sorted(named) == sorted(item.id for item in plan.items)


def test_items_milestones_and_exhibits_are_as_many_as_planned():
    plan = roadmap.load(ROOT)
    assert [len(phase.items) for phase in plan.phases] == [7, 9, 6, 8, 7, 8, 4, 7, 8, 19, 4]
    assert [m.year for m in plan.milestones] == ["1957", "1969", "1986", "1998", "2017", "2018"]
    assert [exhibit.number for exhibit in plan.museum] == [f"{n:02}" for n in range(1, 13)]


# ---- the same checks on planted trees ----------------------------------------------------


def folder(number: int) -> str:
    return f"phase-{number:02}-name"


def code(number: int, stem: str) -> str:
    return f"{folder(number)}/code/phase{number:02}/{stem}.py"


def write(root: Path, name: str, text: str) -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


@pytest.fixture
def healthy(tmp_path):
    """A small tree with nothing wrong: phase 2 finished, the others to come."""
    phases = []
    for number in range(11):
        name = folder(number)
        write(tmp_path, f"{name}/README.md", "# A phase\n\nStatus: to come\n")
        for part in PARTS:
            write(tmp_path, f"{name}/{part.format(number)}/README.md", "to come")
        phases.append(
            f"## Phase {number}: Name\nFolder: [{name}]({name}/)\n\n"
            f"**Goal.** A goal.\n\n**Prerequisites.** None.\n\n### Items\n"
            f"- [ ] **{number}.1 An item.** Text.\n"
        )
    module, tests = code(2, "rnn"), f"{folder(2)}/tests/test_rnn.py"
    phases[2] += f"  - Code: [rnn.py]({module}) · Tests: [test_rnn.py]({tests})\n"
    write(tmp_path, "ROADMAP.md", "\n".join(phases))
    write(tmp_path, f"{folder(2)}/README.md", "# A phase\n")
    write(tmp_path, module, "import math\nimport numpy as np\nfrom phase00 import calculus\n")
    write(tmp_path, tests, "")
    write(tmp_path, code(7, "gpt"), "import torch\nfrom phase02 import rnn\n")
    guard = 'if __name__ == "__main__":\n    print(1)\n'
    write(tmp_path, code(2, "train_rnn"), f"import scipy\nfrom journal import data\n{guard}")
    write(tmp_path, code(8, "train"), f"from phase08 import sources\n{guard}")
    write(tmp_path, code(8, "sources"), "import datasets\nfrom phase08 import forecast\n")
    write(tmp_path, "journal/roadmap.py", "import re\nPHASE = 'phase08'\n")
    return tmp_path


def replace(root: Path, name: str, old: str, new: str) -> None:
    text = (root / name).read_text(encoding="utf-8")
    assert old in text
    write(root, name, text.replace(old, new))


def test_healthy_tree_has_no_complaints(healthy):
    assert [complaint for check in CHECKS for complaint in check(healthy)] == []


FAULTS = {  # what is planted: by which check it must be found, and as what
    "a folder without a file": (
        lambda root: (root / folder(4) / "results" / "README.md").unlink(),
        (phase_folders_are_complete, "phase-04-name/results/ holds nothing"),
    ),
    "a phase too few": (
        lambda root: write(
            root, "ROADMAP.md", (root / "ROADMAP.md").read_text().partition("## Phase 10")[0]
        ),
        (phase_folders_are_complete, "10 phases, not 11"),
    ),
    "a package called code": (
        lambda root: write(root, f"{folder(1)}/code/__init__.py", ""),
        (no_folder_called_code_is_a_package, "phase-01-name/code/__init__.py shadows"),
    ),
    "a link of an item to nothing": (
        lambda root: (root / code(2, "rnn")).unlink(),
        (links_of_the_roadmap_exist, "code/phase02/rnn.py, which is not there"),
    ),
    "a link of the prose to nothing": (
        lambda root: replace(root, "ROADMAP.md", "A goal", "[A goal](papers/none.md#top)"),
        (links_of_the_roadmap_exist, "papers/none.md, which is not there"),
    ),
    "a finished phase with an item to come": (
        lambda root: replace(root, f"{folder(3)}/README.md", "Status: to come", "Done."),
        (finished_phases_have_links_on_every_item, "finished, but item 3.1 has no links"),
    ),
    "a phase without a README": (
        lambda root: (root / folder(3) / "README.md").unlink(),
        (finished_phases_have_links_on_every_item, "phase-03-name has no README.md"),
    ),
    "torch below phase 6": (
        lambda root: write(root, code(2, "rnn"), "def f():\n    import torch.nn\n"),
        (library_modules_import_only_what_is_allowed, "rnn.py:2: phase02.rnn may not import torch"),
    ),
    "a later phase": (
        lambda root: write(root, code(2, "rnn"), "from phase03.bpe import BPE\n"),
        (library_modules_import_only_what_is_allowed, "phase02.rnn may not import phase03"),
    ),
    "phase 2 in phase 3": (
        lambda root: write(root, code(3, "bpe"), "import phase02.rnn\n"),
        (library_modules_import_only_what_is_allowed, "phase03.bpe may not import phase02"),
    ),
    "matplotlib in a library module": (
        lambda root: write(root, code(7, "gpt"), "import matplotlib.pyplot as plt\n"),
        (library_modules_import_only_what_is_allowed, "phase07.gpt may not import matplotlib"),
    ),
    "the journal in a library module": (
        lambda root: write(root, code(8, "shards"), "from journal import data\n"),
        (library_modules_import_only_what_is_allowed, "phase08.shards may not import journal"),
    ),
    "a test that needs a later phase": (
        lambda root: write(root, f"{folder(2)}/tests/test_rnn.py", "from phase07 import gpt\n"),
        (phase_tests_only_look_back, "test_rnn.py:1: phase 2's tests import phase07"),
    ),
    "a library module that prints": (
        lambda root: write(root, code(7, "gpt"), "def f():\n    print(1)\n"),
        (library_modules_print_nothing, "gpt.py:2: phase07.gpt prints"),
    ),
    "a script called like a library module": (
        lambda root: write(root, code(7, "shakespeare"), 'if __name__ == "__main__":\n    pass\n'),
        (scripts_are_told_apart_by_name, "shakespeare.py can be run"),
    ),
    "a library module called like a script": (
        lambda root: write(root, code(7, "train_bert"), "x = 1\n"),
        (scripts_are_told_apart_by_name, "train_bert.py has no main guard"),
    ),
    "a phase in the journal": (
        lambda root: write(root, "journal/doctor.py", "def f():\n    from phase08 import x\n"),
        (the_journal_imports_no_phase, "doctor.py:2: the journal may not import phase08"),
    ),
    "a part of a script in a library module": (
        lambda root: write(root, code(8, "shards"), "from phase08 import sources\n"),
        (library_modules_import_only_what_is_allowed, "shards may not import phase08.sources"),
    ),
    "a package that is not this part's": (
        lambda root: write(root, code(8, "sources"), "import psutil\n"),
        (library_modules_import_only_what_is_allowed, "phase08.sources may not import psutil"),
    ),
    "a large file": (
        lambda root: write(root, "notes.txt", "x" * (MEGABYTE + 1)),
        (tracked_files_are_small_and_of_the_right_kind, "notes.txt has 1000001 bytes"),
    ),
    "a lock file": (
        lambda root: write(root, "uv.lock", ""),
        (tracked_files_are_small_and_of_the_right_kind, "uv.lock pins"),
    ),
    "a pickle": (
        lambda root: write(root, f"{folder(1)}/results/model.pt", ""),
        (tracked_files_are_small_and_of_the_right_kind, "model.pt is a pickle"),
    ),
    "an item with code and no hint": (
        lambda root: write(root, f"{folder(2)}/hints.md", "# Hints for phase 2\n"),
        (phases_with_hints_have_them_for_every_item_with_code, "has 0 hints, expected 2 or more"),
    ),
    "two test files of one name": (
        lambda root: write(root, f"{folder(5)}/tests/test_rnn.py", ""),
        (names_of_test_files_are_unique, "2 test files are called test_rnn.py"),
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_planted_fault_is_found(name, healthy):
    plant, (check, complaint) = FAULTS[name]
    plant(healthy)
    assert complaint in "\n".join(check(healthy))


def test_code_without_tests_is_found(healthy):
    plan = roadmap.load(healthy)
    item = plan.item("2.1")
    object.__setattr__(item, "links", item.of("Code"))  # the parser itself would refuse it
    assert list(code_without_tests(plan)) == ["item 2.1 has Code and no Tests"]


def test_ignored_and_deleted_files_are_not_tracked_but_new_ones_are(healthy):
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@example.org"]
    write(healthy, ".gitignore", "uv.lock\n")
    for command in (["init", "-q"], ["add", "."]):
        subprocess.run([*git, *command], cwd=healthy, check=True, capture_output=True)
    write(healthy, "uv.lock", "")
    write(healthy, "new.txt", "")
    (healthy / code(8, "train")).unlink()
    files = tracked(healthy)
    assert "new.txt" in files
    assert "ROADMAP.md" in files
    assert "uv.lock" not in files
    assert code(8, "train") not in files


def test_every_check_is_shown_to_bite():
    shown = {check for _, (check, _) in FAULTS.values()} | {items_with_code_have_tests}
    assert shown == set(CHECKS)
