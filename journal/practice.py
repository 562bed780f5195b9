"""The learner's loop: begin a module, have it judged, tick the roadmap, ask for a hint.

What the commands `practice`, `check`, `tick`, `hint` and `diff` do, without their looks. The
learner's files are theirs: nothing here writes over one, or removes one.
"""

import ast
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from journal import check, evidence, hints, logbook, roadmap, sidebyside, stubs
from journal.check import Verdict
from journal.faults import read
from journal.hints import Hint
from journal.logbook import Entry
from journal.plan import Item, Roadmap
from journal.record import replace_file

POLL_SECONDS = 0.2  # how often --watch looks whether a file was saved


# ---- beginning ---------------------------------------------------------------------------


@dataclass(frozen=True)
class Begun:
    """One practice file: where it is, and what became of it."""

    path: Path  # from the journal's folder
    state: str  # "written", "kept" (it was there), "fresh" (it was there; a copy was kept)
    copy: Path | None = None


def begin(root: Path, item: Item, *, fresh: bool = False) -> list[Begun]:
    """Write the stub of each of the item's modules; what the learner has stays, or is copied."""
    modules = logbook.modules(item)
    if not modules:
        raise ValueError(_nothing_to_write(item))
    known = roadmap.modules(root)
    return [_begin(root, module, known[module], fresh) for module in modules]


def _nothing_to_write(item: Item) -> str:
    if item.written:
        return (
            f"{item.id} has no module to write; `uv run journal show {item.id}` says what to do, "
            f"and `uv run journal check {item.id}` looks for what shows that it is done"
        )
    return f"{item.id} is to come: its code and tests are not written yet"


def _begin(root: Path, module: str, reference: Path, fresh: bool) -> Begun:
    path = logbook.practice_file(module)
    there = root / path
    text = stubs.stub(reference.read_text(encoding="utf-8"))
    copy = None
    if there.is_dir():
        raise IsADirectoryError(f"{path.as_posix()} is a folder; move it out of the way")
    if there.exists():
        if not fresh or there.read_bytes() == text.encode():
            return Begun(path, "kept")
        copy = _dated(path, root)
        there.rename(root / copy)  # not copied: a save in between would be lost
    replace_file(there, text)
    return Begun(path, "fresh" if copy else "written", copy)


def _dated(path: Path, root: Path) -> Path:
    """`linear_algebra.2026-11-21-1405.py`, with a number behind it where that is taken."""
    stamp = datetime.now().strftime("%Y-%m-%d-%H%M")
    for number in range(1000):
        suffix = f"-{number}" if number else ""
        copy = path.with_name(f"{path.stem}.{stamp}{suffix}.py")
        if not (root / copy).exists():
            return copy
    raise AssertionError("a thousand copies within a minute")


# ---- judging -----------------------------------------------------------------------------


def judge(root: Path, item: Item, *, seconds: float = check.SECONDS) -> Verdict:
    """Check one item, tick it where it passes, and write down the evidence."""
    if logbook.modules(item):
        mine = {module: root / path for module, path in logbook.practice_files(item).items()}
        verdict, kind = check.run(root, item, mine, seconds=seconds), logbook.CHECK
    else:
        verdict, kind = _evidence(root, item), logbook.EVIDENCE
    if verdict.passed or (item.done and verdict.files):
        logbook.append(
            root,
            Entry(
                item=item.id,
                kind=kind,
                commit=logbook.commit(root),
                files=verdict.files,
                passed=verdict.n_passed,
                expected=verdict.n_expected,
                ok=verdict.passed,
            ),
        )
    if verdict.passed:
        logbook.tick(root, item)
    return verdict


def _evidence(root: Path, item: Item) -> Verdict:
    """An item that is no code: whether what shows that it is done is there."""
    found = evidence.of_item(root, item, roadmap.load(root))
    if found is None:
        if not item.written:
            raise ValueError(_nothing_to_write(item))
        raise ValueError(
            f"nothing about {item.id} can be verified; once you have done it, "
            f"`uv run journal tick {item.id}` ticks it, shown as self-reported"
        )
    text = f"{item.id} {item.title}\n  {found.say}"
    files = logbook.hashes(root, found.files) if found.passed else {}
    return Verdict(item.id, found.passed, text, int(found.passed), 1, files)


def begun(root: Path, plan: Roadmap, which: str) -> list[Item]:
    """The item of this id; for the number of a phase, every item of it that can be judged now."""
    if not which.isdecimal():
        return [plan.item(which)]
    phase = plan.phase(int(which))
    chosen = [item for item in phase.items if _can_be_judged(root, plan, item)]
    if not chosen:
        raise ValueError(
            f"you have begun no item of phase {phase.number} yet; `uv run journal practice "
            f"{phase.number}.1` begins one"
        )
    return chosen


def _can_be_judged(root: Path, plan: Roadmap, item: Item) -> bool:
    files = logbook.practice_files(item).values()
    if files:
        return any((root / path).is_file() for path in files)
    return item.written and evidence.of_item(root, item, plan) is not None


def judge_all(root: Path, items: list[Item], *, seconds: float) -> Iterator[Verdict]:
    """Judge these, and after them the ticked ones that went stale because they share a file."""
    for item in items:
        yield judge(root, roadmap.load(root).item(item.id), seconds=seconds)
    chosen = {item.id for item in items}
    beside = {other.id: other for item in items for other in stale_beside(root, item)}
    for other in beside.values():
        if other.id not in chosen:
            yield judge(root, other, seconds=seconds)


def stale_beside(root: Path, item: Item) -> list[Item]:
    """The ticked items that share a file with this one and went stale by its being edited."""
    plan = roadmap.load(root)
    states, modules = logbook.states(root, plan), set(logbook.modules(item))
    return [
        other
        for other in plan.items
        if other.id != item.id
        and states[other.id] == "stale"
        and modules & set(logbook.modules(other))
    ]


def saves(root: Path, item: Item) -> Iterator[None]:
    """Yields at once, and again whenever one of the item's practice files was saved."""
    if not logbook.modules(item):
        raise ValueError(f"{item.id} has no module of yours to watch; leave out --watch")
    files = [root / path for path in logbook.practice_files(item).values()]
    seen = None
    while True:
        now = [_stamp(file) for file in files]
        if now != seen:
            seen = now
            yield
        time.sleep(POLL_SECONDS)


def _stamp(file: Path) -> tuple[int, int] | None:
    """What changes on a save; None while there is no file (an editor may just be replacing it)."""
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size


def tick(root: Path, item: Item, *, undo: bool = False) -> str:
    """Tick an item that cannot be verified, or take a tick back; says what was done."""
    if undo:
        changed = logbook.tick(root, item, done=False)
        return f"{item.id} is open again" if changed else f"{item.id} was not ticked"
    if logbook.modules(item):
        raise ValueError(
            f"{item.id} has tests: `uv run journal check {item.id}` ticks it once they pass on "
            "your own module"
        )
    if not item.written:
        raise ValueError(_nothing_to_write(item))
    if evidence.of_item(root, item, roadmap.load(root)) is not None:
        raise ValueError(
            f"{item.id} can be verified: `uv run journal check {item.id}` says what it looks for"
        )
    logbook.append(root, Entry(item.id, logbook.SELF, commit=logbook.commit(root)))
    changed = logbook.tick(root, item)
    return f"{item.id} is ticked, as self-reported" if changed else f"{item.id} was ticked already"


# ---- hints and the reference -------------------------------------------------------------


def hints_of(root: Path, plan: Roadmap, item: Item) -> tuple[Hint, ...]:
    """All hints of an item; ValueError where the phase has none for it yet."""
    phase = plan.phases[int(item.id.partition(".")[0])]
    file = root / phase.folder / "hints.md"
    every = hints.load(file).get(item.id, ()) if file.is_file() else ()
    if not every:
        raise ValueError(f"{item.id} has no hints" + ("" if item.written else ": it is to come"))
    return every


def hints_shown(root: Path, plan: Roadmap, item: Item) -> list[Hint]:
    """The hints that were given out already, as the log knows."""
    entries = [entry for entry in logbook.read(root) if entry.kind == logbook.HINT]
    given = {entry.say for entry in entries if entry.item == item.id}
    return [hint for hint in hints_of(root, plan, item) if _label(hint) in given]


def next_hint(root: Path, plan: Roadmap, item: Item, part: str | None) -> tuple[Hint, int]:
    """The next hint not given out yet, which now counts as given out, and how many are left."""
    every = hints_of(root, plan, item)
    given = {(hint.part, hint.step) for hint in hints_shown(root, plan, item)}
    hint = hints.next_hint(every, given, part)
    if hint is None:
        what = f"{item.id}, {part}" if part else item.id
        raise ValueError(
            f"all hints for {what} were given; `uv run journal hint {item.id} --again` shows them, "
            f"and `uv run journal diff {item.id} --reveal` the journal's own version"
        )
    logbook.append(root, Entry(item.id, logbook.HINT, say=_label(hint)))
    return hint, len(every) - len(given) - 1


def _label(hint: Hint) -> str:
    return f"{hint.part} {hint.step}"


@dataclass(frozen=True)
class Pair:
    """A module in both versions, and the definitions of it that are shown."""

    module: str
    mine: str
    reference: str
    names: set[str]


def pairs(root: Path, plan: Roadmap, item: Item, *, reveal: bool = False) -> list[Pair]:
    """Both versions of each module of the item; the journal's only once the learner's passes."""
    files = logbook.practice_files(item)
    if not files:
        raise ValueError(_nothing_to_write(item))
    if not reveal and logbook.states(root, plan)[item.id] != "verified":
        raise ValueError(
            f"{item.id} has not passed on your file as it stands: `uv run journal check {item.id}` "
            f"judges it, and `uv run journal diff {item.id} --reveal` shows the journal's version "
            "all the same"
        )
    known = roadmap.modules(root)
    found = []
    for module, path in files.items():
        file = root / path
        mine = read(file) if file.is_file() else ""
        reference = known[module].read_text(encoding="utf-8")
        # A function that is not written yet belongs to another item, whose solution stays closed.
        closed = {name.partition(".")[0] for name in stubs.unwritten(mine)} if not reveal else set()
        names = set(sidebyside.definitions(reference)) - closed
        found.append(Pair(module, mine, reference, names))
    return found


# ---- running on the learner's modules ----------------------------------------------------


@dataclass(frozen=True)
class Mine:
    """A module of the learner's: whether it can take the reference's place, and its standing.

    It takes part once anything of it is written; what is not raises Unwritten where it is reached.
    """

    name: str
    path: Path
    used: bool
    say: str


def mine(root: Path) -> list[Mine]:
    """Every module that the learner has a file for, in the order of the phases."""
    plan = roadmap.load(root)
    states = logbook.states(root, plan)
    found = []
    for module in roadmap.modules(root):
        path = logbook.practice_file(module)
        if not (root / path).is_file():
            continue
        try:
            text = read(root / path)
            left, functions = stubs.unwritten(text), stubs.functions(text)
        except (SyntaxError, ValueError):
            found.append(Mine(module, path, False, "not Python as it stands"))
            continue
        if left and len(left) == len(functions):
            found.append(Mine(module, path, False, "nothing of it is written yet"))
            continue
        items = [item for item in plan.items if module in logbook.modules(item)]
        say = ", ".join(f"{item.id} {states[item.id]}" for item in items)
        say += f"; still to write: {', '.join(left)}" if left else ""
        found.append(Mine(module, path, True, say))
    return found


def imported(root: Path, scripts: Sequence[str]) -> set[str]:
    """These modules of the phases and all that they import, directly or through others."""
    known = roadmap.modules(root)
    found: set[str] = set()
    waiting = [script for script in scripts if script in known]
    while waiting:
        module = waiting.pop()
        if module not in found:
            found.add(module)
            waiting += _phase_imports(known[module], known)
    return found


def _phase_imports(file: Path, known: Mapping[str, Path]) -> list[str]:
    names: list[str] = []
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return [name for name in names if name in known]
