"""The bibliography: `papers/papers.bib` read (pybtex), cited, and set as the tables of a page.

    work = bibliography.load(root)["vaswani2017attention"]
    work.label                   # Vaswani et al. (2017)
    bibliography.link(work, "phase-04-attention/notes/attention.md")

ROADMAP.md alone holds in which phase a paper is read and why; `papers/papers.bib` holds what a
citation needs, and of a paper of the reading list its number there. `papers/README.md` has its
tables from `reading_table` and `other_works`, put there by cog.

Left out: citation styles (there is one), LaTeX in fields beyond braces, dashes and quotes (the file
is in Unicode), and the notes, the PDFs and what was read, which are in `journal.papers`.
"""

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from journal import pages, roadmap
from journal.nearest import nearest, suggestion

FILE = "papers/papers.bib"
PAGE = "papers/README.md"
NOTES = "papers/notes"
REQUIRED = {
    "article": ("author", "title", "journal", "year"),
    "inproceedings": ("author", "title", "booktitle", "year"),
    "incollection": ("author", "title", "booktitle", "publisher", "year"),
    "book": ("author", "title", "publisher", "year"),
    "techreport": ("author", "title", "institution", "year"),
    "phdthesis": ("author", "title", "school", "year"),
    "misc": ("author", "title", "year", "url"),
}
OURS = ("venue", "reading", "annote", "shorttitle", "pdf")  # fields that only this journal has
SMALL_WORDS = {"a", "an", "and", "at", "by", "for", "from", "in", "of", "on", "the", "to", "with"}


@dataclass(frozen=True)
class Name:
    """A person: all given names as printed, and the family name."""

    given: str
    family: str

    def __str__(self) -> str:
        return f"{self.given} {self.family}".strip()


@dataclass(frozen=True)
class Work:
    """One entry: its key, its kind (`article`), its authors in order, its fields as they stand."""

    key: str
    kind: str
    authors: tuple[Name, ...]
    fields: Mapping[str, str]

    @property
    def title(self) -> str:
        return plain(self.fields["title"])

    @property
    def year(self) -> str:
        return self.fields["year"]

    @property
    def reading(self) -> int | None:
        """The number in ROADMAP.md, or None for a work that is not on the reading list."""
        number = self.fields.get("reading")
        return int(number) if number else None

    @property
    def short_title(self) -> str:
        """The title up to its colon, with the name that the paper goes by where it has one."""
        head = self.title.partition(":")[0]
        return f"{head} ({self.fields['shorttitle']})" if "shorttitle" in self.fields else head

    @property
    def page(self) -> str:
        """A public page about it, or else its DOI's; empty where neither is known."""
        doi = self.fields.get("doi", "")
        return self.fields.get("url") or (f"https://doi.org/{doi}" if doi else "")

    @property
    def pdf(self) -> str:
        """The address of a copy that is free to read; empty where none is known."""
        return self.fields.get("pdf", "")

    @property
    def author_list(self) -> str:
        return ", ".join(map(str, self.authors))

    @property
    def label(self) -> str:
        """How a sentence names it: `Ba et al. (2016)`, `Glorot and Bengio (2010)`."""
        families = [name.family for name in self.authors]
        who = f"{families[0]} et al." if len(families) > 2 else " and ".join(families)
        return f"{who} ({self.year})"

    @property
    def venue(self) -> str:
        """Where it appeared, in Markdown: `*Neural Computation* 9(8), 1735–1780`."""
        parts = [part for part in (self._place(), plain(self.fields.get("pages", ""))) if part]
        known = self.fields.get("shorttitle")
        text = ", ".join(parts) + (f" ({known})" if known else "")
        note = plain(self.fields.get("note", ""))
        return f"{text}; {note}" if note else text

    def _place(self) -> str:
        """The journal or the proceedings with volume and number; else the preprint or publisher."""
        fields = self.fields
        number = f"({fields['number']})" if "number" in fields else ""
        volume = f" {fields['volume']}{number}" if "volume" in fields else ""
        if "journal" in fields:
            return f"*{fields.get('venue', plain(fields['journal']))}*{volume}"
        if self.kind == "incollection":
            return f"in *{plain(fields['booktitle'])}*, {fields['publisher']}"
        if "booktitle" in fields:
            place = fields.get("venue", plain(fields["booktitle"]))
            # a volume counts within its series; NeurIPS is its own
            series = f", {fields.get('publisher', '')}" if "series" in fields else ""
            return f"{place}{series}{volume}"
        if "eprint" in fields:
            return f"arXiv:{fields['eprint']}"
        where = ("institution", "school", "publisher", "howpublished")
        return next((plain(fields[name]) for name in where if name in fields), "")


def plain(text: str) -> str:
    """The text of a BibTeX field: without braces, with real dashes and straight quotes."""
    text = re.sub(r"[{}]", "", text)
    return text.replace("---", "—").replace("--", "–").replace("``", '"').replace("''", '"')


# ---- reading the file --------------------------------------------------------------------


def load(root: Path) -> dict[str, Work]:
    """Every work of `papers/papers.bib` by key, in the order of the file."""
    file = root / FILE
    if not file.is_file():
        raise ValueError(f"there is no {FILE} in {root}: run this in a checkout of the journal")
    return parse(file.read_text(encoding="utf-8"))


def parse(text: str) -> dict[str, Work]:
    """The works of a BibTeX text; ValueError names the entry and what is wrong with it."""
    from pybtex.database import parse_string  # here: most commands need no bibliography
    from pybtex.exceptions import PybtexError

    try:
        entries = parse_string(text, "bibtex").entries
    except PybtexError as error:
        raise ValueError(f"{FILE} is no good BibTeX: {error}") from None
    works = {}
    for key, entry in entries.items():
        fields = {role: " and ".join(map(str, names)) for role, names in entry.persons.items()}
        fields |= {name.lower(): value for name, value in entry.fields.items()}
        authors = tuple(_name(person) for person in entry.persons.get("author", ()))
        works[key] = Work(key, entry.type.lower(), authors, fields)
        _check(works[key])
    seen: dict[int, str] = {}
    for work in works.values():
        if work.reading is not None and seen.setdefault(work.reading, work.key) != work.key:
            both = f"{seen[work.reading]} and {work.key}"
            raise ValueError(f"{FILE}: {both} both say `reading = {{{work.reading}}}`")
    return works


def _name(person) -> Name:
    given = (*person.first_names, *person.middle_names)
    family = (*person.prelast_names, *person.last_names, *person.lineage_names)
    return Name(plain(" ".join(given)), plain(" ".join(family)))


def _check(work: Work) -> None:
    """ValueError unless the entry has what its kind needs, and its numbers are numbers."""
    where = f"{FILE}, entry {work.key}:"
    if work.kind not in REQUIRED:
        raise ValueError(f"{where} @{work.kind} is not known; {suggestion(work.kind, REQUIRED)}")
    lacking = [name for name in REQUIRED[work.kind] if not work.fields.get(name)]
    if lacking:
        raise ValueError(f"{where} @{work.kind} needs {', '.join(lacking)}")
    for name, grammar in (("year", r"\d{4}"), ("reading", r"[1-9]\d*")):
        if name in work.fields and not re.fullmatch(grammar, work.fields[name]):
            raise ValueError(f"{where} {name} is a number, not {work.fields[name]!r}")


# ---- finding one -------------------------------------------------------------------------


def find(works: Mapping[str, Work], asked: str) -> Work:
    """The work of this key, number or title, or the only one in which all these words begin a word.

    Words are looked for in keys, titles, names and years, without regard to case and accents.
    ValueError lists several that fit, or names the nearest where none does.
    """
    asked = asked.strip()
    for work in works.values():
        if asked == work.key or (asked.isdecimal() and work.reading == int(asked)):
            return work
    if asked.isdecimal() and len(asked) < 4:
        last = max((work.reading or 0 for work in works.values()), default=0)
        raise ValueError(f"there is no paper {asked}; they are numbered from 1 to {last}")
    titles = {title: work for work in works.values() for title in _titles(work)}
    if _folded(asked) in titles:
        return titles[_folded(asked)]
    words = re.findall(r"\w+", _folded(asked))
    fitting = [work for work in works.values() if words and _has_words(work, words)]
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        keys = ", ".join(work.key for work in fitting[:8])
        more = f" and {len(fitting) - 8} more" if len(fitting) > 8 else ""
        raise ValueError(f"{len(fitting)} papers fit {asked!r}: {keys}{more}; give the key of one")
    names = {**titles, **works}
    near = [names[name].key for name in nearest(_folded(asked), names)]
    hint = f"did you mean {' or '.join(dict.fromkeys(near))}?" if near else ""
    raise ValueError(f"there is no paper {asked!r}; {hint or '`uv run journal papers` lists them'}")


def _titles(work: Work) -> list[str]:
    names = (work.title, work.title.partition(":")[0], work.fields.get("shorttitle", ""))
    return [_folded(name) for name in names if name]


def _has_words(work: Work, words: Iterable[str]) -> bool:
    known = work.fields.get("shorttitle", "")
    text = _folded(f"{work.key} {work.title} {known} {work.author_list} {work.year}")
    has = re.findall(r"\w+", text)
    return all(any(word.startswith(asked) for word in has) for asked in words)


def _folded(text: str) -> str:
    """Lower case ASCII: `Łukasz` and `Schütze` are found by `lukasz` and `schutze`."""
    text = unicodedata.normalize("NFKD", text.replace("ł", "l").replace("Ł", "L"))
    return "".join(sign for sign in text if not unicodedata.combining(sign)).casefold()


def key_of(work: Work) -> str:
    """The key by the rule: family name, year, first word of the title that says something."""
    family = re.sub(r"[^a-z]", "", _folded(work.authors[0].family))
    words = re.findall(r"[a-z]+", _folded(work.title))
    return family + work.year + next(word for word in words if word not in SMALL_WORDS)


# ---- the notes ---------------------------------------------------------------------------


def notes(root: Path, works: Mapping[str, Work]) -> dict[str, Path]:
    """The paper notes that are there, by the key of their paper.

    A note belongs to the paper of its front matter's `number`, as `journal.evidence` has it, or
    where it has none to that of its `bibkey`. ValueError where the two, or two notes, disagree, and
    where a note cannot be read.
    """
    numbered = {str(work.reading): work.key for work in works.values() if work.reading}
    found: dict[str, Path] = {}
    for note in sorted((root / NOTES).glob("*.md")):
        name = f"{NOTES}/{note.name}"
        try:
            front, _, _ = pages.front_matter(note.read_text(encoding="utf-8-sig"))
        except ValueError as error:
            raise ValueError(f"{name} cannot be read: {error}") from None
        number, key = (str(front.get(field) or "") for field in ("number", "bibkey"))
        if not number and not key:
            continue  # a page about the notes
        if number and number not in numbered:
            raise ValueError(f"{name} has `number: {number}`, which no paper of {FILE} has")
        of = numbered[number] if number else key
        if of not in works or (key and key != of):
            known = [of] if number else works
            raise ValueError(f"{name} has `bibkey: {key}`; {suggestion(key, known)}")
        if of in found:
            raise ValueError(f"{NOTES}/{found[of].name} and {name} are both on {of}; keep one")
        found[of] = note
    return found


# ---- citing ------------------------------------------------------------------------------


def link(work: Work, page: str = "phase-NN-name/notes/note.md") -> str:
    """The Markdown link by which `page` (its name from the root) cites a work."""
    here, there = PurePosixPath(page).parent.parts, PurePosixPath(PAGE).parts
    shared = 0
    while shared < min(len(here), len(there) - 1) and here[shared] == there[shared]:
        shared += 1
    target = "/".join([".."] * (len(here) - shared) + list(there[shared:]))
    return f"[{work.label}]({'' if page == PAGE else target}#{work.key})"


def bibtex(work: Work) -> str:
    """The entry as BibTeX, without the fields that only this journal understands."""
    kept = {name: value for name, value in work.fields.items() if name not in OURS}
    lines = [f"  {name} = {{{value}}}," for name, value in kept.items()]
    return "\n".join([f"@{work.kind}{{{work.key},", *lines, "}"])


# ---- the tables of papers/README.md ------------------------------------------------------


def reading_table(first: int, last: int, root: Path | None = None) -> str:
    """The papers from number `first` to `last` as a Markdown table, with an anchor in each row."""
    from journal import numbers  # here, since it needs cog, which only those who write have

    root = root or roadmap.find_root()
    phases = {paper.number: paper.phases for paper in roadmap.load(root).papers}
    works = load(root)
    found = notes(root, works)
    rows = []
    for work in _between(works, first, last):
        rows.append(
            (
                f'<a id="{work.key}"></a>{work.reading}',
                work.author_list,
                f"[{work.title}]({work.page})",
                work.year,
                work.venue,
                ", ".join(map(str, phases[work.reading or 0])),
                f"[note](notes/{found[work.key].name})" if work.key in found else "to come",
            )
        )
    return numbers.table(rows, ("#", "Authors", "Title", "Year", "Venue", "Phase", "Note"))


def _between(works: Mapping[str, Work], first: int, last: int) -> Iterator[Work]:
    by_number = {work.reading: work for work in works.values()}
    for number in range(first, last + 1):
        if number not in by_number:
            raise ValueError(f"{FILE} has no entry with `reading = {{{number}}}`")
        yield by_number[number]


def other_works(root: Path | None = None) -> str:
    """The works outside the reading list as a Markdown list, with an anchor in each line."""
    works = load(root or roadmap.find_root()).values()
    others = sorted((w for w in works if w.reading is None), key=lambda work: work.key)
    return "\n".join(f'- <a id="{work.key}"></a>{_sentence(work)}' for work in others)


def _sentence(work: Work) -> str:
    title = f"[{work.title}]({work.page})" if work.page else work.title
    if work.kind == "book":
        cited = f"{work.author_list} ({work.year}), *{title}*"
    else:
        cited = f'{work.author_list} ({work.year}), "{title}"'
    remark = plain(work.fields.get("annote", ""))
    return " ".join(filter(None, (f"{', '.join(filter(None, (cited, work.venue)))}.", remark)))
