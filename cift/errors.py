"""Every exception that the package raises on purpose.

The classes are bare so that they survive pickling to sweep workers; the sentence passed in says what was given, what was
expected, and what to do. `cift._sim` finds them here by name when it raises.
"""


class CiftError(Exception):
    """Root of all errors that the package raises on purpose."""


# ------------------------------------------------------------------ what was asked for


class UnknownName(CiftError, ValueError):
    """A parameter, handler, column or option whose name does not exist; the message suggests the nearest one."""


class UnknownFigure(CiftError, KeyError):
    """A label that the statistics do not have; the message suggests the nearest one."""

    def __str__(self) -> str:
        return str(self.args[0]) if self.args else ""


class InvalidParameter(CiftError, ValueError):
    """A value of the right name that is out of its range or of the wrong type."""


class NotSupported(CiftError, NotImplementedError):
    """Something that exists in the design and not yet in this release; the message names what is supported."""


class MissingExtra(CiftError, ImportError):
    """An optional dependency that is not installed; the message has the line that installs it."""


class ShapeMismatch(CiftError, ValueError):
    """Columns that should have one length and do not."""


# ------------------------------------------------------------------ market data


class DataError(CiftError, ValueError):
    """Market data that cannot be used as it stands; the message names file, row and value."""


class NoData(DataError):
    """A selection that holds no rows."""


class OffTickPrice(DataError):
    """A price that is not a whole number of ticks."""


class OffLotSize(DataError):
    """A size that is not a whole number of lots."""


class TimeOrder(DataError):
    """A row that was received before it happened, or a feed that is not sorted."""


class CorruptData(DataError):
    """Stored data whose checksum does not match its content."""


class CatalogError(CiftError):
    """A catalog that cannot be read or written as asked."""


class UnknownSymbol(CatalogError, KeyError):
    """A symbol that the catalog does not hold."""

    def __str__(self) -> str:
        return str(self.args[0]) if self.args else ""


class ServerError(CiftError, ConnectionError):
    """A database server that refused what it was asked; the message has its own words, and what to do."""


class ServerDown(ServerError):
    """A server that cannot be reached, that broke off, or that did not answer in time."""


# ------------------------------------------------------------------ orders and runs


class OrderError(CiftError, ValueError):
    """An order that cannot be sent as given."""


class UnknownOrder(OrderError):
    """An order id that this strategy never sent, or that is closed."""


class InvalidTransition(CiftError, RuntimeError):
    """An order event that the order's state does not allow."""


class MoneyError(CiftError, ArithmeticError):
    """An amount that cannot be represented exactly, or that overflows the account."""


class JournalError(CiftError):
    """A journal that is truncated, corrupt, or of another version."""
