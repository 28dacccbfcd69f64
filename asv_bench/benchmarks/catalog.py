"""The Parquet catalog: rows written and read, every page checked."""

from __future__ import annotations

import shutil
from typing import Any

from .measuring import seconds, unit

EVENTS = 500_000
SYMBOL, DATE = "BENCH.SIM", "2026-01-05"
SCHEMAS = ("mbo", "quotes")


class Rows:
    """One day of a synthetic market."""

    params = SCHEMAS
    param_names = ("schema",)

    def setup_cache(self) -> None:
        """Makes the market in a catalog."""
        import cift
        from cift.data.demo import generate

        generate(cift.Catalog("catalog"), SYMBOL, DATE, EVENTS, seed=4)

    def setup(self, schema: str) -> None:
        """The rows in memory, as they were read once."""
        import cift

        catalog = cift.Catalog("catalog")
        feeds = catalog.ticks(SYMBOL, DATE, level="L3" if schema == "mbo" else "L1").feeds
        (self.feed,) = (feed for feed in feeds if feed.schema == schema)
        self.chunks = list(self.feed.chunks(65_536))
        self.rows = sum(chunk.rows for chunk in self.chunks)
        self.instrument: Any = self.feed.instrument

    def read(self) -> None:
        """All rows, in chunks."""
        assert sum(chunk.rows for chunk in self.feed.chunks(65_536)) == self.rows

    def write(self, schema: str) -> None:
        """All rows into a new catalog: screened, sorted out by day, hashed, compressed, synced to disk."""
        import cift

        shutil.rmtree("written", ignore_errors=True)
        cift.Catalog("written").write(schema, SYMBOL, self.chunks, self.instrument)

    @unit("ns/row")
    def track_read(self, _schema: str) -> float:
        """Decoded, checked and handed out as raw columns."""
        (taken,) = seconds(self.read)
        return taken / self.rows * 1e9

    def check(self, schema: str) -> None:
        """The doctor's look at all rows."""
        import cift

        assert cift.Catalog("catalog").check(SYMBOL, schema=schema).findings == []

    @unit("ns/row")
    def track_check(self, schema: str) -> float:
        """Every rule over every row; orders are rebuilt into a book."""
        self.check(schema)
        (taken,) = seconds(lambda: self.check(schema), repeat=3)
        return taken / self.rows * 1e9

    @unit("ns/row")
    def track_write(self, schema: str) -> float:
        """From memory to a catalog."""
        (taken,) = seconds(lambda: self.write(schema), repeat=3)
        return taken / self.rows * 1e9
