"""The codec `diff-icmh`: round trips, bytes, determinism, damage, other machines, model folders."""

from __future__ import annotations

import functools
import json
import shutil
import time
import tracemalloc
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import make_picture
from safetensors.numpy import load_file, save_file
from tiny_icmh import CONTROL, LFGCM, TAGS, UNET, tiny_icmh_models

from icmbench.bitstream import container, folding
from icmbench.codecs import registry
from icmbench.codecs.base import check_image
from icmbench.codecs.diff_icmh import controlled_prior
from icmbench.codecs.diff_icmh import diff_icmh_model as icmh_model
from icmbench.codecs.diff_icmh.codec import MAX_PIXELS, DiffIcmh
from icmbench.codecs.diff_icmh.diff_icmh_model import DiffICMHModel
from icmbench.codecs.diff_icmh.entropy.stream import Coded, padded_size
from icmbench.codecs.diff_icmh.model_folder import NAME, PARTS, stream_files, weights_digest
from icmbench.codecs.diff_icmh.networks import control as control_module
from icmbench.codecs.diff_icmh.networks import lfgcm as lfgcm_module
from icmbench.codecs.diff_icmh.networks.control import build_control
from icmbench.codecs.diff_icmh.networks.lfgcm import build_lfgcm
from icmbench.codecs.diff_icmh.networks.prior import Prior, PriorSettings
from icmbench.codecs.diff_icmh.tags import unpack_tags
from icmbench.codecs.diff_icmh.training.codec import write_codec
from icmbench.codecs.diff_icmh.training.losses import CodecNetworks
from icmbench.codecs.mpd.codec import CODEC_ID as MPD
from icmbench.codecs.specs import parse_spec
from icmbench.core.errors import (
    CodecError,
    ConfigError,
    CorruptStream,
    IcmbenchError,
    ModelError,
    SymbolMismatch,
    TruncatedStream,
    UnsupportedVersion,
    WrongModel,
)
from icmbench.core.images.image_files import write_png
from icmbench.datasets.records import Record
from icmbench.evaluation import decode as decoding
from icmbench.evaluation import encode as encoding
from icmbench.evaluation.codec_process import Setup
from icmbench.evaluation.decode import decode_shard
from icmbench.evaluation.encode import encode_shard
from icmbench.evaluation.shard import DECODED, make_codec_entry, read_rows
from icmbench.models.tensors import KEY, load_network, save_network

pytestmark = pytest.mark.usefixtures("one_thread")

SIZES = ((64, 64), (65, 130), (1, 1), (63, 200), (101, 149))  # height, width
OVERHEAD = 26  # bytes of a stream that are not coded symbols: 12, three sections, rate, digest


def folder() -> Path:
    return tiny_icmh_models() / NAME


@functools.cache
def codec() -> DiffIcmh:
    torch.set_num_threads(1)
    return DiffIcmh(models=folder().parent)


@functools.cache
def picture(size: tuple[int, int], seed: int = 0) -> np.ndarray:
    return make_picture(*size, seed)


@functools.cache
def stream(size: tuple[int, int] = (64, 64), rate: int = 2, tags: str = "auto") -> bytes:
    return codec().encode(picture(size), rate=rate, tags=tags)


def parsed(data: bytes) -> container.Stream:
    return codec().parse(data)[1]


def read(data: bytes, model: DiffICMHModel | None = None) -> Coded:
    return (model or codec().model).read(parsed(data))


def same(one: Coded, other: Coded) -> bool:
    equal = torch.equal(one.y_hat, other.y_hat) and torch.equal(one.z_hat, other.z_hat)
    return equal and (one.tags, one.rate) == (other.tags, other.rate)


# ----- round trips and bytes


@pytest.mark.parametrize("size", SIZES)
def test_round_trip(size: tuple[int, int]) -> None:
    image = picture(size)
    before = image.copy()
    for rate in (1, 2, 3):
        data = stream(size, rate)
        assert codec().encode(image, rate=rate) == data
        shown = codec().decode(data)
        assert check_image(shown).shape == image.shape
        assert shown.flags["C_CONTIGUOUS"]
        coded, (rows, columns) = read(data), padded_size(*size)
        assert coded.rate == rate - 1
        assert coded.y_hat.shape[2:] == (rows // 16, columns // 16)
        assert coded.z_hat.shape[2:] == (rows // 64, columns // 64)
    assert (image == before).all()


@pytest.mark.parametrize("size", [(64, 64), (113, 181)])
def test_the_decoder_has_what_the_network_meant(size: tuple[int, int]) -> None:
    """Symbols and c of one evaluation in floating point, and the bits that it expects.

    Neither size has a value of y that lies wholly in the padding.
    """
    model = codec().model
    padded = folding.pad(picture(size), lfgcm_module.STRIDE)
    assert (padded[: size[0], : size[1]] == picture(size)).all()
    pixels = torch.from_numpy(padded.transpose(2, 0, 1)[None].astype(np.float32) / 255)
    for rate in (1, 3):
        with torch.inference_mode():
            latent = icmh_model._tensor(model.latent(padded))
            meant = model.codec.lfgcm(pixels, latent, rate - 1)
        coded = read(stream(size, rate))
        torch.testing.assert_close(coded.z_hat, meant.z_hat.double(), rtol=0, atol=1e-4)
        torch.testing.assert_close(coded.y_hat, meant.y_hat.double(), rtol=0, atol=1e-3)
        torch.testing.assert_close(model.conditioning(coded), meant.c, rtol=1e-3, atol=1e-3)
        payloads = parsed(stream(size, rate)).sections[1:]
        expected = float(meant.bits[0]) / 8
        assert sum(map(len, payloads)) - 3 == pytest.approx(expected, rel=0.15, abs=8)
        assert len(torch.unique(coded.y_hat.round())) > 2  # the test is about something


def overhead(data: bytes) -> int:
    """Bytes that are not tags and not range-coded symbols, counted from the container's fields."""
    whole = parsed(data)
    tags, z, y = map(len, whole.sections)
    assert whole.ends[-1] == len(data)
    frames, start = [], whole.header_bytes
    for payload, end in zip(whole.sections, whole.ends, strict=True):
        frames.append(end - start - len(payload))
        start = end
    rate, digest = 1, 2
    total = whole.header_bytes + sum(frames) + rate + digest
    assert total == len(data) - tags - (z - 1) - (y - 2)
    return total


@pytest.mark.parametrize("size", SIZES)
def test_at_most_26_bytes_are_overhead(size: tuple[int, int]) -> None:
    for rate in (1, 2, 3):
        assert overhead(stream(size, rate)) <= OVERHEAD
        assert overhead(stream(size, rate, "none")) <= OVERHEAD


@pytest.mark.parametrize("size", [(2, 16_383), (9_000, 3)])
def test_overhead_of_long_sides(size: tuple[int, int]) -> None:
    row = np.resize(picture((2, 300)), (2, 300, 3))
    image = np.ascontiguousarray(np.resize(row, (*size, 3)))
    data = codec().encode(image, rate=3)
    whole = parsed(data)
    assert (whole.header.height, whole.header.width) == size
    assert overhead(data) <= OVERHEAD
    assert read(data).rate == 2


def test_pixels_are_counted_before_anything_is_done() -> None:
    """The picture is none: one byte that is shown everywhere."""
    black = np.broadcast_to(np.zeros(1, np.uint8), (MAX_PIXELS // 1000 + 1, 1000, 3))
    with pytest.raises(CodecError, match="over the limit of 16000000"):
        codec().encode(black, rate=1)
    with pytest.raises(IcmbenchError, match="an image is"):
        codec().encode(np.zeros((8, 8), np.uint8), rate=1)


# ----- keys


@pytest.mark.parametrize("rate", [0, 4, 255, -1])
def test_rates_that_the_model_lacks(rate: int) -> None:
    with pytest.raises(CodecError, match=rf"rate={rate}: the model has the rates 1 to 3"):
        codec().encode(picture((64, 64)), rate=rate)


def test_tags_are_optional() -> None:
    auto, none = stream(), stream(tags="none")
    found = read(auto).tags
    assert found  # or the test is about nothing
    model, image = codec().model, picture((64, 64))
    assert found == model.tags(image, model.latent(image))
    assert read(none).tags == ()
    assert parsed(none).sections[0] == b"\0"
    assert parsed(none).sections[1:] == parsed(auto).sections[1:]
    assert codec().decode(none).shape == (64, 64, 3)
    names = dict(codec().describe(auto))
    assert names["tags"].split(", ") == [codec().model.prior.vocabulary[tag] for tag in found]
    assert dict(codec().describe(none))["tags"] == "none"


def test_what_is_beyond_the_range_of_the_model_is_clipped_and_counted(tmp_path: Path) -> None:
    """A narrower range clips more of the guiding latent; a wide one leaves it as it is."""
    shutil.copytree(tiny_icmh_models(), tmp_path / "models")
    file = tmp_path / "models" / "diff-icmh" / "autoencoder.safetensors"
    state, metadata = load_network(file)
    image, found = picture((64, 64)), {}
    for reach in (None, 4, 1, 64):
        about = metadata if reach is None else {**metadata, "latent_range": reach}
        # The latent is made wide: its standard deviation is said to be a fifth of what it is.
        save_network(file, state, {**about, "std": [value / 5 for value in metadata["std"]]})
        made = DiffIcmh(models=tmp_path / "models")
        made.encode(image)
        latent = made.model.latent(image)
        found[reach] = (latent, made.model.clipped[0], made.remark())
    widest, bound = found[64][0], np.float32(32767 / 8192)
    assert 4 < np.abs(widest).max() < 64
    assert found[64][1:] == (0, "")
    for reach, limit in ((None, bound), (4, np.float32(4)), (1, np.float32(1))):
        latent, clipped, remark = found[reach]
        np.testing.assert_array_equal(latent, widest.clip(-limit, limit))
        assert clipped == np.count_nonzero(np.abs(widest) > limit) > 0
        reach = f"{limit:g} standard deviations"
        assert remark == f"{clipped} of {latent.size} latent values clipped at {reach}"
    for wrong in (0, -1, 2.5, 10**6, "4"):
        save_network(file, state, {**metadata, "latent_range": wrong})
        with pytest.raises(ModelError, match="latent_range"):
            DiffIcmh(models=tmp_path / "models")


def test_tags_are_given_by_name() -> None:
    """In any order; the stream is that of the tagger where it finds the same ones."""
    named = stream(tags="grass+ball")
    assert named == stream(tags=" ball + grass+ball") == stream()
    assert dict(codec().describe(stream(tags="water")))["tags"] == "water"
    point = parse_spec("diff-icmh:tags=ball+water")
    assert dict(point.encode)["tags"] == "ball+water"
    with pytest.raises(CodecError, match="unknown tag 'gras': did you mean 'grass'"):
        stream(tags="ball+gras")
    with pytest.raises(CodecError, match="unknown tag ''"):
        stream(tags="ball+")


def test_description() -> None:
    data = stream((101, 149), 3)
    lines = dict(codec().describe(data))
    assert lines["bytes"] == str(len(data))
    assert lines["image"] == "149x101"
    assert lines["rate"] == "3 of 3"
    assert lines["weights"] == codec().model.digest.hex()
    assert float(lines["bits per pixel"]) == pytest.approx(8 * len(data) / 149 / 101, abs=1e-4)
    assert lines["as published"].startswith(f"{8 * len(data) / 192 / 128:.4f} (192x128")


def test_samplers() -> None:
    """Each gives another picture; `model` is what the codec's file says; c itself has no noise."""
    data = stream()
    shown = {
        sampler: codec().decode(data, sampler=sampler, steps=4).tobytes()
        for sampler in ("ddim", "ddpm-spaced", "none")
    }
    assert len(set(shown.values())) == 3
    defaults = codec().model.codec.defaults
    assert set(defaults) == {"sampler", "steps", "guidance", "start", "clip"}
    keys = {key: value for key, value in defaults.items() if key != "clip"}
    assert (codec().decode(data) == codec().decode(data, **keys)).all()
    assert codec().decode(data, sampler="ddim", steps=5).tobytes() != shown["ddim"]
    assert codec().decode(data, sampler="none", steps=9).tobytes() == shown["none"]


def test_where_sampling_begins() -> None:
    """Near the end of the schedule little noise is added to c, and the picture is nearer to c's."""
    data = stream((101, 149), 3)
    plain = codec().decode(data, sampler="none").astype(float)
    shown = {start: codec().decode(data, steps=3, start=start) for start in (2, 20, 999)}
    apart = [float(np.abs(picture - plain).mean()) for picture in shown.values()]
    assert apart == sorted(apart)
    assert apart[0] < 0.3 * apart[-1]
    assert (codec().decode(data, start=0) == codec().decode(data)).all()
    with pytest.raises(ConfigError, match="start=1: 3 steps need 2 to 999"):
        codec().decode(data, steps=3, start=1)


def test_one_step_is_none() -> None:
    with pytest.raises(ConfigError, match="steps=1: sampling takes 2 to 1000 steps"):
        codec().decode(stream(), steps=1)
    with pytest.raises(ConfigError, match="sampler=euler"):
        codec().decode(stream(), sampler="euler")


@pytest.fixture
def evaluations(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Batch sizes with which the network is evaluated."""
    seen: list[int] = []
    original = control_module.predict_noise

    def counted(unet: Any, control: Any, noisy: torch.Tensor, *rest: Any) -> torch.Tensor:
        seen.append(len(noisy))
        return original(unet, control, noisy, *rest)

    monkeypatch.setattr(controlled_prior, "predict_noise", counted)
    return seen


def test_guidance_is_a_pair(evaluations: list[int]) -> None:
    """1 evaluates with the tags alone; else both as one pair, extrapolated from without to with."""
    model, coded = codec().model, read(stream())
    with torch.inference_mode():
        hint = model.conditioning(coded)
        shown = {
            (weight, tags): model.sample(
                hint, [tags], sampler="ddim", steps=2, guidance=weight, seeds=[1]
            )
            for tags in (coded.tags, ())
            for weight in (1.0, 1.0 + 1e-6, 3.0)
        }
    assert evaluations == [1, 1, 2, 2, 2, 2] + [1] * 6
    tags = coded.tags
    torch.testing.assert_close(shown[1.0, tags], shown[1.0 + 1e-6, tags], rtol=1e-3, atol=1e-3)
    assert float((shown[1.0, tags] - shown[3.0, tags]).abs().max()) > 1e-3
    # Without tags there is nothing to guide by.
    assert torch.equal(shown[1.0, ()], shown[3.0, ()])
    assert not torch.equal(shown[1.0, ()], shown[1.0, tags])


def test_control_is_heard_and_can_be_left_out() -> None:
    model, coded = codec().model, read(stream())
    with torch.inference_mode():
        hint = model.conditioning(coded)
        shown = [
            model.sample(
                given, [()], sampler="ddim", steps=2, guidance=1, seeds=[1], controlled=controlled
            )
            for given, controlled in ((hint, True), (-hint, True), (hint, False), (-hint, False))
        ]
    assert not torch.equal(shown[0], shown[1])
    assert not torch.equal(shown[0], shown[2])
    assert torch.equal(shown[2], shown[3])


# ----- the picture depends on the file alone


def test_the_same_picture_in_any_order() -> None:
    """Twice, after other streams, and by a model that was read anew."""
    files = [stream((64, 64), 1), stream((65, 130), 3), stream((64, 64), 1, "none")]
    first = [codec().decode(data).tobytes() for data in files]
    for index in (2, 0, 1, 1, 0):
        assert codec().decode(files[index]).tobytes() == first[index]
    torch.manual_seed(99)
    other = DiffIcmh(models=folder().parent)
    assert [other.decode(data).tobytes() for data in reversed(files)] == first[::-1]


def test_every_stream_has_noise_of_its_own() -> None:
    """The same symbols in another file: c is the same, what is drawn is not."""
    data = stream((63, 200))
    whole = parsed(data)
    wider = container.Header(2, codec().model.digest, 201, 63)
    other = container.pack(wider, whole.sections)
    assert same(read(data), read(other))
    plain = [codec().decode(file, sampler="none")[:, :200] for file in (data, other)]
    drawn = [codec().decode(file)[:, :200] for file in (data, other)]
    assert (plain[0] == plain[1]).all()
    assert (drawn[0] != drawn[1]).mean() > 0.1
    again = codec().decode(other)[:, :200]
    assert (drawn[1] == again).all()


def test_a_batch_is_what_each_is_alone(evaluations: list[int]) -> None:
    """Streams of several sizes, rates and tag sets at once: at most one code value apart, rarely.

    Order matters, and so do seeds and tags: a batch that mixed them up would be far off.
    """
    shapes = [(64, 64), (65, 130), (33, 50), (64, 64), (101, 149), (64, 64)]
    files = [
        stream(shape, 1 + place % 3, "none" if place == 3 else "auto")
        for place, shape in enumerate(shapes)
    ]
    how = {"sampler": "ddpm-spaced", "steps": 3, "guidance": 3.0}
    alone = [codec().decode(file, **how) for file in files]
    evaluations.clear()
    together = codec().decode_batch(files, batch=6, **how)
    assert sorted(evaluations) == [4] * 3 + [8] * 3  # pairs of 2 and of 4 pictures of one size
    apart = [
        np.abs(one.astype(int) - other).max(axis=2)
        for one, other in zip(alone, together, strict=True)
    ]
    assert max(a.max() for a in apart) <= 1
    assert sum((a > 0).sum() for a in apart) <= 1e-4 * sum(a.size for a in apart)
    assert "batch=6" in parse_spec("diff-icmh:batch=6").spec


UNMEASURED = {"seconds": 0.0, "joules": None, "energy": "", "peak_mb": None, "gpu_mb": None}


class InProcess:
    """A codec process that is none: the codec of this test, for the second run of the shards."""

    device = "cpu"
    start_s = 0.0
    running = False

    def __init__(self, setup: Setup) -> None:
        assert setup.models == folder().parent

    def __enter__(self) -> InProcess:
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def call(self, do: str, keys: Any, **what: Any) -> dict[str, Any]:
        if do == "encode":
            stream = codec().encode(what["image"], **dict(keys))
            return {"stream": stream, "remark": "", **UNMEASURED}
        assert do == "decode"
        data = Path(what["path"]).read_bytes()
        return {"image": codec().decode(data, **dict(keys)), **UNMEASURED}


def test_shards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One shard decoded by a fresh process, and three in this one: the same bytes and pictures."""
    settings = {
        "entry": {"points": [{"rate": [1, 3]}, {"rate": 2, "steps": 3, "tags": "none"}]},
        "device": "cpu",
        "threads": 1,
        "models": folder().parent,
        "limits": {"seconds_per_image": 120},
    }
    family = make_codec_entry("diff-icmh", settings)
    records = []
    for index, size in enumerate(((70, 64), (33, 50), (64, 90))):
        write_png(tmp_path / "images" / f"i{index}.png", make_picture(*size, index))
        records.append(Record(f"i{index}", f"i{index}.png", "", size[1], size[0]))

    def run(name: str, shard: list[Record]) -> list[dict[str, str]]:
        out = tmp_path / name
        encode_shard(
            family, "d", shard, tmp_path / "images",
            streams=out / "s.zip", status=out / "s.csv", timing=out / "te.csv",
        )  # fmt: skip
        decode_shard(
            family, "d", streams=out / "s.zip", encoded=out / "s.csv",
            pictures=out / "r.zip", status=out / "r.csv", timing=out / "td.csv",
        )  # fmt: skip
        return read_rows(out / "r.csv", DECODED)

    monkeypatch.setattr(encoding, "CodecProcess", InProcess)
    one = run("one", records)
    assert len(one) == 9
    assert {row["status"] for row in one} == {"ok"}
    assert {row["codec"] for row in one} == {
        "diff-icmh", "diff-icmh:rate=3", "diff-icmh:rate=2,tags=none,steps=3"
    }  # fmt: skip
    assert len({row["digest"] for row in one}) == 9
    monkeypatch.setattr(decoding, "CodecProcess", InProcess)
    three = [row for index in (2, 0, 1) for row in run(f"three-{index}", [records[index]])]
    assert sorted(map(str, three)) == sorted(map(str, one))


# ----- damage


def test_every_flipped_bit_is_found() -> None:
    """In the header and in every section: the checksums. Lengths may point behind the end."""
    data = stream()
    lengths = {parsed(data).header_bytes, *parsed(data).ends[:-1]}
    for place in range(len(data)):
        for bit in range(8):
            bad = bytearray(data)
            bad[place] ^= 1 << bit
            try:
                parsed(bytes(bad))
            except CorruptStream:
                continue
            except TruncatedStream:
                assert place in lengths | {7, 8}  # width and height: the header goes on
                continue
            pytest.fail(f"bit {bit} of byte {place} went unnoticed")


@pytest.mark.parametrize("size", [(64, 64), (65, 130)])
def test_every_truncation(size: tuple[int, int]) -> None:
    """A codec that is not embedded: no prefix is a file."""
    data = stream(size)
    for length in range(len(data)):
        with pytest.raises((TruncatedStream, CorruptStream)):
            codec().decode(data[:length])
    for end in (container.parse(data).header_bytes, *container.parse(data).ends[:-1]):
        with pytest.raises(TruncatedStream, match="of 3 sections"):
            codec().decode(data[:end])
    with pytest.raises(CodecError):
        codec().salvage(data[:-1])


def with_sections(data: bytes, *sections: bytes, size: tuple[int, int] | None = None) -> bytes:
    """The file with other payloads and right checksums."""
    header = container.parse(data).header
    if size:
        header = container.Header(2, codec().model.digest, size[1], size[0])
    return container.pack(header, sections)


FLIPS = (0x01, 0x10, 0x80)


def outcomes(data: bytes, index: int) -> Counter[str]:
    """How decoding ends with one byte of a section altered and the checksums repaired."""
    sections = list(parsed(data).sections)
    whole, found = read(data), Counter[str]()
    for place in range(len(sections[index])):
        for flip in FLIPS:
            altered = bytearray(sections[index])
            altered[place] ^= flip
            bad = [*sections[:index], bytes(altered), *sections[index + 1 :]]
            start = time.monotonic()
            try:
                coded = read(with_sections(data, *bad))
            except CodecError as error:
                found[type(error).__name__] += 1
            else:
                assert coded.y_hat.shape == whole.y_hat.shape
                found["decoded"] += 1
                if found["decoded"] < 4:
                    assert codec().decode(with_sections(data, *bad)).shape == (64, 64, 3)
            assert time.monotonic() - start < 10
    return found


def test_altered_tags_with_right_checksums() -> None:
    """Other tags or no set at all; the symbols are the same."""
    found = outcomes(stream(), 0)
    assert found.keys() <= {"CorruptStream", "decoded"}
    assert found["CorruptStream"] > 0


def test_altered_z_with_right_checksums() -> None:
    """Another rate, other hyper parameters: a picture of that would be one of noise."""
    found = outcomes(stream(), 1)
    assert found.keys() <= {"CorruptStream", "SymbolMismatch"}
    assert found["CorruptStream"] > 0
    assert found["SymbolMismatch"] > 0


def test_altered_y_with_right_checksums() -> None:
    """One payload in 65,536 may have the same digest."""
    found = outcomes(stream(), 2)
    total = sum(found.values())
    assert total == 3 * len(parsed(stream()).sections[2])
    assert found.keys() <= {"CorruptStream", "SymbolMismatch", "decoded"}
    assert found["decoded"] <= 1
    assert found["SymbolMismatch"] > 0.9 * total


def test_surplus_and_missing_bytes_with_right_checksums() -> None:
    data = stream()
    tags, z, y = parsed(data).sections
    for bad in (
        (tags + b"\0", z, y),
        (tags, z + b"\0", y),
        (tags, z + b"\x80", y),
        (tags, z[:-1], y),
        (tags, z, y + b"\0"),
        (tags, z, y + b"\x80"),
        (tags, z, y[:-1]),
        (tags, z, y[:2]),
        (tags, z, y[:1]),
        (tags, z, b""),
        (tags, b"", y),
        (tags, z[:1], y),
        (b"", z, y),
        (tags, y, z),
        (tags, z, y, b""),
        (tags, z),
    ):
        with pytest.raises((CorruptStream, SymbolMismatch, TruncatedStream)):
            codec().decode(with_sections(data, *bad))


def test_a_rate_that_the_model_lacks_is_corrupt() -> None:
    tags, z, y = parsed(stream()).sections
    for rate in (3, 17, 255):
        with pytest.raises(CorruptStream, match=f"names rate {rate + 1}, the model has 3"):
            read(with_sections(stream(), tags, bytes([rate]) + z[1:], y))


def test_tags_that_are_none_are_corrupt() -> None:
    """Counts over the vocabulary, ranks over the number of sets."""
    _, z, y = parsed(stream()).sections
    count = len(codec().model.prior.vocabulary)
    assert count == 5
    for text in (b"\x06\x00", b"\xff", b"\x02\x0a", b"\x01\x05", b"\x05\x01", b"\x02\xff"):
        with pytest.raises(CorruptStream):
            unpack_tags(text, count)
        with pytest.raises(CorruptStream):
            codec().decode(with_sections(stream(), text, z, y))
    every = with_sections(stream(), b"\x05", z, y)
    assert read(every).tags == (0, 1, 2, 3, 4)
    assert codec().decode(every).shape == (64, 64, 3)


def peak_of(run: Callable[[], object]) -> tuple[int, type[Exception] | None]:
    """Bytes that Python and numpy allocate at most, and the typed error that ends it."""
    tracemalloc.start()
    try:
        run()
        error = None
    except CodecError as found:
        error = type(found)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak, error


@pytest.mark.parametrize("size", [(container.MAX_SIDE, container.MAX_SIDE), (4001, 4000)])
def test_a_header_alone_allocates_nothing(size: tuple[int, int]) -> None:
    bad = with_sections(stream(), *parsed(stream()).sections, size=size)
    peak, error = peak_of(lambda: codec().decode(bad))
    assert error is CorruptStream
    assert peak < 1 << 20


def test_a_large_header_with_a_small_payload() -> None:
    """16 megapixels are legal; what z lacks is noticed before y is thought of."""
    small = parsed(stream()).sections
    for sections in (small, (small[0], small[1][:1], small[2]), (b"\0", b"\0", b"\0\0")):
        bad = with_sections(stream(), *sections, size=(4000, 4000))
        start = time.monotonic()
        peak, error = peak_of(lambda bad=bad: codec().decode(bad))
        assert error in (CorruptStream, SymbolMismatch)
        assert peak < 64 << 20
        assert time.monotonic() - start < 20


def test_streams_of_others(tmp_path: Path) -> None:
    header = parsed(stream()).header
    foreign = container.Header(2, b"abcd", header.width, header.height)
    with pytest.raises(
        WrongModel, match=f"61626364, the model at hand is {header.weights_digest.hex()}"
    ):
        codec().decode(container.pack(foreign, parsed(stream()).sections))
    with pytest.raises(UnsupportedVersion, match="codec id 1, expected 2"):
        codec().decode(container.pack(container.Header(MPD, b"abcd", 64, 64), [b"\1"]))
    for junk in (b"", b"\xc9", b"PNG", bytes(300), stream()[1:]):
        with pytest.raises((CorruptStream, TruncatedStream)):
            codec().decode(junk)


# ----- other machines


def altered(change: float) -> Iterator[tuple[str, DiffICMHModel]]:
    """Decoders whose networks that decide bits differ in one weight, their digest being the same.

    Scales decide which table a symbol is read with, so these are the weights before scales.
    """
    model = DiffICMHModel(folder(), "cpu")
    lfgcm = model.codec.lfgcm
    names = [
        "h_s.0.bias",
        "h_s.2.bias",
        "h_s.4.bias",
        "local_context.0.bias",
        "channel_context.1.fushion.4.bias",
        "entropy_parameters_anchor.0.fusion.0.bias",
        "entropy_parameters_nonanchor.0.fusion.4.bias",
        "entropy_parameters_anchor.1.fusion.4.bias",
    ]
    for name in names:
        weight = lfgcm.get_parameter(name)
        assert weight.dtype == torch.float64
        before = weight.clone()
        weight[0] += change
        yield name, model
        weight.copy_(before)


def test_both_sides_compute_the_same_before_any_rounding(monkeypatch: pytest.MonkeyPatch) -> None:
    """On one machine the grid has nothing to do: not a bit differs, so memory layouts are alike."""
    seen: list[torch.Tensor] = []
    original = lfgcm_module.snap

    def recorded(values: torch.Tensor) -> torch.Tensor:
        seen.append(values.clone())
        return original(values)

    monkeypatch.setattr(lfgcm_module, "snap", recorded)
    data = codec().encode(picture((101, 149)), rate=3)
    count = len(seen)
    read(data)
    assert len(seen) == 2 * count == 4 * len(LFGCM.slices)
    for written, found in zip(seen[:count], seen[count:], strict=True):
        assert torch.equal(written, found)


def test_another_machine_is_found_out() -> None:
    """A weight that is off as no machine would be: named, or of no consequence.

    Where no scale moves to another table the symbols are right, and only means differ a little.
    """
    data = stream((512, 640), 3)
    coded = read(data)
    for change, least in ((1e-3, 1), (0.3, 4)):
        found = Counter[str]()
        for _, model in altered(change):
            try:
                other = read(data, model)
            except SymbolMismatch:
                found["mismatch"] += 1
            else:
                found["decoded"] += 1
                assert float((other.y_hat - coded.y_hat).abs().max()) < 4 * change
        assert found["mismatch"] >= least
    data = stream((101, 149), 3)
    name, model = next(altered(1.0))
    with pytest.raises(SymbolMismatch, match=r"not those that were coded|cannot be those"):
        model.decode(data, parsed(data), sampler="none", steps=0, guidance=0)
    assert name.startswith("h_s.")


def test_what_machines_differ_by_is_rounded_away() -> None:
    """1e-12 is lost on the grid of 2^-20: the same symbols, the same values, the same picture."""
    data = stream((101, 149), 3)
    coded, shown = read(data), codec().decode(data)
    for _, model in altered(1e-12):
        assert same(read(data, model), coded)
    name, model = next(altered(1e-12))
    again = model.decode(data, parsed(data), sampler="model", steps=0, guidance=0)
    assert name
    assert (again == shown).all()


# ----- the model folder


def copied(target: Path) -> Path:
    """A copy of the model folder to spoil."""
    shutil.copytree(folder(), target / "diff-icmh")
    return target / "diff-icmh"


def test_the_decoder_needs_no_tagger(tmp_path: Path) -> None:
    """Nor looks at it: not when a model is loaded, not when a stream is decoded or described."""
    data, shown = stream(), codec().decode(stream())
    spoilt = copied(tmp_path)
    (spoilt / "tagger.safetensors").write_bytes(b"no tagger")
    other = DiffIcmh(models=tmp_path)
    assert (other.decode(data) == shown).all()
    other.describe(data)
    other.encode(picture((64, 64)), rate=1, tags="none")
    assert "_tagger" not in vars(other.model)
    with pytest.raises(ModelError, match=r"tagger\.safetensors"):
        other.encode(picture((64, 64)), rate=1)
    (spoilt / "tagger.safetensors").unlink()
    without = DiffIcmh(models=tmp_path)
    assert without.encode(picture((64, 64)), rate=2) == stream(tags="none")
    assert (without.decode(data) == shown).all()


def test_the_digest_is_of_what_a_stream_depends_on(tmp_path: Path) -> None:
    spoilt = copied(tmp_path)
    seen = {weights_digest(spoilt)}
    assert seen == {weights_digest(folder())}
    for name in ("tagger.safetensors", "card.json", "note.txt"):
        (spoilt / name).write_bytes(b"other")
        assert weights_digest(spoilt) in seen
    for name in (*PARTS, "text"):
        path = spoilt / f"{name}.safetensors"
        before = path.read_bytes() if path.exists() else b""
        path.write_bytes(before + b" ")
        assert path in stream_files(spoilt)
        digest = weights_digest(spoilt)
        assert digest not in seen
        seen.add(digest)
    assert len(seen) == 1 + len(PARTS) + 1


@pytest.mark.parametrize("part", PARTS)
def test_a_missing_part_is_named(part: str, tmp_path: Path) -> None:
    spoilt = copied(tmp_path)
    (spoilt / f"{part}.safetensors").unlink()
    with pytest.raises(ModelError, match=rf"diff-icmh: {part}\.safetensors missing"):
        DiffIcmh(models=tmp_path)
    with pytest.raises(ModelError, match="no such folder"):
        DiffIcmh(models=tmp_path / "nowhere")


def rewrite(path: Path, change: Callable[[dict[str, Any], dict[str, Any]], None]) -> None:
    """Change the tensors or the metadata of a file in place."""
    from safetensors import safe_open

    with safe_open(path, framework="numpy") as file:
        about = json.loads(file.metadata()[KEY])
    tensors = load_file(path)
    change(tensors, about)
    save_file(tensors, path, {KEY: json.dumps(about)})


def spoil(path: Path, how: str) -> None:
    data = path.read_bytes()
    if how == "cut":
        path.write_bytes(data[: len(data) // 2])
    elif how == "empty":
        path.write_bytes(b"")
    elif how == "foreign":
        other = "prior" if path.stem == "control" else "control"
        path.write_bytes((folder() / f"{other}.safetensors").read_bytes())
    elif how == "no metadata":
        save_file(load_file(path), path)
    elif how == "poor metadata":
        rewrite(path, lambda tensors, about: about.clear())
    elif how == "tensor missing":
        rewrite(path, lambda tensors, about: tensors.pop(sorted(tensors)[0]))
    elif how == "shape":

        def widen(tensors: dict[str, Any], about: dict[str, Any]) -> None:
            name = sorted(tensors)[0]
            tensors[name] = np.concatenate([tensors[name], tensors[name]])

        rewrite(path, widen)
    elif how == "not finite":

        def poison(tensors: dict[str, Any], about: dict[str, Any]) -> None:
            name = next(n for n in sorted(tensors) if tensors[n].dtype == np.float16)
            tensors[name].reshape(-1)[0] = np.nan

        rewrite(path, poison)


FAULTS = [
    (part, how)
    for part in (*PARTS, "tagger")
    for how in (
        "cut", "empty", "foreign", "no metadata", "poor metadata", "tensor missing", "shape",
        "not finite",
    )
    if (part, how) not in (("tables", "poor metadata"), ("tables", "not finite"))
]  # fmt: skip


@pytest.mark.parametrize(("part", "how"), FAULTS)
def test_a_damaged_part_is_named(part: str, how: str, tmp_path: Path) -> None:
    """ModelError with the file's name, when the model is loaded; the tagger's when it is used."""
    spoilt = copied(tmp_path)
    spoil(spoilt / f"{part}.safetensors", how)
    match = rf"{part}\.safetensors"
    if part != "tagger":
        with pytest.raises(ModelError, match=match):
            DiffICMHModel(spoilt, "cpu")
        return
    model = DiffICMHModel(spoilt, "cpu")
    with pytest.raises(ModelError, match=match):
        model.tags(picture((64, 64)), np.zeros((8, 8, 4), np.float32))


@pytest.mark.parametrize(
    ("unet", "control"),
    [
        ({"channels": (12, 16)}, {}),
        ({"layers": 2}, {}),
        ({"context": 12}, {}),
        ({}, {"hint": 3}),
    ],
)
def test_a_control_network_of_another_model(
    unet: dict[str, Any], control: dict[str, Any], tmp_path: Path
) -> None:
    """Whole by itself; it must not take until a picture is decoded to see that it does not fit."""
    spoilt = copied(tmp_path)
    sizes, settings = replace(UNET, **unet), replace(CONTROL, **control)
    state = build_control(sizes, settings, 1).state_dict()
    about = {"network": {"unet": sizes.values(), "control": settings.values()}}
    save_network(spoilt / "control.safetensors", state, about)
    with pytest.raises(ModelError, match=r"control\.safetensors: its sizes are not those"):
        DiffICMHModel(spoilt, "cpu")


def test_a_prior_and_a_codec_of_another_latent(tmp_path: Path) -> None:
    spoilt = copied(tmp_path / "prior")
    settings = PriorSettings(replace(UNET, latent=5), TAGS, tokens=4)
    state = Prior(settings, 1).state_dict()
    save_network(spoilt / "prior.safetensors", state, {"network": settings.values()})
    with pytest.raises(ModelError, match=r"prior\.safetensors: its sizes are not those"):
        DiffICMHModel(spoilt, "cpu")
    spoilt = copied(tmp_path / "codec")
    lfgcm = build_lfgcm(replace(LFGCM, out_channels=5), 1)
    write_codec(spoilt, CodecNetworks(lfgcm, build_control(UNET, CONTROL, 1)), UNET, {})
    with pytest.raises(ModelError, match=r"codec\.safetensors: its sizes are not those"):
        DiffICMHModel(spoilt, "cpu")


# ----- variants


def test_variants(tmp_path: Path) -> None:
    """A stream names the training that wrote it; the decoder finds it by its digest."""
    place = copied(tmp_path)
    other = place / "variants" / "no-sc"
    shutil.copytree(folder(), other)
    rewrite(other / "control.safetensors", lambda tensors, about: about.update(note="another"))
    both = DiffIcmh(models=tmp_path)
    assert both.model.digest == codec().model.digest != weights_digest(other)
    image = picture((64, 64))
    data = both.encode(image, rate=1, variant="no-sc")
    assert both.encode(image, rate=1) == codec().encode(image, rate=1)
    assert container.parse(data).header.weights_digest == weights_digest(other)
    fresh = DiffIcmh(models=tmp_path)
    shown = fresh.decode(data)
    assert (shown == both.decode(data)).all()
    assert fresh.parse(data)[0].folder == other
    with pytest.raises(WrongModel):
        codec().decode(data)
    with pytest.raises(ModelError, match="no such folder"):
        both.encode(image, rate=1, variant="nowhere")
    for name in ("../mpd", "", ".", "a/b"):
        with pytest.raises(ConfigError, match="a name of letters"):
            both.encode(image, rate=1, variant=name)


# ----- the registry


def test_the_codec_is_registered() -> None:
    assert registry.codecs()["diff-icmh"] is DiffIcmh
    assert registry.recognise(stream()) is DiffIcmh
    assert registry.recognise(stream()[:14]) is DiffIcmh


@pytest.mark.parametrize(
    ("given", "string", "encoding_part"),
    [
        ("diff-icmh:rate=2", "diff-icmh:rate=2", "diff-icmh:rate=2"),
        (
            "diff-icmh: steps=8 ,sampler=ddim, rate=4",
            "diff-icmh:rate=4,sampler=ddim,steps=8",
            "diff-icmh:rate=4",
        ),
        (
            "diff-icmh:tags=none,rate=1,guidance=1.50",
            "diff-icmh:tags=none,guidance=1.5",
            "diff-icmh:tags=none",
        ),
        (
            "diff-icmh:rate=1,tags=auto,sampler=model,steps=0,guidance=0",
            "diff-icmh",
            "diff-icmh",
        ),
    ],
)
def test_codec_specs(given: str, string: str, encoding_part: str) -> None:
    point = parse_spec(given)
    assert (point.spec, point.encoding) == (string, encoding_part)
    assert parse_spec(string) == point


@pytest.mark.parametrize(
    "text",
    [
        "diff-icmh:rate=0",
        "diff-icmh:rate=256",
        "diff-icmh:rate=1.5",
        "diff-icmh:rate=1,sampler=euler",
        "diff-icmh:rate=1,steps=1001",
        "diff-icmh:rate=1,guidance=-1",
        "diff-icmh:rate=1,state=3",
    ],
)
def test_strings_that_are_none(text: str) -> None:
    with pytest.raises(ConfigError):
        parse_spec(text)
