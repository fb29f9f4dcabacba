"""docs/adding.md: every example is put where it says, and used."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from conftest import ROOT

from icmbench.core.images.image_files import write_png

GUIDE = (ROOT / "docs" / "adding.md").read_text(encoding="utf-8")
SECTIONS = (
    "Codec as a command", "Codec as a folder", "Codec in Python", "Metric", "Task",
    "Kind of answers", "Data set", "Figure",
)  # fmt: skip
USE = """
import sys
from pathlib import Path
import numpy as np
import yaml
from icmbench.codecs.registry import codec_of
from icmbench.codecs.specs import parse_spec
from icmbench.config.job_code import JobCode
from icmbench.config.plan import Plan
from icmbench.config.run import make_run
from icmbench.core.fingerprint import Code
from icmbench.datasets.registry import make_dataset
from icmbench.jobs.rate_figures import rate_figures
from icmbench.metrics.meter import Meter
from icmbench.reporting import figures
from icmbench.reporting.figures.predicted import Predicted
from icmbench.reporting.figures.task_curves import curve_metrics
from icmbench.reporting.figures.task_pictures import task_pictures
from icmbench.tasks import answers
from icmbench.tasks.base import Labels
from icmbench.tasks.judge import TaskJudge
from icmbench.tasks.registry import make_task

config, folder = yaml.safe_load(sys.argv[1]), Path(sys.argv[2])
run = make_run(config)
assert {"ramps", "scenes"} == {*run.datasets} and "bright" in run.tasks
data = make_dataset("ramps", config["datasets"]["ramps"], folder, folder)
records = data.provide(data.image_ids(), folder)
assert [record.width for record in records] == [64, 128, 192, 256, 320]
image = np.arange(30 * 40 * 3).reshape(30, 40, 3).astype(np.uint8)
mine = codec_of(config["codecs"], "mycodec")()
small, large = (mine.encode(image, quality=quality) for quality in (10, 50))
assert len(small) < len(large) and mine.decode(large).shape == image.shape
assert "codecs.theirs: low: 4 of 5 results on ramps are missing (ramp1, ramp2, ramp3, …): rows " \
    "of status missing" in run.notices
codec = parse_spec("rawzip:level=9").codec()
assert np.array_equal(codec.decode(codec.encode(image, level=9)), image)
other = image.copy()
other[3, 4, 1] ^= 64
assert Meter(["largest_error"])(image, other) == {"largest_error": 64.0}
task = make_task("bright", {"type": "bright"})
task.load(Labels("scenes", {}, ("light", "dark")), "cpu")
assert np.array_equal(task.predict(image, []), np.where(image.mean(axis=2) > 128, 0, 1))
judge = TaskJudge("meter", "level_error", [image, other])
lighter = [image, other // 2 + 20]
error = abs(lighter[1].mean() - other.mean()) / 2
assert judge([image, other]) == 0 and abs(judge(lighter) - error) < 1e-3
assert "level_error" in curve_metrics()
meter = make_task("meter", {})
meter.load(Labels("ramps", {}, ()), "cpu")
seen = [Predicted("original", "", None, image, meter.predict(image, []))]
drawing = task_pictures(seen, Labels("ramps", {}, ()), title="Level", note="")
assert any(f"level {image.mean():.1f}" in one.get_text() for one in drawing.findobj(
    lambda artist: hasattr(artist, "get_text")))

plan = Plan(run)
assert "results/figures/rate_ranges_ramps.png" in plan.files_of("rate_figures", "figure")
assert "Range of rates, ramps" in [one.text.title for one in plan.made("figure")]
((_, drawn),) = plan.drawn_by_set()
drawn = {name: how for name, how in drawn.items() if "ranges" in name}
table = folder / "rd.csv"
table.write_text("dataset,family,codec,bpp\\nramps,webp,webp:quality=9,0.2\\n")
files = [folder / f"rate_ranges_ramps.{kind}" for kind in ("png", "svg", "pdf")]
rate_figures("ramps", drawn=drawn, metrics=[], names={}, rd=table, bd_rate=table, timing=table,
             figures=files)
assert all(file.stat().st_size for file in files)

def code(script):
    jobs = JobCode(run.config, Path(sys.argv[3]), Code())
    return jobs.of_job(script, {"dataset": "ramps"})

before = code("rate_figures"), code("timing_table")
with (Path(figures.__file__).parent / "rate_ranges.py").open("a") as file:
    file.write("EDIT = 1\\n")
assert before[0] != code("rate_figures") and before[1] == code("timing_table")
before = code("task_scores"), code("timing_table")
with (Path(answers.__file__).parent / "level.py").open("a") as file:
    file.write("EDIT = 1\\n")
assert before[0] != code("task_scores") and before[1] == code("timing_table")
print("all work")
"""


def section(name: str) -> str:
    return re.split(r"^## ", GUIDE.split(f"## {name}\n")[1], maxsplit=1, flags=re.M)[0]


def blocks(name: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", section(name), re.S)


@pytest.mark.parametrize("name", SECTIONS)
def test_an_example_is_short(name: str) -> None:
    kinds = ("python", "yaml") if name.startswith("Codec") else ("python",)
    found = [block for kind in kinds for block in blocks(name, kind)]
    answers = name == "Kind of answers"  # three files, of which one holds three classes
    for text in found if answers else ["".join(found)]:
        lines = [line for line in text.splitlines() if line]
        assert 1 < len(lines) <= (40 if answers else 22)  # with the file's name


def test_the_examples_work_where_the_guide_puts_them(tmp_path: Path) -> None:
    package = tmp_path / "copy" / "icmbench"
    shutil.copytree(
        ROOT / "icmbench",
        package,
        copy_function=os.link,
        ignore=shutil.ignore_patterns("__pycache__"),
    )
    config: dict[str, dict[str, object] | list[str]] = {
        "datasets": {"scenes": {"test": 2}},
        "anchors": [],
    }
    my = tmp_path / "my"
    (my / "results" / "high").mkdir(parents=True)
    write_png(my / "results" / "low" / "ramp0.png", np.zeros((48, 64, 3), np.uint8))
    (my / "results" / "low" / "ramp0.bin").write_bytes(b"stream")
    for name in SECTIONS:
        shown = blocks(name, "python")
        entries = [block for block in shown if block.startswith("# an entry of ")]
        for file in shown:
            if file in entries:
                continue
            place = file.splitlines()[0].removeprefix("# ")
            inside = place.startswith("icmbench/")
            path = package.parent / place if inside else my / place
            assert not path.exists()
            path.parent.mkdir(exist_ok=True)
            path.write_text(file, encoding="utf-8")
        for entry in entries:
            table = package / re.findall(r"entry of icmbench/(\S+)", entry)[0]
            first = r"^(?:_ALL|FIGURES).* = \($"
            text, places = re.subn(
                first, lambda found, new=entry: f"{found[0]}\n{new},",
                table.read_text(encoding="utf-8"), flags=re.M,
            )  # fmt: skip
            assert places == 1
            table.unlink()  # a link to the checkout's
            table.write_text(text, encoding="utf-8")
        for text in blocks(name, "yaml"):
            text = text.replace("/my/", f"{my}/").replace("python ", f"{sys.executable} ")
            for key, value in yaml.safe_load(text).items():
                known = config.get(key, {})
                config[key] = {**known, **value} if isinstance(known, dict) and known else value
    (tmp_path / "data").mkdir()
    done = subprocess.run(
        [sys.executable, "-c", USE, yaml.safe_dump(config), str(tmp_path / "data"),
         str(ROOT / "workflow_scripts")],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(package.parent)},
        capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert done.stdout == "all work\n", done.stderr
