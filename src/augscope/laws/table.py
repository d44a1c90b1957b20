"""A certificate in the terminal."""

from __future__ import annotations

from typing import TextIO

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from augscope.laws.certificate import Certificate

TONES = {"holds": "green", "fails": "bold red", "reported": "dim"}


def print_certificate(certificate: Certificate, stream: TextIO) -> None:
    """Print the rules as a table, then the sentences, as wide as the terminal (100 without one)."""
    console = Console(file=stream, highlight=False, emoji=False)  # `file.py:boom:` is no emoji
    if not console.is_terminal:
        console = Console(file=stream, highlight=False, emoji=False, width=100)
    table = Table(box=None, pad_edge=False, show_edge=False)
    table.add_column("rule")
    table.add_column("verdict")
    table.add_column("evidence", overflow="fold")
    for check in certificate.checks:
        evidence = f"[bold]{escape(check.defect)}[/bold]: " if check.defect else ""
        tone = TONES[check.verdict]
        table.add_row(check.name, f"[{tone}]{check.verdict}[/{tone}]", evidence + escape(check.evidence))
    console.print(f"Held to: {certificate.claims}.", markup=False)
    console.print(table)
    console.print(f"\n{certificate.summary}", markup=False, style="bold")
    console.print(certificate.conditions, markup=False)
