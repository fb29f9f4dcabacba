"""The bundled task models: whole, small, and as their card says."""

from __future__ import annotations

import json

from icmbench.tasks.bundled import PARTS, bundled_file, task_card


def test_sizes_and_card() -> None:
    sizes = {part: bundled_file(part).stat().st_size for part in PARTS.values()}
    assert sum(sizes.values()) <= 12e6
    folder = bundled_file("detector").parent
    assert {path.name for path in folder.iterdir()} == {
        "card.json",
        *(f"{part}.safetensors" for part in sizes),
    }
    card = json.loads((folder / "card.json").read_text())
    assert card == json.loads(json.dumps(task_card()))
    for entry in card["files"].values():
        assert [s["name"] for s in entry["provenance"]["pool"]["sources"]] == ["scenes"]
