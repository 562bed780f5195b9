"""Evidence for posts, paper notes and runs: what passes, and what the sentence asks for."""

import json
from pathlib import Path

import pytest

from journal import evidence
from journal.evidence import Evidence
from journal.plan import Item, Link, Paper, Phase, Roadmap

POST = Path("phase-10-blog-writing/blog/capstone.md")
NOTE = Path("papers/notes/vaswani2017.md")
SCRIPT = "phase-10-blog-writing/code/phase10/draw_layers.py"
RESULTS = Path("practice/phase10/results")
PLAN = Roadmap(
    phases=(Phase(0, "Foundations", "phase-00-x", "", ""),),
    papers=(Paper(4, "A", "1990", (0,), ""), Paper(11, "B", "2014", (0,), "")),
)
READ = "---\nnumber: 11\nstatus: read\n---\n# B\n\n## My annotations\n\n- p. 4: why 0.75?\n"


def item(*links: tuple[str, str | Path]) -> Item:
    return Item("0.1", "Title", links=tuple(Link(key, "text", str(to)) for key, to in links))


def write(root: Path, file: Path, text: str) -> None:
    (root / file).parent.mkdir(parents=True, exist_ok=True)
    (root / file).write_text(text, encoding="utf-8")


def look(root: Path, *links: tuple[str, str | Path]) -> Evidence:
    """The evidence for an item with these links, which must be of a kind that has one."""
    found = evidence.of_item(root, item(*links), PLAN)
    assert found is not None
    return found


# ---- what can be verified ----------------------------------------------------------------


@pytest.mark.parametrize(
    "links",
    [
        (),
        (("Read", "notes/a.md"),),
        (("Code", "a.py"), ("Tests", "t.py"), ("Post", POST)),
        (("Code", "a.py"), ("Tests", "t.py"), ("Run", SCRIPT)),
        (("Code", "a.py"), ("Tests", "t.py"), ("Paper", NOTE)),
        (("Post", "https://example.org/post"),),
        (("Paper", "https://example.org/paper"),),
        (("Run", "notes/look.ipynb"),),
    ],
)
def test_item_with_code_or_without_anything_to_look_at_has_no_evidence(tmp_path, links):
    assert evidence.of_item(tmp_path, item(*links), PLAN) is None


def test_post_decides_before_a_run(tmp_path):
    write(tmp_path, POST, "---\ndraft: false\ndate: 2026-03-01\n---\nText")
    assert look(tmp_path, ("Run", SCRIPT), ("Post", f"{POST}#end")).kind == "post"


def test_paper_decides_before_a_run(tmp_path):
    write(tmp_path, NOTE, READ)
    assert look(tmp_path, ("Run", SCRIPT), ("Paper", NOTE)).kind == "paper"


# ---- posts -------------------------------------------------------------------------------


def test_published_post_with_a_date_passes(tmp_path):
    write(tmp_path, POST, '---\ntitle: "A: b"\ndate: 2026-03-01\ndraft: false\n---\nText')
    say = f"the post {POST.as_posix()} is published, dated 2026-03-01"
    assert look(tmp_path, ("Post", POST)) == Evidence("post", True, (POST,), say)


@pytest.mark.parametrize(
    ("text", "asks"),
    [
        ("---\ndate: 2026-03-01\ndraft: true\n---\n", "write `draft: false`"),
        ("---\ndate: 2026-03-01\n---\n", "write `draft: false`"),
        ("---\ndate: 2026-03-01\ndraft: false\n", "cannot be read: the front matter begins with"),
        ("---\ndate: 2026-03-01\ndraft\n---\n", "cannot be read: the front matter is no YAML"),
        ("date: 2026-03-01\ndraft: false\n", "write `draft: false`"),
        ("---\ndraft: false\n---\n", "has no date"),
        ("---\ndraft: false\ndate: soon\n---\n", "has no date"),
        ("---\ndraft: false\n---\ndate: 2026-03-01\n", "has no date"),
    ],
)
def test_draft_or_undated_post_does_not_pass(tmp_path, text, asks):
    write(tmp_path, POST, text)
    found = look(tmp_path, ("Post", POST))
    assert not found.passed
    assert found.files == (POST,)
    assert asks in found.say
    assert POST.as_posix() in found.say


def test_capitals_in_a_value_do_not_matter(tmp_path):
    write(tmp_path, POST, "---\ndraft: False\ndate: 2026-03-01\n---\n")
    write(tmp_path, NOTE, READ.replace("status: read", "status: Read"))
    assert look(tmp_path, ("Post", POST)).passed
    assert look(tmp_path, ("Paper", NOTE)).passed


def test_post_that_is_not_there_is_asked_for(tmp_path):
    say = f"the post {POST.as_posix()} is not there yet: write it"
    assert look(tmp_path, ("Post", POST)) == Evidence("post", False, (), say)


def test_item_of_several_posts_passes_only_when_all_do(tmp_path):
    other = POST.with_name("other.md")
    write(tmp_path, POST, "---\ndraft: false\ndate: 2026-03-01T10:00\n---\n")
    found = look(tmp_path, ("Post", POST), ("Post", other))
    assert not found.passed
    assert found.say == f"1 of 2 are done; the post {other.as_posix()} is not there yet: write it"
    write(tmp_path, other, "---\ndraft: false\ndate: 2026-03-02\n---\n")
    found = look(tmp_path, ("Post", POST), ("Post", other))
    assert found.passed
    assert found.files == (POST, other)
    assert found.say.endswith("is published, dated 2026-03-01 (and 1 more)")


# ---- papers ------------------------------------------------------------------------------


def test_paper_that_is_read_and_annotated_passes(tmp_path):
    write(tmp_path, NOTE, READ)
    say = f"{NOTE.as_posix()} is read and annotated"
    assert look(tmp_path, ("Paper", NOTE)) == Evidence("paper", True, (NOTE,), say)


@pytest.mark.parametrize(
    ("old", "new", "asks"),
    [
        ("status: read", "status: reading", "is reading: write `status: read`"),
        ("status: read", "state: read", "is missing: write `status: read`"),
        ("status: read", "status", "cannot be read: the front matter is no YAML"),
        ("- p. 4: why 0.75?", "", "nothing of yours"),
        ("- p. 4: why 0.75?", "<!-- p. 4 -->", "nothing of yours"),
        ("- p. 4: why 0.75?", "<!-- never\nclosed", "nothing of yours"),
        ("- p. 4: why 0.75?", "-\n\n### 2026-03-01", "nothing of yours"),
        ("## My annotations", "## Results", "nothing of yours"),
        ("- p. 4", "## Next\n\n- p. 4", "nothing of yours"),
        ("- p. 4", "# Next\n\n- p. 4", "nothing of yours"),
        ("## My annotations", "```md\n## My annotations\n```", "nothing of yours"),
        ("## My annotations", "    ## My annotations", "nothing of yours"),
        ("## My annotations", "<!--\n## My annotations\n-->", "nothing of yours"),
        ("## My annotations", "> ## My annotations", "nothing of yours"),
    ],
)
def test_unread_or_unannotated_paper_does_not_pass(tmp_path, old, new, asks):
    assert old in READ
    write(tmp_path, NOTE, READ.replace(old, new))
    found = look(tmp_path, ("Paper", NOTE))
    assert not found.passed
    assert found.files == (NOTE,)
    assert asks in found.say


@pytest.mark.parametrize(
    "heading", ["## My annotations", "# 7. **My Annotations**", "### my annotations ###"]
)
def test_annotations_go_up_to_the_next_heading_of_their_level(heading):
    level = heading.partition(" ")[0]
    text = f"Before\n{heading}\n<!-- yours -->\n{level}# 2026-03-01\nwhy 0.75?\n{level} Next\nAfter"
    assert evidence.annotations(text) == "why 0.75?"


@pytest.mark.parametrize(
    "inside", ["```sh\n# no heading\n```", "~~~\n<!-- no comment\n~~~", "    # no heading"]
)
def test_code_among_the_annotations_neither_ends_nor_hides_them(inside):
    text = f"## My annotations\n\n{inside}\n\n- why 0.75?\n\n# Next\n\nAfter\n"
    assert evidence.annotations(text) == f"{inside}\n\n- why 0.75?".strip()


def test_comment_that_does_not_end_hides_its_paragraph_and_no_more():
    text = "## My annotations\n\nwhy <!-- not\n\n- because\n"
    assert evidence.annotations(text) == "why \n- because"


def test_outline_counts_lines_as_the_file_does():
    text = "\ufeff---\r\na: 1\r\n---\r\n# A\r\n\r\n- b\r## My annotations\nc\n\n# D"
    page = evidence.outline(text)
    assert "".join(page.lines) == text
    assert page.headings == [("h1", 3), ("h2", 6), ("h1", 9)]
    assert page.sections == [range(6, 9)]


def test_paper_note_that_is_not_there_is_asked_for(tmp_path):
    found = look(tmp_path, ("Paper", NOTE))
    assert not found.passed
    assert found.say == f"the paper note {NOTE.as_posix()} is not there yet: write it"


def test_folder_of_notes_passes_only_with_every_paper_of_the_reading_list(tmp_path):
    write(tmp_path, NOTE, READ)
    write(tmp_path, NOTE.with_name("README.md"), "# Paper notes")
    found = look(tmp_path, ("Paper", "papers/notes/"))
    assert not found.passed
    assert found.say == "1 of 2 are done; no note in papers/notes has `number: 4`: write it"
    other = NOTE.with_name("jordan1990.md")
    write(tmp_path, other, READ.replace("11", "4"))
    found = look(tmp_path, ("Paper", "papers/notes/"))
    assert found.passed
    assert found.files == (other, NOTE)


def test_folder_of_notes_does_not_pass_where_the_reading_list_is_empty(tmp_path):
    (tmp_path / "papers").mkdir()
    found = evidence.of_item(tmp_path, item(("Paper", "papers")), Roadmap(phases=()))
    assert found == Evidence("paper", False, (), "the reading list is empty")


# ---- runs --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["draw_layers.json", "draw_layers-a.json", "draw_layers-a.svg"])
def test_recorded_run_of_the_learner_passes(tmp_path, name):
    write(tmp_path, RESULTS / name, json.dumps({"metrics": {}}))
    found = look(tmp_path, ("Run", SCRIPT))
    assert found.passed
    assert found.kind == "run"
    assert found.files == (RESULTS / name,)
    assert found.say == f"a run of draw_layers is recorded in {(RESULTS / name).as_posix()}"


def test_run_without_a_result_is_asked_for_with_its_command(tmp_path):
    write(tmp_path, RESULTS / "draw_layers_too.json", "{}")  # of another script
    write(tmp_path, Path("phase-10-blog-writing/results/draw_layers.json"), "{}")  # not theirs
    found = look(tmp_path, ("Run", SCRIPT))
    assert not found.passed
    assert found.files == ()
    assert found.say == (
        "practice/phase10/results has no result of draw_layers yet: "
        "`uv run journal run phase10.draw_layers --mine --record` writes one"
    )


@pytest.mark.parametrize("text", ["", "[1]", "{}", "{"])
def test_file_that_is_no_result_does_not_pass(tmp_path, text):
    write(tmp_path, RESULTS / "draw_layers.json", text)
    found = look(tmp_path, ("Run", SCRIPT))
    assert not found.passed
    assert "draw_layers.json is no result of a script" in found.say


def test_every_script_of_an_item_needs_a_result(tmp_path):
    write(tmp_path, RESULTS / "draw_layers.json", '{"metrics": {}}')
    found = look(tmp_path, ("Run", SCRIPT), ("Run", SCRIPT.replace("layers", "heads")))
    assert not found.passed
    assert found.say.startswith("1 of 2 are done; practice/phase10/results has no result of draw_h")


# ---- front matter ------------------------------------------------------------------------


def test_front_matter_is_read_as_keys_and_values():
    text = """\
---
title: "What # a: title"
bibkey: 'vaswani2017'
draft: false  # since March
tags:
  - attention
nested:
  key: inner
empty: # nothing
url: https://example.org/a#b
number: 4
date: 2026-03-01
---
status: outside
"""
    assert evidence.front_matter(text) == {
        "title": "What # a: title",
        "bibkey": "vaswani2017",
        "draft": "false",
        "tags": "",
        "nested": "",
        "empty": "",
        "url": "https://example.org/a#b",
        "number": "4",
        "date": "2026-03-01",
    }


@pytest.mark.parametrize(
    "text", ["", "# Title", "\n---\na: b\n---\n", "---\na: b\n", "----\na: b", "---\n- a\n---\n"]
)
def test_text_without_a_whole_block_has_no_front_matter(text):
    assert evidence.front_matter(text) == {}


def test_front_matter_is_found_behind_a_byte_order_mark_and_with_windows_line_ends(tmp_path):
    text = "\ufeff---\r\ndraft: false\r\ndate: 2026-03-01\r\n---\r\nText"
    (tmp_path / "post.md").write_bytes(text.encode())
    assert look(tmp_path, ("Post", "post.md")).passed
