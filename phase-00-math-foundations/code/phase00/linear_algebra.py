"""Vectors and matrices as plain Python lists, every index written by hand.

A vector is a list of numbers, a matrix a list of rows of one length:

    dot(a, b)                 sum over i of a[i] b[i]
    norm(a, p)                (sum over i of |a[i]|^p)^(1/p), the largest |a[i]| for p = inf
    cosine_similarity(a, b)   dot(a, b) / (norm(a) norm(b))
    transpose(a)              c[j][i] = a[i][j]
    matvec(a, x)              y[i]    = sum over j of a[i][j] x[j]
    matmul(a, b)              c[i][j] = sum over k of a[i][k] b[k][j]

Shapes are written as NumPy writes them: a vector of three numbers has the shape (3,), a matrix of
two rows and four columns the shape (2, 4). Every function returns new lists and leaves its
arguments as they are.

What is refused, always with a ValueError:

- two arguments that do not fit: the message names both shapes;
- a matrix whose rows differ in length: the message names the first row that differs from row 0;
- then, a matrix without rows or columns: the message names its shape, (0, 0) for `[]` and (2, 0)
  for `[[], []]`. (`[]` cannot say how many columns it has, so nothing that is done with it has a
  definite shape. An empty vector is no problem.)

Left out: speed, which is what `linear_algebra_numpy` adds; arrays of more than two axes; and
numbers so large or small that their powers leave the range of a float (about 1e154 for p = 2).
"""

import math

Vector = list[float]
Matrix = list[list[float]]


def dot(a: Vector, b: Vector) -> float:
    """The dot product of two vectors, sum over i of a[i] b[i]; 0.0 for two empty ones.

    Raises ValueError, naming both shapes, where the lengths differ.
    """
    if len(a) != len(b):
        raise ValueError(
            f"dot needs two vectors of one length, not the shapes ({len(a)},) and ({len(b)},)"
        )
    total = 0.0
    for i in range(len(a)):
        total += a[i] * b[i]
    return total


def norm(a: Vector, p: float = 2.0) -> float:
    """The p-norm of a vector, (sum over i of |a[i]|^p)^(1/p); 0.0 for an empty one.

    p = 2 is the length that a ruler measures, p = 1 the way through a city of straight streets;
    `math.inf` gives the largest |a[i]|, to which the formula tends. Raises ValueError, naming p,
    where p is below 1 (or NaN): a detour would be shorter than the straight way.
    """
    if not p >= 1:
        raise ValueError(f"norm needs a p of 1 or more (math.inf is one), not {p}")
    if p == math.inf:
        largest = 0.0
        for value in a:
            largest = max(largest, abs(value))
        return largest
    total = 0.0
    for value in a:
        total += abs(value) ** p
    return total ** (1 / p)


def cosine_similarity(a: Vector, b: Vector) -> float:
    """The cosine of the angle between two vectors, dot(a, b) / (norm(a) norm(b)): from -1 to 1.

    Raises ValueError, naming both shapes, where the lengths differ; and for a zero vector (or an
    empty one), which points nowhere: the message says whether it is the first or the second.
    """
    product = dot(a, b)
    length_a, length_b = norm(a), norm(b)
    if length_a == 0 or length_b == 0:
        raise ValueError(
            "cosine_similarity needs two vectors with a direction, but "
            f"the {'first' if length_a == 0 else 'second'} is the zero vector"
        )
    return product / (length_a * length_b)


def transpose(a: Matrix) -> Matrix:
    """Rows become columns: (m, n) to (n, m), c[j][i] = a[i][j].

    Raises ValueError for rows of different lengths and for a matrix without rows or columns.
    """
    m, n = _shape(a)
    return [[a[i][j] for i in range(m)] for j in range(n)]


def matvec(a: Matrix, x: Vector) -> Vector:
    """Matrix times vector, (m, n) and (n,) to (m,): the dot product of every row of `a` with `x`.

    Raises ValueError, naming both shapes, where `a` has not as many columns as `x` has numbers; and
    for rows of different lengths and a matrix without rows or columns.
    """
    m, n = _shape(a)
    if n != len(x):
        raise ValueError(
            f"matvec needs shapes (m, n) and (n,), not ({m}, {n}) and ({len(x)},): "
            f"{n} columns do not fit {len(x)} numbers"
        )
    return [dot(row, x) for row in a]


def matmul(a: Matrix, b: Matrix) -> Matrix:
    """Matrix times matrix, (m, n) and (n, p) to (m, p): every row of `a` with every column of `b`.

    c[i][j] = sum over k of a[i][k] b[k][j]. Raises ValueError, naming both shapes, where `a` has
    not as many columns as `b` has rows; and for rows of different lengths and a matrix without rows
    or columns.
    """
    m, n = _shape(a)
    rows, p = _shape(b)
    if n != rows:
        raise ValueError(
            f"matmul needs shapes (m, n) and (n, p), not ({m}, {n}) and ({rows}, {p}): "
            f"{n} columns do not fit {rows} rows"
        )
    c = []
    for i in range(m):
        row = []
        for j in range(p):
            total = 0.0
            for k in range(n):
                total += a[i][k] * b[k][j]
            row.append(total)
        c.append(row)
    return c


def _shape(a: Matrix) -> tuple[int, int]:
    """(rows, columns) of a matrix; a ValueError where it has none, or rows of several lengths."""
    columns = len(a[0]) if a else 0
    for i, row in enumerate(a):
        if len(row) != columns:
            raise ValueError(
                f"a matrix needs rows of one length, but row 0 has the shape ({columns},) "
                f"and row {i} the shape ({len(row)},)"
            )
    if columns == 0:
        raise ValueError(
            f"a matrix needs at least one row and one column, not the shape ({len(a)}, 0)"
        )
    return len(a), columns
