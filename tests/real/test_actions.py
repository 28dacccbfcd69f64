"""A dividend of SPY on its real closes: the adjusted series against the formula in fractions."""

from __future__ import annotations

import csv
import datetime as dt
from fractions import Fraction
from pathlib import Path
from zoneinfo import ZoneInfo

import polars as pl

from cift.data.catalog import Catalog
from cift.domain.action import Action
from cift.domain.instrument import Instrument

EX_DATE, AMOUNT = dt.date(2013, 3, 15), "0.693"


def test_the_dividend_of_march_2013_makes_the_return_that_its_holder_had(real_data: Path, tmp_path: Path) -> None:
    with (real_data / "indicators/spy/spy_max.txt").open() as file:
        rows = [
            (dt.datetime.strptime(row["Date"], "%m/%d/%Y %I:%M:%S %p").date(), row["Close"]) for row in csv.DictReader(file)
        ]
    within = dt.time(12, 59, 59)  # short sessions too
    zone = ZoneInfo("America/New_York")
    frame = pl.DataFrame(
        {
            "ts_event": [dt.datetime.combine(day, within, zone) for day, _ in rows],
            "price": [float(close) for _, close in rows],
            "size": [1.0] * len(rows),
        }
    )
    catalog = Catalog(tmp_path)
    catalog.write("trades", "SPY.ARCX", frame, Instrument("SPY.ARCX", "0.01", 1, calendar="XNYS"))
    catalog.write_actions([Action("SPY.ARCX", EX_DATE, "dividend", amount=AMOUNT)])
    adjusted = catalog.ticks("SPY.ARCX", adjust="all").bars("1d")["close"].to_list()
    at = [day for day, _ in rows].index(EX_DATE)
    before = Fraction(rows[at - 1][1])
    factor = 1 - Fraction(AMOUNT) / before
    grid = Fraction(1, 1_000_000)
    expected = [float(round(Fraction(close) * factor / grid) * grid) for _, close in rows[:at]]
    assert adjusted == expected + [float(close) for _, close in rows[at:]]
    # The day's return is that of price and dividend, to the rounding of one price.
    told, held = Fraction(adjusted[at]) / Fraction(adjusted[at - 1]), Fraction(rows[at][1]) / (before - Fraction(AMOUNT))
    assert abs(told / held - 1) < Fraction(1, 10**8)
