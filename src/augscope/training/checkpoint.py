"""Checkpoints of what JAX computes: kept files whose bits depend on its backend too."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from augscope.model.dataset import PARTS, Dataset
from augscope.model.patches import PatchData
from augscope.support.kept_file import KeptFile
from augscope.support.values import check
from augscope.support.wording import versions


class Checkpoint(KeptFile):
    """A file of NumPy arrays (no pickle) and of the configuration that they belong to.

    Args:
        path: the file; it need not exist.
        configuration: what determines the arrays, ready for JSON. Versions of the packages and the device are added.
    """

    def __init__(self, path: str | Path, configuration: Mapping[str, Any]) -> None:
        super().__init__(path, configuration, {**versions(), "backend": jax.default_backend()})


class DescentCheckpoint(Checkpoint):
    """Where a descent under way stands; read at once, so that a bad file is refused before any work.

    Args:
        path, configuration: as for `Checkpoint`.

    Attributes:
        earlier: the arrays that were saved last, or None.

    Raises:
        ValueError: if the file is truncated, of another configuration or version, or could not be written.
    """

    def __init__(self, path: str | Path, configuration: Mapping[str, Any]) -> None:
        super().__init__(path, configuration)
        self.earlier = self.load()
        check(
            self.earlier is None or ("state.step" in self.earlier and not _before_decay(self.earlier)),
            f"`checkpoint` must be of this version, as others need not give the same bits, got {self.path}, "
            "which an earlier one wrote: finish it there, or remove it",
        )
        self.check_writable()


def _before_decay(arrays: Mapping[str, np.ndarray]) -> bool:
    """Whether drawn steps kept these arrays before they knew weight decay."""
    return any(name.startswith("state.coefficients") for name in arrays)


def named_leaves(name: str, tree: Any) -> dict[str, np.ndarray]:
    """Return a tree's arrays by their paths, such as "state.step".

    Example:
        >>> from typing import NamedTuple
        >>> from augscope.training.checkpoint import named_leaves
        >>> Pair = NamedTuple("Pair", [("left", int), ("right", int)])
        >>> list(named_leaves("pair", Pair(1, 2)))
        ['pair.left', 'pair.right']
    """
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {
        f"{name}.{jax.tree_util.keystr(path, simple=True, separator='.')}": np.asarray(leaf) for path, leaf in leaves
    }


def with_leaves(name: str, tree: Any, arrays: Mapping[str, np.ndarray]) -> Any:
    """Return a tree of the same form with the arrays that `named_leaves` gave.

    Raises:
        KeyError, ValueError: if one is missing, or of another shape.
    """
    leaves = named_leaves(name, tree)
    for path, leaf in leaves.items():
        check(arrays[path].shape == leaf.shape, f"{path} must be of shape {leaf.shape}, not {arrays[path].shape}")
    restored = [jnp.asarray(arrays[path], leaf.dtype) for path, leaf in leaves.items()]
    return jax.tree.unflatten(jax.tree.structure(tree), restored)


def dataset_digest(dataset: Dataset | PatchData) -> str:
    """Return the SHA-256 of everything in a dataset that a descent sees. Cost: about 10 ms at n = 300, P = 3."""
    distribution = dataset.distribution
    digest = hashlib.sha256(b"" if distribution is None else distribution.model_dump_json().encode())
    if isinstance(dataset, PatchData):
        names = "patches", "labels", "test_patches", "test_labels", "initial_weights"
        arrays = [getattr(dataset, name) for name in names]
    elif dataset.is_limit:  # the distribution says the energies
        digest.update(f"{dataset.num_samples}".encode())
        arrays = [dataset.probabilities, *(getattr(dataset, name) for name in PARTS)]
    else:
        arrays = [
            getattr(dataset, name) for name in ("patches", "labels", "features", "initial_weights", "residual_gram")
        ]
    for array in arrays:
        digest.update(f"{array.dtype}{array.shape}".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
