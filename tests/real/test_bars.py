"""Bars of a day of EUR/USD quotes against the bars that another engine made of them."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import polars as pl
import pytest

import cift
from cift.data.view import Ticks

DAY = pl.datetime(2014, 5, 7, time_unit="ns", time_zone="UTC")
PRICES = ("open", "high", "low", "close")


def table(file: Path, columns: list[str]) -> pl.DataFrame:
    """The rows of the only file of a zip, with milliseconds of the day as times."""
    with zipfile.ZipFile(file) as archive:
        (name,) = archive.namelist()
        frame = pl.read_csv(io.BytesIO(archive.read(name)), has_header=False, new_columns=columns)
    return frame.with_columns(ts=DAY + pl.duration(milliseconds=pl.col("ms"), time_unit="ns"))


@pytest.fixture(scope="module")
def quotes(real_data: Path) -> Ticks:
    frame = table(real_data / "fx" / "fxcm_eurusd_tick_20140507.zip", ["ms", "bid_price", "ask_price"])
    assert frame.height == 89_504
    sizes = frame.with_columns(bid_size=pl.lit(1.0), ask_size=pl.lit(1.0))
    return cift.quotes(sizes, symbol="EURUSD.FXCM", tick_size="0.00001", lot_size=1)


@pytest.mark.parametrize(("spec", "name", "count"), [("1s", "second", 24_050), ("1m", "minute", 1_428)])
def test_bars_of_bid_and_ask_equal_those_of_another_engine(
    quotes: Ticks, real_data: Path, spec: str, name: str, count: int
) -> None:
    columns = [f"{side}_{price}" for side in ("bid", "ask") for price in (*PRICES, "size")]
    theirs = table(real_data / "fx" / f"fxcm_eurusd_{name}_20140507.zip", ["ms", *columns])
    for side in ("bid", "ask"):
        ours = quotes.bars(spec, on=side)
        assert ours.height == theirs.height == count
        assert ours["ts_open"].to_list() == theirs["ts"].to_list()
        for price in PRICES:
            assert ours[price].to_list() == theirs[f"{side}_{price}"].to_list()
