"""Reads mutated files of a catalog and says what happened to each; run as a child, because a decoder may crash.

Arguments: folder of the catalog, seed of the first mutation, one past the last. Prints a line per mutation:
its seed, and `raised <type>`, `same` (every value as written), or `SILENT`.
"""

from __future__ import annotations

import random
import resource
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from cift.data.catalog import Catalog
from cift.errors import CiftError
from tests.data.market import SYMBOL, read, same


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


def mutate(original: bytes, other: bytes, path: Path, rng: random.Random) -> bytes:
    data = bytearray(original)
    footer = len(data) - 8 - int.from_bytes(data[-8:-4], "little")
    kind = rng.randrange(10)
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


def main(folder: Path, first: int, last: int) -> None:
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
        try:
            found = read(feed, 100)
            hashed = reader.content_hash(((-(2**63), int(everything["ts_event"][-1])),))
        except CiftError as error:
            print("raised", type(error).__name__, flush=True)
            continue
        finally:
            path.write_bytes(original)
        alike = same(everything, found) and len(found["price"]) == len(everything["price"]) and hashed is not None
        print("same" if alike else "SILENT", flush=True)
    print("memory", peak_kib(), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
