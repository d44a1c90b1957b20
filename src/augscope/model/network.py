"""The two-layer CNN of Oh & Yun (2024): two filters, a smoothed leaky ReLU or a φ of one's own, and the scores it gives to patches."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.core
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from pydantic import field_validator, model_serializer, model_validator

from augscope.model.arrays import check_finite, check_key, check_precision
from augscope.support.naming import make_piece, path_of
from augscope.support.values import Value, check, check_positive


class BaseNetwork(Value):
    """f_W(X) = Σ_p φ(⟨w_1, x^(p)⟩) − Σ_p φ(⟨w_{−1}, x^(p)⟩) for any φ: what all networks share."""

    def activation(self, z: Any) -> Any:
        """Return φ(z), elementwise."""
        raise NotImplementedError(f"{type(self).__name__} must define `activation`")

    def activation_slope(self, z: Any) -> Any:
        """Return φ'(z), elementwise; by automatic differentiation unless a subclass knows better."""
        return jax.jvp(self.activation, (z,), (jnp.ones_like(z),))[1]

    @property
    def outputs(self) -> tuple[float, ...]:
        """What each filter's φ counts in f: +1 and −1."""
        return 1.0, -1.0

    def kinks(self) -> tuple[float, ...]:
        """Return the z at which φ bends abruptly, 0 unless a subclass knows better: exact accuracy integrates between them."""
        return (0.0,)

    def initial_weights(self, key: Any, dim: int, init_std: float, dtype: str = "float64") -> Float[Array, "2 dim"]:
        """Draw W(0) with independent N(0, init_std²) entries; row 0 is w_1, row 1 is w_{−1}.

        Raises:
            ValueError: if `key` is not a JAX key, `init_std` < 0, or float64 is not enabled and not waived.
        """
        check_key(key)
        check_precision(dtype)
        check(0 <= init_std < float("inf"), f"`init_std` must be at least 0, got {init_std}")
        return init_std * jax.random.normal(key, (2, dim), dtype)

    def scores(self, weights: Float[Array, "2 D"], patches: Float[Array, "n P D"]) -> Float[Array, "n P"]:
        """Return the patch scores a_{i,p} = φ(⟨w_1, x_i^(p)⟩) − φ(⟨w_{−1}, x_i^(p)⟩). Cost O(n P D)."""
        check(
            len(weights.shape) == 2 and weights.shape[0] == 2 and weights.shape[-1] == patches.shape[-1],
            f"`weights` must have shape (2, {patches.shape[-1]}) to match `patches`, got {tuple(weights.shape)}",
        )
        if not isinstance(weights, jax.core.Tracer):
            check_finite("weights", weights)
        check_precision(weights.dtype)
        projections = jnp.einsum("sd,npd->snp", weights, patches)
        values = self.activation(projections)
        return values[0] - values[1]

    def predict(self, weights: Float[Array, "2 D"], patches: Float[Array, "n P D"]) -> Float[Array, " n"]:
        """Return the predicted labels: +1 where f_W(X) ≥ 0, else −1 (a tie predicts +1)."""
        return jnp.where(self.scores(weights, patches).sum(axis=1) >= 0, 1, -1)


class Network(BaseNetwork):
    """f_W(X) = Σ_p φ(⟨w_1, x^(p)⟩) − Σ_p φ(⟨w_{−1}, x^(p)⟩) with the smoothed leaky ReLU φ (paper, §2.2; model.md §3).

    φ(z) = βz for z ≤ 0; (1−β)z²/(2r) + βz for 0 ≤ z ≤ r; z − (1−β)r/2 for z ≥ r. Its methods take NumPy or JAX arrays
    of any shape and return the same kind.

    Args:
        negative_slope: β in (0, 1], the slope left of 0.
        smoothing: r > 0, the width of the quadratic piece.

    Example:
        >>> import numpy as np, augscope as ag
        >>> network = ag.Network(negative_slope=0.1, smoothing=1.0)
        >>> network.activation(np.array([-1.0, 0.5, 2.0])).round(4).tolist()
        [-0.1, 0.1625, 1.55]
    """

    negative_slope: float = 0.1
    smoothing: float = 1.0

    @field_validator("negative_slope")
    @classmethod
    def _check_slope(cls, negative_slope: float) -> float:
        check(0 < negative_slope <= 1, f"`negative_slope` must be in (0, 1], got {negative_slope}")
        return negative_slope

    @field_validator("smoothing")
    @classmethod
    def _check_smoothing(cls, smoothing: float) -> float:
        check_positive("smoothing", smoothing)
        return smoothing

    @property
    def slope_range(self) -> tuple[float, float]:
        """Return the least and the largest slope of φ."""
        return self.negative_slope, 1.0

    def kinks(self) -> tuple[float, ...]:
        """Return 0 and r, where φ bends."""
        return 0.0, self.smoothing

    def activation(self, z: Any) -> Any:
        """Return φ(z), elementwise."""
        xp = z.__array_namespace__()
        beta, r = self.negative_slope, self.smoothing
        # `clip` and `zeros_like` are Python functions in NumPy, and cost more than all the rest.
        bent = xp.minimum(xp.maximum(z, 0), r)  # the part of z inside the quadratic piece
        return beta * z + (1 - beta) * (bent * bent / (2 * r) + xp.maximum(z - r, 0))

    def activation_slope(self, z: Any) -> Any:
        """Return φ'(z) in [β, 1], elementwise."""
        xp = z.__array_namespace__()
        return self.negative_slope + (1 - self.negative_slope) * xp.clip(z, 0, self.smoothing) / self.smoothing

    def activation_inverse(self, y: Any) -> Any:
        """Return φ^{−1}(y), elementwise; φ is increasing and onto, so every real y has exactly one."""
        xp = y.__array_namespace__()
        beta, r = self.negative_slope, self.smoothing
        top = (1 + beta) * r / 2  # φ(r)
        inside = xp.clip(y, 0, top)
        # The stable root of (1−β)z²/(2r) + βz = y: no difference of near-equal numbers.
        bent = 2 * inside / (beta + xp.sqrt(beta * beta + 2 * (1 - beta) * inside / r))
        return xp.where(y <= 0, y / beta, xp.where(y >= top, y + (1 - beta) * r / 2, bent))


class CustomNetwork(BaseNetwork):
    """A network with an activation of one's own: a subclass defines φ in traceable JAX, its fields are its parameters.

    φ must have φ(0) = 0 (a patch that is cut scores nothing) and increase everywhere (exact accuracy inverts it). In files
    it goes by its import path: `network = { name = "module:Name", … }`, where `module:function` stands for a
    `FunctionNetwork`.

    Raises:
        ValueError: if φ is not such a function, as far as values between −100 and 100 tell.

    Example:
        >>> import jax, jax.numpy as jnp, augscope as ag
        >>> jax.config.update("jax_enable_x64", True)
        >>> class SoftLeaky(ag.CustomNetwork):
        ...     slope: float = 0.1
        ...     def activation(self, z):
        ...         return self.slope * z + (1 - self.slope) * (jnp.logaddexp(z, 0.0) - jnp.log(2.0))
        >>> round(float(SoftLeaky().activation_slope(jnp.array(0.0))), 6)
        0.55
    """

    @model_validator(mode="after")
    def _check_activation(self) -> CustomNetwork:
        right = np.geomspace(0.01, 100.0, 200)
        values = np.asarray(self.activation(jnp.asarray(np.concatenate([-right[::-1], [0.0], right]))))
        name = f"the activation of {type(self).__name__}"
        check(values.shape == (401,), f"{name} must act elementwise, got shape {values.shape} for (401,)")
        check(abs(values[200]) <= 1e-6, f"{name} must be 0 at 0, got {values[200]}")
        check(bool((np.diff(values) > 0).all()), f"{name} must increase everywhere, got a piece on which it does not")
        return self

    @model_serializer(mode="wrap")
    def _with_name(self, fields: Any) -> dict[str, Any]:
        return {"name": path_of("network", type(self)), **fields(self)}


class FunctionNetwork(CustomNetwork):
    """A network whose φ is a function in traceable JAX; see `CustomNetwork` for what it must satisfy.

    Args:
        function: φ, elementwise. Written down, the network is its import path.

    Example:
        >>> import jax, jax.numpy as jnp, augscope as ag
        >>> jax.config.update("jax_enable_x64", True)
        >>> network = ag.FunctionNetwork(function=lambda z: jnp.where(z > 0, z, 0.2 * z))
        >>> network.activation(jnp.array([-1.0, 2.0])).tolist()
        [-0.2, 2.0]
    """

    function: Callable[[Any], Any]

    def activation(self, z: Any) -> Any:
        """Return the function's values."""
        return self.function(z)

    @model_serializer(mode="wrap")
    def _with_name(self, fields: Any) -> dict[str, Any]:
        return {"name": path_of("function", self.function)}


def read_network(given: Any) -> BaseNetwork:
    """Return a network from itself, an import path, or a table of its fields, with a `name` where it is one's own.

    Raises:
        ValueError: in a sentence, if it is none of these.

    Example:
        >>> from augscope.model.network import read_network
        >>> read_network({"smoothing": 0.5})
        Network(negative_slope=0.1, smoothing=0.5)
    """
    if isinstance(given, BaseNetwork):
        return given
    check(isinstance(given, (Mapping, str)), f"`network` must be a network or a table of its fields, got {given!r}")
    fields: dict[str, Any] = {"name": given} if isinstance(given, str) else dict(given)
    if "name" not in fields:
        return Network(**fields)
    name = fields["name"]
    check(isinstance(name, str), f"`network` must have text for a name, got {name!r}")
    return make_piece("network", given, CustomNetwork, lambda function: FunctionNetwork(function=function))
