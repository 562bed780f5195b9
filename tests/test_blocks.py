"""The blocks of notes and posts as tests: pytest on planted pages, right ones and wrong ones."""

from pathlib import Path

import pytest

from journal import blocks

pytest_plugins = ["pytester"]
ROOT = Path(__file__).resolve().parent.parent
NOTE = """\
# Softmax

```python
import math

scores = [2.0, 1.0, 0.0]
```

```python
total = sum(math.exp(score) for score in scores)
for score in scores:
    print("p =", math.exp(score) / total)
print("done")
```

```output
p = 0.665241
p = 0.244728
p = 0.090031
done
```

```text
neither run nor compared
```
"""


def run(
    pytester: pytest.Pytester,
    text: str,
    *options: str,
    name: str = "phase-00-a/notes/b.md",
    apart: bool = False,
) -> str:
    """What pytest says of a page of this text, and its exit code; `apart` is a process apart."""
    (pytester.path / "conftest.py").write_bytes((ROOT / "conftest.py").read_bytes())
    path = pytester.path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    start = pytester.runpytest_subprocess if apart else pytester.runpytest_inprocess
    plugins = ("-p", "no:cacheprovider", "-p", "no:hypothesispytest")  # the latter for speed
    answer = start("-q", "--tb=short", *plugins, *options)
    return "\n".join([f"exit code {answer.ret}", *answer.outlines, *answer.errlines])


def test_page_that_prints_what_it_says_passes(pytester):
    said = run(pytester, NOTE)
    assert "exit code 0" in said
    assert "3 passed" in said


def test_number_that_is_off_by_a_ten_thousandth_passes(pytester):
    assert "0.244728" in NOTE
    assert "3 passed" in run(pytester, NOTE.replace("0.244728", "0.244750"))


def test_wrong_digit_fails_and_its_line_is_named(pytester):
    said = run(pytester, NOTE.replace("0.244728", "0.254728"))
    assert "exit code 1" in said
    assert "line 18: the page says 0.254728, printed was 0.24472" in said
    assert "phase-00-a/notes/b.md::line:16" in said
    assert "1 failed, 2 passed" in said


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("done\n```\n\n```text", "Done\n```\n\n```text", "line 20: the page says 'Done'"),
        ("p = 0.090031\ndone\n", "p = 0.090031\n", "line 20: 'done' was printed and is missing"),
        (
            "p = 0.665241\np = 0.244728\np = 0.090031\ndone\n```\n\n```text",
            "```\n\n```text",
            "line 17: 'p = 0.6652",
        ),
        ("```text", "```output", "no block of Python stands before this output, or it has one"),
        ("# Softmax\n", "```output\n```\n", "no block of Python stands before this output"),
        ('print("done")', 'print("done" + 1)', "b.md:13: in <module>"),
        ('print("done")', "raise SystemExit(0)", "did not run to its end"),
        ("import math\n", "import maths\n", "No module named 'maths'"),
    ],
)
def test_page_that_is_wrong_fails(pytester, old, new, says):
    assert NOTE.count(old) == 1
    said = run(pytester, NOTE.replace(old, new))
    assert "exit code 1" in said
    assert says in said


def test_invisible_block_runs(pytester):
    hidden = "<!--- invisible-code-block: python\nimport math\n\nscores = [2.0, 1.0, 0.0]\n-->\n\n"
    shown = NOTE.partition("```python\ntotal")
    assert "3 passed" in run(pytester, hidden + shown[1] + shown[2])


def test_block_that_is_run_alone_runs_those_before_it_first(pytester):
    assert "2 passed" in run(pytester, NOTE, "-k", "line:9 or line:16")
    assert "1 passed" in run(pytester, NOTE, "-k", "line:16")


def test_page_does_not_write_into_the_tree_nor_open_a_window(pytester):
    text = (
        "```python\nfrom pathlib import Path\n\nPath('a.txt').write_text('a')\n```\n\n"
        "```python\nimport matplotlib\nimport matplotlib.pyplot as plt\n\n"
        "print(Path('a.txt').read_text(), matplotlib.get_backend(), len(plt.get_fignums()))\n"
        "figure = plt.figure()\n```\n\n```output\na Agg 0\n```\n"
    )
    said = run(pytester, text, apart=True)
    assert "3 passed" in said, said
    assert [path.name for path in pytester.path.rglob("a.txt")] == []
    (pytester.path / "phase-00-a/notes/c.md").write_text(text)  # it finds no open figure
    assert "6 passed" in run(pytester, text, apart=True)


def test_pages_share_no_names(pytester):
    run(pytester, "```python\nx = 1\n```\n")
    text = "```python\nprint('x' in globals())\n```\n\n```output\nFalse\n```\n"
    assert "3 passed" in run(pytester, text, name="phase-00-a/notes/z.md")


def test_pages_share_no_settings(pytester):
    first = (
        "```python\nimport os, sys\nimport matplotlib\nimport numpy as np\n\n"
        "np.set_printoptions(precision=2)\nnp.seterr(divide='raise')\n"
        "matplotlib.rcParams['font.size'] = 3\nos.environ['OF_A_PAGE'] = '1'\n"
        "sys.path.append('/of/a/page')\n```\n\n"
        "```python\nprint(np.array([1 / 3]), matplotlib.rcParams['font.size'])\n```\n\n"
        "```output\n[0.33] 3.0\n```\n"
    )
    run(pytester, first)
    second = (
        "```python\nimport os, sys\nimport matplotlib\nimport numpy as np\n\n"
        "print(np.array([1 / 3]), np.geterr()['divide'], matplotlib.rcParams['font.size'])\n"
        "print('OF_A_PAGE' in os.environ, '/of/a/page' in sys.path)\n```\n\n"
        "```output\n[0.33333333] warn 10.0\nFalse False\n```\n"
    )
    said = run(pytester, second, name="phase-00-a/notes/z.md", apart=True)
    assert "5 passed" in said, said


def test_workers_run_a_page_as_a_whole(pytester):
    said = run(pytester, NOTE, "-n", "2", "--dist", "loadfile", apart=True)
    assert "3 passed" in said


@pytest.mark.parametrize("name", ["phase-00-a/notes/README.md", "papers/README.md", "a.md"])
def test_other_pages_are_not_run(pytester, name):
    assert not blocks.is_page(Path("/x") / name)
    assert "exit code 5" in run(pytester, "```python\n1 / 0\n```\n", name=name)


@pytest.mark.parametrize("name", ["phase-00-a/README.md", "papers/notes/a.md"])
def test_paper_notes_and_the_pages_of_phases_are_run(pytester, name):
    assert blocks.is_page(Path("/x") / name)
    assert "1 failed" in run(pytester, "```python\n1 / 0\n```\n", name=name)


def test_lines_of_the_blocks_that_are_tests_are_known(tmp_path):
    path = tmp_path / "a.md"
    path.write_text(NOTE + "\n```py\n1 / 0\n```\n\n<!--- code: python\nx = 1\n-->\n")
    assert blocks.lines(path) == {3: True, 9: True, 16: False, 31: True}
