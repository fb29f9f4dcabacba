"""The bundled task models: whole, small, and as their card says."""

from __future__ import annotations

import json

from icmbench.models.card import described
from icmbench.tasks.bundled import PARTS, bundled_file


def test_sizes_and_card() -> None:
    sizes = {part: bundled_file(part).stat().st_size for part in PARTS.values()}
    assert sum(sizes.values()) <= 12e6
    folder = bundled_file("detector").parent
    assert {path.name for path in folder.iterdir()} == {
        "card.json",
        *(f"{part}.safetensors" for part in sizes),
    }
    card = json.loads((folder / "card.json").read_text())
    contents = {part: card["files"][f"{part}.safetensors"]["what"] for part in sizes}
    files = described([bundled_file(part) for part in contents], contents)
    assert card["files"] == json.loads(json.dumps(files))
    for entry in card["files"].values():
        assert [s["name"] for s in entry["provenance"]["pool"]["sources"]] == ["scenes"]
