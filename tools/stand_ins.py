"""Decode a run's streams as other machines would: stand-ins, by the commands that a user types.

    python tools/stand_ins.py results                             all streams of a finished run
    python tools/stand_ins.py results --dataset photos --codec mpd --codec webp

Packs the run, unpacks it once per stand-in, decodes with `snakemake` and verifies. The tables are
`<results>/verification/stand-in-*.csv`, so the next run of the workflow shows them in
robustness.csv; remove them there if that is not wanted.

    same         nothing is changed
    threads      two threads instead of one: sums are split among them
    mkldnn       oneDNN off: other convolution kernels
    old-cpu      kernels without AVX in torch, oneDNN, MKL and OpenBLAS, libjpeg-turbo without SIMD
    float64      convolutions in float64, their results rounded to float32: nearest to exact
"""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path

from icmbench.core.processes import run_python

ROOT = Path(__file__).resolve().parent.parent
# Python runs a module of this name when it starts; only the processes that run codecs are changed.
HOOK = """
import os, sys

if "icmbench.evaluation.worker" in sys.orig_argv:
    import torch

    if os.environ["STAND_IN"] == "mkldnn":
        torch.backends.mkldnn.enabled = False
    else:
        narrow = torch.nn.functional.conv2d

        def conv2d(input, weight, bias=None, *given, **named):
            wide = [None if t is None else t.double() for t in (input, weight, bias)]
            return narrow(*wide, *given, **named).to(input.dtype)

        torch.nn.functional.conv2d = conv2d
"""
HOOKED = ("mkldnn", "float64")
STAND_INS: dict[str, dict[str, str]] = {
    "same": {},
    "threads": {"OMP_WAIT_POLICY": "passive"},  # a busy machine: threads that wait must not spin
    "mkldnn": {},
    "old-cpu": {
        "ATEN_CPU_CAPABILITY": "default",
        "DNNL_MAX_CPU_ISA": "SSE41",
        "MKL_ENABLE_INSTRUCTIONS": "SSE4_2",
        "OPENBLAS_CORETYPE": "Nehalem",
        "JSIMD_FORCENONE": "1",
    },
    "float64": {},
}


def main() -> None:
    """Pack, and for every stand-in unpack, decode, verify."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("results", type=Path, help="the folder of a finished run")
    parser.add_argument("--dataset", action="append", default=[], help="only this one; repeat")
    parser.add_argument("--codec", action="append", default=[], help="only this entry; repeat")
    parser.add_argument("--stand-in", action="append", choices=list(STAND_INS), default=[])
    given = parser.parse_args()
    chosen = [f"--{k}={name}" for k in ("dataset", "codec") for name in getattr(given, k)]
    with tempfile.TemporaryDirectory(prefix="icmbench-") as scratch:
        folder = Path(scratch)
        (folder / "hook").mkdir()
        (folder / "hook" / "sitecustomize.py").write_text(HOOK, encoding="utf-8")
        packed = folder / "streams.tar"
        icmbench("pack", given.results, "--out", packed, *chosen)
        for name in given.stand_in or STAND_INS:
            print(f"\n{name}", flush=True)
            there = folder / name
            icmbench("unpack", packed, "--to", there)
            decode(name, there, folder / "hook")
            icmbench("verify", given.results, there / "decoded.tar", "--name", f"stand-in-{name}")


def decode(name: str, there: Path, hook: Path) -> None:
    """Command lines of a user there, with the stand-in's environment."""
    environment = {"STAND_IN": name, **STAND_INS[name]}
    if name in HOOKED:
        paths = filter(None, (str(hook), os.environ.get("PYTHONPATH")))
        environment["PYTHONPATH"] = os.pathsep.join(paths)
    command = ["-m", "snakemake", "--snakefile", str(ROOT / "Snakefile"), "--quiet", "all"]
    command += [
        "--cores",
        "1",
        "--directory",
        str(there),
        "--configfile",
        str(there / "config.yaml"),
    ]
    command += ["--config", "device=cpu", f"threads={1 + (name == 'threads')}"]
    run_python(*command, changes=environment)


def icmbench(*arguments: object) -> None:
    """A subcommand."""
    run_python("-m", "icmbench", *arguments)


if __name__ == "__main__":
    main()
