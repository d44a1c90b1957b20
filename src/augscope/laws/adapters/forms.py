"""How libraries and people's own code take batches: eleven forms.

A form's call is a function `(transform, images, labels, num_classes) → (images, labels)`: `images` and `labels` are the library's own
arrays, and what comes back are images and soft labels (N, K): where a transform knows no labels, they are the given ones. A
transform that no form fits is checked through a function of your own, as `file.py:function`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from augscope.laws.adapters import returns, samples
from augscope.laws.adapters.convention import (
    Convention,
    Form,
    FormName,
    FormUnknown,
    form_in_words,
    numbers,
    one_hot,
    to_numpy,
)

SAMPLE_NAMES = (("image", "label"), ("img", "label"), ("image", "target"))
BATCH_NAMES = (("images", "labels"), ("image", "label"), ("pixel_values", "labels"), ("x", "y"))


def _pair(transform: Any, images: Any, labels: Any, num_classes: int) -> tuple[Any, Any]:
    """`transform(images, labels)`: torchvision v2, timm, augscope, and the code of papers."""
    return returns.read(transform(images, labels), num_classes)


def _sample(transform: Any, images: Any, labels: Any, num_classes: int) -> tuple[Any, Any]:
    """`transform(image, label)` for every sample; (image, label) comes back, or the image alone."""
    return samples.stacked([transform(*sample) for sample in samples.of(images, labels)], labels, num_classes)


def _images(transform: Any, images: Any, labels: Any, num_classes: int) -> tuple[Any, Any]:
    """`transform(images)`; labels stay."""
    output = transform(images)
    array = numbers(output)
    if array is None or array.ndim != 4:
        raise FormUnknown(form_in_words(output))
    return output, one_hot(to_numpy(labels), num_classes)


def _image(transform: Any, images: Any, labels: Any, num_classes: int) -> tuple[Any, Any]:
    """`transform(image)` for every image: most Cutouts, and RandomErasing in a data set's transform. Labels stay."""
    return samples.stacked_images([transform(image) for image in images]), one_hot(to_numpy(labels), num_classes)


def _tuple_argument(transform: Any, images: Any, labels: Any, num_classes: int) -> tuple[Any, Any]:
    """`transform((images, labels))`: a batch as a loader gives it."""
    return returns.read(transform((images, labels)), num_classes)


def _collate(transform: Any, images: Any, labels: Any, num_classes: int) -> tuple[Any, Any]:
    """`transform([(image, label), …])`, as a `DataLoader`'s `collate_fn`."""
    return returns.read(transform(list(samples.of(images, labels))), num_classes)


def _sample_dict(transform: Any, images: Any, labels: Any, num_classes: int) -> tuple[Any, Any]:
    """`transform({"image": image, "label": label})` for every sample, as MONAI's, under the first of `SAMPLE_NAMES` that it knows."""
    outputs = [_call_with_names(transform, SAMPLE_NAMES, *sample) for sample in samples.of(images, labels)]
    return samples.stacked([returns.entries(output) or output for output in outputs], labels, num_classes)


def _batch_dict(transform: Any, images: Any, labels: Any, num_classes: int) -> tuple[Any, Any]:
    """`transform({"images": images, "labels": labels})`, under the first of `BATCH_NAMES` that it knows: Keras' layers and pipelines, Hugging Face's
    collators, MONAI's batches."""
    return returns.read(_call_with_names(transform, BATCH_NAMES, images, labels), num_classes)


def _kornia(transform: Any, images: Any, labels: Any, num_classes: int) -> tuple[Any, Any]:
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


def _keras(transform: Any, images: Any, labels: Any, num_classes: int) -> tuple[Any, Any]:
    """Keras layers that mix take and return {"images", "labels"} with one-hot labels."""
    batch = {"images": images, "labels": one_hot(to_numpy(labels), num_classes)}
    output = transform(batch, training=True)
    return output["images"], output["labels"]


def _albumentations(transform: Any, images: Any, labels: Any, num_classes: int) -> tuple[Any, Any]:
    """Albumentations transforms one image at a time, and knows no labels."""
    mixed = np.stack([transform(image=image)["image"] for image in images])
    return mixed, one_hot(to_numpy(labels), num_classes)


def _call_with_names(transform: Any, names: Sequence[tuple[str, str]], images: Any, labels: Any) -> Any:
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


FORMS: dict[FormName, Form] = {  # in the order in which they are tried
    "pair": Form("(images, labels)", _pair, num_arguments=2),
    "sample": Form("one image and its label", _sample, num_arguments=2, one_image=True),
    "images": Form("a batch of images", _images, takes_labels=False),
    "image": Form("one image", _image, takes_labels=False, one_image=True),
    "tuple": Form("one tuple of images and labels", _tuple_argument),
    "collate": Form("a list of (image, label)", _collate),
    "sample_dict": Form("a dict of a sample", _sample_dict, one_image=True),
    "batch_dict": Form("a dict of a batch", _batch_dict),
    "kornia": Form("a batch, as kornia takes it", _kornia),
    "keras": Form("a batch, as Keras takes it", _keras),
    "albumentations": Form("image=image", _albumentations, one_image=True, takes_labels=False),
}
LIBRARIES = {  # by the top-level package: what is known of it is not tried
    "kornia": Convention(form="kornia"),
    "keras": Convention(form="keras", arrays="numpy", layout="channels_last"),
    "albumentations": Convention(form="albumentations", arrays="numpy", layout="channels_last", dtype="uint8"),
}
