"""What transforms of a batch return, however they are called."""

from __future__ import annotations

from typing import Any

from augscope.laws.adapters import dictionaries, label_pairs, soft_labels
from augscope.laws.adapters.convention import FormUnknown, form_in_words

READERS = (
    label_pairs,
    soft_labels,
)  # each has a `FORM` for messages, and `read`, which returns None for any other form


def read(output: Any, num_classes: int) -> tuple[Any, Any]:
    """Return images and labels (N, K) or (N,); a dict is read as the pair that it holds.

    Raises:
        FormUnknown: if what comes back has none of the forms.
    """
    held = dictionaries.entries(output) or output
    for reader in READERS:
        batch = reader.read(held, num_classes)
        if batch is not None:
            return batch
    raise FormUnknown(form_in_words(output))
