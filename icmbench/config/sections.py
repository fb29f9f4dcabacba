"""Keys of the configuration: type, default, limits and meaning of each, in one place.

`schemas/config.schema.json` is written from it (`python -m icmbench.config.sections`).
"""

from __future__ import annotations

import functools
import json
from typing import Any, Final

from icmbench.codecs.external.definition_keys import ENTRY as EXTERNAL
from icmbench.config.training import sections
from icmbench.core.fetch_command import DOWNLOADS
from icmbench.core.schema import (
    NAMES,
    REQUIRED,
    Schema,
    array,
    choice,
    entries,
    flag,
    integer,
    local_or_source,
    number,
    optional,
    section,
    string,
)
from icmbench.reporting.published.overlay import DEFAULT as PUBLISHED

TEXT: Final = {"type": "string"}
BPP: Final = number(REQUIRED, "bits per pixel", above=0)
IMAGE: Final = {"dataset": TEXT, "image": TEXT}
SEED: Final = integer(1, "another seed gives other resamples", low=0)


def _images(text: str, more: dict[str, Schema] | None = None) -> Schema:
    """A list of single images."""
    keys = {**IMAGE, **(more or {})}
    return array(section(keys, required=list(keys)), [], text)


DIFF_ICMH: Final = section(
    {
        "checkpoints": array(
            local_or_source("an official checkpoint"),
            REQUIRED,
            "one per rate, lowest rate first",
            least=1,
        ),
        "base": local_or_source("checkpoint of Stable Diffusion 2.1 for what they lack"),
        "tokenizer": local_or_source("folder of vocab.json and merges.txt"),
        "tags": local_or_source("file of the names of the tags, one a line"),
        "tagger": local_or_source("checkpoint of RAM++, with `thresholds`"),
        "thresholds": local_or_source("file of the tags' thresholds, one a line"),
        "head_width": integer(64, "channels of an attention head of the prior", low=1),
        "control_head_width": integer(16, "the same of the control network", low=1),
    },
    "options of `icmbench import-diff-icmh`, and of `icmbench import-ram-plus` for the tagger",
    required=["checkpoints"],
)
RUN: Final = {
    "results": string(
        "results",
        "folder of everything that a run writes; a leading ~ is the home folder, here and in "
        "downloads, sources, models and weights",
    ),
    "downloads": string(DOWNLOADS, "folder of downloaded data sets and weights"),
    "offline": flag(
        False, "never use the network: what is not in downloads is an error that names the command"
    ),
    "sources": optional(
        "YAML file of further sources, or of own mirrors of shipped ones (docs/sources.md)"
    ),
    "fail_on": choice(
        ["empty", "any", "never"],
        "when a finished run exits with an error: empty - a codec or task gave no result at all on "
        "a data set; any - an image failed somewhere; never. The report states failures in every "
        "case",
    ),
    "models": optional(
        "folder of trained models, used as it is (a codec takes <models>/<its model>); null: this "
        "run's own, <results>/models, made as `training` says"
    ),
    "imports": section(
        {"diff-icmh": DIFF_ICMH},
        "published models that `icmbench fetch --configfile` fetches and imports into `models`",
    ),
    "packed": flag(
        False,
        "in the configuration that `icmbench unpack` writes: only the streams below results are "
        "decoded, nothing is made",
    ),
    "shards": integer(
        1, "jobs per data set and codec; an image's shard depends on its id alone", low=1, high=4096
    ),
    "device": choice(["auto", "cpu", "cuda"], "of everything that can use a GPU"),
    "threads": integer(
        1, "threads of one job's numerical libraries; results are promised for 1", low=1
    ),
    "keep_reconstructions": flag(
        False, "keep the reconstructions (zip of PNGs) after they are measured"
    ),
    "split": {"type": "string", "default": "test", "description": "the split that is coded"},
    "metrics": array(
        TEXT,
        ["psnr_rgb", "psnr_y", "ssim", "ms_ssim"],
        "columns of rd.csv, in this order",
        least=1,
        unique=True,
    ),
    "weights": optional(
        "folder with the published weights of LPIPS, DISTS, FID and NIQE, or of folders with them: "
        "that of downloads after `icmbench fetch vgg16 alexnet dists inception-fid niqe`"
    ),
    "anchors": array(TEXT, [], "codec entries that BD-rates are given against", unique=True),
    "published": array(
        TEXT,
        list(PUBLISHED),
        "published curves that are drawn and compared with where a whole data set and a metric "
        "agree: names of codecs (`icmbench published` lists them), and CSV files as `icmbench "
        "import-results` writes them, all of whose codecs are taken; none: no such curve",
        unique=True,
    ),
    "rates": array(
        number(REQUIRED, above=0),
        [0.05, 0.1, 0.25, 0.5],
        "bits per pixel at which codecs are compared with the anchors, image by image "
        "(paired.csv); none: no such table",
        unique=True,
    ),
    "qualities": {
        "type": "object",
        "additionalProperties": array(number(REQUIRED), REQUIRED, unique=True),
        "default": {"psnr_rgb": [30, 35], "ms_ssim": [0.95], "ssimulacra2": [30, 50, 70]},
        "description": "levels of metrics at which the bytes of codecs are compared with those of "
        "the anchors, image by image (equal_quality.csv); metrics that are not measured have no "
        "rows",
    },
    "accuracies": array(
        number(REQUIRED, above=0, high=1),
        [0.9],
        "shares of the score on the originals at which the rates that tasks need are given "
        "(task_rates.csv)",
        unique=True,
    ),
}
EVALUATION: Final = {
    "bootstrap": section(
        {
            "resamples": integer(1000, "for the intervals of means", low=20),
            "bd_resamples": integer(200, "for the intervals of BD-rates", low=20),
            "seed": SEED,
        }
    ),
    "comparison": section(
        {
            "max_failed": number(
                0.25,
                "a codec spec that fails on a larger share of the images is not averaged and does "
                "not shrink the common set",
                low=0,
                high=1,
            ),
            "min_overlap": number(
                0.25, "no BD-rate below this overlap of the two curves", low=0, high=1
            ),
        }
    ),
    "limits": section(
        {
            "seconds_per_image": number(
                120,
                "a codec that takes longer for one image gets a row with status timeout; while "
                "others have all processors (Linux) time does not count",
                above=0,
            )
        }
    ),
    "robustness": section(
        {
            "dataset": optional(
                "the data set whose streams are damaged; needed where trials is not 0"
            ),
            "images": integer(3, "number of its images: the first ones by id", low=1),
            "trials": integer(
                0, "damaged streams per codec, image and kind of damage; 0: none, no table", low=0
            ),
            "seed": integer(1, "of the places of the damage", low=0),
            "seconds": number(20, "time limit of decoding one damaged stream", above=0),
        },
        "damaged streams of every codec through its own decoder",
    ),
    "distribution": section(
        {
            "datasets": array(
                TEXT, [], "data sets with FID and KID; none: no such table", unique=True
            ),
            "minimum": integer(
                1000,
                "no values below this number of patches: FID of few patches depends on their "
                "number more than on the codec",
                low=2,
            ),
        },
        "FID and KID of every codec spec, over patches of 256 x 256 pixels (distribution.csv)",
    ),
    "tasks": entries(
        {
            "type": "object",
            "required": ["type", "datasets"],
            "properties": {
                "type": {
                    **TEXT,
                    "description": "a kind of task: `icmbench tasks` lists them with their "
                    "options, which stand beside this key",
                },
                "datasets": array(
                    TEXT,
                    REQUIRED,
                    "data sets that it is evaluated on, annotated unless the answers on the "
                    "originals are the reference",
                    least=1,
                    unique=True,
                ),
                "reference": {
                    "enum": ["annotations", "originals"],
                    "description": "what answers are compared with; by default annotations, and "
                    "where a data set has none the model's answers on the originals",
                },
            },
        },
        {},
        "task models that are evaluated on the reconstructions; by name, which is the column task "
        "of tasks.csv",
    ),
}
# Keys that all sections of `training` share.
TRAINING: Final = {
    "start": choice(
        ["bundled", "scratch"],
        "weights that training starts from; bundled and 0 steps: the bundled model as it is",
    ),
    "precision": choice(["float32", "bfloat16"], "of the forward pass"),
    "crop": integer(
        128,
        "pixels a side of the training crops of the autoencoder and of diff-icmh's codec; smaller "
        "images are left out (the reverse process takes 128)",
        low=16,
        multiple=8,
    ),
    "seed": integer(1, "another seed gives other weights", low=0),
    "cache_mb": integer(
        1000,
        "MB of decoded training images that a training keeps in memory; all others are decoded "
        "when they are drawn. It changes the time, no weights",
        low=0,
    ),
    "compute": section(
        {
            "processes": integer(
                1,
                "processes of a training, one per GPU, on one machine; the batch is divided among "
                "them",
                low=1,
            ),
            "micro_batch": integer(
                0, "examples that a process computes at once; 0: all of its own", low=0
            ),
            "recompute": flag(
                False,
                "gradient checkpointing: activations are computed again for the gradient, not kept",
            ),
        },
        "how the stages of diff-icmh's codec are computed: time and memory; weights change by "
        "rounding alone, and an interrupted training may go on with other values",
    ),
    "data": entries(
        {
            "type": "object",
            "properties": {
                "type": TEXT,
                "tags": array(
                    {**TEXT, "minLength": 1},
                    REQUIRED,
                    "tags that hold for every image of the training set",
                ),
                "class_tags": flag(
                    False,
                    "tag every image with the groups of ImageNet's classes that EfficientNet-Lite0 "
                    "finds in it (its package is needed)",
                ),
                "use": array(
                    {"enum": ["mpd", "diff_icmh", "tasks"]},
                    REQUIRED,
                    "sections of `training` whose networks are trained on it; default: all",
                    least=1,
                    unique=True,
                ),
            },
        },
        {"scenes": {"type": "scenes", "seed": 1, "size": 256, "train": 16, "test": 0}},
        "training sets: entries as in `datasets`; of sets with splits the split train, of others "
        "all images. Never test data: kodak, photos, text and codes, other splits, COCO's val2017 "
        "and folders of images that this run codes are refused",
        minProperties=1,
    ),
}
COMPARISONS: Final = {
    "ablation": section(
        {
            "full": optional("the codec entry with every ingredient; null: no ablation"),
            "without": {
                "type": "object",
                "default": {},
                "description": "by ingredient, the codec entry without it",
                "additionalProperties": TEXT,
            },
            "bpp": array(
                number(REQUIRED, above=0),
                [],
                "rates at which the entries are compared",
                unique=True,
            ),
        },
        "loss of a codec without one of its ingredients, at equal rate",
    ),
    "visual": _images("images shown side by side at about one rate", {"bpp": BPP}),
    "task_pictures": _images(
        "images with the predictions of a task, on the original and on every codec's "
        "reconstruction at about this rate; `snakemake task_pictures`",
        {"bpp": BPP, "task": {**TEXT, "description": "an entry of tasks that names the data set"}},
    ),
    "hierarchy": _images("images whose palette hierarchy is drawn, where a codec entry is mpd"),
    "diffusion": _images(
        "images whose reconstructions are drawn at every rate, beside unconditional samples of the "
        "prior, where a codec entry is diff-icmh"
    ),
}
GRID: Final = {
    "type": "object",
    "additionalProperties": {"type": ["number", "string", "array"], "minItems": 1},
}
GRIDS: Final = {"type": "array", "items": GRID}
ENTRIES: Final = {
    "datasets": {
        "type": "object",
        "minProperties": 1,
        "description": "data sets by name; an entry that is null is taken out, as are null entries "
        "of codecs and tasks (--config adds to a configuration file)",
        "propertyNames": NAMES,
        "additionalProperties": {
            "type": "object",
            "properties": {
                "type": TEXT,
                "codecs": {
                    "anyOf": [
                        {"type": "array", "minItems": 1, "uniqueItems": True, "items": TEXT},
                        {
                            "type": "object",
                            "minProperties": 1,
                            "additionalProperties": {
                                "anyOf": [{"const": "all"}, {**GRIDS, "minItems": 1}]
                            },
                        },
                    ],
                    "description": "the codec entries that code it, by default all: a list, or a "
                    "mapping to `all` or to grids that choose among the entry's points",
                },
            },
        },
    },
    "codecs": {
        "type": "object",
        "minProperties": 1,
        "propertyNames": NAMES,
        "additionalProperties": section(
            {
                "codec": {
                    **TEXT,
                    "description": "the codec, where the entry's name is not one; command or "
                    "folder: a codec that the other keys define (docs/external-codecs.md)",
                },
                **EXTERNAL,
                "points": array(
                    GRID,
                    REQUIRED,
                    "grids: each is the product of its lists of values; a codec spec that an "
                    "earlier entry lists, too, is coded once and stands under both",
                    least=1,
                ),
            },
            required=["points"],
        ),
    },
}


@functools.cache
def schema() -> Schema:
    """JSON Schema of a configuration, with the sections of all installed codecs."""
    parts = {key: found.schema() for key, found in sections().items()}
    training = section(
        {**TRAINING, **parts},
        "of the models of codecs that have one; nothing is trained where no codec of the run needs "
        "it",
    )
    keys = {**RUN, **EVALUATION, "training": training, **COMPARISONS, **ENTRIES}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Configuration of an icmbench run",
        "type": "object",
        "additionalProperties": False,
        "required": list(ENTRIES),
        "properties": keys,
    }


def moved_keys() -> dict[str, str]:
    """Former keys of `training` -> the path of each now."""
    found = {
        key: f"training.{name}.{key}" for name, part in sections().items() for key in part.keys
    }
    return {"pool": "training.data", **found}


def schema_text() -> str:
    """The text of `schemas/config.schema.json`."""
    return _lines(schema(), "") + "\n"


def _lines(value: Any, indent: str) -> str:
    """JSON with one line per key that holds no keys of its own."""
    text = json.dumps(value)
    if '"properties"' not in text or not isinstance(value, dict):
        return text
    inner = indent + " "
    items = [f"{inner}{json.dumps(key)}: {_lines(v, inner)}" for key, v in value.items()]
    return "{\n" + ",\n".join(items) + f"\n{indent}}}"


if __name__ == "__main__":
    print(schema_text(), end="")
