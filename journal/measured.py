"""Measured numbers in prose come from `results/` by cog; one typed by hand is found here.

What is found is a number beside a unit or a word of measuring: seconds, megabytes, tokens a second,
"12 times as fast", a share of accuracy, the loss or perplexity of a validation set. Worked examples
are left alone: a probability, a loss in nats that a block computes, the size of an array, a year.
Code, formulas and what cog wrote are not looked at, nor are paper notes, whose figures are the
paper's.

A figure that must be typed by hand has its reason in a comment directly before its paragraph or
table: `<!-- by hand: the paper's table 2 -->`.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from journal import pages
from journal.pages import Block, Page

PAGES = re.compile(r"README\.md|phase-\d\d-[^/]+/(README\.md|(notes|blog|results|code)/.*)")
BY_HAND = re.compile(r"by hand\b:?(.*)", re.DOTALL)

NUMBER = r"(?<![\w.,])[~≈]?\d[\d.,]*(?:e[-+]?\d+)?"
WORD = (
    r"\b(?i:half an?|an?|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|fifteen|"
    r"twenty|thirty|forty|fifty|sixty|ninety|hundreds?|a hundred|thousands?|a thousand)"
)
COUNT = rf"(?:{NUMBER}|{WORD})"
TIME = r"(?:[nµμmu]?s|secs?|min|h|(?:nano|micro|milli)?seconds?|minutes?|hours?)"
BYTES = r"(?:[kKMGT]i?B|(?:kilo|mega|giga|tera)bytes?)"
GAP = r"[\s\u00a0\u202f-]*"
FAST = r"(?:fast|faster|quick|quicker|slow|slower|speed)"
MEASURED = [
    # "1990s" is a decade. Number words count only beside whole words: "two seconds", not "a min".
    rf"(?!(?:1\d|20)\d0s\b){NUMBER}{GAP}{TIME}\b",
    rf"{WORD}\s(?:milli)?(?:seconds|minutes|hours)\b|\bhalf an? (?:second|minute|hour)\b",
    rf"{NUMBER}{GAP}{BYTES}\b",
    rf"{NUMBER}{GAP}[kKMGTP]?FLOPS?\b(?:/s)?",
    rf"{NUMBER}{GAP}(?:[kKMBGT]|thousand|million|billion)?\s?(?:tokens|characters|words|steps|it|iterations|"
    rf"samples|examples|images|requests|batches)\s?(?:/|per |an? |each |every )\s?(?:s|second|"
    rf"minute|min|hour|h)\b",
    rf"(?:{COUNT}{GAP}(?:times|fold|x|×)|\b[Tt]wice)\s+(?:as\s+)?{FAST}\b",
    rf"(?:{NUMBER}\s?(?:%|percent|per cent))\s+(?:as\s+)?{FAST}\b",
    rf"(?:{COUNT}{GAP}(?:times|x|×)|\btwice)\s+(?:as much|less|more)\s+(?:memory|time)\b",
    rf"\b(?:takes?|took|runs?|ran)\b[^.;]{{0,40}}?(?:{COUNT}\stimes|twice)\s+(?:as\s+long|longer)\b",
    rf"\b(?:takes?|took|ran|trained)\s(?:[a-z]+\s)?{COUNT}{GAP}(?:days|weeks)\b",
    rf"\bspeed-?ups?\sof\s(?:about\s|nearly\s)?{NUMBER}",
    rf"\baccuracy\s(?:of|is|was|at|to)\s(?:about\s|nearly\s)?{NUMBER}|{NUMBER}\sBLEU\b",
]
FOUND = re.compile("|".join(f"(?:{pattern})" for pattern in MEASURED))
SHARE = re.compile(rf"{NUMBER}\s?(?:%|percent\b|per cent\b)")
OF_QUALITY = re.compile(r"\b(accura(?:cy|te)|error rate|utili[sz]ation|speed-?up|MFU)\b", re.I)
LOSS = re.compile(r"\b(?:loss|perplexity|error|accuracy|BLEU|bits per (?:byte|character))\b", re.I)
OF_A_RUN = re.compile(
    r"\b(?:validation|held[- ]out|unseen|epochs?|train(?:ed|ing|s)|"
    r"test (?:set|loss|accuracy|error))\b",
    re.I,
)
RESULT = re.compile(
    rf"(?<![\w.])\d+\.\d+\b|"
    rf"\b(?:loss|perplexity|accuracy|error|BLEU)\s(?:(?:of|is|was|at|to|near|about|around|below|"
    rf"above|under|over)\s)+{NUMBER}",
    re.I,
)
SENTENCE = re.compile(r"(?<=[.!?;:])\s+(?=[A-Z(])")
CELL = re.compile(r" \| |\n")
HEADER = re.compile(
    rf"^(?:.*[\s(,])?(?:{TIME}|{BYTES}|\S+/s|FLOPS?|accuracy|perplexity|times as {FAST})\)?$", re.I
)
ADVICE = "let cog write it from results/, or say `<!-- by hand: why -->` on the line before"


def measured_numbers_come_from_results(root: Path) -> Iterator[str]:
    """No measured number is typed by hand without a reason."""
    for page in pages.readable(root, [*pages.prose(root), *pages.notebooks(root)]):
        if PAGES.fullmatch(page.name):
            yield from typed_by_hand(page)


def typed_by_hand(page: Page) -> Iterator[str]:
    """The measured numbers of a page that nobody has accounted for."""
    before: Block | None = None
    for block in page.blocks:
        excused = False
        if before is not None and before.kind == "comment":
            reason = BY_HAND.match(before.text)
            excused = reason is not None
            if reason is not None and not reason[1].strip():
                say = "the comment `by hand` gives no reason; write `<!-- by hand: why -->`"
                yield f"{page.name}:{before.line}: {say}"
        if block.kind in ("text", "heading", "table", "html") and not (block.made or excused):
            for line, figure in _figures(block):
                yield f"{page.name}:{line}: {figure!r} is measured and typed by hand; {ADVICE}"
        before = block


def _figures(block: Block) -> Iterator[tuple[int, str]]:
    """The measured numbers of a block, each with its line."""
    seen: set[int] = set()
    if block.kind == "table":
        for line, figure in _in_columns(block):
            seen.add(line)
            yield line, figure
    for start, sentence in _sentences(block.text, CELL if block.kind == "table" else SENTENCE):
        for at, figure in _in_sentence(sentence):
            line = block.line + block.text.count("\n", 0, start + at)
            line += block.kind == "table" and line > block.line  # the rule below the header
            if line not in seen:
                seen.add(line)
                yield line, " ".join(figure.split())


def _sentences(text: str, between: re.Pattern[str]) -> Iterator[tuple[int, str]]:
    start = 0
    for border in between.finditer(text):
        yield start, text[start : border.start()]
        start = border.end()
    yield start, text[start:]


def _in_sentence(sentence: str) -> Iterator[tuple[int, str]]:
    for found in FOUND.finditer(sentence):
        yield found.start(), found[0]
    if OF_QUALITY.search(sentence):
        for found in SHARE.finditer(sentence):
            yield found.start(), found[0]
    if LOSS.search(sentence) and OF_A_RUN.search(sentence):
        for found in RESULT.finditer(sentence):
            yield found.start(), found[0]


def _in_columns(block: Block) -> Iterator[tuple[int, str]]:
    """Numbers in a column whose header names a unit of measuring."""
    header, *rows = [row.split(" | ") for row in block.text.split("\n")]
    for below, row in enumerate(rows, 2):
        for name, cell in zip(header, row, strict=False):
            if HEADER.match(name.strip()) and re.search(r"\d", cell):
                yield block.line + below, f"{name.strip()}: {cell.strip()}"
