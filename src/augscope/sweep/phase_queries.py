"""The queries behind phase diagrams, as SQL over `records`."""

from __future__ import annotations

from collections.abc import Sequence

from augscope.sweep.axes import rounded
from augscope.sweep.phase_boundaries import Boundary
from augscope.sweep.phase_options import PhaseOptions
from augscope.sweep.records import Records


def places_sql(options: PhaseOptions, lines: Sequence[Boundary]) -> str:
    """The query for value and quantities by panel and place; x and y to ten digits, as formulas may differ in the last one."""
    group, x, y = _place_sql(options)
    quantities = [_in_order("avg", f"CAST({line.quantity} AS DOUBLE)") for line in lines]
    averages = "".join(f", {quantity} AS q{i}" for i, quantity in enumerate(quantities))
    value, source = f"CAST({options.value} AS DOUBLE)", "records"
    if options.minus is not None:
        columns = f"experiment AS reference_experiment, seed AS reference_seed, {value} AS reference_value"
        reference = f"SELECT {columns} FROM records WHERE {options.minus}"
        same = "experiment = reference_experiment AND seed IS NOT DISTINCT FROM reference_seed"  # null: of a population
        value, source = f"{value} - reference_value", f"records JOIN ({reference}) ON {same}"
    return f"""
        SELECT place_panel AS panel, place_x AS x, place_y AS y, count(*) AS count, {_in_order("avg", "place_value")} AS mean,
            {_in_order("stddev_samp", "place_value")} AS std, min(place_value) AS smallest, max(place_value) AS largest,
            min(method) AS first, max(method) AS last{averages}
        FROM (SELECT *, {group} AS place_panel, {x} AS place_x, {y} AS place_y, {value} AS place_value
            FROM {source} WHERE ({options.where}) AND status <> 'failed')
        WHERE isfinite(place_value) AND place_x IS NOT NULL AND place_y IS NOT NULL
        GROUP BY ALL ORDER BY ALL"""


def configurations_at(records: Records, options: PhaseOptions) -> dict[tuple[str, float, float], list[str]]:
    """The configurations at each panel's places."""
    group, x, y = _place_sql(options)
    rows = records.query(f"""
        SELECT DISTINCT {group} AS panel, {x} AS x, {y} AS y, configuration FROM records
        WHERE ({options.where}) AND status <> 'failed' ORDER BY ALL""")
    configurations: dict[tuple[str, float, float], list[str]] = {}
    for row in rows.to_pylist():
        place = row["panel"], rounded(row["x"]), rounded(row["y"])
        configurations.setdefault(place, []).append(row["configuration"])
    return configurations


def _place_sql(options: PhaseOptions) -> tuple[str, str, str]:
    """The expressions of a record's panel, x and y."""
    group = "''" if options.panels is None else f"CAST({options.panels} AS VARCHAR)"
    x, y = (f"CAST(printf('%.9e', CAST({name} AS DOUBLE)) AS DOUBLE)" for name in (options.x, options.y))
    return group, x, y


def _in_order(aggregate: str, value: str) -> str:
    """An SQL aggregate that adds in order of size: DuckDB's threads add in any order, and the last digit would vary."""
    return f"list_{aggregate}(list_sort(list({value})))"
