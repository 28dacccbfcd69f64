"""The matching engine by itself: price-time priority over one book, and statistics of what it fills.

Everything here is in whole numbers: prices in ticks, sizes in lots, times in nanoseconds since the epoch. It is the engine
that simulations trade through; nothing is matched anywhere else.

```python
from cift.core import MatchingEngine, Side

engine = MatchingEngine()
engine.submit(side=Side.SELL, price_ticks=101, qty_lots=5)
fills = engine.submit(side=Side.BUY, price_ticks=101, qty_lots=8)  # <1 fills of order #2: 5 lots, 3 resting>
engine.book.best_bid  # (101, 3)
```

To replay history with orders of your own in its queues, tell it what the record says (`record_add`, `record_reduce`,
`record_modify`, `record_execute`, `record_print`, `record_clear`) and send orders in between.
"""

from cift._sim import (
    Fill,
    Fills,
    MatchingEngine,
    Order,
    OrderBook,
    PositionStats,
    RestingOrder,
    Side,
    build_order_book,
    calculate_position_stats,
    calculate_sharpe,
    match_order,
)

__all__ = [
    "Fill",
    "Fills",
    "MatchingEngine",
    "Order",
    "OrderBook",
    "PositionStats",
    "RestingOrder",
    "Side",
    "build_order_book",
    "calculate_position_stats",
    "calculate_sharpe",
    "match_order",
]
