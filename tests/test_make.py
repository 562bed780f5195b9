"""What builds the project: make targets, pins, the list of packages, the files of CI."""

import os
import re
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PHASES = sorted(path.name for path in ROOT.glob("phase-[0-9][0-9]-*"))
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
# `make` as a command: in code quotes, or at the start of a line of a code block.
NAMED = re.compile(r"(?:`|^\s*\$?\s*)make ([a-z][a-z-]*)", re.MULTILINE)


def makefile_targets() -> set[str]:
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    return set(re.findall(r"^([a-z][a-z-]*):(?!=)", text, re.MULTILINE))


def test_there_are_eleven_phases() -> None:
    assert [name[:8] for name in PHASES] == [f"phase-{number:02}" for number in range(11)]


@pytest.mark.parametrize("page", ["README.md", "CLAUDE.md"])
def test_every_make_target_that_a_page_names_exists(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    assert set(NAMED.findall(text)) <= makefile_targets()


def test_the_two_commands_of_the_project_exist_and_are_in_the_readme() -> None:
    named = NAMED.findall((ROOT / "README.md").read_text(encoding="utf-8"))
    assert {"train", "test"} <= set(named) & makefile_targets()


def test_make_test_runs_every_check() -> None:
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    for check in (
        "ruff check .",
        "ruff format --check .",
        "ty check",
        "lint-imports",
        "python -m journal.numbers --check",
    ):
        assert re.search(rf"^\t.*{re.escape(check)}$", text, re.MULTILINE), check
    whole = r"^test:.*\n\t.* pytest -n \S+ --maxprocesses \d+ --dist loadfile$"
    assert re.search(whole, text, re.MULTILINE)
    assert re.search(r"^test:.*\bcheck\b", text, re.MULTILINE)


def test_direct_dependencies_are_pinned_exactly() -> None:
    groups = PROJECT["dependency-groups"].values()
    direct = PROJECT["project"]["dependencies"] + PROJECT["build-system"]["requires"]
    for requirement in direct + [entry for group in groups for entry in group]:
        assert re.fullmatch(r"[a-z0-9-]+==[0-9][0-9a-z.]*( *;.*)?", requirement), requirement


def test_the_python_version_is_3_11() -> None:
    assert (ROOT / ".python-version").read_text(encoding="utf-8").strip() == "3.11"
    assert PROJECT["project"]["requires-python"].startswith(">=3.11")


def test_the_wheel_lists_the_journal_and_every_phase() -> None:
    packages = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    phases = [f"{name}/code/phase{name.split('-')[1]}" for name in PHASES]
    assert packages == ["journal", *phases]
    for package in packages:
        assert (ROOT / package / "__init__.py").is_file(), package


def test_no_code_folder_hides_the_standard_library() -> None:
    # With an __init__.py the folder would be a package `code`, and pdb needs Python's own.
    assert [name for name in PHASES if (ROOT / name / "code" / "__init__.py").exists()] == []


def test_pytest_collects_every_phase_and_the_tree() -> None:
    paths = PROJECT["tool"]["pytest"]["ini_options"]["testpaths"]
    assert sorted(paths) == sorted(["tests", "papers", *PHASES])


def test_every_package_is_under_the_import_rules() -> None:
    packages = ["journal", *(f"phase{name.split('-')[1]}" for name in PHASES)]
    assert PROJECT["tool"]["importlinter"]["root_packages"] == packages


def test_no_lock_file_is_committed() -> None:
    ignored = (ROOT / ".gitignore").read_text(encoding="utf-8").split()
    assert "uv.lock" in ignored


@pytest.mark.skipif(os.name == "nt", reason="a bash script: not for Windows")
def test_the_ci_script_is_executable_and_its_syntax_is_right() -> None:
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    done = subprocess.run(["bash", "-n", str(script)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.skipif(os.name == "nt", reason="a bash script: not for Windows")
@pytest.mark.parametrize(
    ("shared", "already", "expected"),
    [
        (True, None, "test {shared} site {shared}"),
        (True, "/mine", "test /mine site /mine"),
        (False, None, "test site"),
    ],
)
def test_the_ci_script_sets_the_data_folder_and_calls_make(
    tmp_path: Path, shared: bool, already: str | None, expected: str
) -> None:
    done = run_ci(tmp_path, shared=shared, already=already)
    data = str(tmp_path / "a b" / "shared" / "data")
    assert done.stdout.split() == expected.format(shared=data).split()
    assert done.returncode == 0


@pytest.mark.skipif(os.name == "nt", reason="a bash script: not for Windows")
def test_the_ci_script_passes_the_exit_code_of_make_through(tmp_path: Path) -> None:
    done = run_ci(tmp_path, shared=False, already=None, fail="test")
    assert done.returncode == 2
    assert done.stdout.split() == ["test"]
    assert run_ci(tmp_path, shared=False, already=None, fail="site").returncode == 2


def run_ci(
    tmp_path: Path, *, shared: bool, already: str | None, fail: str = ""
) -> subprocess.CompletedProcess[str]:
    """Run a copy of `.ci/run` in a checkout whose Makefile only tells what it was asked for."""
    checkout = tmp_path / "a b" / "checkout"
    (checkout / ".ci").mkdir(parents=True, exist_ok=True)
    script = checkout / ".ci" / "run"
    script.write_bytes((ROOT / ".ci" / "run").read_bytes())
    script.chmod(0o755)
    rules = (
        f'{target}:\n\t@echo {target} "$$JOURNAL_DATA"{"; exit 3" * (target == fail)}\n'
        for target in ("test", "site")
    )
    (checkout / "Makefile").write_text("".join(rules))
    if shared:
        (tmp_path / "a b" / "shared" / "data").mkdir(parents=True)
    # What an outer make tells its children would reach this one too.
    outer = ("JOURNAL_DATA", "MAKEFLAGS", "MAKELEVEL", "MFLAGS")
    environment = {name: value for name, value in os.environ.items() if name not in outer}
    if already is not None:
        environment["JOURNAL_DATA"] = already
    browser = tmp_path / "bin" / "chromium"  # one that is there, so that none is installed
    browser.parent.mkdir(exist_ok=True)
    browser.write_text("#!/bin/sh\n")
    browser.chmod(0o755)
    environment["PATH"] = f"{browser.parent}{os.pathsep}{environment['PATH']}"
    return subprocess.run(
        [str(script)], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )


def test_there_is_a_workflow_for_linux_and_macos_that_calls_make_test() -> None:
    yaml = pytest.importorskip("yaml")
    text = (ROOT / ".github" / "workflows" / "test.yml").read_text(encoding="utf-8")
    job = yaml.safe_load(text)["jobs"]["test"]
    assert job["strategy"]["matrix"]["os"] == ["ubuntu-latest", "macos-latest"]
    assert "make test" in [step.get("run") for step in job["steps"]]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_may_only_read_and_its_make_targets_exist(path: Path) -> None:
    yaml = pytest.importorskip("yaml")
    workflow = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert workflow["permissions"] == {"contents": "read"}
    steps = [step for job in workflow["jobs"].values() for step in job["steps"]]
    called = re.findall(r"make ([a-z-]+)", "\n".join(step.get("run", "") for step in steps))
    assert set(called) <= makefile_targets()
    for step in steps:
        assert re.fullmatch(r"[\w.-]+/[\w.-]+@v\d+", step.get("uses", "a/b@v1")), step


def test_pre_commit_hooks_are_local_so_that_versions_are_the_projects() -> None:
    yaml = pytest.importorskip("yaml")
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
    assert [repository["repo"] for repository in config["repos"]] == ["local"]
    for hook in config["repos"][0]["hooks"]:
        assert hook["language"] == "system"
        assert hook["entry"].startswith("uv run ")
