"""How hard are the images that each method gets wrong? C-scores (Jiang et al. 2021) of the held-out images it misclassifies.

    python examples/cscores.py --data digits --hold-out 0.8 --seeds 20 --steps 300 --out reports/cscores

The C-score of a point is the share of networks, trained without it on various fractions of the others, that classify it
rightly. docs/cscores.md says what was measured, and how. Needs `pip install 'augscope[images]'`.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from scipy import stats

from augscope.images import KeptTrainings, TrainingOptions, TrainingPlan, seconds_per_step, train_network
from augscope.support.kept_file import DAMAGE, read_npz

EPOCHS = 30  # of the points that are not held out, where --steps is not given
FRACTIONS = (0.1, 0.3, 0.5, 0.7, 0.9)  # of all points, on which the trainings train that estimate C-scores
ESTIMATE_SEEDS = 1_000_000_000  # those trainings have seeds from here on, the study's own below
BATCHES, RECORD = 5, 1 + 3 * 32 * 32  # CIFAR-10's training files; bytes of an image: its label, then three planes


def check(condition: bool, sentence: str) -> None:
    if not condition:
        raise ValueError(sentence)


def read_data(name: str) -> tuple[np.ndarray, np.ndarray]:
    """Images (n, C, S, S) and labels (n,): scikit-learn's digits, CIFAR-10's binary version, or two arrays in an .npz."""
    if name == "digits":
        from sklearn.datasets import load_digits

        pixels, labels = load_digits(return_X_y=True)
        return pixels.astype(np.uint8).reshape(-1, 1, 8, 8), labels.astype(np.int64)
    if name.endswith(".npz"):
        images, labels = read_arrays("data", Path(name), ("images", "labels"))
        return images, labels.astype(np.int64)
    return read_cifar(Path(name))


def read_cifar(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """The training batches of CIFAR-10's binary version, in their order."""
    python = any((folder / name).exists() for name in ("data_batch_1", "batches.meta", "cifar-10-batches-py"))
    folder = folder / "cifar-10-batches-bin" if (folder / "cifar-10-batches-bin").is_dir() else folder
    paths = [folder / f"data_batch_{number}.bin" for number in range(1, BATCHES + 1)]
    missing = [path.name for path in paths if not path.is_file()]
    check(
        not missing or not python,
        f"`data` must not be CIFAR's Python version, whose pickles are not read, as they can run any code, got {folder}: "
        "take the binary version, or load it in Python of your own and save numpy.savez('mine.npz', images=…, labels=…)",
    )
    check(not missing, f"`data` must be digits, an .npz or CIFAR-10's batches, got {folder} without {missing}")
    sizes = [path.stat().st_size for path in paths]
    whole = sizes[0] > 0 and sizes[0] % RECORD == 0 and len(set(sizes)) == 1
    check(whole, f"`data` must hold batches of as many whole images ({RECORD:,} bytes each), got {folder} with {sizes}")
    records = np.concatenate([np.fromfile(path, np.uint8) for path in paths]).reshape(-1, RECORD)
    strange = np.flatnonzero(records[:, 0] > 9)
    check(not len(strange), f"`data` must have labels from 0 to 9, got {folder} with others, first at {strange[:1]}")
    return records[:, 1:].reshape(-1, 3, 32, 32), records[:, 0].astype(np.int64)


def read_scores(path: Path, own_labels: np.ndarray) -> np.ndarray:
    """C-scores as Jiang et al. publish them: `labels` and `scores` in the order of the images."""
    labels, scores = read_arrays("scores", path, ("labels", "scores"))
    fit = labels.shape == scores.shape == own_labels.shape
    check(fit, f"`scores` must be of {len(own_labels):,} images, got {path} with {labels.shape} and {scores.shape}")
    check(((scores >= 0) & (scores <= 1)).all(), f"`scores` must be in [0, 1], got {path}")
    differ = np.flatnonzero(labels != own_labels)
    check(not len(differ), f"`scores` must be in the order of the images, got {path}: labels differ at {differ[:1]}")
    return scores.astype(float)


def read_arrays(option: str, path: Path, names: Sequence[str]) -> list[np.ndarray]:
    """The named arrays of an .npz; objects in it, which would be pickles, are refused."""
    try:
        arrays = read_npz(path)
        return [arrays[name] for name in names]
    except (OSError, *DAMAGE) as error:
        raise ValueError(f"`{option}` must be an .npz with arrays {', '.join(names)}, got {path}: {error}") from None


def hold_out(labels: np.ndarray, share: float, seed: int) -> np.ndarray:
    """Indices of the same share of every class, drawn at random, sorted."""
    generator, parts = np.random.default_rng(np.random.SeedSequence([seed, 11])), []
    for label, count in zip(*np.unique(labels, return_counts=True), strict=True):
        held = round(share * count)
        check(0 < held < count, f"`hold-out` must leave points of every class on both sides, got {share:g}")
        parts.append(generator.permutation(np.flatnonzero(labels == label))[:held])
    return np.sort(np.concatenate(parts))


def arcs(count: int, fraction: float, trainings: int) -> list[np.ndarray]:
    """What each training of the estimate leaves out: arcs of one random circle, so that all points have equal turns."""
    held = count - round(fraction * count)
    needed = -(-count // held)
    check(trainings >= needed, f"`trainings` must be at least {needed}, to leave each point out, got {trainings}")
    entropy = [0, 12, *np.frombuffer(np.float64(fraction).tobytes(), np.uint32).tolist()]
    order = np.random.default_rng(np.random.SeedSequence(entropy)).permutation(count)
    return [np.sort(order[(start + np.arange(held)) % count]) for start in np.arange(trainings) * count // trainings]


class Study:
    """Trains on a part of the images and predicts the rest, keeping what it has made."""

    def __init__(self, chosen: argparse.Namespace) -> None:
        check(chosen.seeds >= 2, f"`seeds` must be at least 2, got {chosen.seeds}")
        self.images, self.labels = read_data(chosen.data)
        self.held_out = np.array([hold_out(self.labels, chosen.hold_out, seed) for seed in range(chosen.seeds)])
        self.where = {"num_classes": int(self.labels.max()) + 1, "device": chosen.device}
        seen = len(self.labels) - self.held_out.shape[1]
        options = {name: getattr(chosen, name) for name in ("model", "batch_size", "learning_rate")}
        options["steps"] = EPOCHS * seen // max(1, chosen.batch_size) if chosen.steps is None else chosen.steps
        self.options, self.kept = TrainingOptions(**options), None
        if chosen.out is not None:
            digest = hashlib.sha256(self.images.tobytes() + self.labels.tobytes()).hexdigest()
            data = {"data": digest, "hold_out": chosen.hold_out, "trainings": chosen.trainings}
            self.kept = KeptTrainings(chosen.out / "trainings", "cscores", self.options, data, chosen.device)

    def minutes(self, method: str) -> float:
        """Expected time of a training; raises ValueError where model or method does not fit the images."""
        plan = self.options.plan(method, 0)
        return seconds_per_step(plan, self.images, self.labels, **self.where).low * plan.steps / 60

    def right(self, plan: TrainingPlan, held_out: np.ndarray) -> np.ndarray:
        """Whether a network trained on the other points classifies each held-out point rightly, (m,)."""
        arrays = None if self.kept is None else self.kept.load(plan)
        if arrays is None:
            seen = np.setdiff1d(np.arange(len(self.labels)), held_out)
            network = train_network(plan, self.images[seen], self.labels[seen], **self.where)
            arrays = {"predicted": network.predict(self.images[held_out]).argmax(dim=1).numpy()}
            if self.kept is not None:
                self.kept.save(plan, arrays)
        return arrays["predicted"] == self.labels[held_out]


def estimated_scores(
    study: Study, method: str, trainings: int, fractions: Sequence[float] = FRACTIONS
) -> tuple[np.ndarray, float]:
    """C-scores (n,), and their expected correlation with a repetition: that of two halves, stepped up (Spearman–Brown)."""
    count, seed = len(study.labels), ESTIMATE_SEEDS
    times, right = np.zeros((2, len(fractions), 2, count))  # by fraction and half of the trainings
    for row, fraction in enumerate(fractions):
        for number, held_out in enumerate(arcs(count, fraction, trainings)):
            times[row, number % 2, held_out] += 1
            right[row, number % 2, held_out] += study.right(study.options.plan(method, seed), held_out)
            seed += 1
    with np.errstate(invalid="ignore"):  # NaN where too few trainings leave a point out in both halves
        correlation = np.corrcoef((right / times).mean(axis=0))[0, 1]
    scores = (right.sum(axis=1) / times.sum(axis=1)).mean(axis=0)
    return scores, 2 * correlation / (1 + correlation)


def interval(values: np.ndarray, form: str = ".3f") -> str:
    """The mean over seeds with Student's t interval, 95 %; seeds at which nothing was misclassified are left out."""
    values = values[np.isfinite(values)]
    mean, half = values.mean(), stats.sem(values) * stats.t.isf(0.025, len(values) - 1)
    return f"{mean:{form}} [{mean - half:{form}}, {mean + half:{form}}]"


def print_table(scores: np.ndarray, missed: dict[str, np.ndarray]) -> None:
    """A row a method, means over seeds; `scores` are those of all held-out points, (S, m), `missed` without the right ones."""
    print("| method | accuracy | missed | mean C-score | Q1 | median | Q3 | accuracy at C < ¼ |\n" + "| --- " * 8 + "|")
    for method, values in missed.items():
        wrong = np.isfinite(values)
        cells = [method, interval(1 - wrong.mean(axis=1), ".1%"), f"{wrong.sum(axis=1).mean():.1f}"]
        cells += [interval(np.nanmean(values, axis=1))]
        cells += [f"{np.nanmean(row):.3f}" for row in np.nanquantile(values, (0.25, 0.5, 0.75), axis=1)]
        print(f"| {' | '.join(cells)} | {1 - wrong[scores < 0.25].mean():.1%} |")
    print(f"All {scores.shape[1]:,} held-out points: mean C-score {scores.mean():.3f}")


def print_differences(missed: dict[str, np.ndarray]) -> None:
    """Differences of the mean C-score, paired by seed, with p-values after Holm's correction."""
    pairs = list(combinations(missed, 2))
    means = {method: np.nanmean(values, axis=1) for method, values in missed.items()}
    differences = [means[first] - means[second] for first, second in pairs]
    p_values = np.nan_to_num([stats.ttest_1samp(d[np.isfinite(d)], 0).pvalue for d in differences], nan=1.0)
    order = np.argsort(p_values)
    adjusted = np.maximum.accumulate(p_values[order] * np.arange(len(pairs), 0, -1)).clip(max=1)
    for place, p_value in zip(order, adjusted, strict=True):
        print(f"{' − '.join(pairs[place])}: {interval(differences[place], '+.3f')}, p = {p_value:.3g} after Holm")


def draw(missed: dict[str, np.ndarray]) -> Figure:
    """How the C-scores of the misclassified points are distributed: cumulative shares, quartiles and mean, all seeds."""
    figure = Figure(figsize=(9.5, 4), layout="constrained")
    curves, boxes = figure.subplots(1, 2)
    pooled = {method: values[np.isfinite(values)] for method, values in missed.items() if np.isfinite(values).any()}
    for method, values in pooled.items():
        curves.ecdf(values, label=method)
    curves.set(xlabel="C-score", ylabel="share of the misclassified points below")
    curves.legend(frameon=False)
    boxes.boxplot(list(pooled.values()), showmeans=True)
    boxes.set(xticklabels=list(pooled), ylabel="C-score: quartiles, mean (triangle)")
    return figure


def options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="digits, a folder with CIFAR-10's binary version, or an .npz")
    parser.add_argument("--scores", type=Path, help="published C-scores, an .npz; without, they are estimated here")
    parser.add_argument("--methods", default="erm,cutout-box,cutmix-box")
    parser.add_argument("--seeds", type=int, default=5, help="trainings of each method")
    parser.add_argument("--hold-out", type=float, default=0.2, help="share of every class")
    parser.add_argument("--model", default="small", help="small, resnet, or package.module:Class()")
    parser.add_argument("--steps", type=int, help=f"of each training; by default {EPOCHS} epochs")
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--learning-rate", type=float, default=3e-3)
    parser.add_argument("--trainings", type=int, default=20, help="of the estimate, at each fraction")
    parser.add_argument("--scored-by", default="erm", help="the method of those trainings")
    parser.add_argument("--device", default="cpu", help="such as cuda")
    parser.add_argument("--out", type=Path, help="folder for the picture, the scores and finished trainings")
    return parser.parse_args(arguments)


def main(chosen: argparse.Namespace) -> None:
    study, methods = Study(chosen), chosen.methods.split(",")
    scores = None if chosen.scores is None else read_scores(chosen.scores, study.labels)
    minutes = chosen.seeds * sum(study.minutes(method) for method in methods)
    if scores is None:
        minutes += len(FRACTIONS) * chosen.trainings * study.minutes(chosen.scored_by)
    print(f"About {minutes:.0f} minutes, less what is kept", file=sys.stderr)
    if scores is None:
        scores, reliability = estimated_scores(study, chosen.scored_by, chosen.trainings)
        print(f"C-scores estimated by {chosen.scored_by}: reliability {reliability:.2f}")
    missed = {}
    for method in methods:
        plans = [study.options.plan(method, seed) for seed in range(chosen.seeds)]
        right = np.array([study.right(plan, points) for plan, points in zip(plans, study.held_out, strict=True)])
        missed[method] = np.where(right, np.nan, scores[study.held_out])
    print_table(scores[study.held_out], missed)
    print_differences(missed)
    if chosen.out is not None:
        draw(missed).savefig(chosen.out / "cscores.png", dpi=120)
        np.savez(chosen.out / "cscores.npz", labels=study.labels, scores=scores)


if __name__ == "__main__":
    try:
        main(options())
    except ValueError as error:
        sys.exit(f"cscores: {error}")
