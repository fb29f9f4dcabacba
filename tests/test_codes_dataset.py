"""The rendered data set of bar codes: exact annotations, all readable, the same everywhere."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zxingcpp
from conftest import make_picture
from PIL import Image as PillowImage

from icmbench.barcodes import sheets
from icmbench.barcodes.contents import content
from icmbench.barcodes.formats import FORMATS
from icmbench.barcodes.parcel import parcel
from icmbench.barcodes.picture import THEMES, render_picture
from icmbench.barcodes.poster import poster
from icmbench.barcodes.sizes import module_px
from icmbench.barcodes.symbols import ean13, make_symbol
from icmbench.barcodes.tags import asset_tag, price_label, strip
from icmbench.codecs.specs import parse_spec
from icmbench.core.errors import ConfigError, DatasetError
from icmbench.core.files import sha256_file
from icmbench.datasets.photos import PHOTOS
from icmbench.datasets.records import Record, write_records
from icmbench.datasets.registry import make_dataset
from icmbench.jobs.contact_sheet import contact_sheet
from icmbench.lettering import fonts
from icmbench.pasted import generator, outline
from icmbench.tasks.answers.codes import Codes
from icmbench.tasks.base import Image, Labels
from icmbench.tasks.metrics.code_metrics import SIZES, CodeEvaluator
from icmbench.tasks.registry import make_task

COUNT = 24
Truth = dict[str, list[dict[str, Any]]]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Truth, dict[str, Image]]:
    """Folder, annotations and pictures of the set as shipped, but for the number of pictures."""
    folder = tmp_path_factory.mktemp("codes")
    dataset = make_dataset("codes", {"count": COUNT}, folder)
    records = dataset.provide(dataset.image_ids(), folder)
    for record in records:
        assert sha256_file(folder / record.path) == record.sha256
        photograph, _, letters = record.licence.partition("; fonts: ")
        assert photograph in {f"photograph: {photo.licence}" for photo in PHOTOS.values()}
        assert letters == fonts.DEJAVU
        assert "rendered by icmbench, seed 1, on " in record.source
    truth = dataset.merge_annotations(dict.fromkeys(dataset.image_ids(), folder))
    images = {r.image: np.asarray(PillowImage.open(folder / r.path)) for r in records}
    assert {image.shape for image in images.values()} == {(288, 384, 3)}
    return folder, truth.more["codes"], images


@pytest.fixture(scope="module")
def reader() -> Any:
    task = make_task("read", {"type": "codes"})
    task.load(Labels("codes", {}, ()), "cpu")
    return task


def scores(reader: Any, truth: Truth, images: dict[str, Image]) -> dict[str, float]:
    judge = CodeEvaluator([*images], truth)
    counts = judge.count({name: reader.predict(image, []) for name, image in images.items()})
    values = judge.values(counts, np.ones((1, len(images)), np.int64))
    return {metric: float(value[0]) for metric, value in values.items()}


def test_every_symbol_can_be_read(made: Any, reader: Any) -> None:
    """Of every format and every class of sizes there are some, and all are read."""
    _, truth, images = made
    values = scores(reader, truth, images)
    assert values.pop("misread") * COUNT <= 1  # a row at the edge of a linear symbol
    assert values == dict.fromkeys(values, 1.0)
    symbols = [each for listed in truth.values() for each in listed]
    sizes = np.array([each["module_px"] for each in symbols])
    assert len(symbols) >= 1.8 * COUNT
    assert 1.5 < sizes.min() < 1.8
    assert 5 < sizes.max() < 6.5
    matrix = np.array([not FORMATS[each["format"]].linear for each in symbols])
    for low, high in SIZES.values():
        assert ((sizes >= low) & (sizes < high) & matrix).sum() >= 5
    for kind in FORMATS:
        assert sum(each["format"] == kind for each in symbols) >= 5


def test_corners_and_sizes_are_those_of_the_reader(made: Any, reader: Any) -> None:
    """Of matrix symbols, to a module or so; the reader knows how many modules they have."""
    _, truth, images = made
    seen = 0
    for name, image in images.items():
        found: Codes = reader.predict(image, [])
        for each in truth[name]:
            n = found.texts.index(each["text"])
            if FORMATS[each["format"]].linear:
                continue
            away = np.abs(found.corners[n] - each["corners"]).max()
            assert away < 1.5 * each["module_px"], (name, each["text"])
            size = module_px(found.corners[n], *found.modules[n])
            assert size == pytest.approx(each["module_px"], rel=0.1), (name, each["text"])
            seen += 1
    assert seen > 20


def test_the_contact_sheet_has_the_outlines(made: Any, tmp_path: Path) -> None:
    folder, truth, _ = made
    records = [
        Record(name, f"{name}.png", annotation=f"{name}.json", width=384, height=288)
        for name in [*truth][:2]
    ]
    write_records(tmp_path / "manifest.csv", records)
    sheets = []
    for annotated in (False, True):
        figure = tmp_path / f"{annotated}.png"
        contact_sheet(manifest=tmp_path / "manifest.csv", images=[folder], shards=1, split="test",
                      annotated=annotated, figure=figure)  # fmt: skip
        sheets.append(np.asarray(PillowImage.open(figure)).astype(int))
    blue = [((sheet[..., 2] > 200) & (sheet[..., 0] < 80)).sum() for sheet in sheets]
    assert blue[1] > blue[0] + 200


def test_symbols_lie_inside_of_the_pictures_and_apart(made: Any) -> None:
    _, truth, _ = made
    for listed in truth.values():
        for each in listed:
            corners = np.array(each["corners"])
            assert (corners > 3).all()
            assert (corners < (381, 285)).all()
        texts = [each["text"] for each in listed]
        assert len({*texts}) == len(texts)


def test_low_quality_reads_less_and_small_modules_first(made: Any, reader: Any) -> None:
    _, truth, images = made
    values = {}
    for quality in (10, 40, 90):
        codec = parse_spec(f"jpeg:quality={quality}").codec()
        coded = {n: codec.decode(codec.encode(i, quality=quality)) for n, i in images.items()}
        values[quality] = scores(reader, truth, coded)
    assert values[10]["read"] < values[40]["read"] <= values[90]["read"]
    assert values[90]["read"] > 0.95
    low = values[10]
    assert low["read_below_2_5px"] + 0.1 < low["read_from_4px"]


def test_the_same_in_any_order_and_in_a_fresh_process(made: Any, tmp_path: Path) -> None:
    folder, truth, _ = made
    dataset = make_dataset("codes", {"count": 5}, tmp_path)
    ids = dataset.image_ids()
    for record in dataset.provide(ids[:0:-2], tmp_path):
        assert record.sha256 == sha256_file(folder / record.path)
    program = (
        "import sys, hashlib; from pathlib import Path\n"
        "from icmbench.datasets.registry import make_dataset\n"
        "d = make_dataset('codes', {'count': 2}, Path(sys.argv[1]))\n"
        "print(d.provide(['code-00001'], Path(sys.argv[1]))[0].sha256)"
    )
    done = subprocess.run([sys.executable, "-c", program, str(tmp_path)], capture_output=True,
                          text=True, check=True, timeout=120)  # fmt: skip
    assert done.stdout.split() == [sha256_file(folder / "code-00001.png")]
    other = make_dataset("codes", {"count": 1, "seed": 2}, tmp_path)
    (record,) = other.provide(["code-00000"], tmp_path)
    assert record.sha256 != sha256_file(folder / "code-00000.png")
    assert json.loads((tmp_path / "code-00000.json").read_text()) != truth["code-00000"]


@pytest.mark.parametrize("seed", range(3))
def test_quiet_zones_are_empty(seed: int) -> None:
    """On the sheets themselves, around every symbol, as its standard asks; and it is read there."""
    rng = generator(seed, "quiet")
    sheets = [parcel(rng, "qr"), parcel(rng, "data_matrix"), poster(rng), price_label(rng),
              strip(rng)]  # fmt: skip
    sheets += [asset_tag(rng, "qr", layout) for layout in ("right", "below", "none")]
    for sheet in sheets:
        flat = np.asarray(sheet.image.convert("L")).astype(int)
        for stamped in sheet.symbols:
            low, high = stamped.corners[0].astype(int), stamped.corners[2].astype(int)
            symbol = stamped.symbol
            module = (high[0] - low[0]) // symbol.across
            left, top, right, bottom = (m * module for m in FORMATS[symbol.kind].quiet)
            zone = flat[low[1] - top : high[1] + bottom, low[0] - left : high[0] + right].copy()
            inner = zone[top : zone.shape[0] - bottom, left : zone.shape[1] - right]
            assert inner.min() < 60
            inner[...] = 255
            assert zone.min() > 215
            down = max(symbol.down, 1)
            middle = flat[low[1] : high[1], low[0] : high[0]]
            rows = (np.arange(down) + 0.5) * len(middle) / down
            columns = (np.arange(symbol.across) + 0.5) * module
            cells = middle[rows.astype(int)][:, columns.astype(int)] < 128
            assert (cells == symbol.cells).all()
            image = np.pad(flat[low[1] : high[1], low[0] : high[0]], 12 * module,
                           constant_values=250).astype(np.uint8)  # fmt: skip
            (read,) = zxingcpp.read_barcodes(
                image, formats=getattr(zxingcpp, FORMATS[symbol.kind].zxing)
            )
            assert read.text == symbol.text


def test_letters_are_of_matplotlib_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pillow looks for a font that is not at its path among those of the system, silently."""
    opened: list[Path] = []
    original = sheets.ImageFont.truetype

    def spied(*given: Any, **more: Any) -> Any:
        made = original(*given, **more)
        opened.append(Path(str(made.path)))  # of the file that was found
        return made

    monkeypatch.setattr(sheets.ImageFont, "truetype", spied)
    sheets.font.cache_clear()
    rng = generator(4, "letters")
    for draw in (poster, price_label, strip):
        draw(rng)
    for kind in ("qr", "data_matrix"):
        parcel(rng, kind)
        asset_tag(rng, kind, "right")
    assert len(opened) > 10
    assert {path.parent for path in opened} == {fonts.font_folder()}
    for size in range(70, 470):  # every sheet has sizes of its own, and pictures are many
        sheets.font("Sans", size / 7)
    assert sheets.font.cache_info().currsize <= 256
    with pytest.raises(DatasetError, match=r"DejaVuSansCondensed\.ttf: the font is missing, which"):
        sheets.font("SansCondensed", 20)


def test_contents_name_nothing_that_exists() -> None:
    rng = np.random.default_rng(1)
    for _ in range(50):
        digits = content(rng, "ean13")
        assert len(digits) == 13
        assert digits[0] == "2"  # numbers within a company
        weighted = sum(int(d) * (1, 3)[n % 2] for n, d in enumerate(digits))
        assert weighted % 10 == 0
        text = content(rng, "qr")
        assert text.startswith("HTTPS://EXAMPLE.ORG/") or text.split()[0] in ("TICKET", "SEAT")
    assert ean13("400638133393") == "4006381333931"


def test_symbols_are_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    assert make_symbol("qr", "TICKET 123456").cells.shape == (21, 21)
    assert make_symbol("code128", "1234567890").cells.shape[0] == 1
    matrix = make_symbol("data_matrix", "LOT 3530-RZ").cells
    assert matrix.shape[0] == matrix.shape[1]
    with pytest.raises(DatasetError, match="'12x' cannot be a EAN-13 symbol"):
        make_symbol("ean13", "12x")
    with pytest.raises(DatasetError, match="unknown format of bar codes 'aztec'; there are qr"):
        make_symbol("aztec", "A")
    monkeypatch.setitem(sys.modules, "segno", None)
    with pytest.raises(DatasetError, match="need the Python packages segno and zxing-cpp"):
        make_symbol("qr", "A")


def test_modules_are_measured_after_the_perspective() -> None:
    corners = outline((100, 40))
    assert module_px(corners, 50, 0) == 2
    assert module_px(corners, 50, 10) == 3
    corners[1:3, 0] = (80, 120)
    assert module_px(corners, 50, 0) == 2
    assert module_px(corners, 0, 0) == 0


def test_pictures_that_are_too_small(tmp_path: Path) -> None:
    for key, least in (("width", 320), ("height", 240)):
        with pytest.raises(ConfigError, match=rf"{key}={least - 1} is below {least}"):
            make_dataset("codes", {key: least - 1}, tmp_path)
    photograph = make_picture(200, 300, 1)
    for index, theme in enumerate(THEMES):
        with pytest.raises(DatasetError, match=f"a {theme} with bar codes of .* into 90x60 pixels"):
            render_picture(1, index, 90, 60, ["x"], lambda _: photograph)
        least = render_picture(1, index + 8, 320, 240, ["x"], lambda _: photograph)
        assert least.codes, theme
