"""Features and targets for machine learning, as polars expressions over the columns of quotes, trades and books.

    from cift import features as ft

    quotes.with_columns(ft.spread(), ft.microprice(), ft.imbalance())

They stand here and not among `cift.indicators`, though they use those: an indicator may run inside a strategy and so reads
this row and the rows before; a target looks forward, and a join reads two frames. What is one arithmetic formula is a plain
expression and stays in the engine of polars; what has a state is the indicator of that name. Both give the same bits.

Every expression reads the rows in the order in which they stand. In a frame of several symbols or days it is kept apart by
`.over("symbol")`, or by `by=` where there is that argument.
"""

from cift.data.bars import ohlcv
from cift.data.joins import join_asof
from cift.data.narrowing import NarrowedColumn, NarrowReport, narrow, widen
from cift.research.features.depth import depth_imbalance, depth_slope
from cift.research.features.flow import order_flow_imbalance, signed_size, tick_rule, trade_flow, trade_sign
from cift.research.features.lookahead import Leak, check_lookahead
from cift.research.features.quotes import imbalance, microprice, mid, relative_spread, spread
from cift.research.features.splits import PurgedSplit
from cift.research.features.training import lagged, session, target, training_frame
from cift.research.features.windows import realised_volatility, roll_spread, vwap

__all__ = [
    "Leak",
    "NarrowReport",
    "NarrowedColumn",
    "PurgedSplit",
    "check_lookahead",
    "depth_imbalance",
    "depth_slope",
    "imbalance",
    "join_asof",
    "lagged",
    "microprice",
    "mid",
    "narrow",
    "ohlcv",
    "order_flow_imbalance",
    "realised_volatility",
    "relative_spread",
    "roll_spread",
    "session",
    "signed_size",
    "spread",
    "target",
    "tick_rule",
    "trade_flow",
    "trade_sign",
    "training_frame",
    "vwap",
    "widen",
]
