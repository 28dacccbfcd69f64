"""What the catalog knows of each partition: the file that counts, and the hashes that vouch for it."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar
from urllib.parse import quote, unquote

import msgspec

from cift.data.hashing import blake2
from cift.domain.chunk import SchemaName
from cift.errors import CatalogError, CorruptData

T = TypeVar("T")

FORMAT_VERSION = 1
PRIVATE_FOLDER = "_cift"
"""Folder of the catalog's own records: data folders hold Parquet alone, so that any reader may be pointed at them."""


class RowGroup(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One row group: its rows, its first and last `ts_event`, and the `word_sum` of each column."""

    rows: int
    first_ns: int
    last_ns: int
    sums: dict[str, int]


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One partition: a symbol's records of one schema on one UTC day.

    `content_hash` is over row values (`cift.data.hashing.ContentHash`), `footer_hash` over the Parquet footer with its
    length and magic, `file_hash` over the whole file.
    """

    version: int
    schema: SchemaName
    symbol: str
    date: str
    file: str
    file_bytes: int
    rows: int
    content_hash: str
    footer_hash: str
    file_hash: str
    row_groups: tuple[RowGroup, ...]

    @property
    def first_ns(self) -> int:
        """`ts_event` of the first row."""
        return self.row_groups[0].first_ns

    @property
    def last_ns(self) -> int:
        """`ts_event` of the last row."""
        return self.row_groups[-1].last_ns


class _Sealed(msgspec.Struct, forbid_unknown_fields=True):
    hash: str
    content: msgspec.Raw


def seal(content: object) -> bytes:
    """A record as JSON that carries its own hash."""
    raw = msgspec.json.encode(content)
    return msgspec.json.encode(_Sealed(blake2(raw).hexdigest(), msgspec.Raw(raw)))


def unseal(data: bytes, kind: type[T], path: Path) -> T:
    """Reads what `seal` wrote.

    Raises:
        CorruptData: where the text is not what was written.
    """
    try:
        sealed = msgspec.json.decode(data, type=_Sealed)
        if blake2(bytes(sealed.content)).hexdigest() != sealed.hash:
            raise CorruptData(f"{path} does not match its own hash: it was changed after it was written; restore or re-import")
        return msgspec.json.decode(sealed.content, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise CorruptData(
            f"{path} cannot be read ({error}): it was changed after it was written; restore or re-import"
        ) from None


def encode_symbol(symbol: str) -> str:
    """A symbol as the name of a folder: percent-encoded, `EUR/USD.FX` -> `EUR%2FUSD.FX`."""
    return quote(symbol, safe="")


def decode_symbol(name: str) -> str:
    """The symbol that a folder's name stands for."""
    return unquote(name)


class Layout:
    """Where a catalog keeps what."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.private = root / PRIVATE_FOLDER
        self.staging = self.private / "staging"
        self.manifests = self.private / "manifests"
        self.instruments = root / "instruments.json"
        self.actions = root / "actions.json"
        self.lock = self.private / "lock"

    def partition(self, schema: str, symbol: str, date: str) -> Path:
        """Folder of a partition's Parquet file."""
        return self.root / schema / f"symbol={encode_symbol(symbol)}" / f"date={date}"

    def manifest(self, schema: str, symbol: str, date: str) -> Path:
        """File of a partition's manifest."""
        return self.manifests / schema / f"symbol={encode_symbol(symbol)}" / f"date={date}.json"

    def read(self, schema: str, symbol: str, date: str) -> Manifest | None:
        """The manifest of a partition, or None where there is no such partition.

        Raises:
            CorruptData: where it was changed.
            CatalogError: where a later version of the package wrote it.
        """
        path = self.manifest(schema, symbol, date)
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            return None
        manifest = unseal(data, Manifest, path)
        if manifest.version != FORMAT_VERSION:
            raise CatalogError(
                f"{path} has format {manifest.version}, this release reads {FORMAT_VERSION}: upgrade cift-markets"
            )
        if (manifest.schema, manifest.symbol, manifest.date) != (schema, symbol, date) or not manifest.row_groups:
            raise CorruptData(
                f"{path} describes {manifest.schema} of {manifest.symbol} on {manifest.date}: it lies in the wrong folder"
            )
        return manifest

    def symbols(self, schema: str) -> list[str]:
        """Symbols that have manifests of a schema, sorted."""
        folder = self.manifests / schema
        names = [path.name for path in folder.glob("symbol=*") if path.is_dir() and any(path.glob("date=*.json"))]
        return sorted(decode_symbol(name.removeprefix("symbol=")) for name in names)

    def dates(self, schema: str, symbol: str) -> list[str]:
        """Days of a symbol's partitions, sorted."""
        folder = self.manifests / schema / f"symbol={encode_symbol(symbol)}"
        return sorted(path.stem.removeprefix("date=") for path in folder.glob("date=*.json"))
