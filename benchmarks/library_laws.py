"""The transforms that `make compare-laws` checks, library by library, and what is claimed of each: by its documentation, or its paper."""

from __future__ import annotations

from dataclasses import dataclass

from augscope.laws import Claims

CLASSES = 'data_keys=["input","class"]'  # of kornia
TIMM, ERASING = "timm.data.mixup:Mixup", "timm.data.random_erasing:RandomErasing"
HOLE = "num_holes_range=(1,1),hole_height_range=(8,8),hole_width_range=(8,8)"


@dataclass(frozen=True)
class LibraryCase:
    """A target, and what its documentation or paper says of it.

    Attributes:
        title: in the page's tables, after the library's name.
        target: for the command line; in `choose.py` where it needs a line of code of its own.
        options: the claims, for the command line.
        claims: the same.
    """

    title: str
    target: str
    options: str
    claims: Claims


def case(title: str, target: str, options: str, kind: str, **fields: object) -> LibraryCase:
    return LibraryCase(title, target, f"--claims {kind} {options}".strip(), Claims(kind=kind, **fields))


FIXED = {"per": "batch", "partner": "fixed"}
PARTNER = "--partner fixed"
BATCH = f"--per batch {PARTNER}"
BOTH = "mixup_alpha=0.8,cutmix_alpha=1.0,num_classes=16"
CHOICE = {"boxes": "clipped", "mixup_alpha": 0.8, "smoothing": 0.1, "partner": "fixed"}
CHOSEN = "--boxes clipped --mixup-alpha 0.8 --smoothing 0.1"
RANGES = {"area": (0.02, 0.3333), "aspect": (0.3, 3.333)}
RANGED = "--area 0.02,0.3333 --aspect 0.3,3.333"
EIGHT = {"size": 8, "boxes": "unclipped", "fill": 0}
INSIDE = "--size 8 --boxes unclipped --fill 0"

CASES: dict[str, tuple[LibraryCase, ...]] = {
    "augscope": (
        case("BoxCutMix", "augscope.images:BoxCutMix()", "--boxes clipped", "cutmix", boxes="clipped"),
        case(
            "BoxCutMix, unclipped",
            'augscope.images:BoxCutMix(boxes="unclipped")',
            "--boxes unclipped",
            "cutmix",
            boxes="unclipped",
        ),
        case("PatchCutMix, 4×4", "augscope.images:PatchCutMix(4)", "--grid 4", "cutmix", grid=4),
        case(
            "PatchCutout, 3 of 4×4",
            "augscope.images:PatchCutout(3,4)",
            "--grid 4 --num-cut 3 --fill 0",
            "cutout",
            grid=4,
            num_cut=3,
            fill=0,
        ),
        case(
            "BoxCutout, 8×8",
            "augscope.images:BoxCutout(8)",
            "--size 8 --boxes clipped --fill 0",
            "cutout",
            size=8,
            boxes="clipped",
            fill=0,
        ),
        case("Mixup", "augscope.images:Mixup()", "", "mixup"),
    ),
    "torchvision": (
        case(
            "CutMix", "torchvision.transforms.v2:CutMix()", f"--boxes clipped {BATCH}", "cutmix", boxes="clipped", **FIXED
        ),
        case("MixUp", "torchvision.transforms.v2:MixUp()", BATCH, "mixup", **FIXED),
        case(
            "RandomChoice of both", "choose.py:mix", f"--boxes clipped {BATCH}", "choice", boxes="clipped", **FIXED
        ),
        case(
            "RandomErasing, given a batch",
            "torchvision.transforms.v2:RandomErasing()",
            "--p 0.5 --per batch --fill 0",
            "erasing",
            p=0.5,
            per="batch",
            fill=0,
        ),
    ),
    "timm": (
        case(
            "Mixup, mode batch", f"{TIMM}({BOTH})", f"{CHOSEN} {BATCH}", "choice", per="batch", **CHOICE
        ),
        case(
            "Mixup, mode pair",
            f'{TIMM}({BOTH},mode="pair")',
            f"{CHOSEN} --per pair {PARTNER}",
            "choice",
            per="pair",
            **CHOICE,
        ),
        case(
            "Mixup, mode elem", f'{TIMM}({BOTH},mode="elem")', f"{CHOSEN} {PARTNER}", "choice", **CHOICE
        ),
        case(
            "Mixup, cutmix_minmax",
            f'{TIMM}(mixup_alpha=0.0,cutmix_alpha=1.0,cutmix_minmax=(0.2,0.8),mode="elem",num_classes=16)',
            f"--minmax 0.2,0.8 --smoothing 0.1 {PARTNER}",
            "cutmix",
            minmax=(0.2, 0.8),
            smoothing=0.1,
            partner="fixed",
        ),
        case(
            "RandomErasing",
            f'{ERASING}(device="cpu")',
            f"--p 0.5 {RANGED} --fill 0",
            "erasing",
            p=0.5,
            fill=0,
            **RANGES,
        ),
        case(
            "RandomErasing, mode pixel",
            f'{ERASING}(device="cpu",mode="pixel")',
            f"--p 0.5 {RANGED}",
            "erasing",
            p=0.5,
            **RANGES,
        ),
    ),
    "kornia": (
        case(
            "RandomCutMixV2",
            f"kornia.augmentation:RandomCutMixV2({CLASSES})",
            "--boxes unclipped",
            "cutmix",
            boxes="unclipped",
        ),
        case("RandomMixUpV2", f"kornia.augmentation:RandomMixUpV2({CLASSES})", "", "mixup"),
        case(
            "RandomMixUpV2, p = 0.5", f"kornia.augmentation:RandomMixUpV2({CLASSES},p=0.5)", "--p 0.5", "mixup", p=0.5
        ),
        case(
            "RandomErasing",
            "kornia.augmentation:RandomErasing(p=0.5)",
            "--p 0.5 --fill 0",
            "erasing",
            p=0.5,
            fill=0,
        ),
    ),
    "keras": (
        case("CutMix", "keras.layers:CutMix()", "", "cutmix"),
        case(
            "CutMix, factor (1, 1)",
            "keras.layers:CutMix(factor=(1.0,1.0))",
            "--boxes unclipped",
            "cutmix",
            boxes="unclipped",
        ),
        case("MixUp", "keras.layers:MixUp()", "--alpha 0.2", "mixup", alpha=0.2),
        case("RandomErasing", "keras.layers:RandomErasing()", "--p 0.5", "cutout", p=0.5),
    ),
    "albumentations": (
        case(
            "CoarseDropout, one hole",
            f"albumentations:CoarseDropout({HOLE},p=1.0)",
            INSIDE,
            "cutout",
            **EIGHT,
        ),
        case("Erasing", "albumentations:Erasing(p=0.5)", "--p 0.5 --fill 0", "erasing", p=0.5, fill=0),
    ),
    "monai": (
        case("CutMix", "monai.transforms:CutMix(batch_size=16)", "--boxes clipped", "cutmix", boxes="clipped"),
        case("MixUp", "monai.transforms:MixUp(batch_size=16)", "", "mixup"),
        case(
            "RandCoarseDropout, one hole",
            "monai.transforms:RandCoarseDropout(holes=1,spatial_size=8,fill_value=0,prob=1.0)",
            INSIDE,
            "cutout",
            **EIGHT,
        ),
    ),
}  # fmt: skip
