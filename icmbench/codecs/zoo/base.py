"""Base of the zoo's codecs: keys, model folder and container."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from icmbench.bitstream import container
from icmbench.bitstream.folding import folding_lines
from icmbench.codecs.base import Codec, Image, Key, check_image, check_pixels, too_large
from icmbench.codecs.zoo.model_folder import LAYOUTS, member_folder, trainings
from icmbench.codecs.zoo.published import METRICS, QUALITIES, UNIT, Training
from icmbench.core.errors import CodecError, ModelError, WrongModel
from icmbench.core.gpu_memory import gpu_memory_for

if TYPE_CHECKING:  # torch takes seconds to load
    from icmbench.codecs.zoo.zoo_model import ZooModel

MAX_PIXELS = 16_000_000  # the transforms take the whole image: there are no tiles


class ZooCodec(Codec):
    """A codec of CompressAI's zoo with its published weights; `name` is the zoo's.

    A training is loaded when it is first used: an image is coded at all qualities in a row, so they
    stay in memory together.
    """

    extension = "icb"
    uses_device = True
    packages = ("torch", "constriction", "numpy")
    encode_keys = {
        "quality": Key(
            int, low=QUALITIES[0], high=QUALITIES[-1], help="published training, 1: lowest rate"
        ),
        "metric": Key(
            str, default=METRICS[0], choices=METRICS, help="distortion that it was trained for"
        ),
    }

    def __init__(self, *, models: Path | None = None, device: str = "cpu") -> None:
        super().__init__(models=models, device=device)
        self._loaded: dict[Training, ZooModel] = {}

    def encode(self, image: Image, *, quality: int, metric: str = METRICS[0]) -> bytes:
        """Encode an image with a published training.

        Raises ModelError where its weights are missing, CodecError for images over the limit.
        """
        check_image(image)
        height, width = image.shape[:2]
        if too_large(width, height, MAX_PIXELS) or max(height, width) > container.MAX_SIDE:
            raise CodecError(f"{width}x{height} pixels are over the limit of {MAX_PIXELS}")
        model = self._model(Training(self.name, metric, quality))
        header = container.image_header(self.codec_id or 0, model.digest, height, width, UNIT)
        with gpu_memory_for(f"an image of {width}x{height} pixels", "take device: cpu"):
            return container.pack(header, model.encode(image))

    def decode(self, stream: bytes, **keys: Any) -> Image:
        """Decode a stream.

        Raises SymbolMismatch where this machine computes other probabilities than the encoder.
        """
        model, parsed, _ = self._parse(stream)
        size = parsed.header.height, parsed.header.width
        with gpu_memory_for(f"an image of {size[1]}x{size[0]} pixels", "take device: cpu"):
            return model.decode(parsed.sections, size)

    def describe(self, stream: bytes) -> list[tuple[str, str]]:
        """List size, training, and the bytes of each section."""
        _, parsed, training = self._parse(stream)
        width, height = parsed.header.width, parsed.header.height
        names = ("y",) if len(parsed.sections) == 1 else ("z", "y")
        sizes = zip(names, parsed.sections, strict=False)
        return [
            ("format", self.title),
            ("bytes", str(len(stream))),
            ("image", f"{width}x{height}"),
            *folding_lines(height, width, UNIT),
            ("bits per pixel", f"{8 * len(stream) / (width * height):.4f}"),
            ("weights", parsed.header.weights_digest.hex()),
            ("training", f"quality {training.quality}, {training.metric}"),
            ("sections", ", ".join(f"{name} {len(section)} B" for name, section in sizes)),
        ]

    def _parse(self, stream: bytes) -> tuple[ZooModel, container.Stream, Training]:
        parsed = container.parse(stream, codec_id=self.codec_id, unit=UNIT)
        check_pixels(parsed.header.width, parsed.header.height, MAX_PIXELS)
        training = self._training(parsed.header.weights_digest)
        return self._model(training), parsed, training

    def _training(self, digest: bytes) -> Training:
        """The training with a weights digest.

        Raises WrongModel where the model folder has none, ModelError where one that is incomplete
        may be it.
        """
        for training, model in self._loaded.items():
            if model.digest == digest:
                return training
        known = trainings(self.models / self.name) if self.models else []
        broken: ModelError | None = None
        for training in known:
            try:
                found = LAYOUTS[self.name].weights_digest(self._folder(training))
            except ModelError as error:  # of another training than the stream's, perhaps
                broken = broken or error
                continue
            if found == digest:
                return training
        if broken:
            raise broken
        at_hand = ", ".join(training.member for training in known) or "none"
        raise WrongModel(
            f"stream written with weights {digest.hex()} of {self.name}, at hand: {at_hand}; "
            f"{Training(self.name, METRICS[0], QUALITIES[0]).remedy()}"
        )

    def _folder(self, training: Training) -> Path:
        """The folder of a training; ModelError with the commands that make it."""
        if self.models is None:
            raise ModelError(
                f"{self.name}: no weights are bundled: {training.remedy()}, and give the folder "
                "models (--models models)"
            )
        folder = member_folder(self.models, training)
        if not folder.is_dir():
            remedy = training.remedy(str(self.models))
            raise ModelError(f"{self.name}: {folder}: no such folder: {remedy}")
        return folder

    def _model(self, training: Training) -> ZooModel:
        from icmbench.codecs.zoo.zoo_model import ZooModel

        if training not in self._loaded:
            folder = self._folder(training)
            self._loaded[training] = ZooModel(self.name, folder, self.device)
        return self._loaded[training]
