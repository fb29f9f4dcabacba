"""Facts that rules derive from a validated run: shards, model files, trained parts, artefacts."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from icmbench.codecs.diff_icmh import model_folder as icmh
from icmbench.codecs.diff_icmh.training.settings import alone, imports, tags_images
from icmbench.codecs.mpd import model_folder as mpd
from icmbench.codecs.mpd.training.settings import source
from icmbench.codecs.registry import codec_class
from icmbench.codecs.zoo import published as zoo
from icmbench.codecs.zoo.model_folder import member_files
from icmbench.config.adapted import adapted_specs, adapted_tasks, compared_with
from icmbench.config.models import (
    alpha_sweeps,
    entries_with_seeds,
    given_files,
    model_name,
    models_folder,
    unit_settings,
    used_features,
)
from icmbench.config.published import published_rows
from icmbench.config.run import Run
from icmbench.config.scope import make_scope
from icmbench.config.sources import source_files
from icmbench.config.tasks import task_entry
from icmbench.config.zoo import zoo_checkpoint, zoo_trainings
from icmbench.core.files import sha256_bytes
from icmbench.datasets.base import Dataset
from icmbench.datasets.records import shard_of
from icmbench.evaluation.shard import CodecEntry
from icmbench.evaluation.sharing import shared_strings
from icmbench.evaluation.units import coded_by, entry_on, units
from icmbench.metrics import METRICS, available
from icmbench.reporting.artefacts import Made, Scope, benchmarks, made
from icmbench.reporting.captions import report_words
from icmbench.reporting.catalogue import CATALOGUE
from icmbench.tasks.backends.openmm_task import OpenMMTask
from icmbench.tasks.base import ORIGINALS
from icmbench.tasks.latents import LatentTask

# Parts of MPD's model whose training writes a table of losses, as that of the features does.
NETWORKS = ("autoencoder", "reverse", "vgg")


class Plan:
    """A validated run with the facts that rules, tools and tests derive from it.

    Attributes:
        run: the run.
        shards: numbers of the shards.
        makes_models: the run makes its own model files (none are given); imports do not count.
        mpd, diff_icmh: codec entries of either codec.
        trained_kinds: kinds of descriptors that features are trained on.
        losses: names of the tables of losses in `training/`.
        sweeps: by kind of clustering features, the weight of every entry of a sweep.
        sweep_anchor: the entry of weight 0 of the sweeps; None: there is no sweep.
    """

    def __init__(self, run: Run) -> None:
        self.run = run
        config = run.config
        self.results = str(config["results"])
        self.shards = list(range(config["shards"]))
        self.with_model = [name for name in run.codecs if model_name(config, name)]
        made = [name for name in self.with_model if model_name(config, name) not in zoo.NAMES]
        self.makes_models = bool(made) and not config["models"]
        self.mpd = self._entries(mpd.NAME)
        self.diff_icmh = self._entries(icmh.NAME)
        features = [part for part in run.training.encoder_parts if part.startswith("features-")]
        self.features = [part.removeprefix("features-") for part in features]
        self.trained_kinds = self.features if "features" in run.training.trained["mpd"] else []
        self.losses = self._losses(features)
        sweeps = alpha_sweeps(run.codecs)
        entries = [entry for sweep in sweeps.values() for entry in sweep.items()]
        anchor = next((name for name, alpha in entries if alpha == 0), None)
        self.sweeps = sweeps if anchor in config["anchors"] else {}
        self.sweep_anchor = anchor if self.sweeps else None

    def _entries(self, codec: str) -> list[str]:
        return [name for name, family in self.run.codecs.items() if family.codec == codec]

    def _losses(self, features: Sequence[str]) -> list[str]:
        trained = self.run.training.trained
        found = [network for network in NETWORKS if self.trains(network)]
        found += features if self.trained_kinds else []
        imported = imports(self.run.config["training"])
        parts = ("tagger",) if imported else ("prior", "tagger")
        found += [part for part in parts if part in trained["diff_icmh"]]
        for stage in ("stage_1", "stage_2"):
            if stage in trained["diff_icmh"]:
                shared = stage == "stage_1" and alone(self.run.config["training"])
                found += [f"{stage}-{each}" for each in (["main"] if shared else self.variants)]
        return [*found, *trained["tasks"], *(f"adapted-{name}" for name in self.adapted)]

    def trains(self, part: str) -> bool:
        """A network of MPD's model is trained by steps: neither copied nor imported."""
        imported = part == "autoencoder" and source(self.run.config["training"]) is not None
        return part in self.run.training.trained["mpd"] and not imported

    @property
    def variants(self) -> list[str]:
        """The trainings of Diff-ICMH's codec; `main` is the model's own."""
        return ["main", *self.run.config["training"]["diff_icmh"]["variants"]]

    @property
    def makes_mpd(self) -> bool:
        """All of MPD's model is made, not only the autoencoder that Diff-ICMH shares."""
        return self.makes_models and mpd.NAME in self.models()

    @property
    def makes_diff_icmh(self) -> bool:
        """All of Diff-ICMH's model is made."""
        return self.makes_models and bool(self.diff_icmh)

    @functools.cached_property
    def pairs(self) -> list[tuple[str, str]]:
        """Data set and task, of every task on every one of its data sets."""
        tasks = self.run.config["tasks"]
        return [(data, task) for task in self.run.tasks for data in tasks[task]["datasets"]]

    @functools.cached_property
    def backbones(self) -> list[tuple[str, str]]:
        """Those of `pairs` whose model has a backbone for the study of the feature gap."""
        tasks = self.run.tasks
        return [pair for pair in self.pairs if isinstance(tasks[pair[1]], OpenMMTask)]

    @functools.cached_property
    def adapted(self) -> dict[str, dict[str, Any]]:
        """Adapted tasks, with the arguments of the figure `adapted_curves`.

        `control` is a task of the same model that is adapted to a lossless codec by the same
        training; None: there is none.
        """
        config, entries = self.run.config, self.run.codecs
        chosen = adapted_tasks(config)
        against = {name: compared_with(config, name) for name in chosen}
        controls = {
            (against[name], each.training): name
            for name, each in chosen.items()
            if self.lossless(each.codec)
        }
        return {
            name: {
                "against": against[name],
                "control": controls.get((against[name], each.training)),
                "codec": each.codec,
                "specs": adapted_specs(name, each, entries[each.codec]),
            }
            for name, each in chosen.items()
        }

    # ----- images

    @functools.cache  # noqa: B019 - a plan lives as long as its process
    def shard_images(self, dataset: str) -> list[list[str]]:
        """Ids of a data set's images, shard by shard."""
        parts: list[list[str]] = [[] for _ in self.shards]
        for image in self.run.datasets[dataset].image_ids():
            parts[self.shard_of(image)].append(image)
        return parts

    def shard_of(self, image: str) -> int:
        """Number of the shard that holds an image."""
        return shard_of(image, len(self.shards))

    @functools.cache  # noqa: B019
    def fingerprint(self, dataset: str, shard: int) -> list[Any]:
        """Digest of the images of one shard: a new image reruns its shard and no other."""
        ids = self.shard_images(dataset)[shard]
        return [len(ids), self.run.datasets[dataset].fingerprint(ids)]

    @functools.cache  # noqa: B019
    def training_fingerprint(self, source: str) -> list[Any]:
        """Digest of the images of a training set, short however many they are."""
        data = self.run.training.sources[source]
        ids = data.image_ids()
        return [len(ids), sha256_bytes("\n".join(ids).encode()), data.fingerprint(ids)]

    def image_files(
        self,
        items: Iterable[Mapping[str, Any]],
        patterns: Mapping[str, str],
        codecs: Sequence[str] = (),
    ) -> dict[str, list[str]]:
        """The files of the shards that hold single images, by kind, sorted.

        Args:
            items: `dataset` and `image` of each.
            patterns: by kind, a path with `{dataset}`, `{shard}` and, for one file per entry,
                `{codec}`.
            codecs: codec entries.
        """
        places = [(item["dataset"], self.shard_of(item["image"])) for item in items]
        found = {}
        for kind, pattern in patterns.items():
            single = "{codec}" not in pattern
            found[kind] = sorted(
                {
                    pattern.format(dataset=dataset, shard=shard, codec=codec)
                    for dataset, shard in places
                    for codec in ([""] if single else self._pictured(dataset, codecs))
                }
            )
        return found

    def _pictured(self, dataset: str, codecs: Sequence[str]) -> list[str]:
        """Of codec entries, and `ORIGINALS`, those that a data set has files of."""
        coding = {ORIGINALS, *coded_by(self.run.config, dataset)}
        return [codec for codec in codecs if codec in coding]

    def source_files(self, *datasets: Dataset) -> list[str]:
        """Files of the rule `download`, one per published source of data sets, sorted."""
        return source_files(self.run.config, datasets)

    @property
    def coded(self) -> list[str]:
        """Codec entries that this run codes: not those whose results were made elsewhere."""
        entries = self.run.codecs
        return [name for name in entries if not codec_class(entries[name].codec).foreign]

    @property
    def states(self) -> dict[str, str]:
        """Versions of the programs, and digests of the folders, behind codec entries."""
        found = {name: codec_class(entry.codec).state() for name, entry in self.run.codecs.items()}
        return {name: state for name, state in found.items() if state}

    @property
    def damages(self) -> bool:
        """Streams are damaged and decoded."""
        section = self.run.config["robustness"]
        return section["trials"] > 0 and bool(self.units([section["dataset"]], self.coded))

    def lossless(self, codec: str) -> bool:
        """True if the reconstructions of a codec entry must equal the originals."""
        return codec_class(self.run.codecs[codec].codec).lossless

    @property
    def heads(self) -> dict[str, int]:
        """Fixed bytes of the files of every codec entry that has any (`Codec.head_bytes`)."""
        found = {name: codec_class(entry.codec) for name, entry in self.run.codecs.items()}
        return {name: codec.head_bytes for name, codec in found.items() if codec.head_bytes}

    @property
    def with_seeds(self) -> list[str]:
        """Codec entries with points that differ in the seed of their decoder alone."""
        return entries_with_seeds(self.run.codecs)

    # ----- units: which entries code which data set, and at which points

    def units(
        self, datasets: Iterable[str] | None = None, codecs: Iterable[str] | None = None
    ) -> list[tuple[str, str]]:
        """Data set and codec entry of every unit; of all, or of those given."""
        return units(self.run.config, datasets, codecs)

    def sets_of(self, codec: str | None) -> list[str]:
        """The data sets that a codec entry codes; none for None."""
        return [dataset for dataset, _ in self.units(codecs=[codec] if codec else [])]

    @functools.cache  # noqa: B019
    def entries_on(self, dataset: str) -> dict[str, CodecEntry]:
        """The codec entries that code a data set, with their points on it."""
        config, entries = self.run.config, self.run.codecs
        return {
            name: entry_on(config, dataset, entries[name]) for name in coded_by(config, dataset)
        }

    def settings_on(self, dataset: str, codec: str) -> dict[str, Any]:
        """Arguments of `make_codec_entry` for a unit."""
        return unit_settings(self.run.config, dataset, self.run.codecs[codec])

    # ----- points that entries share

    @functools.cache  # noqa: B019
    def shared(self, dataset: str) -> dict[str, dict[str, list[str]]]:
        """By entry, the earlier entries with points of it on a data set, and their codec specs."""
        return shared_strings(self.entries_on(dataset))

    def shared_encodings(self, dataset: str, codec: str) -> dict[str, list[Any]]:
        """The encodings of an entry that earlier entries have: earlier entry -> encodings."""
        encoding = {point.spec: point.encoding for point in self.run.codecs[codec].points}
        taken: set[Any] = set()
        found = {}
        for owner, strings in self.shared(dataset).get(codec, {}).items():
            # An embedded encoding may be shared with several: the first one has it.
            mine = dict.fromkeys(encoding[string] for string in strings)
            found[owner] = [e for e in mine if e not in taken]
            taken |= set(found[owner])
        return found

    def shared_files(self, dataset: str, codec: str, *patterns: str) -> list[str]:
        """The files of every entry that an entry shares points with on a data set.

        Args:
            codec: the entry that comes later.
            patterns: paths with `{owner}`, the earlier entry; other wildcards are kept.
        """
        owners = self.shared(dataset).get(codec, {})
        return [pattern.replace("{owner}", owner) for owner in owners for pattern in patterns]

    # ----- tasks

    @functools.cached_property
    def latent_task(self) -> str | None:
        """The task on decoded latents; None: there is none."""
        tasks = self.run.tasks.values()
        return next((task.name for task in tasks if isinstance(task, LatentTask)), None)

    def tasks_of(self, dataset: str) -> list[str]:
        """Names of the tasks on the reconstructions of a data set, sorted."""
        pairs = [pair for pair in self.pairs if pair[1] != self.latent_task]
        return sorted(task for data, task in pairs if data == dataset)

    def predicted_codecs(self, task: str, dataset: str) -> list[str]:
        """The codec entries that a task predicts on, of a data set."""
        latent = task == self.latent_task
        codecs = self.run.tasks[task].values["codecs"] if latent else None
        return [codec for _, codec in self.units([dataset], codecs)]

    def predictions(self, task: str, dataset: str) -> list[str]:
        """Folders of predictions by shard: of the originals, then of every codec entry."""
        folder = "latent_predictions" if task == self.latent_task else "predictions"
        return [
            f"{self.results}/{folder}/{dataset}/{codec}/{shard}"
            for codec in (ORIGINALS, *self.predicted_codecs(task, dataset))
            for shard in self.shards
        ]

    def task_entries(self, dataset: str) -> dict[str, dict[str, Any]]:
        """The configuration of every task of a data set, by name."""
        return {task: task_entry(self.run.config, task) for task in self.tasks_of(dataset)}

    def task_files(self, *tasks: str) -> list[str]:
        """The files that predictions depend on; a bundled model is one that this run makes."""
        return sorted({str(path) for task in tasks for path in self.run.tasks[task].files()})

    # ----- models and metrics

    def models(self, *codecs: str) -> list[str]:
        """Names of the models that codec entries (none: all) need, sorted."""
        names = {model_name(self.run.config, codec) for codec in codecs or self.run.codecs}
        return sorted(name for name in names if name)

    def model_files(self, *codecs: str) -> list[str]:
        """The files of the models that codec entries need: inputs of every job that runs them."""
        config = self.run.config
        names = self.models(*codecs) if codecs else []
        if config["models"]:
            folders = [models_folder(config) / name for name in names if name not in zoo.NAMES]
            given = [path for folder in folders for path in given_files(folder)]
            return [str(path) for path in [*given, *self._zoo_files(*codecs)]]
        files: list[str] = []
        texts: list[str] = []
        if mpd.NAME in names:
            entries = [c for c in codecs if model_name(config, c) == mpd.NAME]
            kinds = {kind for entry in entries for kind in used_features(self.run.codecs[entry])}
            features = (f"features-{kind}" for kind in sorted(kinds))
            files += [f"{mpd.NAME}/{part}" for part in (*mpd.PARTS, *features)]
        if icmh.NAME in names:
            homes = ["", *(f"{icmh.VARIANTS}/{name}/" for name in self.used_variants(*codecs))]
            imported = imports(config["training"])
            parts = (*icmh.PARTS, *self.icmh_words)
            files += [f"{icmh.NAME}/{home}{part}" for home in homes for part in parts]
            words = icmh.LAYOUT.texts if imported else ()
            texts = [f"{icmh.NAME}/{home}{name}" for home in homes for name in words]
        names = [*(f"{file}.safetensors" for file in files), *texts]
        own = [f"{self.results}/models/{name}" for name in names]
        return [*own, *map(str, self._zoo_files(*codecs))]

    def _zoo_files(self, *codecs: str) -> list[Path]:
        """The imported files of the zoo's trainings that codec entries use, sorted."""
        config = self.run.config
        found = {training for codec in codecs for training in zoo_trainings(config, codec)}
        folder = models_folder(config)
        return [path for one in sorted(found) for path in member_files(folder, one)]

    @functools.cached_property
    def zoo_imports(self) -> dict[tuple[str, str], str]:
        """The published files that this run imports, by codec and training."""
        config = self.run.config
        found = {one for name in self.run.codecs for one in zoo_trainings(config, name)}
        if config["models"]:
            return {}
        return {(t.codec, t.member): str(zoo_checkpoint(config, t)) for t in sorted(found)}

    @property
    def icmh_words(self) -> list[str]:
        """Parts of Diff-ICMH's own model that make or encode tags: tagger, text encoder."""
        training = self.run.config["training"]
        if not imports(training):
            return [icmh.TAGGER]
        return [icmh.TEXT, *[icmh.TAGGER] * tags_images(training)]

    def used_variants(self, *codecs: str) -> list[str]:
        """The variants of Diff-ICMH that the points of codec entries name, sorted."""
        points = [point for codec in codecs for point in self.run.codecs[codec].points]
        found = {str(dict(point.encode).get("variant", "main")) for point in points}
        return sorted(found - {"main"})

    @functools.cached_property
    def metrics(self) -> list[str]:
        """The configured metrics that can be computed here: some need weight files."""
        weights = self.run.config["weights"]
        names, _ = available(Path(weights) if weights else None)
        return [name for name in self.run.config["metrics"] if name in names]

    @property
    def qualities(self) -> dict[str, list[float]]:
        """Levels of the metrics that are computed here, where there is an anchor to compare."""
        config = self.run.config
        given = config["qualities"] if config["anchors"] else {}
        return {name: levels for name, levels in given.items() if name in self.metrics and levels}

    @property
    def learned_metrics(self) -> list[str]:
        """Those of `metrics` that run networks."""
        return [name for name in self.metrics if METRICS[name].uses_device]

    @functools.cached_property
    def published(self) -> list[dict[str, Any]]:
        """Rows of the table `published`: published points that agree with this run."""
        return published_rows(self)

    # ----- artefacts

    @functools.cached_property
    def scope(self) -> Scope:
        """The axes and conditions of the catalogue, in this run."""
        return make_scope(self)

    def made(self, *kinds: Any, rule: str | None = None, on_demand: bool = False) -> list[Made]:
        """The artefacts of this run, in the order of the catalogue; see `artefacts.made`."""
        entries = [e for e in CATALOGUE if rule in (None, e.rule)]
        return made(entries, self.scope, *kinds, on_demand=on_demand)

    def reported(self, kind: Any) -> list[tuple[str, dict[str, Any]]]:
        """The artefacts of a kind by path, of a figure the PNG, and their words for Snakemake."""
        return [(f"{self.results}/{one.path}", report_words(one)) for one in self.made(kind)]

    def finished(self, *without: str) -> list[str]:
        """The results of a run that are asked for even if no rule needs them.

        Args:
            without: rules whose artefacts are left out.
        """
        chosen = [one for one in self.made() if one.entry.final and one.entry.rule not in without]
        return [f"{self.results}/{one.path}" for one in chosen]

    def files_of(self, rule: str, kind: Any) -> list[str]:
        """All files of a kind that a rule without wildcards makes, part of the run or not."""
        found = self.made(kind, rule=rule, on_demand=True)
        return [f"{self.results}/{file}" for one in found for file in one.files]

    def results_of(self, rules: Iterable[str]) -> list[str]:
        """All figures and tables of rules, part of the run or not."""
        return [
            file for rule in rules for k in ("figure", "table") for file in self.files_of(rule, k)
        ]

    def drawn(self, start: str, *keys: str) -> dict[str, Any]:
        """Figures of one entry of the catalogue -> the value of a wildcard, or values of several.

        Args:
            start: the entry's name up to its first wildcard.
            keys: wildcards.
        """
        found = self._figures(start)
        if len(keys) == 1:
            return {one.name: one.values[keys[0]] for one in found}
        return {one.name: tuple(one.values[key] for key in keys) for one in found}

    def drawn_by_set(self) -> list[tuple[list[str], dict[str, tuple[str, dict[str, Any]]]]]:
        """Data sets that have the same figures drawn from tables by a function, and these figures.

        They are more than one group where an anchor does not code all data sets. Figures by name,
        in which `{dataset}` is kept: the function, and the values of the other wildcards.
        """
        found: dict[str, dict[str, tuple[str, dict[str, Any]]]] = {}
        for one in self.made("figure", rule="rate_figures", on_demand=True):
            values = {key: value for key, value in one.values.items() if key != "dataset"}
            name = one.entry.name.format(**values, dataset="{dataset}")
            found.setdefault(one.values["dataset"], {})[name] = (one.entry.draw, values)
        groups: dict[tuple[str, ...], list[str]] = {}
        for dataset, drawn in found.items():
            groups.setdefault(tuple(drawn), []).append(dataset)
        return [(datasets, found[datasets[0]]) for datasets in groups.values()]

    def places(
        self, start: str, patterns: Mapping[str, str], codecs: Sequence[str] = ()
    ) -> list[dict[str, Any]]:
        """Single images that figures are made of, each with the files of its shard.

        Args:
            start: as in `drawn`.
            patterns: by kind, a path with `{dataset}`, `{shard}` and further wildcards of the
                figure; with `{codec}`: one path per codec entry.
            codecs: codec entries.
        """
        found = []
        for one in self._figures(start):
            values = {**one.values, "shard": self.shard_of(one.values["image"])}
            place = {**one.values, "figure": one.name}
            for kind, pattern in patterns.items():
                path = pattern.replace("<results>", self.results, 1)
                drawn = self._pictured(values["dataset"], codecs)
                by_codec = {codec: path.format(codec=codec, **values) for codec in drawn}
                place[kind] = by_codec if "{codec}" in path else path.format(**values)
            found.append(place)
        return found

    def _figures(self, start: str) -> list[Made]:
        known = self.made("figure", on_demand=True)
        return [one for one in known if one.entry.name.partition("_{")[0] == start]

    def benchmarks(self, *without: str) -> dict[str, list[str]]:
        """Benchmark files of this configuration's jobs, by rule; older ones may lie beside them.

        Args:
            without: rules that are left out.
        """
        jobs = benchmarks(CATALOGUE, self.scope)
        home = f"{self.results}/benchmarks"
        return {
            rule: [f"{home}/{rule}/{name}.tsv" for name in names]
            for rule, names in jobs.items()
            if rule not in without
        }
