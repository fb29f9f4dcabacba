"""The model folder of Diff-ICMH: which files it holds, their digest, and the networks in them.

<models>/diff-icmh/autoencoder.safetensors  images <-> latents
<models>/diff-icmh/prior.safetensors        the denoising network and its tag embedder
<models>/diff-icmh/text.safetensors         of imported models, the text encoder
<models>/diff-icmh/codec.safetensors        LFGCM: image -> y, z -> c, with the rates' adapters
<models>/diff-icmh/control.safetensors      the control network
<models>/diff-icmh/tables.safetensors       integer tables of the entropy coder
<models>/diff-icmh/tagger.safetensors       tags of an image; the encoder's side only
<models>/diff-icmh/card.json                what they are and how they were made

<models>/diff-icmh/tags.txt, tokenizer/     of imported models, the words
<models>/diff-icmh/rates/<number>/          codec, control and tables of the rates from 2 on, where
                                            every rate was trained by itself (published models)
<models>/diff-icmh/variants/<name>/         other trainings of it, folders like this one

A stream depends on all but the tagger.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from icmbench.codecs.mpd import model_folder as mpd
from icmbench.core.errors import ModelError
from icmbench.models.layout import RATES, ModelLayout

if TYPE_CHECKING:  # the workflow reads names and digests without loading torch
    from icmbench.bitstream.tables import Tables
    from icmbench.codecs.diff_icmh.networks.control import ControlNetwork
    from icmbench.codecs.diff_icmh.networks.lfgcm import Lfgcm

NAME: Final = "diff-icmh"
MAIN: Final = "main"  # the variant in the model folder itself
PARTS: Final = ("autoencoder", "prior", "codec", "control", "tables")
TEXT: Final = "text"  # in imported models
TOKENIZER: Final = "tokenizer"  # folder of vocab.json and merges.txt in an imported model
WORDS: Final = ("vocab.json", "merges.txt")
VOCABULARY: Final = "tags.txt"  # of an imported model: one name a line; a tag's id is its line
TAGGER: Final = "tagger"
VARIANTS: Final = "variants"  # other trainings, each a folder like this one


LAYOUT: Final = ModelLayout(
    NAME,
    "weights of Diff-ICMH (NeurIPS 2025, arXiv 2511.22549), of small networks",
    PARTS,
    (TAGGER,),
    {
        "autoencoder": "an image to and from a latent at 1/8 of its size",
        "prior": "denoising network of the latent, conditioned on tags",
        "text": "text encoder of the prior",
        "codec": "LFGCM: an image to symbols and back to the latent c, gains per rate",
        "control": "control network: injects c into the prior",
        "tables": "integer tables of the entropy coder",
        "tagger": "tags of a latent; never needed to decode",
    },
    optional=(TEXT,),
    texts=(VOCABULARY, *(f"{TOKENIZER}/{name}" for name in WORDS)),
    shared={"autoencoder": mpd.LAYOUT},
    decoding="codec",
    frozen=("autoencoder", "prior", TEXT, TAGGER),
)
bundled = LAYOUT.bundled
part_file = LAYOUT.part_file
check_folder = LAYOUT.check_folder
stream_files = LAYOUT.stream_files
encoder_files = LAYOUT.encoder_files
weights_digest = LAYOUT.weights_digest


def member_folders(folder: Path) -> list[str]:
    """Folders of the further rates and of the variants in a model folder, relative to it."""
    rates = [f"{RATES}/{number}" for number in LAYOUT.rate_numbers(folder)]
    return rates + [f"{VARIANTS}/{name}" for name in variant_names(folder)]


def variant_names(folder: Path) -> list[str]:
    """Names of the variants that lie in a model folder, sorted."""
    return sorted(path.name for path in (folder / VARIANTS).glob("*") if path.is_dir())


@dataclass(frozen=True)
class Codec:
    """The codec's half of a model, read: all that decides bits.

    Attributes:
        lfgcm: in evaluation mode; its entropy model in float64.
        y_tables, z_tables: of the entropy coder.
        defaults: `sampler`, `steps`, `guidance` and `start` where a codec spec omits them, and
            `clip`, the largest magnitude of a predicted latent (None: no limit).
        metadata: of `codec.safetensors`.
    """

    lfgcm: Lfgcm
    y_tables: Tables
    z_tables: Tables
    defaults: dict[str, Any]
    metadata: dict[str, Any]


def load_codec(folder: Path) -> Codec:
    """The codec of a folder; ModelError naming file and tensor where something is wrong."""
    from icmbench.bitstream.tables import Tables
    from icmbench.codecs.diff_icmh.networks.lfgcm import build_lfgcm
    from icmbench.codecs.diff_icmh.networks.transforms import LfgcmSettings
    from icmbench.models.tensors import load_arrays, load_built

    path = part_file(folder, "codec")
    lfgcm, _, metadata = load_built(path, LfgcmSettings, build_lfgcm)
    defaults = _read(path, lambda: _defaults(metadata["decoding"]))
    lfgcm.entropy_to_double()
    tables = part_file(folder, "tables")
    arrays, _ = load_arrays(tables)
    try:
        y_tables, z_tables = (Tables.from_arrays(arrays, prefix) for prefix in ("y", "z"))
    except ModelError as error:
        raise ModelError(f"{tables}: {error}") from None
    if len(z_tables) != (hyper := lfgcm.settings.hyper):
        raise ModelError(f"{tables}: {len(z_tables)} tables of z, the codec has {hyper}")
    return Codec(lfgcm, y_tables, z_tables, defaults, metadata)


def load_control(folder: Path) -> ControlNetwork:
    """The control network of a folder; ModelError naming file and tensor."""
    from icmbench.codecs.diff_icmh.networks.control import ControlledSettings, build_control
    from icmbench.models.tensors import load_built

    def build(settings: ControlledSettings, seed: int) -> ControlNetwork:
        return build_control(settings.unet, settings.control, seed)

    return load_built(part_file(folder, "control"), ControlledSettings, build)[0]


def _defaults(values: dict[str, Any]) -> dict[str, Any]:
    """Check the decoding defaults of a model, for codec specs that omit them.

    Raises ValueError where a value is outside the range of its codec key.
    """
    from icmbench.codecs.diff_icmh.sampling import SAMPLERS, STEPS

    defaults: dict[str, Any] = {
        "sampler": str(values["sampler"]),
        "steps": int(values["steps"]),
        "guidance": float(values["guidance"]),
        "start": int(values["start"]),
        "clip": None if values["clip"] is None else float(values["clip"]),
    }
    ranges = {"steps": (2, STEPS), "guidance": (0, 30), "start": (0, STEPS - 1)}
    for name, (low, high) in ranges.items():
        if not low <= defaults[name] <= high:
            raise ValueError(f"{name} {defaults[name]} is not from {low} to {high}")
    if defaults["sampler"] not in SAMPLERS:
        raise ValueError(f"sampler {defaults['sampler']!r} is none of {', '.join(SAMPLERS)}")
    if defaults["clip"] is not None and not defaults["clip"] > 0:
        raise ValueError(f"clip {defaults['clip']} is not positive")
    return defaults


def _read(path: Path, read: Any) -> Any:
    try:
        return read()
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise ModelError(f"{path}: its metadata is incomplete: {error}") from error
