"""All benchmarks: `make bench` prints a table and writes it as JSON. `--only step,flow` picks sections."""

from __future__ import annotations

import argparse
from importlib import import_module
from pathlib import Path

from harness import conditions, print_figures, write_json

SECTIONS = ("start", "step", "scaling", "accuracy", "flow", "whole_runs")


def main() -> None:
    """Measure section by section; what is measured is written even if a later section fails."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default=",".join(SECTIONS), help=f"sections of {', '.join(SECTIONS)}")
    parser.add_argument("--json", type=Path, default=Path("reports/bench.json"))
    arguments = parser.parse_args()
    chosen = [name.strip() for name in arguments.only.split(",")]
    unknown = sorted(set(chosen) - set(SECTIONS))
    if unknown:
        parser.error(f"`only` must name sections of {', '.join(SECTIONS)}, got {', '.join(unknown)}")
    before, found = conditions(), {}
    print(", ".join(f"{name} {value}" for name, value in before.items()))
    for name in chosen:
        print(f"\n{name}", flush=True)
        found[name] = import_module(name).figures()
        print_figures(found[name])
        write_json(arguments.json, found, before)
    missed = [one.name for figures in found.values() for one in figures if one.met is False]
    print(f"\n{len(missed)} bars not met{': ' + '; '.join(missed) if missed else ''}. Written to {arguments.json}")


if __name__ == "__main__":
    main()
