"""CIFT Markets: backtest a strategy on a real matching engine, explain every fill, and promote it unchanged."""
