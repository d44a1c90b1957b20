"""Tables of the user's own trainings: compared as an audit compares its own, and refused with everything that is wrong with them."""

from __future__ import annotations

import json
import os
import shlex
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from audit_cases import planted
from scipy import special, stats
from sklearn.metrics import brier_score_loss, confusion_matrix, log_loss

import augscope as ag
from augscope.cli import app
from augscope.studies.audit.dataset import read_data
from augscope.studies.audit.kept import remaining, train_all
from augscope.studies.audit.result import common_record, conclude, record
from augscope.studies.audit.settings import Settings
from augscope.studies.audit.study import prepare
from augscope.studies.audit.table_file import predictions_file
from augscope.support.statistics import crossed_share

torch.set_num_threads(1)  # small batches in parallel test processes: more threads only wait for each other


def made_up(methods=("erm", "mixup"), seeds=(0, 1, 2), classes=3, test=60, train=30, seed=0) -> pd.DataFrame:
    """Logits that tell of the label, as columns; an attribute that means nothing."""
    generator, tables = np.random.default_rng(seed), []
    number = np.arange(test + train)
    labels = number % classes
    for method in methods:
        for training in seeds:
            logits = generator.normal(size=(test + train, classes)) + 2 * np.eye(classes)[labels]
            columns = {
                "method": method,
                "seed": training,
                "image": [f"{i}.png" for i in number],
                "y": labels,
                "split": np.where(number < test, "test", "train"),
                "place": np.where(number // classes % 2, "indoors", "outdoors"),
            }
            tables.append(pd.DataFrame({**columns, **{f"logit_{k}": logits[:, k] for k in range(classes)}}))
    return pd.concat(tables, ignore_index=True)


def with_probabilities(table: pd.DataFrame) -> pd.DataFrame:
    names = [name for name in table if name.startswith("logit_")]
    powers = np.exp(table[names].to_numpy())
    shares = pd.DataFrame(
        powers / powers.sum(axis=1, keepdims=True), columns=[n.replace("logit", "prob") for n in names]
    )
    return pd.concat([table.drop(columns=names), shares], axis=1)


def with_answers(table: pd.DataFrame) -> pd.DataFrame:
    names = [name for name in table if name.startswith("logit_")]
    return table.drop(columns=names).assign(predicted=table[names].to_numpy().argmax(axis=1))


def of_words(words, capsys):
    assert app(words, exit_on_error=False, print_error=False) == 0
    return json.loads(capsys.readouterr().out)


class TestOfAnAudit:
    def test_its_tables_come_out_again_exactly(self, tmp_path):
        planted(tmp_path, common=4, test=12)
        options = {"model": f"{tmp_path / 'patchnet.py'}:PatchNet()", "grid": 2, "steps": 3, "batch_size": 8}
        settings = Settings(**options, methods=("erm", "cutmix-box"), seeds=(3, 1))
        study = prepare(read_data(tmp_path / "data.csv"), settings)
        audit = conclude(study, train_all(study, remaining(study, None, "cpu"), None, lambda *_: None), {})
        (tmp_path / "predictions.parquet").write_bytes(predictions_file(audit.design, audit.runs))
        compared, audited = common_record(ag.compare(tmp_path / "predictions.parquet")), record(audit)
        assert {**compared, "notes": audited["notes"]} == {name: audited[name] for name in compared}

    @pytest.mark.slow
    def test_the_commands_files_come_out_again_exactly(self, tmp_path, capsys):
        path = planted(tmp_path, common=12, test=12)
        line = f"--model {tmp_path / 'patchnet.py'}:PatchNet() --grid 2 --methods erm,cutmix-box,cutout-box --steps 6 --seeds 3,1"
        of_words(["images", "audit", str(path), *shlex.split(line), "--json", "--out", str(tmp_path / "out")], capsys)
        predictions = tmp_path / "out" / "predictions.parquet"
        of_words(["images", "compare", str(predictions), "--json", "--out", str(tmp_path / "again")], capsys)
        for name in ("accuracies.csv", "comparisons.csv", "confusions.csv", "images.csv", "accuracies.png"):
            assert (tmp_path / "again" / name).read_bytes() == (tmp_path / "out" / name).read_bytes()

    def test_rows_in_another_order_and_form_say_the_same(self, tmp_path):
        table = with_answers(made_up())
        result = ag.compare(table)
        table.sample(frac=1, random_state=0).to_csv(tmp_path / "table.csv", index=False)
        table.to_parquet(tmp_path / "table.parquet")
        assert repr(ag.compare(tmp_path / "table.parquet").measured) == repr(result.measured)
        other = ag.compare(tmp_path / "table.csv")
        for cell, again in zip(result.measured.accuracies.values(), other.measured.accuracies.values(), strict=True):
            np.testing.assert_allclose(cell.test, again.test, rtol=1e-12)  # sums in another order
        assert ag.compare(table.to_dict("list"), attributes=()).design.data.attributes == ()


class TestProbabilities:
    @pytest.mark.parametrize("classes", [2, 3])
    def test_measures_are_scikit_learns(self, classes):
        table = with_probabilities(made_up(classes=classes))
        result = ag.compare(table, attributes=[])
        names = [f"prob_{k}" for k in range(classes)]
        for method in ("erm", "mixup"):
            rows = table[(table.method == method) & (table.split == "test")]
            answers = rows[names].to_numpy().argmax(axis=1)
            assert (confusion_matrix(rows.y, answers) == np.array(result.measured.confusions[method])).all()
            for group in (*range(classes), -1):
                chosen = rows if group < 0 else rows[rows.y == group]
                labels, given = list(range(classes)), chosen[names].to_numpy()
                calibration = result.calibrations[method, group]
                assert abs(calibration.brier.estimate - brier_score_loss(chosen.y, given, labels=labels)) < 1e-12
                assert abs(calibration.log_loss - log_loss(chosen.y, given, labels=labels)) < 1e-12

    def test_logits_and_their_probabilities_say_the_same(self):
        table = made_up()
        first, second = ag.compare(table), ag.compare(with_probabilities(table))
        assert repr(first.measured) == repr(second.measured)
        one, other = first.calibrations["mixup", 0], second.calibrations["mixup", 0]
        np.testing.assert_allclose((*one.brier, one.log_loss), (*other.brier, other.log_loss), rtol=1e-12)

    def test_chance_alone_is_no_calibration_error(self):
        """Fixed seed. Of calibrated confidences the debiased square is 0 on average; plain bins would give about 15 × 0.2/2000."""
        generator = np.random.default_rng(0)
        squares = []
        for _ in range(40):
            sure = generator.uniform(0.5, 1, 2000)
            right = generator.random(2000) < sure
            table = {
                "method": ["erm"] * 2000,
                "seed": [0] * 2000,
                "image": list(map(str, range(2000))),
                "split": ["test"] * 2000,
            }
            table |= {"y": np.where(right, 0, 1), "prob_0": sure, "prob_1": 1 - sure}
            squares.append(ag.compare(table).calibrations["erm", -1].error ** 2)
        assert np.mean(squares) < 0.0008  # half of plain bins'; the mean of the parts above 0 is some 0.0002

    def test_without_probabilities_there_are_none(self):
        assert ag.compare(with_answers(made_up())).calibrations == {}


class TestIntervals:
    """What docs/audit.md says of `benchmarks/audit_intervals.py`, at a size that takes a second; fixed seeds."""

    @pytest.fixture
    def simulation(self, monkeypatch):
        """The benchmark as a module."""
        monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "benchmarks"))
        import audit_intervals

        yield audit_intervals
        sys.modules.pop("audit_intervals")

    @pytest.mark.parametrize("accuracy", [0.02, 0.5, 0.98])
    def test_accuracy_and_brier_score_are_covered(self, accuracy, simulation):
        """100 subgroups of 100 images, 3 networks: of intervals that cover 95 %, fewer than 87 hold the truth with probability 1e-3."""
        spread, networks = 4.0, 0.05
        mean = stats.norm.ppf(accuracy) * spread
        z = simulation.logits(np.random.default_rng(0), (100, 3, 100), mean, spread, networks)
        result = ag.compare(simulation.predictions(z.reshape(5, 20, 3, 100)))
        brier = np.mean(special.expit(-mean - spread * simulation.QUANTILES) ** 2)
        cells = [cell.test for cell in result.measured.accuracies.values()]
        scores = [calibration.brier for (_, group), calibration in result.calibrations.items() if group >= 0]
        for intervals, truth in ((cells, accuracy), (scores, brier)):
            assert len(intervals) == 100
            assert sum(interval.low <= truth <= interval.high for interval in intervals) >= 87

    @pytest.mark.parametrize("seeds", [3, 5])
    def test_equal_methods_are_rarely_told_apart(self, seeds, simulation):
        """20 studies of 8 comparisons: were one in twenty to claim something, more than 4 would with probability 3e-3."""
        claims = [simulation.claims_something(simulation.null_study([seeds, number], seeds)) for number in range(20)]
        assert sum(claims) <= 4


class TestOneSeed:
    @pytest.mark.parametrize("images", [12, 60, 200])
    @pytest.mark.parametrize("share", [0.02, 0.5, 0.98])
    def test_its_interval_covers(self, images, share):
        """Exactly: the probability of every number of right answers, and whether its interval holds the share."""
        right = [crossed_share(np.arange(images)[None] < number) for number in range(images + 1)]
        covered = [interval.low <= share <= interval.high for interval in right]
        assert stats.binom.pmf(range(images + 1), images, share) @ covered >= 0.93

    def test_nothing_is_claimed_of_methods(self, tmp_path, capsys):
        table = with_answers(made_up(seeds=(4,)))
        table.loc[table.method == "mixup", "predicted"] = table.y[table.method == "mixup"]
        table.loc[table.method == "erm", "predicted"] = (table.y[table.method == "erm"] + 1) % 3
        table.to_csv(tmp_path / "one.csv", index=False)
        record = of_words(
            ["images", "compare", str(tmp_path / "one.csv"), "--json", "--out", str(tmp_path / "out")], capsys
        )
        assert record["headline"].startswith("One training of each method cannot tell whether the methods differ")
        assert record["intervals_over"] == "test images alone, for these very networks"
        assert not any(row["claimed"] for row in record["comparisons"])
        assert all(row["p_value"] < 0.05 and row["adjusted_p_value"] is None for row in record["comparisons"])
        page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
        assert "95 % interval over test images alone, for these very networks" in page
        assert "one seed</td>" in page

    def test_one_method_is_compared_with_nothing(self):
        result = ag.compare(with_answers(made_up(methods=("adam",))))
        assert result.words.headline == "adam alone was trained: there is nothing to compare it with."
        assert result.measured.comparisons == ()


class TestBadTables:
    def test_everything_is_listed_together(self, tmp_path):
        table = with_probabilities(made_up(test=24, train=0)).astype({"split": object})
        table.loc[3, "prob_0"] = np.nan
        table.loc[4, "prob_0"] += 0.1
        table.loc[5, ["prob_0", "prob_1"]] = [-0.5, 1.5]
        table.loc[6, "split"] = "exam"
        table.loc[30, "y"] = 1 - table.loc[30, "y"]
        table.loc[31, "place"] = "elsewhere"
        table = pd.concat([table.drop(index=60), table.iloc[[7]]])
        with pytest.raises(ValueError, match="must be fit for a comparison") as caught:
            ag.compare(table)
        message = str(caught.value)
        for line in (
            "`predictions` must be fit for a comparison, got a DataFrame with ",
            "  rows with a prob_… that is missing, NaN or infinite:\n    erm, seed 0, image 3.png",
            "  rows whose probabilities do not sum to 1:\n    erm, seed 0, image 4.png",
            "  rows with probabilities outside [0, 1]:\n    erm, seed 0, image 5.png",
            "  rows whose split is not train, val, test, 0, 1 or 2:\n    erm, seed 0, image 6.png",
            "  rows whose y differs from another row of the image:\n    erm, seed 1, image 6.png",
            "  rows whose place differs from another row of the image:\n    erm, seed 1, image 7.png",
            "  images missing for a method and seed:\n    erm, seed 2: 1 of 24, 12.png among them",
            "  rows that are there twice: one method, seed and image:\n    erm, seed 0, image 7.png",
        ):
            assert line in message

    @pytest.mark.parametrize(
        ("change", "sentence"),
        [
            (
                lambda t: t.drop(columns=["split", "y"]),
                "with method, seed, image, place, predicted: there must be y and split",
            ),
            (lambda t: t.drop(columns="predicted"), "there must be exactly one of predicted, prob_… and logit_…"),
            (lambda t: t.assign(prob_0=1.0), "there must be exactly one of predicted, prob_… and logit_…"),
            (
                lambda t: t.drop(index=[100, 101]),
                "images missing for a method and seed:\n    erm, seed 1: 2 of 90, 10.png among them",
            ),
            (lambda t: t[(t.method != "mixup") | (t.seed != 1)], "mixup, seed 1: 90 of 90"),
            (
                lambda t: t.assign(seed=np.arange(len(t))),
                "every method needs a training from every seed, with a row for every image",
            ),
            (lambda t: t.assign(seed="a"), "rows whose seed is no whole number"),
            (lambda t: t.assign(predicted=None), "rows without predicted"),
            (
                lambda t: t.assign(method=t.method + "2"),
                "name another (--reference):\n    erm is not among erm2, mixup2",
            ),
            (lambda t: t[t.split == "train"], "no row of the test split"),
            (lambda t: t.iloc[:0], "no row"),
            (lambda t: t.assign(y=0, predicted=0), "one class only"),
            (lambda t: t.assign(place=t.image), "attributes of more than 50 values"),
            (lambda t: t.assign(place=[[1]] * len(t)), "place: it must hold texts or numbers, got list"),
        ],
    )
    def test_each_says_what_is_wrong(self, change, sentence):
        with pytest.raises(ValueError, match="`predictions` must") as caught:
            ag.compare(change(with_answers(made_up())))
        assert sentence in str(caught.value)

    def test_labels_without_a_column(self):
        with pytest.raises(ValueError, match=r"labels without a column logit_…, which are of 0, 1, 2:\n    coat"):
            ag.compare(made_up().astype({"y": str}).replace({"y": {"1": "coat"}}))

    @pytest.mark.parametrize("name", ["table.csv", "table.parquet"])
    def test_a_pipe_is_not_waited_for(self, name, tmp_path):
        os.mkfifo(tmp_path / name)
        with pytest.raises(
            ValueError, match=r"must be a table that can be read, got the file .*: \[Errno 0\] it is no file"
        ):
            ag.compare(tmp_path / name)

    def test_arguments_that_are_no_tables_or_lists(self):
        with pytest.raises(ValueError, match="`predictions` must be a table that can be read, got a list"):
            ag.compare([1, 2])
        for name in ("attributes", "pairs"):
            with pytest.raises(ValueError, match=f"`{name}` must be a sequence of texts, got one text: 'place'"):
                ag.compare(with_answers(made_up()), **{name: "place"})

    @pytest.mark.parametrize(
        ("name", "content", "sentence"),
        [
            ("table.npz", b"", "must be a file .csv or .parquet"),
            ("table.csv", None, "No such file or directory"),
            ("table.csv", b"method,seed\n1,2,3\n", "Expected 2 columns, got 3"),
            ("table.csv", b"", "got the file"),
            ("table.csv", b"a\n\xff\xfe", "must"),
            ("table.parquet", b"PAR1 and nothing", "must be a table that can be read"),
        ],
    )
    def test_files_that_are_no_tables(self, name, content, sentence, tmp_path):
        if content is not None:
            (tmp_path / name).write_bytes(content)
        with pytest.raises(ValueError, match="`predictions` must") as caught:
            ag.compare(tmp_path / name)
        assert sentence in str(caught.value)
