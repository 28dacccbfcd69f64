"""Downloads one file whole and verified, or not at all; what broke off is taken up where it ended."""

from __future__ import annotations

import hashlib
import http.client
import os
import re
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from cift.errors import CorruptData, InvalidParameter, NoData, ServerDown, ServerError

BYTES_PER_READ = 1 << 16
SLOWEST_BYTES_PER_S = 256
"""A server that gives less than this for a whole timeout is taken for one that hangs."""
PAUSE_S_MAX = 60.0
PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})
"""Answers that may be another one in a moment."""
_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+|\*)")


class _TryAgain(Exception):  # noqa: N818 - no error yet
    """What may go well in a moment; the message says what happened."""

    def __init__(self, what: str, pause_s: float = 0.0) -> None:
        super().__init__(what)
        self.pause_s = pause_s


class _RangeRefused(Exception):  # noqa: N818 - no error yet
    """The server has nothing from there on."""


@dataclass(frozen=True)
class Patience:
    """How long to wait for a server.

    Args:
        timeout_s: without an answer, or with a trickle only.
        attempts: how often to ask.
        pause_s: before the second attempt; twice as long before each further one.
        sleep: how to wait.
    """

    timeout_s: float = 30.0
    attempts: int = 5
    pause_s: float = 1.0
    sleep: Callable[[float], None] = time.sleep


def download(url: str, target: Path, sha256: str, patience: Patience, bytes_max: int = 1 << 36) -> None:
    """Brings a file to `target`, which appears only when it is whole and has that checksum.

    What came of it stands beside it as `.part`; the next attempt, or the next call, asks for the rest.

    Raises:
        NoData: the server has no such file (404).
        ServerError: it refuses. ServerDown: it cannot be reached, breaks off, or is too slow, after all attempts.
        CorruptData: the file has another checksum, or is larger than `bytes_max`; nothing of it is kept.
    """
    part = target.with_name(target.name + ".part")
    target.parent.mkdir(parents=True, exist_ok=True)
    assembled = False

    def attempt() -> None:
        nonlocal assembled
        assembled |= _rest(url, part, patience, bytes_max)

    for second in (False, True):
        _patiently(attempt, url, patience)
        if file_sha256(part) == sha256:
            with part.open("rb+") as file:
                os.fsync(file.fileno())
            part.replace(target)
            return
        part.unlink()
        # Its beginning may have been that of another file, left by an earlier call: once more, from the start.
        if second or not assembled:
            break
    raise CorruptData(f"{url} has another checksum than the server states, {sha256}; nothing of it was kept: try again later")


def text(url: str, patience: Patience, bytes_max: int = 1 << 16) -> str:
    """A small text.

    Raises:
        NoData, ServerError, ServerDown: see `download`. CorruptData: it is no text, or larger than `bytes_max`.
    """
    found = b""

    def attempt() -> None:
        nonlocal found
        found = b""
        with _opened(url, {}, patience) as answer:
            for piece in _pieces(answer, patience):
                found += piece
                if len(found) > bytes_max:
                    return

    _patiently(attempt, url, patience)
    try:
        if len(found) <= bytes_max:
            return found.decode("ascii")
    except UnicodeDecodeError:
        pass
    raise CorruptData(f"{url} is not the short text that was expected: it begins with {found[:40]!r}")


def file_sha256(path: Path) -> str:
    """The SHA-256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _patiently(attempt: Callable[[], None], url: str, patience: Patience) -> None:
    for tried in range(1, patience.attempts + 1):
        try:
            return attempt()
        except _TryAgain as again:
            if tried == patience.attempts:
                raise ServerDown(
                    f"{url}: {again}, {tried} times; check the network and try again: what came is kept and taken up"
                ) from None
            patience.sleep(min(PAUSE_S_MAX, max(again.pause_s, patience.pause_s * 2 ** (tried - 1))))
    raise InvalidParameter(f"attempts must be at least 1, not {patience.attempts}")


def _opened(url: str, headers: dict[str, str], patience: Patience) -> http.client.HTTPResponse:
    if not url.startswith(("https://", "http://")):
        raise InvalidParameter(f"{url} is no address of the web; it must begin with https:// or http://")
    try:
        request = urllib.request.Request(url, headers={"User-Agent": "cift-markets", **headers})
        answer: http.client.HTTPResponse = urllib.request.urlopen(request, timeout=patience.timeout_s)
        return answer
    except urllib.error.HTTPError as error:
        with error:
            pause = error.headers.get("Retry-After", "")
        if error.code == 404:
            raise NoData(f"{url} is not there (404)") from None
        if error.code == 416:
            raise _RangeRefused from None
        if error.code in PASSING:
            raise _TryAgain(
                f"the server answered {error.code} {error.reason}", float(pause) if pause.isdecimal() else 0
            ) from None
        raise ServerError(f"{url} is refused: {error.code} {error.reason}; open it in a browser to see why") from None
    except (http.client.InvalidURL, ValueError) as error:
        raise InvalidParameter(f"{url} is no address of the web: {error}") from None
    except (OSError, http.client.HTTPException) as error:
        raise _TryAgain(f"no answer ({getattr(error, 'reason', error) or type(error).__name__})") from None


def _rest(url: str, part: Path, patience: Patience, bytes_max: int) -> bool:
    """Appends what is missing of a file, or begins anew where the server does; whether it went on with what was there."""
    have = part.stat().st_size if part.exists() else 0
    try:
        answer = _opened(url, {"Range": f"bytes={have}-"} if have else {}, patience)
    except _RangeRefused:
        return True  # all of it is there, or more than all: the checksum tells
    with answer:
        start = _RANGE.fullmatch(answer.headers.get("Content-Range", ""))
        goes_on = answer.status == 206 and start is not None and int(start[1]) == have
        if answer.status == 206 and not goes_on:
            raise _TryAgain(f"the server gave {answer.headers.get('Content-Range')!r}, bytes from {have} were asked for")
        size = have if goes_on else 0
        with part.open("ab" if goes_on else "wb") as file:
            for piece in _pieces(answer, patience):
                file.write(piece)
                size += len(piece)
                if size > bytes_max:
                    break
    if size > bytes_max:
        part.unlink()
        raise CorruptData(f"{url} is larger than {bytes_max} bytes; nothing of it was kept")
    return goes_on


def _pieces(answer: http.client.HTTPResponse, patience: Patience) -> Iterator[bytes]:
    """The body, as it comes; an end before the announced length, or a trickle, is a reason to try again."""
    announced, came = answer.headers.get("Content-Length", ""), 0
    began, since = time.monotonic(), 0
    while True:
        try:
            piece = answer.read1(BYTES_PER_READ)
        except (OSError, http.client.HTTPException) as error:
            raise _TryAgain(f"it broke off after {came} bytes ({error or type(error).__name__})") from None
        if not piece:
            break
        yield piece
        came, since = came + len(piece), since + len(piece)
        if time.monotonic() - began > patience.timeout_s:
            if since < SLOWEST_BYTES_PER_S * patience.timeout_s:
                raise _TryAgain(f"only {since} bytes came in {patience.timeout_s:g} s")
            began, since = time.monotonic(), 0
    if announced.isdecimal() and came < int(announced):
        raise _TryAgain(f"it broke off after {came} of {announced} bytes")
