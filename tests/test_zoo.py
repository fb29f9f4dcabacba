"""Codecs of CompressAI's zoo: reading of published files, streams, model folders, devices."""

from __future__ import annotations

import itertools
import subprocess
import sys
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import make_picture
from fake_cuda import fake_cuda
from safetensors.torch import load_file
from tiny_zoo import (
    GOLDEN,
    MARGIN,
    QUALITY,
    SIZE,
    M,
    N,
    golden_arrays,
    learned,
    least_tie,
    old_names,
    published,
    tiny_model,
    tiny_zoo_models,
    write_checkpoint,
)
from torch import Tensor

from icmbench.bitstream import container
from icmbench.cli.main import main
from icmbench.codecs.registry import codec_class, recognise
from icmbench.codecs.zoo.base import ZooCodec
from icmbench.codecs.zoo.importing import import_checkpoint
from icmbench.codecs.zoo.model_folder import member_folder
from icmbench.codecs.zoo.networks import Gdn, ZooSettings, build_network
from icmbench.codecs.zoo.published import (
    FACTORIZED,
    HYPERPRIOR,
    MEAN,
    METRICS,
    NAMES,
    QUALITIES,
    Training,
    of_file,
)
from icmbench.codecs.zoo.stream import read_sections
from icmbench.core.errors import (
    CodecError,
    ConfigError,
    CorruptStream,
    IcmbenchError,
    ModelError,
    SymbolMismatch,
    TruncatedStream,
    WrongModel,
)
from icmbench.core.images.image_files import read_image, write_png
from icmbench.sources.catalogue import shipped_sources
from icmbench.transfer.pack import _weights_digests

IMAGE = make_picture(*SIZE)


def zoo(name: str, models: Path | None = None, device: str = "cpu") -> ZooCodec:
    codec = codec_class(name)(models=models or tiny_zoo_models(), device=device)
    assert isinstance(codec, ZooCodec)
    return codec


# ----- streams


def test_files_decode_in_a_fresh_process(tmp_path: Path) -> None:
    """A decoder with the file and the model folder alone shows what the encoder's model shows."""
    lines = []
    for name in NAMES:
        codec = zoo(name)
        stream = codec.encode(IMAGE, quality=QUALITY)
        (tmp_path / f"{name}.icb").write_bytes(stream)
        assert recognise(stream) is type(codec)
        paths = f"{str(tmp_path / name)!r} + '.icb', {str(tmp_path / name)!r} + '.png'"
        models = f"'--models', {str(tiny_zoo_models())!r}"
        lines.append(f"assert main(['decode', {paths}, {models}]) == 0")
    code = "\n".join(["from icmbench.cli.main import main", *lines])
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
    for name in NAMES:
        decoded, _ = read_image(str(tmp_path / f"{name}.png"))
        here = zoo(name).decode((tmp_path / f"{name}.icb").read_bytes())
        assert decoded.shape == IMAGE.shape
        assert np.array_equal(decoded, here)
        assert decoded.std() > 5


@pytest.mark.parametrize("name", NAMES)
def test_golden_streams(name: str) -> None:
    """Sections of seeded weights, byte by byte, and their reconstructions."""
    assert least_tie(name) > MARGIN / 2
    golden, found = np.load(GOLDEN), golden_arrays()
    mine = [key for key in golden.files if key.startswith(f"{name}.")]
    assert mine == [key for key in found if key.startswith(f"{name}.")]
    for key in mine:
        if key.endswith(".image"):
            assert np.abs(golden[key].astype(int) - found[key]).max() <= 1
        else:
            assert golden[key].tobytes() == found[key].tobytes(), key
    sections = [golden[key].tobytes() for key in mine[:-1]]
    codec, model = zoo(name), tiny_model(name)
    header = container.image_header(codec.codec_id or 0, model.digest, *SIZE, 64)
    shown = codec.decode(container.pack(header, sections))
    assert np.abs(golden[mine[-1]].astype(int) - shown).max() <= 1


def test_bytes_beyond_the_coders() -> None:
    """A header of 10 bytes (12 for larger images), and 3 or 4 a section."""
    for name in NAMES:
        stream = zoo(name).encode(IMAGE, quality=QUALITY)
        sections = tiny_model(name).encode(IMAGE)
        lengths = sum(1 if len(section) < 128 else 2 for section in sections)
        assert len(stream) == 10 + lengths + 2 * len(sections) + sum(map(len, sections))
        assert len(sections) == (1 if name == FACTORIZED else 2)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("size", [(64, 64), (1, 1), (65, 130), (5, 4300)])
def test_sizes(name: str, size: tuple[int, int]) -> None:
    """Padded and cropped; the last one is folded. Files are as long as the image is complex."""
    codec, image = zoo(name), make_picture(*size)
    stream = codec.encode(image, quality=QUALITY)
    assert codec.decode(stream).shape == image.shape
    assert ("folded", "in 12 strips, coded as 359x60") in codec.describe(stream) or size[0] != 5


def test_padding_does_not_reach_the_decoded_image() -> None:
    """An image and its own continuation by the last row and column are one coded image."""
    small = IMAGE[:64, :60]
    padded = np.pad(small, ((0, 0), (0, 4), (0, 0)), mode="edge")
    for name in NAMES:
        codec = zoo(name)
        one, other = (codec.encode(image, quality=QUALITY) for image in (small, padded))
        assert container.parse(one).sections == container.parse(other).sections
        assert np.array_equal(codec.decode(one), codec.decode(other)[:, :60])


@pytest.mark.parametrize("name", [HYPERPRIOR, MEAN])
def test_another_machine_is_found_out(name: str) -> None:
    """Scales that differ between encoder and decoder are an error, not a picture of noise."""
    codec = zoo(name)
    stream = codec.encode(IMAGE, quality=QUALITY)
    model = codec._model(Training(name, "mse", QUALITY))
    with torch.no_grad():
        model.codec.network.h_s[4].bias += 0.6
    with pytest.raises(SymbolMismatch):
        codec.decode(stream)


def test_what_decides_bits_is_double_and_stays_on_the_cpu() -> None:
    model = tiny_model(MEAN)
    dtypes = {k: v.dtype for k, v in model.codec.network.state_dict().items()}
    assert {k for k, v in dtypes.items() if v == torch.float64} == {
        k for k in dtypes if k.startswith("h_s.")
    }
    z_hat = torch.randn(1, N, 2, 2).double()
    for values in model.codec.network.gaussian_parameters(z_hat):
        assert torch.equal(values * 2**20, (values * 2**20).round())


@pytest.mark.parametrize("name", NAMES)
def test_damaged_streams(name: str) -> None:
    codec = zoo(name)
    stream = codec.encode(IMAGE, quality=QUALITY)
    parsed = container.parse(stream)
    for cut in (3, parsed.header_bytes, len(stream) - 1):
        with pytest.raises(TruncatedStream):
            codec.decode(stream[:cut])
    with pytest.raises(CorruptStream):
        codec.decode(stream[:-1] + bytes([stream[-1] ^ 1]))
    more = container.pack(parsed.header, [*parsed.sections, b""])
    with pytest.raises(CorruptStream, match="sections, a stream of this codec has"):
        codec.decode(more)
    longer = container.pack(parsed.header, [parsed.sections[0] + b"\1", *parsed.sections[1:]])
    with pytest.raises(CorruptStream, match="not what an encoder writes"):
        codec.decode(longer)
    header = container.Header(codec.codec_id or 0, b"nope", SIZE[1], SIZE[0])
    with pytest.raises(WrongModel, match=f"6e6f7065 of {name}, at hand: mse-3; `icmbench fetch"):
        codec.decode(container.pack(header, parsed.sections))
    huge = container.Header(codec.codec_id or 0, parsed.header.weights_digest, 9999, 9999)
    with pytest.raises(CorruptStream, match="the limit is"):
        codec.decode(container.pack(huge, parsed.sections))
    model = codec._model(Training(name, "mse", QUALITY))
    if name != FACTORIZED:
        with pytest.raises(CorruptStream, match="shorter than its digest"):
            read_sections(model.codec, (parsed.sections[0], b"\0"), SIZE)
        digest = bytes([parsed.sections[1][0] ^ 1]) + parsed.sections[1][1:]
        with pytest.raises(SymbolMismatch, match="digest"):
            read_sections(model.codec, (parsed.sections[0], digest), SIZE)


@pytest.mark.parametrize("name", NAMES)
def test_transforms_run_on_cuda(name: str) -> None:
    """Fake CUDA: the transforms run there, what decides bits on the CPU; streams are equal."""
    with fake_cuda() as machine:
        codec, here = zoo(name, device="cuda"), zoo(name)
        before = machine.operations
        stream = codec.encode(IMAGE, quality=QUALITY)
        encoding = machine.operations - before
        assert encoding > 10
        assert stream == here.encode(IMAGE, quality=QUALITY)
        one, other = codec.decode(stream), here.decode(stream)
        assert machine.operations - before > encoding + 10
        assert np.abs(one.astype(int) - other).max() <= 1
        network = codec._model(Training(name, "mse", QUALITY)).codec.network
        where = {k.split(".")[0]: v.device.type for k, v in network.state_dict().items()}
        for part, device in where.items():
            assert device == ("cpu" if part in ("h_s", "entropy_bottleneck") else "cuda"), part


# ----- networks


@pytest.mark.parametrize("inverse", [False, True])
def test_gdn_is_its_formula(inverse: bool) -> None:
    """In float64 from the stored square roots; what is below the bounds counts as the bounds."""
    rng = np.random.default_rng(4)
    layer = Gdn(3, inverse=inverse)
    beta, gamma = rng.uniform(-0.1, 2, 3), rng.uniform(-0.3, 0.8, (3, 3))
    beta[0] = 1e-5
    layer.beta.data, layer.gamma.data = (torch.from_numpy(v).float() for v in (beta, gamma))
    x = rng.standard_normal((2, 3, 4, 5)) * 3
    pedestal = 2.0**-36
    true_beta = np.maximum(beta, np.sqrt(1e-6 + pedestal)) ** 2 - pedestal
    true_gamma = np.maximum(gamma, np.sqrt(pedestal)) ** 2 - pedestal
    norm = true_beta[:, None, None] + np.einsum("ij,njhw->nihw", true_gamma, x**2)
    expected = x * norm ** (0.5 if inverse else -0.5)
    found = layer(torch.from_numpy(x).float()).detach().numpy()
    np.testing.assert_allclose(found, expected, rtol=2e-5, atol=1e-6)


def test_published_sizes() -> None:
    """Numbers of parameters that CompressAI's documentation states, of both sizes."""
    stated = {
        FACTORIZED: (2_998_147, 7_030_531),
        HYPERPRIOR: (5_075_843, 11_816_323),
        MEAN: (7_028_003, 17_561_699),
    }
    for name, counts in stated.items():
        found = []
        for quality in (QUALITIES[0], QUALITIES[-1]):
            with torch.device("meta"):
                sizes = Training(name, "mse", quality).channels
                network = build_network(ZooSettings(name, *sizes), 0)
            found.append(sum(parameter.numel() for parameter in network.parameters()))
        assert tuple(found) == counts
    borders = {name: [Training(name, "mse", q).channels[0] for q in QUALITIES] for name in NAMES}
    assert [channels.count(128) for channels in borders.values()] == [5, 5, 4]


# ----- published files


def test_every_published_file_has_its_training() -> None:
    """Sources and file names, one to one with the keys of the codecs."""
    sources = shipped_sources()
    found = set()
    for name, metric in itertools.product(NAMES, METRICS):
        source = sources[Training(name, metric, 1).source]
        assert source.licence == "BSD-3-Clause-Clear"
        for file in source.files:
            training, digits = of_file(file.name)
            assert file.sha256 == digits
            assert (training.codec, training.metric) == (name, metric)
            assert file.urls[0].startswith("https://compressai.s3.amazonaws.com/models/v1/")
            found.add(training)
    assert len(found) == len(NAMES) * len(METRICS) * len(QUALITIES) == 48


@pytest.mark.parametrize(
    "name",
    [
        "model.pth.tar", "mbt2018-3-22901978.pth.tar", "mbt2018-mean-9-22901978.pth.tar",
        "bmshj2018-hyperprior-prior-1-22901978.pth.tar", "mbt2018-mean-3-2290197.pth.tar",
        "bmshj2018-factorized-prior-ms-ssim-1-22901978.pth.tar", "mbt2018-mean-3-22901978.pth",
    ],
)  # fmt: skip
def test_other_names_are_refused(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"")
    with pytest.raises(ModelError, match="not a name of the zoo's published files"):
        import_checkpoint(tmp_path / name, tmp_path / "models")


@pytest.mark.parametrize("name", NAMES)
def test_names_old_and_new(name: str, tmp_path: Path) -> None:
    """Names of three releases, bare or as training scripts save them: the same weights."""
    state = learned(name)
    whole = published(name, state)
    oldest = {
        k.replace("entropy_bottleneck.matrices", "entropy_bottleneck._matrices")
        .replace("entropy_bottleneck.biases", "entropy_bottleneck._biases")
        .replace("entropy_bottleneck.factors", "entropy_bottleneck._factors"): v
        for k, v in whole.items()
    }
    forms: list[dict[str, Any]] = [whole, old_names(whole), oldest, state]
    forms.append({"epoch": 3, "state_dict": OrderedDict(whole), "loss": torch.tensor(1.0)})
    for number, form in enumerate(forms):
        models = tmp_path / f"models{number}"
        import_checkpoint(write_checkpoint(tmp_path, name, form), models)
        folder = member_folder(models, Training(name, "mse", QUALITY))
        found = load_file(folder / "codec.safetensors")
        assert found.keys() == state.keys()
        assert all(torch.equal(tensor, state[key]) for key, tensor in found.items())
        expected = load_file(
            member_folder(tiny_zoo_models(), Training(name, "mse", QUALITY)) / "tables.safetensors"
        )
        tables = load_file(folder / "tables.safetensors")
        assert all(torch.equal(tensor, expected[key]) for key, tensor in tables.items())


def without(name: str) -> Callable[[dict[str, Tensor]], None]:
    return lambda state: state.__delitem__(name)


def with_value(name: str, value: Tensor) -> Callable[[dict[str, Tensor]], None]:
    return lambda state: state.__setitem__(name, value)


BOUND = "g_a.1.beta_reparam.lower_bound.bound"
FAULTS = {
    r"g_s\.2\.bias: missing": without("g_s.2.bias"),
    r"entropy_bottleneck\.quantiles: missing": without("entropy_bottleneck.quantiles"),
    r"1 tensor is(.|\n)*g_a\.0\.weight: missing": without("g_a.0.weight"),
    r"h_s\.5\.weight: unknown": with_value("h_s.5.weight", torch.ones(3)),
    r"g_a\.2\.bias: of the shape \(4,\), expected \(6,\)": with_value("g_a.2.bias", torch.ones(4)),
    r"g_a\.4\.bias: holds a value that is no": with_value("g_a.4.bias", torch.ones(N) / 0),
    r"h_a\.0\.bias: holds a value that is no": with_value("h_a.0.bias", torch.ones(N).int()),
    r"beta_reparam.lower_bound.bound: not the value": with_value(BOUND, torch.tensor([1e-2])),
    r"target: not the value": with_value("entropy_bottleneck.target", torch.ones(3)),
    r"scale_table: not the value": with_value(
        "gaussian_conditional.scale_table", torch.linspace(0.11, 256, 64)
    ),
    r"_bias0: there twice, as entropy_bottleneck.biases.0": with_value(
        "entropy_bottleneck._bias0", torch.ones(N, 3, 1)
    ),
}


@pytest.mark.parametrize("text", FAULTS)
def test_strict_reading(text: str, tmp_path: Path) -> None:
    """Every wrong tensor is named, and nothing is written."""
    state = published(HYPERPRIOR, learned(HYPERPRIOR))
    FAULTS[text](state)
    with pytest.raises(ModelError, match=text):
        import_checkpoint(write_checkpoint(tmp_path, HYPERPRIOR, state), tmp_path / "models")
    assert not (tmp_path / "models").exists()


def test_all_wrong_tensors_are_listed(tmp_path: Path) -> None:
    state = published(HYPERPRIOR, learned(HYPERPRIOR))
    del state["g_s.2.bias"], state["h_a.0.weight"]
    state["context_prediction.weight"] = torch.ones(2)
    with pytest.raises(ModelError, match=r"3 tensors(.|\n)*context(.|\n)*g_s\.2(.|\n)*h_a\.0"):
        import_checkpoint(write_checkpoint(tmp_path, HYPERPRIOR, state), tmp_path / "models")


@pytest.mark.parametrize(("name", "other"), [*itertools.permutations(NAMES, 2)])
def test_another_architecture_is_named(name: str, other: str, tmp_path: Path) -> None:
    path = write_checkpoint(tmp_path, name, published(other, learned(other)))
    with pytest.raises(ModelError, match=rf"unknown, missing or wrong(.|\n)*those of {other}"):
        import_checkpoint(path, tmp_path / "models")


def test_wrong_files(tmp_path: Path) -> None:
    """Another digest, another content, not tensors alone, no file, and weights of another file."""
    path = write_checkpoint(tmp_path, MEAN, published(MEAN, learned(MEAN)))
    changed = path.with_name(path.name.replace(path.name[-16:-8], "0123abcd"))
    changed.write_bytes(path.read_bytes())
    with pytest.raises(ModelError, match="its name says 0123abcd: damaged or not the published"):
        import_checkpoint(changed, tmp_path / "models")
    with pytest.raises(ModelError, match="no such file"):
        import_checkpoint(path.with_name("mbt2018-mean-1-22901978.pth.tar"), tmp_path / "models")
    objects = write_checkpoint(tmp_path, MEAN, {"state_dict": {"a": torch.nn.Linear(1, 1)}})
    with pytest.raises(ModelError, match=r"more than tensors|not a plain tensor"):
        import_checkpoint(objects, tmp_path / "models")
    assert "complete" in import_checkpoint(path, tmp_path / "models")
    assert "before" in import_checkpoint(path, tmp_path / "models")
    state = learned(MEAN)
    state["g_a.0.bias"] += 1
    with pytest.raises(ConfigError, match=r"mse-3: holds another file's weights \([0-9a-f]{8}\)"):
        import_checkpoint(write_checkpoint(tmp_path, MEAN, state), tmp_path / "models")


@pytest.mark.parametrize("name", ["tables.safetensors", "codec.safetensors", "card.json"])
@pytest.mark.parametrize("content", [None, b"", b"other"])
def test_a_damaged_folder_was_not_imported_before(
    name: str, content: bytes | None, tmp_path: Path
) -> None:
    path = write_checkpoint(tmp_path, MEAN, published(MEAN, learned(MEAN)))
    import_checkpoint(path, tmp_path / "models")
    file = member_folder(tmp_path / "models", Training(MEAN, "mse", QUALITY)) / name
    file.unlink() if content is None else file.write_bytes(content)
    # Without a card the folder is one that was not made by an import.
    wanted = "neither empty nor" if (name, content) == ("card.json", None) else "are damaged: .*"
    with pytest.raises(ConfigError, match=rf"mse-3: .*{wanted}.*remove it"):
        import_checkpoint(path, tmp_path / "models")


def test_a_broken_training_beside_it_does_not_keep_a_stream_from_being_decoded(
    tmp_path: Path,
) -> None:
    import_checkpoint(write_checkpoint(tmp_path, MEAN, learned(MEAN)), tmp_path)
    stream = zoo(MEAN, tmp_path).encode(IMAGE, quality=QUALITY)
    member_folder(tmp_path, Training(MEAN, "mse", 1)).mkdir()
    assert zoo(MEAN, tmp_path).decode(stream).shape == IMAGE.shape
    header = container.parse(stream).header
    other = container.pack(replace(header, weights_digest=b"\0" * 4), [b"", b""])
    with pytest.raises(ModelError, match=r"mse-1: codec\.safetensors, tables\.safetensors missing"):
        zoo(MEAN, tmp_path).decode(other)


def test_a_prior_without_probabilities_names_its_file(tmp_path: Path) -> None:
    state = published(MEAN, learned(MEAN))
    state |= {name: torch.full_like(t, -20.0) for name, t in state.items() if "matrices" in name}
    path = write_checkpoint(tmp_path, MEAN, state)
    with pytest.raises(ModelError, match=rf"{path.name}: channel 0 of the factorised prior"):
        import_checkpoint(path, tmp_path / "models")
    assert not [*(tmp_path / "models").rglob("*.safetensors")]


@pytest.mark.parametrize("name", NAMES)
def test_payloads_behind_right_checksums(name: str) -> None:
    """Damage that no checksum shows ends in a typed error, or in an image of the stated size."""
    codec = zoo(name)
    parsed = container.parse(codec.encode(IMAGE, quality=QUALITY))
    rng = np.random.default_rng(5)
    for number in range(60):
        sections = [bytearray(section) for section in parsed.sections]
        one = sections[rng.integers(len(sections))]
        if number % 3 == 0:
            one[rng.integers(len(one))] ^= 1 << rng.integers(8)
        elif number % 3 == 1:
            del one[rng.integers(len(one)) :]
        else:
            one[:] = rng.bytes(rng.integers(200))
        try:
            found = codec.decode(container.pack(parsed.header, [bytes(s) for s in sections]))
        except CodecError:
            continue
        assert found.shape == IMAGE.shape
    for height, width in ((1, 1), (4000, 4000), (5000, 5000), (16, 1_000_000)):
        args = parsed.header.codec_id, parsed.header.weights_digest, height, width, 64
        stream = container.pack(container.image_header(*args), parsed.sections)
        with pytest.raises(CodecError):
            codec.decode(stream)


def test_weights_that_are_missing(tmp_path: Path) -> None:
    """One sentence with the commands: no folder, another quality, another metric, a lost file."""
    with pytest.raises(ModelError, match=r"no weights are bundled: `icmbench fetch mbt2018-mean`"):
        codec_class(MEAN)().encode(IMAGE, quality=1)
    with pytest.raises(ModelError, match=r"mse-1: no such folder: .*`icmbench import-zoo downlo"):
        zoo(MEAN).encode(IMAGE, quality=1)
    with pytest.raises(ModelError, match=r"ms-ssim-3: .*icmbench fetch mbt2018-mean-ms-ssim`"):
        zoo(MEAN).encode(IMAGE, quality=3, metric="ms-ssim")
    path = write_checkpoint(tmp_path, MEAN, learned(MEAN))
    import_checkpoint(path, tmp_path)
    folder = member_folder(tmp_path, Training(MEAN, "mse", QUALITY))
    (folder / "tables.safetensors").unlink()
    with pytest.raises(ModelError, match=r"tables\.safetensors missing"):
        zoo(MEAN, tmp_path).encode(IMAGE, quality=QUALITY)
    other = member_folder(tiny_zoo_models(), Training(HYPERPRIOR, "mse", QUALITY))
    for part in ("codec", "tables"):
        (folder / f"{part}.safetensors").write_bytes((other / f"{part}.safetensors").read_bytes())
    with pytest.raises(ModelError, match="it holds bmshj2018-hyperprior, expected mbt2018-mean"):
        zoo(MEAN, tmp_path).encode(IMAGE, quality=QUALITY)


def test_the_commands(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """import-zoo, encode, info and the card of the folder."""
    files = [
        write_checkpoint(tmp_path, MEAN, learned(MEAN), quality=4, metric=metric)
        for metric in ("", "-ms-ssim")
    ]
    models = str(tmp_path / "models")
    assert main(["import-zoo", *map(str, files), "--out", models]) == 0
    assert capsys.readouterr().out.count("complete") == 2
    write_png(tmp_path / "in.png", IMAGE)
    stream = str(tmp_path / "out.icb")
    spec = f"{MEAN}:metric=ms-ssim,quality=4"
    arguments = ["encode", str(tmp_path / "in.png"), stream, "--codec", spec, "--models", models]
    assert main(arguments) == 0
    assert main(["info", stream, "--models", models]) == 0
    assert "quality 4, ms-ssim" in capsys.readouterr().out
    assert main(["import-zoo", str(files[0].with_name("x.pth.tar")), "--out", models]) == 11
    folder = tmp_path / "models" / MEAN
    assert len(_weights_digests(MEAN, folder)) == 2  # of the metrics: equal tensors, other names
    card = (folder / "mse-4" / "card.json").read_text("utf-8")
    assert all(text in card for text in ("BSD-3-Clause-Clear", files[0].name, "weights_digest"))


def test_errors_are_typed() -> None:
    """The keys: quality is required and from 1 to 8, the metric one of two."""
    from icmbench.codecs.specs import parse_spec

    for wrong in ("", ":quality=9", ":quality=1,metric=psnr", ":lmbda=1"):
        with pytest.raises(IcmbenchError):
            parse_spec(f"{MEAN}{wrong}")
    assert parse_spec(f"{MEAN}:quality=2,metric=mse").spec == f"{MEAN}:quality=2"
    assert M > N
