"""Downloads from servers that compress, answer other ranges, state odd sizes, stall or are busy."""

from __future__ import annotations

import gzip
import hashlib
import http.server
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from icmbench.core.errors import DatasetError, StorageError
from icmbench.sources import download as module
from icmbench.sources.download import download
from icmbench.sources.versions import keep_version

BODY = np.random.default_rng(5).bytes(150_000)
SHA256 = hashlib.sha256(BODY).hexdigest()
Answer = tuple[int, dict[str, str], bytes]


def whole(start: int, turn: int) -> Answer:
    """An honest server: the rest of the file, with its range."""
    headers = {"Content-Range": f"bytes {start}-{len(BODY) - 1}/{len(BODY)}"} if start else {}
    return 206 if start else 200, headers, BODY[start:]


class Server(http.server.BaseHTTPRequestHandler):
    """Answers as `answer(first byte asked for, number of the request)` says."""

    answer: Callable[[int, int], Answer]
    asked: list[str | None]

    def do_GET(self) -> None:
        kind = type(self)
        kind.asked.append(self.headers.get("Range"))
        start = int((kind.asked[-1] or "bytes=0-")[6:-1])
        status, headers, body = kind.answer(start, len(kind.asked))
        if "gzip" in self.headers.get("Accept-Encoding", ""):
            body, headers = gzip.compress(body), {**headers, "Content-Encoding": "gzip"}
        self.send_response(status)
        self.send_header("ETag", '"one"')
        for name, value in ({"Content-Length": str(len(body))} | headers).items():
            if value:
                self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[type[Server], str, list[float]]]:
    """The server, its address, and the pauses between attempts (which are not slept)."""
    pauses: list[float] = []
    monkeypatch.setattr("time.sleep", pauses.append)
    monkeypatch.setenv("no_proxy", "*")
    handler = type("Own", (Server,), {"asked": [], "answer": staticmethod(whole)})
    httpd = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=httpd.serve_forever, args=(0.01,), daemon=True).start()
    yield handler, f"http://127.0.0.1:{httpd.server_port}/x", pauses
    httpd.shutdown()


def short(start: int, turn: int) -> Answer:
    """No answer holds more than 70,000 of the bytes that it announces."""
    status, headers, body = whole(start, turn)
    return status, {**headers, "Content-Length": str(len(body))}, body[:70_000]


def other_range(start: int, turn: int) -> Answer:
    headers = {"Content-Range": f"bytes 0-{len(BODY) - 1}/{len(BODY)}"}
    return (206, headers, BODY) if start else (200, {}, BODY)


def no_range(start: int, turn: int) -> Answer:
    return (206, {}, BODY[start:]) if start else (200, {}, BODY)


def shifted_total(start: int, turn: int) -> Answer:
    if not start:
        return 200, {}, BODY
    return 206, {"Content-Range": f"bytes {start}-{len(BODY) - 1}/{start}"}, BODY[start:]


def ignores_ranges(start: int, turn: int) -> Answer:
    return 200, {}, BODY


def busy_at_first(start: int, turn: int) -> Answer:
    return (503, {"Retry-After": "7"}, b"later") if turn < 3 else whole(start, turn)


def too_far(start: int, turn: int) -> Answer:
    return (416, {"Content-Range": f"bytes */{len(BODY)}"}, b"") if start else whole(0, turn)


@pytest.mark.parametrize("checked", [True, False])
@pytest.mark.parametrize(
    ("answer", "part", "requests"),
    [
        (whole, b"", [None]),
        (whole, BODY[:1000], ["bytes=1000-"]),
        (short, b"", [None, "bytes=70000-", "bytes=140000-"]),
        (other_range, BODY[:1000], ["bytes=1000-", None]),
        (no_range, BODY[:1000], ["bytes=1000-", None]),
        (shifted_total, BODY[:1000], ["bytes=1000-", None]),
        (ignores_ranges, BODY[:1000], ["bytes=1000-"]),
        (busy_at_first, b"", [None, None, None]),
        (too_far, BODY, ["bytes=150000-"]),
        (too_far, BODY + b"more", ["bytes=150004-", None]),
    ],
)
def test_the_file_arrives_whole(
    served: tuple[type[Server], str, list[float]],
    tmp_path: Path,
    answer: Callable[[int, int], Answer],
    part: bytes,
    requests: list[str | None],
    checked: bool,
) -> None:
    server, url, pauses = served
    server.answer = staticmethod(answer)
    if part:
        (tmp_path / "x.part").write_bytes(part)
        keep_version(tmp_path / "x.part", url, '"one"')
    target = download(url, tmp_path / "x", SHA256 if checked else None)
    assert target.read_bytes() == BODY
    assert server.asked == requests
    assert [path.name for path in tmp_path.iterdir()] == ["x"]
    if answer is busy_at_first:
        assert pauses == [7, 7]


@pytest.mark.parametrize(
    ("answer", "checked", "reason"),
    [
        (lambda s, t: (200, {"Content-Length": "abc"}, BODY), True, "'abc', which is no number"),
        (lambda s, t: (200, {"Content-Length": "-3"}, BODY), True, "'-3', which is no number"),
        (lambda s, t: (200, {"Content-Length": ""}, BODY), False, "states no size"),
        (lambda s, t: (200, {"Content-Encoding": "br"}, BODY), False, r"compresses .* \(br\)"),
        (lambda s, t: (200, {"Content-Type": "text/html; charset=x"}, BODY), False, "a web page"),
        (lambda s, t: (416, {}, b""), True, "416"),
        (lambda s, t: (404, {}, b""), False, "404"),
        (lambda s, t: (503, {}, b""), True, "503 .*run again to resume"),
        (lambda s, t: (302, {"Location": "/x"}, b""), True, "redirects"),
        (lambda s, t: (302, {"Location": "ftp://x/y"}, b""), True, "ftp"),
    ],
)
def test_what_cannot_be_checked_is_refused(
    served: tuple[type[Server], str, list[float]],
    tmp_path: Path,
    answer: Callable[[int, int], Answer],
    checked: bool,
    reason: str,
) -> None:
    server, url, _ = served
    server.answer = staticmethod(answer)
    with pytest.raises(DatasetError, match=f"{url}: .*{reason}"):
        download(url, tmp_path / "x", SHA256 if checked else None)
    assert not (tmp_path / "x").exists()


def test_a_checksum_serves_where_no_size_is_stated(
    served: tuple[type[Server], str, list[float]], tmp_path: Path
) -> None:
    """A file that lies compressed on the server, labelled so, is the file itself."""
    server, url, _ = served
    server.answer = staticmethod(
        lambda s, t: (200, {"Content-Length": "", "Content-Encoding": "x-gzip"}, BODY)
    )
    sha1 = hashlib.sha1(BODY, usedforsecurity=False).hexdigest()
    assert download(url, tmp_path / "x", sha1=sha1).read_bytes() == BODY
    with pytest.raises(DatasetError, match=r"sha1 is .*expected 00"):
        download(url, tmp_path / "x", sha1="0" * 40)
    assert not (tmp_path / "x.part").exists()


def test_slow_and_endless_answers_end(
    served: tuple[type[Server], str, list[float]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A clock that a test moves on: 30 s per look at it."""
    _, url, _ = served
    now = iter(np.arange(0.0, 1e7, 30.0))
    monkeypatch.setattr(module, "monotonic", lambda: next(now))
    monkeypatch.setattr(module, "BLOCK", 500)
    with pytest.raises(DatasetError, match=r"\d+ bytes in 60 s; what arrived is kept"):
        download(url, tmp_path / "x", SHA256)
    assert 0 < (tmp_path / "x.part").stat().st_size < len(BODY)
    monkeypatch.setattr(module, "SLOWEST", 0)
    monkeypatch.setattr(module, "LIMIT", 300.0)
    with pytest.raises(DatasetError, match="not complete after"):
        download(url, tmp_path / "x", SHA256)


def test_a_full_disk_is_named(
    served: tuple[type[Server], str, list[float]], tmp_path: Path
) -> None:
    (tmp_path / "x.part").symlink_to("/dev/full")
    with pytest.raises(StorageError, match="No space left"):
        download(served[1], tmp_path / "x", SHA256)
