"""One training from start to end: full-batch gradient descent as the paper has it, or by drawn steps."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax

from augscope.model.dataset import Dataset
from augscope.model.methods import Method
from augscope.model.network import BaseNetwork
from augscope.model.patches import PatchData
from augscope.support.values import check
from augscope.training.checkpoint import DescentCheckpoint, dataset_digest
from augscope.training.coefficients import geometry
from augscope.training.descent import Descent, checked_descent
from augscope.training.loop import Loop, Run
from augscope.training.problem import Problem
from augscope.training.sampled import SampledDescent
from augscope.training.sampling import Sampling


def train(
    dataset: Dataset | PatchData,
    network: BaseNetwork,
    method: Method,
    *,
    step_size: float,
    num_steps: int,
    record_at: Sequence[int] | None = None,
    progress: Callable[[int, float], Any] | None = None,
    store_gram: bool | None = None,
    checkpoint: str | Path | None = None,
    sampling: Sampling | None = None,
    key: Any = None,
) -> Run:
    """Train by W(t+1) = W(t) − η ∇L(W(t)) and measure at chosen steps (paper, §2.3).

    The steps run compiled, in chunks of about a second whose length changes no bit of the result. Divergence is a
    result with a sentence, not an exception; Ctrl-C ends the run and keeps what was recorded.

    Args:
        dataset: training set and W(0), from `sample_dataset`, or of your own from `dataset_from_patches`.
        network: the activation.
        method: `Erm()`, `Cutout(num_cut)` or `CutMix()`.
        step_size: η > 0.
        num_steps: T ≥ 1.
        record_at: increasing steps in 0 … T at which to measure; by default 40, log-spaced. Step T is always measured.
        progress: called with (step, its loss) about once a second, first at step 0.
        store_gram: see `training.coefficients.geometry`.
        checkpoint: a file in which to keep where the descent stands, every 10 s, at the end and on Ctrl-C. If it holds this
            run's checkpoint the descent goes on from there, and its results have the same bits as without interruption.
        sampling: draw batches and augmentations anew in each step instead; everything is measured of the exact loss all the same,
            which also tells divergence (looked at every 100 steps).
        key: a JAX random key for these draws; by default `jax.random.key(0)`. The same key gives the same bits.

    Raises:
        ValueError: on bad arguments, or a checkpoint that is truncated or of another configuration or version, before any
            work.

    Cost: a step reads the N × N Gram matrix of the N = n(P−1) noise vectors once and evaluates the method.

    Example:
        >>> import jax, augscope as ag
        >>> jax.config.update("jax_enable_x64", True)
        >>> preset = ag.presets.theorem
        >>> dataset = ag.sample_dataset(jax.random.key(0), preset.distribution, num_samples=60, init_std=0.001,
        ...                             coordinates="reduced")
        >>> run = ag.train(dataset, preset.network, ag.CutMix(), step_size=1.0, num_steps=50)
        >>> run.status, bool(run.history.loss[-1] < run.history.loss[0])
        ('completed', True)
    """
    steps = checked_descent(dataset, method, step_size, num_steps, record_at)
    if sampling is not None:
        check(
            not dataset.is_limit, "`sampling` draws points of a sample: of a limit, whose rows are types, leave it out"
        )
        sampling.check_fits(len(dataset.labels), [method], step_size)
    began, file = time.perf_counter(), None
    key = jax.random.key(0) if key is None else key
    if checkpoint is not None:
        configuration = {
            "network": network.model_dump(mode="json"),
            "method": method.model_dump(mode="json"),
            "step_size": float(step_size),
            "num_steps": int(num_steps),
            "record_at": [int(step) for step in steps],
            "store_gram": store_gram,
            "dataset": dataset_digest(dataset),
        }
        if sampling is not None:
            configuration |= {"sampling": sampling.model_dump(mode="json"), "key": jax.random.key_data(key).tolist()}
        file = DescentCheckpoint(checkpoint, configuration)
    problem = Problem(geometry(dataset, store_gram), network, (method,), step_size)
    stepper = Descent(problem, num_steps) if sampling is None else SampledDescent(problem, num_steps, sampling, key)
    return Loop(stepper, [dataset], steps, progress, file, began).finish()[0]
