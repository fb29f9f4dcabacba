"""What stands in a run's report: its tables, figures and the sentences around them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image as PillowImage

from icmbench.core.errors import MeasurementError
from icmbench.core.revision import current_revision
from icmbench.core.typed_csv import read_table
from icmbench.metrics import METRICS, available
from icmbench.reporting.report.page import ContactSheet, ReportFigure, build_report
from icmbench.reporting.report.revisions import mixed_revisions
from icmbench.reporting.report.verdict import verdict

NOTES = {
    "rd": (
        "Means over the images that all codecs coded, with 95 % bootstrap intervals over images. "
        "bpp is the size of the file that was decoded, in bits per original pixel."
    ),
    "bd_rate": (
        "Change of rate at equal quality against the anchor, as a fraction: -0.2 is 20 % fewer "
        "bits. No value where the curves overlap by less than the configured share. Intervals are "
        "bootstrap intervals, corrected for bias and width; of the draws without a value, failed "
        "resamples, at most 10 % are left out, else there is no interval."
    ),
    "paired": (
        "Every codec minus an anchor at the same rate on the same images. Image metrics: each "
        "image's curve is read at the rate by interpolation (PCHIP over the logarithm of the "
        "rate), the differences are averaged, with paired 95 % bootstrap intervals; images on "
        "which a curve does not reach the rate are left out and counted. Better: share of images "
        "on which the codec is better. Metrics of tasks are pooled over all images at the points "
        "and interpolated between them, again for every draw."
    ),
    "timing": (
        "Median seconds per image on one thread, interquartile range as spread; process start and "
        "model loading are apart. Other jobs of the run shared the machine, so the seconds compare "
        "codecs of one run and no more; for quiet numbers: make bench."
    ),
    "robustness": (
        "Streams of one point per codec, cut at a random length, with one bit inverted or with two "
        "bytes exchanged: the same places for every codec, each decoded by the codec's own decoder "
        "in a process with a time limit. Refused is the right answer; decoded wrong is a picture "
        "that differs from the undamaged stream's. In the rows of best effort, what precedes the "
        "damage was decoded where the strict decoder refuses: there decoded wrong means that a "
        "whole earlier state was shown, which is its purpose. PSNR against the original. Rows of "
        "another machine: undamaged streams that it decoded, and how its pictures compare with "
        "those of this run; within 1: no code value is further away than 1."
    ),
    "mpd_states": (
        "What the streams of MPD hold at every diffusion state, means over images with 95 % "
        "bootstrap intervals. Bytes and bpp: of the file cut at the state. Latent MSE: of z_t "
        "against the image's latent, in squared standard deviations. Map, offsets, shape, frame "
        "and rounding: bits of the state's own section; over the states from 7 on they add up to "
        "8 times the bytes."
    ),
    "pseudo_labels": (
        "Clusters of the training pool's patches, per tap of the VGG and number of clusters that "
        "was tried. Distortion: share of the variance that the clusters leave. Kept: share of the "
        "descriptors' variance in their principal components. Stability: adjusted Rand index of "
        "two seeds, for the number in use."
    ),
    "retrieval": (
        "Patches of scenes that nothing was trained on: share of the 10 nearest neighbours, from "
        "other scenes, that have the same semantic class; 95 % bootstrap intervals over scenes. "
        "Gain: against the latent's mean and deviation, paired. Chance: a random patch."
    ),
    "ablation": (
        "One ingredient left out at a time, at equal rate: every image's curve is read at the rate "
        "by interpolation (PCHIP over the logarithm of the rate), the changes are averaged over "
        "images, with paired 95 % bootstrap intervals. Images whose curves do not reach the rate "
        "are left out and counted."
    ),
    "alpha_sweep": (
        "BD-rate of every weight of what guides the clustering against the plain palette, as a "
        "fraction. Chosen: the weight of the least mean over data sets and metrics."
    ),
    "tasks": (
        "Predictions on the images that all codecs coded and on which the task failed for none, "
        "with 95 % bootstrap intervals over images. Ceiling: the same model on the originals. "
        "Failed: images that were not coded or that the task failed on. Device: where the model "
        "ran. Status: ok where there is a value, else what failed."
    ),
    "task_failures": (
        "Images that a task model failed on, with the reason on the first of them. A row without "
        "a codec string: the task has no value at all."
    ),
    "jobs": (
        "Every rule that ran before this table: how often, seconds, memory in MB, the most that "
        "one of its jobs asked for (MB, minutes, GPUs), the largest share of it that one took, and "
        "where they ran. A share near 1 was nearly killed; one far below 0.5 asks for too much."
    ),
    "codecs": "The exact settings behind every curve.",
    "revisions": (
        "Artefacts of this run were made by different revisions of the code. Jobs are named by "
        "their wildcards, as their log files are; a revision with + is a changed working copy, "
        "followed by the digest of its code."
    ),
}
CAPTIONS = {
    "rd": (
        "Quality against rate. The line joins the Pareto-optimal points of a codec; the others are "
        "small and faint. Hollow: coded at reduced scale."
    ),
    "rate_time": "Seconds per megapixel against rate, one thread.",
    "bd": "BD-rate against the anchor for every metric.",
    "paired": (
        "Every codec minus the anchor at equal rate, with paired 95 % intervals over images; "
        "hollow where the interval holds 0."
    ),
    "loss": "What training minimised and what it consists of, over the steps of the optimiser.",
    "palette": (
        "Every state's index map in the mean colours of the original, and its picture; the tree "
        "of the first entries."
    ),
    "states": "Latent distortion falls and rate rises as the state goes to 0.",
    "bit_shares": (
        "Index map, palette and overhead of the file cut at each state: information content, and "
        "what rounding to whole bytes adds."
    ),
    "ablation": "What leaving one ingredient out changes at equal rate, with 95 % intervals.",
    "alpha_sweep": "BD-rate against the plain palette by the weight of the guide.",
    "taps": (
        "A patch, the strongest channels of the VGG's five taps beside their Fourier magnitudes, "
        "and the pooled descriptor against frequency (paper, figure 2)."
    ),
    "clusters": (
        "Distortion of k-means against the number of clusters; below, typical patches of every "
        "data set's clusters at the deepest tap (paper, figure 4)."
    ),
    "labels": "Pseudo-labels of the training pool's clusters, drawn over an image.",
    "montage": "Typical patches of the training pool's clusters, nearest to the centre first.",
    "embedding": "Patches of held-out scenes: t-SNE of raw latents and of contrastive features.",
    "robustness": "What decoders showed of damaged streams, and the share that they refused.",
    "task_curves": (
        "What a model is worth on decoded pictures, against rate; dotted: the same model on the "
        "originals. Lines and markers as in the RD curves."
    ),
    "task_objects": (
        "Objects that a detector misses and objects that it invents, codec by codec at matched "
        "rates, with 95 % intervals; dotted: on the originals."
    ),
}


_PREFIXES = ("rate_time", "contact", "visual", "loss", "paired", "bd", "rd")
_TASK_TITLES = {
    "task_curves": "Accuracy against rate",
    "task_objects": "Missed and hallucinated objects",
}
_MPD_TITLES = {
    "palette": "Palette hierarchy",
    "states": "Distortion and rate by state",
    "bit_shares": "Shares of the bits",
}


def assemble_report(
    out: Path,
    *,
    config: Mapping[str, Any],
    notices: Sequence[str],
    unavailable: Mapping[str, str],
    tables: Sequence[Path],
    manifests: Sequence[Path],
    comparison: Mapping[str, Any],
    provenance: Mapping[str, Any],
    figures: Sequence[Path],
) -> None:
    """Read a run's files and write its report.

    Args:
        notices: sentences about parts of the configuration that were left out.
        unavailable: reasons by name of codec entries and metrics that could not run.
    """
    frames = {path.stem: read_table(path) for path in tables if path.stem != "failures"}
    (failures,) = (path for path in tables if path.stem == "failures")
    revisions = frames.pop("revisions", pd.DataFrame({"revision": []}))
    mixed = mixed_revisions(revisions, current_revision())
    if len(mixed):
        frames["revisions"] = mixed
        provenance = {**provenance, "revision": _several(mixed)}
    frames["manifest"] = _manifest(manifests)
    remarks = frames.pop("remarks", None)
    weights = Path(config["weights"]) if config["weights"] else None
    names, reasons = available(weights)
    manifest = frames["manifest"]
    good = manifest[(manifest["status"] == "ok") & (manifest["split"] == config["split"])]
    found = verdict(
        frames["rd"],
        read_table(failures),
        frames.get("tasks"),
        images={p.parent.name: int((good["dataset"] == p.parent.name).sum()) for p in manifests},
        codecs=list(config["codecs"]),
        task_sets={name: entry["datasets"] for name, entry in config["tasks"].items()},
    )
    build_report(
        out,
        title="icmbench report",
        tables=frames,
        notes={**NOTES, **_sweep_notes(frames), "summary": _summary(config, frames)},
        figures=[_figure(path, config) for path in figures if _kind(path) != "contact"],
        contact_sheets=[_sheet(path, config) for path in figures if _kind(path) == "contact"],
        provenance=provenance,
        missing_metrics={
            METRICS[name].title: reason
            for name, reason in reasons.items()
            if name in config["metrics"]
        },
        comparison_notes=comparison_lines(comparison),
        alerts=found.empty,
        left_out=[
            *((n, reason) for n, reason in unavailable.items() if n not in METRICS),
            *((notice.partition(" ")[0], notice.partition(" ")[2]) for notice in notices),
        ],
        # Families and codec strings of refused images are empty, not missing.
        failures=read_table(failures),
        remarks=remarks,
        metrics=[METRICS[name] for name in config["metrics"] if name in names],
    )


def _several(mixed: pd.DataFrame) -> str:
    return f"{mixed['revision'].nunique()} revisions: see the table of revisions"


def _sweep_notes(frames: Mapping[str, pd.DataFrame]) -> dict[str, str]:
    """One note for the sweep of every guide."""
    return {name: NOTES["alpha_sweep"] for name in frames if name.startswith("alpha_sweep_")}


def _summary(config: Mapping[str, Any], frames: Mapping[str, pd.DataFrame]) -> str:
    codecs = ", ".join(config["codecs"])
    sets = ", ".join(config["datasets"])
    text = f"{codecs} on {sets}: every number from a real file, decoded by a fresh process."
    mixed = f" The code: {_several(frames['revisions'])}." if "revisions" in frames else ""
    return text + mixed


def _manifest(paths: Sequence[Path]) -> pd.DataFrame:
    parts = []
    for path in paths:
        part = read_table(path)
        part.insert(0, "dataset", path.parent.name)
        parts.append(part.drop(columns=["annotation"]))
    return pd.concat(parts, ignore_index=True)


def comparison_lines(comparison: Mapping[str, Any]) -> list[str]:
    """A sentence for everything in `comparison.describe`: what is compared, what not, and why."""
    lines = []
    for dataset, chosen in sorted(comparison.items()):
        lines.append(f"{dataset}: {len(chosen['images'])} images are compared.")
        for image, points in sorted(chosen["left_out"].items()):
            lines.append(f"{dataset}: {image} is left out because of {', '.join(points)}.")
        for image, names in sorted(chosen["undefined"].items()):
            lines.append(f"{dataset}: {image} is left out: too small or flat for {_titles(names)}.")
        for image, pairs in sorted(chosen["infinite"].items()):
            whys = [f"{_titles([name])} is infinite for {codec}" for name, codec in pairs]
            lines.append(f"{dataset}: {image} is left out: {', '.join(whys)}.")
        for point, count in sorted(chosen["excluded"].items()):
            lines.append(f"{dataset}: {point} is not averaged, it failed on {count} images.")
    return lines


def _titles(names: Sequence[str]) -> str:
    return ", ".join(METRICS[name].title if name in METRICS else name for name in names)


_LEARNED_TITLES = {
    "ablation": "Without one ingredient",
    "alpha_sweep": "Weight of the guide",
    "taps": "Taps of the VGG",
    "clusters": "Clusters",
    "labels": "Pseudo-labels",
    "montage": "Clusters of the pool",
    "embedding": "Patches by class",
}


def _kind(path: Path) -> str:
    if path.stem == "robustness":
        return "robustness"
    for kind in _LEARNED_TITLES:
        if path.stem == kind or path.stem.startswith(kind + "_"):
            return kind
    for kind in (*_PREFIXES, *_MPD_TITLES, *_TASK_TITLES):
        if path.stem.startswith(kind + "_"):
            return kind
    return "other"


def _figure(path: Path, config: Mapping[str, Any]) -> ReportFigure:
    kind = _kind(path)
    rest = path.stem[len(kind) + 1 :]
    if kind == "visual":
        item = config["visual"][int(rest)]
        title = f"{item['image']} at about {item['bpp']} bpp"
        caption = (
            "Every codec's point nearest to the rate on this image, from 1.5 times below to 1.1 "
            "times above it; codecs without one are named. Crops enlarged 3 times."
        )
        return ReportFigure(path, title, caption, "Visual comparison")
    if kind == "robustness":
        title = f"Damaged streams, {config['robustness']['dataset']}"
        return ReportFigure(path, title, CAPTIONS[kind], "Robustness")
    if kind in _TASK_TITLES:
        dataset, _, task = rest.partition(".")  # names have no dots
        title = f"{_TASK_TITLES[kind]}, {task}, {dataset}"
        return ReportFigure(path, title, CAPTIONS[kind], "Machine tasks")
    if kind in _MPD_TITLES:
        subject = config["hierarchy"][int(rest.rpartition("_")[2])] if kind == "palette" else {}
        name = f"{subject['image']}, {subject['dataset']}" if subject else rest
        return ReportFigure(path, f"{_MPD_TITLES[kind]}, {name}", CAPTIONS[kind], "MPD")
    if kind in _LEARNED_TITLES:
        name = _LEARNED_TITLES[kind]
        if kind == "labels":
            item = config["hierarchy"][int(rest.rpartition("_")[2])]
            rest = f"{item['image']}, {item['dataset']}"
        elif kind == "ablation":
            dataset, _, number = rest.rpartition("_")
            rest = f"{dataset}, {config['ablation']['bpp'][int(number)]} bpp"
        elif kind == "montage":
            rest = rest.replace("_", ", ", 1)
        title = f"{name}, {rest}" if rest else name
        return ReportFigure(path, title, CAPTIONS[kind], "MPD, what it learns")
    if kind == "loss":
        return ReportFigure(path, f"Loss, {rest}", CAPTIONS[kind], "Training")
    titles = {
        "rd": "RD curves",
        "rate_time": "Rate and time",
        "bd": "BD-rate",
        "paired": "Differences at equal rate",
    }
    anchor, dataset = _bd_names(rest, config) if kind == "bd" else ("", rest)
    title = f"{titles[kind]}, {dataset}" + (f", against {anchor}" if anchor else "")
    return ReportFigure(path, title, CAPTIONS[kind], titles[kind])


def _bd_names(rest: str, config: Mapping[str, Any]) -> tuple[str, str]:
    """Anchor and data set of `<anchor>_<dataset>`; both may contain underscores."""
    for anchor in config["anchors"]:
        for dataset in config["datasets"]:
            if rest == f"{anchor}_{dataset}":
                return anchor, dataset
    raise MeasurementError(f"figure bd_{rest} is of no anchor and data set of this run")


def _sheet(path: Path, config: Mapping[str, Any]) -> ContactSheet:
    name = path.stem.removeprefix("contact_")
    with PillowImage.open(path) as picture:
        return ContactSheet(name, np.asarray(picture.convert("RGB")))
