"""HTML pages of one design, each a single file: templates are filled, pictures and data stand inside."""

from __future__ import annotations

import re
from base64 import b64encode
from dataclasses import dataclass
from typing import Any

import jinja2
from markupsafe import Markup, escape

MIME = {"csv": "text/csv", "json": "application/json", "svg": "image/svg+xml", "png": "image/png", "toml": "text/plain"}


@dataclass(frozen=True)
class Download:
    """A file inside a page; the end of its name is its kind (csv, json, svg, png, toml)."""

    name: str
    content: bytes

    @property
    def address(self) -> str:
        """The content as a `data:` address."""
        return data_address(self.content, self.name.rpartition(".")[2])


def render(template: str, **values: Any) -> str:
    """Fill a template of `augscope/support/templates`; every value is escaped, and one that is missing is an error.

    A template extends `base.html`, which sets the design, and fills its blocks: `title`, `verdict` (first on the page),
    `evidence`, `exactly` (the configuration and how to run it again).
    """
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("augscope.support"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    return environment.get_template(template).render(**values)


def picture(svg: bytes, label: str, *, min_width: float = 0, max_width: float = 60) -> Markup:
    """Return an SVG file's element alone, to stand inside a page.

    Args:
        svg: the file, one of ours.
        label: what the picture shows, for readers who cannot see it.
        min_width: in rem, below which the page scrolls sideways rather than shrink it.
        max_width: in rem.
    """
    text = svg.decode("utf-8")
    text = text[text.index("<svg") :]
    text = re.sub(r' id="image[0-9a-f]+"', "", text)  # unused, and equal images have equal ones
    style = f"min-width: {min_width:g}rem; max-width: {max_width:g}rem"
    return Markup(text.replace("<svg ", f'<svg role="img" aria-label="{escape(label)}" style="{style}" ', 1))


def data_address(content: bytes, kind: str) -> str:
    """Return content as a `data:` address; `kind` is one of csv, json, svg, png, toml."""
    return f"data:{MIME[kind]};base64,{b64encode(content).decode('ascii')}"
