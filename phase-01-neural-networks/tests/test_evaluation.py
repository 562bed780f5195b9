"""A loss that is no number is refused; a confusion matrix has right answers in its rows."""

import numpy as np
import pytest

from phase01.evaluation import confusion_matrix, require_finite


@pytest.mark.parametrize("loss", [np.nan, np.inf, -np.inf])
def test_loss_that_is_no_number_is_refused_with_the_step(loss):
    with pytest.raises(ValueError, match=f"{loss} after 7 steps"):
        require_finite(loss, 7)


def test_loss_that_is_a_number_passes():
    require_finite(1e30, 7)


def test_confusion_matrix_has_a_row_for_each_class_and_a_column_for_each_answer():
    labels = np.array([0, 2, 2, 2, 1], np.uint8)
    answers = np.array([0, 1, 1, 2, 0])
    assert confusion_matrix(labels, answers, 4).tolist() == [
        [1, 0, 0, 0],
        [1, 0, 0, 0],
        [0, 2, 1, 0],
        [0, 0, 0, 0],
    ]
