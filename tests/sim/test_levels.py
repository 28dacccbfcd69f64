"""A run over a record of levels: what the strategy sees of the book, what fills, and one digest however it is read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import cift
from cift.data.catalog import Catalog
from cift.domain.instrument import Instrument
from cift.domain.schemas import LAST, OUT_OF_SIGHT
from cift.indicators import EMA

SYMBOL = "ABC.SIM"
START_NS = 1_767_571_200_000_000_000
"""2026-01-05T00:00Z."""


def levels(lines: str) -> pl.DataFrame:
    """A record written as `seconds side size@price`, `+` behind a row that does not end its event."""
    rows: dict[str, list[Any]] = {name: [] for name in ("ts_event", "action", "side", "price", "size", "flags")}
    for line in lines.strip().splitlines():
        second, *words = line.split()
        goes_on = words[-1] == "+"
        rows["ts_event"].append(START_NS + int(float(second) * 10**9))
        rows["flags"].append(0 if goes_on else LAST)
        if words[0] == "clear":
            rows["action"].append("clear")
            rows["side"].append("none")
            rows["price"].append(None)
            rows["size"].append(0.0)
            continue
        size, _, price = words[1].partition("@")
        rows["action"].append("set")
        rows["side"].append(words[0])
        rows["price"].append(float(price))
        rows["size"].append(float(size))
    return pl.DataFrame(rows, schema_overrides={"flags": pl.UInt8})


def stored(path: Path, mbp: pl.DataFrame, trades: pl.DataFrame | None = None) -> Catalog:
    catalog = Catalog(path)
    catalog.write("mbp", SYMBOL, mbp, Instrument(SYMBOL, tick_size="0.01", lot_size=1))
    if trades is not None:
        catalog.write("trades", SYMBOL, trades)
    return catalog


BOOK = """
    1 bid 5@99.99 +
    1 bid 8@99.98 +
    1 ask 3@100.01 +
    1 ask 6@100.02
    5 ask 0@100.01
"""


def test_the_book_has_its_levels_and_an_order_goes_through_them(tmp_path):
    seen: list[Any] = []

    class Sweep(cift.Strategy):
        def on_book(self, book: Any) -> None:
            seen.append((book.depth("buy"), book.depth("sell"), book.queue("buy", 99.99)))
            if len(seen) == 1:
                self.buy(5)

    result = cift.Backtest(stored(tmp_path, levels(BOOK)).ticks(SYMBOL), Sweep, cash=10_000).run()
    bids = [(99.99, 5.0, 1), (99.98, 8.0, 1)]
    assert seen[0][:2] == (bids, [(100.01, 3.0, 1), (100.02, 6.0, 1)])
    assert seen[0][2] == [], "nobody is named"
    assert seen[1][:2] == (bids, [(100.02, 6.0, 1)])
    assert result.fills.select("price", "size").rows() == [(100.01, 3.0), (100.02, 2.0)]


def test_an_order_waits_in_its_queue_until_prints_reach_it(tmp_path):
    class Wait(cift.Strategy):
        sent: bool = cift.state(False)

        def on_book(self, book: Any) -> None:
            if not self.sent:
                self.sent = True
                self.buy(4, limit=99.99)

    trades = pl.DataFrame(
        {
            "ts_event": [START_NS + 2 * 10**9, START_NS + 3 * 10**9],
            "price": [99.99, 99.99],
            "size": [3.0, 4.0],
            "aggressor": "sell",
        }
    )
    result = cift.Backtest(stored(tmp_path, levels(BOOK), trades).ticks(SYMBOL), Wait, cash=10_000).run()
    # 5 stood ahead; 7 traded.
    assert result.fills.select("price", "size").rows() == [(99.99, 2.0)]


class JoinOnce(cift.Strategy):
    """Buys ten at a price as soon as there is a book."""

    price: float = cift.param(99.99)
    sent: bool = cift.state(False)

    def on_book(self, book: Any) -> None:
        if not self.sent:
            self.sent = True
            self.buy(10, limit=self.price)


@pytest.mark.parametrize("later_ns", [0, 1])
@pytest.mark.parametrize("schema", ["mbp", "quotes"])
def test_a_print_acts_before_the_book_of_its_time_shows_what_it_left(tmp_path, schema, later_ns):
    stamps = [START_NS, START_NS + 10**9 + later_ns]
    catalog = Catalog(tmp_path)
    instrument = Instrument(SYMBOL, tick_size="0.01", lot_size=1)
    if schema == "mbp":
        columns = {"action": "set", "side": "bid", "price": 99.99, "size": [100.0, 40.0]}
    else:
        columns = {"bid_price": 99.99, "bid_size": [100.0, 40.0], "ask_price": 100.01, "ask_size": 5.0}
    catalog.write(schema, SYMBOL, pl.DataFrame({"ts_event": stamps, **columns}), instrument)
    sold = {"ts_event": [START_NS + 10**9, START_NS + 2 * 10**9], "price": 99.99, "size": [60.0, 45.0], "aggressor": "sell"}
    catalog.write("trades", SYMBOL, pl.DataFrame(sold))
    result = cift.Backtest(catalog.ticks(SYMBOL), JoinOnce, cash=10_000).run()
    # 100 stood ahead: 60 trade, 40 are left and trade, and of the last 45 five reach ours.
    assert result.fills["size"].to_list() == [5.0]


def test_a_level_out_of_sight_keeps_its_queue_ahead_of_ours(tmp_path):
    flags = [LAST, LAST | OUT_OF_SIGHT, LAST]
    sizes = {"side": "bid", "price": 99.9, "size": [100.0, 0.0, 100.0], "flags": flags}
    record = pl.DataFrame(
        {"ts_event": [START_NS, START_NS + 10**9, START_NS + 2 * 10**9], "action": "set", **sizes},
        schema_overrides={"flags": pl.UInt8},
    )
    trades = pl.DataFrame({"ts_event": [START_NS + 3 * 10**9], "price": [99.9], "size": [15.0], "aggressor": ["sell"]})
    catalog = stored(tmp_path, record, trades)
    assert cift.Backtest(catalog.ticks(SYMBOL), JoinOnce, cash=10_000).run(price=99.9).fills.is_empty()
    emptied = record.with_columns(flags=pl.lit(LAST, pl.UInt8))
    catalog = stored(tmp_path / "emptied", emptied, trades)
    assert cift.Backtest(catalog.ticks(SYMBOL), JoinOnce, cash=10_000).run(price=99.9).fills["size"].to_list() == [10.0]


def test_a_level_with_a_size_stands_whatever_its_flags(tmp_path):
    # 16 is another vendor's mark of a record of levels.
    seen: list[Any] = []

    class Look(cift.Strategy):
        def on_book(self, book: Any) -> None:
            seen.append((book.bid, book.ask))

    cift.Backtest(stored(tmp_path, levels(BOOK)).ticks(SYMBOL), Look, cash=10_000).run()
    plain, seen = seen, []
    flags = pl.col("flags").cast(pl.UInt8)
    marked = levels(BOOK).with_columns(flags=pl.when(pl.col("size") > 0).then(flags | OUT_OF_SIGHT).otherwise(flags))
    cift.Backtest(stored(tmp_path / "marked", marked).ticks(SYMBOL), Look, cash=10_000).run()
    assert seen == plain != []


def test_a_view_of_later_hours_builds_the_book_from_the_day_on(tmp_path):
    seen: list[Any] = []

    class Look(cift.Strategy):
        def on_book(self, book: Any) -> None:
            seen.append(book.depth("sell"))

    view = stored(tmp_path, levels(BOOK)).ticks(SYMBOL, "2026-01-05T00:00:04", "2026-01-05T01:00")
    cift.Backtest(view, Look, cash=10_000).run()
    assert seen == [[(100.02, 6.0, 1)]]


def random_record(seed: int, rows: int = 4_000) -> tuple[pl.DataFrame, pl.DataFrame]:
    rng = np.random.default_rng(seed)
    walk = 10_000 + np.cumsum(rng.integers(-1, 2, rows)) // 8
    side = rng.integers(0, 2, rows)
    price = np.where(side == 0, walk - rng.integers(1, 6, rows), walk + rng.integers(1, 6, rows))
    size = rng.integers(0, 20, rows)
    # A level that the walk has left on the wrong side is taken away.
    standing: tuple[set[int], set[int]] = set(), set()
    for row in range(rows):
        own, mid = standing[side[row]], int(walk[row])
        stale = sorted(level for level in own if (level >= mid if side[row] == 0 else level <= mid))
        if stale:
            price[row], size[row] = stale[0], 0
        (own.discard if size[row] == 0 else own.add)(int(price[row]))
    ts = START_NS + np.cumsum(rng.integers(0, 10**8, rows))
    mbp = pl.DataFrame(
        {
            "ts_event": ts,
            "ts_recv": ts + rng.integers(0, 10**6, rows),
            "action": "set",
            "side": np.where(side == 0, "bid", "ask"),
            "price": price / 100,
            "size": size.astype(float),
            "flags": np.where(rng.random(rows) < 0.7, LAST, 0).astype(np.uint8),
        }
    )
    some = np.sort(rng.choice(rows, rows // 4, replace=False))
    trades = pl.DataFrame(
        {
            "ts_event": ts[some],
            "price": walk[some] / 100,
            "size": rng.integers(1, 9, len(some)).astype(float),
            "aggressor": "buy",
        }
    )
    return mbp, trades


class Cross(cift.Strategy):
    """Trades the crossing of two means of the mid."""

    def setup(self) -> None:
        fast, slow = self.indicator(EMA(5), on="mid"), self.indicator(EMA(30), on="mid")
        self.when(fast.crosses_above(slow), self.up)
        self.when(fast.crosses_below(slow), self.down)

    def up(self) -> None:
        self.target(+5)

    def down(self) -> None:
        self.target(-5)


@pytest.mark.parametrize("seed", [1, 2])
def test_one_digest_for_every_chunk_size(tmp_path, seed):
    catalog = stored(tmp_path, *random_record(seed))
    view = catalog.ticks(SYMBOL)
    assert view.level == "L2"
    test = cift.Backtest(view, Cross, cash=100_000, venue=cift.Venue(latency="1ms"))
    whole = test.run()
    assert len(whole.fills) > 20
    for rows in (1, 7, 1_000):
        assert (
            cift.Backtest(view, Cross, cash=100_000, venue=cift.Venue(latency="1ms"), chunk_rows=rows).run().digest
            == whole.digest
        )


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"action": "add"}, "action 'add' is none of mbp, which has set, clear"),
        ({"side": "none"}, "a level must be of the bid or the ask side"),
        ({"size": -1.0}, "size is negative"),
        ({"price": None}, "price is not a number"),
    ],
)
def test_what_is_no_level_is_refused_with_its_row(tmp_path, changes, told):
    record = levels(BOOK)
    bad = record.with_row_index().with_columns(
        pl.when(pl.col("index") == 2).then(pl.lit(value)).otherwise(pl.col(name)).alias(name) for name, value in changes.items()
    )
    with pytest.raises(cift.errors.DataError, match=rf"row 2: {told}"):
        stored(tmp_path, bad.drop("index"))
