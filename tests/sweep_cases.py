"""A tiny sweep, its records in comparable form, and an engine in this process, for tests."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager

import tomli_w

import augscope as ag
from augscope.sweep.cells import run_cell
from augscope.sweep.schema import UNREPEATABLE
from augscope.sweep.worker import to_stream

TINY = {
    "preset": "theorem",
    "methods": ["erm"],
    "seeds": 2,
    "experiment": {"num_samples": 12, "num_steps": 8, "record_at": [0, 2], "distribution": {"rarity": "derive"}},
    "axes": {"rho": [0.2, 0.4], "speed": {"from": 0.1, "to": 0.4, "count": 3, "scale": "log"}},
    "derived": {"frequencies": ["1 - rho", "rho"], "dominant_noise_std": "sqrt(speed * num_samples / dim)"},
}
TINY_TOML = tomli_w.dumps(TINY)


def tiny(**changes) -> ag.Sweep:
    return ag.Sweep.from_dict({**TINY, **changes})


def comparable(folder) -> list[str]:
    """Every record in full but for when, where and how fast, in order; text, so that NaN equals NaN and floats are exact."""
    sql = f"SELECT * EXCLUDE ({', '.join(UNREPEATABLE)}) FROM records ORDER BY cell"
    return [repr(row) for row in ag.Records(folder).query(sql).to_pylist()]


class HereEngine:
    """Runs cells in this process: for what does not depend on where they run."""

    num_workers = 1

    def results(self, batches) -> Iterator:
        for tag, batch in batches:
            yield tag, to_stream([run_cell(message) for message in json.loads(batch)])


@contextmanager
def here(*_):
    yield HereEngine()
