"""Databento's depth, sampled quotes and bars: what each record says is what the catalog then holds."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

import cift
from cift.data.catalog import Catalog
from cift.data.importers import import_databento
from cift.data.importers.databento import file as dbn_file
from cift.errors import DataError, NotSupported
from tests.data.dbn import cmbp1, header, mbp10, ohlcv, sampled, trade, write
from tests.data.market import DAY_NS, HOUR_NS, MONDAY_NS, QuickDisk

ES = "ESH6.GLBX"
MINUTE_NS = 60 * 10**9
Levels = list[tuple[float, int]]


def imported(folder: Path, *parts: bytes, name: str = "x.dbn", **options):
    catalog = Catalog(folder / "catalog", disk=QuickDisk())
    return catalog, import_databento(catalog, write(folder / name, *parts), **options)


def rows(catalog: Catalog, schema: str) -> pl.DataFrame:
    words = [name for name in ("action", "side", "aggressor") if schema in ("mbp", "trades")]
    frame = pl.scan_parquet(catalog.path / schema).sort("ts_event", "sequence").collect()
    return frame.with_columns(pl.col(name).cast(pl.String) for name in words if name in frame.columns)


def story(catalog: Catalog) -> list[str]:
    """Each row of `mbp` as `venue_seq: action side size@price flags`."""
    flags = {128: "L", 32: "S", 160: "LS", 16: "O", 144: "LO", 0: ""}
    return [
        f"{row['venue_seq']}: {row['action']} {row['side']} {row['size']:g}@{row['price']} {flags[row['flags']]}".rstrip()
        for row in rows(catalog, "mbp").iter_rows(named=True)
    ]


# ---------------------------------------------------------------------- ten levels


def test_what_changed_of_ten_levels_becomes_rows_of_single_levels(tmp_path):
    bids, asks = [(100.0, 5), (99.0, 7)], [(101.0, 3)]
    catalog, report = imported(
        tmp_path,
        header("mbp-10"),
        mbp10("A B 5@100 128", bids, asks, ms=1, sequence=1),
        mbp10("A A 2@102 128", bids, [*asks, (102.0, 2)], ms=2, sequence=2),
        mbp10("T B 3@101 0", bids, [*asks, (102.0, 2)], ms=3, sequence=3),
        mbp10("C A 3@101 128", bids, [(102.0, 2)], ms=3, sequence=3),
        mbp10("M B 9@99 128", [(100.0, 5), (99.0, 9)], [(102.0, 2)], ms=4, sequence=4),
        mbp10("R N 0@- 128", [], [], ms=5, sequence=5),
        mbp10("A B 1@98 128", [(98.0, 1)], [], ms=6, sequence=6),
    )
    assert story(catalog) == [
        "1: clear none 0@None S",
        "1: set bid 5@100.0 S",
        "1: set bid 7@99.0 S",
        "1: set ask 3@101.0 LS",
        "2: set ask 2@102.0 L",
        "3: set ask 0@101.0 L",
        "4: set bid 9@99.0 L",
        "5: clear none 0@None L",
        "6: set bid 1@98.0 L",
    ]
    assert rows(catalog, "trades").select("price", "size", "aggressor", "flags").rows() == [(101.0, 3.0, "buy", 128)]
    assert (report.rows_read, report.counts["mbp"], report.counts["trades"]) == (7, 9, 1)
    assert catalog.ticks(ES).level == "L2"


def test_a_level_that_is_pushed_out_of_the_ten_is_out_of_sight(tmp_path):
    ten = [(100.0 - n, 1) for n in range(10)]
    catalog, _ = imported(
        tmp_path,
        header("mbp-10"),
        mbp10("A B 1@100 128", ten, [], sequence=1),
        mbp10("A B 4@101 128", [(101.0, 4), *ten[:9]], [], ms=1, sequence=2),
        mbp10("C B 4@101 128", ten, [], ms=2, sequence=3),
    )
    assert story(catalog)[11:] == [
        "2: set bid 0@91.0 O",
        "2: set bid 4@101.0 L",
        "3: set bid 0@101.0",
        "3: set bid 1@91.0 L",
    ]


def test_an_event_of_several_records_ends_with_its_last_row_even_where_the_last_record_changes_nothing(tmp_path):
    catalog, _ = imported(
        tmp_path,
        header("mbp-10"),
        mbp10("A B 5@100 128", [(100.0, 5)], [], sequence=1),
        mbp10("C B 2@100 0", [(100.0, 3)], [], ms=1, sequence=2),
        mbp10("A B 2@90 0", [(100.0, 3)], [], ms=1, sequence=3),
        mbp10("N N 0@- 128", [(100.0, 3)], [], ms=1, sequence=4),
    )
    assert story(catalog)[2:] == ["2: set bid 3@100.0 L"]


def test_every_day_begins_with_its_own_book(tmp_path):
    tuesday = MONDAY_NS + DAY_NS
    book = ([(100.0, 5)], [(101.0, 3)])
    catalog, _ = imported(
        tmp_path,
        header("mbp-10"),
        mbp10("A B 5@100 128", *book, ms=1, sequence=1),
        mbp10("M A 3@101 128", [(100.0, 5)], [(101.0, 4)], ts_event=tuesday, sequence=2),
    )
    assert story(catalog)[3:] == ["2: clear none 0@None S", "2: set bid 5@100.0 S", "2: set ask 4@101.0 LS"]
    assert catalog.ls().filter(pl.col("schema") == "mbp")["rows"].to_list() == [3, 3]


def applied(frame: pl.DataFrame) -> dict[int, tuple[Levels, Levels]]:
    """The book after each `venue_seq`, by a dictionary of levels: slow, and plainly what the schema says."""
    book: dict[str, dict[float, int]] = {"bid": {}, "ask": {}}
    after = {}
    for action, side, price, size, number in frame.select("action", "side", "price", "size", "venue_seq").iter_rows():
        if action == "clear":
            book = {"bid": {}, "ask": {}}
        elif size:
            book[side][price] = int(size)
        else:
            del book[side][price]  # what is removed stood there
        after[number] = (sorted(book["bid"].items(), reverse=True), sorted(book["ask"].items()))
    return after


@given(seed=st.integers(0, 2**32), rows_per_read=st.sampled_from([1, 2, 7, 10_000]))
def test_the_rows_rebuild_the_ten_levels_of_each_record(tmp_path_factory, seed, rows_per_read):
    rng, folder = random.Random(seed), tmp_path_factory.mktemp("x")
    told, parts = {}, []
    for number in range(1, 40):
        price = rng.randrange(90, 110)
        sides = ([(float(price - rng.randrange(1, 4) * n - 1), rng.randrange(1, 4)) for n in range(rng.choice([0, 2, 10]))],
                 [(float(price + 3 * n + rng.randrange(2)), rng.randrange(1, 4)) for n in range(rng.choice([0, 2, 10]))])  # fmt: skip
        sides = tuple(list({level[0]: level for level in side}.values()) for side in sides)
        bids = sorted(sides[0], reverse=True)
        ts_event = MONDAY_NS + number * HOUR_NS
        told[number] = (bids, sides[1])
        parts.append(mbp10(f"A B 1@1 {rng.choice([0, 128])}", bids, sides[1], ts_event=ts_event, sequence=number))
        if rng.random() < 0.2:
            parts.append(mbp10("T A 1@100 0", [], [], ts_event=ts_event, sequence=number))
    before = dbn_file.ROWS_PER_READ
    try:
        dbn_file.ROWS_PER_READ = rows_per_read
        catalog, _ = imported(folder, header("mbp-10"), *parts, policies={"price_jump": "pass"})
    finally:
        dbn_file.ROWS_PER_READ = before
    found = applied(rows(catalog, "mbp"))
    held: tuple[Levels, Levels] = ([], [])
    for number, levels in told.items():
        held = found.get(number, held)  # a record that changes nothing leaves no row
        assert held == levels


def test_the_engines_best_levels_are_the_first_of_each_record(tmp_path):
    rng = random.Random(7)
    told, parts = [], []
    for number in range(60):
        bids = [(100.0 - rng.randrange(3) - 4 * n, rng.randrange(1, 9)) for n in range(10)]
        asks = [(102.0 + rng.randrange(3) + 4 * n, rng.randrange(1, 9)) for n in range(10)]
        told.append((bids[:3], asks[:3]))
        parts.append(mbp10("A B 1@100 128", bids, asks, ms=1 + number, sequence=number))
        if number % 7 == 0:
            parts.append(mbp10("T A 1@100 128", bids, asks, ms=1 + number, sequence=number))
    catalog, _ = imported(tmp_path, header("mbp-10"), *parts, tick_size="0.25")
    seen = []

    class Watch(cift.Strategy):
        def on_book(self, book: Any) -> None:
            best = [[(price, int(size)) for price, size, _ in book.depth(side, 3)] for side in ("buy", "sell")]
            if not seen or seen[-1] != tuple(best):
                seen.append(tuple(best))

    cift.Backtest(catalog.ticks(ES), Watch).run(progress=False)
    assert seen == told


# ---------------------------------------------------------------------- sampled and consolidated quotes


@pytest.mark.parametrize(
    ("schema", "number", "span"),
    [("bbo-1s", 0xC3, "second"), ("bbo-1m", 0xC4, "minute"), ("cbbo-1s", 0xC0, "second"), ("cbbo-1m", 0xC1, "minute")],
)
def test_a_sampled_quote_stands_at_the_end_of_its_span(tmp_path, schema, number, span):
    last_sale = MONDAY_NS + 100
    catalog, report = imported(
        tmp_path,
        header(schema),
        sampled("A B 5@100.25 168", "5@100.25", "6@100.50", number, ts_event=last_sale, ts_recv=MONDAY_NS + MINUTE_NS),
        sampled("A B 5@100.25 4", "7@100.25", "0@-", number, ts_event=2**64 - 1, ts_recv=MONDAY_NS + 2 * MINUTE_NS),
    )
    frame = rows(catalog, "quotes")
    assert (frame["ts_event"].to_physical() - MONDAY_NS).to_list() == [MINUTE_NS, 2 * MINUTE_NS]
    assert frame["ts_recv"].null_count() == 2
    assert frame.select("bid_size", "ask_price", "ask_size").rows() == [(5, 100.5, 6), (7, None, 0)]
    assert frame["flags"].to_list() == [160, 132]
    assert report.notes[-1] == f"quotes as they were at the end of each {span}; what stood between is not in the file"
    assert frame["venue_seq"].null_count() == (2 if schema.startswith("c") else 0)


def test_the_best_of_several_venues_is_one_market(tmp_path):
    catalog, report = imported(
        tmp_path,
        header("cmbp-1"),
        cmbp1("A B 5@100.25 128", "5@100.25", "0@-", ms=1),
        cmbp1("T B 2@100.50 0", "5@100.25", "4@100.50", ms=2, publisher_id=2),
        cmbp1("C A 2@100.50 128", "5@100.25", "2@100.50", ms=2, publisher_id=2),
    )
    assert rows(catalog, "quotes").select("bid_size", "ask_size", "venue_seq").rows() == [(5, 0, None), (5, 2, None)]
    assert rows(catalog, "trades")["size"].to_list() == [2]
    assert report.rows_written == 3


def test_tcbbo_gives_the_quote_before_each_trade(tmp_path):
    catalog, _ = imported(tmp_path, header("tcbbo"), cmbp1("T B 2@100.50 130", "5@100.25", "4@100.50", 0xC2, ms=2))
    assert rows(catalog, "quotes")["ask_size"].to_list() == [4]
    assert rows(catalog, "trades")["size"].to_list() == [2]


# ---------------------------------------------------------------------- bars


@pytest.mark.parametrize(
    ("spec", "number", "length_ns"), [("1s", 0x20, 10**9), ("1m", 0x21, MINUTE_NS), ("1h", 0x22, HOUR_NS), ("1d", 0x23, DAY_NS)]
)
def test_a_bar_is_known_a_length_after_the_vendors_stamp(tmp_path, spec, number, length_ns):
    parts = [ohlcv(MONDAY_NS + n * length_ns, (100.5, 101.25, 100, 100.25), 7 + n, number) for n in range(3)]
    catalog, report = imported(tmp_path, header(f"ohlcv-{spec}"), *parts)
    bars = catalog.bars(ES, spec)
    assert (bars["ts_open"].to_physical() - MONDAY_NS).to_list() == [0, length_ns, 2 * length_ns]
    assert (bars["ts_event"] - bars["ts_open"]).dt.total_nanoseconds().to_list() == [length_ns] * 3
    assert bars.row(0)[2:] == (100.5, 101.25, 100.0, 100.25, 7.0, None, None)
    assert bars["volume"].to_list() == [7, 8, 9]
    assert (report.rows_written, report.counts["bars"]) == (3, 3)


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_files_of_days_do_not_take_each_others_bars(tmp_path, order):
    """The last bar of a day ends at the midnight that begins the next one: in whatever order the files come, none is lost."""
    catalog = Catalog(tmp_path / "catalog", disk=QuickDisk())
    for day in order:
        start = MONDAY_NS + day * DAY_NS
        parts = [ohlcv(start + n * HOUR_NS, (100, 100, 100, 100), 24 * day + n, 0x22) for n in range(24)]
        report = import_databento(catalog, write(tmp_path / f"{day}.dbn", header("ohlcv-1h"), *parts))
        assert (report.rows_written, report.counts["bars"]) == (24, 24)
    assert catalog.bars(ES, "1h")["volume"].to_list() == list(range(48))
    assert report.counts["kept_beside"] == (1 if order == (0, 1) else 23)


def test_bars_replace_those_of_their_own_time(tmp_path):
    hours = [ohlcv(MONDAY_NS + n * HOUR_NS, (100, 100, 100, 100), n, 0x22) for n in range(10)]
    catalog, _ = imported(tmp_path, header("ohlcv-1h"), *hours)
    again = [ohlcv(MONDAY_NS + n * HOUR_NS, (100, 100, 100, 100), 50 + n, 0x22) for n in (3, 5)]
    _, report = imported(tmp_path, header("ohlcv-1h"), *again, name="again.dbn")
    assert catalog.bars(ES, "1h")["volume"].to_list() == [0, 1, 2, 53, 55, 6, 7, 8, 9]
    assert (report.rows_written, report.counts["kept_beside"]) == (2, 7)


def test_a_bar_that_cannot_be_names_its_record(tmp_path):
    with pytest.raises(DataError, match=r"x\.dbn, row 2: the high is below the low"):
        imported(
            tmp_path,
            header("ohlcv-1m"),
            ohlcv(MONDAY_NS, (100, 101, 99, 100), 1),
            ohlcv(MONDAY_NS + MINUTE_NS, (100, 99, 101, 100), 1),
        )


def test_bars_of_several_publishers_are_refused(tmp_path):
    with pytest.raises(NotSupported, match="2 publishers"):
        imported(
            tmp_path,
            header("ohlcv-1m"),
            ohlcv(MONDAY_NS, (100, 100, 100, 100), 1),
            ohlcv(MONDAY_NS, (100, 100, 100, 100), 1, publisher_id=2),
        )


def test_bars_of_several_symbols_by_batches(tmp_path, monkeypatch):
    monkeypatch.setattr(dbn_file, "ROWS_PER_READ", 3)
    parts = [
        ohlcv(MONDAY_NS + n * MINUTE_NS, (100, 100, 100, 100), 10 * n + number, instrument_id=number)
        for n in range(5)
        for number in (5, 6)
    ]
    catalog, report = imported(tmp_path, header("ohlcv-1m", {"ESH6": 5, "NQH6": 6}), *parts)
    assert catalog.bars(ES, "1m")["volume"].to_list() == [5, 15, 25, 35, 45]
    assert catalog.bars("NQH6.GLBX", "1m")["volume"].to_list() == [6, 16, 26, 36, 46]
    assert report.rows_read == 10


def test_trades_and_bars_of_one_symbol_agree_on_its_tick(tmp_path):
    catalog, _ = imported(tmp_path, header("trades"), trade("T B 2@100.50 0", ms=1), tick_size="0.25")
    import_databento(catalog, write(tmp_path / "b.dbn", header("ohlcv-1m"), ohlcv(MONDAY_NS, (100.5,) * 4, 2)))
    assert str(catalog.instruments()[ES].tick_size) == "0.25"
    assert (
        catalog.ticks(ES).bars("1m").select("open", "volume").rows() == catalog.bars(ES, "1m").select("open", "volume").rows()
    )
