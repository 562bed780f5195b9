"""The idx reader on files written byte by byte, on damaged ones, and on MNIST where it is there."""

import gzip
import struct

import numpy as np
import pytest

from journal import data
from phase01.idx import idx_from_bytes, labeled_images, read_idx, read_split

FORMATS = {8: "B", 9: "b", 11: "h", 12: "i", 13: "f", 14: "d"}


def idx(code, sizes, elements):
    """An idx file, written with `struct` alone."""
    header = struct.pack(f">BBBB{len(sizes)}I", 0, 0, code, len(sizes), *sizes)
    return header + struct.pack(f">{len(elements)}{FORMATS[code]}", *elements)


PIXELS = idx(8, (2, 3, 4), list(range(200, 224)))
LABELS = idx(8, (2,), [7, 1])


def test_array_has_the_sizes_of_the_header_and_its_last_axis_runs_fastest():
    array = idx_from_bytes(PIXELS)
    assert array.shape == (2, 3, 4)
    assert array.dtype == np.uint8
    np.testing.assert_array_equal(array[1, 2], [220, 221, 222, 223])
    np.testing.assert_array_equal(array[:, 0, 0], [200, 212])


@pytest.mark.parametrize(
    ("code", "dtype", "elements"),
    [
        (8, np.uint8, [0, 1, 255]),
        (9, np.int8, [-128, -1, 127]),
        (11, np.int16, [-32768, 258, 32767]),
        (12, np.int32, [-(2**31), 16909060, 7]),
        (13, np.float32, [-0.5, 3.0e30, 1.25]),
        (14, np.float64, [-0.5, 1.0e300, 0.1]),
    ],
)
def test_every_type_is_read_big_endian_into_this_machines_order(code, dtype, elements):
    array = idx_from_bytes(idx(code, (3,), elements))
    assert array.dtype == np.dtype(dtype)
    assert array.dtype.isnative
    np.testing.assert_array_equal(array, np.array(elements, dtype))


def test_array_may_be_written_to():
    array = idx_from_bytes(PIXELS)
    array[0, 0, 0] = 5
    assert array[0, 0, 0] == 5


def test_array_of_no_elements_is_read():
    assert idx_from_bytes(idx(8, (0, 28, 28), [])).shape == (0, 28, 28)


@pytest.mark.parametrize("packed", [False, True])
def test_file_is_read_packed_or_not_whatever_its_name(tmp_path, packed):
    for name in ("some-file", "some-file.gz"):
        path = tmp_path / name
        path.write_bytes(gzip.compress(PIXELS) if packed else PIXELS)
        np.testing.assert_array_equal(read_idx(path), np.arange(200, 224).reshape(2, 3, 4))


# ---- damage ------------------------------------------------------------------------------


@pytest.mark.parametrize("length", range(len(PIXELS)))
def test_file_cut_short_anywhere_is_refused(length):
    with pytest.raises(ValueError, match="letters"):
        idx_from_bytes(PIXELS[:length], "letters")


def test_packed_file_cut_short_anywhere_is_refused():
    packed = gzip.compress(PIXELS, mtime=0)
    for length in range(len(packed)):
        with pytest.raises(ValueError, match="letters"):
            idx_from_bytes(packed[:length], "letters")


def test_packed_file_with_a_changed_byte_is_refused_or_read_as_it_was():
    packed = gzip.compress(PIXELS, mtime=0)
    truth = idx_from_bytes(PIXELS)
    for place in range(len(packed)):
        damaged = bytearray(packed)
        damaged[place] ^= 0xFF
        try:
            array = idx_from_bytes(bytes(damaged))
        except ValueError:
            continue
        np.testing.assert_array_equal(array, truth)  # a byte of the time or the system's name


@pytest.mark.parametrize("more", [b"\0", b"12345"])
def test_bytes_after_the_end_are_refused(more):
    numbers = rf"(?=.*\b{len(PIXELS)}\b)(?=.*\b{len(PIXELS + more)}\b)"
    with pytest.raises(ValueError, match=f"(?=.*letters){numbers}"):
        idx_from_bytes(PIXELS + more, "letters")


@pytest.mark.parametrize(
    "start",
    [b"\1\0\x08\3", b"\0\1\x08\3", b"\0\0\0\3", b"\0\0\x0a\3", b"\0\0\x0f\3", b"\0\0\x08\0"],
    ids=str,
)
def test_other_magic_numbers_are_refused(start):
    with pytest.raises(ValueError, match="letters"):
        idx_from_bytes(start + PIXELS[4:], "letters")


def test_sizes_that_no_memory_holds_are_refused():
    enormous = struct.pack(">BBBB4I", 0, 0, 14, 4, *[2**32 - 1] * 4)
    with pytest.raises(ValueError, match="letters"):
        idx_from_bytes(enormous, "letters")
    wrapping = struct.pack(">BBBB4I", 0, 0, 8, 4, *[2**16] * 4)  # 2^64 is 0 in 64 bits
    with pytest.raises(ValueError, match="letters"):
        idx_from_bytes(wrapping, "letters")


def test_message_says_how_many_bytes_were_expected_and_are_there():
    with pytest.raises(ValueError, match=r"(?=.*\b40\b)(?=.*\b39\b)"):
        idx_from_bytes(PIXELS[:-1])


@pytest.mark.parametrize("length", [4, 9, 15])
def test_message_says_how_many_bytes_of_a_header_are_there_and_should_be(length):
    with pytest.raises(ValueError, match=rf"(?=.*\b{length}\b)(?=.*\b16\b)"):
        idx_from_bytes(PIXELS[:length])


def test_error_of_a_file_names_it(tmp_path):
    (tmp_path / "broken").write_bytes(b"hello")
    with pytest.raises(ValueError, match="broken"):
        read_idx(tmp_path / "broken")


# ---- images with labels ------------------------------------------------------------------


def test_images_and_labels_come_in_their_order():
    images, labels = labeled_images(PIXELS, gzip.compress(LABELS))
    np.testing.assert_array_equal(images, np.arange(200, 224).reshape(2, 3, 4))
    np.testing.assert_array_equal(labels, [7, 1])


def test_as_many_labels_as_images_are_asked_for():
    with pytest.raises(ValueError, match=r"(?=.*\b2\b)(?=.*\b3\b)"):
        labeled_images(PIXELS, idx(8, (3,), [1, 2, 3]))


@pytest.mark.parametrize(
    ("images", "labels", "wrong"),
    [
        (LABELS, PIXELS, "images"),
        (PIXELS, PIXELS, "labels"),
        (idx(13, (1, 1, 2), [1.0, 2.0]), idx(8, (1,), [1]), "images"),
        (PIXELS, idx(12, (2,), [1, 2]), "labels"),
        (PIXELS[:-1], LABELS, "images"),
        (PIXELS, LABELS[:-1], "labels"),
    ],
)
def test_files_of_another_kind_are_refused_by_name(images, labels, wrong):
    with pytest.raises(ValueError, match=wrong[:-1]):
        labeled_images(images, labels)


def write_split(folder, prefix, images, labels, suffix=""):
    pack = gzip.compress if suffix else bytes
    (folder / f"{prefix}-images-idx3-ubyte{suffix}").write_bytes(pack(images))
    (folder / f"{prefix}-labels-idx1-ubyte{suffix}").write_bytes(pack(labels))


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_both_parts_of_a_folder_are_found_under_mnists_names(tmp_path, suffix):
    write_split(tmp_path, "train", PIXELS, LABELS, suffix)
    write_split(tmp_path, "t10k", idx(8, (1, 1, 2), [8, 9]), idx(8, (1,), [3]), suffix)
    images, labels = read_split(tmp_path, "train")
    assert images.shape == (2, 3, 4)
    np.testing.assert_array_equal(labels, [7, 1])
    images, labels = read_split(tmp_path, "test")
    np.testing.assert_array_equal(images, [[[8, 9]]])
    np.testing.assert_array_equal(labels, [3])


def test_missing_file_is_named(tmp_path):
    (tmp_path / "train-images-idx3-ubyte").write_bytes(PIXELS)
    with pytest.raises(FileNotFoundError, match="train-labels-idx1-ubyte"):
        read_split(tmp_path, "train")


def test_damage_in_a_folder_is_reported_with_its_name(tmp_path):
    write_split(tmp_path, "t10k", PIXELS, LABELS[:-1])
    with pytest.raises(ValueError, match="label"):
        read_split(tmp_path, "test")


def test_unknown_split_is_refused(tmp_path):
    with pytest.raises(ValueError, match="validation"):
        read_split(tmp_path, "validation")


# ---- MNIST itself ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("prefix", "per_digit"),
    [
        ("train", [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]),
        ("t10k", [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]),
    ],
)
def test_mnist_is_read_as_it_is_known(prefix, per_digit):
    names = [f"mnist/{prefix}-images-idx3-ubyte.gz", f"mnist/{prefix}-labels-idx1-ubyte.gz"]
    if any(data.find(name) is None for name in names):
        pytest.skip("mnist is not there: set JOURNAL_DATA")
    images, labels = labeled_images(data.read_bytes(names[0]), data.read_bytes(names[1]))
    assert images.shape == (sum(per_digit), 28, 28)
    np.testing.assert_array_equal(np.bincount(labels), per_digit)
    centre, frame = images[:, 10:18, 10:18].mean(), images[:, :2].mean()
    assert centre > 70 > 1 > frame  # the digits stand in the middle
