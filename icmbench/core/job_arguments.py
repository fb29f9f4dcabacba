"""Arguments of a job's function, taken by name from Snakemake's description of the job."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any


def job_arguments(function: Callable[..., Any], job: Any) -> dict[str, Any]:
    """Arguments of `function` from a job: values of its rule under the names of the parameters.

    Inputs and outputs become paths, one `Path` or a list of them as the rule has it. `threads` is
    the job's number of threads, `results` the folder of results, `root` that of the workflow;
    `offline`, `sources`, `cache_mb` and `compute` (of `training`) are those of the configuration.
    Inputs and params that the function does not name only decide when the job runs. Every output
    must be named: what the function does not know, it cannot write.

    Args:
        job: the object `snakemake` of a workflow script.

    Raises TypeError, naming the rule, for an output that is no parameter and for a name that the
    rule gives twice; calling the function raises it for a missing argument.
    """
    names = inspect.signature(function).parameters
    named = [name for name, _ in job.output.items()]
    written = [path for _, value in _paths(job.output) for path in _flat(value)]
    unknown = sorted({*named} - {*names})
    if unknown or len(written) != len(job.output):
        which = ", ".join(unknown) or "without a name"
        raise TypeError(
            f"rule {job.rule}: output {which}: name every output as a parameter of "
            f"{function.__module__}.{function.__name__}"
        )
    given = [*_paths(job.input), *_paths(job.output), *job.params.items(), *job.wildcards.items()]
    given += [("threads", job.threads), ("results", Path(job.config["results"]))]
    given += [("root", Path(job.scriptdir).parent)]
    # They decide how files are fetched and kept, never what they hold: no params, a change reruns
    # nothing.
    given += [(key, job.config[key]) for key in ("offline", "sources") if key in job.config]
    training = job.config.get("training", {})
    given += [(key, training[key]) for key in ("cache_mb", "compute") if key in training]
    found: dict[str, Any] = {}
    for name, value in given:
        if name in found and name in names:
            raise TypeError(f"rule {job.rule}: {name}: given twice; rename one of them")
        found[name] = value
    return {name: value for name, value in found.items() if name in names}


def _paths(files: Any) -> Iterator[tuple[str, Path | list[Path]]]:
    for name, value in files.items():
        yield name, Path(value) if isinstance(value, str) else [Path(each) for each in value]


def _flat(value: Path | list[Path]) -> list[Path]:
    return [value] if isinstance(value, Path) else value
