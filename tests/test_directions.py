"""Leading directions of an imported latent: definition, file, streams of a model."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from conftest import make_picture
from published_autoencoders import write_published
from test_foreign import make_model, run_config, training_data

from icmbench.bitstream import container
from icmbench.codecs.mpd.codec import Mpd
from icmbench.codecs.mpd.model_folder import part_file
from icmbench.codecs.mpd.training import directions, imported
from icmbench.codecs.mpd.training.directions import decoder_sensitivity, find_directions
from icmbench.codecs.mpd.training.imported import Carried, import_autoencoder
from icmbench.config.run import make_run
from icmbench.core.errors import ConfigError, ModelError
from icmbench.models.directions import CARRIED, TENSOR
from icmbench.models.headers import read_header
from icmbench.models.latent import SCALE
from icmbench.models.latent_autoencoder import load_autoencoder
from icmbench.models.tensors import load_arrays, save_arrays

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(autouse=True)
def heavy_tails(monkeypatch: pytest.MonkeyPatch) -> None:
    """Random networks have outliers where pictures are smooth."""
    monkeypatch.setattr(imported, "MAX_CLIPPED", 0.05)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_published("tiny", tmp_path_factory.mktemp("published") / "tiny")[0]


@pytest.fixture(scope="module")
def plain(tiny: Path) -> Path:
    """The network's file without directions."""
    path = tiny.parent / "plain"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(imported, "MAX_CLIPPED", 0.05)
        import_autoencoder(path, tiny, training_data())
    return path


def test_directions_are_principal_components_in_a_given_metric() -> None:
    """Squared lengths are those of the metric; new channels are uncorrelated, largest first."""
    rng = np.random.default_rng(5)
    mixing, metric = rng.normal(size=(2, 6, 6))
    sensitivity = metric @ metric.T
    latents = [(mixing @ rng.normal(size=(6, 900)) + 3).astype(np.float32) for _ in range(2)]
    analysis, shares = find_directions(latents, sensitivity)
    assert np.allclose(analysis.T.astype(float) @ analysis, sensitivity, atol=1e-4)
    covariance = np.cov(np.concatenate([analysis @ z for z in latents], axis=1))
    variances = np.diag(covariance)
    assert np.abs(covariance - np.diag(variances)).max() < 1e-3 * variances[0]
    assert (np.diff(variances) < 0).all()
    assert np.allclose(shares, variances / variances.sum(), atol=1e-5)
    rotation, _ = find_directions(latents, np.eye(6))
    assert np.allclose(rotation @ rotation.T, np.eye(6), atol=1e-6)
    assert (rotation[np.arange(6), np.abs(rotation).argmax(1)] > 0).all()
    again, _ = find_directions([-z for z in latents], np.eye(6))  # the same axes, either sign
    assert np.allclose(again, rotation, atol=1e-5)


def test_sensitivity_is_that_of_the_decoder(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a linear decoder J is known: the estimate of J^T J is within its standard errors."""
    monkeypatch.setattr(directions, "PROBES", 16)
    torch.manual_seed(3)
    decoder = torch.nn.ConvTranspose2d(3, 3, 8, stride=8, bias=False)
    network = SimpleNamespace(
        parameters=decoder.parameters,
        encode=lambda x: SimpleNamespace(
            latent_dist=SimpleNamespace(mode=lambda: x[:, :, ::8, ::8])
        ),
        decode=lambda z: SimpleNamespace(sample=decoder(z)),
    )
    found = decoder_sensitivity(training_data(2), network)  # type: ignore[arg-type]
    columns = decoder.weight.detach().double().reshape(3, -1).numpy()
    expected = columns @ columns.T
    assert np.abs(found - expected).max() < 0.05 * expected.max()
    assert np.abs(found - found.T).max() < 1e-9


@pytest.mark.parametrize("metric", directions.METRICS)
def test_a_latent_in_directions_decodes_to_the_same_image(
    metric: str, tiny: Path, plain: Path, tmp_path: Path
) -> None:
    """Nothing is lost in the change of coordinates; the file holds all directions."""
    data = training_data()
    paths = [tmp_path / name for name in ("turned", "again")]
    for path in paths:
        import_autoencoder(path, tiny, data, carried=Carried(2, metric))
    assert paths[0].read_bytes() == paths[1].read_bytes()
    given, turned = load_autoencoder(plain), load_autoencoder(paths[0])
    assert (given.carried, turned.carried) == (5, 2)
    assert read_header(paths[0])[CARRIED] == 2
    assert TENSOR not in load_arrays(plain)[0]
    image = data.images[0]
    shown = [
        model.image(model.scaled_latent(image) / np.float32(SCALE), image.shape[:2]).astype(int)
        for model in (given, turned)
    ]
    assert np.abs(shown[0] - shown[1]).max() <= 1
    deviations = np.std([turned.latent(image) for image in data.images], axis=(0, 1, 2))
    assert (np.diff(deviations) < 0.1 * deviations[0]).all()  # measured on the centre crops
    assert len(set(turned.std.tolist())) == 1


def test_the_palette_of_a_model_has_the_leading_directions(tiny: Path, tmp_path: Path) -> None:
    """A run's jobs with `directions: 2`; streams, decoders, and parts of other directions.

    The refinement carries all channels.
    """
    models = make_model(tmp_path, tiny, directions=2)
    codec, image = Mpd(models=models), make_picture(120, 136, 7)
    for refined in codec.model.states(container.parse(codec.encode(image)))[-6:]:
        assert refined.refined is not None
        gap = np.abs(refined.latent() - codec.model.latent(image))
        assert 0 < gap[:, :, 2:].max() < refined.refined.threshold
    for keys in ({"refine": 0}, {"palette": "dataset", "refine": 0}, {"bytes": 150}):
        stream = codec.encode(image, **keys)
        state = codec.model.states(container.parse(stream))[-1]
        assert state.palette.shape[1] == 2
        assert not state.latent(5)[:, :, 2:].any()
        shown = {name: codec.decode(stream, decoder=name) for name in ("mean", "regression")}
        assert codec.decode(stream, decoder="diffusion").shape == image.shape
    filled = codec.model.show(state, "regression", 0, image.shape[:2])
    assert np.array_equal(filled, shown["regression"])
    noise = read_header(part_file(models / "mpd", "reverse"))["noise"]
    assert np.shape(noise) == (8, 5)
    path = part_file(models / "mpd", "autoencoder")
    arrays, metadata = load_arrays(path)
    arrays[TENSOR] = arrays[TENSOR][::-1]
    save_arrays(path, arrays, metadata)
    with pytest.raises(ModelError, match=r"contexts\.safetensors belongs to another autoencoder"):
        Mpd(models=models)


@pytest.mark.parametrize(
    ("matrix", "count", "message"),
    [
        (np.eye(4), 2, r"latent_directions is of the shape \(4, 4\), expected \(5, 5\)"),
        (None, 2, r"latent_directions is of the shape None"),
        (np.eye(5), 6, "directions is 6, expected 1 to 5"),
        (np.eye(5), None, "directions is None, expected 1 to 5"),
        (np.ones((5, 5)), 2, "latent_directions has no inverse"),
    ],
)
def test_damaged_directions_are_refused(
    matrix: Any, count: int | None, message: str, plain: Path, tmp_path: Path
) -> None:
    arrays, metadata = load_arrays(plain)
    if matrix is not None:
        arrays[TENSOR] = matrix.astype(np.float32)
    metadata |= {} if count is None else {CARRIED: count}
    save_arrays(tmp_path / "a", arrays, metadata)
    with pytest.raises(ModelError, match=message):
        load_autoencoder(tmp_path / "a")


def test_directions_are_those_of_an_imported_latent(tiny: Path, tmp_path: Path) -> None:
    config = run_config(tmp_path, tiny, directions=2)
    config["training"]["mpd"]["autoencoder"].pop("from")
    for name in ("channels", "blocks"):
        config["training"]["mpd"]["reverse"].pop(name)
    with pytest.raises(ConfigError, match=r"directions: 2, but they are those of an imported"):
        make_run(config)
    with pytest.raises(ModelError, match=r"directions is 6, but the latent of .*tiny has 5"):
        import_autoencoder(tmp_path / "a", tiny, training_data(), carried=Carried(6))
