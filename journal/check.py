"""Judging a learner's module: its item's tests, run on that file and on nothing else.

The parent process, here, knows which tests it expects (those that the reference's modules give
rise to), lays the learner's files out in an overlay, starts a fresh process with a time limit, and
reads what `journal.judge` wrote there. The verdict is the parent's: what it expected and did not
see is a failure, whatever the child said. It guards against mistakes and shortcuts, not against
somebody who wants to deceive their own machine.
"""

import contextlib
import hashlib
import importlib.util
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from journal import overlay, roadmap
from journal.faults import faults
from journal.overlay import FORBIDDEN, REPLACED, VERDICT
from journal.plan import Item
from journal.record import replace_file

JUDGING = "not slow and not kept"  # markers of tests that judge no item
SHOWN = 5  # failures told in full; the others are counted
SECONDS = 300.0
TAIL = 20_000  # bytes of pytest's own output that are looked at
UNWRITTEN = "journal.unwritten.Unwritten: "  # how pytest begins the line of that exception
INTERRUPTED = 2  # pytest's exit code


@dataclass(frozen=True)
class Verdict:
    """What the checker found: for the terminal `text`, for the log the rest."""

    item: str
    passed: bool
    text: str
    n_passed: int = 0
    n_expected: int = 0
    files: Mapping[str, str] = field(default_factory=dict)  # path -> sha256, as it was run


@dataclass
class Session:
    """What the child wrote, line by line."""

    collected: list[str] = field(default_factory=list)
    broken: list[dict[str, Any]] = field(default_factory=list)
    results: dict[str, dict[str, Any]] = field(default_factory=dict)
    last_started: str = ""
    started: bool = False  # the child wrote anything at all
    finished: dict[str, Any] | None = None
    exit_code: int | None = None  # None: stopped at the time limit
    output: str = ""


def run(root: Path, item: Item, mine: Mapping[str, Path], *, seconds: float = SECONDS) -> Verdict:
    """Run the item's tests with `mine` (module -> the learner's file) and judge what happened."""
    shown = {module: _shown(root, file) for module, file in mine.items()}
    # Read once: what is looked at, hashed, run and logged are the same bytes.
    texts = {module: _bytes(file) for module, file in mine.items()}
    sums = {
        shown[module]: hashlib.sha256(text).hexdigest()
        for module, text in texts.items()
        if text is not None
    }
    head = [f"{item.id} {item.title}"]
    head += [
        f"  your file  {name}  (sha256 {sums.get(name, 'none')[:12]})" for name in shown.values()
    ]
    problems = []
    for module, text in texts.items():
        if text is None:
            found = [f"it is not there; `uv run journal practice {item.id}` begins it"]
        else:
            reference = roadmap.modules(root)[module].read_text(encoding="utf-8")
            found = faults(text, module, reference)
        name = f"{mine[module].name}: " if len(mine) > 1 else ""
        problems += [name + line for line in found]
    if problems:
        head.append("  tests      none were run, since of your file:")
        return Verdict(item.id, False, "\n".join([*head, *_indented(problems)]), files=sums)
    expected = expected_tests(root, item)
    with scratch(root) as folder:
        replaced = {module: text.decode() for module, text in texts.items() if text is not None}
        environment = overlay.lay_out(folder / "tree", root, replaced)
        places = {module: overlay.place_of(folder / "tree", module) for module in mine}
        session = start(root, item, folder, environment, places, seconds)
    passed = [test for test in expected if _outcome(session, test) == "passed"]
    not_here = {test: reason for test in expected if (reason := _not_here(session, test, places))}
    loaded = {module: (str(places[module]), sums[shown[module]]) for module in mine}
    problems = list(_problems(session, expected, loaded, places, seconds))
    problems += _failures(session, [test for test in expected if test not in not_here])
    count = f"  tests      {len(passed)} of {len(expected)} passed"
    for reason, number in Counter(not_here.values()).items():
        count += f"; {number} cannot run here ({reason})"
    verdict = not problems and len(passed) + len(not_here) == len(expected) and bool(passed)
    text = "\n".join([*head, count, *_indented(problems)])
    return Verdict(item.id, verdict, text, len(passed), len(expected) - len(not_here), sums)


def _bytes(file: Path) -> bytes | None:
    """The content of a file, or None where there is none; an editor may be about to replace it."""
    try:
        return file.read_bytes()
    except (FileNotFoundError, IsADirectoryError, PermissionError):
        return None


# ---- the child ---------------------------------------------------------------------------


def _shown(root: Path, file: Path) -> str:
    """The file's path as printed and logged: from the journal's folder, where it lies there."""
    file = file if file.is_absolute() else root / file
    return file.relative_to(root).as_posix() if file.is_relative_to(root) else str(file)


def test_files(item: Item) -> list[str]:
    return [link.path for link in item.of("Tests")]


def expected_tests(root: Path, item: Item) -> list[str]:
    """The item's tests by node id, as collected on the reference; kept until they change."""
    known = roadmap.modules(root)
    read = [root / path for path in (*test_files(item), "conftest.py", "pyproject.toml")]
    read += known.values()  # tests may take their cases from any of them
    digest = hashlib.sha256(sys.version.encode())
    for file in read:
        digest.update(file.read_bytes() if file.is_file() else b"")
    kept = root / "build" / "expected" / f"{item.id}-{digest.hexdigest()[:16]}.json"
    with contextlib.suppress(OSError, ValueError):
        return json.loads(kept.read_text(encoding="utf-8"))
    with scratch(root) as folder:
        environment = {**roadmap.environment(root), "PYTHONSAFEPATH": "1"}
        session = start(root, item, folder, environment, {}, SECONDS, "--collect-only")
    if session.broken or not session.collected:
        raise ValueError(
            f"the tests of {item.id} cannot be collected on the journal's own code, so nothing "
            f"can be judged by them: {session.output.strip()[-300:] or 'there are none'}"
        )
    kept.parent.mkdir(parents=True, exist_ok=True)
    replace_file(kept, json.dumps(session.collected))
    return session.collected


@contextlib.contextmanager
def scratch(root: Path) -> Generator[Path]:
    """A folder of this check's own under build/, which nobody sweeps while it runs."""
    (root / "build").mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(
        prefix="check-", dir=root / "build", ignore_cleanup_errors=True
    ) as name:
        yield Path(name).resolve()


def start(
    root: Path,
    item: Item,
    folder: Path,
    environment: Mapping[str, str],
    places: Mapping[str, Path],
    seconds: float,
    *options: str,
) -> Session:
    """Run pytest on the item's tests in a fresh process; what it wrote, and how it ended."""
    if importlib.util.find_spec("pytest") is None:
        raise ValueError("pytest is not installed; `uv sync` installs what the checks need")
    verdict = folder / "verdict.jsonl"
    known = roadmap.modules(root)
    forbidden = [str(form.resolve()) for module in places for form in _forms(known[module])]
    ours = ("PYTEST", "PYTHONWARNINGS")  # of a run around this one, or of the learner's shell
    variables = {key: value for key, value in environment.items() if not key.startswith(ours)}
    variables |= {
        VERDICT: str(verdict),
        REPLACED: json.dumps({module: str(place) for module, place in places.items()}),
        FORBIDDEN: json.dumps(forbidden),
        "OMP_NUM_THREADS": "1",
    }
    command = [sys.executable, "-m", "pytest", "-p", "journal.judge", "-p", "no:cacheprovider"]
    command += ["-m", JUDGING, "--hypothesis-seed=0", "--tb=short", "-q", "--show-capture=no"]
    command += [*options, *test_files(item)]
    with (folder / "output").open("w+", encoding="utf-8", errors="replace") as output:
        process = subprocess.Popen(
            command,
            cwd=root,
            env=variables,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            code: int | None = process.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            code = None
        finally:
            _stop(process)
        output.flush()
    text = (folder / "output").read_bytes()[-TAIL:].decode("utf-8", "replace")
    return read_session(verdict, code, text)


def _forms(file: Path) -> list[Path]:
    """A module's file and its compiled form: opening either is a way to load it."""
    return [file, Path(importlib.util.cache_from_source(str(file)))]


def _stop(process: subprocess.Popen) -> None:
    """Leave nothing of the child behind, nor of what it started."""
    if os.name == "posix":
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
    else:
        process.kill()
    process.wait()


def read_session(verdict: Path, code: int | None, output: str) -> Session:
    """The child's lines; a last one that was cut off is left out."""
    session = Session(exit_code=code, output=output)
    text = verdict.read_text(encoding="utf-8") if verdict.exists() else ""
    for line in text.split("\n")[:-1]:
        content = json.loads(line)
        session.started = True
        if "collected" in content:
            session.collected = content["collected"]
        elif "broken" in content:
            session.broken.append(content)
        elif "started" in content:
            session.last_started = content["started"]
        elif "test" in content:
            before = session.results.get(content["test"])
            if before is None or before["outcome"] == "passed":  # a failing tear-down counts
                session.results[content["test"]] = content
        elif "finished" in content:
            session.finished = content
    return session


# ---- the verdict -------------------------------------------------------------------------


def _outcome(session: Session, test: str) -> str:
    return session.results.get(test, {}).get("outcome", "missing")


def _not_here(session: Session, test: str, places: Mapping[str, Path]) -> str:
    """Why the test itself says that it cannot run on this machine (no data set, another system).

    A skip that comes from the learner's file is none of these.
    """
    result = session.results.get(test, {})
    file, reason = result.get("skipped") or ["", ""]
    if result.get("outcome") != "skipped" or file in {str(place) for place in places.values()}:
        return ""
    return reason.removeprefix("Skipped: ") or "skipped"


def _problems(
    session: Session,
    expected: Sequence[str],
    should_load: Mapping[str, tuple[str, str]],  # module -> its file in the tree, its sha256
    places: Mapping[str, Path],
    seconds: float,
) -> Iterator[str]:
    """What is wrong with the session as a whole, whatever the single tests said."""
    at = f" in {_fact(session.last_started)!r}" if session.last_started else ""
    if session.exit_code is None:
        yield f"it was stopped after {seconds:.0f} seconds{at}: is there a loop that does not end?"
    elif session.finished is None:
        if session.exit_code == 0 and not session.started:
            yield "the record of this check vanished while it ran; run it again"
            return
        yield (
            f"the process ended by itself{at or ' before the first test'}, with exit status "
            f"{session.exit_code}, after {len(session.results)} of {len(expected)} tests: does "
            "the file call sys.exit, os._exit or quit?"
        )
        if not session.results:
            yield _last_words(session.output)
    for words in dict.fromkeys(_last_words(broken["text"]) for broken in session.broken):
        name = words.removeprefix(UNWRITTEN).removesuffix(" is not written yet")
        if words.startswith(UNWRITTEN):
            yield f"not written yet: {name}, which the module calls on import: begin there"
        else:
            yield f"the tests cannot be loaded with your file: {words}{_line_of(session, places)}"
    if session.finished is None or session.broken:
        return
    if not session.collected:
        yield (
            "no test was collected, so nothing passed: does the file call sys.exit or quit when it "
            "is imported?"
        )
    if session.finished["finished"] == INTERRUPTED:
        yield f"the run was interrupted{at}: does the file raise KeyboardInterrupt?"
    for module, expected_one in should_load.items():
        found = session.finished["loaded"].get(module)
        if found is None:
            yield f"the tests never loaded {module} from your file"
        elif (found["file"], found["sha256"]) != expected_one:
            yield f"{module} was loaded from {found['file']}, which is not your file as it was read"
    for file in session.finished["opened"]:
        yield f"the journal's own {Path(file).name} was opened while your file was judged"


def _line_of(session: Session, places: Mapping[str, Path]) -> str:
    """The learner's line in pytest's report of a file that cannot be imported."""
    text = "\n".join(broken["text"] for broken in session.broken)
    for module, place in places.items():
        lines = re.findall(rf"{re.escape(place.name)}:(\d+): in", text)
        if lines:
            return f"\nin your {module.replace('.', '/')}.py, line {lines[-1]}"
    return ""


def _failures(session: Session, expected: Sequence[str]) -> list[str]:
    """The tests that did not pass: unwritten functions in one line, then the first few in full.

    Of a test with many cases only the first that failed is told, with the number of the others.
    """
    lines: list[str] = []
    unwritten: Counter[str] = Counter()
    told: list[str] = []
    cases: Counter[str] = Counter()
    missing = []
    for test in expected:
        result = session.results.get(test)
        if result is None:
            missing.append(test)
        elif result["outcome"] == "skipped":
            told.append(f"SKIPPED {_fact(test)}: a test that is skipped does not count as passed")
        elif result["outcome"] == "failed" and result["text"].endswith("is not written yet"):
            unwritten[result["text"].split(" ")[0]] += 1
        elif result["outcome"] == "failed":
            function = test.partition("[")[0]
            cases[function] += 1
            if cases[function] == 1:
                told.append(_told(test, result))
    if unwritten:
        names = ", ".join(f"{name} ({count})" for name, count in unwritten.items())
        lines.append(f"not written yet (and how many tests meet it first): {names}")
    lines += told[:SHOWN]
    if len(told) > SHOWN:
        lines.append(f"... and {len(told) - SHOWN} more tests that did not pass")
    more = {function: count - 1 for function, count in cases.items() if count > 1}
    if more:
        words = "; ".join(f"{_fact(function)}: {count}" for function, count in more.items())
        lines.append(f"other cases of the same tests that failed: {words}")
    if missing and not session.broken and session.exit_code is not None:
        names = "; ".join(_fact(test) for test in missing[:3])
        more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
        lines.append(f"{len(missing)} expected tests did not report: {names}{more}")
    return lines


def _told(test: str, result: Mapping[str, Any]) -> str:
    """One failure: the fact that does not hold, where that is tested, and what happened."""
    text = f"FAILED {_fact(test)}\n({test.partition('::')[0]}:{result['line']})\n{result['text']}"
    printed = result["printed"].strip()
    return f"{text}\nit printed: {printed}" if printed else text


def _fact(test: str) -> str:
    """What a test's name states: `dot of lists of different lengths is refused`."""
    name = test.rpartition("::")[2] if "[" not in test else test.split("::", 1)[1]
    function, bracket, parameters = name.partition("[")
    words = function.rpartition("::")[2].removeprefix("test_").replace("_", " ")
    return f"{words} [{parameters}" if bracket else words


def _last_words(output: str) -> str:
    """The exception at the end of pytest's output."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [line.removeprefix("E").strip() for line in lines if line.startswith("E ")]
    return (errors or lines or ["it said nothing"])[-1]


def _indented(problems: Sequence[str]) -> list[str]:
    lines = []
    for problem in problems:
        first, *rest = problem.splitlines() or [""]
        lines += ["", f"  {first}", *(f"    {line}" for line in rest)]
    return lines
