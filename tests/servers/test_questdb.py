from __future__ import annotations

import json
import pickle
import time
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import cift
from cift.cli import main
from cift.data import columns
from cift.data.catalog import Catalog
from cift.data.questdb import asking, feeds, tables
from cift.data.questdb.tables import FIRST_FIELDS, read_instruments
from cift.data.questdb.transport import OpenTransport
from cift.data.reading import GROUPS_AHEAD
from cift.data.selection import reopen, selection
from cift.domain.instrument import Instrument
from cift.domain.schemas import CHUNK_DTYPES, NO_TIME_NS, SCHEMAS
from cift.errors import CatalogError, InvalidParameter, NoData, NotSupported, UnknownSymbol
from tests.data.market import DAY_NS, HOUR_NS, MONDAY_NS, QuickDisk, make, read, same
from tests.servers.questdb_server import QuestDBServer


def catalog_of(folder: Any, symbol: str, rows: int = 3_000, **given: Any) -> Catalog:
    """Random records of all schemas over some days."""
    catalog = Catalog(folder, disk=QuickDisk())
    instrument = Instrument(symbol, tick_size="0.01", lot_size=1)
    for seed, schema in enumerate(("mbo", "quotes", "trades")):
        catalog.write(schema, symbol, make(schema, rows, seed, **given), instrument)
    return catalog


@pytest.mark.parametrize(("by", "slice_rows"), [("ilp", 197), ("parquet", 197), ("parquet", 262_144)])
def test_what_was_loaded_is_read_back_at_any_chunk_size(
    questdb: QuestDBServer, tmp_path: Any, monkeypatch: pytest.MonkeyPatch, by: str, slice_rows: int
) -> None:
    monkeypatch.setattr(feeds, "SLICE_ROWS", slice_rows)
    symbol = f"{by}{slice_rows}.SIM"
    catalog = catalog_of(tmp_path, symbol, 1_000, start_ns=MONDAY_NS + 23 * HOUR_NS, gap_ns=HOUR_NS // 20)
    server = questdb.client()
    report = server.load(catalog, symbol, by=by)
    assert report.rows == report.rows_sent == 3_000
    for level in ("L3", "L1"):
        ours, theirs = server.ticks(symbol, level=level), catalog.ticks(symbol, level=level)
        for feed, other in zip(ours.feeds, theirs.feeds, strict=True):
            assert feed.content_hash == other.content_hash
            for rows in (37, None):
                assert same(read(feed, rows), read(other, rows))


def test_rules_for_orders_come_back_and_may_be_told_later(questdb: QuestDBServer, tmp_path: Any) -> None:
    catalog = catalog_of(tmp_path, "RULES.SIM", 50)
    server = questdb.client()
    server.load(catalog, "RULES.SIM")
    told = Instrument(
        "RULES.SIM", "0.01", 1, price_increment={"2020-01-01": {0: "0.01", 100: "0.05"}}, size_increment=2, min_quantity=2,
        max_quantity=50, min_notional="7.5", calendar="XNYS", activation="2020-01-01T09:30Z", expiry="2030-01-18T21:00Z",
    )  # fmt: skip
    catalog.write_instruments([told])
    server.load(catalog, "RULES.SIM")
    assert server.instruments()["RULES.SIM"] == told


def test_a_table_of_instruments_of_an_earlier_release_is_read_and_gets_the_new_columns(
    own_questdb: QuestDBServer, tmp_path: Any
) -> None:
    server = own_questdb.client()
    with server.server.open() as transport:
        texts = ", ".join(f'"{name}" varchar' for name in FIRST_FIELDS)
        transport.ask(
            f"create table instruments (since timestamp, symbol symbol, {texts}) timestamp(since) "
            "partition by year wal dedup upsert keys(since, symbol)"
        )
        transport.ask(
            "insert into instruments (since, symbol, tick_size, lot_size, multiplier, currency, calendar) "
            "values (0, 'OLD.SIM', '0.5', '2', '1', 'USD', '24/7')"
        )
        deadline = time.monotonic() + 20
        while not read_instruments(transport) and time.monotonic() < deadline:
            time.sleep(0.1)
        assert read_instruments(transport) == {"OLD.SIM": Instrument("OLD.SIM", "0.5", 2)}
    catalog = catalog_of(tmp_path, "NEW.SIM", 50)
    catalog.write_instruments([Instrument("NEW.SIM", "0.01", 1, min_quantity=3)])
    server.load(catalog, "NEW.SIM")
    assert server.instruments() == {"OLD.SIM": Instrument("OLD.SIM", "0.5", 2), "NEW.SIM": catalog.instruments()["NEW.SIM"]}


def test_rows_of_one_time_keep_their_order(questdb: QuestDBServer, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feeds, "SLICE_ROWS", 40)
    catalog = catalog_of(tmp_path, "CROWD.SIM", 600, gap_ns=3)
    server = questdb.client()
    server.load(catalog)
    server.load(catalog, by="ilp", resend=True)
    for level in ("L3", "L1"):
        for feed, other in zip(
            server.ticks("CROWD.SIM", level=level).feeds, catalog.ticks("CROWD.SIM", level=level).feeds, strict=True
        ):
            assert np.array_equal(read(feed, 70)["sequence"], np.arange(600))
            assert feed.content_hash == other.content_hash


def test_a_few_slices_are_in_memory_at_a_time(questdb: QuestDBServer, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feeds, "SLICE_ROWS", 20)
    catalog = catalog_of(tmp_path, "LONG.SIM", 2_000, gap_ns=HOUR_NS // 200)
    server = questdb.client()
    server.load(catalog)
    asked: list[int] = []
    export = OpenTransport.export

    def counted(self: OpenTransport, sql: str) -> Any:
        table = export(self, sql)
        asked.append(table.num_rows)
        return table

    monkeypatch.setattr(OpenTransport, "export", counted)
    (feed,) = server.ticks("LONG.SIM", level="L3").feeds
    rows = 0
    for chunk in feed.chunks(10):
        rows += chunk.rows
        # The cuts of the day, the slice in hand, those that wait, the one that is being put beside them, and those in the lanes.
        assert sum(asked[1:]) <= rows + 20 * (1 + GROUPS_AHEAD + 1 + feeds.LANES + 1)
    assert rows == sum(asked[1:]) == 2_000
    assert asked[0] == len(asked) - 1 == 100


def test_a_view_is_cut_as_the_catalogs(questdb: QuestDBServer, tmp_path: Any) -> None:
    catalog = catalog_of(tmp_path, "CUT.SIM", 2_000, gap_ns=HOUR_NS // 10)
    server = questdb.client()
    server.load(catalog)
    asked: list[dict[str, Any]] = [
        {"start": "2026-01-06"},
        {"start": "2026-01-05T13:17:00.000000001", "end": "2026-01-07T01:00"},
        {"start": "2026-01-05", "session": ("09:30", "16:00", "America/New_York")},
        {"end": "2026-01-07"},
    ]
    for given in asked:
        for level in ("L3", "L1"):
            ours, theirs = (source.ticks("CUT.SIM", level=level, **given) for source in (server, catalog))
            assert (ours.start_ns, ours.end_ns, ours.level, ours.calendar) == (
                theirs.start_ns,
                theirs.end_ns,
                theirs.level,
                theirs.calendar,
            )
            for feed, other in zip(ours.feeds, theirs.feeds, strict=True):
                assert same(read(feed, 100), read(other, 100))
                assert feed.content_hash == other.content_hash
    session = ("09:30", "16:00", "America/New_York")
    ours, theirs = (source.ticks("CUT.SIM", level="L1", session=session) for source in (server, catalog))
    assert [feed.content_hash for feed in ours.feeds] == [feed.content_hash for feed in theirs.feeds]
    with pytest.raises(NotSupported, match="one session"):
        server.ticks("CUT.SIM", session=session)


def test_what_is_not_there_is_told(questdb: QuestDBServer, tmp_path: Any) -> None:
    catalog = catalog_of(tmp_path, "HERE.SIM", 100)
    server = questdb.client()
    server.load(catalog)
    with pytest.raises(UnknownSymbol, match=r"did you mean HERE\.SIM"):
        server.ticks("HERE.SIN")
    with pytest.raises(NoData, match="the server holds 1 days of it, from 2026-01-05"):
        server.ticks("HERE.SIM", "2026-02-01")
    with pytest.raises(NotSupported, match="level 'L2'"):
        server.ticks("HERE.SIM", level="L2")
    with pytest.raises(InvalidParameter, match="later than start"):
        server.ticks("HERE.SIM", "2026-01-05", "2026-01-04")
    with pytest.raises(InvalidParameter, match="table="):
        server.ticks("HERE.SIM", columns={"timestamp": "ts_event"})
    assert "HERE.SIM" in server.symbols()
    assert server.instruments()["HERE.SIM"] == catalog.instruments()["HERE.SIM"]
    held = server.ls().filter(symbol="HERE.SIM")
    assert held["rows"].to_list() == [100, 100, 100]
    assert held["loaded"].all()
    assert held["first"].to_list() == catalog.ls()["first"].to_list()


def test_a_description_opens_nothing_and_can_be_pickled(questdb: QuestDBServer, tmp_path: Any) -> None:
    nowhere = cift.QuestDB("questdb://me:secret@nowhere.invalid:1?pg=2")
    assert "secret" not in repr(nowhere) + repr(nowhere.server)
    assert pickle.loads(pickle.dumps(nowhere)).server == nowhere.server
    catalog = catalog_of(tmp_path, "PICKLE.SIM", 200)
    server = pickle.loads(pickle.dumps(questdb.client()))
    server.load(catalog)
    view = pickle.loads(pickle.dumps(server.ticks("PICKLE.SIM")))
    assert view.feeds[0].content_hash == catalog.ticks("PICKLE.SIM").feeds[0].content_hash


NO_ADDRESSES = (
    "", "http://h:1", "h:0", "h:99999", "h;x=1", "h:1/db", "h:1?pq=1", "h:1?pg=x", "a b", "h\n", "questdb://h;a=b:1", "h:1#x",
)  # fmt: skip


@pytest.mark.parametrize("address", NO_ADDRESSES)
def test_an_address_that_is_none_is_refused(address: str) -> None:
    with pytest.raises(InvalidParameter, match="no address"):
        cift.QuestDB(address)


class Crosses(cift.Strategy):
    """Buys and sells by turns, so that there are fills to compare."""

    seen: int = cift.state(0)

    def on_trade(self, trade: Any) -> None:
        self.seen += 1
        if self.seen % 50 == 0:
            self.target(100 if self.seen % 100 else -100)


def test_a_backtest_from_questdb_is_the_one_from_parquet(questdb: QuestDBServer) -> None:
    catalog = cift.demo_catalog()
    server = questdb.client()
    server.load(catalog, "DEMO.SIM", by="parquet")
    for level in ("L3", "L1"):
        results = [
            cift.Backtest(source.ticks("DEMO.SIM", "2026-01-05", level=level), Crosses, venue=cift.Venue(latency="250us")).run()
            for source in (catalog, server)
        ]
        assert len(results[0].fills) > 50
        assert results[0].digest == results[1].digest
        assert results[0].record.fingerprint == results[1].record.fingerprint


def test_a_backtest_of_real_records_is_the_one_from_parquet(questdb: QuestDBServer, real_data: Any, tmp_path: Any) -> None:
    from cift.data.importers import import_lobster

    catalog = Catalog(tmp_path)
    messages = real_data / "lobster/AAPL_2012-06-21_34200_37800_message_50.csv.zst"
    import_lobster(catalog, messages, symbol="AAPL.XNAS", date="2012-06-21")
    server = questdb.client()
    report = server.load(catalog, "AAPL.XNAS", by="ilp")
    assert report.rows_sent > 100_000
    views = [source.ticks("AAPL.XNAS") for source in (catalog, server)]
    assert views[0].feeds[0].content_hash == views[1].feeds[0].content_hash
    results = [cift.Backtest(view, Crosses).run() for view in views]
    assert len(results[0].fills) > 50
    assert results[0].digest == results[1].digest


def test_a_saved_run_is_read_from_its_server_again(questdb: QuestDBServer, tmp_path: Any) -> None:
    catalog = catalog_of(tmp_path, "SAVED.SIM", 300)
    server = questdb.client()
    server.load(catalog)
    for given in ({}, {"start": "2026-01-05T00:03", "end": "2026-01-05T00:04:30"}):
        view = server.ticks("SAVED.SIM", level="L1", **given)
        told = json.loads(json.dumps(selection(view)))
        assert told["catalog"] == questdb.url
        again, from_files = reopen(told), reopen(told, tmp_path)
        assert (again.start_ns, again.end_ns) == (view.start_ns, view.end_ns)
        hashes = [[feed.content_hash for feed in ticks.feeds] for ticks in (view, again, from_files)]
        assert hashes[0] == hashes[1] == hashes[2]


def test_a_day_of_other_rows_is_refused(questdb: QuestDBServer, tmp_path: Any) -> None:
    server = questdb.client()
    server.load(catalog_of(tmp_path / "a", "OTHER.SIM", 300))
    with pytest.raises(CatalogError, match="not those of the source"):
        server.load(catalog_of(tmp_path / "b", "OTHER.SIM", 301))
    changed = Catalog(tmp_path / "c")
    changed.write(
        "trades", "OTHER.SIM", make("trades", 10, start_ns=MONDAY_NS + 9 * DAY_NS), Instrument("OTHER.SIM", "0.005", 1)
    )
    with pytest.raises(CatalogError, match="instrument's life"):
        server.load(changed)


def test_frames_are_loaded_too(questdb: QuestDBServer, tmp_path: Any) -> None:
    catalog = catalog_of(tmp_path, "FRAME.SIM", 500, gap_ns=HOUR_NS // 5)
    import polars as pl

    frame = pl.read_parquet(tmp_path / "trades" / "**/*.parquet").sort("ts_event", "sequence")
    view = cift.trades(frame, instrument=catalog.instruments()["FRAME.SIM"])
    server = questdb.client()
    server.load(view)
    assert server.ticks("FRAME.SIM").feeds[0].content_hash == catalog.ticks("FRAME.SIM", level="L1").feeds[1].content_hash


def test_the_command_line_loads_a_catalog(
    questdb: QuestDBServer, tmp_path: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    catalog = catalog_of(tmp_path, "CLI.SIM", 400, gap_ns=HOUR_NS // 2)

    def call(*words: str) -> str:
        monkeypatch.setattr("sys.argv", ["cift", "data", "load", str(tmp_path), *words])
        with pytest.raises(SystemExit) as left:
            main()
        printed = capsys.readouterr()
        assert left.value.code == (2 if printed.err else 0), printed.err
        return printed.out + printed.err

    assert "rows of 3 days" in call("--symbol", "CLI.SIM", "--start", "2026-01-06", "--to", questdb.url)
    told = json.loads(call("--to", questdb.url, "--by", "ilp", "--json"))
    assert (told["rows"], told["way"], told["days_there"]) == (1_200, "ilp", 3)
    assert told["rows_sent"] < 1_200
    assert questdb.client().ticks("CLI.SIM").feeds[0].content_hash == catalog.ticks("CLI.SIM").feeds[0].content_hash
    assert "error: by 'post' is not known" in call("--to", questdb.url, "--by", "post")
    assert "did you mean CLI.SIM?" in call("--symbol", "CLI.SIN", "--to", questdb.url)
    assert "is no address of a QuestDB server" in call("--to", "http://x")
    assert "see that it runs" in call("--to", "questdb://127.0.0.1:1?pg=1", "--timeout", "1")


def test_bars_are_kept_apart_by_what_ended_them(questdb: QuestDBServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """At the level of tables: two kinds of bars of one symbol and day, with the same times and numbers."""
    few = {"ts_event": "int64", "open": "float64", "count": "int64", "sequence": "int64"}
    kinds = dict(CHUNK_DTYPES).get("bars", few)  # type: ignore[call-overload]
    if "bars" not in SCHEMAS:
        arrow = pa.schema(
            [
                pa.field("ts_event", pa.timestamp("ns", tz="UTC"), nullable=False),
                pa.field("open", pa.float64(), nullable=False),
                pa.field("count", pa.int64()),
                pa.field("sequence", pa.int64(), nullable=False),
            ]
        )
        arrow_schema, to_arrow = tables.arrow_schema, tables.to_arrow
        monkeypatch.setattr(tables, "SCHEMAS", (*SCHEMAS, "bars"))
        monkeypatch.setattr(tables, "check_schema", lambda name: name)
        monkeypatch.setattr(asking, "check_schema", lambda name: name)
        monkeypatch.setattr(tables, "arrow_schema", lambda name: arrow if name == "bars" else arrow_schema(name))
        monkeypatch.setitem(columns.CHUNK_DTYPE_OF, "open", "float64")
        monkeypatch.setitem(columns.CHUNK_DTYPE_OF, "count", "int64")

        def bars_to_arrow(schema: Any, raw: Any) -> Any:
            if schema != "bars":
                return to_arrow(schema, raw)
            missing = raw["count"] == NO_TIME_NS
            return pa.table(
                [pa.array(raw[f.name], mask=missing if f.nullable else None).cast(f.type) for f in arrow], schema=arrow
            )

        monkeypatch.setattr(tables, "to_arrow", bars_to_arrow)
    kind: Any = "bars"
    days = {}
    with questdb.client().server.open() as transport:
        tables.make_tables(transport)
        for number, spec in enumerate(("1m", "tick-500", "5m'; drop table bars; --")):
            raw = {
                name: np.arange(40).astype(dtype) + (MONDAY_NS if name == "ts_event" else 0) for name, dtype in kinds.items()
            }
            raw["open"] += number
            raw["count"][number:] = NO_TIME_NS if number < 2 else 7
            record = tables.DayRecord("BAR.SIM", kind, MONDAY_NS, 40, MONDAY_NS, MONDAY_NS + 39, "", tables.LOADED, spec)
            for _ in range(2):
                transport.send(transport.encode("bars", tables.to_server(kind, raw, "BAR.SIM", spec)))
            tables.write_day(transport, record)
            deadline = time.monotonic() + 10
            while tables.held_rows(transport, record) != (40, 0, 39) or record not in tables.read_days(transport, "BAR.SIM"):
                assert time.monotonic() < deadline
                time.sleep(0.02)
            days[spec] = raw
    for spec, raw in days.items():
        frame = questdb.client().frame("bars", "BAR.SIM", spec=spec, columns=["spec", "open", "count", "sequence"])
        assert frame["spec"].unique().to_list() == [spec]
        assert frame["open"].to_list() == raw["open"].tolist()
        assert frame["count"].fill_null(NO_TIME_NS).to_list() == raw["count"].tolist()
    server = questdb.client()
    with pytest.raises(InvalidParameter, match="spec= says which bars"):
        server.frame("bars", "BAR.SIM")
    with pytest.raises(InvalidParameter, match="have none"):
        server.frame("trades", "BAR.SIM", spec="1m")
    with pytest.raises(UnknownSymbol, match=r"no bars/2m of BAR\.SIM, only bars/1m"):
        server.frame("bars", "BAR.SIM", spec="2m")
    with pytest.raises(NotSupported, match="take the last row"):
        server.latest("BAR.SIM", schema="bars")
