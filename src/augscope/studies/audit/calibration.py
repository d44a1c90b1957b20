"""How far predicted probabilities can be believed: Brier score, log loss and calibration error by subgroup."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from augscope.studies.audit.design import Design
from augscope.support.statistics import Interval, crossed_share

Probabilities = dict[str, np.ndarray]  # of the test images by method: (S, n, K), seeds in the order of the design

NUM_BINS, MIN_IN_BIN = 15, 10  # of the calibration error: as many bins, or fewer, of at least so many images
NO_INTERVAL = (
    "The Brier score has a 95 % interval like the accuracy's. The others have none, as simulated ones hold the mean over all networks and "
    "images too seldom: those of the log loss in 78 % of cases where networks are sure, as few errors decide it, those of the calibration error "
    "in 79 % where networks differ. Differences between methods are not tested."
)


class Calibration(NamedTuple):
    """One method's probabilities on one subgroup, mean over networks and test images.

    Attributes:
        brier: Brier score: squared distance to the true class's 0s and 1s, halved where there are two classes; 0 is best. Its 95 % interval
            is `crossed_share`'s, of the scores over their largest value.
        log_loss: −log of the true class's probability, in nats; 0 is best.
        error: calibration error of the predicted class, in [0, 1], or None where the images are too few.
    """

    brier: Interval
    log_loss: float
    error: float | None


def calibrations(design: Design, probabilities: Probabilities) -> dict[tuple[str, int], Calibration]:
    """Return the calibration by method and subgroup, −1 for all images. Cost: O(S n (K + G)) for each method."""
    test, measured = design.data.test, {}
    for method, given in probabilities.items():
        brier, loss = brier_scores(given, test.labels), log_losses(given, test.labels)
        confidence, right = given.max(axis=2), given.argmax(axis=2) == test.labels
        for group in (*range(len(design.data.groups)), -1):
            chosen = (test.groups == group) | (group < 0)
            error = calibration_error(confidence[:, chosen], right[:, chosen])
            measured[method, group] = Calibration(
                _score(brier[:, chosen], given.shape[2]), float(loss[:, chosen].mean()), error
            )
    return measured


def _score(scores: np.ndarray, num_classes: int) -> Interval:
    """The mean Brier score and its interval, for networks and images like these."""
    largest = 1 if num_classes == 2 else 2
    return Interval(*(largest * value for value in crossed_share(scores / largest)))


def brier_scores(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return the Brier score of each answer, (S, n), for probabilities (S, n, K): Σ_k (p_k − [k = y])², halved for K = 2."""
    truth = np.take_along_axis(probabilities, labels[None, :, None], axis=2)[..., 0]
    scores = np.square(probabilities).sum(axis=2) + 1 - 2 * truth
    return scores / 2 if probabilities.shape[2] == 2 else scores


def log_losses(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return −log p_y of each answer, (S, n), for probabilities (S, n, K); p is at least 2.2e-16, as scikit-learn has it."""
    truth = np.take_along_axis(probabilities, labels[None, :, None], axis=2)[..., 0]
    smallest = np.finfo(float).eps
    return -np.log(np.clip(truth, smallest, 1 - smallest))


def calibration_error(confidence: np.ndarray, right: np.ndarray) -> float | None:
    """Return the debiased calibration error √(Σ_b n_b/n ((c_b − a_b)² − a_b (1 − a_b)/(n_b − 1))), or None for too few images.

    Bins b hold equally many images in the order of confidence, ties in one bin; c_b is their mean confidence, a_b their accuracy.
    The second term is what n_b answers add by chance alone (Kumar, Liang & Ma 2019, section 5). The squares are averaged over
    networks, and a negative mean counts as 0.

    Args:
        confidence, right: (S, n): probability of the predicted class, and whether it is the true one.

    Example:
        >>> import numpy as np
        >>> confidence, right = np.full((2, 100), 0.9), np.tile(np.arange(100) < 60, (2, 1))
        >>> round(calibration_error(confidence, right), 2)
        0.3
    """
    bins = min(NUM_BINS, confidence.shape[1] // MIN_IN_BIN)
    if bins == 0:
        return None
    squares = [_squared_error(*network, bins) for network in zip(confidence, right, strict=True)]
    return float(np.sqrt(max(0.0, np.mean(squares))))


def _squared_error(confidence: np.ndarray, right: np.ndarray, bins: int) -> float:
    """Of one network; it may be negative."""
    edges = np.sort(confidence)[len(confidence) * np.arange(1, bins) // bins]
    index = np.searchsorted(edges, confidence, side="right")
    counts = np.bincount(index, minlength=bins)
    counts, chosen = counts[counts > 0], counts > 0
    sure, share = (np.bincount(index, values, bins)[chosen] / counts for values in (confidence, right))
    chance = share * (1 - share) / np.maximum(counts - 1, 1)
    return float(counts @ (np.square(sure - share) - chance)) / len(confidence)
