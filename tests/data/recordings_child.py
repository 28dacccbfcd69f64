"""Imports mutated recordings and books and says what happened to each; run as a child, because a decoder may crash.

Arguments: a folder, and the number of mutations. Prints a line per mutation: its seed and the error's type, or `stored`; the rows of
a long recording, and by how many KiB the peak of memory grew while it was imported.
"""

from __future__ import annotations

import gzip
import random
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cift.data.catalog import Catalog
from cift.data.importers import import_binance, import_bybit, import_hyperliquid, import_tardis
from cift.errors import CiftError
from tests.data.corruption_child import flip_bits, peak_kib
from tests.data.depth import diff, snapshot, ticker, trade
from tests.data.market import QuickDisk
from tests.data.test_binance_csv import SNAPS, UPDATES
from tests.data.test_bybit_hyperliquid import FIRST, book, picture, prints
from tests.data.test_tardis_books import CHANGES, PICTURES, change

BIDS, ASKS = {10.0: 1.0, 9.99: 2.5}, {10.02: 3.0}
ORIGINALS: dict[str, tuple[Callable[..., Any], str]] = {
    "binance.log": (
        import_binance,
        snapshot(1, BIDS, ASKS)
        + "".join(
            diff(at, at, {10.0 + at / 100: at}, {11.0: 1.0}, ms=at)
            + ticker(at, 10, 11, ms=at)
            + trade(at, 10, ms=at, sold=True)
            for at in range(2, 40)
        ),
    ),
    "depth.csv": (import_binance, SNAPS + UPDATES.partition("\n")[2]),
    "bybit.data": (import_bybit, FIRST + "".join(book("delta", at, {"1.95": f"{at}"}, {}, ms=at) for at in range(11, 60))),
    "hyperliquid.log": (
        import_hyperliquid,
        "".join(picture({"100": f"{at}"}, {"101": "1"}, ms=at) + prints((at, "B", "100", "1", at)) for at in range(1, 40)),
    ),
    "changes.csv": (import_tardis, CHANGES + "".join(change(at, "bid", 10, at, snapshot=at < 5) for at in range(60))),
    "pictures.csv": (import_tardis, PICTURES),
}
NONSENSE = (
    b"NaN",
    b"Infinity",
    b"-1",
    b"null",
    b"true",
    b"{}",
    b"[]",
    b'"x"',
    b"1e999",
    b"9" * 400,
    b"[" * 100_000,
    b'{"a":' * 100_000,
    b"\xff\xfe",
    b"\x00",
    b'"\\ud800"',
    b'"u":1,"u":2',
    b",",
    b"",
)


def mutate(original: bytes, rng: random.Random) -> bytes:
    data = bytearray(original)
    kind = rng.randrange(5)
    start = rng.randrange(len(data))
    if kind == 0:
        flip_bits(data, rng, 0, len(data))
    elif kind == 1:
        del data[start:]
    elif kind == 2:
        del data[start : start + rng.randrange(200)]
    else:
        # In the place of a value, or anywhere.
        values = [at for at in range(start, min(start + 400, len(data))) if data[at : at + 1] in (b":", b",", b"[")]
        at = rng.choice(values) + 1 if values and kind == 3 else start
        end = min([end for mark in b",]}\n" if (end := data.find(mark, at)) >= 0] or [at])
        data[at:end] = rng.choice(NONSENSE)
    return bytes(data)


def outcome(folder: Path, name: str, data: bytes) -> str:
    path = folder / name
    path.write_bytes(data)
    shutil.rmtree(folder / "catalog", ignore_errors=True)
    catalog = Catalog(folder / "catalog", disk=QuickDisk())
    try:
        ORIGINALS[name][0](catalog, path)
    except CiftError as error:
        told = error
    else:
        catalog.verify()
        return "stored"
    assert catalog.symbols() == []
    assert len(str(told)) < 2_000, told
    return type(told).__name__


def long_recording(path: Path, events: int) -> int:
    """Writes a recording whose text is far larger than what may be held of it; how many bytes it has."""
    size = 0
    with gzip.open(path, "wb", compresslevel=1) as file:
        for at in range(events):
            levels = {float(50_000 + (at * 7 + step) % 1_000): float(step) for step in range(100)}
            text = snapshot(1, levels, {}) if at == 0 else diff(at + 1, at + 1, levels, {}, ms=at) + trade(at, 10, ms=at)
            size += file.write(text.encode())
    return size


def main(folder: Path, count: int) -> None:
    for name, (_, text) in ORIGINALS.items():
        assert outcome(folder, name, text.encode()) == "stored", name
    for seed in range(count):
        rng = random.Random(seed)
        name = rng.choice(list(ORIGINALS))
        print(seed, end=" ", flush=True)
        print(outcome(folder, name, mutate(ORIGINALS[name][1].encode(), rng)), flush=True)
    print("bytes", long_recording(folder / "long.gz", 22_000), flush=True)
    before = peak_kib()
    report = import_binance(Catalog(folder / "long", disk=QuickDisk()), folder / "long.gz")
    print("rows", report.counts["mbp"], flush=True)
    print("grew", peak_kib() - before, flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
