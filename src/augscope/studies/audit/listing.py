"""Which images there are: one reader for each form that data comes in."""

from __future__ import annotations

from pathlib import Path

from augscope.studies.audit.entries import Listing
from augscope.studies.audit.from_arrays import Arrays, listing_of_arrays
from augscope.studies.audit.from_csv import listing_of_csv
from augscope.studies.audit.from_folder import listing_of_folder
from augscope.studies.audit.from_parquet import listing_of_parquet
from augscope.studies.audit.problems import Problems
from augscope.studies.audit.settings import Reading
from augscope.support.values import check

FORMS = "a folder, a CSV file or a Parquet file"


def read_listing(data: Path | Arrays, reading: Reading, problems: Problems) -> Listing:
    """List the images of a data set; what is wrong with single rows or files goes to `problems`.

    Args:
        data: a folder that holds a folder for each class (or `train`, `test` and perhaps `val` that do); files in folders below
            a class's have those as their attribute. Or a CSV with the columns filename, y, split and any attributes. Or a Parquet file, or
            a folder of them, with an image column as Hugging Face writes it, and label. Or arrays.
        reading: its `root` is for a CSV, its `attributes` for a CSV and Parquet.
        problems: of the whole data set.

    Raises:
        ValueError: if `data` is none of these, or columns are missing.
    """
    if isinstance(data, Arrays):
        return listing_of_arrays(data, problems)
    check(data.exists(), f"`data` must be {FORMS}, got {data}, which does not exist")
    files = sorted(data.glob("*.parquet")) if data.is_dir() else [data]
    suffix = files[0].suffix.lower() if files else ""
    check(reading.root is None or suffix == ".csv", f"`root` is for a CSV, got {data}")
    if suffix == ".parquet":
        return listing_of_parquet(files, reading, problems)
    if data.is_dir():
        check(reading.attributes is None, f"`attributes` are for a CSV or Parquet, got the folder {data}")
        return listing_of_folder(data, problems)
    check(suffix == ".csv", f"`data` must be {FORMS}, got {data}")
    return listing_of_csv(data, reading, problems)
