"""Runs of strategies with data from a server: from the command line, saved and run again, over tables of others, in little memory."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cift
from cift.data.questdb.tables import LOADED, DayRecord, make_tables, write_day, write_instrument
from cift.data.selection import reopen, selection
from cift.domain.instrument import Instrument
from cift.domain.schemas import CHUNK_DTYPES
from cift.errors import CatalogError, InvalidParameter
from tests.cli.conftest import call as call
from tests.cli.conftest import strategy as strategy
from tests.data.market import DAY_NS, MONDAY_NS
from tests.servers.questdb_server import QuestDBServer
from tests.servers.test_questdb import Crosses
from tests.servers.test_questdb_asking import COLUMNS, SYMBOL, TYPES, make_table, prints


def test_a_run_from_the_command_line_is_the_one_over_files(
    questdb: QuestDBServer, call: Any, strategy: Path, tmp_path: Path
) -> None:
    from cift.data.demo import generate

    catalog = cift.Catalog(tmp_path / "ticks")
    for seed, symbol in enumerate(("RUN.SIM", "RUN/OTHER,ONE.SIM")):
        generate(catalog, symbol, "2026-01-05", 20_000, seed=seed)
    questdb.client().load(catalog)
    place, _, port = questdb.url.partition("?")
    given = ("run", f"{strategy}:Cross", "--latency", "250us", "--json")
    for level in ("L3", "L1"):
        options = ("--start", "2026-01-05", "--level", level)
        files = call(*given, "--data", f"{catalog.path}:RUN.SIM", *options)
        server = call(*given, "--data", f"{place}/RUN.SIM?{port}", *options, "--save", tmp_path / "run.cift")
        assert (files.code, server.code) == (0, 0), files.err + server.err
        assert files.json["stats"]["# Fills"] > 0
        for key in ("digest", "fingerprint", "stats", "symbols", "rows", "start", "end"):
            assert server.json[key] == files.json[key], key
        # Verified against the server that the saved run names, against the server as it is told, and against the files.
        for data in ((), ("--data", questdb.url), ("--data", catalog.path)):
            verified = call("verify", tmp_path / "run.cift", *data, "--json")
            assert verified.json["equal"], verified.out + verified.err
    odd = call(*given, "--data", f"{place}/RUN%2FOTHER%2CONE.SIM?{port}")
    assert odd.json["symbols"] == ["RUN/OTHER,ONE.SIM"]
    idle = tmp_path / "idle.py"
    idle.write_text("import cift\n\n\nclass Idle(cift.Strategy):\n    pass\n")
    two = call("run", f"{idle}:Idle", "--data", f"{place}/RUN.SIM,RUN%2FOTHER%2CONE.SIM?{port}", "--json")
    assert two.json["symbols"] == ["RUN.SIM", "RUN/OTHER,ONE.SIM"]
    assert "say which symbol, as in --data questdb://127.0.0.1" in call(*given, "--data", questdb.url).err
    assert "did you mean RUN.SIM" in call(*given, "--data", f"{place}/RUNS.SIM?{port}").err
    assert "names an empty symbol" in call(*given, "--data", f"{place}/RUN.SIM,?{port}").err
    down = call(*given, "--data", "questdb://127.0.0.1:1/RUN.SIM?pg=1")
    assert (down.code, "see that it runs" in down.err) == (2, True)


def test_a_saved_run_over_a_table_of_others_is_run_again(questdb: QuestDBServer, tmp_path: Path) -> None:
    make_table(questdb, "saved", TYPES, prints(4_000), "timestamp")
    server = questdb.client()
    secret = cift.QuestDB(questdb.url.replace("questdb://", "questdb://admin:quest@"))
    for source, given in ((server, {}), (secret, {"instrument": Instrument(SYMBOL, "0.05", "0.0005")})):
        view = source.ticks(SYMBOL, "2026-01-05", "2026-01-07", table="saved", columns=COLUMNS, **given)
        result = cift.Backtest(view, Crosses).run()
        assert len(result.orders) > 10
        path = result.save(tmp_path / "run.cift")
        told = cift.load(path).record.origin["data"]
        assert told["of"]["table"] == "saved"
        assert told["of"]["columns"] == {**COLUMNS, "price": "price"}
        assert "quest@" not in json.dumps(told)
        assert "password" not in json.dumps(told)
        again = reopen(told)
        assert again.feeds[0].instrument == view.feeds[0].instrument
        assert again.feeds[0].content_hash == view.feeds[0].content_hash
        assert cift.Backtest(again, Crosses).run().digest == result.digest


def test_columns_are_named_in_either_direction(questdb: QuestDBServer) -> None:
    make_table(questdb, "either", TYPES, prints(900), "timestamp")
    server = questdb.client()
    turned = {ours: theirs for theirs, ours in COLUMNS.items()}
    hashes = {server.ticks(SYMBOL, table="either", columns=columns).feeds[0].content_hash for columns in (COLUMNS, turned)}
    assert len(hashes) == 1
    with pytest.raises(InvalidParameter, match="can be read both ways"):
        server.ticks(SYMBOL, table="either", columns={"price": "side"})


def test_a_saved_run_over_several_tables_says_so(questdb: QuestDBServer) -> None:
    make_table(questdb, "one", TYPES, prints(100), "timestamp")
    make_table(questdb, "other", TYPES, prints(200), "timestamp")
    one, other = (questdb.client().ticks(SYMBOL, table=name, columns=COLUMNS) for name in ("one", "other"))
    both = replace(one, feeds=one.feeds + other.feeds)
    told = selection(both)
    assert told["catalog"] is None
    assert "of" not in told
    with pytest.raises(CatalogError, match="several tables"):
        reopen(told)


def test_a_run_over_more_rows_than_it_holds_keeps_its_memory(questdb: QuestDBServer) -> None:
    days, rows, symbol = 8, 1_000_000, "HUGE.SIM"
    columns = ["ts_event", "symbol", "price", "size", "aggressor", "trade_id", "flags", "sequence"]
    with questdb.client().server.open() as transport:
        make_tables(transport)
        write_instrument(transport, Instrument(symbol, "0.01", 1))
        for day in range(days):
            first = MONDAY_NS + day * DAY_NS
            made = f"({first} + (x - 1) * 80_000_000)::timestamp_ns, '{symbol}', 100 + (x % 100) / 100.0, 1.0, 'buy', x, 128, x - 1"
            transport.ask(f"insert into trades ({', '.join(columns)}) select {made} from long_sequence({rows})")
            record = DayRecord(symbol, "trades", first, rows, first, first + (rows - 1) * 80_000_000, "", LOADED)
            write_day(transport, record)
        deadline = time.monotonic() + 60
        while transport.ask("select count() from trades where symbol = %s", (symbol,)) != [(days * rows,)]:
            assert time.monotonic() < deadline
            time.sleep(0.1)
    child = [sys.executable, Path(__file__).with_name("memory_child.py"), questdb.url, symbol]
    done = subprocess.run(child, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    seen, grown = (int(word) for word in done.stdout.split())
    whole = days * rows * sum(np.dtype(kind).itemsize for kind in CHUNK_DTYPES["trades"].values())
    assert seen == days * rows
    # A few slices, decoded and as they came, against 400 MB; twice the days would take as much.
    assert grown < 0.4 * whole, f"{grown:,} of {whole:,} bytes"
