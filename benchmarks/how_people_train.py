"""Do the theorems survive how people train? Exact losses against drawn augmentations, batches, momentum and weight decay, at both presets.

Prints a row a preset, training and method: features learned, exact test accuracy, and in how many samples the method's theorem
holds. `--seeds 10 --num-steps 3000` takes a quarter of an hour on two cores; `--training` asks for some rows alone. `--cost` times a
drawn step instead, beside a loop in PyTorch as one would write it.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import jax
import numpy as np

import augscope as ag
from augscope.training.sampled import time_sampled_step

TRAININGS = {  # with the step size, and how many times the steps: momentum β makes steps 1/(1 − β) times as long
    "exact": (None, 1.0, 1),
    "all points, one draw each": (ag.Sampling(), 1.0, 1),
    "batches of 32": (ag.Sampling(batch_size=32), 1.0, 1),
    "batches of 32, momentum 0.9": (ag.Sampling(batch_size=32, momentum=0.9), 0.1, 1),
    "batches of 32, weight decay 0.001": (ag.Sampling(batch_size=32, weight_decay=1e-3), 1.0, 1),
    "batches of 4": (ag.Sampling(batch_size=4), 1.0, 1),
    "batches of 4, η = 0.1": (ag.Sampling(batch_size=4), 0.1, 10),
}


def torch_step_seconds(experiment: ag.Experiment, method: ag.Method, size: int, count: int = 300) -> float:
    """The seconds of a step of a plain PyTorch loop on dense patches: a batch, one augmentation a point, autograd, SGD."""
    import torch

    dataset: Any = experiment.replace(coordinates="dense").sample(0)
    network = ag.Network()  # φ of both presets
    patches, labels = torch.tensor(np.array(dataset.patches)), torch.tensor(np.array(dataset.labels, float))
    num_samples, num_patches, _ = patches.shape
    weights = torch.tensor(np.array(dataset.initial_weights), requires_grad=True)
    optimiser = torch.optim.SGD([weights], lr=1.0)
    beta, r = network.negative_slope, network.smoothing

    def step() -> None:
        batch = torch.randperm(num_samples)[:size]
        points, targets, share = patches[batch], [labels[batch]], [1.0]
        if isinstance(method, ag.Cutout):
            kept = torch.rand(size, num_patches).argsort(1) >= method.num_cut
            points = points * kept[:, :, None]
        if isinstance(method, ag.CutMix):
            partner = torch.randint(num_samples, (size,))
            own = torch.rand(size, num_patches) < torch.rand(size, 1)
            points = torch.where(own[:, :, None], points, patches[partner])
            weight = own.double().mean(1)
            targets, share = [labels[batch], labels[partner]], [weight, 1 - weight]
        z = torch.einsum("sd,npd->snp", weights, points)
        bent = z.clamp(0, r)
        active = beta * z + (1 - beta) * (bent**2 / (2 * r) + (z - r).clamp(min=0))
        output = (active[0] - active[1]).sum(1)
        losses = [w * torch.nn.functional.softplus(-y * output) for w, y in zip(share, targets, strict=True)]
        optimiser.zero_grad()
        torch.stack(losses).sum(0).mean().backward()
        optimiser.step()

    seconds = []
    for _ in range(4):
        began = time.perf_counter()
        for _ in range(count):
            step()
        seconds.append((time.perf_counter() - began) / count)
    return min(seconds[1:])


def print_costs() -> None:
    """A line for each method and batch."""
    experiment = ag.presets.figure
    dataset = experiment.sample(0)
    for method in experiment.methods:
        for size in (32, experiment.num_samples):
            sampling = ag.Sampling(batch_size=size)
            ours = min(time_sampled_step(dataset, experiment.network, method, sampling) for _ in range(3))
            theirs = torch_step_seconds(experiment, method, size)
            print(
                f"{method.title:7} batches of {size:3}: {1e6 * ours:6.0f} µs a step, PyTorch's loop {1e6 * theirs:6.0f} µs, "
                f"{theirs / ours:.1f} times as long",
                flush=True,
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--num-steps", type=int, default=10_000)
    parser.add_argument("--num-samples", type=int, default=300)
    parser.add_argument("--preset", choices=ag.presets._fields, nargs="*", default=ag.presets._fields)
    parser.add_argument("--training", choices=TRAININGS, nargs="*", default=TRAININGS)
    parser.add_argument("--cost", action="store_true", help="time a drawn step, beside PyTorch")
    options = parser.parse_args()
    jax.config.update("jax_enable_x64", True)
    if options.cost:
        print_costs()
        return
    for preset in options.preset:
        for name in options.training:
            sampling, step_size, times = TRAININGS[name]
            sizes = {"num_samples": options.num_samples, "num_steps": times * options.num_steps}
            base = getattr(ag.presets, preset).replace(**sizes)
            verdict = ag.verify(base.replace(sampling=sampling, step_size=step_size), range(options.seeds))
            for one in verdict.theorems:
                ends = [run.history for run in verdict.runs if run.method == one.method]
                learned = np.mean([ag.features_learned(end.feature_scores[-1]).sum() for end in ends])
                accuracies = np.array([end.accuracy[-1] for end in ends])
                holds = sum(sample.verdict == "holds" for sample in one.samples)
                print(
                    f"{preset:8} {name:33} {one.method.title:7} learned {learned:.2f} of 3, accuracy {accuracies.mean():.4f} "
                    f"± {accuracies.std():.4f}, theorem holds in {holds} of {options.seeds}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
