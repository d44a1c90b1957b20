"""Methods of one's own: any law over subsets of patches with label weights, or any function of the scores."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from functools import lru_cache, partial
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float
from pydantic import model_serializer

from augscope.model.methods.base import Draws, Method, average, call_loss, logistic, parameters_of
from augscope.model.methods.pair_sums import pair_sums
from augscope.model.methods.subsets import all_subsets
from augscope.support.naming import path_of
from augscope.support.values import check

MAX_PATCHES = 12  # of a descent: 4,096 subsets a step
MAX_PATCHES_ONCE = 16  # of a single evaluation
TOLERANCE = 1e-12  # of the interpolation over pairs, as CutMix has it by default
ROUNDING = 1e-9  # how far from 1 the sum of a law may lie


class SubsetMethod(Method):
    """The expected loss over a law of your own on subsets S of the patches, exactly.

    With `label_weights` λ(S), patches outside S come from a second point, as in CutMix:
    Σ_{i,j} w_i w_j Σ_S P(S) [λ(S) ℓ(y_i f(X_{i,j,S})) + (1 − λ(S)) ℓ(y_j f(X_{i,j,S}))], w_i = 1/n by default. Without,
    they become 0 and the label stays, as in Cutout: Σ_i w_i Σ_S P(S) ℓ(y_i f(X_{i,S})). A subclass says P and λ in NumPy; its fields are
    its parameters. All 2^P subsets are visited, up to P = 12 in a descent and P = 16 in a single evaluation.

    Cost: O(2^P n m) with λ, m some tens (`pair_sums`, to a relative 1e-12); O(2^P n P) without.

    Example:
        >>> import jax, numpy as np, augscope as ag
        >>> jax.config.update("jax_enable_x64", True)
        >>> class Independent(ag.SubsetMethod):  # every patch is kept with probability `keep`
        ...     keep: float = 0.5
        ...     def probabilities(self, members):
        ...         return np.where(members, self.keep, 1 - self.keep).prod(axis=1)
        >>> round(float(Independent(keep=1.0).loss(np.ones((1, 3)), np.array([1]))), 6), round(float(np.log1p(np.exp(-3.0))), 6)
        (0.048587, 0.048587)
    """

    def probabilities(self, members: Bool[np.ndarray, "subsets P"]) -> Float[np.ndarray, " subsets"]:
        """Return P(S) for each subset, a row that is true on its patches; they are at least 0 and sum to 1."""
        raise NotImplementedError(f"{type(self).__name__} must define `probabilities`")

    def label_weights(self, members: Bool[np.ndarray, "subsets P"]) -> Float[np.ndarray, " subsets"] | None:
        """Return λ(S) in [0, 1] for each subset, or None: nothing is mixed."""
        return None

    def check_num_patches(self, num_patches: int) -> None:
        """Raise ValueError if P is too large for a descent, or the law is none."""
        _check_size(num_patches, MAX_PATCHES, "a descent")
        self._table(num_patches)

    def check_evaluation(self, num_samples: int, num_patches: int) -> None:
        """Raise ValueError if P is too large, or the law is none."""
        _check_size(num_patches, MAX_PATCHES_ONCE, "a single evaluation")
        self._table(num_patches)

    def draw(self, key: Any, num_draws: int, num_patches: int) -> Draws:
        """Return points with the patches of drawn subsets."""
        members, law, weights = self._table(num_patches)
        rows = jax.random.choice(key, len(law), (num_draws,), p=jnp.asarray(law))
        return Draws(jnp.asarray(members)[rows], None if weights is None else jnp.asarray(weights)[rows])

    def raw_loss_and_gradient(self, scores: Any, labels: Any, probabilities: Any = None) -> tuple[Any, Any]:
        """Return the loss and gradient without checking arguments."""
        members, law, weights = self._table(scores.shape[1])
        if weights is not None:
            return pair_sums(scores, labels, probabilities, members, law, TOLERANCE, weights)
        inside, law = jnp.asarray(members, scores.dtype), jnp.asarray(law, scores.dtype)
        losses, slopes = logistic(labels[None, :] * (inside @ scores.T))  # (subsets, n)
        return average(law @ losses, labels[:, None] * ((law[:, None] * slopes).T @ inside), probabilities)

    def _table(self, num_patches: int) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        return subset_table(cast(Hashable, self), num_patches)

    def augmented_margins(self, scores: Any, labels: Any) -> Any:
        """Return each point's smallest y f over the subsets that occur, (n,); NaN where points are mixed."""
        scores = np.asarray(scores)
        members, law, weights = self._table(scores.shape[1])
        if weights is not None:
            return np.full(len(scores), np.nan)
        return (np.asarray(labels)[:, None] * (scores @ members[law > 0].T)).min(axis=1)


def _check_size(num_patches: int, most: int, what: str) -> None:
    check(num_patches <= most, f"`num_patches` must be at most {most} for {what} over subsets, got {num_patches}")


@lru_cache(maxsize=64)
def subset_table(method: Any, num_patches: int) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Return all subsets (2^P, P), their probabilities and label weights or None. Raises ValueError if they are none."""
    members = all_subsets(num_patches)[0]
    name, shape = type(method).__name__, (len(members),)
    law = np.asarray(method.probabilities(members.copy()), np.float64)
    check(law.shape == shape, f"`probabilities` of {name} must have shape {shape}, got {law.shape}")
    sound = bool(np.isfinite(law).all() and (law >= 0).all()) and abs(law.sum() - 1) <= ROUNDING
    check(sound, f"`probabilities` of {name} must be at least 0 and sum to 1, got {law.min():g} … and {law.sum():.12g}")
    weights = method.label_weights(members.copy())
    if weights is None:
        return members, law, None
    weights = np.asarray(weights, np.float64)
    check(weights.shape == shape, f"`label_weights` of {name} must have shape {shape}, got {weights.shape}")
    inside = bool(((weights >= 0) & (weights <= 1)).all())
    check(inside, f"`label_weights` of {name} must be in [0, 1], got {weights.min():g} … {weights.max():g}")
    return members, law, weights


class FunctionMethod(Method):
    """A function `(scores, labels[, probabilities]) → loss` in traceable JAX as a method; its gradient is automatic.

    A method with parameters is a subclass of `Method` that defines `raw_loss`.

    Args:
        function: takes scores (n, P) and labels (n,) of ±1 as floats, returns a scalar. One for weighted samples has a
            third argument `probabilities`, (n,), as in `augscope.Method`. One whose first argument is named `projections` gets
            these, (2, n, P), and the `network` too, for losses that scores do not determine. Written down, the method is the function's import
            path; that needs a function at the top level of a module.

    Example:
        >>> import jax, jax.numpy as jnp, numpy as np, augscope as ag
        >>> jax.config.update("jax_enable_x64", True)
        >>> def square(scores, labels):
        ...     return ((1 - labels * scores.sum(axis=1)) ** 2).mean()
        >>> method = ag.FunctionMethod(function=square)
        >>> method.title, method.loss_and_gradient(np.zeros((1, 2)), np.array([-1]))[1].tolist()
        ('square', [[2.0, 2.0]])
    """

    function: Callable[..., Any]

    @property
    def title(self) -> str:
        """The function's name."""
        return getattr(self.function, "__name__", repr(self.function))

    @model_serializer(mode="plain")
    def _as_path(self) -> dict[str, Any]:
        return {"name": path_of("function", self.function)}

    def _own_loss(self) -> Callable[..., Any]:
        return self.function

    @property
    def of_projections(self) -> bool:
        """Whether the function's first argument is named `projections`."""
        return next(iter(parameters_of(self.function)), "") == "projections"

    def raw_loss_of_projections(
        self, projections: Any, labels: Any, network: Any, probabilities: Any = None
    ) -> tuple[Any, Any]:
        """Return the function's value and derivative."""
        loss = partial(self.function, network=network)
        return jax.value_and_grad(partial(call_loss, loss))(projections, labels, probabilities)

    def raw_loss(self, scores: Any, labels: Any, probabilities: Any = None) -> Any:
        """Return the function's value."""
        try:
            value = call_loss(self.function, scores, labels, probabilities)
        except TypeError as error:  # another number of arguments, or no function of arrays
            reason = str(error).partition("\n")[0]
            raise ValueError(f"`methods` must take scores and labels as arrays, got {self.title}: {reason}") from None
        check(jnp.shape(value) == (), f"`{self.title}` must return a scalar, got shape {jnp.shape(value)}")
        return value

    def augmented_margins(self, scores: Any, labels: Any) -> Any:
        """Return NaN for each point, (n,): a function does not tell what it augments."""
        return np.full(len(np.asarray(scores)), np.nan)
