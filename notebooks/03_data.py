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
# # From a vendor's raw files to a catalog that can be trusted
#
# Files from a vendor have faults. This notebook takes a delivery of quotes and trades as it might arrive, lets the doctor look at
# it, mends a copy, stores it, and asks the catalog for bars, SQL and a backtest. The delivery is generated, so we know
# which faults were planted and can see whether the doctor finds them all.

# %%
import tempfile
from pathlib import Path

import altair as alt
import polars as pl

import cift
from cift.data.delivery import deliver
from cift.data.doctor import check, repair
from cift.data.importers import import_csv, import_parquet
from cift.report.diagnosis import picture

# Altair's default renderer loads scripts from the network; SVG shows everywhere.
_ = alt.renderers.enable("svg")
pl.Config.set_tbl_hide_dataframe_shape(True)

folder = Path(tempfile.mkdtemp())
delivery = deliver(folder)
pl.read_csv(delivery.trades).head(3)

# %% [markdown]
# ## An import refuses what it cannot trust
#
# The columns have the vendor's names and times are microseconds, so we say which is which. The import ends at the first row that
# cannot be: it names file and row, and the catalog is as it was.

# %%
catalog = cift.Catalog(folder / "catalog")
trade_columns = {"ts_event": "TIME", "price": "PRICE", "size": "SIZE", "aggressor": "SIDE", "trade_id": "ID"}
quote_columns = {"ts_event": "TIME", "bid_price": "BID", "bid_size": "BIDSIZ", "ask_price": "ASK", "ask_size": "ASKSIZ"}
grid = {"symbol": "ACME.SIM", "tick_size": "0.01", "lot_size": 1}

try:
    import_csv(catalog, delivery.trades, schema="trades", columns=trade_columns, time_unit="us", **grid)
except cift.errors.CiftError as error:
    print(f"{type(error).__name__}: {error}")
print("stored:", catalog.symbols())

# %% [markdown]
# ## The doctor looks at everything
#
# It refuses nothing and counts each kind of fault. `diagnosis.frame` is a frame of the findings, and the picture shows them on the
# price, one line for each kind, and where rows are missing.

# %%
trades = check(delivery.trades, schema="trades", columns=trade_columns, time_unit="us", **grid)
trades.frame.select("severity", "kind", "count", "advice")

# %%
picture(**trades.pictures()[0])

# %%
quotes = check(delivery.quotes, schema="quotes", columns=quote_columns, time_unit="us", **grid)
picture(**quotes.pictures()[0])

# %% [markdown]
# What was planted and what was found, line by line of the files:

# %%
found = trades.counts + quotes.counts
planted = delivery.planted
pl.DataFrame(
    {"fault": list(planted), "planted": [len(lines) for lines in planted.values()], "found": [found[kind] for kind in planted]}
)

# %% [markdown]
# ## A mended copy, and a list of what was done to it
#
# `repair` writes a new file and never touches the original: rows are sorted by time, those that cannot be are set aside in a file of
# their own, and doubtful ones are flagged. Every change is a row of `repairs`.

# %%
mended = repair(delivery.trades, folder / "trades.parquet", schema="trades", columns=trade_columns, time_unit="us", **grid)
mended_quotes = repair(
    delivery.quotes, folder / "quotes.parquet", schema="quotes", columns=quote_columns, time_unit="us", **grid
)
mended.repairs.group_by("kind", "action").len("rows").sort("kind", "action")

# %%
import_parquet(catalog, mended_quotes.path, schema="quotes", policies={"crossed_quote": "pass"}, **grid)
report = import_parquet(catalog, mended.path, schema="trades", **grid)
print(f"{report.rows_written:,} prints stored, {report.counts['equal_times']} of them at the time of the one before")

# %% [markdown]
# ## The catalog, checked
#
# What is stored now has no errors; the twenty minutes that the vendor never sent are still missing, and the doctor still says
# so. From here on every read compares page checksums, and `verify` reads every file in full: one flipped bit is an error that
# names the file.

# %%
diagnosis = catalog.check("ACME.SIM")
print(f"{diagnosis.rows:,} rows, gravest finding: {diagnosis.worst}")
diagnosis.frame.select("schema", "severity", "kind", "count")

# %%
print(catalog.verify(), "partitions are as written")
file = next((catalog.path / "trades").rglob("*.parquet"))
sound = file.read_bytes()
file.write_bytes(bytes([*sound[:5_000], sound[5_000] ^ 1, *sound[5_001:]]))
try:
    catalog.verify()
except cift.errors.CorruptData as error:
    print(str(error).replace(str(catalog.path), "catalog"))
file.write_bytes(sound)
catalog.ls().select("schema", "symbol", "date", "rows")

# %% [markdown]
# ## Research on it
#
# SQL over the stored tables, bars that end with the time or with what was traded, and both kept beside the ticks.

# %%
catalog.sql(
    """
    select date_trunc('hour', ts_event::timestamptz) as hour, count(*) as prints, sum(size) as volume,
           sum(price * size) / sum(size) as vwap
    from trades where symbol = $symbol group by hour order by hour
    """,
    {"symbol": "ACME.SIM"},
)

# %%
ticks = catalog.ticks("ACME.SIM", "2026-01-05")
minutes = ticks.bars("5m")
catalog.write("bars", "ACME.SIM", minutes, spec="5m")

clock = alt.X("ts_open:T", title=None, axis=alt.Axis(format="%H:%M"))
base = alt.Chart(catalog.bars("ACME.SIM", "5m")).encode(x=clock)
colour = alt.condition("datum.open <= datum.close", alt.value("#2a7a4b"), alt.value("#b5442e"))
price = alt.Y("low:Q", title="price", scale=alt.Scale(zero=False))
candles = base.mark_rule().encode(y=price, y2="high:Q", color=colour) + base.mark_bar(size=4).encode(
    y="open:Q", y2="close:Q", color=colour
)
volume = base.mark_bar(size=4, color="#8a8f98").encode(
    y=alt.Y("volume:Q", title="volume", axis=alt.Axis(format="~s", tickCount=3))
)
panels = candles.properties(width=640, height=200), volume.properties(width=640, height=60)
alt.vconcat(*panels).resolve_scale(x="shared")

# %% [markdown]
# The gap after 13:10 is the vendor's. A strategy sees the same bars, made of what reaches it:


# %%
class Breakout(cift.Strategy):
    """Long above the highest close of the last bars, flat below the lowest."""

    length: int = cift.param(6, low=2, high=50)
    closes: list = cift.state([])

    def setup(self) -> None:
        self.bars("5m")

    def on_bar(self, bar: cift.Bar) -> None:
        if len(self.closes) == self.length:
            if bar.close > max(self.closes):
                self.target(100)
            elif bar.close < min(self.closes):
                self.target(0)
            self.closes.pop(0)
        self.closes.append(bar.close)


result = cift.Backtest(ticks, Breakout, cash=100_000).run()
result

# %% [markdown]
# The digest of a run names its data by the hash of their values, which is the same wherever they are stored:

# %%
for dataset, values in catalog.content_hash("ACME.SIM", "2026-01-05").items():
    print(f"{dataset:12} {values[:16]}")
print("the run     ", result.digest[:16])
