"""A market of our own: seeded synthetic days for the first notebook, for tests and for benchmarks.

The compiled generator lets orders come, go and trade through the matching engine and writes down what happens as `mbo`,
`quotes` and `trades`: three records of one market, so a strategy may be run on either level and compared. Equal seeds give
equal rows on every machine. A generated day is one session from 09:30 to 16:00 UTC on a venue without holidays or time zones
(calendar "24/7"); it opens with a clear and the resting book.

Returns have fat tails, volatility and the signs of trades cluster and are slowly forgotten, volume has the shape of a U;
`tests/data/test_demo.py` states and checks each. The market has no auctions, no hidden orders and no news, and nobody in it
learns: what earns money here says nothing about a real venue.
"""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from cift._sim import Market
from cift.config import cache_folder
from cift.data.catalog import Catalog
from cift.data.hashing import blake2
from cift.data.manifest import FORMAT_VERSION, Layout, Manifest
from cift.data.storage import locked
from cift.data.times import TimeLike, time_ns
from cift.domain.instrument import Instrument, Number
from cift.domain.schemas import check_schema
from cift.errors import CatalogError, CorruptData, InvalidParameter, UnknownSymbol

if TYPE_CHECKING:
    from cift.data.columns import RawColumns
    from cift.domain.chunk import SchemaName

GENERATOR_VERSION: Final = 2
"""Rises whenever the generator makes other rows of the same seed, so that a stored demo market is made anew."""

MADE: Final[tuple[SchemaName, ...]] = ("mbo", "quotes", "trades")
"""The schemas that are made: one market, seen at three depths."""
DEMO_SYMBOL: Final = "DEMO.SIM"
DEMO_DATE: Final = "2026-01-05"
DEMO_EVENTS: Final = 200_000
DEMO_SEED: Final = 20_260_105

SESSION_START_NS: Final = 34_200 * 10**9
"""09:30 after midnight, UTC."""
SESSION_END_NS: Final = 57_600 * 10**9
"""16:00 after midnight, UTC."""

_CHUNK_ROWS: Final = 131_072
_SEEDS: Final = range(2**64)


@dataclass(frozen=True, slots=True)
class GeneratedDay:
    """What one call of `generate` stored.

    Args:
        manifests: one per schema, in the order of the schemas; `content_hash` is over row values.
        close: the last mid price, in currency.
    """

    manifests: tuple[Manifest, ...]
    close: float


def generate(
    catalog: Catalog,
    symbol: str,
    date: TimeLike,
    events: int,
    seed: int,
    *,
    price: Number = "100.00",
    tick_size: Number = "0.01",
    lot_size: Number = 1,
    schemas: Sequence[str] = MADE,
) -> GeneratedDay:
    """Makes one day of a synthetic market and stores it; what the catalog held of that day is replaced.

    Memory does not grow with `events`: each schema is a pass of its own over the same market.

    Args:
        catalog: where to store it.
        symbol: its name, "DEMO.SIM".
        date: the UTC day.
        events: records of `mbo`, after those of the opening book (about 2,500).
        seed: 0 to 2**64 - 1; equal seeds give equal rows.
        price: about where the day opens, in currency; at least 1,000 ticks. A day of 200,000 events moves by some hundred
            ticks whatever the price, so 5,000 to 20,000 ticks give moves of a percent or so.
        tick_size: the price step, in currency.
        lot_size: the size step; orders are 1 to some thousand lots.
        schemas: which records to store.

    Raises:
        InvalidParameter: a date with a time of day, a negative number of events, a seed or price out of range.
        OffTickPrice: a price between two ticks.
        CatalogError: the symbol is stored with another instrument.
    """
    kinds = [check_schema(schema) for schema in schemas]
    if not kinds:
        raise InvalidParameter(f"schemas must name at least one of {', '.join(MADE)}")
    day_ns, is_date = time_ns(date, "date")
    if not is_date:
        raise InvalidParameter(f"date must be a day such as '2026-01-05', not {date!r}")
    if events < 0:
        raise InvalidParameter(f"events must be 0 or more, not {events}")
    if seed not in _SEEDS:
        raise InvalidParameter(f"seed must be between 0 and 2**64 - 1, not {seed}")
    instrument = Instrument(symbol, tick_size=Decimal(str(tick_size)), lot_size=Decimal(str(lot_size)))
    (tick, tick_digits), (lot, lot_digits) = instrument.tick_fraction, instrument.lot_fraction

    price_ticks = instrument.to_ticks(price)
    with catalog.writer() as writer:
        for kind in kinds:
            market = Market(
                seed=seed,
                events=events,
                start_ns=day_ns + SESSION_START_NS,
                end_ns=day_ns + SESSION_END_NS,
                price_ticks=price_ticks,
                tick=(tick, 10**tick_digits),
                lot=(lot, 10**lot_digits),
            )
            writer.add(kind, symbol, _records(market, kind))
        manifests = catalog.commit(writer, [instrument])
    bid, ask = market.touch_ticks
    # A side that is empty at the close leaves the price to the other one.
    close_ticks = sum(best for best in (bid, ask) if best is not None) / max(1, (bid is not None) + (ask is not None))
    return GeneratedDay(tuple(manifests), close_ticks * tick / 10**tick_digits)


def _records(market: Market, schema: SchemaName) -> Iterator[RawColumns]:
    """One schema of a market, a stretch at a time."""
    while (mbo := market.chunk(_CHUNK_ROWS)) is not None:
        yield mbo if schema == "mbo" else market.quotes() if schema == "quotes" else market.trades()


def demo_catalog(path: str | Path | None = None) -> Catalog:
    """A catalog with one day of a synthetic market: DEMO.SIM on 2026-01-05, 200,000 events as `mbo`, `quotes` and `trades`.

    Made at the first call, which takes a second, and opened by the next ones. It is stored in the user's cache folder
    (`CIFT_CACHE` overrides it); a stored market that was damaged, or that another version made, is made anew.

    Args:
        path: a folder to use instead. What it holds besides DEMO.SIM stays.

    Raises:
        CatalogError: where the folder cannot be written.

    Example:
        >>> view = demo_catalog().ticks("DEMO.SIM", "2026-01-05")
        >>> view.level
        'L3'
    """
    if path is not None:
        catalog = Catalog(path)
        if not _has_demo(catalog):
            _make_demo(catalog)
        return catalog
    cache = cache_folder()
    place = cache / f"demo-{GENERATOR_VERSION}-{FORMAT_VERSION}"
    if not _is_whole(place):
        try:
            cache.mkdir(parents=True, exist_ok=True)
            # One process makes it, the others wait and find it made.
            with locked(cache / f"{place.name}.lock"):
                if not _is_whole(place):
                    _replace_demo(place)
        except OSError as error:
            raise CatalogError(
                f"the demo market cannot be stored in {cache} ({error}); set CIFT_CACHE to a folder that can be written, "
                "or call demo_catalog(path)"
            ) from error
    return Catalog(place)


def _make_demo(catalog: Catalog) -> None:
    generate(catalog, DEMO_SYMBOL, DEMO_DATE, DEMO_EVENTS, DEMO_SEED)


def _replace_demo(place: Path) -> None:
    """Makes the market beside its place and moves it there; the caller holds the lock, so what lies around is left over."""
    for left_over in place.parent.glob(f"{place.name}.*.tmp"):
        shutil.rmtree(left_over, ignore_errors=True)
    made = place.with_name(f"{place.name}.{secrets.token_hex(4)}.tmp")
    try:
        _make_demo(Catalog(made))
        if place.is_dir():
            place.rename(place.with_name(f"{place.name}.{secrets.token_hex(4)}.tmp"))
        else:
            place.unlink(missing_ok=True)
        made.rename(place)
    finally:
        for left_over in place.parent.glob(f"{place.name}.*.tmp"):
            shutil.rmtree(left_over, ignore_errors=True)


def _has_demo(catalog: Catalog) -> bool:
    try:
        stored: dict[str, Any] = catalog.describe(DEMO_SYMBOL)["schemas"]
    except UnknownSymbol:
        return False
    return set(stored) == set(MADE)


def _is_whole(place: Path) -> bool:
    """Whether the demo market is stored there in full, and not a byte of it changed."""
    layout = Layout(place)
    try:
        for schema in MADE:
            manifest = layout.read(schema, DEMO_SYMBOL, DEMO_DATE)
            if manifest is None:
                return False
            file = layout.partition(schema, DEMO_SYMBOL, DEMO_DATE) / manifest.file
            if blake2(file.read_bytes()).hexdigest() != manifest.file_hash:
                return False
        return DEMO_SYMBOL in Catalog(place).instruments()
    except (CatalogError, CorruptData, OSError):
        return False
