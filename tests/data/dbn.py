"""DBN files made by hand, record by record, with the vendor's own encoder."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import databento_dbn as dbn
import pyarrow as pa

from tests.data.market import MONDAY_NS

NS_PER_MS = 1_000_000
LATENCY_NS = 100_000
ACTIONS = {action.value: action for action in dbn.Action.variants()}
SIDES = {side.value: side for side in dbn.Side.variants()}
MONDAY = dt.date(2026, 1, 5)


def header(
    schema: str | None = "mbo",
    symbols: Mapping[str, int | Sequence[tuple[dt.date, dt.date, int]]] | None = None,
    dataset: str = "GLBX.MDP3",
    version: int = 3,
    ts_out: bool = False,
    by_id: bool = False,
) -> bytes:
    """Metadata: symbols with their instrument id, from 2026-01-05 to 2026-01-09, or with an id for each span of days.

    `by_id`: what was asked for were ids, and their symbols were looked up.
    """
    mappings = []
    for name, spans in ({"ESH6": 5} if symbols is None else symbols).items():
        listed = [(MONDAY, dt.date(2026, 1, 9), spans)] if isinstance(spans, int) else spans
        intervals = [SimpleNamespace(start_date=start, end_date=end, symbol=str(number)) for start, end, number in listed]
        mappings.append(SimpleNamespace(raw_symbol=name, intervals=intervals))
    if by_id:
        for mapping in mappings:
            (interval,) = mapping.intervals
            mapping.raw_symbol, interval.symbol = interval.symbol, mapping.raw_symbol
    kinds = [dbn.SType.RAW_SYMBOL, dbn.SType.INSTRUMENT_ID]
    metadata: Any = dbn.Metadata(
        dataset=dataset,
        start=MONDAY_NS,
        stype_in=kinds[by_id],
        stype_out=kinds[not by_id],
        schema=None if schema is None else dbn.Schema.from_str(schema),
        symbols=[mapping.raw_symbol for mapping in mappings],
        mappings=mappings,
        version=version,
        ts_out=ts_out,
    )
    return metadata.encode()


def common(text: str, options: dict[str, Any]) -> dict[str, Any]:
    """The fields of `A B 5@100.25 128`: action, side, size, price, flags; `ms` is the time of day."""
    action, side, what, flags = text.split()
    size, _, price = what.partition("@")
    ts_event = options.pop("ts_event", MONDAY_NS + options.pop("ms", 0) * NS_PER_MS)
    return {
        "publisher_id": 1,
        "instrument_id": 5,
        "ts_event": ts_event,
        "ts_recv": ts_event + LATENCY_NS,
        "price": dbn.UNDEF_PRICE if price == "-" else round(float(price) * 10**9),
        "size": int(size),
        "action": ACTIONS[action],
        "side": SIDES[side],
        "flags": int(flags),
        **options,
    }


def mbo(text: str, order_id: int = 0, **options: Any) -> bytes:
    """A record of the schema mbo."""
    return bytes(dbn.MBOMsg(order_id=order_id, **common(text, options)))


def mbp1(text: str, bid: str, ask: str, **options: Any) -> bytes:
    """A record of mbp-1 or tbbo; levels as `5@100.25`, `0@-` for none."""
    (bid_size, bid_price), (ask_size, ask_price) = (level.split("@") for level in (bid, ask))
    units = [dbn.UNDEF_PRICE if price == "-" else round(float(price) * 10**9) for price in (bid_price, ask_price)]
    level = dbn.BidAskPair(bid_px=units[0], ask_px=units[1], bid_sz=int(bid_size), ask_sz=int(ask_size))
    fields: Any = {"levels": level, **common(text, options)}
    return bytes(dbn.MBP1Msg(depth=0, **fields))


def _units(price: str) -> int:
    return dbn.UNDEF_PRICE if price == "-" else round(float(price) * 10**9)


def mbp10(text: str, bids: Sequence[tuple[float, int]], asks: Sequence[tuple[float, int]], **options: Any) -> bytes:
    """A record of mbp-10 with (price, size) of up to ten levels a side, best first."""
    pairs = []
    for n in range(10):
        fields = {}
        for side, levels in (("bid", bids), ("ask", asks)):
            price, size = levels[n] if n < len(levels) else ("-", 0)
            fields |= {f"{side}_px": _units(str(price)), f"{side}_sz": size}
        pairs.append(dbn.BidAskPair(**fields))
    options = {"levels": pairs, **common(text, options)}
    return bytes(dbn.MBP10Msg(depth=0, **options))


def sampled(text: str, bid: str, ask: str, number: int = 0xC3, **options: Any) -> bytes:
    """A record of bbo-1s (0xC3), bbo-1m, or of the consolidated cbbo-1s (0xC0), cbbo-1m."""
    (bid_size, bid_price), (ask_size, ask_price) = (level.split("@") for level in (bid, ask))
    consolidated = number in (0xC0, 0xC1)
    pair = dbn.ConsolidatedBidAskPair if consolidated else dbn.BidAskPair
    level = pair(bid_px=_units(bid_price), ask_px=_units(ask_price), bid_sz=int(bid_size), ask_sz=int(ask_size))
    fields: Any = {"rtype": dbn.RType.from_int(number), "levels": level, **common(text, options)}
    fields.pop("action")
    return bytes((dbn.CBBOMsg if consolidated else dbn.BBOMsg)(**fields))


def cmbp1(text: str, bid: str, ask: str, number: int = 0xB1, **options: Any) -> bytes:
    """A record of cmbp-1 (0xB1) or tcbbo (0xC2)."""
    (bid_size, bid_price), (ask_size, ask_price) = (level.split("@") for level in (bid, ask))
    level = dbn.ConsolidatedBidAskPair(
        bid_px=_units(bid_price), ask_px=_units(ask_price), bid_sz=int(bid_size), ask_sz=int(ask_size)
    )
    fields: Any = {"rtype": dbn.RType.from_int(number), "levels": level, **common(text, options)}
    return bytes(dbn.CMBP1Msg(**fields))


def ohlcv(ts_event: int, prices: Sequence[float], volume: int, number: int = 0x21, **options: Any) -> bytes:
    """A bar that begins at `ts_event`: open, high, low, close; 0x20 is ohlcv-1s, then 1m, 1h, 1d."""
    names = ("open", "high", "low", "close")
    fields: Any = {"publisher_id": 1, "instrument_id": 5, "ts_event": ts_event, "volume": volume, **options}
    fields |= {name: _units(str(price)) for name, price in zip(names, prices, strict=True)}
    return bytes(dbn.OHLCVMsg(rtype=dbn.RType.from_int(number), **fields))


def trade(text: str, **options: Any) -> bytes:
    """A record of the schema trades."""
    return bytes(dbn.TradeMsg(depth=0, **common(text, options)))


def definition(symbol: str = "ESH6", tick: float = 0.25, **options: Any) -> bytes:
    """A definition of an instrument."""
    fields: dict[str, Any] = {
        "publisher_id": 1,
        "instrument_id": 5,
        "ts_event": MONDAY_NS,
        "ts_recv": MONDAY_NS,
        "min_price_increment": round(tick * 10**9),
        "display_factor": 10**9,
        "raw_symbol": symbol,
        "asset": "ES",
        "security_type": "FUT",
        "instrument_class": dbn.InstrumentClass.FUTURE,
        "security_update_action": dbn.SecurityUpdateAction.ADD,
    }
    return bytes(dbn.InstrumentDefMsg(**{**fields, **options}))


def write(path: Path, *parts: bytes) -> Path:
    """Header and records as a file; compressed where its name says so."""
    data = b"".join(parts)
    if path.suffix == ".zst":
        data = pa.Codec("zstd").compress(data, asbytes=True)
    path.write_bytes(data)
    return path
