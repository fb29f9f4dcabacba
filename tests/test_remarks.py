"""Remarks of encoders: their table, and where the report shows it."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from icmbench.core.typed_csv import read_table
from icmbench.reporting.artefacts import Text
from icmbench.reporting.report.contents import assemble_report
from icmbench.reporting.tables.csv_files import write_csv
from icmbench.reporting.tables.failures import failures_table
from icmbench.reporting.tables.remarks import COLUMNS, remarks_table


def row(image: str, family: str, codec: str, detail: str = "", status: str = "ok") -> dict:
    encoding = codec.partition(",")[0]
    return {
        "dataset": "photos", "image": image, "family": family, "codec": codec,
        "encoding": encoding, "status": status, "detail": detail,
        "bytes": 512, "width": 64, "height": 64, "bpp": 1.0,
    }  # fmt: skip


def clipped(count: int) -> str:
    return f"{count} of 4096 latent values clipped at 1.5 standard deviations"


MEASUREMENTS = pd.DataFrame(
    [
        row("001", "icmh", "icmh:rate=2", clipped(3)),
        row("b", "icmh", "icmh:rate=1", clipped(12)),
        row("001", "icmh", "icmh:rate=1", clipped(7)),
        row("001", "icmh", "icmh:rate=1,steps=8", clipped(7)),  # another point of one stream
        row("c", "icmh", "icmh:rate=1"),
        row("b", "other", "other:q=1", "a name\nwithout number"),
        row("c", "other", "other:q=1", "planted: 3 reasons", "encode-failed"),
    ]
)


def test_remarks_are_counted_by_entry_and_words() -> None:
    table = remarks_table(MEASUREMENTS)
    words = "N of N latent values clipped at N standard deviations"
    assert table.to_numpy().tolist() == [
        ["photos", "icmh", words, 3, 2, "001", clipped(7)],
        ["photos", "other", "a name without number", 1, 1, "b", "a name without number"],
    ]
    shuffled = remarks_table(MEASUREMENTS.sample(frac=1, random_state=1))
    pd.testing.assert_frame_equal(shuffled, table)
    none = remarks_table(MEASUREMENTS[MEASUREMENTS["detail"] == ""])
    assert none.empty
    assert list(none.columns) == list(COLUMNS)


def report(folder: Path, measurements: pd.DataFrame) -> str:
    folder.mkdir()
    rd = pd.DataFrame(
        [
            {
                "dataset": "photos",
                "family": "icmh",
                "codec": "icmh",
                "images": 1,
                "failed": 0,
                "bpp": 1.0,
            }
        ]
    )
    tables = {
        "rd": rd,
        "failures": failures_table(measurements),
        "remarks": remarks_table(measurements),
    }
    for name, table in tables.items():
        write_csv(table, folder / f"{name}.csv")
    (folder / "photos").mkdir()
    manifest = folder / "photos" / "manifest.csv"
    manifest.write_text("image,annotation,split,status\n001,,test,ok\n", encoding="utf-8")
    assemble_report(
        folder / "report.html",
        config={"weights": "", "downloads": "downloads",
                "metrics": ["psnr_rgb"], "codecs": {"icmh": {}}, "tasks": {},
                "datasets": {"photos": {}}, "anchors": [], "split": "test"},
        units=[("photos", "icmh")],
        notices=[],
        unavailable={},
        tables=[(folder / f"{name}.csv", Text(name, name)) for name in tables],
        manifests=[manifest],
        comparison={},
        provenance={},
        figures=[],
    )  # fmt: skip
    return (folder / "report.html").read_text(encoding="utf-8")


def test_the_report_shows_remarks_below_the_failures(tmp_path: Path) -> None:
    page = report(tmp_path / "some", MEASUREMENTS)
    section = page[page.index('<section id="failures">') : page.index('<section id="provenance">')]
    assert section.index("planted: 3 reasons") < section.index("<h3>Remarks</h3>")
    assert section.index("<h3>Remarks</h3>") < section.index(clipped(7))
    assert read_table(tmp_path / "some" / "remarks.csv")["first_image"].tolist() == ["001", "b"]
    assert 'id="table-remarks"' not in page  # no section of its own besides
    assert "<h3>Remarks</h3>" not in report(tmp_path / "none", MEASUREMENTS.iloc[4:5])
