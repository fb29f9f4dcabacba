"""Fetching of sources: parallel, resumed, checked, from mirrors, recorded, offline."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import signal
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from email.utils import formatdate
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from file_server import Site, etag, serve
from running import hear_interrupts

from icmbench.core.errors import ConfigError, DatasetError, StorageError
from icmbench.sources.catalogue import Source, read_sources
from icmbench.sources.completeness import is_complete
from icmbench.sources.fetch import fetch_source
from icmbench.sources.meter import Interrupted, Meter
from icmbench.sources.records import only_process

BODY = np.random.default_rng(3).bytes(90_000)
SHA256 = hashlib.sha256(BODY).hexdigest()
OTHER = bytes(reversed(BODY))


def zipped(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    monkeypatch.setenv("no_proxy", "*")
    with serve() as found:
        yield found


def source(tmp_path: Path, files: list[Any], **more: Any) -> Source:
    """A source `mine` as a YAML file describes it."""
    entry = {"title": "Mine", "licence": "CC0", "homepage": "http://x.org/", "files": files, **more}
    path = tmp_path / "sources.yaml"
    path.write_text(yaml.safe_dump({"mine": entry}), encoding="utf-8")
    return read_sources(path)["mine"]


def test_files_come_together_and_once(site: Site, tmp_path: Path) -> None:
    """Four requests are open at once; what is complete is not asked for again."""
    site.files = {f"/{n}.bin": BODY[n:] for n in range(6)}
    site.together = 4
    mine = source(tmp_path, [f"{n}.bin" for n in range(6)], bases=[f"{site.address}/"])
    assert not is_complete(mine, tmp_path / "dl")
    folder = fetch_source(mine, tmp_path / "dl")
    assert folder == tmp_path / "dl" / "mine"
    assert site.most == 4
    assert {path.name: path.read_bytes() for path in folder.glob("*.bin")} == {
        name[1:]: body for name, body in site.files.items()
    }
    assert is_complete(mine, tmp_path / "dl")
    assert not list(folder.glob("*.part"))
    site.asked.clear()
    assert fetch_source(mine, tmp_path / "dl") == folder
    assert site.asked == []
    (folder / "3.bin").unlink()
    assert not is_complete(mine, tmp_path / "dl")
    fetch_source(mine, tmp_path / "dl")
    assert site.asked == [("/3.bin", 0)]


def test_an_interrupted_fetch_is_resumed(site: Site, tmp_path: Path) -> None:
    site.files = {"/a.bin": BODY}
    site.limit = 20_000
    mine = source(tmp_path, ["a.bin"], bases=[f"{site.address}/"])
    with pytest.raises(DatasetError, match="what arrived is kept, run again to resume"):
        fetch_source(mine, tmp_path / "dl")
    assert not is_complete(mine, tmp_path / "dl")
    site.asked.clear()
    fetch_source(mine, tmp_path / "dl")
    assert site.asked == [("/a.bin", 80_000)]
    assert (tmp_path / "dl" / "mine" / "a.bin").read_bytes() == BODY


def dated(body: bytes) -> dict[str, str]:
    hour = 1 if body == BODY else 2
    return {"Last-Modified": f"Sun, 01 Nov 2020 0{hour}:00:00 GMT"}


def young(body: bytes) -> dict[str, str]:
    """Written in the second of the answer, so that the date tells no two versions apart."""
    return {"Last-Modified": formatdate(time.time() + 1, usegmt=True)}


@pytest.mark.parametrize(
    ("versions", "obeys", "condition"),
    [
        (lambda body: {"ETag": etag(body)}, True, etag(BODY)),
        (lambda body: {"ETag": etag(body)}, False, etag(BODY)),  # its answer names the version
        (dated, True, dated(BODY)["Last-Modified"]),
        (lambda body: {"ETag": f"W/{etag(body)}"} | dated(body), True, ""),
        (young, True, ""),
        (lambda body: {}, True, ""),
    ],
)
def test_two_versions_of_a_file_are_not_joined(
    site: Site,
    tmp_path: Path,
    versions: Callable[[bytes], dict[str, str]],
    obeys: bool,
    condition: str,
) -> None:
    """Of a file that is replaced after a part of it arrived, without any checksum."""
    site.files = {"/a.bin": BODY}
    site.limit, site.versions, site.obeys = 20_000, versions, obeys
    mine = source(tmp_path, ["a.bin"], bases=[f"{site.address}/"])
    remedy = "run again to resume" if condition else "cannot be resumed, .* start afresh"
    with pytest.raises(DatasetError, match=remedy):
        fetch_source(mine, tmp_path / "dl")
    folder, again = tmp_path / "dl" / "mine", 20_000 if condition else 0
    assert [start for _, start in site.asked] == [again * n for n in range(4)]
    assert (folder / "a.bin.part.json").exists() == bool(condition)
    site.limit = None
    site.files = {"/a.bin": OTHER}
    fetch_source(mine, tmp_path / "dl")
    assert (folder / "a.bin").read_bytes() == OTHER
    assert {*site.conditions} == ({condition} if condition else set())
    assert {path.name for path in folder.iterdir()} == {"a.bin", "fetched.json"}


@pytest.mark.parametrize("kept", ['{"url": "http://x.org/", "validator": "a"}', "{", "[1]", None])
def test_a_part_of_unknown_version_starts_afresh(
    site: Site, tmp_path: Path, kept: str | None
) -> None:
    """Unless all digits of a sha256 are stated; a failure at another mirror costs it nothing."""
    site.files = {"/a.bin": BODY}
    folder = tmp_path / "dl" / "mine"
    for stated, first in (({"sha256": SHA256}, 1000), ({"sha256": SHA256[:8]}, 0), ({}, 0)):
        shutil.rmtree(tmp_path / "dl", ignore_errors=True)
        folder.mkdir(parents=True)
        (folder / "a.bin.part").write_bytes(BODY[:1000])
        if kept is not None:
            (folder / "a.bin.part.json").write_text(kept)
        bases = [f"{site.address}/{place}" for place in ("none/", "")]
        mine = source(tmp_path, [{"name": "a.bin", **stated}], bases=bases)
        fetch_source(mine, tmp_path / "dl")
        assert site.asked[-1] == ("/a.bin", first)
        assert (folder / "a.bin").read_bytes() == BODY
        assert not list(folder.glob("*.part*"))
    assert site.conditions == []


def test_a_mirror_that_has_no_file_costs_no_bytes(site: Site, tmp_path: Path) -> None:
    """A download that was interrupted at the first one is resumed there."""
    site.files = {"/one/a.bin": BODY}
    site.limit = 20_000
    bases = [f"{site.address}/{name}/" for name in ("one", "two")]
    mine = source(tmp_path, ["a.bin"], bases=bases)
    with pytest.raises(DatasetError, match="what arrived is kept"):
        fetch_source(mine, tmp_path / "dl")
    site.limit = None
    site.asked.clear()
    fetch_source(mine, tmp_path / "dl")
    assert site.asked == [("/one/a.bin", 80_000)]


@pytest.mark.parametrize(
    ("stated", "reason"),
    [
        ({"sha256": "0" * 64}, f"sha256 is {SHA256}, expected 000"),
        ({"sha256": "0" * 8}, f"sha256 is {SHA256}, expected 00000000 at its beginning"),
        ({"sha1": "0" * 40}, "sha1 is .*, expected 000"),
        ({"md5": "0" * 32}, "md5 is .*, expected 000"),
        ({"size": 90_001}, "it has 90000 bytes, expected 90001"),
    ],
)
def test_what_differs_is_not_kept(
    site: Site, tmp_path: Path, stated: dict[str, Any], reason: str
) -> None:
    site.files = {"/a.bin": BODY}
    mine = source(tmp_path, [{"name": "a.bin", **stated}], bases=[f"{site.address}/"])
    with pytest.raises(DatasetError, match=f"{site.address}/a.bin: {reason}"):
        fetch_source(mine, tmp_path / "dl")
    assert [path.name for path in (tmp_path / "dl" / "mine").iterdir()] == []


@pytest.mark.parametrize("digits", [SHA256[:8], SHA256[:10], SHA256])
def test_digits_of_the_name_are_checked(site: Site, tmp_path: Path, digits: str) -> None:
    name = f"net-{SHA256[:8]}.pth"
    site.files = {f"/{name}": BODY}
    mine = source(tmp_path, [{"name": name, "sha256": digits}], bases=[f"{site.address}/"])
    assert fetch_source(mine, tmp_path / "dl").joinpath(name).read_bytes() == BODY
    site.files = {f"/{name}": OTHER}
    with pytest.raises(DatasetError, match=f"expected {digits}"):
        fetch_source(mine, tmp_path / "other")


def test_mirrors_are_tried_in_order(site: Site, tmp_path: Path) -> None:
    """The first that serves the right bytes is the last that is asked."""
    site.files = {"/two/a.bin": OTHER, "/three/a.bin": BODY, "/four/a.bin": BODY}
    mine = source(
        tmp_path,
        [{"name": "a.bin", "sha256": SHA256}],
        bases=[f"{site.address}/{name}/" for name in ("one", "two", "three", "four")],
    )
    folder = fetch_source(mine, tmp_path / "dl")
    assert [path for path, _ in site.asked] == ["/one/a.bin", "/two/a.bin", "/three/a.bin"]
    assert (folder / "a.bin").read_bytes() == BODY
    site.files = {"/two/a.bin": OTHER}
    with pytest.raises(DatasetError) as caught:
        fetch_source(mine, tmp_path / "none")
    text = str(caught.value)
    assert text.index("/one/a.bin: 404") < text.index("/two/a.bin: sha256") < text.index("/three/")


def test_a_mirror_of_unknown_bytes_starts_afresh(site: Site, tmp_path: Path) -> None:
    """Without a checksum, half a file of one mirror is not completed by another."""
    site.files = {"/one/a.bin": OTHER, "/two/a.bin": BODY}
    site.limit = 20_000
    bases = [f"{site.address}/{name}/" for name in ("one", "two")]
    mine = source(tmp_path, ["a.bin"], bases=bases)
    with pytest.raises(DatasetError, match="what arrived is kept"):
        fetch_source(mine, tmp_path / "dl")
    assert next(start for path, start in site.asked if path == "/two/a.bin") == 0


def test_every_file_is_tried(site: Site, tmp_path: Path) -> None:
    site.files = {"/b.bin": BODY}
    mine = source(tmp_path, ["a.bin", "b.bin"], bases=[f"{site.address}/"])
    with pytest.raises(DatasetError, match=r"a\.bin: 404"):
        fetch_source(mine, tmp_path / "dl")
    assert (tmp_path / "dl" / "mine" / "b.bin").read_bytes() == BODY
    assert not is_complete(mine, tmp_path / "dl")


def test_the_first_checksum_is_recorded(site: Site, tmp_path: Path) -> None:
    """A file without a stated checksum may not change afterwards, though it is fetched anew."""
    site.files = {"/a.bin": BODY}
    mine = source(tmp_path, ["a.bin"], bases=[f"{site.address}/"])
    folder = fetch_source(mine, tmp_path / "dl")
    lock = tmp_path / "dl" / "locks" / "mine.json"
    assert json.loads(lock.read_text())["files"] == {
        "a.bin": {"sha256": SHA256, "size": len(BODY), "url": f"{site.address}/a.bin"}
    }
    shutil.rmtree(folder)
    site.files = {"/a.bin": OTHER}
    with pytest.raises(DatasetError, match=f"expected {SHA256} .recorded .* in {lock}; .*remove"):
        fetch_source(mine, tmp_path / "dl")
    site.files = {"/a.bin": BODY}
    fetch_source(mine, tmp_path / "dl")
    lock.write_text("{")
    (folder / "fetched.json").unlink()
    with pytest.raises(DatasetError, match=f"{lock}: damaged records"):
        fetch_source(mine, tmp_path / "dl")


def test_archives_are_unpacked_and_removed(site: Site, tmp_path: Path) -> None:
    inner = zipped({"deep/b.txt": b"b"})
    site.files = {"/a.zip": zipped({"top/a.txt": b"a", "top/in.zip": inner})}
    files = [{"name": "a.zip", "unpack": True, "inner": ["top/in.zip"]}]
    mine = source(tmp_path, files, bases=[f"{site.address}/"])
    folder = fetch_source(mine, tmp_path / "dl")
    found = {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()}
    assert found == {"top/a.txt", "top/deep/b.txt", "fetched.json"}
    # A lost mark is written again, and nothing is fetched for it: Snakemake removes outputs.
    (folder / "fetched.json").unlink()
    site.asked.clear()
    fetch_source(mine, tmp_path / "dl", offline=True)
    assert is_complete(mine, tmp_path / "dl")
    assert site.asked == []
    shutil.rmtree(folder / "top")
    assert not is_complete(mine, tmp_path / "dl")
    fetch_source(mine, tmp_path / "dl")
    assert site.asked == [("/a.zip", 0)]


@pytest.mark.parametrize("by_hand", [True, False])
def test_a_file_that_is_no_archive_leaves_no_record(
    site: Site, tmp_path: Path, by_hand: bool
) -> None:
    """A right file is taken afterwards."""
    site.files = {"/a.zip": b"log in first"}
    how = {"manual": ["Do."]} if by_hand else {"bases": [f"{site.address}/"]}
    mine = source(tmp_path, [{"name": "a.zip", "unpack": True}], **how)
    path = tmp_path / "dl" / "mine" / "a.zip"
    path.parent.mkdir(parents=True)
    if by_hand:
        path.write_bytes(site.files["/a.zip"])
    with pytest.raises(DatasetError, match=r"a\.zip: damaged or no archive"):
        fetch_source(mine, tmp_path / "dl")
    assert path.exists() == by_hand
    site.files = {"/a.zip": zipped({"a.txt": b"a"})}
    if by_hand:
        path.write_bytes(site.files["/a.zip"])
    fetch_source(mine, tmp_path / "dl")
    assert (path.parent / "a.txt").read_bytes() == b"a"


def test_an_archive_that_was_not_unpacked_is_not_fetched_again(site: Site, tmp_path: Path) -> None:
    site.files = {"/a.zip": zipped({"a.txt": b"a"})}
    mine = source(tmp_path, [{"name": "a.zip", "unpack": True}], bases=[f"{site.address}/"])
    folder = tmp_path / "dl" / "mine"
    folder.mkdir(parents=True)
    (folder / "a.zip").write_bytes(site.files["/a.zip"])
    fetch_source(mine, tmp_path / "dl")
    assert (folder / "a.txt").read_bytes() == b"a"
    assert site.asked == []


def test_too_little_space_is_known_first(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of an archive twice its size is asked for; a size that only the server states counts."""
    site.files = {"/a.zip": zipped({"a.txt": BODY})}
    size = len(site.files["/a.zip"])
    usage = shutil.disk_usage(tmp_path)

    def free(number: int) -> None:
        monkeypatch.setattr("shutil.disk_usage", lambda path: usage._replace(free=number))

    base = {"bases": [f"{site.address}/"]}
    stated = source(tmp_path, [{"name": "a.zip", "size": size, "unpack": True}], **base)
    free(2 * size - 1)
    with pytest.raises(StorageError, match=r"mine needs 180 kB, 180 kB are free.*`downloads`"):
        fetch_source(stated, tmp_path / "dl")
    assert site.asked == []
    free(size - 1)
    plain = source(tmp_path, ["a.zip"], **base)
    with pytest.raises(StorageError, match=r"a.zip needs 90.1 kB"):
        fetch_source(plain, tmp_path / "dl")
    assert not (tmp_path / "dl" / "mine" / "a.zip").exists()
    free(2 * size)
    fetch_source(stated, tmp_path / "dl")


def test_offline_never_asks(site: Site, tmp_path: Path) -> None:
    """The error names file, size, address and command; what is there already is enough."""
    site.files = {"/a.bin": BODY, "/b.bin": BODY}
    files = [{"name": "a.bin", "size": len(BODY)}, "b.bin"]
    mine = source(tmp_path, files, bases=[f"{site.address}/"])
    with pytest.raises(DatasetError) as caught:
        fetch_source(mine, tmp_path / "dl", offline=True)
    assert str(caught.value) == (
        f"mine: {tmp_path}/dl/mine/a.bin (90 kB, {site.address}/a.bin) and 1 more files not "
        f"fetched, and offline is set: run `icmbench fetch --downloads {tmp_path}/dl mine` where "
        f"there is a network, and copy {tmp_path}/dl/mine here"
    )
    fetch_source(mine, tmp_path / "there")
    site.asked.clear()
    shutil.copytree(tmp_path / "there" / "mine", tmp_path / "dl" / "mine", dirs_exist_ok=True)
    fetch_source(mine, tmp_path / "dl", offline=True)
    assert site.asked == []


def test_what_a_licence_demands_is_done_by_a_person(tmp_path: Path) -> None:
    archive = zipped({"a.txt": b"a"})
    digest = hashlib.sha256(archive).hexdigest()
    files = [{"name": "a.zip", "sha256": digest, "unpack": True}]
    mine = source(tmp_path, files, manual=["Register at x.org.", "Download a.zip."])
    with pytest.raises(DatasetError) as caught:
        fetch_source(mine, tmp_path)
    assert str(caught.value) == (
        "mine: a.zip must be obtained by hand (licence: CC0):\n"
        "  1. Register at x.org.\n  2. Download a.zip.\n"
        f"  3. Put a.zip into {tmp_path}/mine and run `icmbench fetch --downloads {tmp_path} mine`."
    )
    (tmp_path / "mine" / "a.zip").write_bytes(b"<html>log in</html>")
    with pytest.raises(DatasetError, match=rf"mine/a\.zip: sha256 is .*, expected {digest}"):
        fetch_source(mine, tmp_path)
    (tmp_path / "mine" / "a.zip").write_bytes(archive)
    fetch_source(mine, tmp_path, offline=True)
    assert (tmp_path / "mine" / "a.txt").read_bytes() == b"a"
    assert (tmp_path / "mine" / "a.zip").exists()  # it was not fetched, so it is not removed


def test_progress_counts_bytes_once() -> None:
    """Bytes of an earlier process are no part of the rate; those of a failed attempt go."""

    class Bar:
        n = initial = 0
        total: int | None = None

        def update(self, count: int) -> None:
            self.n += count

    bar = Bar()
    meter = Meter(bar, {Path("a"): 2000, Path("b"): None})
    meter.begin(Path("a"), 1000, 2000)
    meter.at(Path("a"), 1500)
    assert bar.total is None
    meter.begin(Path("b"), 0, 700)
    assert bar.total == 2700  # now time left is known
    meter.at(Path("b"), 300)
    meter.begin(Path("a"), 0, 2000)
    meter.at(Path("a"), 200)
    assert (bar.n, bar.initial) == (500, 1000)
    meter.stop()
    with pytest.raises(Interrupted):
        meter.at(Path("b"), 400)


def test_two_processes_take_turns(tmp_path: Path) -> None:
    order = []

    def second() -> None:
        with only_process(tmp_path, "mine"):
            order.append("second")

    with only_process(tmp_path, "mine"), only_process(tmp_path, "other"):
        thread = threading.Thread(target=second)
        thread.start()
        thread.join(0.3)
        order.append("first")
    thread.join(10)
    assert order == ["first", "second"]


def icmbench(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "icmbench", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


def test_the_command(site: Site, tmp_path: Path) -> None:
    site.files = {"/a.bin": BODY}
    source(tmp_path, [{"name": "a.bin", "size": len(BODY)}], bases=[f"{site.address}/"])
    given = ("--sources", tmp_path / "sources.yaml", "--downloads", tmp_path / "dl")
    done = icmbench("fetch", "--list", *given)
    lines = {line.split()[0]: line for line in done.stdout.splitlines()}
    assert "not fetched  90 kB " in lines["mine"]
    assert lines["mine"].endswith("Mine (CC0)")
    assert {"kodak", "coco2017-train", "ram-plus", "vgg16", "cityscapes"} <= {*lines}
    assert "by hand" in lines["cityscapes"]
    done = icmbench("fetch", "mine", "no-such", *given)
    assert (done.returncode, done.stdout) == (2, "")
    assert "unknown source 'no-such'" in done.stderr
    done = icmbench("fetch", "mine", *given, "--offline")
    assert done.returncode == 3
    options = f"--downloads {tmp_path}/dl --sources {tmp_path}/sources.yaml"
    assert f"run `icmbench fetch {options} mine`" in done.stderr
    done = icmbench("fetch", "cityscapes", "mine", *given)
    assert done.returncode == 3
    assert "cityscapes-dataset.com/register" in done.stderr
    assert f"{tmp_path}/dl/mine: complete. Mine; licence: CC0" in done.stdout
    assert f"sha256 {SHA256} recorded" in done.stderr
    assert "mine" in icmbench("fetch", "--list", *given).stdout.partition("complete")[0]
    text = icmbench("fetch", "--list", "mine", *given).stdout
    assert f"a.bin: 90 kB, checksum recorded at the first download\n  {site.address}/a.bin" in text


def test_an_interrupted_command_ends_at_once(site: Site, tmp_path: Path) -> None:
    site.files = {"/a.bin": BODY, "/b.bin": BODY}
    site.pause = 1.0
    source(tmp_path, ["a.bin", "b.bin"], bases=[f"{site.address}/"])
    command = [sys.executable, "-m", "icmbench", "fetch", "mine"]
    command += ["--sources", str(tmp_path / "sources.yaml"), "--downloads", str(tmp_path / "dl")]
    process = subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, preexec_fn=hear_interrupts
    )
    part = tmp_path / "dl" / "mine" / "a.bin.part"
    end = time.monotonic() + 60
    while not (part.exists() and part.stat().st_size) and time.monotonic() < end:
        threading.Event().wait(0.05)
    process.send_signal(signal.SIGINT)
    start = time.monotonic()
    _, text = process.communicate(timeout=60)
    assert process.returncode == 130
    assert text.endswith("icmbench: interrupted; run the command again to resume\n")
    assert "Traceback" not in text
    assert time.monotonic() - start < 5  # nine seconds a file
    assert 0 < part.stat().st_size < len(BODY)


def test_a_configuration_of_openmm_is_a_source() -> None:
    from icmbench.tasks.backends.openmm_source import published_source

    found = published_source("mmdet", "rtmdet-ins_tiny_8xb32-300e_coco")
    (file,) = found.files
    assert found.name == "mmdet-rtmdet-ins_tiny_8xb32-300e_coco"
    assert file.urls[0].endswith(f"-{file.sha256}.pth")
    assert len(file.sha256) == 8
    with pytest.raises(ConfigError):
        read_sources(Path("/no/such/file"))
