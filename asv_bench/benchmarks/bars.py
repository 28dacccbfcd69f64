"""Bars of ten million prints, beside bare polars on the same columns in the same run."""

from __future__ import annotations

from .measuring import seconds, unit

PRINTS = 10_000_000


class Bars:
    """Open, high, low, close, volume, count and vwap of each minute."""

    timeout = 300

    def setup(self) -> None:
        """Seeded prints on ticks of a cent, 8.5 ms apart in the mean."""
        import numpy as np
        import polars as pl

        draw = np.random.default_rng(1)
        ts = 1_700_000_000 * 10**9 + np.cumsum(draw.integers(0, 17_000_000, PRINTS))
        price = (10_000 + np.cumsum(draw.integers(-1, 2, PRINTS))) / 100
        size = draw.integers(1, 500, PRINTS).astype(np.float64)
        times = pl.Series("ts_event", ts).cast(pl.Datetime("ns", "UTC")).set_sorted()
        self.frame = pl.DataFrame([times, pl.Series("price", price), pl.Series("size", size)])

    def ours(self) -> None:
        """Of the frame, in whole ticks and lots."""
        from cift import features as ft

        self.made = ft.ohlcv(self.frame, "1m", tick="0.01", lot=1).height

    def polars(self) -> None:
        """The same columns by polars, in floats, on all cores."""
        import polars as pl

        price, size = pl.col("price"), pl.col("size")
        grouped = self.frame.group_by_dynamic("ts_event", every="1m")
        bars = grouped.agg(
            price.first().alias("open"), price.max().alias("high"), price.min().alias("low"), price.last().alias("close"),
            size.sum().alias("volume"), pl.len().alias("count"), (price * size).sum().alias("value"),
        )  # fmt: skip
        assert bars.height == self.made

    @unit("s")
    def track_minutes(self) -> float:
        """Ours, on one core."""
        (taken,) = seconds(self.ours)
        return taken

    @unit("times polars")
    def track_minutes_over_polars(self) -> float:
        """Ours over polars, in turns."""
        mine, theirs = seconds(self.ours, self.polars)
        return mine / theirs
