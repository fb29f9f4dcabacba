"""The catalogue: everything that a run writes, with its rule, and its words in the report.

The targets of the workflow, the table of jobs, the report, `results/README.md` and `docs/rules.md`
are read off it, in its order. A new figure is one function that draws it and one entry here: with
`draw`, the rule `rate_figures` draws it from tables; others have a rule of their own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from icmbench.reporting.artefacts import SHEETS, Artefact


def _figure(
    name: str, rule: str, title: str, caption: str, section: str, *over: str, **more: Any
) -> Artefact:
    return Artefact(name, "figure", rule, title, caption, section, over, **more)


def _table(name: str, rule: str, title: str, caption: str, *filters: str, **more: Any) -> Artefact:
    return Artefact(name, "table", rule, title, caption, filters=filters, **more)


def _data(
    name: str, rule: str, title: str, *over: str, final: bool = False, **more: Any
) -> Artefact:
    return Artefact(name, "data", rule, title, over=over, final=final, **more)


MPD, LEARNED, TASKS = "MPD", "MPD, encoder-side features", "Machine tasks"
RATES, VISUAL = "RD curves", "Visual comparison"
# Sections of the report with the chart of rates, the chart of tasks and the viewer of images.
EXPLORED: Final = (RATES, TASKS, VISUAL)

FIGURES: Final[Sequence[Artefact]] = (
    _figure(
        "rd_{dataset}", "rate_figures", "RD curves, {dataset}",
        "Quality against rate. The line joins the Pareto-optimal points of a codec; the others are "
        "small and faint. Hollow: coded at reduced scale.",
        RATES, "dataset", draw="rd_curves", explored=RATES,
    ),
    _figure(
        "rate_time_{dataset}", "rate_figures", "Rate and time, {dataset}",
        "Seconds per megapixel against rate, one thread.",
        "Rate and time", "dataset", draw="rate_time", explored=RATES,
    ),
    _figure(
        "contact_{dataset}", "contact_sheet", "{dataset}", "", SHEETS, "dataset",
    ),
    _figure(
        "bd_{anchor}_{dataset}", "rate_figures", "BD-rate, {dataset}, against {anchor}",
        "BD-rate against the anchor for every metric.",
        "BD-rate", "anchored", job=("dataset",), draw="bd_heatmap",
    ),
    _figure(
        "visual_{n}", "visual_comparison", "{image} at about {bpp} bpp",
        "Every codec's point nearest to the rate on this image, from 1.5 times below to 1.1 times "
        "above it; codecs without one are named. Crops enlarged 3 times.",
        VISUAL, "visual", job=(), explored=VISUAL,
    ),
    _figure(
        "paired_{dataset}", "paired_table", "Differences at equal rate, {dataset}",
        "Every codec minus the anchor at equal rate, with paired 95 % intervals over images; "
        "hollow where the interval holds 0.",
        "Differences at equal rate", "paired_set", when="paired", job=(),
    ),
    _figure(
        "fid_{dataset}", "distribution_table", "FID and KID, {dataset}",
        "Distance of the distributions of patches of reconstructions and of originals against "
        "rate; lower is better. Lines and markers as in the RD curves.",
        "FID and KID", "distribution_set", when="distribution", job=(), explored=RATES,
    ),
    _figure(
        "robustness", "robustness_table", "Damaged streams, {dataset}",
        "Reconstructions of damaged streams, and the share of streams that were refused.",
        "Robustness", "damaged",
    ),
    _figure(
        "loss_{network}", "loss_figures", "Loss, {network}",
        "Training loss and its terms, by optimiser step.",
        "Training", "loss", job=(),
    ),
    _figure(
        "states_{dataset}", "mpd_states_table", "Distortion and rate by state, {dataset}",
        "Latent distortion falls and rate rises as the state goes to 0.",
        MPD, "mpd_set", when="mpd", job=(),
    ),
    _figure(
        "bit_shares_{dataset}", "mpd_states_table", "Shares of the bits, {dataset}",
        "Index map, palette and overhead of the file cut at each state: information content, and "
        "the excess from rounding to whole bytes.",
        MPD, "mpd_set", when="mpd", job=(),
    ),
    _figure(
        "palette_{dataset}_{n}", "palette_hierarchy", "Palette hierarchy, {image}, {dataset}",
        "Index map of every state in the mean colours of the original, and its reconstruction; the "
        "tree of the first entries.",
        MPD, "hierarchy", job=(),
    ),
    _figure(
        "ablation_{dataset}_{n}", "ablation", "Without one ingredient, {dataset}, {bpp} bpp",
        "Change at equal rate when one ingredient is left out, with 95 % intervals.",
        LEARNED, "ablation_set", "ablation_rate", job=(),
    ),
    _figure(
        "alpha_sweep_{guide}_{dataset}", "alpha_sweep",
        "Weight of the clustering features, {guide}, {dataset}",
        "BD-rate against the plain palette by the weight of the clustering features.",
        LEARNED, "sweep", "sweep_set", job=("guide",),
    ),
    _figure(
        "clusters", "clusters_figure", "Clusters",
        "Distortion of k-means against the number of clusters (paper, figure 4).",
        LEARNED, when="models", in_run="labels",
    ),
    _figure(
        "clusters_{dataset}", "clusters_figure", "Clusters, {dataset}",
        "Typical patches of the clusters at the deepest tap (paper, figure 4).",
        LEARNED, "dataset", when="models", in_run="labels", job=(),
    ),
    _figure(
        "labels_{dataset}_{n}", "clusters_figure", "Pseudo-labels, {image}, {dataset}",
        "Pseudo-labels of the training set's clusters, drawn over an image.",
        LEARNED, "labelled_image", job=(),
    ),
    _figure(
        "embedding", "retrieval", "Patches by class",
        "Patches of held-out scenes: t-SNE of raw latents and of contrastive features.",
        LEARNED, when="labels",
    ),
    _figure(
        "taps", "taps_figure", "Taps of the VGG",
        "A patch, the strongest channels of the VGG's five taps beside their Fourier magnitudes, "
        "and the pooled descriptor against frequency (paper, figure 2).",
        LEARNED, "tapped_image", in_run="labels",
    ),
    _figure(
        "montage_{kind}_{tap}", "pseudo_labels", "Clusters of the training set, {kind}, {tap}",
        "Typical patches of the training set's clusters, nearest to the centre first.",
        LEARNED, "kind", "tap", job=("kind",),
    ),
    _figure(
        "task_curves_{dataset}.{task}", "task_figures", "Accuracy against rate, {task}, {dataset}",
        "Task accuracy on reconstructions against rate; dotted: the ceiling, the same model on the "
        "originals. Lines and markers as in the RD curves.",
        TASKS, "pair", job=(), explored=TASKS,
    ),
    _figure(
        "task_objects_{dataset}.{task}", "task_figures",
        "Missed and hallucinated objects, {task}, {dataset}",
        "Missed objects and false detections, codec by codec at matched rates, with 95 % "
        "intervals; dotted: on the originals.",
        TASKS, "objects", job=(),
    ),
    _figure(
        "adapted_{dataset}.{task}", "task_figures", "Fine-tuned ceiling, {task}, {dataset}",
        "The model as it is, and fine-tuned on the codec's reconstructions of training scenes, on "
        "the same images: what adaptation gives back was not lost by coding.",
        TASKS, "adapted_pair", job=(),
    ),
    _figure(
        "task_pictures_{dataset}_{n}", "task_pictures", "Predictions, {task}, {image}",
        "Predictions of a task model on one original and on its reconstructions.",
        TASKS, "task_picture", job=(), in_run=None,
    ),
    _figure(
        "feature_gap_{dataset}.{task}", "feature_gap", "Feature gap, {task}, {dataset}",
        "Distance of backbone features between original and reconstruction, by layer.",
        TASKS, "backbone", job=(), in_run=None,
    ),
    _figure(
        "diffusion_rates_{dataset}_{n}", "diffusion_pictures", "Diff-ICMH, {image}, {dataset}",
        "Diff-ICMH reconstructions at every rate.",
        "Diff-ICMH", "diffusion", job=(), in_run=None,
    ),
    _figure(
        "prior_alone_{dataset}_{n}", "diffusion_pictures", "Prior alone, {image}, {dataset}",
        "Unconditional samples of the prior.",
        "Diff-ICMH", "diffusion", job=(), in_run=None,
    ),
    _figure(
        "complexity", "complexity_table", "Complexity of Diff-ICMH",
        "Multiply-accumulate operations, parameters and seconds by part.",
        "Diff-ICMH", when="diff_icmh", in_run=None,
    ),
)  # fmt: skip

TABLES: Final[Sequence[Artefact]] = (
    _table(
        "rd", "rd_tables", "Rate\u2013distortion",
        "Means over the images that all codecs coded, with 95 % bootstrap intervals over images. "
        "bpp is the size of the file that was decoded, in bits per original pixel.",
        "dataset", "family",
    ),
    _table(
        "seeds", "seeds_table", "Seeds of stochastic decoders",
        "Points whose files were decoded with several seeds of the decoder's noise. Mean: of the "
        "data-set means of the seeds, the value of all other tables; deviation: their standard "
        "deviation (n - 1); least, most: their range. Intervals of other tables are over images, "
        "of the mean over seeds.",
        "dataset", "family", "metric", when="seeds",
    ),
    _table(
        "bd_rate", "rd_tables", "BD-rate",
        "Change of rate at equal quality against the anchor, as a fraction: -0.2 is 20 % fewer "
        "bits. No value where the curves overlap by less than the configured share. Intervals are "
        "bootstrap intervals, corrected for bias and width; up to 10 % of the resamples may be "
        "without a value (failed resamples), else there is no interval. From, to: the common range "
        "of the metric, over which the curves are integrated; the CSV names the points that they "
        "join there (specs, anchor_specs).",
        "dataset", "anchor", "metric",
    ),
    _table(
        "published", "published_tables", "Published points",
        "Points that others measured, read from the source that is stated, on the same images and "
        "with the same metric; none of a data set of which images were left out here. They are not "
        "averaged with values of this run and have no intervals. Bits: of files (real), of an "
        "entropy (estimated), or not stated. After a semicolon: a deviation from our definition of "
        "the metric.",
        "dataset", "codec", "metric", when="published",
    ),
    _table(
        "published_bd_rate", "published_tables", "BD-rate against published curves",
        "Change of rate at equal quality against a published curve, as a fraction, as in BD-rate. "
        "The published curve has no values of single images: there are no intervals. Where its "
        "bits are estimated or its metric deviates (note), so does the difference.",
        "dataset", "published", "metric", when="published",
    ),
    _table(
        "paired", "paired_table", "Differences at equal rate",
        "Every codec minus an anchor at the same rate on the same images. Image metrics: each "
        "image's curve is read at the rate by interpolation (PCHIP over the logarithm of the "
        "rate), the differences are averaged, with paired 95 % bootstrap intervals; images on "
        "which a curve does not reach the rate are left out and counted. Better: share of images "
        "on which the codec is better. Metrics of tasks are pooled over all images at the points "
        "and interpolated between them, again for every resample.",
        "dataset", "against", "family", "task", "metric", when="paired",
    ),
    _table(
        "equal_quality", "equal_quality", "Bytes at equal quality",
        "Bytes of a codec ÷ bytes of an anchor at the same quality of the same image: below 1 the "
        "codec needs fewer. Each image's curve is read at the level (PCHIP of the logarithm of the "
        "rate over quality, as for BD-rates); ratio: geometric mean over the images whose curves "
        "both hold the level, with paired 95 % bootstrap intervals; the others are left out and "
        "counted. Rates are geometric means over the same images.",
        "dataset", "anchor", "family", "metric", when="equal_quality",
    ),
    _table(
        "distribution", "distribution_table", "FID and KID",
        "Distances between the distributions of patches of the reconstructions and of the "
        "originals; lower is better. Patches of 256 x 256 pixels, in a grid from the origin and a "
        "second one from (128, 128) (HiFiC), of the images that rd.csv averages over; bpp is the "
        "mean over those of them that have a patch, which are counted. Features: layer pool3 of "
        "the Inception v3 of FID, patches resized bilinearly to 299 pixels. FID: Fréchet distance "
        "of Gaussians. KID: unbiased squared MMD, kernel (x.y/d + 1)^3, mean and standard "
        "deviation over 100 subsets of at most 1,000 patches. There are no intervals over images. "
        "Values depend on the number of patches: compare rows of one data set only. KID takes the "
        "two sets for independent; they show the same scenes, so that it is somewhat too low, and "
        "below 0 for a lossless codec. Status: ok, or the reason why there is no value.",
        "dataset", "family", when="distribution",
    ),
    _table(
        "tasks", "tasks_tables", "Machine tasks",
        "Predictions on the images that all codecs coded and on which the task failed for none, "
        "with 95 % bootstrap intervals over images. Ceiling: the same model on the originals. "
        "Failed: images that were not coded or that the task failed on. Device: of the model. "
        "Status: ok where there is a value, else the reason why not.",
        "dataset", "family", "task", "metric", when="tasks",
    ),
    _table(
        "latent_tasks", "latent_tasks", "Task on decoded latents",
        "A head that predicts from the decoded latent, without an image decoder, beside the task "
        "on reconstructions (against): metric, and the score on the originals (ceiling; of the "
        "head on their latents). Seconds: medians over the timed images, one thread: to the "
        "latent, of the head, of the whole decoder, of the network on the reconstruction. Saved: "
        "the share of the latter two that the former two do not take.",
        "dataset", "family", "metric", when="latent_task",
    ),
    _table("tasks_bd_rate", "tasks_tables", "BD-rate of machine tasks", "", when="tasks"),
    _table(
        "task_rates", "tasks_tables", "Bits that machine tasks need",
        "Rate at which a codec reaches a share of the ceiling, the score on the originals.",
        "dataset", "task", "metric", when="tasks",
    ),
    _table(
        "task_failures", "tasks_tables", "Failures of machine tasks",
        "Images that a task model failed on, with the reason on the first of them. A row without "
        "a codec spec: the task has no value at all.",
        "dataset", "task", "family", when="tasks",
    ),
    _table(
        "robustness", "robustness_table", "Robustness",
        "Streams of one point per codec, cut at a random length, with one bit inverted or with two "
        "bytes exchanged: the same places for every codec, each decoded by the codec's own decoder "
        "in a process with a time limit. Refused is the right answer; decoded wrong: the "
        "reconstruction differs from the undamaged stream's. Rows of best effort: the part before "
        "the damage was decoded where the strict decoder refuses; there decoded wrong means that a "
        "whole earlier state was shown, which is its purpose. PSNR against the original. Rows of "
        "another machine: undamaged streams that it decoded, compared with the reconstructions of "
        "this run; within 1: no code value is further away than 1.",
        "damage", "family", when="robustness",
    ),
    _table(
        "mpd_states", "mpd_states_table", "MPD states",
        "Contents of MPD's streams at every diffusion state, means over images with 95 % bootstrap "
        "intervals. Bytes and bpp: of the file cut at the state. Latent MSE: of z_t against the "
        "image's latent, in squared standard deviations. Map, offsets, shape, frame and rounding: "
        "bits of the state's own section; over the states from 7 on they add up to 8 times the "
        "bytes.",
        "dataset", "family", "encoding", when="mpd",
    ),
    _table(
        "alpha_sweep_{guide}", "alpha_sweep", "Weight of the clustering features, {guide}",
        "BD-rate of every weight of the clustering features against the plain palette, as a "
        "fraction. Chosen: the weight with the smallest mean over data sets and metrics.",
        "dataset", "metric", over=("sweep",),
    ),
    _table(
        "ablation", "ablation", "Ablation",
        "One ingredient left out at a time, at equal rate: every image's curve is read at the rate "
        "by interpolation (PCHIP over the logarithm of the rate), the changes are averaged over "
        "images, with paired 95 % bootstrap intervals. Images whose curves do not reach the rate "
        "are left out and counted.",
        "dataset", "metric", when="ablation",
    ),
    _table(
        "pseudo_labels", "pseudo_labels_table", "Pseudo-labels",
        "Clusters of the training set's patches, per tap of the VGG and number of clusters that "
        "was tried. Distortion: share of the variance that the clusters leave. Kept: share of the "
        "descriptors' variance in their principal components. Stability: adjusted Rand index of "
        "two seeds, for the number in use.",
        "kind", "level", when="labels",
    ),
    _table(
        "retrieval", "retrieval", "Retrieval",
        "Patches of held-out scenes: share of the 10 nearest neighbours, from other scenes, that "
        "have the same semantic class; 95 % bootstrap intervals over scenes. Gain: against the "
        "latent's mean and deviation, paired. Chance: a random patch.",
        when="labels",
    ),
    _table(
        "timing", "timing_table", "Timing",
        "Median seconds per image on one thread, interquartile range as spread; process start and "
        "model loading are apart. Other jobs of the run shared the machine, so the seconds compare "
        "codecs of one run and no more; for quiet numbers: make bench.",
        "dataset", "family",
    ),
    _table(
        "costs", "timing_table", "Costs",
        "Megapixels per second (median, interquartile range), on one thread, beside other jobs. "
        "Memory: the largest peak of a process that coded the entry's images, all of its points, "
        "Python and libraries included, or of a program that it ran; GPU memory: torch's "
        "allocations. Joules per megapixel: of all that ran on the processor package (RAPL) and "
        "the GPU (NVML) meanwhile, where they can be read. kMAC per pixel: multiply-adds of "
        "convolutions, linear layers and attention that torch computed for an image of 256 x 256 "
        "pixels; parameters: of the networks that took part. Empty: not known, or none.",
        "dataset", "family",
    ),
    _table(
        "jobs", "jobs_table", "Jobs",
        "Every rule that ran before this table: how often, seconds, memory in MB, the most that "
        "one of its jobs asked for (MB, minutes, GPUs), the largest share of it that one took, and "
        "the hosts. A share near 1 was nearly killed; one far below 0.5 asks for too much.",
    ),
    _table("codecs", "provenance", "Codec settings", "The exact settings behind every curve."),
    _table(
        "revisions", "jobs_table", "Revisions of the code",
        "Artefacts of this run were made by different revisions of the code. Jobs are named by "
        "their wildcards, as their log files are; a revision with + is a changed working copy, "
        "followed by the digest of its code.",
        "revision", "rule",
    ),
    _table("failures", "rd_tables", "Failures", ""),
    _table("remarks", "rd_tables", "Remarks", ""),
    _table(
        "diff_icmh_accounting", "diffusion_pictures", "Accounting of Diff-ICMH", "",
        over=("diffusion_table",), in_run=None,
    ),
    _table(
        "complexity", "complexity_table", "Complexity of Diff-ICMH", "",
        when="diff_icmh", in_run=None,
    ),
    _table(
        "mpd_framework", "mpd_framework_table", "Numbers of MPD's framework, stage by stage", "",
        when="hierarchy", in_run=None,
    ),
    _table("feature_gap", "feature_gap", "Feature gap", "", over=("backbones",), in_run=None),
)  # fmt: skip

_UNIT = ("unit", "shard")
DATA: Final[Sequence[Artefact]] = (
    _data("report.html", "report", "tables, figures, provenance and failures in one page",
          final=True),
    _data(
        "verdict.json", "check_results",
        "written where the run passes (`fail_on`): codecs and tasks without a result",
    ),
    _data("provenance.json", "provenance", "versions, hardware, configuration", final=True),
    _data("tables/comparison.json", "rd_tables", "images that were compared, and why others not"),
    _data(
        "datasets/{dataset}/shards/{shard}.csv", "dataset_shard", "images of a shard",
        "dataset", "shard",
    ),
    _data(
        "datasets/{dataset}/manifest.csv", "manifest",
        "images with size, sha256, source and licence", "dataset",
    ),
    _data(
        "datasets/{dataset}/instances.json", "annotations",
        "annotations; `landmarks`, `classes`, `semantic` and `more` lie beside it", "annotated",
        final=True,
    ),
    _data(
        "streams/{dataset}/{codec}/{shard}.zip", "encode", "coded files, stored as they are",
        *_UNIT,
    ),
    _data(
        "decoded/{dataset}/{codec}/{shard}.csv", "decode",
        "digests of the reconstructions, or errors", *_UNIT,
    ),
    _data(
        "measurements/{dataset}/{codec}/{shard}.parquet", "measure",
        "one row per image and codec spec: all tables derive from these", *_UNIT,
    ),
    _data(
        "viewer/visual_{n}.zip", "visual_comparison",
        "original and reconstructions of a visual comparison, with rates and metrics",
        "visual", job=(),
    ),
    _data(
        "states/{dataset}/{codec}/{shard}.csv", "mpd_states",
        "bits and distortion of every state of MPD's streams", "mpd_unit", "shard",
    ),
    _data(
        "patch_features/{dataset}/{shard}.npz", "patch_features_originals",
        "Inception features of the originals' patches, temporary", "distribution_set", "shard",
        when="distribution",
    ),
    _data(
        "patch_features/{dataset}/{codec}/{shard}.npz", "patch_features",
        "Inception features of the reconstructions' patches, temporary", "distribution_unit",
        "shard", when="distribution",
    ),
    _data(
        "patch_distances/{dataset}/{codec}.csv", "patch_distances",
        "FID and KID of a codec entry", "distribution_unit", when="distribution",
    ),
    _data(
        "robustness/{dataset}/{codec}.parquet", "robustness",
        "one row per damaged stream: place, outcome, PSNR", "damaged_unit",
    ),
    _data(
        "predictions/{dataset}/{codec}/{shard}", "predict", "predictions of the task models",
        "task_unit", "shard",
    ),
    _data(
        "predictions/{dataset}/originals/{shard}", "predict_originals",
        "predictions on the originals: the ceiling", "task_dataset", "shard",
    ),
    _data(
        "latent_predictions/{dataset}/{codec}/{shard}", "predict_latents",
        "predictions from decoded latents, and their seconds", "latent_unit", "shard",
    ),
    _data(
        "latent_predictions/{dataset}/originals/{shard}", "predict_latent_originals",
        "predictions from the latents of the originals", "latent_set", "shard",
    ),
    _data(
        "models/tasks/latent_head.safetensors", "train_latent_head",
        "head of the task on decoded latents", "latent_head",
    ),
    _data(
        "models/tasks/adapted/{task}.safetensors", "adapt_task",
        "task model fine-tuned on reconstructions", "adapted",
    ),
    _data(
        "scores/{dataset}.{task}.csv", "task_scores",
        "task metrics; BD-rates, differences and failures lie beside it", "pair",
    ),
    _data(
        "training/pool/{source}/records.csv", "training_pool",
        "images of a source of the training set", "source",
    ),
    _data(
        "training/pseudo_labels/{kind}.safetensors", "pseudo_labels",
        "patches of the training set and their clusters, per tap", "kind",
    ),
    _data(
        "models/mpd/autoencoder.safetensors", "train_autoencoder", "latent autoencoder",
        when="latent",
    ),
    _data(
        "models/mpd/contexts.safetensors", "train_contexts", "context tables", when="mpd_model",
    ),
    _data(
        "models/mpd/reverse.safetensors", "train_reverse", "reverse network", when="mpd_model",
    ),
    _data("models/mpd/vgg.safetensors", "train_vgg", "VGG of the taps", "vgg"),
    _data(
        "models/mpd/features-{kind}.safetensors", "train_features", "contrastive features",
        "features",
    ),
    _data(
        "models/mpd/card.json", "model_card", "provenance of MPD's weight files", when="mpd_model",
        final=True,
    ),
    _data(
        "models/{model}/{training}/card.json", "import_zoo",
        "published weights of a codec of the zoo, imported", "zoo",
    ),
    _data(
        "models/diff-icmh/prior.safetensors", "train_prior", "diffusion prior",
        when="diff_icmh_model",
    ),
    _data(
        "training/tags/{source}/{shard}.csv", "training_tags",
        "tags of the training images by RAM++, where it is imported", "tagged", "shard",
    ),
    _data(
        "models/diff-icmh/tagger.safetensors", "train_tagger", "tagger", when="diff_icmh_tagger",
    ),
    _data(
        "training/icmh/{variant}/codec.safetensors", "train_stage_1", "codec after stage 1",
        "variant",
    ),
    _data(
        "models/diff-icmh/codec.safetensors", "train_stage_2",
        "codec after stage 2; `control` and `tables` lie beside it", "variant", job=("variant",),
    ),
    _data(
        "models/diff-icmh/autoencoder.safetensors", "icmh_shared", "latent autoencoder, a copy",
        when="diff_icmh_copies",
    ),
    _data(
        "models/diff-icmh/card.json", "icmh_card", "provenance of Diff-ICMH's weight files",
        when="diff_icmh_model", final=True,
    ),
    _data(
        "models/tasks/{part}.safetensors", "train_task", "trained task model", "task_part",
    ),
    _data(
        "models/tasks/card.json", "task_card", "provenance of the task models' weight files",
        when="task_models", final=True,
    ),
)  # fmt: skip

CATALOGUE: Final = (*FIGURES, *TABLES, *DATA)
