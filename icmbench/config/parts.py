"""Inputs, outputs and settings of the jobs that make the weight files of a run's own models."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from icmbench.codecs.diff_icmh import model_folder as icmh
from icmbench.codecs.diff_icmh.training import settings as icmh_settings
from icmbench.codecs.mpd import model_folder as mpd
from icmbench.codecs.mpd.training.settings import SECTION, SHARED, source
from icmbench.config.plan import NETWORKS, Plan
from icmbench.config.resources import UNCACHED_MB, network_mb, training_mb
from icmbench.models.foreign_files import foreign_files
from icmbench.tasks.latents import LATENT_HEAD
from icmbench.training.section import TrainingSection

STAGE_FILES: Final = ("codec", "control", "tables")
FROZEN_MB: Final = 4  # per MB of frozen weights: read as float16 or float32, and in float32
# Of a training beside an imported network: the published codec and its control network, 425 million
# weights with gradients, two moments and their average in float32, which is more than a GPU needs.
PUBLISHED_MB: Final = 12_000
IMPORTED: Final = 2.1  # megapixels: what tiles are compared with, encoded and decoded whole

Files = dict[str, Any]


class Parts:
    """The parts of a run's own models; a part without steps is a copy of the bundled file.

    Paths may hold the wildcards `{kind}` (of descriptors) and `{variant}` (of Diff-ICMH's codec).
    """

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._run = plan.run
        self._trained = plan.run.training.trained
        self._training = plan.run.config["training"]
        self._mpd = f"{plan.results}/models/{mpd.NAME}"
        self._icmh = f"{plan.results}/models/{icmh.NAME}"
        self._home = f"{plan.results}/training"
        self._imports = icmh_settings.imports(self._training)
        self.tags_images = icmh_settings.tags_images(self._training)
        self._icmh_start = icmh_settings.SECTION.start(self._training)

    def trained(self, part: str) -> bool:
        """True where a part of either model is trained, False where the bundled file is copied."""
        return part in self._trained["mpd"] or part in self._trained["diff_icmh"]

    def minutes(self, part: str) -> int:
        """A day for a trained part, ten minutes for a copy."""
        return 1440 if self.trained(part) else 10

    def autoencoder_mb(self, files: Any) -> int:
        """Memory of a training of the autoencoder, or of its import, in MB; of a job's inputs."""
        published, cache_mb = files.get("published"), int(self._training["cache_mb"])
        if published:
            return network_mb(published, IMPORTED, at_least=UNCACHED_MB) + cache_mb
        return training_mb(files, cache_mb)

    def prior_mb(self, files: Any) -> int:
        """Memory of a training of the prior, or of its import, in MB; of a job's inputs."""
        if published := files.get("published"):
            return network_mb(published, 0)
        return training_mb(files, int(self._training["cache_mb"]))

    def checkpoint(self, part: str) -> str:
        """State of a training; no output: Snakemake removes those of a job that was killed."""
        return f"{self._home}/checkpoints/{part}.pt"

    def conditions(self, name: str) -> str:
        """Conditions of a training, which its model's card states."""
        return f"{self._home}/conditions/{name}.json"

    def _described(self, section: str, part: str, name: str) -> Files:
        """Losses and conditions of a part, where it is trained."""
        if part not in self._trained[section]:
            return {}
        return {"history": f"{self._home}/{name}.csv", "conditions": self.conditions(name)}

    def all_conditions(self, section: str) -> list[str]:
        """Conditions of all trained parts of a model; of Diff-ICMH those of the main variant."""
        names = list(self._trained[section])
        if section == "mpd":
            kinds = self._plan.trained_kinds
            features = [f"features-{kind}" for kind in kinds]
            names = [n for n in names if n != "features"] + features
        elif section == "diff_icmh":
            names = [n for n in names if not (n == "prior" and self._imports)]
            names = [f"{n}-main" if n.startswith("stage_") else n for n in names]
        else:
            names = [n for n in names if n != LATENT_HEAD]
        return [self.conditions(name) for name in names]

    def weights(self, *parts: str) -> list[str]:
        """Files of MPD's model."""
        return [f"{self._mpd}/{part}.safetensors" for part in parts]

    @property
    def taps_network(self) -> str:
        """The network whose taps are clustered: the model's own, or a published VGG-16."""
        given = self._training["mpd"]["pseudo_labels"]["network"]
        return given or f"{self._mpd}/vgg.safetensors"

    def pool(self, section: TrainingSection = SECTION) -> Files:
        """Lists and folders of the training sets of a section; default: MPD's."""
        sources = section.sets(self._training)
        return {
            "records": [f"{self._home}/pool/{source}/records.csv" for source in sources],
            "images": [f"{self._home}/pool/{source}/images" for source in sources],
        }

    # ----- MPD

    def mpd_inputs(self, part: str) -> Files:
        """The bundled file to start from, and for a trained part the data and earlier parts."""
        files: Files = {}
        trained = part in self._trained["mpd"]
        pool = self.pool()
        if part == "autoencoder" and (path := source(self._training)) and trained:
            # Every file, since the time of a folder does not change with its files.
            return {"published": [str(file) for file in foreign_files(path).files], **pool}
        bundled = SECTION.start(self._training, part) == "bundled"
        if bundled and (not trained or "start" in SHARED[part]):
            files["bundled"] = [str(mpd.part_file(mpd.bundled(), _name(part)))]
        if trained:
            files |= pool
            if part not in ("autoencoder", "vgg"):
                files["autoencoder"] = f"{self._mpd}/autoencoder.safetensors"
            if part == "features":
                files["labels"] = f"{self._home}/pseudo_labels/{{kind}}.safetensors"
        return files

    def mpd_outputs(self, part: str) -> Files:
        """The part's file, and the losses where a network is trained."""
        files: Files = {"weights": [f"{self._mpd}/{_name(part)}.safetensors"]}
        if part in self._trained["mpd"]:
            files["conditions"] = self.conditions(_name(part))
        if part in (*NETWORKS, "features") and self._plan.trains(part):
            files["history"] = f"{self._home}/{_name(part)}.csv"
        return files

    def mpd_settings(self, part: str) -> dict[str, Any]:
        """Job parameters of a trained part besides its inputs; none of a copy."""
        return self._run.training.settings("mpd", part)

    # ----- Diff-ICMH

    def icmh_inputs(self, part: str) -> Files:
        """The bundled file, and for a trained part the data and the autoencoder."""
        if part == "prior" and (found := icmh_settings.published(self._training)):
            return {"published": [str(path) for path in found.inputs]}
        files: Files = {}
        if self._icmh_start == "bundled":
            files["bundled"] = [str(icmh.part_file(icmh.bundled(), part))]
        if part in self._trained["diff_icmh"]:
            pool = self.pool(icmh_settings.SECTION)
            files |= {**pool, "autoencoder": self.icmh_files("autoencoder")[0]}
        return files

    def icmh_outputs(self, part: str) -> Files:
        """The part's file, and the losses where it is trained; of an imported prior all it has."""
        if part == "prior" and self._imports:
            files = [*self._conditioning(), *self.icmh_files("autoencoder")]
            return {"weights": [*files, *self.icmh_files(*[icmh.TAGGER] * self.tags_images)]}
        return {"weights": self.icmh_files(part), **self._described("diff_icmh", part, part)}

    def icmh_files(self, *parts: str) -> list[str]:
        """Files of Diff-ICMH's model; its autoencoder is the bundled one or MPD's.

        A prior that is imported brings its own.
        """
        homes = {"autoencoder": self._icmh if self._imports else self._mpd}
        files = {part: f"{homes.get(part, self._icmh)}/{part}.safetensors" for part in parts}
        if icmh_settings.SECTION.keeps_autoencoder(self._training) and "autoencoder" in files:
            files["autoencoder"] = str(icmh.part_file(icmh.bundled(), "autoencoder"))
        return [files[part] for part in parts]

    @property
    def trains_prior(self) -> bool:
        """The prior is trained, neither copied nor imported."""
        return self.trained("prior") and not self._imports

    def _conditioning(self) -> list[str]:
        """The prior, and of an imported one text encoder, names of tags, and tokenizer."""
        texts = [f"{self._icmh}/{name}" for name in icmh.LAYOUT.texts]
        more = [*self.icmh_files(icmh.TEXT), *texts] if self._imports else []
        return [*self.icmh_files("prior"), *more]

    @property
    def icmh_weights(self) -> list[str]:
        """All weight files of Diff-ICMH's model."""
        parts = [*icmh.PARTS, *self._plan.icmh_words]
        return [f"{self._icmh}/{part}.safetensors" for part in parts]

    def icmh_settings(self, part: str, variant: str = "main") -> dict[str, Any]:
        """Job parameters of a trained part besides its inputs; none of a copy."""
        return self._run.training.settings("diff_icmh", part, variant=variant)

    def _stage_files(self, stage: str, variant: str) -> list[str]:
        """Codec, control network and tables behind a stage; the last one's are the model's."""
        model = self._icmh if variant == "main" else f"{self._icmh}/variants/{variant}"
        home = model if stage == "stage_2" else f"{self._home}/icmh/{variant}"
        made = [part for part in STAGE_FILES if part != "control" or not self._alone(stage)]
        return [f"{home}/{part}.safetensors" for part in made]

    def _alone(self, stage: str) -> bool:
        """True for a stage that trains the codec by itself, without prior and control network."""
        first = stage == "stage_1" and self.trained(stage)
        return first and icmh_settings.alone(self._training)

    def stage_outputs(self, stage: str, variant: str) -> Files:
        """The files of a stage, and the losses where it is trained."""
        name = f"{stage}-{variant}"
        made = self._described("diff_icmh", stage, name)
        return {"weights": self._stage_files(stage, variant), **made}

    def stage_inputs(self, stage: str, variant: str) -> Files:
        """The files that a stage starts from: the stage before it, or the bundled codec."""
        files = self.icmh_inputs(stage)
        files.pop("bundled", None)
        if stage == "stage_2":
            # A codec that is trained by itself is the same in all variants.
            first = "main" if self._alone("stage_1") else variant
            files["bundled"] = self._stage_files("stage_1", first)
        elif self._icmh_start == "bundled":
            home = icmh.bundled()
            files["bundled"] = [str(icmh.part_file(home, part)) for part in STAGE_FILES]
        if stage in self._trained["diff_icmh"] and not self._alone(stage):
            files["prior"], *words = self._conditioning()
            files |= {"words": words} if words else {}
            if self.tags_images:
                sources = icmh_settings.SECTION.sets(self._training)
                shards = self._plan.shards
                tags = f"{self._home}/tags"
                files["tags"] = [f"{tags}/{s}/{shard}.csv" for s in sources for shard in shards]
        return files

    def stage_mb(self, files: Any) -> int:
        """Memory of the training of a stage, in MB; of a job's inputs."""
        cache_mb = int(self._training["cache_mb"])
        least = training_mb(files, cache_mb)
        if self._imports:  # most of the weights are frozen: no gradients, no moments
            weights = [path for path in files if str(path).endswith(".safetensors")]
            least = cache_mb + network_mb(weights, 0, at_least=PUBLISHED_MB, per_weight=FROZEN_MB)
        return least * self.processes

    @property
    def processes(self) -> int:
        """Processes of the training of a stage."""
        return int(self._training["compute"]["processes"])

    def shared_files(self) -> tuple[list[str], list[str]]:
        """Files that Diff-ICMH's model and its variants share, and the copies that are missing."""
        kept = not self._imports or self.tags_images
        tagger = self.icmh_files(icmh.TAGGER) if kept else []
        parts = [*self.icmh_files("autoencoder"), *self._conditioning(), *tagger]
        names = [Path(path).relative_to(self._icmh) for path in parts[1:]]
        copies = [] if self._imports else [f"{self._icmh}/autoencoder.safetensors"]
        for variant in self._plan.variants[1:]:
            home = f"{self._icmh}/{icmh.VARIANTS}/{variant}"
            copies += [f"{home}/{name}" for name in ("autoencoder.safetensors", *names)]
        return parts, copies


def _name(part: str) -> str:
    return "features-{kind}" if part == "features" else part
