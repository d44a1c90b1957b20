"""The process in which cells run: `python -m augscope.sweep.worker DESCRIPTOR`, one batch in, one table of rows out.

`CellProcess` starts it with one XLA thread and one end of a pipe. In: JSON, a list of cells' messages. Out: an Arrow stream.
It ends as soon as the pipe is closed, and so when the process that started it ends.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Sequence
from multiprocessing.connection import Connection
from queue import SimpleQueue
from typing import Any

import pyarrow as pa

from augscope.sweep.schema import SCHEMA


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


def _receive(pipe: Connection, batches: SimpleQueue[bytes]) -> None:
    """Receive in a thread of its own, so that a closed pipe is noticed while a cell runs."""
    try:
        while True:
            batches.put(pipe.recv_bytes())
    except (EOFError, OSError):
        os._exit(0)  # nobody is left to answer


def main(descriptor: int) -> None:
    """Answer batches until the pipe is closed."""
    pipe, batches = Connection(descriptor), SimpleQueue()
    threading.Thread(target=_receive, args=(pipe, batches), daemon=True).start()

    from augscope.model.jax_setup import set_up_jax
    from augscope.sweep.cells import run_cell

    set_up_jax()
    while True:
        answer = to_stream([run_cell(message) for message in json.loads(batches.get())])
        try:
            pipe.send_bytes(answer)
        except OSError:
            os._exit(0)


if __name__ == "__main__":
    main(int(sys.argv[1]))
