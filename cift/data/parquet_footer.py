"""What the footer of a Parquet file says, looked at before its rows are believed.

Pages have checksums and a footer has none: where no manifest vouches for it, a flipped bit in it may shorten a row group, and every
page would still be sound.
"""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from cift.errors import CorruptData

BYTES_BUFFERED = 1 << 16
"""Of each column; without a bound, and with pyarrow's `pre_buffer`, all of a file's bytes come to be in memory."""
SMALL_BYTES = 1 << 24
"""A file up to here is read whole columns at a time: a page that lies about its size finds no more bytes than there are, where the
buffer would be made as large as it says."""


def open_parquet(path: Path) -> pq.ParquetFile:
    """A file whose rows are to be read batch by batch, with its checksums.

    Raises:
        CorruptData: see `check_footer`; beside it whatever a decoder raises on damaged bytes.
    """
    buffered = BYTES_BUFFERED if path.stat().st_size > SMALL_BYTES else 0
    file = pq.ParquetFile(path, page_checksum_verification=True, pre_buffer=False, buffer_size=buffered)
    check_footer(file, path)
    return file


def check_footer(file: pq.ParquetFile, path: Path) -> None:
    """Sees that all counts of rows in a footer agree, and that names and zones of its columns are text.

    Raises:
        CorruptData: where they do not.
    """
    try:
        for field in file.schema_arrow:
            _ = pa.types.is_timestamp(field.type) and field.type.tz  # decoded when it is asked for
    except UnicodeDecodeError as error:
        raise CorruptData(f"{path.name} is damaged: its footer holds text that is none ({error})") from None
    footer, total = file.metadata, 0
    flat = [at for at in range(footer.num_columns) if file.schema.column(at).max_repetition_level == 0]
    for number in range(footer.num_row_groups):
        group = footer.row_group(number)
        total += group.num_rows
        for at in flat:
            values = group.column(at).num_values
            if values != group.num_rows:
                raise CorruptData(
                    f"{path.name} is damaged: its footer says that row group {number} has {group.num_rows} rows, and that its column "
                    f"{group.column(at).path_in_schema} has {values}"
                )
    if total != footer.num_rows:
        raise CorruptData(
            f"{path.name} is damaged: its footer says that it has {footer.num_rows} rows, and that its row groups have {total}"
        )
