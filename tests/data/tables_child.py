"""Imports mutated tables and says what happened to each; run as a child, because a decoder may crash.

Arguments: a folder with a.csv in all its forms and bomb.csv.gz, and the number of mutations. Prints a line per mutation: its seed
and the error's type, or `stored`; a line for the bomb; and the peak memory in KiB.
"""

from __future__ import annotations

import random
import sys
from pathlib import Path

from cift.data.catalog import Catalog
from cift.data.importers import import_csv, import_parquet
from cift.errors import CiftError
from tests.data.corruption_child import flip_bits, peak_kib
from tests.data.market import QuickDisk


def mutate(original: bytes, rng: random.Random) -> bytes:
    data = bytearray(original)
    kind = rng.randrange(4)
    if kind <= 1:
        flip_bits(data, rng, 0, len(data))
    elif kind == 2:
        del data[rng.randrange(len(data)) :]
    else:
        start = rng.randrange(len(data))
        data[start : start + rng.randrange(60)] = rng.randbytes(rng.randrange(60))
    return bytes(data)


def outcome(catalog: Catalog, path: Path) -> str:
    read = import_parquet if path.suffix == ".parquet" else import_csv
    try:
        read(catalog, path, schema="trades", symbol="ABC.SIM")
    except CiftError as error:
        assert catalog.symbols() == []
        return type(error).__name__
    catalog.verify()
    return "stored"


def main(folder: Path, count: int) -> None:
    originals = {path: path.read_bytes() for path in sorted(folder.glob("a.*"))}
    for seed in range(count):
        rng = random.Random(seed)
        path = rng.choice(list(originals))
        mutated = folder / f"mutated{''.join(path.suffixes)}"
        mutated.write_bytes(mutate(originals[path], rng))
        print(seed, end=" ", flush=True)
        print(outcome(Catalog(folder / f"catalog-{seed}", disk=QuickDisk()), mutated), flush=True)
    print("bomb", outcome(Catalog(folder / "bombed"), folder / "bomb.csv.gz"), flush=True)
    print("memory", peak_kib(), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
