"""The notes as a graph: what each needs, an order in which all can be read, the reading paths.

A note says what it needs by the links of its line `Prerequisites:` (`journal.pages` reads them).
Its place is the file that its title in ROADMAP.md's table of notes gives: `Linear algebra` of phase
0 is `phase-00-.../notes/linear-algebra.md`. A note of that table without a file is still to come,
and nothing is known of its prerequisites.

Left out: prerequisites that are no notes (a phase's page, say), and drawing (`journal.site.graph`).
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from journal import pages
from journal.plan import ReadingPath, Roadmap


@dataclass(frozen=True)
class Note:
    """A note that is written."""

    name: str  # its path from the journal's folder
    title: str
    phase: int
    prerequisites: tuple[str, ...]  # names of notes, in the order in which the note has them

    @property
    def stem(self) -> str:
        return PurePosixPath(self.name).stem


@dataclass(frozen=True)
class Step:
    """One stop of a reading path; `note` is None where it is still to come."""

    title: str
    note: Note | None
    aim: bool
    """the path names it; the others are there because an aim needs them"""


Notes = Mapping[str, Note]


def load(root: Path, plan: Roadmap) -> dict[str, Note]:
    """Every written note by name, in reading order; ValueError where prerequisites go in a circle.

    The order is the roadmap's, except that a note comes after all that it needs. Notes that the
    roadmap does not name come last.
    """
    found: dict[str, Note] = {}
    for path in pages.notes(root):
        page = pages.load(root, path)
        phase = re.match(r"phase-(\d\d)-", page.name)
        assert phase, "pages.notes finds notes in phase folders alone"
        title = page.title or path.stem
        found[page.name] = Note(page.name, title, int(phase[1]), page.prerequisites)
    known = {
        name: Note(name, note.title, note.phase, tuple(n for n in note.prerequisites if n in found))
        for name, note in found.items()
    }
    rank = {(phase, stem): at for at, (phase, stem, _) in enumerate(planned(plan))}
    names = sorted(
        known, key=lambda name: (rank.get((known[name].phase, known[name].stem), len(rank)), name)
    )
    return {name: known[name] for name in in_order({name: known[name] for name in names})}


def in_order(notes: Notes) -> list[str]:
    """The names such that each stands after all that it needs, else as they came."""
    done: list[str] = []
    open_: list[str] = []  # the way to the note that is being looked at

    def visit(name: str) -> None:
        if name in open_:
            circle = [*open_[open_.index(name) :], name]
            shown = " -> ".join(PurePosixPath(one).stem for one in circle)
            raise ValueError(
                f"{open_[-1]}: prerequisites go in a circle, {shown}: take one of these links out"
            )
        if name not in done:
            open_.append(name)
            for need in notes[name].prerequisites:
                visit(need)
            open_.pop()
            done.append(name)

    for name in notes:
        visit(name)
    return done


def needs(notes: Notes, name: str) -> set[str]:
    """All that a note rests on, directly or by way of another."""
    direct = notes[name].prerequisites
    return set(direct).union(*(needs(notes, need) for need in direct))


def arrows(notes: Notes) -> list[tuple[str, str]]:
    """(what is needed, by which note), without those that follow from two others."""
    return [
        (need, note.name)
        for note in notes.values()
        for need in note.prerequisites
        if not any(need in needs(notes, other) for other in note.prerequisites)
    ]


# ---- notes and paths of the roadmap --------------------------------------------------------


def planned(plan: Roadmap) -> Iterator[tuple[int, str, str]]:
    """(phase, file name without .md, title) of every note of the roadmap, in its order."""
    for chapter in plan.chapters:
        for title in chapter.notes:
            yield chapter.phase, pages.slug(title), title


def to_come(plan: Roadmap, notes: Notes) -> list[tuple[int, str]]:
    """(phase, title) of the planned notes that are not written."""
    written = {(note.phase, note.stem) for note in notes.values()}
    return [(phase, title) for phase, stem, title in planned(plan) if (phase, stem) not in written]


def steps(plan: Roadmap, notes: Notes, path: ReadingPath) -> list[Step]:
    """The stops of a reading path: its aims in their order, each after what it needs."""
    places = {title: (phase, stem) for phase, stem, title in planned(plan)}
    written = {(note.phase, note.stem): note for note in notes.values()}
    aims = {places[title] for title in path.aims}
    found: dict[str, Step] = {}
    for title in path.aims:
        note = written.get(places[title])
        if note is None:
            found.setdefault(title, Step(title, None, True))
            continue
        wanted = needs(notes, note.name) | {note.name}
        for name in (name for name in notes if name in wanted):
            one = notes[name]
            found.setdefault(name, Step(one.title, one, (one.phase, one.stem) in aims))
    return list(found.values())


def line(plan: Roadmap, notes: Notes, path: ReadingPath) -> str:
    """A reading path in Markdown: a phase of which nothing is written is named as a whole."""
    stops = steps(plan, notes, path)
    phase_of = {title: phase for phase, _, title in planned(plan)}
    whole = {chapter.phase: set(chapter.notes) for chapter in plan.chapters}
    there = {stop.title for stop in stops if stop.note is None}
    shown: list[str] = []
    for stop in stops:
        phase = phase_of.get(stop.title)
        if stop.note is not None:
            shown.append(f"[{stop.title}]({stop.note.name})")
        elif phase is not None and len(whole[phase]) > 1 and whole[phase] <= there:
            shown.append(f"phase {phase}")
        else:
            shown.append(stop.title)
    return ", ".join(dict.fromkeys(shown))


def mermaid(notes: Notes) -> str:
    """The graph in the language that GitHub draws: an arrow leads to a note that needs another."""
    lines = ["graph TD"]
    number = {name: f"n{at}" for at, name in enumerate(notes)}
    lines += [
        f'  {number[name]}["{note.title.replace(chr(34), "")}"]' for name, note in notes.items()
    ]
    lines += [f"  {number[need]} --> {number[name]}" for need, name in arrows(notes)]
    return "\n".join(lines)
