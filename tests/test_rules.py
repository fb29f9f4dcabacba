"""Rules and profiles as they are read: without any job."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
import yaml
from conftest import ROOT
from running import command, snakemake


@pytest.mark.workflow
def test_a_mistake_in_the_configuration_is_one_sentence(micro: dict, tmp_path: Path) -> None:
    done = snakemake(tmp_path, {**micro, "shrads": 2})
    assert done.returncode != 0
    assert "unknown key 'shrads': did you mean 'shards'" in done.stdout + done.stderr


def test_the_default_profile_leaves_the_cluster_alone() -> None:
    """profiles/default is loaded always and wins key by key: it may not say how jobs are run."""
    default, slurm = (
        yaml.safe_load((ROOT / "profiles" / name / "profile.yaml").read_text())
        for name in ("default", "slurm")
    )
    assert {key for key in default if key in slurm and default[key] != slurm[key]} == set()
    how = {"executor", "jobs", "cores", "retries", "default-resources", "set-resources", "groups"}
    assert not how & set(default)
    assert (ROOT / "slurm" / "profile.yaml").samefile(ROOT / "profiles" / "slurm" / "profile.yaml")


@pytest.mark.workflow
def test_the_rules_are_read_without_torch(micro: dict, tmp_path: Path) -> None:
    """Every job on a cluster reads them twice: seconds and half a gigabyte each time."""
    arguments = command(tmp_path, micro, "--cores", "1", "--dry-run")
    done = subprocess.run(
        [arguments[0], "-X", "importtime", *arguments[1:]],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    imported = set(re.findall(r"\| +(\w+)$", done.stderr, re.M))
    assert "snakemake" in imported
    assert not {"torch", "torchvision", "mmcv", "mmengine", "onnxruntime"} & imported
    # And the plan is the one that a new site is told to compare with.
    stated = (ROOT / "docs" / "cluster.md").read_text().partition("Job stats:")[2].partition("```")
    counts = [set(re.findall(r"^(\w+) +(\d+)$", text, re.M)) for text in (stated[0], done.stdout)]
    assert len(counts[0]) == 5
    assert counts[0] <= counts[1]


def test_what_looks_at_pictures_never_waits_for_a_small_job(root: Path) -> None:
    """Decoded pictures are temporary: whatever a look at them needs is made before any decoding."""
    found = {}
    for path in sorted((root / "rules").glob("*.smk")):
        for name, body in re.findall(
            r"^ *rule (\w+):\n(.*?)(?=^ *(?:rule|use rule|localrules)\b|\Z)",
            path.read_text(), re.M | re.S,
        ):  # fmt: skip
            given = re.search(r"^ +priority: (?:lambda wc: )?(\d+)", body, re.M)
            found[path.stem, name] = int(given[1]) if given else 0
    first = [("datasets", name) for name in ("dataset_shard", "manifest", "annotations")]
    first += [("tasks", name) for name in ("train_task", "task_weights", "bundled_task")]
    looks = {("tasks", "predict"), ("evaluation", "measure"), ("task_figures", "feature_gap_shard")}
    looks |= {("distribution", "patch_features")}
    assert looks == {rule for rule, priority in found.items() if priority == 100}
    coding = max(found["coding", "encode"], found["coding", "decode"])
    assert coding == 5
    assert all(coding < found[rule] < 100 for rule in first)


def test_no_rule_names_a_site() -> None:
    """Partitions and accounts stand in the profile: rules and code run on any cluster."""
    files = [ROOT / "Snakefile", ROOT / "config.yaml", *(ROOT / "configs").glob("*.yaml")]
    files += [*(ROOT / "rules").glob("*.smk"), *(ROOT / "workflow_scripts").glob("*.py")]
    files += (ROOT / "icmbench").rglob("*.py")
    site = re.compile(r"slurm_(partition|account|extra|cluster)|\bqos\b|--(partition|account)\b")
    named = {
        f"{path.relative_to(ROOT)}: {line.strip()}"
        for path in files
        for line in path.read_text().splitlines()
        if site.search(line)
    }
    assert named == set()
