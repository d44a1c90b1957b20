"""`augscope images`: augmentations on real images."""

from __future__ import annotations

import json as json_module
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import cyclopts

from augscope.cli.kinds import Json, Whole
from augscope.cli.options import given_values, options_for
from augscope.support.extras import needs_extra
from augscope.support.fields import fields_of

if TYPE_CHECKING:
    from augscope.images.reading import Picture

app = cyclopts.App(name="images", help="Augmentations on real images.")

app.command(
    "augscope.cli.audit:audit", name="audit", help="Which subgroups of your images does each augmentation learn?"
)
app.command(
    "augscope.cli.compare:compare",
    name="compare",
    help="Which subgroups do your own trainings learn, from their predictions?",
)
app.command(
    "augscope.cli.canvas:canvas", name="canvas", help="The paper's question asked of real digits on canvases of noise."
)

FORMS = ("png", "svg", "pdf")
_PANELS = fields_of("augscope.images.gallery:draw_panels")


@options_for(_PANELS)
class PictureOptions:
    """What is drawn."""

    size: Whole = 224
    "Side in pixels to which every image is cropped and scaled."


@app.command
def show(*images: Path, out: Path, options: PictureOptions | None = None, json: Json = False) -> int:
    """Draw originals, Cutout and CutMix side by side, with the soft labels underneath.

    Exit status: 0 if every image is shown, 1 if one could not be read, 2 for bad usage.

    Parameters
    ----------
    images
        Image files (PNG, JPEG, GIF, BMP, WebP, TIFF, PPM); a file's name is its class. Without: scikit-learn's two photographs, which also join a single image.
    out
        The picture to write: .png, .svg or .pdf.
    json
        Print the soft labels as JSON on stdout.
    """
    from augscope.support.files import check_file, write_file

    options = options or PictureOptions()
    form = out.suffix.lower().removeprefix(".")
    if form not in FORMS:
        raise ValueError(f"`out` must end in .png, .svg or .pdf, got {out}")
    panels = given_values(options, _PANELS)
    if panels["grid"] < 1 or options.size % panels["grid"] != 0:
        raise ValueError(f"`grid` must divide `size`, got {panels['grid']} for {options.size} pixels")
    check_file(out)
    with needs_extra("`images show`", "images"):
        from augscope.images.gallery import draw_panels, gallery
    pictures, all_read = _pictures(images, options.size)
    rows = draw_panels(pictures, **panels)
    write_file(out, gallery(rows, form))
    print(f"Written: {out}", file=sys.stderr)
    if json:
        cells = [[{"title": cell.title, "image": cell.name, "labels": cell.labels} for cell in row] for row in rows]
        print(json_module.dumps(cells))
    return 0 if all_read else 1


@app.command
def samples(folder: Path) -> int:
    """Write some of scikit-learn's digits as images, a folder a class, to try `images audit` on.

    Parameters
    ----------
    folder
        A new folder.
    """
    with needs_extra("`images samples`", "canvas"):
        from augscope.images.samples import write_samples
    count = write_samples(folder)
    print(f"Written: {count} images in {folder}", file=sys.stderr)
    return 0


def _pictures(images: Sequence[Path], size: int) -> tuple[list[Picture], bool]:
    """At least two pictures, and whether every image could be read; what could not is named on stderr."""
    from augscope.images.reading import bundled_pictures, read_pictures

    pictures, refused, notes = read_pictures(list(images), size)
    for sentence in [*refused, *notes]:
        print(f"augscope: {sentence}", file=sys.stderr)
    if images and not pictures:
        raise ValueError(f"`images` must hold at least one image that can be read, got {len(images)} that cannot")
    if len(pictures) < 2:
        pictures += bundled_pictures(size)[: 2 - len(pictures)]
    return pictures, not refused
