"""What a report says in words beside its numbers: what they are, why a theorem does not hold here, and what to try next."""

from __future__ import annotations

from collections import Counter

from augscope.model.methods import CutMix
from augscope.support.command_line import NextStep, command_line
from augscope.theorems.limit import INCONCLUSIVE
from augscope.theorems.record import Results
from augscope.theorems.samples import FAILS, HOLDS, UNDECIDED
from augscope.theorems.statements import theorem_for
from augscope.theorems.verdicts import NOT_MET, VIOLATED, Finding, TheoremVerdict
from augscope.theorems.verification import Verdict
from augscope.training.experiment import Experiment

WORDS = (
    "Each data point has P patches: one holds the feature that tells its label, the others noise. ρ is the share of points "
    "with a given feature; a rare feature has a small ρ. ERM (empirical risk minimisation) trains on the points as they are, "
    "Cutout blanks random patches, CutMix mixes the patches and labels of two points."
)
PLATEAU = (
    "The plateau is the one score that CutMix gives, after enough steps, to every patch of a training point, feature or noise. "
    "κ is the size of the noise in a test point's score, relative to the plateau; a large κ makes predictions wrong."
)
FEWEST = 6  # samples that can decide


def introduction(experiment: Experiment) -> str:
    """Return what the words of a report mean: features, ρ and the methods; with CutMix its plateau and κ."""
    return f"{WORDS} {PLATEAU}" if any(isinstance(method, CutMix) for method in experiment.methods) else WORDS


def reasons(verdict: Verdict) -> list[str]:
    """Return why theorems and orders do not hold here: a sentence or two for each reason, after the names that it is of."""
    names: dict[str, list[str]] = {}
    for finding in verdict.findings:
        if finding.verdict != HOLDS:
            names.setdefault(_reason(finding), []).append(finding.name)
    return [f"{', '.join(group)}: {text}" for text, group in names.items()]


def _reason(finding: Finding) -> str:
    if finding.verdict == NOT_MET:
        return f"assumptions not met. {'; '.join(row.text for row in finding.assumptions if not row.met)}."
    limit = finding.limit if isinstance(finding, TheoremVerdict) else None
    if finding.verdict == INCONCLUSIVE:
        return f"inconclusive. {_undecided(finding)}."
    if limit is not None and limit.verdict == FAILS:
        return (
            "violated. The high-dimensional limit, where nothing is random, fails too: at these frequencies, noise strengths "
            "and number of steps it is not a matter of sample size."
        )
    although = ", although the high-dimensional limit holds" if limit is not None and limit.verdict == HOLDS else ""
    return f"violated: {_commonest(finding, FAILS)}{although}."


def _undecided(finding: Finding) -> str:
    """Why the samples, or the limit, do not decide."""
    tally = finding.tally
    if isinstance(finding, TheoremVerdict) and finding.limit and (not finding.samples or tally.verdict == HOLDS):
        return f"The high-dimensional limit does not decide it: {finding.limit.text}"
    if tally.total < FEWEST:
        return f"It has {tally.total} samples that count, and {FEWEST} are the fewest that can decide"
    if 2 * tally.undecided > tally.total:
        return f"Most samples are undecided at T: {_commonest(finding, UNDECIDED)}. More steps may decide them"
    return f"{tally}: too close to half. More seeds may decide it"


def _commonest(finding: Finding, kind: str) -> str:
    """What is missing most often in the samples of one kind, and in how many."""
    missing = Counter(sample.missing for sample in finding.samples if sample.verdict == kind)
    (text, count), *_ = missing.most_common(1)
    return f"in {count} of {finding.tally.total} samples {text}"


def next_step(results: Results, config: str = "config.toml") -> NextStep:
    """Return the command to try next, which reads the run's configuration from the file `config`."""
    question, command, options = _verify_next(results) if results.verdict else _train_next(results)
    return NextStep(question, command_line(command, options={"config": config, **options}))


def _verify_next(results: Results) -> tuple[str, str, dict[str, object]]:
    verdict, experiment = results.verdict, results.experiment
    assert verdict is not None
    verdicts, count = {finding.verdict for finding in verdict.findings}, len(results.drawn_seeds)
    if not count:
        return "Do finite samples agree with the limit?", "verify", {"seeds": 20}
    if verdict.interrupted or (INCONCLUSIVE in verdicts and count < FEWEST):
        return "Do enough samples decide it?", "verify", {"seeds": max(count, 8)}
    fails_in_limit = any(theorem.limit is not None and theorem.limit.verdict == FAILS for theorem in verdict.theorems)
    if fails_in_limit and not verdict.rarity_derived:
        question = "Which features are common, which rare at these settings?"
        return question, "verify", {"rarity": "derive", "seeds": count}
    if verdicts & {VIOLATED, NOT_MET}:
        return "What holds in the high-dimensional limit, where size plays no part?", "verify", {"seeds": "none"}
    if INCONCLUSIVE in verdicts:
        longer = {} if experiment.until is not None else {"num_steps": 4 * experiment.num_steps}
        return "Do more steps and seeds decide it?", "verify", {**longer, "seeds": max(20, 2 * count)}
    if experiment.until is None:
        return "How long do the theorems hold?", "verify", {"until": "1e12", "seeds": min(count, 6)}
    return "And with more samples?", "verify", {"seeds": 2 * count}


def _train_next(results: Results) -> tuple[str, str, dict[str, object]]:
    experiment, seeds = results.experiment, len(results.drawn_seeds)
    if any(run.status == "diverged" or run.oscillating for run in results.runs):
        return "Does training settle with a smaller step size?", "train", {"step_size": experiment.step_size / 10}
    if experiment.is_population:
        return "How far are finite samples from it?", "train", {"coordinates": "reduced", "seeds": 3}
    if any(theorem_for(method) is not None for method in experiment.methods):
        return "Do the theorems hold here?", "verify", {"seeds": 8}
    return "Is it the same in other samples?", "train", {"seeds": max(8, 2 * seeds)}
