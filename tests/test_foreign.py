"""Published autoencoders in MPD: strict import, statistics, and a model of parts that fit."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from conftest import make_picture
from diffusers import AutoencoderKL
from official import REAL, needs
from published_autoencoders import FORMATS, KL, LDM, rewrite, write_published
from running import snakemake, succeed
from safetensors.torch import save_file
from test_import_diff_icmh import published_vae
from tiny_model import make_tiny_model

from icmbench.codecs.mpd.codec import Mpd
from icmbench.codecs.mpd.model_folder import (
    AUTOENCODER,
    LAYOUT,
    bundled,
    check_together,
    part_file,
)
from icmbench.codecs.mpd.palette import hierarchy
from icmbench.codecs.mpd.training import imported
from icmbench.codecs.mpd.training.imported import import_autoencoder
from icmbench.config.parts import Parts
from icmbench.config.plan import Plan
from icmbench.config.run import announcements, make_run
from icmbench.config.weights_names import weights_names
from icmbench.core.errors import ConfigError, IcmbenchError, ModelError
from icmbench.core.files import sha256_file, write_json
from icmbench.core.images.image_files import read_image
from icmbench.core.typed_csv import read_table
from icmbench.evaluation.codec_process import CodecProcess, Setup
from icmbench.jobs.bundled_or_trained import TrainingJob, bundled_or_trained
from icmbench.jobs.train_autoencoder import train_autoencoder
from icmbench.jobs.train_contexts import train_contexts
from icmbench.jobs.train_reverse import train_reverse
from icmbench.jobs.training_pool import training_pool
from icmbench.models.card import model_card
from icmbench.models.foreign import read_foreign
from icmbench.models.foreign_files import foreign_files
from icmbench.models.headers import read_header
from icmbench.models.latent import LIMIT, SCALE
from icmbench.models.latent_autoencoder import load_autoencoder
from icmbench.models.tensors import load_arrays, save_arrays
from icmbench.models.tile_error import tile_error
from icmbench.training.data import TrainingData

pytestmark = pytest.mark.usefixtures("one_thread")


def training_data(count: int = 3, side: int = 256) -> TrainingData:
    images = tuple(make_picture(side, side + 16, seed) for seed in range(count))
    return TrainingData(images, "digest", (("made", count),), ("made: none",))


@pytest.fixture(autouse=True)
def heavy_tails(monkeypatch: pytest.MonkeyPatch) -> None:
    """Random networks have outliers where pictures are smooth; the limit has a test of its own."""
    monkeypatch.setattr(imported, "MAX_CLIPPED", 0.05)


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, torch.nn.Module]]:
    home = tmp_path_factory.mktemp("published")
    return {kind: write_published(kind, home / kind) for kind in FORMATS}


@pytest.mark.parametrize("kind", FORMATS)
def test_an_imported_network_computes_as_its_own_library_does(
    kind: str, published: dict[str, tuple[Path, torch.nn.Module]], tmp_path: Path
) -> None:
    """Latents and images; the statistics are those of the latents over the training data."""
    source, network = published[kind]
    data, path = training_data(), tmp_path / "autoencoder.safetensors"
    import_autoencoder(path, source, data)
    model = load_autoencoder(path)
    pixels = torch.from_numpy(data.images[0].transpose(2, 0, 1)[None] / np.float32(127.5) - 1)
    with torch.no_grad():
        encoded = network.encode(pixels)
        z = encoded.latents if kind == "tiny" else encoded.latent_dist.mode()
        shown = network.decode(z).sample[0].permute(1, 2, 0).numpy()
    z = z[0].permute(1, 2, 0).numpy()
    expected = (z - model.mean) / model.std
    latent = model.scaled_latent(data.images[0]) / SCALE
    assert np.abs(latent - expected).max() < 2e-3
    image = model.image(expected, data.images[0].shape[:2]).astype(float)
    assert np.abs(image - np.clip((shown + 1) * 127.5, 0, 255)).max() < 0.6
    crops = [model.scaled_latent(image[:, 8:264]) / SCALE for image in data.images]
    cells = np.concatenate([crop.reshape(-1, model.channels) for crop in crops])
    assert np.abs(cells.mean(0)).max() < 1e-3
    assert np.abs(cells.std(0) - 1).max() < 1e-3
    about = read_header(path)["provenance"]
    assert about["from"] == {f.name: sha256_file(f) for f in foreign_files(source).files}
    assert about["clipped"] == pytest.approx(
        np.mean(np.abs(np.rint(cells * SCALE)) > LIMIT), rel=1e-3
    )
    assert about["tiles"]["images"] == 3
    import_autoencoder(tmp_path / "again", source, data)
    assert (tmp_path / "again").read_bytes() == path.read_bytes()


def test_attention_weights_of_older_diffusers_are_the_same(
    published: dict[str, tuple[Path, torch.nn.Module]], tmp_path: Path
) -> None:
    source = Path(shutil.copytree(published["kl"][0], tmp_path / "old"))
    weights = source / "diffusion_pytorch_model.safetensors"
    new = AutoencoderKL.from_pretrained(source).state_dict()
    former = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
    change: dict[str, torch.Tensor | None] = {}
    for name, tensor in new.items():
        for ours, old in former.items():
            if f".attentions.0.{ours}." in name:
                change |= {name: None, name.replace(ours, old): tensor}
    assert len(change) == 32
    rewrite(weights, change)
    found, expected = read_foreign(source).tensors, read_foreign(published["kl"][0]).tensors
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    rewrite(weights, {"decoder.mid_block.attentions.0.to_q.bias": torch.zeros(8)})
    with pytest.raises(ModelError, match=r"attentions\.0\.\w+\.bias' is there twice"):
        read_foreign(source)


def test_a_first_stage_alone_has_names_without_prefix(tmp_path: Path) -> None:
    """Of 16 channels and without convolutions around the latent, beside losses of its training."""
    settings = {**LDM, "latent_channels": 16, "use_quant_conv": False, "use_post_quant_conv": False}
    network = AutoencoderKL(**settings)
    state = {**published_vae(network.state_dict()), "loss.logvar": torch.zeros(())}
    path = tmp_path / "ae.safetensors"
    save_file({name: tensor.bfloat16().contiguous() for name, tensor in state.items()}, path)
    foreign = read_foreign(path)
    assert foreign.tensors.keys() == network.state_dict().keys()
    assert {tensor.dtype for tensor in foreign.tensors.values()} == {torch.float32}
    assert foreign.settings["latent_channels"] == 16
    rewrite(path, {"discriminator.weight": torch.zeros(2)})
    with pytest.raises(ModelError, match=r"discriminator\.weight: not one of a first stage of 4"):
        read_foreign(path)


FIRST = "first_stage_model."


@pytest.mark.parametrize(
    ("kind", "file", "change", "message"),
    [
        ("kl", "diffusion_pytorch_model.safetensors", {"encoder.conv_in.bias": None},
         r"kl: 1 tensor is .*:\n  encoder\.conv_in\.bias: missing"),
        ("kl", "diffusion_pytorch_model.safetensors", {"extra": torch.zeros(2)},
         r"extra: of the shape \(2,\), not one of the network's"),
        ("tiny", "diffusion_pytorch_model.bin", {"decoder.layers.0.bias": torch.zeros(9)},
         r"decoder\.layers\.0\.bias: of the shape \(9,\), expected \(8,\)"),
        ("tiny", "diffusion_pytorch_model.bin",
         {"decoder.layers.0.bias": torch.full((8,), torch.nan)},
         r"decoder\.layers\.0\.bias' holds a value that is not finite"),
        ("ldm", "", {f"{FIRST}encoder.down.1.block.1.conv2.bias": None},
         r"encoder\.down\.1\.block\.1\.conv2\.bias: missing"),
        ("ldm", "", {f"{FIRST}encoder.down.4.block.0.conv2.bias": torch.zeros(2)},
         r"first_stage_model\.encoder\.down\.4\.block\.0\.conv2\.bias: not one of a first stage"),
        ("ldm", "", {f"{FIRST}decoder.conv_in.weight": None},
         r"first_stage_model\.decoder\.conv_in\.weight is missing"),
        ("ldm", "", {f"{FIRST}quant_conv.bias": torch.zeros(2)},
         r"quant_conv\.bias: of the shape \(2,\), expected \(6,\)"),
        ("taesd", "taex_decoder.pth", {"3.pool.1.weight": None},
         r"decoder\.3\.pool\.1\.weight: missing"),
        ("taesd", "taex_encoder.pth", {"20.weight": torch.zeros(8, 8, 3, 3)},
         r"5 and 4 resolutions of encoder and decoder, expected 4"),
        ("taesd", "taex_encoder.pth", {"1.conv.2.weight": torch.zeros(8, 9, 3, 3)},
         r"encoder\.1\.conv\.2\.weight: of the shape \(8, 9, 3, 3\), expected \(8, 8, 3, 3\)"),
        ("taesd", "taex_encoder.pth", {"1.conv.2.weight": torch.zeros(8, 8, 3, 3).int()},
         r"1\.conv\.2\.weight' holds int32, not weights"),
    ],
)  # fmt: skip
def test_every_tensor_is_accounted_for(
    kind: str, file: str, change: dict[str, Any], message: str,
    published: dict[str, tuple[Path, torch.nn.Module]], tmp_path: Path,
) -> None:  # fmt: skip
    """The error names file and tensor, what was expected and what was found."""
    given = published[kind][0]
    home = given if given.is_dir() else given.parent
    copy = Path(shutil.copytree(home, tmp_path / kind))
    source = copy if given.is_dir() else copy / given.name
    rewrite(copy / file if file else source, change)
    with pytest.raises(ModelError, match=message) as caught:
        read_foreign(source)
    assert str(copy) in str(caught.value)


def test_what_is_no_autoencoder_is_refused(tmp_path: Path) -> None:
    def refused(message: str, path: Path = tmp_path) -> None:
        with pytest.raises(ModelError, match=message):
            read_foreign(path)

    refused(r"it has neither config\.json nor \*_encoder\.pth; expected a folder with")
    refused("no such file or folder", tmp_path / "none")
    (tmp_path / "a.onnx").touch()
    refused(r"a file \.onnx; expected", tmp_path / "a.onnx")
    (tmp_path / "a_encoder.pth").touch()
    refused(r"a_encoder\.pth without a_decoder\.pth")
    (tmp_path / "b_encoder.pth").touch()
    refused(r"it has a_encoder\.pth, b_encoder\.pth; expected")
    config = tmp_path / "config.json"
    config.write_text("[")
    refused(r"config\.json without weights")
    (tmp_path / "diffusion_pytorch_model.bin").touch()
    refused("damaged or not JSON")
    write_json(config, {"_class_name": "UNet2DModel"})
    refused("_class_name is 'UNet2DModel', expected AutoencoderKL or AutoencoderTiny")
    write_json(config, {"_class_name": "AutoencoderKL", "planes": 3})
    refused("key 'planes' is not known for AutoencoderKL")
    torch.save({"a.weight": torch.zeros(3)}, tmp_path / "diffusion_pytorch_model.bin")
    write_json(config, {"_class_name": "AutoencoderKL", "layers_per_block": 10**9})
    refused("layers_per_block is 1000000000, no tensor is of that size")
    write_json(config, {"_class_name": "AutoencoderKL", "layers_per_block": "2"})
    refused("no diffusers-kl network is of these sizes: TypeError")


def test_a_latent_of_another_size_is_refused(tmp_path: Path) -> None:
    """At 1/4, with three resolutions: the stream's cells are of 8 pixels."""
    blocks = {key: KL[key][:3] for key in ("down_block_types", "up_block_types")}
    AutoencoderKL(**{**KL, **blocks, "block_out_channels": (8, 8, 8)}).save_pretrained(tmp_path)
    with pytest.raises(ModelError, match=r"becomes \(3, 16, 16\) .* expected a latent at 1/8"):
        import_autoencoder(tmp_path / "a", tmp_path, training_data())
    assert not (tmp_path / "a").exists()


def test_no_value_is_clipped_silently(
    published: dict[str, tuple[Path, torch.nn.Module]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The random network has 0.26 % of its values beyond the range, at the edges of images."""
    data = training_data()
    path = tmp_path / "a"
    monkeypatch.setattr(imported, "MAX_CLIPPED", 0.001)
    with pytest.raises(ModelError, match=r"% of the latent values .* beyond 4 standard deviations"):
        import_autoencoder(path, published["kl"][0], data)
    assert not path.exists()
    monkeypatch.setattr(imported, "MAX_CLIPPED", 1.0)
    with caplog.at_level("INFO"):
        import_autoencoder(path, published["kl"][0], data)
    share = read_header(path)["provenance"]["clipped"]
    assert share > 0.001
    assert f"{100 * share:.4f} % of the latent values are beyond 4 standard" in caplog.text


def test_tiles_of_a_network_that_normalises_over_the_image_differ(
    published: dict[str, tuple[Path, torch.nn.Module]],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The bundled network is within the bounds; no image is cut with two equal tiles."""
    own = load_autoencoder(part_file(bundled(), "autoencoder"))
    found = tile_error(own, training_data(2).images)
    assert found.agrees
    assert found.latent > 0  # it was cut at all
    assert found.images == 2
    assert tile_error(own, [make_picture(64, 64, 1)]).images == 0
    sizes = []
    model = SimpleNamespace(
        mean=own.mean, std=own.std, device="cpu",
        network=SimpleNamespace(
            encode=lambda x: (sizes.append(x.shape[2:]), own.network.encode(x))[1],
            decode=own.network.decode,
        ),
    )  # fmt: skip
    tile_error(model, [np.zeros((40, 5000, 3), np.uint8)])  # type: ignore[arg-type]
    assert max(width for _, width in sizes) == 1024  # the middle of a large image
    import_autoencoder(tmp_path / "a", published["kl"][0], training_data())
    tiles = read_header(tmp_path / "a")["provenance"]["tiles"]
    assert not tiles["agrees"]
    assert tiles["latent"] > tiles["latent_bound"]
    assert "images above 4.2 MP are cut, and edges of tiles may show" in caplog.text


def test_squared_distances_of_many_coordinates_fit() -> None:
    """33 coordinates at both ends of 16 bits: their squared distance is beyond 32 bits."""
    rng = np.random.default_rng(1)
    points = rng.choice([-32768, 32767], (4096, 40)).astype(np.int16)
    points[::2] = points[:1] // 2 + rng.integers(-9, 9, (2048, 40))
    reduced = points >> 3
    centres = reduced[:64].astype(np.int32)
    distance = np.empty(64, np.int64)
    owner = hierarchy._nearest(reduced.astype(np.int32), centres.T.copy(), distance)
    exact = ((reduced[:, None].astype(np.int64) - centres[None]) ** 2).sum(2).argmin(1)
    assert np.array_equal(owner, exact)
    assert hierarchy._NARROW * (2**13 - 1) ** 2 < 2**31 <= (hierarchy._NARROW + 1) * (2**13) ** 2


# ----- A run's own model


def run_config(home: Path, source: Path, **autoencoder: Any) -> dict[str, Any]:
    return {
        "results": str(home),
        "datasets": {"scenes": {"test": 1}},
        "codecs": {"mpd": {"points": [{"state": [7, 0]}]}},
        "metrics": ["psnr_rgb"],
        "training": {
            "crop": 64,
            "data": {"scenes": {"type": "scenes", "size": 144, "train": 3}},
            "mpd": {
                "autoencoder": {"from": str(source), **autoencoder},
                "contexts": {"images": 2},
                "reverse": {"steps": 2, "batch": 2, "crop": 64, "channels": 8, "blocks": 1},
            },
        },
    }


JOBS = {
    "autoencoder": train_autoencoder,
    "contexts": train_contexts,
    "reverse": train_reverse,
}


def make_model(home: Path, source: Path, **autoencoder: Any) -> Path:
    """The jobs of a run, with the inputs, outputs and settings of its rules."""
    run = make_run(run_config(home, source, **autoencoder))
    parts = Parts(Plan(run))
    for part, train in JOBS.items():
        files = {**parts.mpd_inputs(part), **parts.mpd_outputs(part)}
        for records, images in zip(files["records"], files["images"], strict=True):
            if not Path(records).exists():
                training_pool(
                    "scenes", entry=run.config["training"]["data"]["scenes"], downloads=home,
                    results=home, records=Path(records), images=Path(images),
                )  # fmt: skip
        files = {
            name: Path(value) if isinstance(value, str) else [Path(each) for each in value]
            for name, value in files.items()
            if name != "published"
        }
        settings = parts.mpd_settings(part)
        job = TrainingJob(settings=settings, checkpoint=parts.checkpoint(part), **files)
        bundled_or_trained(train, job)
    return home / "models"


@pytest.mark.parametrize("kind", FORMATS)
def test_a_published_autoencoder_makes_a_whole_model(
    kind: str, published: dict[str, tuple[Path, torch.nn.Module]], tmp_path: Path
) -> None:
    """Configuration, jobs, a stream: encoded, truncated, decoded by a fresh process."""
    source, _ = published[kind]
    models = make_model(tmp_path, source)
    home = models / "mpd"
    assert not list((tmp_path / "training").glob("autoencoder*"))
    autoencoder = sha256_file(part_file(home, "autoencoder"))
    for part in ("contexts", "reverse"):
        assert read_header(part_file(home, part))[AUTOENCODER] == autoencoder
    assert read_header(part_file(home, "reverse"))["provenance"]["start"] == "scratch"
    codec, image = Mpd(models=models), make_picture(120, 136, 7)
    stream = codec.encode(image)
    short = codec.truncate(stream, state=4)
    assert len(short) < len(stream)
    path = tmp_path / "s.icb"
    with CodecProcess(Setup("mpd", models=models)) as process:
        for file in (short, stream):  # a process that has the model folder and the file
            path.write_bytes(file)
            answer = process.call("decode", [], path=str(path))
            assert np.array_equal(answer["image"], codec.decode(file))
    card = model_card(LAYOUT, home, start="bundled")
    made = card["made_by"]
    assert "autoencoder.safetensors imported from" in made
    assert "contexts.safetensors, reverse.safetensors trained from scratch" in made
    about = card["files"]["autoencoder.safetensors"]["provenance"]
    assert {"clipped", "tiles"} < about.keys()
    json.dumps(card)


def test_parts_of_different_models_are_refused(tmp_path: Path) -> None:
    """The error names both files; the bundled ones state the bundled autoencoder's digest.

    A file that states none, as the bundled ones of before, belongs to the bundled autoencoder.
    """
    home = make_tiny_model(tmp_path)
    check_together(home, ("contexts", "reverse"))
    check_together(bundled(), ("contexts", "reverse", "features-fft", "features-mean"))
    owner = sha256_file(part_file(bundled(), "autoencoder"))
    for part in ("contexts", "reverse"):
        assert read_header(part_file(bundled(), part))[AUTOENCODER] == owner
    path = part_file(home, "contexts")
    arrays, metadata = load_arrays(path)
    for stated, whose in (({AUTOENCODER: "0" * 64}, "sha256 0000"), ({}, "the bundled one")):
        save_arrays(path, arrays, {**metadata, AUTOENCODER: None, **stated} if stated else {})
        with pytest.raises(ModelError, match=whose) as caught:
            Mpd(models=tmp_path)
        for name in (str(path), str(part_file(home, "autoencoder")), "train contexts for this"):
            assert name in str(caught.value)
    save_arrays(path, arrays, metadata)
    Mpd(models=tmp_path)
    arrays, metadata = load_arrays(part_file(home, "reverse"))  # the bundled one has more channels
    save_arrays(part_file(home, "reverse"), arrays, {**metadata, AUTOENCODER: owner})
    with pytest.raises(ModelError, match=r"reverse.safetensors belongs to another autoencoder"):
        Mpd(models=tmp_path)
    shutil.copy(part_file(bundled(), "features-fft"), part_file(home, "features-fft"))
    home = make_tiny_model(tmp_path / "again")
    shutil.copy(part_file(bundled(), "features-fft"), part_file(home, "features-fft"))
    with pytest.raises(ModelError, match=r"features-fft.safetensors belongs to another"):
        check_together(home, ("features-fft",))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"mpd.autoencoder.steps": 5}, r"autoencoder\.steps: 5, but `from` imports .*to 0"),
        ({"mpd.contexts.images": 0}, r"from imports a new latent, but .*contexts\.images"),
        ({"mpd.reverse.steps": 0}, r"reverse\.steps is 0: the bundled part belongs"),
        ({"mpd.autoencoder.latent": 8}, r"autoencoder\.latent: an imported network has its own"),
        ({"mpd.autoencoder.from": "/none"}, r"/none: no such file or folder; expected a folder"),
        ({"mpd.vgg.channels": [8] * 5}, r"vgg\.channels: .* starts from the bundled network"),
        ({"mpd.features.dims": 4, "mpd.features.embedding": 3}, r"features\.dims: 4, but emb"),
    ],
)  # fmt: skip
def test_the_configuration_of_an_import_is_checked(
    change: dict[str, Any], message: str,
    published: dict[str, tuple[Path, torch.nn.Module]], tmp_path: Path,
) -> None:  # fmt: skip
    config = run_config(tmp_path, published["kl"][0])
    for key, value in change.items():
        part = config["training"]
        *inner, last = key.split(".")
        for name in inner:
            part = part.setdefault(name, {})
        part[last] = value
    with pytest.raises(IcmbenchError, match=message):
        make_run(config)


def test_sizes_need_a_training_from_scratch(tmp_path: Path) -> None:
    config = run_config(tmp_path, tmp_path)
    config["training"]["mpd"]["autoencoder"] = {"steps": 1, "encoder": [8, 16]}
    for name in ("channels", "blocks"):
        config["training"]["mpd"]["reverse"].pop(name)
    with pytest.raises(ConfigError, match=r"autoencoder\.encoder: \[8, 16\], but"):
        make_run(config)
    config["training"]["start"] = "scratch"
    settings = Parts(Plan(make_run(config))).mpd_settings("autoencoder")
    given = [settings[name] for name in ("latent", "carried", "encoder", "decoder", "blocks")]
    assert given == [16, 6, [8, 16], [160, 80, 48], [4, 2, 2]]


def test_a_run_that_imports_depends_on_every_file_and_says_what_starts_afresh(
    published: dict[str, tuple[Path, torch.nn.Module]], tmp_path: Path
) -> None:
    source, _ = published["taesd"]
    run = make_run(run_config(tmp_path, source))
    parts = Parts(Plan(run))
    files = parts.mpd_inputs("autoencoder")["published"]
    assert files == [str(source / "taex_encoder.pth"), str(source / "taex_decoder.pth")]
    assert "bundled" not in parts.mpd_inputs("autoencoder")
    assert "bundled" not in parts.mpd_inputs("reverse")
    assert parts.mpd_settings("reverse")["start"] == "scratch"
    assert parts.mpd_settings("autoencoder")["from"] == str(source)
    said = [line for line in announcements(run) if "trained from scratch" in line]
    assert len(said) == 1
    assert "training.mpd.reverse: trained from scratch, though training.start" in said[0]
    assert "autoencoder" not in Plan(run).losses
    assert weights_names(run) == {"mpd": "autoencoder taesd, the others trained in this run"}


@pytest.mark.slow
@pytest.mark.workflow
def test_a_run_imports_again_where_a_file_has_changed(tmp_path: Path) -> None:
    """Through Snakemake, without any test's help: the network is within the integer range."""
    source, _ = write_published("tiny", tmp_path / "tiny")
    config = run_config(Path("results"), Path("tiny"))
    config["training"]["data"]["scenes"]["size"] = 256
    targets = ("results/tables/rd.csv", "results/models/mpd/card.json")
    text = succeed(snakemake(tmp_path, config, *targets))
    assert "training.mpd.reverse: trained from scratch, though training.start" in text
    autoencoder = tmp_path / "results" / "models" / "mpd" / "autoencoder.safetensors"
    first = sha256_file(autoencoder)
    rows = read_table(tmp_path / "results" / "tables" / "rd.csv")
    assert sorted(rows["failed"]) == [0, 0]
    assert "Nothing to be done" in succeed(snakemake(tmp_path, config, *targets))
    weights = source / "diffusion_pytorch_model.bin"
    state = torch.load(weights, weights_only=True)
    rewrite(weights, {"decoder.layers.0.bias": state["decoder.layers.0.bias"] + 0.01})
    text = succeed(snakemake(tmp_path, config, *targets))
    assert all(f"rule train_{part}:" in text for part in ("autoencoder", "contexts", "reverse"))
    assert sha256_file(autoencoder) != first


# ----- The published file


@needs(REAL / "weights" / "taesd", REAL / "kodak")
def test_taef2_decodes_photographs() -> None:
    """A transposed axis, a wrong block or range would cost more than 10 dB."""
    foreign = read_foreign(REAL / "weights" / "taesd")
    assert foreign.settings == {
        "latent": 32, "width": 64, "encoder": [1, 3, 3, 3], "decoder": [3, 3, 3, 1], "pool": 256
    }  # fmt: skip
    from icmbench.models.latent_autoencoder import build_layout

    network = build_layout(foreign.layout, foreign.settings)
    network.load_state_dict({name: tensor.float() for name, tensor in foreign.tensors.items()})
    image, _ = read_image(REAL / "kodak" / "kodim03.png")
    pixels = torch.from_numpy(image.transpose(2, 0, 1)[None] / np.float32(127.5) - np.float32(1))
    with torch.no_grad():
        shown = network.decode(network.encode(pixels).latent_dist.mode()).sample
    error = float(((shown.clamp(-1, 1) - pixels) ** 2).mean()) / 4
    assert -10 * np.log10(error) == pytest.approx(33.2, abs=0.1)
