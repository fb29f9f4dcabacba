"""Compilation: announced once, no part of limits, seconds, rates and forecasts."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT

from icmbench.core import jit_notice as compiling
from icmbench.core import progress as progress_module
from icmbench.core.progress import hold, progress
from icmbench.core.sources import read_source
from icmbench.evaluation.codec_process import CodecProcess, Failed, Setup

IMAGE = np.zeros((8, 8, 3), np.uint8)


@pytest.mark.usefixtures("with_bad_codecs")
def test_the_time_limit_and_the_seconds_leave_compilation_out(
    capfd: pytest.CaptureFixture[str],
) -> None:
    """2.4 seconds of compilation within a limit of one; a hang still ends."""
    with CodecProcess(Setup("compiles", seconds=1)) as process:
        answer = process.call("encode", (), image=IMAGE)
        assert answer["seconds"] < 0.9
        assert 2.2 < process.compile_s < 8
        assert process.start_s > 0
    assert capfd.readouterr().err.count(compiling.ANNOUNCEMENT) == 1
    with CodecProcess(Setup("hangs", seconds=1)) as process, pytest.raises(Failed, match="within"):
        process.call("encode", (), image=IMAGE)


@pytest.mark.usefixtures("with_bad_codecs")
def test_a_warm_up_that_compiles_is_no_start_and_no_rate() -> None:
    setup = Setup("compiles", seconds=1, warm_up={})
    with CodecProcess(setup) as process:
        bar = progress(range(3), desc="encode", unit="image")
        process._start()
        assert process.compile_s > 2.2
        assert process.start_s < 30
        assert bar.format_dict["elapsed"] < 1  # nothing of the start, nothing of the compiler


def test_rates_leave_out_what_is_held() -> None:
    """Ten seconds of work after a minute of compiling are ten seconds."""
    bar = progress(range(70), desc="encode", unit="image")
    bar.start_t = bar.last_print_t = time.time() - 70
    hold(60)
    assert bar.format_dict["elapsed"] == pytest.approx(10, abs=1)
    steps = iter(bar)
    next(steps)
    bar.close()
    assert bar in progress_module._open


PROGRAM = """
from icmbench.core.jit import compiled
from icmbench.core import jit_notice as compiling

@compiled
def inner(value):
    return value * 2

@compiled
def outer(value):
    return inner(value) + 1

assert outer(3) == 7 and outer(2.5) == 6
print(compiling.seconds() > 0)
"""


def test_numba_tells_when_it_compiles(tmp_path: Path) -> None:
    """Announced by the first process, which fills the cache, and not by the second."""
    (tmp_path / "planted.py").write_text(PROGRAM)
    found = []
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, "planted.py"], cwd=tmp_path, capture_output=True, text=True,
            env={**os.environ, "NUMBA_CACHE_DIR": str(tmp_path / "cache"),
                 "PYTHONPATH": str(ROOT)}, check=True,
        )  # fmt: skip
        found.append((done.stdout.split(), done.stderr.count("compiling once")))
    assert found[0] == (["True"], 1)
    assert found[1] == (["False"], 0)


# Modules that machine code has constants of, and no compiled function.
CONSTANTS = {"models/latent.py"}


def test_machine_code_follows_every_source_that_it_holds() -> None:
    """Constants are copied into it: where a module that has some changes, its folder must."""
    from icmbench.core.jit import MODULES

    package = ROOT / "icmbench"
    texts = {path: path.read_text(encoding="utf-8") for path in package.rglob("*.py")}
    users = {path for path, text in texts.items() if "\n@compiled\n" in text}
    assert {path.relative_to(package).as_posix() for path in users} == {*MODULES} - CONSTANTS
    known = {f"icmbench.{name.removesuffix('.py').replace('/', '.')}" for name in MODULES}
    for path in users:
        found = read_source(texts[path].encode()).imports
        ours = [each for each in found if each.module.startswith("icmbench")]
        names = {
            m.module if m.module in known else f"{m.module}.{n}" for m in ours for n in m.names
        }
        assert names <= known | {"icmbench.core.jit.compiled"}, path
