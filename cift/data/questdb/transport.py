"""How a QuestDB server is spoken to: the one home of its protocols.

| what | by |
|---|---|
| questions and commands, with values that are bound | PostgreSQL's wire protocol |
| results of many rows | HTTP `/exp`, as Parquet |
| rows to be stored | the line protocol (ILP) over HTTP |

`Transport` is all that the rest of the package knows of it, so that another protocol can take its place.
"""

from __future__ import annotations

import base64
import contextlib
import http.client
import io
import json
import queue
import re
import socket
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Protocol, Self

from cift.domain.schemas import WORD_CODES
from cift.errors import InvalidParameter, MissingExtra, ServerDown, ServerError

HTTP_PORT, PG_PORT = 9000, 8812
PG_USER, PG_PASSWORD, PG_DATABASE = "admin", "quest", "qdb"
"""What a server that was not told otherwise expects."""
_BROKEN_LINE = ("SocketError", "CouldNotResolveAddr", "ServerFlushError", "ProtocolVersionError", "ConnectTimeout")
"""Names of the line protocol's errors after which nobody knows whether rows arrived."""
TOO_MANY_REQUESTS = 429
BUSY_S = (0.002, 0.1)
"""Seconds after which a server that exports for others is asked again: at first, and at most."""
_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\]")


@dataclass(frozen=True)
class Address:
    """Where a server listens, and as whom to come.

    Args:
        host: name or number. http_port, pg_port: of HTTP and of PostgreSQL's wire protocol.
        user, password: None: the server's own defaults.
    """

    host: str
    http_port: int = HTTP_PORT
    pg_port: int = PG_PORT
    user: str | None = None
    password: str | None = field(default=None, repr=False)

    @staticmethod
    def parse(text: str) -> Address:
        """`host`, `host:9000` or `questdb://user:password@host:9000?pg=8812`.

        Raises:
            InvalidParameter: where it is none of these.
        """
        told = f"{text!r} is no address of a QuestDB server; write it as 'localhost:9000' or 'questdb://host:9000?pg=8812'"
        if not isinstance(text, str) or not text.isprintable():
            raise InvalidParameter(told)
        try:
            parts = urllib.parse.urlsplit(text if "://" in text else f"questdb://{text}")
            options = dict(urllib.parse.parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query)))
            pg_port = int(options.pop("pg", PG_PORT))
            http_port = HTTP_PORT if parts.port is None else parts.port
            place = parts.netloc.rpartition("@")[2]
            host = place if parts.port is None else place.rpartition(":")[0]
        except ValueError:
            raise InvalidParameter(told) from None
        wrong = parts.scheme != "questdb" or parts.path not in ("", "/") or parts.fragment or options
        if wrong or not _HOST.fullmatch(host) or not 0 < http_port < 2**16 or not 0 < pg_port < 2**16:
            raise InvalidParameter(told)
        user = None if parts.username is None else urllib.parse.unquote(parts.username)
        password = None if parts.password is None else urllib.parse.unquote(parts.password)
        return Address(host, http_port, pg_port, user, password)

    def __str__(self) -> str:
        return f"questdb://{self.host}:{self.http_port}" + (f"?pg={self.pg_port}" if self.pg_port != PG_PORT else "")


class Transport(Protocol):
    """A conversation with a server; used in a `with` block. Its methods may be called by several threads at a time.

    Each method raises ServerDown where the server cannot be reached, breaks off or takes longer than its timeout, and
    ServerError where it refuses.
    """

    def ask(self, sql: str, binds: Sequence[str] = ()) -> list[tuple[Any, ...]]:
        """Runs one statement; the rows that it returns. `%s` stands for a bound text."""

    def export(self, sql: str) -> Any:
        """The rows of a query without binds, as an Arrow table."""

    def encode(self, table: str, rows: Any) -> Any:
        """Rows (an Arrow table with `symbol` and `ts_event`) of a table as `send` takes them."""

    def send(self, encoded: Any) -> None:
        """Hands rows to a table, in one transaction.

        After an error nobody knows whether they arrived. Sending them again is safe where the table drops duplicates.
        """

    def __enter__(self) -> Self:
        """Opens nothing yet."""

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Closes what was opened."""


class OpenTransport:
    """The protocols of QuestDB 9: PostgreSQL's wire, Parquet over HTTP, and ILP over HTTP."""

    def __init__(self, address: Address, timeout_s: float) -> None:
        self.address = address
        self.timeout_s = timeout_s
        # Connections and senders that no thread uses.
        self._idle_pg: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._idle_senders: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._encoder: Any = None
        self._encoder_lock = threading.Lock()

    # ------------------------------------------------------------------ questions

    def ask(self, sql: str, binds: Sequence[str] = ()) -> list[tuple[Any, ...]]:
        """See `Transport.ask`."""
        psycopg = _imported("psycopg")
        connection = _taken(self._idle_pg)
        try:
            if connection is None:
                connection = psycopg.connect(
                    host=self.address.host.strip("[]"),
                    port=self.address.pg_port,
                    user=PG_USER if self.address.user is None else self.address.user,
                    password=PG_PASSWORD if self.address.password is None else self.address.password,
                    dbname=PG_DATABASE,
                    autocommit=True,
                    connect_timeout=max(2, round(self.timeout_s)),
                    prepare_threshold=None,
                )
            with _cut_off(connection.fileno(), self.timeout_s) as was_slow, connection.cursor() as cursor:
                try:
                    cursor.execute(sql, tuple(binds) if binds else None)
                    rows = cursor.fetchall() if cursor.description else []
                except psycopg.OperationalError:
                    if was_slow():
                        raise self._slow() from None
                    raise
        except BaseException as error:
            _close(connection)
            if isinstance(error, psycopg.OperationalError):
                raise self._down(error) from error
            if isinstance(error, psycopg.DatabaseError):
                raise self._refused(str(error).partition("\n")[0]) from error
            raise
        self._idle_pg.put(connection)
        return rows

    # ------------------------------------------------------------------ many rows

    def export(self, sql: str) -> Any:
        """See `Transport.export`."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        query = urllib.parse.urlencode({"query": sql, "fmt": "parquet"})
        request = urllib.request.Request(f"http://{self.address.host}:{self.address.http_port}/exp?{query}")
        request.add_header("Statement-Timeout", str(max(1, round(self.timeout_s * 1_000))))
        if self.address.user is not None:
            token = base64.b64encode(f"{self.address.user}:{self.address.password or ''}".encode()).decode()
            request.add_header("Authorization", f"Basic {token}")
        body = self._body(request)
        try:
            # One thread: those who ask for many rows do so in several threads, ahead of the consumer.
            return pq.ParquetFile(io.BytesIO(body)).read(use_threads=False)
        except (pa.ArrowException, OSError) as error:
            raise ServerDown(f"{self.address} broke off in the middle of its rows ({error}); ask again") from None

    def _body(self, request: urllib.request.Request) -> bytes:
        deadline, pause_s = time.monotonic() + self.timeout_s, BUSY_S[0]
        while True:
            try:
                with _opener().open(request, timeout=self.timeout_s) as response:
                    body: bytes = response.read()
                    return body
            except urllib.error.HTTPError as error:
                # The server exports as many results at a time as it has cores, whoever asks: a queue, not a refusal.
                if error.code != TOO_MANY_REQUESTS:
                    raise self._refused(_reason(error)) from None
                if time.monotonic() + pause_s > deadline:
                    raise self._slow() from None
            except TimeoutError:
                raise self._slow() from None
            except (urllib.error.URLError, http.client.HTTPException, OSError) as error:
                if isinstance(getattr(error, "reason", None), TimeoutError):
                    raise self._slow() from None
                raise self._down(error) from error
            time.sleep(pause_s)
            pause_s = min(2 * pause_s, BUSY_S[1])

    # ------------------------------------------------------------------ rows to be stored

    def encode(self, table: str, rows: Any) -> Any:
        """See `Transport.encode`."""
        frame = rows.to_pandas(split_blocks=True)
        words = [name for name in ("symbol", "spec", *WORD_CODES) if name in frame]
        with self._sending():
            with self._encoder_lock:
                if self._encoder is None:  # one that never sends, but knows the version that the server speaks
                    self._encoder = self._established()
            buffer = self._encoder.new_buffer()
            buffer.dataframe(frame, table_name=table, symbols=words, at="ts_event")
        return buffer

    def send(self, encoded: Any) -> None:
        """See `Transport.send`."""
        sender = _taken(self._idle_senders)
        try:
            with self._sending():
                if sender is None:
                    sender = self._established()
                sender.flush(encoded, clear=False)
        except BaseException:
            _close_sender(sender)
            raise
        self._idle_senders.put(sender)

    def _established(self) -> Any:
        sender = _imported("questdb").Sender.from_conf(self._conf())
        sender.establish()
        return sender

    @contextlib.contextmanager
    def _sending(self) -> Iterator[None]:
        """Errors of the line protocol's client as ours."""
        questdb = _imported("questdb")
        try:
            yield
        except questdb.QuestDBError as error:
            if error.code.name in _BROKEN_LINE and '"code":' not in str(error):  # what the server says itself is JSON
                raise self._down(error) from error
            raise self._refused(str(error)) from error

    def _conf(self) -> str:
        millis = max(1, round(self.timeout_s * 1_000))
        conf = (
            f"http::addr={self.address.host}:{self.address.http_port};auto_flush=off;retry_timeout=0;request_timeout={millis};"
        )
        if self.address.user is not None:
            user, password = (text.replace(";", ";;") for text in (self.address.user, self.address.password or ""))
            conf += f"username={user};password={password};"
        return conf

    # ------------------------------------------------------------------ errors, and the end

    def _down(self, error: BaseException) -> ServerDown:
        reason = str(getattr(error, "reason", error)).partition("\n")[0].strip()
        return ServerDown(
            f"the QuestDB server at {self.address} cannot be reached or broke off ({reason}); see that it runs and listens on "
            f"ports {self.address.http_port} (HTTP) and {self.address.pg_port} (PostgreSQL wire), then call again"
        )

    def _slow(self) -> ServerDown:
        return ServerDown(
            f"the QuestDB server at {self.address} did not answer within {self.timeout_s:g} s; pass a larger timeout= or ask for "
            "less at a time"
        )

    def _refused(self, reason: str) -> ServerError:
        if "timeout, query aborted" in reason:
            return self._slow()
        return ServerError(f"the QuestDB server at {self.address} refused: {reason}")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        while (connection := _taken(self._idle_pg)) is not None:
            _close(connection)
        while (sender := _taken(self._idle_senders)) is not None:
            _close_sender(sender)
        _close_sender(self._encoder)
        self._encoder = None


def _imported(name: str) -> Any:
    from importlib import import_module

    try:
        return import_module(name)
    except ImportError:
        raise MissingExtra(f'QuestDB needs {name}: pip install "cift-markets[questdb]"') from None


def _taken(idle: queue.SimpleQueue[Any]) -> Any:
    """One that is idle, None where there is none."""
    try:
        return idle.get_nowait()
    except queue.Empty:
        return None


def _close(connection: Any) -> None:
    if connection is not None:
        with contextlib.suppress(Exception):
            connection.close()


def _close_sender(sender: Any) -> None:
    if sender is not None:
        with contextlib.suppress(Exception):
            sender.close(flush=False)


def _opener() -> urllib.request.OpenerDirector:
    """Without the proxies of the environment: the address says where the server is."""
    return urllib.request.build_opener(urllib.request.ProxyHandler({}))


def _reason(error: urllib.error.HTTPError) -> str:
    """What the server says of a query that it refuses."""
    try:
        return str(json.loads(error.read())["error"])
    except Exception:  # whatever it sent instead
        return f"HTTP status {error.code}"


@contextlib.contextmanager
def _cut_off(handle: int, timeout_s: float) -> Iterator[Callable[[], bool]]:
    """Shuts a socket down when a time is over, so that waiting on it ends; tells whether it did."""
    fired = threading.Event()

    def shut() -> None:
        fired.set()
        with contextlib.suppress(OSError), socket.socket(fileno=socket.dup(handle)) as copy:
            copy.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(timeout_s, shut)
    timer.daemon = True
    timer.start()
    try:
        yield fired.is_set
    finally:
        timer.cancel()
