"""How the journal's commands look: tables and bars on a terminal, plain text anywhere else.

Every function prints one command's answer; none decides anything. Left out: colours for those who
set NO_COLOR and a width of their own (COLUMNS), both of which rich sees to.
"""

import ast
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from rich.box import SIMPLE_HEAD
from rich.console import Console, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from journal.plan import Item, Milestone, Phase, Roadmap

if TYPE_CHECKING:  # neither is needed to show where someone stands
    from journal.data import DataSet, Verdict
    from journal.doctor import Finding

COMMAND = "uv run journal"
PLAIN_WIDTH = 100
BAR = 20


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


def state(item: Item) -> str:
    """In a word or two: whether the item is ticked, and whether it is written."""
    if item.done:
        return "done"
    return "open" if item.written else "to come"


# ---- where the learner stands ------------------------------------------------------------


def show_status(plan: Roadmap) -> None:
    """A bar for each phase, the next item, the milestones; first a welcome where all is new."""
    out = console()
    done = sum(item.done for item in plan.items)
    out.print("Transformers from scratch: a learning journal that runs", style="bold")
    if done:
        out.print(f"{done} of {len(plan.items)} items done.")
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
    _due(out, plan)
    heading(out, "Milestones")
    table = columns(out, "Year", "Milestone", "State")
    for milestone in plan.milestones:
        table.add_row(milestone.year, milestone.title, _standing(plan, milestone))
    emit(out, table)


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


def _due(out: Console, plan: Roadmap) -> Item | None:
    """Name the next item and, where that is to come, the first that can be done; return that."""
    due, ready = plan.next_item(), plan.next_item(written=True)
    if due is None:
        out.print("Every item is ticked.")
        return None
    out.print(f"{due.id} {due.title} ({state(due)})")
    if ready and ready != due:
        out.print(f"The first one that is written: {ready.id} {ready.title}")
    return ready or due


def _standing(plan: Roadmap, milestone: Milestone) -> str:
    if plan.reached(milestone):
        return "reached"
    done = sum(plan.item(need).done for need in milestone.needs)
    to_come = "" if milestone.run else ", its scripts to come"
    return f"{done} of {len(milestone.needs)} needed{to_come}"


def show_next(plan: Roadmap) -> None:
    """The item that is due; where it is not written yet, the first that is, in full."""
    out = console()
    item = _due(out, plan)
    if item:
        out.print()
        show_item(plan, item)


def show_item(plan: Roadmap, item: Item) -> None:
    """An item in full: what it asks for, and what to read, to run."""
    out = console()
    phase = plan.phases[int(item.id.partition(".")[0])]
    out.print(f"{item.id} {item.title} ({state(item)})", style="bold")
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


def _bullets(out: Console, lines: Iterable[str]) -> None:
    table = Table.grid(padding=(0, 1))
    for line in lines:
        table.add_row("  -", Text(line))
    emit(out, table)


def show_phase(phase: Phase) -> None:
    """A phase: its goal, its items with their state, its post."""
    out = console()
    out.print(f"Phase {phase.number}: {phase.title}", style="bold")
    emit(out, f"In {phase.folder}/\n\n{phase.goal}\n\nPrerequisites: {phase.prerequisites}")
    heading(out, "Items")
    table = columns(out, "Id", "Item", "State")
    for item in phase.items:
        table.add_row(item.id, item.title, state(item))
    emit(out, table)
    if phase.post_title:
        heading(out, "Post")
        emit(out, f"{phase.post_title}. {phase.post}")


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
