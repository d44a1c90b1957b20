"""`augscope train`."""

from __future__ import annotations

from pathlib import Path

from augscope.cli.options import ExperimentOptions, OutputOptions
from augscope.model.jax_setup import set_up_jax
from augscope.support.command_line import read_seeds


def train(
    *,
    options: ExperimentOptions | None = None,
    output: OutputOptions | None = None,
    seeds: str | None = None,
    patches: Path | None = None,
) -> int:
    """Train exactly and measure what was learned.

    Exit status: 0 if every run completed, 1 if one diverged or its flow could not be finished, 2 for bad usage, 3 if interrupted.

    Parameters
    ----------
    seeds
        A count (3 means seeds 0, 1, 2) or a list such as 3,5,8; one if left out. A population has none.
    patches
        An .npz of points of your own to train on, in place of the paper's: patches (n, P, d), labels (n,) of +1 and −1, and, for the accuracy,
        test_patches and test_labels.
    """
    from augscope.cli import show
    from augscope.theorems.reporting import training_results
    from augscope.training.preparation import prepare_runs

    options, output = options or ExperimentOptions(), output or OutputOptions()
    set_up_jax()
    if patches is not None:
        from augscope.cli.patches import train_patches

        return train_patches(patches, options, output, read_seeds(seeds or "1"))
    experiment = options.experiment()
    chosen = None if experiment.is_population and seeds is None else read_seeds(seeds or "1")
    folder = show.claim_folder(output, "train", experiment)
    prepared = prepare_runs(experiment, chosen, output.checkpoint)
    show.state_cost(prepared.cost, output.yes)
    with show.progress_bar() as progress:
        runs, interrupted = prepared.run(progress)
    population = () if interrupted else prepared.population()
    show.finish(training_results(experiment, prepared.seeds, runs, population), output, folder)
    if interrupted:
        return 3
    return 1 if any(run.status in ("diverged", "unfinished") for run in runs) else 0
