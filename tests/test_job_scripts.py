"""The scripts of the workflow: short, one call each, with the names that their rules give."""

from __future__ import annotations

import ast
import importlib
import inspect
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import ROOT

SCRIPTS = sorted((ROOT / "workflow_scripts").glob("*.py"))
GIVEN = (  # by `job_arguments`, of every job
    "threads", "results", "root", "offline", "sources", "cache_mb", "compute",
)  # fmt: skip

# Every rule of a configuration, as Snakemake reads it.
RULES = """
import json, sys
from pathlib import Path
from snakemake.api import SnakemakeApi
from snakemake.settings.types import ConfigSettings, OutputSettings, ResourceSettings
snakefile, config, folder = map(Path, sys.argv[1:])

def shapes(files):
    # By name: a list of files, one file, or a function of wildcards.
    named = files._get_names()
    return {name: "list" if end is not None else "call" if callable(files[start]) else "file"
            for name, (start, end) in named}

with SnakemakeApi(OutputSettings()) as api:
    workflow = api.workflow(
        resource_settings=ResourceSettings(cores=1),
        config_settings=ConfigSettings(configfiles=[config]),
        snakefile=snakefile, workdir=folder,
    )._workflow
    rules = [
        {
            "rule": rule.name, "script": Path(rule.script).stem,
            "input": shapes(rule.input), "output": shapes(rule.output),
            "params": [name for name, _ in rule.params._get_names()],
            "wildcards": sorted(rule.wildcard_names),
        }
        for rule in workflow.rules if rule.script
    ]
print("RULES", json.dumps(rules), flush=True)
"""


@pytest.fixture(scope="module")
def rules(every_rule: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    """Rules that run a script: names of the script, inputs, outputs, params and wildcards.

    Inputs and outputs have their shape: `list`, `file`, or `call`, an input function.
    """
    folder = tmp_path_factory.mktemp("rules")
    (folder / "config.yaml").write_text(yaml.safe_dump(every_rule), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-c", RULES, str(ROOT / "Snakefile"), "config.yaml", "."],
        capture_output=True, text=True, check=False, cwd=folder, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    line = next(line for line in done.stdout.splitlines() if line.startswith("RULES "))
    return json.loads(line.removeprefix("RULES "))


def call_of(script: Path) -> tuple[dict[str, str], ast.Call]:
    """What a script imports of icmbench.jobs, by name -> module, and its call."""
    *imports, block = ast.parse(script.read_text(encoding="utf-8")).body[1:]
    modules = {}
    for node in imports:
        assert isinstance(node, ast.ImportFrom), script
        modules |= {alias.name: str(node.module) for alias in node.names}
    assert isinstance(block, ast.With), script
    assert ast.unparse(block.items[0].context_expr) == "log_to(snakemake.log[0])", script
    (statement,) = block.body
    assert isinstance(statement, ast.Expr), script
    assert isinstance(statement.value, ast.Call), script
    jobs = {name: module for name, module in modules.items() if module.startswith("icmbench.jobs.")}
    assert modules.keys() - jobs.keys() == {"job_arguments", "log_to"}, script
    return jobs, statement.value


def function_of(script: Path) -> Callable[..., Any]:
    """The function, or the description of a training, that takes the job's arguments."""
    jobs, _ = call_of(script)
    name = "TrainingJob" if "TrainingJob" in jobs else next(iter(jobs))
    return getattr(importlib.import_module(jobs[name]), name)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_a_script_is_one_call_of_one_function(script: Path) -> None:
    assert len(script.read_text(encoding="utf-8").splitlines()) < 15
    jobs, call = call_of(script)
    if "bundled_or_trained" in jobs:
        (train,) = jobs.keys() - {"bundled_or_trained", "TrainingJob"}
        arguments = "TrainingJob(**job_arguments(TrainingJob, snakemake))"
        assert ast.unparse(call) == f"bundled_or_trained({train}, {arguments})"
        assert train == script.stem
    else:
        (name,) = jobs
        assert ast.unparse(call) == f"{name}(**job_arguments({name}, snakemake))"
        assert name == script.stem


def faults(rule: dict[str, Any], function: Callable[..., Any]) -> list[str]:
    """Disagreements between a rule and its job's function."""
    given = [*rule["input"], *rule["output"], *rule["params"], *rule["wildcards"], *GIVEN]
    parameters = inspect.signature(function).parameters
    empty = inspect.Parameter.empty
    found = [f"no {n}" for n, p in parameters.items() if p.default is empty and n not in given]
    found += [f"{name} twice" for name in parameters if given.count(name) > 1]
    found += [f"{name} not written" for name in rule["output"] if name not in parameters]
    for name, shape in {**rule["input"], **rule["output"]}.items():
        if name in parameters and shape != "call":
            kind = str(inspect.formatannotation(parameters[name].annotation)).strip("'")
            if kind.split(".")[-1].startswith("Path") != (shape == "file"):
                found.append(f"{name} is a {shape}, not {kind}")
    return found


@pytest.mark.workflow
def test_rules_give_what_their_functions_take(rules: list[Any]) -> None:
    """Every parameter is given once and in its shape, and every output is a parameter."""
    paths = {script.stem: script for script in SCRIPTS}
    assert len(rules) > 45
    found = {rule["rule"]: faults(rule, function_of(paths[rule["script"]])) for rule in rules}
    assert {name: texts for name, texts in found.items() if texts} == {}
    # The check finds each kind of fault.
    rule = next(rule for rule in rules if rule["rule"] == "encode")
    function = function_of(paths["encode"])
    without = {**rule, "params": [name for name in rule["params"] if name != "split"]}
    assert faults(without, function) == ["no split"]
    assert faults({**rule, "params": [*rule["params"], "streams"]}, function) == ["streams twice"]
    more = {**rule, "output": {**rule["output"], "other": "file"}}
    assert faults(more, function) == ["other not written"]
    listed = {**rule, "output": {**rule["output"], "streams": "list"}}
    assert faults(listed, function) == ["streams is a list, not Path"]


# Functions that write a file -> the place of its path among their arguments.
WRITERS = {
    "write_csv": 1, "write_json": 0, "write_text": 0, "write_bytes": 0, "write_png": 0,
    "write_records": 0, "write_parquet": 0, "save_network": 0,
    "save_arrays": 0, "join_tables": 1, "save_figure": 2,
}  # fmt: skip
# Files besides the outputs: each function says why.
BESIDES = {("check_results", "line")}


def written(function: ast.FunctionDef) -> Iterator[str]:
    """Names of the variables whose paths a function writes."""
    for node in ast.walk(function):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            place = WRITERS.get(node.func.id)
            if place is not None:
                path = node.args[place]
                path = path.value if isinstance(path, ast.Subscript) else path
                yield ast.unparse(path)


def derived(function: ast.FunctionDef, names: set[str]) -> set[str]:
    """The names, and those of loops over them."""
    found = set(names)
    for node in ast.walk(function):
        if isinstance(node, ast.For):
            used = {n.id for n in ast.walk(node.iter) if isinstance(n, ast.Name)}
            if used & names:
                found |= {n.id for n in ast.walk(node.target) if isinstance(n, ast.Name)}
    return found


@pytest.mark.workflow
def test_functions_write_their_outputs_and_nothing_else(rules: list[Any]) -> None:
    """Every output is used, and every path that is written is one of them."""
    paths = {script.stem: script for script in SCRIPTS}
    found = 0
    for rule in rules:
        jobs, _ = call_of(paths[rule["script"]])
        name = rule["script"]
        source = inspect.getsource(importlib.import_module(jobs[name]))
        function = next(
            node for node in ast.parse(source).body
            if isinstance(node, ast.FunctionDef) and node.name == name
        )  # fmt: skip
        training = "TrainingJob" in jobs
        outputs = {f"job.{each}" if training else each for each in rule["output"]}
        targets = [each for each in written(function) if (name, each) not in BESIDES]
        found += len(targets)
        assert {*targets} <= derived(function, outputs), rule["rule"]
        if not training:  # trainings hand their job to shared functions
            read = {n.id for n in ast.walk(function) if isinstance(n, ast.Name)}
            assert outputs <= read, rule["rule"]
    assert found > 40
