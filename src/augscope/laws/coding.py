"""Batches whose pixels code the sample they come from, and the decoding of what a transform makes of them.

Every sample is one colour: a triple of levels in [8, 247], distinct from all others in every channel where the batch has at
most 240 samples, and as a triple beyond. uint8 images hold the levels themselves, floating-point images levels/256. No three
colours lie near a line, so a blend of two samples tells which two. 0 and 255, the usual fills, are no levels.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

LOW, HIGH = 8, 247
# One colour for a whole batch shows what the transform does to values; no usual fill is among these (0.5 is 128/256).
CONSTANTS = (61, 127, 193)
NUM_CONSTANT = 4  # batches at each of these levels
NUM_FREQUENT = 4  # values at a level that may be what the level goes to
LEAST_ON_LINE = 0.3  # of pixels: where fewer go through one line, nothing says that it is the one of values
EXACT = 0.1  # levels: an untouched pixel, after float32 or float16 arithmetic
BLENDED = {"uint8": 0.51, "float32": 0.1}  # levels in every channel: a blended pixel; integers are rounded
FEW = 8  # pixels of noise show that it is no blend
SELF = -1  # no partner to be seen


def colours(count: int, channels: int) -> UInt8[np.ndarray, "N C"]:
    """A colour for every sample, fixed: the same batch size gives the same colours.

    None is grey where the batch has two samples and two channels or more: noise between an image's least and largest value, as
    some libraries fill with, would leave a grey image as it is.
    """
    rng = np.random.default_rng(count)
    levels = np.arange(LOW, HIGH + 1)
    if count <= len(levels):
        spaced = levels[np.linspace(0, len(levels) - 1, count).round().astype(int)]
        while True:
            codes = np.stack([rng.permutation(spaced) for _ in range(channels)], axis=1).astype(np.uint8)
            grey = (codes == codes[:, :1]).all(axis=1).any()
            if min(count, channels) == 1 or not grey:
                return codes
    distinct = np.unique(rng.choice(levels, (2 * count, channels)), axis=0)
    return rng.permutation(distinct)[:count].astype(np.uint8)


def coded_batch(codes: UInt8[np.ndarray, "N C"], height: int, width: int) -> UInt8[np.ndarray, "N H W C"]:
    """Images of one colour each."""
    return np.broadcast_to(codes[:, None, None, :], (len(codes), height, width, codes.shape[1])).copy()


def position_batch(count: int, height: int, width: int, channels: int) -> UInt8[np.ndarray, "N H W C"]:
    """The same image N times, in which every row has a level of its own in even channels, and every column in odd ones."""
    rows = np.linspace(LOW, HIGH, height).round()[:, None, None] * np.ones((1, width, 1))
    columns = np.linspace(LOW, HIGH, width).round()[None, :, None] * np.ones((height, 1, 1))
    image = np.concatenate([rows if channel % 2 == 0 else columns for channel in range(channels)], axis=2)
    return np.broadcast_to(image.astype(np.uint8), (count, *image.shape)).copy()


@dataclass(frozen=True)
class ValueMap:
    """What the transform does to a value, level → scale · level + shift in every channel, read from constant batches."""

    scale: Float[np.ndarray, " C"]
    shift: Float[np.ndarray, " C"]

    def levels(self, images: Float[np.ndarray, "N H W C"]) -> Float[np.ndarray, "N H W C"]:
        """Output values as levels."""
        return (images - self.shift) / self.scale

    def describe(self, unit: float) -> str:
        """In words; `unit` is the value of one level that goes in."""
        if np.allclose(self.scale, unit, rtol=1e-3) and np.allclose(self.shift, 0, atol=1e-3 * unit * 256):
            return "values kept"
        pairs = zip(self.scale / unit, self.shift, strict=True)
        return "normalised: " + ", ".join(f"{scale:.4g}·x {shift:+.4g}" for scale, shift in pairs)


def find_value_map(outputs: list[list[Float[np.ndarray, "N H W C"]]]) -> ValueMap | None:
    """Return the map from outputs of constant batches, or None where values do not go through one line a channel.

    In every channel it is the line on which most pixels lie, through one of the frequent values at each level. A fill, the same
    at all levels or at some, lies on no such line. Noise as a fill is frequent nowhere.

    Args:
        outputs: at each of the levels `CONSTANTS`, those of several calls: a transform may leave a whole batch alone, or not.
    """
    batches = [np.concatenate(calls) for calls in outputs]
    lines = [_line([batch[..., channel] for batch in batches]) for channel in range(batches[0].shape[-1])]
    if any(line is None for line in lines):
        return None
    scale, shift = np.array(lines, float).T
    return ValueMap(scale, shift)


def _line(outputs: list[np.ndarray]) -> tuple[float, float] | None:
    frequent = [_frequent(output.astype(float)) for output in outputs]
    best, most = None, LEAST_ON_LINE
    for (low, *lows), (middle, *middles), (high, *highs) in itertools.product(*frequent):
        scale = (high - low) / (CONSTANTS[2] - CONSTANTS[0])
        straight = abs(low + high - 2 * middle) <= 2 * EXACT * abs(scale) + 2e-4
        pixels = min(lows[0], middles[0], highs[0])
        if straight and abs(scale) > 1e-9 and pixels > most:
            best, most = (float(scale), float(middle - scale * CONSTANTS[1])), pixels
    return best


def _frequent(output: np.ndarray) -> list[tuple[float, float]]:
    """The most frequent values, to four digits, as the mean of what was rounded, and the share of pixels that have them."""
    rounded = np.round(output, 4)
    values, counts = np.unique(rounded, return_counts=True)
    order = counts.argsort()[::-1][:NUM_FREQUENT]
    return [(float(output[rounded == values[k]].mean()), float(counts[k] / output.size)) for k in order]


@dataclass(frozen=True)
class Decoded:
    """One output batch, read.

    Attributes:
        own: weight of the sample itself in every pixel.
        partner: the other sample, or −1 where none is to be seen.
        sources: how many other samples every image shows.
        erased: pixels that are neither the sample, nor its partner, nor a blend of the two.
        blended: whether the image has pixels between the two.
    """

    own: Float[np.ndarray, "N H W"]
    partner: Int[np.ndarray, " N"]
    sources: Int[np.ndarray, " N"]
    erased: Bool[np.ndarray, "N H W"]
    blended: Bool[np.ndarray, " N"]


def resolution(codes: UInt8[np.ndarray, "N C"], partner: Int[np.ndarray, " N"], tolerance: float) -> np.ndarray:
    """How exactly a blend's weight can be read, (N,): pixels are known to a tolerance, on the line between two colours."""
    distance = np.linalg.norm(codes[:, None, :].astype(float) - codes[None, :, :], axis=-1)
    np.fill_diagonal(distance, np.inf)
    mine = np.arange(len(codes))
    line = np.where(partner >= 0, distance[mine, partner], distance.min(axis=1))
    return tolerance * np.sqrt(codes.shape[1]) / np.where(np.isfinite(line), line, 1e9) + 1e-4


def decode(levels: Float[np.ndarray, "N H W C"], codes: UInt8[np.ndarray, "N C"], blend_tolerance: float) -> Decoded:
    """Read the sample behind every pixel. Cost O(N H W log N), and O(N² H W) for blends."""
    count = len(codes)
    own = (np.abs(levels - codes[:, None, None, :]) <= EXACT).all(axis=-1)
    origin = np.broadcast_to(np.arange(count)[:, None, None], own.shape).copy()
    origin[~own] = _look_up(levels[~own], codes)
    partner, sources = np.full(count, SELF), np.zeros(count, int)
    weight, erased, blended = own.astype(float), origin < 0, np.zeros(count, bool)
    for i in range(count):  # few calls, and the images differ in what they hold
        seen = origin[i]
        pixels = np.bincount(seen[(seen >= 0) & (seen != i)])
        sources[i] = np.count_nonzero(pixels)
        if sources[i]:
            partner[i] = pixels.argmax()
        if erased[i].any():
            blend = _blend(levels[i][erased[i]], codes.astype(float), i, blend_tolerance, partner[i])
            if blend is not None:
                partner[i], weight[i][erased[i]] = blend
                sources[i], blended[i], erased[i] = max(sources[i], 1), True, False
    return Decoded(weight, partner, sources, erased, blended)


def _look_up(levels: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """The sample of exactly this colour, or −1."""
    base = 256 ** np.arange(codes.shape[1], dtype=np.int64)
    keys = codes.astype(np.int64) @ base
    order = np.argsort(keys)
    nearest = np.clip(np.nan_to_num(levels, nan=0, posinf=0, neginf=0), 0, 255).round()
    wanted = nearest.astype(np.int64) @ base
    index = order[np.searchsorted(keys, wanted, sorter=order).clip(max=len(keys) - 1)]
    exact = (keys[index] == wanted) & (np.abs(levels - nearest) <= EXACT).all(axis=-1)
    return np.where(exact, index, -1)


def _blend(
    pixels: np.ndarray, codes: np.ndarray, i: int, tolerance: float, known: int
) -> tuple[int, np.ndarray] | None:
    """The partner on whose line to sample i all pixels lie, and the weight of i in each; None if there is none.

    Where several partners would do (a weight of almost 1, in integers), the partner is −1, and the weight the best one's.
    """
    candidates = np.array([known]) if known >= 0 else np.delete(np.arange(len(codes)), i)
    if not len(candidates):
        return None
    if (pixels == pixels[0]).all():  # as of images of one colour
        pixels = pixels[:1]
    elif len(pixels) > FEW and _blend(pixels[:FEW], codes, i, tolerance, known) is None:
        return None
    line = codes[i] - codes[candidates]  # (J, C)
    weights = (pixels @ line.T - (codes[candidates] * line).sum(1)) / (line**2).sum(1)  # (m, J)
    nearest = codes[candidates] + np.clip(weights, 0, 1)[..., None] * line
    distance = np.linalg.norm(pixels[:, None, :] - nearest, axis=2).max(axis=0)
    best, within = distance.argmin(), distance <= tolerance * np.sqrt(codes.shape[1])
    if not within[best]:
        return None
    unique = within.sum() == 1
    return int(candidates[best]) if unique else SELF, np.clip(weights[:, best], 0, 1)
