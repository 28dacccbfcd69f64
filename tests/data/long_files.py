"""Files of trades of any length, written a block at a time, and an import of one in a process of its own that tells its memory."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import databento_dbn as dbn
import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv

from tests.data.dbn import header
from tests.data.market import MONDAY_NS

ROOT = Path(__file__).parents[2]
ROWS_PER_BLOCK = 200_000
GAP_NS = 700
"""Between two trades; a day holds 123 million."""

IMPORT = """
import sys
from pathlib import Path
from cift.data.catalog import Catalog
from cift.data.importers import import_csv, import_databento
from tests.data.corruption_child import peak_kib
from tests.data.market import QuickDisk

file, catalog = Path(sys.argv[1]), Catalog(sys.argv[2], disk=QuickDisk())
steps = {"tick_size": "0.25", "lot_size": 1}
if file.suffix == ".dbn":
    report = import_databento(catalog, file, **steps)
else:
    report = import_csv(catalog, file, schema="trades", symbol="ESH6.GLBX", **steps)
print(report.rows_read, report.rows_written, peak_kib())
"""


def columns(first: int, rows: int) -> dict[str, np.ndarray]:
    """Times, prices in quarters, sizes and sides of some trades, from the `first` one on."""
    number = np.arange(first, first + rows)
    return {
        "ts_event": MONDAY_NS + number * GAP_NS,
        "price": 5_000 + (number * 7_919 % 401) / 4,
        "size": number * 104_729 % 97 + 1,
        "side": number * 15_485_863 % 2,
    }


def write_csv(path: Path, bytes_min: int) -> int:
    """A CSV file of at least so many bytes; the number of its rows."""
    rows = 0
    with path.open("wb") as file:
        while file.tell() < bytes_min:
            block = columns(rows, ROWS_PER_BLOCK)
            words = pa.array(np.array(["buy", "sell"])[block.pop("side")])
            table = pa.table({**block, "aggressor": words, "trade_id": np.arange(rows + 1, rows + ROWS_PER_BLOCK + 1)})
            pacsv.write_csv(table, file, pacsv.WriteOptions(include_header=rows == 0))
            rows += ROWS_PER_BLOCK
    return rows


def write_dbn(path: Path, bytes_min: int) -> int:
    """A DBN file of the schema trades of at least so many bytes; the number of its records."""
    kind = np.dtype(dbn.TradeMsg._dtypes)
    rows = 0
    with path.open("wb") as file:
        file.write(header("trades"))
        while file.tell() < bytes_min:
            block, records = columns(rows, ROWS_PER_BLOCK), np.zeros(ROWS_PER_BLOCK, kind)
            records["length"], records["rtype"], records["publisher_id"], records["instrument_id"] = kind.itemsize // 4, 0, 1, 5
            records["ts_event"], records["ts_recv"] = block["ts_event"], block["ts_event"] + 100
            records["price"], records["size"] = (block["price"] * 10**9).astype(np.int64), block["size"]
            records["action"], records["side"] = b"T", np.array([b"B", b"A"])[block["side"]]
            records["flags"], records["sequence"] = 128, np.arange(rows, rows + ROWS_PER_BLOCK) % 2**32
            file.write(records.tobytes())
            rows += ROWS_PER_BLOCK
    return rows


WRITERS: dict[str, Callable[[Path, int], int]] = {"csv": write_csv, "dbn": write_dbn}


def peak_of_import(folder: Path, kind: str, bytes_min: int) -> int:
    """Peak resident memory, in bytes, of a process that imports a file of at least so many bytes; the file goes again."""
    file = folder / f"{bytes_min}.{kind}"
    rows = WRITERS[kind](file, bytes_min)
    done = subprocess.run(
        [sys.executable, "-c", IMPORT, file, folder / f"catalog-{kind}-{bytes_min}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=3_600,
        check=False,
    )
    file.unlink()
    assert done.returncode == 0, done.stderr
    read, written, peak_kib = map(int, done.stdout.split())
    assert read == written == rows
    return 1024 * peak_kib
