"""CIFT Markets: backtest a strategy on a real matching engine, and explain every fill.

import cift
from cift.indicators import EMA

class EmaCross(cift.Strategy): ...

result = cift.Backtest(cift.demo_catalog().ticks("DEMO.SIM", "2026-01-05"), EmaCross).run()
"""

from __future__ import annotations

from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any, NoReturn

from cift.strategy import Strategy, param, state

if TYPE_CHECKING:
    from cift.backtest import Backtest, Result, load
    from cift.data.catalog import Catalog
    from cift.data.demo import demo_catalog
    from cift.data.frames import quotes, trades
    from cift.data.questdb import QuestDB
    from cift.domain.bar import Bar
    from cift.domain.instrument import Instrument
    from cift.report.charts import interactive
    from cift.research import features as features
    from cift.sim.venue import Fees, Latency, Venue

__version__ = "0.1.0"

_HOMES = {
    "Bar": "cift.domain.bar",
    "Backtest": "cift.backtest",
    "Catalog": "cift.data.catalog",
    "Fees": "cift.sim.venue",
    "Instrument": "cift.domain.instrument",
    "Latency": "cift.sim.venue",
    "QuestDB": "cift.data.questdb",
    "Result": "cift.backtest",
    "Venue": "cift.sim.venue",
    "demo_catalog": "cift.data.demo",
    "features": "cift.research",
    "interactive": "cift.report.charts",
    "load": "cift.backtest",
    "quotes": "cift.data.frames",
    "trades": "cift.data.frames",
}
"""Where each name lives. They are imported when first used, so that `import cift` stays light."""

_LATER = {
    "bars": "runs are fed by catalog.ticks(...), cift.quotes(frame) or cift.trades(frame)",
    "from_signals": "signals are acted on by a Strategy's handlers, or by self.when(condition)",
}
"""Names that are planned, and what is supported until then."""

__all__ = [
    "Backtest", "Bar", "Catalog", "Fees", "Instrument", "Latency", "QuestDB", "Result", "Strategy", "Venue", "demo_catalog",
    "interactive", "load", "param", "quotes", "state", "trades",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if name in _LATER:
        return partial(_refuse, name)
    if home is None:
        raise AttributeError(f"module 'cift' has no attribute {name!r}")
    module = import_module(home)
    value = import_module(f"{home}.{name}") if name == "features" else getattr(module, name)
    globals()[name] = value
    return value


def _refuse(name: str, *_: object, **__: object) -> NoReturn:
    from cift.errors import NotSupported

    raise NotSupported(f"cift.{name} comes with a later release; until then {_LATER[name]}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, *_HOMES})
