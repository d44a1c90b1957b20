"""Theorems as data, assumptions, verdicts over seeds."""

from __future__ import annotations

import numpy as np
import pytest

import augscope as ag
from augscope.measures import History
from augscope.theorems import assumptions, judge
from augscope.verification import HOLDS, INCONCLUSIVE, VIOLATED, clopper_pearson, decide

THEOREM = ag.presets.theorem.distribution
STATED = THEOREM.rarity


def history(**fields) -> History:
    """A history of made-up measures; fields that are not given are NaN."""
    length = len(fields["accuracy"])
    empty = {name: np.full(length, np.nan) for name in History.__dataclass_fields__}
    return History(**{**empty, "steps": np.arange(length) * 10, **{name: np.array(v) for name, v in fields.items()}})


@pytest.mark.parametrize(("index", "predicted"), [(0, 0.9), (1, 0.975), (2, 1.0)])
def test_predicted_accuracies_are_those_of_the_paper(index, predicted):
    # Sums of three decimals: a few units in the last place.
    assert ag.THEOREMS[index].statements[-1].predicted(THEOREM, STATED) == pytest.approx(predicted, abs=1e-15)


def test_a_lasting_theorem_starts_after_its_last_failure():
    made = history(margin=[-1, 1, 1, 1, 1], accuracy=[0.9, 0.9, 0.95, 0.905, 0.9])
    onset, alone, measured, largest = judge(ag.THEOREMS[0], made, THEOREM, STATED, 0.01)
    assert (onset, alone) == (3, (1, 3))
    assert measured == (1, 0.9)
    assert largest == pytest.approx(0.005)


def test_a_theorem_that_fails_at_the_end_has_no_onset():
    made = history(margin=[1, 1, 1], accuracy=[0.9, 0.9, 0.92])
    onset, alone, _, largest = judge(ag.THEOREMS[0], made, THEOREM, STATED, 0.01)
    assert onset is None
    assert alone == (0, None)
    assert np.isnan(largest)


def test_cutmix_needs_one_common_step_and_reports_the_last():
    made = history(margin=[1, 1, 1, 1], accuracy=[0.5, 1.0, 1.0, 0.9], gradient_norm=[1.0, 5e-4, 1e-4, 1e-5])
    onset, alone, measured, _ = judge(ag.THEOREMS[2], made, THEOREM, STATED, 0.01)
    assert onset == 2
    assert alone == (3, 3, 2)
    assert measured == (1e-4, 1, 1.0)


def test_a_norm_vanishes_only_if_it_fell_a_hundredfold():
    made = history(margin=[1, 1], accuracy=[1.0, 1.0], gradient_norm=[5e-4, 4e-4])
    assert judge(ag.THEOREMS[2], made, THEOREM, STATED, 0.01)[0] is None


def test_every_assumption_holds_at_the_theorem_preset_and_each_can_fail():
    def unmet(method, num_samples=300, **changes):
        changed = THEOREM.replace(**changes)
        return [row.text for row in assumptions(method, changed, changed.rarity, num_samples) if not row.met]

    for method in ag.presets.theorem.methods:
        assert unmet(method) == []
    assert unmet(ag.Cutout(num_cut=2)) == ["C = 2 < P/2 = 1.5"]
    assert any(text.startswith("P = 2") for text in unmet(ag.Erm(), num_patches=2))
    assert any(text.startswith("σ_d/σ_b") for text in unmet(ag.Erm(), background_noise_std=0.03))
    assert any(text.startswith("n(P−1)") for text in unmet(ag.Erm(), dim=500))
    assert any("feature 2 (common)" in t for t in unmet(ag.Erm(), rarity=("common", "common", "extremely_rare")))


def test_clopper_pearson_against_the_binomial_tails():
    from scipy.stats import binom

    low, high = clopper_pearson(7, 8)
    # By definition each end leaves 2.5 % in its tail; the solver's own tolerance is far below 1e-10.
    assert binom.sf(6, 8, low) == pytest.approx(0.025, abs=1e-10)
    assert binom.cdf(7, 8, high) == pytest.approx(0.025, abs=1e-10)


@pytest.mark.parametrize(
    ("holding", "trials", "verdict"),
    [(8, 8, HOLDS), (6, 6, HOLDS), (5, 5, INCONCLUSIVE), (7, 8, INCONCLUSIVE), (0, 8, VIOLATED), (0, 0, INCONCLUSIVE)],
)
def test_verdicts(holding, trials, verdict):
    assert decide(holding, trials) == verdict


@pytest.mark.parametrize("seeds", [[], [1, 1], [-1], [0.5], [True]])
def test_bad_seeds_are_refused(seeds):
    with pytest.raises(ValueError, match="`seeds` must"):
        ag.verify(ag.presets.theorem, seeds)


def test_bad_tolerance_is_refused():
    with pytest.raises(ValueError, match=r"`tolerance` must be in \(0, 0.5\), got 0.5"):
        ag.verify(ag.presets.theorem, [0], tolerance=0.5)


def test_a_sample_without_a_feature_is_set_aside_by_name():
    tiny = ag.presets.theorem.replace(num_samples=4, num_steps=1, methods=(ag.Erm(),))
    found = ag.verify(tiny, [0])
    assert found.theorems[0].verdict == "assumptions not met"
    assert "carries feature" in found.theorems[0].outcomes[0].excluded
    assert found.exit_status == 3


def test_erm_at_the_theorem_preset_holds_over_six_seeds():
    # Measured: ERM's accuracy is within 0.005 of 0.9 from about step 20; six of six is the least that decides.
    quick = ag.presets.theorem.replace(num_steps=60, record_at=(40, 60), methods=(ag.Erm(),))
    found = ag.verify(quick, range(6))
    assert [theorem.verdict for theorem in found.theorems] == [HOLDS]
    assert found.exit_status == 0
    assert abs(found.theorems[0].lines[1].measured - 0.9) < 0.005
