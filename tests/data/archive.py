"""A copy of a public archive on this machine, served with whatever may go wrong on the way."""

from __future__ import annotations

import hashlib
import io
import threading
import time
import zipfile
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


def zipped(name: str, text: str, *more: tuple[str, str]) -> bytes:
    """A .zip with one file, or several."""
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as archive:
        for member, content in ((name, text), *more):
            archive.writestr(member, content)
    return sink.getvalue()


class Archive:
    """Files by path, and faults by path: each request of a path uses up one of its faults.

    Faults: a number is the status answered, ("wait", s) is 503 with a Retry-After, ("cut", n) ends the connection after n bytes,
    ("drip", s) gives a byte each s seconds, ("shift", n) gives a range that begins n bytes before the one asked for.
    """

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.faults: dict[str, list[object]] = defaultdict(list)
        self.asked: list[tuple[str, str]] = []
        """Path and range of each request."""
        self.ranges = True
        self.url = ""

    def put(self, path: str, content: bytes, checksum: str | None = None) -> None:
        """A file with its checksum beside it."""
        name = path.rpartition("/")[2]
        self.files[path] = content
        self.files[f"{path}.CHECKSUM"] = f"{checksum or hashlib.sha256(content).hexdigest()}  {name}\n".encode()


@contextmanager
def serving() -> Iterator[Archive]:
    """Serves an archive on a free port of this machine."""
    archive = Archive()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *args: object) -> None:
            """Nothing."""

        def do_GET(self) -> None:
            wanted = self.headers.get("Range", "")
            archive.asked.append((self.path, wanted))
            faults = archive.faults[self.path]
            fault = faults.pop(0) if faults else None
            content = archive.files.get(self.path)
            if isinstance(fault, int) or content is None:
                return self.send_error(fault if isinstance(fault, int) else 404)
            kind, value = fault if isinstance(fault, tuple) else ("", None)
            if kind == "wait":
                self.send_response(503)
                self.send_header("Retry-After", str(value))
                self.send_header("Content-Length", "0")
                return self.end_headers()
            start = int(wanted.removeprefix("bytes=").partition("-")[0]) if wanted and archive.ranges else 0
            if kind == "shift":
                start -= value
            if start >= len(content) > 0:
                return self.send_error(416)
            self.send_response(206 if start else 200)
            if start:
                self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
            body = content[start:]
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if kind == "cut":
                self.wfile.write(body[:value])
                self.close_connection = True
            elif kind == "drip":
                for at in range(len(body)):
                    self.wfile.write(body[at : at + 1])
                    self.wfile.flush()
                    time.sleep(value)
            else:
                self.wfile.write(body)
            return None

        def handle(self) -> None:
            try:
                super().handle()
            except (ConnectionError, TimeoutError):
                self.close_connection = True  # whoever asked has gone

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    archive.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield archive
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
