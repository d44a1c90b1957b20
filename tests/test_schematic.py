"""The picture of the problem: patches of two points, and what the augmentations make of them."""

import numpy as np
import pytest

import augscope as ag


def rows_of(num_patches: int) -> list[list[np.ndarray]]:
    """The images of the patches, row by row of the picture."""
    images = [axis.images[0].get_array() for axis in ag.schematic(num_patches).axes if axis.images]
    return [images[at : at + num_patches] for at in range(0, len(images), num_patches)]


@pytest.mark.parametrize("num_patches", [3, 4, 8])
def test_augmented_points_are_made_of_the_points_patches(num_patches: int) -> None:
    first, second, cutout, cutmix = rows_of(num_patches)
    same = [np.array_equal(a, b) for a, b in zip(first, cutout, strict=True)]
    assert same.count(False) == 1
    assert (cutout[same.index(False)] == 1).all()
    from_first = [np.array_equal(a, b) for a, b in zip(first, cutmix, strict=True)]
    from_second = [np.array_equal(a, b) for a, b in zip(second, cutmix, strict=True)]
    assert [a != b for a, b in zip(from_first, from_second, strict=True)] == [True] * num_patches
    texts = " ".join(text.get_text() for axis in ag.schematic(num_patches).axes for text in axis.texts)
    assert f"label +1 with weight {sum(from_first) / num_patches:.3g}" in texts


@pytest.mark.parametrize("num_patches", [0, 2, 9])
def test_what_does_not_fit_is_refused(num_patches: int) -> None:
    with pytest.raises(ValueError, match="`num_patches` must be 3 to 8"):
        ag.schematic(num_patches)
