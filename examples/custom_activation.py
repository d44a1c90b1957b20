"""Activations of your own: a class with parameters, and a function."""

import jax
import jax.numpy as jnp

import augscope as ag


class SoftLeaky(ag.CustomNetwork):
    """A leaky ReLU smoothed by a softplus: slope β far to the left, 1 far to the right."""

    negative_slope: float = 0.1
    width: float = 0.5

    def activation(self, z):
        soft = self.width * (jnp.logaddexp(z / self.width, 0.0) - jnp.log(2.0))
        return self.negative_slope * z + (1 - self.negative_slope) * soft


def leaky(z):
    return jnp.where(z > 0, z, 0.1 * z)


if __name__ == "__main__":
    jax.config.update("jax_enable_x64", True)
    for network in (ag.Network(), SoftLeaky(), ag.FunctionNetwork(function=leaky)):
        experiment = ag.presets.theorem.replace(network=network, num_steps=300, record_at=(), methods=("cutout",))
        run = experiment.run(experiment.methods[0], experiment.sample(0))
        print(type(network).__name__, run.history.feature_scores[-1].min(axis=0), run.history.accuracy[-1])
