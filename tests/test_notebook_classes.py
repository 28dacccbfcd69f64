"""A class of a notebook cell is a first-class citizen: the front page, sweep included, in a real kernel."""

from __future__ import annotations

import os
import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

ROOT = Path(__file__).parents[1]

CLASS = """\
import cift
from cift.indicators import EMA

SIZE = 100

class EmaCross(cift.Strategy):
    fast: int = cift.param(10, low=2, high=50)
    slow: int = cift.param(50, low=10, high=200)

    def setup(self) -> None:
        quick, calm = self.indicator(EMA(self.fast), on="mid"), self.indicator(EMA(self.slow), on="mid")
        self.when(quick.crosses_above(calm), self.go_long)
        self.when(quick.crosses_below(calm), self.go_short)

    def go_long(self) -> None: self.target(+SIZE)
    def go_short(self) -> None: self.target(-SIZE)
"""
BACKTEST = """\
catalog = cift.demo_catalog()
def backtest():
    return cift.Backtest(catalog.ticks("DEMO.SIM", "2026-01-05"), EmaCross, cash=1_000_000,
                         venue=cift.Venue(latency="250us", fees=cift.Fees(taker_bps=0.5)))
bt = backtest()
result = bt.run(fast=10, slow=30)
first = result.fingerprint
result
"""
SWEEP = """\
found = bt.sweep(fast=range(5, 15, 5), slow=[20, 40], executor=2)
assert [t.digest for t in found] == [t.digest for t in bt.sweep(fast=range(5, 15, 5), slow=[20, 40])]
assert [t.fingerprint for t in found] == [t.fingerprint for t in bt.sweep(fast=range(5, 15, 5), slow=[20, 40])]
assert not any(t.error for t in found)
found
"""
AGAIN = "again = backtest().run(fast=10, slow=30)\nassert again.digest == result.digest\nassert again.fingerprint == first\n"
CHANGED = """\
changed = backtest().run(fast=10, slow=30)
assert changed.digest != result.digest
assert {part for part in first if first[part] != changed.fingerprint[part]} == {"code"}
"""
BROKEN = """\
class Broken(cift.Strategy):
    def on_trade(self, trade):
        sizes = {"buy": 1}
        self.buy(sizes["sell"])
"""
RUN_BROKEN = 'broken = cift.Backtest(catalog.ticks("DEMO.SIM", "2026-01-05"), Broken)\nbroken.run()\n'
PARTIAL = "assert broken.partial.record.error == \"KeyError: 'sell'\""


@pytest.fixture(scope="module")
def outputs(tmp_path_factory):
    """What each cell of the notebook showed, by its name."""
    changed = CLASS.replace("self.target(-SIZE)", "self.target(-SIZE / 2)")
    cells = {
        "class": CLASS, "front page": BACKTEST, "sweep": SWEEP, "same class": CLASS, "again": AGAIN, "new body": changed,
        "changed": CHANGED, "old class": CLASS, "new constant": "SIZE = 50", "constant changed": CHANGED, "broken": BROKEN,
        "run broken": RUN_BROKEN, "partial": PARTIAL,
    }  # fmt: skip
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(text) for text in cells.values()])
    place = list(cells).index("run broken")
    notebook.cells[place].metadata["tags"] = ["raises-exception"]
    before = dict(os.environ)
    os.environ["CIFT_CACHE"] = str(tmp_path_factory.mktemp("cache"))
    os.environ["PYTHONPATH"] = str(ROOT)
    try:
        NotebookClient(notebook, timeout=120, kernel_name="python3", resources={"metadata": {"path": str(ROOT)}}).execute()
    finally:
        os.environ.clear()
        os.environ.update(before)
    return {name: (cell.outputs, cell.execution_count) for name, cell in zip(cells, notebook.cells, strict=True)}


def html_of(outputs):
    (shown,) = [output for output in outputs if output.output_type == "execute_result"]
    return shown.data["text/html"]


def test_the_last_expression_shows_the_result_and_nothing_is_printed(outputs):
    cell, _ = outputs["front page"]
    assert "EmaCross(fast=10, slow=30)" in html_of(cell)
    assert "<svg" in html_of(cell)
    assert len(html_of(cell)) < 100_000
    assert [output for output in cell if output.output_type == "stream"] == []


def test_a_sweep_over_two_workers_equals_the_serial_one(outputs):
    # The assertions stand in the cell: an error there would have ended the notebook.
    cell, _ = outputs["sweep"]
    assert html_of(cell).count("<tr") == 5
    assert [output for output in cell if output.output_type == "stream"] == []


def test_the_fingerprint_holds_for_the_same_cell_and_changes_with_a_method_or_a_constant(outputs):
    for name in ("again", "changed", "constant changed"):
        assert outputs[name][0] == [], name


def test_an_error_in_a_handler_names_cell_and_line(outputs):
    cell, _ = outputs["run broken"]
    (error,) = [output for output in cell if output.output_type == "error"]
    assert error.ename == "KeyError"
    text = "\n".join(error.traceback)
    assert f"Cell In[{outputs['broken'][1]}], line 4" in plain(text)
    assert 'sizes["sell"]' in plain(text)
    assert "---->4" in plain(text).replace(" ", "")
    assert outputs["partial"][0] == []


def plain(text):
    """A traceback without its colours."""
    return re.sub(r"\x1b\[[0-9;]*m", "", text)
