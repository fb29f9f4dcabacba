"""Training of the bundled landmark network: heat maps of 68 points on crops of rendered faces.

Bulat and Tzimiropoulos 2017 ("How far are we from solving the 2D & 3D face alignment problem?",
section 3): a network of hourglasses regresses one Gaussian per point with a squared error.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from icmbench.core.errors import DatasetError, ModelError
from icmbench.core.files import sha256_bytes
from icmbench.core.images.image_files import pixel_sha256, read_image
from icmbench.tasks.kinds.fan import CELLS, FEATURES, POINTS, SIDE, build_fan, crop_of, load_fan
from icmbench.training.images import CACHE_MB, ImageFiles
from icmbench.training.lazy import Lazy

if TYPE_CHECKING:  # every module of this package is read with the configuration, torch is slow
    import torch

    from icmbench.training.loop import Losses, Schedule, Session

# The point of the mirrored face that lies where a point was: jaw 0-16, brows 17-26, nose 27-35,
# eyes 36-47, lips 48-67 (the numbering of Multi-PIE and 300-W).
MIRRORED: Final = (
    *range(16, -1, -1), *range(26, 16, -1), *range(27, 31), *range(35, 30, -1),
    45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40,
    *range(54, 47, -1), *range(59, 54, -1), *range(64, 59, -1), 67, 66, 65,
)  # fmt: skip
SPREAD: Final = 1.5  # standard deviation of a target's Gaussian, in cells of the heat map
NEAR: Final = 10.0  # extra weight of the error where a target is 1: most of a map is 0
TURN: Final = 25.0  # largest rotation, degrees
ZOOM: Final = 0.2  # of the crop's side, either way
SHIFT: Final = 0.05  # of the crop's centre, in sides
COLOUR: Final = 0.3  # of brightness and contrast, and half of it per channel


@dataclass(frozen=True)
class FacePool:
    """Faces to train on.

    Attributes:
        images: uint8 (H, W, 3), one per face; those of files are decoded when they are asked for.
        points: float64 (faces, 68, 2), pixels, a pixel's centre at +0.5.
        inside: bool (faces, 68), points within the frame; the others are not trained on.
        boxes: float64 (faces, 4), x y width height.
        digest: of pixels and points.
    """

    images: Sequence[NDArray[np.uint8]]
    points: NDArray[np.float64]
    inside: NDArray[np.bool_]
    boxes: NDArray[np.float64]
    digest: str


def read_faces(folder_of: Mapping[str, Path], cache_mb: float = CACHE_MB) -> FacePool:
    """All faces of scenes, from the folders that hold `<id>.png` and `<id>.json`.

    Every image is read once for the digest and then again when it is drawn; `cache_mb`: 10^6 bytes
    of images that stay in memory.

    Raises DatasetError for an id of split `test`, which nothing is trained on, for a record that
    is missing or lacks a face's points, and where there is no face at all; ImageError for a
    image that cannot be read.
    """
    of_face: list[int] = []  # the number of each face's image
    paths: list[Path] = []
    shapes, pixels, faces, digests = [], [], [], []
    for image_id, folder in sorted(folder_of.items()):
        if image_id.startswith("test"):
            raise DatasetError(f"faces to train on: {image_id} is of the split for testing only")
        path = folder / f"{image_id}.json"
        try:
            found = json.loads(path.read_text("utf-8"))["faces"]
            boxes = [(face["bbox"], face["landmarks"], face["inside"]) for face in found]
        except (OSError, ValueError, KeyError) as error:
            raise DatasetError(f"{path}: not a record of a scene: {error!r}") from error
        if not boxes:
            continue
        image, _ = read_image(folder / f"{image_id}.png")
        of_face += [len(paths)] * len(boxes)
        paths.append(folder / f"{image_id}.png")
        shapes.append(image.shape[:2])
        pixels.append(pixel_sha256(image))
        faces += boxes
        digests.append(sha256_bytes(image.tobytes() + json.dumps(boxes).encode()))
    if not faces:
        raise DatasetError(f"faces to train on: none in {len(folder_of)} scenes")
    images = ImageFiles(paths, np.array(shapes, np.int64), pixels, cache_mb)
    return FacePool(
        Lazy(of_face, images.__getitem__),
        np.array([points for _, points, _ in faces], np.float64).reshape(-1, POINTS, 2),
        np.array([inside for _, _, inside in faces], bool).reshape(-1, POINTS),
        np.array([box for box, _, _ in faces], np.float64).reshape(-1, 4),
        sha256_bytes("".join(digests).encode()),
    )


def train_fan(
    schedule: Schedule, faces: FacePool, session: Session, *, features: int = FEATURES
) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Train a narrow FAN; its weights and metadata, for `icmbench.models.tensors.save_network`.

    Args:
        schedule: `batch` crops a step; after `freeze_after` the norms keep their statistics.
        session: its start is a file that `load_fan` reads.
        features: channels of the hourglass, a multiple of 16; with a start its own.

    Raises ConfigError where the loss is not finite or `features` are wrong, ModelError for a
    start or checkpoint that is damaged or of another network.
    """
    import torch

    from icmbench.models.tensors import state_digest
    from icmbench.training.loop import train

    origin = ""
    if session.start is None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(schedule.seed)
            network = build_fan(features)
    else:
        network = load_fan(session.start)
        features = int(getattr(network, "features", 0))
        if not features:
            raise ModelError(f"{session.start}: not a narrow FAN, the start of its training")
        origin = state_digest(network.state_dict())

    def losses(rng: np.random.Generator) -> Losses:
        batch = draw_batch(faces, rng, schedule.batch)
        pictures, points, judged = (torch.from_numpy(part).to(session.device) for part in batch)
        return heat_map_loss(network(pictures)[-1], points, judged)

    network.to(session.device)
    train(
        "fan",
        network,
        schedule,
        losses,
        session,
        describe={
            "features": features,
            "faces": faces.digest,
            "start": origin,
            "loss": [SPREAD, NEAR],
            "crops": [TURN, ZOOM, SHIFT, COLOUR, SIDE, CELLS],
        },
        freeze=settle_norms,
    )
    state = {k: v for k, v in network.cpu().state_dict().items() if "num_batches" not in k}
    return state, {"network": {"features": features}, "faces": len(faces.images)}


def settle_norms(network: torch.nn.Module) -> None:
    """The norms of a network keep their statistics from now on."""
    import torch

    for layer in network.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            layer.eval()


def heat_map_loss(maps: torch.Tensor, points: torch.Tensor, judged: torch.Tensor) -> Losses:
    """Squared error of heat maps, weighted by `1 + NEAR * target`.

    Args:
        maps: (n, 68, H, W).
        points: (n, 68, 2), x and y in crops of side 1, a cell's centre at +0.5 / W.
        judged: bool (n, 68), points that count.

    Returns `loss`, and `distance`: mean distance of the largest cell's centre to its point, in
    sides of the crop.
    """
    import torch

    with torch.no_grad():
        wanted = targets(points, maps.shape[-1])
        best = maps.flatten(2).argmax(2)
        found = torch.stack([best % maps.shape[-1], best // maps.shape[-1]], 2) + 0.5
        distance = (found / maps.shape[-1] - points).norm(dim=2)
    squares = ((maps - wanted) ** 2 * (1 + NEAR * wanted)).sum((2, 3))
    count = judged.sum().clamp_min(1)
    return {"loss": (squares * judged).sum() / count, "distance": (distance * judged).sum() / count}


def targets(points: torch.Tensor, cells: int) -> torch.Tensor:
    """A Gaussian per point, (n, 68, cells, cells), 1 at its peak; `points` in sides of the map."""
    import torch

    centres = torch.arange(cells, device=points.device) + 0.5
    x, y = (
        torch.exp(-(((points[..., i, None] * cells - centres) / SPREAD) ** 2) / 2) for i in (0, 1)
    )
    return y[..., :, None] * x[..., None, :]


def draw_batch(
    faces: FacePool, rng: np.random.Generator, count: int
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.bool_]]:
    """Random crops of random faces: mirrored, turned, zoomed, shifted, of changed colours.

    Returns images float32 (count, 3, 256, 256) in [0, 1], black outside of the frame; points
    float32 (count, 68, 2) in sides of the crop; and bool (count, 68): which of them lie in the
    frame and in the crop.
    """
    pictures = np.empty((count, 3, SIDE, SIDE), np.float32)
    points = np.empty((count, POINTS, 2), np.float32)
    judged = np.empty((count, POINTS), bool)
    for index in range(count):
        face = int(rng.integers(len(faces.images)))
        centre, side = crop_of(faces.boxes[face])
        centre = centre + side * rng.uniform(-SHIFT, SHIFT, 2)
        side *= rng.uniform(1 - ZOOM, 1 + ZOOM)
        angle = np.radians(rng.uniform(-TURN, TURN))
        axes = side * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        order = list(range(POINTS))
        if rng.random() < 0.5:
            axes[:, 0] *= -1
            order = list(MIRRORED)
        pictures[index] = cut(faces.images[face], centre, axes)
        placed = (faces.points[face] - centre) @ np.linalg.inv(axes).T + 0.5
        points[index] = placed[order]
        within = ((placed >= 0) & (placed < 1)).all(1)
        judged[index] = (faces.inside[face] & within)[order]
    return recolour(pictures, rng), points, judged


def cut(
    image: NDArray[np.uint8], centre: NDArray[np.float64], axes: NDArray[np.float64]
) -> NDArray[np.float32]:
    """The crop (3, 256, 256) in [0, 1] of an image, bilinear, black outside of it.

    Args:
        centre: of the crop, x and y in pixels.
        axes: (2, 2), its columns are the crop's sides as vectors in pixels.
    """
    import torch

    size = np.array(image.shape[1::-1], np.float64)
    place = np.column_stack([axes / size[:, None], 2 * centre / size - 1]).astype(np.float32)
    grid = torch.nn.functional.affine_grid(
        torch.from_numpy(place)[None], [1, 3, SIDE, SIDE], align_corners=False
    )
    source = torch.from_numpy(image.transpose(2, 0, 1)[None] / np.float32(255))
    return torch.nn.functional.grid_sample(source, grid, align_corners=False)[0].numpy()


def recolour(pictures: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """Change brightness, colour balance and contrast of every image."""

    def factors(spread: float, channels: int) -> NDArray[np.float32]:
        shape = (len(pictures), channels, 1, 1)
        return rng.uniform(1 - spread, 1 + spread, shape).astype(np.float32)

    values = pictures * factors(COLOUR, 1) * factors(COLOUR / 2, 3)
    middle = values.mean((1, 2, 3), keepdims=True)
    values = middle + (values - middle) * factors(COLOUR, 1)
    clipped: NDArray[np.float32] = np.clip(values, 0, 1)
    return clipped
