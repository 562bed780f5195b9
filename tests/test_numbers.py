"""cog blocks in Markdown: renewed from results, and a wrong digit fails the check."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from journal import numbers

PAGE = """# A page

<!-- [[[cog
print(f"The loss is {result('results/train.json', 'metrics.loss')} nats.")
]]] -->
The loss is 1.500 nats.
<!-- [[[end]]] -->

The end.
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = tmp_path / "project"
    (root / "results").mkdir(parents=True)
    (root / "results" / "train.json").write_text(json.dumps({"metrics": {"loss": 1.5}}))
    (root / "README.md").write_text(PAGE)
    monkeypatch.setattr(numbers, "ROOT", root)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    return root


def test_a_page_that_is_up_to_date_passes_from_any_folder(project: Path) -> None:
    assert numbers.main(["--check"]) == 0


def test_a_wrong_digit_fails_the_check_with_file_and_difference(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = PAGE.replace("1.500", "1.400")
    (project / "README.md").write_text(wrong)
    assert numbers.main(["--check"]) == 1
    shown = capsys.readouterr()
    assert "README.md" in shown.err
    assert "-The loss is 1.400 nats." in shown.out
    assert "+The loss is 1.500 nats." in shown.out
    assert (project / "README.md").read_text() == wrong


def test_renewing_corrects_the_digit_and_then_the_check_passes(project: Path) -> None:
    (project / "README.md").write_text(PAGE.replace("1.500", "1.400"))
    assert numbers.main([]) == 0
    assert (project / "README.md").read_text() == PAGE
    assert numbers.main(["--check"]) == 0


def test_a_new_result_makes_the_page_stale(project: Path) -> None:
    (project / "results" / "train.json").write_text(json.dumps({"metrics": {"loss": 1.25}}))
    assert numbers.main(["--check"]) == 1


def test_a_key_that_is_not_there_fails_and_names_file_and_nearest_key(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (project / "README.md").write_text(PAGE.replace("metrics.loss", "metrics.lost"))
    for arguments in (["--check"], []):
        assert numbers.main(arguments) == 1
        message = capsys.readouterr().err
        assert "README.md" in message
        assert "metrics.loss" in message
        assert len(message.splitlines()) == 1


def test_a_block_without_an_end_fails_and_names_the_file(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (project / "README.md").write_text(PAGE.replace("<!-- [[[end]]] -->", ""))
    assert numbers.main(["--check"]) == 1
    assert "README.md" in capsys.readouterr().err


@pytest.mark.parametrize("folder", ["practice", "runs/a", "build", "data", ".venv/lib", ".tools"])
def test_folders_that_are_not_the_journals_prose_are_left_alone(project: Path, folder: str) -> None:
    wrong = PAGE.replace("1.500", "1.400")
    (project / folder).mkdir(parents=True)
    (project / folder / "page.md").write_text(wrong)
    assert numbers.main([]) == 0
    assert (project / folder / "page.md").read_text() == wrong


def test_pages_deep_in_the_tree_are_found(project: Path) -> None:
    deep = project / "phase-08-training-gpt" / "notes" / "data"
    deep.mkdir(parents=True)
    (deep / "page.md").write_text(PAGE.replace("1.500", "1.400"))
    assert numbers.main(["--check"]) == 1


def test_an_example_in_a_code_fence_is_left_alone(project: Path) -> None:
    page = "How it is written:\n\n```text\n" + PAGE.replace("1.500", "1.400") + "```\n\n" + PAGE
    (project / "README.md").write_text(page)
    assert numbers.main([]) == 0
    assert (project / "README.md").read_text() == page


def test_print_and_outl_both_reach_the_page(project: Path) -> None:
    page = "<!-- [[[cog\nprint('a', 1)\ncog.outl('b')\ncog.out('c')\n]]] -->\n<!-- [[[end]]] -->\n"
    assert "\na 1\nb\nc\n<!-- [[[end]]] -->" in numbers.renew(page, "page.md")


def test_table_aligns_numbers_right_and_keeps_bars_inside_cells() -> None:
    text = numbers.table([["a|b", "1.25", "12 %"], ["c", "-3", "n/a"]], ["name", "loss", "share"])
    assert text.splitlines() == [
        "| name | loss | share |",
        "| --- | ---: | --- |",
        "| a\\|b | 1.25 | 12 % |",
        "| c | -3 | n/a |",
    ]


def test_table_refuses_a_row_of_another_length() -> None:
    with pytest.raises(ValueError, match="a row has 1 cells, the header 2"):
        numbers.table([["a", "b"], ["c"]], ["first", "second"])


def test_it_runs_as_a_module_in_a_checkout(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "journal.numbers", "--help"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert "--check" in done.stdout
