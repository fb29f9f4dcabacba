"""Weights of task models by URL: named, checked, fetched by a rule from a local server."""

from __future__ import annotations

import functools
import hashlib
import http.server
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from conftest import ROOT

from icmbench.config.load import complete
from icmbench.config.run import make_run
from icmbench.config.tasks import task_downloads, task_entry
from icmbench.core.errors import ConfigError

BYTES = bytes(range(256)) * 40
DIGEST = hashlib.sha256(BYTES).hexdigest()


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    folder = tmp_path / "served"
    folder.mkdir()
    (folder / "net.onnx").write_bytes(BYTES)
    handler = functools.partial(Quiet, directory=str(folder))
    httpd = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=httpd.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{httpd.server_port}/net.onnx"
    httpd.shutdown()


def config(url: str, **more: object) -> dict:
    task = {"type": "onnx-detector", "datasets": ["scenes"], "model": url, **more}
    return {
        "datasets": {"scenes": {"test": 2, "size": 64}},
        "codecs": {"identity": {"points": [{}]}},
        "tasks": {"boxes": task},
    }


def snakemake(folder: Path, settings: dict, target: str) -> subprocess.CompletedProcess[str]:
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(settings))
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile"), target]
    command += ["--directory", str(folder), "--configfile", str(path), "--cores", "1"]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=300, check=False, env=dict(os.environ)
    )


def test_a_url_becomes_a_local_file() -> None:
    filled = complete(config("https://example.org/a/net.onnx", sha256=DIGEST))
    place = f"downloads/weights/{DIGEST[:16]}/net.onnx"
    assert task_entry(filled, "boxes")["model"] == place
    assert task_downloads(filled) == {place: ("https://example.org/a/net.onnx", DIGEST)}
    run = make_run(filled)
    assert [str(path) for path in run.tasks["boxes"].files()] == [place]
    # What has a local path is left alone.
    local = complete(config("nets/net.onnx"))
    assert task_entry(local, "boxes")["model"] == "nets/net.onnx"
    assert task_downloads(local) == {}


def test_offline_a_url_is_an_error_of_the_plan(tmp_path: Path) -> None:
    given = config("https://example.org/net.onnx", sha256=DIGEST)
    given |= {"offline": True, "downloads": str(tmp_path)}
    with pytest.raises(ConfigError, match=r"net\.onnx: not fetched, .*https://example\.org/net"):
        make_run(given)
    path = tmp_path / "weights" / DIGEST[:16] / "net.onnx"
    path.parent.mkdir(parents=True)
    path.write_bytes(BYTES)
    make_run(given)


def test_the_zoo_is_a_fetched_file(tmp_path: Path) -> None:
    """By the name of the configuration; what is not fetched is an error with the command."""
    model = "faster-rcnn_r50_fpn_1x_coco"
    task = {"type": "mmdet", "datasets": ["scenes"], "config": model, "checkpoint": "zoo"}
    filled = complete({**config(""), "tasks": {"boxes": task}, "downloads": str(tmp_path)})
    with pytest.raises(ConfigError, match=rf"run `icmbench fetch .* mmdet/{model}`"):
        make_run(filled)
    folder = tmp_path / f"mmdet-{model}"
    folder.mkdir()
    (folder / "net-01234567.pth").write_bytes(b"")
    (folder / "fetched.json").write_text('{"files": {"net-01234567.pth": {}}}')
    assert task_entry(filled, "boxes")["checkpoint"] == str(folder / "net-01234567.pth")
    assert make_run(filled).tasks["boxes"].files() == [folder / "net-01234567.pth"]
    segments = {**task, "type": "mmdet-panoptic"}  # of the same library
    entry = task_entry({**filled, "tasks": {"boxes": segments}}, "boxes")
    assert entry["checkpoint"] == str(folder / "net-01234567.pth")
    (folder / "fetched.json").write_text("{}")
    with pytest.raises(ConfigError, match=r"fetched\.json: damaged"):
        make_run(filled)
    task["config"] = "mine.py"
    with pytest.raises(ConfigError, match="zoo needs config, a name of mmdet"):
        task_entry(complete({**config(""), "tasks": {"boxes": task}}), "boxes")


@pytest.mark.parametrize("digest", [None, "", DIGEST[:40], DIGEST.upper()])
def test_a_url_needs_a_checksum(digest: str | None) -> None:
    more = {} if digest is None else {"sha256": digest}
    with pytest.raises(ConfigError, match=r"task boxes: http://x/net.onnx needs sha256"):
        make_run(config("http://x/net.onnx", **more))


@pytest.mark.slow
@pytest.mark.workflow
def test_the_rule_fetches_it_and_checks_it(server: str, tmp_path: Path) -> None:
    place = f"downloads/weights/{DIGEST[:16]}/net.onnx"
    done = snakemake(tmp_path, config(server, sha256=DIGEST), place)
    assert done.returncode == 0, done.stderr[-2000:]
    assert (tmp_path / place).read_bytes() == BYTES
    other = hashlib.sha256(b"another file").hexdigest()
    place = f"downloads/weights/{other[:16]}/net.onnx"
    done = snakemake(tmp_path, config(server, sha256=other), place)
    assert done.returncode != 0
    assert f"sha256 is {DIGEST}, expected {other}" in done.stderr
    assert not (tmp_path / place).exists()
