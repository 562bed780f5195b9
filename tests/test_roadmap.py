"""The grammar of ROADMAP.md: what is read, what is refused and with which advice."""

import contextlib
import textwrap
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from journal import roadmap
from journal.plan import (
    Chapter,
    Exhibit,
    Item,
    Link,
    Milestone,
    Outcome,
    Paper,
    Phase,
    ReadingPath,
    Roadmap,
)

EXAMPLE = """\
# A roadmap

How to use it, in prose.

## Phase 0: Foundations
Folder: [phase-00-foundations](phase-00-foundations/)

**Goal.** Know the operations
well.

**Prerequisites.** Python.

### Key concepts
- **Dot product**: how alike two vectors are.

### Papers
None.

### Items
- [x] **0.1 Vectors, by hand.** Lists only,
  no NumPy.
  - the dot product of two lists
  - the product of two matrices,
    checked on paper
  - Read: [notes](phase-00-foundations/notes/a.md#dot), [film](https://example.org/v) · Code: [a.py](phase-00-foundations/code/phase00/a.py) · Tests: [test_a.py](phase-00-foundations/tests/test_a.py) · Run: [plot_a.py](phase-00-foundations/code/phase00/plot_a.py)
- [ ] **0.2 Why does it work?** The chain rule.

### Post
**The mathematics you need.** With
examples.

## Phase 1: Networks
Folder: [phase-01-networks](phase-01-networks/)

**Goal.** Learn from data.

**Prerequisites.** Phase 0.

### Items
- [ ] **1.1 Perceptron.** Learns AND.
  - Note: fails on XOR

## Notes

| Phase | Notes | Notebooks |
| --- | --- | --- |
| 0 | Linear algebra, Calculus | |
| 1 | Perceptron | 01-gates, 02-xor |

## Reading paths

| Path | For whom | Aims at |
| --- | --- | --- |
| Quick | is in a hurry | Calculus, Perceptron |
| All | wants all of it | phases 0 to 1 |

## Papers

| # | Paper | Year | Phase | Why read it |
| --- | --- | --- | --- | --- |
| 1 | Rosenblatt, "The Perceptron" | 1958 | 1 | The start |

## Timeline

| Phase | Topic | Weeks |
| --- | --- | --- |
| 0 | Foundations | 1-2 |

## Milestones

| Year | Milestone | Phase | Needs | Run | Must reach |
| ---: | --- | --- | --- | --- | --- |
| 1957 | Perceptron | 1 | 0.1, 1.1 | to come | 95 % |

## Museum

| # | Exhibit | Years | Phase | Idea | Run | CPU time |
| --- | --- | --- | --- | --- | --- | --- |
| 05 | Seq2seq | 2014 | 0 (NumPy), 1 (PyTorch) | p(a \\| b) | [x](phase-01-networks/code/phase01/x.py) | 5 s |

## What you will build

- Vectors (0.1, 0.2)
- Perceptron (1.1)
"""  # noqa: E501


def test_every_part_of_the_example_is_read():
    read = roadmap.parse(EXAMPLE)
    first, second = read.phases
    assert (first.number, first.title, first.folder) == (0, "Foundations", "phase-00-foundations")
    assert (first.goal, first.prerequisites) == ("Know the operations well.", "Python.")
    assert first.key_concepts == "- **Dot product**: how alike two vectors are."
    assert (first.post_title, first.post) == ("The mathematics you need", "With examples.")
    vectors, chain_rule = first.items
    assert (vectors.id, vectors.title, vectors.done) == ("0.1", "Vectors, by hand", True)
    assert vectors.text == "Lists only, no NumPy."
    assert vectors.requirements[1] == "the product of two matrices, checked on paper"
    assert [link.key for link in vectors.links] == ["Read", "Read", "Code", "Tests", "Run"]
    assert vectors.of("Run")[0].module == "phase00.plot_a"
    assert vectors.of("Read")[0].path == "phase-00-foundations/notes/a.md"
    assert vectors.of("Read")[1].outside
    assert chain_rule.title == "Why does it work?"
    assert vectors.written
    assert not chain_rule.written
    assert second.items[0].requirements == ("Note: fails on XOR",)
    assert read.papers == (Paper(1, 'Rosenblatt, "The Perceptron"', "1958", (1,), "The start"),)
    assert read.timeline == (("Phase", "Topic", "Weeks"), ("0", "Foundations", "1-2"))
    assert read.milestones[0].needs == ("0.1", "1.1")
    assert read.milestones[0].run == ()
    assert read.museum[0].phases == (0, 1)
    assert read.museum[0].idea == "p(a | b)"
    assert read.chapters == (
        Chapter(0, ("Linear algebra", "Calculus"), ()),
        Chapter(1, ("Perceptron",), ("01-gates", "02-xor")),
    )
    assert read.paths == (
        ReadingPath("Quick", "is in a hurry", ("Calculus", "Perceptron")),
        ReadingPath("All", "wants all of it", ("Linear algebra", "Calculus", "Perceptron")),
    )
    assert read.outcomes == (Outcome("Vectors", ("0.1", "0.2")), Outcome("Perceptron", ("1.1",)))


def test_item_remembers_its_line():
    line = roadmap.parse(EXAMPLE).item("1.1").line
    assert EXAMPLE.splitlines()[line - 1].startswith("- [ ] **1.1 Perceptron.**")


def test_item_with_only_an_address_on_the_web_is_still_to_come():
    item = Item("0.1", "A", links=(Link("Read", "film", "https://example.org"),))
    assert not item.written


def test_next_item_is_the_first_without_a_tick():
    read = roadmap.parse(EXAMPLE)
    assert read.next_item() == read.item("0.2")
    assert read.next_item(written=True) is None
    fresh = roadmap.parse(EXAMPLE.replace("[x]", "[ ]"))
    assert fresh.next_item(written=True) == fresh.item("0.1")


def test_milestone_is_reached_when_all_that_it_needs_is_ticked():
    read = roadmap.parse(EXAMPLE)
    assert not read.reached(read.milestones[0])
    ticked = roadmap.parse(EXAMPLE.replace("- [ ] **1.1", "- [X] **1.1"))
    assert ticked.reached(ticked.milestones[0])


def test_unknown_id_names_the_nearest_one():
    read = roadmap.parse(EXAMPLE)
    with pytest.raises(ValueError, match=r"no item '1\.11'.*did you mean 1\.1"):
        read.item("1.11")
    with pytest.raises(ValueError, match="the phases are 0 to 1"):
        read.phase(2)


FAULTS = [
    ("Calculus, Perceptron |", "Calculis, Perceptron |", "no note; did you mean 'Calculus'?"),
    ("Calculus, Perceptron |", "phase 2 |", "'Quick' aims at no note"),
    (
        "| Phase | Notes |",
        "| Phase | Note |",
        "the columns of Notes are",
    ),  # what is written, what it becomes, what the error says to do about it
    ("**0.2 Why", "**0.1 Why", r"0\.1 is taken; the next one is 0\.2"),
    ("**0.2 Why", "**1.2 Why", r"id of another phase; write 0\.2"),
    ("**0.2 Why", "**0.3 Why", r"0\.2 comes here, not 0\.3"),
    ("**1.1 Perceptron.**", "**1.1 Perceptron**", r"expected '- \[ \] \*\*1\.1 Title\.\*\*"),
    ("- [ ] **1.1", "- **1.1", r"expected '- \[ \] \*\*1\.1 Title\.\*\*"),
    ("- [ ] **1.1", "* [ ] **1.1", "expected '- ' at the margin"),
    ("  - Note: fails", "   - Note: fails", "expected '- ' at the margin"),
    ("  no NumPy.", "no NumPy.", "indent of two more"),
    ("    checked on", "  checked on", "indent of two more"),
    ("Note: fails on XOR", "Notes: [a](b)", "unknown key 'Notes'; known are Read, Code"),
    ("Note: fails on XOR", "Test: [a](b)", "unknown key 'Test'; write Tests"),
    ("Note: fails on XOR", "code: [a](b)", "unknown key 'code'; write Code"),
    ("Note: fails on XOR", "Read: a.md", r"Read takes links .*'\[name\]\(path\)', got 'a\.md'"),
    ("Note: fails on XOR", "Read: [a](b) [c](d)", "Read takes links separated by commas"),
    ("Note: fails on XOR", "Read: [a](b) · Read: [c](d)", "the key Read is there twice"),
    ("  - the dot product of two lists", "  - Run: [a](b)", "the key Run is there twice"),
    ("Phase 1: Networks", "Phase 2: Networks", "expected '## Phase 1: Title'"),
    ("Folder: [phase-01", "Folder: [x](phase-00-b/) [", "needs the line 'Folder: "),
    ("](phase-01-networks/)", "](phase-02-networks/)", "needs the line 'Folder: "),
    ("**Goal.** Learn", "**Goal** Learn", r"starts with '\*\*Goal\.\*\* '"),
    ("### Post", "### Posts", "the part 'Posts' is unknown; a phase has Key concepts"),
    ("### Papers", "### Items", "the part 'Items' is there twice"),
    ("## Milestones", "## Milestone", "unknown section 'Milestone'"),
    ("## Museum", "## Milestones", "'Milestones' is there twice"),
    ("| Year | Milestone |", "| Years | Milestone |", r"columns of Milestones are \| Year"),
    ("| 1957 | Perceptron | 1 |", "| 1957 | Perceptron |", "has 5 cells, its header 6"),
    ("| 1957 | Perceptron | 1 |", "| 1957 | Perceptron | one |", "number of a phase, got 'one'"),
    ("| to come |", "| x.py |", "Run takes links"),
    ("| 1 | Rosenblatt", "| A | Rosenblatt", "number of the paper, got 'A'"),
    ("- Perceptron (1.1)", "- Perceptron", r"expected '- What is built \(1\.1, 1\.2\)'"),
]


@pytest.mark.parametrize(("before", "after", "advice"), FAULTS)
def test_malformed_line_is_named_with_what_to_write_instead(before, after, advice):
    assert EXAMPLE.count(before) >= 1
    faulty = EXAMPLE.replace(before, after, 1)
    with pytest.raises(ValueError, match=rf"ROADMAP\.md, line \d+: .*{advice}") as caught:
        roadmap.parse(faulty)
    named = int(str(caught.value).split("line ")[1].split(":")[0])
    changed = [
        number
        for number, pair in enumerate(
            zip(EXAMPLE.splitlines(), faulty.splitlines(), strict=True), start=1
        )
        if pair[0] != pair[1]
    ]
    # What a whole phase lacks is named at its heading, anything else on the line itself.
    if "Folder" in advice or "Goal" in advice:
        assert faulty.splitlines()[named - 1] == "## Phase 1: Networks"
    elif "twice" in advice:
        assert after.strip(" -") in faulty.splitlines()[named - 1] or "Run:" in after
    else:
        assert named in changed


def test_code_without_tests_is_refused():
    start, end = EXAMPLE.index(" · Tests:"), EXAMPLE.index(" · Run:")
    with pytest.raises(ValueError, match=r"line 20: item 0\.1 has Code but no Tests"):
        roadmap.parse(EXAMPLE[:start] + EXAMPLE[end:])


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ("0.1, 1.1 |", "0.1, 1.2 |", r"milestone 'Perceptron': there is no item 1\.2"),
        ("Perceptron (1.1)", "Perceptron (2.1)", r"'Perceptron': there is no item 2\.1"),
        ("1 (PyTorch)", "6 (PyTorch)", "'Seq2seq': there is no phase 6"),
        ("| 1 | Perceptron | 01", "| 7 | Perceptron | 01", "Notes: there is no phase 7"),
        ("| Perceptron | 01", "| Perceptron, Calculus | 01", "'Calculus' is there twice"),
    ],
)
def test_table_that_names_what_is_not_there_is_refused(before, after, message):
    with pytest.raises(ValueError, match=message):
        roadmap.parse(EXAMPLE.replace(before, after, 1))


# ---- properties: what is rendered is read back ---------------------------------------------

WORD = st.builds(
    lambda first, rest: (first + rest).rstrip(":"),
    st.sampled_from("abcXYZ019éπß"),
    st.text("abcXYZ019éπ²ß|,;:()'\"=+/`$_^·-", max_size=5),
)
TEXT = st.lists(WORD, min_size=1, max_size=7).map(" ".join)
TITLE = TEXT.map(lambda text: text.replace(":", ""))
PATH = st.from_regex(r"[a-z]{1,8}/[a-z_]{1,8}\.(py|md#[a-z]{1,4})", fullmatch=True)
WIDTH = st.integers(min_value=20, max_value=100)


@st.composite
def links(draw, key):
    texts = st.lists(st.tuples(TITLE, PATH), min_size=1, max_size=3)
    return tuple(Link(key, text, target) for text, target in draw(texts))


@st.composite
def items(draw, item_id):
    keys = draw(st.lists(st.sampled_from(roadmap.KEYS), unique=True, max_size=6))
    if "Code" in keys and "Tests" not in keys:
        keys.append("Tests")
    return Item(
        id=item_id,
        title=draw(TITLE),
        text=draw(TEXT | st.just("")),
        requirements=tuple(draw(st.lists(TEXT, max_size=3))),
        links=tuple(link for key in keys for link in draw(links(key))),
        done=draw(st.booleans()),
    )


@st.composite
def roadmaps(draw):
    phases = []
    for number in range(draw(st.integers(min_value=1, max_value=3))):
        count = draw(st.integers(min_value=0, max_value=3))
        phases.append(
            Phase(
                number=number,
                title=draw(TITLE),
                folder=f"phase-{number:02}-{draw(st.from_regex(r'[a-z]{1,9}', fullmatch=True))}",
                goal=draw(TEXT),
                prerequisites=draw(TEXT),
                items=tuple(draw(items(f"{number}.{i + 1}")) for i in range(count)),
                post_title=draw(TITLE),
                post=draw(TEXT | st.just("")),
            )
        )
    known = [item.id for phase in phases for item in phase.items]
    ids = st.lists(st.sampled_from(known), max_size=3).map(tuple) if known else st.just(())
    several = st.lists(st.integers(0, len(phases) - 1), min_size=1, max_size=2).map(tuple)
    run = links("Run") | st.just(())
    milestone = st.builds(Milestone, TITLE, TITLE, several, ids, run, TEXT)
    exhibit = st.builds(Exhibit, TITLE, TITLE, TEXT, several, TEXT, run, TEXT)
    paper = st.builds(Paper, st.integers(1, 99), TITLE, TITLE, several, TEXT)
    outcome = st.builds(Outcome, TITLE.map(lambda text: f"{text}s"), ids.filter(len))
    return Roadmap(
        phases=tuple(phases),
        papers=tuple(draw(st.lists(paper, max_size=3))),
        milestones=tuple(draw(st.lists(milestone, max_size=3))),
        museum=tuple(draw(st.lists(exhibit, max_size=3))),
        outcomes=tuple(draw(st.lists(outcome, max_size=3))) if known else (),
    )


def wrapped(text, indent, width):
    return textwrap.fill(
        text, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )


def render_links(found):
    return ", ".join(f"[{link.text}]({link.target})" for link in found)


def render_item(item, width):
    tick = "x" if item.done else " "
    yield wrapped(f"- [{tick}] **{item.id} {item.title}.** {item.text}".strip(), "  ", width)
    for requirement in item.requirements:
        yield wrapped(f"  - {requirement}", "    ", width)
    keys = list(dict.fromkeys(link.key for link in item.links))
    if keys:
        yield "  - " + " · ".join(f"{key}: {render_links(item.of(key))}" for key in keys)


def render_table(columns, rows):
    yield f"| {' | '.join(columns)} |"
    yield "| --- " * len(columns) + "|"
    for row in rows:
        yield "| " + " | ".join(str(cell).replace("|", "\\|") for cell in row) + " |"


def render(plan, width):
    """ROADMAP.md for a roadmap, its texts wrapped at `width`."""
    for phase in plan.phases:
        yield f"## Phase {phase.number}: {phase.title}"
        yield f"Folder: [{phase.folder}]({phase.folder}/)\n"
        yield wrapped(f"**Goal.** {phase.goal}", "", width) + "\n"
        yield wrapped(f"**Prerequisites.** {phase.prerequisites}", "", width)
        yield "### Items"
        for item in phase.items:
            yield from render_item(item, width)
        yield "### Post"
        yield wrapped(f"**{phase.post_title}.** {phase.post}".strip(), "", width)
    rows = {"Papers": [], "Milestones": [], "Museum": []}
    for p in plan.papers:
        rows["Papers"].append((p.number, p.title, p.year, *phases(p), p.why))
    for m in plan.milestones:
        run = render_links(m.run) or "to come"
        rows["Milestones"].append(
            (m.year, m.title, *phases(m), ", ".join(m.needs), run, m.must_reach)
        )
    for e in plan.museum:
        run = render_links(e.run) or "to come"
        rows["Museum"].append((e.number, e.title, e.years, *phases(e), e.idea, run, e.cpu_time))
    for name, found in rows.items():
        yield f"## {name}"
        yield from render_table(roadmap.COLUMNS[name], found)
    yield "## What you will build"
    for outcome in plan.outcomes:
        yield f"- {outcome.text} ({', '.join(outcome.items)})"


def phases(row):
    return [", ".join(map(str, row.phases))]


@settings(max_examples=25, deadline=None)
@given(roadmaps(), WIDTH)
def test_what_is_rendered_is_read_back_the_same(plan, width):
    assert roadmap.parse("\n".join(render(plan, width)) + "\n") == plan


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_text_with_a_line_lost_raises_nothing_but_value_errors(data):
    lines = EXAMPLE.splitlines()
    del lines[data.draw(st.integers(0, len(lines) - 1))]
    with contextlib.suppress(ValueError):
        roadmap.parse("\n".join(lines))


# ---- where things are ----------------------------------------------------------------------


def plant(root: Path) -> Path:
    """A small journal: a roadmap, a library module and a script."""
    code = root / "phase-00-foundations" / "code" / "phase00"
    code.mkdir(parents=True)
    (root / "ROADMAP.md").write_text(EXAMPLE, encoding="utf-8")
    for name in ("__init__", "a", "plot_a"):
        (code / f"{name}.py").write_text("")
    return root


def test_root_is_found_upwards_past_the_roadmap_of_another_project(tmp_path):
    root = plant(tmp_path)
    other = root / "phase-00-foundations" / "notes" / "elsewhere"
    other.mkdir(parents=True)
    (other / "ROADMAP.md").write_text("not ours")
    assert roadmap.find_root(other) == root.resolve()
    assert roadmap.load(root).phases[0].title == "Foundations"


def test_root_is_the_packages_own_where_nothing_is_found_upwards(tmp_path):
    assert roadmap.find_root(tmp_path) == Path(roadmap.__file__).resolve().parent.parent


def test_scripts_are_told_from_library_modules_by_name(tmp_path):
    root = plant(tmp_path)
    assert list(roadmap.modules(root)) == ["phase00.a", "phase00.plot_a"]
    assert list(roadmap.scripts(root)) == ["phase00.plot_a"]
    acting = ("train_gates", "ablate", "ablate_norm", "benchmark_devices", "scale_up", "draw_gpt")
    assert all(roadmap.is_script(5, stem) for stem in acting)
    computing = ("training", "trainer", "schedule", "sampler", "plots", "comparison", "tour")
    assert not any(roadmap.is_script(8, stem) for stem in computing)
    assert roadmap.is_script(8, "train")
    assert not roadmap.is_script(6, "train")
