"""The historic milestones and the museum's exhibits: how far each is, and what would be run.

Everything here follows from ROADMAP.md's two tables and its ticks. A row whose Run column says
"to come" has no scripts yet; a milestone is open until every item that it needs is ticked.

Left out: running anything and printing it (`journal.cli`, `journal.views`), and whether a tick is
still backed by evidence, which `gate` asks its caller.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from journal.nearest import nearest
from journal.plan import Exhibit, Item, Milestone, Roadmap

Row = TypeVar("Row", Milestone, Exhibit)


@dataclass(frozen=True)
class MilestoneState:
    """How far a milestone is: the needed items without a tick, and whether it can be run."""

    milestone: Milestone
    lacking: tuple[Item, ...]
    runnable: bool
    """its scripts are written"""

    @property
    def reached(self) -> bool:
        return bool(self.milestone.needs) and not self.lacking

    @property
    def say(self) -> str:
        """`reached`, or `2 of 4 needed, 1.5, 1.6 lack`; and whether its scripts are to come."""
        count = len(self.milestone.needs)
        lack = ", ".join(item.id for item in self.lacking)
        done = f"{count - len(self.lacking)} of {count} needed"
        standing = "reached" if self.reached else f"{done}, {lack} lack" if lack else done
        return standing + ("" if self.runnable else "; scripts to come")


@dataclass(frozen=True)
class ExhibitState:
    """How far an exhibit is: it can be run, or is still to come."""

    exhibit: Exhibit
    runnable: bool

    @property
    def say(self) -> str:
        return "can be run" if self.runnable else "to come"


def milestone_states(plan: Roadmap) -> list[MilestoneState]:
    """Every milestone with its state, in the order of the table."""
    return [
        MilestoneState(
            milestone,
            tuple(item for item in map(plan.item, milestone.needs) if not item.done),
            bool(milestone.run),
        )
        for milestone in plan.milestones
    ]


def exhibit_states(plan: Roadmap) -> list[ExhibitState]:
    """Every exhibit with its state, in the order of the table."""
    return [ExhibitState(exhibit, bool(exhibit.run)) for exhibit in plan.museum]


# ---- looking one up ----------------------------------------------------------------------


def find_milestone(plan: Roadmap, name: str) -> Milestone:
    """The milestone of this year or title (or its first words); ValueError with the nearest."""
    return _find(name, plan.milestones, "milestone", _milestone_names)


def find_exhibit(plan: Roadmap, name: str) -> Exhibit:
    """The exhibit of this number (2 or 02), years or title; ValueError with the nearest."""
    return _find(name, plan.museum, "exhibit", _exhibit_names)


def label(row: Milestone | Exhibit) -> str:
    """`milestone 1957, Perceptron`: the shortest name that tells a row from the others."""
    if isinstance(row, Milestone):
        return f"milestone {row.year}, {_milestone_names(row)[1]}"
    return f"exhibit {row.number}, {row.title}"


def _milestone_names(row: Milestone) -> tuple[str, ...]:
    return row.year, row.title.partition(":")[0], row.title


def _exhibit_names(row: Exhibit) -> tuple[str, ...]:
    return row.number, row.title, row.number.lstrip("0"), row.years


def _find(
    name: str, rows: Sequence[Row], kind: str, names: Callable[[Row], tuple[str, ...]]
) -> Row:
    """The row of exactly this name, else the only one whose title contains it."""
    if not rows:
        raise ValueError(f"ROADMAP.md has no {kind} yet")
    wanted = name.strip().lower()
    found = [row for row in rows if wanted in (known.lower() for known in names(row))]
    found = found or [row for row in rows if wanted and wanted in row.title.lower()]
    if len(found) == 1:
        return found[0]
    if found:
        raise ValueError(f"there is more than one {kind} {name!r}: {_listed(found, names)}")
    # Titles have capitals and what was typed has often none.
    known = {each.lower(): each for row in rows for each in names(row)[:2]}
    near = [known[each] for each in nearest(wanted, known)]
    hint = f"did you mean {' or '.join(near)}?" if near else f"there are {_listed(rows, names)}"
    raise ValueError(f"there is no {kind} {name!r} in ROADMAP.md; {hint}")


def _listed(rows: Iterable[Row], names: Callable[[Row], tuple[str, ...]]) -> str:
    return ", ".join("{} {}".format(*names(row)[:2]) for row in rows)


# ---- running one -------------------------------------------------------------------------


def to_run(row: Milestone | Exhibit) -> tuple[str, ...]:
    """The modules to run one after the other, `phase01.train_gates`; ValueError if to come."""
    if not row.run:
        raise ValueError(f"the scripts of {label(row)}, are to come: ROADMAP.md links none yet")
    modules = []
    for link in row.run:
        if link.module is None:
            raise ValueError(
                f"the Run link {link.target} of {label(row)}, is no module of a phase: "
                "write phase-NN-name/code/phaseNN/script.py"
            )
        modules.append(link.module)
    return tuple(modules)


def gate(plan: Roadmap, milestone: Milestone, verified: Callable[[str], bool]) -> str | None:
    """Which items must still pass before a milestone runs on the learner's modules, or None.

    `verified` says of an item's id whether the learner's own version has passed as it stands.
    """
    lacking = [plan.item(need) for need in milestone.needs if not verified(need)]
    if not lacking:
        return None
    names = ", ".join(f"{item.id} {item.title}" for item in lacking)
    return (
        f"before {label(milestone)}, can run on your own modules these must have passed: {names}; "
        + (
            f"begin with `uv run journal practice {lacking[0].id}`"
            if lacking[0].written
            else f"{lacking[0].id} is still to come"
        )
    )
