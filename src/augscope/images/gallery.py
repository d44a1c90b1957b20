"""The picture of the slides: original, Cutout and CutMix side by side, patches and boxes, with soft labels underneath."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from matplotlib.figure import Figure

from augscope.images.reading import Picture
from augscope.images.transforms import BatchTransform, BoxCutMix, BoxCutout, PatchCutMix, PatchCutout
from augscope.support.rendering import shown_name, to_bytes
from augscope.support.values import check

CLEAR = (0.2, 0.8)  # shares between which a mix is easy to see
MAX_DRAWS = 1_000


@dataclass(frozen=True)
class Panel:
    """One cell: a transform, the picture it was applied to, and the result, (size, size, 3) uint8 with class weights."""

    title: str
    name: str
    pixels: np.ndarray
    labels: dict[str, float]


def draw_panels(pictures: list[Picture], *, grid: int = 4, num_cut: int = 6, seed: int = 0) -> list[list[Panel]]:
    """Return a row of panels for each picture: original, both Cutouts, both CutMixes with the next picture.

    Of the draws, under the seed, the first with pasted shares in [0.2, 0.8] is shown: a mix that can be seen.

    Args:
        pictures: at least two, of one size that the grid divides.
        grid: rows and columns of patches; they must divide the size.
        num_cut: patches that Cutout removes; its box has half of the image's side.
        seed: of the draws.
    """
    check(0 <= seed < 2**63, f"`seed` must be from 0 to 2^63 - 1, got {seed}")
    check(len(pictures) >= 2, f"at least two pictures are needed to mix, got {len(pictures)}")
    generator = torch.Generator().manual_seed(seed)
    names = list(dict.fromkeys(picture.name for picture in pictures))
    transforms: dict[str, BatchTransform] = {
        "Cutout, patches": PatchCutout(num_cut, grid, num_classes=len(names), generator=generator),
        "Cutout, box": BoxCutout(pictures[0].pixels.shape[0] // 2, num_classes=len(names), generator=generator),
        "CutMix, patches": PatchCutMix(grid, num_classes=len(names), generator=generator),
        "CutMix, box": BoxCutMix(boxes="unclipped", num_classes=len(names), generator=generator),
    }
    rows = []
    for index, picture in enumerate(pictures):
        pair = [picture, pictures[(index + 1) % len(pictures)]]
        row = [Panel("original", picture.name, picture.pixels, {picture.name: 1.0})]
        rows.append(row + [_panel(title, transform, pair, names) for title, transform in transforms.items()])
    return rows


def _panel(title: str, transform: BatchTransform, pair: list[Picture], names: list[str]) -> Panel:
    images = torch.from_numpy(np.stack([picture.pixels for picture in pair])).permute(0, 3, 1, 2)
    labels = torch.tensor([names.index(picture.name) for picture in pair])
    mixes = title.startswith("CutMix") and pair[0].name != pair[1].name
    mixed, soft = transform(images, labels)
    for _ in range(MAX_DRAWS if mixes else 0):
        if CLEAR[0] <= float(soft[0, labels[0]]) <= CLEAR[1]:
            break
        mixed, soft = transform(images, labels)
    weights = {name: float(weight) for name, weight in zip(names, soft[0], strict=True) if weight > 0}
    return Panel(title, pair[0].name, mixed[0].permute(1, 2, 0).numpy(), weights)


def gallery(rows: list[list[Panel]], form: str) -> bytes:
    """Return the picture as a file's content; `form` is "png", "svg" or "pdf"."""
    figure = Figure(figsize=(2.3 * len(rows[0]), 2.75 * len(rows) + 0.3), layout="constrained")
    axes = figure.subplots(len(rows), len(rows[0]), squeeze=False)
    for line, row in zip(axes, rows, strict=True):
        for axis, panel in zip(line, row, strict=True):
            axis.imshow(panel.pixels)
            axis.set_xticks([])
            axis.set_yticks([])
            axis.set_xlabel(_label(panel), fontsize=9)
    for axis, panel in zip(axes[0], rows[0], strict=True):
        axis.set_title(panel.title, fontsize=11, fontweight="bold")
    return to_bytes(figure, form)


def _label(panel: Panel) -> str:
    """Such as "china 0.62, flower 0.38", a class a line; a name of any length and characters."""
    weights = sorted(panel.labels.items(), key=lambda item: item[0] != panel.name)  # the picture's own class first
    return "\n".join(f"{shown_name(name)} {weight:.2f}" for name, weight in weights)
