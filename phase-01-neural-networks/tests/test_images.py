"""The readers of small images on files made here, on damaged ones, and on the real ones."""

import io
import lzma
import tarfile

import numpy as np
import pytest

from journal import data
from phase01.images import (
    CIFAR10_NAMES,
    channel_statistics,
    cifar10_from_bytes,
    digits_from_bytes,
    flipped,
    read_cifar10,
    read_cifar10_archive,
    read_digits,
    shifted,
    standardized,
)


def npz(**arrays):
    out = io.BytesIO()
    np.savez_compressed(out, **arrays)
    return out.getvalue()


def some_digits(n=3):
    pixels = np.random.default_rng(0).integers(17, size=(n, 8, 8))
    return pixels, np.arange(n) % 10


def digits_file(n=3, **changes):
    pixels, labels = some_digits(n)
    return npz(**{"images": (pixels / 16).astype(np.float32), "labels": labels, **changes})


def some_images(n, seed=0):
    rng = np.random.default_rng(seed)
    return rng.integers(256, size=(n, 3, 32, 32)).astype(np.uint8), rng.integers(10, size=n)


def records(n, seed=0):
    """CIFAR-10's binary form, put together byte by byte."""
    images, labels = some_images(n, seed)
    return b"".join(
        bytes([label]) + image.tobytes() for image, label in zip(images, labels, strict=True)
    )


# ---- the 8 x 8 digits --------------------------------------------------------------------


def test_digits_are_whole_numbers_from_0_to_16_in_one_channel(tmp_path):
    pixels, labels = some_digits()
    (tmp_path / "digits.npz").write_bytes(digits_file())
    for found, of_label in (
        digits_from_bytes(digits_file()),
        read_digits(tmp_path / "digits.npz"),
    ):
        assert found.shape == (3, 1, 8, 8)
        assert found.dtype == of_label.dtype == np.uint8
        np.testing.assert_array_equal(found[:, 0], pixels)
        np.testing.assert_array_equal(of_label, labels)


def test_digits_cut_short_anywhere_are_refused():
    content = digits_file()
    for length in range(0, len(content), 7):
        with pytest.raises(ValueError, match="sevens"):
            digits_from_bytes(content[:length], "sevens")


def test_digits_with_a_changed_byte_are_refused_or_read_as_they_were():
    content = digits_file()
    truth = digits_from_bytes(content)
    for place in range(len(content)):
        damaged = bytearray(content)
        damaged[place] ^= 0x55
        try:
            found = digits_from_bytes(bytes(damaged))
        except ValueError:
            continue
        for mine, right in zip(found, truth, strict=True):
            np.testing.assert_array_equal(mine, right)


def test_what_is_no_archive_is_refused():
    single = io.BytesIO()
    np.save(single, np.ones(3))
    for content in (b"", b"hello", single.getvalue(), npz(images=np.zeros((1, 8, 8)))):
        with pytest.raises(ValueError, match="sevens"):
            digits_from_bytes(content, "sevens")


@pytest.mark.parametrize(
    "changes",
    [
        {"images": np.zeros((3, 8, 9))},
        {"images": np.zeros((3, 64))},
        {"labels": np.zeros(4, int)},
        {"labels": np.zeros((3, 1), int)},
        {"images": np.full((3, 8, 8), "x")},
        {"labels": np.full(3, "x")},
        {"labels": np.array([1.0, 2.0, 3.0])},
        {"labels": np.array(3)},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_digits_of_another_form_are_refused(changes):
    with pytest.raises(ValueError, match="sevens"):
        digits_from_bytes(digits_file(**changes), "sevens")


@pytest.mark.parametrize("value", [-1 / 16, 17 / 16, 0.03, np.nan])
def test_pixel_that_is_no_sixteenth_is_refused(value):
    images = np.zeros((3, 8, 8))
    images[1, 2, 3] = value
    with pytest.raises(ValueError, match="sevens"):
        digits_from_bytes(digits_file(images=images), "sevens")


@pytest.mark.parametrize("label", [-1, 10, 260])
def test_label_that_is_no_digit_is_refused(label):
    with pytest.raises(ValueError, match="sevens"):
        digits_from_bytes(digits_file(labels=np.array([1, label, 2])), "sevens")


# ---- CIFAR-10 ----------------------------------------------------------------------------


def test_record_is_a_label_and_three_planes_row_by_row():
    red, green, blue = bytearray(1024), bytearray(1024), bytearray(1024)
    red[0], green[32], blue[1023], red[5] = 1, 2, 3, 255
    images, labels = cifar10_from_bytes(bytes([9]) + red + green + blue)
    assert images.shape == (1, 3, 32, 32)
    assert images.dtype == labels.dtype == np.uint8
    assert labels.tolist() == [9]
    filled = {tuple(map(int, place)): int(images[tuple(place)]) for place in np.argwhere(images)}
    assert filled == {
        (0, 0, 0, 0): 1,
        (0, 0, 0, 5): 255,
        (0, 1, 1, 0): 2,
        (0, 2, 31, 31): 3,
    }


@pytest.mark.parametrize("pack", [bytes, lzma.compress], ids=["plain", "xz"])
def test_records_come_back_as_they_were_written(tmp_path, pack):
    images, labels = some_images(4)
    (tmp_path / "batch").write_bytes(pack(records(4)))
    for found, of_label in (
        cifar10_from_bytes(pack(records(4))),
        read_cifar10([tmp_path / "batch"]),
    ):
        np.testing.assert_array_equal(found, images)
        np.testing.assert_array_equal(of_label, labels)
        found[0] = 0  # it is the caller's own
        of_label[0] = 0


def test_several_files_follow_one_another(tmp_path):
    paths = []
    for n, pack in ((2, bytes), (3, lzma.compress)):
        paths.append(tmp_path / f"batch-{n}")
        paths[-1].write_bytes(pack(records(n, seed=n)))
    images, labels = read_cifar10(paths)
    assert images.shape == (5, 3, 32, 32)
    np.testing.assert_array_equal(images[:2], some_images(2, 2)[0])
    np.testing.assert_array_equal(images[2:], some_images(3, 3)[0])
    np.testing.assert_array_equal(labels[2:], some_images(3, 3)[1])


def test_no_files_are_refused():
    with pytest.raises(ValueError, match=r"."):
        read_cifar10([])


@pytest.mark.parametrize("length", [0, 1, 3072, 3074, 2 * 3073 - 1])
def test_part_of_a_record_is_refused(length):
    with pytest.raises(ValueError, match="batch-9"):
        cifar10_from_bytes(records(2)[:length], "batch-9")


@pytest.mark.kept
def test_ten_classes_have_names_in_the_order_of_their_labels():
    names = "airplane automobile bird cat deer dog frog horse ship truck"
    assert " ".join(CIFAR10_NAMES) == names


def test_label_above_nine_is_refused():
    broken = bytearray(records(3))
    broken[3073] = 10
    with pytest.raises(ValueError, match="batch-9"):
        cifar10_from_bytes(bytes(broken), "batch-9")


def test_packed_records_cut_short_or_changed_are_refused():
    packed = lzma.compress(records(1))
    for length in (6, 20, len(packed) // 2, len(packed) - 1):
        with pytest.raises(ValueError, match="batch-9"):
            cifar10_from_bytes(packed[:length], "batch-9")
    damaged = bytearray(packed)
    damaged[len(packed) // 2] ^= 0xFF
    with pytest.raises(ValueError, match="batch-9"):
        cifar10_from_bytes(bytes(damaged), "batch-9")


def archive(path, files, mode="w:gz"):
    with tarfile.open(path, mode) as out:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            out.addfile(member, io.BytesIO(content))
    return path


def published(first=1):
    """The files of the published archive, of few images; the order in it is not by name."""
    folder = "cifar-10-batches-bin"
    files = {f"{folder}/readme.html": b"about", f"{folder}/test_batch.bin": records(2, seed=9)}
    for i in (3, 5, 1, 4, 2):
        if i >= first:
            files[f"{folder}/data_batch_{i}.bin"] = records(i, seed=i)
    return files


@pytest.mark.parametrize("mode", ["w:gz", "w"])
def test_archive_is_read_in_the_order_of_its_batches(tmp_path, mode):
    path = archive(tmp_path / "cifar-10-binary.tar.gz", published(), mode)
    images, labels = read_cifar10_archive(path, "train")
    assert images.shape == (1 + 2 + 3 + 4 + 5, 3, 32, 32)
    np.testing.assert_array_equal(
        images, np.concatenate([some_images(i, i)[0] for i in range(1, 6)])
    )
    np.testing.assert_array_equal(
        labels, np.concatenate([some_images(i, i)[1] for i in range(1, 6)])
    )
    images, labels = read_cifar10_archive(path, "test")
    np.testing.assert_array_equal(images, some_images(2, 9)[0])
    np.testing.assert_array_equal(labels, some_images(2, 9)[1])


def test_archive_that_lacks_a_file_is_refused_with_its_name(tmp_path):
    path = archive(tmp_path / "a.tar.gz", published(first=2))
    with pytest.raises(ValueError, match=r"data_batch_1\.bin"):
        read_cifar10_archive(path, "train")
    assert read_cifar10_archive(path, "test")[1].shape == (2,)


def test_damaged_archive_is_refused(tmp_path):
    path = archive(tmp_path / "a.tar.gz", published())
    content = path.read_bytes()
    for part in (b"", b"hello", content[:100], content[: len(content) // 2]):
        path.write_bytes(part)
        with pytest.raises(ValueError, match=r"a\.tar\.gz"):
            read_cifar10_archive(path, "train")


def test_broken_record_in_an_archive_is_named_by_its_file(tmp_path):
    files = published()
    files["cifar-10-batches-bin/data_batch_4.bin"] += b"x"
    path = archive(tmp_path / "a.tar.gz", files)
    with pytest.raises(ValueError, match=r"data_batch_4\.bin"):
        read_cifar10_archive(path, "train")


def test_unknown_split_of_an_archive_is_refused(tmp_path):
    with pytest.raises(ValueError, match="validation"):
        read_cifar10_archive(archive(tmp_path / "a.tar.gz", published()), "validation")


def test_archive_that_is_not_there_is_no_damaged_one(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_cifar10_archive(tmp_path / "none.tar.gz", "train")


# ---- what a network reads ----------------------------------------------------------------


def test_channel_statistics_are_the_values_worked_out_by_hand():
    images = np.array([[[[0, 10]], [[3, 3]]], [[[20, 10]], [[5, 5]]]], np.uint8)
    mean, deviation = channel_statistics(images)
    np.testing.assert_allclose(mean, [10.0, 4.0])
    np.testing.assert_allclose(deviation, [50**0.5, 1.0])


def test_channel_statistics_are_those_of_numpy():
    images, _ = some_images(5)
    images[:, 1] //= 3
    mean, deviation = channel_statistics(images)
    np.testing.assert_allclose(mean, images.mean(axis=(0, 2, 3)), rtol=1e-12)
    np.testing.assert_allclose(deviation, images.std(axis=(0, 2, 3)), rtol=1e-12)


def test_standardized_images_have_mean_0_and_deviation_1_in_float32():
    images, _ = some_images(5)
    images[:, 2] //= 5
    y = standardized(images, *channel_statistics(images))
    assert y.dtype == np.float32
    assert y.shape == images.shape
    np.testing.assert_allclose(y.mean(axis=(0, 2, 3)), np.zeros(3), atol=1e-5)
    np.testing.assert_allclose(y.std(axis=(0, 2, 3)), np.ones(3), rtol=1e-5)
    np.testing.assert_array_equal(images[:, :2], some_images(5)[0][:, :2])


def test_other_images_are_standardized_by_the_same_numbers():
    images = np.array([[[[5]], [[8]]]], np.uint8)
    y = standardized(images, np.array([10.0, 4.0]), np.array([2.0, 0.5]))
    np.testing.assert_allclose(y, [[[[-2.5]], [[8.0]]]])


def test_images_without_a_spread_or_without_pixels_are_refused():
    images, _ = some_images(2)
    images[:, 1] = 7
    with pytest.raises(ValueError, match=r"."):
        channel_statistics(images)
    with pytest.raises(ValueError, match=r"."):
        channel_statistics(images[:0])


# ---- more images than there are ----------------------------------------------------------


def test_flipped_image_is_itself_or_its_mirror_image_half_of_the_time_each():
    images, _ = some_images(400)
    before = images.copy()
    y = flipped(images, np.random.default_rng(0))
    same = np.all(y == images, axis=(1, 2, 3))
    turned = np.all(y == images[..., ::-1], axis=(1, 2, 3))
    assert np.all(same ^ turned)
    assert 150 < turned.sum() < 250
    assert y.dtype == np.uint8
    np.testing.assert_array_equal(images, before)


def test_shifted_image_is_a_window_of_the_mirrored_image():
    image = np.arange(2 * 4 * 5, dtype=np.uint8).reshape(2, 4, 5)
    rows, columns = [2, 1, 0, 1, 2, 3, 2, 1], [2, 1, 0, 1, 2, 3, 4, 3, 2]  # 2 more on every side
    mirrored = image[:, rows][:, :, columns]
    windows = {
        mirrored[:, row : row + 4, column : column + 5].tobytes()
        for row in range(5)
        for column in range(5)
    }
    y = shifted(np.stack([image] * 500), 2, np.random.default_rng(1))
    assert y.shape == (500, 2, 4, 5)
    assert y.dtype == np.uint8
    assert {shift.tobytes() for shift in y} == windows  # every shift was drawn, and nothing else
    assert len(windows) == 25


def test_shift_by_nothing_changes_nothing():
    images, _ = some_images(3)
    np.testing.assert_array_equal(shifted(images, 0, np.random.default_rng(0)), images)


def test_images_are_changed_each_by_itself_and_the_same_from_one_seed():
    images = np.repeat(some_images(1)[0], 60, axis=0)
    for change in (flipped, lambda images, rng: shifted(images, 4, rng)):
        first, again, other = (change(images, np.random.default_rng(seed)) for seed in (3, 3, 4))
        np.testing.assert_array_equal(again, first)
        assert np.any(other != first)
        assert len(np.unique(first, axis=0)) > 1


@pytest.mark.parametrize("distance", [-1, 32])
def test_shift_out_of_the_image_or_below_zero_is_refused(distance):
    with pytest.raises(ValueError, match=rf"(?<!\d){distance}\b"):
        shifted(some_images(2)[0], distance, np.random.default_rng(0))


# ---- the real ones -----------------------------------------------------------------------


@pytest.mark.parametrize(("part", "n"), [("train", 1000), ("test", 200)])
def test_tinydigits_are_read_as_they_are_known(part, n):
    name = f"tinydigits/{part}.npz"
    if data.find(name) is None:
        pytest.skip("tinydigits is not there: set JOURNAL_DATA")
    images, labels = digits_from_bytes(data.read_bytes(name))
    assert images.shape == (n, 1, 8, 8)
    assert images.max() == 16
    np.testing.assert_array_equal(np.bincount(labels), np.full(10, n // 10))


def test_cifar10_is_read_as_it_is_known():
    path = data.find("cifar-10/test_batch.bin.xz")
    if path is None:
        pytest.skip("cifar-10 is not there: set JOURNAL_DATA")
    with data.open_content(path) as stream:
        images, labels = cifar10_from_bytes(stream.read(1000 * 3073))  # all would take seconds
    assert images.shape == (1000, 3, 32, 32)
    np.testing.assert_allclose(np.bincount(labels), np.full(10, 100), atol=40)
    mean, _ = channel_statistics(images)
    np.testing.assert_allclose(mean / 255, [0.494, 0.485, 0.450], atol=0.02)
    # Neighbours are alike in a picture: rows and columns have not been mixed up.
    steps = [np.abs(np.diff(images.astype(int), axis=axis)).mean() for axis in (2, 3)]
    assert max(steps) < 20
