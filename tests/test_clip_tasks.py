"""Tasks of CLIP: retrieval on captions, open-vocabulary segmentation; a tiny published folder."""

from __future__ import annotations

import importlib
import json
import pkgutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import make_picture
from safetensors.torch import load_file, save_file
from task_checks import evaluate
from tiny_clip import MEAN, STD, tiny_clip

from icmbench.config.load import complete
from icmbench.config.tasks import task_entry
from icmbench.core.errors import (
    ConfigError,
    DatasetError,
    MeasurementError,
    ModelError,
    TaskError,
)
from icmbench.core.fetch_command import FETCHED
from icmbench.core.images.image_files import write_png
from icmbench.datasets.base import Annotations
from icmbench.datasets.registry import make_dataset
from icmbench.reporting.figures.task_curves import curve_metrics, task_metrics
from icmbench.sources.catalogue import shipped_sources
from icmbench.tasks import answers, store
from icmbench.tasks.answers.embeddings import EMBEDDINGS, Embeddings
from icmbench.tasks.backends.clip import Clip
from icmbench.tasks.base import Labels
from icmbench.tasks.evaluate import Truth
from icmbench.tasks.kinds.clip_retrieval import ClipRetrieval
from icmbench.tasks.kinds.clip_segmentation import ClipSegmenter
from icmbench.tasks.metrics.retrieval_metrics import RetrievalEvaluator


def unit(*shape: int) -> np.ndarray:
    vectors = np.random.default_rng(sum(shape)).normal(size=shape)
    return (vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)).astype(np.float32)


def judged(
    predictions: Mapping[str, Embeddings], weights: np.ndarray | None = None
) -> dict[str, float]:
    captions = {name: ["x"] * len(each.captions) for name, each in predictions.items()}
    judge = RetrievalEvaluator([*predictions], captions)
    once = np.ones((1, len(predictions)), np.int64) if weights is None else weights
    return {k: float(v[0]) for k, v in judge.values(judge.count(predictions), once).items()}


def recalls(predictions: Mapping[str, Embeddings], times: np.ndarray) -> dict[str, float]:
    """Recall as it is defined, a query at a time."""
    pictures = [each.image for each in predictions.values()]
    texts = [(n, t) for n, each in enumerate(predictions.values()) for t in each.captions]
    found: dict[str, list[float]] = {}
    for level in (1, 5, 10):
        for number, picture in enumerate(pictures):
            ranked = sorted(texts, key=lambda pair: -float(picture @ pair[1]))
            hit = number in [owner for owner, _ in ranked[:level]]
            found.setdefault(f"image_to_text_r{level}", []).extend([hit] * times[number])
        for owner, text in texts:
            near = np.argsort([-float(text @ picture) for picture in pictures])[:level]
            found.setdefault(f"text_to_image_r{level}", []).extend([owner in near] * times[owner])
    return {key: float(np.mean(hits)) for key, hits in found.items()}


def test_recall_is_that_of_the_definition() -> None:
    """With different numbers of captions, and with images that count several times or never."""
    sizes = [5, 4, 6, 5, 5, 1, 5, 5, 3, 5, 5, 5, 5, 5]
    centres, generator, predictions = unit(len(sizes), 3), np.random.default_rng(1), {}
    for number, size in enumerate(sizes):
        vectors = centres[number] + generator.normal(0, 0.7, (1 + size, 3))
        vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
        predictions[f"i{number}"] = Embeddings(vectors[0], vectors[1:])
    for weights in (np.ones(14, np.int64), np.array([0, 2, 1, 0, 3, 1, 1, 0, 1, 1, 2, 1, 0, 1])):
        found = judged(predictions, weights[None])
        assert found == pytest.approx(recalls(predictions, weights))
        assert 0 < found["image_to_text_r1"] < found["image_to_text_r5"] < 1
        assert 0 < found["text_to_image_r1"] < found["text_to_image_r5"] < 1


def test_planted_embeddings_have_planted_recall() -> None:
    basis = np.eye(40, dtype=np.float32)
    right = {f"i{n}": Embeddings(basis[n], basis[[n] * 5]) for n in range(40)}
    assert set(judged(right).values()) == {1.0}
    moved = {f"i{n}": Embeddings(basis[n], basis[[(n + 1) % 40] * 5]) for n in range(40)}
    assert set(judged(moved).values()) == {0.0}
    # A network that gives one vector for everything knows nothing: no recall by equal scores.
    same = {f"i{n}": Embeddings(basis[0], basis[[0] * 5]) for n in range(40)}
    assert set(judged(same).values()) == {0.0}
    # Four images share the captions of each other: an image has its own among 20 equal ones.
    half = {name: right[name] if n >= 4 else right["i0"] for n, name in enumerate(right)}
    assert judged(half)["image_to_text_r1"] == 36 / 40


@pytest.mark.parametrize("rounding", [0.0, 3e-8])
def test_ties_count_against_the_query(rounding: float) -> None:
    """Pairs of images with equal vectors: a wrong image, or a wrong best caption, of equal rank.

    Equal but for the last digits of float32, too, where sums in another order decide nothing.
    """
    images, generator = 60, np.random.default_rng(2)
    pictures, texts = unit(images // 2, 512), unit(5 * images // 2, 512).reshape(-1, 5, 512)
    predictions = {}
    for number in range(images):
        vectors = np.concatenate([pictures[[number // 2]], texts[number // 2]])
        vectors[1:] += 2 * vectors[0]
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        vectors += generator.uniform(-rounding, rounding, vectors.shape).astype(np.float32)
        predictions[f"i{number:02}"] = Embeddings(vectors[0], vectors[1:])
    found = judged(predictions)
    assert found == {key: float(not key.endswith("_r1")) for key in found}


def test_malformed_embeddings() -> None:
    for image, captions, message in (
        (unit(4), unit(5, 3), r"shapes \(4,\) and \(5, 3\)"),
        (2 * unit(4), unit(5, 4), "no unit vector"),
        (np.full(4, np.nan, np.float32), unit(5, 4), "no unit vector"),
    ):
        with pytest.raises(TaskError, match=message):
            store.encode(Embeddings(image, captions))
    data = store.encode(Embeddings(unit(4), unit(5, 4)))[1]
    back = store.decode(data, EMBEDDINGS)
    assert isinstance(back, Embeddings)
    assert np.array_equal(back.image, unit(4))
    assert np.array_equal(back.captions, unit(5, 4))
    with pytest.raises(MeasurementError, match="not what was written as embeddings"):
        store.decode(b"{}", EMBEDDINGS)
    judge = RetrievalEvaluator(["a"], {"a": ["x", "y"]})
    with pytest.raises(TaskError, match="image 'a': 5 captions were embedded, it has 2"):
        judge.count({"a": Embeddings(unit(4), unit(5, 4))})
    with pytest.raises(MeasurementError, match="image 'a' has no prediction"):
        judge.count({})
    with pytest.raises(TaskError, match="image 'a' has no caption"):
        RetrievalEvaluator(["a"], {"a": []})


# The network.


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_clip(tmp_path_factory.mktemp("clip") / "clip-tiny")


@pytest.mark.parametrize("shape", [(40, 61), (61, 40), (32, 32), (20, 29)])
def test_vectors_are_those_of_transformers(folder: Path, shape: tuple[int, int]) -> None:
    """Network, tokens and pixels, each by the package's own classes."""
    from transformers import CLIPImageProcessor, CLIPModel, CLIPTokenizer

    image = make_picture(*shape, 3)
    network = CLIPModel.from_pretrained(folder).eval()
    ours = Clip(folder, "cpu")
    processor = CLIPImageProcessor.from_pretrained(folder)
    pixels = processor(images=image, return_tensors="pt")["pixel_values"]
    assert pixels.shape == (1, 3, 32, 32)
    with torch.inference_mode():
        expected = network.get_image_features(pixels).pooler_output[0]
        tokens = CLIPTokenizer.from_pretrained(folder)(
            ["a cat.", "dog and cat"], padding="max_length", max_length=20, return_tensors="pt"
        )
        texts = network.get_text_features(**tokens).pooler_output
    found = ours.image(image)
    # The package's filter and Pillow's round differently: by one of 255 in few pixels.
    assert float(found @ (expected / expected.norm()).numpy()) > 0.999
    texts = (texts / texts.norm(dim=1, keepdim=True)).numpy()
    np.testing.assert_allclose(ours.texts(["a cat.", "dog and cat"]), texts, atol=1e-5)
    values = ours.tensor(np.full((1, 1, 3), 51, np.uint8))[0, :, 0, 0]
    np.testing.assert_allclose(values, (0.2 - np.array(MEAN)) / STD, rtol=1e-5)


def test_both_formats_of_weights_are_one_network(folder: Path, tmp_path: Path) -> None:
    older = tiny_clip(tmp_path / "old", form="bin")
    image = make_picture(32, 32, 1)
    assert np.array_equal(Clip(older, "cpu").image(image), Clip(folder, "cpu").image(image))
    assert [path.name for path in ClipRetrieval("r", {"model": str(older)}).files()] == [
        "config.json", "pytorch_model.bin", "vocab.json", "merges.txt", "preprocessor_config.json",
    ]  # fmt: skip


def test_a_wrong_folder_is_one_sentence(tmp_path: Path) -> None:
    folder = tiny_clip(tmp_path / "x")
    whole = {path.name: path.read_bytes() for path in folder.iterdir()}

    def refused(message: str) -> None:
        with pytest.raises(ModelError, match=message):
            Clip(folder, "cpu")
        for name, data in whole.items():
            (folder / name).write_bytes(data)

    state = load_file(folder / "model.safetensors")
    save_file({k: v for k, v in state.items() if k != "visual_projection.weight"},
              folder / "model.safetensors")  # fmt: skip
    refused("'visual_projection.weight' is missing")
    save_file({**state, "more": torch.ones(1)}, folder / "model.safetensors")
    refused("tensor 'more' is not one of the network's")
    (folder / "model.safetensors").write_bytes(whole["model.safetensors"][:-40])
    refused(r"model\.safetensors: damaged")
    (folder / "preprocessor_config.json").unlink()
    refused(r"preprocessor_config\.json: no such file; expected a folder of transformers")
    (folder / "preprocessor_config.json").write_text('{"image_mean": [1]}')
    refused(r"image_mean=\[1\] is not three numbers")
    config = json.loads(whole["config.json"])
    (folder / "config.json").write_text(json.dumps({**config, "model_type": "siglip"}))
    refused("model_type is 'siglip', expected 'clip'")
    older = tiny_clip(tmp_path / "y", form="bin") / "pytorch_model.bin"
    counted = torch.load(older, weights_only=True)
    counted["vision_model.embeddings.position_ids"] += 1
    torch.save(counted, older)
    with pytest.raises(ModelError, match=r"vision_model\.embeddings\.position_ids' does not count"):
        Clip(older.parent, "cpu")


@pytest.mark.parametrize("name", [n for n in shipped_sources() if n.startswith("clip-vit")])
def test_a_source_is_a_model(name: str, tmp_path: Path) -> None:
    task = {"type": "clip-retrieval", "datasets": ["scenes"], "model": name}
    config = complete({"datasets": {"scenes": {}}, "codecs": {"identity": {"points": [{}]}},
                       "tasks": {"find": task}, "downloads": str(tmp_path)})  # fmt: skip
    with pytest.raises(ConfigError, match=rf"run `icmbench fetch .*{name}`"):
        task_entry(config, "find")
    tiny_clip(tmp_path / name)
    source = shipped_sources()[name]
    names = {file.name for file in source.files}
    assert {"config.json", "vocab.json", "merges.txt", "preprocessor_config.json"} < names


# The data sets, and everything together.


def coco2017(folder: Path) -> Annotations:
    """Three images of val with two captions each, as published, and one of another set."""
    root = folder / "coco2017-annotations"
    (root / "annotations").mkdir(parents=True)
    images = [
        {"id": 70 + n, "file_name": f"{n:012d}.png", "width": 40, "height": 36} for n in range(3)
    ]
    annotations = [
        {"id": n, "image_id": 70 + n % 3, "caption": f"{'cat' * (n % 3 + 1)} number {n}. "}
        for n in range(6)
    ]
    captions = {"images": images, "annotations": annotations, "licenses": []}
    (root / "annotations" / "captions_val2017.json").write_text(json.dumps(captions))
    instances = {"images": images, "annotations": [], "categories": [], "licenses": []}
    (root / "annotations" / "instances_val2017.json").write_text(json.dumps(instances))
    pictures = folder / "coco2017-val" / "val2017"
    pictures.mkdir(parents=True)
    for number, image in enumerate(images):
        write_png(pictures / str(image["file_name"]), make_picture(36, 40, number))
    for source in (root, pictures.parent):
        (source / FETCHED).write_text("{}")
    dataset = make_dataset("coco2017", {"more": ["captions"], "limit": 2}, folder)
    dataset.provide(dataset.image_ids(), folder / "out")
    return dataset.merge_annotations(dict.fromkeys(dataset.image_ids(), folder / "out"))


def test_captions_of_coco(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    found = coco2017(tmp_path)
    assert found.more == {
        "captions": {
            "000000000000.png": ["cat number 0.", "cat number 3."],
            "000000000001.png": ["catcat number 1.", "catcat number 4."],
        }
    }
    file = tmp_path / "coco2017-annotations" / "annotations" / "captions_val2017.json"
    content = json.loads(file.read_text())
    with pytest.raises(ConfigError, match="more: 'text' is none of captions, keypoints, panoptic"):
        make_dataset("coco2017", {"more": ["text"]}, tmp_path)
    for changed, message in (
        ({"annotations": content["annotations"][1:3]}, "image 000000000000.png has no caption"),
        ({"annotations": [{"image_id": 70, "caption": " "}]}, "annotation 0: caption=' ' is no"),
        ({"images": content["images"][1:]}, "image 000000000000.png is not listed"),
        ({"annotations": {}}, "no list 'annotations'"),
    ):
        entry = {"type": "coco", "path": str(tmp_path / "coco2017-val" / "val2017"),
                 "annotations": str(file.with_name("instances_val2017.json")), "limit": 2,
                 "captions": str(tmp_path / "captions.json")}  # fmt: skip
        (tmp_path / "captions.json").write_text(json.dumps({**content, **changed}))
        dataset = make_dataset("mine", entry, tmp_path)
        dataset.provide(dataset.image_ids(), tmp_path / "out")
        with pytest.raises(DatasetError, match=rf"captions\.json: .*{message}"):
            dataset.merge_annotations(dict.fromkeys(dataset.image_ids(), tmp_path / "out"))


def flickr30k(folder: Path, **entry: Any) -> Annotations:
    dataset = make_dataset("flickr30k", entry, folder)
    (folder / "out").mkdir(exist_ok=True)
    dataset.provide(dataset.image_ids(), folder / "out")
    return dataset.merge_annotations(dict.fromkeys(dataset.image_ids(), folder / "out"))


def test_captions_of_flickr30k(tmp_path: Path) -> None:
    root = tmp_path / "flickr30k"
    for number in range(3):
        path = root / "flickr30k-images" / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_png(path, make_picture(20, 24, number))
    tokens = root / "results_20130124.token"
    lines = [f"{n}.png#{k}\tA dog , number {n} and {k} ." for n in range(3) for k in range(5)]
    tokens.write_text("\n".join(lines) + "\n")
    (root / FETCHED).write_text("{}")
    captions = flickr30k(tmp_path).more["captions"]
    assert [*captions] == ["0.png", "1.png", "2.png"]
    assert captions["1.png"] == [f"A dog , number 1 and {k} ." for k in range(5)]
    (tmp_path / "names.txt").write_text("2.png\n0.png\n")
    chosen = flickr30k(tmp_path, names=str(tmp_path / "names.txt"))
    assert [*chosen.more["captions"]] == ["0.png", "2.png"]
    local = {"path": str(root / "flickr30k-images")}
    assert flickr30k(tmp_path, **local).more == {}
    assert len(flickr30k(tmp_path, **local, captions=str(tokens)).more["captions"]) == 3
    (tmp_path / "names.txt").write_text("9.png\n")
    with pytest.raises(DatasetError, match=r"names\.txt: 9\.png is not in"):
        flickr30k(tmp_path, names=str(tmp_path / "names.txt"))
    other = tmp_path / "other.token"
    for text, message in (
        ("0.png a dog\n", "line 1: '0.png a dog' is not `name#number`"),
        ("\n".join(lines[:10]) + "\n", r"2\.png has no caption \(1 of 3\)"),
    ):
        other = other.with_suffix(other.suffix + "x")
        other.write_text(text)
        with pytest.raises(DatasetError, match=message):
            flickr30k(tmp_path, **local, captions=str(other))


def test_retrieval_from_pictures_to_recall(folder: Path, tmp_path: Path) -> None:
    """The task's rows are those of the network's vectors; captions are embedded once."""
    pictures = {f"i{n}": make_picture(33, 45, n) for n in range(12)}
    captions = {name: [f"{'cat dog'[n % 5 :]} {n}.", "dog", f"{n} {n}"] for n, name in
                enumerate(pictures)}  # fmt: skip
    truth = Truth(more={"captions": captions})
    task = ClipRetrieval("find", {"model": str(folder)})
    assert task.model == "clip-tiny"
    task.load(Labels("x", {}, ()), "cpu")
    rows = dict(evaluate(pictures, task, truth))
    clip = Clip(folder, "cpu")
    expected = {n: Embeddings(clip.image(p), clip.texts(captions[n])) for n, p in pictures.items()}
    assert rows == pytest.approx(judged(expected))
    asked: list[str] = []
    texts = task._clip.texts
    task._clip.texts = lambda new: (asked.extend(new), texts(new))[1]
    evaluate(pictures, task, truth)
    assert asked == []
    with pytest.raises(TaskError, match="no annotations of the kind embeddings"):
        evaluate(pictures, task, Truth())


# Open-vocabulary segmentation.


@pytest.mark.parametrize("shape", [(32, 32), (24, 48)])
def test_patches_attend_to_themselves_in_the_last_layer(
    folder: Path, shape: tuple[int, int]
) -> None:
    """The read-out is the package's own last layer under a mask of the diagonal."""
    clip = Clip(folder, "cpu")
    pixels = clip.tensor(make_picture(*shape, 4))
    vision = clip.network.vision_model
    with torch.inference_mode():
        found = clip.patches(pixels)
        hidden = vision.pre_layrnorm(vision.embeddings(pixels, interpolate_pos_encoding=True))
        for layer in vision.encoder.layers[:-1]:
            hidden = layer(hidden, attention_mask=None)
        tokens = hidden.shape[1]
        diagonal = torch.where(torch.eye(tokens, dtype=torch.bool), 0.0, -torch.inf)[None, None]
        hidden = vision.encoder.layers[-1](hidden, attention_mask=diagonal)
        expected = clip.network.visual_projection(vision.post_layernorm(hidden[:, 1:]))[0]
    assert found.shape == (1, 12, shape[0] // 8, shape[1] // 8)
    expected = expected / expected.norm(dim=1, keepdim=True)
    torch.testing.assert_close(found[0].flatten(1).T, expected, rtol=1e-4, atol=1e-5)


def segmenter(folder: Path, classes: tuple[str, ...], **entry: Any) -> ClipSegmenter:
    task = ClipSegmenter("open", {"model": str(folder), "size": 32, **entry})
    task.load(Labels("x", {}, classes), "cpu")
    return task


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("shape", [(32, 32), (40, 61), (90, 33), (7, 200), (1, 9)])
def test_a_pixel_has_the_class_of_its_patch(
    folder: Path, shape: tuple[int, int], axis: int
) -> None:
    """An image of two colours, and as classifier the difference of their patches' features."""
    clip, task = Clip(folder, "cpu"), segmenter(folder, ("cat", "dog"))
    image = np.full((*shape, 3), (230, 10, 10), np.uint8)
    half = (slice(shape[axis] // 2, None), slice(None))[:: 1 - 2 * axis]
    image[half] = (10, 10, 230)
    colours = [np.full((32, 32, 3), value, np.uint8) for value in ((230, 10, 10), (10, 10, 230))]
    with torch.inference_mode():
        first, second = (clip.patches(clip.tensor(each)).mean(dim=(0, 2, 3)) for each in colours)
    task._classifier = torch.stack([first - second, second - first])
    found = task.predict(image, [])
    assert found.shape == shape
    assert found.dtype == np.uint8
    if min(shape) > 7:
        right = np.zeros(shape, np.uint8)
        right[half] = 1
        assert (found == right).mean() > 0.8  # of columns taken for rows: a half
    names = clip.texts(["a photo of a cat.", "a photo of a dog."])
    np.testing.assert_allclose(segmenter(folder, ("cat", "dog"))._classifier.numpy(), names, 1e-5)


def test_several_templates_are_averaged(folder: Path) -> None:
    texts = ["a photo of a {}.", "the {}"]
    task = segmenter(folder, ("cat", "dog"), templates=texts)
    clip = Clip(folder, "cpu")
    mean = clip.texts(["a photo of a cat.", "a photo of a dog."]) + clip.texts(
        ["the cat", "the dog"]
    )
    mean /= np.linalg.norm(mean, axis=1, keepdims=True)
    np.testing.assert_allclose(task._classifier.numpy(), mean, atol=1e-6)
    assert task.model == "clip-tiny, value read-out as MaskCLIP"
    for wrong, message in ((["cat"], "'cat' has not one {}"), ([], "none is given")):
        with pytest.raises(ConfigError, match=message):
            ClipSegmenter("open", {"model": "x", "templates": wrong})
    with pytest.raises(TaskError, match="data set 'x' has no semantic maps"):
        segmenter(folder, ())


def test_every_kind_of_answers_has_a_curve() -> None:
    """Its metrics have a title in figures, and one of them at least is drawn."""
    for info in pkgutil.iter_modules(answers.__path__):
        module = importlib.import_module(f"{answers.__name__}.{info.name}")
        if hasattr(module, "ANSWER"):
            metrics = answers.answer_of(info.name).metrics
            assert {*metrics} <= {*task_metrics()}, info.name
            assert {*metrics} & {*curve_metrics()}, info.name
