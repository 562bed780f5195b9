"""What a roadmap consists of: phases, items and their links, papers, milestones, exhibits.

Frozen dataclasses without any text handling; `journal.roadmap` reads ROADMAP.md into them.
"""

import re
from dataclasses import dataclass, field

from journal.nearest import nearest


@dataclass(frozen=True)
class Link:
    """One link of an item: what it is for (a key), its text, and where it points to."""

    key: str
    text: str
    target: str

    @property
    def outside(self) -> bool:
        """True for an address on the web, False for a file of this repository."""
        return "://" in self.target

    @property
    def path(self) -> str:
        """The file that is meant, without the anchor in it."""
        return self.target.partition("#")[0]

    @property
    def module(self) -> str | None:
        """`phase01.train_gates` for a module in a phase folder, else None."""
        found = re.fullmatch(r"phase-\d\d-[\w-]+/code/(phase\d\d)/(\w+)\.py", self.path)
        return f"{found[1]}.{found[2]}" if found else None


@dataclass(frozen=True)
class Item:
    """One thing to build. It is written when it links to a file here, else still to come."""

    id: str
    title: str
    text: str = ""
    requirements: tuple[str, ...] = ()
    links: tuple[Link, ...] = ()
    done: bool = False
    line: int = field(default=0, compare=False)

    @property
    def written(self) -> bool:
        return any(not link.outside for link in self.links)

    def of(self, key: str) -> tuple[Link, ...]:
        """The links of one key, `Run` for example."""
        return tuple(link for link in self.links if link.key == key)


@dataclass(frozen=True)
class Phase:
    """One phase: its folder, what it is about, its items and the post that closes it."""

    number: int
    title: str
    folder: str
    goal: str
    prerequisites: str
    items: tuple[Item, ...] = ()
    key_concepts: str = ""
    papers: str = ""
    post_title: str = ""
    post: str = ""
    line: int = field(default=0, compare=False)


@dataclass(frozen=True)
class Paper:
    """One row of the reading list."""

    number: int
    title: str
    year: str
    phases: tuple[int, ...]
    why: str


@dataclass(frozen=True)
class Milestone:
    """One historic result: the items that it needs, its scripts, what they must reach."""

    year: str
    title: str
    phases: tuple[int, ...]
    needs: tuple[str, ...]
    run: tuple[Link, ...]
    must_reach: str


@dataclass(frozen=True)
class Exhibit:
    """One exhibit of the museum."""

    number: str
    title: str
    years: str
    phases: tuple[int, ...]
    idea: str
    run: tuple[Link, ...]
    cpu_time: str


@dataclass(frozen=True)
class Outcome:
    """One line of the list of what will have been built, with the items that build it."""

    text: str
    items: tuple[str, ...]


@dataclass(frozen=True)
class Chapter:
    """What one phase has to read: the titles of its notes, in order, and its notebooks' names."""

    phase: int
    notes: tuple[str, ...]
    notebooks: tuple[str, ...]


@dataclass(frozen=True)
class ReadingPath:
    """A way through the notes: for whom it is, and the titles of the notes that it aims at."""

    title: str
    reader: str
    aims: tuple[str, ...]


@dataclass(frozen=True)
class Roadmap:
    """The whole of ROADMAP.md."""

    phases: tuple[Phase, ...]
    papers: tuple[Paper, ...] = ()
    timeline: tuple[tuple[str, ...], ...] = ()  # the header is the first row
    milestones: tuple[Milestone, ...] = ()
    museum: tuple[Exhibit, ...] = ()
    outcomes: tuple[Outcome, ...] = ()
    chapters: tuple[Chapter, ...] = ()
    paths: tuple[ReadingPath, ...] = ()

    @property
    def items(self) -> tuple[Item, ...]:
        return tuple(item for phase in self.phases for item in phase.items)

    def phase(self, number: int) -> Phase:
        """The phase of this number; ValueError where there is none."""
        if not 0 <= number < len(self.phases):
            last = len(self.phases) - 1
            raise ValueError(f"there is no phase {number}; the phases are 0 to {last}.")
        return self.phases[number]

    def item(self, item_id: str) -> Item:
        """The item of this id; ValueError with the nearest id where there is none."""
        found = {item.id: item for item in self.items}
        if item_id not in found:
            near = nearest(item_id, found)
            hint = f"did you mean {' or '.join(near)}?" if near else "an id looks like 2.3"
            raise ValueError(f"there is no item {item_id!r} in ROADMAP.md; {hint}")
        return found[item_id]

    def next_item(self, *, written: bool = False) -> Item | None:
        """The first item without a tick; with `written`, the first that can be done today."""
        open_items = (item for item in self.items if not item.done)
        return next((item for item in open_items if item.written or not written), None)

    def reached(self, milestone: Milestone) -> bool:
        """True once every item that the milestone needs is ticked."""
        return bool(milestone.needs) and all(self.item(need).done for need in milestone.needs)
