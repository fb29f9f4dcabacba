"""`icmbench doctor`: what works on this machine, and the remedy for each thing that does not.

Nothing is loaded that takes seconds (torch only where there is a GPU to ask about), nothing is
downloaded, and no file is read beyond its presence.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
from argparse import Namespace
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Final

import icmbench
from icmbench.cli.arguments import Sub, add_command, path_if_given
from icmbench.core.errors import ConfigError
from icmbench.core.fetch_command import DOWNLOADS

# Distributions that another one stands in for.
STAND_INS: Final = {"mmcv": "mmcv-lite", "onnxruntime-gpu": "onnxruntime"}
INSTALL: Final = "pip install -e . in the repository"


@dataclass(frozen=True)
class Finding:
    """One line: `remedy` is empty where the thing works."""

    name: str
    about: str
    remedy: str = ""


def add_doctor(sub: Sub) -> None:
    """Add the subcommand."""
    parser = add_command(
        sub,
        doctor,
        "tell what works on this machine: packages, devices, codecs, metrics, tasks, data sets",
        "icmbench doctor\n  icmbench doctor --downloads /data/downloads --json",
    )
    parser.add_argument("--downloads", metavar="DIR", default=DOWNLOADS, help="default: downloads")
    parser.add_argument("--weights", metavar="DIR", help="weights of metrics; default: downloads")
    parser.add_argument("--json", action="store_true", help="print JSON")


def doctor(arguments: Namespace) -> None:
    """`icmbench doctor [--json]`."""
    downloads = Path(arguments.downloads)
    weights = path_if_given(arguments.weights) or downloads
    sections = {
        "packages": packages(),
        "devices": devices(),
        "bundled weights": bundled(),
        "codecs": codecs(downloads),
        "metrics": metrics(weights, downloads),
        "tasks": tasks(),
        "data sets": datasets(downloads),
        "sources": sources(downloads),
    }
    found = {name: list(part) for name, part in sections.items()}
    if arguments.json:
        print(json.dumps({n: [asdict(one) for one in part] for n, part in found.items()}, indent=1))
        return
    every = found.pop("sources")
    for name, part in found.items():
        _print(name, part)
    _print("sources", [one for one in every if not one.remedy], len(every))
    print("  icmbench fetch --list describes the others")
    print("\nnothing here is needed by all runs: a run names what it lacks before it starts")


def _print(title: str, findings: list[Finding], total: int | None = None) -> None:
    works = sum(not one.remedy for one in findings)
    print(f"\n{title}: {works} of {len(findings) if total is None else total}")
    width = max((len(one.name) for one in findings), default=0)
    for one in findings:
        mark = "-" if one.remedy else "+"
        print(f"  {mark} {one.name:<{width}}  {one.about}".rstrip())
        if one.remedy:
            print(f"    {'':<{width}}  {one.remedy}")


def packages() -> Iterator[Finding]:
    """Python and the distributions of this project's dependencies."""
    from packaging.requirements import Requirement

    yield Finding("python", f"{platform.python_version()} on {platform.platform()}")
    try:
        texts = metadata.requires("icmbench") or []
    except metadata.PackageNotFoundError:
        yield Finding("icmbench", "not installed as a package", INSTALL)
        return
    for requirement in map(Requirement, texts):
        extras = [e for e in metadata.metadata("icmbench").get_all("Provides-Extra", []) if e]
        extra = next(
            (e for e in extras if "extra" in str(requirement.marker) and _holds(requirement, e)), ""
        )
        if requirement.marker is not None and not extra and not requirement.marker.evaluate():
            continue
        version = _version(requirement.name)
        wanted = f"{requirement.name}{requirement.specifier}"
        remedy = f"pip install '.[{extra}]'" if extra else INSTALL
        about = version or f"not installed ({f'extra {extra}' if extra else wanted})"
        if version and not requirement.specifier.contains(version, prereleases=True):
            about, version = f"{version}, needed is {wanted}", ""
        yield Finding(requirement.name, about, "" if version else remedy)


def _holds(requirement: object, extra: str) -> bool:
    marker = getattr(requirement, "marker", None)
    return marker is not None and bool(marker.evaluate({"extra": extra}))


def _version(name: str) -> str:
    with contextlib.suppress(metadata.PackageNotFoundError):
        return metadata.version(name)
    return ""


def devices() -> Iterator[Finding]:
    """Processors, the GPU, and the counters of energy."""
    from icmbench.core.devices import driver_version, has_nvidia, unused_gpu
    from icmbench.core.energy import EnergyMeter

    yield Finding("cpu", f"{len(os.sched_getaffinity(0))} processors, {platform.machine()}")
    if not has_nvidia():
        yield Finding("cuda", "no NVIDIA driver", "device: auto and device: cpu take the CPU")
    elif reason := unused_gpu():
        yield Finding("cuda", f"driver {driver_version()}", reason)
    else:
        import torch

        name = torch.cuda.get_device_name() if torch.cuda.is_available() else "hidden"
        yield Finding("cuda", f"{name}, driver {driver_version()}")
    names = EnergyMeter("cpu").names
    remedy = "costs.csv has no joules: make /sys/class/powercap/intel-rapl:*/energy_uj readable"
    yield Finding("energy", names or "no counter can be read", "" if names else remedy)


def bundled() -> Iterator[Finding]:
    """Model folders of the package."""
    folder = Path(icmbench.__file__).parent / "weights"
    for name in ("diff-icmh", "mpd", "tasks"):
        files = sorted((folder / name).glob("*.safetensors"))
        size = sum(file.stat().st_size for file in files) / 1e6
        remedy = "" if files else f"no weight file in {folder / name}; {INSTALL}"
        yield Finding(name, f"{len(files)} files, {size:.1f} MB", remedy)


def codecs(downloads: Path) -> Iterator[Finding]:
    """Codecs of classes and of shipped definitions."""
    from icmbench.codecs.registry import every_codec
    from icmbench.codecs.zoo.published import METRICS, NAMES, QUALITIES, Training
    from icmbench.sources.catalogue import known_sources
    from icmbench.sources.completeness import is_complete

    for name, codec in every_codec().items():
        lacks = codec.unavailable()
        if name in NAMES and not lacks:
            source = known_sources()[Training(name, METRICS[0], QUALITIES[0]).source]
            lacks = "" if is_complete(source, downloads) else _fetch([source.name], downloads)
        yield Finding(name, codec.title, lacks)


def metrics(weights: Path, downloads: Path) -> Iterator[Finding]:
    """Metrics, and the distances of distributions."""
    from icmbench.metrics import METRICS, available
    from icmbench.metrics.availability import distribution_lacks

    _, missing = available(weights, downloads)
    for name, metric in METRICS.items():
        yield Finding(name, metric.title, missing.get(name, ""))
    lacks = distribution_lacks(weights, downloads)
    yield Finding("fid", "FID and KID (section distribution)", lacks)


def tasks() -> Iterator[Finding]:
    """Kinds of task models."""
    from icmbench.tasks.bundled import PARTS, bundled_file
    from icmbench.tasks.registry import kinds

    for name, kind in kinds().items():
        about = (kind.__doc__ or "").strip().split("\n")[0]
        lacking = [p for p in kind.packages if not (_version(p) or _version(STAND_INS.get(p, p)))]
        remedy = f"not installed: {', '.join(lacking)}; {INSTALL}" if lacking else ""
        if name in PARTS:
            there = bundled_file(PARTS[name]).is_file()
            about += " Bundled model." if there else ""
        else:
            needed = [key for key, option in kind.options.items() if option.required]
            about += f" To be given: {', '.join(needed)}." if needed else ""
        yield Finding(name, about, remedy)


def datasets(downloads: Path) -> Iterator[Finding]:
    """Kinds of data sets, with the sources that their files are from."""
    from icmbench.datasets.registry import kinds
    from icmbench.sources.catalogue import known_sources
    from icmbench.sources.completeness import is_complete

    known = known_sources()
    for name, kind in kinds().items():
        about = (kind.__doc__ or "").strip().split("\n")[0]
        needed = [key for key, option in kind.options.items() if option.required]
        try:
            names = kind(name, {}, downloads).sources()
        except ConfigError:
            yield Finding(name, f"{about} To be given: {', '.join(needed)}.")
            continue
        lacking = [s for s in names if s not in known or not is_complete(known[s], downloads)]
        yield Finding(name, about, _fetch(lacking, downloads))


def _fetch(names: Iterable[str], downloads: Path) -> str:
    from icmbench.core.fetch_command import fetch_command

    return "; ".join(fetch_command(name, downloads) for name in names)


def sources(downloads: Path) -> Iterator[Finding]:
    """Published files by name, with the weights among them."""
    from icmbench.sources.catalogue import known_sources
    from icmbench.sources.completeness import is_complete

    for name, source in known_sources().items():
        by_hand = f"; by hand: {source.homepage}" if source.manual else ""
        remedy = "" if is_complete(source, downloads) else source.command(downloads) + by_hand
        yield Finding(name, f"{source.title} ({source.licence})", remedy)
