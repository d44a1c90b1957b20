"""What is claimed of a transform."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import field_validator, model_validator

from augscope.laws.boxes import Boxes, BoxLaw, ErasingLaw, MinMaxLaw
from augscope.laws.named import BlendLaw, MaskLaw, PatchLaw
from augscope.support.command_line import read_toml
from augscope.support.values import Value, check, check_positive

KINDS = ("cutmix", "cutout", "erasing", "mixup", "choice")
ALLOWED = {  # of the fields that do not belong to every kind
    "cutmix": ("boxes", "grid", "minmax"),
    "cutout": ("boxes", "grid", "size", "num_cut", "fill"),
    "erasing": ("area", "aspect", "fill"),
    "mixup": ("beta",),
    "choice": ("boxes", "grid", "minmax", "switch", "mixup_alpha"),
}


class Claims(Value):
    """A named augmentation with its parameters.

    Args:
        kind: "cutmix", "cutout" (without `size` or `grid`: one box of any size), "erasing" (RandomErasing), "mixup", or
            "choice" (of CutMix or Mixup, drawn anew each time).
        p: claimed probability that a sample is transformed.
        alpha: α of Beta(α, α): the size of CutMix boxes, or Mixup's weight.
        beta: β of Beta(α, β), for Mixup; without, α.
        boxes: "clipped" or "unclipped"; where not said, a CutMix box may follow either.
        grid: rows and columns of patches, in place of a box.
        size: height and width of a Cutout box in pixels.
        num_cut: C, patches that Cutout removes from the grid.
        minmax: bounds of a CutMix box's height and width, as shares of the image's, in place of Beta (`cutmix_minmax` of timm).
        area: bounds of RandomErasing's area, as shares of the image's; without, 0.02 to 0.33.
        aspect: bounds of its aspect ratio, log-uniform; without, 0.3 to 3.3.
        switch: of a choice, the probability of CutMix; without, 0.5.
        mixup_alpha: of a choice, α of Mixup's weight; without, 1.
        per: "sample", "pair" or "batch": what has a mask (or weight) of its own.
        partner: "uniform", or "fixed" where it is documented that every call mixes the same ones.
        fill: value of erased pixels, as the transform returns them.
        smoothing: ε of label smoothing, (1 − ε)·b + ε/K; where not said, it is found and reported.
    """

    kind: Literal["cutmix", "cutout", "erasing", "mixup", "choice"]
    p: float = 1.0
    alpha: float = 1.0
    beta: float | None = None
    boxes: Boxes | None = None
    grid: tuple[int, int] | None = None
    size: tuple[int, int] | None = None
    num_cut: int | None = None
    minmax: tuple[float, float] | None = None
    area: tuple[float, float] | None = None
    aspect: tuple[float, float] | None = None
    switch: float | None = None
    mixup_alpha: float | None = None
    per: Literal["sample", "pair", "batch"] = "sample"
    partner: Literal["uniform", "fixed"] = "uniform"
    fill: float | None = None
    smoothing: float | None = None

    @field_validator("grid", "size", mode="before")
    @classmethod
    def _pair(cls, value: Any) -> Any:
        return (value, value) if isinstance(value, int) else value

    @model_validator(mode="after")
    def _consistent(self) -> Claims:
        check(0 < self.p <= 1, f"`p` must be in (0, 1], got {self.p}")
        for name in ("alpha", "beta", "mixup_alpha"):
            value = getattr(self, name)
            if value is not None:
                check_positive(name, value)
        smoothing, switch = self.smoothing, self.switch
        check(smoothing is None or 0 <= smoothing < 1, f"`smoothing` must be in [0, 1), got {smoothing}")
        check(switch is None or 0 < switch < 1, f"`switch` must be in (0, 1), got {switch}")
        for name in ("grid", "size"):
            pair = getattr(self, name)
            check(pair is None or min(pair) >= 1, f"`{name}` must hold whole numbers ≥ 1, got {pair}")
        for name in sorted({name for names in ALLOWED.values() for name in names}):
            value = getattr(self, name)
            fits = value is None or name in ALLOWED[self.kind]
            check(fits, f"`{name}` does not belong to claims of {self.kind}, got {value}")
        self._check_masks()
        return self

    def _check_masks(self) -> None:
        """Whether what is said of masks goes together."""
        check(self.grid is None or (self.boxes is None and self.size is None), "`grid` excludes `boxes` and `size`")
        alone = self.minmax is None or (self.grid is None and self.boxes is None)
        check(alone, "`minmax` excludes `boxes` and `grid`")
        both = (self.grid is None) == (self.num_cut is None)
        check(both or self.kind != "cutout", "`grid` and `num_cut` of cutout must be given together")
        if self.grid is not None and self.num_cut is not None:
            patches = self.grid[0] * self.grid[1]
            check(1 <= self.num_cut < patches, f"`num_cut` must be in [1, P), got {self.num_cut} with P = {patches}")
        _ = self.mask_laws  # their own bounds

    @property
    def erases(self) -> bool:
        """Whether pixels are erased, and labels stay."""
        return self.kind in ("cutout", "erasing")

    @property
    def parts(self) -> tuple[Claims, ...]:
        """The claims of either part of a choice, with its probability; of any other kind, these claims alone."""
        if self.kind != "choice":
            return (self,)
        switch = 0.5 if self.switch is None else self.switch
        changes = {"switch": None, "mixup_alpha": None}
        cutmix = self.replace(kind="cutmix", p=self.p * switch, **changes)
        masks = {"boxes": None, "grid": None, "minmax": None}
        mixup = {"kind": "mixup", "p": self.p * (1 - switch), "alpha": self.mixup_alpha or 1.0}
        return (cutmix, self.replace(**mixup, **masks, **changes))

    @property
    def mask_laws(self) -> tuple[MaskLaw, ...]:
        """The laws of masks of which one must fit; none where the claims do not say."""
        if self.kind == "mixup":
            return ()
        if self.kind == "erasing":
            ranges = {"area": self.area, "aspect": self.aspect}
            return (ErasingLaw(**{name: value for name, value in ranges.items() if value is not None}),)
        if self.grid is not None:
            return (PatchLaw(grid=self.grid, num_cut=self.num_cut),)
        if self.minmax is not None:
            return (MinMaxLaw(low=self.minmax[0], high=self.minmax[1]),)
        kinds: tuple[Boxes, ...] = ("clipped", "unclipped") if self.boxes is None else (self.boxes,)
        if self.kind != "cutout":
            return tuple(BoxLaw(alpha=self.alpha, boxes=boxes) for boxes in kinds)
        return () if self.size is None else tuple(BoxLaw(size=self.size, boxes=boxes) for boxes in kinds)

    @property
    def blend_law(self) -> BlendLaw | None:
        """Mixup's law."""
        return BlendLaw(alpha=self.alpha, beta=self.beta) if self.kind == "mixup" else None

    def __str__(self) -> str:
        what = " or ".join(f"{part._law()} (probability {part.p:g})" for part in self.parts)
        if self.kind != "choice":
            what = f"{self._law()}, p = {self.p:g}"
        fixed = "" if self.partner == "uniform" else ", fixed partners"
        smoothed = "" if self.smoothing is None else f", labels smoothed by {self.smoothing:g}"
        return f"{what}, one draw per {self.per}{fixed}{smoothed}"

    def _law(self) -> str:
        laws = self.mask_laws if self.blend_law is None else (self.blend_law,)
        return f"{self.kind}, {' or '.join(law.title for law in laws) or 'one box of any size'}"


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
