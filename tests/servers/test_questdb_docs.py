"""The page about QuestDB: its blocks that need a server, run against one."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import cift
from cift.cli.strategies import load_strategy
from tests.cli.conftest import call as call
from tests.data.market import HOUR_NS, make
from tests.fences import ROOT, fences
from tests.servers.questdb_server import QuestDBServer
from tests.servers.test_questdb_asking import make_table, prints

THURSDAY_NS = 1_340_236_800_000_000_000
"""2012-06-21, the day of the examples."""


def test_the_page_runs(own_questdb: QuestDBServer, call: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    catalog = cift.Catalog(tmp_path / "ticks")
    instrument = cift.Instrument("AAPL.XNAS", "0.01", 1)
    for seed, schema in enumerate(("quotes", "trades")):
        catalog.write(schema, "AAPL.XNAS", make(schema, 2_000, seed, start_ns=THURSDAY_NS, gap_ns=HOUR_NS // 200), instrument)
    theirs = prints(500, 1_000).rename({"pair": "symbol", "side": "aggressor"})
    theirs = theirs.with_columns(symbol=pl.lit("BTCUSDT").cast(pl.Categorical))
    make_table(
        own_questdb,
        "ticks",
        '"timestamp" timestamp, symbol symbol, aggressor symbol, price double, qty double',
        theirs,
        "timestamp",
    )
    monkeypatch.chdir(tmp_path)
    (tmp_path / "strategies").symlink_to(ROOT / "strategies")
    place, _, port = own_questdb.url.partition("?")
    names: dict[str, Any] = {"EmaCross": load_strategy(str(ROOT / "strategies/ema_cross.py:EmaCross"))}
    page = (ROOT / "docs" / "questdb.md").read_text()
    ran = {"python": 0, "commands": 0}
    for fence in fences(page):
        text = fence.source.replace("questdb://localhost:9000/AAPL.XNAS", f"{place}/AAPL.XNAS?{port}")
        text = text.replace("questdb://localhost:9000", own_questdb.url).replace('"localhost:9000"', repr(own_questdb.url))
        if fence.language == "text" and text.startswith("cift "):
            for line in text.splitlines():
                answer = call(*shlex.split(line)[1:])
                assert (answer.code, answer.err) == (0, ""), line
                ran["commands"] += 1
        elif fence.language == "text" and text.startswith(("import cift", "server.")):
            exec(compile(text, f"docs/questdb.md:{fence.line}", "exec"), names)
            ran["python"] += 1
    assert ran == {"python": 2, "commands": 3}
    # The calls of the table of questions, each of which stands in the first column.
    calls = [line.split("`")[1::2] for line in page.splitlines() if line.startswith("| `server.")]
    assert len(calls) == 5
    for question in (text for row in calls for text in row if text.startswith("server.")):
        assert len(eval(question, names)) > 0, question
