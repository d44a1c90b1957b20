"""The process that runs cells, as its parent sees it: started with one XLA thread, started again when it dies."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import suppress
from multiprocessing import Pipe

ATTEMPTS = 3  # deaths of its process after which a batch is given up

# What makes a process compute with one thread. NPROC sizes the thread pool of XLA's CPU client; XLA_FLAGS alone leaves that
# pool as wide as the machine (measured with jax 0.10: CutMix at n = 1,200 used 1.7 cores). The rest is for NumPy and SciPy.
ONE_THREAD = {
    "NPROC": "1",
    "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "JAX_PLATFORMS": "cpu",
}


class WorkerDied(Exception):
    """The process that ran cells ended before it answered."""


Answer = bytes | WorkerDied  # a batch's rows as an Arrow stream, or why there are none


class CellProcess:
    """Runs one batch at a time in a process of its own; if that dies, another one starts the batch again.

    Either `run` a batch, or `begin` it and take its `answer` when there is something to read in `pipe`.
    """

    def __init__(self) -> None:
        self._batch, self._deaths = b"", 0
        self._start()

    def run(self, batch: bytes) -> bytes:
        """Return the rows of a batch as an Arrow stream. Raises WorkerDied as `answer` does."""
        self.begin(batch)
        while (rows := self.answer()) is None:
            pass
        return rows

    def begin(self, batch: bytes) -> None:
        """Send the process a batch."""
        self._batch, self._deaths = batch, 0
        self._send()

    def answer(self) -> bytes | None:
        """Wait for the batch's rows as an Arrow stream; return None if the process died and another has started the batch.

        Raises:
            WorkerDied: with the reason, when processes have died of the batch three times.
        """
        try:
            return self.pipe.recv_bytes()
        except (EOFError, OSError):
            self.close()
        ending = _ending(self._process.returncode)
        self._start()
        self._deaths += 1
        if self._deaths == ATTEMPTS:
            raise WorkerDied(f"its process died {ATTEMPTS} times, at last {ending}")
        self._send()
        return None

    def close(self) -> None:
        """End the process, whatever it is doing."""
        self._process.kill()
        self._process.wait()
        self.pipe.close()

    def _send(self) -> None:
        with suppress(OSError):  # the process has died: `answer` will notice
            self.pipe.send_bytes(self._batch)

    def _start(self) -> None:
        self.pipe, theirs = Pipe()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "augscope.sweep.worker", str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=2,  # whatever a cell prints goes to stderr
                env={**os.environ, **ONE_THREAD},
                pass_fds=[theirs.fileno()],
                process_group=0,  # Ctrl-C reaches only the sweep, which then ends its processes
            )


def _ending(status: int) -> str:
    """The end of a process in words."""
    if status >= 0:
        return f"with status {status}"
    name = signal.Signals(-status).name
    return f"by {name}" + (" (out of memory, perhaps)" if name == "SIGKILL" else "")
