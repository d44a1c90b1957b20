"""What the benchmarks share: figures with their spread, a table, a JSON file, and float64 for JAX."""

from __future__ import annotations

import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import jax

jax.config.update("jax_enable_x64", True)

REPEATS = 7
UNITS = {"s": 1.0, "ms": 1e-3, "us": 1e-6}


@dataclass(frozen=True)
class Figure:
    """One measured figure: the median of several measurements, with their range.

    Attributes:
        name: what was measured, with its conditions.
        value, low, high: median, smallest and largest.
        unit: of the three; "" for ratios.
        bar: what it is to be held against, in words; "" where there is nothing.
        met: whether it is, or None.
    """

    name: str
    value: float
    low: float
    high: float
    unit: str = ""
    bar: str = ""
    met: bool | None = None


def figure(
    name: str, values: Sequence[float], unit: str = "", *, at_most: float | None = None, at_least: float | None = None
) -> Figure:
    """Return the figure of several measurements, held against a bar in the figure's unit where one is given."""
    middle = statistics.median(values)
    if at_most is not None:
        return Figure(name, middle, min(values), max(values), unit, f"≤ {at_most:g}", middle <= at_most)
    if at_least is not None:
        return Figure(name, middle, min(values), max(values), unit, f"≥ {at_least:g}", middle >= at_least)
    return Figure(name, middle, min(values), max(values), unit)


def seconds(function: Callable[[], Any], repeats: int = REPEATS, inside: int = 1) -> list[float]:
    """Return the seconds that a call takes, several times, after one that is not counted; `inside` calls make one measurement."""
    function()
    found = []
    for _ in range(repeats):
        begun = time.perf_counter()
        for _ in range(inside):
            function()
        found.append((time.perf_counter() - begun) / inside)
    return found


def scaled(values: Sequence[float], factor: float) -> list[float]:
    """Return every value times a factor."""
    return [value * factor for value in values]


def conditions() -> dict[str, Any]:
    """Return the machine and the versions that the figures belong to."""
    return {
        "machine": platform.machine(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "device": str(jax.devices()[0]),
        "python": platform.python_version(),
        "jax": jax.__version__,
        "load_before": os.getloadavg()[0],
        "date": time.strftime("%Y-%m-%d"),
    }


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    names = (
        [line.split(":", 1)[1].strip() for line in cpuinfo.read_text().splitlines() if line.startswith("model name")]
        if cpuinfo.exists()
        else []
    )
    return names[0] if names else platform.processor()


def print_figures(figures: Sequence[Figure]) -> None:
    """Print a row for each figure."""
    width = max(len(one.name) for one in figures)
    for one in figures:
        digits = ".3g" if abs(one.value) < 1000 else ",.0f"
        spread = "" if one.low == one.high else f"({one.low:{digits}}–{one.high:{digits}})"
        verdict = {True: "met", False: "NOT MET", None: ""}[one.met]
        print(
            f"{one.name:{width}}  {one.value:>9{digits}} {one.unit:3} {spread:>22}  {one.bar:>8} {verdict}".rstrip(),
            flush=True,
        )


def write_json(file: Path, sections: dict[str, Sequence[Figure]], extra: dict[str, Any]) -> None:
    """Write conditions and figures under a temporary name, then rename."""
    file.parent.mkdir(parents=True, exist_ok=True)
    temporary = file.with_suffix(".part")
    content = {**extra, "sections": {name: [asdict(one) for one in figures] for name, figures in sections.items()}}
    temporary.write_text(json.dumps(content, indent=2, ensure_ascii=False), encoding="utf-8")
    temporary.replace(file)
