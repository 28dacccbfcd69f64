"""Reads mutated Parquet files and says what happened to each; run as a child, because a decoder may crash.

Arguments: `catalog` or `foreign`, a folder, seed of the first mutation, one past the last. Prints a line per mutation: its seed,
and what came of it.

- `catalog`, a folder that is one: `raised <type>`, `same` (every value as written), or `SILENT`; behind it what the doctor said.
- `foreign`, a folder with sound.parquet: how it was changed (damaged, lies, rewritten), and for each reader (import_parquet,
  cift.trades, the doctor on the file, the doctor on the file beside the sound one) `raised <type>`, `same`, `other` (rows that
  differ), or its gravest finding.
"""

from __future__ import annotations

import random
import resource
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from cift.data.catalog import Catalog
from cift.data.columns import RawColumns
from cift.data.doctor import Diagnosis, check
from cift.data.frames import trades
from cift.data.importers import import_parquet
from cift.errors import CiftError, CorruptData
from tests.data.market import SYMBOL, QuickDisk, read, same

MEMORY_BYTES_MAX = 3 << 30
"""Of address space: what a lying header asks for beyond it is refused by the system, not taken."""


def peak_kib() -> int:
    """Peak memory of this process. Not getrusage where it can be helped: that still holds what the parent had at the fork."""
    status = Path("/proc/self/status")
    if not status.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(next(line.split()[1] for line in status.read_text().splitlines() if line.startswith("VmHWM")))


def flip_bits(data: bytearray, rng: random.Random, start: int, stop: int) -> None:
    for _ in range(rng.choice([1, 1, 1, 2, 8])):
        data[rng.randrange(start, stop)] ^= 1 << rng.randrange(8)


def rewritten(path: Path, rng: random.Random) -> bytes:
    """A sound Parquet file with other rows, types, units, zones or columns than the manifest knows."""
    table = pq.ParquetFile(path).read()
    kind = rng.randrange(8)
    if kind == 0:
        table = table.slice(0, 0)
    elif kind == 1:
        table = table.slice(rng.randrange(1, table.num_rows))
    elif kind == 2:
        table = table.set_column(0, "ts_event", table["ts_event"].cast(pa.timestamp("us", "UTC"), safe=False))
    elif kind == 3:
        table = table.set_column(0, "ts_event", table["ts_event"].cast(pa.timestamp("ns", "America/New_York")))
    elif kind == 4:
        table = table.drop_columns([rng.choice(table.column_names)])
    elif kind == 5:
        table = table.select(rng.sample(table.column_names, table.num_columns))
    elif kind == 6:
        table = table.rename_columns([name.upper() for name in table.column_names])
    else:
        table = table.take(pa.array(rng.sample(range(table.num_rows), table.num_rows)))
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd", write_page_checksum=True)
    return sink.getvalue().to_pybytes()


def mutate(original: bytes, other: bytes, path: Path, rng: random.Random, kinds: int = 10) -> bytes:
    data = bytearray(original)
    footer = len(data) - 8 - int.from_bytes(data[-8:-4], "little")
    kind = rng.randrange(kinds)
    if kind <= 3:
        flip_bits(data, rng, 0, footer)
    elif kind == 4:
        flip_bits(data, rng, footer, len(data))
    elif kind == 5:
        del data[rng.randrange(len(data)) :]
    elif kind == 6:
        start = rng.randrange(footer)
        data[start : start + rng.randrange(1, 500)] = bytes(rng.randrange(1, 500))
    elif kind == 7:
        start, size = rng.randrange(footer - 200), rng.randrange(1, 100)
        data[start : start + size], data[start + 100 : start + 100 + size] = (
            data[start + 100 : start + 100 + size],
            data[start : start + size],
        )
    elif kind == 8:
        return rng.choice([b"", b"PAR1", b"PAR1PAR1", rng.randbytes(len(data)), other, bytes(len(data))])
    else:
        path.write_bytes(original)
        return rewritten(path, rng)
    return bytes(data)


def with_lies(data: bytearray, rng: random.Random) -> bytes:
    """A file whose footer or page headers declare other sizes: runs of 7-bit numbers made as large as they can be."""
    footer = len(data) - 8 - int.from_bytes(data[-8:-4], "little")
    start = rng.choice([footer, 4, rng.randrange(4, footer)])
    at = rng.randrange(start, min(len(data) - 8, start + 400))
    for offset in range(rng.randrange(1, 5)):
        if at + offset < len(data) - 8:
            data[at + offset] |= 0xF0
    if rng.random() < 0.1:
        data[-8:-4] = rng.choice([0, 1, 2**31 - 1, 2**32 - 1, len(data) * 2]).to_bytes(4, "little")
    return bytes(data)


def doctors_word(read_by_doctor: Callable[[], Diagnosis]) -> str:
    """The doctor refuses nothing that it can open; what it cannot is one of our errors."""
    try:
        return f"found {read_by_doctor().worst}"
    except CiftError as error:
        return f"raised {type(error).__name__}"


def foreign(folder: Path, first: int, last: int) -> None:
    sound = folder / "sound.parquet"
    original = sound.read_bytes()
    expected = read(trades(sound).feeds[0], None)
    work = folder / "work"
    work.mkdir(exist_ok=True)
    path = work / "mutated.parquet"
    for seed in range(first, last):
        rng = random.Random(seed)
        choice = rng.random()
        path.write_bytes(original)
        if choice < 0.2:
            word, mutated = "lies", with_lies(bytearray(original), rng)
        elif choice < 0.4:
            # Sound, but not what was asked for: rows, types, units, zones or columns differ.
            word, mutated = "rewritten", rewritten(path, rng)
        else:
            word, mutated = "damaged", mutate(original, original, path, rng, kinds=9)
        path.write_bytes(mutated)
        catalog = Catalog(work / f"catalog-{seed}", disk=QuickDisk())
        print(seed, end=" ", flush=True)

        def stored(catalog: Catalog = catalog) -> RawColumns:
            import_parquet(catalog, path, schema="trades", symbol=SYMBOL)
            return read(catalog.ticks(SYMBOL).feeds[0], None)

        words = [word]
        for reader in (stored, lambda: read(trades(path).feeds[0], None)):
            try:
                found = reader()
            except CiftError as error:
                words.append(f"raised {type(error).__name__}")
            else:
                words.append("same" if len(found["price"]) == len(expected["price"]) and same(expected, found) else "other")
        if words[1].startswith("raised"):
            assert catalog.symbols() == []
        words.append(doctors_word(lambda: check(path, schema="trades")))
        words.append(doctors_word(lambda: check([sound, path], schema="trades")))
        print("; ".join(words), flush=True)
        shutil.rmtree(catalog.path, ignore_errors=True)
    print("memory", peak_kib(), flush=True)


def in_catalog(folder: Path, first: int, last: int) -> None:
    (path,) = folder.glob("mbo/*/*/*.parquet")
    (other,) = folder.glob("trades/*/*/*.parquet")
    original, other_bytes = path.read_bytes(), other.read_bytes()
    feed = Catalog(folder).ticks(SYMBOL, level="L3").feeds[0]
    everything = read(feed, None)
    (reader,) = feed.readers
    for seed in range(first, last):
        mutated = mutate(original, other_bytes, path, random.Random(seed))
        path.write_bytes(mutated)
        print(seed, end=" ", flush=True)
        report = Catalog(folder).check(SYMBOL, schema="mbo")
        damaged = "damaged" in report.counts
        try:
            found = read(feed, 100)
            hashed = reader.content_hash(((-(2**63), int(everything["ts_event"][-1])),))
        except CiftError as error:
            # A flip in a column that a feed does not need is the doctor's alone to see; never the other way round.
            overlooked = isinstance(error, CorruptData) and not damaged
            print("OVERLOOKED by the doctor" if overlooked else f"raised {type(error).__name__}", flush=True)
            continue
        finally:
            path.write_bytes(original)
        alike = same(everything, found) and len(found["price"]) == len(everything["price"]) and hashed is not None
        print("same" if alike else "SILENT", flush=True)
    print("memory", peak_kib(), flush=True)


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES_MAX, MEMORY_BYTES_MAX))
    run = {"catalog": in_catalog, "foreign": foreign}[sys.argv[1]]
    run(Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
