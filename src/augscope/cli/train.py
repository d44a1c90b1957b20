"""`augscope train`."""

from __future__ import annotations

from augscope.cli.options import ExperimentOptions, OutputOptions
from augscope.model.jax_setup import set_up_jax
from augscope.support.command_line import read_seeds


def train(*, options: ExperimentOptions | None = None, output: OutputOptions | None = None, seeds: str = "1") -> int:
    """Train exactly and measure what was learned.

    Exit status: 0 if every run completed, 1 if one diverged or its flow could not be finished, 2 for bad usage, 3 if interrupted.

    Parameters
    ----------
    seeds
        A count (3 means seeds 0, 1, 2) or a list such as 3,5,8.
    """
    from augscope.cli import show

    options, output = options or ExperimentOptions(), output or OutputOptions()
    set_up_jax()
    experiment, chosen = options.experiment(), read_seeds(seeds)
    folder = show.claim_folder(output, "train", experiment)
    from augscope.support.values import checked_seeds
    from augscope.theorems.record import Results
    from augscope.training.kept_runs import KeptRuns
    from augscope.training.seeds import run_seeds

    kept = None if output.checkpoint is None else KeptRuns(output.checkpoint, experiment)
    experiment.check_memory()
    show.state_cost(experiment, checked_seeds(chosen), output)
    with show.progress_bar() as progress:
        runs, interrupted = run_seeds(experiment, chosen, progress, kept=kept)
    show.finish(Results("train", experiment, chosen, tuple(runs), None, show.again("train", chosen)), output, folder)
    if interrupted:
        return 3
    return 1 if any(run.status in ("diverged", "unfinished") for run in runs) else 0
