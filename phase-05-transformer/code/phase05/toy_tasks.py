"""Three tasks small enough for a transformer in NumPy: copying, reversing, digits to words.

    copy      3 1 4   ->   3 1 4 <END>
    reverse   3 1 4   ->   4 1 3 <END>
    words     3 1 4   ->   three hundred fourteen <END>

The source is one symbol for each digit, with the digit itself as its id. The target of the first
two is digits too, and that of the third is whole words, each of them one symbol (word level):

    copy, reverse   0 to 9 are the digits, 10 is <START>, 11 is <END>: as in phase 2
    words           0 to 29 are NUMBER_WORDS (zero to nineteen, the tens, hundred, thousand),
                    30 is <START>, 31 is <END>

Copying needs attention to the same place, reversing to the mirrored one. For words the place is not
enough: 4 is "four", "forty", "four hundred" or a part of "fourteen", by where it stands and by what
stands beside it, and the answer has another length than the source.

One sequence in ten is held out, by a rule that looks at the sequence alone (`is_held_out`). A
training batch can never contain what a test batch contains, whatever the seeds.

Left out: negative numbers, ordinals, "and" and the hyphen of twenty-one, which is two symbols here.

Shapes: B batch, S time of the source, T time of the target.
"""

import zlib
from collections.abc import Sequence

import numpy as np

from phase02.seq2seq import N_DIGITS, Batch, padded

TASKS = ("copy", "reverse", "words")
DIGITS = tuple("0123456789")
NUMBER_WORDS = (
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"),
    *("ten", "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen"),
    *("eighteen", "nineteen"),
    *("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"),
    *("hundred", "thousand"),
)
START_WORD, END_WORD = "<START>", "<END>"
MAX_NUMBER = 999_999  # the largest that these words can say
MAX_WORDS_LENGTH = len(str(MAX_NUMBER))
HELD_OUT_ONE_IN = 10


def target_symbols(task: str) -> tuple[str, ...]:
    """What the target's ids stand for; <START> and <END> are the last two.

    Raises ValueError, with the names of the three, for a task that is none of them.
    """
    _check_task(task)
    return (*(NUMBER_WORDS if task == "words" else DIGITS), START_WORD, END_WORD)


def number_words(number: int) -> list[str]:
    """A number in words as Americans say it, 407 -> four hundred seven; tens and ones apart.

    Raises ValueError unless it is from 0 to 999,999.
    """
    if not 0 <= number <= MAX_NUMBER:
        raise ValueError(f"numbers in words go from 0 to {MAX_NUMBER:,}, got {number}")
    thousands, rest = divmod(number, 1000)
    if thousands:
        return [*number_words(thousands), "thousand", *(number_words(rest) if rest else [])]
    hundreds, rest = divmod(number, 100)
    if hundreds:
        return [NUMBER_WORDS[hundreds], "hundred", *(number_words(rest) if rest else [])]
    tens, ones = divmod(number, 10)
    if tens < 2:
        return [NUMBER_WORDS[number]]
    return [NUMBER_WORDS[18 + tens], *([NUMBER_WORDS[ones]] if ones else [])]


def answer(task: str, source: Sequence[int]) -> list[int]:
    """The ids that are to be written for these digits, <END> included.

    Raises ValueError for a task that is none of the three, and where the digits of "words" are no
    number: none at all, more than six, or a zero in front of others.
    """
    symbols = target_symbols(task)
    end = len(symbols) - 1
    if task == "copy":
        return [*source, end]
    if task == "reverse":
        return [*source[::-1], end]
    if not 1 <= len(source) <= MAX_WORDS_LENGTH or (len(source) > 1 and source[0] == 0):
        raise ValueError(
            f"a number has 1 to {MAX_WORDS_LENGTH} digits and no zero in front, got {list(source)}"
        )
    words = number_words(int("".join(map(str, source))))
    return [*(symbols.index(word) for word in words), end]


def is_held_out(source: Sequence[int]) -> bool:
    """Whether a sequence is kept for the test: crc32 of its digits, a byte each, divisible by 10.

    A checksum and no draw: a sequence is on one side for good, in every run and for every seed.
    """
    return zlib.crc32(bytes(source)) % HELD_OUT_ONE_IN == 0


def task_batch(
    task: str,
    rng: np.random.Generator,
    n_batch: int,
    min_length: int,
    max_length: int,
    held_out: bool = False,
) -> Batch:
    """Random sequences of a task, each of a random length between the two (both included).

    All of them are held out, or none is. The first digit of a number is not 0 unless it is its only
    one. Raises ValueError for a task that is none of the three, for `n_batch` below 1, unless
    1 <= min_length <= max_length, for numbers of more than six digits, and where so few sequences
    are that short that none is held out (or none is left).
    """
    _check_lengths(task, n_batch, min_length, max_length)
    sources: list[list[int]] = []
    for _ in range(1000 * n_batch):
        length = int(rng.integers(min_length, max_length, endpoint=True))
        source = rng.integers(0, N_DIGITS, length)  # (S,)
        if task == "words" and length > 1:
            source[0] = rng.integers(1, N_DIGITS)
        if is_held_out(digits := source.tolist()) == held_out:
            sources.append(digits)
        if len(sources) == n_batch:
            return Batch(*padded(sources), *padded([answer(task, digits) for digits in sources]))
    raise ValueError(
        f"sequences of {min_length} to {max_length} digits are too few to find {n_batch} with "
        f"held_out {held_out}: take longer ones"
    )


def _check_task(task: str) -> None:
    if task not in TASKS:
        raise ValueError(f"a task is one of {', '.join(TASKS)}, not {task!r}")


def _check_lengths(task: str, n_batch: int, min_length: int, max_length: int) -> None:
    _check_task(task)
    if n_batch < 1:
        raise ValueError(f"a batch has 1 sequence or more, not {n_batch}")
    if not 1 <= min_length <= max_length:
        raise ValueError(f"lengths go from 1 upwards, got {min_length} to {max_length}")
    if task == "words" and max_length > MAX_WORDS_LENGTH:
        raise ValueError(
            f"numbers in words have at most {MAX_WORDS_LENGTH} digits, not {max_length}"
        )
