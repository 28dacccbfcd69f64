"""`cift run`, the example strategies, `cift demo` and `cift bench`."""

from __future__ import annotations

import inspect
import os
import re
import subprocess
import sys

import pytest

import cift
from cift.cli.bench import Case, cases, measured
from cift.cli.demo import EmaCross, OneRestingOrder
from cift.cli.strategies import load_strategy
from cift.cli.words import explained_fill
from cift.errors import CiftError
from tests.cli.conftest import ROOT

RUN_KEYS = {
    "strategy", "parameters", "symbols", "level", "start", "end", "cash", "currency", "venue", "rows", "stats", "notes",
    "digest", "fingerprint", "saved", "report",
}  # fmt: skip


def test_a_run_is_what_the_front_page_gives(call, catalog, strategy, tmp_path):
    saved, report = tmp_path / "run.cift", tmp_path / "report.html"
    answer = call(
        "run", f"{strategy}:Cross", "--data", f"{catalog.path}:ONE.SIM", "--start", "2026-01-05", "-p", "fast=4", "-p", "size=50",
        "--latency", "250us", "--taker-bps", 0.5, "--cash", 50_000, "--save", saved, "--report", report, "--json",
    )  # fmt: skip
    assert answer.code == 0, answer.err
    assert answer.err == ""
    assert set(answer.json) == RUN_KEYS
    venue = cift.Venue(latency="250us", fees=cift.Fees(taker_bps=0.5))
    backtest = cift.Backtest(
        catalog.ticks("ONE.SIM", "2026-01-05"), load_strategy(f"{strategy}:Cross"), cash=50_000, venue=venue
    )
    result = backtest.run(fast=4, size=50.0)
    assert answer.json["digest"] == result.digest
    assert answer.json["parameters"] == {"fast": 4, "slow": 20, "size": 50.0, "eager": False, "mode": "both"}
    assert answer.json["stats"]["# Fills"] == result["# Fills"] > 0
    assert answer.json["stats"]["Sharpe Ratio"] is None
    assert answer.json["stats"]["Duration"] == result["Duration"].total_seconds()
    assert re.fullmatch(r"2026-01-05T09:30:00\.\d+Z", answer.json["start"])
    assert cift.load(saved).digest == result.digest
    assert report.read_text().lower().startswith("<!doctype html")


def test_a_run_prints_its_figures(call, catalog, strategy):
    answer = call("run", f"{strategy}:Cross", "--data", f"{catalog.path}:ONE.SIM", "-p", "eager=yes", "-p", "mode=long")
    assert answer.code == 0
    assert "Cross(fast=5, slow=20, size=100.0, eager=True, mode=long) on ONE.SIM" in answer.out
    assert "# Fills" in answer.out
    assert "digest " in answer.out


def test_several_symbols_run_together(call, catalog, tmp_path):
    path = tmp_path / "idle.py"
    path.write_text("import cift\n\nclass Idle(cift.Strategy):\n    pass\n")
    answer = call("run", path, "--data", f"{catalog.path}:ONE.SIM,TWO.SIM", "--json")
    assert answer.json["symbols"] == ["ONE.SIM", "TWO.SIM"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"strategy": "missing.py:Cross"}, "missing.py is not a file; the strategy is given as FILE.py:Class"),
        ({"name": "Crass"}, "has no strategy 'Crass'; it has the strategies Cross, Breaks"),
        ({"name": None}, "say which, as in my_cross.py:Cross"),
        ({"data": "nowhere"}, "there is no catalog at nowhere"),
        ({"symbol": None}, "holds ONE.SIM, TWO.SIM; say which symbol"),
        ({"symbol": "OEN.SIM"}, "did you mean ONE.SIM?"),
        ({"more": ["-p", "fats=3"]}, "did you mean 'fast'?"),
        ({"more": ["-p", "fast=slow"]}, "Cross.fast takes int, not 'slow'"),
        ({"more": ["-p", "eager=maybe"]}, "Cross.eager takes bool"),
        ({"more": ["-p", "mode=short"]}, "choose one of 'both', 'long'"),
        ({"more": ["-p", "fast"]}, "-p fast is not NAME=VALUE"),
        ({"more": ["-p", "fast=3", "-p", "fast=4"]}, "-p fast is given twice"),
        ({"more": ["--latency", "soon"]}, "'250us'"),
        ({"more": ["--latency", "5"]}, "latency '5' is not a span of time"),
        ({"more": ["--start", "2027-01-01"]}, "no data: ONE.SIM has no mbo"),
        ({"more": ["--level", "L4"]}, "level 'L4' is not supported"),
    ],
)
def test_wrong_use_is_one_sentence_and_exit_code_2(call, catalog, strategy, change, words):
    name = change.get("name", "Cross")
    where = change.get("strategy", f"{strategy}:{name}" if name else strategy)
    symbol = change.get("symbol", "ONE.SIM")
    data = change.get("data", f"{catalog.path}:{symbol}" if symbol else catalog.path)
    answer = call("run", where, "--data", data, *change.get("more", []))
    assert answer.code == 2
    assert answer.out == ""
    assert words in answer.err
    assert answer.err.startswith("error: ")
    assert answer.err.count("\n") == 1


def test_a_missing_option_is_exit_code_2(call, strategy):
    answer = call("run", f"{strategy}:Cross")
    assert answer.code == 2
    assert "--data" in answer.err


def test_a_file_that_cannot_be_imported_is_told(call, catalog, tmp_path):
    path = tmp_path / "broken.py"
    path.write_text("import cift\nfrom nowhere_to_be_found import x\n")
    answer = call("run", f"{path}:A", "--data", f"{catalog.path}:ONE.SIM")
    assert answer.code == 2
    assert answer.err == "error: broken.py cannot be imported: ModuleNotFoundError: No module named 'nowhere_to_be_found'\n"


def test_a_handler_that_raises_shows_its_own_traceback(call, catalog, strategy):
    answer = call("run", f"{strategy}:Breaks", "--data", f"{catalog.path}:ONE.SIM")
    assert answer.code == 1
    assert 'my_cross.py", line' in answer.err
    assert 'raise LookupError("lost count")' in answer.err
    assert "cift/backtest.py" not in answer.err
    assert answer.err.endswith("LookupError: lost count\n")


def test_debug_shows_the_whole_traceback(catalog, strategy):
    done = subprocess.run(
        [sys.executable, "-m", "cift.cli", "run", f"{strategy}:Cross", "--data", f"{catalog.path}:ONE.SIM", "-p", "fats=1"],
        cwd=ROOT, env={**os.environ, "CIFT_DEBUG": "1"}, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "Traceback" in done.stderr
    assert "cift/cli/main.py" in done.stderr


def test_an_import_of_a_neighbour_works_and_counts(call, catalog, tmp_path):
    (tmp_path / "sizes.py").write_text("SIZE = 7\n")
    path = tmp_path / "neighbour.py"
    path.write_text(
        "import cift\nfrom sizes import SIZE\n\n\nclass Buyer(cift.Strategy):\n"
        "    def on_trade(self, trade):\n        if self.position == 0 and not self.open_orders:\n            self.buy(SIZE)\n"
    )
    answer = call("run", path, "--data", f"{catalog.path}:ONE.SIM", "--json")
    assert answer.json["stats"]["# Orders"] == 1


# ------------------------------------------------------------------ what comes with the package


@pytest.mark.parametrize("name", ["ema_cross.py:EmaCross", "fade_flow.py:FadeFlow"])
def test_the_example_strategies_trade(call, catalog, name):
    where = ROOT / "strategies" / name
    answer = call("run", where, "--data", f"{catalog.path}:ONE.SIM", "--latency", "250us", "--json", *small(name))
    assert answer.code == 0, answer.err
    assert answer.json["stats"]["# Fills"] > 0


def small(name):
    """Parameters that make the flow of a small market count as heavy."""
    return ["-p", "threshold=50"] if "fade" in name else []


def test_the_demo_trades_the_strategy_that_a_reader_copies():
    copied = load_strategy(str(ROOT / "strategies" / "ema_cross.py:EmaCross"))
    assert inspect.getsource(copied) == inspect.getsource(EmaCross)


def test_the_demo_writes_a_report_and_explains_fills(call, tmp_path):
    answer = call("demo", "--out", tmp_path / "report.html", "--json")
    assert answer.code == 0, answer.err
    assert set(answer.json) == RUN_KEYS | {"fills_explained"}
    html = (tmp_path / "report.html").read_text()
    assert answer.json["digest"][:16] in html
    assert not re.search(r"(src|href)=[\"']https?:", html)
    took, rested = answer.json["fills_explained"]
    assert "took from the front of the" in took
    assert "joined the queue at its price with" in rested
    text = call("demo", "--out", tmp_path / "report.html")
    assert rested in text.out
    assert "# Fills" in text.out


def test_a_fill_in_words_says_what_the_frame_says(catalog):
    result = cift.Backtest(catalog.ticks("ONE.SIM", "2026-01-05"), OneRestingOrder, venue=cift.Venue(latency="1ms")).run()
    text = explained_fill(result)
    if result.fills.height == 0:
        assert text is None
        return
    fill = result.fills.sort("ahead", descending=True, maintain_order=True).row(0, named=True)
    assert f"{fill['size']:,g} bought at {fill['price']:,.10g}" in text
    assert f"{fill['ahead']:,g} ahead of it" in text
    assert "1.0 ms later" in text


# ------------------------------------------------------------------ bench


def test_every_row_of_the_bench_agrees_with_its_baseline(call):
    answer = call("bench", "--quick", "--json")
    assert answer.code == 0, answer.err
    rows = {row["name"]: row for row in answer.json["rows"]}
    assert set(rows) == {
        "VWAP", "OFI", "RSI", "Bollinger", "group", "join", "filter", "rolling", "mean", "median", "std", "min", "max", "CSV",
        "Parquet", "MessagePack", "JSON", "match_order", "build_order_book", "position statistics", "Sharpe",
    }  # fmt: skip
    assert all(row["seconds"] > 0 for row in rows.values())
    assert {name: row["claim"] for name, row in rows.items() if row["claim"]} == {
        "group": "15x", "join": "12x", "match_order": "10 us", "build_order_book": "100 us", "position statistics": "50 us",
        "Sharpe": "100 us",
    }  # fmt: skip
    assert set(answer.json["machine"]) == {"processors", "system", "python", "load"}


def test_a_bench_whose_sides_disagree_is_no_figure():
    with pytest.raises(CiftError, match=r"gives 1\.0, plain 2\.0"):
        measured(Case("x", "ours", lambda: 1.0, 1, "plain", lambda: 2.0), repeats=1)


def test_a_bench_row_can_be_chosen(call):
    text = call("bench", "--quick", "--only", "sharpe").out
    assert "100 us" in text
    assert "VWAP" not in text
    assert "load" in text
    assert call("bench", "--only", "nothing").code == 2
    assert len(cases(100)) == 21
