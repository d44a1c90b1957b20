"""`augscope law`: what an augmentation's law is."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import cyclopts

from augscope.cli.options import Json, Whole, given_values, options_for
from augscope.support.fields import fields_of

if TYPE_CHECKING:
    from rich.console import Console

    from augscope.laws.certificate import Certificate
    from augscope.laws.claims import Claims

app = cyclopts.App(name="law", help="Find out what an augmentation does, and check what it claims.")

TONES = {"holds": "green", "fails": "bold red", "reported": "dim"}
_CLAIMS = {name: field for name, field in fields_of("augscope.laws.claims:Claims").items() if name != "kind"}
_PROBING = {name: field for name, field in fields_of("augscope.laws.certifier:certify").items() if name != "claims"}
_CONVENTION = fields_of("augscope.laws.adapters.convention:Convention")


@options_for(_CLAIMS, defaults=False)
class ClaimOptions:
    """What is claimed of the target."""

    claims: str | None = None
    """`cutmix`, `cutout` (one box), `erasing` (RandomErasing), `mixup`, `choice` (of CutMix or Mixup), or a TOML file with kind
    and parameters. Without: label weight = pixel share, labels permuted with the images, batch size kept, input untouched."""

    def read(self) -> Claims | None:
        """Return the claims, or None where none are made. Raises ValueError naming the option."""
        from augscope.laws import read_claims

        given = given_values(self, _CLAIMS)
        if self.claims is None and given:
            raise ValueError(f"`{next(iter(given))}` needs claims, such as --claims cutmix")
        return None if self.claims is None else read_claims(self.claims, **given)


@options_for(_PROBING)
class ProbingOptions:
    """How the target is tried."""


@options_for(_CONVENTION, {"adapter": "How to call it: pair, kornia, keras, albumentations."}, defaults=False)
class ConventionOptions:
    """How the target takes and returns batches; by default as its package has it."""

    num_classes: Whole | None = None
    "Classes of the labels that are fed."


@app.command
def check(
    target: str,
    *,
    claim: ClaimOptions | None = None,
    probing: ProbingOptions | None = None,
    convention: ConventionOptions | None = None,
    out: Path | None = None,
    json: Json = False,
) -> int:
    """Check any library's Cutout, CutMix or Mixup: label weights, the law of the mask, partners, seeds.

    Exit status: 0 if every claimed property holds, 1 otherwise, 2 for bad usage, or a target that cannot be imported
    or whose form is not understood.

    Parameters
    ----------
    target
        `package.module:Class(arguments)`, such as 'keras.layers:CutMix()', or `file.py:function`, which gets images and
        labels and returns (images, soft labels), (images, y_a, y_b, λ) or (images, (y_a, y_b, λ)).
    out
        Folder for law.html and law.json.
    json
        Print the result as JSON on stdout, everything else on stderr.
    """
    from augscope.laws import certify
    from augscope.support.files import check_folder

    claims = (claim or ClaimOptions()).read()
    if out is not None:
        if out.suffix == ".html":
            raise ValueError(f"`out` must be a folder, for law.html and law.json, got {out}")
        check_folder(out)
    convention = convention or ConventionOptions()
    options = given_values(convention, _CONVENTION)
    if convention.num_classes is not None:
        options["num_classes"] = convention.num_classes
    certificate = certify(target, claims=claims, **given_values(probing or ProbingOptions(), _PROBING), **options)
    _show(certificate, out, json)
    return certificate.exit_status


def _show(certificate: Certificate, out: Path | None, as_json: bool) -> None:
    """The files; the table; JSON alone on stdout."""
    from json import dumps

    from augscope.cli.terminal import console
    from augscope.laws.page import html_page
    from augscope.support.files import OutputFolder

    record = dumps(certificate.as_dict(), indent=2)
    try:
        if out is not None:
            OutputFolder(out).write({"law.html": html_page(certificate).encode(), "law.json": record.encode()})
    finally:  # what was computed is shown even if it cannot be written
        _print(certificate, console(to_stderr=as_json))
    if as_json:
        print(record)
    if out is not None:
        print(f"Written to {out}: law.html, law.json", file=sys.stderr)


def _print(certificate: Certificate, screen: Console) -> None:
    """The rules as a table, then the sentences."""
    from rich.text import Text

    from augscope.cli.show import table

    rows = []
    for rule in certificate.checks:
        defect = [(rule.defect, "bold"), ": "] if rule.defect else []
        rows.append((rule.name, Text(rule.verdict, TONES[rule.verdict]), Text.assemble(*defect, rule.evidence)))
    screen.print(f"Checked against: {certificate.claims}.")
    screen.print(table(("rule", "verdict", "evidence"), rows, numbers=False))
    screen.print(f"\n{certificate.summary}", style="bold")
    screen.print(certificate.conditions)
