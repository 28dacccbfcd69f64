"""`QuestDB`: a server described as a value, and what it can be asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from cift.data.catalog import Catalog
from cift.data.levels import LEVELS, choose_level, feed_intervals, single_session, stored_levels, wanted_intervals
from cift.data.questdb import asking, tables_of_others
from cift.data.questdb.feeds import LoadedFeed, Server, check_rows
from cift.data.questdb.loading import LoadReport, load
from cift.data.questdb.tables import LOADED, DayRecord, has_tables, read_days, read_instruments, refuse_partial
from cift.data.questdb.texts import known_symbol, literal, one_number, symbols_held
from cift.data.questdb.transport import Address, Transport
from cift.data.reading import Interval
from cift.data.times import Session, TimeLike, iso, time_range
from cift.data.view import Ticks, common_calendar
from cift.domain.duration import Duration
from cift.domain.instrument import Instrument
from cift.errors import InvalidParameter, NoData, UnknownSymbol

if TYPE_CHECKING:
    import polars as pl


class QuestDB:
    """A QuestDB server as a source and a sink of ticks. Nothing is opened until it is used; it can be pickled.

    Args:
        address: `host:port` (of HTTP), or `questdb://user:password@host:9000?pg=8812`, where `pg` is the port of PostgreSQL's
            wire protocol. Without a name and a password the server's own defaults are used.
        timeout: seconds that one answer may take, and for which a batch is sent again while the server is away.
    Raises:
        InvalidParameter: an address or a timeout that cannot be one.

    Every method raises ServerDown where the server cannot be reached, breaks off or is too slow, ServerError where it refuses,
    and MissingExtra where the clients are not installed (`pip install "cift-markets[questdb]"`).

    Example:
        >>> server = QuestDB("localhost:9000")
        >>> server.load(catalog, "AAPL.XNAS")  # doctest: +SKIP
        >>> view = server.ticks("AAPL.XNAS", "2012-06-21")  # doctest: +SKIP
    """

    def __init__(self, address: str = "localhost:9000", *, timeout: float = 30.0) -> None:
        if isinstance(timeout, bool) or not isinstance(timeout, (int, float)) or not 0 < timeout <= 86_400:
            raise InvalidParameter(f"timeout must be seconds, above 0 and at most a day, not {timeout!r}")
        self.server = Server(Address.parse(address), float(timeout))

    # ------------------------------------------------------------------ loading

    def load(
        self,
        source: Catalog | Ticks,
        symbols: str | Sequence[str] | None = None,
        start: TimeLike | None = None,
        end: TimeLike | None = None,
        *,
        by: str | None = None,
        resend: bool = False,
    ) -> LoadReport:
        """Stores whole days of a catalog, or of a view, in the tables `mbo`, `mbp`, `quotes`, `trades` and `bars`.

        It may be called again at any time: days that the server holds are not sent again, and a day that was broken off is
        completed. So is one that got more rows behind those that the server holds: by `Catalog.append`, or as the last bar of a day
        lies on the next one, by its end. No row is ever there twice.

        Args:
            source: a catalog, or a view of one or of frames; of a view, every day that it touches.
            symbols, start, end: what of a catalog (`end` excluded; a lone date is that day; none: all); of bars also the day
                behind, where bars that began before `end` ended.
            by: "parquet" has a server on this machine read files from its import folder, "ilp" sends rows; None: the faster one
                that works.
            resend: send days that the server holds, too.
        Raises:
            CatalogError: the server holds rows of a day that the source's do not begin with, or another instrument, or a table of
                another form.
            UnknownSymbol, NoData: as the catalog.
        """
        with self.server.open() as transport:
            return load(
                transport,
                str(self.server.address),
                source,
                symbols,
                start,
                end,
                by=by,
                resend=resend,
                patience_s=self.server.timeout_s,
            )

    # ------------------------------------------------------------------ what there is

    def instruments(self) -> dict[str, Instrument]:
        """Every instrument that was loaded, by symbol."""
        with self.server.open() as transport:
            return read_instruments(transport) if has_tables(transport) else {}

    def symbols(self) -> list[str]:
        """Symbols of which a day was loaded in full, sorted."""
        with self.server.open() as transport:
            if not has_tables(transport):
                return []
            rows = transport.ask(f"select distinct symbol from days where state = '{LOADED}'")
            return sorted(str(row[0]) for row in rows)

    def ls(self) -> pl.DataFrame:
        """One row per day: schema, symbol, date, rows, first and last time, and whether it was loaded in full."""
        import polars as pl

        with self.server.open() as transport:
            names = symbols_held(transport, '"days"', '"symbol"') if has_tables(transport) else []
            days = [day for name in names for day in read_days(transport, name)]
        time = pl.Datetime("ns", "UTC")
        return pl.DataFrame(
            {
                "schema": pl.Series([day.dataset for day in days], dtype=pl.String),
                "symbol": pl.Series([day.symbol for day in days], dtype=pl.String),
                "date": pl.Series([day.date for day in days], dtype=pl.String).str.to_date("%Y-%m-%d"),
                "rows": pl.Series([day.rows for day in days], dtype=pl.Int64),
                "first": pl.Series([day.first_ns for day in days], dtype=pl.Int64).cast(time),
                "last": pl.Series([day.last_ns for day in days], dtype=pl.Int64).cast(time),
                "loaded": pl.Series([day.state == LOADED for day in days], dtype=pl.Boolean),
            }
        )

    # ------------------------------------------------------------------ reading

    def ticks(
        self,
        symbols: str | Sequence[str],
        start: TimeLike | None = None,
        end: TimeLike | None = None,
        *,
        level: str | None = None,
        session: Session | None = None,
        table: str | None = None,
        columns: Mapping[str, str] | None = None,
        instrument: Instrument | None = None,
    ) -> Ticks:
        """A view of the symbols' records between two times, as `Catalog.ticks` gives it and with the same rows.

        Args:
            symbols, start, end, level, session: as in `Catalog.ticks`.
            table: a table of the server that `load` did not make. Its rows pass the screen of `cift.data.screen` and are numbered
                from 0 within each UTC day, in the order of its sequence if it has one, else as they stand.
            columns: with `table`, the table's name of a column -> ours, `{"timestamp": "ts_event"}`, or the other way round; all in
                one direction. Columns of our names are found without it.
            instrument: with `table`, the grid; None: the one that was loaded under that name, or the finest steps of the rows.
        Raises:
            UnknownSymbol: a symbol that the server does not hold; the message suggests the nearest.
            UnknownName: a table or column that it does not have.
            NoData: the range holds no records of a symbol.
            NotSupported: a level that is not stored.
            CatalogError: a day of the range was not loaded in full.
        """
        names = (symbols,) if isinstance(symbols, str) else tuple(symbols)
        if not names or len(set(names)) != len(names):
            raise InvalidParameter(f"symbols must be one name or several different ones, not {symbols!r}")
        if table is None and (columns is not None or instrument is not None):
            raise InvalidParameter("columns= and instrument= are for a table of your own; name it by table=")
        start_ns, end_ns = time_range(start, end)
        with self.server.open() as transport:
            if table is not None:
                read = tables_of_others.Reader(self.server, transport, table, columns or {}, instrument)
                return read.ticks(names, start_ns, end_ns, level, session)
            return self._loaded(transport, names, start_ns, end_ns, level, session)

    def _loaded(
        self,
        transport: Transport,
        names: tuple[str, ...],
        start_ns: int | None,
        end_ns: int | None,
        level: str | None,
        session: Session | None,
    ) -> Ticks:
        if not has_tables(transport):
            raise UnknownSymbol(
                f"{names[0]} is not on the server {self.server.address}: nothing was loaded yet; call load() first"
            )
        known = {name: known_symbol(transport, '"days"', '"symbol"', name) for name in names}
        days = {name: read_days(transport, name) for name in names}
        level = choose_level({name: stored_levels([day.schema for day in days[name]]) for name in names}, level)
        held = {
            (name, schema): [day for day in days[name] if day.schema == schema and day.touches(start_ns, end_ns)]
            for name in names
            for schema in LEVELS[level]
        }
        spans = [(day.first_ns, day.last_ns) for group in held.values() for day in group]
        wanted = wanted_intervals(spans, start_ns, end_ns, session)
        if level != "L1" and session is not None and wanted:
            start_ns, end_ns = single_session(wanted, level)
        instruments = read_instruments(transport)
        feeds: list[LoadedFeed] = []
        for name in names:
            found = []
            for schema in LEVELS[level]:
                group = held[name, schema]
                if not any(self._has_rows(transport, day, wanted) for day in group):
                    # There may be none because they are gone.
                    inside = [day for day in group if any(_overlaps(day, interval) for interval in wanted)]
                    refuse_partial(inside)
                    check_rows(transport, known[name], inside)
                    continue
                refuse_partial(group)
                intervals = feed_intervals(schema, wanted)
                touched = tuple(day for day in group if any(_overlaps(day, interval) for interval in intervals))
                found.append(LoadedFeed(self.server, known[name], schema, instruments[name], touched, intervals))
            if not found:
                raise NoData(
                    _no_data(name, [day for day in days[name] if day.schema in LEVELS[level]], start_ns, end_ns, session)
                )
            feeds += found
        return Ticks(tuple(feeds), names, start_ns, end_ns, level, common_calendar(tuple(feeds)))

    def _has_rows(self, transport: Transport, day: DayRecord, intervals: tuple[Interval, ...]) -> bool:
        for start_ns, end_ns in intervals:
            if start_ns <= day.first_ns < end_ns or start_ns <= day.last_ns < end_ns:
                return True
            if day.first_ns < start_ns and end_ns <= day.last_ns:
                condition = f"symbol = %s and ts_event >= {literal(start_ns)} and ts_event < {literal(end_ns)}"
                if one_number(transport.ask(f'select count() from "{day.schema}" where {condition}', (day.symbol,))):
                    return True
        return False

    # ------------------------------------------------------------------ asking

    def frame(
        self,
        schema: str,
        symbol: str,
        start: TimeLike | None = None,
        end: TimeLike | None = None,
        *,
        columns: Sequence[str] | None = None,
        spec: str | None = None,
    ) -> pl.DataFrame:
        """The stored records of a symbol as one frame, in the order of their time; all of it is in memory.

        Args:
            schema: "mbo", "mbp", "quotes", "trades" or "bars".
            symbol, start, end: as in `ticks`; a record of `mbo` is cut like the others, and bars by the time when they began, as in
                `Catalog.bars`.
            columns: some of the table's; None: all.
            spec: of bars, what ends one: "1m".
        """
        with self.server.open() as transport:
            return asking.frame(transport, schema, symbol, *time_range(start, end), columns, spec)

    def ohlcv(
        self, symbol: str, start: TimeLike | None = None, end: TimeLike | None = None, every: Duration = "1m"
    ) -> pl.DataFrame:
        """Bars of the symbol's trades, made by the server (SAMPLE BY): one row per span of time that has trades.

        Args:
            symbol, start, end: as in `ticks`.
            every: the span, "1s", "5m", "1h"; it starts at whole multiples of itself, UTC.
        Returns:
            ts_open, ts_event (its end, excluded), open, high, low, close, volume, count, vwap.
        """
        with self.server.open() as transport:
            return asking.ohlcv(transport, symbol, *time_range(start, end), every)

    def latest(self, symbols: str | Sequence[str] | None = None, *, schema: str = "quotes") -> pl.DataFrame:
        """The last record of each symbol (LATEST ON): its quote, or with `schema="trades"` its print; None: of all symbols."""
        names = None if symbols is None else [symbols] if isinstance(symbols, str) else list(symbols)
        with self.server.open() as transport:
            return asking.latest(transport, names, schema)

    def asof(self, symbol: str, start: TimeLike | None = None, end: TimeLike | None = None) -> pl.DataFrame:
        """Each trade with the quote that stood when it happened (LT JOIN): the last one strictly before its time.

        As `cift.features.join_asof` has it: a quote of the trade's own nanosecond may show what the trade left behind.

        Returns:
            ts_event, price, size, aggressor, trade_id, sequence, and bid_price, bid_size, ask_price, ask_size, ts_quote.
        """
        with self.server.open() as transport:
            return asking.asof(transport, symbol, *time_range(start, end))

    def __repr__(self) -> str:
        return f"<QuestDB {self.server.address}>"


def _overlaps(day: DayRecord, interval: Interval) -> bool:
    return day.first_ns < interval[1] and day.last_ns >= interval[0]


def _no_data(symbol: str, held: Sequence[DayRecord], start_ns: int | None, end_ns: int | None, session: Session | None) -> str:
    since = "the beginning" if start_ns is None else iso(start_ns)
    until = "the end" if end_ns is None else iso(end_ns)
    first, last = min(day.first_ns for day in held), max(day.last_ns for day in held)
    return (
        f"no data: {symbol} has no rows from {since} to {until}"
        + (f" in the session {session}" if session else "")
        + f"; the server holds {len({day.day_ns for day in held})} days of it, from {iso(first)} to {iso(last)}"
    )
