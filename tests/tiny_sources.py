"""Tiny random stand-ins for published data sets and networks, in exactly the published formats."""

from __future__ import annotations

import io
import json
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from conftest import make_picture
from file_server import Site
from PIL import Image
from published_autoencoders import write_published
from test_import_diff_icmh import other_rate, published, small_networks, words
from tiny_clip import tiny_clip
from tiny_ram import checkpoint as ram_checkpoint
from tiny_ram import tiny_state
from tiny_weights import Files, pickled

from icmbench.tasks.backends.openmm import find_config, import_library

NOISE = 220  # of 256
ARCHIVES = (".zip", ".tar.gz")
SIZES = ((200, 176), (176, 210), (190, 190))  # MS-SSIM needs 161 pixels a side
PATCHES = (256, 512)  # two patches of FID; NIQE needs 192 pixels a side


def encoded(number: int, form: str, size: tuple[int, int] | None = None, noise: int = 0) -> bytes:
    """A picture as a file. Noise keeps the latent of a random autoencoder within its range."""
    height, width = size or SIZES[number % len(SIZES)]
    smooth = make_picture(height, width, number) * (1 - noise / 256)
    pixels = smooth + np.random.default_rng(number).uniform(0, noise, smooth.shape)
    out = io.BytesIO()
    Image.fromarray(pixels.astype(np.uint8)).save(out, form)
    return out.getvalue()


def archive(files: Mapping[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as opened:
        for name, content in files.items():
            opened.writestr(name, content)
    return out.getvalue()


def tarred(files: Mapping[str, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as opened:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            opened.addfile(entry, io.BytesIO(content))
    return out.getvalue()


def light(state: Mapping[str, Any]) -> dict[str, Any]:
    """Weights in which every output has the filter of the first: a small file of full shapes."""
    return {
        name: tensor[:1].clone().expand_as(tensor) if tensor.ndim > 1 else tensor
        for name, tensor in state.items()
    }


def coco2017() -> dict[str, Files]:
    """Annotations and images of val and train."""
    import_library("mmdet")
    from mmdet.datasets import CocoDataset

    names = CocoDataset.METAINFO["classes"]
    categories = [{"id": n, "name": name} for n, name in enumerate(names, 1)]
    annotations, found = {}, {}
    for split, numbers in {"val": (139, 285), "train": range(9, 17)}.items():
        noise = NOISE if split == "train" else 0
        pictures = {n: encoded(n, "JPEG", noise=noise) for n in numbers}
        images = []
        for number in numbers:
            height, width = SIZES[number % len(SIZES)]
            file = f"{number:012d}.jpg"
            images.append({"id": number, "file_name": file, "width": width, "height": height})
        things = [thing(place, number) for place, number in enumerate(numbers, 1)]
        content = {"images": images, "licenses": [], "categories": categories}
        for kind, listed in (("instances", things), ("captions", [])):
            text = json.dumps({**content, "annotations": listed})
            annotations[f"annotations/{kind}_{split}2017.json"] = text.encode()
        files = {f"{split}2017/{n:012d}.jpg": content for n, content in pictures.items()}
        found[f"coco2017-{split}"] = {f"{split}2017.zip": archive(files)}
    zipped = {"annotations_trainval2017.zip": archive(annotations)}
    return {**found, "coco2017-annotations": zipped}


def thing(place: int, image: int) -> dict[str, Any]:
    corners = [20, 30, 80, 30, 80, 110, 20, 110]
    box = {"bbox": [20, 30, 60, 80], "area": 4800, "segmentation": [corners], "iscrowd": 0}
    return {"id": place, "image_id": image, "category_id": 1, **box}


def ffhq() -> dict[str, Files]:
    """Two faces of train, two of val."""
    numbers = (3, 4, 60000, 60001)
    faces = {
        f"{n // 1000 * 1000:05d}/{n:05d}.png": encoded(n, "PNG", (176, 176), NOISE) for n in numbers
    }
    files = {f"images1024x1024/{name}": content for name, content in faces.items()}
    return {"ffhq-1024": {"images1024x1024.zip": archive(files)}}


def ade20k() -> dict[str, Files]:
    """One image of validation, with the names of its classes as mmseg has them."""
    import_library("mmseg")
    from mmseg.datasets import ADE20KDataset

    names = ADE20KDataset.METAINFO["classes"]
    rows = [f"{n}\t0.1\t100\t10\t{name}" for n, name in enumerate(names, 1)]
    values = np.arange(SIZES[1][0] * SIZES[1][1]).reshape(SIZES[1]) // 300 % 151
    maps = io.BytesIO()
    Image.fromarray(values.astype(np.uint8)).save(maps, "PNG")
    stem, root = "ADE_val_00000001", "ADEChallengeData2016"
    text = "\n".join(["Idx\tRatio\tTrain\tVal\tName", *rows, ""])
    files = {
        f"{root}/images/validation/{stem}.jpg": encoded(1, "JPEG", SIZES[1]),
        f"{root}/annotations/validation/{stem}.png": maps.getvalue(),
        f"{root}/images/training/ADE_train_00000001.jpg": encoded(2, "JPEG", SIZES[1]),
        f"{root}/annotations/training/ADE_train_00000001.png": maps.getvalue(),
        f"{root}/objectInfo150.txt": text.encode(),
    }
    return {"ade20k": {"ADEChallengeData2016.zip": archive(files)}}


def clic2020() -> dict[str, Files]:
    """Two images of the track professional."""
    files = {f"{n}.png": encoded(n, "PNG", PATCHES) for n in (1, 2)}
    return {"clic2020-professional": {"CLIC2020Professional_test.zip": archive(files)}}


def tecnick() -> dict[str, Files]:
    """Two images, beside those of other sizes."""
    folders = ("RGB_OR_1200x1200", "RGB_OR_600x600")
    files = {
        f"RGB/{folder}/RGB_OR_{n:03}.png": encoded(n, "PNG") for folder in folders for n in (1, 2)
    }
    return {"tecnick": {"testimages.zip": archive(files)}}


def flickr30k() -> dict[str, Files]:
    """Three photographs with two captions each."""
    names = [f"{n}.jpg" for n in (11, 12, 13)]
    images = {f"flickr30k-images/{name}": encoded(int(name[:2]), "JPEG") for name in names}
    words = ("cat", "dog", "a cat")
    lines = [
        f"{name}#{n}\t{text} {word} .\n"
        for name, word in zip(names, words, strict=True)
        for n, text in enumerate(("a", "the"))
    ]
    captions = {"results_20130124.token": "".join(lines).encode()}
    archives = {"flickr30k-images.tar.gz": tarred(images), "flickr30k.tar.gz": tarred(captions)}
    return {"flickr30k": archives}


def pipeline(folder: Path) -> dict[str, Files]:
    """A pipeline of diffusers with an autoencoder."""
    write_published("kl", folder / "vae")
    files = {f"vae/{path.name}": path.read_bytes() for path in (folder / "vae").iterdir()}
    return {"stable-diffusion-2-1-base": {"model_index.json": b"{}", **files}}


def openmm(package: str, config: str) -> dict[str, Files]:
    """A checkpoint of mmengine, as OpenMMLab publishes them."""
    from mmengine.config import Config
    from mmengine.registry import MODELS, init_default_scope

    import_library(package)
    init_default_scope(package)
    model = Config.fromfile(find_config(package, config)).model
    model.backbone.init_cfg = None
    model.pop("pretrained", None)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        state = MODELS.build(model).state_dict()
    wrapped = {"meta": {"epoch": 12}, "state_dict": light(state), "message_hub": {}}
    return {f"{package}-{config}": {"net.pth": pickled(wrapped)}}


def face_alignment() -> dict[str, Files]:
    """2DFAN-4, four hourglasses; equal filters would put all landmarks in one place."""
    from face_alignment.models import FAN

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(6)
        state = FAN(4).half().state_dict()
    return {"face-alignment": {"2DFAN4-tiny.pth.tar": pickled(state)}}


def diff_icmh(folder: Path) -> dict[str, Files]:
    """Lightning checkpoints of two rates, and a tokenizer that spells."""
    networks = published(small_networks())
    # As drawn, the networks' values run away; at a tenth of the weights they stay numbers.
    first = {k: v / 10 if v.is_floating_point() and v.ndim > 1 else v for k, v in networks.items()}
    found: dict[str, Files] = {}
    for weight, state in ((32, first), (16, other_rate(first, 2))):
        content = {
            "state_dict": state,
            "epoch": 3,
            "global_step": 1,
            "pytorch-lightning_version": "1",
        }
        found[f"diff-icmh-{weight}"] = {f"diff-icmh-{weight}.ckpt": pickled(content)}
    folder.mkdir(parents=True)
    words(folder)
    tokens = {path.name: path.read_bytes() for path in (folder / "tokenizer").iterdir()}
    return {**found, "stable-diffusion-2-1-tokenizer": tokens}


def ram_plus() -> dict[str, Files]:
    """RAM++ of three tags."""
    return {
        "ram-plus": {"ram_plus_swin_large_14m.pth": pickled(ram_checkpoint(tiny_state()))},
        "ram-tags": {"ram_tag_list.txt": b"cat\ndog\nhat\n"},
        "ram-thresholds": {"ram_tag_list_threshold.txt": b"0.5\n0.5\n0.5\n"},
    }


def clip(folder: Path) -> dict[str, Files]:
    """CLIP in the format of transformers, under both of its names."""
    tiny_clip(folder, form="bin")
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    return {f"clip-vit-base-patch{size}": files for size in (16, 32)}


def serve_sources(site: Site, sources: Mapping[str, Files], folder: Path) -> Path:
    """Put sources on a site; returns the list of sources, a file in a folder."""
    entries = {}
    for name, files in sources.items():
        site.files |= {f"/{name}/{file}": content for file, content in files.items()}
        entries[name] = {
            "title": f"rehearsal of {name}",
            "licence": "made by a test",
            "homepage": "http://example.org/",
            "bases": [f"{site.address}/{name}/"],
            "files": [{"name": file, "unpack": file.endswith(ARCHIVES)} for file in files],
        }
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "sources.yaml"
    path.write_text(yaml.safe_dump(entries), encoding="utf-8")
    return path
