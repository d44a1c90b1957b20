"""What a canvas study is: everything that determines it but its seeds, as one validated value."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Literal

from pydantic import model_validator

from augscope.support.values import Value, check, check_count, check_positive

RARITIES = ("common", "rare", "extremely rare")
HELD_OUT = 20  # digits of every subclass that training must leave for the test
MAX_PATCHES = 8  # every subset is enumerated for every pair of points: 2^(P−1) n² terms a step
MAX_SIDE = 128  # a seed's patches are held in memory once
MOST = {"width": 10_000, "num_steps": 10_000_000, "num_tests": 100_000}  # above, it is a typing error
METHODS = {"erm", "cutout", "mixup", "cutmix"}
POOLS = {"template": 10_000, "homogeneous": 80, "all": 174}  # digits to draw from; scikit-learn has 174 eights


class CanvasSettings(Value):
    """Real digits on canvases of noise, a network, and the training losses to compare.

    A point is a row of P patches in random order: one digit (unit norm), one patch of dominant noise, and background noise.
    Noise is given by its norm ‖ξ‖ = σ√d relative to the digit's, so that learning speeds do not depend on the patch size.

    The defaults sit in the middle of the windows that the learning speeds of model.md, 6.9, leave: ERM should learn a
    feature where ρ_k n/‖ξ_d‖² ≳ 0.7, Cutout where ρ_k n/‖ξ_b‖² ≳ 0.7. With counts (40, 8, 2), ρ_k n = 80, 16, 4, so ERM learns
    the common one only for ‖ξ_d‖² from 23 to 114, Cutout not the extremely rare one for ‖ξ_b‖² from 5.7 to 23; the geometric means
    are 7.15² and 3.4². Patches of 64×64 pixels make the test noise κ = √((n/d)(1 + (P−2)‖ξ_d‖²/‖ξ_b‖²)) = 0.36 (model.md, 6.10).

    Args:
        preset: which digits a subclass has: "template" (one image, as the paper's fixed feature), "homogeneous" (the 80
            nearest to the class mean) or "all".
        noise: the dominant patch: "gaussian", or "texture" from scikit-learn's photographs.
        network: "relu" (patch-shared, `--width` filters) or "two-filter" (the paper's, with its activation).
        counts: training points of the common, rare and extremely rare subclass of each label; decreasing, ≥ 1.
        num_patches: P in [3, 8], patches in a row.
        methods: among erm, cutout, mixup (in halves) and cutmix; erm and cutmix, which the others stand between, always.
        num_cut: the C of each Cutout to compare, in [1, P); may be empty.
        side: pixels of a patch's side, in [8, 128]; d = side².
        dominant_noise_norm, background_noise_norm: ‖ξ‖ of such a patch relative to the digit's norm, > 0.
        width: filters of the ReLU network, even.
        init_std: σ_0 ≥ 0 of every weight.
        step_size: η of full-batch gradient descent, the same for every method.
        num_steps: gradient steps, the same for every method.
        num_tests: fresh test points of each subclass.

    Raises:
        ValueError: with a sentence naming the field, the rule and the value.
    """

    preset: Literal["template", "homogeneous", "all"] = "template"
    noise: Literal["gaussian", "texture"] = "gaussian"
    network: Literal["relu", "two-filter"] = "relu"
    counts: tuple[int, int, int] = (40, 8, 2)
    num_patches: int = 3
    methods: tuple[str, ...] = ("erm", "cutout", "cutmix")
    num_cut: tuple[int, ...] = (1, 2)
    side: int = 64
    dominant_noise_norm: float = 7.15
    background_noise_norm: float = 3.4
    width: int = 32
    init_std: float = 0.01
    step_size: float = 8.0
    num_steps: int = 2_000
    num_tests: int = 100

    @model_validator(mode="after")
    def _check_together(self) -> CanvasSettings:
        self._check_counts()
        check(
            3 <= self.num_patches <= MAX_PATCHES,
            f"`num_patches` must be in [3, {MAX_PATCHES}] (a digit, dominant noise, background noise), got {self.num_patches}",
        )
        methods = list(self.methods)
        check(set(methods) <= METHODS, f"`methods` must be among erm, cutout, mixup, cutmix, got {methods}")
        check(len(set(methods)) == len(methods), f"`methods` must not repeat, got {methods}")
        check({"erm", "cutmix"} <= set(methods), f"`methods` must have erm and cutmix, got {methods}")
        for cut in self.num_cut:
            check(1 <= cut < self.num_patches, f"`num_cut` must be in [1, P), got {cut} with P = {self.num_patches}")
        check(len(set(self.num_cut)) == len(self.num_cut), f"`num_cut` must not repeat, got {list(self.num_cut)}")
        check(8 <= self.side <= MAX_SIDE, f"`side` must be in [8, {MAX_SIDE}] pixels, got {self.side}")
        check(self.width >= 2 and self.width % 2 == 0, f"`width` must be even and at least 2, got {self.width}")
        check(self.init_std >= 0, f"`init_std` must be at least 0, got {self.init_std}")
        for name in ("dominant_noise_norm", "background_noise_norm", "step_size"):
            check_positive(name, getattr(self, name))
        for name in ("num_steps", "num_tests"):
            check_count(name, getattr(self, name))
        for name, most in MOST.items():
            check(getattr(self, name) <= most, f"`{name}` must be at most {most:,}, got {getattr(self, name)}")
        return self

    def _check_counts(self) -> None:
        check(min(self.counts) >= 1, f"`counts` must be at least 1 each, got {list(self.counts)}")
        check(
            self.counts[0] >= self.counts[1] >= self.counts[2],
            f"`counts` must decrease from common to extremely rare, got {list(self.counts)}",
        )
        most = POOLS[self.preset] - HELD_OUT
        check(
            max(self.counts) <= most,
            f"`counts` must leave {HELD_OUT} digits of each class for the test: at most {most} of preset '{self.preset}', got {list(self.counts)}",
        )
        # Pairs of points are enumerated: n² terms.
        check(sum(self.counts) <= 1_000, f"`counts` must sum to at most 1,000 a label, got {sum(self.counts):,}")

    @property
    def cutouts(self) -> dict[str, int]:
        """The C of each Cutout, by its title, in rising order."""
        numbers = self.num_cut if "cutout" in self.methods else ()
        return {f"Cutout C = {num_cut}": num_cut for num_cut in sorted(numbers)}

    @property
    def num_samples(self) -> int:
        """n, training points of both labels."""
        return 2 * sum(self.counts)

    @property
    def dim(self) -> int:
        """d, pixels of a patch."""
        return self.side**2

    def identity(self, seeds: Sequence[int]) -> str:
        """SHA-256 of all that determines a study: equal if and only if settings and seeds are."""
        configuration = {**self.model_dump(mode="json"), "seeds": list(seeds)}
        text = json.dumps(configuration, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()
