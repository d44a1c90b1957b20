"""`augscope law`: what an augmentation's law is."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import cyclopts

from augscope.cli.kinds import Json, Whole
from augscope.cli.options import given_values, options_for
from augscope.support.fields import fields_of

if TYPE_CHECKING:
    from rich.console import Console

    from augscope.laws.certificate import Certificate
    from augscope.laws.claims import Claims

app = cyclopts.App(name="law", help="Find out what an augmentation does, and check what it claims.")

TONES = {"holds": "green", "fails": "bold red", "reported": "dim"}
_CLAIMS = {name: field for name, field in fields_of("augscope.laws.claims:Claims").items() if name != "kind"}
_CERTIFY = fields_of("augscope.laws.certifier:certify")
_PROBING = {name: field for name, field in _CERTIFY.items() if name not in ("claims", "progress")}
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


_FORMS = (
    "How to call it: pair (images, labels), tuple, batch_dict, collate (a list of samples), images, one at a time as image, "
    "sample (image, label) or sample_dict, or as kornia, keras, albumentations."
)
LONG = 5.0  # seconds from which a check says first how long it will take


@options_for(_CONVENTION, {"form": _FORMS}, defaults=False)
class ConventionOptions:
    """How the target takes and returns batches; by default as its package has it, or found by trying."""

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
        `package.module:Class(arguments)`, such as 'keras.layers:CutMix()', or `file.py:function` in the form that it has: of
        images and labels, of a tuple, a dict, a list of samples, or of one image. The form is found by trying.
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
    options |= given_values(probing or ProbingOptions(), _PROBING)
    with _progress() as progress:
        certificate = certify(target, claims=claims, progress=progress, **options)
    _show(certificate, out, json)
    return certificate.exit_status


@contextmanager
def _progress() -> Iterator[Callable[[float, float], None]]:
    """Yield what says how long a check takes, and how far it is, where it takes a while."""
    from augscope.cli.show import progress_bar
    from augscope.support.wording import in_words

    with ExitStack() as stack:
        bar: list[Callable[[str, float], None]] = []

        def report(seconds: float, share: float) -> None:
            left = seconds * (1 - share)
            if left < LONG and not bar:
                return
            if not bar:
                print(f"It will take about {in_words(left)}.", file=sys.stderr, flush=True)
                bar.append(stack.enter_context(progress_bar()))
            bar[0](f"{10 * int(10 * share)} % of its calls", share)

        yield report


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
    for hint in certificate.hints:
        screen.print(hint)
    screen.print(certificate.conditions)
