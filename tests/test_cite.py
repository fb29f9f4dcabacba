"""`icmbench cite`: every name has references or says that there are none."""

from __future__ import annotations

import json
import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import ROOT

from icmbench.cli import main
from icmbench.codecs.registry import every_codec
from icmbench.datasets.registry import kinds as dataset_kinds
from icmbench.metrics import METRICS
from icmbench.reporting.citations.bibtex import BUNDLED, FOLDER, NONE, entries, used_by
from icmbench.tasks.bundled import PARTS
from icmbench.tasks.registry import kinds as task_kinds


def test_every_name_is_listed() -> None:
    """A new codec, metric, data set or task gets a line in used_by.yaml: keys, or none."""
    known = used_by()
    assert set(every_codec()) <= set(known["codecs"])
    assert {*METRICS, "fid"} <= set(known["metrics"])
    assert set(dataset_kinds()) <= set(known["datasets"])
    assert set(task_kinds()) <= set(known["tasks"])
    assert set(known[BUNDLED]) <= set(PARTS)


def test_keys_and_entries_belong_together() -> None:
    keys: list[str] = []
    for section in used_by().values():
        for found in section.values() if isinstance(section, dict) else [section]:
            assert found == NONE or (found and isinstance(found, list)), found
            keys += [] if found == NONE else found
    assert set(keys) == set(entries())


def test_entries_are_bibtex() -> None:
    text = (FOLDER / "citations.bib").read_text(encoding="utf-8")
    assert len(re.findall(r"^@", text, re.M)) == len(entries())  # unique keys, none malformed
    assert text.isascii()
    for key, entry in entries().items():
        assert entry.count("{") == entry.count("}"), key
        kind = entry[1:].split("{")[0]
        fields = dict(re.findall(r"^  (\w+) *= \{(.*?)\},?$", entry, re.M | re.S))
        assert {"title", "author"} <= set(fields), key
        assert kind == "misc" or re.fullmatch(r"\d{4}", fields["year"]), key
        needed = {"article": "journal", "inproceedings": "booktitle", "techreport": "institution"}
        assert needed.get(kind, "title") in fields, key
        assert kind != "misc" or fields["url"].startswith("http"), key
        # A line that lacks its comma ends the entry early for BibTeX.
        lines = entry.split("\n")[1:-1]
        for line, following in pairwise(lines):
            assert line.endswith(",") == bool(re.match(r"  \w+ *=", following)), (key, line)


def provenance(folder: Path, **changes: Any) -> Path:
    config: dict[str, Any] = {
        "anchors": [], "metrics": ["psnr_y", "ssim"], "tasks": {}, "datasets": {"kodak": {}},
        "codecs": {"webp": {}, "again": {"codec": "webp"}}, "distribution": {"datasets": []},
    }  # fmt: skip
    stored = {"config": config | changes, "unavailable": {"lpips": "no file", "vtm": "no program"}}
    (folder / "provenance.json").write_text(json.dumps(stored), encoding="utf-8")
    return folder


def cited(capsys: pytest.CaptureFixture[str], folder: Path) -> tuple[list[str], str]:
    capsys.readouterr()
    assert main(["cite", str(folder)]) == 0
    text = capsys.readouterr().out
    return re.findall(r"^@\w+\{([^,]+),", text, re.M), text


def test_what_a_run_used(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    keys, text = cited(capsys, provenance(tmp_path))
    assert sorted(keys) == ["icmbench", "kodak", "wang2004ssim", "webp"]
    assert "% without a publication: metric psnr_y\n" in text
    assert text.count("codec webp") == 1
    changes: dict[str, Any] = {
        "anchors": ["webp"],
        "metrics": ["lpips", "ssimulacra2"],
        "distribution": {"datasets": ["kodak"]},
        "codecs": {
            "mpd-features": {"codec": "mpd"},
            "mine": {"codec": "command"},
            "vtm": {},
            "halftone": {},
        },
        "datasets": {"camvid": {"type": "semantic"}, "mine": {"type": "folder"}},
        "tasks": {
            "detection": {"type": "mmdet"},
            "segmentation": {"type": "mmseg", "checkpoint": "zoo"},
        },
    }
    keys, text = cited(capsys, provenance(tmp_path, **changes))
    assert set(keys) == {
        "icmbench", "bjontegaard2001", "ssimulacra2", "heusel2017fid", "binkowski2018kid",
        "guo2023mpd", "brostow2009camvid", "chen2019mmdetection", "lyu2022rtmdet", "mmseg2020",
    }  # fmt: skip
    assert len(keys) == len(set(keys))
    assert "cite as their authors ask: codec mine, codec halftone\n" in text
    assert "data set mine" in text
    assert "vtm" not in text  # unavailable


def test_the_default_run_is_cited_without_a_gap(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8"))
    config["distribution"] = {"datasets": []}
    (tmp_path / "provenance.json").write_text(json.dumps({"config": config, "unavailable": {}}))
    keys, text = cited(capsys, tmp_path)
    assert "no reference is known" not in text
    assert {"feng2025difficmh", "bulat2017fan", "vanderwalt2014skimage"} <= set(keys)


def test_all_entries_and_no_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cite"]) == 0
    assert set(re.findall(r"^@\w+\{([^,]+),", capsys.readouterr().out, re.M)) == set(entries())
    assert main(["cite", str(tmp_path)]) == 2
    assert "provenance.json: no such file" in capsys.readouterr().err
    (tmp_path / "provenance.json").write_text("{}")
    assert main(["cite", str(tmp_path)]) == 2
    assert "not the provenance of a run" in capsys.readouterr().err
