"""The laws of masks that are one box: CutMix and Cutout with clipped and unclipped boxes, `cutmix_minmax`, RandomErasing."""

from __future__ import annotations

from functools import lru_cache
from typing import Literal

import numpy as np
from jaxtyping import Float
from pydantic import model_validator
from scipy.special import betainc

from augscope.laws.named import Alpha, MaskLaw, ShareLaw
from augscope.support.values import check

Boxes = Literal["clipped", "unclipped"]
Rounding = Literal["even", "down", "nearest"]
NUM_ATTEMPTS = 10  # RandomErasing draws anew, so often, where a box is not smaller than the image
NUM_ASPECTS = 1000  # points in log aspect, each with exact probabilities of all sizes


class OneBoxLaw(MaskLaw):
    """A law of one box: its size is drawn, then its place, uniform and independent along either axis."""

    @property
    def inside(self) -> bool:
        """Whether boxes lie inside the image whole."""
        return True

    def sizes(self, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
        """Every size that the box can have before clipping, (m, 2), and its probability, (m,)."""
        raise NotImplementedError

    def starts(self, size: int, length: int) -> np.ndarray:
        """The equally likely places of a side's first pixel: all where it fits; some before the image where boxes are clipped."""
        return np.arange(length - size + 1)

    def extents(self, height: int, width: int) -> Float[np.ndarray, "H+1 W+1"]:
        """P(the visible box is h × w), row h and column w; a box with no pixels may have one side above 0."""
        return self._both_axes(0, height, width)

    def share(self, height: int, width: int) -> ShareLaw:
        """The law of the pasted share. Cost O(m (H + W)) + O(m H W), m sizes."""
        area = np.outer(np.arange(height + 1), np.arange(width + 1)) / (height * width)
        return ShareLaw.of(area, self.extents(height, width))

    def coverage(self, height: int, width: int) -> Float[np.ndarray, "H W"]:
        """P(pixel is pasted), for every pixel. Cost as of `share`."""
        return self._both_axes(1, height, width)

    def _both_axes(self, part: int, height: int, width: int) -> np.ndarray:
        """The mean over sizes of the outer product of a part of `axis` along rows with that along columns."""
        sizes, probabilities = self.sizes(height, width)
        rows, columns = (self._axes(part, sizes[:, axis], (height, width)[axis]) for axis in (0, 1))
        return (rows * probabilities[:, None]).T @ columns

    def _axes(self, part: int, sizes: np.ndarray, length: int) -> np.ndarray:
        """A part of `axis` for each of many sizes."""
        distinct, where = np.unique(sizes, return_inverse=True)
        return np.array([self.axis(size, length)[part] for size in distinct])[where]

    def axis(self, size: int, length: int) -> tuple[np.ndarray, np.ndarray]:
        """Along one axis: the law of the visible extent, (length + 1,), and P(position covered), (length,)."""
        before = self.starts(size, length)
        starts, ends = np.maximum(before, 0), np.minimum(before + size, length)
        extent = np.bincount(ends - starts, minlength=length + 1) / len(starts)
        positions = np.arange(length)
        covered = (positions >= starts[:, None]) & (positions < ends[:, None])
        return extent, covered.mean(axis=0)


class BoxLaw(OneBoxLaw):
    """One box: of random size √(1−λ) in height and width with λ ~ Beta(α, α), or of fixed size; clipped or unclipped.

    Clipped: a uniform centre pixel, the box clipped at the border. Random sides (Yun et al. 2019) are int(H√(1−λ)), half of it
    (rounded down) to either side; a fixed box has its size in pixels (the program of DeVries & Taylor 2017 rounds an odd
    one down to even). Unclipped: sides rounded, placed uniformly where they fit whole.

    Args:
        alpha: α > 0 of the random size; without effect where `size` is given.
        boxes: "clipped" or "unclipped".
        size: fixed height and width in pixels.
        rounding: of random sides, "even" (down to an even number), "down" or "nearest"; without, even where clipped, and
            nearest where unclipped.

    Example:
        >>> from augscope.laws import BoxLaw
        >>> round(BoxLaw(boxes="clipped").share(224, 224).mean, 3), round(BoxLaw(boxes="unclipped").share(224, 224).mean, 3)
        (0.318, 0.5)
    """

    alpha: Alpha = 1.0
    boxes: Boxes = "clipped"
    size: tuple[int, int] | None = None
    rounding: Rounding | None = None

    @property
    def title(self) -> str:
        """Such as "clipped box, Beta(1, 1)"."""
        what = f"Beta({self.alpha:g}, {self.alpha:g})" if self.size is None else f"{self.size[0]}×{self.size[1]} pixels"
        rounded = "" if self.rounding is None else f", sides rounded {ROUNDINGS[self.rounding]}"
        return f"{self.boxes} box, {what}{rounded}"

    @property
    def inside(self) -> bool:
        """Whether boxes are unclipped."""
        return self.boxes == "unclipped"

    @property
    def roundings(self) -> tuple[BoxLaw, ...]:
        """The laws that differ from this one, whose rounding nobody said, by at most a pixel a side."""
        usual: Rounding = "nearest" if self.inside else "even"
        others: tuple[Rounding, ...] = () if self.size or self.rounding else ("even", "down", "nearest")
        return tuple(self.replace(rounding=other) for other in others if other != usual)

    def sizes(self, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
        """As in `OneBoxLaw`; of random sides exact, between all values of √(1−λ) at which either changes."""
        if self.size is not None:
            fits = not self.inside or (self.size[0] <= height and self.size[1] <= width)
            sizes = f"a box of {self.size[0]}×{self.size[1]} in an image of {height}×{width} pixels"
            check(fits, f"`size` must fit into the image where boxes are unclipped, got {sizes}")
            return np.array([self.size]), np.ones(1)
        rounding = self.rounding or ("nearest" if self.inside else "even")
        shift, step = (0.5 if rounding == "nearest" else 0.0), (2 if rounding == "even" else 1)
        edges = np.unique([0.0, 1.0, *((k - shift) / side for side in (height, width) for k in range(1, side + 1))])
        middle = (edges[:-1] + edges[1:]) / 2
        probabilities = np.diff(betainc(self.alpha, self.alpha, edges**2))  # 1 − λ has λ's law
        sizes = np.floor(middle[:, None] * np.array([height, width]) + shift).astype(int)
        return sizes // step * step, probabilities

    def starts(self, size: int, length: int) -> np.ndarray:
        """As in `OneBoxLaw`."""
        return super().starts(size, length) if self.inside else np.arange(length) - size // 2


ROUNDINGS: dict[Rounding, str] = {"even": "down to even", "down": "down", "nearest": "to the nearest"}


class MinMaxLaw(OneBoxLaw):
    """`cutmix_minmax` of timm: height and width drawn separately, uniform from int(low·side) to int(high·side) − 1.

    Placed uniformly where they fit whole.

    Args:
        low, high: shares of the image's height and width, 0 ≤ low < high ≤ 1.
    """

    low: float = 0.2
    high: float = 0.8

    @model_validator(mode="after")
    def _check_bounds(self) -> MinMaxLaw:
        check(
            0 <= self.low < self.high <= 1, f"`minmax` must be two rising shares in [0, 1], got {self.low}, {self.high}"
        )
        return self

    @property
    def title(self) -> str:
        """Such as "box of 0.2 to 0.8 of each side"."""
        return f"box of {self.low:g} to {self.high:g} of each side"

    def sizes(self, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
        """As in `OneBoxLaw`. Raises ValueError where no side is between the bounds."""
        sides = [np.arange(int(side * self.low), int(side * self.high)) for side in (height, width)]
        some = min(map(len, sides)) > 0
        check(some, f"`minmax` must leave a side to be drawn, got {self.low:g} to {self.high:g} in {height}×{width}")
        sizes = np.stack(np.meshgrid(*sides, indexing="ij"), axis=-1).reshape(-1, 2)
        return sizes, np.full(len(sizes), 1 / len(sizes))


class ErasingLaw(OneBoxLaw):
    """RandomErasing (Zhong et al. 2020) of torchvision and timm: area uniform, aspect ratio (height : width) log-uniform, placed uniformly
    inside. (The paper's own program draws the ratio uniformly.)

    Sides √(area·aspect) and √(area/aspect) are rounded; where one is not below the image's, both are drawn anew, ten times in
    all, and then nothing is erased.

    Args:
        area: least and largest share of the image, in [0, 1].
        aspect: least and largest ratio, above 0.
    """

    area: tuple[float, float] = (0.02, 0.33)
    aspect: tuple[float, float] = (0.3, 3.3)

    @model_validator(mode="after")
    def _check_ranges(self) -> ErasingLaw:
        area, aspect = self.area, self.aspect
        check(0 <= area[0] < area[1] <= 1, f"`area` must be two rising shares in [0, 1], got {area}")
        check(0 < aspect[0] < aspect[1], f"`aspect` must be two rising numbers above 0, got {aspect}")
        return self

    @property
    def title(self) -> str:
        """Such as "box of area 0.02 to 0.33, aspect 0.3 to 3.3"."""
        return f"box of area {self.area[0]:g} to {self.area[1]:g}, aspect {self.aspect[0]:g} to {self.aspect[1]:g}"

    def sizes(self, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
        """As in `OneBoxLaw`; 0×0 where all draws were too large."""
        return _erasing_sizes(self.area, self.aspect, height, width)


@lru_cache(maxsize=16)
def _erasing_sizes(
    area: tuple[float, float], aspect: tuple[float, float], height: int, width: int
) -> tuple[np.ndarray, np.ndarray]:
    """Sizes and probabilities of `ErasingLaw`: exact in area, by midpoints in log aspect."""
    low, high = np.array(area) * height * width
    logs = np.linspace(np.log(aspect[0]), np.log(aspect[1]), NUM_ASPECTS + 1)
    drawn = np.zeros((height + 1, width + 1))
    for ratio in np.exp((logs[:-1] + logs[1:]) / 2):
        steps = [(np.arange(height) + 0.5) ** 2 / ratio, (np.arange(width) + 0.5) ** 2 * ratio]
        edges = np.unique(np.clip(np.concatenate([*steps, [low, high]]), low, high))
        middle = (edges[:-1] + edges[1:]) / 2
        rows = np.round(np.sqrt(middle * ratio)).astype(int).clip(max=height)
        columns = np.round(np.sqrt(middle / ratio)).astype(int).clip(max=width)
        np.add.at(drawn, (rows, columns), np.diff(edges) / (high - low) / NUM_ASPECTS)
    smaller = drawn[:height, :width]
    refused = max(0.0, 1 - smaller.sum())
    smaller = smaller * (1 - refused**NUM_ATTEMPTS) / (1 - refused)
    smaller[0, 0] += refused**NUM_ATTEMPTS
    sizes = np.argwhere(smaller > 0)
    return sizes, smaller[tuple(sizes.T)]
