"""Results made elsewhere: files matched with images, sizes of streams, rows of what is missing."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from conftest import make_picture
from PIL import Image as PillowImage

from icmbench.codecs import registry
from icmbench.codecs.external.definitions import definition_of
from icmbench.codecs.external.folder_files import files_digest, find_results
from icmbench.codecs.registry import codec_class, codec_of
from icmbench.config.models import coding_settings
from icmbench.config.plan import Plan
from icmbench.config.run import make_run
from icmbench.config.weights_names import curve_names
from icmbench.core.errors import CodecError, ConfigError, CorruptStream, MeasurementError
from icmbench.core.images.image_files import write_png
from icmbench.datasets.records import Record
from icmbench.evaluation.decode import decode_shard, decoding
from icmbench.evaluation.imported import import_shard
from icmbench.evaluation.measure import check_measurements, measure_shard
from icmbench.evaluation.shard import make_codec_entry
from icmbench.metrics.meter import Meter
from icmbench.reporting.figures.panels import family_handles
from icmbench.reporting.figures.style import FOREIGN, family_styles, mark_foreign
from icmbench.transfer import pack

IDS = ("a.png", "b.png", "c.png")


@pytest.fixture(autouse=True)
def _own_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_DEFINED", {})


def result(folder: Path, point: str, name: str, size: int | None = 100, **more: Any) -> None:
    """A reconstruction and its stream."""
    picture = make_picture(more.get("height", 40), 48, ord(name[0]))
    write_png(folder / point / f"{name}.png", picture)
    if size is not None:
        (folder / point / f"{name}.bin").write_bytes(bytes(size))


@pytest.fixture
def theirs(tmp_path: Path) -> Path:
    """A folder with all results of two points."""
    for point, size in (("q1", 100), ("q2", 200)):
        for name in "abc":
            result(tmp_path / "theirs", point, name, size)
    return tmp_path / "theirs"


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    for name in "abc":
        write_png(tmp_path / "pictures" / f"{name}.png", make_picture(40, 48, ord(name) + 50))
    return tmp_path / "pictures"


def entry(path: Path, *points: object) -> dict[str, Any]:
    return {"codec": "folder", "path": str(path), "points": [{"point": [*points] or ["q1", "q2"]}]}


def plan(path: Path, pictures: Path, *points: object, **more: Any) -> Any:
    config = {
        "datasets": {"mine": {"type": "folder", "path": str(pictures)}},
        "codecs": {"theirs": entry(path, *points), "jpeg": {"points": [{"quality": 9}]}},
        "metrics": ["psnr_rgb"],
        **more,
    }
    return make_run(config)


def sizes(found: Any) -> dict[str, int | None]:
    return {image: one.bytes for image, one in found.found.items()}


def test_names_are_matched_with_ids(tmp_path: Path) -> None:
    """With or without the suffix of the image, in folders, in another case of picture."""
    home = tmp_path / "q"
    result(home.parent, "q", "a", 10)
    write_png(home / "b.jpg.png", make_picture(9, 9))
    (home / "b.jpg.stream").write_bytes(bytes(11))
    write_png(home / "sub" / "d.PNG", make_picture(9, 9))
    (home / "sub" / "d.x").write_bytes(bytes(12))
    PillowImage.fromarray(make_picture(9, 9)).save(home / "e.ppm")
    write_png(home / "stray.png", make_picture(9, 9))
    (home / ".hidden.png").write_bytes(b"")
    found = find_results(tmp_path, "set", "q", ["a", "b.jpg", "sub+d.png", "e", "f"])
    assert sizes(found) == {"a": 10, "b.jpg": 11, "sub+d.png": 12, "e": None, "f": None}
    assert found.missing == ["e", "f"]
    assert found.left_over == ("stray.png",)


def test_a_folder_of_the_data_set_comes_first(tmp_path: Path) -> None:
    result(tmp_path, "q", "a", 10)
    result(tmp_path / "set", "q", "a", 20)
    assert sizes(find_results(tmp_path, "set", "q", ["a"])) == {"a": 20}
    assert sizes(find_results(tmp_path, "other", "q", ["a"])) == {"a": 10}


@pytest.mark.parametrize(
    ("place", "text"),
    [
        ("q/bytes.csv", "image,bytes\na,30\nb,31\nz,1\n"),
        ("bytes.csv", "point,image,bytes\nq,a,30\nq,b.png,31\nr,a,5\nq,z,1\n"),
        (
            "bytes.csv",
            "\ufeffdataset,point,image,bytes\nset,q,a,30\nset,q,b,31\nno,q,b,2\nset,q,z,1\n",
        ),
    ],
)
def test_sizes_from_a_table(place: str, text: str, tmp_path: Path) -> None:
    for name in "ab":
        result(tmp_path, "q", name, None)
    (tmp_path / place).write_text(text, encoding="utf-8")
    found = find_results(tmp_path, "set", "q", ["a", "b"])
    assert sizes(found) == {"a": 30, "b": 31}
    assert found.left_over == ("bytes.csv: z",)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("image,bits\na,30\n", r"columns bits,image, expected are bytes,image"),
        ("image,bytes\na,0.53\n", r"a: '0\.53' is no whole number of bytes"),
        ("image,bytes\na,0\n", r"'0' is no whole number"),
        ("image,bytes\na," + "9" * 5000 + "\n", r"is no whole number"),
        ("image,bytes,bytes\na,1,2\n", r"columns bytes,bytes,image, expected"),
        ("", r"columns none, expected are bytes,image"),
        ("image,bytes\na\n", r"a line has not the columns of the first"),
        ("image,bytes\na,5\na,6\n", r"a has two sizes"),
    ],
)
def test_a_wrong_table_is_one_sentence(text: str, sentence: str, tmp_path: Path) -> None:
    result(tmp_path, "q", "a", None)
    (tmp_path / "q" / "bytes.csv").write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=sentence):
        find_results(tmp_path, "set", "q", ["a"])


def test_tables_of_ids_in_folders_and_with_spaces(tmp_path: Path) -> None:
    write_png(tmp_path / "q" / "sub" / "d.png", make_picture(9, 9))
    table = tmp_path / "q" / "bytes.csv"
    for text in ("image,bytes\nsub/d,7\n", "image, bytes\r\nsub+d.png, 7\r\n"):
        table.write_text(text, encoding="utf-8")
        assert sizes(find_results(tmp_path, "set", "q", ["sub+d.png"])) == {"sub+d.png": 7}


def test_links_to_folders_are_followed(tmp_path: Path) -> None:
    """Also by the digest; a link that leads back ends somewhere."""
    result(tmp_path / "there", "q", "a", 10)
    home = tmp_path / "theirs"
    home.mkdir()
    (home / "q").symlink_to(tmp_path / "there" / "q")
    (tmp_path / "there" / "q" / "back").symlink_to(home)
    assert sizes(find_results(home, "set", "q", ["a"])) == {"a": 10}
    before = files_digest(home)
    assert files_digest(home) == before
    (tmp_path / "there" / "q" / "a.bin").write_bytes(bytes(11))
    assert files_digest(home) != before


def test_samples_of_16_bits_are_refused(tmp_path: Path, theirs: Path) -> None:
    """Also where Pillow would reduce them to 8 bits."""
    codec = codec_of({"theirs": entry(theirs)}, "theirs")()
    picture = make_picture(9, 9)
    tifffile.imwrite(tmp_path / "8.tif", picture, photometric="rgb")
    assert np.array_equal(codec.decode((tmp_path / "8.tif").read_bytes()), picture)
    tifffile.imwrite(tmp_path / "16.tif", picture.astype(np.uint16) << 8, photometric="rgb")
    with pytest.raises(CorruptStream, match="16-bit samples"):
        codec.decode((tmp_path / "16.tif").read_bytes())


def test_files_that_cannot_be_told_apart(tmp_path: Path) -> None:
    result(tmp_path, "q", "a", 10)
    with pytest.raises(ConfigError, match=r"the images a\.png and a\.jpg have one name"):
        find_results(tmp_path, "set", "q", ["a.png", "a.jpg"])
    PillowImage.fromarray(make_picture(9, 9)).save(tmp_path / "q" / "a.ppm")
    with pytest.raises(ConfigError, match=r"a\.png and .*a\.ppm are both of image a: remove one"):
        find_results(tmp_path, "set", "q", ["a"])


def test_a_table_of_bits_is_found_out(theirs: Path, pictures: Path) -> None:
    """Beside the streams, by more bits than the pixels have, and by the PNG of the picture."""
    table = theirs / "q1" / "bytes.csv"
    table.write_text("image,bytes\na,800\n", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"says 800 bytes for a\.png, .* has 100"):
        plan(theirs, pictures)
    for name in "abc":
        (theirs / "q1" / f"{name}.bin").unlink()
    for size, sentence in ((46081, "are 192 bits per pixel: are they bits"), (5765, "24 bits")):
        table.write_text(f"image,bytes\na,{size}\nb,50\nc,50\n", encoding="utf-8")
        with pytest.raises(ConfigError, match=f"codecs.theirs: q1 on mine: .*{sentence}"):
            plan(theirs, pictures)
    flat = np.zeros((40, 48, 3), np.uint8)
    write_png(theirs / "q1" / "a.png", flat)
    table.write_text("image,bytes\na,999\nb,50\nc,50\n", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"999 bytes for a.png, its PNG has \d+: are they bits"):
        plan(theirs, pictures)
    table.write_text("image,bytes\na,50\nb,51\nc,52\n", encoding="utf-8")
    assert plan(theirs, pictures).notices == ()


def test_the_plan_names_what_is_missing_and_left_over(theirs: Path, pictures: Path) -> None:
    (theirs / "q1" / "b.png").unlink()
    (theirs / "q2" / "c.bin").unlink()
    result(theirs, "q2", "z")
    result(theirs, "q9", "a")
    notices = plan(theirs, pictures).notices
    assert notices == (
        "codecs.theirs: the folders q9 are no points of it",
        "codecs.theirs: q1: 1 of 3 results on mine are missing (b.png): rows of status missing",
        "codecs.theirs: q2: 1 of 3 results on mine are missing (c.png): rows of status missing",
        "codecs.theirs: q2: 2 left over, of no image (z.bin, z.png)",
    )


def test_what_cannot_be_a_folder_of_results(theirs: Path, pictures: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"unknown point 'q3': did you mean 'q"):
        plan(theirs, pictures, "q3")
    with pytest.raises(ConfigError, match=r"point=\.\.: letters"):
        plan(theirs, pictures, "..")
    for name in "abc":
        (pictures / f"{name}.png").rename(pictures / f"other-{name}.png")
    with pytest.raises(ConfigError, match=r"nothing in .*theirs has the name of an image"):
        plan(theirs, pictures)
    run = plan(tmp_path / "absent", pictures)
    assert run.unavailable["theirs"].endswith("absent is not a folder")
    assert list(run.codecs) == ["jpeg"]


def test_names_of_points_may_be_numbers(theirs: Path, pictures: Path) -> None:
    (theirs / "q1").rename(theirs / "10")
    run = plan(theirs, pictures, 10, "q2")
    assert [point.spec for point in run.codecs["theirs"].points] == [
        "theirs:point=10",
        "theirs:point=q2",
    ]


def test_nothing_of_it_is_damaged_and_its_curve_is_marked(theirs: Path, pictures: Path) -> None:
    robustness = {"dataset": "mine", "images": 1, "trials": 2}
    found = Plan(plan(theirs, pictures, robustness=robustness))
    assert found.coded == ["jpeg"]
    assert found.damages
    paths = [one.path for one in found.made("data", rule="robustness")]
    assert paths == ["robustness/mine/jpeg.parquet"]
    names = curve_names(found.run)
    assert names["theirs"] == "theirs (not decoded by us)"
    plain = family_styles(["theirs", "jpeg"])
    styles = mark_foreign(plain, names)
    assert styles["theirs"].marker == FOREIGN
    assert styles["jpeg"] == plain["jpeg"]
    assert FOREIGN not in {style.marker for style in family_styles(map(str, range(99))).values()}
    handles = {handle.get_label(): handle for handle in family_handles(styles, names)}
    assert handles["theirs (not decoded by us)"].get_marker() == FOREIGN
    alone = Plan(plan(theirs, pictures, robustness=robustness, codecs={"theirs": entry(theirs)}))
    assert not alone.damages


def test_the_jobs_of_a_shard(theirs: Path, pictures: Path, tmp_path: Path, root: Path) -> None:
    """Sizes of the table or of the streams are the rates; pictures are those of the folder."""
    (theirs / "q1" / "b.png").unlink()
    write_png(theirs / "q2" / "c.png", make_picture(39, 48))
    deep = np.random.default_rng(1).integers(0, 65536, (40, 48), np.uint16)
    PillowImage.fromarray(deep).save(theirs / "q2" / "a.png")
    records = [Record(i, i, "", 48, 40) for i in IDS]
    run = plan(theirs, pictures)
    made = make_codec_entry("theirs", coding_settings(run.config, "theirs"))
    files = {name: tmp_path / name for name in ("s.zip", "s.csv", "t.csv", "r.zip", "r.csv")}
    import_shard(
        made, "mine", records, streams=files["s.zip"], status=files["s.csv"], timing=files["t.csv"]
    )
    decode_shard(
        made, "mine", streams=files["s.zip"], encoded=files["s.csv"], pictures=files["r.zip"],
        status=files["r.csv"], timing=tmp_path / "td.csv",
    )  # fmt: skip
    frame = measure_shard(
        "mine", "theirs", records, pictures, Meter(["psnr_rgb"]), pictures=files["r.zip"],
        decoded=files["r.csv"],
    )  # fmt: skip
    check_measurements(frame, root / "schemas" / "measurements.schema.json")
    rows = {(row.codec, row.image): row for row in frame.itertuples()}
    status = {(codec[-2:], image[0]): row.status for (codec, image), row in rows.items()}
    assert status == {
        ("q1", "a"): "ok", ("q1", "b"): "missing", ("q1", "c"): "ok",
        ("q2", "a"): "decode-failed", ("q2", "b"): "ok", ("q2", "c"): "wrong-size",
    }  # fmt: skip
    good = rows["theirs:point=q2", "b.png"]
    assert (good.bytes, good.bpp) == (200, 8 * 200 / (40 * 48))
    assert good.detail == "not decoded by us"
    x, x_hat = (np.asarray(PillowImage.open(f / "b.png")) for f in (pictures, theirs / "q2"))
    mse = np.mean((x.astype(float) - x_hat) ** 2)
    assert good.psnr_rgb == pytest.approx(10 * np.log10(255**2 / mse))
    assert re.search(r"no picture of b\.png in q1 of", rows["theirs:point=q1", "b.png"].detail)
    assert "16-bit samples" in rows["theirs:point=q2", "a.png"].detail
    assert [len((tmp_path / name).read_text().splitlines()) for name in ("t.csv", "td.csv")] == [
        1,
        1,
    ]
    with decoding() as decode:
        assert np.array_equal(decode(made, files["s.zip"], made.points[1], "b.png"), x_hat)


def test_a_changed_file_changes_its_entry_alone(theirs: Path, pictures: Path) -> None:
    config = plan(theirs, pictures).config
    before = {name: coding_settings(config, name) for name in config["codecs"]}
    assert before == {name: coding_settings(config, name) for name in config["codecs"]}
    (theirs / "q1" / "a.bin").write_bytes(bytes(99))
    after = {name: coding_settings(config, name) for name in config["codecs"]}
    assert [name for name in before if before[name] != after[name]] == ["theirs"]


def test_it_codes_nothing(theirs: Path) -> None:
    definition = definition_of({"theirs": entry(theirs)}, "theirs")
    assert definition is not None
    codec = codec_of({"theirs": entry(theirs)}, "theirs")()
    assert codec_class("theirs") is type(codec)
    assert codec.settings.startswith("not decoded by us: ")
    with pytest.raises(CodecError, match="it encodes nothing"):
        codec.encode(make_picture(9, 9), point="q1")
    with pytest.raises(CorruptStream):
        codec.decode(b"")
    with pytest.raises(ConfigError, match=r"'path' is a required property"):
        codec_of({"x": {"codec": "folder", "points": []}}, "x")
    config = {"codecs": {"theirs": entry(theirs), "jpeg": {"points": [{"quality": 9}]}}}
    with pytest.raises(MeasurementError, match=r"theirs: commands and folders .*--codec: jpeg"):
        pack._check_portable(config, ["theirs", "jpeg"])
    config["codecs"] |= {"x265": {"points": []}, "also": {"codec": "theirs", "points": []}}
    pack._check_portable(config, ["jpeg", "x265"])
    with pytest.raises(MeasurementError, match=r"also: commands and folders"):
        pack._check_portable(config, ["also"])
