"""Texts of a configuration that only a job would have met: NUL characters, unknown tags."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from icmbench.codecs.diff_icmh.model_folder import PARTS as ICMH_PARTS
from icmbench.codecs.diff_icmh.model_folder import bundled as bundled_icmh
from icmbench.config.run import make_run
from icmbench.config.training_data import make_training_set
from icmbench.core.errors import ConfigError, ModelError
from icmbench.datasets.registry import make_dataset

NUL = "a\0b"
SCENES = {"scenes": {"test": 2}}
JPEG = {"jpeg": {"points": [{"quality": 10}]}}


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"datasets": {"mine": {"type": "folder", "path": NUL}}}, "datasets.mine.path"),
        ({"training": {"data": {"p": {"type": "folder", "path": NUL}}}}, "training.data.p.path"),
        ({"visual": [{"dataset": "scenes", "image": NUL, "bpp": 1}]}, "visual.0.image"),
        ({"results": NUL}, "results"),
        ({"weights": NUL}, "weights"),
        ({"models": NUL}, "models"),
        (
            {"tasks": {"t": {"type": "mmdet", "datasets": ["scenes"], "config": NUL}}},
            "tasks.t.config",
        ),
    ],
)
def test_a_nul_character_is_one_problem(change: dict[str, Any], where: str) -> None:
    """With its key path: Python's own error is a ValueError that names nothing."""
    config = {"datasets": SCENES, "codecs": JPEG, "metrics": ["psnr_rgb"], **change}
    with pytest.raises(ConfigError) as caught:
        make_run(config)
    assert str(caught.value).startswith(f"{where}: the text holds a NUL character")


def test_a_nul_character_in_the_path_of_a_data_set(tmp_path: Path) -> None:
    """Where no configuration was checked before."""
    for make in (make_dataset, make_training_set):
        with pytest.raises(ConfigError, match=r"path='a\\x00b' holds a NUL character"):
            make("mine", {"type": "folder", "path": NUL}, tmp_path)


def icmh_config(tags: str, **change: Any) -> dict[str, Any]:
    entry = {"codec": "diff-icmh", "points": [{"rate": [1, 2], "tags": tags}]}
    config = {"datasets": SCENES, "codecs": {"icmh": entry}, "metrics": ["psnr_rgb"]}
    return {**config, **change}


@pytest.mark.parametrize("models", [None, "given"])
def test_an_unknown_tag_is_a_problem_of_the_configuration(
    models: str | None, tmp_path: Path
) -> None:
    """Of the bundled model and of a folder, with a near name; known names are none."""
    given = {"models": str(bundled_icmh().parent)} if models else {}
    for tags in ("auto", "none", "grass+ball", " ball + grass"):
        assert make_run(icmh_config(tags, **given)).codecs["icmh"].points
    with pytest.raises(ConfigError) as caught:
        make_run(icmh_config("grass+bal", **given))
    text = str(caught.value)
    assert text.startswith("codecs.icmh: tags=grass+bal: unknown tag 'bal': did you mean 'ball'?")


def test_tags_of_an_imported_model_are_its_list(tmp_path: Path) -> None:
    """And those of a variant are the variant's; from scratch nobody knows them yet."""
    folder = tmp_path / "diff-icmh"
    for place in (folder, folder / "variants" / "other"):
        place.mkdir(parents=True)
        for name in (*ICMH_PARTS, "text"):
            (place / f"{name}.safetensors").write_bytes(b"")
        (place / "tags.txt").write_text(f"hot air balloon\n{place.name}\n", encoding="utf-8")
    models = {"models": str(tmp_path)}
    make_run(icmh_config("hot air balloon", **models))
    with pytest.raises(ConfigError, match=r"unknown tag 'baloon'.*hot air balloon"):
        make_run(icmh_config("baloon", **models))
    config = icmh_config("other", **models)
    with pytest.raises(ConfigError, match="unknown tag 'other'"):
        make_run(config)
    config["codecs"]["icmh"]["points"][0]["variant"] = "other"
    make_run(config)
    (folder / "tags.txt").unlink()
    with pytest.raises(ModelError, match=r"tags\.txt: the names of the tags"):
        make_run(icmh_config("other", **models))
