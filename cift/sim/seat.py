"""Seats a strategy in a run: handles, indicators, conditions, and what it may not do behind their back."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from cift.domain.instrument import Instrument
from cift.errors import CiftError, UnknownName
from cift.sim.run import RunSpec

if TYPE_CHECKING:
    from cift.domain.chunk import Chunk

_WARNED: set[str] = set()


class Seated:
    """A strategy in its run."""

    def __init__(
        self, strategy: Any, bench: Any, look_ahead: Callable[[int, Chunk | None], None] | None, reads: dict[str, str]
    ) -> None:
        self._strategy = strategy
        self._bench = bench
        self._before = dict(vars(strategy))
        self.look_ahead = look_ahead
        self.reads = reads

    @property
    def log(self) -> list[tuple[int, str, str]]:
        """What the strategy logged, but for what was taken."""
        return self._bench.log  # type: ignore[no-any-return]

    def take_log(self) -> list[tuple[int, str, str]]:
        """Hands over what the strategy logged, and forgets it."""
        taken, self._bench.log = self._bench.log, []
        return taken  # type: ignore[no-any-return]

    def warn_of_undeclared_state(self) -> None:
        """Says once which attributes a handler changed without `cift.state`: a restart would not know them."""
        declared = self._strategy.states
        after = vars(self._strategy)
        changed = [name for name, value in after.items() if name not in declared and self._before.get(name, after) is not value]
        key = f"{type(self._strategy).__qualname__}: {', '.join(sorted(changed))}"
        if changed and key not in _WARNED:
            _WARNED.add(key)
            example = sorted(changed)[0]
            warnings.warn(
                f"{type(self._strategy).__name__} changes {', '.join(sorted(changed))} after setup without declaring it; "
                f"write `{example} = cift.state(...)` in the class, or a live run could not be restored",
                UserWarning,
                stacklevel=4,
            )


def seat(run: Any, spec: RunSpec, instruments: Mapping[str, Instrument]) -> Seated:
    """Makes the strategy of a spec, lets it declare what it needs, and connects it to the compiled run."""
    strategy: Any = spec.strategy(**spec.parameters)
    handles = run.handles()
    reads: dict[str, str] = {}

    def read(path: str) -> bytes:
        if spec.read is None:
            raise CiftError("this run reads no files: it was not given a reader")
        content = spec.read(path)
        reads[path] = hashlib.blake2b(content, digest_size=32).hexdigest()
        return content

    def make_line(indicator: Any, on: str, symbol: str, bars: Any) -> Any:
        from cift.sim.indicators import Line

        return Line(indicator, on, symbol, bars)

    def make_bars(spec_text: Any, on: str | None, symbol: str) -> Any:
        from cift.sim.bars import bars_in

        return bars_in(spec.ticks, spec_text, on, symbol)

    bench = strategy.take_seat(dict(zip(instruments, handles, strict=True)), make_line, make_bars, spec.seed, read)
    bench.in_setup = True
    strategy.setup()
    bench.in_setup = False
    look_ahead = None
    refusals: list[Callable[[], None]] = []
    lines: list[tuple[Any, int, bool]] = []
    handlers = strategy.handlers()
    on_bar = handlers.get("on_bar")
    if on_bar is not None and not bench.bars:
        raise UnknownName(
            f"{type(strategy).__name__}.on_bar would never be called: declare bars in setup, such as self.bars('1m')"
        )
    if bench.lines or bench.bars:
        from cift.sim.indicators import LookAhead

        ahead = LookAhead(run, bench.lines, bench.conditions, bench.bars, instruments, spec.ticks)
        lines = [(line, at, clock == "trade") for line, (at, clock) in zip(bench.lines, ahead.clocks, strict=True)]
        look_ahead, refusals = ahead.advance, ahead.refusals
    else:
        run.look_at([])
    calls = [stream.hand_over(on_bar) for stream in bench.bars] + [call for _, call in bench.conditions] + refusals
    run.set_strategy(handlers, calls, lines, handles)
    return Seated(strategy, bench, look_ahead, reads)
