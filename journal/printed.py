"""What a block printed against what the page says that it printed.

Text must agree exactly. A number with a point or an exponent may differ by a thousandth of its
value, since processors differ in the last digits (where the page says 0, by a thousandth). A whole
number is a count, and a count that is off by one is wrong, so those agree exactly too. Blanks at
the end of a line do not count, nor does how many there are beside a number: NumPy lines columns up,
and one more digit moves them all. A number that belongs to a word or a version (`x2`, `3.11.2`) is
text.
"""

import re
from collections.abc import Iterator

RELATIVE = 1e-3  # of the number on the page
AROUND_ZERO = 1e-3
SHOWN = 100  # characters of a line in a complaint
NUMBER = re.compile(
    r"(?<![\w.])([-+−]?(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)?(?:(?<=\d)\.\d*|\.\d+)?(?<=[\d.])"
    r"(?:[eE][-+]?\d+)?)(?!\d|\.\d)"
)


def differences(expected: str, got: str, *, first_line: int = 1) -> list[str]:
    """What differs, a sentence for each line that does; empty where the two agree.

    `first_line` is the number that the first line of `expected` has for the reader.
    """
    wanted, printed = _lines(expected), _lines(got)
    found = []
    for at, (want, line) in enumerate(zip(wanted, printed, strict=False), first_line):
        found += [f"line {at}: {fault}" for fault in _faults(want, line)][:1]
    if len(wanted) > len(printed):
        missing = wanted[len(printed)]
        at = first_line + len(printed)
        found.append(f"line {at}: {_short(missing)} was not printed; the output ended before")
    elif len(printed) > len(wanted):
        more = printed[len(wanted)]
        at = first_line + len(wanted)
        found.append(f"line {at}: {_short(more)} was printed and is missing here")
    return found


def _lines(text: str) -> list[str]:
    lines = [line.rstrip() for line in text.splitlines()]
    while lines and not lines[-1]:
        lines.pop()
    return lines


def _faults(want: str, line: str) -> Iterator[str]:
    """How one printed line differs from the one on the page."""
    if want == line:
        return
    ours, theirs = NUMBER.split(want), NUMBER.split(line)
    if _words(ours) != _words(theirs):
        yield f"the page says {_short(want)}, printed was {_short(line)}"
        return
    for left, right in zip(ours[1::2], theirs[1::2], strict=True):
        if not _close(left, right):
            yield f"the page says {left}, printed was {right}, in {_short(line)}"


def _words(parts: list[str]) -> list[str]:
    """The text between the numbers, without the blanks that touch a number."""
    words = list(parts[::2])
    for at in range(len(words)):
        words[at] = words[at].rstrip() if at < len(words) - 1 else words[at]
        words[at] = words[at].lstrip() if at else words[at]
    return words


def _close(want: str, got: str) -> bool:
    if not re.search(r"[.eE]", want + got):
        return _value(want) == _value(got)
    target, value = float(_value(want)), float(_value(got))
    return abs(value - target) <= (RELATIVE * abs(target) if target else AROUND_ZERO)


def _value(number: str) -> float | int:
    plain = number.replace(",", "").replace("−", "-")
    return float(plain) if re.search(r"[.eE]", plain) else int(plain)


def _short(line: str) -> str:
    return repr(line if len(line) <= SHOWN else line[: SHOWN - 3] + "...")
