"""A server that is silent, busy or comes back in the middle: typed errors, no day that is half there and counts as whole."""

from __future__ import annotations

import http.server
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

import cift
from cift.data.questdb import feeds, loading
from cift.data.questdb.transport import OpenTransport
from cift.errors import CatalogError, ServerDown
from tests.data.market import HOUR_NS, read, same
from tests.servers.questdb_server import QuestDBServer
from tests.servers.test_questdb import Crosses, catalog_of
from tests.servers.test_questdb_faults import hashes, rows_held

ROWS = 2_000


def before_batch(monkeypatch: pytest.MonkeyPatch, by: str, number: int, act: Any) -> None:
    """Calls `act` before the batch of that number goes out."""
    count = iter(range(1, 1_000))
    monkeypatch.setitem(loading.BATCH_ROWS, by, 250)
    kind, name = (OpenTransport, "send") if by == "ilp" else (loading._Sender, "_import")
    true = getattr(kind, name)

    def acting(*given: Any) -> Any:
        if next(count) == number:
            act()
        return true(*given)

    monkeypatch.setattr(kind, name, acting)


@pytest.mark.parametrize("by", ["ilp", "parquet"])
@pytest.mark.parametrize("fault", ["silent", "killed"])
def test_a_load_that_was_broken_off_is_refused_and_completed(
    own_questdb: QuestDBServer, tmp_path: Any, monkeypatch: pytest.MonkeyPatch, by: str, fault: str
) -> None:
    symbol = f"{by}.{fault}"
    catalog = catalog_of(tmp_path, symbol, ROWS, gap_ns=HOUR_NS // ROWS)
    with monkeypatch.context() as patched:
        before_batch(patched, by, 11, own_questdb.freeze if fault == "silent" else own_questdb.kill)
        try:
            started = time.monotonic()
            with pytest.raises(ServerDown, match=r"load it again|did not answer within|cannot be reached or broke off"):
                own_questdb.client(timeout=1.0).load(catalog, by=by)
            assert time.monotonic() - started < 15
        finally:
            if fault == "silent":
                own_questdb.thaw()
            else:
                own_questdb.start()
    server = own_questdb.client()
    # Of three days the first is there in full, the second in part, and the third was not begun.
    loaded = dict(
        zip(*server.ls().filter(symbol=symbol).select("schema", "loaded").to_dict(as_series=False).values(), strict=True)
    )
    assert loaded == {"mbo": True, "quotes": False}
    assert hashes(server.ticks(symbol, level="L3")) == hashes(catalog.ticks(symbol, level="L3"))
    for ask in (
        lambda: server.ticks(symbol, level="L1"),
        lambda: server.frame("quotes", symbol),
        lambda: server.latest(symbol),
    ):
        with pytest.raises(CatalogError, match="not loaded in full"):
            ask()
    report = server.load(catalog, by=by)
    assert (report.days_there, report.rows_sent) == (1, 2 * ROWS)
    assert rows_held(server, symbol) == {"mbo": ROWS, "quotes": ROWS, "trades": ROWS}
    assert hashes(server.ticks(symbol, level="L1")) == hashes(catalog.ticks(symbol, level="L1"))


def test_a_server_that_restarts_between_two_slices_gives_the_same_rows_or_an_error(
    own_questdb: QuestDBServer, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feeds, "SLICE_ROWS", 150)
    catalog = catalog_of(tmp_path, "BACK.SIM", ROWS, gap_ns=HOUR_NS // ROWS)
    server = own_questdb.client()
    server.load(catalog)
    whole = read(catalog.ticks("BACK.SIM", level="L3").feeds[0], None)
    chunks = server.ticks("BACK.SIM", level="L3").feeds[0].chunks(50)
    taken = [next(chunks) for _ in range(5)]
    own_questdb.kill()
    own_questdb.start()
    error = None
    try:
        taken += list(chunks)
    except ServerDown as problem:
        error = problem
    rows = {name: np.concatenate([chunk.columns[name] for chunk in taken]) for name in taken[0].columns}
    count = len(rows["sequence"])
    assert same(rows, {name: array[:count] for name, array in whole.items() if name in rows})
    assert error is not None or count == ROWS


def test_a_run_over_a_server_that_falls_silent_ends_with_its_error(
    own_questdb: QuestDBServer, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feeds, "SLICE_ROWS", 150)
    catalog = catalog_of(tmp_path, "MUTE.SIM", ROWS, gap_ns=HOUR_NS // ROWS)
    own_questdb.client().load(catalog)
    view = own_questdb.client(timeout=0.5).ticks("MUTE.SIM", level="L1")
    hashes(view)
    export, count = OpenTransport.export, iter(range(1, 1_000))

    def freezing(self: OpenTransport, sql: str) -> Any:
        if next(count) == 6:
            own_questdb.freeze()
        return export(self, sql)

    monkeypatch.setattr(OpenTransport, "export", freezing)
    try:
        with pytest.raises(ServerDown, match=r"did not answer within 0\.5 s"):
            cift.Backtest(view, Crosses).run()
    finally:
        own_questdb.thaw()


def test_more_readers_than_the_server_serves_at_a_time_wait_for_their_turn(questdb: QuestDBServer, tmp_path: Any) -> None:
    catalog = catalog_of(tmp_path, "CROWDED.SIM", 20_000, gap_ns=HOUR_NS // 20_000)
    server = questdb.client()
    server.load(catalog)
    with ThreadPoolExecutor(12) as readers:
        frames = list(readers.map(lambda _: server.frame("mbo", "CROWDED.SIM"), range(36)))
    assert all(frame.equals(frames[0]) for frame in frames)


def test_a_server_that_is_busy_for_good_is_told() -> None:
    asked = []

    class Busy(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_error(429)

        def log_message(self, *_: Any) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Busy) as busy:
        threading.Thread(target=busy.serve_forever, daemon=True).start()
        try:
            with (
                cift.QuestDB(f"127.0.0.1:{busy.server_port}", timeout=0.5).server.open() as transport,
                pytest.raises(ServerDown, match=r"did not answer within 0\.5 s"),
            ):
                transport.export("select 1")
        finally:
            busy.shutdown()
    assert 5 < len(asked) < 100
