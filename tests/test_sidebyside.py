"""The learner's file and the reference, side by side."""

import io

import pytest
from rich.console import Console

from journal import sidebyside

REFERENCE = '''\
"""A module."""

import math

LIMIT = 3


# Sums
def dot(a, b):
    """The sum of products."""
    check(a, b)  # lengths
    return sum(x * y for x, y in zip(a, b))


def norm(a):
    return math.sqrt(dot(a, a))


@final
class Box:
    side: float


def late():
    return "[bold]"
'''
MINE = '''\
LIMIT = 3


def helper():
    return 1


@final
class Box:

    side: float  # a


# Sums
def dot(a, b):
    """The sum of products."""
    total = 0.0
    return sum(x * y for x, y in zip(a, b))


def norm(a):
    return math.sqrt(dot(a, a))
'''


def shown(mine=MINE, reference=REFERENCE, names=None, *, width=100, terminal=False) -> str:
    file = io.StringIO()
    out = Console(file=file, width=width, force_terminal=terminal, markup=False, highlight=False)
    sidebyside.show(out, mine, reference, names)
    return file.getvalue()


def test_definitions_come_in_the_order_of_the_reference_and_extras_last():
    text = shown()
    headings = [
        "LIMIT: identical",
        "\ndot\n",
        "norm: identical",
        "\nBox: the same code, with other comments or line breaks\n",
        "\nlate: only in the reference\n",
        "\nhelper: only in your file\n",
    ]
    places = [text.index(heading) for heading in headings]
    assert places == sorted(places)


def test_differing_lines_are_marked_between_the_columns():
    lines = shown(names=["dot"]).splitlines()
    start = lines.index("dot")
    width, total = 48, "    return sum(x * y for x, y in zip(a, b))"
    assert [
        (line[:width].rstrip(), line[width + 1 : width + 2].strip(), line[width + 3 :])
        for line in lines[start + 1 : start + 7]
    ] == [
        ("yours", "", "reference"),
        ("# Sums", "", "# Sums"),
        ("def dot(a, b):", "", "def dot(a, b):"),
        ('    """The sum of products."""', "", '    """The sum of products."""'),
        ("    total = 0.0", "|", "    check(a, b)  # lengths"),
        (total, "", total),
    ]


def test_lines_that_only_one_side_has_are_marked_with_an_arrow():
    text = shown("def f():\n    a\n    return 1\n", "def f():\n    return 1\n    b\n")
    marks = [line[49:50].strip() for line in text.splitlines()[3:]]
    assert marks == ["", "<", "", ">"]


def test_narrow_output_shows_one_below_the_other():
    text = shown(names=["dot"], width=99)
    assert "yours:\n  # Sums\n  def dot(a, b):\n" in text
    assert "\n|     total = 0.0\n      return sum" in text
    assert "reference:\n  # Sums\n" in text
    assert "\n|     check(a, b)  # lengths\n" in text


def test_long_lines_are_wrapped_and_lose_nothing():
    long = "def f():\n    return " + " + ".join(f"value_{i}" for i in range(30)) + "\n"
    text = shown(long, "def f():\n    return 0\n")
    assert max(map(len, text.splitlines())) <= 100
    for i in range(30):
        assert f"value_{i}" in text
    start = next(i for i, line in enumerate(text.splitlines()) if "return value_0" in line)
    assert text.splitlines()[start + 1].startswith("      ")


def test_brackets_of_the_code_are_no_markup():
    assert 'return "[bold]"' in shown()


def test_names_limit_what_of_the_reference_is_shown():
    text = shown(names=["norm"])
    assert "norm: identical" in text
    assert "dot\n" not in text
    assert "helper: only in your file" in text


def test_terminal_gets_colours_and_all_the_lines():
    text = shown(terminal=True, width=120)
    assert "\x1b[" in text
    assert "check" in text
    assert "total" in text


def test_comment_between_two_definitions_belongs_to_the_lower_one():
    found = sidebyside.definitions("x = 1  # one\n# two\n@cache\ndef f():\n    pass\n\n# free\n")
    assert found == {"x": "x = 1  # one", "f": "# two\n@cache\ndef f():\n    pass"}


def test_file_that_does_not_parse_is_refused_with_the_line():
    with pytest.raises(ValueError, match="does not parse \\(line 2"):
        shown("x = 1\ndef f(:\n")
