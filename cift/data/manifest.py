"""What the catalog knows of each partition: the file that counts, and the hashes that vouch for it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote, unquote

import msgspec

from cift.data.hashing import blake2
from cift.domain.chunk import SchemaName
from cift.domain.schemas import SCHEMAS
from cift.errors import CatalogError, CorruptData

T = TypeVar("T")

FORMAT_VERSION = 1
PRIVATE_FOLDER = "_cift"
"""Folder of the catalog's own records: data folders hold Parquet alone, so that any reader may be pointed at them."""

Partition = tuple[str, str, str]
"""Which one: its dataset (see `dataset_name`), symbol and date."""

OWN_FILE = re.compile(r"part-[0-9a-f]{16}\.parquet")
"""Names that the catalog gives to its files; one of these that no manifest names was left by a killed writer."""


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
    spec: str | None = None
    """Of bars: what ends one, "1m"."""

    @property
    def dataset(self) -> str:
        """Where in the catalog it belongs: see `dataset_name`."""
        return dataset_name(self.schema, self.spec)

    @property
    def partition(self) -> Partition:
        """Which partition it describes."""
        return self.dataset, self.symbol, self.date

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


def dataset_name(schema: SchemaName, spec: str | None = None) -> str:
    """The folder of a schema below the catalog's: its name, and for bars the spec too, `bars/spec=1m`."""
    return schema if spec is None else f"{schema}/spec={quote(spec, safe='')}"


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

    def partition(self, dataset: str, symbol: str, date: str) -> Path:
        """Folder of a partition's Parquet file."""
        return self.root / dataset / f"symbol={encode_symbol(symbol)}" / f"date={date}"

    def manifest(self, dataset: str, symbol: str, date: str) -> Path:
        """File of a partition's manifest."""
        return self.manifests / dataset / f"symbol={encode_symbol(symbol)}" / f"date={date}.json"

    def files(self, dataset: str, symbol: str, date: str) -> list[Path]:
        """The catalog's own files in a partition's folder, whether its manifest names them or not."""
        return sorted(path for path in self.partition(dataset, symbol, date).glob("*.parquet") if OWN_FILE.fullmatch(path.name))

    def read(self, dataset: str, symbol: str, date: str) -> Manifest | None:
        """The manifest of a partition, or None where there is no such partition.

        Raises:
            CorruptData: where it was changed.
            CatalogError: where a later version of the package wrote it.
        """
        path = self.manifest(dataset, symbol, date)
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            return None
        manifest = unseal(data, Manifest, path)
        if manifest.version != FORMAT_VERSION:
            raise CatalogError(
                f"{path} has format {manifest.version}, this release reads {FORMAT_VERSION}: upgrade cift-markets"
            )
        if (manifest.dataset, manifest.symbol, manifest.date) != (dataset, symbol, date) or not manifest.row_groups:
            raise CorruptData(
                f"{path} describes {manifest.dataset} of {manifest.symbol} on {manifest.date}: it lies in the wrong folder"
            )
        return manifest

    def datasets(self) -> list[str]:
        """The datasets that there may be, in the order of the schemas: bars have one for each spec."""
        specs = sorted(path.name for path in (self.manifests / "bars").glob("spec=*") if path.is_dir())
        return [name for schema in SCHEMAS for name in ([f"bars/{spec}" for spec in specs] if schema == "bars" else [schema])]

    def symbols(self, dataset: str) -> list[str]:
        """Symbols that have manifests of a dataset, sorted."""
        folder = self.manifests / dataset
        names = [path.name for path in folder.glob("symbol=*") if path.is_dir() and any(path.glob("date=*.json"))]
        return sorted(decode_symbol(name.removeprefix("symbol=")) for name in names)

    def dates(self, dataset: str, symbol: str) -> list[str]:
        """Days of a symbol's partitions, sorted."""
        folder = self.manifests / dataset / f"symbol={encode_symbol(symbol)}"
        return sorted(path.stem.removeprefix("date=") for path in folder.glob("date=*.json"))
