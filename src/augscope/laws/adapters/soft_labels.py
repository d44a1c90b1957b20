"""Images and soft labels, as torchvision v2, timm and augscope return them."""

from __future__ import annotations

from typing import Any

from augscope.laws.adapters.convention import numbers

FORM = "(images, soft labels)"


def read(output: Any, num_classes: int) -> tuple[Any, Any] | None:
    """Return images and labels as they came back, or None for any other form; class indices are left to the checks."""
    pair = isinstance(output, tuple | list) and len(output) == 2
    if not pair or any(numbers(part) is None for part in output):
        return None
    return output[0], output[1]
