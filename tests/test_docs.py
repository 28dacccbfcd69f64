"""The documentation builds without a warning, every page is reachable, and the code on its pages runs.

Sphinx executes the `{code-cell}` blocks and the notebooks and shows what they print. Beside that, all Python of a page, plain
`python` blocks and code cells, runs in order in one process: so no block on any page goes unexecuted. What is not code is a
`text` block.
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

import cift
from tests.fences import ROOT, clean_environment, fences, normalised, output_below, run_python

DOCS = ROOT / "docs"
NOT_PAGES = ("_build", "notebooks", "reference", "progress.md")
"""Built folders, which conf.py makes from what is tested elsewhere, and the page that is no part of the build."""

PAGES = sorted(str(path.relative_to(DOCS)) for path in DOCS.rglob("*.md") if path.relative_to(DOCS).parts[0] not in NOT_PAGES)


def build(source: Path, target: Path, cache: Path) -> subprocess.CompletedProcess[str]:
    """Build the pages below `source` into `target`; a warning is a failure."""
    return subprocess.run(
        [sys.executable, "-m", "sphinx", "--fail-on-warning", "--keep-going", "--quiet", "-b", "html", source, target / "html"],
        env=clean_environment(cache),
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built pages. A page that is in no table of contents is a warning of Sphinx, so it fails here."""
    target = tmp_path_factory.mktemp("docs")
    process = build(DOCS, target, tmp_path_factory.mktemp("cache"))
    assert process.returncode == 0, process.stderr
    return target / "html"


def test_the_pages_build_without_a_warning(built: Path) -> None:
    missing = [page for page in PAGES if not (built / page).with_suffix(".html").is_file()]
    assert missing == []
    assert not (built / "progress.html").exists()


def test_the_notebooks_are_shown_with_their_outputs(built: Path) -> None:
    for notebook in (ROOT / "notebooks").glob("*.ipynb"):
        page = (built / "notebooks" / f"{notebook.stem}.html").read_text(encoding="utf-8")
        assert "cell_output" in page, f"{notebook.name} shows no output"


def test_the_reference_names_what_the_front_page_exports(built: Path) -> None:
    page = (built / "reference" / "cift.html").read_text(encoding="utf-8")
    assert [name for name in cift.__all__ if f'id="cift.{name}"' not in page] == []


@pytest.mark.parametrize("page", PAGES)
def test_the_code_of_a_page_runs(page: str, tmp_path: Path) -> None:
    text = (DOCS / page).read_text(encoding="utf-8")
    blocks = [fence for fence in fences(text) if fence.language == "python"]
    for block, printed in zip(blocks, run_python(page, blocks, tmp_path), strict=True):
        shown = output_below(text, block)
        if shown is not None:
            assert normalised(shown.source) == normalised(printed), f"{page}: output below the block at line {block.line}"


def test_a_page_outside_of_every_table_of_contents_fails(tmp_path: Path) -> None:
    source = tmp_path / "docs"
    source.mkdir()
    (source / "conf.py").write_text('extensions = ["myst_parser"]\n', encoding="utf-8")
    (source / "index.md").write_text("# Title\n\nText.\n", encoding="utf-8")
    (source / "lost.md").write_text("# Lost\n\nText.\n", encoding="utf-8")
    process = build(source, tmp_path, tmp_path)
    assert process.returncode != 0
    assert "lost.md" in process.stderr


def test_a_code_cell_that_raises_fails_the_build(tmp_path: Path) -> None:
    source = tmp_path / "docs"
    source.mkdir()
    (source / "conf.py").write_text('extensions = ["myst_nb"]\nnb_execution_raise_on_error = True\n', encoding="utf-8")
    page = "---\nfile_format: mystnb\nkernelspec:\n  name: python3\n---\n# Title\n\n```{code-cell}\n1 / 0\n```\n"
    (source / "index.md").write_text(page, encoding="utf-8")
    assert build(source, tmp_path, tmp_path).returncode != 0


def configuration() -> ModuleType:
    """docs/conf.py as a module; it makes its two folders once more."""
    spec = importlib.util.spec_from_file_location("conf", DOCS / "conf.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_markdown_code_in_a_docstring_becomes_a_directive(built: Path) -> None:
    assert built.is_dir()  # after the build: the folders that conf.py makes are not pulled from under it
    lines = ["Text.", "", "    code()", "", "```python", "more()", "```", "Args:", "    x: a number.", "", "    y: another."]
    assert configuration().as_code_blocks(lines) == [
        "Text.", "", ".. code-block:: python", "", "    code()", "",
        "", ".. code-block:: python", "", "   more()", "",
        "Args:", "    x: a number.", "", "    y: another.",
    ]  # fmt: skip
