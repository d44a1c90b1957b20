"""`augscope verify`."""

from __future__ import annotations

from augscope.cli.kinds import Flag
from augscope.cli.options import ExperimentOptions, OutputOptions
from augscope.model.jax_setup import set_up_jax
from augscope.support.command_line import read_seeds


def verify(
    *,
    options: ExperimentOptions | None = None,
    output: OutputOptions | None = None,
    seeds: str = "8",
    own_limits: Flag = False,
    tolerance: float = 0.01,
    rarity_tolerance: float = 0.1,
) -> int:
    """Check Theorems 3.1–3.3, and the order of the methods, on exactly trained networks.

    Exit status: 0 if all theorems and orders hold, 1 if one is violated, 2 for bad usage, 3 for anything inconclusive or not met.

    Parameters
    ----------
    seeds
        A count (8 means seeds 0 to 7) or a list such as 3,5,8. Six are the fewest that can decide. `none` judges the limit alone.
    own_limits
        Train in the high-dimensional limit of every sample, not only of those in which a theorem does not hold.
    tolerance
        Distance of the exact overall accuracy from its prediction at which the statement still holds.
    rarity_tolerance
        The same for the accuracy on each feature: near 1 where the theorem says learned, near ½ where it says coin flip.
    """
    from augscope.cli import show
    from augscope.theorems.reporting import verdict_results
    from augscope.theorems.verification import prepare

    options, output = options or ExperimentOptions(), output or OutputOptions()
    set_up_jax()
    experiment, chosen = options.experiment(), () if seeds == "none" else read_seeds(seeds)
    folder = show.claim_folder(output, "verify", experiment)
    tolerances = {"tolerance": tolerance, "rarity_tolerance": rarity_tolerance}
    verification = prepare(experiment, chosen, **tolerances, own_limits=own_limits, checkpoint=output.checkpoint)
    show.state_cost(verification.cost, output.yes)
    with show.progress_bar() as progress:
        verdict = verification.run(progress)
    show.finish(verdict_results(verdict, own_limits=own_limits), output, folder)
    return verdict.exit_status
