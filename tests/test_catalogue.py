"""The catalogue of artefacts and the plan of a run."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import ROOT

from icmbench.config.plan import Plan
from icmbench.config.run import make_run
from icmbench.reporting.artefacts import CONDITIONS, Artefact, Scope, benchmarks, made
from icmbench.reporting.catalogue import CATALOGUE


def plan_of(**changes: Any) -> Plan:
    config = yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8"))
    return Plan(make_run({**config, **changes}))


@pytest.fixture(scope="module")
def default() -> Plan:
    return plan_of()


def plain(**changes: Any) -> Plan:
    """A run of JPEG alone."""
    config = {
        "datasets": {"scenes": {"test": 2}, "photos": {}},
        "codecs": {
            "jpeg": {"points": [{"quality": [10, 50]}]},
            "again": {"codec": "jpeg", "points": [{"quality": [50, 90]}]},
        },
        "metrics": ["psnr_rgb"],
    }
    return Plan(make_run({**config, **changes}))


def test_axes_and_conditions_of_entries_are_known(default: Plan) -> None:
    for entry in CATALOGUE:
        assert {*entry.over} <= {*default.scope.axes}, entry.name
        assert {entry.when, entry.in_run or ""} <= {"", *CONDITIONS}, entry.name
    assert default.scope.conditions <= {*CONDITIONS}


def test_no_path_is_there_twice(default: Plan) -> None:
    found = Counter(one.path for one in default.made(on_demand=True))
    variants = "models/diff-icmh/codec.safetensors"
    assert {path for path, count in found.items() if count > 1} <= {variants}


def test_files_follow_from_the_wildcards_of_an_entry() -> None:
    entry = Artefact(
        "bd_{anchor}_{dataset}", "figure", "draw", "{dataset} against {anchor}",
        over=("anchor", "dataset"), job=("dataset",), when="paired",
    )  # fmt: skip
    axes = {
        "anchor": [{"anchor": "my"}, {"anchor": "my_jpeg"}],
        "dataset": [{"dataset": "jpeg_a"}, {"dataset": "a"}],
    }
    scope = Scope(axes, frozenset({"paired"}))
    found = made([entry], scope)
    assert [one.text.title for one in found] == [
        "jpeg_a against my", "a against my", "jpeg_a against my_jpeg", "a against my_jpeg",
    ]  # fmt: skip
    assert found[0].files == [f"figures/bd_my_jpeg_a.{kind}" for kind in ("png", "svg", "pdf")]
    assert benchmarks([entry], scope) == {"draw": ["jpeg_a", "a"]}
    assert not made([entry], Scope(axes, frozenset()))


def test_a_plain_run_has_no_more_than_its_sections(default: Plan) -> None:
    plan = plain()
    assert [one.name for one in plan.made("table")] == [
        "rd", "bd_rate", "timing", "costs", "jobs", "codecs", "revisions", "failures", "remarks",
    ]  # fmt: skip
    names = [
        f"{kind}_{data}" for kind in ("rd", "rate_time", "contact") for data in plan.run.datasets
    ]
    assert [one.name for one in plan.made("figure")] == names
    assert {one.name for one in default.made("table")} > {one.name for one in plan.made("table")}


def test_artefacts_on_demand_are_no_part_of_a_run(default: Plan) -> None:
    run = {one.entry.rule for one in default.made()}
    assert {"complexity_table", "diffusion_pictures", "task_pictures"}.isdisjoint(run)
    assert default.files_of("complexity_table", "figure")
    assert "complexity_table" not in default.benchmarks()
    # Clusters are part of a run that trains features, and on demand of one that does not.
    training = dict(default.run.config["training"])
    untrained = plan_of(training={**training, "mpd": {}})
    names = {
        name for plan in (default, untrained) for name in plan.files_of("clusters_figure", "figure")
    }
    assert "results/figures/clusters.png" in names
    assert "clusters" in {one.name for one in default.made("figure")}
    assert "clusters" not in {one.name for one in untrained.made("figure")}
    assert "results/figures/clusters.png" in untrained.files_of("clusters_figure", "figure")


def test_rules_of_the_catalogue_are_rules(default: Plan) -> None:
    text = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "rules").glob("*.smk"))
    rules = set(re.findall(r"^ *(?:use )?rule (\w+)", text, re.M))
    assert {entry.rule for entry in CATALOGUE} <= rules


def test_the_catalogue_imports_no_model() -> None:
    code = (
        "import sys, icmbench.reporting.catalogue\n"
        "print(*sorted(m for m in sys.modules if m.startswith('icmbench')), 'numpy' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [
        "icmbench", "icmbench.reporting", "icmbench.reporting.artefacts",
        "icmbench.reporting.catalogue", "False",
    ]  # fmt: skip


def test_points_of_an_earlier_entry_are_shared() -> None:
    plan = plain()
    assert plan.shared("photos") == {"again": {"jpeg": ["jpeg:quality=50"]}}
    point = next(p for p in plan.run.codecs["again"].points if p.spec == "jpeg:quality=50")
    assert plan.shared_encodings("photos", "again") == {"jpeg": [point.encoding]}
    assert plan.shared_encodings("photos", "jpeg") == {}


def test_shards_hold_every_image_once() -> None:
    plan = plain(shards=3)
    parts = plan.shard_images("photos")
    assert len(parts) == 3
    images = plan.run.datasets["photos"].image_ids()
    assert sorted(image for part in parts for image in part) == sorted(images)
    assert all(image in parts[plan.shard_of(image)] for image in images)
    counts = [plan.fingerprint("photos", shard)[0] for shard in plan.shards]
    assert counts == [len(part) for part in parts]
    item = {"dataset": "photos", "image": images[0]}
    files = plan.image_files(
        [item, item], {"a": "{dataset}/{shard}", "b": "{codec}"}, ["again", "jpeg"]
    )
    assert files == {"a": [f"photos/{plan.shard_of(images[0])}"], "b": ["again", "jpeg"]}


def test_model_files_are_those_of_the_entries(default: Plan, tmp_path: Path) -> None:
    assert default.model_files("jpeg") == []
    assert default.model_files() == []
    files = default.model_files(default.mpd[0])
    assert "results/models/mpd/contexts.safetensors" in files
    assert not any("diff-icmh" in file for file in files)
    both = default.model_files(default.mpd[0], default.diff_icmh[0])
    assert {*files} < {*both}
    assert "results/models/diff-icmh/tagger.safetensors" in both


def test_the_losses_are_those_of_trained_networks(default: Plan) -> None:
    trained = default.run.training.trained
    names = {part.partition("-")[0] for part in default.losses}
    assert names <= {part for parts in trained.values() for part in parts}
    assert {*trained["mpd"]} - {"contexts"} <= names
    assert plain().losses == []


def documents() -> Any:
    spec = importlib.util.spec_from_file_location("docs", ROOT / "tools" / "catalogue_docs.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_list_of_results_is_current() -> None:
    """Else: make docs."""
    page = (ROOT / "results" / "README.md").read_text(encoding="utf-8")
    assert page == documents().results_page()


@pytest.mark.workflow
def test_the_graph_of_rules_is_current() -> None:
    """Else: make docs."""
    page = (ROOT / "docs" / "rules.md").read_text(encoding="utf-8")
    assert page == documents().rules_page()


def test_arrows_that_follow_from_others_are_left_out() -> None:
    text = "id0[a]\nid1[b]\nid2[c]\nid0 --> id1\nid1 --> id2\nid0 --> id2\n"
    assert documents().rule_graph(text) == [("a", "b"), ("b", "c")]
