"""Printed output against the page: text and counts exactly, other numbers to a thousandth."""

import pytest

from journal.printed import differences


@pytest.mark.parametrize(
    ("page", "printed"),
    [
        ("", ""),
        ("loss 2.3026\n", "loss 2.3027\n\n"),
        ("loss 1.00000", "loss 1.00099"),
        ("[0.665 0.245 0.09 ]", "[0.66499  0.24501 0.090001]"),
        ("[[ 1. -2.]\n [-0.5 3.]]", "[[ 1.    -2.   ]\n [-0.4999  3.    ]]"),
        ("0.0 and 0.", "0.0009 and -0.001"),
        ("error 1.93e-10", "error 1.9301E-10"),
        ("tensor(.5)", "tensor(0.5001)"),
        ("1,344.00 times", "1,345.00 times"),
        ("−1.5 nats", "-1.5001 nats"),
        ("wait 2.000s", "wait 2.001s"),
        ("2026-03-01 nan inf", "2026-03-01 nan inf"),
        ("trailing  ", "trailing"),
        ("5", "5.0001"),
    ],
)
def test_outputs_agree(page, printed):
    assert differences(page, printed) == []


@pytest.mark.parametrize(
    ("page", "printed", "says"),
    [
        ("loss 2.3026", "loss 2.3126", "line 1: the page says 2.3026, printed was 2.3126"),
        ("a\nb 1.5 2.5 3.5", "a\nb 1.5 2.6 3.6", "line 2: the page says 2.5, printed was 2.6"),
        ("x 0.5", "x -0.5", "the page says 0.5, printed was -0.5"),
        ("0.0", "0.0011", "the page says 0.0, printed was 0.0011"),
        ("1e-12", "0.0", "the page says 1e-12, printed was 0.0"),
        ("124,439,808", "124,439,809", "the page says 124,439,808, printed was 124,439,809"),
        ("(1000, 7)", "(1001, 7)", "the page says 1000, printed was 1001"),
        ("loss 2.3", "Loss 2.3", "line 1: the page says 'loss 2.3', printed was 'Loss 2.3'"),
        ("two  words", "two words", "the page says 'two  words'"),
        ("nan", "0.5", "the page says 'nan', printed was '0.5'"),
        ("torch 2.13.0", "torch 2.13.1", "the page says 'torch 2.13.0'"),
        ("0x1f", "0x1e", "the page says '0x1f'"),
        ("x2", "x3", "the page says 'x2'"),
        ("a\nb", "a", "line 2: 'b' was not printed"),
        ("a", "a\nb", "line 2: 'b' was printed and is missing here"),
        ("", "b", "line 1: 'b' was printed and is missing here"),
        ("  indented", "indented", "the page says '  indented'"),
        ("1 2", "1 2 3", "the page says '1 2', printed was '1 2 3'"),
    ],
)
def test_difference_is_named(page, printed, says):
    found = differences(page, printed)
    assert len(found) == 1
    assert says in found[0]


def test_every_line_that_differs_is_named_by_the_number_that_it_has_on_the_page():
    found = differences("1\n2\n3\n", "0\n2\n4\n", first_line=17)
    assert [complaint.partition(":")[0] for complaint in found] == ["line 17", "line 19"]


def test_long_line_is_shortened():
    (found,) = differences("x" * 500, "y")
    assert len(found) < 200
