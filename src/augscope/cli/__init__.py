"""The `augscope` command: one thin file a subcommand, no logic; heavy imports inside the commands that need them."""

from __future__ import annotations

import sys
from difflib import get_close_matches
from typing import NoReturn

import cyclopts

from augscope import __version__

BAD_USAGE, UNDECIDED = 2, 3

app = cyclopts.App(
    name="augscope",
    help="Shows, exactly, which features a data augmentation makes a network learn.",
    version=__version__,
    result_action="return_value",
    suppress_keyboard_interrupt=False,
)
app.command("augscope.cli.verify:verify", name="verify", help="Check Theorems 3.1–3.3 on exactly trained networks.")
app.command("augscope.cli.train:train", name="train", help="Train exactly and measure what was learned.")
app.command("augscope.cli.sweep:sweep", name="sweep", help="Run a grid of thousands of cells, resumable.")
app.command("augscope.cli.report:report", name="report", help="Draw a finished run's report again.")
app.command("augscope.cli.query:query", name="query", help="Ask a sweep's records in SQL.")
app.command("augscope.cli.phase:phase", name="phase", help="Draw a phase diagram of a sweep.")
app.command("augscope.cli.law:app", name="law", help="Find out what an augmentation does, and check what it claims.")
app.command(
    "augscope.cli.explore:explore",
    name="explore",
    help="Set a problem by slider and watch it being learned, in the browser.",
)
app.command("augscope.cli.images:app", name="images", help="Augmentations on real images.")


def main(arguments: list[str] | None = None) -> NoReturn:
    """Run the command line and exit: 0 done (verify: all theorems hold), 1 violated, 2 bad usage, 3 undecided."""
    from augscope.cli.terminal import words

    with words() as screen:
        try:
            status = app(arguments, console=screen, exit_on_error=False, print_error=False)
            sys.stdout.flush()
        except cyclopts.UnknownCommandError as error:
            _fail(_unknown_command(error))
        except cyclopts.CycloptsError as error:
            _fail(str(error).strip().splitlines()[0])
        except ValueError as error:  # bad arguments, found before any work
            _fail(str(error))
        except OSError as error:  # a file or folder that this user may not read, say
            if error.filename is None:
                raise
            _fail(f"{str(error.filename)[:200]}: {error.strerror}")
        except KeyboardInterrupt:  # outside a descent, which keeps what it has and ends in good order
            print("augscope: interrupted before anything was kept", file=sys.stderr)
            sys.exit(UNDECIDED)
    sys.exit(status if isinstance(status, int) else 0)


def _unknown_command(error: cyclopts.UnknownCommandError) -> str:
    """A sentence that lists every command; cyclopts shows eight at most."""
    name = (error.unused_tokens or [""])[0]
    names = [known for known in error.app or () if not known.startswith("-")]
    guess = "".join(f"; did you mean {match}?" for match in get_close_matches(name, names, n=1))
    return f"unknown command {name!r}, the commands are {', '.join(names)}{guess}"


def _fail(sentence: str) -> NoReturn:
    print(f"augscope: {sentence}", file=sys.stderr)
    sys.exit(BAD_USAGE)
