"""Run the Python blocks of pages and write what they print under them; pictures that they save lie beside the page.

    python docs/outputs.py docs/tutorial.md docs/theorems.md

tests/test_docs.py holds the pages to it: a block must print what stands under it.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import sys
from pathlib import Path

BLOCK = re.compile(
    r"^```(?P<kind>python|console)\n(?P<body>.*?)^```\n(?:\s*^```text\n(?P<shown>.*?)^```\n)?", re.S | re.M
)


def printed(body: str, namespace: dict[str, object]) -> str:
    """What a block prints, run after those that filled the namespace."""
    stream = io.StringIO()
    with contextlib.redirect_stdout(stream):
        exec(compile(body, "<block>", "exec"), namespace)
    return stream.getvalue()


def refreshed(text: str) -> str:
    """A page's text with what its blocks print now, run from top to bottom."""
    namespace: dict[str, object] = {"__name__": "__docs__"}

    def run(block: re.Match[str]) -> str:
        if block["kind"] != "python":
            return block[0]
        output = printed(block["body"], namespace)
        return f"```python\n{block['body']}```\n" + (f"\n```text\n{output}```\n" if output else "")

    return BLOCK.sub(run, text)


if __name__ == "__main__":
    for page in [Path(name).resolve() for name in sys.argv[1:]]:
        os.chdir(page.parent)
        page.write_text(refreshed(page.read_text(encoding="utf-8")), encoding="utf-8")
        print(page.name)
