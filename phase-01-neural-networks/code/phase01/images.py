"""Small images: the 8 x 8 digits and CIFAR-10, from the bytes of their files to arrays.

Every reader gives images as uint8 of the shape (N, C, H, W), which is how PyTorch and
`phase01.convolution` have them, and labels as uint8 of the shape (N,). What a network wants is made
from them by `standardized`, and more images than there are by `flipped` and `shifted`.

The digits are an `.npz` archive of two arrays, `images` (N, 8, 8), the sixteenths from 0 to 1, and
`labels`. They come from the "optical recognition of handwritten digits" of the UCI repository, of
which scikit-learn's `load_digits` is a part; there, and here, pixels are whole numbers, 0 to 16.

CIFAR-10's binary form is a file of records of 3,073 bytes, one for each image: a byte for the
label, then 1,024 bytes for red, 1,024 for green and 1,024 for blue, row by row (Krizhevsky,
https://www.cs.toronto.edu/~kriz/cifar.html). They are published as one archive of six such files;
a reader is here for that archive and for the files by themselves, plain or packed by xz.

Everything is checked, and what is damaged is a ValueError. Downloads are `journal.data`'s business.
Left out: MNIST (`phase01.idx`), and other changes of the images (turned, scaled, recoloured).

Shape letters: N images, C channels, H and W height and width.
"""

import io
import lzma
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8
from numpy.lib.stride_tricks import sliding_window_view

Labeled = tuple[UInt8[np.ndarray, "N C H W"], UInt8[np.ndarray, " N"]]

LARGEST_PIXEL = 16  # of the digits
CIFAR10_NAMES = (
    "airplane",
    "automobile",
    "bird",
    "cat",
    "deer",
    "dog",
    "frog",
    "horse",
    "ship",
    "truck",
)
CIFAR10_SHAPE = (3, 32, 32)
RECORD = 1 + 3 * 32 * 32  # bytes
ARCHIVE = "cifar-10-batches-bin"  # the folder inside of the published archive
ARCHIVE_FILES = {
    "train": tuple(f"data_batch_{i}.bin" for i in range(1, 6)),
    "test": ("test_batch.bin",),
}
XZ = b"\xfd7zXZ\0"  # how every xz file begins
# What reading damaged bytes can raise. TypeError is for one array where an archive should be.
_BROKEN_ZIP = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    KeyError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
)
_BROKEN_TAR = (tarfile.TarError, zlib.error, lzma.LZMAError, EOFError, OSError)


# --- the 8 x 8 digits ---------------------------------------------------------------------


def digits_from_bytes(content: bytes, name: str = "the digits") -> Labeled:
    """The 8 x 8 digits of an `.npz` archive, (N, 1, 8, 8), pixels 0 to 16, and labels 0 to 9.

    `name` stands in messages. Raises ValueError where the bytes are no such archive, or its arrays
    not what they should be.
    """
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as archive:
            images, labels = archive["images"], archive["labels"]
    except _BROKEN_ZIP as error:
        raise ValueError(
            f"{name} is no .npz archive with images and labels ({error}): put a good copy in its "
            "place"
        ) from error
    of_numbers = images.dtype.kind in "iuf" and labels.dtype.kind in "iu"
    if not of_numbers or labels.ndim != 1 or images.shape != (labels.size, 8, 8):
        raise ValueError(
            f"{name} should hold numbers, images of the shape (N, 8, 8) and N labels, but has "
            f"images {images.shape} of {images.dtype} and labels {labels.shape} of {labels.dtype}"
        )
    pixels = images * LARGEST_PIXEL  # (N, 8, 8)
    whole = np.all((pixels >= 0) & (pixels <= LARGEST_PIXEL) & (pixels == np.rint(pixels)))
    if not whole or not np.all((labels >= 0) & (labels <= 9)):
        raise ValueError(
            f"{name} should have pixels that are sixteenths from 0 to 1 and labels from 0 to 9, "
            "but has others"
        )
    return pixels.astype(np.uint8)[:, np.newaxis], labels.astype(np.uint8)  # (N, 1, 8, 8), (N,)


def read_digits(path: Path) -> Labeled:
    """The 8 x 8 digits of a file; otherwise as `digits_from_bytes`."""
    return digits_from_bytes(Path(path).read_bytes(), str(path))


# --- CIFAR-10 -----------------------------------------------------------------------------


def cifar10_from_bytes(content: bytes, name: str = "the CIFAR-10 records") -> Labeled:
    """The images of CIFAR-10 records, (N, 3, 32, 32) with pixels 0 to 255, and labels 0 to 9.

    The bytes may be packed by xz; `name` stands in messages. Raises ValueError where they cannot be
    unpacked, are not a whole number of records (one or more), or hold a label above 9.
    """
    content = _unpacked(content, name)
    if not content or len(content) % RECORD:
        raise ValueError(
            f"{name} has {len(content)} bytes, which is no whole number of records of {RECORD}: it "
            "was cut short, or is not CIFAR-10's binary form"
        )
    records = np.frombuffer(content, dtype=np.uint8).reshape(-1, RECORD)  # (N, 3073)
    labels = records[:, 0].copy()  # (N,)
    if labels.max() >= len(CIFAR10_NAMES):
        raise ValueError(
            f"{name} has the label {labels.max()}, but CIFAR-10's go from 0 to 9: it was altered, "
            "or is another data set"
        )
    return records[:, 1:].reshape(-1, *CIFAR10_SHAPE).copy(), labels  # (N, 3, 32, 32)


def read_cifar10(paths: Sequence[Path]) -> Labeled:
    """The images of several record files (one or more) in a row; as `cifar10_from_bytes`."""
    if not paths:
        raise ValueError("there is no file to read: name one or more")
    return _joined([cifar10_from_bytes(Path(path).read_bytes(), str(path)) for path in paths])


def read_cifar10_archive(path: Path, split: str) -> Labeled:
    """The images of the archive as it is published, of its part "train" or "test".

    Raises ValueError where the archive is damaged, naming it, or a file of it is damaged or not
    there, naming that; and for another split. Nothing of it is unpacked to the disk.
    """
    if split not in ARCHIVE_FILES:
        raise ValueError(f"a split is {' or '.join(ARCHIVE_FILES)}, not {split!r}")
    wanted = {f"{ARCHIVE}/{file}" for file in ARCHIVE_FILES[split]}
    found = {}
    try:
        with tarfile.open(path) as archive:
            for member in archive:
                stream = archive.extractfile(member) if member.name in wanted else None
                if stream is not None:
                    found[member.name] = stream.read()
    except FileNotFoundError:
        raise
    except _BROKEN_TAR as error:
        raise ValueError(
            f"{path} cannot be read as an archive ({error}): it was cut short or altered; put a "
            "good copy in its place"
        ) from error
    if missing := sorted(wanted - found.keys()):
        raise ValueError(f"{path} has no {', '.join(missing)}: it is not CIFAR-10's archive")
    return _joined([cifar10_from_bytes(found[name], f"{path}, {name}") for name in sorted(wanted)])


def _unpacked(content: bytes, name: str) -> bytes:
    if not content.startswith(XZ):
        return content
    try:
        return lzma.decompress(content)
    except lzma.LZMAError as error:
        raise ValueError(
            f"{name} begins as an xz file, but cannot be unpacked ({error}): it was cut short or "
            "altered; put a good copy in its place"
        ) from error


def _joined(parts: list[tuple[np.ndarray, np.ndarray]]) -> Labeled:
    # Not list[Labeled]: in one signature a letter is one number, and N differs from part to part.
    images = np.concatenate([images for images, _ in parts])  # (N, C, H, W)
    return images, np.concatenate([labels for _, labels in parts])  # (N,)


# --- what a network reads -----------------------------------------------------------------


def channel_statistics(
    images: UInt8[np.ndarray, "N C H W"],
) -> tuple[Float[np.ndarray, " C"], Float[np.ndarray, " C"]]:
    """Mean and standard deviation of each channel over all images and places, in float64.

    Take them of the training images, and use the same two for all others. Raises ValueError where
    there are no images, or all pixels of a channel are equal, so that no scale makes their
    deviation 1.
    """
    if images.size == 0:
        raise ValueError(f"there are no pixels in images of the shape {images.shape}")
    # From a count of the 256 values of each channel: exact, and no array of floats for all images.
    values = np.arange(256.0)
    channels = images.swapaxes(0, 1).reshape(images.shape[1], -1)  # (C, N H W)
    counts = np.stack([np.bincount(channel, minlength=256) for channel in channels])  # (C, 256)
    shares = counts / channels.shape[1]  # (C, 256)
    mean = shares @ values  # (C,)
    deviation = np.sqrt((shares * (values - mean[:, np.newaxis]) ** 2).sum(axis=1))  # (C,)
    if not np.all(deviation > 0):
        raise ValueError(
            f"all pixels of channel {int(np.argmin(deviation))} are equal: it has nothing to learn "
            "from, and cannot be scaled"
        )
    return mean, deviation


def standardized(
    images: UInt8[np.ndarray, "N C H W"],
    mean: Float[np.ndarray, " C"],
    deviation: Float[np.ndarray, " C"],
) -> Float[np.ndarray, "N C H W"]:
    """(pixel - mean) / deviation by channel, in float32: four bytes where there was one."""
    scale = (1 / deviation).astype(np.float32)[:, np.newaxis, np.newaxis]  # (C, 1, 1)
    shift = (mean / deviation).astype(np.float32)[:, np.newaxis, np.newaxis]  # (C, 1, 1)
    y = images * scale  # (N, C, H, W)
    y -= shift
    return y


# --- more images than there are -----------------------------------------------------------


def flipped(
    images: UInt8[np.ndarray, "N C H W"], rng: np.random.Generator
) -> UInt8[np.ndarray, "N C H W"]:
    """New images, each with probability 1/2 the mirror image, left for right.

    For what is the same thing in the mirror: a horse, but no digit.
    """
    turned = rng.random(len(images)) < 0.5  # (N,)
    y = images.copy()
    y[turned] = images[turned, :, :, ::-1]
    return y


def shifted(
    images: UInt8[np.ndarray, "N C H W"], distance: int, rng: np.random.Generator
) -> UInt8[np.ndarray, "N C H W"]:
    """New images, each moved by -distance to distance pixels down and as many across, at random.

    What comes in at an edge is the mirror image of what lies there, for a black frame would be the
    strongest edge of all. Raises ValueError where `distance` is negative, or not smaller than the
    image.
    """
    n_image, _, height, width = images.shape
    if not 0 <= distance < min(height, width):
        raise ValueError(
            f"images of {height} x {width} pixels cannot be shifted by {distance}: take a distance "
            f"from 0 to {min(height, width) - 1}"
        )
    frame = (distance, distance)
    padded = np.pad(images, ((0, 0), (0, 0), frame, frame), mode="reflect")
    crops = sliding_window_view(padded, (height, width), axis=(2, 3))  # (N, C, places..., H, W)
    down, across = rng.integers(2 * distance + 1, size=(2, n_image))  # (N,) each
    return crops[np.arange(n_image), :, down, across]  # (N, C, H, W)
