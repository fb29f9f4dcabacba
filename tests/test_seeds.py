"""Seeds of stochastic decoders: reconstructions, means of tables, spreads, planning."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from conftest import ROOT, make_picture
from running import snakemake, succeed
from test_coding import run_jobs
from test_task_tables import IMAGES, SETTINGS, TASK, measured, points, predicted, truth
from tiny_icmh import tiny_icmh_models
from tiny_model import tiny_models

from icmbench.codecs.diff_icmh.codec import DiffIcmh
from icmbench.codecs.mpd.codec import Mpd
from icmbench.codecs.specs import parse_spec
from icmbench.config.plan import Plan
from icmbench.config.run import make_run
from icmbench.config.targets import absent_targets
from icmbench.core.errors import ConfigError
from icmbench.core.images.image_files import write_png
from icmbench.core.typed_csv import read_table
from icmbench.datasets.records import Record
from icmbench.evaluation import archive
from icmbench.evaluation.shard import make_codec_entry
from icmbench.reporting.statistics.comparison import Point, grids
from icmbench.reporting.statistics.seeds import seed_groups, split_seed
from icmbench.reporting.tables.bd_rate import bd_rate_table
from icmbench.reporting.tables.csv_files import write_csv
from icmbench.reporting.tables.failures import failures_table
from icmbench.reporting.tables.rd import rd_table
from icmbench.reporting.tables.seeds import seeds_table
from icmbench.reporting.tables.tasks import score_task
from icmbench.tasks import store

METRICS = {"psnr": True}
NOISE = (-0.3, 0.1, 0.5)  # by seed


def test_groups_of_specs() -> None:
    assert split_seed("mpd") == ("mpd", 0)
    assert split_seed("mpd:seed=3") == ("mpd", 3)
    assert split_seed("x:a=1,seed=12,b=seedy") == ("x:a=1,b=seedy", 12)
    specs = ["x:a=1,seed=10", "x:a=1,seed=9", "x:a=2", "x:a=1", "x:seedling=1"]
    assert seed_groups(specs) == {
        "x:a=1": ("x:a=1", "x:a=1,seed=9", "x:a=1,seed=10"),
        "x:a=2": ("x:a=2",),
        "x:seedling=1": ("x:seedling=1",),
    }
    assert seed_groups(["x:seed=4", "x:seed=2"]) == {"x:seed=2": ("x:seed=2", "x:seed=4")}


def test_another_seed_is_another_reconstruction_of_the_same_file() -> None:
    image = make_picture(48, 64, 1)
    mpd = Mpd(models=tiny_models())
    icmh = DiffIcmh(models=tiny_icmh_models())
    for codec, keys in (
        (mpd, {"decoder": "diffusion"}),
        (icmh, {"sampler": "ddim", "steps": 2}),
        (icmh, {"sampler": "ddpm-spaced", "steps": 3}),
    ):
        stream = codec.encode(image)
        stream = codec.truncate(stream, state=3) if codec is mpd else stream
        plain = codec.decode(stream, **keys)
        assert np.array_equal(plain, codec.decode(stream, seed=0, **keys))
        first, second = (codec.decode(stream, seed=seed, **keys) for seed in (1, 2))
        assert np.array_equal(first, codec.decode(stream, seed=1, **keys))
        assert len({one.tobytes() for one in (plain, first, second)}) == 3


@pytest.mark.parametrize(
    "spec", ["mpd:decoder=mean,seed=1", "mpd:seed=2", "diff-icmh:sampler=none,seed=1"]
)
def test_a_seed_without_noise_is_refused(spec: str) -> None:
    with pytest.raises(ConfigError, match="seed has no effect"):
        parse_spec(spec)
    assert parse_spec(re.sub("seed=.", "seed=0", spec))  # the default
    with pytest.raises(ConfigError, match="unknown key of codec jpeg 'seed'"):
        parse_spec("jpeg:quality=3,seed=1")


# Tables.


def frame(seeds: bool, failed: tuple[str, str] = ("", "")) -> pd.DataFrame:
    """Two codec entries of three points on five images; those of `noisy` with three seeds."""
    rows = []
    for family, factor in (("noisy", 1.0), ("plain", 1.3)):
        for point in range(3):
            for seed in range(3 if family == "noisy" and seeds else 1):
                codec = f"{family}:q={point}" + (f",seed={seed}" if seed else "")
                for number in range(5):
                    size = round(1000 * factor * 2**point * (1 + number / 9))
                    psnr = 28 + 3 * point + number + (seeds and family == "noisy") * NOISE[seed]
                    key = {"dataset": "d", "image": f"i{number}", "family": family}
                    good = (codec, f"i{number}") != failed
                    row = {**key, "codec": codec, "bytes": size, "width": 100, "height": 100}
                    row |= {"bpp": 8 * size / 1e4, "psnr": psnr if good else np.nan}
                    rows.append({**row, "status": "ok" if good else "decode-failed", "detail": ""})
    return pd.DataFrame(rows).sample(frac=1, random_state=1)


def test_tables_are_of_the_mean_over_seeds() -> None:
    """As if each image had been measured once, with the mean of its values."""
    noisy, plain = frame(seeds=True), frame(seeds=False)
    mean = plain["family"].eq("noisy") * np.mean(NOISE)
    expected = plain.assign(psnr=plain["psnr"] + mean)
    options = {"resamples": 50, "seed": 1}
    pd.testing.assert_frame_equal(
        rd_table(noisy, METRICS, **options), rd_table(expected, METRICS, **options)
    )
    bd_rates = [
        bd_rate_table(rows, METRICS, ["plain"], **options) for rows in (noisy, expected, plain)
    ]
    pd.testing.assert_frame_equal(*bd_rates[:2])
    assert bd_rates[0]["bd_rate"][0] != pytest.approx(bd_rates[2]["bd_rate"][0])
    (grid,) = grids(noisy, METRICS)
    assert [point.codec for point in grid.points][:3] == ["noisy:q=0", "noisy:q=1", "noisy:q=2"]
    assert grid.specs(Point("noisy", "noisy:q=1"))[2] == "noisy:q=1,seed=2"
    assert grid.specs(Point("plain", "plain:q=1")) == ("plain:q=1",)


def test_without_seeds_nothing_is_averaged() -> None:
    (grid,) = grids(frame(seeds=False), METRICS)
    assert grid.seeds == {}
    assert seeds_table(frame(seeds=False), list(METRICS), max_failed=0.25).empty


def test_spread_over_seeds_by_hand() -> None:
    table = seeds_table(frame(seeds=True), ["psnr"], max_failed=0.25)
    assert list(table["codec"]) == ["noisy:q=0", "noisy:q=1", "noisy:q=2"]
    row = table.iloc[1]
    assert (row["seeds"], row["images"], row["metric"]) == ("0 1 2", 5, "psnr")
    values = 28 + 3 + 2 + np.array(NOISE)
    assert row["mean"] == pytest.approx(values.mean())
    assert row["deviation"] == pytest.approx(np.sqrt(((values - values.mean()) ** 2).sum() / 2))
    assert (row["least"], row["most"]) == pytest.approx((values[0], values[2]))


def test_the_table_is_read_back_as_the_report_does(tmp_path: Path) -> None:
    table = seeds_table(frame(seeds=True), ["psnr"], max_failed=0.25)
    write_csv(table, tmp_path / "seeds.csv")
    found = read_table(tmp_path / "seeds.csv")
    assert list(found["seeds"]) == ["0 1 2"] * 3
    assert found["deviation"].to_numpy() == pytest.approx(table["deviation"].to_numpy(), rel=1e-5)


def test_an_image_that_one_seed_lacks_is_compared_for_none() -> None:
    rows = frame(seeds=True, failed=("noisy:q=1,seed=2", "i4"))
    rd = rd_table(rows, METRICS, resamples=50, seed=1).set_index("codec")
    assert set(rd["images"]) == {4}
    assert rd.loc["noisy:q=1", "failed"] == 1
    assert rd.loc["noisy:q=0", "failed"] == 0
    table = seeds_table(rows, ["psnr"], max_failed=0.25).set_index("codec")
    assert table.loc["noisy:q=1", "mean"] == pytest.approx(rd.loc["noisy:q=1", "psnr"])
    assert set(table["images"]) == {4}
    (failure,) = failures_table(rows).to_dict("records")
    assert (failure["codec"], failure["images"]) == ("noisy:q=1,seed=2", 1)


def test_scores_of_tasks_are_means_over_seeds(tmp_path: Path) -> None:
    """The second seed of one point is twice as far away; its score counts half."""
    spec, rows = "jpeg:quality=30", measured()
    more = rows[rows["codec"] == spec].assign(codec=f"{spec},seed=1")
    found = predicted(tmp_path, shards=1)
    seed = tmp_path / "second.zip"
    with store.writer(seed) as out:
        for number, image in enumerate(IMAGES):
            shift = np.array([4.0 * (0.5 + number / 7), 0.0])
            out.add(f"{spec},seed=1", image, (points(number) + shift)[None])
    found["full"].append(seed)
    scores, *_ = score_task(TASK, pd.concat([rows, more]), truth(), found, SETTINGS)
    before, *_ = score_task(TASK, rows, truth(), predicted(tmp_path, shards=1), SETTINGS)
    nme, alone = (t[t["metric"] == "nme"].set_index("codec") for t in (scores, before))
    assert f"{spec},seed=1" not in nme.index
    value = alone.loc[spec, "value"]
    assert nme.loc[spec, "value"] == pytest.approx(1.5 * value, rel=1e-4)
    deviation = re.search(r"mean of 2 seeds, deviation ([\d.]+)", nme.loc[spec, "note"])
    assert deviation is not None
    assert float(deviation[1]) == pytest.approx(value / 2**0.5, rel=5e-3)
    other = "jpeg:quality=10"
    assert nme.loc[other, "value"] == alone.loc[other, "value"]
    assert nme.loc[other, "note"] == alone.loc[other, "note"]


# A run.


@pytest.mark.slow
def test_seeds_are_decoded_from_one_file(tmp_path: Path) -> None:
    image = make_picture(48, 64, 1)
    (tmp_path / "images").mkdir()
    write_png(tmp_path / "images" / "a.png", image)
    entry = make_codec_entry(
        "mpd",
        {
            "entry": {"points": [{"state": 2, "decoder": "diffusion", "seed": [0, 1, 2]}]},
            "device": "cpu", "threads": 1, "models": str(tiny_models()),
            "limits": {"seconds_per_image": 60},
        },
    )  # fmt: skip
    shard = [Record("a", "a.png", "", 64, 48)], tmp_path / "images"
    rows = run_jobs(entry, shard, tmp_path)
    with archive.reader(tmp_path / "s.zip") as streams:
        assert streams.namelist() == ["mpd/a.icb"]
    assert set(rows["status"]) == {"ok"}
    assert rows["bytes"].nunique() == 1
    assert rows["digest"].nunique() == rows["psnr_rgb"].nunique() == 3
    rd = rd_table(rows, ["psnr_rgb"], resamples=20, seed=1)
    (row,) = rd.to_dict("records")
    assert row["codec"] == "mpd:state=2,decoder=diffusion"
    assert row["psnr_rgb"] == pytest.approx(rows["psnr_rgb"].mean())


def config(**keys: object) -> dict:
    point = {"rate": [1, 2], "sampler": "ddim", "steps": 8, **keys}
    return {
        "datasets": {"scenes": {"test": 2}},
        "codecs": {"diff-icmh": {"points": [point]}, "jpeg": {"points": [{"quality": 5}]}},
        "metrics": ["psnr_rgb"],
        "results": "results",
        "shards": 2,
    }


def test_several_seeds_add_a_table() -> None:
    plain, plan = (Plan(make_run(one)) for one in (config(), config(seed=[0, 1, 2])))
    assert {one.path for one in plan.made()} - {one.path for one in plain.made()} == {
        "tables/seeds.csv"
    }
    jobs = [one.benchmarks() for one in (plan, plain)]
    assert {rule for rule in jobs[0] if jobs[0][rule] != jobs[1].get(rule)} == {"seeds_table"}
    jobs = [one.benchmarks() for one in (plan, plain)]
    assert {rule for rule in jobs[0] if jobs[0][rule] != jobs[1].get(rule)} == {"seeds_table"}
    assert "seed: [0, 1, 2]" in absent_targets(plain.run)["seeds_table"]
    assert "seeds_table" not in absent_targets(plan.run)
    assert Plan(make_run(config(seed=4))).with_seeds == []


@pytest.mark.workflow
def test_one_decoding_job_per_shard_for_all_seeds(tmp_path: Path) -> None:
    text = succeed(snakemake(tmp_path, config(seed=[0, 1, 2]), "--dry-run"))
    jobs = {rule: int(count) for rule, count in re.findall(r"^(\w+) +(\d+)$", text, re.M)}
    assert jobs["seeds_table"] == 1
    assert jobs["encode"] == jobs["decode"] == jobs["measure"] == 4  # two codecs, two shards


def test_no_shipped_run_of_small_models_has_seeds() -> None:
    """Results stand for one seed, but in the configurations of the papers."""
    for path in [ROOT / "config.yaml", *(ROOT / "configs").glob("*.yaml")]:
        if not path.name.startswith(("paper-", "published-", "rehearsal-")):
            assert "seed: [" not in yaml.safe_dump(
                yaml.safe_load(path.read_text(encoding="utf-8")).get("codecs", {}),
                default_flow_style=None,
            )
