"""Images in Parquet files as Hugging Face writes them: a column of {bytes, path}, and labels by number or by name."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
from pyarrow import parquet

from augscope.studies.audit.entries import NOT_ATTRIBUTES, SPLITS, Listing
from augscope.studies.audit.from_table import Table, listing_of_table
from augscope.studies.audit.problems import Problems
from augscope.studies.audit.settings import Reading
from augscope.studies.audit.table_file import Coded, texts
from augscope.support.files import check_no_pipe
from augscope.support.values import check

LABEL, SPLIT = "label", "split"
LINKS = (
    "image",
    "img",
    "image_url",
    "url",
    "path",
    "file_name",
)  # columns that say where an image is, and do not hold it


def listing_of_parquet(files: Sequence[Path], reading: Reading, problems: Problems) -> Listing:
    """List the images of Parquet files of one form.

    Without a column `split`, files whose names begin with a split (train-00000-of-00002.parquet) are of it; otherwise it is to be drawn.

    Args:
        files: at least one.
        reading: its `attributes` are the columns to form subgroups by; by default all further ones of texts or whole numbers.
        problems: of the whole data set.

    Raises:
        ValueError: if a file cannot be read or has another form: what was expected, and what the columns are.
    """
    tables = [_read(path) for path in files]
    schema = tables[0].schema
    for path, table in zip(files, tables, strict=True):
        check(
            table.schema.equals(schema),
            f"`data` must be files of the same columns, got {path} with {_words(table.schema)}",
        )
    image = _image_column(files[0], schema)
    attributes, notes = _attributes(files[0], schema, image, reading.attributes)
    table = pa.concat_tables(tables)
    names = _names(files, tables, _field(table[image], "path") if _has_path(schema, image) else None)
    sources = _field(table[image], "bytes").to_pylist()
    for source, name in zip(sources, names, strict=True):
        if source is None:
            problems.add("images without bytes (a path alone is not followed)", name)
    columns = {name: texts(table[name]) for name in attributes}
    splits = texts(table[SPLIT]) if SPLIT in schema.names else _splits_by_file(files, tables, problems)
    return listing_of_table(Table(sources, names, _labels(table), splits, columns), problems, notes)


def _read(path: Path) -> pa.Table:
    try:
        check_no_pipe(path)
        with path.open("rb") as stream:
            return parquet.ParquetFile(stream).read()
    except (OSError, pa.ArrowException) as error:
        raise ValueError(
            f"`data` must be a Parquet file that can be read, got {path}: {' '.join(str(error).split())}"
        ) from None


def _words(schema: pa.Schema) -> str:
    return ", ".join(f"{field.name}: {field.type}" for field in schema) or "no column"


def _image_column(path: Path, schema: pa.Schema) -> str:
    """The name of the one column of images."""
    structs = [field for field in schema if pa.types.is_struct(field.type) and field.type.get_field_index("bytes") >= 0]
    links = [field.name for field in schema if field.name in LINKS and pa.types.is_string(field.type)]
    hint = f"; {links[0]} holds links or names, and no images: put the files' bytes in" if links and not structs else ""
    check(
        len(structs) == 1 and LABEL in schema.names,
        f"`data` must have one column of images, a struct of bytes and path as Hugging Face writes it, and {LABEL}, got {path} with "
        f"{_words(schema)}{hint}",
    )
    return structs[0].name


def _has_path(schema: pa.Schema, image: str) -> bool:
    return schema.field(image).type.get_field_index("path") >= 0


def _field(column: pa.ChunkedArray, name: str) -> pa.ChunkedArray:
    parts = [chunk.field(name) for chunk in column.chunks]
    return pa.chunked_array(parts, column.type.field(name).type)


def _attributes(
    path: Path, schema: pa.Schema, image: str, chosen: tuple[str, ...] | None
) -> tuple[tuple[str, ...], list[str]]:
    """The columns that form subgroups, and a note on those that never do unless they are named."""
    others = [field for field in schema if field.name not in (image, LABEL, SPLIT)]
    if chosen is not None:
        missing = ", ".join(name for name in chosen if name not in [field.name for field in others])
        check(not missing, f"`attributes` must be further columns, got {missing} for {path} with {_words(schema)}")
        return chosen, []
    kinds = (
        pa.types.is_string,
        pa.types.is_large_string,
        pa.types.is_integer,
        pa.types.is_boolean,
        pa.types.is_dictionary,
    )
    taken = [f.name for f in others if any(kind(f.type) for kind in kinds) and f.name not in NOT_ATTRIBUTES]
    ignored = ", ".join(field.name for field in others if field.name not in taken)
    return tuple(taken), [f"the column {ignored} is not taken for an attribute"] if ignored else []


def _labels(table: pa.Table) -> Coded:
    """The labels as texts; numbers by the names that Hugging Face keeps beside them, where it does."""
    column = texts(table[LABEL])
    about = json.loads((table.schema.metadata or {}).get(b"huggingface", b"{}"))
    names = about.get("info", {}).get("features", {}).get(LABEL, {}).get("names")
    if not names or not pa.types.is_integer(table.schema.field(LABEL).type):
        return column
    known = dict(zip(map(str, range(len(names))), names, strict=True))
    return Coded(column.codes, tuple(known.get(value, "") for value in column.values))  # −1: no label


def _names(files: Sequence[Path], tables: Sequence[pa.Table], paths: pa.ChunkedArray | None) -> list[str]:
    """The images' own paths where each has another, else their files with their rows."""
    given = [] if paths is None else paths.to_pylist()
    if given and all(given) and len(set(given)) == len(given):
        return given
    width = len(str(max(map(len, tables))))
    return [
        f"{path.stem}:{row:0{width}d}" for path, table in zip(files, tables, strict=True) for row in range(len(table))
    ]


def _splits_by_file(files: Sequence[Path], tables: Sequence[pa.Table], problems: Problems) -> Coded | None:
    begins = [path.name.replace(".", "-").partition("-")[0].lower() for path in files]
    if not any(name in SPLITS for name in begins):
        return None
    for path, name in zip(files, begins, strict=True):
        if name not in SPLITS:
            problems.add("files beside train and test whose names begin with no split", path.name)
    words = [name for name, table in zip(begins, tables, strict=True) if name in SPLITS for _ in range(len(table))]
    return texts(pa.chunked_array([words], pa.string())) if len(words) == sum(map(len, tables)) else None
