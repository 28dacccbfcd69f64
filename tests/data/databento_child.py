"""Imports mutated DBN files and says what happened to each; run as a child, because a decoder may crash.

Arguments: a folder with a.dbn, b.dbn.zst and bomb.dbn, and the number of mutations. Prints a line per mutation: its seed and
the error's type, or `stored`; a line for the bomb; and the peak memory in KiB.
"""

from __future__ import annotations

import random
import sys
from pathlib import Path

from cift.data.catalog import Catalog
from cift.data.importers import import_databento
from cift.errors import CiftError
from tests.data.corruption_child import flip_bits, peak_kib
from tests.data.market import QuickDisk


def mutate(original: bytes, rng: random.Random) -> bytes:
    data = bytearray(original)
    kind = rng.randrange(6)
    if kind <= 2:
        flip_bits(data, rng, 0, len(data) if kind else min(400, len(data)))
    elif kind == 3:
        del data[rng.randrange(len(data)) :]
    elif kind == 4:
        start = rng.randrange(len(data))
        data[start : start + rng.randrange(60)] = rng.randbytes(rng.randrange(60))
    else:
        # Lengths and counts are where a decoder is led astray.
        start = rng.randrange(4, min(400, len(data) - 4))
        data[start : start + 4] = rng.choice([b"\xff\xff\xff\xff", b"\xff\xff\xff\x7f", bytes(4), rng.randbytes(4)])
    return bytes(data)


def outcome(catalog: Catalog, path: Path) -> str:
    try:
        import_databento(catalog, path)
    except CiftError as error:
        assert catalog.symbols() == []
        return type(error).__name__
    catalog.verify()
    return "stored"


def main(folder: Path, count: int) -> None:
    originals = [(folder / name).read_bytes() for name in ("a.dbn", "b.dbn.zst")]
    path = folder / "mutated.dbn"
    for seed in range(count):
        rng = random.Random(seed)
        path.write_bytes(mutate(rng.choice(originals), rng))
        print(seed, end=" ", flush=True)
        print(outcome(Catalog(folder / f"catalog-{seed}", disk=QuickDisk()), path), flush=True)
    print("bomb", outcome(Catalog(folder / "bombed"), folder / "bomb.dbn"), flush=True)
    print("memory", peak_kib(), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
