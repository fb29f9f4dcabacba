"""The workflow on a real Slurm of one node: the same bytes, and what goes wrong comes right."""

from __future__ import annotations

import csv
import os
import re
import signal
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from conftest import make_picture
from faulty import Faulty, wait_until
from heads import PATIENCE, Head, slurm

from icmbench.core.images.image_files import pixel_sha256, read_image, write_png

pytestmark = [pytest.mark.workflow, pytest.mark.cluster]
# Tables that another run or another plan does not repeat.
TIMES = {"costs", "jobs", "revisions", "timing"}
# What the run on this machine has beside the micro configuration, as its tables name it.
MORE = re.compile("identity|webp|no-sc|detection|segmentation")
MORE_TABLES = {"published", "published_bd_rate"}
# What is compared. Drawing figures on the cluster as well would take as long as half of the rest.
TABLES = (
    "bd_rate", "codecs", "equal_quality", "failures", "mpd_states", "paired", "pseudo_labels",
    "rd", "remarks", "retrieval", "robustness", "task_failures", "task_rates", "tasks",
    "tasks_bd_rate",
)  # fmt: skip
# Rules whose jobs go into one Slurm job each, which takes them one after the other: to start takes
# a Slurm job some ten seconds of a processor, more than most of these need.
GROUPS = {
    "originals": "annotations predict_originals",
    "autoencoder": "training_pool train_autoencoder",
    "palette": "train_contexts train_reverse train_vgg pseudo_labels train_features",
    "diffusion": "train_prior train_tagger train_stage_1 train_stage_2",
    "codec": "encode decode measure predict robustness mpd_states",
    "tables": "mpd_states_table paired_table rd_tables retrieval robustness_table task_scores",
}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Environment in which Slurm's commands speak to a cluster of this module's own."""
    with slurm(tmp_path_factory.mktemp("slurm")) as env:
        yield env


# --- the same bytes -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def micro_head(
    micro: dict, cluster: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Head]:
    """The micro configuration on the cluster, started and not waited for."""
    groups = [f"{rule}={group}" for group, names in GROUPS.items() for rule in names.split()]
    together = ["--groups", *groups, "--group-components", "tables=20", "--cores", "2"]
    together += ["--jobs", "2"]  # the machine's processors; the story's jobs need a place, too
    targets = [f"results/tables/{name}.csv" for name in TABLES]
    head = Head(tmp_path_factory.mktemp("micro"), micro, cluster, *together, *targets)
    yield head
    head.kill()


def streams(folder: Path) -> dict[tuple[str, str], bytes]:
    """Every file that was coded: shard and member -> content."""
    found = {}
    for path in sorted((folder / "results" / "streams").rglob("*.zip")):
        with zipfile.ZipFile(path) as archive:
            for name in archive.namelist():
                found[str(path.relative_to(folder)), name] = archive.read(name)
    return found


def digests(folder: Path) -> dict[tuple[str, str, str], str]:
    """Digest of every decoded picture: file, codec spec, image -> digest."""
    found = {}
    for path in sorted((folder / "results" / "decoded").rglob("*.csv")):
        with open(path, encoding="utf-8", newline="") as handle:
            for row in csv.DictReader(handle):
                found[str(path.relative_to(folder)), row["codec"], row["image"]] = row["digest"]
    return found


def without_more(table: Path) -> str:
    """The table of a run on this machine, as that of the micro configuration alone would be."""
    lines = table.read_text(encoding="utf-8").splitlines(keepends=True)
    return "".join(line for line in lines if not MORE.search(line))


# --- what goes wrong ----------------------------------------------------------------------------


class Story:
    """One small run with everything against it: heads one after the other, in one folder."""

    def __init__(self, folder: Path, cluster: dict[str, str]) -> None:
        self.folder = folder
        self.faulty = Faulty(folder / "faulty")
        self.env = {**cluster, **self.faulty.env}
        self.heads: list[Head] = []
        self.after_kill: list[str] = []  # states of the jobs that the killed head left
        self.refused = ""  # what the next head said
        self.left: list[str] = []  # half outputs of the job that was killed
        self.results = folder / "run" / "results"

    def head(self) -> Head:
        """The same command, once more."""
        more = ("results/decoded/mine/faulty/0.csv", "--set-resources", "decode:gpu=1")
        self.heads.append(Head(self.folder / "run", self.faulty.config, self.env, *more))
        return self.heads[-1]


@pytest.fixture(scope="module")
def story(cluster: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    """Killed while encoding; over the memory and interrupted while decoding; cancelled; done."""
    told = Story(tmp_path_factory.mktemp("story"), cluster)
    try:
        be_killed(told)
        be_interrupted(told)
        be_cancelled(told)
        yield told
    finally:
        for head in told.heads:
            head.kill()


def be_killed(told: Story) -> None:
    """`kill -9`: what it leaves behind, what the next head says, and how to clear it away.

    The job that is left dies as on a node without power: nothing puts its outputs in order.
    """
    told.faulty.hold("encode")
    first = told.head()
    first.wait_for(told.faulty, "encode")
    first.kill()
    told.after_kill = first.alive()
    second = told.head()
    assert second.process.wait(timeout=PATIENCE) != 0
    told.refused = second.text()
    plant_halves(told.results, "encode")
    lose_power(first, dict(first.submitted())["encode"])
    wait_until(lambda: not first.alive(), PATIENCE, first.text)
    first.slurm("scancel", "--name", first.run_id)
    first.slurm(*first.command, "--unlock")
    told.left = sorted(path.name for path in told.results.glob("streams/mine/faulty/*"))


def be_interrupted(told: Story) -> None:
    """Encoding takes more than the job asked for; Ctrl-C comes while decoding."""
    killed = told.heads[0]
    memory = killed.jobs()[dict(killed.submitted())["encode"]]["memory"]
    (told.faulty.flags / "encode.eat").write_text(str(int(1.2 * int(memory.removesuffix("M")))))
    told.faulty.release("encode")
    told.faulty.hold("decode")
    head = told.head()
    head.wait_for(told.faulty, "decode")
    plant_halves(told.results, "decode")
    head.process.send_signal(signal.SIGINT)
    assert head.process.wait(timeout=PATIENCE) != 0
    # The plugin forgets its jobs for as long as it asks after them: be sure.
    head.slurm("scancel", "--name", head.run_id)
    wait_until(lambda: not head.alive(), PATIENCE, head.text)


def be_cancelled(told: Story) -> None:
    """`scancel` of the decoding job; then the run comes to its end."""
    told.faulty.hold("decode")
    head = told.head()
    head.wait_for(told.faulty, "decode")
    head.slurm("scancel", dict(head.submitted())["decode"])
    wait_until(lambda: not head.alive() or len(head.submitted()) > 1, PATIENCE, head.text)
    told.faulty.release("decode")
    head.wait(600)


def lose_power(head: Head, job: str) -> None:
    """Kill every process of a job, none of which sees another of them die.

    Slurm's own `--signal KILL` takes one after the other: Snakemake inside the job may see its
    script end, and then removes the outputs.
    """
    lines = head.slurm("scontrol", "listpids", job).splitlines()[1:]
    processes = [int(line.split()[0]) for line in lines]
    assert len(processes) > 1, lines
    for number in (signal.SIGSTOP, signal.SIGKILL):
        for process in processes:
            os.kill(process, number)


def plant_halves(results: Path, stage: str) -> None:
    """All outputs of a coding job, as one that writes in place and is cut off would leave them."""
    place = "mine/faulty/0"
    names = {
        "encode": (f"streams/{place}.zip", f"streams/{place}.csv"),
        "decode": (f"reconstructions/{place}.zip", f"decoded/{place}.csv"),
    }
    for name in (*names[stage], f"timing/{place}.{stage}.csv"):
        path = results / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"PK\x03\x04" if path.suffix == ".zip" else b"codec,encoding,ima")


def rules(head: Head) -> list[str]:
    return [rule for rule, _ in head.submitted()]


def test_jobs_are_started_by_slurm(micro_head: Head) -> None:
    """And run on while the tests below do."""
    wait_until(micro_head.submitted, PATIENCE, micro_head.text)
    wait_until(lambda: "RUNNING" in micro_head.alive(), PATIENCE, micro_head.text)
    assert {job["partition"] for job in micro_head.jobs().values()} == {"cpu"}


def test_a_killed_head_leaves_its_jobs_and_a_lock(story: Story) -> None:
    killed, *_ = story.heads
    assert rules(killed) == ["dataset_shard", "encode"]
    assert story.after_kill == ["RUNNING"]
    assert "--unlock" in story.refused
    assert "has been submitted" not in story.refused
    assert story.left[1:] == ["0.csv", "0.zip"]
    assert re.fullmatch(
        r"\.0\.[0-9a-f]+-\d+\.part\.zip", story.left[0]
    )  # its own, under another name


def test_a_job_over_its_memory_gets_more(story: Story) -> None:
    _, _, interrupted, _ = story.heads
    assert rules(interrupted) == ["encode", "encode", "decode"]
    first, second = (interrupted.jobs()[job] for _, job in interrupted.submitted()[:2])
    assert first["state"] in ("OUT_OF_MEMORY", "FAILED", "CANCELLED")
    assert second["state"] == "COMPLETED"
    memory = [int(job["memory"].removesuffix("M")) for job in (first, second)]
    assert memory[1] == 2 * memory[0]
    (log,) = (story.folder / "run" / "slurm").rglob(f"{interrupted.submitted()[0][1]}.log")
    assert "exceeded memory limit" in log.read_text()


def test_an_interrupted_head_leaves_no_job_behind(story: Story) -> None:
    _, _, interrupted, _ = story.heads
    assert interrupted.jobs()[interrupted.submitted()[-1][1]]["state"] == "CANCELLED"
    assert not interrupted.alive()


def test_then_only_what_is_missing_is_done(story: Story) -> None:
    """A cancelled job is submitted again; half-written outputs never counted as done."""
    last = story.heads[-1]
    assert rules(last) == ["decode", "decode"]
    states = [last.jobs()[job]["state"] for _, job in last.submitted()]
    assert states == ["CANCELLED", "COMPLETED"]
    pictures = sorted(story.faulty.pictures.iterdir())
    expected = {path.name: pixel_sha256(read_image(path)[0])[:16] for path in pictures}
    with open(
        story.results / "decoded" / "mine" / "faulty" / "0.csv", encoding="utf-8", newline=""
    ) as handle:
        rows = list(csv.DictReader(handle))
    assert {row["image"]: row["digest"] for row in rows} == expected
    assert {row["status"] for row in rows} == {"ok"}


def test_a_job_that_asks_for_a_gpu_has_one(story: Story) -> None:
    assert (story.faulty.flags / "encode.gpus").read_text() == "none"
    assert (story.faulty.flags / "decode.gpus").read_text() in ("0", "1")
    for head in (story.heads[0], story.heads[-1]):
        for rule, job in head.submitted():
            assert head.jobs()[job]["partition"] == ("gpu" if rule == "decode" else "cpu")


# --- a codec that gives nothing -----------------------------------------------------------------


@pytest.fixture(scope="module")
def empty_heads(
    cluster: dict[str, str], bad_codecs: Path, tmp_path_factory: pytest.TempPathFactory
) -> list[Head]:
    """Two ended runs of one command: one of the two codecs codes no image."""
    folder = tmp_path_factory.mktemp("empty")
    for index, height in enumerate((40, 41)):
        write_png(folder / "pictures" / f"i{index}.png", make_picture(height, 48, index))
    config = {
        "datasets": {"mine": {"type": "folder", "path": str(folder / "pictures")}},
        "codecs": {
            "jpeg": {"points": [{"quality": [10, 90]}]},
            "raises-on-all": {"points": [{}]},
        },
        "metrics": ["psnr_rgb"],
        "bootstrap": {"resamples": 20},
        "device": "cpu",
    }
    together = {
        "codec": "dataset_shard encode decode measure",
        "tables": "contact_sheet rate_figures rd_tables timing_table",
    }
    groups = [f"{rule}={group}" for group, names in together.items() for rule in names.split()]
    more = ["--groups", *groups, "--group-components", "codec=9", "tables=9", "--cores", "2"]
    env = {**cluster, "PYTHONPATH": str(bad_codecs)}
    heads = []
    for _ in range(2):
        heads.append(Head(folder / "run", config, env, *more))
        heads[-1].process.wait(timeout=PATIENCE)
    return heads


@pytest.mark.slow
def test_a_codec_without_results_fails_the_finished_run(empty_heads: list[Head]) -> None:
    """The verdict is the last line; everything else is made, and the report states it first."""
    first, _ = empty_heads
    results = first.log.parent / "results"
    assert first.process.returncode == 1, first.text()[-6000:]
    last = first.text().strip().splitlines()[-1]
    found = "raises-on-all on mine: no image was coded ("
    assert last.startswith(f"icmbench: FAILED (fail_on: empty): {found}"), last
    assert not (results / "verdict.json").exists()
    assert {job["state"] for job in first.jobs().values()} == {"COMPLETED"}
    page = (results / "report.html").read_text(encoding="utf-8")
    assert page.index('class="alert"') < page.index(found) < page.index("<h1>")
    rd = pd.read_csv(results / "tables" / "rd.csv").set_index("family")
    assert list(rd.loc["jpeg", "failed"]) == [0, 0]
    assert rd.loc["raises-on-all", "failed"] == 2
    for name in ("tables/jobs.csv", "provenance.json", "figures/rd_mine.pdf"):
        assert (results / name).is_file()


@pytest.mark.slow
def test_a_second_start_fails_in_the_last_job_alone(empty_heads: list[Head]) -> None:
    first, second = empty_heads
    assert second.process.returncode == 1, second.text()[-6000:]
    assert rules(second) == []
    assert re.findall(r"^ *(?:local)?rule (\w+):", second.text(), re.M) == ["check_results"]
    assert second.text().strip().splitlines()[-1] == first.text().strip().splitlines()[-1]


# --- the whole chain ----------------------------------------------------------------------------


def test_every_stage_runs_on_the_cluster(micro_head: Head) -> None:
    """And comes to its end before the run on this machine starts, which needs all processors."""
    micro_head.wait(3000)
    assert {name.split("_")[0] for name in rules(micro_head)} >= set(GROUPS)
    local = set(re.findall(r"^ *localrule (\w+):", micro_head.text(), re.M))
    assert not local & {rule for names in GROUPS.values() for rule in names.split()}
    assert {job["state"] for job in micro_head.jobs().values()} == {"COMPLETED"}


def test_as_on_this_machine(micro_head: Head, first_run: Path) -> None:
    """The micro configuration: streams, decoded pictures and tables do not differ in a byte."""
    there = micro_head.log.parent
    for found in (streams, digests):
        here = {key: value for key, value in found(first_run).items() if not MORE.search(str(key))}
        assert found(there) == here
    assert (len(streams(there)), len(digests(there))) == (54, 102)
    tables = {path.stem for path in (first_run / "results" / "tables").glob("*.csv")}
    assert tables - TIMES - MORE_TABLES == set(TABLES)
    for name in TABLES:
        table = Path("results") / "tables" / f"{name}.csv"
        assert (there / table).read_text() == without_more(first_run / table), name
