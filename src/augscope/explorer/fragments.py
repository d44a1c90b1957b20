"""Pieces of the explorer's page as HTML: everything that comes from outside is escaped here."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from augscope.explorer.controls import Slider
from augscope.explorer.regimes import Outlook
from augscope.explorer.session import Frame


def block(*parts: str) -> str:
    """Return pieces as one block in the explorer's style."""
    return f'<div class="explorer">{"".join(parts)}</div>'


def paragraphs(sentences: Iterable[str], kind: str = "") -> str:
    """Return sentences as paragraphs of a class: "problem", "note" or none."""
    return "".join(f'<p class="{escape(kind)}">{escape(sentence)}</p>' for sentence in sentences)


def heading_html(address_problems: Sequence[str]) -> str:
    """Return the page's heading, with what could not be used of its address."""
    heading = '<h1 class="explorer">Which features does an augmentation make a network learn?</h1>'
    if not address_problems:
        return heading
    return heading + block(paragraphs([f"Of the address: {problem}." for problem in address_problems], "problem"))


def knob_html(slider: Slider) -> str:
    """Return a slider's label: symbol, value, meaning."""
    return (
        f'<div class="knob"><strong>{escape(slider.symbol)} = {slider.value:,g}</strong> '
        f"<small>{escape(slider.meaning)}</small></div>"
    )


def table(heading: Sequence[str], rows: Iterable[Sequence[str]], caption: str) -> str:
    """Return a table that scrolls by itself where the page is narrow."""
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in heading)
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    label = escape(caption)
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{label}"><table><caption>{label}</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def outlook_html(outlook: Outlook | None) -> str:
    """Return what theory expects: the regime of each feature, and a sentence each on κ and the plateau."""
    if outlook is None:
        return block(paragraphs(["These settings do not fit together: see beside the sliders."], "problem"))
    heading = ("feature", "ρ", "rarity", "R(σ_d)", "R(σ_b)", "ERM", "Cutout", "CutMix")
    rows = []
    for number, feature in enumerate(outlook.features, start=1):
        ratios = (f"{feature.dominant_ratio:.3g}", f"{feature.background_ratio:.3g}")
        regimes = (feature.erm, feature.cutout, feature.cutmix)
        rows.append((str(number), f"{feature.frequency:g}", feature.rarity, *ratios, *regimes))
    caption = "Regime of each feature at T in the high-dimensional limit, at these noise energies"
    return block(table(heading, rows, caption), paragraphs(outlook.sentences))


def standing_html(frame: Frame, outlook: Outlook, num_steps: int) -> str:
    """Return where a training stands: accuracy against the theorems' values, and each method's state."""
    rows = []
    for run in frame.runs:
        title, accuracy = run.method.title, float(run.history.accuracy[-1])
        expected = outlook.by_title[title]
        distance = max(expected.low - accuracy, accuracy - expected.high, 0.0)
        running = f"running, step {frame.steps[title]:,} of {num_steps:,}"
        state = running if run.status == "running" else run.message
        rows.append((title, f"{accuracy:.4f}", str(expected), f"{distance:.4f}", state))
    heading = ("method", "exact accuracy", "theorem expects", "distance", "state")
    return block(table(heading, rows, f"Test accuracy after {frame.seconds:.1f} s"))
