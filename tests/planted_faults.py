"""Faults of all layers, planted one by one, that the named file of quick tests must catch.

    python tests/planted_faults.py [NUMBER...]

Each fault is an edit of a copy of the checkout. The table on standard output has a line per fault;
the exit status is the number of faults that were missed or could not be planted.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Fault:
    """An edit that makes the program wrong.

    Attributes:
        file: path in the checkout.
        old, new: text that stands there once, and the text instead of it.
        tests: arguments of pytest: a file, and maybe `-k`.
        meaning: the wrong behaviour.
    """

    file: str
    old: str
    new: str
    tests: str
    meaning: str


FAULTS = (
    Fault(
        "icmbench/evaluation/codec_process.py",
        "                os.killpg(self._process.pid, signal.SIGKILL)", "                pass",
        "tests/test_command_codecs.py -k time_limit", "programs go on after the time limit",
    ),
    Fault(
        "icmbench/codecs/external/size_header.py",
        "bytes([width % 2 | height % 2 << 1])", "bytes([height % 2 | width % 2 << 1])",
        "tests/test_command_codecs.py -k planar", "an odd width is taken for an odd height",
    ),
    Fault(
        "icmbench/codecs/external/planes.py",
        "down = _offsets(chroma)\n    height, width = plane.shape\n    box",
        "down = _offsets('center')\n    height, width = plane.shape\n    box",
        "tests/test_planes.py", "chroma is subsampled at the centre, whatever is stated",
    ),
    Fault(
        "icmbench/codecs/external/planes.py", '"bt709": (0.2126, 0.0722)',
        '"bt709": (0.299, 0.114)', "tests/test_planes.py", "BT.709 is coded with BT.601's weights",
    ),
    Fault(
        "icmbench/evaluation/decode.py", "        if not point.codec.foreign:  # else the file is",
        "        if True:  # else the file is", "tests/test_folder_codecs.py",
        "the rate of a folder's result is the size of its picture",
    ),
    Fault(
        "icmbench/config/models.py", '"state": codec.state()', '"state": ""',
        "tests/test_command_codecs.py -k own_entry", "a new version of a program reruns nothing",
    ),
    Fault(
        "icmbench/core/typed_csv.py", "keep_default_na=False", "keep_default_na=True",
        "tests/test_read_tables.py", "the data set NA becomes a missing value",
    ),
    Fault(
        "icmbench/core/files.py", "            temporary.unlink(missing_ok=True)",
        "            pass",
        "tests/test_temporary_files.py", "a failed write leaves its temporary file",
    ),
    Fault(
        "icmbench/core/images/transparency.py", 'layered.size, "white")', 'layered.size, "black")',
        "tests/test_images.py", "transparent pixels become black",
    ),
    Fault(
        "icmbench/core/sources.py",
        "isinstance(node.value.value, str):\n            return None",
        "isinstance(node.value.value, str):\n            return node",
        "tests/test_fingerprint.py", "a docstring changes the fingerprint of code",
    ),
    Fault(
        "icmbench/scenes/annotations.py", "if inside else [0, 0, 0]", "if inside else [x, y, 2]",
        "tests/test_scenes.py -k keypoints", "face points outside of the frame count as visible",
    ),
    Fault(
        "icmbench/bitstream/container.py", "check = crc16(length + payload, check)\n        data",
        "check = crc16(length + payload)\n        data",
        "tests/test_container.py", "checksums of sections are not chained",
    ),
    Fault(
        "icmbench/bitstream/arithmetic.py",
        "value = ((low + (np.int64(1) << free) - 1) >> free) << free",
        "value = (low >> free) << free",
        "tests/test_arithmetic.py", "the coder's last bytes lie below its interval",
    ),
    Fault(
        "icmbench/bitstream/folding.py", 'mode="edge"', 'mode="constant"',
        "tests/test_folding.py", "the last strip of a folded image is black",
    ),
    Fault(
        "icmbench/sources/checks.py", "if not digest.startswith(text):", "if not digest:",
        "tests/test_download.py", "checksums of downloads are not compared",
    ),
    Fault(
        "icmbench/sources/unpack.py", 'or ".." in place.parts ', "",
        "tests/test_source_lists.py", "a member of an archive is written outside of its folder",
    ),
    Fault(
        "icmbench/sources/fetch.py", "else first or file.sha256", "else file.sha256",
        "tests/test_sources.py", "the checksum of the first download is not compared",
    ),
    Fault(
        "icmbench/sources/fetch.py", "if offline and missing:", "if offline and not missing:",
        "tests/test_sources.py", "a file is fetched although offline is set",
    ),
    Fault(
        "icmbench/sources/transfers.py", "    for url in file.urls:",
        "    for url in reversed(file.urls):",
        "tests/test_sources.py", "mirrors are asked in another order",
    ),
    Fault(
        "icmbench/config/training_data.py", 'if split != "train":', "if not split:",
        "tests/test_source_sets.py", "the val of COCO is trained on",
    ),
    Fault(
        "icmbench/datasets/coco_format.py", "_LONGEST_SIDE: Final = 100_000",
        "_LONGEST_SIDE: Final = 100_000_000_000",
        "tests/test_foreign_annotations.py", "an image of any size is believed",
    ),
    Fault(
        "icmbench/metrics/pixel.py", "difference.size, peak=255)", "difference.size, peak=256)",
        "tests/test_metrics.py", "PSNR counts from a peak of 256",
    ),
    Fault(
        "icmbench/codecs/conventional/jpeg.py", '"subsampling": "4:2:0"', '"subsampling": "4:4:4"',
        "tests/test_codecs.py -k jpeg_is", "JPEG keeps all chroma samples",
    ),
    Fault(
        "icmbench/codecs/conventional/mozjpeg.py", ', "-sample", "2x2,1x1,1x1"]', "]",
        "tests/test_anchors.py -k jpeg", "MozJPEG keeps all chroma samples at high quality",
    ),
    Fault(
        "icmbench/reporting/tables/scale_notes.py", "        rows.reverse()", "        pass",
        "tests/test_scale_notes.py", "a scale with a falling key is noted as a whole",
    ),
    Fault(
        "icmbench/codecs/diff_icmh/tags.py", "(comb(vocabulary_size, count) - 1).bit_length()",
        "comb(vocabulary_size, count).bit_length()",
        "tests/test_tags.py", "tags take a bit more than they need",
    ),
    Fault(
        "icmbench/codecs/diff_icmh/sampling.py", "position += stride", "position += int(stride)",
        "tests/test_control.py", "the sampler's steps end below the schedule's last",
    ),
    Fault(
        "icmbench/tasks/metrics/average_precision.py", 'side="right"', 'side="left"',
        "tests/test_task_metrics.py", "a recall that is just reached does not count",
    ),
    Fault(
        "icmbench/tasks/metrics/landmark_metrics.py", "/ truth.eyes[judged]", "/ truth.eyes.mean()",
        "tests/test_landmarks.py", "NME divides by the mean of all faces' eye distances",
    ),
    Fault(
        "icmbench/reporting/statistics/comparison.py", "[count > limit or count",
        "[count >= limit or count",
        "tests/test_tables.py", "a codec with a quarter of failures is excluded",
    ),
    Fault(
        "icmbench/reporting/report/page.py", "autoescape=True", "autoescape=False",
        "tests/test_figures_report.py -k report", "names of files become markup in the report",
    ),
    Fault(
        "icmbench/transfer/bundle.py", "if not _inside(name):", "if not name:",
        "tests/test_elsewhere.py -k outside", "a bundle's member is written outside of the folder",
    ),
    Fault(
        "rules/evaluation.smk", "priority: 100", "priority: 1",
        "tests/test_rules.py -k pictures", "decoded images pile up before they are measured",
    ),
    Fault(
        "profiles/default/profile.yaml", "printshellcmds", "jobs: 3\nprintshellcmds",
        "tests/test_rules.py -k profile", "the default profile decides how a cluster's jobs run",
    ),
)  # fmt: skip


def plant(fault: Fault, folder: Path) -> str:
    """Edit a copy of the checkout; returns the file's text before."""
    path = folder / fault.file
    before = path.read_text(encoding="utf-8")
    count = before.count(fault.old)
    if count != 1:
        raise ValueError(f"{fault.file}: {fault.old!r} stands there {count} times: mend the list")
    path.write_text(before.replace(fault.old, fault.new), encoding="utf-8")
    return before


def outcome(fault: Fault, folder: Path) -> str:
    """`caught`, `missed`, or the reason why neither is known."""
    try:
        before = plant(fault, folder)
    except (OSError, ValueError) as error:
        return f"not planted: {error}"
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-m", "not slow"]
    done = subprocess.run(
        [*command, "-p", "no:cacheprovider", *fault.tests.split(" ", 2)],
        cwd=folder, capture_output=True, encoding="utf-8", check=False,
    )  # fmt: skip
    (folder / fault.file).write_text(before, encoding="utf-8")
    if done.returncode == 1:
        return "caught"
    return "missed" if done.returncode == 0 else f"pytest: {done.stdout[-200:]!r}"


def copy_checkout(folder: Path) -> None:
    """All files that git tracks."""
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, encoding="utf-8", check=True
    )
    for name in filter(None, listed.stdout.split("\0")):
        source, target = ROOT / name, folder / name
        if source.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, target, follow_symlinks=False)


def main() -> int:
    chosen = [int(text) for text in sys.argv[1:]] or range(1, len(FAULTS) + 1)
    wrong = 0
    with tempfile.TemporaryDirectory(prefix="planted-") as name:
        copy_checkout(Path(name))
        for number in chosen:
            fault, start = FAULTS[number - 1], time.monotonic()
            found = outcome(fault, Path(name))
            wrong += found != "caught"
            seconds = time.monotonic() - start
            print(f"{number:2} {found:8} {seconds:4.0f} s  {fault.file}: {fault.meaning}",
                  flush=True)  # fmt: skip
    return wrong


if __name__ == "__main__":
    sys.exit(main())
