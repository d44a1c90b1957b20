"""Dicts of images and labels, and the names that they go by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

IMAGES = ("images", "image", "img", "pixel_values", "x")
LABELS = ("labels", "label", "target", "y")


def call_with_names(transform: Any, names: Sequence[tuple[str, str]], images: Any, labels: Any) -> Any:
    """Call a transform with a dict, under the first pair of names that holds all that it looks up.

    Raises:
        KeyError: as the transform does with the last pair.
    """
    for image_name, label_name in names[:-1]:
        try:
            return transform({image_name: images, label_name: labels})
        except KeyError:  # a name that it looks up: the next pair may have it
            continue
    image_name, label_name = names[-1]
    return transform({image_name: images, label_name: labels})


def entries(output: Any) -> tuple[Any, Any] | None:
    """The images and the labels in a dict, or None for anything else."""
    if not isinstance(output, Mapping):
        return None
    images = next((output[name] for name in IMAGES if name in output), None)
    labels = next((output[name] for name in LABELS if name in output), None)
    return None if images is None or labels is None else (images, labels)
