"""Hints: the grammar of a `hints.md`, and which hint comes next."""

import pytest

from journal import hints
from journal.hints import Hint
from journal.plan import Item

TEXT = """\
# Hints for phase 0

What this file is.
1. Not a hint.

## 0.1 Linear algebra in pure Python

### `dot`

1. Two lists,
   one number.
2. Sum the products:

   ```python
   total = 0
   for i in range(3):
       total += i
   ```

   Then return it.

### matvec, matmul
1. A row at a time.

## 0.10 Softmax

### softmax
1. What overflows?
2. Subtract `max`.
3. Nearly: `z - z.max()`.
"""
DOT = (
    Hint("dot", 1, "Two lists, one number."),
    Hint(
        "dot",
        2,
        "Sum the products:\n\n```python\ntotal = 0\nfor i in range(3):\n    total += i\n```\n\n"
        "Then return it.",
    ),
)
ALGEBRA = (*DOT, Hint("matvec, matmul", 1, "A row at a time."))


def test_hints_are_read_by_item_part_and_step(tmp_path):
    file = tmp_path / "hints.md"
    file.write_text(TEXT, encoding="utf-8")
    found = hints.load(file)
    assert list(found) == ["0.1", "0.10"]
    assert found["0.1"] == ALGEBRA
    assert [(hint.part, hint.step) for hint in found["0.10"]] == [
        ("softmax", 1),
        ("softmax", 2),
        ("softmax", 3),
    ]


def test_paragraphs_of_a_hint_stay_apart():
    text = "## 0.1 A\n### f\n1. One\n   line.\n\n   Another\n   paragraph.\n"
    assert hints.parse(text)["0.1"][0].text == "One line.\n\nAnother paragraph."


HEAD = "## 0.1 A\n### f\n"


@pytest.mark.parametrize(
    ("text", "complaint"),
    {
        "## Softmax\n": "line 1: expected `## 0.1 Title`, got '## Softmax'.",
        "## 0.1\n": "line 1: expected `## 0.1 Title`",
        f"{HEAD}2. Late\n": "line 3: expected hint 1 of f, got '2. Late'.",
        f"{HEAD}1. One\n1. Two\n": "line 4: expected hint 2 of f",
        f"{HEAD}1. One\nrest\n": "line 4: expected a hint (`1. ...`), or three spaces and the rest",
        f"{HEAD}1. One\n  rest\n": "line 4: expected a hint",
        f"{HEAD}- One\n": "line 3: expected a hint",
        f"{HEAD}   One\n": "line 3: expected a hint",
        "## 0.1 A\n1. One\n": "line 2: a hint stands under `### function`",
        f"{HEAD}#### g\n": "line 3: expected `## 0.1 Title` or `### function`, got '#### g'.",
        f"{HEAD}1. One\n# B\n": "line 4: expected `## 0.1 Title` or `### function`",
        f"{HEAD}1. One\n### f\n1. Two\n": "line 4: 0.1 f is there already, on line 2.",
        f"{HEAD}1. One\n## 0.1 B\n": "line 4: 0.1 is there already, on line 1.",
        f"{HEAD}### g\n1. One\n": "line 2: there is no hint under 0.1 f.",
        f"{HEAD}1. One\n\n## 0.2 B\n": "line 5: there is no hint under 0.2.",
    }.items(),
)
def test_broken_grammar_is_refused_with_its_line(text, complaint, tmp_path):
    file = tmp_path / "hints.md"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=r"hints\.md, line") as error:
        hints.load(file)
    assert complaint in str(error.value)


def test_hints_come_one_after_the_other_until_none_is_left():
    assert [hints.next_hint(ALGEBRA, shown) for shown in range(4)] == [*ALGEBRA, None]


def test_hint_that_was_shown_is_passed_over():
    assert hints.next_hint(ALGEBRA, {("dot", 1)}) == ALGEBRA[1]
    assert hints.next_hint(ALGEBRA, {("dot", 2), ("dot", 1)}) == ALGEBRA[2]
    assert hints.next_hint(ALGEBRA, {(hint.part, hint.step) for hint in ALGEBRA}) is None


def test_hints_on_one_function_count_alone():
    assert hints.next_hint(ALGEBRA, 0, "matmul") == ALGEBRA[2]
    assert hints.next_hint(ALGEBRA, 1, "Matvec, matmul") is None
    assert hints.next_hint(ALGEBRA, {("dot", 1)}, "dot") == ALGEBRA[1]


def test_unknown_function_is_refused_with_the_nearest():
    with pytest.raises(ValueError, match=r"no hints on 'dto'; did you mean dot\?"):
        hints.next_hint(ALGEBRA, 0, "dto")


def test_items_with_fewer_than_two_hints_are_named():
    items = [Item("0.1", "Linear algebra"), Item("0.2", "NumPy"), Item("0.3", "Calculus")]
    found = hints.complete(items, {"0.1": ALGEBRA, "0.2": ALGEBRA[:1]})
    assert found == [
        "item 0.2 NumPy has 1 hints, expected 2 or more.",
        "item 0.3 Calculus has 0 hints, expected 2 or more.",
    ]
