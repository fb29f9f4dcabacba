"""A local HTTP server of files in memory, with ranges and a log of requests."""

from __future__ import annotations

import contextlib
import hashlib
import http.server
import re
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field


def etag(body: bytes) -> str:
    """A strong one."""
    return f'"{hashlib.sha256(body).hexdigest()[:16]}"'


@dataclass
class Site:
    """Files by path, and what was asked for: path and first byte.

    Attributes:
        pause: seconds after every 10,000 bytes.
        limit: bytes after which every answer breaks off; None: whole answers.
        together: requests that must be open at once before any is answered.
        versions: headers that name the version of a content.
        obeys: `If-Range` is compared with them.
        conditions: every `If-Range` that was sent.
    """

    address: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    asked: list[tuple[str, int]] = field(default_factory=list)
    pause: float = 0.0
    limit: int | None = None
    together: int = 1
    versions: Callable[[bytes], dict[str, str]] = lambda body: {"ETag": etag(body)}
    obeys: bool = True
    conditions: list[str] = field(default_factory=list)
    most: int = 0
    _open: int = 0
    _lock: threading.Condition = field(default_factory=threading.Condition)

    def wait_for_others(self) -> None:
        """Hold an answer back until `together` requests are open, for 5 s at most."""
        with self._lock:
            self._open += 1
            self.most = max(self.most, self._open)
            self._lock.notify_all()
            end = time.monotonic() + 5
            while self.most < self.together and time.monotonic() < end:
                self._lock.wait(0.1)
            self._open -= 1


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers GET for the files of a `Site`."""

    site: Site

    def do_GET(self) -> None:
        site = self.site
        given = re.fullmatch(r"bytes=([0-9]+)-", self.headers.get("Range", ""))
        start = int(given[1]) if given else 0
        site.asked.append((self.path, start))
        site.wait_for_others()
        body = site.files.get(self.path)
        if body is None:
            self.send_error(404)
            return
        versions = site.versions(body)
        if condition := self.headers.get("If-Range"):
            site.conditions.append(condition)
            if site.obeys and condition not in versions.values():
                given, start = None, 0
        self.send_response(206 if given else 200)
        for name, value in versions.items():
            self.send_header(name, value)
        if given:
            self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        self.send_header("Content-Length", str(len(body) - start))
        self.end_headers()
        sent = body[start:][: site.limit]
        with contextlib.suppress(OSError):  # the client may go
            for position in range(0, len(sent), 10_000):
                self.wfile.write(sent[position : position + 10_000])
                threading.Event().wait(site.pause)  # a test may replace time.sleep

    def log_message(self, *args: object) -> None:
        pass


@contextlib.contextmanager
def serve() -> Iterator[Site]:
    """A site at 127.0.0.1 while the block runs."""
    site = Site()
    handler = type("Own", (Handler,), {"site": site})
    httpd = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=httpd.serve_forever, args=(0.01,), daemon=True).start()
    site.address = f"http://127.0.0.1:{httpd.server_port}"
    try:
        yield site
    finally:
        httpd.shutdown()
        httpd.server_close()
