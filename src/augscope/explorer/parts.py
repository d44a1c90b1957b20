"""Pieces of the explorer's page as HTML: everything that comes from outside is escaped here."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from augscope.explorer.regimes import Outlook
from augscope.explorer.session import Frame
from augscope.explorer.sweep_view import SweepView
from augscope.pages import data_address

STYLE = """<style>
h1.explorer { font-size: 1.5rem; font-weight: 700; line-height: 1.25; margin: 0; padding-right: 3rem; }
.explorer table { border-collapse: collapse; font-size: .9rem; }
.explorer th, .explorer td { text-align: left; padding: .25rem .8rem .25rem 0; border-bottom: 1px solid #c9c9c9; vertical-align: top; }
.explorer .scroll { overflow-x: auto; }
.explorer p, .explorer li { overflow-wrap: anywhere; margin: .3rem 0; }
.explorer .problem { color: #a61b1b; font-size: .85rem; margin: 0 0 .4rem; }
.explorer .note { color: #7a4b00; font-size: .85rem; margin: 0 0 .4rem; }
.explorer code, .explorer pre { font-family: ui-monospace, monospace; font-size: .8rem; white-space: pre-wrap; overflow-wrap: anywhere; }
.explorer caption { text-align: left; padding-bottom: .2rem; }
.knob { font-size: .9rem; }
#App > div { padding-left: 1rem; padding-right: 1rem; }
@media (max-width: 40rem) { h1.explorer { font-size: 1.2rem; padding-left: 2.5rem; } }
@media (prefers-color-scheme: dark) { .dark .explorer .problem { color: #ff9d9d; } .dark .explorer .note { color: #f2c078; } }
</style>"""


def block(*parts: str) -> str:
    """Return pieces as one block in the explorer's style."""
    return f'<div class="explorer">{"".join(parts)}</div>'


def heading_html(address_problems: Sequence[str]) -> str:
    """Return the page's heading, with what could not be used of its address."""
    told = paragraphs([f"Of the address: {said}." for said in address_problems], "problem")
    return f'{STYLE}<h1 class="explorer">Which features does an augmentation make a network learn?</h1>' + (
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


def sweep_html(view: SweepView | None, told: Sequence[str]) -> str:
    """Return a sweep's title and how far it is, or why there is none to show."""
    if view is None:
        return block(paragraphs(told, "problem"))
    return block(f"<p><strong>{escape(view.title)}</strong></p>", paragraphs([f"{view.progress}.", *told]))


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


# The charts stand in shadow trees, which selectors do not see into. After half a minute whatever has come is shown.
COVER = """<style>
#opening { position: fixed; inset: 0; z-index: 1000; overflow: auto; background: #fff; color: #1c1c1c; padding: 2rem; }
#opening { font-family: "PT Sans", sans-serif; line-height: 1.5; }
#opening img { display: block; width: 100%; min-width: 44rem; max-width: 70rem; background: #fff; }
</style>
<script>
{
  const cover = document.getElementById("opening"), page = document.getElementById("root"), begun = performance.now();
  const holds = (place) => [...place.querySelectorAll("*")].some((one) =>
    one.matches("[role=graphics-document], .explorer .problem") || (one.shadowRoot && holds(one.shadowRoot)));
  const look = () => {
    if (!holds(page) && performance.now() - begun < 30000) { setTimeout(look, 100); return; }
    requestAnimationFrame(() => requestAnimationFrame(() => { cover.remove(); page.inert = false; }));
  };
  page.inert = true;
  look();
}
</script>"""


def picture_html(svg: bytes, label: str) -> str:
    """Return an SVG file as a picture that scrolls by itself where the page is narrow."""
    said = escape(label, quote=True)
    image = f'<img src="{data_address(svg, "svg")}" alt="{said}" decoding="sync" elementtiming="picture">'
    return (
        f'<div class="explorer"><div class="scroll" tabindex="0" role="region" aria-label="Picture">{image}</div></div>'
    )


def cover_html(pieces: Iterable[str]) -> str:
    """Return pieces as what lies over the page until its first chart stands, or what is wrong with its settings."""
    return f'<main id="opening" aria-busy="true">{"".join(pieces)}</main>{COVER}'
