"""Features and joins as of on ten million rows, beside bare polars on the same columns in the same run.

Ratios are of processor time on all cores: of the wall's they would be those of whatever else the machine does.
"""

from __future__ import annotations

import time
from typing import Any

from .measuring import seconds, unit

PRINTS, QUOTES = 10_000_000, 2_000_000
SPAN_NS = 20_000 * 10**9
START_NS = 1_700_000_000 * 10**9
WINDOW = 100


def _times(draw: Any, rows: int) -> Any:
    """Ascending times, marked as such, so that polars need not look."""
    import numpy as np
    import polars as pl

    times = START_NS + np.sort(draw.integers(0, SPAN_NS, rows))
    return pl.Series("ts_event", times).cast(pl.Datetime("ns", "UTC")).set_sorted()


def _quotes(draw: Any, rows: int) -> Any:
    """Seeded quotes on cents."""
    import numpy as np
    import polars as pl

    bid = 10_000 + np.cumsum(draw.integers(-1, 2, rows))
    sizes = (pl.Series(f"{side}_size", draw.integers(1, 500, rows).astype(np.float64)) for side in ("bid", "ask"))
    prices = (pl.Series(f"{side}_price", (bid + step) / 100) for side, step in (("bid", 0), ("ask", 1)))
    return pl.DataFrame([_times(draw, rows), *prices, *sizes])


def _prints(draw: Any, rows: int) -> Any:
    """Seeded prints on cents."""
    import numpy as np
    import polars as pl

    price = (10_000 + np.cumsum(draw.integers(-1, 2, rows))) / 100
    return pl.DataFrame([_times(draw, rows), pl.Series("price", price), pl.Series("size", draw.integers(1, 500, rows) * 1.0)])


class Join:
    """Ten million prints, each with the last of two million quotes before it."""

    timeout = 600

    def setup(self) -> None:
        """Frames in order of time."""
        import numpy as np

        draw = np.random.default_rng(1)
        self.quotes, self.trades = _quotes(draw, QUOTES), _prints(draw, PRINTS)

    def ours(self) -> None:
        """The join that looks whether times go back."""
        from cift import features as ft

        self.made = ft.join_asof(self.trades, self.quotes)["bid_price"].sum()

    def polars(self) -> None:
        """The same by polars."""
        joined = self.trades.join_asof(self.quotes, on="ts_event", allow_exact_matches=False)
        assert joined["bid_price"].sum() == self.made

    @unit("s")
    def track_join(self) -> float:
        """Ours."""
        (taken,) = seconds(self.ours)
        return taken

    @unit("times polars")
    def track_join_over_polars(self) -> float:
        """Ours over polars, in turns."""
        mine, theirs = seconds(self.ours, self.polars, repeat=9, clock=time.process_time)
        return mine / theirs


class Features:
    """Features of ten million rows, each beside the expression that one would write in bare polars."""

    timeout = 600
    params = ("quote", "vwap", "volatility", "order_flow", "tick_rule", "target")
    param_names = ("feature",)

    def setup(self, feature: str) -> None:
        """The frame and both expressions; kernels are compiled."""
        import numpy as np

        draw = np.random.default_rng(1)
        self.frame = (_quotes if feature in ("quote", "order_flow") else _prints)(draw, PRINTS)
        self.ours, self.theirs = _expressions(feature)
        self.frame.head(10).select(self.ours)

    @unit("s")
    def track_feature(self, feature: str) -> float:
        """Ours."""
        (taken,) = seconds(lambda: self.frame.select(self.ours))
        return taken

    @unit("times polars")
    def track_feature_over_polars(self, feature: str) -> float:
        """Ours over polars, in turns."""
        bare = self._joined if self.theirs is None else lambda: self.frame.select(self.theirs)
        mine, theirs = seconds(lambda: self.frame.select(self.ours), bare, repeat=15, clock=time.process_time)
        return mine / theirs

    def _joined(self) -> Any:
        """A target in time by bare polars: the frame joined with itself, later."""
        import polars as pl

        price = pl.col("price")
        asked = self.frame.with_columns(at=pl.col("ts_event").dt.offset_by("1s"))
        later = self.frame.select(pl.col("ts_event").alias("at"), price.alias("later"))
        return asked.join_asof(later, on="at").select(pl.col("later") / price - 1)


def _expressions(feature: str) -> tuple[Any, Any]:
    """Ours, and that of bare polars."""
    import polars as pl

    from cift import features as ft

    bid, ask, bid_size, ask_size = (pl.col(name) for name in ("bid_price", "ask_price", "bid_size", "ask_size"))
    price, size = pl.col("price"), pl.col("size")
    if feature == "quote":
        bare = {
            "spread": ask - bid,
            "mid": (bid + ask) / 2,
            "microprice": (bid * ask_size + ask * bid_size) / (bid_size + ask_size),
            "imbalance": (bid_size - ask_size) / (bid_size + ask_size),
        }
        return [ft.spread(), ft.mid(), ft.microprice(), ft.imbalance()], [one.alias(name) for name, one in bare.items()]
    if feature == "vwap":
        return ft.vwap(WINDOW), (price * size).rolling_sum(WINDOW) / size.rolling_sum(WINDOW)
    if feature == "volatility":
        return (
            ft.realised_volatility(WINDOW, price="price"),
            (price / price.shift(1)).log().pow(2).rolling_sum(WINDOW).sqrt(),
        )
    if feature == "order_flow":
        joined = bid_size * (bid >= bid.shift(1)) - bid_size.shift(1) * (bid <= bid.shift(1))
        left = ask_size * (ask <= ask.shift(1)) - ask_size.shift(1) * (ask >= ask.shift(1))
        return ft.order_flow_imbalance(WINDOW), (joined - left).rolling_sum(WINDOW)
    if feature == "tick_rule":
        return ft.tick_rule(), price.diff().sign().replace(0, None).forward_fill().cast(pl.Int8)
    return ft.target("price", "1s"), None
