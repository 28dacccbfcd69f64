"""A day of a synthetic market, order by order, with nobody trading: how fast records go through kernel and venue."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from .measuring import in_fresh_process, seconds, unit

if TYPE_CHECKING:
    from cift.domain.chunk import Chunk, SchemaName
    from cift.domain.instrument import Instrument

EVENTS = 1_000_000
SYMBOL, DATE = "BENCH.SIM", "2026-01-05"
REPLAY = """
import resource, sys
import cift

class Idle(cift.Strategy):
    pass

result = cift.Backtest(cift.Catalog("catalog").ticks(sys.argv[1], sys.argv[2]), Idle).run(progress=False)
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(sum(result.record.rows.values()), peak if sys.platform == "darwin" else peak * 1024)
"""


@dataclass(frozen=True)
class Held:
    """A feed whose chunks are in memory."""

    symbol: str
    schema: SchemaName
    instrument: Instrument
    content_hash: str
    held: tuple[Chunk, ...]

    def chunks(self, rows: int | None) -> Iterator[Chunk]:
        """The chunks, as they are held."""
        return iter(self.held)


class Replay:
    """A million records of `mbo`; the strategy's delayed book is kept, though nobody looks at it."""

    params = ("parquet", "memory")
    param_names = ("source",)

    def setup_cache(self) -> None:
        """Makes the market in a catalog."""
        import cift
        from cift.data.demo import generate

        generate(cift.Catalog("catalog"), SYMBOL, DATE, EVENTS, seed=3)

    def setup(self, source: str) -> None:
        """The view: of the catalog, or of its chunks held in memory."""
        import cift
        from cift.sim.run import DEFAULT_CHUNK_ROWS

        class Idle(cift.Strategy):
            """Asks for nothing."""

        view = cift.Catalog("catalog").ticks(SYMBOL, DATE)
        (feed,) = view.feeds
        self.rows = sum(chunk.rows for chunk in feed.chunks(None))
        # Parquet is decoded by a thread of its own, beside the run.
        self.clock = time.process_time if source == "memory" else time.perf_counter
        if source == "memory":
            held = tuple(feed.chunks(DEFAULT_CHUNK_ROWS))
            view = replace(view, feeds=(Held(feed.symbol, feed.schema, feed.instrument, feed.content_hash, held),))
        self.backtest = cift.Backtest(view, Idle)

    @unit("ns/event")
    def track_event(self, _source: str) -> float:
        """A whole run, from the first chunk to the Result, by record. 100 ns are 10 million events a second."""
        (taken,) = seconds(lambda: self.backtest.run(progress=False), clock=self.clock)
        return taken / self.rows * 1e9


class Memory:
    """What a process holds."""

    def setup_cache(self) -> None:
        """Makes the market in a catalog."""
        Replay.setup_cache(Replay())

    @unit("bytes")
    def track_peak_of_a_replay(self) -> float:
        """Peak resident memory of a process that replays a million records from Parquet."""
        rows, peak = in_fresh_process(REPLAY, SYMBOL, DATE)
        assert rows > EVENTS
        return peak
