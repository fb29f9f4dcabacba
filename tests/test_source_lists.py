"""Lists of sources, shipped and own; archives that must not leave their folder."""

from __future__ import annotations

import io
import re
import shutil
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest
import yaml

from icmbench.core.errors import ConfigError, DatasetError, StorageError
from icmbench.sources.catalogue import (
    DATASETS,
    MODELS,
    known_sources,
    named_digits,
    read_sources,
    shipped_sources,
)
from icmbench.sources.checks import amount
from icmbench.sources.unpack import unpack

ENTRY = {"title": "A", "licence": "B", "homepage": "http://x.org/", "files": ["a.bin"]}


def written(tmp_path: Path, **sources: Any) -> Path:
    path = tmp_path / "sources.yaml"
    path.write_text(yaml.safe_dump(sources), encoding="utf-8")
    return path


def test_what_ships_is_consistent() -> None:
    """Names are unique over both lists; an address states one file; names agree with checksums."""
    lists = [yaml.safe_load(path.read_text("utf-8")) for path in (DATASETS, MODELS)]
    assert not {*lists[0]} & {*lists[1]}
    sources = shipped_sources()
    assert {*sources} == {*lists[0], *lists[1]}
    files = [(s.name, file) for s in sources.values() for file in s.files]
    urls = [url for _, file in files for url in file.urls]
    # A source may hold some files of another one, whose other files are large.
    stated = {(url, f.size, f.sha256, f.sha1, f.md5) for _, f in files for url in f.urls}
    assert len(stated) == len({*urls})
    assert len({(name, url) for name, f in files for url in f.urls}) == len(urls)
    assert all(re.fullmatch(r"https?://[\w./%-]+(\?[\w=&]+)?", url) for url in urls)
    for name, file in files:
        digits = named_digits(Path(file.name).name)
        assert not digits or file.sha256.startswith(digits), (name, file.name)
        assert bool(file.urls) or sources[name].manual, (name, file.name)
        archive = bool(re.search(r"(?<!\.pth)(\.zip|\.tar|\.tar\.gz)$", file.name))
        assert file.unpack == archive, (name, file.name)
    whole = {(file.sha256, file.urls) for _, file in files if len(file.sha256) == 64}
    assert len(whole) == len({sha256 for sha256, _ in whole})
    assert len(whole) >= 25


def test_what_was_asked_for_ships() -> None:
    names = {*shipped_sources()}
    for name in (
        "coco2017-annotations", "coco2017-panoptic", "coco2017-val", "coco2017-train", "ffhq-128",
        "ffhq-1024", "lsdir-train", "lsdir-val", "div2k-train", "div2k-valid", "tecnick", "kodak",
        "clic2020-professional", "clic2020-mobile", "ade20k", "cityscapes", "camvid", "ibug-300w",
        "wflw", "flickr30k", "imagenet-val", "stable-diffusion-2-1-base", "ram-plus", "vgg16",
        "alexnet", "resnet50", "inception-fid", "face-alignment", "dists", "taef2",
        "stable-diffusion-2-1-tokenizer", "ram-tags", "ram-thresholds", "niqe",
        *(f"diff-icmh-{rate}" for rate in (2, 4, 8, 16, 32)),
    ):  # fmt: skip
        assert name in names
    by_hand = {s.name for s in shipped_sources().values() if s.manual}
    assert by_hand == {
        "cityscapes", "ffhq-128", "ffhq-1024", "ibug-300w", "wflw", "flickr30k", "lsdir-train",
        "lsdir-val", "imagenet-val",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("name", "digits"),
    [
        ("vgg16-397923af.pth", "397923af"),
        ("2DFAN4-11f355bf06.pth.tar", "11f355bf06"),
        ("fcn_20200515_121124-0738f3a5.pth", "0738f3a5"),
        ("pt_inception-2015-12-05-6726825d.pth", "6726825d"),
        ("ddq_detr_swinl_30e.pth", ""),
        ("net_20200515.pth", ""),
        ("net-397923a.pth", ""),
        ("net-397923ag.pth", ""),
        ("photo-397923af.png", ""),
    ],
)
def test_digits_of_names(name: str, digits: str) -> None:
    assert named_digits(name) == digits


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"licence": None}, "mine.licence"),
        ({"title": ...}, "'title' is a required property"),
        ({"urls": []}, "'urls' was unexpected"),
        ({"bases": ["http://x.org/a"]}, "does not match"),
        ({"bases": ["ftp://x.org/"]}, "does not match"),
        ({"files": []}, "non-empty"),
        ({"files": [{"name": "a", "sha256": "12345"}]}, "not valid"),
        ({"files": ["a", "a"]}, "a: two files have this name"),
        ({"files": ["fetched.json"]}, "fetched.json: two files have this name"),
        ({"files": ["../a"]}, r"\.\./a: not a path below"),
        ({"files": ["/a"]}, "/a: not a path below"),
        ({"files": ["a/./b"]}, "a/./b: not a path below"),
        ({"bases": []}, "a.bin: neither bases nor urls nor manual steps"),
        ({"files": ["a-397923af.pth"]}, "its name ends with 397923af, its sha256 is ''"),
        ({"files": [{"name": "a-397923af.pth", "sha256": "0" * 64}]}, "ends with 397923af"),
    ],
)
def test_wrong_lists(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    entry = {**ENTRY, "bases": ["http://x.org/"], **change}
    path = written(tmp_path, mine={key: v for key, v in entry.items() if v is not ...})
    with pytest.raises(ConfigError, match=f"{path}: .*{message}"):
        read_sources(path)


def test_own_sources_replace_shipped_ones(tmp_path: Path) -> None:
    """Own mirrors of a shipped source, and further sources."""
    path = written(
        tmp_path,
        kodak={**ENTRY, "bases": ["http://mirror.example/"]},
        more={**ENTRY, "files": [{"name": "b", "urls": ["http://x.org/c"]}]},
    )
    known = known_sources(path)
    assert known["kodak"].files[0].urls == ("http://mirror.example/a.bin",)
    assert known["more"].files[0].urls == ("http://x.org/c",)
    assert known["vgg16"] == shipped_sources()["vgg16"]


def test_amounts() -> None:
    values = (None, 0, 999, 1000, 999_499, 999_600, 19_336_861_798)
    texts = ["size not stated", "0 bytes", "999 bytes", "1 kB", "999 kB", "1 MB", "19.3 GB"]
    assert [amount(value) for value in values] == texts


def tar_of(path: Path, *members: tarfile.TarInfo, mode: str = "w:gz") -> Path:
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        for member in members:
            archive.addfile(member, io.BytesIO(b"x" * member.size))
    return path


def member(name: str, **more: Any) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.size = 0 if more else 3
    for key, value in more.items():
        setattr(info, key, value)
    return info


LINK = {"type": tarfile.SYMTYPE, "linkname": "/etc"}


@pytest.mark.parametrize(
    "evil",
    [
        member("../out.txt"),
        member("a/../../out.txt"),
        member("/tmp/out.txt"),
        member("C:\\out.txt"),
        member("..\\out.txt"),
        member("a", **LINK),
        member("a", type=tarfile.LNKTYPE, linkname="good.txt"),
        member("a", type=tarfile.FIFOTYPE),
        member("a", type=tarfile.CHRTYPE),
    ],
)
def test_a_tar_stays_in_its_folder(tmp_path: Path, evil: tarfile.TarInfo) -> None:
    path = tar_of(tmp_path / "a.tar.gz", member("good.txt"), evil)
    folder = tmp_path / "deep" / "folder"
    folder.mkdir(parents=True)
    with pytest.raises(DatasetError, match=re.escape(f"{path}: the member {evil.name!r}")):
        unpack(path, folder)
    found = {str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*") if not p.is_dir()}
    assert found == {"a.tar.gz", "deep/folder/good.txt"}


@pytest.mark.parametrize("name", ["../out.txt", "/tmp/out.txt", "a/../../b", "..\\b", "link"])
def test_a_zip_stays_in_its_folder(tmp_path: Path, name: str) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("good.txt", "x")
        info = zipfile.ZipInfo(name)
        info.external_attr = (0o120777 if name == "link" else 0o100644) << 16
        archive.writestr(info, "/etc")
    folder = tmp_path / "deep"
    folder.mkdir()
    with pytest.raises(DatasetError, match=r"a\.zip: the member"):
        unpack(path, folder)
    found = {str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*") if not p.is_dir()}
    assert found == {"a.zip", "deep/good.txt"}


@pytest.mark.parametrize("suffix", ["zip", "tar", "tar.gz", "tgz", "tar.bz2", "tar.xz"])
def test_whole_archives(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    if suffix == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("./one/", "")
            archive.writestr("one/a.txt", "xxx")
            archive.writestr("b.txt", "xxx")
    else:
        mode = {"tar": "w", "tgz": "w:gz"}.get(suffix, f"w:{suffix[4:]}")
        folder = member("./one", type=tarfile.DIRTYPE)
        tar_of(path, member(".", type=tarfile.DIRTYPE), folder, member("one/a.txt"),
               member("b.txt"), mode=mode)  # fmt: skip
    (tmp_path / "out" / "one").mkdir(parents=True)
    (tmp_path / "out" / "one" / "a.txt").write_text("an older one, longer")
    assert unpack(path, tmp_path / "out") == ["b.txt", "one"]
    assert (tmp_path / "out" / "one" / "a.txt").read_text() == "xxx"
    whole = path.read_bytes()
    path.write_bytes(whole[: 1538 if suffix == "tar" else len(whole) // 2])  # within a member
    with pytest.raises(DatasetError, match=re.escape(f"{path}: damaged")):
        unpack(path, tmp_path / "out")


def test_the_content_of_a_zip_must_fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.txt", "0" * 100_000)
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr("shutil.disk_usage", lambda folder: usage._replace(free=99_999))
    with pytest.raises(StorageError, match=r"content of .*a\.zip needs 100 kB"):
        unpack(path, tmp_path)
    assert not (tmp_path / "a.txt").exists()
