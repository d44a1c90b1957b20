"""The process in which cells run: `python -m augscope.sweep.worker`, one batch in, one table of rows out, until stdin ends.

Started by `CellProcess` with one XLA thread. In: a line of JSON, a list of cells' messages. Out: eight bytes of length, then
an Arrow stream. It ends at once when whoever started it does, and leaves Ctrl-C to it.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import sys
import threading
from collections.abc import Sequence
from typing import Any, BinaryIO

import pyarrow as pa

from augscope.sweep.schema import SCHEMA

LENGTH_BYTES = 8


def to_stream(rows: Sequence[dict[str, Any]]) -> bytes:
    """Return rows as an Arrow stream."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, SCHEMA) as writer:
        writer.write_table(pa.Table.from_pylist(list(rows), SCHEMA))
    return sink.getvalue().to_pybytes()


def from_stream(content: bytes) -> pa.Table:
    """Return the table of an Arrow stream."""
    with pa.ipc.open_stream(content) as reader:
        return reader.read_all()


def _listen(batches: queue.Queue[list[Any]]) -> None:
    for line in sys.stdin.buffer:
        batches.put(json.loads(line))
    os._exit(0)  # nobody is left to hear of what is running


def _serve(answers: BinaryIO) -> None:
    from augscope.sweep.cells import run_cell

    batches: queue.Queue[list[Any]] = queue.Queue()
    threading.Thread(target=_listen, args=(batches,), daemon=True).start()
    while True:
        content = to_stream([run_cell(message) for message in batches.get()])
        answers.write(len(content).to_bytes(LENGTH_BYTES, "big") + content)
        answers.flush()


def main() -> None:
    """Answer batches until stdin ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever is printed goes to stderr
    from augscope.jax_setup import set_up_jax

    set_up_jax()
    try:
        _serve(answers)
    except BrokenPipeError:
        os._exit(0)


if __name__ == "__main__":
    main()
