"""The configuration of a run: validated, completed with defaults, turned into objects."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jsonschema

from icmbench.codecs.registry import codec_class
from icmbench.coding.shard import Family, make_family
from icmbench.datasets.base import Dataset
from icmbench.datasets.registry import make_dataset
from icmbench.errors import ConfigError
from icmbench.metrics import METRICS
from icmbench.suggest import unknown
from icmbench.versions import package_version


@dataclass(frozen=True)
class Run:
    """A validated configuration and what it describes.

    Attributes:
        config: the configuration with every default filled in.
        datasets: data sets by name.
        families: codec entries by name.
    """

    config: Mapping[str, Any]
    datasets: Mapping[str, Dataset]
    families: Mapping[str, Family]


def complete(config: Mapping[str, Any], schema: Path) -> dict[str, Any]:
    """The configuration with defaults, checked against the schema.

    Raises ConfigError that names the place, what is wrong and, for a mistyped key, the nearest
    right one.
    """
    rules = json.loads(schema.read_text())
    filled = copy.deepcopy(dict(config))
    _fill(filled, rules)
    checker = jsonschema.Draft202012Validator(rules)
    errors = sorted(checker.iter_errors(filled), key=lambda error: list(map(str, error.path)))
    if errors:
        raise ConfigError("configuration: " + "; ".join(_explain(error) for error in errors))
    return filled


def make_run(config: Mapping[str, Any], schema: Path) -> Run:
    """Validate a configuration down to every codec string, data-set option and metric."""
    filled = complete(config, schema)
    downloads = Path(filled["downloads"])
    datasets = {
        name: make_dataset(name, entry, downloads) for name, entry in filled["datasets"].items()
    }
    families = {n: make_family(n, coding_settings(filled, n)) for n in filled["codecs"]}
    seen: dict[str, str] = {}
    for family in families.values():
        for point in family.points:
            if (other := seen.setdefault(point.string, family.name)) != family.name:
                raise ConfigError(f"{point.string} stands in both {other!r} and {family.name!r}")
    _check_names(filled["metrics"], "metric", METRICS)
    _check_names(filled["anchors"], "anchor (no codec entry; add one or drop the anchor)", families)
    _check_names([item["dataset"] for item in filled["visual"]], "data set of visual", datasets)
    ids = {name: dataset.image_ids() for name, dataset in datasets.items()}
    for item in filled["visual"]:
        if item["image"] not in ids[item["dataset"]]:
            kind = f"image of data set {item['dataset']!r} in visual"
            raise ConfigError(unknown(kind, item["image"], ids[item["dataset"]]))
    return Run(filled, datasets, families)


def coding_settings(config: Mapping[str, Any], name: str) -> dict[str, Any]:
    """What decides the streams and pictures of a codec entry: `make_family`'s settings."""
    keys = ("device", "threads", "limits", "models")
    codec = codec_class(config["codecs"][name].get("codec", name))
    return {
        "entry": config["codecs"][name],
        **{key: config[key] for key in keys},
        # Not used by the job: a new version of the codec must not go by its old streams.
        "settings": codec.settings,
        "versions": {package: package_version(package) for package in codec.packages},
    }


def _fill(value: dict[str, Any], rules: Mapping[str, Any]) -> None:
    for key, rule in rules.get("properties", {}).items():
        if "default" in rule:
            value.setdefault(key, copy.deepcopy(rule["default"]))
        if isinstance(value.get(key), dict):
            _fill(value[key], rule)


def _explain(error: jsonschema.ValidationError) -> str:
    where = ".".join(map(str, error.absolute_path)) or "top level"
    if error.validator == "additionalProperties" and isinstance(error.schema, Mapping):
        known = error.schema.get("properties", {})
        wrong = [key for key in error.instance if key not in known]
        return "; ".join(f"{where}: {unknown('key', key, known)}" for key in wrong)
    return f"{where}: {error.message}"


def _check_names(names: list[str], kind: str, known: Mapping[str, Any]) -> None:
    for name in names:
        if name not in known:
            raise ConfigError(unknown(kind, name, known))
