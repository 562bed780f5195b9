"""How the journal's commands look: tables and bars on a terminal, plain text anywhere else.

Every function prints one command's answer; none decides anything. Left out: colours for those who
set NO_COLOR and a width of their own (COLUMNS), both of which rich sees to.
"""

import ast
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.box import SIMPLE_HEAD
from rich.console import Console, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from journal import faults, history, logbook, stubs
from journal.plan import Item, Phase, Roadmap

if TYPE_CHECKING:  # neither is needed to show where someone stands
    from journal.check import Verdict as Judged
    from journal.data import DataSet, Verdict
    from journal.doctor import Finding
    from journal.hints import Hint
    from journal.practice import Begun, Mine, Pair

COMMAND = "uv run journal"
PLAIN_WIDTH = 100
BAR = 20
AGAIN = {  # ticks that no longer hold
    "stale": "the file was edited since it passed; check it again:",
    "failing": "it was checked again since it passed, and failed:",
}

States = Mapping[str, str]  # the id of an item to its state, from journal.logbook


def console() -> Console:
    """Standard output; the roadmap's brackets and colons are text there, not markup."""
    width = None if sys.stdout.isatty() else PLAIN_WIDTH
    return Console(markup=False, emoji=False, highlight=False, width=width)


def columns(out: Console, *headers: str) -> Table:
    """A table with these headers, underlined where the output is a terminal."""
    box = SIMPLE_HEAD if out.is_terminal else None
    table = Table(box=box, show_edge=False, pad_edge=False, padding=(0, 2, 0, 0))
    for header in headers:
        table.add_column(header, overflow="fold")
    return table


def emit(out: Console, shown: RenderableType) -> None:
    """Print text or a table; as plain text without the blanks that rich leaves at line ends."""
    if out.is_terminal:
        out.print(shown)
        return
    with out.capture() as captured:
        out.print(shown)
    for line in captured.get().splitlines():
        out.print(line.rstrip(), soft_wrap=True)


def bar(out: Console, done: int, total: int) -> RenderableType:
    """How much of a phase is ticked."""
    if out.is_terminal:
        return ProgressBar(total=max(total, 1), completed=done, width=BAR)
    filled = BAR * done // max(total, 1)
    return "#" * filled + "." * (BAR - filled)


def heading(out: Console, text: str) -> None:
    out.print()
    out.print(text, style="bold")


# ---- where the learner stands ------------------------------------------------------------


def show_status(plan: Roadmap, states: States) -> None:
    """A bar for each phase, the next item, the milestones; first a welcome where all is new."""
    out = console()
    out.print("Transformers from scratch: a learning journal that runs", style="bold")
    if any(item.done for item in plan.items):
        _done(out, plan, states)
    else:
        _welcome(out, plan)
    heading(out, "Phases")
    table = columns(out, "#", "Phase", "Progress", "Items", "Here")
    for phase in plan.phases:
        ticked = sum(item.done for item in phase.items)
        count = f"{ticked} of {len(phase.items)}"
        row = (str(phase.number), phase.title, bar(out, ticked, len(phase.items)), count)
        table.add_row(*row, _written(phase))
    emit(out, table)
    heading(out, "Next")
    _due(out, plan, states)
    heading(out, "Milestones")
    table = columns(out, "Year", "Milestone", "State")
    for state in history.milestone_states(plan):
        table.add_row(state.milestone.year, state.milestone.title, state.say)
    emit(out, table)


def _done(out: Console, plan: Roadmap, states: States) -> None:
    """How many ticks there are, what they rest on, and which no longer hold."""
    ticked = [states[item.id] for item in plan.items if item.done]
    kinds = [f"{ticked.count(kind)} {kind}" for kind in dict.fromkeys(ticked)]
    out.print(f"{len(ticked)} of {len(plan.items)} items done ({', '.join(kinds)}).")
    for item in plan.items:
        if states[item.id] in AGAIN:
            out.print(f"{item.id} {item.title}: {AGAIN[states[item.id]]}")
            out.print(f"  {COMMAND} check {item.id}")


def _welcome(out: Console, plan: Roadmap) -> None:
    """For someone who has just cloned the repository."""
    first = plan.next_item(written=True) or plan.next_item()
    emit(
        out,
        f"From a dot product in pure Python to a GPT-2 that you train yourself: {len(plan.items)} "
        f"things to build, in {len(plan.phases)} phases, each with notes, code, tests and a post, "
        "as far as they are written. Nothing is ticked yet. Three commands to try:",
    )
    out.print()
    table = Table.grid(padding=(0, 2))
    rows = [("train", "trains a small GPT in a few minutes and prints text that it wrote")]
    rows += [("next", "the item that is due: what to read, to write and to run")]
    if first:
        rows += [(f"show {first.id}", f"one item in full: {first.title}")]
    for command, meaning in rows:
        table.add_row(f"  {COMMAND} {command}", meaning)
    emit(out, table)


def _written(phase: Phase) -> str:
    """How much of a phase is there to be read and run."""
    written = sum(item.written for item in phase.items)
    if written == 0:
        return "to come"
    return "written" if written == len(phase.items) else f"{written} written, the rest to come"


def _due(out: Console, plan: Roadmap, states: States) -> Item | None:
    """Name the next item and, where that is to come, the first that can be done; return that."""
    due, ready = plan.next_item(), plan.next_item(written=True)
    if due is None:
        out.print("Every item is ticked.")
        return None
    out.print(f"{due.id} {due.title} ({states[due.id]})")
    if ready and ready != due:
        out.print(f"The first one that is written: {ready.id} {ready.title}")
    return ready or due


def show_next(root: Path, plan: Roadmap, states: States) -> None:
    """The item that is due; where it is not written yet, the first that is, in full."""
    out = console()
    due, ready = plan.next_item(), plan.next_item(written=True)
    if due is None or due != ready:  # else the item says it all itself
        _due(out, plan, states)
    if due:
        if due != ready:
            out.print()
        show_item(root, plan, ready or due, states)


def show_item(root: Path, plan: Roadmap, item: Item, states: States) -> None:
    """An item in full: what it asks for, what to read and run, and where your own version is."""
    out = console()
    phase = plan.phases[int(item.id.partition(".")[0])]
    out.print(f"{item.id} {item.title} ({states[item.id]})", style="bold")
    out.print(f"Phase {phase.number}: {phase.title}, in {phase.folder}/")
    if item.text:
        emit(out, f"\n{item.text}")
    if item.requirements:
        _bullets(out, item.requirements)
    out.print()
    if not item.written:
        out.print("To come: its notes, code and tests are not written yet.")
    for link in item.links:
        what = f"{COMMAND} run {link.module}" if link.key == "Run" and link.module else link.target
        # Not wrapped: a path or a command is there to be copied.
        out.print(f"{link.key + ':':<7}{what}", soft_wrap=True)
    if logbook.modules(item):
        _show_practice(out, root, item)


def _show_practice(out: Console, root: Path, item: Item) -> None:
    """Where the learner's version of each module is, how far it is, and what to do with it."""
    heading(out, "Your own version")
    begun = False
    for path in logbook.practice_files(item).values():
        standing = "not begun"
        if (root / path).is_file():
            begun, standing = True, _how_far(root / path)
        out.print(f"{path.as_posix()}: {standing}", soft_wrap=True)
    words = ("check", "hint") if begun else ("practice", "check", "hint")
    for word in words:
        out.print(f"  {COMMAND} {word} {item.id}", soft_wrap=True)


def _how_far(file: Path) -> str:
    try:
        left = stubs.unwritten(faults.read(file))
    except (SyntaxError, ValueError):
        return "not Python as it stands"
    return f"still to write: {', '.join(left)}" if left else "written"


def _bullets(out: Console, lines: Iterable[str]) -> None:
    table = Table.grid(padding=(0, 1))
    for line in lines:
        table.add_row("  -", Text(line))
    emit(out, table)


def show_phase(phase: Phase, states: States) -> None:
    """A phase: its goal, its items with their state, its post."""
    out = console()
    out.print(f"Phase {phase.number}: {phase.title}", style="bold")
    emit(out, f"In {phase.folder}/\n\n{phase.goal}\n\nPrerequisites: {phase.prerequisites}")
    heading(out, "Items")
    table = columns(out, "Id", "Item", "State")
    for item in phase.items:
        table.add_row(item.id, item.title, states[item.id])
    emit(out, table)
    if phase.post_title:
        heading(out, "Post")
        emit(out, f"{phase.post_title}. {phase.post}")


def show_history(plan: Roadmap, kind: str) -> None:
    """The milestones with what each must reach, or the museum's exhibits as a timeline."""
    out = console()
    if kind == "milestones":
        table = columns(out, "Year", "Milestone", "Must reach", "State")
        for state in history.milestone_states(plan):
            row = state.milestone
            table.add_row(row.year, row.title, row.must_reach, state.say)
    else:
        table = columns(out, "#", "Years", "Exhibit", "Idea", "CPU time", "State")
        for state in history.exhibit_states(plan):
            row = state.exhibit
            table.add_row(row.number, row.years, row.title, row.idea, row.cpu_time, state.say)
    emit(out, table)
    out.print(f"\n{COMMAND} {kind} run {'YEAR' if kind == 'milestones' else 'NUMBER'} runs one.")


# ---- the learner's own modules -----------------------------------------------------------


def show_begun(item: Item, others: Sequence[str], files: Iterable["Begun"]) -> None:
    """What `practice` wrote and what it left alone, and what to do next."""
    out = console()
    started_again = False
    words = {
        "written": "written; the bodies are yours",
        "kept": "is there already and stays as it is (--fresh begins again and keeps a copy)",
    }
    for file in files:
        say = words.get(file.state, f"begun again; what was there is kept as {file.copy}")
        started_again |= file.state == "fresh"
        out.print(f"{file.path.as_posix()}: {say}", soft_wrap=True)
    if others and started_again:
        out.print(f"What was in them for {', '.join(others)} is in that copy too.")
    elif others:
        out.print(f"The same files hold {', '.join(others)}; that part is judged by itself.")
    out.print("Names with an underscore in front are helpers: keep, change or delete them.")
    tests = ", ".join(link.path for link in item.of("Tests"))
    out.print(f"\nIts tests: {tests}", soft_wrap=True)
    for word in ("check", "hint"):
        out.print(f"  {COMMAND} {word} {item.id}" + (" --watch" if word == "check" else ""))


def show_judged(verdicts: Iterable["Judged"]) -> int:
    """Each verdict as it is reached; 1 where one is a failure."""
    out = console()
    code = 0
    for verdict in verdicts:
        out.print(verdict.text, soft_wrap=True)
        good = (
            f"\n{verdict.item} passes; it is ticked in ROADMAP.md. {COMMAND} diff {verdict.item} "
            f"compares it with the journal's version, {COMMAND} next goes on."
        )
        bad = f"\n{verdict.item} does not pass yet. {COMMAND} hint {verdict.item} helps on."
        out.print(good if verdict.passed else bad, style="bold", soft_wrap=True)
        sys.stdout.flush()
        code = code if verdict.passed else 1
    return code


def show_hints(hints: Iterable["Hint"], left: int | None) -> None:
    """Hints, each under what it is about; `left` more can be asked for."""
    out = console()
    for hint in hints:
        out.print(f"{hint.part}, hint {hint.step}", style="bold")
        emit(out, Text(hint.text))
    if left is not None:
        out.print(f"\n{left} more for this item." if left else "\nThat was the last one.")


def show_pairs(pairs: Iterable["Pair"]) -> None:
    """The learner's version and the journal's side by side."""
    from journal import sidebyside

    out = console()
    for pair in pairs:
        out.print(pair.module, style="bold")
        if not pair.mine:
            out.print("You have no version of your own yet.")
        sidebyside.show(out, pair.mine, pair.reference, pair.names)


def show_mine(modules: Iterable["Mine"]) -> None:
    """Which of the learner's modules take part in a run, and which do not; on stderr."""
    err = Console(stderr=True, markup=False, emoji=False, highlight=False)
    for module in modules:
        part = "yours" if module.used else "not used"
        err.print(f"{part}: {module.path.as_posix()} ({module.say})", soft_wrap=True)


# ---- scripts, data, machine --------------------------------------------------------------


def show_scripts(scripts: Mapping[str, Path]) -> None:
    """The scripts that `journal run` takes, each with the first line of its docstring."""
    out = console()
    if not scripts:
        out.print("No phase has a script yet: they are to come.")
        return
    table = columns(out, "Module", "What it does")
    for name, file in scripts.items():
        text = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or ""
        table.add_row(name, text.partition("\n")[0])
    emit(out, table)
    out.print(f"\n{COMMAND} run MODULE --help shows the options of one.")


def show_data(sets: Iterable["DataSet"]) -> None:
    """Every data set with its source, its size, its licence and whether it is here."""
    out = console()
    table = columns(out, "Set", "MB", "Here", "What it is, where from, licence")
    for found in sets:
        here = "yes" if found.present else f"{found.found} of {len(found.files)}"
        about = f"{found.about}\n{found.source}\nlicence: {found.licence}"
        table.add_row(found.name, f"{found.bytes / 1e6:.1f}", here if found.found else "no", about)
    emit(out, table)
    out.print(f"\n{COMMAND} data fetch NAME brings one here, except what is local only.")


def show_verdicts(verdicts: Iterable["Verdict"]) -> int:
    """What verifying found, file by file; 1 where a file is damaged, else 0."""
    out = console()
    counts = dict.fromkeys(("ok", "missing", "damaged"), 0)
    for verdict in verdicts:
        counts[verdict.state] += 1
        out.print(f"{verdict.state:<8} {verdict.name}", soft_wrap=True)
        if verdict.state == "damaged":
            out.print(f"         {verdict.message}", soft_wrap=True)
    out.print(", ".join(f"{count} {word}" for word, count in counts.items()))
    return 1 if counts["damaged"] else 0


def show_findings(findings: Iterable["Finding"]) -> int:
    """What the doctor finds, each as it is found; 1 where something that is needed fails."""
    out = console()
    code = 0
    for finding in findings:
        row = Table.grid(padding=(0, 1))
        row.add_column(width=6)
        row.add_column(width=17)
        row.add_column(overflow="fold")
        row.add_row(finding.verdict, finding.subject, finding.found)
        if finding.advice:
            row.add_row("", "", finding.advice)
        emit(out, row)
        code = 1 if finding.verdict == "fails" else code
    return code
