"""Tables that somebody else made: which of their columns is which of ours, and views of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from cift.data.catalog import LEVELS, feed_intervals, single_session, wanted_intervals
from cift.data.column_names import ours_to_theirs
from cift.data.columns import stored_columns
from cift.data.frames import OPTIONAL, TIME_NAMES, infer_step
from cift.data.questdb.feeds import Server, TableFeed, no_rows
from cift.data.questdb.tables import has_tables, read_instruments
from cift.data.questdb.texts import identifier, is_one_of, known_symbol, literal, tables
from cift.data.questdb.transport import Transport
from cift.data.reading import Interval
from cift.data.times import Session
from cift.data.view import Ticks, common_calendar
from cift.domain.chunk import SchemaName
from cift.domain.instrument import Instrument
from cift.domain.schemas import PRICE_COLUMNS, SCHEMAS, SIZE_COLUMNS
from cift.errors import DataError, InvalidParameter, NotSupported, UnknownName

_PER_NS = {"ns": 1, "us": 1_000}


class Reader:
    """One table, its columns found.

    Args:
        columns: the table's name -> ours, or ours -> the table's.
    Raises:
        UnknownName: a table or a column that is not there.
        DataError: the table lacks a column, or is of no kind that the package knows.
        NotSupported: it has no designated timestamp, so that its rows have no order.
    """

    def __init__(
        self, server: Server, transport: Transport, table: str, columns: Mapping[str, str], instrument: Instrument | None
    ) -> None:
        self._server, self._transport, self._instrument = server, transport, instrument
        self.table = identifier(table, tables(transport))
        # An empty answer has names and types all the same.
        self._types = {field.name: field.type for field in transport.export(f"select * from {self.table} limit 0").schema}
        self.columns = self._found(columns)
        self._told = {"table": table, "columns": {theirs.strip('"'): ours for ours, theirs in self.columns.items()}}
        self.schema = self._schema(table)
        ours = (*stored_columns(self.schema), "symbol")
        self.columns = {name: self.columns[name] for name in ours if name in self.columns}
        self._symbol = self.columns.pop("symbol", None)
        ((designated,),) = transport.ask("select designatedTimestamp from tables() where table_name = %s", (table,))
        if designated is None or self.columns["ts_event"] != identifier(designated, self._types, "column"):
            raise NotSupported(
                f"ts_event must be the designated timestamp of table {table}, "
                + (f"which is {designated!r}; pass columns={{{designated!r}: 'ts_event'}}" if designated else "which it lacks")
            )
        kind = self._types[designated]
        self._per_ns = _PER_NS[kind.unit]

    def _found(self, columns: Mapping[str, str]) -> dict[str, str]:
        known = {"symbol", *(name for schema in SCHEMAS for name in stored_columns(schema))}
        found: dict[str, str] = {}
        read = ours_to_theirs(columns, known, self._types)
        # Where it cannot be read: as the table's name -> ours, to say what is wrong with it.
        by_theirs = columns if read is None else {theirs: ours for ours, theirs in read.items()}
        for theirs, ours in by_theirs.items():
            if ours not in known:
                raise UnknownName(f"columns= says {theirs!r} is {ours!r}, which is none of {', '.join(sorted(known))}")
            if ours in found:
                raise InvalidParameter(f"columns= names {ours!r} twice")
            found[ours] = identifier(theirs, self._types, "column")
        used = set(found.values())
        for name in self._types:
            ours = "ts_event" if name.lower() in TIME_NAMES else name.lower()
            if ours in known and ours not in found and f'"{name}"' not in used:
                found[ours] = identifier(name, self._types, "column")
        return found

    def _schema(self, table: str) -> SchemaName:
        fitting: list[SchemaName] = [
            schema for schema in SCHEMAS if all(name in self.columns for name in stored_columns(schema) if name not in OPTIONAL)
        ]
        if fitting:
            return fitting[0]
        raise DataError(
            f"table {table} has {', '.join(self._types)}; neither mbo (ts_event, action, side, price, size, order_id), quotes "
            "(ts_event, bid_price, bid_size, ask_price, ask_size) nor trades (ts_event, price, size) are among them; pass "
            "columns={'name in the table': 'ts_event', ...}"
        )

    def ticks(
        self,
        names: tuple[str, ...],
        start_ns: int | None,
        end_ns: int | None,
        level: str | None,
        session: Session | None,
    ) -> Ticks:
        """See `QuestDB.ticks`."""
        stored = next(name for name, parts in LEVELS.items() if self.schema in parts)
        if level not in (None, stored):
            raise NotSupported(f"table {self.table} holds {self.schema}, which is level {stored}, not {level}")
        if len(names) > 1 and (self._symbol is None or self._instrument is not None):
            raise InvalidParameter(
                "several symbols need a table with a column symbol, and no instrument=; ask for one at a time"
            )
        notes: list[str] = []
        selected = {name: self._where(name) for name in names}
        spans = {name: self._span(name, where, start_ns, end_ns) for name, where in selected.items()}
        wanted = wanted_intervals([(first, stop - 1) for first, stop in spans.values()], start_ns, end_ns, session)
        if not wanted:
            raise no_rows(self.table, names[0])
        if stored == "L3" and session is not None:
            start_ns, end_ns = single_session(wanted)
        feeds = []
        for name in names:
            instrument = self._instrument_of(name, selected[name], notes)
            feeds.append(
                TableFeed(
                    self._server,
                    name,
                    self.schema,
                    instrument,
                    self.table,
                    self.columns["ts_event"],
                    self._per_ns,
                    self.columns,
                    selected[name],
                    spans[name],
                    feed_intervals(self.schema, wanted),
                    {**self._told, "instrument": None if self._instrument is None else self._instrument.to_dict()},
                )
            )
        return Ticks(tuple(feeds), names, start_ns, end_ns, stored, common_calendar(tuple(feeds)), tuple(notes))

    def _where(self, name: str) -> str:
        if self._symbol is None:
            return "true"
        return is_one_of(self._symbol, [known_symbol(self._transport, self.table, self._symbol, name)])

    def _span(self, name: str, where: str, start_ns: int | None, end_ns: int | None) -> Interval:
        """First time of the symbol, and the one after its last, whatever the view's own times; refuses an empty view."""
        time = self.columns["ts_event"]
        conditions = [where]
        if start_ns is not None:
            conditions.append(f"{time} >= {literal(-(-start_ns // self._per_ns))}")
        if end_ns is not None:
            conditions.append(f"{time} < {literal(-(-end_ns // self._per_ns))}")
        if not self._export(f"select {time} from {self.table} where {' and '.join(conditions)} limit 1").num_rows:
            raise no_rows(self.table, name)
        found = self._export(f"select min({time}) a, max({time}) b from {self.table} where {where}")
        first, last = (found.column(column)[0].value * self._per_ns for column in ("a", "b"))
        return first, last + self._per_ns

    def _instrument_of(self, name: str, where: str, notes: list[str]) -> Instrument:
        if self._instrument is not None:
            if self._instrument.symbol != name:
                raise InvalidParameter(f"rows of {name} cannot be read with the instrument of {self._instrument.symbol}")
            return self._instrument
        known = read_instruments(self._transport) if has_tables(self._transport) else {}
        if name in known:
            return known[name]
        tick = infer_step(self._values(PRICE_COLUMNS[self.schema], where), "price")
        lot = infer_step(self._values(SIZE_COLUMNS[self.schema], where), "size")
        notes.append(f"tick size {tick} and lot size {lot} of {name} inferred from the table; pass instrument= to state others")
        return Instrument(name, tick_size=tick, lot_size=lot)

    def _values(self, names: tuple[str, ...], where: str) -> list[Any]:
        """The different values of some columns."""
        found = []
        for name in names:
            column = self.columns[name]
            table = self._export(f"select distinct {column} v from {self.table} where {where}")
            found.append(np.array([value for value in table.column("v").to_pylist() if value is not None], dtype=np.float64))
        return found

    def _export(self, sql: str) -> Any:
        return self._transport.export(sql)
