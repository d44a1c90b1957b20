"""`augscope law`: what an augmentation's law is."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import cyclopts
from cyclopts import Parameter

app = cyclopts.App(name="law", help="Find out what an augmentation does, and hold it to what it claims.")


@app.command
def check(
    target: str,
    *,
    claims: str | None = None,
    p: float | None = None,
    alpha: float | None = None,
    boxes: Literal["clipped", "unclipped"] | None = None,
    grid: str | None = None,
    size: str | None = None,
    num_cut: int | None = None,
    fill: float | None = None,
    per: Literal["sample", "batch"] | None = None,
    batch_size: int = 16,
    num_calls: int = 300,
    image_size: str | None = None,
    channels: int = 3,
    num_classes: int | None = None,
    adapter: str | None = None,
    arrays: str | None = None,
    layout: str | None = None,
    dtype: str | None = None,
    seed: int = 0,
    false_alarm_rate: float = 1e-3,
    out: Path | None = None,
    json: Annotated[bool, Parameter(name="--json", negative="")] = False,
) -> int:
    """Check any library's Cutout, CutMix or Mixup: label weights, the law of the mask, partners, seeds.

    Exit status: 0 if every claimed property holds, 1 otherwise, 2 for bad usage or a target that cannot be imported.

    Parameters
    ----------
    target
        `package.module:Class(arguments)`, such as 'keras.layers:CutMix()', or `file.py:function`, which gets images and
        class indices and returns images and soft labels.
    claims
        `cutmix`, `cutout`, `mixup`, or a TOML file with kind and parameters. Without: label weight = pixel share, labels
        permuted with the images, batch size kept, input untouched.
    p
        Probability that a sample is transformed, as claimed (1).
    alpha
        α of Beta(α, α), as claimed (1).
    boxes
        Claimed: boxes clipped at the border, or inside whole.
    grid
        Claimed patches: 4, or 4x6 for rows and columns.
    size
        Claimed size of a Cutout box in pixels: 8, or 8x12.
    num_cut
        Patches that Cutout removes, as claimed.
    fill
        Claimed value of erased pixels.
    per
        Claimed: one draw per sample (the default) or per batch.
    batch_size
        Samples in a batch.
    num_calls
        Calls with that batch size.
    image_size
        Such as 16x24.
    channels
        Channels of the images.
    num_classes
        Classes of the labels that are fed.
    adapter
        How to call it: pair, kornia, keras, albumentations; by default by its package.
    arrays
        torch, numpy or jax; by default by its package.
    layout
        channels_first or channels_last.
    dtype
        float32 or uint8.
    seed
        Of every random draw.
    false_alarm_rate
        Probability that a transform whose claims are true fails.
    out
        Write the HTML page to this file.
    json
        Print the result as JSON on stdout, everything else on stderr.
    """
    from augscope.laws import certify, read_claims

    laws = {"p": p, "alpha": alpha, "boxes": boxes, "num_cut": num_cut, "fill": fill, "per": per}
    laws |= {"grid": parse_pair("grid", grid), "size": parse_pair("size", size)}
    given = {name: value for name, value in laws.items() if value is not None}
    if claims is None and given:
        raise ValueError(f"`{next(iter(given))}` needs claims, such as --claims cutmix")
    check_page(out)
    how = {"adapter": adapter, "arrays": arrays, "layout": layout, "dtype": dtype, "num_classes": num_classes}
    found = certify(
        target,
        claims=None if claims is None else read_claims(claims, **given),
        batch_size=batch_size,
        num_calls=num_calls,
        image_size=parse_pair("image_size", image_size),
        channels=channels,
        seed=seed,
        false_alarm_rate=false_alarm_rate,
        **{name: value for name, value in how.items() if value is not None},
    )
    _show(found, out, json)
    return found.exit_status


def _show(found: Any, out: Path | None, as_json: bool) -> None:
    """The table; the page; JSON alone on stdout."""
    from augscope.laws.page import html_page
    from augscope.laws.table import print_certificate
    from augscope.support.files import write_whole

    print_certificate(found, sys.stderr if as_json else sys.stdout)
    if as_json:
        from json import dumps

        print(dumps(found.as_dict(), indent=2))
    if out is not None:
        try:
            write_whole(out, html_page(found).encode("utf-8"))
        except OSError as error:
            raise ValueError(f"`out` could not be written, got {out}: {error.strerror}") from None
        print(f"Written: {out}", file=sys.stderr)


def check_page(out: Path | None) -> None:
    """Raise ValueError, before any work, unless a file can be written there."""
    if out is None:
        return
    if out.is_dir() or not out.absolute().parent.is_dir():
        rule = "a file, not a folder" if out.is_dir() else "a file in a folder that exists"
        raise ValueError(f"`out` must be {rule}, got {out}")


def parse_pair(name: str, text: str | None) -> tuple[int, int] | None:
    """4 → (4, 4), 4x6 → (4, 6). Raises ValueError naming the option."""
    if text is None:
        return None
    parts = text.lower().replace("×", "x").split("x")
    if not (1 <= len(parts) <= 2 and all(part.strip().isdigit() and int(part) > 0 for part in parts)):
        raise ValueError(f"`{name}` must be a whole number or two such as 16x24, got {text!r}")
    numbers = [int(part) for part in parts]
    return numbers[0], numbers[-1]
