"""Convolution and pooling over images: conv2d, max pooling, average pooling, each with backward.

One small set of weights, a *filter*, slides over the image, and at every place its inner product
with the window under it is one number of the output (LeCun et al. 1998, section II):

    y[b, f, p, q] = bias[f] + sum over c, k, l of
                    weight[f, c, k, l] * x[b, c, p * stride + k - padding, q * stride + l - padding]

with zeros outside of the image. This is what PyTorch calls a convolution; in mathematics, where the
filter is turned over first, it is a cross-correlation.

How it is fast. `sliding_window_view` makes no copy: it is the same memory seen as one small image
for each place. Copied once into columns, a window each, all inner products of the batch become one
matrix product ("im2col"). The price is memory: an element of x stands in up to K L columns, and the
columns are kept for backward. The only Python loops are those over the K x L offsets within a
window (9 for a 3 x 3 filter): at one offset the windows are disjoint, whatever the stride, so that
a slice can be added in one piece.

That product has a row for each filter, so y lies in memory filter by filter, and has the shape
(B, F, P, Q) as a view. What follows (pooling, batch norm, ReLU) keeps the layout, the next
convolution wants it, and the rows of backward's products are there without a copy.

Ties in max pooling: the whole gradient goes to the first of equal maxima, row by row, as in
PyTorch. A nan in a window makes its maximum nan.

Left out: a stride, padding or window that differs between rows and columns, dilation, groups, and
padding in the pooling.

Shape letters: B batch, C input channels, F filters (output channels), H and W height and width of
x (H is not heads here), K and L of the window, P and Q of the output, each (H + 2 padding - K)
// stride + 1; M is C K L. `weight` has another letter for its channels, I, for they are compared
here, with a sentence, and not by the type.
"""

import numpy as np
from jaxtyping import Float
from numpy.lib.stride_tricks import sliding_window_view

Cache = tuple

# --- convolution --------------------------------------------------------------------------


def conv2d_forward(
    x: Float[np.ndarray, "B C H W"],
    weight: Float[np.ndarray, "F I K L"],
    bias: Float[np.ndarray, " F"],
    stride: int = 1,
    padding: int = 0,
) -> tuple[Float[np.ndarray, "B F P Q"], Cache]:
    """The inner product of every filter with every window; the formula is the module's.

    `stride` is the distance between windows, `padding` the width of the zeros around the image,
    both in pixels. Raises ValueError where the channels of x and weight differ, with both numbers,
    where the window is larger than the padded image, and for a stride below 1 or a padding below 0,
    naming it.
    """
    (n_batch, n_channel, _, _), (n_filter, of_weight, height, width) = x.shape, weight.shape
    if n_channel != of_weight:
        raise ValueError(
            f"x has {n_channel} channels, its shape is {x.shape}, but the filters are for "
            f"{of_weight}, theirs is {weight.shape}: the two must agree"
        )
    if padding < 0:
        raise ValueError(f"padding must be 0 or more, got {padding}")
    frame = (padding, padding)
    padded = np.pad(x.swapaxes(0, 1), ((0, 0), (0, 0), frame, frame))  # (C, B, H + 2 padding, ...)
    windows = _windows(padded, height, width, stride)  # (C, B, P, Q, K, L)
    n_down, n_across = windows.shape[2:4]
    columns = windows.transpose(0, 4, 5, 1, 2, 3)  # (C, K, L, B, P, Q)
    columns = columns.reshape(weight[0].size, n_batch * n_down * n_across)  # (M, B P Q)
    y = weight.reshape(n_filter, -1) @ columns  # (F, M) @ (M, B P Q) = (F, B P Q)
    y += bias[:, np.newaxis]
    y = y.reshape(n_filter, n_batch, n_down, n_across)  # (F, B, P, Q)
    return y.swapaxes(0, 1), (columns, weight, padded.shape, stride, padding)  # (B, F, P, Q)


def conv2d_backward(
    dy: Float[np.ndarray, "B F P Q"], cache: Cache
) -> tuple[Float[np.ndarray, "B C H W"], Float[np.ndarray, "F I K L"], Float[np.ndarray, " F"]]:
    """The gradients (dx, dweight, dbias), of the shapes of x, weight and bias.

    As y = weight @ columns + bias, dcolumns = weight^T @ dy. A pixel stands in several windows, in
    each at another offset: what comes back through all of them is added up, and what comes back to
    the padding is dropped.
    """
    _, weight, padded_shape, stride, padding = cache
    dy = np.ascontiguousarray(dy.swapaxes(0, 1)).swapaxes(0, 1)  # if need be copied once, for both
    dweight, dbias = conv2d_backward_parameters(dy, cache)
    n_batch, n_filter, n_down, n_across = dy.shape
    n_channel, height, width = weight.shape[1:]
    dcolumns = weight.reshape(n_filter, -1).T @ _by_filter(dy)  # (M, F) @ (F, B P Q) = (M, B P Q)
    dcolumns = dcolumns.reshape(n_channel, height, width, n_batch, n_down, n_across)
    dpadded = np.zeros(padded_shape, dtype=dy.dtype)  # (C, B, H + 2 padding, W + 2 padding)
    dwindows = _windows(dpadded, height, width, stride, writeable=True)  # (C, B, P, Q, K, L)
    for row, column in np.ndindex(height, width):
        dwindows[..., row, column] += dcolumns[:, row, column]  # (C, B, P, Q)
    end_down, end_across = (length - padding for length in padded_shape[2:])
    dx = dpadded[:, :, padding:end_down, padding:end_across]  # (C, B, H, W)
    return dx.swapaxes(0, 1), dweight, dbias


def conv2d_backward_parameters(
    dy: Float[np.ndarray, "B F P Q"], cache: Cache
) -> tuple[Float[np.ndarray, "F I K L"], Float[np.ndarray, " F"]]:
    """The gradients (dweight, dbias) alone: all that a first layer needs, whose x are the images.

    For weight and bias this is a linear layer, whose examples are the places of all images:
    dweight = dy @ columns^T, and dbias sums dy over images and places.
    """
    columns, weight, *_ = cache
    dy = _by_filter(dy)  # (F, B P Q)
    dweight = dy @ columns.T  # (F, B P Q) @ (B P Q, M) = (F, M)
    dbias = dy.sum(axis=1)  # (F,)
    return dweight.reshape(weight.shape), dbias  # (F, I, K, L) and (F,)


def _by_filter(dy: np.ndarray) -> np.ndarray:
    """One row for each filter, with all places of all images: (F, B P Q)."""
    return dy.swapaxes(0, 1).reshape(dy.shape[1], dy[:, 0].size)  # (F, B P Q)


# --- pooling ------------------------------------------------------------------------------


def max_pool2d_forward(
    x: Float[np.ndarray, "B C H W"], size: int, stride: int | None = None
) -> tuple[Float[np.ndarray, "B C P Q"], Cache]:
    """The largest value of every window of `size` x `size` pixels, in each channel by itself.

    `stride` is the distance between windows, `size` if not given: then they do not overlap. Rows
    and columns at the end that fill no window are left out. Raises ValueError where the window is
    larger than the image, and for a size below 1 or a stride below 1, naming it.
    """
    stride = size if stride is None else stride
    windows = _windows(x, size, size, stride)  # (B, C, P, Q, K, L)
    y = np.copy(windows[..., 0, 0])  # (B, C, P, Q)
    for row, column in np.ndindex(size, size):
        np.maximum(y, windows[..., row, column], out=y)
    return y, (x, y, size, stride)


def max_pool2d_backward(
    dy: Float[np.ndarray, "B C P Q"], cache: Cache
) -> Float[np.ndarray, "B C H W"]:
    """The gradient of x: dy goes to the place of the maximum, to the first one where several tie.

    A pixel that is the maximum of several windows gets the sum of what comes from them.
    """
    x, y, size, stride = cache
    windows = _windows(x, size, size, stride)  # (B, C, P, Q, K, L)
    dx = np.zeros_like(x)
    dwindows = _windows(dx, size, size, stride, writeable=True)  # (B, C, P, Q, K, L)
    waiting = np.ones(y.shape, dtype=bool)  # windows whose maximum has not been met yet
    for row, column in np.ndindex(size, size):
        first = (windows[..., row, column] == y) & waiting  # (B, C, P, Q)
        waiting ^= first
        dwindows[..., row, column] += dy * first
    return dx


def avg_pool2d_forward(
    x: Float[np.ndarray, "B C H W"], size: int, stride: int | None = None
) -> tuple[Float[np.ndarray, "B C P Q"], Cache]:
    """The mean of every window of `size` x `size` pixels; otherwise as `max_pool2d_forward`."""
    stride = size if stride is None else stride
    windows = _windows(x, size, size, stride)  # (B, C, P, Q, K, L)
    y = np.zeros(windows.shape[:4], dtype=x.dtype)  # (B, C, P, Q)
    for row, column in np.ndindex(size, size):
        y += windows[..., row, column]
    y /= size**2
    return y, (x.shape, size, stride)


def avg_pool2d_backward(
    dy: Float[np.ndarray, "B C P Q"], cache: Cache
) -> Float[np.ndarray, "B C H W"]:
    """The gradient of x: every pixel of a window gets the same share of its dy, 1 / size^2."""
    shape, size, stride = cache
    dx = np.zeros(shape, dtype=dy.dtype)
    dwindows = _windows(dx, size, size, stride, writeable=True)  # (B, C, P, Q, K, L)
    share = dy / size**2  # (B, C, P, Q)
    for row, column in np.ndindex(size, size):
        dwindows[..., row, column] += share
    return dx


# --- windows ------------------------------------------------------------------------------


def _windows(
    x: np.ndarray, height: int, width: int, stride: int, writeable: bool = False
) -> np.ndarray:
    """Every window over the last two axes of x, a view of the same memory: (B, C, P, Q, K, L)."""
    if height < 1 or width < 1 or stride < 1:
        raise ValueError(
            f"a window has 1 pixel or more and a stride of 1 or more, got a window of {height} x "
            f"{width} and a stride of {stride}"
        )
    if height > x.shape[2] or width > x.shape[3]:
        raise ValueError(
            f"the window of {height} x {width} pixels is larger than the image, which with its "
            f"padding has {x.shape[2]} x {x.shape[3]}: take a smaller one, or more padding"
        )
    windows = sliding_window_view(x, (height, width), axis=(2, 3), writeable=writeable)
    return windows[:, :, ::stride, ::stride]  # (B, C, P, Q, K, L)
