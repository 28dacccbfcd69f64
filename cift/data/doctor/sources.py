"""Where the doctor's rows come from: days of a catalog, files of quotes or trades, frames.

A reader of the data layer refuses what is bad; these hand on all that can be read at all, and say what cannot.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from cift.data.columns import Array, RawColumns
from cift.data.doctor.casebook import Batch
from cift.data.frames import DEFAULT_SYMBOL, GRID_DECIMALS_MAX, conform, raw_columns, read_frame
from cift.data.importers.tables import CsvFile, ParquetFile, Source, Times
from cift.data.manifest import PRIVATE_FOLDER, decode_symbol
from cift.data.reading import Interval
from cift.data.screen import off_grid
from cift.domain.chunk import SchemaName
from cift.domain.instrument import Instrument
from cift.domain.schemas import NO_TIME_NS, PRICE_COLUMNS, SCHEMAS, SIZE_COLUMNS, TIME_COLUMNS, check_schema
from cift.errors import CatalogError, CiftError, CorruptData, DataError, InvalidParameter, NoData

if TYPE_CHECKING:
    from cift.data.catalog import Catalog

ON_GRID_SHARE = 0.999
"""A step is inferred from prices where all but one in a thousand lie on it: the others are then findings."""
TABLE_ROWS = 65_536
_TELLING: dict[SchemaName, frozenset[str]] = {
    "mbo": frozenset({"action", "order_id", "price"}),
    "quotes": frozenset({"bid_price", "ask_price"}),
    "mbp": frozenset({"action", "side", "price", "size"}),
    "bars": frozenset({"open", "high", "low", "close"}),
    "trades": frozenset({"price", "size"}),
}
"""Columns that tell a schema, the more particular first."""


class Trouble(NamedTuple):
    """Something about a file or day as a whole: a kind of finding, where, and what."""

    kind: str
    source: str
    text: str


@dataclass
class Origin:
    """The rows of one symbol and schema, which can be read more than once.

    Args:
        symbol, schema: whose rows.
        read: makes an iterator of batches and troubles.
        instrument: its grid and calendar, None where they are not known.
        own_sequence: whether the rows come with a count of our own.
        notes: what was assumed.
        grid_inferred: the grid is a guess from the prices.
        folder: of the catalog that they are stored in; None: of a file or frame.
        name: what findings call the schema; of bars with the spec. None: the schema.
        interval: the time that was asked for, ns since the epoch; None: all there is.
    """

    symbol: str
    schema: SchemaName
    read: Callable[[], Iterator[Batch | Trouble]]
    instrument: Instrument | None = None
    own_sequence: bool = False
    notes: list[str] = field(default_factory=list)
    grid_inferred: bool = False
    folder: Path | None = None
    name: str | None = None
    interval: Interval | None = None

    def batches(self) -> Iterator[Batch]:
        """The rows alone."""
        return (item for item in self.read() if isinstance(item, Batch))


# ---------------------------------------------------------------------- catalogs


def of_catalog(
    catalog: Catalog, symbol: str | None, schema: str | None, interval: Interval, *, only: str | None = None
) -> tuple[list[Origin], list[Trouble]]:
    """The stored symbols and schemas, or one of them.

    Args:
        interval: times to look at, ns since the epoch.
        only: one day, "2026-01-05".
    Returns:
        The series, and what is wrong with the table of instruments.
    Raises:
        UnknownSymbol: where the catalog does not hold the symbol. CatalogError: where there is nothing.
    """
    if schema is not None:
        check_schema(schema.partition("/")[0])
    instruments, troubles = {}, []
    try:
        instruments = catalog.instruments()
    except CorruptData as error:
        troubles.append(Trouble("damaged", "instruments.json", str(error)))
    if symbol is not None and symbol not in catalog.symbols():
        catalog.describe(symbol)  # raises, with the nearest name
    names = [symbol] if symbol is not None else catalog.symbols()
    origins = []
    for name in names:
        for dataset in catalog.datasets(name):
            days = [day for day in catalog.days(dataset, name) if only is None or day == only]
            if days and schema in (None, dataset, dataset.partition("/")[0]):
                reader = _CatalogRows(catalog, dataset, name, tuple(days), interval)
                kind = check_schema(dataset.partition("/")[0])
                origin = Origin(
                    name, kind, reader.read, instruments.get(name), folder=catalog.path, name=dataset, interval=interval
                )
                origins.append(origin)
    return origins, troubles


@dataclass(frozen=True)
class _CatalogRows:
    catalog: Catalog
    dataset: str
    symbol: str
    days: tuple[str, ...]
    interval: Interval

    def read(self) -> Iterator[Batch | Trouble]:
        for day in self.days:
            try:
                reader = self.catalog.reader(self.dataset, self.symbol, day)
                for columns in reader.groups((self.interval,), every_column=True):
                    yield Batch(day, columns["sequence"], columns)
            except (CorruptData, CatalogError) as error:
                yield Trouble("damaged", day, str(error))


# ---------------------------------------------------------------------- tables


@dataclass(frozen=True)
class Reading:
    """How tables are to be read; see `cift.data.importers.import_csv` for each."""

    schema: str | None = None
    symbol: str | None = None
    columns: Mapping[str, str] | None = None
    times: Times = field(default_factory=Times)
    names: Sequence[str] | None = None
    delimiter: str = ","
    where: Mapping[str, Any] | None = None
    tick_size: Any = None
    lot_size: Any = None
    calendar: str | None = None
    instrument: Instrument | None = None


class FrameTable:
    """A frame that is read as if it were a file."""

    def __init__(self, frame: Any) -> None:
        self.path = Path("frame")
        self._table = read_frame(frame)
        self.header = list(self._table.column_names)
        self.first_row = 0
        self.metadata = self._table.schema.metadata or {}

    def value(self, name: str) -> str:
        """What the first row has in a column: its type says it all."""
        return "0" if pa.types.is_integer(self._table.schema.field(name).type) else ""

    def batches(self, types: Mapping[str, pa.DataType]) -> Iterator[pa.RecordBatch]:
        """Some columns, as they are."""
        yield from self._table.select(list(types)).combine_chunks().to_batches(TABLE_ROWS)


class LenientSource(Source):
    """Rows of a table with all that is wrong with them: what is missing becomes NaN, or no time."""

    def __post_init__(self) -> None:
        super().__post_init__()
        named = {str(name).strip().lower(): name for name in self.table.header}
        taken = self.found.values()
        if "sequence" in named and named["sequence"] not in taken:
            self.found["sequence"] = named["sequence"]

    @property
    def states_sequence(self) -> bool:
        """Whether a column is our own count of rows."""
        return "sequence" in self.found

    def _types(self) -> dict[str, pa.DataType]:
        types = super()._types()
        return types | {self.found["sequence"]: pa.int64()} if self.states_sequence else types

    def _one_symbol(self, table: pa.Table) -> None:
        try:
            super()._one_symbol(table)
        except DataError as error:
            raise InvalidParameter(str(error)) from None

    def _columns(self, table: pa.Table) -> RawColumns:
        ours: dict[str, Any] = {}
        for name, theirs in self.found.items():
            column = table[theirs]
            if name in TIME_COLUMNS:
                column = self.times.read(column)
                ours[name] = (
                    column.fill_null(pa.scalar(NO_TIME_NS, pa.int64()).cast(column.type)) if column.null_count else column
                )
            elif name in (*PRICE_COLUMNS[self.schema], *SIZE_COLUMNS[self.schema]):
                numbers = column.cast(pa.float64())
                ours[name] = pc.fill_null(numbers, float("nan")) if numbers.null_count else numbers
            elif name == "sequence":
                ours[name] = pc.fill_null(column.cast(pa.int64()), -1)
            else:
                ours[name] = column
        for name in SIZE_COLUMNS[self.schema] if self._stated_size is not None else ():
            ours[name] = pa.array(np.full(table.num_rows, self._stated_size))
        return raw_columns(self.schema, conform(pa.table(ours), self.schema))


def of_tables(sources: Sequence[Any], reading: Reading) -> tuple[list[Origin], list[Trouble]]:
    """Files (or frames) as one series of rows for each symbol and schema, in the order given.

    Returns:
        The origins, and what cannot be opened at all.
    Raises:
        DataError: a column is missing. InvalidParameter: a file holds several symbols.
    """
    groups: dict[tuple[SchemaName, str], list[LenientSource]] = {}
    troubles: list[Trouble] = []
    forms: dict[tuple[SchemaName, str], tuple[str, Any]] = {}
    for given in sources:
        name = Path(given).name if isinstance(given, (str, Path)) else "frame"
        try:
            table = _opened(given, reading)
            schema = _schema_of(table, reading)
            source = LenientSource(table, schema, dict(reading.columns or {}), reading.times, where=reading.where)
        except CorruptData as error:
            troubles.append(Trouble("damaged", name, str(error)))
            continue
        except NoData as error:
            troubles.append(Trouble("unreadable", name, str(error)))
            continue
        key = schema, _symbol_of(given, table, reading)
        groups.setdefault(key, []).append(source)
        form = _form(table)
        first_name, first_form = forms.setdefault(key, (name, form))
        if form != first_form:
            said = "; ".join(f"{column} is {kind}" for column, kind in form.items() if first_form.get(column) != kind)
            gone = ", ".join(column for column in first_form if column not in form)
            text = f"beside {first_name}: {said or 'no other types'}" + (f"; it lacks {gone}" if gone else "")
            troubles.append(Trouble("schema_drift", name, text))
    return [_origin(schema, symbol, held, reading) for (schema, symbol), held in groups.items()], troubles


def _opened(given: Any, reading: Reading) -> Any:
    if not isinstance(given, (str, Path)):
        return FrameTable(given)
    path = Path(given)
    if path.suffix == ".parquet":
        table = ParquetFile(path)
        table.metadata = table._file.schema_arrow.metadata or {}  # type: ignore[attr-defined]
        return table
    return CsvFile(path, None if reading.names is None else tuple(reading.names), reading.delimiter)


def _form(table: Any) -> dict[str, str]:
    if isinstance(table, ParquetFile):
        return {field.name: str(field.type) for field in table._file.schema_arrow}
    return dict.fromkeys(table.header, "text")


def _schema_of(table: Any, reading: Reading) -> SchemaName:
    if reading.schema is not None:
        return check_schema(reading.schema)
    stated = getattr(table, "metadata", {}).get(b"cift.schema")
    if stated is not None:
        return check_schema(stated.decode())
    named = {str(name).strip().lower() for name in table.header} | set(reading.columns or {})
    for schema, telling in _TELLING.items():
        if telling <= named:
            return schema
    raise DataError(
        f"{table.path.name} has the columns {', '.join(map(str, table.header))}, which tell no schema; pass schema= "
        f"({', '.join(SCHEMAS)}) and columns= where they have other names"
    )


def _symbol_of(given: Any, table: Any, reading: Reading) -> str:
    if reading.instrument is not None:
        return reading.instrument.symbol
    if reading.symbol is not None:
        return reading.symbol
    stated = getattr(table, "metadata", {}).get(b"cift.symbol")
    if stated is not None:
        return str(stated.decode())
    parts = Path(given).parts if isinstance(given, (str, Path)) else ()
    return next((decode_symbol(part[7:]) for part in reversed(parts) if part.startswith("symbol=")), DEFAULT_SYMBOL)


def _origin(schema: SchemaName, symbol: str, sources: list[LenientSource], reading: Reading) -> Origin:
    def read() -> Iterator[Batch | Trouble]:
        for source in sources:
            rows = 0
            try:
                for numbers, columns in source.batches():
                    rows += len(numbers)
                    yield Batch(source.name, numbers, columns)
            except InvalidParameter:
                raise
            except (CiftError, pa.ArrowException) as error:
                yield Trouble("damaged" if isinstance(error, CorruptData) else "unreadable", source.name, str(error))
                continue
            if not rows:
                yield Trouble("unreadable", source.name, "it holds no rows")

    notes = list(dict.fromkeys(note for source in sources for note in source.notes))
    origin = Origin(symbol, schema, read, reading.instrument, all(source.states_sequence for source in sources), notes)
    if origin.instrument is None:
        _infer_instrument(origin, reading)
    return origin


def _infer_instrument(origin: Origin, reading: Reading) -> None:
    """Gives a series the grid that was stated, or the one that nearly all prices and sizes of its first batch lie on."""
    steps: dict[str, Any] = {"tick_size": reading.tick_size, "lot_size": reading.lot_size}
    if None in steps.values():
        try:
            first = next(origin.batches(), None)
        except InvalidParameter:
            first = None  # told again where all rows are read
        for name, columns in (("tick_size", PRICE_COLUMNS), ("lot_size", SIZE_COLUMNS)):
            if steps[name] is None and first is not None:
                steps[name] = _usual_step([first.columns[column] for column in columns[origin.schema]])
                origin.grid_inferred |= steps[name] is not None
                if steps[name] is not None:
                    words = name.replace("_", " ")
                    origin.notes.append(
                        f"{words} taken to be {steps[name]:f}, as nearly all are; pass {name}= to state another"
                    )
    if None not in steps.values():
        steps |= {} if reading.calendar is None else {"calendar": reading.calendar}
        origin.instrument = Instrument(origin.symbol, **steps)
    else:
        origin.notes.append("prices or sizes lie on no decimal step down to 1e-9: the grid was not looked at")


def _usual_step(columns: list[Array]) -> Decimal | None:
    values = np.concatenate(columns)
    values, counts = np.unique(values[np.isfinite(values)], return_counts=True)
    if not len(values):
        return Decimal(1)
    for decimals in range(GRID_DECIMALS_MAX + 1):
        off = off_grid(values, 1, decimals)
        if counts[off].sum() <= (1 - ON_GRID_SHARE) * counts.sum():
            return Decimal(1).scaleb(-decimals)
    return None


def is_catalog(path: Path) -> bool:
    """Whether a folder is a catalog of ours."""
    return (path / PRIVATE_FOLDER).is_dir()


def partition_of(path: Path) -> tuple[Path, str, str, str] | None:
    """Catalog, dataset, symbol and day of a file that lies in a catalog; None where it does not."""
    for root in path.parents[3:5]:
        *dataset, symbol, date, _ = path.relative_to(root).parts
        if is_catalog(root) and dataset[0] in SCHEMAS and symbol.startswith("symbol=") and date.startswith("date="):
            return root, "/".join(dataset), decode_symbol(symbol[7:]), date[5:]
    return None


def files_below(folder: Path) -> list[Path]:
    """Parquet and CSV files of a folder that is no catalog, by name.

    Raises:
        NoData: where there are none.
    """
    found = sorted(path for path in folder.rglob("*") if path.is_file() and {".parquet", ".csv"} & set(path.suffixes))
    if not found:
        raise NoData(f"{folder} holds neither a catalog nor Parquet or CSV files")
    return found
