"""How far the exact boundary of who learns a feature is off at finite size, and the two heuristics before it.

    augscope sweep examples/sweeps/rarity-noise.toml --setting small --out DIR1 --workers 2
    augscope sweep benchmarks/sweep_boundaries.toml --out DIR2 --workers 2
    python benchmarks/sweep_boundaries.py DIR1 DIR2

A measured boundary is the noise speed at which the mean accuracy on the rarer feature crosses 0.75, for one method, ρ, α and d. The
factor between it and the predicted one counts, whichever is larger.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.optimize import least_squares, root_scalar

import augscope as ag

LEVEL = 0.75
PULL, TEST_NOISE = 5.4, 5.4  # the constants that were fitted before boundaries were exact


@dataclass(frozen=True)
class Crossing:
    """A measured boundary: the noise speed σ_d² d/n at which a method ceases to learn a feature of frequency rho."""

    method: str
    rho: float
    feature_noise: float
    noise: float  # √(n/d)
    speed: float
    exact: float  # the nearest change in the population; NaN where there is none

    def predicted(self, pull: float, test_noise: float) -> float:
        """Return the noise speed at which R_k = √((pull α R_1/(2 + R_1))² + (test_noise)² n/d)."""
        share = 1.0 if self.method == "erm" else 0.36  # (σ_b/σ_d)²: what Cutout has to be faster than

        def above(log_speed: float) -> float:
            rare, common = (part / (share * np.exp(log_speed)) for part in (self.rho, 1 - self.rho))
            return rare - np.hypot(pull * self.feature_noise * common / (2 + common), test_noise * self.noise)

        return float(np.exp(root_scalar(above, bracket=(np.log(1e-4), np.log(1e4))).root))

    @property
    def simple(self) -> float:
        """The noise speed at which R_k = 0.7 (model.md identity 9)."""
        return self.rho / 0.7 / (1.0 if self.method == "erm" else 0.36)


def crossings(folder: Path) -> list[Crossing]:
    """Every boundary that lies within the grid of a folder."""
    records, found = ag.Records(folder), []
    places = records.query("SELECT DISTINCT feature_noise, dim, num_samples FROM records ORDER BY ALL").to_pylist()
    for at in places:
        diagram = ag.phase_diagram(
            records,
            x="rho",
            y="speed",
            value="feature_accuracy[2]",
            panels="method",
            level=LEVEL,
            where=f"feature_noise = {at['feature_noise']} AND dim = {at['dim']} AND method <> 'cutmix'",
        )
        noise = (at["num_samples"] / at["dim"]) ** 0.5
        for panel in diagram.panels:
            (changes,) = panel.predicted_crossings.values()
            for rho, speed in panel.crossings(LEVEL).items():
                exact = min(changes.get(rho, [np.nan]), key=lambda value: abs(np.log(value / speed)))
                found.append(Crossing(panel.name, rho, at["feature_noise"], noise, speed, exact))
    return found


def told(name: str, logs: np.ndarray) -> None:
    """The worst and the root mean square factor."""
    logs = logs[np.isfinite(logs)]
    print(
        f"  {name}: {len(logs)}, worst factor {np.exp(abs(logs).max()):.2f}, rms {np.exp(np.sqrt((logs**2).mean())):.2f}"
    )


def main() -> None:
    """Each folder by itself and all together."""
    groups = {folder: crossings(Path(folder)) for folder in sys.argv[1:]}
    groups["all"] = [one for group in groups.values() for one in group]

    def errors(found: list[Crossing], constants: tuple[float, float] | np.ndarray) -> np.ndarray:
        return np.array([np.log(one.speed / one.predicted(*constants)) for one in found])

    fits = {}
    for name, found in groups.items():
        fits[name] = np.exp(least_squares(lambda at: errors(found, np.exp(at)), np.log([PULL, TEST_NOISE])).x)  # noqa: B023 - called at once
        print(
            f"{name}: {len(found)} boundaries; fitted here alone: pull {fits[name][0]:.2f}, test noise {fits[name][1]:.2f}"
        )
        told("fitted here alone", errors(found, fits[name]))
        told("exact", np.array([np.log(one.speed / one.exact) for one in found]))
        told("R = 0.7", np.array([np.log(one.speed / one.simple) for one in found]))
        told(f"constants of before ({PULL}, {TEST_NOISE})", errors(found, (PULL, TEST_NOISE)))
        told("fitted to the first folder", errors(found, fits[next(iter(groups))]))
    for one in groups["all"]:
        print(
            f"{one.method:7} α {one.feature_noise:<5g} ρ {one.rho:<6.3g} √(n/d) {one.noise:.4f}: {one.speed:.3g}, "
            f"measured / exact: {one.speed / one.exact:.2f}, / R = 0.7: {one.speed / one.simple:.2f}, / fitted: {one.speed / one.predicted(PULL, TEST_NOISE):.2f}"
        )


if __name__ == "__main__":
    main()
