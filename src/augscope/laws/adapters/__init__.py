"""How libraries and people's own code take and return batches: one module a form, of which none knows another.

A form's `call` is a function `(transform, images, labels, num_classes) → (images, labels)`: `images` and `labels` are the
library's own arrays, and what comes back are images and soft labels (N, K): where a transform knows no labels, they are the
given ones. A transform that no form fits is checked through a function of your own, as `file.py:function`.
"""

from __future__ import annotations

from augscope.laws.adapters import (
    albumentations,
    batch_dict,
    collate,
    image,
    images,
    keras,
    kornia,
    pair,
    sample,
    sample_dict,
    tuple_argument,
)
from augscope.laws.adapters.convention import Convention, Form, FormName

FORMS: dict[FormName, Form] = {  # in the order in which they are tried
    "pair": pair.FORM,
    "sample": sample.FORM,
    "images": images.FORM,
    "image": image.FORM,
    "tuple": tuple_argument.FORM,
    "collate": collate.FORM,
    "sample_dict": sample_dict.FORM,
    "batch_dict": batch_dict.FORM,
    "kornia": kornia.FORM,
    "keras": keras.FORM,
    "albumentations": albumentations.FORM,
}
LIBRARIES = {  # by the top-level package: what is known of it is not tried
    "kornia": Convention(form="kornia"),
    "keras": Convention(form="keras", arrays="numpy", layout="channels_last"),
    "albumentations": Convention(form="albumentations", arrays="numpy", layout="channels_last", dtype="uint8"),
}
