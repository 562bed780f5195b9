"""The bibliography: every entry of papers.bib, how works are found and cited, and the tables."""

import re
from pathlib import Path

import pytest

from journal import bibliography, numbers, roadmap
from journal.bibliography import FILE, PAGE

ROOT = Path(__file__).resolve().parent.parent
WORKS = bibliography.load(ROOT)
LISTED = [work for work in WORKS.values() if work.reading is not None]
PLAN = roadmap.load(ROOT)
DOI = re.compile(r"10\.\d{4,9}/[^\s{}]+")
ARXIV = re.compile(r"\d{2}(0[1-9]|1[0-2])\.\d{4,5}")
ADDRESS = re.compile(r"https://[\w.-]+/\S*")
every_work = pytest.mark.parametrize("work", WORKS.values(), ids=list(WORKS))
BERT = WORKS["devlin2019bert"]
SMALL = """# Roadmap

## Phase 0: Foundations
Folder: [phase-00-x](phase-00-x/)

**Goal.** A goal.

**Prerequisites.** None.

### Items

- [ ] **0.1 An item.** Text.

## Papers

| # | Paper | Year | Phase | Why read it |
| --- | --- | --- | --- | --- |
| 1 | Ada and Bo, "First: A Start" | 1990 | 0 | It was first |
| 2 | Cy, "Second" | 1991 | 0 | It was second |
"""
BIB = """
@article{ada1990first,
  author = {Ada, Ann and van Bo, Bert}, title = {First: A {Start}}, journal = {Notes}, year = 1990,
  volume = {3}, number = {2}, pages = {1--9}, url = {https://example.org/1}, reading = {1}}
@misc{cy1991second,
  author = {Cy}, title = {Second | Last}, year = 1991, url = {https://example.org/2},
  eprint = {9101.0001}, reading = {2}}
@book{dee2000other, author = {Dee, D.}, title = {Other}, publisher = {Press}, year = 2000,
  annote = {Named once.}}
"""


@pytest.fixture
def small(tmp_path):
    """A journal with a reading list of two papers, a third work, and no note."""
    (tmp_path / "papers" / "notes").mkdir(parents=True)
    (tmp_path / "ROADMAP.md").write_text(SMALL, encoding="utf-8")
    (tmp_path / FILE).write_text(BIB, encoding="utf-8")
    return tmp_path


# ---- papers.bib itself -------------------------------------------------------------------


def test_reading_list_has_the_numbers_1_to_35_once_and_in_order():
    assert [work.reading for work in LISTED] == list(range(1, 36))


def test_reading_list_agrees_with_the_roadmap_in_title_year_and_first_author():
    for work, paper in zip(LISTED, PLAN.papers, strict=True):
        assert work.reading == paper.number
        assert f'"{work.title}"' in paper.title
        assert work.year == paper.year, work.key
        assert paper.title.startswith(work.authors[0].family.split()[-1])


@every_work
def test_key_follows_the_rule(work):
    assert work.key == bibliography.key_of(work)
    assert re.fullmatch(r"[a-z]+\d{4}[a-z]+", work.key)


@every_work
def test_fields_have_their_form(work):
    forms = {"doi": DOI, "eprint": ARXIV, "url": ADDRESS, "pdf": ADDRESS}
    forms |= {"pages": re.compile(r"[A-Z]?\d+(--\d+)?"), "volume": re.compile(r"\d+")}
    for name, form in forms.items():
        if name in work.fields:
            assert form.fullmatch(work.fields[name]), (name, work.fields[name])
    assert ("eprint" in work.fields) == (work.fields.get("archiveprefix") == "arXiv")
    assert work.page or work.reading is None, "neither url nor doi"


@every_work
def test_pages_run_forwards(work):
    ends = work.fields.get("pages", "").split("--")
    if len(ends) == 2:
        assert int(ends[0]) < int(ends[1])


@every_work
def test_names_are_whole_and_in_unicode(work):
    for name in work.authors:
        assert name.family
        assert name.given, name
        assert not re.search(r"[{}\\]|et al|others", str(name)), name
    assert len(set(work.authors)) == len(work.authors)


@every_work
def test_preprint_on_arxiv_is_linked_and_free(work):
    eprint = work.fields.get("eprint")
    if eprint:
        assert work.page == f"https://arxiv.org/abs/{eprint}"
        assert work.pdf == f"https://arxiv.org/pdf/{eprint}"


@every_work
def test_proceedings_have_a_short_name_and_every_field_is_known(work):
    known = {"author", "editor", "title", "journal", "booktitle", "year", "series", "volume"}
    known |= {"number", "pages", "publisher", "institution", "doi", "eprint", "archiveprefix"}
    known |= {"url", "pdf", "shorttitle", "note", *bibliography.OURS}
    assert set(work.fields) <= known
    assert ("venue" in work.fields) or work.kind != "inproceedings"


@pytest.mark.parametrize("name", ["title", "doi", "eprint"])
def test_no_work_is_there_twice(name):
    values = [work.fields[name].lower() for work in WORKS.values() if name in work.fields]
    assert len(set(values)) == len(values)


def test_author_counts_are_those_of_the_papers():
    counts = {15: 8, 18: 10, 21: 31, 22: 10, 23: 22, 24: 20, 28: 14, 29: 18, 34: 9, 35: 1}
    assert {number: len(LISTED[number - 1].authors) for number in counts} == counts


# ---- reading BibTeX ----------------------------------------------------------------------


def test_names_titles_and_venues_are_plain_text(small):
    first, second, other = bibliography.load(small).values()
    assert [str(name) for name in first.authors] == ["Ann Ada", "Bert van Bo"]
    assert (first.title, first.short_title) == ("First: A Start", "First")
    assert first.venue == "*Notes* 3(2), 1–9"
    assert (second.venue, other.venue) == ("arXiv:9101.0001", "Press")
    assert (first.reading, other.reading) == (1, None)


@pytest.mark.parametrize(
    ("key", "venue"),
    [
        ("glorot2010understanding", "AISTATS, PMLR 9, 249–256"),
        ("pascanu2013difficulty", "ICML, PMLR 28(3), 1310–1318"),
        ("brown2020language", "NeurIPS 33, 1877–1901 (GPT-3)"),
        ("bengio2003neural", "*JMLR* 3, 1137–1155"),
        ("radford2018improving", "OpenAI (GPT-1)"),
        ("bahdanau2015neural", "ICLR"),
        ("dao2023flashattention", "arXiv:2307.08691; in 2024 at ICLR"),
        ("bridle1990probabilistic", "in *Neurocomputing*, Springer, 227–236"),
    ],
)
def test_venue_is_short_with_volume_and_pages(key, venue):
    assert WORKS[key].venue == venue


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("@misc{a, title = {A}", "is no good BibTeX: syntax error"),
        ("@misc{a, title = {A}}\n@misc{a, title = {B}}", "repeated bibliography entry: a"),
        ("@misc{a, title = {A}}", "entry a: @misc needs author, year, url"),
        ("@artcle{a, title = {A}}", "@artcle is not known; did you mean article?"),
        ("@misc{a, author = {B}, title = {A}, year = {soon}, url = {u}}", "year is a number"),
        (BIB.replace("reading = {2}", "reading = {two}"), "reading is a number, not 'two'"),
        (BIB.replace("reading = {2}", "reading = {1}"), "ada1990first and cy1991second both say"),
        (BIB.replace("journal = {Notes},", ""), "entry ada1990first: @article needs journal"),
    ],
)
def test_faulty_bibtex_is_refused_by_name(text, complaint):
    with pytest.raises(ValueError, match=re.escape(complaint)):
        bibliography.parse(text)


def test_missing_file_says_where_to_run_it(tmp_path):
    with pytest.raises(ValueError, match=r"there is no papers/papers\.bib"):
        bibliography.load(tmp_path)


# ---- finding -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "key"),
    [
        ("vaswani2017attention", "vaswani2017attention"),
        (" 15 ", "vaswani2017attention"),
        ("attention is all you need", "vaswani2017attention"),
        ("polosukhin", "vaswani2017attention"),
        ("SCHMIDHUBER 1997", "hochreiter1997long"),
        ("bert", "devlin2019bert"),
        ("gpt-3", "brown2020language"),
        ("chinchilla", "hoffmann2022training"),
        ("FlashAttention", "dao2022flashattention"),
        ("flashattention-2", "dao2023flashattention"),
        ("rejean ducharme", "bengio2003neural"),
    ],
)
def test_work_is_found_by_key_number_title_or_words(asked, key):
    assert bibliography.find(WORKS, asked).key == key


@pytest.mark.parametrize(
    ("asked", "complaint"),
    [
        ("36", "there is no paper 36; they are numbered from 1 to 35"),
        ("0", "there is no paper 0"),
        ("gpt", "3 papers fit 'gpt': radford2018improving, radford2019language, brown"),
        ("vaswani2017atention", "did you mean vaswani2017attention"),
        ("distributed representatons of words and phrases", "did you mean mikolov2013distributed"),
        ("zebra crossing", "`uv run journal papers` lists them"),
        ("", "there is no paper ''"),
    ],
)
def test_what_is_not_found_gets_a_suggestion(asked, complaint):
    with pytest.raises(ValueError, match=re.escape(complaint)):
        bibliography.find(WORKS, asked)


# ---- citing ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "label"),
    [
        ("shazeer2019fast", "Shazeer (2019)"),
        ("glorot2010understanding", "Glorot and Bengio (2010)"),
        ("ba2016layer", "Ba et al. (2016)"),
    ],
)
def test_label_names_one_two_or_the_first_of_many(key, label):
    assert WORKS[key].label == label


@pytest.mark.parametrize(
    ("page", "target"),
    [
        ("phase-04-attention/notes/attention.md", "../../papers/README.md"),
        ("README.md", "papers/README.md"),
        ("papers/notes/bert.md", "../README.md"),
        ("papers/README.md", ""),
        ("papers/other.md", "README.md"),
    ],
)
def test_link_leads_from_any_page_to_the_anchor(page, target):
    expected = f"[Devlin et al. (2019)]({target}#devlin2019bert)"
    assert bibliography.link(BERT, page) == expected


@every_work
def test_bibtex_reads_back_as_the_same_work_without_the_fields_of_our_own(work):
    again = bibliography.parse(bibliography.bibtex(work))[work.key]
    kept = {name: value for name, value in work.fields.items() if name not in bibliography.OURS}
    assert (again.kind, again.authors, dict(again.fields)) == (work.kind, work.authors, kept)
    private = re.compile(r"^  (reading|venue|annote|shorttitle|pdf) =", re.MULTILINE)
    assert not private.search(bibliography.bibtex(work))


# ---- the tables --------------------------------------------------------------------------


def test_table_has_an_anchor_a_link_and_the_phases_in_each_row(small):
    (small / "papers/notes/second.md").write_text("---\nnumber: 2\nstatus: read\n---\n# Second\n")
    lines = bibliography.reading_table(1, 2, small).splitlines()
    assert lines[0] == "| # | Authors | Title | Year | Venue | Phase | Note |"
    assert lines[2] == (
        '| <a id="ada1990first"></a>1 | Ann Ada, Bert van Bo | [First: A Start]'
        "(https://example.org/1) | 1990 | *Notes* 3(2), 1–9 | 0 | to come |"
    )
    assert lines[3].startswith('| <a id="cy1991second"></a>2 | Cy | [Second \\| Last](')
    assert lines[3].endswith("| 0 | [note](notes/second.md) |")


def test_table_does_not_change_with_what_the_learner_has_read(small):
    note = small / "papers/notes/first.md"
    tables = []
    for status in ("unread", "read"):
        note.write_text(f"---\nnumber: 1\nstatus: {status}\n---\n# First\n")
        tables.append(bibliography.reading_table(1, 2, small))
    assert tables[0] == tables[1]


def test_table_names_a_number_that_no_entry_has(small):
    with pytest.raises(ValueError, match=r"papers\.bib has no entry with `reading = \{3\}`"):
        bibliography.reading_table(1, 3, small)


def test_other_works_are_a_list_with_anchors_and_remarks(small):
    assert bibliography.other_works(small) == (
        '- <a id="dee2000other"></a>D. Dee (2000), *Other*, Press. Named once.'
    )


def test_page_has_one_anchor_for_every_work_and_is_as_it_would_be_made_now():
    text = (ROOT / PAGE).read_text(encoding="utf-8")
    assert sorted(re.findall(r'<a id="(\w+)"></a>', text)) == sorted(WORKS)
    assert numbers.renew(text, PAGE) == text


# ---- which notes there are ---------------------------------------------------------------


def test_notes_are_found_by_number_or_by_key(small):
    folder = small / "papers/notes"
    (folder / "README.md").write_text("# About the notes\n")
    (folder / "one.md").write_text("\ufeff---\r\nnumber: 1\r\n---\r\n# One\r\n", encoding="utf-8")
    (folder / "two.md").write_text("---\nbibkey: cy1991second\n---\n# Two\n")
    found = bibliography.notes(small, bibliography.load(small))
    assert found == {"ada1990first": folder / "one.md", "cy1991second": folder / "two.md"}


@pytest.mark.parametrize(
    ("front", "complaint"),
    [
        ("number: 3", "has `number: 3`, which no paper of papers/papers.bib has"),
        (
            "number: 1\nbibkey: cy1991second",
            "b.md has `bibkey: cy1991second`; there are ada1990first",
        ),
        ("number: [1", "papers/notes/b.md cannot be read: the front matter is no YAML"),
        ("bibkey: cy1991secnd", "did you mean cy1991second?"),
        ("number: 2", "a.md and papers/notes/b.md are both on cy1991second; keep one"),
    ],
)
def test_note_that_contradicts_is_refused(small, front, complaint):
    (small / "papers/notes/a.md").write_text("---\nnumber: 2\n---\n")
    (small / "papers/notes/b.md").write_text(f"---\n{front}\n---\n")
    with pytest.raises(ValueError, match=re.escape(complaint)):
        bibliography.notes(small, bibliography.load(small))


def test_notes_of_this_journal_belong_to_papers_of_the_list():
    found = bibliography.notes(ROOT, WORKS)
    pages = set((ROOT / "papers/notes").glob("*.md")) - {ROOT / "papers/notes/README.md"}
    assert set(found.values()) == pages
