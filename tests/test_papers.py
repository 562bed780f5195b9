"""journal papers: notes and annotations that lose no byte, PDFs over a server of our own."""

import hashlib
import http.server
import re
import threading
from collections.abc import Iterator
from datetime import date
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from journal import bibliography, data, evidence, papers, record
from journal.bibliography import Work
from journal.commands import papers as commands

DAY = date(2026, 11, 21)
ROADMAP = """# Roadmap

## Phase 0: Foundations
Folder: [phase-00-x](phase-00-x/)

**Goal.** A goal.

**Prerequisites.** None.

### Items

- [ ] **0.1 An item.** Text.

## Papers

| # | Paper | Year | Phase | Why read it |
| --- | --- | --- | --- | --- |
| 1 | Ada, "First: A Start" | 1990 | 0 | It was first |
| 2 | Cy, "Second" | 1991 | 0 | It was second |
"""
BIB = """
@misc{ada1990first, author = {Ada, A.}, title = {First: A Start}, year = 1990,
  url = {https://example.org/1}, pdf = {https://example.org/1.pdf}, reading = {1}}
@misc{cy1991second, author = {Cy, C.}, title = {Second}, year = 1991,
  url = {https://example.org/2}, reading = {2}}
@book{dee2000other, author = {Dee, D.}, title = {Other}, publisher = {Press}, year = 2000,
  url = {https://example.org/3}, annote = {Named once.}}
"""
NOTE = "---\nnumber: 1\nstatus: reading  # since May\n---\n\n# First\n\n## My annotations\n"
LINE = "- 2026-11-21, page 3: why 0.75?"
PDF = b"%PDF-1.5\n" + bytes(range(256)) * 20 + b"\nstartxref\n42\n%%EOF\n"


@pytest.fixture
def root(tmp_path, monkeypatch):
    """A journal with two papers of which the first has a note, and a cache of its own."""
    folder = tmp_path / "journal"
    (folder / "papers/notes").mkdir(parents=True)
    (folder / "phase-00-x").mkdir()
    (folder / "ROADMAP.md").write_text(ROADMAP, encoding="utf-8")
    (folder / "papers/papers.bib").write_text(BIB, encoding="utf-8")
    (folder / "papers/notes/first.md").write_text(NOTE, encoding="utf-8")
    monkeypatch.setenv("JOURNAL_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(folder)
    monkeypatch.setattr(commands.roadmap, "find_root", lambda: folder)
    return folder


@pytest.fixture
def note(tmp_path):
    """A function that writes a note of these bytes and returns its path."""

    def write(text: str | bytes) -> Path:
        path = tmp_path / "note.md"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write


def annotated(path: Path) -> str:
    papers.annotate(path, "why 0.75?", "page 3", on=DAY)
    return path.read_bytes().decode()


def headings(text: str) -> list[tuple[str, str]]:
    """Level and text of every heading, as Markdown sees them."""
    tokens = MarkdownIt("commonmark").parse(text)
    pairs = pairwise(tokens)
    return [(one.tag, two.content) for one, two in pairs if one.type == "heading_open"]


def run(*arguments: str) -> int:
    """The command line of the group alone."""
    return commands.app.cli(prog="journal papers", args=list(arguments)) or 0


def refused(complaint: str):
    return pytest.raises(ValueError, match=re.escape(complaint))


# ---- annotations: what goes in, and that nothing else changes ------------------------------


def test_annotation_goes_under_an_empty_section(note):
    assert annotated(note(NOTE)) == f"{NOTE}\n{LINE}\n"


def test_annotations_follow_one_another(note):
    path = note(NOTE)
    annotated(path)
    papers.annotate(path, "  over\n two  lines ", "section 3.2", on=date(2026, 12, 1))
    second = "- 2026-12-01, section 3.2: over two lines\n"
    assert path.read_text() == f"{NOTE}\n{LINE}\n{second}"


def test_today_is_the_date_when_none_is_given(note):
    assert papers.annotate(note(NOTE), "a", "page 1").startswith(f"- {date.today().isoformat()}, ")


@pytest.mark.parametrize(
    ("before", "added", "after"),
    [
        ("# A\r\n\r\n## My annotations\r\n", f"\r\n{LINE}\r\n", "\r\n## After\r\n\r\nText.\r\n"),
        ("# A\n\n## My annotations", f"\n\n{LINE}\n", ""),
        ("# A\r\r## My annotations\r", f"\r{LINE}\r", "\r"),
        ("\ufeff# A\n\n## My annotations\n", f"\n{LINE}\n", ""),
        ("## My annotations\n\n- mine", f"\n{LINE}\n", ""),
        ("## My annotations\n\n- mine\n", f"{LINE}\n", "\n \t\n# After\n\n- not mine\n"),
        ("## My annotations\n\n- mine\n  goes on\n\n  ```\n  # x\n  ```\n", f"{LINE}\n", ""),
        ("## My annotations\n\n* mine\n", f"\n{LINE}\n", "\n"),
        ("## My annotations\n\nMine, in prose\n", f"\n{LINE}\n", ""),
        ("## My annotations\n\n- mine\n\nand prose.\n", f"\n{LINE}\n", "\n## B\n"),
        ("## My annotations\n\n<!-- how to\nadd one -->\n", f"\n{LINE}\n", ""),
        ("## My annotations\n\n### Of May\n\n- mine\n", f"{LINE}\n", "\n## B\n"),
        ("### My annotations\n", f"\n{LINE}\n", "\n## B\n"),
        ("## My annotations\n", f"\n{LINE}\n\n", "Next\n====\n"),
        ("## 7. **My annotations** ##\n", f"\n{LINE}\n", "\n## B\n"),
        ("## my ANNOTATIONS\n", f"\n{LINE}\n", "\nAfter\n=====\n"),
        ("```md\n## My annotations\n```\n\n## My annotations\n", f"\n{LINE}\n", ""),
        ("<!--\n## My annotations\n-->\n\n## My annotations\n", f"\n{LINE}\n", ""),
        ("    ## My annotations\n\n## My annotations\n", f"\n{LINE}\n", ""),
        ("## My annotations\n\n```sh\n## not a heading\n```\n", f"\n{LINE}\n", "\n## B\n"),
        ("   ## My annotations\n", f"\n{LINE}\n", "\n## B\n"),
        ("\ufeff## My annotations <!-- mine -->\n", f"\n{LINE}\n", "\n## B\n"),
        ("---\na: |\n  ---\n---\n\n## My annotations\n", f"\n{LINE}\n", "\n## B\n"),
        ("---\nstatus: read\n---\n## My annotations\n", f"\n{LINE}\n", ""),
        ("## My annotations\n\n- a\u2028b \x0c c\x85 d\n", f"{LINE}\n", "\n## B \ufffd\n"),
    ],
)
def test_annotation_is_inserted_at_the_end_of_the_section_and_nothing_else_changes(
    note, before, added, after
):
    path = note(before + after)
    assert annotated(path) == before + added + after
    assert LINE in evidence.annotations(path.read_bytes().decode())
    assert not list(path.parent.glob(".*"))


@given(
    st.lists(
        st.sampled_from(
            ["- mine", "* mine", "text", "", "### Sub", "> quoted", "1. one", "---", "\t"]
        ),
        max_size=8,
    ),
    st.sampled_from(["\n", "\r\n"]),
    st.sampled_from(["", "## After\n\n## Later"]),
)
def test_whatever_was_written_stays_to_the_last_byte(lines, end, after):
    old = end.join(["# A", "", "## My annotations", *lines, *after.split("\n")])
    new = papers._with_entry(old, LINE, "note.md")
    before, _, rest = new.partition(LINE)
    start, rest = before.rstrip("\r\n"), rest.lstrip("\r\n")
    assert old.startswith(start)
    assert old.endswith(rest)
    assert old[len(start) : len(old) - len(rest)].strip("\r\n") == ""
    assert headings(new) == headings(old)
    assert LINE in evidence.annotations(new)


def test_annotated_note_counts_as_read_only_with_its_status(note):
    path = note(NOTE)
    annotated(path)
    assert papers.state(path) == papers.State(path, "reading", 1)
    papers.set_status(path, "read")
    assert papers.state(path).counts
    assert evidence.annotations(path.read_text()) == LINE


def test_read_without_an_annotation_does_not_count(note):
    state = papers.state(note(NOTE.replace("reading", "read")))
    assert (state.status, state.annotations, state.counts) == ("read", 0, False)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("# A\n", "note.md has no heading `## My annotations`"),
        ("```\n## My annotations\n```\n", "has no heading"),
        ("> ## My annotations\n", "has no heading"),
        ("My annotations\n==============\n", "has no heading"),
        ("```\n\n## My annotations\n", "has no heading"),
        ("---\n## My annotations\n---\n", "has no heading"),
        ("## My annotations\n\n## My annotations\n", "has 2 headings `## My annotations`"),
        ("## My annotations\n\n```\nopen\n", "does not end"),
        ("## My annotations\n\n<!-- open\n", "does not end"),
        ("## My annotations\n\n  Indented\n----\n", "an indented heading"),
        (b"## My annotations\n\n\xff\n", "note.md is not UTF-8"),
        ("---\na: [\n---\n## My annotations\n", "note.md cannot be read: the front matter is no"),
    ],
)
def test_note_that_cannot_take_an_annotation_is_left_alone(note, text, complaint):
    path = note(text)
    before = path.read_bytes()
    with refused(complaint):
        annotated(path)
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    "text",
    ["", "  \n", "...", "see <!-- this", "[[[cog import os", "a\x00", "\x1b[1mbold", "a\udcff"],
)
def test_annotation_without_words_or_that_does_harm_is_refused(note, text):
    path = note(NOTE)
    with refused("an annotation"):
        papers.annotate(path, text, "page 3")
    assert path.read_text() == NOTE


def test_note_stays_whole_when_the_disk_is_full(note, monkeypatch):
    def full(path: Path, text: str) -> None:
        raise OSError(28, "No space left on device")

    path = note(NOTE)
    monkeypatch.setattr(record, "replace_file", full)
    with pytest.raises(OSError, match="No space"):
        annotated(path)
    assert path.read_text() == NOTE


@pytest.mark.parametrize(
    "text",
    ["# no heading", "- a [*b*](c) `d` | $e$", "x" * 2000, "漢字 👩\u200d💻", "``` not code"],
)
def test_annotation_is_kept_as_it_was_written(note, text):
    path = note(NOTE)
    for _ in range(2):
        papers.annotate(path, text, "page 3", on=DAY)
    assert path.read_text() == f"{NOTE}\n" + f"- 2026-11-21, page 3: {text}\n" * 2
    assert headings(path.read_text()) == headings(NOTE)


@pytest.mark.parametrize(
    ("page", "section", "where"),
    [
        (3, None, "page 3"),
        (None, "3.2", "section 3.2"),
        (None, "section 3.2", "section 3.2"),
        (None, " §3.2.1 ", "section 3.2.1"),
        (None, "Appendix A", "section Appendix A"),
    ],
)
def test_place_is_a_page_or_a_section(page, section, where):
    assert papers.place(page, section) == where


@pytest.mark.parametrize(
    ("page", "section"),
    [(None, None), (3, "3.2"), (0, None), (-1, None), (None, ""), (None, "3: x"), (None, "a\x00b")],
)
def test_place_that_is_none_is_refused(page, section):
    with refused("--"):
        papers.place(page, section)


# ---- the status ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("status: unread", "status: read"),
        ("status:   'unread'   # of paper 1", "status:   read   # of paper 1"),
        ('status: "unread"', "status: read"),
        ("status: read", "status: read"),
    ],
)
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_status_changes_one_word_of_the_front_matter(note, line, expected, end):
    text = "\ufeff---\nnumber: 1\n{}\nnote: []\n---\n\nstatus: unread\n\n---\nstatus: unread\n---"
    text = text.replace("\n", end)
    path = note(text.format(line))
    papers.set_status(path, "read")
    assert path.read_bytes().decode() == text.format(expected)


@pytest.mark.parametrize(
    "text",
    [
        "# A\n\nstatus: unread\n",
        "---\nnumber: 1\n---\nstatus: unread\n",
        "---\nstatus:\n---\n",
        "---\nat:\n  status: unread\n---\n",
        "---\nStatus: unread\n---\n",
        "---\n{status: unread}\n---\n",
    ],
)
def test_front_matter_without_a_status_is_left_alone(note, text):
    path = note(text)
    with refused("note.md has 0 lines `status: unread`"):
        papers.set_status(path, "read")
    assert path.read_text() == text


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("---\nstatus: unread\n", "note.md cannot be read: the front matter begins with"),
        ("---\nstatus: [a\n---\n", "note.md cannot be read: the front matter is no YAML"),
        ("---\nstatus: unread\nstatus: read\n---\n", "the front matter has status twice"),
        ("---\nstatus: >\n  unread\n---\n", "the status of papers/notes/note.md goes over several"),
        ("---\nstatus: un\n  read\n---\n", "goes over several lines; write it in one"),
    ],
)
def test_status_that_one_word_cannot_replace_is_left_alone(note, text, complaint):
    path = note(text)
    with refused(complaint):
        papers.set_status(path, "read")
    assert path.read_text() == text


def test_unknown_status_is_refused(note):
    with refused("a status is unread, reading or read, not 'done'"):
        papers.set_status(note(NOTE), "done")


# ---- new notes -------------------------------------------------------------------------------


def test_new_note_has_the_sections_and_takes_an_annotation(root):
    works = bibliography.load(root)
    path = papers.new_note(root, works["cy1991second"], (0,))
    assert path == root / "papers/notes/second.md"
    front = evidence.front_matter(path.read_text())
    assert (front["bibkey"], front["number"], front["status"]) == ("cy1991second", "2", "reading")
    assert papers.states(root, works)["cy1991second"] == papers.State(path, "reading", 0)
    annotated(path)
    assert papers.states(root, works)["cy1991second"].annotations == 1


def test_new_notes_of_the_35_have_names_of_their_own(root):
    works = bibliography.load(Path(__file__).resolve().parent.parent)
    listed = [work for work in works.values() if work.reading]
    names = [papers.new_note(root, work, (1,)).name for work in listed]
    assert len(set(names)) == 35
    assert "attention-is-all-you-need.md" in names
    assert all(re.fullmatch(r"[a-z0-9-]+\.md", name) for name in names)


def test_new_note_is_never_written_over_a_file(root):
    works = bibliography.load(root)
    (root / "papers/notes/second.md").write_text("mine")
    with refused("papers/notes/second.md is there already"):
        papers.new_note(root, works["cy1991second"], (0,))
    with refused("dee2000other is not on the reading list"):
        papers.new_note(root, works["dee2000other"], ())
    assert (root / "papers/notes/second.md").read_text() == "mine"


# ---- PDFs ------------------------------------------------------------------------------------


class Server(http.server.ThreadingHTTPServer):
    """Serves `pages`; of a page in `cut` the first half only. `asked` counts the requests.

    A page in `moved` is elsewhere, one in `packed` claims to be a gzip file.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.pages: dict[str, bytes] = {}
        self.cut: set[str] = set()
        self.moved: dict[str, str] = {}
        self.packed: set[str] = set()
        self.asked = 0

    def work(self, name: str, body: bytes | None = None) -> Work:
        if body is not None:
            self.pages[name] = body
        address = f"http://127.0.0.1:{self.server_address[1]}/{name}"
        fields = {"title": "First", "year": "1990", "url": "https://example.org/1", "pdf": address}
        return Work("ada1990first", "misc", (), fields)


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        server = self.server
        assert isinstance(server, Server)
        server.asked += 1
        name = self.path.lstrip("/")
        if name in server.moved:
            self.send_response(302)
            self.send_header("Location", server.moved[name])
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        if name not in server.pages:
            self.send_error(404)
            return
        body = server.pages[name]
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        if name in server.packed:
            self.send_header("Content-Encoding", "gzip")
        self.end_headers()
        self.wfile.write(body[: len(body) // 2] if name in server.cut else body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def server(root) -> Iterator[Server]:
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.02,))
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def cached() -> list[str]:
    return sorted(path.name for path in (data.cache_folder() / "papers").glob("*"))


def test_pdf_is_fetched_once_and_its_hash_is_kept(server):
    work = server.work("a.pdf", PDF)
    path, new = papers.fetch(work)
    assert new
    assert path.read_bytes() == PDF
    noted = path.with_name("ada1990first.pdf.sha256").read_text()
    assert noted == f"{hashlib.sha256(PDF).hexdigest()}  ada1990first.pdf\n"
    assert papers.fetch(work) == (path, False)
    assert server.asked == 1
    assert cached() == ["ada1990first.pdf", "ada1990first.pdf.sha256"]


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        (b"<!DOCTYPE html><html>no %PDF- here %%EOF</html>", "sent is a web page (47 bytes)"),
        (b"\n<html><body>log in</body></html>", "is a web page"),
        (b"", "is no PDF (0 bytes)"),
        (b"PK\x03\x04 a zip", "is no PDF"),
        (PDF[:-7], "is a PDF that was cut off"),
        (PDF + bytes(2000), "is a PDF that was cut off"),
    ],
)
def test_what_is_no_whole_pdf_is_not_kept(server, body, complaint):
    work = server.work("a.pdf", body)
    with refused(complaint) as raised:
        papers.fetch(work)
    assert f"save the PDF as {papers.pdf_path(work)}" in str(raised.value)
    assert work.page in str(raised.value)
    assert cached() == []


def test_download_that_breaks_off_leaves_nothing(server):
    work = server.work("a.pdf", PDF * 40)
    server.cut.add("a.pdf")
    with refused(f"could not download ada1990first from {work.pdf} (the connection broke off)"):
        papers.fetch(work)
    assert cached() == []


@pytest.mark.parametrize(
    ("to", "reason"),
    [
        ("/a.pdf", "it redirects in a circle"),
        ("ftp://example.org/a.pdf", "No connection adapters were found"),
        ("http://[bad/a.pdf", "Invalid IPv6 URL"),
    ],
)
def test_redirection_that_leads_nowhere_is_said(server, to, reason):
    server.moved["a.pdf"] = to
    with refused(f"could not download ada1990first from {server.work('a.pdf').pdf} ({reason}"):
        papers.fetch(server.work("a.pdf"))
    assert cached() == []


def test_answer_that_is_packed_wrongly_is_said(server):
    server.packed.add("a.pdf")
    with refused("(it cannot be unpacked)"):
        papers.fetch(server.work("a.pdf", PDF))
    assert cached() == []


@pytest.mark.parametrize(
    ("name", "most", "reason"),
    [("MOST", len(PDF) - 1, "more than 0 MiB came"), ("PATIENCE", -1, "had not come after")],
)
def test_download_that_would_not_end_is_given_up(server, monkeypatch, name, most, reason):
    work = server.work("a.pdf", PDF)
    with monkeypatch.context() as patch:
        patch.setattr(papers, name, most)
        with refused(reason):
            papers.fetch(work)
    assert cached() == []
    assert papers.fetch(work).new


def test_cache_that_cannot_be_written_is_said_with_the_way_out(server, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("JOURNAL_CACHE", str(tmp_path / "file"))
    with refused(f"nothing can be written in {tmp_path / 'file' / 'papers'} (Not a directory)"):
        papers.fetch(server.work("a.pdf", PDF))


def test_missing_page_is_said_with_its_status(server):
    with refused("(status 404): try again later, or open that address by other means"):
        papers.fetch(server.work("none.pdf"))
    assert cached() == []


def test_offline_says_which_address_and_where_to_put_the_file(root):
    server = Server()
    work = server.work("a.pdf")
    server.server_close()
    with refused("(no connection)") as raised:
        papers.fetch(work)
    assert work.pdf in str(raised.value)
    assert str(papers.pdf_path(work)) in str(raised.value)
    assert cached() == []


def test_paywalled_paper_names_its_page_and_where_to_put_the_file(root):
    work = bibliography.load(root)["cy1991second"]
    with refused(
        "no free PDF of cy1991second is known; its page is https://example.org/2"
    ) as raised:
        papers.fetch(work)
    assert str(papers.pdf_path(work)) in str(raised.value)
    bare = Work(work.key, work.kind, (), {"title": "Second", "year": "1991"})
    with refused("no free PDF of cy1991second is known; save the PDF as /"):
        papers.fetch(bare)


def test_pdf_put_there_by_hand_is_taken_on(root):
    work = bibliography.load(root)["cy1991second"]
    path = papers.pdf_path(work)
    path.parent.mkdir(parents=True)
    path.write_bytes(PDF)
    assert papers.fetch(work) == (path, False)
    assert cached() == ["cy1991second.pdf", "cy1991second.pdf.sha256"]


def test_pdf_that_changed_or_is_none_is_refused(server):
    work = server.work("a.pdf", PDF)
    path = papers.fetch(work).path
    path.write_bytes(PDF.replace(b"42", b"43"))
    with refused("has changed since it came here"):
        papers.fetch(work)
    path.write_text("<html>")
    with refused(f"{path} is a web page (6 bytes); delete it"):
        papers.fetch(work)
    path.unlink()
    assert papers.fetch(work).new, "a hash without its file is stale"


def test_pdf_is_good_though_its_hash_could_not_be_written_over_a_stale_one(server, monkeypatch):
    def full(path: Path, text: str) -> None:
        raise OSError(28, "No space left on device")

    work = server.work("a.pdf", PDF)
    path = papers.fetch(work).path
    path.with_name(f"{path.name}.sha256").write_text(f"{'0' * 64}  stale\n")
    path.unlink()
    with monkeypatch.context() as patch:
        patch.setattr(record, "replace_file", full)
        with pytest.raises(OSError, match="No space"):
            papers.fetch(work)
    assert papers.fetch(work) == (path, False)


def test_cache_keeps_nothing_when_the_process_is_interrupted(server, monkeypatch):
    def interrupted(*_: object) -> str:
        raise KeyboardInterrupt

    monkeypatch.setattr(papers, "not_a_pdf", interrupted)
    with pytest.raises(KeyboardInterrupt):
        papers.fetch(server.work("a.pdf", PDF))
    assert cached() == []


# ---- the commands ----------------------------------------------------------------------------


def test_list_shows_number_key_title_year_phase_and_status(root, capsys):
    run("list")
    out = capsys.readouterr().out
    assert re.search(r"^1 +ada1990first +First +1990 +0 +reading$", out, re.M)
    assert re.search(r"^2 +cy1991second +Second +1991 +0 +no note yet$", out, re.M)
    assert "dee2000other" not in out


def test_list_is_filtered_by_status_and_phase(root, capsys):
    run("list", "--status", "reading", "--phase", "0")
    out = capsys.readouterr().out
    assert "ada1990first" in out
    assert "cy1991second" not in out
    run("list", "--status", "read")
    assert "no paper fits" in capsys.readouterr().out
    run("list", "--status", "none")
    assert "ada1990first" not in capsys.readouterr().out
    with refused("--status is unread, reading, read or none, not 'done'"):
        run("list", "--status", "done")
    with refused("there is no phase 1"):
        run("list", "--phase", "1")


def test_show_has_the_citation_why_to_read_it_and_the_note(root, capsys):
    run("show", "1")
    out = capsys.readouterr().out
    assert re.search(r"^why +It was first$", out, re.M)
    assert re.search(r"^note +papers/notes/first\.md \(reading\)$", out, re.M)
    assert re.search(r"^pdf +https://example\.org/1\.pdf$", out, re.M)
    run("show", "dee", "other")
    out = capsys.readouterr().out
    assert "Named once." in out
    assert "no free copy is known" in out
    with refused("did you mean ada1990first?"):
        run("show", "ada1990frist")


def test_open_prefers_the_fetched_pdf_and_always_prints_the_address(root, capsys, monkeypatch):
    opened = []
    monkeypatch.setattr(commands.webbrowser, "open", lambda address: opened.append(address) or True)
    run("open", "1", "--print")
    assert capsys.readouterr().out == "https://example.org/1\n"
    assert opened == []
    run("open", "1")
    path = papers.pdf_path(bibliography.load(root)["ada1990first"])
    path.parent.mkdir(parents=True)
    path.write_bytes(PDF)
    run("open", "1")
    assert opened == ["https://example.org/1", path.as_uri()]
    assert capsys.readouterr().out.splitlines() == opened


def test_open_without_a_browser_says_so(root, capsys, monkeypatch):
    monkeypatch.setattr(commands.webbrowser, "open", lambda address: False)
    with refused("no browser could be started here"):
        run("open", "1")
    assert "https://example.org/1" in capsys.readouterr().out


def test_cite_prints_the_link_for_a_page_or_bibtex(root, capsys):
    run("cite", "1")
    run("cite", "1", "--from", "papers/notes/first.md")
    run("cite", "1", "--from", "phase-00-x")
    run("cite", "1", "--bibtex")
    lines = capsys.readouterr().out.splitlines()
    assert lines[:3] == [
        "[Ada (1990)](../../papers/README.md#ada1990first)",
        "[Ada (1990)](../README.md#ada1990first)",
        "[Ada (1990)](../papers/README.md#ada1990first)",
    ]
    assert lines[3] == "@misc{ada1990first,"
    with refused("--from is a page of this journal"):
        run("cite", "1", "--from", "/elsewhere/a.md")


def test_annotate_writes_into_the_note_of_the_paper(root, capsys):
    run("annotate", "ada", "why 0.75?", "--section", "3.2")
    line = f"- {date.today().isoformat()}, section 3.2: why 0.75?"
    assert (root / "papers/notes/first.md").read_text() == f"{NOTE}\n{line}\n"
    assert capsys.readouterr().out == f"papers/notes/first.md:\n  {line}\n"


def test_annotate_begins_a_note_only_when_asked_to(root, capsys):
    note = root / "papers/notes/second.md"
    with refused("cy1991second has no note yet; with --new"):
        run("annotate", "2", "why?", "--page", "1")
    with refused("an annotation needs at least one word"):
        run("annotate", "2", "", "--page", "1", "--new")
    with refused("either --page 3 or --section 3.2"):
        run("annotate", "2", "why?", "--new")
    assert not note.exists()
    run("annotate", "2", "why?", "--page", "1", "--new")
    assert "page 1: why?" in note.read_text()
    assert "python -m journal.numbers" in capsys.readouterr().out


def test_status_counts_by_phase_shows_one_and_sets_it(root, capsys):
    run("status")
    out = capsys.readouterr().out
    assert re.search(r"^0 +Foundations +2 +0 +1 +0 +1$", out, re.M)
    assert re.search(r"^all +2 +0 +1 +0 +1$", out, re.M)
    run("status", "1", "read")
    assert capsys.readouterr().out == "ada1990first: read, nothing annotated\n"
    run("status")
    assert "takes an annotation: ada1990first" in capsys.readouterr().out
    run("annotate", "1", "a", "--page", "1")
    capsys.readouterr()
    run("status", "1")
    assert capsys.readouterr().out == "ada1990first: read, 1 annotation\n"
    with refused("cy1991second has no note yet"):
        run("status", "2", "read")


def test_fetch_all_goes_on_after_a_failure_and_ends_with_1(server, root, capsys, monkeypatch):
    good, bad = server.work("a.pdf", PDF), server.work("none.pdf")
    bad = Work("bad1990first", bad.kind, (), bad.fields)
    closed = bibliography.load(root)["cy1991second"]
    works = {work.key: work for work in (bad, good, closed)}
    monkeypatch.setattr(bibliography, "load", lambda _: works)
    assert run("fetch", "all") == 1
    out = capsys.readouterr().out
    assert "bad1990first: could not download" in out
    assert "ada1990first: 0.0 MiB, fetched" in out
    assert "cy1991second: no free PDF is known; its page is https://example.org/2" in out
    assert run("fetch", "ada1990first") == 0
    assert "was here already" in capsys.readouterr().out


def test_every_command_is_named_once_and_explains_itself(capsys):
    for command in commands.COMMANDS:
        with pytest.raises(SystemExit) as left:
            run(command, "--help")
        assert left.value.code == 0
        assert command in capsys.readouterr().out
