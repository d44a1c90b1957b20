"""Draws docs/rooms.svg, the picture of the rooms in architecture.md, from the imports of the code; --check compares."""

from __future__ import annotations

import ast
import sys
from collections import Counter
from pathlib import Path
from typing import NamedTuple

HOUSE = Path(__file__).parents[1] / "src" / "augscope"
PICTURE = Path(__file__).with_name("rooms.svg")


class Room(NamedTuple):
    """Where a room is drawn: its row, its wing ("both", "lab" or "practice"), and what it is for."""

    row: int
    wing: str
    purpose: str


ROOMS = {
    "cli": Room(0, "both", "one thin file a command; sees everything"),
    "explorer": Room(1, "lab", "the page in the browser"),
    "studies": Room(1, "practice", "whole studies of real images"),
    "sweep": Room(2, "lab", "grids of runs, records, diagrams"),
    "theorems": Room(3, "lab", "statements, verdicts, report"),
    "training": Room(4, "lab", "descent, flow, measures"),
    "accuracy": Room(5, "lab", "exact test accuracy"),
    "images": Room(5, "practice", "transforms, training, gallery"),
    "model": Room(6, "lab", "distribution, network, losses"),
    "laws": Room(6, "practice", "what an augmentation does"),
    "support": Room(7, "both", "values, files, statistics, wording, pages; under all"),
}
LEFT = {"lab": 90, "practice": 440, "both": 90}
WIDTHS = {"lab": 250, "practice": 250, "both": 600}
HEIGHT, GAP, TOP, SIZE = 48, 26, 34, (780, 640)
COLOURS = {"lab": "#d6e8f5", "practice": "#fbe3cc", "both": "#e8e8e8"}
STYLE = (
    "text{font-family:sans-serif;text-anchor:middle;fill:#1c1c1c}.name{font-size:15px;font-weight:bold}"
    ".purpose{font-size:12px}.wing{font-size:12px;font-style:italic}rect{stroke:#1c1c1c}.import{fill:none;stroke:#5f5f5f}"
)


def count_imports() -> Counter[tuple[str, str]]:
    """How many files of one room import another room, at the top or inside functions."""
    counts: Counter[tuple[str, str]] = Counter()
    for room in ROOMS:
        for file in sorted((HOUSE / room).rglob("*.py")):
            nodes = ast.walk(ast.parse(file.read_text(encoding="utf-8")))
            modules = [node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)]
            others = {module.split(".")[1] for module in modules if module.startswith("augscope.")}
            counts.update((room, other) for other in others - {room})
    return counts


def height_of(room: str) -> float:
    """The middle of a room's box, from the top."""
    return TOP + ROOMS[room].row * (HEIGHT + GAP) + HEIGHT / 2


def box(room: str) -> str:
    """A room as a box with its name and what it is for."""
    _, wing, purpose = ROOMS[room]
    left, width, middle = LEFT[wing], WIDTHS[wing], height_of(room)
    return (
        f'<rect x="{left}" y="{middle - HEIGHT / 2}" width="{width}" height="{HEIGHT}" rx="6" fill="{COLOURS[wing]}"/>'
        f'<text x="{left + width / 2}" y="{middle - 4}" class="name">{room}</text>'
        f'<text x="{left + width / 2}" y="{middle + 14}" class="purpose">{purpose}</text>'
    )


def arrow(upper: str, lower: str, count: int) -> str:
    """An import: a curve beside the rooms of one wing, a line between the wings; thicker where more files import."""
    wings = ROOMS[upper].wing, ROOMS[lower].wing
    start, end = height_of(upper) + 8, height_of(lower) - 8
    if wings[0] != wings[1]:
        path = f"M{LEFT['practice']},{start} L{LEFT['lab'] + WIDTHS['lab'] + 4},{end}"
    else:
        outward = -1 if wings[0] == "lab" else 1
        edge = LEFT[wings[0]] + (WIDTHS[wings[0]] if outward == 1 else 0)
        bend = edge + outward * (12 + 15 * (ROOMS[lower].row - ROOMS[upper].row))
        path = f"M{edge},{start} C{bend},{start} {bend},{end} {edge + 4 * outward},{end}"
    title = f"{upper} imports {lower} in {count} file{'s' * (count != 1)}"
    width = min(3.0, 0.8 + count / 6)
    return f'<path class="import" d="{path}" stroke-width="{width:.2f}" marker-end="url(#tip)"><title>{title}</title></path>'


def draw() -> str:
    """Return the picture as SVG text. Imports from `cli` and of `support` are not drawn: nearly all rooms have them."""
    names = list(ROOMS)
    counts = sorted(count_imports().items(), key=lambda entry: (names.index(entry[0][0]), names.index(entry[0][1])))
    arrows = [arrow(*pair, count) for pair, count in counts if "both" not in (ROOMS[pair[0]].wing, ROOMS[pair[1]].wing)]
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {SIZE[0]} {SIZE[1]}" width="{SIZE[0]}" height="{SIZE[1]}">',
        "<title>The eleven rooms of augscope and which imports which</title>",
        f"<style>{STYLE}</style>",
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="6" refY="4" markerWidth="9" markerHeight="9" orient="auto"'
        ' markerUnits="userSpaceOnUse"><path d="M0,0 L8,4 L0,8 z" fill="#5f5f5f"/></marker></defs>',
        f'<rect width="{SIZE[0]}" height="{SIZE[1]}" fill="#ffffff" style="stroke:none"/>',
        f'<text x="{LEFT["lab"] + WIDTHS["lab"] / 2}" y="22" class="wing">the lab (JAX)</text>',
        f'<text x="{LEFT["practice"] + WIDTHS["practice"] / 2}" y="22" class="wing">the practice (PyTorch)</text>',
        *arrows,
        *map(box, ROOMS),
        "</svg>\n",
    ]
    return "\n".join(parts)


if __name__ == "__main__":
    if sys.argv[1:] == ["--check"]:
        if PICTURE.read_text(encoding="utf-8") != draw():
            sys.exit("docs/rooms.svg is of other code: run make rooms")
        sys.exit()
    PICTURE.write_text(draw(), encoding="utf-8")
