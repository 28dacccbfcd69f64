"""Orders are held to the instrument's table of steps, to its limits, and to its expiry."""

from __future__ import annotations

from typing import ClassVar

import polars as pl
import pytest

import cift
from cift.backtest import Backtest, Venue
from cift.domain.instrument import Instrument
from cift.domain.moment import time_ns
from cift.errors import OffTickPrice, OrderError

SECOND = 10**9
START = time_ns("2026-11-01T23:59:00Z", "start")[0]
MIDNIGHT = time_ns("2026-11-02", "midnight")[0]


def view(instrument: Instrument, mids: list[float], sizes: float = 1_000.0):
    """A quote a second, a cent around each mid, and a print at each mid."""
    ts = pl.Series([START + at * SECOND for at in range(len(mids))])
    frame = pl.DataFrame(
        {
            "ts_event": ts,
            "bid_price": [round(mid - 0.01, 4) for mid in mids],
            "bid_size": sizes,
            "ask_price": [round(mid + 0.01, 4) for mid in mids],
            "ask_size": sizes,
        }
    )
    return cift.quotes(frame, trades=pl.DataFrame({"ts_event": ts, "price": mids, "size": 1.0}), instrument=instrument)


class Tries(cift.Strategy):
    """Does at each quote what the test told it for that quote, and notes what came of it."""

    plan: ClassVar[dict[int, list]] = {}
    told: ClassVar[list] = []
    seen: int = cift.state(0)

    def on_quote(self, quote):
        for action in self.plan.get(self.seen, ()):
            try:
                self.told.append(action(self))
            except (OffTickPrice, OrderError) as refused:
                self.told.append(refused)
        self.seen += 1


def tried(ticks, plan, **venue):
    Tries.plan, Tries.told = plan, []
    result = Backtest(ticks, Tries, venue=Venue(**venue)).run()
    return result, Tries.told


NASDAQ = Instrument("A.X", "0.0001", 1, price_increment={0: "0.0001", 1: "0.01"})


def test_a_limit_lies_on_the_band_of_its_price():
    prices = ["0.9999", "1.0001", "1.01", "-0.5001", "-1.0001"]
    plan = {0: [lambda s, p=float(price): s.buy(1, limit=p) for price in prices]}
    _, told = tried(view(NASDAQ, [2.0, 2.0]), plan)
    assert [isinstance(answer, int) for answer in told] == [True, False, True, True, False]
    assert "price 1.0001 is not on A.X's price increment 0.01; round it first" in str(told[1])


@pytest.mark.parametrize(
    ("price", "rounding", "rounded"),
    [(1.0001, "down", 1.0), (1.0001, "up", 1.01), (1.004, "nearest", 1.0), (1.006, "nearest", 1.01), (0.99995, "up", 1.0),
     (0.99995, "down", 0.9999), (-1.0001, "up", -1.0), (-1.0001, "down", -1.01), (-0.99995, "up", -0.9999)],
)  # fmt: skip
def test_a_limit_is_rounded_on_the_band_of_its_price(price, rounding, rounded):
    result, _ = tried(view(NASDAQ, [2.0, 2.0]), {0: [lambda s: s.buy(1, limit=price, rounding=rounding)]})
    assert result.orders["price"].to_list() == [rounded]


def test_the_grid_changes_with_the_date():
    half_penny = Instrument("A.X", "0.005", 1, price_increment={"2025-01-01": "0.01", "2026-11-02": "0.005"})
    mids = [10.0] * 120
    at_midnight = (MIDNIGHT - START) // SECOND
    plan = {at: [lambda s: s.buy(1, limit=9.005), lambda s: s.buy(1, limit=9.015, rounding="down")] for at in (3, at_midnight)}
    result, told = tried(view(half_penny, mids), plan)
    assert isinstance(told[0], OffTickPrice)
    assert isinstance(told[2], int)
    assert result.orders["price"].to_list() == [9.01, 9.005, 9.015]


def test_a_recorded_quote_off_the_steps_of_its_time_ends_the_run():
    told = {0: "0.0001", 1: "0.01"}
    fine = Instrument("A.X", "0.0001", 1)
    loose = view(fine, [2.0, 2.0003])
    with pytest.raises(OffTickPrice, match=r"quotes, row 1: bid_price 1\.9903 is not on the price_increment 0\.01 of A\.X at"):
        view(Instrument("A.X", "0.0001", 1, price_increment=told), [2.0, 2.0003])
    # What was stored before the table was known is found when it is run.
    strict = Instrument("A.X", "0.0001", 1, price_increment=told)
    feeds = tuple(type(feed)(feed.symbol, feed.schema, strict, feed.table) for feed in loose.feeds)
    with pytest.raises(OffTickPrice, match=r"row 1 of the feed, column 'bid_price': price 1\.9903"):
        Backtest(type(loose)(feeds, loose.symbols), Tries).run()
    sub_penny = view(strict, [0.5, 0.5003])
    assert Backtest(sub_penny, Tries).run().fills.height == 0


def test_prints_need_not_lie_on_the_steps():
    strict = Instrument("A.X", "0.0001", 1, price_increment={0: "0.0001", 1: "0.01"})
    frame = pl.DataFrame({"ts_event": [START], "price": [2.0001], "size": [1.0]})
    assert cift.trades(frame, instrument=strict).feeds[0].schema == "trades"


def test_a_size_keeps_to_its_limits():
    limited = Instrument(
        "A.X", "0.01", "0.1", size_increment={"2025-01-01": "0.5", "2026-11-02": "0.1"}, min_quantity=2, max_quantity=10,
        min_notional=50,
    )  # fmt: skip
    sizes = [("1.5", "below A.X's min_quantity of 2"), ("10.5", "above A.X's max_quantity of 10"), ("2.2", "size_increment")]
    plan = {0: [lambda s, size=float(size): s.buy(size, limit=9.0) for size, _ in sizes]}
    plan[1] = [
        lambda s: s.buy(5, limit=9.0),
        lambda s: s.buy(5.5, limit=9.1),
        lambda s: s.sell(5.5),
        lambda s: s.sell(4.5),
        lambda s: s.modify(1, size=5.5, price=9.0),
        lambda s: s.buy(value=57.0),
        lambda s: s.modify(1, price=9.2),
        lambda s: s.target(-7.5),
    ]
    at_midnight = (MIDNIGHT - START) // SECOND
    plan[at_midnight] = [lambda s: s.buy(5.6, limit=9.0)]
    result, told = tried(view(limited, [10.0] * 120), plan)
    for (_, words), refused in zip(sizes, told[:3], strict=True):
        assert words in str(refused)
    assert "worth less than A.X's min_notional of 50" in str(told[3])
    assert isinstance(told[4], int)
    # At the market it is worth what the other side bids, 9.99: 54.9 will do, 44.96 will not.
    assert isinstance(told[5], int)
    assert "min_notional" in str(told[6])
    assert "min_notional" in str(told[7])  # 5.5 x 9.00
    # A value is rounded down to the increment: 57 / 10.01 = 5.69.
    assert isinstance(told[8], int)
    assert told[9] is None
    assert isinstance(told[11], int)
    assert result.orders["size"].to_list()[-1] == 5.6
    assert 5.5 in result.orders["size"].to_list()


def future(expiry_s: float, **more) -> Instrument:
    return Instrument("F.X", "0.01", 1, multiplier=50, expiry=START + int(expiry_s * SECOND), **more)


class Holds(cift.Strategy):
    def on_start(self):
        self.buy(3)

    def on_quote(self, quote):
        if self.position == 3 and not self.open_orders:
            self.buy(1, limit=5.0)


def test_orders_end_with_the_expiry_and_the_position_stays_marked():
    ticks = view(future(5.5), [10.0, 10, 10, 10, 10, 10, 11, 12])

    class Late(Holds):
        def on_quote(self, quote):
            try:
                super().on_quote(quote)
            except OrderError as error:
                self.log(str(error))

    result = Backtest(ticks, Late).run()
    assert result.orders.select("filled", "status", "reason").rows() == [(3.0, "filled", None), (0.0, "cancelled", "expired")]
    assert result.fills["position"].to_list() == [3.0]
    assert result.log["message"].to_list() == ["F.X has expired and takes no more orders; trade another contract"] * 2
    assert (
        "F.X expired at 2026-11-01T23:59:05.500Z: orders were refused from then on; the position of 3 that was held is still "
        "marked at the last price, since no settlement is booked." in result.record.notes
    )
    digests = {Backtest(ticks, Late, chunk_rows=rows).run().digest for rows in (1, 2, 3, None)}
    assert digests == {result.digest}


def test_an_order_that_arrives_after_the_expiry_is_rejected():
    ticks = view(future(5.5), [10.0] * 8)
    result, _ = tried(ticks, {5: [lambda s: s.buy(1, limit=10.01)]}, latency="1s")
    assert result.orders.select("status", "reason").row(0) == ("rejected", "expired")
    assert result.fills.height == 0


def test_a_view_past_the_expiry_says_so(tmp_path):
    catalog = cift.Catalog(tmp_path)
    frame = pl.DataFrame({"ts_event": [START, START + 10 * SECOND], "price": [10.0, 11.0], "size": 1.0})
    catalog.write("trades", "F.X", frame, future(5))
    assert catalog.ticks("F.X").notes == ("F.X expired at 2026-11-01T23:59:05Z; the view holds later records",)
    assert catalog.ticks("F.X", "2026-11-01T23:00", "2026-11-01T23:59:05").notes == ()
    catalog.write_instruments([future(11)])
    assert catalog.ticks("F.X").notes == ()


def test_nothing_trades_before_the_activation():
    ticks = view(future(100, activation=START + 2 * SECOND), [10.0] * 6)
    buy = [lambda s: s.buy(1)]
    result, told = tried(ticks, {1: buy, 2: buy})
    assert "does not trade yet" in str(told[0])
    assert result.fills.height == 1
    assert not any("expired" in note for note in result.record.notes)


def test_the_rules_are_part_of_the_fingerprint():
    mids = [10.0] * 4
    plain = Instrument("A.X", "0.01", 1)
    rules = [
        {}, {"price_increment": {0: "0.01", 1_000: "0.05"}}, {"price_increment": {0: "0.01", 2_000: "0.05"}},
        {"size_increment": {"2025-01-06": 1}}, {"min_quantity": 1}, {"max_quantity": 99}, {"min_notional": 1},
        {"activation": START}, {"expiry": MIDNIGHT},
    ]  # fmt: skip
    told = [
        str(Backtest(view(Instrument("A.X", "0.01", 1, **more), mids), Tries).run().record.fingerprint["instruments"])
        for more in rules
    ]
    assert len(set(told)) == len(rules)
    assert told[0] == str(Backtest(view(plain, mids), Tries).run().record.fingerprint["instruments"])
