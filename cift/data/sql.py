"""SQL over a catalog: DuckDB reads what the catalog wrote, through a reader that checks every page."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.dataset as ds

from cift.data.reading import PartitionReader
from cift.domain.schemas import SCHEMAS
from cift.errors import CorruptData, InvalidParameter, NoData

UNREADABLE = tuple(f"reading the stream registered as '{schema}' failed" for schema in SCHEMAS)
"""What is said when Arrow finds that a page is not what was written."""


def query(
    readers: Iterable[PartitionReader], text: str, parameters: Sequence[Any] | Mapping[str, Any], tables: Mapping[str, Any]
) -> pl.DataFrame:
    """The rows of one SELECT; see `Catalog.sql`."""
    held = defaultdict(list)
    for reader in readers:
        reader.check_footer()
        held[reader.manifest.schema].append(reader.path)
    if not held:
        raise NoData("the catalog holds no data to ask for")
    with duckdb.connect(":memory:") as connection:
        connection.execute("SET python_enable_replacements = false")
        connection.execute("SET TimeZone = 'UTC'")
        checked = ds.ParquetFileFormat(
            default_fragment_scan_options=ds.ParquetFragmentScanOptions(page_checksum_verification=True)
        )
        # The folders tell symbol and date, so that files which a condition on these excludes are not even opened.
        day = [("symbol", pa.string()), ("date", pa.date32())]
        for schema, paths in held.items():
            parts = [("spec", pa.string()), *day] if schema == "bars" else day
            folders = ds.partitioning(pa.schema(parts), flavor="hive")
            root = str(paths[0].parents[len(parts)])
            files = [str(path) for path in paths]
            connection.register(schema, ds.dataset(files, format=checked, partitioning=folders, partition_base_dir=root))
        for name, table in tables.items():
            if name in SCHEMAS:
                raise InvalidParameter(f"tables= names {name!r}, which the catalog has itself; choose another name")
            connection.register(name, table)
        # What asks may read what was registered, and nothing else of this machine.
        connection.execute("SET enable_external_access = false")
        connection.execute("SET lock_configuration = true")
        try:
            statements = connection.extract_statements(text)
            if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
                raise InvalidParameter("sql takes one SELECT; a catalog is changed by its importers and its own verbs")
            return pl.DataFrame(connection.sql(text, params=parameters or None).to_arrow_table())
        except duckdb.CatalogException as error:
            names = ", ".join([*held, *tables])
            raise InvalidParameter(f"the query cannot be answered: {_told(error)} Tables are {names}") from None
        except (duckdb.Error, OSError) as error:
            if any(words in str(error) for words in UNREADABLE):
                raise CorruptData(f"a file is not what was written; `cift data verify` names it: {_told(error)}") from None
            raise InvalidParameter(f"the query cannot be answered: {_told(error)}") from None


def _told(error: Exception) -> str:
    """What went wrong, and what DuckDB suggests; without the query, which whoever asked has before them."""
    said = str(error).partition("\nLINE ")[0]
    return " ".join(line.strip() for line in said.splitlines() if line.strip()) or type(error).__name__
