"""How the documentation is built: `make docs`. Pages in MyST, what they show written by `outputs.py`; nothing is loaded from elsewhere.

Formulas are Unicode text: MathJax would be a request to another host or two megabytes of script for a page, KaTeX needs
Node.js to render beforehand, and the formulas here read well as text, on a terminal too.
"""

from __future__ import annotations

import re

import augscope

project, author, release = "augscope", "The augscope developers", augscope.__version__
copyright = author
suppress_warnings = ["ref.python"]  # `loss` in a docstring is a number, not one of the measures of that name
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode"]
exclude_patterns = ["_build", "gallery"]
html_theme, html_title = "furo", "augscope"
html_static_path, html_css_files = ["_static"], ["augscope.css"]
html_theme_options = {"sidebar_hide_name": False}
html_math_renderer = None

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

autodoc_typehints = "none"
autodoc_member_order = "bysource"
autodoc_default_options = {"members": True, "exclude-members": "model_config, model_fields, model_computed_fields"}
napoleon_google_docstring = True


def _escape(app, what, name, thing, options, lines):
    """Docstrings are written for people: bars are absolute values, a w_ before a brace is a letter with an index, and
    `model.md` is a page.
    """
    for index, line in enumerate(lines):
        if not line.lstrip().startswith((">>>", "...", "..")):
            line = re.sub(r"(?<=\w)_(?=\W|$)", r"\\_", line.replace("|", r"\|"))
            lines[index] = line.replace("model.md", ":doc:`model.md <model>`")


# What axe-core finds in the markup of Sphinx and furo: a heading without a level, and parts that scroll sideways but that a
# keyboard cannot reach.
REPAIRS = {
    'class="caption" role="heading">': 'class="caption" role="heading" aria-level="2">',
    "<pre>": '<pre tabindex="0">',
    '<div class="table-wrapper': '<div tabindex="0" class="table-wrapper',
}


def _repair(app, page, template, context, doctree):
    for part in ("body", "furo_navigation_tree"):
        for found, better in REPAIRS.items():
            context[part] = (context.get(part) or "").replace(found, better)


def setup(app):
    app.connect("html-page-context", _repair, priority=900)  # after the theme's own
    app.connect("autodoc-process-docstring", _escape)
