"""How often `law check` accuses a right transform, and whether it names what is wrong with a wrong one.

    python benchmarks/law_counts.py --seeds 100 --sizes 16x24
    python benchmarks/law_counts.py --seeds 20 --sizes 32x32,64x96 --calls 150
    python benchmarks/law_counts.py --seeds 20 --wrong

Prints a table, a transform a line, and the intervals in which the true rates lie with a confidence of 95 %. The transforms
are those of tests/law_cases.py and our own; a library's own are added where it can be imported.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from law_cases import CORRECT, WRONG, Case, WrongCase, case

from augscope.laws import Claims, certify
from augscope.support.command_line import parse_pair
from augscope.support.statistics import clopper_pearson

OURS = {
    "augscope BoxCutMix": ("BoxCutMix()", Claims(kind="cutmix", boxes="clipped")),
    "augscope BoxCutMix, unclipped": (
        'BoxCutMix(boxes="unclipped",p=0.6)',
        Claims(kind="cutmix", boxes="unclipped", p=0.6),
    ),
    "augscope PatchCutMix": ("PatchCutMix(4)", Claims(kind="cutmix", grid=(4, 4))),
    "augscope PatchCutout": ("PatchCutout(3,4)", Claims(kind="cutout", grid=(4, 4), num_cut=3, fill=0)),
    "augscope BoxCutout": ("BoxCutout((4,7),p=0.7)", Claims(kind="cutout", size=(4, 7), boxes="clipped", p=0.7)),
    "augscope Mixup": ("Mixup(0.4,p=0.9)", Claims(kind="mixup", alpha=0.4, p=0.9)),
}
FIXED = {"per": "batch", "partner": "fixed"}


def torchvision_cases() -> dict[str, Case]:
    """torchvision's own, in the order of its documentation."""
    from torchvision.transforms import v2

    return {
        "CutMix": case(v2.CutMix, "cutmix", boxes="clipped", **FIXED),
        "MixUp": case(v2.MixUp, "mixup", **FIXED),
        "MixUp, Beta(0.2)": case(lambda: v2.MixUp(alpha=0.2), "mixup", alpha=0.2, **FIXED),
        "RandomChoice": case(lambda: v2.RandomChoice([v2.CutMix(), v2.MixUp()]), "choice", boxes="clipped", **FIXED),
        "RandomErasing": case(lambda: v2.RandomErasing(), "erasing", p=0.5, per="batch", fill=0),
    }


def timm_cases() -> dict[str, Case]:
    """timm's own; they work in place, which is a true finding, so each gets a copy."""
    from timm.data.mixup import Mixup
    from timm.data.random_erasing import RandomErasing

    def mixup(**options: Any) -> Callable:
        mix = Mixup(num_classes=16, **options)
        return lambda images, labels: mix(images.clone(), labels)

    def erasing(**options: Any) -> Callable:
        erase = RandomErasing(device="cpu", **options)
        return lambda images: erase(images.clone())

    both = {"mixup_alpha": 0.8, "cutmix_alpha": 1.0}
    choice = {"boxes": "clipped", "mixup_alpha": 0.8, "partner": "fixed", "smoothing": 0.1}
    minmax = {"mixup_alpha": 0.0, "cutmix_alpha": 1.0, "cutmix_minmax": (0.2, 0.8)}
    ranges = {"area": (0.02, 1 / 3), "aspect": (0.3, 1 / 0.3)}
    return {
        "Mixup, both, batch": case(lambda: mixup(**both), "choice", per="batch", **choice),
        "Mixup, both, pair": case(lambda: mixup(mode="pair", **both), "choice", per="pair", **choice),
        "Mixup, both, elem": case(lambda: mixup(mode="elem", **both), "choice", **choice),
        "Mixup, minmax, elem": case(
            lambda: mixup(mode="elem", **minmax), "cutmix", minmax=(0.2, 0.8), partner="fixed", smoothing=0.1
        ),
        "RandomErasing": case(erasing, "erasing", p=0.5, fill=0, **ranges),
        "RandomErasing, pixel": case(lambda: erasing(mode="pixel"), "erasing", p=0.5, **ranges),
    }


def kornia_cases() -> dict[str, Case]:
    """kornia's own."""
    from kornia.augmentation import RandomCutMixV2, RandomMixUpV2

    keys = ["input", "class"]
    return {
        "RandomMixUpV2": case(lambda: RandomMixUpV2(data_keys=keys), "mixup"),
        "RandomCutMixV2": case(lambda: RandomCutMixV2(data_keys=keys), "cutmix", boxes="unclipped"),
    }


LIBRARIES = {"torchvision": torchvision_cases, "timm": timm_cases, "kornia": kornia_cases}


def right_cases() -> dict[str, Case]:
    """By title."""
    cases = {
        title: Case(lambda target=target: f"augscope.images:{target}", claims)
        for title, (target, claims) in OURS.items()
    }
    for module, library_cases in LIBRARIES.items():
        try:
            __import__(module)
        except ImportError:
            print(f"{module} is not installed: its own transforms are left out", file=sys.stderr)
        else:
            cases |= {f"{module}'s own {title}": right for title, right in library_cases().items()}
    return cases | CORRECT


def count(title: str, tried: Case | WrongCase, seeds: range, size: tuple[int, int], calls: int) -> tuple[int, int]:
    """Check with every seed, print a line, and return how many runs failed and, of a wrong one, had the right name first."""
    failed, named, defects, start = 0, 0, Counter(), time.perf_counter()
    for seed in seeds:
        certificate = certify(tried.make(), claims=tried.claims, seed=seed, image_size=size, num_calls=calls)
        failed += not certificate.holds
        defects[certificate.defects] += 1
        if isinstance(tried, WrongCase):
            named += bool(certificate.defects) and certificate.defects[0].startswith(tried.name)
    seconds = (time.perf_counter() - start) / len(seeds)
    shown = "; ".join(f"{number} × {' + '.join(names) or 'nothing'}" for names, number in defects.most_common(3))
    figures = f"{failed} of {len(seeds)} fail" + (f", {named} named first" if isinstance(tried, WrongCase) else "")
    print(f"{title:45} {size[0]}×{size[1]:<4} {figures:32} {seconds:5.1f} s  {shown}", flush=True)
    return failed, named


def main() -> None:
    """Print the table and the totals."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=20, help="seeds a transform and size, from 0")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--sizes", default="16x24", help="comma-separated heights and widths")
    parser.add_argument("--calls", type=int, default=300, help="calls a check")
    parser.add_argument("--wrong", action="store_true", help="wrong transforms in place of right ones")
    parser.add_argument("--only", default="", help="transforms whose title has this text")
    options = parser.parse_args()
    torch.set_num_threads(1)
    cases = WRONG if options.wrong else right_cases()
    seeds = range(options.first, options.first + options.seeds)
    runs, failed, named = 0, 0, 0
    for size in options.sizes.split(","):
        for title, tried in cases.items():
            if options.only in title:
                some = count(title, tried, seeds, parse_pair("sizes", size), options.calls)
                runs, failed, named = runs + len(seeds), failed + some[0], named + some[1]
    totals = [("runs that fail", failed)] + ([("the right name first", named)] if options.wrong else [])
    for what, number in totals:
        low, high = clopper_pearson(number, runs)
        print(f"{what}: {number} of {runs} ({number / runs:.4f}; interval {low:.4f} to {high:.4f})")


if __name__ == "__main__":
    main()
