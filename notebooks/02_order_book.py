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
# # The order book, and one fill explained by its queue
#
# A backtest here replays every recorded order through a matching engine, with ours standing in the same queues. This notebook
# looks into the book, puts one passive order at the bid, and follows the orders in front of it until ours trades.

# %%
import json
import os
import tempfile
from datetime import datetime
from pathlib import Path

import altair as alt
import polars as pl

import cift
from cift.data.importers import import_lobster

# Altair's default renderer loads scripts from the network; SVG shows everywhere. `result.plot()` does this by itself.
_ = alt.renderers.enable("svg")
# %% [markdown]
# ## Markets
#
# The synthetic market of the demo catalog is always there. Where the environment variable `CIFT_REAL_DATA` names a folder with
# the LOBSTER sample (NASDAQ, AAPL, 2012-06-21, one hour of every order within 50 levels), it is imported into a temporary
# catalog, and every cell below shows it too.

# %%
markets = [(cift.demo_catalog(), "DEMO.SIM", "2026-01-05T10:00:00Z")]

lobster = Path(os.environ.get("CIFT_REAL_DATA", "no-such-folder")) / "lobster"
if lobster.is_dir():
    real = cift.Catalog(Path(tempfile.mkdtemp()) / "catalog")
    report = import_lobster(
        real,
        lobster / "AAPL_2012-06-21_34200_37800_message_50.csv.zst",
        lobster / "AAPL_2012-06-21_first672_orderbook_50.csv.zst",
        symbol="AAPL.XNAS",
        # Cancelled outside the sample's 50 levels, so the file never says that it is gone.
        phantoms=[(54_607, "bid", "584.21", 100)],
    )
    print(f"imported {report.rows_read:,} messages as {report.rows_written:,} records")
    markets.append((real, "AAPL.XNAS", "2012-06-21T13:33:30Z"))
else:
    print("CIFT_REAL_DATA names no folder with the LOBSTER sample: the synthetic market alone")

pl.concat([catalog.ls().filter(pl.col("symbol") == symbol, pl.col("schema") == "mbo") for catalog, symbol, _ in markets])

# %% [markdown]
# ## A strategy that joins the queue
#
# At a given moment it writes down the book, buys at the bid with one limit order, and from then on notes, after every event,
# which of the orders in front of it are still there. `book` is the market as it arrives, without orders of our own; a run
# gives back what its strategy logs.


# %%
class JoinTheBid(cift.Strategy):
    """Buys once at the bid, and notes who stands ahead."""

    at_ns: int = cift.param(0, help="when, in nanoseconds since the epoch")
    size: int = cift.param(100, low=1, high=10_000)
    price: float = cift.state(0.0)
    ahead: list = cift.state([])

    def on_start(self) -> None:
        self.timer(at_ns=self.at_ns)

    def on_timer(self, _number) -> None:
        self.price = self.book.bid
        queues = {"bid": self.book.queue("buy", self.book.bid), "ask": self.book.queue("sell", self.book.ask)}
        self.log(json.dumps({"bid": self.book.depth("buy", 10), "ask": self.book.depth("sell", 10)}), "depth")
        self.log(json.dumps(queues), "touch")
        self.buy(self.size, limit=self.price)
        self.note(queues["bid"])

    def on_book(self, book) -> None:
        if self.ahead:
            self.note([row for row in book.queue("buy", self.price) if row[0] in self.ahead])

    def note(self, queue) -> None:
        self.ahead = [order_id for order_id, _ in queue]
        self.log(json.dumps(queue), "queue")


runs = {}
for catalog, symbol, moment in markets:
    view = catalog.ticks(symbol, moment[:10])
    runs[symbol] = cift.Backtest(view, JoinTheBid).run(at_ns=int(datetime.fromisoformat(moment).timestamp()) * 10**9)

pl.concat([run.fills for run in runs.values()]).select("ts", "symbol", "side", "price", "size", "liquidity", "reason", "ahead")

# %% [markdown]
# ## Depth
#
# Ten levels of each side at the moment the order was sent: what a market order of a given size would have to go through.

# %%
charts = []
for symbol, run in runs.items():
    depth = json.loads(run.log.filter(pl.col("level") == "depth")["message"][0])
    levels = pl.DataFrame(
        [(side, *level) for side in depth for level in depth[side]], schema=["side", "price", "size", "orders"], orient="row"
    ).with_columns(total=pl.col("size").cum_sum().over("side"))
    colour = alt.Color("side:N", title=None, scale=alt.Scale(domain=["bid", "ask"], range=["#1d4f91", "#f28e2b"]))
    price = alt.X("price:Q", scale=alt.Scale(zero=False, nice=False), axis=alt.Axis(format=".2f", tickCount=5))
    total = alt.Y("total:Q", title="size up to this price", axis=alt.Axis(tickCount=5, titlePadding=14))
    # Between two levels stands what the better one offers.
    sides = [
        alt.Chart(levels.filter(pl.col("side") == side))
        .mark_area(interpolate=interpolate, opacity=0.7)
        .encode(x=price, y=total, color=colour)
        for side, interpolate in (("bid", "step-before"), ("ask", "step-after"))
    ]
    charts.append(alt.layer(*sides, title=f"{symbol}, {run.log['ts'][0]:%H:%M:%S} UTC").properties(width=310, height=220))
alt.hconcat(*charts)

# %% [markdown]
# ## The queue at the touch
#
# Every bar is the best price of one side, every piece an order in it, the oldest at the left. Our buy order joined at the right
# end of the bid's bar.

# %%
charts = []
for symbol, run in runs.items():
    touch = json.loads(run.log.filter(pl.col("level") == "touch")["message"][0])
    orders = pl.DataFrame(
        [(side, place, size) for side in touch for place, (_, size) in enumerate(touch[side])],
        schema=["side", "place", "size"],
        orient="row",
    )
    charts.append(
        alt.Chart(orders, title=symbol, width=310, height=80)
        .mark_bar(stroke="white")
        .encode(
            x=alt.X("size:Q", title="size, oldest order first", axis=alt.Axis(tickCount=3)),
            y=alt.Y("side:N", title=None, sort=["ask", "bid"]),
            order="place:Q",
            color=alt.Color("side:N", legend=None, scale=alt.Scale(domain=["bid", "ask"], range=["#1d4f91", "#f28e2b"])),
        )
    )
alt.hconcat(*charts)

# %% [markdown]
# ## What happened to those ahead
#
# The record says what became of each order that stood in front: a `fill` names the order that traded, and what goes without
# one was cancelled or moved. The size ahead can only shrink, by the one or by the other, until it is our turn.

# %%
steps, tables = {}, {}
for catalog, symbol, _ in markets:
    run = runs[symbol]
    order, fill = run.orders.row(0, named=True), run.fills.row(0, named=True)
    # The venue's record between joining and filling, and when each event reached the strategy.
    record = (
        pl.scan_parquet(catalog.path / "mbo")
        .filter(pl.col("symbol") == symbol, pl.col("ts_event").is_between(order["ts_accepted"], fill["ts"]))
        .select("action", "order_id", "size", arrival=pl.coalesce("ts_recv", "ts_event"))
        .collect()
    )
    notes = run.log.filter(pl.col("level") == "queue", pl.col("ts") <= record["arrival"].max())
    queues = [dict(json.loads(message)) for message in notes["message"]]
    traded = record.filter(pl.col("action") == "fill", pl.col("order_id").is_in(list(queues[0])))
    executed = dict(traded.group_by("order_id").agg(pl.col("size").sum()).iter_rows())
    tables[symbol] = pl.DataFrame(
        [
            (place, order_id, size, executed.get(order_id, 0.0), queues[-1].get(order_id, 0.0))
            for place, (order_id, size) in enumerate(queues[0].items(), start=1)
        ],
        schema=["place", "order_id", "size", "traded", "still_there"],
        orient="row",
    ).with_columns(left=pl.col("size") - pl.col("traded") - pl.col("still_there"))
    steps[symbol] = pl.DataFrame({"ts": notes["ts"], "ahead": [sum(queue.values()) for queue in queues]}).with_columns(
        seconds=(pl.col("ts") - order["ts_accepted"]).dt.total_nanoseconds() / 1e9,
        change=pl.when(pl.col("ahead").diff() < 0).then(
            pl.when(pl.col("ts").is_in(traded["arrival"].implode())).then(pl.lit("traded")).otherwise(pl.lit("left"))
        ),
    )

pl.concat([table.select(pl.lit(symbol).alias("symbol"), pl.all()) for symbol, table in tables.items()])

# %%
reasons = {
    "queue": "an execution at its price reached it",
    "swept": "an execution at a worse price went through its level",
    "crossed": "an order arrived that crossed its price",
}
for symbol, run in runs.items():
    order, fill = run.orders.row(0, named=True), run.fills.row(0, named=True)
    traded, left, still_there = (tables[symbol][name].sum() for name in ("traded", "left", "still_there"))
    waited_s = (fill["ts"] - order["ts_accepted"]).total_seconds()
    print(f"{symbol}: buy {order['size']:g} at {order['price']:.2f}.")
    print(f"  It joined behind {fill['ahead']:g} in {tables[symbol].height} orders.")
    print(f"  Of these {traded:g} traded and {left:g} left without trading; {still_there:g} was there to the end.")
    print(f"  After {waited_s:.3f} s {fill['size']:g} filled, by '{fill['reason']}': {reasons[fill['reason']]}.")

# %%
charts = []
for symbol, line in steps.items():
    x = alt.X("seconds:Q", title="seconds since our order joined")
    y = alt.Y("ahead:Q", title="size ahead of ours", axis=alt.Axis(tickCount=5, titlePadding=14))
    drawn = alt.Chart(line).mark_line(interpolate="step-after", color="#5b6470").encode(x=x, y=y)
    marks = (
        alt.Chart(line.drop_nulls("change"))
        .mark_point(filled=True, size=80, opacity=1)
        .encode(
            x=x,
            y=y,
            color=alt.Color("change:N", title=None, scale=alt.Scale(domain=["traded", "left"], range=["#1d4f91", "#f28e2b"])),
            shape=alt.Shape(
                "change:N", title=None, scale=alt.Scale(domain=["traded", "left"], range=["circle", "triangle-down"])
            ),
        )
    )
    waited_s = (runs[symbol].fills["ts"][0] - runs[symbol].orders["ts_accepted"][0]).total_seconds()
    ours = pl.DataFrame({"seconds": [waited_s], "text": ["our fill"]})
    rule = alt.Chart(ours).mark_rule(strokeDash=[4, 3]).encode(x=x)
    label = alt.Chart(ours).mark_text(align="right", dx=-4, y=10).encode(x=x, text="text:N")
    charts.append(alt.layer(drawn, marks, rule, label, title=symbol).properties(width=310, height=220))
alt.hconcat(*charts)

# %% [markdown]
# A bar-based backtest fills such an order as soon as the price touches it, or not at all. Here it fills when the recorded flow
# reaches it, and `reason` and `ahead` say why in every row of `result.fills`.
#
# The order was at the venue at once here. With `cift.Venue(latency="250us")` it joins the queue as that is 250 us later.
