"""Fingerprints of code: closures, what counts in a source, and what an edit reruns."""

from __future__ import annotations

import importlib
import py_compile
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT

from icmbench.codecs import registry
from icmbench.config.job_code import COPY, JobCode
from icmbench.config.load import complete
from icmbench.core.fingerprint import Code
from icmbench.core.sources import read_source
from icmbench.core.versions import package_version

# Jobs of the workflow: script, wildcards, and the entries that its rule names.
DATA = {"dataset": "scenes", "shard": "0"}
CODECS = ("jpeg", "webp", "mpd", "diff-icmh", "halftone")
JOBS: dict[str, tuple[str, dict[str, str], dict[str, Any]]] = {
    **{
        f"{script} {codec}": (script, {**DATA, "codec": codec}, {})
        for script in ("encode", "decode", "measure", "predict", "robustness")
        for codec in CODECS
    },
    **{script: (script, DATA, {}) for script in ("dataset_shard", "manifest", "contact_sheet")},
    "predict_originals": ("predict_originals", DATA, {"codecs": ()}),
    **{
        f"task_scores {task}": ("task_scores", {"dataset": "scenes", "task": task}, {})
        for task in ("detection", "segmentation", "landmarks")
    },
    **{
        script: (script, {}, {})
        for script in (
            "ablation", "alpha_sweep", "jobs_table", "paired_table", "provenance",
            "rate_figures", "rd_tables", "report",
            "retrieval", "robustness_table", "task_figures", "task_pictures", "tasks_tables",
            "timing_table", "train_autoencoder", "train_contexts", "train_features",
            "train_prior", "train_reverse", "train_stage", "train_tagger", "train_task",
            "train_vgg",
            "visual_comparison",
        )
    },
    "training_pool": ("training_pool", {"source": "scenes"}, {}),
    "palette_hierarchy": ("palette_hierarchy", {}, {"codecs": ["mpd"]}),
    "complexity": ("complexity", {}, {"codecs": ["diff-icmh"]}),
}  # fmt: skip


@pytest.fixture(scope="module")
def config(every_rule: dict[str, Any]) -> dict[str, Any]:
    """`every_rule` with a plug-in's codec, complete."""
    codecs = {**every_rule["codecs"], "halftone": {"points": [{"bits": 1}]}}
    return complete({**every_rule, "codecs": codecs})


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the library's and the scripts' sources, and of an installed plug-in."""
    folder = tmp_path_factory.mktemp("tree")
    for name in ("icmbench", "workflow_scripts"):
        ignored = shutil.ignore_patterns("__pycache__", "*.safetensors")
        shutil.copytree(ROOT / name, folder / name, ignore=ignored)
    site = folder / "site"
    info = site / "icmbench_halftone-0.1.0.dist-info"
    info.mkdir(parents=True)
    shutil.copy(ROOT / "docs" / "new-codec" / "src" / "icmbench_halftone.py", site)
    (info / "METADATA").write_text("Name: icmbench-halftone\nVersion: 0.1.0\n")
    (info / "entry_points.txt").write_text(
        "[icmbench.codecs]\nhalftone = icmbench_halftone:Halftone\n"
    )
    return folder


@pytest.fixture(autouse=True)
def installed(tree: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The plug-in is installed for one test."""
    monkeypatch.syspath_prepend(str(tree / "site"))
    registry.codecs.cache_clear()
    yield
    registry.codecs.cache_clear()
    sys.modules.pop("icmbench_halftone", None)


def fingerprints(tree: Path, config: dict[str, Any]) -> dict[str, list[str]]:
    """Every job's fingerprint with the sources as they are; parsed sources are kept."""
    code = Code(tree / "sources.json", tree / "icmbench")
    jobs = JobCode(config, tree / "workflow_scripts", code)
    return {n: jobs.of_job(script, wc, **more) for n, (script, wc, more) in JOBS.items()}


@pytest.fixture
def changed_by(tree: Path, config: dict[str, Any]) -> Callable[..., set[str]]:
    """A function: names of the jobs whose fingerprint changes with edits, which are undone."""

    def changed(file: str, *edits: tuple[str, str]) -> set[str]:
        path = tree / file
        text = edited = path.read_text(encoding="utf-8")
        for old, new in edits:
            found = re.sub(old, new, edited, count=1)
            assert found != edited, old
            edited = found
        path.write_text(edited, encoding="utf-8")
        try:
            after = fingerprints(tree, config)
        finally:
            path.write_text(text, encoding="utf-8")
        return different(fingerprints(tree, config), after)

    return changed


def different(before: dict[str, list[str]], after: dict[str, list[str]]) -> set[str]:
    """Names of the jobs whose fingerprints differ."""
    return {name for name in JOBS if before[name] != after[name]}


def of(scripts: str, *codecs: str) -> set[str]:
    """Names of jobs of some scripts, for some codecs."""
    return {f"{script} {codec}" for script in scripts.split() for codec in codecs}


# Jobs that load every codec of the run, or read what all of them made.
ALL_CODECS = {
    "provenance", "task_pictures", "visual_comparison",
    *(name for name in JOBS if "task_scores" in name),
}  # fmt: skip
CODING = "encode decode measure predict robustness"
PREDICT = {"predict_originals", "task_pictures", *of("predict", *CODECS)}
EDITS = {
    "icmbench/codecs/conventional/webp.py": of(CODING, "webp") | ALL_CODECS,
    "site/icmbench_halftone.py": of(CODING, "halftone") | ALL_CODECS,
    "icmbench/metrics/structural.py": of("measure", *CODECS),
    "icmbench/metrics/similarity.py": set(),  # none of its metrics is in the run
    "icmbench/tasks/kinds/fan.py": PREDICT | {"provenance", "task_scores landmarks", "train_task"},
    "icmbench/tasks/kinds/mm_detection.py": PREDICT | {"provenance", "task_scores detection"},
    "icmbench/tasks/answers/landmarks.py": PREDICT
    | {"paired_table", "provenance", "report", "task_figures", "task_scores landmarks"},
    "icmbench/tasks/metrics/landmark_metrics.py": PREDICT
    | {"paired_table", "provenance", "report", "task_figures", "task_scores landmarks"},
    "icmbench/tasks/answers/panoptic.py": set(),  # of no task of the run
    "icmbench/reporting/figures/answers/landmarks.py": {"task_pictures"},
    "icmbench/reporting/figures/answers/text.py": set(),
    "icmbench/reporting/figures/sweep.py": {"alpha_sweep"},
    "icmbench/reporting/tables/timing.py": {"timing_table"},
    "icmbench/reporting/report/templates/report.css": {"report"},
    "icmbench/codecs/diff_icmh/entropy/stream.py": of(CODING, "diff-icmh")
    | ALL_CODECS
    | {"complexity"},
    "icmbench/codecs/mpd/training/reverse.py": {"train_reverse"},
    "icmbench/codecs/mpd/training/vgg.py": {"train_vgg"},
    "icmbench/datasets/scenes.py": {"dataset_shard", "training_pool"},
    "icmbench/datasets/folder.py": set(),
    "icmbench/config/training.py": set(),
    "icmbench/jobs/decode.py": of("decode", *CODECS),
    "icmbench/jobs/train_vgg.py": {"train_vgg"},
    "workflow_scripts/rd_tables.py": {"rd_tables"},
}


@pytest.mark.parametrize("file", EDITS)
def test_an_edit_changes_the_jobs_that_run_the_code(
    changed_by: Callable[..., set[str]], file: str
) -> None:
    """One module of every kind; what follows from changed outputs is Snakemake's."""
    assert changed_by(file, (r"\Z", "\n_EDIT = 1\n")) == EDITS[file]


def test_an_edit_of_the_coder_of_mpd_trains_and_codes_again(
    changed_by: Callable[..., set[str]],
) -> None:
    """A constant inside a module: `SCALE` of the palettes."""
    file = "icmbench/models/latent.py"
    changed = changed_by(file, ("\nSCALE: Final = ", "\nSCALE: Final = 1 + "))
    assert changed >= of(CODING, "mpd") | ALL_CODECS | {"train_contexts", "train_reverse"}
    assert not changed & of("encode decode measure robustness", "jpeg", "webp", "halftone")
    assert not changed & {"dataset_shard", "manifest"}


@pytest.mark.parametrize("file", [name for name in EDITS if name.endswith(".py")])
def test_comments_and_docstrings_change_nothing(
    changed_by: Callable[..., set[str]], file: str
) -> None:
    edits = ((r"\Z", "\n\n# comment\n"), ('"""', '"""Another docstring. '))
    assert changed_by(file, *edits) == set()


@pytest.mark.parametrize(
    ("package", "jobs"),
    [
        ("bjontegaard", {"rd_tables", *(name for name in JOBS if "task_scores" in name)}),
        ("constriction", of(CODING, "diff-icmh") | ALL_CODECS | {"complexity"}),
        ("mmdet", PREDICT | {"provenance", "task_scores detection", "train_task"}),
        ("pyarrow", set()),  # pandas imports it, this package does not
        ("icmbench-halftone", of(CODING, "halftone") | ALL_CODECS),
    ],
)
def test_another_version_of_a_package_changes_the_jobs_that_import_it(
    tree: Path, config: dict[str, Any], monkeypatch: pytest.MonkeyPatch, package: str,
    jobs: set[str],
) -> None:  # fmt: skip
    before = fingerprints(tree, config)
    monkeypatch.setattr(
        "icmbench.core.fingerprint.package_version",
        lambda name: "99" if name == package else package_version(name),
    )
    assert different(before, fingerprints(tree, config)) == jobs


def test_a_copy_depends_on_nothing_of_a_training() -> None:
    """An edit of a training, or another torch, makes no bundled file anew."""
    copy = Code().closure(COPY)
    assert "icmbench.jobs.bundled_or_trained" in copy.modules
    assert not [name for name in copy.modules if ".train" in name]
    assert "torch" not in copy.packages


def test_an_edit_of_what_describes_a_training_does_not_rerun_it() -> None:
    """Conditions and the estimate of a GPU's memory decide no weight."""
    scripts = [ROOT / "workflow_scripts" / f"train_{name}.py" for name in ("stage", "reverse")]
    modules = Code().closure(scripts).modules
    assert "icmbench.training.loop" in modules
    assert not {"icmbench.jobs.conditions", "icmbench.jobs.gpu_memory"} & {*modules}


def test_a_cache_changes_nothing(tree: Path, config: dict[str, Any]) -> None:
    kept = fingerprints(tree, config)
    assert (tree / "sources.json").is_file()
    for text in ("", "[]", '{"format": "0", "entries": {}}'):
        (tree / "sources.json").write_text(text)
        assert fingerprints(tree, config) == kept


def test_every_rule_that_runs_a_script_depends_on_its_code() -> None:
    """The fingerprint of the script that the rule runs, and of no other."""
    found = {}
    for path in sorted((ROOT / "rules").glob("*.smk")):
        parts = re.split(
            r"^ *(?:use )?rule (\w+)(?: as (\w+) with)?:\n", path.read_text(), flags=re.M
        )
        scripts: dict[str, str] = {}
        for name, variant, body in zip(parts[1::3], parts[2::3], parts[3::3], strict=True):
            script = re.search(r"^ *script:\n +\"\.\./workflow_scripts/(\w+)\.py\"", body, re.M)
            scripts[variant or name] = script[1] if script else scripts.get(name, "")
            code = re.search(r"^ *params:\n(?:.*\n)*? +code=code_of\(\s*\"(\w+)\"", body, re.M)
            found[path.stem, variant or name] = (scripts[variant or name], code[1] if code else "")
    assert len(found) > 50
    assert {rule: pair for rule, pair in found.items() if pair[0] != pair[1]} == {}


FULL = """
import os, torch.nn as nn
from . import beside
from ..above import one, two as three
def function():
    from icmbench.inner import value
    importlib.import_module("by.name")
    importlib.import_module(name)
    return [sys.executable, "-m", "icmbench.child", "not a.module"]
if TYPE_CHECKING:
    from icmbench import types_only
else:
    import real
LOADS = ("loaded",)
"""


def test_imports_of_a_source() -> None:
    source = read_source(FULL.encode())
    names = {(level, module, *names) for level, module, names in source.imports}
    assert names == {
        (0, "os"), (0, "torch.nn"), (1, "", "beside"), (2, "above", "one", "two"),
        (0, "icmbench.inner", "value"), (0, "by.name"), (0, "real"), (0, "loaded"),
    }  # fmt: skip
    assert source.named == ("by.name", "icmbench.child")
    assert source.beside == ()  # no __file__


@pytest.mark.parametrize(
    ("text", "counts"),
    [
        ("# note\nx = 1\n\n\ndef f(a):\n    return a\n", False),
        ('"""Module."""\nx = (1)\ndef f(a):\n    """Doc."""\n    return (a)', False),
        ("x = 1\n'about x'\ndef f(a): return a", False),
        ("x = 1\nif TYPE_CHECKING:\n    import y\ndef f(a): return a", False),
        ("x = 2\ndef f(a): return a", True),
        ("x = 1\ndef f(b): return b", True),
        ("x = 1\ndef f(a): return -a", True),
        ("x = '1'\ndef f(a): return a", True),
        ("x = 1.0\ndef f(a): return a", True),
        ("def f(a): return a\nx = 1", True),
    ],
)
def test_what_counts_in_a_source(text: str, counts: bool) -> None:
    plain = read_source(b"x = 1\ndef f(a): return a")
    assert (read_source(text.encode()).digest != plain.digest) == counts


def test_a_closure_follows_every_import(tmp_path: Path) -> None:
    """Packages around a module, relative imports, imports in functions, children, loose files."""
    files = {
        "__init__.py": "",
        "a/__init__.py": "from icmbench import around",
        "a/start.py": "from . import near\ndef f():\n    from ..b.far import value",
        "a/near.py": "import numpy.linalg, nowhere\nchild = 'icmbench.child'",
        "b/__init__.py": "",
        "b/far.py": "import os\nvalue = 1",
        "around.py": "",
        "child.py": "if TYPE_CHECKING:\n    from icmbench import other",
        "other.py": "import torch",
    }
    for name, text in files.items():
        path = tmp_path / "icmbench" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    code = Code(package=tmp_path / "icmbench")
    closure = code.closure(["icmbench.a.start"])
    names = ("", ".a", ".a.near", ".a.start", ".around", ".b", ".b.far", ".child")
    assert closure.modules == tuple(f"icmbench{name}" for name in names)
    assert closure.packages == ("nowhere", "numpy")
    assert code.fingerprint(["icmbench.a.start"])[1] == "nowhere not installed"
    with pytest.raises(ModuleNotFoundError, match=r"icmbench\.absent"):
        code.closure(["icmbench.absent"])


def test_what_runs_write_beside_the_code_does_not_count(tmp_path: Path) -> None:
    """In a fresh clone the first run compiles: a second start must have nothing to do."""
    package = tmp_path / "icmbench"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "start.py").write_text(
        "from pathlib import Path\n"
        "place = Path(__file__).parent / '__pycache__'\n"
        "page = Path(__file__).parent / 'pages'\n",
        encoding="utf-8",
    )
    (package / "pages" / "__pycache__").mkdir(parents=True)
    (package / "pages" / "page.html").write_text("1")
    before = Code(package=package).fingerprint(["icmbench.start"])
    for folder in (package / "__pycache__" / "numba", package / "pages" / "__pycache__"):
        folder.mkdir(parents=True, exist_ok=True)
        for name in ("a.cpython-311.pyc", "a.nbi", "a.1.nbc"):
            (folder / name).write_bytes(b"machine code")
    assert Code(package=package).fingerprint(["icmbench.start"]) == before
    (package / "pages" / "page.html").write_text("2")
    assert Code(package=package).fingerprint(["icmbench.start"]) != before


def test_a_plug_in_may_lie_in_a_namespace_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The folder around it has no file and may have a part elsewhere, which another brings."""
    for path, text in {
        "first/shared_space/other.py": "",
        "second/shared_space/codec.py": "import shared_space.near\nvalue = 1",
        "second/shared_space/near.py": "value = 1",
    }.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text, encoding="utf-8")
    for part in ("second", "first"):
        monkeypatch.syspath_prepend(str(tmp_path / part))
    before = Code().closure(["shared_space.codec"])
    assert before.modules == ("shared_space.codec", "shared_space.near")
    near = tmp_path / "second/shared_space/near.py"
    near.write_text("value = 2", encoding="utf-8")
    assert Code().closure(["shared_space.codec"]).digest != before.digest


@pytest.mark.parametrize("of_a_module", [False, True])
def test_a_plug_in_may_import_the_main_program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, of_a_module: bool
) -> None:
    """What runs the plan is no source of the plug-in; a script has no spec, `-m` has one."""
    (tmp_path / "odd_codec.py").write_text("import __main__\n", encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    spec = importlib.util.find_spec("pytest") if of_a_module else None
    monkeypatch.setattr(sys.modules["__main__"], "__spec__", spec)
    assert Code().closure(["odd_codec"]).modules == ("odd_codec",)


CODING_PROGRAM = """
import importlib, sys
import numpy as np
from pathlib import Path
module, name, encode, decode, models = sys.argv[1:]
codec = getattr(importlib.import_module(module), name)(models=Path(models))
image = (np.arange(64 * 64 * 3) % 251).astype(np.uint8).reshape(64, 64, 3)
codec.decode(codec.encode(image, **eval(encode)), **eval(decode))
print(*sorted(m for m in sys.modules if m.split(".")[0] == "icmbench"))
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("codec", "encode", "decode"),
    [("webp", "{'quality': 20}", "{}"), ("mpd", "{}", "{}"), ("diff-icmh", "{}", "{'steps': 2}")],
)
def test_a_codec_loads_no_module_outside_its_closure(codec: str, encode: str, decode: str) -> None:
    """An independent account: Python's own list of what was imported when an image was coded."""
    cls = registry.codec_class(codec)
    done = subprocess.run(
        [sys.executable, "-c", CODING_PROGRAM, cls.__module__, cls.__name__, encode, decode,
         str(ROOT / "icmbench" / "weights")],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    loaded = set(done.stdout.split())
    assert cls.__module__ in loaded
    assert loaded - set(Code().closure([cls.__module__]).modules) == set()


@pytest.mark.parametrize("codec", ["mpd", "diff-icmh"])
def test_a_decoder_depends_on_no_training_and_no_data_set(codec: str) -> None:
    """A decoder's closure holds coding and networks alone: no training, downloader, metric, figure.

    The classifier is one of MPD's encoder, whose module is the decoder's.
    """
    closure = Code().closure([registry.codec_class(codec).__module__])
    names = [module.split(".")[1:] for module in closure.modules if "." in module]
    assert {name[0] for name in names} <= {"core", "classifier", "bitstream", "models", "codecs"}
    assert not {"training", "importing", "download"} & {part for name in names for part in name}


def test_a_compiled_plug_in_counts_by_its_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A module without source, as an extension in C is; another build is another fingerprint."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def build(text: str) -> list[str]:
        source = tmp_path / "made" / "sourceless.py"
        source.parent.mkdir(exist_ok=True)
        source.write_text(text, encoding="utf-8")
        mode = py_compile.PycInvalidationMode.UNCHECKED_HASH  # its bytes hold no time
        target = str(tmp_path / "sourceless.pyc")
        py_compile.compile(str(source), cfile=target, doraise=True, invalidation_mode=mode)
        importlib.invalidate_caches()
        return Code(None).fingerprint(["sourceless"])

    one = build("VALUE = 1\n")
    assert build("VALUE = 2\n") != one
    assert build("VALUE = 1\n") == one
    with pytest.raises(ModuleNotFoundError, match="neither a Python source nor a compiled"):
        Code(None).closure(["not_there_at_all"])


@pytest.mark.parametrize(
    "script", ["encode", "decode", "measure", "predict", "rd_tables", "rate_figures", "report"]
)
def test_a_new_source_changes_no_measurement(script: str) -> None:
    """The lists of published files and their download are no part of coding, measuring, tables."""
    modules = Code().closure([str(ROOT / "workflow_scripts" / f"{script}.py")]).modules
    assert modules
    assert not [name for name in modules if name.startswith("icmbench.sources")]
    assert "icmbench.datasets.base" not in modules
