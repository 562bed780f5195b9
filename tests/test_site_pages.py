"""The website's pages: where links lead, GitHub's dialect, what is staged and what is left out."""

import json
import re
import subprocess
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from small_site import (
    FILES,
    P0,
    P1,
    PIXEL,
    REPOSITORY,
    ROOT,
    SECRET,
    SVG,
    plant,
    read,
    replace,
    stage,
    write,
)

from journal import pages, roadmap
from journal.notes import Note
from journal.site import graph, links, passthrough, staging
from journal.site.markdown import Formulas, Writer


@pytest.fixture
def root(tmp_path):
    return plant(tmp_path / "journal")


# ---- links ---------------------------------------------------------------------------------


def test_links_lead_to_staged_pages_copied_results_and_the_repository(root):
    target = stage(root)
    phase, note = read(target, f"{P0}/index.md"), read(target, f"{P0}/notes/vectors.md")
    assert 'href="notes/vectors.md#the-idea"' in phase
    assert 'href="../blog/posts/the-first-post.md"' in phase
    assert 'href="results/a.json"' in phase
    assert 'href="../../roadmap.md#phase-0-start"' in note
    assert f'href="{REPOSITORY.address}/blob/main/{P0}/code/phase00/plot_a.py"' in note
    assert f'href="{P0}/index.md"' in read(target, "index.md")
    assert (target / P0 / "results/a.svg").read_text() == SVG
    assert (target / P0 / "results/a.json").is_file()


def test_without_a_remote_a_link_to_code_is_shown_as_code(root):
    note = read(stage(root, None), f"{P0}/notes/vectors.md")
    assert '<span class="unlinked">code</span>' in note
    assert "plot_a.py" not in note


BROKEN = {  # what a note says: what the build says of it
    "[a](nothing.md)": "nothing.md leads to phase-00-start/notes/nothing.md, which is not there",
    "![a](../results/no.svg)": "results/no.svg, which is not there",
    "![a](../results)": "../results is no file",
    "![a](https://example.org/a.png)": "lies elsewhere: copy it into the repository",
    "[a](slopes.md#nowhere)": "#nowhere, which phase-00-start/notes/slopes.md does not have",
    "[a](#nowhere)": "leads to #nowhere",
    "[a](../../../a.md)": "leads out of the repository",
    "[a](/README.md)": "begins with a slash",
    "[a](javascript:alert)": "a link begins with https: or is a path",
    '<img src="../results/no.svg">': "results/no.svg, which is not there",
    '<a href="nothing.md">a</a>': "nothing.md leads to",
}


@pytest.mark.parametrize("text", BROKEN)
def test_link_that_leads_nowhere_fails_with_file_and_line(root, text):
    replace(root, f"{P0}/notes/vectors.md", "A list.", f"A list.\n{text}\n")
    with pytest.raises(ValueError, match=r"^phase-00-start/notes/vectors\.md:8: ") as error:
        stage(root)
    assert BROKEN[text] in str(error.value)


def test_every_broken_link_of_every_page_is_named_at_once(root):
    for name in ("vectors", "slopes"):
        replace(
            root, f"{P0}/notes/{name}.md", "Prerequisites", "[a](x.md) [b](y.md)\n\nPrerequisites"
        )
    with pytest.raises(ValueError, match="vectors") as error:
        stage(root)
    assert len(str(error.value).splitlines()) == 4


def test_link_to_what_git_ignores_leads_nowhere(root):
    subprocess.run(["git", "init", "-q", str(root)], check=True)
    write(root, ".gitignore", "runs/\n")
    write(root, "runs/a.py", "")
    replace(root, f"{P0}/notes/vectors.md", "A list.", "[a](../../runs/a.py)")
    with pytest.raises(ValueError, match=r"runs/a\.py, which is no part of the repository"):
        stage(root)


def test_line_of_code_is_an_anchor_of_the_repository(root):
    page = pages.load(root, root / f"{P0}/notes/vectors.md")
    known = links.make(root, {}, repository=REPOSITORY)
    reference = pages.Reference("../code/phase00/plot_a.py#L3", "a", 1, False)
    assert str(known.resolve(page, reference)).endswith("/plot_a.py#L3")


# ---- the dialect ---------------------------------------------------------------------------


def rendered(root: Path, text: str, **options: object) -> str:
    write(root, "page.md", text)
    page = pages.load(root, root / "page.md")
    hrefs = {(link.target, link.image): link.target for link in page.references}
    return Writer(page, hrefs, Formulas(), **options).whole()  # ty: ignore[invalid-argument-type]


def test_headings_have_the_anchors_of_github(tmp_path):
    html = rendered(
        tmp_path, "# It's `a_b`: 2 + 2?\n\n## Twice\n\n## Twice\n\n### $x^2$ and more\n"
    )
    assert re.findall(r'<h\d id="([^"]+)"', html) == [
        "its-a_b-2--2",
        "twice",
        "twice-1",
        "x2-and-more",
    ]
    assert (
        set(re.findall(r'<h\d id="([^"]+)"', html))
        <= pages.load(tmp_path, tmp_path / "page.md").anchors
    )


def test_lists_nested_by_two_spaces_are_nested(tmp_path):
    html = rendered(tmp_path, "- [ ] one\n  - inner\n  - more\n- [x] two\n")
    assert re.sub(r"<span.*?</span>|\n", "", html) == (
        '<ul><li class="task open">one<ul><li>inner</li><li>more</li></ul></li>'
        '<li class="task done">two</li></ul>'
    )
    assert html.count('class="box"') == 2


def test_markdown_inside_folded_answers_is_read_and_code_in_them_kept(tmp_path):
    text = (
        "<details>\n<summary>Answer</summary>\n\nIt is **4**.\n\n"
        "```python\nx = 1\n\ny = 2\n```\n\n</details>\n"
    )
    html = rendered(tmp_path, text)
    assert "<strong>4</strong>" in html
    assert html.count("<details>") == html.count("</details>") == 1
    assert re.sub("<[^>]+>", "", html.partition("<pre>")[2]).strip() == "x = 1\n\ny = 2"


def test_comments_are_dropped_and_a_table_needs_no_blank_line(tmp_path):
    text = (
        "<!-- [[[cog\nprint(1)\n]]] -->\n| a | b |\n| --- | ---: |\n| 1 | 2 |\n"
        "<!-- [[[end]]] -->\n\nText <!-- inside --> here.\n"
    )
    html = rendered(tmp_path, text)
    assert "cog" not in html
    assert "inside" not in html
    assert "<td>1</td>" in html


def test_picture_in_a_paragraph_of_its_own_is_a_figure(tmp_path):
    html = rendered(tmp_path, '![what is seen](a.svg "A caption")\n\nText ![small](b.svg) text.\n')
    assert '<figure class="picture"><img src="a.svg" alt="what is seen" loading="lazy">' in html
    assert "<figcaption>A caption</figcaption></figure>" in html
    assert html.count("<figure") == 1


def test_interactive_figure_holds_its_still_picture(tmp_path):
    html = rendered(tmp_path, "<!-- interactive: wheel -->\n\n![a wheel](a.svg)\n")
    assert '<figure class="interactive" data-figure="wheel"><img src="a.svg" alt="a wheel"' in html


def test_interactive_figure_without_picture_or_module_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"page\.md:3: put the still picture of wheel here"):
        rendered(tmp_path, "<!-- interactive: wheel -->\n\nText.\n")
    with pytest.raises(ValueError, match="there is no interactive figure 'wheel'"):
        rendered(tmp_path, "<!-- interactive: wheel -->\n\n![a](a.svg)\n", figures=tmp_path)


def test_code_is_escaped_coloured_and_output_marked(tmp_path):
    html = rendered(tmp_path, "```python\nprint(1 < 2)\n```\n\n```output\nTrue & so on\n```\n")
    assert '<span class="nb">print</span>' in html
    assert "&lt;" in html
    assert '<div class="highlight output">' in html
    assert "True &amp; so on" in html


def test_formula_is_kept_apart_from_markdown_and_counted_once(tmp_path):
    formulas = Formulas()
    write(
        tmp_path, "page.md", "Cost $5 and $6. $a_1 < *b*$ and $a_1 < *b*$.\n\n$$\na \\\\\nb\n$$\n"
    )
    page = pages.load(tmp_path, tmp_path / "page.md")
    html = Writer(page, {}, formulas).whole()
    assert list(formulas.found) == [("a_1 < *b*", False), ("a \\\\\nb", True)]
    assert html.count('<span class="math inline" data-math="0">a_1 &lt; *b*</span>') == 2
    assert '<div class="formula"><span class="math display" data-math="1">' in html
    assert formulas.found["a \\\\\nb", True].where == "page.md:3"
    assert "Cost $5 and $6." in html


def test_formula_at_the_start_of_a_text_that_ends_in_a_digit_is_one(tmp_path):
    html = rendered(tmp_path, "| a |\n| --- |\n| $x$ is 2 |\n\n$y$ is 3\n\nIt is 5$ and 6$\n")
    assert html.count('class="math') == 2
    assert "It is 5$ and 6$" in html


REFUSED = {  # what a page says: the line and the words of the fault
    "A.\n\n<script>go()</script>\n": "3: <script> is shown neither by GitHub nor by the site",
    "A.\n\n<div>\n<iframe src='x.md'></iframe>\n</div>\n": "4: <iframe> is shown neither",
    'An <a href="a.md" onclick="go()">a</a>.\n': "1: the attribute onclick is shown neither",
    '<p style="color: red">a</p>\n': "1: the attribute style is shown neither",
    "<details>\n<summary>Why $x^2$?</summary>\n</details>\n": "2: '$x^2$?' looks like a formula",
    "A.\n\n<details>$x$</details>\n": "3: '$x$' looks like a formula",
    "Not closed: $x^2 and so on.\n": "1: '$x^2' looks like a formula and is read as words",
    "A.\n\n$$ x\n": "3: '$$' looks like a formula",
    "A $ \\frac{1}{2} $ here.\n": "1: '\\\\frac' looks like a formula",
    "| a |\n| --- |\n| $b^2 |\n": "3: '$b^2' looks like a formula",
}


@pytest.mark.parametrize("text", REFUSED)
def test_html_and_formulas_that_would_not_be_shown_are_refused(tmp_path, text):
    write(tmp_path, "a.md", "# A\n")
    with pytest.raises(ValueError, match=r"^page\.md:\d") as error:
        rendered(tmp_path, text)
    assert f"page.md:{REFUSED[text]}" in str(error.value)


def test_dollars_and_backslashes_that_are_no_formulas_are_left_alone(tmp_path):
    code = "`$HOME`\n\n```text\n$$ \\frac\n```\n\n<!-- $x -->\n"
    html = rendered(tmp_path, f"It costs $5 and $6, a \\* and C:\\a.\n\n{code}")
    assert "It costs $5 and $6, a * and C:\\a." in html
    assert "<code>$HOME</code>" in html


def test_unlinked_page_is_words_and_unlinked_code_is_code(tmp_path):
    write(tmp_path, "page.md", "[a draft](draft.md) [a script](x.py)\n")
    page = pages.load(tmp_path, tmp_path / "page.md")
    nowhere = {(link.target, False): None for link in page.references}
    html = Writer(page, nowhere, Formulas()).whole()
    assert '<span>a draft</span> <span class="unlinked">a script</span>' in html


# ---- staging -------------------------------------------------------------------------------


def test_every_kind_of_page_is_staged_in_its_place(root):
    write(root, "papers/README.md", "# Papers\n")
    write(root, "papers/notes/one.md", "---\nbibkey: one\n---\n\n# One\n")
    write(root, "CLAUDE.md", "# Guidelines\n")
    target = stage(root)
    found = {path.relative_to(target).as_posix() for path in target.rglob("*.md")}
    assert found == {
        *("index.md", "roadmap.md", "guidelines.md", "papers/index.md", "papers/notes/one.md"),
        *(f"{P0}/index.md", f"{P1}/index.md", f"{P0}/notes/vectors.md", f"{P0}/notes/slopes.md"),
        *("blog/index.md", "blog/posts/the-first-post.md", "tags.md", "notes/index.md"),
        *("phases/index.md", "notebooks/index.md", "milestones.md", "museum.md"),
    }


def test_draft_is_left_out_of_everything(root):
    target = stage(root)
    for path in target.rglob("*"):
        if path.is_file():
            assert SECRET not in path.read_text(encoding="utf-8"), path
    phase = read(target, f"{P0}/index.md")
    assert "<span>another</span>" in phase
    assert "a-draft" not in phase


def test_front_matter_of_a_post_gives_date_description_tags(root):
    post = read(stage(root), "blog/posts/the-first-post.md")
    front, _, _ = pages.front_matter(post)
    assert front["title"] == "The first post"
    assert str(front["date"]) == "2026-03-01"
    assert front["tags"] == ["vectors", "beginnings"]
    assert front["description"] == "What a vector is."
    assert front["figures"] is True
    assert "\n<!-- more -->\n" in post
    assert 'width="96" height="48"' in post


def test_published_post_needs_a_date_and_a_file_name_of_its_own(root):
    replace(root, f"{P0}/blog/the-first-post.md", "date: 2026-03-01\n", "")
    with pytest.raises(ValueError, match=r"the-first-post\.md: a published post has a date"):
        stage(root)
    text = FILES[f"{P0}/blog/the-first-post.md"].replace("<!-- interactive: wheel -->\n", "")
    write(root, f"{P0}/blog/the-first-post.md", text)
    write(root, f"{P1}/blog/the-first-post.md", text.partition("![")[0])
    with pytest.raises(ValueError, match="another post has this file name"):
        stage(root)


@pytest.mark.parametrize("tags", ["vectors", "[1, 2]", "{a: b}"])
def test_tags_of_a_post_are_a_list_of_words(root, tags):
    replace(root, f"{P0}/blog/the-first-post.md", "[vectors, beginnings]", tags)
    with pytest.raises(ValueError, match=r"the-first-post\.md: tags are a list of words such as"):
        stage(root)


def test_home_page_has_the_paths_and_the_graph_in_the_place_of_the_table(root):
    home = read(stage(root), "index.md")
    assert "A table for GitHub" not in home
    assert home.index('id="reading-paths"') < home.index('id="commands"')
    path = home[home.index('class="path"') : home.index("</section>")]
    stops = re.findall(r"<li>(?:<a.*?>|<span.*?>)(.*?)</", path)
    assert stops == ["Vectors", "Slopes", "Networks"]
    assert '<span class="to-come" title="still to come">Networks</span>' in path
    assert f'<a href="{P0}/notes/vectors.md"><rect' in home
    assert "Slopes</a> needs Vectors.</li>" in home
    assert "Begin with Vectors" in home


def test_roadmap_page_shows_what_is_written_and_no_ticks(root):
    page = read(stage(root), "roadmap.md")
    boxes = re.findall(
        r'<li class="(task \w+)" id="([^"]+)">\s*(?:<p>)?<span[^>]*aria-label="([^"]+)"', page
    )
    assert boxes == [
        ("task done", "item-0-1", "written"),
        ("task open", "item-0-2", "to come"),
        ("task open", "item-1-1", "to come"),
    ]
    assert "<li>one after the other</li>" in page


def test_milestones_and_museum_come_from_the_roadmap(root):
    target = stage(root)
    milestones, museum = read(target, "milestones.md"), read(target, "museum.md")
    assert "<p>Why they matter.</p>" in milestones
    assert 'href="roadmap.md#item-0-1">0.1 Vectors</a>' in milestones
    assert "0.2 Slopes</span>" in milestones
    assert "<code>uv run journal milestones run 1957</code>" in milestones
    assert museum.index("02 Early") < museum.index("01 Late")
    assert "1948–1950" in museum
    assert "<code>uv run journal museum run 02</code>" in museum


def test_notebook_is_a_page_with_its_outputs_and_pictures(root):
    cells = [
        {
            "cell_type": "markdown",
            "source": "# To try\n\nSee [vectors](vectors.md).",
            "metadata": {},
        },
        {
            "cell_type": "code",
            "source": "print(6 * 7)",
            "execution_count": 1,
            "metadata": {},
            "outputs": [
                {"output_type": "stream", "name": "stdout", "text": "\x1b[31m42\x1b[0m\n"},
                {"output_type": "display_data", "metadata": {}, "data": {"image/png": PIXEL}},
            ],
        },
    ]
    notebook = {"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 4}
    write(root, f"{P0}/notes/01-try.ipynb", json.dumps(notebook))
    target = stage(root)
    page = read(target, f"{P0}/notes/01-try.md")
    assert 'href="vectors.md"' in page
    assert '<div class="highlight output"><pre><span></span><code>42\n' in page
    picture = re.findall(r'<img src="([^"]+)" alt="what the cell above drew"', page)
    assert (target / P0 / "notes" / picture[0]).read_bytes().startswith(b"\x89PNG")
    index = read(target, "notebooks/index.md")
    assert f'href="../{P0}/notes/01-try.md">To try</a>' in index
    assert "02-more</span>" in index


def test_navigation_has_the_notes_of_a_phase_in_reading_order(root):
    staged = staging.stage(root, root / "build" / "site-src", REPOSITORY)
    tabs = {next(iter(entry)): next(iter(entry.values())) for entry in staging.navigation(staged)}
    assert list(tabs) == ["Home", "Phases", "Notes", "Posts", "History", "Roadmap"]
    inside = [{"Vectors": f"{P0}/notes/vectors.md"}, {"Slopes": f"{P0}/notes/slopes.md"}]
    assert {"0 Start": [f"{P0}/index.md", *inside]} in tabs["Phases"]  # ty: ignore[unsupported-operator]


def test_staging_forgets_what_was_staged_before(root):
    write(root / "build" / "site-src", "old.md", "gone")
    assert not (stage(root) / "old.md").exists()


def test_circle_of_prerequisites_fails(root):
    replace(root, f"{P0}/notes/vectors.md", "none. Packages", "[slopes](slopes.md). Packages")
    with pytest.raises(ValueError, match="prerequisites go in a circle"):
        stage(root)


def test_the_journal_itself_can_be_staged(tmp_path):
    staged = staging.stage(ROOT, tmp_path, REPOSITORY)
    for phase in roadmap.load(ROOT).phases:
        assert (tmp_path / phase.folder / "index.md").is_file()
    for path in pages.posts(ROOT):
        published = pages.load(ROOT, path).front.get("draft") is False
        assert (tmp_path / "blog/posts" / path.name).is_file() == published
    assert {note.name for note in staged.notes.values()} <= set(staged.links.places)


# ---- drawing and contents ------------------------------------------------------------------


def test_rows_of_the_graph_go_down_and_are_no_wider_than_asked(root):
    found = {name: Note(name, name, 0, ()) for name in "abcde"}
    found |= {"f": Note("f", "f", 0, ("a", "e")), "g": Note("g", "g", 0, ("f",))}
    assert graph.rows(found, 2) == [["a", "b"], ["c", "d"], ["e"], ["f"], ["g"]]
    svg = ET.fromstring(graph.draw(found, str).partition("<details>")[0])
    assert len(svg.findall(".//a")) == 2 * 7


def test_contents_are_the_headings_as_a_tree():
    html = (
        '<h1 id="a">A</h1><h2 id="b">B <code>x</code><a class="headerlink" href="#b">#</a></h2>'
        '<h3 id="c">C</h3><h2 id="d">D</h2>'
    )
    (top,) = passthrough.contents(html)
    assert [child["id"] for child in top["children"]] == ["b", "d"]
    assert top["children"][0]["name"] == "B x"
    assert top["children"][0]["children"][0]["id"] == "c"
