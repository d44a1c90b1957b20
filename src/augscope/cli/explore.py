"""`augscope explore`."""

from __future__ import annotations

import sys

from augscope.cli.kinds import Whole


def explore(
    *,
    port: Whole | None = None,
    token: bool = True,
    browser: bool = True,
) -> int:
    """Set a problem by slider and watch ERM, Cutout and CutMix learn it, in the browser.

    Serves a page on this machine alone until Ctrl-C, and prints its address. Nothing is trained before it is opened.

    Parameters
    ----------
    port
        Port on 127.0.0.1; by default a free one.
    token
        Whether the page asks for the token that is part of the address.
    browser
        Whether to open the address in the browser.
    """
    from augscope.explorer.server import prepare

    explorer = prepare(port=port, with_token=token)
    print(explorer.address, flush=True)
    print("augscope: serving until Ctrl-C", file=sys.stderr, flush=True)
    explorer.run(browser=browser)
    return 0
