"""The workflow itself, through the command a user types."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from conftest import ROOT, make_picture
from running import command, snakemake, succeed

from icmbench.core.images.image_files import write_png

pytestmark = pytest.mark.workflow


def test_everything_is_there(first_run: Path) -> None:
    results = first_run / "results"
    rd = pd.read_csv(results / "tables" / "rd.csv")
    head = ["dataset", "codec", "family", "images", "failed", "bpp", "bpp_lo", "bpp_hi"]
    assert list(rd.columns[:11]) == [*head, "psnr_rgb", "psnr_rgb_lo", "psnr_rgb_hi"]
    assert len(rd) == 23
    assert (rd["images"] == 6).all()
    assert (rd["failed"] == 0).all()
    lossless = rd[rd["codec"] == "identity"]
    assert np.isinf(lossless["psnr_rgb"]).all()
    assert "lpips" not in rd.columns
    bd = pd.read_csv(results / "tables" / "bd_rate.csv")
    columns = ["dataset", "family", "anchor", "metric", "bd_rate", "lo", "hi", "overlap"]
    assert list(bd.columns[:8]) == columns
    paired = pd.read_csv(results / "tables" / "paired.csv")
    at = paired[(paired["family"] == "webp") & (paired["bpp"] == 0.5)].set_index("metric")
    assert at.loc["psnr_rgb", "difference"] > 0
    assert at.loc["psnr_rgb", "against"] == "jpeg"
    assert paired["task"].notna().any()
    webp = bd[(bd["family"] == "webp") & (bd["metric"] == "psnr_rgb")].iloc[0]
    assert -0.6 < webp["bd_rate"] < 0
    timing = pd.read_csv(results / "tables" / "timing.csv")
    assert list(timing.columns[:7]) == [
        "codec", "device", "images", "encode_s", "encode_s_spread", "decode_s", "decode_s_spread",
    ]  # fmt: skip
    assert (timing["encode_s"] > 0).all()
    jobs = pd.read_csv(results / "tables" / "jobs.csv").set_index("rule")
    assert 0.01 < jobs.loc["measure", "memory_used"] < 1
    assert 0 < jobs.loc["measure", "time_used"] < 1
    assert jobs["hosts"].notna().all()
    assert jobs.loc["encode", "jobs"] == 5
    assert {"train_autoencoder", "train_contexts", "train_reverse", "mpd_states"} <= set(jobs.index)
    assert {"train_vgg", "pseudo_labels", "train_features", "retrieval"} <= set(jobs.index)
    assert {"train_prior", "train_tagger", "train_stage_1", "train_stage_2"} <= set(jobs.index)
    assert {"dataset_shard", "decode", "measure", "rd_tables"} <= set(jobs.index)
    provenance = json.loads((results / "provenance.json").read_text())
    assert provenance["config"]["shards"] == 1
    assert provenance["packages"]["numpy"] == np.__version__
    report = (results / "report.html").read_text()
    for text in ("LPIPS", "alexnet-owt-7be5be79.pth", "no failures", "webp:quality=20"):
        assert text.lower() in report.lower(), text
    assert len(list((results / "figures").glob("*.svg"))) == 35
    damaged = pd.read_csv(results / "tables" / "robustness.csv")
    assert list(damaged.groupby("damage")["trials"].sum()[["bit-flip", "truncate"]]) == [20, 20]
    states = pd.read_csv(results / "tables" / "mpd_states.csv")
    assert list(states["state"]) == 2 * list(range(7, -1, -1))
    labels = pd.read_csv(results / "tables" / "pseudo_labels.csv")
    assert len(labels) == 5 * 3
    assert labels["stability"].notna().sum() == labels["used"].sum() == 5
    retrieved = pd.read_csv(results / "tables" / "retrieval.csv")
    assert retrieved["representation"].iloc[-1] == "features, fft"
    for model in ("mpd", "diff-icmh"):
        assert (results / "models" / model / "card.json").exists()


def test_tasks_look_at_every_string(first_run: Path) -> None:
    """mmdet, mmseg and face-alignment have run; without loss the value is the ceiling."""
    results = first_run / "results"
    tasks = pd.read_csv(results / "tables" / "tasks.csv")
    rd = pd.read_csv(results / "tables" / "rd.csv")
    models = {"detection": "RTMDet-Ins", "segmentation": "Fast-SCNN", "landmarks": "FAN"}
    assert tasks.groupby("task")["model"].unique().map(list).to_dict() == {
        task: [model] for task, model in models.items()
    }
    for _, rows in tasks.groupby(["task", "metric"]):
        assert sorted(rows["codec"]) == sorted(rd["codec"])
        lossless = rows[rows["codec"] == "identity"]
        assert np.array_equal(lossless["value"], lossless["ceiling"], equal_nan=True)
    rates = tasks[tasks["metric"] == "miou"].set_index("codec")["bpp"]
    assert np.allclose(rates.sort_index(), rd.set_index("codec")["bpp"].sort_index())
    miou = tasks[tasks["metric"] == "miou"].set_index("codec")["value"]
    assert miou["jpeg:quality=80"] > miou["jpeg:quality=5"] > 0
    provenance = json.loads((results / "provenance.json").read_text())
    assert provenance["tasks"]["detection"]["operators"] in ("torchvision", "mmcv")


def test_rates_are_file_sizes(first_run: Path) -> None:
    """The RD table's bpp, recomputed from the streams with unzip's own numbers."""
    import zipfile

    results = first_run / "results"
    rd = pd.read_csv(results / "tables" / "rd.csv").set_index("codec")
    with zipfile.ZipFile(results / "streams" / "scenes" / "webp" / "0.zip") as archive:
        sizes: dict[str, list[int]] = {}
        for info in archive.infolist():
            sizes.setdefault(info.filename.split("/")[0], []).append(info.file_size)
    for quality in (0, 20, 50, 80):
        mean = 8 * np.mean(sizes[f"webp-quality{quality}"]) / 176**2
        assert rd.loc[f"webp:quality={quality}", "bpp"] == pytest.approx(mean, rel=1e-5)


def test_an_embedded_codec_codes_once(first_run: Path) -> None:
    """One stream per image; its states are that file, cut: their sizes stand in the stream."""
    import zipfile

    from icmbench.bitstream import container

    results = first_run / "results"
    rd = pd.read_csv(results / "tables" / "rd.csv").set_index("codec")
    with zipfile.ZipFile(results / "streams" / "scenes" / "mpd" / "0.zip") as archive:
        names = archive.namelist()
        streams = [archive.read(name) for name in names if name.startswith("mpd/")]
    assert len(names) == 12  # two encodings: guided by the blurred latent, and by features
    assert len(streams) == 6
    ends = np.array([container.parse(stream).ends for stream in streams])
    for state in (7, 4, 0):
        name = "mpd" if state == 0 else f"mpd:state={state}"
        mean = 8 * ends[:, 7 - state].mean() / 176**2
        assert rd.loc[name, "bpp"] == pytest.approx(mean, rel=1e-5)
    # Decoders read the same file.
    assert rd.loc["mpd:state=4,decoder=mean", "bpp"] == rd.loc["mpd:state=4", "bpp"]


def test_a_second_run_has_nothing_to_do(every_rule: dict, first_run: Path) -> None:
    plan = succeed(snakemake(first_run, every_rule, "--dry-run"))
    reasons = re.findall(r"^(?:local)?rule (\w+):|^ +reason: (.*)", plan, re.M)
    assert not reasons, reasons[:20]
    assert "Nothing to be done" in succeed(snakemake(first_run, every_rule))


def test_pictures_are_temporary(first_run: Path) -> None:
    assert not list((first_run / "results").rglob("reconstructions/**/*.zip"))


def test_shards_give_the_same_bytes(micro: dict, first_run: Path, tmp_path: Path) -> None:
    """Another folder, two shards, codecs in another order: the tables do not differ in a byte."""
    # With the first run's models: that training gives them again is tested in test_training.py,
    # test_diff_icmh_training.py and, all of them, in test_cluster.py. Without tasks and Diff-ICMH,
    # most of a run's time: that their numbers do not depend on shards is tested on stored
    # predictions and in test_diff_icmh.py.
    codecs = {name: micro["codecs"][name] for name in ("mpd", "jpeg")}
    other = {**micro, "shards": 2, "codecs": codecs, "tasks": {}, "diffusion": []}
    other |= {"models": str(first_run / "results" / "models")}
    targets = [f"results/tables/{name}.csv" for name in ("rd", "bd_rate", "failures", "robustness")]
    succeed(snakemake(tmp_path, other, *targets, env={"PYTHONHASHSEED": "7"}))

    def lines(path: Path) -> list[str]:
        return [
            line
            for line in path.read_text(encoding="utf-8").splitlines()
            if not re.search(r"\b(diff-icmh|identity|webp)\b", line)
        ]

    for target in targets:
        assert lines(tmp_path / target) == lines(first_run / target), target
    assert len(lines(first_run / targets[0])) == 1 + 5 + 8


@pytest.fixture(scope="module")
def plugin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The template of docs/new-codec, installed as a user would, into a folder of its own."""
    folder = tmp_path_factory.mktemp("plugin")
    source = tmp_path_factory.mktemp("source") / "new-codec"
    # A copy: building in place would leave files in the repository.
    subprocess.run(["cp", "-r", str(ROOT / "docs" / "new-codec"), str(source)], check=True)
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-build-isolation",
         "--disable-pip-version-check", "--target", str(folder), str(source)],
        check=True,
    )  # fmt: skip
    return folder


def test_failures_are_rows_and_the_rest_is_complete(
    plugin: Path, bad_codecs: Path, tmp_path: Path
) -> None:
    """A plugin codec works; codecs that raise, crash and hang, and a broken image, are rows."""
    pictures = tmp_path / "pictures"
    for index, height in enumerate((40, 41, 50, 43, 44, 45)):
        write_png(pictures / f"i{index}.png", make_picture(height, 48, index))
    (pictures / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n and then nothing")
    bad = ["raises-on-one", "raises-on-all", "hangs", "crashes"]
    config = {
        "datasets": {"mine": {"type": "folder", "path": str(pictures)}},
        "codecs": {
            "jpeg": {"points": [{"quality": [10, 40, 60, 90]}]},
            "halftone": {"points": [{"bits": [1, 2, 4, 8]}]},
            **{name: {"points": [{}]} for name in bad},
        },
        "metrics": ["psnr_rgb", "psnr_y"],
        "anchors": ["jpeg"],
        "limits": {"seconds_per_image": 1},
        "bootstrap": {"resamples": 50, "bd_resamples": 20},
    }
    env = {"PYTHONPATH": f"{plugin}:{bad_codecs}"}
    results = tmp_path / "results"
    for attempt in (1, 2):  # a run without results fails again, in the last job alone
        done = snakemake(tmp_path, config, env=env)
        text = done.stdout + done.stderr
        assert done.returncode == 1, text[-4000:]
        last = (done.stderr if done.stderr.strip() else done.stdout).strip().splitlines()[-1]
        assert last.startswith("icmbench: FAILED (fail_on: empty): "), last
        for name in ("raises-on-all", "hangs"):
            assert f"{name} on mine: no image was coded (" in last
        assert "crashes" not in last
        assert attempt == 1 or re.findall(r"^(?:local)?rule (\w+):", text, re.M) == [
            "check_results"
        ]
    assert not (results / "verdict.json").exists()
    assert (results / "tables" / "jobs.csv").exists()
    text = succeed(snakemake(tmp_path, {**config, "fail_on": "never"}, env=env))
    assert text.strip().splitlines()[-1].startswith("icmbench: incomplete (fail_on: never): ")
    rd = pd.read_csv(results / "tables" / "rd.csv").set_index("codec")
    # i1 fails for two codecs on less than a quarter of the images: nobody is averaged over it.
    assert (rd.loc[["jpeg:quality=10", "halftone:bits=8", "crashes"], "images"] == 5).all()
    assert rd.loc["raises-on-one", "failed"] == 1
    assert rd.loc["crashes", "failed"] == 1
    for name in ("raises-on-all", "hangs"):
        assert rd.loc[name, "failed"] == 6
        assert rd.loc[name, "images"] == 0
        assert np.isnan(rd.loc[name, "bpp"])
    assert rd["bpp"].drop(["raises-on-all", "hangs"]).notna().all()
    failures = pd.read_csv(results / "tables" / "failures.csv", keep_default_na=False)
    refused = failures[failures["status"] == "refused"]
    assert list(refused["first_image"]) == ["broken.png"]
    failures = failures[failures["status"] != "refused"].set_index("codec")
    assert failures.loc["raises-on-one", "first_image"] == "i1.png"
    assert failures.loc["hangs", "status"] == "encode-timeout"
    assert "SIGSEGV" in failures.loc["crashes", "detail"]
    assert set(failures.index) == set(bad)
    report = (results / "report.html").read_text()
    for text in ("planted: this image", "broken.png", "i1.png is left out because of crashes"):
        assert text in report, text
    main = report[report.index("<main") :]
    first = main.index("hangs on mine: no image was coded (")
    assert first < main.index("<h1>")  # nothing of the page stands before it


def test_a_run_with_little_to_show_still_reports(tmp_path: Path) -> None:
    """A data set without a usable image, only the anchor, no PSNR, a rate that nobody meets."""
    write_png(tmp_path / "good" / "i.png", make_picture(40, 48))
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "b.png").write_bytes(b"nothing")
    config = {
        "datasets": {
            "mine": {"type": "folder", "path": str(tmp_path / "good")},
            "ruined": {"type": "folder", "path": str(tmp_path / "bad")},
        },
        "codecs": {"jpeg": {"points": [{"quality": [10, 40]}]}},
        "metrics": ["ssim"],
        "anchors": ["jpeg"],
        "visual": [{"dataset": "mine", "image": "i.png", "bpp": 0.0001}],
    }
    done = snakemake(tmp_path, config)
    assert done.returncode == 1
    assert "data set ruined: no usable image" in done.stderr.strip().splitlines()[-1]
    results = tmp_path / "results"
    rd = pd.read_csv(results / "tables" / "rd.csv")
    assert list(rd["dataset"]) == ["mine", "mine"]
    assert rd["ssim_lo"].isna().all()  # one image has no interval
    failures = pd.read_csv(results / "tables" / "failures.csv")
    assert list(failures["status"]) == ["refused"]
    assert list(failures["first_image"]) == ["b.png"]
    for name in ("rd_ruined", "bd_jpeg_mine", "visual_0", "contact_ruined"):
        assert (results / "figures" / f"{name}.png").stat().st_size > 1000
    assert "b.png" in (results / "report.html").read_text()


def test_a_new_image_reruns_one_shard(tmp_path: Path) -> None:
    pictures = tmp_path / "pictures"
    for index in range(5):
        write_png(pictures / f"i{index}.png", make_picture(40, 48, index))
    config = {
        "datasets": {"mine": {"type": "folder", "path": str(pictures)}},
        "codecs": {"jpeg": {"points": [{"quality": [10, 40]}]}},
        "metrics": ["psnr_rgb"],
        "shards": 3,
    }
    target = "results/tables/rd.csv"
    succeed(snakemake(tmp_path, config, target))
    before = pd.read_csv(tmp_path / target)
    write_png(pictures / "new.png", make_picture(40, 48, 99))
    plan = succeed(snakemake(tmp_path, config, target, "--dry-run"))
    planned = {name: int(n) for name, n in re.findall(r"^(\w+) +(\d+)$", plan, re.M)}
    assert planned["encode"] == planned["decode"] == planned["dataset_shard"] == 1
    succeed(snakemake(tmp_path, config, target))
    after = pd.read_csv(tmp_path / target)
    assert (after["images"] == 6).all()
    assert (before["images"] == 5).all()


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


@pytest.mark.slow
@pytest.mark.parametrize("name", ["config", "configs/scenes", "configs/ablation-diff-icmh"])
def test_the_figure_of_clusters_has_a_plan(name: str, tmp_path: Path) -> None:
    """Where features are trained, where the bundled ones are used, and without MPD."""
    config = yaml.safe_load((ROOT / f"{name}.yaml").read_text())
    text = succeed(snakemake(tmp_path, {**config, "results": "r"}, "--dry-run", "mpd_figure_4"))
    planned = set(re.findall(r"^(\w+) +\d+$", text, re.M))
    assert {"training_pool", "pseudo_labels", "clusters_figure"} <= planned
