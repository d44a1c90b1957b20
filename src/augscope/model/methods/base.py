"""What every training loss offers, and the logistic loss they share."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int
from pydantic import model_serializer

from augscope.model.arrays import checked_probabilities, checked_scores
from augscope.support.naming import path_of
from augscope.support.values import Value, check


class Plateau(NamedTuple):
    """Where training settles with even scores (model.md, identity 6.8); NaN where that is not known, or nowhere.

    Attributes:
        positive, negative: y a of every patch of the points with label +1, and of those with label −1.
        loss: the least over all scores.
    """

    positive: float
    negative: float
    loss: float


class Draws(NamedTuple):
    """Augmented points drawn at random: each takes some patches of a point X_i, the others of a partner X_j.

    Attributes:
        own: (draws, P), which patches are X_i's; of a method of projections, what share of each patch.
        share: (draws,), the label weight of X_i; None where there is no partner and the other patches are 0.
    """

    own: Bool[Array, "draws P"] | Float[Array, "draws P"]
    share: Float[Array, " draws"] | None


NO_PLATEAU = Plateau(float("nan"), float("nan"), float("nan"))


class Method(Value):
    """A training loss as a function of `scores`, `labels` and the points' weights alone (model.md, identity 6.1).

    A subclass implements `raw_loss` in traceable JAX, or `raw_loss_and_gradient` where it knows better than automatic
    differentiation, and `check_num_patches` where it limits P. Where a single evaluation can handle more than a descent,
    `check_evaluation` says what. `augmented_margins` and `plateau` say what is measured of it besides. Its fields are its
    parameters. In files it goes by its import path, `module:Name`.

    A third argument named `probabilities`, (n,), makes it a method for weighted samples too. Without a default it is always
    given (1/n each on other samples); with the default None only where points have weights.

    Example:
        >>> import jax, jax.numpy as jnp, numpy as np, augscope as ag
        >>> jax.config.update("jax_enable_x64", True)
        >>> class Exponential(ag.Method):
        ...     rate: float = 1.0
        ...     def raw_loss(self, scores, labels, probabilities):
        ...         return probabilities @ jnp.exp(-self.rate * labels * scores.sum(axis=1))
        >>> method = Exponential(rate=2.0)
        >>> method.title, method.loss_and_gradient(np.zeros((1, 2)), np.array([1]))[1].tolist()
        ('Exponential (rate = 2.0)', [[-2.0, -2.0]])
    """

    @property
    def title(self) -> str:
        """The method's name as people write it, with the parameters that are not at their defaults."""
        fields = type(self).model_fields.items()
        changed = {name: getattr(self, name) for name, field in fields if getattr(self, name) != field.default}
        parameters = ", ".join(f"{name} = {value}" for name, value in changed.items())
        return f"{type(self).__name__} ({parameters})" if parameters else type(self).__name__

    @model_serializer(mode="wrap")
    def _with_name(self, fields: Any) -> dict[str, Any]:
        """The fields and, unless the method has one, its import path for a name."""
        written = fields(self)
        return written if "name" in written else {"name": path_of("method", type(self)), **written}

    def check_num_patches(self, num_patches: int) -> None:
        """Raise ValueError if no descent with points of `num_patches` patches is possible."""

    def check_evaluation(self, num_samples: int, num_patches: int) -> None:
        """Raise ValueError if not even a single evaluation of this size is possible."""
        self.check_num_patches(num_patches)

    @property
    def takes_probabilities(self) -> bool:
        """Whether the loss has an argument `probabilities`, so that it can be taken of a weighted sample."""
        return "probabilities" in parameters_of(self._own_loss())

    def _own_loss(self) -> Callable[..., Any]:
        """The function that decides the loss."""
        if self.of_projections:
            return self.raw_loss_of_projections
        plain = type(self).raw_loss_and_gradient is Method.raw_loss_and_gradient
        return self.raw_loss if plain else self.raw_loss_and_gradient

    def check_weighted(self) -> None:
        """Raise ValueError unless the method takes `probabilities`."""
        name = getattr(self._own_loss(), "__name__", "function")
        check(
            self.takes_probabilities,
            f"`method` must take `probabilities` for a weighted sample, got {self.title}: "
            f"give its `{name}` a third argument `probabilities`",
        )

    def raw_loss_and_gradient(self, scores: Any, labels: Any, probabilities: Any = None) -> tuple[Any, Any]:
        """Return the loss and gradient without checking arguments: what compiled loops call, by `call_loss`.

        JAX can differentiate the loss in either mode, and the gradient forward (`jax.jvp`, `jax.jacfwd`).
        """
        return jax.value_and_grad(partial(call_loss, self.raw_loss))(scores, labels, probabilities)

    @property
    def of_projections(self) -> bool:
        """Whether the loss is one of the projections ⟨w_s, x⟩ and the network, as where inputs are blended, and not of scores."""
        return type(self).raw_loss_of_projections is not Method.raw_loss_of_projections

    def raw_loss_of_projections(
        self, projections: Any, labels: Any, network: Any, probabilities: Any = None
    ) -> tuple[Any, Any]:
        """Return the loss and its derivative in the projections, (2, n, P) by position, without checking arguments; traceable.

        A method that defines it needs neither `raw_loss` nor `raw_loss_and_gradient`; it is given to `train`, flows and limits as any other.
        """
        raise NotImplementedError(f"{type(self).__name__} is a method of scores")

    def loss_of_projections(
        self,
        projections: Float[Array, "2 n P"],
        labels: Float[Array, " n"],
        network: Any,
        probabilities: Float[Array, " n"] | None = None,
    ) -> tuple[Float[Array, ""], Float[Array, "2 n P"]]:
        """Return the loss and its derivative in the projections ⟨w_s, x_i^(p)⟩ of the two filters.

        Args:
            projections: (2, n, P). labels: +1 or −1, (n,). network: whose φ makes scores of them. probabilities: as in `loss_and_gradient`.

        Raises:
            ValueError: as `loss_and_gradient` does, or if the method is one of scores.
        """
        check(self.of_projections, f"`projections` are asked for by no {self.title}: give `loss` its scores")
        check(
            projections.ndim == 3 and len(projections) == 2, f"`projections` must be (2, n, P), got {projections.shape}"
        )
        labels, projections = checked_scores(projections[0], labels)[1], jnp.asarray(projections)
        probabilities = checked_probabilities(probabilities, projections[0])
        self.check_evaluation(*projections.shape[1:])
        return call_loss(partial(self.raw_loss_of_projections, network=network), projections, labels, probabilities)

    def raw_loss(self, scores: Any, labels: Any, probabilities: Any = None) -> Any:
        """Return the loss alone, without checking arguments: enough for a method of your own."""
        raise NotImplementedError(f"{type(self).__name__} must define `raw_loss` or `raw_loss_and_gradient`")

    def loss_and_gradient(
        self, scores: Float[Array, "n P"], labels: Int[Array, " n"], probabilities: Float[Array, " n"] | None = None
    ) -> tuple[Float[Array, ""], Float[Array, "n P"]]:
        """Return the training loss and its gradient with respect to the scores.

        Args:
            scores: patch scores a_{i,p}, shape (n, P).
            labels: +1 or −1, shape (n,).
            probabilities: w_i ≥ 0, the weight of each point, shape (n,), sum 1; uniform by default. Other values compile
                nothing anew.

        Returns:
            The loss (a scalar) and ∂loss/∂a_{i,p}, shape (n, P).

        Raises:
            ValueError: on mismatched shapes, NaN, other labels, negative weights or ones that do not sum to 1, a method that
                takes none, a size that the method cannot handle, or float64 not enabled.
        """
        check(not self.of_projections, f"`scores` do not determine {self.title}: ask `loss_of_projections`")
        scores, labels = checked_scores(scores, labels)
        probabilities = checked_probabilities(probabilities, scores)
        self.check_evaluation(*scores.shape)
        if probabilities is not None:
            self.check_weighted()
        return _compiled(self, scores, labels, probabilities)

    def loss(
        self, scores: Float[Array, "n P"], labels: Int[Array, " n"], probabilities: Float[Array, " n"] | None = None
    ) -> Float[Array, ""]:
        """Return the training loss alone; arguments and errors as in `loss_and_gradient`."""
        return self.loss_and_gradient(scores, labels, probabilities)[0]

    def draw(self, key: Any, num_draws: int, num_patches: int) -> Draws:
        """Return independent draws of the augmentation whose expectation the loss is; traceable. Raises ValueError where none is known."""
        raise ValueError(f"`method` must know how its augmentation is drawn, got {self.title}: define its `draw`")

    @property
    def can_draw(self) -> bool:
        """Whether it defines `draw`."""
        return type(self).draw is not Method.draw

    def augmented_margins(self, scores: Any, labels: Any) -> Any:
        """Return each point's smallest y f over its augmented versions, shape (n,); here: no augmentation. NumPy's or JAX's arrays."""
        return signed_scores(scores, labels).sum(axis=1)

    def augmented_margins_of_projections(self, projections: Any, labels: Any, network: Any) -> Any:
        """Return the same, (n,), from the projections (2, n, P) by position; a method of projections may know better."""
        active = network.activation(projections)
        return self.augmented_margins(active[0] - active[1], labels)

    def plateau(self, num_patches: int, positive_share: float) -> Plateau:
        """Return where training settles and the least loss, by P and the share of points with label +1; here: not known."""
        return NO_PLATEAU

    def plateau_sentence(self) -> str:
        """Return what readers of a table of measures should know of its plateau; here nothing."""
        return ""


def signed_scores(scores: Any, labels: Any) -> Any:
    """Return y a, (n, P), as an array of the kind given: JAX's, traced or not, or NumPy's."""
    scores, labels = (one if hasattr(one, "__array_namespace__") else np.asarray(one) for one in (scores, labels))
    return labels[:, None] * scores


def check_method(method: Any, num_samples: int, num_patches: int, weighted: bool = False) -> None:
    """Raise ValueError unless this is a method that can train on so many points of so many patches, `weighted` ones if asked."""
    check(isinstance(method, Method), f"`method` must be a method such as augscope.Erm(), got {method!r}")
    method.check_num_patches(num_patches)
    if method.of_projections:
        method.check_evaluation(num_samples, num_patches)
    if weighted:
        method.check_weighted()


def call_loss(function: Callable[..., Any], scores: Any, labels: Any, probabilities: Any) -> Any:
    """Call a loss, perhaps of somebody's own, with `probabilities` where it needs them: it may not know that argument."""
    parameter = parameters_of(function).get("probabilities")
    if probabilities is None and parameter is not None and parameter.default is parameter.empty:
        probabilities = jnp.full(labels.shape[0], 1 / labels.shape[0], scores.dtype)
    return function(scores, labels) if probabilities is None else function(scores, labels, probabilities=probabilities)


def parameters_of(function: Callable[..., Any]) -> Mapping[str, inspect.Parameter]:
    """Return a function's parameters by name; none where they are not told."""
    try:
        return inspect.signature(function).parameters
    except (TypeError, ValueError):  # some functions written in C tell none
        return {}


@partial(jax.jit, static_argnums=0)
def _compiled(method: Method, scores: Any, labels: Any, probabilities: Any) -> tuple[Any, Any]:
    return call_loss(method.raw_loss_and_gradient, scores, labels, probabilities)


def weigh(array: Any, weights: Any) -> Any:
    """Return the product; None stands for weights of 1, which cost nothing."""
    return array if weights is None else array * weights


def average(losses: Any, slopes: Any, probabilities: Any) -> tuple[Any, Any]:
    """Return the loss over points and its gradient.

    Args:
        losses: of each point, (n,), or of each of its equally likely versions, (versions, n).
        slopes: the derivative of a point's summed losses in its scores, (n, …).
        probabilities: of the points, (n,), or None: uniform.
    """
    num_versions = losses.size // len(slopes)
    if probabilities is None:
        return losses.mean(), slopes / losses.size
    return (losses @ probabilities).sum() / num_versions, slopes * probabilities[:, None] / num_versions


LossAndGradient = Callable[..., tuple[Any, Any]]


def with_known_gradient(function: LossAndGradient, plain: LossAndGradient | None = None) -> LossAndGradient:
    """Return the function with a derivative in reverse mode too, where JAX has none for its loops.

    Args:
        function: (scores, …) → a loss and its gradient in the scores, which is the loss's derivative. Nothing is
            differentiated in the other arguments.
        plain: the same in a form that JAX can differentiate, for the derivative of the gradient; by default `function`.
    """
    second = plain or function
    known = jax.custom_jvp(function)

    @known.defjvp
    def derivative(primals: tuple[Any, ...], tangents: tuple[Any, ...]) -> tuple[Any, Any]:
        loss, gradient = function(*primals)
        _, (_, change) = jax.jvp(lambda scores: second(scores, *primals[1:]), primals[:1], tangents[:1])
        return (loss, gradient), (jnp.vdot(gradient, tangents[0]), change)

    return known


def logistic(margins: Any) -> tuple[Any, Any]:
    """Return ℓ(z) = log(1 + e^{−z}) and ℓ'(z) = −1/(1 + e^z), both to full relative accuracy, elementwise."""
    small = jnp.exp(-jnp.maximum(margins, -margins))  # not abs, to which JAX gives slope 1 at 0: this has 0
    loss = jnp.maximum(-margins, 0) + _log1p_of_unit(small)
    return loss, -jnp.where(margins >= 0, small, 1) / (1 + small)


def drawn_losses(output: Any, share: Any, labels: Any, partner_labels: Any) -> tuple[Any, Any]:
    """Return the losses of augmented points and their derivatives in the points' outputs, elementwise; traceable.

    Args:
        output: f of each augmented point.
        share: label weight of the points, as in `Draws`; None where there is no partner.
        labels, partner_labels: of the points and of their partners, None where there is none.
    """
    losses, slopes = logistic(labels * output)
    slopes = labels * slopes
    if share is None:
        return losses, slopes
    share, (others, other_slopes) = share.astype(output.dtype), logistic(partner_labels * output)
    return share * losses + (1 - share) * others, share * slopes + (1 - share) * partner_labels * other_slopes


def _log1p_of_unit(x: Any) -> Any:
    """log(1 + x) for x in [0, 1], elementwise, as 2 atanh(x/(2 + x)): its argument s is at most 1/3.

    XLA's own log1p takes about ten times as long on a CPU (it does not vectorise); the 17 terms of Σ s^{2k+1}/(2k+1) leave
    a relative remainder below 1e-17, and the result agrees with log1p within 2 units in the last place.
    """
    s = x / (2 + x)
    power = s * s
    terms: list[Any] = [1 / order for order in range(1, 35, 2)]
    while len(terms) > 1:  # in pairs (Estrin): a chain of 17 dependent products would wait for each
        odd = terms[1::2] + [0.0] * (len(terms) % 2)
        terms = [low + high * power for low, high in zip(terms[::2], odd, strict=True)]
        power = power * power
    return 2 * s * terms[0]
