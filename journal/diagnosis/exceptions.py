"""What mostly lies behind an exception that arises in the middle of arrays and lists.

Left out: exceptions that say so themselves, such as an unknown name.
"""

EXCEPTIONS = {  # what stands in an exception's text, and what mostly brings it about
    "operands could not be broadcast": "lengths that do not line up: a reduction without "
    "keepdims=True, a missing [:, None], or a transpose too few or too many",
    "mismatch in its core dimension": "the inner lengths of a matrix product differ: a transpose "
    "too few or too many, or the factors in the wrong order",
    "index out of range": "a loop that goes on longer than the list, as over the wrong length",
    "out of bounds for axis": "a loop that goes on longer than the axis, as over the wrong length",
    "overflow encountered in exp": "exp of a large number: subtract the maximum first",
    "divide by zero encountered in log": "the logarithm of 0, or of what was rounded to 0 before",
    "invalid value encountered in log": "the logarithm of a number below 0",
    "invalid value encountered in sqrt": "the root of a number below 0, as a difference that "
    "should be 0 can be after rounding",
    "'NoneType'": "a function that returns nothing: a return is missing, on some path at least",
}


def behind(exception: str) -> list[str]:
    """What may be behind an exception with this text, where it is one of the known ones."""
    return [cause for text, cause in EXCEPTIONS.items() if text in exception][:1]
