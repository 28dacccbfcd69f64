"""Indicators: functions of columns, written once and used in batch, in a stream and in a strategy."""

from cift.indicators.averages import EMA, SMA
from cift.indicators.bands import Bollinger
from cift.indicators.kernel import Indicator, kernel
from cift.indicators.momentum import MACD, RSI
from cift.indicators.quotes import Microprice, OrderFlowImbalance, Spread
from cift.indicators.sources import Quote

__all__ = [
    "EMA",
    "MACD",
    "RSI",
    "SMA",
    "Bollinger",
    "Indicator",
    "Microprice",
    "OrderFlowImbalance",
    "Quote",
    "Spread",
    "kernel",
]
