"""Logs of jobs: one file per job, with everything that it and its child processes print."""

from __future__ import annotations

import contextlib
import logging
import os
import platform
import sys
from collections.abc import Iterator
from pathlib import Path

from icmbench.core.errors import IcmbenchError
from icmbench.core.processes import collect_rarely, end_quickly, print_any_text
from icmbench.core.revision import current_revision

STARTED = "start on"  # first line of a log, before the machine's name
REVISION = "revision"  # in the same line, before the revision of the code


@contextlib.contextmanager
def log_to(path: str | Path) -> Iterator[None]:
    """Send standard output, standard error and the log records of the block to a file.

    An `IcmbenchError` ends the process with one line on the real standard error; any other
    exception leaves its traceback in both. The process is made a short one (`collect_rarely`,
    `end_quickly`).
    """
    collect_rarely()
    end_quickly()  # a job's process is at its end when the block is
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    terminal = os.dup(2)
    with open(path, "w", encoding="utf-8", buffering=1) as handle:
        # The descriptors are replaced, not only sys.stderr: child processes inherit them.
        sys.stdout.flush()
        sys.stderr.flush()
        os.dup2(handle.fileno(), 1)
        os.dup2(handle.fileno(), 2)
        print_any_text("utf-8")
        logging.basicConfig(
            level=logging.INFO,
            stream=sys.stderr,
            format="%(asctime)s %(levelname)s %(message)s",
            force=True,
        )
        slurm = os.environ.get("SLURM_JOB_ID")
        where = f"{platform.node()}, Slurm job {slurm}" if slurm else platform.node()
        logging.info("%s %s, %s %s", STARTED, where, REVISION, current_revision())
        try:
            yield
        except IcmbenchError as error:
            logging.exception("failed")
            line = f"icmbench: error: {error} (log: {path})\n"
            os.write(terminal, line.encode(errors="backslashreplace"))
            raise SystemExit(error.exit_code) from error
        except Exception:
            logging.exception("failed")
            os.dup2(terminal, 2)
            raise
        finally:
            logging.info("end")
