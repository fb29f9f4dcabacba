"""The `scenes` renderer: repeatable, exactly annotated, with the statistics of photographs."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import io
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from scene_checks import check_scene

from icmbench.core.errors import DatasetError
from icmbench.scenes import (
    CATEGORIES,
    SEMANTIC_CLASSES,
    Scene,
    draw_annotations,
    merge_annotations,
    render_scene,
    scene_annotations,
    surfaces,
)
from icmbench.scenes.camera import Camera
from icmbench.scenes.render import majority

FACE = 1


def _digest(scene: Scene) -> str:
    record = json.dumps(scene_annotations(scene, "x"), sort_keys=True)
    parts = scene.image.tobytes() + scene.semantic.tobytes() + record.encode()
    return hashlib.sha256(parts).hexdigest()


@pytest.fixture(scope="module")
def scenes() -> list[Scene]:
    return [render_scene(5, "val", index, 192, 192) for index in range(12)]


@pytest.fixture(scope="module")
def portraits(scenes: list[Scene]) -> list[Scene]:
    found = [scene for scene in scenes if scene.faces]
    assert len(found) >= 2
    return found


def test_same_scene_in_any_order_and_in_a_fresh_process() -> None:
    forward = [_digest(render_scene(1, "test", index, 80, 64)) for index in range(3)]
    backward = [_digest(render_scene(1, "test", index, 80, 64)) for index in (2, 1, 0)]
    assert forward == backward[::-1]
    assert len(set(forward)) == 3
    code = (
        "import sys; sys.path.insert(0, 'tests'); from test_scenes import _digest, render_scene;"
        "print(_digest(render_scene(1, 'test', 1, 80, 64)))"
    )
    root = Path(__file__).resolve().parents[1]
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == forward[1]


def test_seed_split_and_index_each_change_the_scene() -> None:
    digests = {
        _digest(render_scene(*arguments, 64, 64))
        for arguments in ((1, "train", 0), (2, "train", 0), (1, "val", 0), (1, "train", 1))
    }
    assert len(digests) == 4


def test_result_does_not_depend_on_the_strips(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = _digest(render_scene(5, "val", 2, 96, 96))
    monkeypatch.setattr("icmbench.scenes.render._STRIP", 96 * 4 * 7)
    assert _digest(render_scene(5, "val", 2, 96, 96)) == whole


@pytest.mark.parametrize(("width", "height"), [(64, 64), (65, 131), (301, 67), (64, 400)])
def test_any_size(width: int, height: int) -> None:
    for index in range(2):
        scene = render_scene(3, "train", index, width, height)
        assert scene.image.shape == (height, width, 3)
        check_scene(scene)


@pytest.mark.parametrize("maker", [surfaces.brick, surfaces.slabs])
def test_stones_at_the_seam(maker: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Just below 0 is the last stone's end, which float32 rounds to the stone after the last."""
    assert np.float32(-1e-9) % 4 == 4
    size = surfaces.SIZE
    monkeypatch.setattr(surfaces, "_noise", lambda *_: np.full((size, size), -1e-6, np.float32))
    for seed in range(4):
        assert np.isfinite(maker(np.random.default_rng(seed))).all()


@pytest.mark.parametrize(("width", "height"), [(63, 64), (64, 2049)])
def test_refuses_other_sizes(width: int, height: int) -> None:
    with pytest.raises(DatasetError, match=r"outside 64\.\.2048"):
        render_scene(0, "train", 0, width, height)


def test_masks_boxes_and_semantic_map_agree(scenes: list[Scene]) -> None:
    things = {SEMANTIC_CLASSES.index(entry["name"]): entry["id"] for entry in CATEGORIES}
    for scene in scenes:
        check_scene(scene)
        total = np.zeros(scene.semantic.shape, int)
        for item in scene.instances:
            total += item.mask
            rows, columns = np.nonzero(item.mask)
            x, y, w, h = item.bbox
            assert (x, y) == (columns.min(), rows.min())
            assert (x + w, y + h) == (columns.max() + 1, rows.max() + 1)
            assert {things[value] for value in scene.semantic[item.mask]} == {item.category_id}
        assert total.max() <= 1
        assert (np.isin(scene.semantic, list(things)) == (total == 1)).all()


def test_masks_lie_on_edges_of_the_image(scenes: list[Scene]) -> None:
    """Masks a few pixels off would pass every test of consistency, but not this one."""
    right, off = [], []
    for scene in scenes:
        grey = scene.image.astype(float).mean(axis=2)
        steps = np.abs(np.diff(grey, axis=1))
        owner = scene.semantic.astype(int)
        border = np.diff(owner, axis=1) != 0
        right.append(steps[border].mean())
        off += [steps[np.roll(border, shift, axis=1)].mean() for shift in (-3, 3)]
    assert np.mean(right) > 1.5 * np.mean(off)


def _break(scene: Scene, **changes: Any) -> Scene:
    instances = list(scene.instances)
    instances[0] = dataclasses.replace(instances[0], **changes)
    return dataclasses.replace(scene, instances=instances)


def _wider(scene: Scene) -> Scene:
    x, y, w, h = scene.instances[0].bbox
    return _break(scene, bbox=(x, y, w + 1, h))


def _shifted(scene: Scene) -> Scene:
    x, y, w, h = scene.instances[0].bbox
    return _break(scene, bbox=(x + 1, y, w, h))


def _relabelled(scene: Scene) -> Scene:
    return _break(scene, category_id=scene.instances[0].category_id % len(CATEGORIES) + 1)


def _repainted(scene: Scene) -> Scene:
    semantic = scene.semantic.copy()
    semantic[np.nonzero(scene.instances[0].mask)[0][0]] = 0
    return dataclasses.replace(scene, semantic=semantic)


def _doubled(scene: Scene) -> Scene:
    return dataclasses.replace(scene, instances=[*scene.instances, scene.instances[0]])


def _moved_point(scene: Scene) -> Scene:
    points = scene.faces[0].landmarks.copy()
    points[8, 1] += 300
    return dataclasses.replace(scene, faces=[dataclasses.replace(scene.faces[0], landmarks=points)])


@pytest.mark.parametrize(
    "fault", [_wider, _shifted, _relabelled, _repainted, _doubled, _moved_point]
)
def test_planted_faults_are_caught(portraits: list[Scene], fault: Callable[[Scene], Scene]) -> None:
    check_scene(portraits[0])
    with pytest.raises(DatasetError):
        check_scene(fault(portraits[0]))


def test_landmarks_are_ordered_and_on_the_face(portraits: list[Scene]) -> None:
    for scene in portraits:
        face = scene.faces[0]
        points = face.landmarks
        height = scene.image.shape[0]
        mask = scene.instances[face.instance].mask
        assert scene.instances[face.instance].category_id == FACE
        assert mask.any(axis=1).sum() >= 0.35 * height
        # Down the jaw to the chin and up again, leaving aside the turning points next to it.
        # At the ears a far jaw follows the outline, which may lean: half a pixel of slack.
        assert (np.diff(points[0:7, 1]) > -0.5).all()
        assert (np.diff(points[10:17, 1]) < 0.5).all()
        assert points[0, 0] < points[8, 0] < points[16, 0]
        # Left to right: brows, eyes, mouth; top to bottom: brow, eye, nose, mouth, chin.
        means = [
            points[part].mean(axis=0)
            for part in (slice(17, 22), slice(22, 27), slice(36, 42), slice(42, 48), slice(48, 60))
        ]
        assert means[0][0] < means[1][0]
        assert means[2][0] < means[3][0]
        assert points[48, 0] < points[51, 0] < points[54, 0]
        for brow, eye in ((0, 2), (1, 3)):
            assert means[brow][1] < means[eye][1] < points[33, 1] < means[4][1] < points[8, 1]
        assert np.array_equal(points[60, :] > points[48, :], [True, points[60, 1] > points[48, 1]])
        inner = points[17:]
        inside = face.inside[17:]
        cells = np.floor(inner[inside]).astype(int).clip(0, mask.shape[0] - 1)
        assert mask[cells[:, 1], cells[:, 0]].mean() > 0.9


def test_eye_landmarks_surround_a_dark_iris_between_light_corners(portraits: list[Scene]) -> None:
    """Landmarks that miss the drawn features fail this."""
    hits = 0
    for scene in portraits:
        big = scene.image.astype(float).mean(axis=2)
        for start in (36, 42):
            eye = scene.faces[0].landmarks[start : start + 6]
            centre = np.floor(eye.mean(axis=0)).astype(int)
            inside = big[centre[1] - 1 : centre[1] + 2, centre[0] - 2 : centre[0] + 3]
            cheek = big[centre[1] + 14 : centre[1] + 18, centre[0] - 2 : centre[0] + 3]
            hits += inside.min() < 0.8 * cheek.mean()
    assert hits >= 1.6 * len(portraits)


def test_coco_loads_and_ground_truth_scores_one(scenes: list[Scene], tmp_path: Path) -> None:
    records = [scene_annotations(scene, f"val-{number:03d}") for number, scene in enumerate(scenes)]
    coco, landmarks = merge_annotations(records[::-1])
    assert (coco, landmarks) == merge_annotations(records)
    assert [entry["file_name"] for entry in coco["images"]][:2] == ["val-000.png", "val-001.png"]
    assert sorted(landmarks) == [record["image_id"] for record in records]
    path = tmp_path / "instances.json"
    path.write_text(json.dumps(coco))
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(str(path))
        found = [{**truth.anns[key], "score": 1.0} for key in sorted(truth.anns)]
        guess = truth.loadRes(found)
        for kind in ("bbox", "segm"):
            evaluation = COCOeval(truth, guess, kind)
            evaluation.evaluate()
            evaluation.accumulate()
            evaluation.summarize()
            assert evaluation.stats[0] == pytest.approx(1.0)
    for annotation in truth.anns.values():
        mask = truth.annToMask(annotation).astype(bool)
        scene = scenes[annotation["image_id"] - 1]
        assert any(np.array_equal(mask, item.mask) for item in scene.instances)
        assert annotation["bbox"] == coco_mask.toBbox(annotation["segmentation"]).tolist()


def test_keypoints_are_the_points_inside_the_frame(portraits: list[Scene]) -> None:
    face = portraits[0].faces[0]
    inside = face.inside.copy()
    inside[::3] = False
    faces = [dataclasses.replace(face, inside=inside), *portraits[0].faces[1:]]
    record = scene_annotations(dataclasses.replace(portraits[0], faces=faces), "a")
    item = record["instances"][face.instance]
    triplets = np.reshape(item["keypoints"], (68, 3))
    np.testing.assert_array_equal(triplets[:, :2], np.where(inside[:, None], face.landmarks, 0))
    np.testing.assert_array_equal(triplets[:, 2], 2 * inside)
    assert item["num_keypoints"] == inside.sum()


def test_merging_refuses_one_image_twice(scenes: list[Scene]) -> None:
    record = scene_annotations(scenes[0], "same")
    with pytest.raises(DatasetError, match="same"):
        merge_annotations([record, record])


def test_every_class_appears_within_sixty_scenes() -> None:
    missing = {entry["id"] for entry in CATEGORIES}
    for index in range(60):
        scene = render_scene(0, "train", index, 64, 64)
        missing -= {item.category_id for item in scene.instances}
        if not missing:
            return
    raise AssertionError(f"categories {missing} never appear")


def _slope(image: np.ndarray) -> float:
    """Exponent of the radially averaged power spectrum, Hann window, 4 cycles to n/3."""
    grey = image.astype(float).mean(axis=2)
    side = min(grey.shape)
    window = np.hanning(side)
    grey = (grey[:side, :side] - grey.mean()) * window[:, None] * window
    power = np.abs(np.fft.fftshift(np.fft.fft2(grey))) ** 2
    y, x = np.indices(power.shape) - side // 2
    radius = np.hypot(y, x).astype(int).ravel()
    radial = np.bincount(radius, power.ravel()) / np.bincount(radius)
    frequency = np.arange(4, side // 3)
    return float(np.polyfit(np.log(frequency), np.log(radial[frequency]), 1)[0])


def test_spectrum_and_coding_cost_are_those_of_photographs(scenes: list[Scene]) -> None:
    """Flat cartoons cost less than 0.5 bpp, noise has a slope near 0."""
    assert _slope(np.random.default_rng(0).integers(0, 256, (192, 192, 3))) > -0.2
    slopes = [_slope(scene.image) for scene in scenes[:8]]
    assert -3.0 < np.mean(slopes) < -1.7
    rates = []
    for scene in scenes[:8]:
        handle = io.BytesIO()
        Image.fromarray(scene.image).save(handle, "webp", quality=75)
        rates.append(8 * handle.tell() / scene.semantic.size)
    assert 0.8 < np.mean(rates) < 2.5


def test_majority_vote_worked_by_hand() -> None:
    def vote(*four: int) -> int:
        return int(majority(np.array(four).reshape(1, 2, 1, 2))[0, 0])

    assert vote(3, 3, 3, 3) == 3
    assert vote(-1, 4, 4, 4) == 4
    assert vote(7, 2, 7, 5) == 7  # two of four, the others single
    assert vote(5, 2, 5, 2) == 2  # tie: the smaller
    assert vote(9, 1, 4, 9) == 9
    assert vote(4, 3, 2, 1) == 1


def test_camera_projects_rays_back() -> None:
    camera = Camera(120, 90, 150.0, 0.3)
    x = np.array([3.0, 60.0, 118.5], np.float32)
    y = np.array([80.0, 45.0, 12.25], np.float32)
    points = np.array([[0], [1], [0]], np.float32) + 3.7 * camera.rays(x, y)
    assert np.allclose(camera.project(points), [x, y], atol=1e-2)


def test_drawing(portraits: list[Scene]) -> None:
    scene = portraits[0]
    record = scene_annotations(scene, "a")
    before = scene.image.copy()
    drawn = draw_annotations(scene.image, record)
    assert drawn.shape == (384, 384, 3)
    assert np.array_equal(before, scene.image)
    x, y, _, h = (int(2 * value) for value in scene.instances[0].bbox)
    assert tuple(drawn[y + h // 2, x]) == (230, 60, 60)
    with pytest.raises(DatasetError, match="drawn on"):
        draw_annotations(scene.image[:-1], record)
