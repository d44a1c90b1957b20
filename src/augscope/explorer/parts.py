"""Pieces of the explorer's page as HTML: everything that comes from outside is escaped here."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path

from augscope.explorer.regimes import Outlook
from augscope.explorer.session import Frame
from augscope.support.pages import data_address


def block(*parts: str) -> str:
    """Return pieces as one block in the explorer's style."""
    return f'<div class="explorer">{"".join(parts)}</div>'


def heading_html(address_problems: Sequence[str]) -> str:
    """Return the page's heading, with what could not be used of its address."""
    told = paragraphs([f"Of the address: {said}." for said in address_problems], "problem")
    return '<h1 class="explorer">Which features does an augmentation make a network learn?</h1>' + (
        told and block(told)
    )


def paragraphs(sentences: Iterable[str], kind: str = "") -> str:
    """Return sentences as paragraphs of a class: "problem", "note" or none."""
    return "".join(f'<p class="{escape(kind)}">{escape(sentence)}</p>' for sentence in sentences)


def table(heading: Sequence[str], rows: Iterable[Sequence[str]], caption: str) -> str:
    """Return a table that scrolls by itself where the page is narrow."""
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in heading)
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    label = escape(caption, quote=True)
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{label}"><table><caption>{escape(caption)}</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def outlook_html(outlook: Outlook | None) -> str:
    """Return what theory expects: the regime of each feature, and a sentence each on κ and the plateau."""
    if outlook is None:
        return block(paragraphs(["These settings do not fit together: see beside the sliders."], "problem"))
    heading = ("feature", "ρ", "rarity", "R(σ_d)", "R(σ_b)", "ERM", "Cutout", "CutMix")
    rows = [
        (
            str(k + 1),
            f"{feature.frequency:g}",
            feature.rarity,
            f"{feature.dominant_ratio:.3g}",
            f"{feature.background_ratio:.3g}",
            feature.erm,
            feature.cutout,
            feature.cutmix,
        )
        for k, feature in enumerate(outlook.features)
    ]
    caption = "Predicted regime of each feature, from the learning speeds"
    return block(table(heading, rows, caption), paragraphs(outlook.sentences))


def standing_html(frame: Frame, outlook: Outlook, num_steps: int) -> str:
    """Return where a training stands: accuracy against the theorems' values, and what each method has to say."""
    predictions = {prediction.title: prediction for prediction in outlook.predictions}
    rows = []
    for run in frame.runs:
        expected, accuracy = predictions[run.method.title], float(run.history.accuracy[-1])
        distance = max(expected.low - accuracy, accuracy - expected.high, 0.0)
        step = frame.steps[run.method.title]
        told = run.message if run.status != "running" else f"running, step {step:,} of {num_steps:,}"
        rows.append((run.method.title, f"{accuracy:.4f}", str(expected), f"{distance:.4f}", told))
    heading = ("method", "exact accuracy", "theorem expects", "distance", "state")
    return block(table(heading, rows, f"Test accuracy after {frame.seconds:.1f} s"))


def picture_html(svg: bytes, label: str) -> str:
    """Return an SVG file as a picture that scrolls by itself where the page is narrow."""
    said = escape(label, quote=True)
    image = f'<img src="{data_address(svg, "svg")}" alt="{said}" decoding="sync" elementtiming="picture">'
    return (
        f'<div class="explorer"><div class="scroll" tabindex="0" role="region" aria-label="Picture">{image}</div></div>'
    )


def cover_html(pieces: Iterable[str]) -> str:
    """Return pieces as what lies over the page while it loads, with what the whole page needs of style and script."""
    here = Path(__file__)
    style, script = here.with_name("front.css").read_text("utf-8"), here.with_name("front.js").read_text("utf-8")
    return (
        f'<style>{style}</style><main id="opening" aria-busy="true">{"".join(pieces)}</main><script>{script}</script>'
    )
