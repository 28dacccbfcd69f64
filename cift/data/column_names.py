"""`columns=`: which of a table's columns is which of ours, written in either direction."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from cift.errors import InvalidParameter


def ours_to_theirs(
    columns: Mapping[str, str], ours: Collection[str], theirs: Collection[str], elsewhere: Collection[str] = ()
) -> dict[str, str] | None:
    """A map of column names with our names as keys, whether it was written `{ours: theirs}` or `{theirs: ours}`.

    Args:
        columns: as the caller wrote it; all of it in one direction.
        ours: every name that is ours here. theirs: the columns that the table has.
        elsewhere: names that are ours for other tables; what the map says of them is left out.
    Returns:
        None where it is neither: a name is not known, or one column is to be two.
    Raises:
        InvalidParameter: where it can be read in both directions with different outcomes.

    Example:
        >>> ours_to_theirs({"size": "qty"}, ours={"price", "size"}, theirs=["price", "qty"])
        {'size': 'qty'}
        >>> ours_to_theirs({"qty": "size"}, ours={"price", "size"}, theirs=["price", "qty"])
        {'size': 'qty'}
    """
    readings: list[dict[str, str]] = []
    for pairs in (list(columns.items()), [(value, key) for key, value in columns.items()]):
        here = [(our, their) for our, their in pairs if our in ours or our not in elsewhere]
        if len(dict(here)) == len(here) and all(our in ours and their in theirs for our, their in here):
            readings.append(dict(here))
    # A reading of which nothing is left says less than the other.
    readings = [reading for reading in readings if reading] or readings[:1]
    if len(readings) == 2 and readings[0] != readings[1]:
        raise InvalidParameter(
            f"columns={dict(columns)!r} can be read both ways, because its names are ours and the table's too; say of each of them "
            "which column holds it, as in {'price': 'size', 'size': 'price'}, or rename the table's"
        )
    return readings[0] if readings else None
