"""Images in arrays: what npz and idx files, torchvision's data sets and all else become in a few lines of Python."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from augscope.studies.audit.entries import Listing
from augscope.studies.audit.from_table import Table, listing_of_table
from augscope.studies.audit.problems import Problems
from augscope.studies.audit.table_file import Coded, texts
from augscope.support.values import check


class Arrays(NamedTuple):
    """Images with what is known of each, as Python has them.

    Attributes:
        images: (n, H, W), (n, H, W, C) or (n, C, H, W), uint8, C 1 or 3.
        labels: (n,), texts or numbers.
        splits: (n,), train, val, test, or 0, 1, 2; None: to be drawn.
        attributes: (n,) each, by name.
    """

    images: Any
    labels: Any
    splits: Any = None
    attributes: Mapping[str, Any] | None = None


def listing_of_arrays(arrays: Arrays, problems: Problems) -> Listing:
    """List images in their order. Raises ValueError where arrays cannot be images with labels at all, with everything that is wrong."""
    images, kind = _pixels(arrays.images), "arrays that are no values, one an image"
    columns = {"labels": arrays.labels, "splits": arrays.splits, **dict(arrays.attributes or {})}
    coded: dict[str, Coded] = {}
    for name, values in columns.items():
        if values is None and name == "splits":
            continue
        try:
            column = np.asarray(values)
            coded[name] = texts(pa.chunked_array([pa.array(column, from_pandas=True)]))
        except (ValueError, TypeError, pa.ArrowException) as error:
            problems.add(kind, f"{name}: {' '.join(str(error).split())}")
            continue
        if column.shape != (len(images),):
            problems.add(kind, f"{name}: shape {column.shape}, for {len(images):,} images")
    problems.raise_if_any()
    names = [f"{number:0{len(str(len(images)))}d}" for number in range(len(images))]
    labels, splits = coded.pop("labels"), coded.pop("splits", None)
    return listing_of_table(Table(list(images), names, labels, splits, coded), problems)


def _pixels(given: Any) -> np.ndarray:
    """Images as (n, H, W) or (n, H, W, 3)."""
    images = np.asarray(given)
    if images.ndim == 4 and images.shape[3] not in (1, 3) and images.shape[1] in (1, 3):
        images = images.transpose(0, 2, 3, 1)
    if images.ndim == 4 and images.shape[3] == 1:
        images = images[..., 0]
    good = images.ndim == 3 or (images.ndim == 4 and images.shape[3] == 3)
    check(
        good and min(images.shape) > 0 and images.dtype == np.uint8,
        "`images` must be of shape (n, H, W), (n, H, W, C) or (n, C, H, W) with C 1 or 3, in uint8 "
        f"(numbers in [0, 1]: (255 * images).round().astype('uint8')), got {np.shape(given)} of {images.dtype}",
    )
    return np.ascontiguousarray(images)
