"""What keeps a stranger's code from spoiling a check: a time limit for each call, a place for what it prints, and an eye on
the global generators."""

from __future__ import annotations

import io
import random
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

AGAIN = 1.0  # seconds until code that catches the first interruption is interrupted again


class _Interruption(BaseException):
    """Ends a call; no `except Exception` of a stranger's code catches it."""


class TimeLimit(Exception):
    """A call that takes too long; the message says how long it was given."""


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Interrupt what runs inside after some seconds, by the system's timer: no thread or process is left behind.

    Python interrupts between two of its own instructions: a compiled function that never returns is not interrupted. Nor is
    anything outside the main thread, or on Windows, which has no such timer.

    Raises:
        TimeLimit: if it takes longer.
    """
    if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "setitimer"):
        yield
        return

    def ring(*_: object) -> None:
        raise _Interruption

    handler = signal.signal(signal.SIGALRM, ring)
    timer = signal.setitimer(signal.ITIMER_REAL, seconds, AGAIN)
    try:
        yield
    except _Interruption:
        raise TimeLimit(f"no answer within {seconds:g} s") from None
    finally:
        signal.setitimer(signal.ITIMER_REAL, *timer)
        signal.signal(signal.SIGALRM, handler or signal.SIG_DFL)


class Prints(io.TextIOBase):
    """A standard output that counts lines and keeps none."""

    def __init__(self) -> None:
        super().__init__()
        self.num_lines = 0

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        self.num_lines += text.count("\n")
        return len(text)


def seed_globals(seed: int) -> None:
    """Seed the global generators of Python, NumPy, and of PyTorch and Keras where they are loaded."""
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002 - the libraries under check use it
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(seed)
    if "keras" in sys.modules:
        sys.modules["keras"].utils.set_random_seed(seed)


def global_states() -> dict[str, object]:
    """The states of the global generators, by whose they are; to be compared."""
    state = np.random.get_state(legacy=False)  # noqa: NPY002 - the libraries under check use it
    states: dict[str, object] = {"Python": random.getstate(), "NumPy": repr(state)}
    if "torch" in sys.modules:
        states["PyTorch"] = sys.modules["torch"].get_rng_state().numpy().tobytes()
    return states
