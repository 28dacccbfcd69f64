"""Days that got more rows since they were loaded: what is new is sent, and nothing is there twice or missing."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

import cift
from cift.data.catalog import Catalog
from cift.data.columns import RawColumns
from cift.data.questdb import loading
from cift.data.questdb.tables import LOADED, read_days
from cift.data.questdb.transport import OpenTransport
from cift.data.times import time_range
from cift.errors import CatalogError
from tests.data.market import ABC, DAY_NS, HOUR_NS, MONDAY_NS, QuickDisk, make, take
from tests.data.test_stored_bars import bars, of_spans
from tests.servers.questdb_server import QuestDBServer


def instrument(symbol: str) -> Any:
    return replace(ABC, symbol=symbol)


def same_as(server: Any, catalog: Catalog, symbol: str) -> None:
    """The server shows what the catalog does."""
    for feed, other in zip(server.ticks(symbol).feeds, catalog.ticks(symbol).feeds, strict=True):
        assert feed.content_hash == other.content_hash


class BrokenOffError(Exception):
    """What ends a load at once, where a broken line would be tried again."""


def break_off(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """Has the batch of that number end the load, by whichever way it goes."""
    batches = 0
    send, ask = OpenTransport.send, OpenTransport.ask

    def count() -> None:
        nonlocal batches
        batches += 1
        if batches == number:
            raise BrokenOffError

    def sent(self: OpenTransport, encoded: Any) -> None:
        count()
        send(self, encoded)

    def asked(self: OpenTransport, sql: str, binds: Any = ()) -> Any:
        if sql.startswith("insert") and "read_parquet(" in sql:
            count()
        return ask(self, sql, binds)

    monkeypatch.setattr(OpenTransport, "send", sent)
    monkeypatch.setattr(OpenTransport, "ask", asked)


@pytest.mark.parametrize("by", ["ilp", "parquet"])
def test_bars_are_loaded_day_by_day(questdb: QuestDBServer, tmp_path: Any, by: str) -> None:
    """The last bar of a day lies on the next one, by its end, and what is written on that day changes it."""
    symbol, server = f"DAILY{by}.SIM", questdb.client()
    catalog, hours = Catalog(tmp_path, disk=QuickDisk()), bars(72, length_ns=HOUR_NS)
    for day in range(3):
        catalog.write("bars", symbol, hours[24 * day : 24 * day + 24], instrument(symbol), spec="1h")
        report = server.load(catalog, symbol, by=by)
        assert report.rows_sent == 24
        assert_frame_equal(server.frame("bars", symbol, spec="1h").select(hours.columns), hours[: 24 * day + 24])
    report = server.load(catalog, symbol, by=by)
    assert (report.rows, report.rows_sent, report.days_there) == (72, 0, 4)


def test_a_day_of_bars_is_the_one_of_the_catalog(questdb: QuestDBServer, tmp_path: Any) -> None:
    """Those that began on it, also where they end on the day after or later; and what is loaded for a period has all of them."""
    symbol, server = "BEGUN.SIM", questdb.client()
    catalog, quarter = Catalog(tmp_path, disk=QuickDisk()), HOUR_NS // 4
    rng = np.random.default_rng(4)
    edges = MONDAY_NS + np.cumsum(rng.integers(0, 60, 120)) * quarter
    catalog.write(
        "bars", symbol, of_spans([*zip(edges[:-1:2], edges[1::2], strict=True)], 7.0), instrument(symbol), spec="tick-5"
    )
    catalog.write("bars", symbol, bars(300, length_ns=quarter), spec="15m")
    # The second day with the last bars that began on it, then all.
    for given in ({"start": "2026-01-06"}, {}):
        server.load(catalog, symbol, **given)
        periods = [("2026-01-06", None)] if given else PERIODS
        for spec in ("tick-5", "15m"):
            for start, end in periods:
                stored = begun(catalog.bars(symbol, spec), *time_range(start, end))
                assert_frame_equal(server.frame("bars", symbol, start, end, spec=spec).select(stored.columns), stored)
    assert server.frame("bars", symbol, "2027-01-01", spec="15m").is_empty()


def begun(frame: pl.DataFrame, start_ns: int | None, end_ns: int | None) -> pl.DataFrame:
    opened = frame["ts_open"].to_physical()
    return frame.filter((opened >= (start_ns or 0)) & (opened < (2**63 - 1 if end_ns is None else end_ns)))


PERIODS = [
    ("2026-01-05", None),
    ("2026-01-06", None),
    ("2026-01-05T23:45", "2026-01-06T00:00"),
    ("2026-01-05T23:45:00.000000001", "2026-01-06T12:00"),
    (None, "2026-01-07"),
    (None, None),
]


@pytest.mark.parametrize("by", ["ilp", "parquet"])
@pytest.mark.parametrize("seed", range(3))
def test_what_was_appended_is_sent_and_nothing_else(
    questdb: QuestDBServer, tmp_path: Any, monkeypatch: pytest.MonkeyPatch, by: str, seed: int
) -> None:
    """Rows of any number, crowded times, and loads that are broken off: each that ends leaves what the catalog holds."""
    rng, symbol, server = np.random.default_rng(seed), f"MORE{by}{seed}.SIM", questdb.client()
    rows = make("trades", 600, seed, gap_ns=3 if seed == 0 else DAY_NS // 200)
    catalog, at = Catalog(tmp_path, disk=QuickDisk()), 0
    monkeypatch.setitem(loading.BATCH_ROWS, by, 40)
    while at < 600:
        more = int(rng.integers(1, 300))
        catalog.append("trades", symbol, take(rows, at, at + more), instrument(symbol))
        at += more
        if rng.random() < 0.5:
            with monkeypatch.context() as patched:
                break_off(patched, int(rng.integers(1, 4)))
                try:
                    server.load(catalog, symbol, by=by)
                except BrokenOffError:
                    with pytest.raises(CatalogError, match="not loaded in full"):
                        server.ticks(symbol)
            if rng.random() < 0.5:
                continue  # more comes before it is completed
        server.load(catalog, symbol, by=by)
        same_as(server, catalog, symbol)
    server.load(catalog, symbol, by=by)
    same_as(server, catalog, symbol)
    assert server.load(catalog, symbol, by=by).rows_sent == 0


def test_only_the_rows_behind_those_that_are_there_are_sent(questdb: QuestDBServer, tmp_path: Any) -> None:
    catalog, server, rows = Catalog(tmp_path, disk=QuickDisk()), questdb.client(), make("quotes", 300)
    catalog.write("quotes", "TAIL.SIM", take(rows, 0, 290), instrument("TAIL.SIM"))
    server.load(catalog)
    catalog.append("quotes", "TAIL.SIM", take(rows, 290, 300))
    report = server.load(catalog)
    assert (report.rows, report.rows_sent) == (300, 10)
    assert server.load(catalog, resend=True).rows_sent == 300
    same_as(server, catalog, "TAIL.SIM")


def spoil(rows: RawColumns, number: int) -> RawColumns:
    changed = {name: array.copy() for name, array in rows.items()}
    changed["price"][number] += 0.01
    return changed


def test_rows_that_do_not_continue_those_that_are_there_are_refused(questdb: QuestDBServer, tmp_path: Any) -> None:
    server, symbol, rows = questdb.client(), "NOT.SIM", make("trades", 100)
    catalog = Catalog(tmp_path, disk=QuickDisk())
    catalog.write("trades", symbol, take(rows, 0, 50), instrument(symbol))
    server.load(catalog)
    before = server.frame("trades", symbol)
    others = [spoil(rows, 0), spoil(rows, 49), take(rows, 1, 100), take(rows, 0, 49), spoil(take(rows, 0, 50), 7)]
    for other in others:
        catalog.write("trades", symbol, other)
        for resend in (False, True):
            with pytest.raises(CatalogError, match=r"holds 50 rows of trades of NOT\.SIM on 2026-01-05 that are not those"):
                server.load(catalog, resend=resend)
        assert server.frame("trades", symbol).equals(before)
    with server.server.open() as transport:
        assert [(day.rows, day.state) for day in read_days(transport, symbol)] == [(50, LOADED)]
    catalog.write("trades", symbol, rows)
    assert server.load(catalog).rows_sent == 50
    same_as(server, catalog, symbol)


def test_a_frame_continues_a_day_too(questdb: QuestDBServer) -> None:
    server, symbol = questdb.client(), "FRAME.MORE"
    at = pl.Series([MONDAY_NS + n for n in range(30)]).cast(pl.Datetime("ns", "UTC"))
    frame = pl.DataFrame({"ts_event": at, "price": [100.0 + n for n in range(30)], "size": [1.0] * 30})
    views = [cift.trades(part, instrument=instrument(symbol)) for part in (frame[:20], frame)]
    assert [server.load(view).rows_sent for view in views] == [20, 10]
    assert server.ticks(symbol).feeds[0].content_hash == views[1].feeds[0].content_hash
