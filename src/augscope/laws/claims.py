"""What is claimed of a transform."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import field_validator, model_validator

from augscope.laws.named import BlendLaw, Boxes, BoxLaw, MaskLaw, PatchLaw
from augscope.support.command_line import read_toml
from augscope.support.values import Value, check, check_positive

KINDS = ("cutmix", "cutout", "mixup")


class Claims(Value):
    """A named augmentation with its parameters.

    Args:
        kind: "cutmix", "cutout" or "mixup".
        p: claimed probability that a sample is transformed.
        alpha: α of Beta(α, α): the size of CutMix boxes, or Mixup's weight.
        boxes: "clipped" or "unclipped"; where not said, a CutMix box may follow either.
        grid: rows and columns of patches, in place of a box.
        size: height and width of a Cutout box in pixels.
        num_cut: C, patches that Cutout removes from the grid.
        per: "sample", "pair" or "batch": what has a mask (or weight) of its own.
        fill: value of erased pixels, as the transform returns them.
        smoothing: ε of label smoothing, (1 − ε)·b + ε/K; where not said, it is found and reported.
    """

    kind: Literal["cutmix", "cutout", "mixup"]
    p: float = 1.0
    alpha: float = 1.0
    boxes: Boxes | None = None
    grid: tuple[int, int] | None = None
    size: tuple[int, int] | None = None
    num_cut: int | None = None
    per: Literal["sample", "pair", "batch"] = "sample"
    fill: float | None = None
    smoothing: float | None = None

    @field_validator("grid", "size", mode="before")
    @classmethod
    def _pair(cls, value: Any) -> Any:
        return (value, value) if isinstance(value, int) else value

    @model_validator(mode="after")
    def _consistent(self) -> Claims:
        check(0 < self.p <= 1, f"`p` must be in (0, 1], got {self.p}")
        check_positive("alpha", self.alpha)
        smoothing = self.smoothing
        check(smoothing is None or 0 <= smoothing < 1, f"`smoothing` must be in [0, 1), got {smoothing}")
        for name in ("grid", "size"):
            pair = getattr(self, name)
            check(pair is None or min(pair) >= 1, f"`{name}` must hold whole numbers ≥ 1, got {pair}")
        allowed = {"cutmix": ("boxes", "grid"), "cutout": ("boxes", "grid", "size", "num_cut", "fill"), "mixup": ()}
        for name in ("boxes", "grid", "size", "num_cut", "fill"):
            value = getattr(self, name)
            fits = value is None or name in allowed[self.kind]
            check(fits, f"`{name}` does not belong to claims of {self.kind}, got {value}")
        check(self.grid is None or (self.boxes is None and self.size is None), "`grid` excludes `boxes` and `size`")
        both = (self.grid is None) == (self.num_cut is None)
        check(both or self.kind != "cutout", "`grid` and `num_cut` of cutout must be given together")
        if self.grid is not None and self.num_cut is not None:
            patches = self.grid[0] * self.grid[1]
            check(1 <= self.num_cut < patches, f"`num_cut` must be in [1, P), got {self.num_cut} with P = {patches}")
        return self

    @property
    def mask_laws(self) -> tuple[MaskLaw, ...]:
        """The laws of masks of which one must fit; none where the claims do not say."""
        if self.kind == "mixup":
            return ()
        if self.grid is not None:
            return (PatchLaw(grid=self.grid, num_cut=self.num_cut),)
        kinds: tuple[Boxes, ...] = ("clipped", "unclipped") if self.boxes is None else (self.boxes,)
        if self.kind == "cutmix":
            return tuple(BoxLaw(alpha=self.alpha, boxes=boxes) for boxes in kinds)
        return () if self.size is None else tuple(BoxLaw(size=self.size, boxes=boxes) for boxes in kinds)

    @property
    def blend_law(self) -> BlendLaw | None:
        """Mixup's law."""
        return BlendLaw(alpha=self.alpha) if self.kind == "mixup" else None

    def __str__(self) -> str:
        laws = self.mask_laws if self.blend_law is None else (self.blend_law,)
        titles = " or ".join(law.title for law in laws) or "any box"
        smoothed = "" if self.smoothing is None else f", labels smoothed by {self.smoothing:g}"
        return f"{self.kind}, {titles}, p = {self.p:g}, one draw per {self.per}{smoothed}"


def read_claims(text: str, **given: Any) -> Claims:
    """Return the claims that a command line gives: a kind, or a TOML file with the fields of `Claims`; then options.

    Raises:
        ValueError: on an unknown kind, a file that cannot be read, or fields that do not fit.
    """
    options = {name: value for name, value in given.items() if value is not None}
    if text in KINDS:
        return Claims(**{"kind": text, **options})
    path = Path(text)
    check(path.suffix == ".toml" or path.exists(), f"`claims` must be {', '.join(KINDS)} or a TOML file, got {text!r}")
    return Claims(**{**read_toml("claims", path), **options})
