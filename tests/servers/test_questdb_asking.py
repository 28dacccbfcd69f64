"""Tables that somebody else made, and questions that the server answers itself."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
import polars as pl
import pytest

import cift
from cift.data.catalog import Catalog
from cift.data.joins import join_asof
from cift.data.questdb import feeds, loading
from cift.data.questdb.tables import LOADED, LOADING, read_days, to_server, write_day
from cift.data.times import iso
from cift.domain.instrument import Instrument
from cift.errors import (
    CatalogError,
    CorruptData,
    DataError,
    InvalidParameter,
    NoData,
    NotSupported,
    OffLotSize,
    UnknownName,
    UnknownSymbol,
)
from tests.data.market import DAY_NS, HOUR_NS, MONDAY_NS, QuickDisk, make, read, same
from tests.servers.questdb_server import QuestDBServer
from tests.servers.test_questdb import Crosses, catalog_of

SYMBOL = "BTCUSDT.BINANCE"


def make_table(questdb: QuestDBServer, name: str, columns: str, frame: pl.DataFrame, time_column: str) -> None:
    """A table as another program would have made it, filled by the line protocol."""
    from questdb import Sender

    with questdb.client().server.open() as transport:
        transport.ask(f'create table "{name}" ({columns}) timestamp("{time_column}") partition by day wal')
        with Sender.from_conf(f"http::addr=127.0.0.1:{questdb.http_port};") as sender:
            words = [column for column, kind in frame.schema.items() if kind == pl.Categorical]
            sender.dataframe(frame.to_pandas(), table_name=name, symbols=words, at=time_column)
        deadline = time.monotonic() + 20
        while transport.ask(f'select count() from "{name}"') != [(len(frame),)] and time.monotonic() < deadline:
            time.sleep(0.02)


def prints(rows: int = 5_000, step_us: int = 40_000_000) -> pl.DataFrame:
    """Prints in microseconds over some days, many of one time, under another program's names."""
    rng = np.random.default_rng(5)
    micros = 1_767_571_200_000_000 + np.cumsum(rng.integers(0, 2, rows) * rng.integers(0, 2 * step_us, rows))
    return pl.DataFrame(
        {
            "timestamp": pl.Series(micros).cast(pl.Datetime("us", "UTC")),
            "pair": pl.Series([SYMBOL] * rows, dtype=pl.Categorical),
            "side": pl.Series(rng.choice(["buy", "sell"], rows), dtype=pl.Categorical),
            "price": rng.integers(900_000, 910_000, rows) / 10,
            "qty": rng.integers(1, 5_000, rows) / 1_000,
        }
    )


COLUMNS = {"timestamp": "ts_event", "pair": "symbol", "qty": "size", "side": "aggressor"}
TYPES = '"timestamp" timestamp, pair symbol, side symbol, price double, qty double'


def test_a_table_of_somebody_elses_is_read_as_its_frame(questdb: QuestDBServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feeds, "SLICE_ROWS", 700)
    frame = prints()
    assert frame["timestamp"].n_unique() < len(frame)
    make_table(questdb, "ticks", TYPES, frame, "timestamp")
    server = questdb.client()
    view = server.ticks(SYMBOL, table="ticks", columns=COLUMNS)
    theirs = cift.trades(frame.rename(COLUMNS))
    assert view.notes == (
        f"tick size 0.1 and lot size 0.001 of {SYMBOL} inferred from the table; pass instrument= to state others",
    )
    (feed,), (other,) = view.feeds, theirs.feeds
    assert feed.instrument == other.instrument
    assert feed.content_hash == other.content_hash == view.feeds[0].content_hash
    for rows in (13, None):
        assert same(read(feed, rows), read(other, rows))
    assert feed.chunks(1)
    results = [cift.Backtest(ticks, Crosses).run() for ticks in (view, theirs)]
    assert results[0].digest == results[1].digest
    # A part of it has the numbers that its rows have in the whole.
    whole, start = read(feed, None), "2026-01-06T01:59:59.123456789"
    part = server.ticks(SYMBOL, start, table="ticks", columns=COLUMNS)
    kept = whole["ts_event"] >= part.start_ns
    assert 0 < kept.sum() < len(kept)
    assert same(read(part.feeds[0], 100), {name: array[kept] for name, array in whole.items()})
    session = server.ticks(SYMBOL, session=("09:00", "10:00", "UTC"), table="ticks", columns=COLUMNS)
    hours = read(session.feeds[0], None)["ts_event"] % (24 * HOUR_NS) // HOUR_NS
    assert set(hours.tolist()) == {9}
    with pytest.raises(OffLotSize):
        list(
            server.ticks(SYMBOL, table="ticks", columns=COLUMNS, instrument=Instrument(SYMBOL, "0.1", "0.01"))
            .feeds[0]
            .chunks(9)
        )


def test_what_a_table_lacks_is_told(questdb: QuestDBServer) -> None:
    make_table(questdb, "few", TYPES, prints(50), "timestamp")
    server = questdb.client()
    with pytest.raises(UnknownName, match="no table 'fwe'; did you mean few"):
        server.ticks(SYMBOL, table="fwe")
    with pytest.raises(DataError, match="pass columns="):
        server.ticks(SYMBOL, table="few")
    with pytest.raises(UnknownName, match="no column 'quantity'; did you mean qty"):
        server.ticks(SYMBOL, table="few", columns={"quantity": "size"})
    with pytest.raises(UnknownName, match="'amount', which is none of"):
        server.ticks(SYMBOL, table="few", columns={"qty": "amount"})
    with pytest.raises(InvalidParameter, match="'size' twice"):
        server.ticks(SYMBOL, table="few", columns={"qty": "size", "price": "size"})
    with pytest.raises(UnknownSymbol, match=f"did you mean {SYMBOL}"):
        server.ticks("BTCUSD.BINANCE", table="few", columns=COLUMNS)
    with pytest.raises(NoData, match="check symbol and dates"):
        server.ticks(SYMBOL, "2030-01-01", table="few", columns=COLUMNS)
    with pytest.raises(NotSupported, match="level L1, not L3"):
        server.ticks(SYMBOL, table="few", columns=COLUMNS, level="L3")
    with questdb.client().server.open() as transport:
        transport.ask("create table unordered (ts_event timestamp, symbol symbol, price double, size double)")
    with pytest.raises(NotSupported, match="which it lacks"):
        server.ticks(SYMBOL, table="unordered")


def test_a_table_with_quotes_and_one_with_orders_are_read(questdb: QuestDBServer, tmp_path: Any) -> None:
    catalog = catalog_of(tmp_path, "RAW.SIM", 800, gap_ns=HOUR_NS // 20)
    server = questdb.client()
    server.load(catalog)
    for schema, level, at in (("mbo", "L3", 0), ("quotes", "L1", 0), ("trades", "L1", 1)):
        (feed,) = server.ticks("RAW.SIM", table=schema).feeds
        other = catalog.ticks("RAW.SIM", level=level).feeds[at]
        if schema != "mbo":  # random orders do not pass the screen unchanged, quotes and prints do
            assert feed.content_hash == other.content_hash


@pytest.fixture(scope="module")
def asked(questdb: QuestDBServer, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, pl.DataFrame, pl.DataFrame]:
    """A server, and its trades and quotes of one symbol as frames."""
    folder = tmp_path_factory.mktemp("asked")
    catalog = catalog_of(folder, "ASK.SIM", 3_000, gap_ns=HOUR_NS // 60)
    catalog_of(tmp_path_factory.mktemp("beside"), "BESIDE.SIM", 500)
    server = questdb.client()
    server.load(catalog)
    frames = [pl.read_parquet(folder / schema / "**/*.parquet").sort("ts_event", "sequence") for schema in ("trades", "quotes")]
    return server, frames[0], frames[1]


def between(start: str, end: str) -> pl.Expr:
    """Rows from one time to before another, UTC."""
    times = [pl.lit(datetime.fromisoformat(text).replace(tzinfo=UTC)) for text in (start, end)]
    return pl.col("ts_event").is_between(*times, closed="left")


def test_stored_records_are_a_frame(asked: Any) -> None:
    server, trades, _ = asked
    frame = server.frame("trades", "ASK.SIM", "2026-01-05T03:00", "2026-01-06T12:30")
    expected = trades.filter(between("2026-01-05T03:00", "2026-01-06T12:30"))
    assert len(frame) == len(expected) > 100
    for name in ("ts_event", "ts_recv", "price", "size", "aggressor", "flags", "sequence", "venue_seq"):
        assert frame[name].to_list() == expected[name].to_list(), name
    assert server.frame("trades", "ASK.SIM", columns=["price", "ts_event"]).columns == ["price", "ts_event"]
    with pytest.raises(UnknownName, match="no column 'prices'; did you mean price"):
        server.frame("trades", "ASK.SIM", columns=["prices"])
    with pytest.raises(InvalidParameter, match="names none"):
        server.frame("trades", "ASK.SIM", columns=[])


@pytest.mark.parametrize("every", ["1m", "15m", "1h", "1d"])
def test_bars_are_those_of_polars(asked: Any, every: str) -> None:
    server, trades, _ = asked
    cut = trades.filter(between("2026-01-05T03:00", "2026-01-06T12:30"))
    expected = (
        cut.group_by_dynamic("ts_event", every=every)
        .agg(
            open=pl.col("price").first(),
            high=pl.col("price").max(),
            low=pl.col("price").min(),
            close=pl.col("price").last(),
            volume=pl.col("size").sum(),
            count=pl.len().cast(pl.Int64),
            vwap=(pl.col("price") * pl.col("size")).sum() / pl.col("size").sum(),
        )
        .rename({"ts_event": "ts_open"})
    )
    bars = server.ohlcv("ASK.SIM", "2026-01-05T03:00", "2026-01-06T12:30", every)
    assert bars.columns == ["ts_open", "ts_event", "open", "high", "low", "close", "volume", "count", "vwap"]
    assert (bars["ts_event"] - bars["ts_open"]).n_unique() == 1
    exact = ["ts_open", "open", "high", "low", "close", "count"]
    assert bars.select(exact).rows() == expected.select(exact).rows()
    for name in ("volume", "vwap"):
        assert np.allclose(bars[name], expected[name], rtol=1e-12)


def test_the_latest_records_are_the_last_ones(asked: Any) -> None:
    server, trades, quotes = asked
    for schema, frame in (("trades", trades), ("quotes", quotes)):
        last = server.latest("ASK.SIM", schema=schema)
        assert last["sequence"].to_list() == [frame["sequence"][-1]]
        assert last["ts_event"].to_list() == [frame["ts_event"][-1]]
    every = server.latest()
    assert "ASK.SIM" in every["symbol"].to_list()
    assert every["symbol"].is_unique().all()
    assert server.latest(["ASK.SIM", "ASK.SIM"]).height == 1
    with pytest.raises(UnknownSymbol, match="did you mean ASK"):
        server.latest("ASKK.SIM")


def test_trades_are_joined_with_the_quote_before_them(asked: Any) -> None:
    server, trades, quotes = asked
    joined = server.asof("ASK.SIM", "2026-01-05T02:00", "2026-01-05T20:00")
    right = quotes.select("ts_event", "bid_price", "bid_size", "ask_price", "ask_size", ts_quote="ts_event")
    expected = join_asof(trades, right).filter(between("2026-01-05T02:00", "2026-01-05T20:00"))
    assert len(joined) == len(expected) > 100
    for name in ("ts_event", "price", "size", "sequence", "bid_price", "ask_price", "bid_size", "ask_size", "ts_quote"):
        assert joined[name].to_physical().to_list() == expected[name].to_physical().to_list(), name


@pytest.mark.parametrize("by", ["ilp", "parquet"])
def test_trades_and_quotes_of_one_time_are_joined_as_by_join_asof(
    questdb: QuestDBServer, tmp_path: Any, monkeypatch: pytest.MonkeyPatch, by: str
) -> None:
    """Many of both in one nanosecond: a print knows none of its own, and of those before it the last."""
    monkeypatch.setitem(loading.BATCH_ROWS, by, 70)
    symbol = f"TIES{by}.SIM"
    catalog = catalog_of(tmp_path, symbol, 900, gap_ns=3)
    server = questdb.client()
    server.load(catalog, by=by)
    trades = catalog.sql("select * from trades order by ts_event, sequence")
    quotes = catalog.sql("select * from quotes order by ts_event, sequence")
    stamps = trades["ts_event"].to_physical()
    assert stamps.is_in(quotes["ts_event"].to_physical().implode()).sum() > 200
    right = quotes.select("ts_event", "bid_price", "bid_size", "ask_price", "ask_size", ts_quote="ts_event")
    for count in range(3):
        for start_ns in (stamps[0], stamps[300]):
            part = trades.filter(stamps >= start_ns)
            joined, expected = server.asof(symbol, iso(start_ns)), join_asof(part, right)
            for name in ("ts_event", "price", "size", "sequence", "bid_price", "ask_price", "bid_size", "ask_size", "ts_quote"):
                ours, theirs = (frame[name].to_physical().to_list() for frame in (joined, expected))
                assert ours == theirs, (name, count)
        server.load(catalog, by=by, resend=True)


def test_questions_see_the_rows_that_ticks_sees(questdb: QuestDBServer, tmp_path: Any) -> None:
    catalog = catalog_of(tmp_path, "SEEN.SIM", 900, gap_ns=HOUR_NS // 20)
    server = questdb.client()
    server.load(catalog)
    questions = {
        "frame": lambda **given: server.frame("trades", "SEEN.SIM", **given),
        "ohlcv": lambda **given: server.ohlcv("SEEN.SIM", every="1h", **given),
        "asof": lambda **given: server.asof("SEEN.SIM", **given),
        "latest": lambda: server.latest("SEEN.SIM", schema="trades"),
        "latest of all": lambda: server.latest(schema="trades").filter(symbol="SEEN.SIM"),
    }
    before = {name: question() for name, question in questions.items()}
    assert (
        before["frame"]["sequence"].to_list() == read(catalog.ticks("SEEN.SIM", level="L1").feeds[1], None)["sequence"].tolist()
    )

    # Rows of a day that nobody loaded are not seen, as ticks does not see them.
    more = make("trades", 50, 3, start_ns=MONDAY_NS + 9 * DAY_NS)
    more["sequence"] = np.arange(50)
    with server.server.open() as transport:
        transport.send(transport.encode("trades", to_server("trades", more, "SEEN.SIM")))
        until_rows(transport, "SEEN.SIM", 950)
        for name, question in questions.items():
            assert question().equals(before[name]), name
        assert server.frame("trades", "SEEN.SIM", "2026-01-14").is_empty()
        assert server.frame("trades", "SEEN.SIM", "2026-01-14", columns=["symbol", "price"]).columns == ["symbol", "price"]

        # A day of which a load was broken off is refused where it is asked about.
        record = next(day for day in read_days(transport, "SEEN.SIM") if day.schema == "trades")
        begun = replace(record, day_ns=MONDAY_NS + 9 * DAY_NS, rows=50, state=LOADING)
        write_day(transport, begun)
        until(lambda: begun in read_days(transport, "SEEN.SIM"))
        for name, question in questions.items():
            with pytest.raises(CatalogError, match="not loaded in full"):
                question()
            if not name.startswith("latest"):
                assert not question(end="2026-01-08").is_empty(), name
        write_day(transport, replace(begun, state=LOADED))
        until(lambda: begun not in read_days(transport, "SEEN.SIM"))
        for name, question in questions.items():
            assert not question().equals(before[name]), name

        # Rows that somebody added to a loaded day, or of it the last.
        extra = {column: array[-1:] + (1 if column in ("ts_event", "sequence") else 0) for column, array in more.items()}
        transport.send(transport.encode("trades", to_server("trades", extra, "SEEN.SIM")))
        until_rows(transport, "SEEN.SIM", 951)
    for question in questions.values():
        with pytest.raises(CorruptData, match="load the day again"):
            question()


def test_a_join_finds_the_quote_of_a_day_before(questdb: QuestDBServer, tmp_path: Any) -> None:
    catalog = Catalog(tmp_path, disk=QuickDisk())
    instrument = Instrument("GAP.SIM", "0.01", 1)
    catalog.write("quotes", "GAP.SIM", make("quotes", 300, start_ns=MONDAY_NS, gap_ns=HOUR_NS // 20), instrument)
    catalog.write("trades", "GAP.SIM", make("trades", 20, start_ns=MONDAY_NS + 5 * DAY_NS), instrument)
    server = questdb.client()
    server.load(catalog)
    joined = server.asof("GAP.SIM", "2026-01-10")
    last = server.frame("quotes", "GAP.SIM").tail(1)
    assert joined.height == 20
    assert joined["ts_quote"].unique().to_list() == last["ts_event"].to_list()
    with pytest.raises(UnknownSymbol, match=r"no mbo of GAP\.SIM, only quotes, trades"):
        server.frame("mbo", "GAP.SIM")


def until(is_so: Any) -> None:
    deadline = time.monotonic() + 10
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def until_rows(transport: Any, symbol: str, rows: int) -> None:
    until(lambda: transport.ask("select count() from trades where symbol = %s", (symbol,)) == [(rows,)])


def test_a_view_is_not_short_where_rows_of_a_day_are_gone(questdb: QuestDBServer, tmp_path: Any) -> None:
    catalog, symbol = Catalog(tmp_path, disk=QuickDisk()), "GONE.SIM"
    # Days of its own: whole partitions of the server are dropped.
    begin = MONDAY_NS + 700 * DAY_NS
    made = make("trades", 400, start_ns=begin, gap_ns=8 * DAY_NS // 400)
    catalog.write("trades", symbol, made, Instrument(symbol, tick_size="0.01", lot_size=1))
    server = questdb.client()
    server.load(catalog)
    days = catalog.days("trades", symbol)
    assert len(days) > 2
    noon = {"start": f"{days[1]}T12:00:00Z"}
    inside = {"start": f"{days[1]}T12:00:00Z", "end": f"{days[1]}T18:00:00Z"}
    session = {"session": ("09:30", "16:00", "UTC")}
    opened = {name: server.ticks(symbol, **asked) for name, asked in (("noon", noon), ("inside", inside), ("session", session))}
    for asked, view in zip((noon, inside, session), opened.values(), strict=True):
        assert same(read(view.feeds[0], None), read(catalog.ticks(symbol, **asked).feeds[0], None))
    with server.server.open() as transport:
        transport.ask(f"alter table trades drop partition list '{days[1]}'")
        rows = catalog.ls()["rows"][1]
        until_rows(transport, symbol, 400 - rows)
    for asked in ({}, noon, inside, session):
        with pytest.raises(CorruptData, match=f"of {symbol} on {days[1]} are not those that were loaded"):
            read(server.ticks(symbol, **asked).feeds[0], None)
    for view in opened.values():  # a view that was opened before, as a worker of a sweep has it
        with pytest.raises(CorruptData, match="are not those that were loaded"):
            read(view.feeds[0], None)
    assert read(server.ticks(symbol, start=days[2]).feeds[0], None)["ts_event"].size
