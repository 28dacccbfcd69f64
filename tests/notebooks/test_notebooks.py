"""Each notebook runs top to bottom in fresh kernels, twice with the same words and numbers, and is kept as a pair.

The `.py` of the pair is what is reviewed; the `.ipynb` is made from it (`make notebooks`) and holds no outputs. The two runs
share one cache folder, so the first finds it cold and the second warm.
"""

from __future__ import annotations

import re
import sys
import time
from pathlib import Path
from typing import Any

import jupytext
import nbclient
import nbformat
import pytest

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
SECONDS_MAX = 60
"""For a whole notebook; a kernel that is still busy then is stopped, and the test fails."""

FOUND = sorted({path.stem for pattern in ("*.py", "*.ipynb") for path in NOTEBOOKS.glob(pattern)})

# What may differ between two runs: addresses of objects, and how long something took.
CHANGING = re.compile(r"0x[0-9a-f]+|\b(?:in|took|elapsed:?)\s+[\d.,]+ ?(?:ns|us|µs|ms|s|min)\b|[\d.,]+ ?[kM]? ?\w+/s\b")

WIDGET = "application/vnd.jupyter.widget-view+json"


def read(path: Path) -> Any:
    return nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]


def execute(notebook: Any, folder: Path) -> Any:
    """Run all cells in a fresh kernel that works in `folder`, and return the notebook with its outputs.

    Raises:
        CellExecutionError: where a cell raises.
        CellTimeoutError: where the notebook as a whole takes longer than `SECONDS_MAX`.
    """
    deadline = time.monotonic() + SECONDS_MAX
    client = nbclient.NotebookClient(
        notebook,
        kernel_name="python3",
        resources={"metadata": {"path": str(folder)}},
        timeout_func=lambda _: max(1, round(deadline - time.monotonic())),
    )
    return client.execute()


def words(notebook: Any) -> list[list[str]]:
    """What a reader of the outputs sees as text, cell by cell, without what changes between two runs.

    A progress bar (a widget) is left out: it is shown only where the first, cold run takes longer than a second.
    """
    told = []
    for cell in notebook.cells:
        shown = []
        for output in cell.get("outputs", []):
            if output.output_type == "stream" and output.name == "stdout":
                shown.append(output.text)
            elif output.output_type in ("execute_result", "display_data") and WIDGET not in output.data:
                shown.append(output.data.get("text/plain", ""))
        told.append([CHANGING.sub("<changing>", text) for text in shown])
    return told


def errors(notebook: Any) -> list[str]:
    """Error outputs, also of cells that are allowed to raise."""
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    return [f"{output.ename}: {output.evalue}" for output in outputs if output.output_type == "error"]


def pair_differences(script: Any, notebook: Any) -> list[str]:
    """Where the cells of the two halves of a pair are not the same."""
    found = []
    if len(script.cells) != len(notebook.cells):
        found.append(f"the .py has {len(script.cells)} cells, the .ipynb {len(notebook.cells)}")
    for i, (one, other) in enumerate(zip(script.cells, notebook.cells, strict=False)):
        if (one.cell_type, one.source) != (other.cell_type, other.source):
            found.append(f"cell {i} differs: {one.source[:60]!r} in the .py, {other.source[:60]!r} in the .ipynb")
    return found


def stored_outputs(notebook: Any) -> list[int]:
    """Numbers of the cells that hold an output or an execution count."""
    return [i for i, cell in enumerate(notebook.cells) if cell.get("outputs") or cell.get("execution_count") is not None]


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One cache for all notebooks: the demo market is generated once, as on a user's machine."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def isolated(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Kernels inherit this environment: caches of their own, and no path into the checkout but the package's."""
    monkeypatch.setenv("CIFT_CACHE", str(cache))
    monkeypatch.delenv("PYTHONPATH", raising=False)


@pytest.mark.parametrize("name", ["01_quickstart", "02_order_book", "03_data"])
def test_the_tour_is_there(name: str) -> None:
    assert name in FOUND


@pytest.mark.parametrize("name", FOUND)
@pytest.mark.usefixtures("isolated")
def test_a_notebook_runs_twice_and_says_the_same(name: str, tmp_path: Path) -> None:
    runs = []
    for attempt in ("first", "second"):
        folder = tmp_path / attempt
        folder.mkdir()
        runs.append(execute(read(NOTEBOOKS / f"{name}.ipynb"), folder))
    assert [errors(run) for run in runs] == [[], []]
    assert words(runs[0]) == words(runs[1])


@pytest.mark.parametrize("name", FOUND)
def test_a_notebook_and_its_script_are_a_pair(name: str) -> None:
    script, notebook = NOTEBOOKS / f"{name}.py", NOTEBOOKS / f"{name}.ipynb"
    assert script.is_file(), f"{notebook.name} has no {script.name} to review: jupytext --to py:percent"
    assert notebook.is_file(), f"{script.name} has no {notebook.name}: make notebooks"
    pair = jupytext.read(script)  # type: ignore[no-untyped-call]
    assert pair_differences(pair, read(notebook)) == [], "`make notebooks` makes the .ipynb anew"
    assert stored_outputs(read(notebook)) == [], "outputs are not kept in git: `make notebooks`"


def planted(*sources: str) -> Any:
    new = nbformat.v4
    return new.new_notebook(cells=[new.new_code_cell(source) for source in sources])  # type: ignore[no-untyped-call]


@pytest.mark.usefixtures("isolated")
def test_a_cell_that_raises_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(nbclient.exceptions.CellExecutionError, match="ZeroDivisionError"):
        execute(planted("1 / 0"), tmp_path)


@pytest.mark.usefixtures("isolated")
def test_a_notebook_that_takes_too_long_is_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(globals(), "SECONDS_MAX", 2)
    with pytest.raises(nbclient.exceptions.CellTimeoutError):
        execute(planted("import time", "time.sleep(30)"), tmp_path)


@pytest.mark.usefixtures("isolated")
def test_kernels_use_the_tests_cache_and_python(cache: Path, tmp_path: Path) -> None:
    ran = execute(planted("import os, sys\nprint([os.environ['CIFT_CACHE'], sys.executable, os.getcwd()])"), tmp_path)
    assert words(ran) == [[f"{[str(cache), sys.executable, str(tmp_path)]}\n"]]


def test_differences_between_runs_and_halves_are_seen() -> None:
    one, other = planted("1", "2"), planted("1", "3")
    assert len(pair_differences(one, other)) == 1
    assert len(pair_differences(one, planted("1"))) == 1
    other.cells[0].outputs = [nbformat.v4.new_output("stream", text="8.5 in 3 s")]  # type: ignore[no-untyped-call]
    assert stored_outputs(other) == [0]
    assert words(other) == [["8.5 <changing>"], []]
