"""Standard output and error as the commands see them: every text that reaches a terminal goes through here.

Nothing in it is a control code, whatever file it comes from; a reader that leaves early is no error; and what an encoding lacks
is written as `\\u03c1`.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TextIO

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from augscope.support.wording import printable

WIDTH_WITHOUT_TERMINAL = 120


class Outlet:
    """A stream that does not end a command: a closed pipe, or a full disk after its sentence, gets no more text.

    Raises:
        ValueError: if a text cannot be written for another reason than that nobody reads it.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")

    def write(self, text: str) -> int:
        self._do(lambda: self._stream.write(text))
        return len(text)

    def flush(self) -> None:
        self._do(self._stream.flush)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def _do(self, action: Callable[[], Any]) -> None:
        try:
            action()
        except OSError as error:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self._stream.fileno())  # also for what the stream still holds
            os.close(nowhere)
            if not isinstance(error, BrokenPipeError):
                raise ValueError(f"the output could not be written: {error.strerror}") from None


class Words:
    """An outlet for `print`: control codes are written out, as `\\u001b`."""

    def __init__(self, outlet: Outlet) -> None:
        self.outlet = outlet

    def write(self, text: str) -> int:
        return self.outlet.write(printable(text))

    def __getattr__(self, name: str) -> Any:
        return getattr(self.outlet, name)


class Screen(Console):
    """A console whose texts hold no control codes and no markup; the styles are its own."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(printable(segment.text), segment.style)


def console(*, to_stderr: bool) -> Console:
    """Return a console; without a terminal it is wide enough for the tables."""
    stream = sys.stderr if to_stderr else sys.stdout
    # `file.py:boom:` is no emoji, and `[common, rare]` no style.
    screen = Screen(file=getattr(stream, "outlet", stream), markup=False, highlight=False, emoji=False)
    if not screen.is_terminal:
        screen.width = WIDTH_WITHOUT_TERMINAL
    return screen


@contextmanager
def words() -> Iterator[Console]:
    """Let `print` write words alone; yield a console for the help."""
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = (stream and Words(Outlet(stream)) for stream in before)  # type: ignore[assignment]
    try:
        yield Console(file=getattr(sys.stdout, "outlet", None))
        sys.stdout.flush()
    finally:
        sys.stdout, sys.stderr = before
