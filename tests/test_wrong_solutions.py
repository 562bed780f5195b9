"""Mistakes that people make (wrong_solutions.toml): each is refused, and told what to look at.

Each is judged in a process of its own. The first few of every item always are, all of them by
`make items`.
"""

import ast
import re
import tomllib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from journal import check, roadmap

ROOT = roadmap.find_root(Path(__file__).parent)
DATA = Path(__file__).with_name("wrong_solutions.toml")
EVERYWHERE = {"shape", "axis", "relative", "truth", "yours", "first", "index", "dtype", "likely"}
ALWAYS = 4  # of every item are judged in each run of the tests
ITEMS = ("0.1", "0.2", "0.3", "0.4", "0.5", "0.6", "0.7")


@dataclass(frozen=True)
class Wrong:
    """One wrong definition, the module whose right one it replaces, what would point at it."""

    item: str
    module: str
    mistake: str
    code: str
    points_at: Sequence[str]

    @property
    def definition(self) -> ast.FunctionDef:
        (node,) = ast.parse(self.code).body
        assert isinstance(node, ast.FunctionDef), "the code of an entry is one function"
        return node


ENTRIES = [Wrong(**entry) for entry in tomllib.loads(DATA.read_text(encoding="utf-8"))["wrong"]]


def identities(entries: Sequence[Wrong]) -> list[str]:
    """`0.1-matmul-2` for the second wrong matmul of item 0.1."""
    seen: Counter[str] = Counter()
    found = []
    for entry in entries:
        name = f"{entry.item}-{entry.definition.name}"
        seen[name] += 1
        found.append(f"{name}-{seen[name]}")
    return found


def reference(module: str) -> str:
    return roadmap.modules(ROOT)[module].read_text(encoding="utf-8")


def definition_of(name: str, source: str) -> ast.FunctionDef:
    """The function of that name at the top level of a module."""
    found = [
        node
        for node in ast.parse(source).body
        if isinstance(node, ast.FunctionDef) and node.name == name
    ]
    assert len(found) == 1, f"the reference defines {name} {len(found)} times"
    return found[0]


def with_definition(source: str, name: str, code: str) -> str:
    """The module with `code` in the place of its function `name`."""
    old = definition_of(name, source)
    start = min(node.lineno for node in (old, *old.decorator_list))
    lines = source.splitlines()
    return "\n".join(
        [*lines[: start - 1], *code.strip().splitlines(), *lines[old.end_lineno :], ""]
    )


def learner_files(entry: Wrong, folder: Path) -> dict[str, Path]:
    """All modules of the item as the learner has them: right, but for the one definition."""
    files = {}
    for link in roadmap.load(ROOT).item(entry.item).of("Code"):
        module = link.module
        assert module is not None, f"{link.target} is no module of a phase"
        text = reference(module)
        if module == entry.module:
            text = with_definition(text, entry.definition.name, entry.code)
        files[module] = folder / f"{module.partition('.')[2]}.py"
        files[module].write_text(text, encoding="utf-8")
    return files


def says(text: str, words: Sequence[str]) -> bool:
    """True where one of the words stands in the text, whole, whatever its case.

    A test's name counts as the sentence that it is: its underscores are spaces.
    """
    text = " ".join(text.replace("_", " ").split())
    wanted = "|".join(re.escape(word.replace("_", " ")) for word in words)
    return re.search(rf"(?<!\w)(?:{wanted})(?!\w)", text, re.IGNORECASE) is not None


def test_every_item_of_phase_0_has_three_wrong_solutions_and_there_are_over_twenty():
    counts = Counter(entry.item for entry in ENTRIES)
    assert {item: counts[item] >= 3 for item in ITEMS} == dict.fromkeys(ITEMS, True)
    assert sum(counts[item] for item in ITEMS) > 20


def test_word_counts_where_it_stands_whole_in_a_sentence_or_in_the_name_of_a_test():
    assert says("FAILED test_loss_is_the_mean_over_the_batch", ["Mean"])
    assert says("the start\n  is missing", ["start is"])
    assert not says("phase00.information was loaded", ["inf", "form"])


@pytest.mark.parametrize("entry", ENTRIES, ids=identities(ENTRIES))
def test_wrong_solution_has_the_signature_of_a_public_function_and_another_body(entry: Wrong):
    wrong = entry.definition
    right = definition_of(wrong.name, reference(entry.module))
    assert not wrong.name.startswith("_")
    assert [arg.arg for arg in wrong.args.args] == [arg.arg for arg in right.args.args]
    assert [arg.arg for arg in wrong.args.kwonlyargs] == [arg.arg for arg in right.args.kwonlyargs]
    assert [ast.dump(node) for node in wrong.body] != [ast.dump(node) for node in right.body[1:]]
    assert entry.mistake.endswith(".")
    assert entry.points_at
    assert not EVERYWHERE.intersection(entry.points_at), "these words point at nothing"


def judged_always(position: int) -> bool:
    """True for the first few entries of an item."""
    item = ENTRIES[position].item
    return sum(entry.item == item for entry in ENTRIES[:position]) < ALWAYS


@pytest.mark.parametrize(
    "entry",
    [
        pytest.param(entry, marks=() if judged_always(position) else pytest.mark.slow)
        for position, entry in enumerate(ENTRIES)
    ],
    ids=identities(ENTRIES),
)
def test_wrong_solution_is_refused_with_a_message_that_points_at_its_cause(
    entry: Wrong, tmp_path: Path
):
    item = roadmap.load(ROOT).item(entry.item)
    verdict = check.run(ROOT, item, learner_files(entry, tmp_path))
    assert not verdict.passed, f"no test of {item.id} notices: {entry.mistake}"
    assert "NameError" not in verdict.text, "the entry uses a name that the module does not have"
    assert says(verdict.text, entry.points_at), (
        f"{entry.mistake}\nNone of {', '.join(entry.points_at)} is in:\n{verdict.text}"
    )
