"""Points of one's own as patches: arrays of any origin, such as embeddings or pieces of images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from augscope.model.arrays import check_finite
from augscope.support.shown import Shown
from augscope.support.values import check


@dataclass(frozen=True, kw_only=True, repr=False)
class PatchData(Shown):
    """A training set of one's own with test points and W(0); get one from `dataset_from_patches`.

    Nothing is known of where the points come from. What only the paper's 𝒟 has is therefore absent: features and their scores,
    rarity, the exact accuracy, the limit.

    Attributes:
        patches: (n, P, d).
        labels: (n,), +1 or −1.
        test_patches, test_labels: (m, P, d) and (m,); m may be 0.
        initial_weights: W(0), (2, d).
    """

    patches: Float[Array, "n P d"]
    labels: Int[Array, " n"]
    test_patches: Float[Array, "m P d"]
    test_labels: Int[Array, " m"]
    initial_weights: Float[Array, "2 d"]
    distribution = None  # not known: what only it has is absent
    probabilities = None  # uniform
    is_limit = False

    @property
    def num_patches(self) -> int:
        """P."""
        return self.patches.shape[1]

    @property
    def dtype(self) -> np.dtype:
        """Of all real numbers."""
        return self.initial_weights.dtype

    def __str__(self) -> str:
        shape = "×".join(str(size) for size in self.patches.shape)
        return f"PatchData: {shape} patches of your own, {len(self.test_labels):,} test points"


def dataset_from_patches(
    patches: Float[Any, "n P d"],
    labels: Int[Any, " n"],
    *,
    test_patches: Float[Any, "m P d"] | None = None,
    test_labels: Int[Any, " m"] | None = None,
    init_std: float = 0.0,
    key: Any = None,
) -> PatchData:
    """Return points of your own, which `train` takes as it takes drawn ones.

    Losses, gradients and descent are as exact as for the paper's data; accuracy is the share of your test points that are
    predicted rightly (a score of 0 is an error for both labels).

    Args:
        patches: the training points, of any origin. The network scores each patch by itself and has no bias: centred patches of
            norms around 1 are what step sizes near 1 suit.
        labels: +1 or −1 of each, both of them present.
        test_patches, test_labels: test points likewise, or neither.
        init_std: σ_0 ≥ 0, of the entries of W(0).
        key: a JAX random key for W(0); by default `jax.random.key(0)`.

    Raises:
        ValueError: naming the argument, if a shape, a label or a number does not fit.

    Cost: of a step, 8 n P d operations and the method's; of memory, the arrays.

    Example:
        >>> import jax, numpy as np, augscope as ag
        >>> jax.config.update("jax_enable_x64", True)
        >>> rng = np.random.default_rng(0)
        >>> labels = np.tile([1, -1], 20)
        >>> patches = rng.normal(0, 0.1, (40, 3, 16))
        >>> patches[:, 0, 0] += labels
        >>> data = ag.dataset_from_patches(patches[:30], labels[:30], test_patches=patches[30:], test_labels=labels[30:])
        >>> run = ag.train(data, ag.Network(), ag.CutMix(), step_size=1.0, num_steps=200)
        >>> float(run.history.accuracy[-1])
        1.0
    """
    check(np.isfinite(init_std) and init_std >= 0, f"`init_std` must be at least 0, got {init_std}")
    train, truth = _points("patches", patches, "labels", labels)
    check(
        len(train) > 0 and set(truth) == {-1, 1},
        f"`labels` must hold both +1 and −1, got {sorted(set(truth.tolist()))}",
    )
    check(
        (test_patches is None) == (test_labels is None),
        "`test_patches` and `test_labels` go together: give both, or neither",
    )
    if test_patches is None:
        test_patches, test_labels = train[:0], truth[:0]
    test, test_truth = _points("test_patches", test_patches, "test_labels", test_labels)
    check(
        test.shape[1:] == train.shape[1:],
        f"`test_patches` must have P and d of `patches`, {train.shape[1:]}, got {test.shape[1:]}",
    )
    arrays = [jnp.asarray(array) for array in (train, truth, test, test_truth)]
    start = jax.random.normal(jax.random.key(0) if key is None else key, (2, train.shape[2]), arrays[0].dtype)
    names = "patches", "labels", "test_patches", "test_labels"
    return PatchData(**dict(zip(names, arrays, strict=True)), initial_weights=init_std * start)


def _points(name: str, patches: Any, label_name: str, labels: Any) -> tuple[np.ndarray, np.ndarray]:
    """Points and their labels as arrays, checked."""
    array, truth = np.asarray(patches), np.asarray(labels)
    check(
        array.ndim == 3 and array.dtype.kind in "fiu",
        f"`{name}` must be numbers of shape (n, P, d), got {array.dtype} of {array.shape}",
    )
    check(0 not in array.shape[1:], f"`{name}` must have P ≥ 1 and d ≥ 1, got shape {array.shape}")
    array = array if array.dtype == np.float32 else array.astype(np.float64)
    check_finite(name, array)
    check(truth.shape == array.shape[:1], f"`{label_name}` must have shape ({len(array)},), got {truth.shape}")
    check(
        bool(np.isin(truth, (-1, 1)).all()),
        f"`{label_name}` must be +1 or −1, got {truth[~np.isin(truth, (-1, 1))][:3].tolist()}",
    )
    return array, truth.astype(int)
