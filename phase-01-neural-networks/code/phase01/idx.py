"""The idx format, in which MNIST is published, read with plain Python and NumPy.

A file holds one array, big-endian throughout:

    bytes      content
    0, 1       0
    2          the type of the elements: 8 is uint8, 9 int8, 11 int16, 12 int32, 13 float32,
               14 float64
    3          the number n of dimensions
    4 n        the size of each dimension, as 32-bit integers
    the rest   the elements, the last dimension running fastest

So MNIST's training images begin with 0 0 8 3 (hence "idx3-ubyte") and the sizes 60000, 28 and 28.
The format is described on MNIST's own page (http://yann.lecun.com/exdb/mnist/).

A file may be packed by gzip, which is seen by its first two bytes and not by its name. Nothing is
taken on trust: sizes are checked against the bytes that are there, and every damage is a ValueError
that names the file.

Left out: writing. Shape letters: N images, H and W height and width.
"""

import gzip
import math
import zlib
from pathlib import Path

import numpy as np
from jaxtyping import Shaped, UInt8

TYPES = {
    8: np.dtype(">u1"),
    9: np.dtype(">i1"),
    11: np.dtype(">i2"),
    12: np.dtype(">i4"),
    13: np.dtype(">f4"),
    14: np.dtype(">f8"),
}
GZIP = b"\x1f\x8b"  # how every gzip file begins
PREFIXES = {"train": "train", "test": "t10k"}  # of the names of MNIST's files


def idx_from_bytes(content: bytes, name: str = "the idx data") -> Shaped[np.ndarray, "..."]:
    """The array in the bytes of an idx file, unpacked first if they are gzip's.

    It is a new array in this machine's byte order. `name` stands in messages. Raises ValueError
    where the bytes are not idx, and where they are not all of it, or more: then the message says
    how many there are, and how many there should be (of a header that is cut short: in the header).
    """
    content = _unpacked(content, name)
    dtype, sizes = _header(content, name)
    start = 4 + 4 * len(sizes)
    expected = start + dtype.itemsize * math.prod(sizes)  # of Python's integers: no overflow
    if len(content) != expected:
        what = "was cut short" if len(content) < expected else "has bytes after its end"
        raise ValueError(
            f"{name} {what}: {_text(sizes)} elements of {dtype.itemsize} bytes and the header make "
            f"{expected} bytes, but there are {len(content)}; put a good copy in its place"
        )
    elements = np.frombuffer(content, dtype=dtype, offset=start).reshape(sizes)
    return elements.astype(dtype.newbyteorder("="))


def read_idx(path: Path) -> Shaped[np.ndarray, "..."]:
    """The array in an idx file, plain or packed by gzip; otherwise as `idx_from_bytes`."""
    return idx_from_bytes(Path(path).read_bytes(), str(path))


def labeled_images(
    images: bytes, labels: bytes, name: str = "the data set"
) -> tuple[UInt8[np.ndarray, "N H W"], UInt8[np.ndarray, " N"]]:
    """Images and their labels from the bytes of two idx files, in their order.

    Raises ValueError where one of them is not what its name says (images are three dimensions of
    uint8, labels one), and says which; and where there are not as many labels as images, with both
    numbers.
    """
    image_array = _expect(idx_from_bytes(images, f"{name}: images"), 3, f"{name}: images")
    label_array = _expect(idx_from_bytes(labels, f"{name}: labels"), 1, f"{name}: labels")
    if len(image_array) != len(label_array):
        raise ValueError(
            f"{name} has {len(image_array)} images and {len(label_array)} labels: the two files do "
            "not belong together"
        )
    return image_array, label_array


def read_split(
    folder: Path, split: str
) -> tuple[UInt8[np.ndarray, "N H W"], UInt8[np.ndarray, " N"]]:
    """Images and labels of a folder whose files have MNIST's names; `split` is "train" or "test".

    The names are `train-images-idx3-ubyte`, `train-labels-idx1-ubyte` and the same with `t10k`,
    each with or without `.gz`. Raises FileNotFoundError for a file that is not there, otherwise
    ValueError as `labeled_images`.
    """
    if split not in PREFIXES:
        raise ValueError(f"a split is {' or '.join(PREFIXES)}, not {split!r}")
    stems = (f"{PREFIXES[split]}-images-idx3-ubyte", f"{PREFIXES[split]}-labels-idx1-ubyte")
    images, labels = (_find(Path(folder), stem).read_bytes() for stem in stems)
    return labeled_images(images, labels, f"{folder}, {split}")


# --- parts of a file ----------------------------------------------------------------------


def _unpacked(content: bytes, name: str) -> bytes:
    if content[:2] != GZIP:
        return content
    try:
        return gzip.decompress(content)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise ValueError(
            f"{name} begins as a gzip file, but cannot be unpacked ({error}): it was cut short or "
            "altered; put a good copy in its place"
        ) from error


def _header(content: bytes, name: str) -> tuple[np.dtype, tuple[int, ...]]:
    """The type of the elements and the size of each dimension."""
    if len(content) < 4:
        raise ValueError(f"{name} has {len(content)} bytes, an idx file has 4 or more")
    if content[:2] != b"\0\0" or content[2] not in TYPES or content[3] == 0:
        raise ValueError(
            f"{name} is no idx file: it begins with the bytes {list(content[:4])}, where there "
            f"should be 0, 0, a type ({', '.join(map(str, TYPES))}) and 1 dimension or more"
        )
    n_dimension = content[3]
    if len(content) < 4 + 4 * n_dimension:
        raise ValueError(
            f"{name} was cut short: a header of {n_dimension} dimensions has {4 + 4 * n_dimension} "
            f"bytes, but there are {len(content)}"
        )
    sizes = np.frombuffer(content, dtype=">u4", count=n_dimension, offset=4)  # (n,)
    return TYPES[content[2]], tuple(sizes.tolist())


def _expect(array: np.ndarray, n_dimension: int, name: str) -> np.ndarray:
    if array.dtype != np.uint8 or array.ndim != n_dimension:
        raise ValueError(
            f"{name} should be uint8 with {n_dimension} dimensions, but the file holds "
            f"{array.dtype} of the shape {array.shape}"
        )
    return array


def _find(folder: Path, stem: str) -> Path:
    for path in (folder / f"{stem}.gz", folder / stem):
        if path.is_file():
            return path
    raise FileNotFoundError(
        f"{folder} has no {stem}, with or without .gz: a data set in idx form has images and "
        "labels under MNIST's names"
    )


def _text(sizes: tuple[int, ...]) -> str:
    return " x ".join(map(str, sizes))
