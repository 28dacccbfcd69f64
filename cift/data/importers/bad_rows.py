"""What becomes of bad rows of a file of order messages, asked row by row while they become records."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from cift.data.report import Tally
from cift.data.screen import Screen, allowed, choose
from cift.domain.instrument import Instrument
from cift.domain.schemas import SUSPECT
from cift.errors import DataError, InvalidParameter

CHOICES: Final = ("duplicate", "negative_price", "zero_price", "price_jump")
"""The kinds of `cift.data.screen` that such a file can have and that leave a choice."""
SETTLED: Final = frozenset({"duplicate", "negative_price", "zero_price", "sequence_gap"})
"""What the records need not be screened for: it was asked of their messages, which vendors do not number."""


class BadRows:
    """The policies for one file.

    Args:
        tally: counts and quarantined rows.
        policies: choices other than the defaults, by kind.
    Raises:
        UnknownName, InvalidParameter: for a choice that does not exist, or that decides nothing in such a file.
    """

    def __init__(self, tally: Tally, policies: Mapping[str, str] | None) -> None:
        self._policies = choose(policies, "mbo")
        for kind in policies or ():
            if kind not in CHOICES:
                raise InvalidParameter(
                    f"policies= names {kind!r}, which decides nothing in a file of order messages; the kinds that do are "
                    f"{', '.join(CHOICES)}"
                )
        self._tally, self._given = tally, policies

    def lets_in(self, kind: str, row: int, text: str, what: str) -> bool:
        """Whether a bad row goes on; it is counted, and kept aside if not.

        Raises:
            DataError: where its kind is rejected; the message has file and row, and `what`.
        """
        policy = self._policies[kind]
        if policy == "reject":
            other = allowed(kind, "mbo")[1]
            raise DataError(f"{self._tally.source}, row {row}: {what}; pass policies={{{kind!r}: {other!r}}} if that is right")
        if policy == "quarantine":
            self._tally.keep_aside(row, kind, text)
            return False
        self._tally.counts[kind] += 1
        return True

    def mark(self, kind: str) -> int:
        """The flag of records that a row of this kind leaves."""
        return SUSPECT if self._policies[kind] == "flag" else 0

    def screen(self, instrument: Instrument) -> Screen:
        """What the records pass then."""
        return Screen("mbo", instrument, self._tally.source, self._tally, self._given, settled=SETTLED)
