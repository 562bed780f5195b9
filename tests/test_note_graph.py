"""The graph of the notes: an order, circles, arrows, reading paths."""

from pathlib import Path

import pytest

from journal import notes, roadmap
from journal.notes import Note

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("phase-00-a", "phase-01-b")
ROADMAP = """# Roadmap

## Phase 0: A
Folder: [phase-00-a](phase-00-a/)

**Goal.** A goal.

**Prerequisites.** None.

## Phase 1: B
Folder: [phase-01-b](phase-01-b/)

**Goal.** A goal.

**Prerequisites.** Phase 0.

## Notes

| Phase | Notes | Notebooks |
| --- | --- | --- |
| 0 | Vectors, Slopes, Chance | |
| 1 | Neurons, Layers | |

## Reading paths

| Path | For whom | Aims at |
| --- | --- | --- |
| Short | is in a hurry | Chance, Neurons |
| Whole | has time | phases 0 to 1 |
"""


def write(root: Path, name: str, needs: str = "none", title: str = "") -> None:
    """A note with these prerequisites, given by their paths from its folder."""
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    links = ", ".join(f"[{need}]({need})" for need in needs.split()) if needs != "none" else needs
    text = f"# {title or path.stem.capitalize()}\n\nOpening.\n\nPrerequisites: {links}.\n"
    path.write_text(text, encoding="utf-8")


@pytest.fixture
def root(tmp_path):
    (tmp_path / "ROADMAP.md").write_text(ROADMAP, encoding="utf-8")
    write(tmp_path, "phase-00-a/notes/vectors.md")
    write(tmp_path, "phase-00-a/notes/slopes.md", "vectors.md")
    write(tmp_path, "phase-00-a/notes/chance.md", "vectors.md slopes.md")
    return tmp_path


def load(root):
    return notes.load(root, roadmap.load(root))


def stems(found):
    return [note.stem for note in found.values()]


# ---- order ---------------------------------------------------------------------------------


def test_notes_come_in_the_order_of_the_roadmap(root):
    assert stems(load(root)) == ["vectors", "slopes", "chance"]


def test_note_comes_after_what_it_needs_whatever_the_roadmap_says(root):
    write(root, "phase-00-a/notes/vectors.md", "chance.md")
    write(root, "phase-00-a/notes/slopes.md")
    write(root, "phase-00-a/notes/chance.md", "slopes.md")
    assert stems(load(root)) == ["slopes", "chance", "vectors"]


def test_note_that_the_roadmap_does_not_name_comes_last(root):
    write(root, "phase-00-a/notes/aside.md")
    write(root, "phase-01-b/notes/layers.md", "../../phase-00-a/notes/slopes.md")
    assert stems(load(root)) == ["vectors", "slopes", "chance", "layers", "aside"]


def test_prerequisite_that_is_no_note_is_no_part_of_the_graph(root):
    write(root, "phase-00-a/notes/vectors.md", "../README.md")
    assert load(root)["phase-00-a/notes/vectors.md"].prerequisites == ()


@pytest.mark.parametrize(
    ("needs", "circle"),
    [
        ({"vectors": "vectors.md"}, "vectors -> vectors"),
        ({"vectors": "slopes.md"}, "vectors -> slopes -> vectors"),
        ({"vectors": "chance.md", "slopes": "none"}, "vectors -> chance -> vectors"),
        ({"vectors": "chance.md", "chance": "slopes.md"}, "vectors -> chance -> slopes -> vectors"),
    ],
)
def test_circle_is_refused_and_shown(root, needs, circle):
    for stem, need in needs.items():
        write(root, f"phase-00-a/notes/{stem}.md", need)
    with pytest.raises(ValueError, match=f"in a circle, {circle}: take one") as error:
        load(root)
    assert str(error.value).startswith("phase-00-a/notes/")


# ---- arrows --------------------------------------------------------------------------------


def graph(**needs: str) -> dict[str, Note]:
    return {name: Note(name, name, 0, tuple(need.split())) for name, need in needs.items()}


def test_arrow_that_follows_from_two_others_is_left_out():
    found = graph(a="", b="a", c="a b", d="a b c", e="a")
    assert notes.arrows(found) == [("a", "b"), ("b", "c"), ("c", "d"), ("a", "e")]


def test_needs_are_all_that_a_note_rests_on():
    found = graph(a="", b="a", c="b", d="c", e="a")
    assert notes.needs(found, "d") == {"a", "b", "c"}
    assert notes.needs(found, "a") == set()


def test_mermaid_has_a_box_for_each_note_and_the_same_arrows():
    found = graph(a="", b="a", c="a b")
    assert notes.mermaid(found).splitlines() == [
        "graph TD",
        '  n0["a"]',
        '  n1["b"]',
        '  n2["c"]',
        "  n0 --> n1",
        "  n1 --> n2",
    ]


# ---- reading paths -------------------------------------------------------------------------


def test_path_puts_what_an_aim_needs_before_it_and_names_what_is_to_come(root):
    plan, found = roadmap.load(root), load(root)
    stops = notes.steps(plan, found, plan.paths[0])
    assert [(stop.title, stop.note is not None, stop.aim) for stop in stops] == [
        ("Vectors", True, False),
        ("Slopes", True, False),
        ("Chance", True, True),
        ("Neurons", False, True),
    ]


def test_path_has_no_stop_twice(root):
    plan, found = roadmap.load(root), load(root)
    titles = [stop.title for stop in notes.steps(plan, found, plan.paths[1])]
    assert titles == ["Vectors", "Slopes", "Chance", "Neurons", "Layers"]


def test_line_of_a_path_links_what_is_written_and_sums_up_phases_to_come(root):
    plan, found = roadmap.load(root), load(root)
    link = "(phase-00-a/notes/{}.md)".format
    line = notes.line(plan, found, plan.paths[1])
    three = [
        f"[Vectors]{link('vectors')}",
        f"[Slopes]{link('slopes')}",
        f"[Chance]{link('chance')}",
    ]
    assert line.split(", ") == [*three, "phase 1"]
    assert notes.line(plan, found, plan.paths[0]).endswith(", Neurons")


def test_what_is_to_come_is_what_has_no_file(root):
    plan = roadmap.load(root)
    assert notes.to_come(plan, load(root)) == [(1, "Neurons"), (1, "Layers")]


# ---- the journal's own ---------------------------------------------------------------------


def test_every_note_of_the_journal_is_in_the_roadmap_under_its_phase():
    plan = roadmap.load(ROOT)
    planned = {(phase, stem) for phase, stem, _ in notes.planned(plan)}
    assert {(note.phase, note.stem) for note in load(ROOT).values()} <= planned


def test_every_notebook_of_the_plan_has_a_number_of_its_own():
    names = [name for chapter in roadmap.load(ROOT).chapters for name in chapter.notebooks]
    assert sorted(name[:2] for name in names) == [f"{number:02}" for number in range(1, 13)]


def test_the_journal_has_four_reading_paths_and_each_has_an_order():
    plan, found = roadmap.load(ROOT), load(ROOT)
    titles = [path.title for path in plan.paths]
    assert titles == ["Quickstart", "Foundations first", "Practitioner", "Historical"]
    for path in plan.paths:
        stops = [stop.note for stop in notes.steps(plan, found, path) if stop.note]
        for at, note in enumerate(stops):
            assert set(note.prerequisites) <= {before.name for before in stops[:at]}
