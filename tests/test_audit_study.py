"""Planted data: the audit names the subgroups that ERM cannot learn and CutMix can, and claims nothing where there is nothing."""

from __future__ import annotations

import html
import json
import shlex
from dataclasses import replace

import numpy as np
import pytest
import torch
from audit_cases import one_feature, planted, pure_noise
from matplotlib.figure import Figure
from scipy import stats

from augscope.cli import app
from augscope.cli.audit_terminal import print_audit
from augscope.studies.audit.dataset import read_data
from augscope.studies.audit.explanations import next_options, size_warning
from augscope.studies.audit.exposure import exposure
from augscope.studies.audit.kept import kept_trainings, remaining, train_all
from augscope.studies.audit.page import html_page
from augscope.studies.audit.result import conclude, record
from augscope.studies.audit.settings import Settings
from augscope.studies.audit.study import prepare
from augscope.studies.audit.subgroups import LEARNED, MEMORISED, measure
from augscope.support.command_line import NextStep
from augscope.support.statistics import crossed_difference, crossed_gap, crossed_share, given_share

torch.set_num_threads(1)  # small batches in parallel test processes: more threads only wait for each other

METHODS = ("erm", "cutmix-patch")


def settings_for(folder, **changes) -> Settings:
    options = {
        "methods": METHODS,
        "model": f"{folder / 'patchnet.py'}:PatchNet()",
        "seeds": (0, 1, 2, 3),
        "grid": 2,
        "num_cut": 1,
        "steps": 150,
        "batch_size": 84,
        "learning_rate": 1e-3,
        "weight_decay": 0.0,
    }
    return Settings(**{**options, **changes})


def trained(study, kept=None):
    return train_all(study, remaining(study, kept, "cpu"), kept, lambda *_: None)


def audited(path, settings):
    study = prepare(read_data(path), settings)
    return conclude(study, trained(study), {})


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    folder = tmp_path_factory.mktemp("planted")
    return audited(planted(folder), settings_for(folder))


class TestPlanted:
    """Fixed seeds; over 10 planted sets of other seeds the same came out each time (see the slow check)."""

    def test_what_erm_cannot_learn_and_cutmix_can_is_named(self, result):
        check_planted(result)
        assert "CutMix (patches) predicts “0 · rare” and “1 · rare” better than ERM" in result.words.headline
        assert any("ERM only memorises “0 · rare”, “1 · rare”" in sentence for sentence in result.words.findings)

    def test_it_is_drawn_on_given_axes_and_shows_itself(self, result):
        axis = Figure().subplots()
        assert result.plot(axis) is axis
        marks = {line.get_xdata()[0] for line in axis.lines if len(line.get_xdata()) == 1}
        assert {cell.test.estimate for cell in result.measured.accuracies.values()} <= marks
        assert repr(result).startswith(f"Audit: {result.words.headline}")
        assert len(repr(result)) < 2000
        assert "<td>0 · rare</td>" in result._repr_html_()

    def test_every_claim_is_backed_by_its_numbers(self, result):
        for claim in (c for c in result.measured.comparisons if c.claimed):
            assert claim.adjusted >= claim.difference.p_value
            assert claim.difference.low > 0 or claim.difference.high < 0

    def test_the_worst_subgroup_is_a_rare_one_for_erm(self, result):
        (worst,) = result.measured.worst("erm")
        assert result.study.data.groups[worst.group].attributes == ("rare",)

    def test_none_is_the_worst_of_equals(self, result):
        audit = with_constant_answers(result, [("erm", seed) for seed in result.study.settings.seeds])
        assert [cell.test.estimate for cell in audit.measured.worst("erm")] == [
            0,
            0,
        ]  # both subgroups of the other label
        assert "ERM predicts “1 · common” and “1 · rare” worst, alike: 0.0 %." in audit.words.findings


def check_planted(result) -> None:
    names = [group.name for group in result.study.data.groups]
    gains = {names[c.group] for c in result.measured.comparisons if c.claimed and c.difference.estimate > 0}
    assert gains == {"0 · rare", "1 · rare"}
    for group, name in enumerate(names):
        erm, cutmix = (result.measured.accuracies[method, group] for method in METHODS)
        assert erm.train.estimate == 1
        assert erm.status == (MEMORISED if name.endswith("rare") else LEARNED)
        assert cutmix.test.low > 0.5


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, 11))
def test_other_planted_sets(seed, tmp_path):
    check_planted(audited(planted(tmp_path, seed), settings_for(tmp_path)))


def audited_nothing(path, steps: int):
    """Audit three methods where none has an effect on any subgroup."""
    methods = ("erm", "cutout-patch", "cutmix-patch")
    return audited(path, settings_for(path.parent, methods=methods, seeds=(0, 1, 2), steps=steps, batch_size=40))


def claims(audit) -> int:
    return sum(comparison.claimed for comparison in audit.measured.comparisons)


class TestNothing:
    """Labels that nothing tells of (right half the time), and one feature a label with an attribute that means nothing (all learn it)."""

    def test_nothing_is_claimed_of_noise(self, tmp_path):
        assert claims(audited_nothing(pure_noise(tmp_path, 0), 40)) == 0

    def test_nothing_is_claimed_where_all_learn(self, tmp_path):
        audit = audited_nothing(one_feature(tmp_path, 0), 60)
        assert {cell.status for cell in audit.measured.accuracies.values()} == {LEARNED}
        assert claims(audit) == 0

    @pytest.mark.slow
    @pytest.mark.parametrize(("null", "steps"), [(pure_noise, 40), (one_feature, 60)])
    def test_false_alarms_of_50_audits(self, null, steps, tmp_path):
        """At most 5 % of audits may claim anything: more than 7 of 50 would then have probability 1 %."""
        alarms = sum(claims(audited_nothing(null(tmp_path / str(seed), seed), steps)) > 0 for seed in range(50))
        print(f"{alarms} of 50 audits of {null.__name__} claim something")
        assert stats.binom.sf(7, 50, 0.05) < 0.01
        assert alarms <= 7


class TestIntervals:
    """Simulated networks and images, 400 draws of each kind."""

    @pytest.mark.parametrize(
        ("image", "network", "answer"), [(0, 0, 1), (0.5, 0, 0.5), (0.3, 0.1, 0.6), (0.3, 0.3, 0.3)]
    )
    @pytest.mark.parametrize("networks", [2, 5])
    def test_differences_of_nothing_are_rarely_claimed(self, image, network, answer, networks):
        generator, rejected = np.random.default_rng(0), 0
        for _ in range(400):
            values = image * generator.normal(size=40) + network * generator.normal(size=(networks, 1))
            values = values + answer * generator.normal(size=(networks, 40))
            rejected += crossed_difference(values, np.zeros_like(values)).p_value <= 0.05
        assert rejected <= 33  # 0.05 of 400 and three standard deviations: passed by chance 1 in 700 at worst

    def test_the_p_value_is_where_the_interval_touches_nothing(self):
        generator = np.random.default_rng(1)
        right, wrong = (generator.random((4, 50)) < share for share in (0.8, 0.6))
        p_value = crossed_difference(right, wrong).p_value
        edge = crossed_difference(right, wrong, level=1 - p_value)
        assert min(abs(edge.low), abs(edge.high)) < 1e-6

    def test_few_images_never_tell(self):
        assert crossed_difference(np.ones((5, 3)), np.zeros((5, 3))).p_value > 0.05
        assert crossed_difference(np.ones((5, 30)), np.zeros((5, 30))).p_value < 1e-5

    def test_a_lucky_seed_is_not_taken_for_a_method(self):
        """All images change together, in two networks of three: the images alone would claim it."""
        values = np.repeat([[1.0], [1.0], [0.0]], 100, axis=1)
        assert stats.ttest_1samp(values.mean(axis=0) + 1e-9 * np.arange(100), 0).pvalue < 1e-100
        assert crossed_difference(values, np.zeros_like(values)).p_value > 0.1

    def test_shares(self):
        right = np.ones((3, 2))
        assert (
            given_share(right).low > crossed_share(right).low
        )  # two given images say less of others than of themselves
        assert crossed_share(np.zeros((2, 50))).high < 0.2
        gap = crossed_gap(np.ones((4, 20)), np.tile(np.arange(100) % 2, (4, 1)))
        assert gap.estimate == 0.5
        assert 0.2 < gap.low < gap.high < 0.7
        with pytest.raises(ValueError, match=r"values must have shape \(networks ≥ 1, images ≥ 1\), got \(0, 5\)"):
            crossed_share(np.ones((0, 5)))


class TestCollapsed:
    """Trainings that failed, planted in a finished audit: networks that always answer the same class."""

    def test_a_failed_training_is_named_wherever_the_result_is_shown(self, result, capsys):
        audit = with_constant_answers(result, [("cutmix-patch", 2)])
        (network,) = audit.measured.collapsed
        assert (network.method, network.seed, network.guessing) == ("cutmix-patch", 2, 0.5)
        assert "The training of CutMix (patches) from seed 2 failed: the network is right on 50.0 %" in network.sentence
        assert network.sentence in html.unescape(
            html_page(audit, b"<svg/>", "again", NextStep("What next?", "augscope"))
        )
        assert record(audit)["collapsed"] == [network._asdict()]
        print_audit(audit, to_stderr=False)
        assert "CutMix (patches) from seed 2 failed" in " ".join(capsys.readouterr().out.split())

    def test_two_of_four_are_named_too(self, result):
        audit = with_constant_answers(result, [("cutmix-patch", 0), ("cutmix-patch", 3), ("erm", 1)])
        names = [(network.method, network.seed) for network in audit.measured.collapsed]
        assert names == [("erm", 1), ("cutmix-patch", 0), ("cutmix-patch", 3)]

    def test_a_method_that_learns_nothing_has_not_collapsed(self, result):
        assert result.measured.collapsed == ()
        audit = with_constant_answers(result, [("erm", seed) for seed in result.study.settings.seeds])
        assert audit.measured.collapsed == ()


def with_constant_answers(audit, pairs):
    """The audit, had the networks of these methods and seeds always answered the first class."""
    failed = {pair: replace(audit.runs[pair], test=np.zeros_like(audit.runs[pair].test)) for pair in pairs}
    return conclude(audit.study, {**audit.runs, **failed}, audit.versions)


class TestExposure:
    def test_shares_are_those_of_the_law(self, result):
        data = result.study.data
        share = data.train.counts(4) / len(data.train)
        erm, cutmix = result.exposures["erm"], result.exposures["cutmix-patch"]
        np.testing.assert_allclose(erm.weight, share)
        np.testing.assert_array_equal(erm.images, erm.unmixed)
        # Whole batches are permuted, so weights stay up to the draws: 150 × 84 images, standard error some 0.004.
        np.testing.assert_allclose(cutmix.weight, share, atol=0.015)
        np.testing.assert_allclose(cutmix.pixels, cutmix.weight)
        np.testing.assert_allclose(cutmix.mixed_with.sum(axis=1), cutmix.weight, atol=1e-6)
        # q images are of the group, and of the others every one with a partner of it: |S| is 0 … 4 alike, so 1 in 5 shows only
        # the partner and 1 in 5 only itself. P(shows) = q + (1 − q) · 4/5 · q − q · 1/5 · (1 − q) = q + 3/5 · q (1 − q).
        np.testing.assert_allclose(cutmix.images, share + 0.6 * share * (1 - share), atol=0.015)

    def test_cutout_hides_its_share(self, result, tmp_path):
        cutout = settings_for(tmp_path, methods=("erm", "cutout-patch"), steps=20)
        shown = exposure(replace(result.study, settings=cutout), "cutout-patch")
        np.testing.assert_allclose(shown.pixels, 0.75 * shown.weight)


class TestGoingOn:
    def test_finished_trainings_are_not_made_again(self, tmp_path):
        folder = tmp_path
        settings = settings_for(planted(folder, common=12, test=12).parent, seeds=(0, 1), steps=8)
        study = prepare(read_data(folder / "data.csv"), settings)
        kept = kept_trainings(folder / "kept", study, "cpu")
        whole = trained(study)

        def stop(what, share):
            if share > 0.6:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            train_all(study, remaining(study, kept, "cpu"), kept, stop)
        left = remaining(study, kept_trainings(folder / "kept", study, "cpu"), "cpu")
        assert (len(left.kept), len(left.plans)) == (2, 2)
        resumed = train_all(study, left, kept, lambda *_: None)
        for pair, run in whole.items():
            for name in ("train", "test", "test_confidence"):
                np.testing.assert_array_equal(getattr(run, name), getattr(resumed[pair], name))
        assert "Nothing is left to train (4 more are kept)." in str(remaining(study, kept, "cpu"))
        other = replace(study, settings=settings.replace(steps=9))
        with pytest.raises(
            ValueError, match=r"`checkpoint` must be of this configuration, got .* settings\.steps = 8, not 9"
        ):
            kept_trainings(folder / "kept", other, "cpu")

    @pytest.mark.slow
    def test_side_by_side_the_bits_are_the_same(self, tmp_path):
        settings = settings_for(planted(tmp_path, common=12, test=12).parent, seeds=(0, 1), steps=8)
        study = prepare(read_data(tmp_path / "data.csv"), settings)
        kept, shares = kept_trainings(tmp_path / "kept", study, "cpu"), []
        whole = trained(study)
        left = remaining(study, kept, "cpu", workers=2)
        assert "4 trainings of 8 steps, 2 at a time: about " in str(left)
        torch.set_num_threads(2)  # of no consequence
        runs = train_all(study, left, kept, lambda _, share: shares.append(share))
        torch.set_num_threads(1)
        assert list(runs) == list(whole)
        for pair, run in whole.items():
            for name in ("train", "test", "test_confidence"):
                np.testing.assert_array_equal(getattr(run, name), getattr(runs[pair], name))
        assert shares == sorted(shares)
        assert shares[-1] == 1
        assert remaining(study, kept, "cpu").plans == ()

    @pytest.mark.slow
    def test_one_that_fails_ends_the_others(self, tmp_path):
        options = {"model": "small", "steps": 400, "learning_rate": 1e30}
        settings = settings_for(planted(tmp_path, common=12, test=12).parent, seeds=(0, 1), **options)
        study = prepare(read_data(tmp_path / "data.csv"), settings)
        with pytest.raises(ValueError, match=r"the loss is nan at step .*: a lower `learning_rate` may help"):
            train_all(study, remaining(study, None, "cpu", workers=2), None, lambda *_: None)

    def test_more_seeds_go_on_from_fewer(self, tmp_path):
        settings = settings_for(planted(tmp_path, common=12, test=12).parent, seeds=(0, 1), steps=2)
        study = prepare(read_data(tmp_path / "data.csv"), settings)
        kept = kept_trainings(tmp_path / "kept", study, "cpu")
        trained(study, kept)
        more = remaining(replace(study, settings=settings.replace(seeds=(0, 1, 2))), kept, "cpu")
        assert [(plan.method, plan.seed) for plan in more.plans] == [("erm", 2), ("cutmix-patch", 2)]
        reordered = prepare(study.data, settings.replace(seeds=(5, 0, 1)))
        assert study.model_digest == reordered.model_digest

    def test_another_audits_runs_are_refused_or_replaced(self, tmp_path):
        settings = settings_for(planted(tmp_path, common=12, test=12).parent, seeds=(0, 1), steps=2)
        study = prepare(read_data(tmp_path / "data.csv"), settings)
        kept = kept_trainings(tmp_path / "kept", study, "cpu")
        trained(study, kept)
        (tmp_path / "kept" / "letter.txt").touch()
        other = replace(study, settings=settings.replace(steps=3))
        with pytest.raises(ValueError, match=r"settings\.steps = 2, not 3"):
            kept_trainings(tmp_path / "kept", other, "cpu")
        with pytest.raises(ValueError, match=r"got .* with letter\.txt"):  # what no audit has made is left alone
            kept_trainings(tmp_path / "kept", other, "cpu", replace=True)
        (tmp_path / "kept" / "letter.txt").unlink()
        replaced = kept_trainings(tmp_path / "kept", other, "cpu", replace=True)
        assert len(remaining(other, replaced, "cpu").plans) == 4

    def test_a_save_that_was_killed_is_not_taken_for_a_strangers_file(self, tmp_path):
        settings = settings_for(planted(tmp_path, common=12, test=12).parent, seeds=(0, 1), steps=2)
        study, kept = prepare(read_data(tmp_path / "data.csv"), settings), tmp_path / "kept"
        kept.mkdir()
        (kept / ".audit.npz-1-00").write_bytes(b"half")
        assert kept_trainings(kept, study, "cpu").load(settings.plan("erm", 0)) is None
        (tmp_path / "other").mkdir()
        (tmp_path / "other" / "letter.txt").touch()
        with pytest.raises(ValueError, match=r"must be an empty folder .* with letter\.txt"):
            kept_trainings(tmp_path / "other", study, "cpu")


def test_measures_need_every_subgroup_and_say_what_is_too_small(tmp_path):
    folder = planted(tmp_path, common=12, test=5).parent
    settings = settings_for(folder, seeds=(0, 1), steps=2)
    study = prepare(read_data(folder / "data.csv"), settings)
    measured = measure(study.design, trained(study))
    assert measured.warnings == ()
    text = size_warning(study.data)
    assert text.startswith("No subgroup has the 12 test images that a comparison needs (the largest has 5)")
    assert "add test images or merge subgroups (name fewer --attributes)" in text.lower()
    assert text.endswith("More seeds only make the intervals narrower.")
    question, options = next_options(study.data, settings, measured, tmp_path / "out")
    assert (question, options["attributes"]) == ("Do the labels show a difference, without subgroups?", "")
    assert not any(comparison.claimed for comparison in measured.comparisons)
    assert all(comparison.adjusted is None for comparison in measured.comparisons)


def test_small_subgroups_are_named_once_and_before_training(tmp_path, capsys):
    path = planted(tmp_path, common=12, test=5)
    line = ["images", "audit", str(path), *shlex.split("--methods erm,cutmix-patch --steps 2 --seeds 2")]
    assert app(line, exit_on_error=False, print_error=False) == 0
    words = " ".join(capsys.readouterr().err.split())
    assert words.index("Warning: No subgroup has the 12 test images") < words.index("4 trainings of 2 steps")
    assert "12 test images" not in words.partition("4 trainings of 2 steps")[2]


def test_the_command_as_a_whole(tmp_path, capsys):
    path = planted(tmp_path, common=12, test=12)
    line = ["images", "audit", str(path), "--model", f"{tmp_path / 'patchnet.py'}:PatchNet()", "--grid", "2"]
    line += shlex.split("--methods erm,cutout-box,cutmix-box --steps 6 --seeds 2 --json --out")
    line.append(str(tmp_path / "out"))
    assert app(line, exit_on_error=False, print_error=False) == 0
    printed = capsys.readouterr()
    record = json.loads(printed.out)
    assert record["command"] == "images audit"
    assert len(record["accuracies"]) == 3 * 4
    assert len(record["comparisons"]) == 2 * 4
    printed_words = " ".join(printed.err.split())
    assert "6 trainings of 6 steps: about" in printed_words
    assert (
        f"Next: Do twice as many seeds show more? (Finished trainings are used again.) augscope images audit {path}"
        in printed_words
    )
    assert "Warning: No subgroup" not in printed_words  # 12 test images each
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert page.index(record["headline"]) < page.index("<svg") < page.index("To run it again")
    assert record["identity"] in page
    for name in ("http://www.w3.org", "https://matplotlib.org", "http://purl.org", "http://creativecommons.org"):
        page = page.replace(name, "")  # names in the picture, which nothing is loaded from
    assert "http" not in page
    assert (tmp_path / "out" / "images.csv").read_text().count("\n") == 1 + 48
    before = (tmp_path / "out" / "record.json").read_bytes()
    assert app(line, exit_on_error=False, print_error=False) == 0  # nothing is left to train, and the same comes out
    assert (tmp_path / "out" / "record.json").read_bytes() == before
    assert "Nothing is left to train (6 more are kept)" in capsys.readouterr().err
