"""`augscope images`: augmentations on real images."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import cyclopts
from cyclopts import Parameter

app = cyclopts.App(name="images", help="Augmentations on real images.")

app.command(
    "augscope.cli.audit:audit", name="audit", help="Which subgroups of your images does each augmentation learn?"
)
app.command(
    "augscope.cli.canvas:canvas", name="canvas", help="The paper's question asked of real digits on canvases of noise."
)

FORMS = ("png", "svg", "pdf")


@app.command
def show(
    *images: Path,
    out: Path,
    size: int = 224,
    grid: int = 4,
    num_cut: int = 6,
    seed: int = 0,
    json: Annotated[bool, Parameter(name="--json", negative="")] = False,
) -> int:
    """Draw originals, Cutout and CutMix side by side, with the soft labels underneath.

    Exit status: 0 if every image is shown, 1 if one could not be read, 2 for bad usage.

    Parameters
    ----------
    images
        Image files; a file's name is its class. Without: scikit-learn's two photographs, which also join a single image.
    out
        The picture to write: .png, .svg or .pdf.
    size
        Side in pixels to which every image is cropped and scaled.
    grid
        Rows and columns of patches; they must divide the size.
    num_cut
        Patches that Cutout removes.
    seed
        Of the draws.
    json
        Print the soft labels as JSON on stdout.
    """
    from augscope.cli.law import check_page

    form = out.suffix.lower().removeprefix(".")
    if form not in FORMS:
        raise ValueError(f"`out` must end in .png, .svg or .pdf, got {out}")
    if grid < 1 or size % grid != 0:
        raise ValueError(f"`grid` must divide `size`, got {grid} for {size} pixels")
    check_page(out)
    try:
        from augscope.images.gallery import draw_panels, gallery
        from augscope.images.reading import bundled_pictures, read_pictures
    except ModuleNotFoundError as error:
        raise ValueError(f"`images show` needs {error.name}: pip install 'augscope[images]'") from None
    from augscope.support.files import write_whole

    pictures, refused, notes = read_pictures(list(images), size)
    for sentence in [*refused, *notes]:
        print(f"augscope: {sentence}", file=sys.stderr)
    if images and not pictures:
        raise ValueError(f"`images` must hold at least one image that can be read, got {len(images)} that cannot")
    pictures += bundled_pictures(size)[: 2 if not pictures else 1] if len(pictures) < 2 else []
    rows = draw_panels(pictures, grid=grid, num_cut=num_cut, seed=seed)
    write_whole(out, gallery(rows, form))
    print(f"Written: {out}", file=sys.stderr)
    if json:
        from json import dumps

        print(
            dumps([[{"title": cell.title, "image": cell.name, "labels": cell.labels} for cell in row] for row in rows])
        )
    return 1 if refused else 0
