"""Targets that only some configurations have: each is there or states what it needs."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import ROOT
from running import snakemake, succeed

from icmbench.codecs.mpd.model_folder import bundled
from icmbench.config.run import make_run
from icmbench.config.targets import NEEDS, TABLES, absent_targets, paper_items
from icmbench.reporting.catalogue import CATALOGUE
from icmbench.reporting.paper_items import PAPER_ITEMS

# Of a run that codes scenes with JPEG and nothing else.
PLAIN: dict[str, Any] = {
    "datasets": {"scenes": {"test": 2}},
    "codecs": {"jpeg": {"points": [{"quality": 10}]}},
    "metrics": ["psnr_rgb"],
}
MODELS = str(bundled().parent)


def default() -> dict[str, Any]:
    config: dict[str, Any] = yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8"))
    return config


def test_a_plain_run_names_what_every_target_needs() -> None:
    absent = absent_targets(make_run(PLAIN))
    assert sorted(absent) == sorted(NEEDS)
    assert all(text.startswith(f"{name} needs ") for name, text in absent.items())
    for name, word in {
        "ablation": "section ablation",
        "diffusion_pictures": "codec entry of diff-icmh",
        "feature_gap": "mmdet",
        "loss_figures": "section training",
        "clusters_figure": "codec entry of mpd or diff-icmh",
        "paired_table": "anchors and rates",
        "palette_hierarchy": "codec entry of mpd",
        "robustness_table": "robustness.trials",
        "task_pictures": "add one to tasks",
    }.items():
        assert word in absent[name]


def test_the_default_run_has_all_but_the_ablation_fid_and_seeds() -> None:
    absent = absent_targets(make_run(default()))
    assert set(absent) <= {"ablation", "distribution_table", "latent_tasks", "seeds_table"}


def test_given_models_leave_nothing_to_label() -> None:
    """And no section of training is what is missing then."""
    config = {**default(), "models": MODELS, "tasks": {}, "task_pictures": []}
    absent = absent_targets(make_run(config))
    for name in ("taps_figure", "clusters_figure", "pseudo_labels_table", "retrieval"):
        assert f"models: {MODELS} is given: leave models out" in absent[name]
    assert "mpd_framework" not in absent
    assert "diffusion_pictures" not in absent


def test_given_models_leave_tasks_to_train() -> None:
    """On scenes of the training set, as where no codec has a model or none is trained."""
    tasks = {"tasks": {"detector": {"steps": 4}}}
    training = {**default()["training"], **tasks}
    # Coded by codecs that one change takes out.
    sets = {**default()["datasets"], "text": None, "codes": None}
    for change in (
        {"models": MODELS},
        {"codecs": PLAIN["codecs"], "anchors": [], "datasets": sets},
        {"training": {"data": training["data"], **tasks}},
    ):
        run = make_run({**default(), "training": training, **change})
        assert run.training.trained["tasks"] == ("detector",)
        assert list(run.training.data) == ["scenes"]
        assert "loss_figures" not in absent_targets(run)


@pytest.mark.parametrize(
    ("section", "names"),
    [
        ("hierarchy", "mpd_framework mpd_framework_table palette_hierarchy taps_figure"),
        ("diffusion", "diffusion_pictures"),
        ("task_pictures", "task_pictures"),
    ],
)
def test_a_section_that_lists_no_image(section: str, names: str) -> None:
    before = absent_targets(make_run(default()))
    absent = absent_targets(make_run({**default(), section: []}))
    assert sorted(absent.keys() - before.keys()) == names.split()
    assert all(f"the section {section}: list one" in absent[name] for name in names.split())


def test_untrained_features_are_named() -> None:
    config = default()
    del config["training"]["mpd"]
    absent = absent_targets(make_run({**config, "tasks": {}, "task_pictures": []}))
    assert "training.mpd.features.steps" in absent["retrieval"]
    assert "clusters_figure" not in absent


def test_every_target_of_the_docs_is_there_or_states_what_it_needs() -> None:
    """Words behind `snakemake` in the docs that are names of rules."""
    always = {"all", "report", "provenance", "check_results"}
    files = [ROOT / "README.md", ROOT / "config.yaml", *(ROOT / "docs").rglob("*.md")]
    files += [*(ROOT / "rules").glob("*.smk")]
    named = set()
    for path in files:
        for command in re.findall(r"snakemake ([^`\n]*)", path.read_text(encoding="utf-8")):
            words = command.partition("#")[0].split()
            named |= {word for word in words if re.fullmatch("[a-z]+(_[a-z0-9]+)+", word)}
    assert {"figure_mpd_2", "figure_mpd_4", "feature_gap"} <= named
    rules = set(
        re.findall(r"rule (\w+):", "".join(p.read_text() for p in ROOT.glob("rules/*.smk")))
    )
    items = {item.target for item in PAPER_ITEMS}
    assert named & rules <= NEEDS.keys() | always | items
    assert rules >= NEEDS.keys()


def test_tables_are_those_that_the_rules_write() -> None:
    text = "".join(path.read_text(encoding="utf-8") for path in ROOT.glob("rules/*.smk"))
    for name, tables in ((n, t) for n, t in TABLES.items() if t):
        rule = re.split(r"\n *(?:script|input):\n", text.partition(f"rule {name}:")[2])
        outputs = next(part for part in rule if "output:" in part)
        assert sorted(re.findall(r"<results>/tables/(\w+)\.csv", outputs)) == sorted(tables), name


def test_papers_items_are_rules_in_the_words_of_the_docs() -> None:
    """One rule each, whose docstring and whose line in the docs have the item's words."""
    rules = (ROOT / "rules" / "paper.smk").read_text(encoding="utf-8")
    docs = (ROOT / "docs" / "reproducing.md").read_text(encoding="utf-8")
    found = re.findall(r'rule (\w+):\n    """(.*?)"""\n    input:\n        PAPER\["(\w+)"\]', rules)
    assert [name for name, _, _ in found] == [item.target for item in PAPER_ITEMS]
    made = {entry.rule for entry in CATALOGUE}
    for item, (name, text, asked) in zip(PAPER_ITEMS, found, strict=True):
        assert asked == name
        assert text == f"{' and '.join(item.papers)}, {item.item}: {item.text}."
        assert made >= set(item.rules)
        paper = item.papers[0] if len(item.papers) == 1 else "both"
        (line,) = re.findall(rf"^\| `{name}` .*$", docs, re.M)
        assert line.startswith(f"| `{name}` | {paper} | ")
        assert line.endswith(f" | {item.text} |")


def test_papers_items_need_what_their_parts_need() -> None:
    """A whole paper is refused, never made without a part."""

    def lacking(config: dict[str, Any]) -> dict[str, str]:
        return {item.target: text for item, text in paper_items(make_run(config))}

    lacks = lacking(default())
    whole = {"paper_mpd", "paper_diff_icmh"}
    assert {name for name, text in lacks.items() if text} == whole
    assert all(
        lacks[name] == f"{name} needs the section ablation (full, without, bpp)" for name in whole
    )
    config = default()
    plain = {"points": [{"state": 4}], "codec": "mpd"}
    config["codecs"] = {**config["codecs"], "mpd-blur": plain}
    config["ablation"] = {"full": "mpd", "without": {"features": "mpd-blur"}, "bpp": [0.1]}
    assert lacking(config)["paper_mpd"] == ""
    other = lacking(config)["paper_diff_icmh"]
    assert "the ablation of diff-icmh, and ablation.full is mpd" in other
    assert "section visual" in lacking({**config, "visual": []})["paper_mpd"]


@pytest.mark.slow
@pytest.mark.workflow
def test_the_plan_ends_with_what_a_target_needs(tmp_path: Path) -> None:
    """As a rule, and as the file that it would write; what is there is planned."""
    for target in ("figure_mpd_4", "clusters_figure", "results/tables/retrieval.csv"):
        done = snakemake(tmp_path, {**PLAIN, "results": "results"}, "--dry-run", target)
        assert done.returncode != 0
        assert "add one to codecs, and leave models out" in done.stdout + done.stderr
    text = succeed(snakemake(tmp_path, {**default(), "results": "r"}, "--dry-run", "mpd_framework"))
    assert "mpd_framework_table" in text


@pytest.mark.slow
@pytest.mark.workflow
@pytest.mark.parametrize("models", [None, MODELS])
def test_every_target_is_a_rule(models: str | None, tmp_path: Path) -> None:
    """Of its own or one that refuses, never both: Snakemake takes no name twice."""
    config = {**default(), "models": models, "results": "r"}
    succeed(snakemake(tmp_path, config, "--dry-run"))  # with given models, tasks are trained, too
    listed = succeed(snakemake(tmp_path, config, "--list-rules")).split()
    assert listed.count("clusters_figure") == 1
    assert set(listed) >= NEEDS.keys()


def test_an_ablation_loses_the_entries_that_are_removed() -> None:
    """One ingredient each; without the full codec or any other there is none."""
    codecs = {name: {"codec": "mpd", "points": [{"state": 0}]} for name in ("full", "one", "two")}
    codecs["one"]["points"] = [{"state": 0, "rdo": 0}]
    codecs["two"]["points"] = [{"state": 0, "alpha": 0}]
    ablation = {"full": "full", "without": {"RDO": "one", "features": "two"}, "bpp": [0.1]}
    given = {
        "datasets": {"scenes": {"test": 1, "size": 64}},
        "codecs": codecs,
        "ablation": ablation,
    }
    for removed, left in (
        ([], ablation["without"]),
        (["one"], {"features": "two"}),
        (["one", "two"], {}),
        (["full"], {}),
    ):
        run = make_run({**given, "codecs": {**codecs, **dict.fromkeys(removed)}})
        assert run.config["ablation"]["without"] == left
        assert (run.config["ablation"]["full"] is None) == (not left)
