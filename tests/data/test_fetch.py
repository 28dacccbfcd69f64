"""Fetching from a public archive: a loopback copy of it, and everything that may go wrong on the way."""

from __future__ import annotations

import hashlib
from pathlib import Path

import polars as pl
import pytest

from cift.data.catalog import Catalog
from cift.data.download import Patience, download
from cift.data.fetch import fetch_binance
from cift.errors import CorruptData, DataError, InvalidParameter, NoData, ServerDown, ServerError
from tests.data.archive import Archive, serving, zipped
from tests.data.market import MONDAY_NS, QuickDisk

MS = MONDAY_NS // 10**6
DAY = "2026-01-05"
BTC = "BTCUSDT.BINANCE"
TRADES = "".join(
    f"{n},6543{n % 7}.25,0.{n % 9 + 1}5,1.0,{MS + 10 * n}000,{('True', 'False')[n % 2]},True\n" for n in range(3_000)
)
SPAN = 60_000
KLINES = "".join(
    f"{MS + SPAN * n},100,101,99,100.5,{n}.5,{MS + SPAN * n + 59_999},{100 * n + 50},{n},1,2,0\n" for n in range(1_440)
)
BOOK = (
    "update_id,best_bid_price,best_bid_qty,best_ask_price,best_ask_qty,transaction_time,event_time\n"
    f"7,100.1,2.5,100.2,3,{MS},{MS + 4}\n9,100.1,2,100.2,3,{MS + 5},{MS + 9}\n"
)
AGG = (
    "agg_trade_id,price,quantity,first_trade_id,last_trade_id,transact_time,is_buyer_maker\n"
    f"5,9640.7,3,10,12,{MS},true\n6,9640.8,1,13,13,{MS + 7},false\n"
)


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("CIFT_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def archive():
    with serving() as archive:
        yield archive


class Waits(list):
    """Notes how long was waited, and does not."""

    def patience(self, timeout_s: float = 5.0, attempts: int = 5) -> Patience:
        return Patience(timeout_s, attempts, 1.0, self.append)


@pytest.fixture
def waits() -> Waits:
    return Waits()


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    return Catalog(tmp_path / "catalog", disk=QuickDisk())


def path_of(name: str, kind: str = "trades", market: str = "spot", symbol: str = "BTCUSDT", interval: str = "") -> str:
    return f"/data/{market}/daily/{kind}/{symbol}/{interval}{name}"


def put_trades(archive: Archive, day: str = DAY, text: str = TRADES, checksum: str | None = None) -> str:
    name = f"BTCUSDT-trades-{day}"
    archive.put(path_of(f"{name}.zip"), zipped(f"{name}.csv", text), checksum)
    return path_of(f"{name}.zip")


def rows(catalog: Catalog, schema: str) -> pl.DataFrame:
    return pl.scan_parquet(catalog.path / schema).sort("ts_event", "sequence").collect()


def left_over(tmp_path: Path) -> list[str]:
    return sorted(path.name for path in (tmp_path / "cache").rglob("*") if path.is_file() and path.suffix != ".lock")


# ---------------------------------------------------------------------- what comes


def test_a_day_of_trades(archive, waits, catalog, tmp_path):
    put_trades(archive)
    (report,) = fetch_binance(catalog, "BTCUSDT", DAY, base_url=archive.url, patience=waits.patience())
    frame = rows(catalog, "trades").with_columns(pl.col("aggressor").cast(pl.String))
    assert (report.symbol, report.rows_written) == (BTC, 3_000)
    assert frame.select("price", "size", "aggressor", "trade_id").head(2).rows() == [
        (65430.25, 0.15, "sell", None),
        (65431.25, 0.25, "buy", 1),
    ]
    assert (frame["ts_event"].to_physical() - MONDAY_NS).to_list()[:3] == [0, 10**7, 2 * 10**7]
    assert left_over(tmp_path) == []
    assert waits == []


def test_microseconds_and_milliseconds_are_told_apart(archive, waits, catalog):
    put_trades(archive, "2024-08-08", "7,61000.01,0.55,33550,1723075200123,True,True\n")
    fetch_binance(catalog, "BTCUSDT", "2024-08-08", base_url=archive.url, patience=waits.patience())
    put_trades(archive)
    fetch_binance(catalog, "BTCUSDT", DAY, base_url=archive.url, patience=waits.patience())
    assert catalog.ls()["date"].cast(pl.String).to_list() == ["2024-08-08", DAY]


def test_klines_are_bars(archive, waits, catalog):
    archive.put(path_of(f"BTCUSDT-1m-{DAY}.zip", "klines", interval="1m/"), zipped(f"BTCUSDT-1m-{DAY}.csv", KLINES))
    (report,) = fetch_binance(catalog, "BTCUSDT", DAY, kind="klines", base_url=archive.url, patience=waits.patience())
    bars = catalog.bars(BTC, "1m")
    assert report.rows_written == bars.height == 1_440
    assert bars["count"].to_list() == list(range(1_440))
    assert bars["volume"].to_list() == [n + 0.5 for n in range(1_440)]
    assert (bars["ts_event"] - bars["ts_open"]).dt.total_seconds().unique().to_list() == [60]
    assert bars["ts_open"].to_physical()[0] == MONDAY_NS
    assert "klines of 1m" in report.notes


@pytest.mark.parametrize("days", [(0, 1), (1, 0)])
def test_klines_of_days_do_not_take_each_others(archive, waits, catalog, days):
    for day in days:
        date = f"2026-01-0{5 + day}"
        text = ""
        for hour in range(24 * day, 24 * day + 24):
            ms = MS + 3_600_000 * hour
            text += f"{ms},100,100,100,100,{hour + 1},{ms + 3_599_999},{100 * (hour + 1)},1,1,2,0\n"
        archive.put(path_of(f"BTCUSDT-1h-{date}.zip", "klines", interval="1h/"), zipped(f"BTCUSDT-1h-{date}.csv", text))
        given = {"kind": "klines", "interval": "1h", "base_url": archive.url, "patience": waits.patience()}
        (report,) = fetch_binance(catalog, "BTCUSDT", date, **given)
        assert report.rows_written == 24
    assert catalog.bars(BTC, "1h")["volume"].to_list() == list(range(1, 49))


def test_best_quotes_and_aggregated_trades_of_futures(archive, waits, catalog):
    archive.put(
        path_of(f"BTCUSDT-bookTicker-{DAY}.zip", "bookTicker", "futures/um"), zipped(f"BTCUSDT-bookTicker-{DAY}.csv", BOOK)
    )
    name = f"BTCUSD_PERP-aggTrades-{DAY}"
    archive.put(path_of(f"{name}.zip", "aggTrades", "futures/cm", "BTCUSD_PERP"), zipped(f"{name}.csv", AGG))
    given = {"base_url": archive.url, "patience": waits.patience()}
    fetch_binance(catalog, "BTCUSDT", DAY, kind="bookTicker", market="um", **given)
    (report,) = fetch_binance(catalog, "BTCUSD_PERP", DAY, kind="aggTrades", market="cm", **given)
    assert catalog.symbols() == ["BTCUSDT.BINANCE-FUTURES", "BTCUSD_PERP.BINANCE-DELIVERY"]
    assert rows(catalog, "quotes").select("bid_size", "ask_price", "venue_seq").rows() == [(2.5, 100.2, 7), (2, 100.2, 9)]
    found = rows(catalog, "trades").select("size", pl.col("aggressor").cast(pl.String), "trade_id").rows()
    assert found == [(3, "sell", 5), (1, "buy", 6)]
    assert report.notes[0].startswith("sizes are contracts")


def test_several_days_and_files_that_stay(archive, waits, catalog, tmp_path):
    for day, shift in ((DAY, 0), ("2026-01-06", 86_400_000)):
        put_trades(archive, day, f"1,100.5,1,1,{MS + shift},True,True\n")
    given = {"base_url": archive.url, "patience": waits.patience(), "keep": tmp_path / "kept"}
    reports = fetch_binance(catalog, "BTCUSDT", DAY, "2026-01-07", **given)
    assert [report.rows_written for report in reports] == [1, 1]
    assert len(list((tmp_path / "kept").rglob("*.zip"))) == 2
    archive.asked.clear()
    fetch_binance(catalog, "BTCUSDT", DAY, **given)
    assert [path.endswith(".CHECKSUM") for path, _ in archive.asked] == [True]


def test_the_address_may_come_from_the_environment(archive, waits, catalog, monkeypatch):
    put_trades(archive)
    monkeypatch.setenv("CIFT_BINANCE_URL", archive.url + "/")
    assert fetch_binance(catalog, "BTCUSDT", DAY, patience=waits.patience())[0].rows_written == 3_000


# ---------------------------------------------------------------------- what goes wrong


def test_no_such_day_says_what_may_be_wrong(archive, waits, catalog):
    with pytest.raises(NoData, match=r"404\); check that BTCUSDT was traded that day on the market 'spot'.*published"):
        fetch_binance(catalog, "BTCUSDT", DAY, base_url=archive.url, patience=waits.patience())
    assert waits == []
    with pytest.raises(NoData, match="bookTicker is not there for every day"):
        fetch_binance(catalog, "BTCUSDT", DAY, kind="bookTicker", market="um", base_url=archive.url, patience=waits.patience())
    assert catalog.symbols() == []


@pytest.mark.parametrize("status", [500, 503, 429])
def test_a_server_in_trouble_is_asked_again_with_longer_pauses(archive, waits, catalog, status):
    path = put_trades(archive)
    archive.faults[path] = [status, status]
    archive.faults[f"{path}.CHECKSUM"] = [status]
    assert fetch_binance(catalog, "BTCUSDT", DAY, base_url=archive.url, patience=waits.patience())[0].rows_written == 3_000
    assert waits == [1, 1, 2]


def test_a_server_that_stays_in_trouble_is_a_typed_error(archive, waits, catalog):
    path = put_trades(archive)
    archive.faults[path] = [500] * 9
    with pytest.raises(ServerDown, match=r"answered 500 .*5 times; check the network"):
        fetch_binance(catalog, "BTCUSDT", DAY, base_url=archive.url, patience=waits.patience())
    assert waits == [1, 2, 4, 8]
    assert catalog.symbols() == []


def test_a_refusal_is_not_asked_again(archive, waits, catalog):
    archive.faults[f"{put_trades(archive)}.CHECKSUM"] = [451]
    with pytest.raises(ServerError, match="is refused: 451"):
        fetch_binance(catalog, "BTCUSDT", DAY, base_url=archive.url, patience=waits.patience())
    assert waits == []


def test_nobody_there(waits, catalog):
    with serving() as gone:
        pass
    with pytest.raises(ServerDown, match=r"no answer .*refused"):
        fetch_binance(catalog, "BTCUSDT", DAY, base_url=gone.url, patience=waits.patience(attempts=2))


@pytest.mark.parametrize("ranges", [True, False])
def test_a_connection_that_breaks_is_taken_up_where_it_ended(archive, waits, catalog, ranges):
    path = put_trades(archive)
    size = len(archive.files[path])
    archive.ranges = ranges
    archive.faults[path] = [("cut", 1_000), ("cut", size // 2)]
    assert fetch_binance(catalog, "BTCUSDT", DAY, base_url=archive.url, patience=waits.patience())[0].rows_written == 3_000
    asked = [wanted for name, wanted in archive.asked if name == path]
    assert asked[:2] == ["", "bytes=1000-"]
    assert len(asked) == 3


def test_another_piece_than_was_asked_for_is_not_taken(archive, waits, catalog):
    path = put_trades(archive)
    archive.faults[path] = [("cut", 1_000), ("shift", 10), None]
    fetch_binance(catalog, "BTCUSDT", DAY, base_url=archive.url, patience=waits.patience())
    assert [wanted for name, wanted in archive.asked if name == path] == ["", "bytes=1000-", "bytes=1000-"]
    assert rows(catalog, "trades").height == 3_000


def test_a_server_says_how_long_to_wait(archive, waits, catalog):
    archive.faults[put_trades(archive)] = [("wait", 7), ("wait", 3_600), ("wait", "Mon, 05 Jan 2026 00:00:00 GMT")]
    fetch_binance(catalog, "BTCUSDT", DAY, base_url=archive.url, patience=waits.patience())
    assert waits == [7, 60, 4]


def test_the_next_call_goes_on_too(archive, waits, catalog, tmp_path):
    path = put_trades(archive)
    archive.faults[path] = [("cut", 1_000)]
    with pytest.raises(ServerDown, match="broke off after 1000 of"):
        fetch_binance(catalog, "BTCUSDT", DAY, base_url=archive.url, patience=waits.patience(attempts=1))
    assert left_over(tmp_path) == [f"BTCUSDT-trades-{DAY}.zip.part"]
    fetch_binance(catalog, "BTCUSDT", DAY, base_url=archive.url, patience=waits.patience(attempts=1))
    assert archive.asked[-1] == (path, "bytes=1000-")
    assert rows(catalog, "trades").height == 3_000
    assert left_over(tmp_path) == []


@pytest.mark.parametrize("size", [10, 10_000_000])
def test_what_lay_there_may_be_of_another_file(archive, waits, catalog, tmp_path, size):
    """Left by an earlier call, before the archive changed the file: the checksum tells, and all is fetched anew."""
    path = put_trades(archive)
    part = tmp_path / "cache" / "binance" / "spot" / f"BTCUSDT-trades-{DAY}.zip.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(b"x" * size)
    fetch_binance(catalog, "BTCUSDT", DAY, base_url=archive.url, patience=waits.patience())
    assert rows(catalog, "trades").height == 3_000
    assert [wanted for name, wanted in archive.asked if name == path] == [f"bytes={size}-", ""]


def test_a_wrong_checksum_keeps_nothing(archive, waits, catalog, tmp_path):
    put_trades(archive, checksum="0" * 64)
    with pytest.raises(CorruptData, match=r"another checksum than the server states, 000.*nothing of it was kept"):
        fetch_binance(catalog, "BTCUSDT", DAY, base_url=archive.url, patience=waits.patience())
    assert left_over(tmp_path) == []
    assert catalog.symbols() == []


@pytest.mark.parametrize(
    "said", [b"<html>welcome</html>", b"\xff" * 64, b"a" * 64 + b"  ../../BTCUSDT.zip", b"0" * 100_000, b""]
)
def test_a_checksum_that_is_none(archive, waits, catalog, said):
    path = put_trades(archive)
    archive.files[f"{path}.CHECKSUM"] = said
    with pytest.raises(CorruptData, match="CHECKSUM"):
        fetch_binance(catalog, "BTCUSDT", DAY, base_url=archive.url, patience=waits.patience())
    assert path not in [name for name, _ in archive.asked]


def test_a_server_that_trickles_is_given_up(archive, waits, catalog):
    path = put_trades(archive)
    archive.faults[path] = [("drip", 0.01)] * 2
    with pytest.raises(ServerDown, match=r"bytes came in 0\.2 s, 2 times"):
        fetch_binance(catalog, "BTCUSDT", DAY, base_url=archive.url, patience=waits.patience(0.2, 2))


def test_a_server_that_hangs_is_given_up(archive, waits, catalog):
    archive.faults[put_trades(archive)] = [("drip", 2.0)]
    with pytest.raises(ServerDown, match="timed out"):
        fetch_binance(catalog, "BTCUSDT", DAY, base_url=archive.url, patience=waits.patience(0.2, 1))


def test_a_file_without_end_is_cut(archive, waits, tmp_path):
    archive.put("/x", b"0" * 100_000)
    with pytest.raises(CorruptData, match="larger than 1000 bytes"):
        download(f"{archive.url}/x", tmp_path / "x", "0" * 64, waits.patience(), bytes_max=1_000)
    assert list(tmp_path.glob("x*")) == []


NAME = f"BTCUSDT-trades-{DAY}.csv"


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"not a zip", "is no .zip, whatever its checksum says"),
        (zipped("../../evil.csv", TRADES), r"holds '\.\./\.\./evil\.csv'; only BTCUSDT-trades"),
        (zipped("/etc/passwd", TRADES), "holds '/etc/passwd'"),
        (zipped(NAME, TRADES, ("other.csv", "1")), "holds .*'other.csv'; only"),
        (zipped(NAME, "0" * 40_000_000), "unpacks from .* to 40,000,000 bytes, which no table does"),
    ],
)
def test_an_archive_of_something_else_is_refused(archive, waits, catalog, tmp_path, content, what):
    archive.put(path_of(f"BTCUSDT-trades-{DAY}.zip"), content)
    with pytest.raises(CorruptData, match=what):
        fetch_binance(catalog, "BTCUSDT", DAY, base_url=archive.url, patience=waits.patience())
    assert left_over(tmp_path) == []
    assert catalog.symbols() == []
    assert not (tmp_path / "evil.csv").exists()


@pytest.mark.parametrize(
    ("text", "error", "what"),
    [
        ("", NoData, "is empty"),
        ("id,price,qty,quote_qty,time,is_buyer_maker\n", NoData, "holds no rows"),
        ("id,price,when\n1,2,3\n", DataError, "has the columns id, price, when; trades, aggTrades"),
        (
            f"1,100.5,1,1,{MS + 86_400_000},True,True\n",
            DataError,
            "its first time is of 2026-01-06, and its name says 2026-01-05",
        ),
        ("1,100.5,1,1,9999999999999999999,True,True\n", DataError, "CSV conversion error to int64"),
        ("1,100.5,1,1,soon,True,True\n", DataError, "'soon'"),
        (f"1,100.5,1,1,{MS},maybe,True\n", DataError, "'maybe'|no trade"),
        (f"1,100.5,1,1,{MS},True,True\n2,100.5\n", DataError, "Expected 7 columns, got 2"),
    ],
)
def test_a_table_of_something_else_is_refused(archive, waits, catalog, text, error, what):
    put_trades(archive, text=text)
    with pytest.raises(error, match=what):
        fetch_binance(catalog, "BTCUSDT", DAY, base_url=archive.url, patience=waits.patience())
    assert catalog.symbols() == []


@pytest.mark.parametrize(
    ("given", "what"),
    [
        ({"symbol": "../../etc"}, "is none of Binance's"),
        ({"symbol": "btcusdt"}, "write it as BTCUSDT"),
        ({"symbol": "BTCUSDT.BINANCE"}, "without a venue"),
        ({"start": "2026-01-05T10:00"}, "must be days"),
        ({"start": "yesterday"}, "start 'yesterday' is not a date"),
        ({"end": DAY}, "the end after the start"),
        ({"kind": "books"}, "kind must be one of trades, aggTrades"),
        ({"kind": "bookTicker"}, "of futures only"),
        ({"market": "um/../.."}, "market must be one of spot, um, cm"),
        ({"kind": "klines", "interval": "1mo"}, "interval must be one of 1s"),
        ({"base_url": "file:///etc/"}, "must begin with https"),
        ({"base_url": "http://a b/"}, "no address of the web"),
    ],
)
def test_what_is_no_name_is_not_asked_for(waits, catalog, given, what):
    given = {
        "symbol": "BTCUSDT",
        "start": DAY,
        "base_url": "http://127.0.0.1:9/",
        "patience": waits.patience(attempts=1),
        **given,
    }
    with pytest.raises(InvalidParameter, match=what):
        fetch_binance(catalog, **given)


def test_the_checksum_is_of_what_was_written(archive, waits, tmp_path):
    content = bytes(range(256)) * 1_000
    archive.put("/x", content)
    archive.faults["/x"] = [("cut", 1), ("cut", 70_000), 503, ("cut", 100_000)]
    download(f"{archive.url}/x", tmp_path / "x", hashlib.sha256(content).hexdigest(), waits.patience(attempts=9))
    assert (tmp_path / "x").read_bytes() == content
    assert waits == [1, 2, 4, 8]
