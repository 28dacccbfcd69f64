"""QuestDB killed, restarted, silent: no row lost, none twice, no half-written day taken for a whole one."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest

import cift
from cift.data.catalog import Catalog
from cift.data.questdb import feeds, loading
from cift.data.questdb.tables import LOADED, held_rows, read_days, to_server, write_day
from cift.data.questdb.transport import OpenTransport
from cift.errors import CatalogError, CorruptData, ServerDown, ServerError, UnknownSymbol
from tests.data.market import DAY_NS, HOUR_NS, MONDAY_NS, QuickDisk, make
from tests.servers.questdb_server import QuestDBServer
from tests.servers.test_questdb import Crosses, catalog_of

ROWS = 3_000


def at_batch(monkeypatch: pytest.MonkeyPatch, number: int, act: Any) -> list[int]:
    """Calls `act` when the batch of that number is sent; the list holds how many were."""
    sent = [0]
    send = OpenTransport.send

    def counted(self: OpenTransport, encoded: Any) -> None:
        sent[0] += 1
        if sent[0] == number:
            act()
        send(self, encoded)

    monkeypatch.setattr(OpenTransport, "send", counted)
    monkeypatch.setitem(loading.BATCH_ROWS, "ilp", 500)
    return sent


def rows_held(server: Any, symbol: str) -> dict[str, int]:
    with server.server.open() as transport:
        return {day.schema: held_rows(transport, day)[0] for day in read_days(transport, symbol)}


def hashes(view: Any) -> list[str]:
    return [feed.content_hash for feed in view.feeds]


def test_nothing_loaded_is_told(own_questdb: QuestDBServer) -> None:
    server = own_questdb.client()
    assert server.symbols() == []
    assert server.instruments() == {}
    assert server.ls().is_empty()
    for ask in (server.ticks, server.ohlcv, server.latest, server.asof):
        with pytest.raises(UnknownSymbol, match=r"nothing was loaded yet; call load\(\) first"):
            ask("ASK.SIM")


@pytest.mark.parametrize("name", ["trades", "days", "instruments"])
def test_a_table_of_another_form_is_not_written_to(own_questdb: QuestDBServer, tmp_path: Any, name: str) -> None:
    server = own_questdb.client()
    with server.server.open() as transport:
        transport.ask(f"drop table if exists {name}")
        transport.ask(f"create table {name} (ts timestamp, price double) timestamp(ts) partition by day wal")
    with pytest.raises(CatalogError, match=f"the server's table {name} is not the one that CIFT makes"):
        server.load(catalog_of(tmp_path, "FORM.SIM", 10))
    with server.server.open() as transport:
        with pytest.raises(ServerError, match="refused: table does not exist"):
            transport.export("select * from nowhere")
        transport.ask(f"drop table {name}")


def test_a_load_survives_a_restart_and_one_that_did_not_is_completed(
    own_questdb: QuestDBServer, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    catalog = catalog_of(tmp_path / "ticks", "KILL.SIM", ROWS, gap_ns=HOUR_NS // ROWS)
    server = own_questdb.client(timeout=1.5)

    # Killed while a batch is under way, and nobody starts it again.
    with monkeypatch.context() as patched:
        at_batch(patched, 5, lambda: threading.Timer(0.005, own_questdb.kill).start())
        with pytest.raises(ServerDown, match=r"load it again when the server is back|cannot be reached or broke off"):
            server.load(catalog, by="ilp")
    with pytest.raises(ServerDown, match="see that it runs"):
        server.ticks("KILL.SIM")
    own_questdb.start()
    assert server.ls()["loaded"].to_list() == [False]
    with pytest.raises(CatalogError, match="not loaded in full"):
        server.ticks("KILL.SIM")

    # Sent again; this time it comes back after a while, and the load goes on.
    server = own_questdb.client()

    def restart() -> None:
        own_questdb.kill()
        threading.Timer(0.3, own_questdb.start).start()

    with monkeypatch.context() as patched:
        sent = at_batch(patched, 7, restart)
        report = server.load(catalog, by="ilp")
        assert sent[0] > 18
    assert report.rows == report.rows_sent == 3 * ROWS
    expected = {"mbo": ROWS, "quotes": ROWS, "trades": ROWS}
    assert rows_held(server, "KILL.SIM") == expected

    # Sent twice more, by both ways.
    for by in ("ilp", "parquet"):
        server.load(catalog, by=by, resend=True)
        assert rows_held(server, "KILL.SIM") == expected
    again = server.load(catalog)
    assert (again.rows_sent, again.days_there) == (0, 3)
    for level in ("L3", "L1"):
        assert hashes(server.ticks("KILL.SIM", level=level)) == hashes(catalog.ticks("KILL.SIM", level=level))

    # Read while it is restarted: an error that says so, then everything as before.
    monkeypatch.setattr(feeds, "SLICE_ROWS", 200)
    feed = server.ticks("KILL.SIM").feeds[0]
    chunks = feed.chunks(100)
    next(chunks)
    own_questdb.kill()
    with pytest.raises(ServerDown, match="see that it runs"):
        list(chunks)
    own_questdb.start()
    assert feed.content_hash == catalog.ticks("KILL.SIM").feeds[0].content_hash

    # In a backtest the error is the server's, too.
    view = server.ticks("KILL.SIM", level="L1")
    hashes(view)
    own_questdb.kill()
    with pytest.raises(ServerDown, match="see that it runs"):
        cift.Backtest(view, Crosses).run()


def test_a_server_that_does_not_answer_is_told(questdb: QuestDBServer, tmp_path: Any) -> None:
    catalog = catalog_of(tmp_path, "SLOW.SIM", 100)
    questdb.client().load(catalog)
    server = questdb.client(timeout=0.5)
    view = server.ticks("SLOW.SIM")
    rows = next(catalog.partitions("SLOW.SIM")[0].groups(((0, 2**62),), every_column=True))
    questdb.freeze()
    try:
        started = time.monotonic()
        with pytest.raises(ServerDown, match=r"did not answer within 0\.5 s"):
            list(view.feeds[0].chunks(None))
        with pytest.raises(ServerDown):
            server.ticks("SLOW.SIM")
        with server.server.open() as transport, pytest.raises(ServerDown):
            transport.send(transport.encode("mbo", to_server("mbo", rows, "SLOW.SIM")))
        assert time.monotonic() - started < 10
    finally:
        questdb.thaw()
    with server.server.open() as transport:
        transport.ask("select 1")
        questdb.freeze()
        try:
            with pytest.raises(ServerDown, match=r"did not answer within 0\.5 s"):
                transport.ask("select 1")
        finally:
            questdb.thaw()
    assert hashes(questdb.client().ticks("SLOW.SIM")) == hashes(catalog.ticks("SLOW.SIM"))


def test_batches_out_of_order_make_the_same_day(questdb: QuestDBServer, tmp_path: Any) -> None:
    catalog = Catalog(tmp_path, disk=QuickDisk())
    catalog.write("trades", "LATE.SIM", make("trades", 4_000, gap_ns=HOUR_NS // 500), cift.Instrument("LATE.SIM", "0.01", 1))
    server = questdb.client()
    with server.server.open() as transport:
        loading.make_tables(transport)
        for day in loading._days_of(catalog, None, None, None)[1]:
            write_day(transport, day.record)
            pieces = list(loading._batches(day.batches(), 300))
            # Backwards, each an hour and more before the one in front of it.
            for piece in reversed(pieces):
                transport.send(transport.encode("trades", to_server("trades", piece, "LATE.SIM")))
    time.sleep(0.2)
    assert server.load(catalog).rows == 4_000
    assert rows_held(server, "LATE.SIM") == {"trades": 4_000}
    assert hashes(server.ticks("LATE.SIM")) == hashes(catalog.ticks("LATE.SIM"))


def test_rows_that_went_missing_are_noticed(questdb: QuestDBServer, tmp_path: Any) -> None:
    instrument = cift.Instrument("LOST.SIM", "0.01", 1)
    whole = make("quotes", 900, start_ns=MONDAY_NS + 40 * DAY_NS)
    catalog = Catalog(tmp_path, disk=QuickDisk())
    catalog.write("quotes", "LOST.SIM", whole, instrument)
    server = questdb.client()
    server.load(catalog)
    (feed,) = server.ticks("LOST.SIM").feeds
    assert list(feed.chunks(None))
    with server.server.open() as transport:
        transport.ask("alter table quotes drop partition list '2026-02-14'")
        deadline = time.monotonic() + 10
        while rows_held(server, "LOST.SIM") != {"quotes": 0} and time.monotonic() < deadline:
            time.sleep(0.02)
        with pytest.raises(CorruptData, match="load the day again"):
            list(feed.chunks(None))
        # The first half of the day alone.
        (day,) = loading._days_of(catalog, None, None, None)[1]
        (rows,) = day.batches()
        for cut, told in ((slice(0, 450), "450 are there"), (slice(500, 900), "after sequence 449 comes 500")):
            piece = {name: array[cut] for name, array in rows.items()}
            transport.send(transport.encode("quotes", to_server("quotes", piece, "LOST.SIM")))
            deadline = time.monotonic() + 10
            while rows_held(server, "LOST.SIM")["quotes"] not in (450, 850) and time.monotonic() < deadline:
                time.sleep(0.02)
            time.sleep(0.2)
            with pytest.raises(CorruptData, match=told):
                list(feed.chunks(None))
        assert read_days(transport, "LOST.SIM")[0].state == LOADED
    server.load(catalog)
    assert hashes(server.ticks("LOST.SIM")) == hashes(catalog.ticks("LOST.SIM"))
