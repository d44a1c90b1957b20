"""The process that runs cells, seen from outside: started with one XLA thread, started again when it dies."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import suppress

from augscope.sweep.worker import LENGTH_BYTES

ATTEMPTS = 3  # times that a batch may take its process down before it is given up

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


class CellProcess:
    """Runs batches in a process of its own, one at a time."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None

    def run(self, batch: bytes) -> bytes:
        """Return the rows of a batch as an Arrow stream; a process that dies is replaced and the batch run again.

        Raises:
            WorkerDied: with the reason, when that has happened three times.
        """
        for attempt in range(ATTEMPTS):
            try:
                return self._ask(batch)
            except (EOFError, OSError):
                reason = self._bury()
                if attempt == ATTEMPTS - 1:
                    raise WorkerDied(f"its process died {ATTEMPTS} times, at last {reason}") from None
        raise AssertionError("unreachable")

    def _ask(self, batch: bytes) -> bytes:
        if self._process is None:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "augscope.sweep.worker"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env={**os.environ, **ONE_THREAD},
            )
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        stdin.write(batch + b"\n")
        stdin.flush()
        header = stdout.read(LENGTH_BYTES)
        if len(header) < LENGTH_BYTES:
            raise EOFError
        length = int.from_bytes(header, "big")
        content = stdout.read(length)
        if len(content) < length:
            raise EOFError
        return content

    def _bury(self) -> str:
        """Let go of a process that no longer answers; return how it ended."""
        assert self._process is not None
        self._process.kill()
        status = self._process.wait()
        self.close()
        if status >= 0:
            return f"with status {status}"
        name = signal.Signals(-status).name
        return f"by {name}" + (" (out of memory, perhaps)" if name == "SIGKILL" else "")

    def close(self) -> None:
        """End the process."""
        if self._process is None:
            return
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            with suppress(BrokenPipeError):  # what was not read before it ended
                pipe.close()
        self._process = None
