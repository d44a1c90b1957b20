"""The logistic loss as a cosine series with a proved error: expectations over exponentially many subsets become products.

ℓ(z) + z/2 = log(2 cosh(z/2)) has second derivative s(z) = sech²(z/2)/4, whose Fourier transform is πω/sinh(πω). By Poisson
summation Σ_m s(z + 2Lm) = 1/(2L) + Σ_k c_k cos(ω_k z), ω_k = πk/L, c_k = (1/L) πω_k/sinh(πω_k). Integrated twice from 0,
with w_k = c_k/ω_k²,

    ℓ(z) ≈ log 2 − z/2 + z²/(4L) + Σ_{k ≤ K} w_k (1 − cos(ω_k z)).

Error for |z| ≤ Z: the copies m ≠ 0 add e ≥ 0 with e(0) = e'(0) = 0 and e'' ≤ 2 cosh(z) q/(1 − q), q = e^{−2L}, because
s(z) ≤ e^{−|z|}; so e and |e'| are at most e^{Z−2L}/(1 − q). The frequencies past ω_K ≥ Ω ≥ 2 add at most 2 Σ w_k to ℓ and
Σ ω_k w_k to ℓ', both at most (2/π) e^{−πΩ}/(1 − e^{−2πΩ}), as w_k ω_k = (π/L)/sinh(πω_k) and the sum is below the integral.
With e^{Z−2L} = e^{−πΩ} = δ/2 the error of ℓ and of ℓ' is at most δ: about 1.7 (Z + 33) frequencies for δ = 1e-14.
"""

from __future__ import annotations

from math import log
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

MAX_FREQUENCIES = 2**20  # reached at |z| of about 600,000; past it, or if scores are not finite, the loss is NaN


class Series(NamedTuple):
    """The series for one range of z; `num_frequencies` and `half_period` are values at run time, so any range will do."""

    half_period: Any  # L
    num_frequencies: Any  # K, 0 where there would be too many
    valid: Any  # 1, or NaN where there would be too many frequencies

    def frequencies(self, first: Any, count: int) -> tuple[Any, Any]:
        """Return ω_k and w_k for k = first + 1 … first + count, shape (count,); past K the weights are 0."""
        k = first + 1 + jnp.arange(count)
        omega = np.pi / self.half_period * k.astype(self.half_period.dtype)
        decay = jnp.exp(-np.pi * omega)  # 1/sinh(x) = 2 e^{−x}/(1 − e^{−2x}) does not overflow
        weight = 2 * np.pi / self.half_period * decay / (omega * -jnp.expm1(-2 * np.pi * omega))
        return omega, jnp.where(k <= self.num_frequencies, weight, 0)


def series(largest: Any) -> Series:
    """Return the series for |z| ≤ `largest` (a scalar array), with error at most `error_bound` of its dtype."""
    reach = log(2 / error_bound(largest.dtype))  # a Python float: NumPy's would make float32 float64
    half_period = (largest + reach) / 2
    wanted = jnp.ceil(reach / np.pi * half_period / np.pi)
    fits = wanted <= MAX_FREQUENCIES  # false for NaN
    number = jnp.where(fits, wanted, 0).astype(jnp.int32)
    return Series(half_period, number, jnp.where(fits, 1.0, jnp.nan).astype(largest.dtype))


def error_bound(dtype: Any) -> float:
    """δ: 45 times the rounding unit, 1e-14 in float64."""
    return 45 * float(jnp.finfo(dtype).eps)
