"""A published prior, Stable Diffusion 2.1, imported by a run: its formats, and training on it."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import test_diff_icmh_training as icmh
import tiny_prior
import torch
from conftest import make_picture
from fake_cuda import fake_cuda
from safetensors.torch import load_file, save_file
from test_configuration import ICMH

from icmbench.codecs.diff_icmh.codec import DiffIcmh
from icmbench.codecs.diff_icmh.importing import prior_import
from icmbench.codecs.diff_icmh.importing.prior_files import prior_files
from icmbench.codecs.diff_icmh.importing.prior_import import import_prior
from icmbench.codecs.diff_icmh.model_folder import LAYOUT, NAME
from icmbench.codecs.diff_icmh.networks.control import ControlSettings, predict_noise
from icmbench.codecs.diff_icmh.networks.transforms import LfgcmSettings
from icmbench.codecs.diff_icmh.networks.unet import UnetSettings
from icmbench.codecs.diff_icmh.sampling import (
    PUBLISHED_DECODING,
    add_noise,
    alphas_cumprod,
    noise_of_velocity,
)
from icmbench.codecs.diff_icmh.text import load_conditioned
from icmbench.codecs.diff_icmh.training import codec as train_codec
from icmbench.codecs.diff_icmh.training import keys
from icmbench.codecs.diff_icmh.training.losses import codec_losses, load_frozen
from icmbench.config.parts import Parts
from icmbench.config.plan import Plan
from icmbench.config.run import make_run
from icmbench.core.errors import ConfigError, IcmbenchError, ModelError
from icmbench.jobs.bundled_or_trained import TrainingJob
from icmbench.jobs.train_prior import _remove_others
from icmbench.models.tensors import load_network
from icmbench.training.data import TrainingData
from icmbench.training.loop import Session

pytestmark = pytest.mark.usefixtures("one_thread")

pool, models = icmh.pool, icmh.models
PARTS = ("autoencoder", "prior", "text")
LFGCM = dataclasses.replace(icmh.CODEC, rates=3)


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder `sd` of diffusers and the checkpoint `sd.ckpt` of the same networks."""
    folder = tmp_path_factory.mktemp("published")
    tiny_prior.make_diffusers(folder / "sd")
    tiny_prior.make_checkpoint(folder / "sd.ckpt")
    return folder


@pytest.fixture(scope="module")
def imported(published: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model folder that an import begins."""
    folder = tmp_path_factory.mktemp("imported") / NAME
    import_prior(folder, prior_files(published / "sd", None, published / "sd" / "tags.txt"))
    return folder


def test_a_checkpoint_and_a_folder_of_diffusers_are_one_prior(
    published: Path, imported: Path, tmp_path: Path
) -> None:
    words = published / "sd"
    files = prior_files(published / "sd.ckpt", words / "tokenizer", words / "tags.txt")
    import_prior(tmp_path, files)
    for name in PARTS:
        one, about = load_network(imported / f"{name}.safetensors")
        other, _ = load_network(tmp_path / f"{name}.safetensors")
        assert one.keys() == other.keys()
        assert all(torch.equal(tensor, other[key]) for key, tensor in one.items()), name
        assert "unet/config.json" in about["provenance"]["from"]
    unet, *_ = tiny_prior.tiny_networks()
    prior = load_network(imported / "prior.safetensors")[0]
    assert prior.keys() == {f"unet.{name}" for name in unet.state_dict()}
    about = load_network(imported / "autoencoder.safetensors")[1]
    assert about["mean"] == [0.0] * 4
    assert about["std"] == pytest.approx([1 / 0.18215] * 4)
    for name in ("tags.txt", "tokenizer/vocab.json", "tokenizer/merges.txt"):
        assert (imported / name).read_bytes() == (words / name).read_bytes()


def test_the_network_computes_what_diffusers_own_does(imported: Path) -> None:
    """Block by block and as a whole, with the text of two images of other tags."""
    prior = load_conditioned(imported)
    unet, _, text = tiny_prior.tiny_networks()
    context = prior.embedder([(0, 1), ()])
    tokens = prior.embedder.tokenizer(["cat, dog", ""])
    with torch.no_grad():
        assert torch.allclose(context, text(tokens).last_hidden_state, atol=1e-5)
        noisy, level = torch.randn(2, 4, 8, 8), torch.tensor([3, 700])
        found = predict_noise(prior.unet, None, noisy, None, level, context)
        expected = unet.eval()(noisy, level, encoder_hidden_states=context).sample
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def test_a_predicted_velocity_becomes_noise(published: Path, tmp_path: Path) -> None:
    latent, noise, level = (
        torch.randn(3, 4, 8, 8),
        torch.randn(3, 4, 8, 8),
        torch.tensor([0, 500, 999]),
    )
    x_t = add_noise(latent, noise, level)
    scale = x_t - add_noise(latent, torch.zeros_like(noise), level)  # sqrt(1 - alpha_prod_t) noise
    ratio = scale.flatten()[0::256] / noise.flatten()[0::256]
    share = ratio[:, None, None, None]
    velocity = (1 - share.square()).sqrt() * noise - share * latent
    torch.testing.assert_close(noise_of_velocity(x_t, velocity, level), noise, rtol=1e-4, atol=1e-4)
    tiny_prior.make_diffusers(tmp_path / "v", "v_prediction")
    import_prior(tmp_path / "out", prior_files(tmp_path / "v", None, tmp_path / "v" / "tags.txt"))
    prior = load_conditioned(tmp_path / "out")
    unet, _, _ = tiny_prior.tiny_networks()
    context = prior.embedder([(0,)] * 3)
    with torch.no_grad():
        output = unet.eval()(x_t, level, encoder_hidden_states=context).sample
        found = predict_noise(prior.unet, None, x_t, None, level, context)
    torch.testing.assert_close(found, noise_of_velocity(x_t, output, level), rtol=1e-4, atol=1e-4)


def test_published_sizes_are_those_of_stable_diffusion() -> None:
    """The values of its unet/config.json, in which `attention_head_dim` counts heads."""
    published = {
        "in_channels": 4,
        "block_out_channels": [320, 640, 1280, 1280],
        "attention_head_dim": [5, 10, 20, 20],
        "layers_per_block": 2,
        "down_block_types": ["CrossAttnDownBlock2D"] * 3 + ["DownBlock2D"],
        "cross_attention_dim": 1024,
    }
    assert prior_import._unet_settings(published) == UnetSettings()


# ----- training on it


def train(
    folder: Path,
    imported: Path,
    pool: TrainingData,
    device: str = "cpu",
    precision: str = "float32",
    **keys: Any,
) -> None:
    schedule = dataclasses.replace(icmh.SCHEDULE, steps=2, checkpoint_every=9, precision=precision)
    frozen = load_frozen(imported, imported / "prior.safetensors", device)
    train_codec.make_codec(
        folder, frozen, schedule, pool,
        Session(folder / "c.pt", folder / "losses.csv", device=device, **keys), stage=1,
        weights=icmh.WEIGHTS, source_tags={"pictures": ("cat",)}, crop=icmh.CROP,
        settings=LFGCM, control=ControlSettings(ratio=1.0, head_width=16),
        decoding=PUBLISHED_DECODING,
    )  # fmt: skip


def test_both_losses_run_through_the_frozen_network(imported: Path, pool: TrainingData) -> None:
    """SC and the noise, conditioned on texts; nothing frozen has a gradient."""
    frozen = load_frozen(imported, imported / "prior.safetensors", "cpu")
    network = train_codec.CodecNetworks(
        train_codec.build_lfgcm(LFGCM, 1),
        train_codec.build_control(frozen.prior.settings, ControlSettings(head_width=16), 2),
    )
    train_codec._copy_encoder(network.control, frozen.prior)
    assert torch.equal(
        network.control.encoder.conv_in.weight[:, 4:], frozen.prior.unet.conv_in.weight
    )
    losses = []
    for tags in ([(0,), (1, 2)], [(), ()]):
        network.zero_grad()
        torch.manual_seed(1)
        level = torch.tensor([100, 700])
        terms = codec_losses(network, frozen, icmh.batch_of(pool), tags, level, 1, icmh.WEIGHTS)
        terms["semantic"].backward(retain_graph=True)
        codec = network.lfgcm.g_s.g_s4.weight.grad.clone()
        assert float(codec.abs().max()) > 0
        assert all(p.grad is None for p in network.control.parameters())
        terms["loss"].backward()
        assert float(network.control.mid_zero.weight.grad.abs().max()) > 0
        losses.append(terms)
    assert losses[0]["noise"] != losses[1]["noise"]
    assert losses[0]["semantic"] != losses[1]["semantic"]
    held = [*frozen.prior.parameters(), *frozen.model.network.parameters()]
    assert all(p.grad is None and not p.requires_grad for p in held)


def test_a_codec_trained_on_it_codes(imported: Path, pool: TrainingData, tmp_path: Path) -> None:
    """The model folder that a run leaves: imported parts, and trained ones."""
    folder = tmp_path / NAME
    shutil.copytree(imported, folder)
    train(folder, imported, pool, micro_batch=1, recompute=True)
    codec = DiffIcmh(models=tmp_path)
    stream = codec.encode(make_picture(64, 64), rate=2, tags="cat+hat")
    assert dict(codec.describe(stream))["tags"] == "cat, hat"
    assert codec.decode(stream, steps=2).shape == (64, 64, 3)
    assert codec.model.codec.defaults == PUBLISHED_DECODING


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_it_trains_on_fake_cuda(
    precision: str, imported: Path, pool: TrainingData, tmp_path: Path
) -> None:
    """Texts, micro-batches and recomputed activations: nothing is left on the CPU."""
    keys = {"micro_batch": 1, "recompute": True, "precision": precision}
    train(tmp_path / "cpu", imported, pool, **keys)
    with fake_cuda() as machine:
        train(tmp_path / "cuda", imported, pool, "cuda", **keys)
        assert machine.operations > 1000
    losses = [pd.read_csv(tmp_path / name / "losses.csv") for name in ("cpu", "cuda")]
    np.testing.assert_allclose(losses[1].iloc[0], losses[0].iloc[0], rtol=2e-3, atol=1e-6)


def test_a_prior_of_another_latent_is_refused_at_once(
    imported: Path, tmp_path: Path, models: Path
) -> None:
    from icmbench.models.autoencoder import build_autoencoder
    from icmbench.models.tensors import save_network

    own = dataclasses.replace(icmh.AUTOENCODER, latent=8)
    about = {"network": own.values(), "mean": [0.0] * 8, "std": [1.0] * 8}
    save_network(
        tmp_path / "autoencoder.safetensors", build_autoencoder(own, 1).state_dict(), about
    )
    text = r"prior\.safetensors: it is of a latent of 4 channels, the autoencoder .* has 8"
    with pytest.raises(ModelError, match=text):
        load_frozen(tmp_path, imported / "prior.safetensors", "cpu")


# ----- what is refused


def edit(name: str, **changes: Any) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        path = folder / name
        path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))

    return change


def without(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


def drop_tensor(name: str, key: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        state = load_file(folder / name)
        del state[key]
        save_file(state, folder / name)

    return change


WEIGHTS = "unet/diffusion_pytorch_model.safetensors"
UNET, VAE, TEXT = (f"{name}/config.json" for name in ("unet", "vae", "text_encoder"))
SCHEDULER = "scheduler/scheduler_config.json"
PLANNED = [
    (edit(VAE, latent_channels=8), r"unet/config\.json: in_channels is 4, but latent_channels"),
    (edit(TEXT, hidden_size=64), r"cross_attention_dim is 32, but hidden_size"),
    (edit(UNET, _class_name="Flux2"), r"_class_name is 'Flux2', expected 'UNet2D"),
    (edit(TEXT, architectures=["T5"]), r"architectures is \['T5'\], expected"),
    (without("vae/config.json"), r"no vae/config\.json; expected a folder of diffusers"),
    (without(WEIGHTS), r"unet: config\.json without weights"),
    (without("tokenizer/merges.txt"), r"merges\.txt: no such file"),
]  # fmt: skip
FOUND = [
    (edit(UNET, use_linear_projection=False), r"use_linear_projection is False, expected True"),
    (edit(UNET, attention_head_dim=8), r"no network is of these sizes: .*different widths"),
    (edit(UNET, class_embed_type="timestep"), r"class_embed_type is 'timestep', expected None"),
    (edit(SCHEDULER, prediction_type="sample"), r"prediction_type is 'sample', not epsilon or"),
    (edit(SCHEDULER, beta_end=0.02), r"beta_end is 0.02, expected 0.012"),
    (drop_tensor(WEIGHTS, "conv_in.bias"), r"tensor 'conv_in\.bias' is missing"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "text"), [*PLANNED, *FOUND])
def test_what_does_not_fit_is_named(
    change: Any, text: str, published: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "sd"
    shutil.copytree(published / "sd", folder)
    change(folder)
    with pytest.raises(ModelError, match=text):
        import_prior(tmp_path / "out", prior_files(folder, None, folder / "tags.txt"))
    assert not (tmp_path / "out").exists()
    if (change, text) in PLANNED:
        with pytest.raises(IcmbenchError, match=text):
            plan(folder)


def plan(source: Path, **changes: Any) -> Any:
    prior = {"from": str(source), "tags": str(source / "tags.txt"), **changes.pop("prior", {})}
    section = {"prior": prior, "stage_1": {"steps": 2}, **changes.pop("diff_icmh", {})}
    return make_run({**ICMH, "training": {"diff_icmh": section, **changes}})


def test_a_run_imports_and_trains(published: Path) -> None:
    run = plan(published / "sd", compute={"processes": 4})
    assert run.training.trained["diff_icmh"] == ("prior", "stage_1")
    assert run.training.trained["mpd"] == ()
    assert any("trained from scratch, though" in notice for notice in run.notices)
    parts = Parts(Plan(run))
    weights = parts.icmh_outputs("prior")["weights"]
    assert weights[0].endswith("diff-icmh/prior.safetensors")
    inputs = parts.stage_inputs("stage_1", "main")
    assert {inputs["prior"], *inputs["words"], inputs["autoencoder"]} == {*weights}
    assert "bundled" not in inputs
    assert parts.icmh_settings("stage_1")["start"] == "scratch"
    assert parts.shared_files()[1] == []
    assert not any("tagger" in file for file in Plan(run).model_files("diff-icmh"))


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"diff_icmh": {"stage_1": {"steps": 0}}}, r"from imports another latent, but .*stage_1"),
        ({"prior": {"steps": 3}}, r"prior\.steps: 3, but .* imports a network that stays frozen"),
        ({"diff_icmh": {"tagger": {"steps": 3}, "stage_1": {"steps": 2}}}, r"tagger\.steps: 3"),
        ({"prior": {"channels": [32]}}, r"prior\.channels: an imported prior has its own sizes"),
        ({"prior": {"tags": None}}, r"a prior of texts needs names of tags"),
        ({"compute": {"processes": 9}}, r"stage_1\.batch: 6 for the 9 processes"),
        (
            {"diff_icmh": {"stage_1": {"steps": 2}, "lfgcm": {"slices": [8, 8]}}},
            r"slices: they add up to 16, latent is 64",
        ),
    ],
)  # fmt: skip
def test_what_a_run_cannot_do_is_refused(changes: Any, text: str, published: Path) -> None:
    with pytest.raises(IcmbenchError, match=text):
        plan(published / "sd", **changes)


def test_tags_of_points_are_those_of_the_file(published: Path) -> None:
    points = [{"rate": [1], "tags": "cat+hot air balloon"}]
    section = {
        "prior": {"from": str(published / "sd"), "tags": str(published / "sd" / "tags.txt")},
        "stage_1": {"steps": 2},
    }
    config = {**ICMH, "codecs": {"diff-icmh": {"points": points}}}
    with pytest.raises(IcmbenchError, match="hot air balloon"):
        make_run({**config, "training": {"diff_icmh": section}})


def test_a_checkpoint_needs_a_tokenizer_and_its_own_latent(published: Path, tmp_path: Path) -> None:
    tags = published / "sd" / "tags.txt"
    with pytest.raises(ModelError, match="a checkpoint holds no tokenizer: set `tokenizer`"):
        prior_files(published / "sd.ckpt", None, tags)
    with pytest.raises(ModelError, match="no such file or folder"):
        prior_files(tmp_path / "sd.ckpt", None, tags)
    with pytest.raises(ModelError, match=r"it has config\.json of a AutoencoderKL, and no unet"):
        prior_files(published / "sd" / "vae", None, tags)
    state = torch.load(published / "sd.ckpt", weights_only=True)["state_dict"]
    name = "first_stage_model.decoder.conv_in.weight"
    state[name] = torch.cat([state[name]] * 2, 1)
    save_file({k: v.contiguous() for k, v in state.items()}, tmp_path / "sd.safetensors")
    text = r"sd\.safetensors: the latent's channels differ: .*blocks\.0\.0\.weight has 4, .* has 8"
    with pytest.raises(ModelError, match=text):
        prior_files(tmp_path / "sd.safetensors", published / "sd" / "tokenizer", tags)


def test_sizes_belong_to_a_training_from_scratch() -> None:
    with pytest.raises(
        ConfigError, match=r"lfgcm\.hyper: 16, but the training starts from the bund"
    ):
        make_run(
            {**ICMH, "training": {"diff_icmh": {"stage_2": {"steps": 1}, "lfgcm": {"hyper": 16}}}}
        )


def test_published_defaults_are_keys() -> None:
    """The published codec's sizes fit the section's limits; its defaults are the small one's."""

    defaults = {name: key["default"] for name, key in keys.LFGCM["properties"].items()}
    small = train_codec.SMALL.values()
    names = {"side": "prior"}
    assert defaults == {name: small[names.get(name, name)] for name in defaults}
    assert {k: v["default"] for k, v in keys.CONTROL["properties"].items()} == {
        "ratio": ControlSettings().ratio,
        "head_width": ControlSettings().head_width,
    }
    assert sum(LfgcmSettings().slices) == LfgcmSettings().latent


def test_files_of_another_prior_are_removed(tmp_path: Path) -> None:
    """Their presence would decide what is loaded; the tagger of a trained prior stays."""
    home = tmp_path / NAME
    texts = [home / name for name in ("text.safetensors", *LAYOUT.texts)]
    for imported in (True, False):
        for path in (*texts, home / "tagger.safetensors"):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        own = [home / "prior.safetensors", *(texts if imported else [])]
        _remove_others(TrainingJob(weights=own, settings={"imported": imported}))
        assert (home / "tagger.safetensors").exists() is not imported
        assert {path.exists() for path in texts} == {imported}


def test_noise_of_a_velocity_in_half_precision() -> None:
    """At the first timesteps, too, where the weight of x_t is below the steps of bfloat16."""
    generator = torch.Generator().manual_seed(0)
    latent, noise = (torch.randn((64, 4, 8, 8), generator=generator) for _ in range(2))
    level = torch.zeros(64, dtype=torch.int64)
    x_t = add_noise(latent, noise, level)
    share = torch.from_numpy(alphas_cumprod())[0].float()
    velocity = share.sqrt() * noise - (1 - share).sqrt() * latent
    found = noise_of_velocity(x_t, velocity.bfloat16(), level)
    rounded = (velocity.bfloat16().float() - velocity).square().mean().sqrt()
    assert (found - noise).square().mean().sqrt() < 1.1 * rounded
