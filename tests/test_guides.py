"""Which guides a run trains, copies or needs: from the configuration alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from icmbench.codecs.mpd.model_folder import (
    ALL_TAPS,
    ENCODER_PARTS,
    LAYOUT,
    PARTS,
    TAPS,
    bundled,
    encoder_files,
    part_file,
    stream_files,
    weights_digest,
)
from icmbench.codecs.mpd.training.settings import SECTION
from icmbench.config.models import alpha_sweeps, used_features
from icmbench.config.run import announcements, make_run
from icmbench.core.errors import ConfigError, ModelError
from icmbench.models.card import model_card


def config(points: list[dict[str, Any]], **training: Any) -> dict[str, Any]:
    return {
        "datasets": {"scenes": {"seed": 1, "size": 64, "test": 2}},
        "codecs": {"mine": {"codec": "mpd", "points": points}},
        "metrics": ["psnr_rgb"],
        "anchors": [],
        "training": {"mpd": training},
    }


def test_learned_guides_are_needed_only_where_they_weigh() -> None:
    for point, kinds, guides in (
        ({"state": 1}, [], ()),
        ({"alpha": 2, "guide": "blur"}, [], ()),
        ({"alpha": 0, "guide": "fft"}, [], ()),
        ({"alpha": 0.1, "guide": "fft", "palette": "dataset"}, [], ()),
        ({"alpha": 0.1, "guide": "fft"}, ["fft"], ("features-fft",)),
        ({"alpha": [0, 0.1], "guide": ["fft", "mean"]}, ["fft", "mean"], ENCODER_PARTS[1:]),
    ):
        run = make_run(config([point]))
        assert used_features(run.codecs["mine"]) == kinds
        assert run.training.encoder_parts == tuple(guides)
        assert run.training.trained["mpd"] == ()


def test_training_features_makes_their_network_and_labels() -> None:
    run = make_run(config([{"state": 1}], features={"steps": 3}))
    assert run.training.trained["mpd"] == ("features",)
    assert run.training.encoder_parts == ("vgg", "features-fft")
    run = make_run(config([{"alpha": 0.1, "guide": "mean"}], features={"steps": 3}))
    assert run.training.encoder_parts == ("vgg", "features-mean")
    run = make_run(config([{"state": 1}], vgg={"steps": 3}))
    assert run.training.encoder_parts == ("vgg",)


def amounts(**given: int) -> dict[str, Any]:
    keys = {"autoencoder": "steps", "contexts": "images", "reverse": "steps"}
    keys |= {"vgg": "steps", "features": "steps"}
    start: dict[str, Any] = {"start": "scratch", "pseudo_labels": {"network": None}}
    found = start | {part: {key: given.get(part, 0)} for part, key in keys.items()}
    found["autoencoder"]["from"] = None
    return found


def trained_parts(training: dict[str, Any], kinds: list[str]) -> list[str]:
    """The trained parts where points use the features of these kinds of descriptors."""
    points = [{"alpha": 0.1, "guide": kind, "palette": "image"} for kind in kinds]
    shared = {"start": training.pop("start")}
    return SECTION.trained({**shared, "mpd": training}, points, None)


def test_what_is_left_untrained_is_named() -> None:
    three = {"autoencoder": 1, "contexts": 1, "reverse": 1}
    assert trained_parts(amounts(**three), []) == list(three)
    with pytest.raises(ConfigError, match=r"vgg\.steps, .*features\.steps is 0: untrained"):
        trained_parts(amounts(**three), ["fft"])
    with pytest.raises(ConfigError, match=r"training\.mpd\.vgg\.steps is 0: untrained"):
        trained_parts(amounts(**three, features=1), [])
    assert trained_parts(amounts(**three, vgg=1, features=1), ["fft"])[3:] == ["vgg", "features"]
    # A published network's taps take the place of the narrow VGG's.
    published = {**amounts(**three, features=1), "pseudo_labels": {"network": "vgg16.pth"}}
    assert trained_parts(published, ["fft"]) == [*three, "features"]
    with pytest.raises(ConfigError, match=r"latent, but training\.mpd\.features\.steps is 0"):
        trained_parts({**amounts(**three), "start": "bundled"}, ["fft"])
    assert trained_parts({**amounts(**three), "start": "bundled"}, []) == list(three)


def test_a_given_model_must_hold_the_features_asked_for(tmp_path: Path) -> None:
    folder = tmp_path / "mpd"
    folder.mkdir()
    for part in (*PARTS, "features-mean"):
        part_file(folder, part).touch()
    given = {"models": str(tmp_path)}
    assert make_run(config([{"state": 1}]) | given).training.encoder_parts == ()
    make_run(config([{"alpha": 1, "guide": "mean"}]) | given)
    with pytest.raises(ModelError, match=r"features-fft\.safetensors missing"):
        make_run(config([{"alpha": 1, "guide": "fft"}]) | given)


def test_guides_change_no_stream_s_digest(tmp_path: Path) -> None:
    for path in stream_files(bundled()):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    alone = weights_digest(tmp_path)
    for path in encoder_files(bundled()):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    assert weights_digest(tmp_path) == alone == weights_digest(bundled())


def test_the_bundled_card_describes_every_file() -> None:
    import json

    stored = json.loads((bundled() / "card.json").read_text())
    assert stored == model_card(LAYOUT, bundled())
    assert set(stored["files"]) == {f"{part}.safetensors" for part in (*PARTS, *ENCODER_PARTS)}


def test_levels_are_the_taps_of_the_network() -> None:
    from icmbench.codecs.mpd.networks import vgg

    assert vgg.TAPS == TAPS


def test_sweeps_are_entries_that_differ_in_the_weight_alone() -> None:
    def sweeps(**entries: dict[str, Any]) -> dict[str, dict[str, float]]:
        codecs = {
            name: {"codec": "mpd", "points": [{"state": [2, 1], **keys}]}
            for name, keys in entries.items()
        }
        return alpha_sweeps(make_run(config([]) | {"codecs": codecs}).codecs)

    plain = {"alpha": 0}
    assert sweeps(
        plain=plain,
        b1={"alpha": 1, "guide": "blur"},
        b2={"alpha": 2, "guide": "blur"},
        f1={"alpha": 0.1, "guide": "fft"},
        f2={"alpha": 0.2, "guide": "fft"},
        other={"alpha": 4, "guide": "blur", "rdo": 0},
    ) == {
        "blur": {"plain": 0.0, "b1": 1.0, "b2": 2.0},
        "fft": {"plain": 0.0, "f1": 0.1, "f2": 0.2},
    }
    assert sweeps(plain=plain, b1={"alpha": 1}) == {}
    assert sweeps(b1={"alpha": 1}, b2={"alpha": 2}, b3={"alpha": 3}) == {}


def test_pseudo_labels_that_cannot_be_made_are_refused_at_the_start() -> None:
    for settings, message in (
        ({"counts": [8, 4], "clusters": [4] * 5}, "not ascending"),
        ({"counts": [4, 8], "clusters": [4, 4, 4, 4, 6]}, "6 is not one of counts"),
        ({"patches": 100, "counts": [4, 128], "clusters": [4] * 5}, "100 for 128 clusters"),
        ({"clusters": [32]}, r"\[32\], but per_tap descriptors have 5 levels"),
        ({"descriptors": "concatenated"}, "but concatenated descriptors have 1 level:"),
        ({"size": 320}, "less than or equal|maximum"),
    ):
        with pytest.raises(ConfigError, match=message):
            make_run(config([{"state": 1}], pseudo_labels=settings))


def test_concatenated_descriptors_have_a_level_of_their_own() -> None:
    """Its figures are planned in the place of those of the taps; the network is a new one."""
    from icmbench.config.parts import Parts
    from icmbench.config.plan import Plan
    from icmbench.config.scope import make_scope

    labels = {"descriptors": "concatenated", "clusters": [32]}
    for settings, names, start in (({}, TAPS, "bundled"), (labels, (ALL_TAPS,), "scratch")):
        run = make_run(config([{"state": 1}], features={"steps": 1}, pseudo_labels=settings))
        plan = Plan(run)
        assert make_scope(plan).axes["tap"] == [{"tap": name} for name in names]
        assert Parts(plan).mpd_settings("features")["start"] == start
        assert ("bundled" in Parts(plan).mpd_inputs("features")) == (start == "bundled")
        said = [line for line in announcements(run) if "has a level per tap" in line]
        assert len(said) == (start == "scratch")


def test_an_ablation_names_its_entries() -> None:
    given = config([{"state": [1, 0]}])
    good = {"full": "mine", "without": {"RDO": "mine"}, "bpp": [0.1]}
    assert make_run(given | {"ablation": good}).config["ablation"] == good
    for change, message in (
        ({"full": "mien"}, "codec entry of ablation 'mien'"),
        ({"without": {"RDO": "no"}}, "codec entry of ablation 'no'"),
        ({"bpp": []}, "without and bpp"),
        ({"without": {}}, "without and bpp"),
    ):
        with pytest.raises(ConfigError, match=message):
            make_run(given | {"ablation": good | change})
