"""How the documentation is built: `make docs`. Its code is executed, and a warning is an error.

Two folders of the sources are made here at each build: `notebooks/`, the project's notebooks, which are kept without outputs
and get them from this build; and `reference/`, one page for each public module that exists.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import shutil
import sys
from pathlib import Path

from sphinx.application import Sphinx

import cift

DOCS = Path(__file__).parent
ROOT = DOCS.parent

project = "CIFT Markets"
author = "the CIFT Markets authors"
release = version = cift.__version__

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
html_theme = "furo"
html_title = f"CIFT Markets {release}"
exclude_patterns = ["_build", "progress.md"]

myst_enable_extensions = ["colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3
nb_execution_mode = "cache"
nb_execution_timeout = 60
nb_execution_raise_on_error = True
nb_execution_in_temp = True
nb_execution_show_tb = True
nb_merge_streams = True

# `name` in a docstring is code, as it is in Markdown.
default_role = "code"

autodoc_member_order = "bysource"
autodoc_typehints = "description"
# A name may be reached by two ways, as `cift.Strategy` and `cift.strategy.Strategy`; a link to either is right. A link to
# `statistics` leads to the page, though a module and a function are called so too.
suppress_warnings = ["ref.python", "myst.xref_ambiguous"]

PUBLIC_MODULES = {
    "cift": "The front page: what a first notebook needs.",
    "cift.core": "The public face of the compiled core.",
    "cift.indicators": "Indicators, and the decorator that makes one.",
    "cift.research.features": "Features, joins, targets and narrow frames: `cift.features`.",
    "cift.data": "Catalogs, frames and importers.",
    "cift.data.csv_files": "Frames as CSV and back.",
    "cift.data.demo": "The demo market.",
    "cift.data.fetch": "Market data that exchanges give away.",
    "cift.data.importers": "What brings the files of vendors into a catalog.",
    "cift.data.doctor": "The doctor: checks data, and mends a copy.",
    "cift.domain.instrument": "Instruments: grids, money, rules for orders, expiry.",
    "cift.domain.action": "Splits and dividends.",
    "cift.data.continuous": "A future as one series over its contracts.",
    "cift.data.exporters": "Days of a catalog as files for others.",
    "cift.research.statistics": "The statistics of a run.",
    "cift.research.table": "The table of labels and values.",
    "cift.research.figures": "The figures, from plain arrays.",
    "cift.errors": "Every exception that the package raises on purpose.",
}
"""Documented by their docstrings. One that does not exist yet has no page."""


def copy_notebooks() -> list[str]:
    """Copy the project's notebooks below `docs/`, where Sphinx looks, and return their names."""
    folder = DOCS / "notebooks"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    names = []
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        shutil.copy(path, folder / path.name)
        names.append(path.stem)
    return names


def write_reference() -> list[str]:
    """Write a page for each public module that exists, and return their names."""
    folder = DOCS / "reference"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    names = []
    for name, summary in PUBLIC_MODULES.items():
        if importlib.util.find_spec(name) is None:
            continue
        # A module that says what is public may re-export; in another, what it defines is public.
        exported = "   :imported-members:\n" if hasattr(importlib.import_module(name), "__all__") else ""
        page = f"# {name}\n\n{summary}\n\n```{{eval-rst}}\n.. automodule:: {name}\n   :members:\n{exported}```\n"
        (folder / f"{name}.md").write_text(page, encoding="utf-8")
        names.append(name)
    return names


def write_index(folder: str, title: str, introduction: str, names: list[str]) -> None:
    """Write `folder/index.md` with the pages of the folder in its table of contents."""
    contents = f"```{{toctree}}\n:maxdepth: 1\n\n{chr(10).join(names)}\n```\n" if names else "None yet.\n"
    (DOCS / folder / "index.md").write_text(f"# {title}\n\n{introduction}\n\n{contents}", encoding="utf-8")


# Kernels that execute the pages run the interpreter that builds them.
os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
write_index("notebooks", "Notebooks", "The tour, executed by this build.", copy_notebooks())
write_index("reference", "Reference", "The public names, by module.", write_reference())


def as_code_blocks(lines: list[str]) -> list[str]:
    """The lines of a docstring with its Markdown code, fenced or indented, as directives that autodoc understands.

    An indented block is code where a blank line parts it from text at the margin: so are the sections of a docstring not.
    """
    result: list[str] = []
    fenced = indented = False
    last_text = ""
    for line in lines:
        if line.startswith("```"):
            fenced = not fenced
            result += ["", f".. code-block:: {line[3:] or 'text'}", ""] if fenced else [""]
            continue
        starts = line.startswith("    ") and bool(result) and not result[-1].strip() and bool(last_text)
        if not fenced and not indented and starts and not last_text.startswith(" "):
            indented = True
            result += [".. code-block:: python", ""]
        elif line.strip() and not line.startswith(" "):
            indented = False
        result.append(f"   {line}" if fenced and line else line)
        last_text = line if line.strip() else last_text
    return result


def setup(app: Sphinx) -> None:
    """Read docstrings as they are written; before napoleon (500) reads their sections."""

    def convert(_app: Sphinx, _what: str, _name: str, _object: object, _options: object, lines: list[str]) -> None:
        lines[:] = as_code_blocks(lines)

    app.connect("autodoc-process-docstring", convert, priority=400)
