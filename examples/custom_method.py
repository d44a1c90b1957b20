"""Methods of your own: a law over subsets with label weights, and a function of the scores."""

import jax
import numpy as np

import augscope as ag


class SharpMix(ag.SubsetMethod):
    """CutMix with a fair coin for every patch, and label weights drawn to 0 and 1."""

    sharpness: float = 2.0

    def probabilities(self, members):  # a row a subset, true on its patches
        return np.full(len(members), 1 / len(members))

    def label_weights(self, members):
        inside, outside = members.sum(axis=1) ** self.sharpness, (~members).sum(axis=1) ** self.sharpness
        return inside / (inside + outside)


def squared(scores, labels):
    return ((1 - labels * scores.sum(axis=1)) ** 2).mean() / 2


if __name__ == "__main__":
    jax.config.update("jax_enable_x64", True)
    methods = (ag.CutMix(), SharpMix(), ag.FunctionMethod(function=squared))
    print(ag.verify(ag.presets.theorem.replace(num_steps=2_000, methods=methods), seeds=[0]))
