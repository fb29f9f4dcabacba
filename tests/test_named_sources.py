"""Names of sources in place of paths, and `icmbench fetch --configfile`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import tiny_ram
import yaml
from file_server import Site, serve
from published_autoencoders import write_published
from test_import_diff_icmh import HEADS, checkpoint, networks, words  # noqa: F401 - fixtures

from icmbench.codecs.diff_icmh.model_folder import WORDS
from icmbench.config.fetching import import_options, imports_left, read_config, wanted_sources
from icmbench.config.load import complete
from icmbench.config.named_sources import named_sources
from icmbench.config.run import make_run
from icmbench.core.errors import ConfigError
from icmbench.sources.catalogue import read_sources
from icmbench.sources.fetch import fetch_source

CODECS = {"mpd": {"points": [{"state": 0}]}}
TRAINING = {"data": {"scenes": {"seed": 5, "size": 64, "train": 2, "test": 0}}}


def entry(address: str, name: str, *files: str) -> dict[str, Any]:
    """A source whose files lie in a folder of a site."""
    return {
        "title": name,
        "licence": "of my own",
        "homepage": "http://x.org/",
        "bases": [f"{address}/{name}/"],
        "files": list(files),
    }


def serve_folder(site: Site, name: str, folder: Path) -> dict[str, Any]:
    """Put the files of a folder on a site; the source's entry."""
    files = {str(p.relative_to(folder)): p for p in sorted(folder.rglob("*")) if p.is_file()}
    site.files |= {f"/{name}/{file}": path.read_bytes() for file, path in files.items()}
    return entry(site.address, name, *files)


@pytest.fixture
def published(tmp_path: Path) -> Path:
    """A pipeline of diffusers, of which MPD takes the autoencoder."""
    folder = tmp_path / "published" / "pipeline"
    write_published("kl", folder / "vae")
    (folder / "model_index.json").write_text("{}")
    return folder


def config(tmp_path: Path, sources: dict[str, Any], **mpd: Any) -> dict[str, Any]:
    path = tmp_path / "sources.yaml"
    path.write_text(yaml.safe_dump(sources), encoding="utf-8")
    training = {**TRAINING, "mpd": {"contexts": {"images": 2}, "reverse": {"steps": 1}, **mpd}}
    return {
        "datasets": {"scenes": {"test": 1, "size": 64}},
        "codecs": CODECS,
        "training": training,
        "downloads": str(tmp_path / "dl"),
        "sources": str(path),
        "results": str(tmp_path / "results"),
    }


def test_a_name_becomes_the_file_or_the_folder(tmp_path: Path, published: Path) -> None:
    """A source that is not fetched is an error with the command; nothing else of it is checked."""
    with serve() as site:
        own = {"tiny": serve_folder(site, "tiny", published)}
        (tmp_path / "net.pth").write_bytes(b"")
        site.files["/net/net.pth"] = b"tensors"
        own["net"] = entry(site.address, "net", "net.pth")
        given = config(
            tmp_path, own, autoencoder={"from": "tiny"}, pseudo_labels={"network": "net"}
        )
        with pytest.raises(ConfigError) as caught:
            make_run(given)
        text = str(caught.value)
        assert text.startswith("2 problems")
        for name, key in (("tiny", "autoencoder.from"), ("net", "pseudo_labels.network")):
            assert f"training.mpd.{key}: {name} is not in {tmp_path}/dl/{name}: run `icm" in text
        with pytest.raises(ConfigError, match=r"model_index\.json .*and offline is set"):
            make_run({**given, "offline": True})
        for source in read_sources(tmp_path / "sources.yaml").values():
            fetch_source(source, tmp_path / "dl")
    run = make_run(given)
    assert run.config["training"]["mpd"]["autoencoder"]["from"] == f"{tmp_path}/dl/tiny"
    network = run.config["training"]["mpd"]["pseudo_labels"]["network"]
    assert network == f"{tmp_path}/dl/net/net.pth"
    assert given["training"]["mpd"]["autoencoder"]["from"] == "tiny"  # unchanged


def test_a_name_means_the_source_wherever_a_run_starts(
    tmp_path: Path, published: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder of the same name does not change that; `./` before it does."""
    monkeypatch.chdir(tmp_path)
    published.rename(tmp_path / "taef2")
    place = ("training", "mpd", "autoencoder", "from")
    for given, found in (("taef2", [place]), ("./taef2", []), ("taef3", [])):
        filled = complete(config(tmp_path, {}, autoencoder={"from": given}))
        assert [*named_sources(filled)] == found


def test_all_that_a_configuration_needs(tmp_path: Path) -> None:
    """Of data sets and training sets, of keys, metrics, tasks and imports; nothing else."""
    given = config(tmp_path, {}, autoencoder={"from": "taef2"}, pseudo_labels={"network": "vgg16"})
    given["datasets"] |= {"kodak": {}, "faces": {"type": "ffhq"}, "val": {"type": "coco2017"}}
    given["training"]["data"] = {"coco": {"type": "coco2017", "split": "train"}}
    given["metrics"] = ["psnr_rgb", "lpips"]
    model = "faster-rcnn_r50_fpn_1x_coco"
    given["tasks"] = {
        "boxes": {"type": "mmdet", "datasets": ["val"], "config": model, "checkpoint": "zoo"},
        "fan": {"type": "face-alignment", "datasets": ["scenes"], "checkpoint": "face-alignment"},
    }
    found = [source.name for source, _ in wanted_sources(complete(given))]
    expected = {
        "coco2017-annotations", "coco2017-train", "coco2017-val", "face-alignment", "ffhq-1024",
        "kodak", f"mmdet-{model}", "taef2", "vgg16",
    }  # fmt: skip
    assert {*found} == expected
    assert found == sorted(found)
    given["weights"] = str(tmp_path / "weights")
    given["distribution"] = {"datasets": ["val"]}
    given["models"] = str(tmp_path / "models")
    given["imports"] = {"diff-icmh": {"checkpoints": ["diff-icmh-4", "x.ckpt"], "tags": "ram-tags"}}
    places = {source.name: folder for source, folder in wanted_sources(complete(given))}
    more = {"alexnet", "inception-fid", "diff-icmh-4", "ram-tags"}
    assert {*places} == expected | more
    assert places["alexnet"] == tmp_path / "weights"
    assert places["vgg16"] == tmp_path / "dl"
    options = import_options(complete(given), "diff-icmh")
    assert options["checkpoints"] == [f"{tmp_path}/dl/diff-icmh-4/diff-icmh-4.ckpt", "x.ckpt"]
    assert options["tags"] == f"{tmp_path}/dl/ram-tags/ram_tag_list.txt"
    (tmp_path / "models" / "diff-icmh").mkdir(parents=True)
    assert "diff-icmh-4" not in {source.name for source, _ in wanted_sources(complete(given))}
    with pytest.raises(ConfigError, match="imports: models is null"):
        imports_left(complete({**given, "models": None}))


def test_several_files_are_one_configuration(tmp_path: Path) -> None:
    """As Snakemake merges them."""
    first, second = tmp_path / "a.yaml", tmp_path / "b.yaml"
    given = config(tmp_path, {}, autoencoder={"from": "taef2"})
    first.write_text(yaml.safe_dump(given))
    second.write_text("downloads: other\ntraining: {mpd: {reverse: {steps: 7}}}\n")
    found = read_config([first, second])
    assert found["downloads"] == "other"
    assert found["training"]["mpd"]["reverse"]["steps"] == 7
    assert found["training"]["mpd"]["autoencoder"]["from"] == "taef2"
    second.write_text("- 1")
    with pytest.raises(ConfigError, match=r"b\.yaml: not a configuration"):
        read_config([first, second])


def icmbench(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "icmbench", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)


@pytest.mark.slow
def test_the_command_fetches_and_imports(
    tmp_path: Path,
    checkpoint: dict[str, Any],  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nothing twice; a source by hand fails with its steps, and the others are there."""
    import torch

    monkeypatch.setenv("no_proxy", "*")
    home = tmp_path / "published"
    home.mkdir()
    torch.save({"state_dict": checkpoint}, home / "net.ckpt")
    words(home)
    torch.save(tiny_ram.checkpoint(tiny_ram.tiny_state()), home / "ram.pth")
    (home / "thresholds.txt").write_text("0.5\n" * 3)
    with serve() as site:
        site.files["/net/net.ckpt"] = (home / "net.ckpt").read_bytes()
        own = {"net": entry(site.address, "net", "net.ckpt")}
        own["tokens"] = serve_folder(site, "tokens", home / "tokenizer")
        site.files["/tags/tags.txt"] = (home / "tags.txt").read_bytes()
        own["tags"] = entry(site.address, "tags", "tags.txt")
        for name in ("ram.pth", "thresholds.txt"):
            stem = name.partition(".")[0]
            site.files[f"/{stem}/{name}"] = (home / name).read_bytes()
            own[stem] = entry(site.address, stem, name)
        given = config(tmp_path, own)
        given["codecs"] = {"diff-icmh": {"points": [{"rate": 1}]}}
        given["datasets"]["faces"] = {"type": "ffhq"}
        given["models"] = str(tmp_path / "models")
        given["imports"] = {
            "diff-icmh": {
                "checkpoints": ["net"],
                "tokenizer": "tokens",
                "tags": "tags",
                "tagger": "ram",
                "thresholds": "thresholds",
                **HEADS,
            }
        }
        path = tmp_path / "config.yaml"
        path.write_text(yaml.safe_dump(given))
        done = icmbench("fetch", "--configfile", str(path))
        assert done.returncode == 3, done.stderr
        assert "ffhq-1024: images1024x1024.zip must be obtained by hand" in done.stderr
        asked = len(site.asked)
        icmbench("fetch", "--configfile", str(path))
        assert len(site.asked) == asked
    folder = tmp_path / "models" / "diff-icmh"
    assert f"{folder}: complete" in done.stdout
    assert [(folder / "tokenizer" / name).is_file() for name in WORDS] == [True, True]
    assert (folder / "tagger.safetensors").is_file()
    del given["datasets"]["faces"]
    assert make_run(given).codecs["diff-icmh"]
