"""Posts: begun from a template, listed, checked, and published without touching their text."""

from datetime import date
from pathlib import Path

import pytest
import small_journal

from journal import cli, pages, posts, roadmap

ROOT = Path(__file__).resolve().parent.parent
BLOG = "phase-00-math-foundations/blog"
TODAY = date(2026, 3, 4)


@pytest.fixture
def root(tmp_path, monkeypatch):
    """A small journal whose phase 0 has a post by the roadmap."""
    small_journal.make(tmp_path)
    with (tmp_path / "ROADMAP.md").open("a", encoding="utf-8") as file:
        file.write('\n### Post\n**Two: "A" & b.** What it covers.\n')
    (tmp_path / "conftest.py").write_bytes((ROOT / "conftest.py").read_bytes())
    monkeypatch.chdir(tmp_path)
    return tmp_path


def begin(root, title="A thing, twice"):
    return posts.begin(root, roadmap.load(root).phase(0), title, today=TODAY)


def call(capsys, *arguments):
    """The exit code of a command, what it printed, and what it said on stderr."""
    with pytest.raises(SystemExit) as leaving:
        cli.main(["post", *arguments])
    out, err = capsys.readouterr()
    return leaving.value.code, out, err


# ---- beginning ---------------------------------------------------------------------------


def test_new_post_is_a_draft_whose_front_matter_is_complete(root):
    path = begin(root)
    assert path == root / BLOG / "a-thing-twice.md"
    front = pages.load(root, path).front
    assert front["title"] == "A thing, twice"
    assert front["draft"] is True
    assert front["date"] == TODAY
    assert front["phase"] == 0
    assert front["tags"] == []
    assert posts.load(root, path).state == "draft"


def test_new_post_without_a_title_has_the_title_of_the_roadmap(root):
    path = begin(root, "")
    assert pages.load(root, path).front["title"] == 'Two: "A" & b'
    assert path.name == "two-a-b.md"


def test_new_post_never_writes_over_one_that_is_there(root):
    path = begin(root)
    path.write_text("mine", encoding="utf-8")
    with pytest.raises(FileExistsError, match=r"a-thing-twice\.md is there already"):
        begin(root)
    assert path.read_text(encoding="utf-8") == "mine"


@pytest.mark.parametrize(("title", "say"), [("!?", "no letter or digit"), ("", "write --title")])
def test_title_that_names_no_file_is_refused(root, title, say):
    text = (root / "ROADMAP.md").read_text(encoding="utf-8").partition("### Post")[0]
    (root / "ROADMAP.md").write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=say):
        begin(root, title)


@pytest.mark.parametrize(
    ("title", "say"), [("long " * 60, "has 299 characters, too many"), ("README", "is no post")]
)
def test_title_that_makes_no_good_file_is_refused(root, title, say):
    with pytest.raises(ValueError, match=say):
        begin(root, title)
    assert not (root / BLOG).exists()


# ---- finding -----------------------------------------------------------------------------


def test_post_is_found_by_file_name_title_and_phase(root):
    path = begin(root)
    for name in (str(path), "a-thing-twice", "A thing, twice", "0", f"{BLOG}/a-thing-twice.md"):
        assert posts.find(root, name).path == path


def test_post_that_is_not_there_is_named_with_the_nearest(root):
    with pytest.raises(ValueError, match="no post yet"):
        posts.find(root, "0")
    begin(root)
    with pytest.raises(ValueError, match="did you mean a-thing-twice"):
        posts.find(root, "a-thing-twic")
    begin(root, "Another")
    with pytest.raises(ValueError, match="more than one post of phase 0"):
        posts.find(root, "0")
    with pytest.raises(ValueError, match=r"ROADMAP\.md is no post"):
        posts.find(root, str(root / "ROADMAP.md"))


def test_post_is_found_beside_one_that_cannot_be_read(root):
    path = begin(root)
    begin(root, "Broken").write_text("---\na: [\n---\n", encoding="utf-8")
    assert posts.find(root, "a-thing-twice").path == path
    with pytest.raises(ValueError, match=r"broken\.md: the front matter is no YAML"):
        posts.find(root, "A thing, twice")


def test_date_with_a_time_is_no_date_and_each_complaint_comes_once(root):
    path = begin(root)
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace("2026-03-04", "2026-03-04 10:00:00"), encoding="utf-8")
    (root / BLOG / "other.md").write_text("---\ndate: 2026-01-01\n---\n", encoding="utf-8")
    assert [post.date for post in posts.list_all(root)] == [None, date(2026, 1, 1)]
    found = list(posts.faults(root, posts.load(root, path)))
    assert sum("the front matter has no date" in complaint for complaint in found) == 1


def test_list_has_the_newest_first(root):
    for number, title in enumerate(("Old", "Newest", "Middle")):
        path = begin(root, title)
        day = (1, 9, 5)[number]
        text = path.read_text(encoding="utf-8").replace("2026-03-04", f"2026-03-{day:02}")
        path.write_text(text, encoding="utf-8")
    assert [post.title for post in posts.list_all(root)] == ["Newest", "Middle", "Old"]


def test_readme_of_the_blog_folder_is_no_post(root):
    (root / BLOG).mkdir(parents=True)
    (root / BLOG / "README.md").write_text("# Posts\n", encoding="utf-8")
    assert posts.list_all(root) == []


# ---- publishing --------------------------------------------------------------------------


def test_publishing_changes_two_lines_and_no_other_byte(root):
    path = begin(root)
    before = path.read_bytes()
    posts.publish(root, posts.load(root, path), on=date(2026, 5, 6))
    expected = before.replace(b"draft: true", b"draft: false")
    assert path.read_bytes() == expected.replace(b"date: 2026-03-04", b"date: 2026-05-06")
    assert posts.load(root, path).state == "published"


@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_publishing_keeps_line_ends_and_adds_what_is_missing(root, mark):
    path = root / BLOG / "x.md"
    path.parent.mkdir(parents=True)
    body = "\r\n# X\r\n\r\ndraft: true\r\n---\r\n"
    path.write_bytes(f"{mark}---\r\ntitle: X\r\ndraft: true # yet\r\n---\r\n{body}".encode())
    posts.publish(root, posts.load(root, path), on=TODAY)
    header = f"{mark}---\r\ntitle: X\r\ndraft: false\r\ndate: 2026-03-04\r\n---\r\n"
    assert path.read_bytes() == (header + body).encode()


def test_post_without_front_matter_is_not_published(root):
    path = root / BLOG / "x.md"
    path.parent.mkdir(parents=True)
    path.write_text("# X\n", encoding="utf-8")
    with pytest.raises(ValueError, match="no front matter"):
        posts.publish(root, posts.load(root, path))


# ---- the commands ------------------------------------------------------------------------


def whole(path):
    """Write the post that `new` began, as an author would."""
    text = path.read_text(encoding="utf-8").replace(posts.TO_DESCRIBE, "Twice is two times once.")
    words = "We add the same number to itself and look at what has become of it. " * 110
    figures = "\n\n".join(
        f"![A line that rises](../results/plot_thing-{name}.svg)" for name in "abc"
    )
    results = path.parent.parent / "results"
    results.mkdir()
    for name in "abc":
        (results / f"plot_thing-{name}.svg").write_text("<svg/>", encoding="utf-8")
    text = text.replace("tags: []", "tags: [arithmetic]")
    path.write_text(text.replace("## What went", f"{words}\n\n{figures}\n\n## What went"), "utf-8")


def test_three_commands_make_a_post(root, capsys):
    code, out, _ = call(capsys, "new", "0", "--title", "A thing, twice")
    assert code == 0
    assert out.startswith(f"{BLOG}/a-thing-twice.md: a draft")
    whole(root / BLOG / "a-thing-twice.md")
    assert call(capsys, "check", "0")[:2] == (0, f"{BLOG}/a-thing-twice.md: nothing wrong\n")
    code, out, _ = call(capsys, "publish", "0", "--on", "2026-03-05")
    assert code == 0
    assert "published, dated 2026-03-05" in out
    code, out, _ = call(capsys)
    assert "2026-03-05" in out
    assert "published" in out


def test_check_and_publish_refuse_what_is_not_finished(root, capsys):
    path = begin(root)
    code, out, _ = call(capsys, "publish", "0")
    assert code == 1
    assert "1,500" in out
    assert "description" in out
    assert posts.load(root, path).draft


def test_check_names_the_wrong_digit_of_a_block(root, capsys):
    path = begin(root)
    whole(path)
    path.write_text(path.read_text(encoding="utf-8").replace("\n4\n", "\n5\n"), encoding="utf-8")
    code, out, _ = call(capsys, "check", "0")
    assert code == 1
    assert "a block fails, or does not print what the post says" in out
    assert "5" in out
    assert out.endswith("1 wrong\n")


def test_check_stops_a_block_that_does_not_end(root, capsys, monkeypatch):
    monkeypatch.setattr(posts, "SECONDS", 1)
    path = begin(root)
    whole(path)
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace("print(2", "while True:\n    pass\nprint(2"), encoding="utf-8")
    code, out, _ = call(capsys, "check", "0")
    assert code == 1
    assert "Timeout (>1.0s)" in out


def test_check_names_a_number_that_cog_would_write_otherwise(root, capsys):
    path = begin(root)
    whole(path)
    text = path.read_text(encoding="utf-8")
    block = "<!-- [[[cog\nprint('It is 4.')\n]]] -->\nIt is {}.\n<!-- [[[end]]] -->\n"
    for number, code in ((4, 0), (5, 1)):
        path.write_text(text + block.format(number), encoding="utf-8")
        assert call(capsys, "check", "0")[0] == code
    path.write_text(text + block.format(5), encoding="utf-8")
    assert "cog would write 'It is 4.'" in call(capsys, "check", "0")[1]


def test_check_compares_the_title_with_the_heading(root, capsys):
    path = begin(root)
    whole(path)
    text = path.read_text(encoding="utf-8").replace("# A thing, twice", "# Another")
    path.write_text(text, encoding="utf-8")
    code, out, _ = call(capsys, "check", "0")
    assert code == 1
    assert "the heading is 'Another'; write one" in out


def test_mistakes_on_the_command_line_are_one_sentence(root, capsys):
    begin(root)
    code, _, err = call(capsys, "publish", "0", "--on", "tomorrow")
    assert (code, err.count("\n")) == (2, 1)
    assert "--on is a date such as 2026-01-31" in err
    posts.publish(root, posts.find(root, "0"), on=TODAY)
    assert "published already, dated 2026-03-04" in call(capsys, "publish", "0")[2]
    assert "there is no phase 7" in call(capsys, "new", "7")[2]
