"""What an audit says in words beside its numbers: what the methods do, which subgroups are too small, and what to try next."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from augscope.studies.audit.design import GroupedImages
from augscope.studies.audit.settings import Settings
from augscope.studies.audit.subgroups import MIN_TEST, Measured
from augscope.support.command_line import seeds_text

SUBGROUP = "A subgroup is a label together with a value of each attribute."
INTRODUCTION = (
    "ERM (empirical risk minimisation) trains on the images as they are, Cutout erases a part of each image, and CutMix pastes a "
    f"part of another image into it and mixes the labels by area. {SUBGROUP}"
)
SHOWN = 6  # names in a sentence
LARGER_SHARE = 0.5  # of the images, for testing: what a larger test split means


def size_warning(data: GroupedImages) -> str | None:
    """Return which subgroups have too few test images for a comparison, and what to do; None where all have enough."""
    counts = data.test.counts(len(data.groups)).tolist()
    small = [group.name for group, count in zip(data.groups, counts, strict=True) if count < MIN_TEST]
    if not small:
        return None
    if len(small) == len(data.groups):
        text = f"No subgroup has the {MIN_TEST} test images that a comparison needs (the largest has {max(counts)}), so no difference"
        return f"{text} between methods will be tested. {_remedies(data)}"
    names = ", ".join(f"“{name}”" for name in small[:SHOWN])
    more = f" and {len(small) - SHOWN} more" if len(small) > SHOWN else ""
    text = f"{len(small)} of {len(data.groups)} subgroups have fewer than the {MIN_TEST} test images that a comparison needs"
    return f"{text} ({names}{more}), so no difference is tested on them. {_remedies(data)}"


def _remedies(data: GroupedImages) -> str:
    options = [f"draw more images for testing (--test-share {LARGER_SHARE})" if data.drawn else "add test images"]
    if data.attributes:
        from_csv = data.attributes != ("folder",)
        options.append(f"merge subgroups ({'name fewer --attributes' if from_csv else 'fewer folders in a class'})")
    text = " or ".join(options)
    return f"{text[0].upper()}{text[1:]}. More seeds only make the intervals narrower."


def next_options(
    data: GroupedImages, settings: Settings, measured: Measured, out: Path | None
) -> tuple[str, dict[str, Any]]:
    """Return the question to ask next, and the options that change for it; another audit goes to a folder beside `out`."""
    tested = [comparison for comparison in measured.comparisons if comparison.adjusted is not None]
    beside = {"out": f"{out}-next"}
    if not tested and data.drawn:
        return "Do more test images show a difference?", {"test_share": LARGER_SHARE, **beside}
    if not tested and data.attributes not in ((), ("folder",)):
        return "Do the labels show a difference, without subgroups?", {"attributes": "", **beside}
    if tested and all(comparison.claimed for comparison in tested):
        return "Is it the same with a deeper model?", {"model": "resnet", **beside}
    seeds = settings.seeds
    more = range(max(seeds) + 1, max(seeds) + 1 + len(seeds))
    question = "Do twice as many seeds show more? (Finished trainings are used again.)"
    return question, {"seeds": seeds_text((*seeds, *more)), "overwrite": True}
