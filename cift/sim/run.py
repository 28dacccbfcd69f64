"""Runs a strategy over a data view: the same loop for backtests, sweeps and verification."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from cift import _sim
from cift.domain.duration import NANOSECONDS
from cift.domain.instrument import MONEY_MAX, MONEY_UNITS_MAX, MONEY_UNITS_PER_ONE, Instrument, Number, to_decimal
from cift.domain.moment import short_iso
from cift.errors import InvalidParameter, NoData, NotSupported
from cift.sim.fingerprint import Code, calendar_packages, code_of, encoded, engine_hash, parameter_told
from cift.sim.record import RunRecord
from cift.sim.source_files import remember_loaded
from cift.sim.venue import Venue

if TYPE_CHECKING:
    from cift.domain.chunk import Chunk

RULES = ("price_increment", "size_increment", "min_quantity", "max_quantity", "min_notional", "activation", "expiry")
"""Fields of an instrument that say what orders must keep to."""
LOTS_MAX = 2**53
"""Larger orders than this are refused in any case."""
SCHEMA_CODES = {"mbo": 0, "quotes": 1, "trades": 2, "mbp": 3}
ANOMALIES = ("unknown order", "duplicate id", "size too large", "bad size", "bad price")
DEFAULT_CHUNK_ROWS = 32_768
"""Twice as many no longer fit the nearer caches; half as many cost more calls than that saves."""
SPILL_ROWS = 1_000_000
"""Fills, orders or lines of the log that a run holds in memory before they go to its sink."""


class Sink(Protocol):
    """Where a long run puts what it leaves behind, so that memory holds no more than `SPILL_ROWS` of it."""

    def add(self, table: str, columns: Mapping[str, Any]) -> None:
        """Appends rows to a table."""

    def add_journal(self, content: bytes) -> None:
        """Appends to the journal."""

    def holds(self, table: str) -> bool:
        """Whether rows of a table were added."""

    def frame(self, table: str, last: Mapping[str, Any]) -> Any:
        """The whole table, with its last rows, as a frame."""

    def journal(self, last: bytes) -> Any:
        """The whole journal, with its last bytes."""

    def close(self) -> None:
        """Nothing more will be added or asked for."""


@dataclass(frozen=True)
class RunSpec:
    """All that one run needs.

    Attributes:
        ticks: a data view: `feeds`, `symbols`, `level`, `start_ns`, `end_ns`, `calendar`.
        strategy: class of the strategy. parameters: those that differ from their defaults.
        cash: starting cash in the instruments' currency.
        equity_every_ns: how often equity is noted, beside each fill.
        chunk_rows: rows read at a time; None: all. Changes memory and speed, never a result.
        clock_offset_ns: added to times of receipt, for a receiving clock that is behind.
        read: how `Strategy.read` gets a file.
        progress: called with the rows delivered so far.
        sink: makes the place for what a long run leaves behind; None: all stays in memory. spill_rows: when it goes there.
        code: what the fingerprint says of the code, where it was taken already: a class that travelled to a worker left its text
            behind.
        origin: where strategy and data were found, as plain values; goes into the record as it is.
    """

    ticks: Any
    strategy: type
    parameters: dict[str, Any] = field(default_factory=dict)
    venue: Venue = field(default_factory=Venue)
    cash: float = 1_000_000.0
    seed: int = 0
    equity_every_ns: int = NANOSECONDS["s"]
    chunk_rows: int | None = DEFAULT_CHUNK_ROWS
    clock_offset_ns: int = 0
    read: Callable[[str], bytes] | None = None
    progress: Callable[[int], None] | None = None
    sink: Callable[[], Sink] | None = None
    spill_rows: int = SPILL_ROWS
    code: Code | None = None
    origin: Mapping[str, Any] = field(default_factory=dict)


class RunError(Exception):
    """Carries the record of a run that its strategy ended; the cause is what the handler raised."""

    def __init__(self, record: RunRecord) -> None:
        super().__init__(record.error)
        self.record = record


def simulator(spec: RunSpec, header: str = "{}") -> Any:
    """The compiled run of a spec, with its sources in the order of `feeds_in_order` and nothing pushed yet."""
    instruments = _instruments(spec)
    currencies = sorted({instrument.currency for instrument in instruments.values()})
    if len(currencies) > 1:
        raise NotSupported(
            f"this release runs instruments of one currency; the view has {', '.join(currencies)}: run them apart"
        )
    lot_sizes = {instrument.lot_size for instrument in instruments.values()}
    if spec.venue.fees.per_unit and len(lot_sizes) > 1:
        raise NotSupported("Fees(per_unit=) with instruments of different lot sizes is not supported; use basis points")
    symbols = list(instruments)
    return _sim.Run(
        instruments=[_instrument_row(instrument) for instrument in instruments.values()],
        sources=[
            (symbols.index(feed.symbol), SCHEMA_CODES[feed.schema], spec.clock_offset_ns) for feed in feeds_in_order(spec.ticks)
        ],
        latency=spec.venue.legs.legs_ns(),
        fees=(*spec.venue.fees.rates(), *spec.venue.fees.charges(lot_sizes.pop())),
        cash=[cash_units(spec.cash)],
        refill_next_event=spec.venue.refill == "next event",
        equity_every_ns=spec.equity_every_ns,
        start_ns=spec.ticks.start_ns,
        rules=[_rules_row(at, instrument) for at, instrument in enumerate(instruments.values())],
        header=header,
    )


def cash_units(cash: Number) -> int:
    """Starting cash in 1e-18 of the currency.

    Raises:
        InvalidParameter: where it is no number, not above 0, finer than 1e-18, or more than an account holds.
    """
    units = to_decimal(cash, "cash") * MONEY_UNITS_PER_ONE
    if not 0 < units <= MONEY_UNITS_MAX or units != units.to_integral_value():
        raise InvalidParameter(f"cash {cash} must be above 0, a whole number of 1e-18 and at most {MONEY_MAX:.1e}")
    return int(units)


def push(run: Any, source: int, chunk: Chunk) -> None:
    """Hands a chunk to a source."""
    c = chunk.columns
    if chunk.schema == "mbo":
        run.push_mbo(
            source, c["ts_event"], c["ts_recv"], c["action"], c["side"], c["price"], c["size"], c["order_id"], c["flags"]
        )
    elif chunk.schema == "mbp":
        run.push_levels(source, c["ts_event"], c["ts_recv"], c["action"], c["side"], c["price"], c["size"], c["flags"])
    elif chunk.schema == "quotes":
        run.push_quotes(source, c["ts_event"], c["ts_recv"], c["bid_price"], c["bid_size"], c["ask_price"], c["ask_size"])
    else:
        run.push_trades(source, c["ts_event"], c["ts_recv"], c["price"], c["size"], c["aggressor"])


def feeds_in_order(view: Any) -> list[Any]:
    """The feeds of a view as they rank among records of one time: by symbol, and of one symbol its prints first.

    A quote or a level of the time of a print shows what that print has left. Were it to act first, the size that traded would be
    taken from it a second time, and ours behind it be filled too soon.
    """
    rank = {symbol: at for at, symbol in enumerate(view.symbols)}
    return sorted(view.feeds, key=lambda feed: (rank[feed.symbol], feed.schema != "trades"))


def drive(
    run: Any,
    spec: RunSpec,
    look_ahead: Callable[[int, Chunk | None], None] | None = None,
    put_aside: Callable[[], None] | None = None,
) -> int:
    """Feeds a started run until it is over, and returns the rows pushed. `look_ahead` and `put_aside` are called after each
    chunk, the former with its source (and None where that has ended).
    """
    chunks: list[Iterator[Chunk]] = [feed.chunks(spec.chunk_rows) for feed in feeds_in_order(spec.ticks)]
    pushed = 0
    try:
        while (source := run.advance()) is not None:
            chunk = next(chunks[source], None)
            if chunk is None:
                run.end_source(source)
            else:
                push(run, source, chunk)
                pushed += chunk.rows
            if look_ahead is not None:
                look_ahead(source, chunk)
            if put_aside is not None:
                put_aside()
            if spec.progress is not None:
                spec.progress(pushed)
    finally:
        for iterator in chunks:
            close = getattr(iterator, "close", None)
            if close is not None:
                close()
    return pushed


def run(spec: RunSpec) -> RunRecord:
    """Runs a strategy to the end of its data.

    Raises:
        NoData: where the view has no rows.
        RunError: where a handler raised or the run was interrupted; it carries what was recorded until then.
    """
    from cift.sim.seat import seat

    # These are copies of its own: a handler may change what it is given.
    values = spec.strategy(**spec.parameters)
    parameters = {name: getattr(values, name) for name in spec.strategy.parameters}  # type: ignore[attr-defined]
    code = spec.code if spec.code is not None else code_of(spec.strategy)
    fingerprint = _fingerprint(spec, parameters, code)
    notes = [*code.notes, *_left_out(spec, fingerprint, code)]
    compiled = simulator(spec, header=encoded(fingerprint))
    seated = seat(compiled, spec, _instruments(spec))
    error: BaseException | None = None
    aside = _Aside(spec, compiled, seated)
    try:
        drive(compiled, spec, seated.look_ahead, aside.put)
    except BaseException as raised:  # what a handler raises, interrupts included, ends the run and is raised again below
        error = raised
    remember_loaded()
    compiled.finish()
    if error is None and not compiled.has_begun:
        raise NoData(f"no data: {spec.ticks!r} has no rows; check symbol, dates and level")
    seated.warn_of_undeclared_state()
    record = _record(spec, compiled, aside, fingerprint | {"reads": seated.reads}, parameters, notes, error)
    if error is not None:
        raise RunError(record) from error
    return record


class _Aside:
    """What a run leaves behind: in memory, or where it grows long, in the spec's sink."""

    def __init__(self, spec: RunSpec, compiled: Any, seated: Any) -> None:
        self._spec = spec
        self._compiled = compiled
        self._seated = seated
        self._sink: Sink | None = None

    def put(self) -> None:
        """Empties memory of what has grown long."""
        spec, compiled = self._spec, self._compiled
        fills, orders, _ = compiled.held()
        lines = len(self._seated.log)
        if spec.sink is None or max(fills, orders, lines) <= spec.spill_rows:
            return
        if self._sink is None:
            self._sink = spec.sink()
        if fills > spec.spill_rows:
            rows, trades = compiled.take_fills()
            self._sink.add("fills", rows)
            self._sink.add("trades", trades)
        if orders > spec.spill_rows:
            self._sink.add("orders", compiled.take_orders())
        if lines > spec.spill_rows:
            self._sink.add("log", _log_columns(self._seated.take_log()))
        self._sink.add_journal(compiled.take_journal())

    def whole(self) -> tuple[dict[str, Any], Any]:
        """All tables of the finished run, and its journal."""
        compiled = self._compiled
        tables = {
            "fills": compiled.fills(),
            "orders": compiled.orders(),
            "trades": compiled.trades(),
            "equity": compiled.equity(),
            "marks": compiled.marks(),
            "log": _log_columns(self._seated.take_log()),
        }
        journal = compiled.journal()
        sink = self._sink
        if sink is None:
            return tables, journal
        tables = {name: sink.frame(name, last) if sink.holds(name) else last for name, last in tables.items()}
        journal = sink.journal(journal)
        sink.close()
        return tables, journal


def _log_columns(log: Sequence[tuple[int, str, str]]) -> dict[str, Any]:
    return {
        "ts": np.array([row[0] for row in log], dtype=np.int64),
        "level": [row[1] for row in log],
        "message": [row[2] for row in log],
    }


def _fingerprint(spec: RunSpec, parameters: Mapping[str, Any], code: Code) -> dict[str, Any]:
    """What the digest of a run depends on, by part."""
    return {
        "data": {f"{feed.symbol} {feed.schema}": feed.content_hash for feed in spec.ticks.feeds},
        "period": [spec.ticks.start_ns, spec.ticks.end_ns],
        "code": code.hash,
        "packages": code.packages | calendar_packages(one.calendar for one in _instruments(spec).values()),
        "parameters": {name: parameter_told(value) for name, value in parameters.items()},
        "venue": spec.venue.to_dict(),
        "cash": str(to_decimal(spec.cash, "cash")),
        "clock_offset_ns": spec.clock_offset_ns,
        "seed": spec.seed,
        "engine": engine_hash(),
        "instruments": {symbol: _plain(instrument) for symbol, instrument in _instruments(spec).items()},
    }


def _left_out(spec: RunSpec, fingerprint: Mapping[str, Any], code: Code) -> list[str]:
    """A sentence about what the fingerprint leaves out, where there is something."""
    told = fingerprint["parameters"]
    parameters = [
        f"{spec.strategy.__name__}.{name}" for name in told if isinstance(told[name], dict) and "unknown" in told[name]
    ]
    names = [*code.left_out, *parameters]
    return [f"Not part of the fingerprint, since their content cannot be told: {', '.join(names)}"] if names else []


def _instruments(spec: RunSpec) -> dict[str, Instrument]:
    found = {feed.symbol: feed.instrument for feed in spec.ticks.feeds}
    if not found:
        raise NoData("no data: the view has no feeds; check symbol, dates and level")
    return {symbol: found[symbol] for symbol in spec.ticks.symbols}


def _plain(instrument: Instrument) -> dict[str, str]:
    """What of an instrument a run depends on."""
    steps = {"tick_size": instrument.tick_size, "lot_size": instrument.lot_size, "price_increment": instrument.increment}
    exact = {name: str(value.normalize()) for name, value in {**steps, "multiplier": instrument.multiplier}.items()}
    told = instrument.to_dict()
    more = {name: text for name in RULES if (text := told.get(name)) is not None}
    if instrument.price_steps.is_even:
        more.pop("price_increment", None)
    return {**exact, "currency": instrument.currency, "calendar": instrument.calendar, **more}


def _instrument_row(instrument: Instrument) -> tuple[str, tuple[int, int], tuple[int, int], int, int, int]:
    tick, lot = instrument.tick_fraction, instrument.lot_fraction
    unit = instrument.tick_size * instrument.lot_size * instrument.multiplier * MONEY_UNITS_PER_ONE
    increment = 1 if not instrument.price_steps.is_even else int(instrument.increment / instrument.tick_size)
    return instrument.symbol, (tick[0], 10 ** tick[1]), (lot[0], 10 ** lot[1]), increment, int(unit), 0


def _rules_row(at: int, instrument: Instrument) -> tuple[int, list[Any], list[Any], tuple[int, int], int, tuple[int, int]]:
    """What orders of an instrument must keep to, as the compiled run takes it."""
    prices, lot = instrument.price_steps, instrument.lot_size
    least = 1 if instrument.min_quantity is None else int(instrument.min_quantity / lot)
    most = LOTS_MAX if instrument.max_quantity is None else min(LOTS_MAX, int(instrument.max_quantity / lot))
    value = 0 if instrument.min_notional is None else int(instrument.min_notional * MONEY_UNITS_PER_ONE)
    times = (
        -(2**63) if instrument.activation is None else instrument.activation,
        2**63 - 1 if instrument.expiry is None else instrument.expiry,
    )
    bands = [] if prices.is_even else prices.rows(instrument.tick_size)
    return at, bands, instrument.size_steps.rows(lot), (least, most), value, times


def _expired(instruments: Mapping[str, Instrument], handles: Mapping[str, Any], last_ns: int) -> list[str]:
    """A sentence about each instrument that expired within the run."""
    notes = []
    for symbol, instrument in instruments.items():
        if instrument.expiry is None or instrument.expiry > last_ns:
            continue
        held = handles[symbol].position
        rest = (
            f"; the position of {held:g} that was held is still marked at the last price, since no settlement is booked"
            if held
            else ""
        )
        notes.append(f"{symbol} expired at {short_iso(instrument.expiry)}: orders were refused from then on{rest}.")
    return notes


def _record(
    spec: RunSpec,
    compiled: Any,
    aside: _Aside,
    fingerprint: dict[str, Any],
    parameters: dict[str, Any],
    about_fingerprint: list[str],
    error: BaseException | None,
) -> RunRecord:
    columns, journal = aside.whole()
    times = columns["equity"]["ts"]
    first = int(times[0]) if len(times) else 0
    last = int(times[-1]) if len(times) else first
    feeds = feeds_in_order(spec.ticks)
    anomalies = {name: count for name, count in zip(ANOMALIES, compiled.anomalies(), strict=True) if count}
    notes = list(getattr(spec.ticks, "notes", ()))
    if anomalies:
        notes.append("Records that did not fit the book: " + ", ".join(f"{n} {name}" for name, n in anomalies.items()))
    if compiled.off_tick_prints():
        notes.append(f"{compiled.off_tick_prints()} prints lie between two ticks; they fill ours at better prices only.")
    if spec.ticks.level != "L1" and spec.ticks.start_ns is not None and spec.ticks.start_ns % NANOSECONDS["d"]:
        notes.append("The book was built from the first record of its day; the strategy saw it from the start of the view on.")
    notes += about_fingerprint
    if spec.clock_offset_ns:
        notes.append(f"Times of receipt were moved by {spec.clock_offset_ns} ns (clock_offset).")
    instruments = _instruments(spec)
    notes += _expired(instruments, dict(zip(instruments, compiled.handles(), strict=True)), last)
    return RunRecord(
        strategy=spec.strategy.__name__,
        parameters=parameters,
        symbols=tuple(spec.ticks.symbols),
        level=spec.ticks.level,
        start_ns=first,
        end_ns=max(last, first),
        calendar=spec.ticks.calendar,
        currency=next(iter(instruments.values())).currency,
        cash=float(spec.cash),
        venue=spec.venue.to_dict(),
        venue_text=spec.venue.describe(),
        columns=columns,
        digest=compiled.digest,
        fingerprint=fingerprint,
        journal=journal,
        inputs=compiled.inputs,
        rows={f"{feed.symbol} {feed.schema}": n for feed, n in zip(feeds, compiled.rows_delivered(), strict=True)},
        anomalies=anomalies,
        notes=tuple(notes),
        error=None if error is None else f"{type(error).__name__}: {error}",
        origin=spec.origin,
    )
