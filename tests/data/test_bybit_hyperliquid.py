"""Recordings of Bybit and Hyperliquid: what each message becomes."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from cift.data.catalog import Catalog
from cift.data.importers import import_bybit, import_hyperliquid
from cift.domain.schemas import OUT_OF_SIGHT, SNAPSHOT, SUSPECT
from cift.errors import DataError, NoData, TimeOrder
from tests.data.depth import MONDAY_MS, books, line, stored
from tests.data.market import MONDAY_NS


def book(kind: str, number: int, bids: dict[str, str], asks: dict[str, str], *, ms: int = 0, **others: Any) -> str:
    data = {
        "s": others.pop("symbol", "XRPUSDT"),
        "b": list(bids.items()),
        "a": list(asks.items()),
        "u": number,
        "seq": number * 7,
    }
    message = {"topic": f"orderbook.{others.pop('depth', 500)}.XRPUSDT", "type": kind, "ts": MONDAY_MS + ms + 3, "data": data}
    return json.dumps(message | {"cts": MONDAY_MS + ms} | others) + "\n"


FIRST = book("snapshot", 10, {"1.95": "6", "1.94": "2"}, {"1.96": "7"})
TRADES = {"topic": "publicTrade.XRPUSDT", "type": "snapshot", "ts": MONDAY_MS + 9, "data": []}
TRADES["data"] = [
    {"T": MONDAY_MS + 5, "s": "XRPUSDT", "S": "Buy", "v": "3", "p": "1.96", "i": "a-b"},
    {"T": MONDAY_MS + 6, "s": "XRPUSDT", "S": "Sell", "v": "4", "p": "1.95", "i": "c-d"},
]


def bybit(folder: Path, *texts: str, **options: Any) -> Any:
    path = folder / "x.data"
    path.write_text("".join(texts))
    catalog = Catalog(folder / "catalog")
    return catalog, import_bybit(catalog, path, **options)


def ms_of(frame: pl.DataFrame) -> list[float]:
    return ((frame["ts_event"].to_physical() - MONDAY_NS) / 1e6).to_list()


def test_bybits_book_begins_with_a_snapshot_and_follows_its_changes(tmp_path):
    catalog, report = bybit(
        tmp_path,
        book("delta", 9, {"1.9": "1"}, {}),
        FIRST,
        book("delta", 11, {"1.95": "0"}, {"1.96": "5"}, ms=100),
        book("delta", 11, {"1.95": "3"}, {}, ms=101),
        json.dumps({"op": "subscribe"}) + "\n",
        book("delta", 13, {"1.93": "1"}, {}, ms=200),
        book("snapshot", 1, {"1.9": "1"}, {}, ms=300),
        book("delta", 2, {}, {"2": "2"}, ms=400),
    )
    assert (report.symbol, report.rows_read) == ("XRPUSDT.BYBIT", 8)
    names = ("snapshots", "gaps", "old_events", "before_snapshot", "other_messages")
    assert [report.counts[name] for name in names] == [2, 1, 1, 1, 1]
    found = [(number, flags & (SNAPSHOT | SUSPECT), bids, asks) for number, flags, bids, asks in books(stored(catalog))]
    assert found == [
        (10, SNAPSHOT, {1.95: 6, 1.94: 2}, {1.96: 7}),
        (11, 0, {1.94: 2}, {1.96: 5}),
        (13, SUSPECT, {1.94: 2, 1.93: 1}, {1.96: 5}),
        (1, SNAPSHOT, {1.9: 1}, {}),
        (2, 0, {1.9: 1}, {2: 2}),
    ]
    levels = stored(catalog)
    assert sorted(set(ms_of(levels))) == [0, 100, 200, 300, 400], "the time of the matching engine"
    assert levels["ts_recv"].is_null().all()


def test_bybits_trades_have_the_side_of_the_taker(tmp_path):
    catalog, _ = bybit(tmp_path, line(TRADES, 7))
    trades = stored(catalog, "trades")
    assert trades.select(pl.col("aggressor").cast(pl.String), "price", "size").rows() == [("buy", 1.96, 3), ("sell", 1.95, 4)]
    assert ms_of(trades) == [5, 6]
    assert trades["trade_id"].is_null().all(), "its ids are texts"
    assert trades["ts_recv"].null_count() == 0


def test_without_the_engines_time_that_of_the_message_counts(tmp_path):
    catalog, _ = bybit(tmp_path, FIRST.replace(f', "cts": {MONDAY_MS}', ""))
    assert set(ms_of(stored(catalog))) == {3}


def test_one_depth_of_bybit_is_kept(tmp_path):
    other = book("snapshot", 99, {"1.0": "1"}, {}, depth=50)
    catalog, report = bybit(tmp_path, FIRST, other, book("delta", 11, {"1.95": "1"}, {}))
    assert report.counts["other_depths"] == 1
    assert any("other depths than 500" in note for note in report.notes)
    assert "gaps" not in report.counts
    assert len(books(stored(catalog))) == 2


def test_a_history_file_of_bybit_is_a_zip_of_one_file(tmp_path):
    with zipfile.ZipFile(tmp_path / "x.data.zip", "w") as archive:
        archive.writestr("x.data", FIRST)
    report = import_bybit(Catalog(tmp_path / "catalog"), [tmp_path / "x.data.zip"], symbol="XRPUSDT.BYBIT-SPOT")
    assert (report.symbol, report.rows_written) == ("XRPUSDT.BYBIT-SPOT", 4)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (FIRST.replace("snapshot", "picture"), "row 2: Invalid enum value 'picture'"),
        (FIRST.replace('"u": 10', '"u": -1'), "row 2: Expected `int` >= 0"),
        (FIRST.replace('"6"', '"six"'), "row 2: Expected `float`, got `str`"),
        (FIRST.replace('"u": 10', '"u": 10, "u": 11'), "row 2: the key 'u' stands there twice"),
        (book("delta", 11, {}, {}, symbol="ETHUSDT"), "row 2: a message of ETHUSDT after some of XRPUSDT"),
        (book("delta", 11, {"1.95": "1"}, {}, ms=-90_000), "row 2: the time of the venue goes back"),
        ("[" * 100_000 + "\n", "row 2: neither a time of receipt"),
        ('{"topic":' * 100_000 + "\n", "row 2: "),
    ],
)
def test_a_bad_line_of_bybit_is_an_error_with_its_row(tmp_path, text, told):
    with pytest.raises(DataError, match=f"x.data, {told}"):
        bybit(tmp_path, FIRST, text)
    assert Catalog(tmp_path / "catalog").symbols() == []


def picture(bids: dict[str, str], asks: dict[str, str], *, ms: int = 0, coin: str = "BTC") -> str:
    sides = [[{"px": price, "sz": size, "n": 3} for price, size in side.items()] for side in (bids, asks)]
    return line({"channel": "l2Book", "data": {"coin": coin, "time": MONDAY_MS + ms, "levels": sides}}, ms + 400)


def prints(*trades: tuple[int, str, str, str, int]) -> str:
    told = [
        {"coin": "BTC", "tid": tid, "side": side, "px": price, "sz": size, "time": MONDAY_MS + ms}
        for tid, side, price, size, ms in trades
    ]
    return line({"channel": "trades", "data": told}, 500)


def hyperliquid(folder: Path, *texts: str, **options: Any) -> Any:
    path = folder / "x.log"
    path.write_text("".join(texts))
    catalog = Catalog(folder / "catalog")
    return catalog, import_hyperliquid(catalog, path, **options)


def test_hyperliquids_pictures_become_what_changed(tmp_path):
    catalog, report = hyperliquid(
        tmp_path,
        picture({"100": "1", "99": "2"}, {"101": "3"}),
        picture({"100": "1", "99": "2"}, {"101": "3"}, ms=1),
        line({"channel": "subscriptionResponse", "data": {}}),
        picture({"100.5": "1", "100": "1"}, {"101": "4"}, ms=2),
        picture({"100": "1", "99": "2"}, {}, ms=3),
    )
    assert report.symbol == "BTC.HYPERLIQUID"
    assert (report.counts["unchanged_books"], report.counts["other_messages"]) == (1, 1)
    levels = stored(catalog)
    assert [(bids, asks) for *_, bids, asks in books(levels)] == [
        ({100: 1, 99: 2}, {101: 3}),
        ({100.5: 1, 100: 1}, {101: 4}),
        ({100: 1, 99: 2}, {}),
    ]
    assert len(levels) == 4 + 3 + 3, "only what changed"
    assert (levels["flags"] & SNAPSHOT > 0).to_list() == [True] * 4 + [False] * 6
    assert ((levels["ts_recv"] - levels["ts_event"]).dt.total_milliseconds() == 400).all()


def test_hyperliquids_trades_told_again_are_left_out(tmp_path):
    catalog, report = hyperliquid(
        tmp_path,
        prints((5, "B", "100", "0.5", -90_000), (6, "A", "99", "0.25", 3)),
        prints((6, "A", "99", "0.25", 3), (7, "A", "99", "1", 4)),
    )
    trades = stored(catalog, "trades").select("trade_id", pl.col("aggressor").cast(pl.String), "price", "size").rows()
    assert trades == [(5, "buy", 100, 0.5), (6, "sell", 99, 0.25), (7, "sell", 99, 1)]
    assert [(row.row, row.reason) for row in report.quarantine] == [(2, "duplicate")]


def test_hyperliquids_trades_far_back_are_an_error(tmp_path):
    with pytest.raises(TimeOrder, match=r"x\.log, row 2: ts_event goes back .* more than 60 s"):
        hyperliquid(tmp_path, prints((6, "A", "99", "0.25", 90_000)), prints((7, "A", "99", "1", 4)))


def test_one_coin_of_several_is_asked_for(tmp_path):
    both = (picture({"100": "1"}, {}), picture({"5": "1"}, {}, coin="HYPE"))
    with pytest.raises(DataError, match="a message of HYPE after some of BTC"):
        hyperliquid(tmp_path, *both)
    catalog, _ = hyperliquid(tmp_path, *both, symbol="HYPE.HYPERLIQUID")
    assert catalog.symbols() == ["HYPE.HYPERLIQUID"]
    with pytest.raises(NoData, match="it has messages of BTC, HYPE"):
        hyperliquid(tmp_path, *both, symbol="ETH.HYPERLIQUID")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (picture({"100": "1"}, {}).replace('"100"', '"NaN"'), "row 2: price is not a number"),
        (picture({"100": "-1"}, {}), "row 2: size is negative"),
        (picture({"100": "1"}, {}).replace("],[]", "]"), "row 2: "),
        (prints((5, "C", "100", "0.5", 0)), "row 2: Invalid enum value 'C'"),
        (prints((5, "B", "100", "0.5", 0)).replace('"tid":5', '"tid":5,"tid":6'), "row 2: the key 'tid' stands there twice"),
    ],
)
def test_a_bad_line_of_hyperliquid_is_an_error_with_its_row(tmp_path, text, told):
    with pytest.raises(DataError, match=f"x.log, {told}"):
        hyperliquid(tmp_path, picture({"99": "1"}, {"101": "1"}), text)
    assert Catalog(tmp_path / "catalog").symbols() == []


def printed(*ids: str, **others: Any) -> str:
    data = [{"T": MONDAY_MS + 5, "s": "XRPUSDT", "S": "Buy", "v": "3", "p": "1.96", "i": each} | others for each in ids]
    return json.dumps(TRADES | {"data": data}) + "\n"


def test_bybits_trades_told_again_are_left_out(tmp_path):
    catalog, report = bybit(tmp_path, printed("a", "b"), printed("b", "c"), printed("a", "d"), printed("", ""))
    assert stored(catalog, "trades").height == 6, "without an id each is one"
    assert [(row.row, row.reason, row.text.split()[1]) for row in report.quarantine] == [
        (2, "duplicate", "b"),
        (3, "duplicate", "a"),
    ]


def test_hyperliquids_old_pictures_are_left_out(tmp_path):
    texts = [picture({str(100 + at): "1"}, {}, ms=at) for at in range(9)]
    catalog, report = hyperliquid(tmp_path, *texts[:6], *texts[3:])
    assert [max(bids) for *_, bids, _ in books(stored(catalog))] == [*range(100, 109)]
    assert (report.counts["old_books"], report.counts["unchanged_books"]) == (2, 1)
    assert any("pictures that were older than the book were left out: 2" in note for note in report.notes)
    with pytest.raises(TimeOrder, match=r"x\.log, row 2: the time of the venue goes back"):
        hyperliquid(tmp_path, picture({"1": "1"}, {}, ms=90_000), picture({"2": "1"}, {}))


def test_a_thin_book_of_hyperliquid_has_nothing_out_of_sight(tmp_path):
    catalog, _ = hyperliquid(tmp_path, picture({"100": "1", "99": "2"}, {}), picture({"101": "1", "100": "1"}, {}, ms=1))
    assert (stored(catalog)["flags"] & OUT_OF_SIGHT).to_list() == [0] * 5
    deep = [{str(price): "1" for price in range(start, start + 20)} for start in (100, 101)]
    catalog, _ = hyperliquid(tmp_path, *(picture(bids, {}, ms=at) for at, bids in enumerate(deep)))
    levels = stored(catalog)
    assert levels.filter(pl.col("flags") & OUT_OF_SIGHT > 0)["price"].to_list() == [100]


def test_bybits_block_trades_are_no_prints(tmp_path):
    catalog, report = bybit(tmp_path, printed("a", BT=False), printed("b", BT=True))
    assert stored(catalog, "trades").height == 1
    assert [(row.row, row.reason, row.text) for row in report.quarantine] == [(2, "off_book", "block trade b of 3.0 at 1.96")]
