# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Quickstart
#
# One cell from `import cift` to a result. The market is synthetic: one day of 200,000 order book events, made at the first call
# and kept in your cache folder.

# %%
import cift
from cift.indicators import EMA


class EmaCross(cift.Strategy):
    """Long 100 while the fast average of the mid is above the slow one, short 100 while it is below."""

    fast: int = cift.param(10, low=2, high=50)
    slow: int = cift.param(50, low=10, high=200)

    def setup(self) -> None:
        quick, calm = self.indicator(EMA(self.fast), on="mid"), self.indicator(EMA(self.slow), on="mid")
        self.when(quick.crosses_above(calm), self.go_long)
        self.when(quick.crosses_below(calm), self.go_short)

    def go_long(self) -> None:
        self.target(+100)

    def go_short(self) -> None:
        self.target(-100)


catalog = cift.demo_catalog()
ticks = catalog.ticks("DEMO.SIM", "2026-01-05")
venue = cift.Venue(latency="250us", fees=cift.Fees(taker_bps=0.5))

backtest = cift.Backtest(ticks, EmaCross, cash=1_000_000, venue=venue)
result = backtest.run(fast=10, slow=30)
result

# %% [markdown]
# It loses money, as it should: this market has no trend to follow, and each change of side pays half the spread and a fee. The
# **mark-outs** show it: how far the mid stands in favour of a fill 1, 10 and 60 seconds after it, before fees.
#
# One day is too short for a Sharpe ratio. Below 20 days nothing is annualised, and the page leads with money per fill and its
# standard error.

# %% [markdown]
# ## What it ran on
#
# A catalog is a folder of Parquet. This one holds the same day as every order (`mbo`), as best bid and ask (`quotes`) and as
# prints (`trades`). A view takes the richest kind that is stored, here L3: every order.

# %%
catalog.ls()

# %%
ticks

# %% [markdown]
# ## The figures
#
# Labels and meanings are those of backtesting.py, and then our own. `result["# Fills"]` reads one of them.

# %%
result.stats

# %% [markdown]
# ## The picture

# %%
result.plot()

# %% [markdown]
# ## Every fill has a reason
#
# Frames are polars: `fills`, `orders`, `trades`, `positions`, `equity` and `log`. `EmaCross` sends market orders, so each fill
# is a *taker's*: it `took` what stood on the other side. An order that takes from several resting orders has several fills.

# %%
result.fills.select("ts", "order_id", "side", "price", "size", "fee", "reason", "position").head(5)

# %% [markdown]
# A resting order is another matter: it stands in a queue, and whether it trades depends on what stands in front of it. This one
# buys at the bid and sells at the ask, one order at a time, and follows the touch when it moves.


# %%
class AtTheTouch(cift.Strategy):
    """Rests one order at a time: buys at the bid when flat, sells what it holds at the ask."""

    size: int = cift.param(100, low=1, high=10_000)

    def on_quote(self, quote) -> None:
        for order in self.open_orders:
            touch = quote.bid_price if order.side == "buy" else quote.ask_price
            if order.status == "open" and order.price != touch:
                self.cancel(order.id)
        if self.open_orders:
            return
        if self.position == 0:
            self.buy(self.size, limit=quote.bid_price)
        else:
            self.sell(self.position, limit=quote.ask_price)


maker = cift.Backtest(ticks, AtTheTouch, venue=venue).run()
maker

# %% [markdown]
# Three things fill a resting order, and each fill names its own:
#
# - `queue`: executions at its price used up what stood ahead, and reached it.
# - `swept`: an execution at a worse price went through its level.
# - `crossed`: a recorded order or quote arrived that crossed its price.
#
# `ahead` is the size that stood in front when the order joined its queue.

# %%
import polars as pl

maker.fills.group_by("reason", maintain_order=True).agg(
    fills=pl.len(), size=pl.col("size").sum(), median_ahead=pl.col("ahead").median(), most_ahead=pl.col("ahead").max()
)

# %% [markdown]
# One of them, told from its row and from its order's:

# %%
fill = maker.fills.filter(pl.col("reason") == "queue", pl.col("size") == 100, pl.col("ahead") > 0).row(0, named=True)
order = maker.orders.filter(pl.col("order_id") == fill["order_id"]).row(0, named=True)
waited_s = (fill["ts"] - order["ts_accepted"]).total_seconds()

print(f"Order {order['order_id']}: {order['side']} {order['size']:g} at {order['price']:.2f}.")
print(f"Sent at {order['ts_submitted']:%H:%M:%S.%f}; it reached the venue 250 us later and joined the queue at its price.")
print(f"A size of {fill['ahead']:g} stood ahead and had to trade or leave first.")
print(f"At {fill['ts']:%H:%M:%S.%f}, {waited_s:.3f} s after it joined, an execution reached it.")
print(f"{fill['size']:g} traded at {fill['price']:.2f} with the mid at {fill['mid']:.3f}: a maker earns what a taker pays.")


# %% [markdown]
# The next notebook opens one such queue order by order.
#
# ## Many runs
#
# `sweep` runs every combination, `optimize` returns the best run. `executor=4` would use four processes; the results are the
# same. Slower averages change sides less often here and pay less: they lose less, and none of them earns.

# %%
backtest.sweep(fast=[10, 20, 40], slow=[50, 100, 200])

# %% [markdown]
# ## Keeping a run
#
# A saved run is one file, and holds all its frames, its journal, and its **digest**: a hash of every order, fill and balance.
# Equal digests mean equal runs, to the last bit. The **tear sheet** is one HTML file that needs no network.

# %%
import tempfile
from pathlib import Path

folder = Path(tempfile.mkdtemp())
saved = result.save(folder / "ema_cross.cift")
report = result.tearsheet(folder / "report.html")

again = cift.load(saved)
print("the same run:", again.digest == result.digest == backtest.run(fast=10, slow=30).digest)
print(f"{saved.name}: {saved.stat().st_size / 1e6:.1f} MB, {report.name}: {report.stat().st_size / 1e6:.1f} MB")

# %% [markdown]
# ## Where next
#
# - `02_order_book`: depth, the queue at the touch, and one fill explained by the orders that stood ahead of it.
# - Your own data: `cift.quotes(frame, trades=frame)` takes polars and pandas frames; `cift data import` fills a catalog.
# - `cift.interactive(result.plot())` zooms and pans (needs the `notebook` extra).
