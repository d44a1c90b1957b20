"""kornia."""

from __future__ import annotations

from typing import Any

from augscope.laws.adapters.convention import Form, FormUnknown, one_hot, to_numpy


def call(transform: Any, images: Any, labels: Any, num_classes: int) -> tuple[Any, Any]:
    """kornia's mixes return (own label, permuted label, λ) in the last axis; its other augmentations images alone.

    λ is the permuted label's weight, as kornia's own loss for MixUp says and as CutMix without `use_correct_lambda` counts
    it (the cut's area); with `use_correct_lambda=True` it is the own label's.
    """
    keys = {str(getattr(key, "name", key)).upper() for key in getattr(transform, "data_keys", None) or []}
    if not keys & {"CLASS", "LABEL"}:
        return transform(images), one_hot(to_numpy(labels), num_classes)
    mixed, weights = transform(images, labels)
    triples = to_numpy(weights)
    triples = triples.reshape(-1, *triples.shape[-2:])  # (mixes, N, 3)
    if len(triples) != 1:
        raise FormUnknown(f"{len(triples)} mixes of a batch, of which one can be checked (`num_mix=1`)")
    own, permuted, weight = triples[0].T
    kept = weight if getattr(transform, "use_correct_lambda", False) else 1 - weight
    rows = [one_hot(part.astype(int), num_classes) for part in (own, permuted)]
    return mixed, kept[:, None] * rows[0] + (1 - kept)[:, None] * rows[1]


FORM = Form("a batch, as kornia takes it", call)
