"""The parent's side of a codec process: time limits, restarts, failures as values."""

from __future__ import annotations

import contextlib
import logging
import os
import select
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from types import TracebackType
from typing import Any

from icmbench.core.errors import IcmbenchError, ProgramCrashed
from icmbench.core.processes import die_with_parent, signal_name, start_python
from icmbench.core.progress import hold
from icmbench.evaluation import worker

log = logging.getLogger(__name__)

START_SECONDS = 900.0  # loading a large model from a slow disk
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


class Failed(IcmbenchError):
    """A request failed: `code` is failed, timeout or crashed; the text says why.

    `typed`: the codec raised an error of `icmbench.core.errors`, on purpose.
    """

    def __init__(self, code: str, detail: str, *, typed: bool = False) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail
        self.typed = typed


@dataclass(frozen=True)
class Setup:
    """Start parameters of a codec process.

    Attributes:
        codec: codec name.
        models: folder of trained weights.
        device: cpu, cuda or auto.
        threads: threads of numerical libraries.
        seconds: time limit of one request.
        warm_up: keys of a point to run once before anything is timed.
        decodes: whether the warm-up decodes, too; what only encodes need not load a decoder.
        definition: of a codec that is made of one.
    """

    codec: str
    models: Path | None = None
    device: str = "cpu"
    threads: int = 1
    seconds: float = 120.0
    warm_up: Mapping[str, Any] | None = None
    decodes: bool = True
    definition: Mapping[str, Any] | None = None


class CodecProcess:
    """A codec in a child process; use as a context manager.

    `device` is the one in use, "" until it is known. `start_s` is what process start, model load
    and warm-up took, the first time. Starting and compiling (`compile_s`) are no part of time
    limits, rates and forecasts.
    """

    def __init__(self, setup: Setup) -> None:
        self.setup = setup
        self.start_s = 0.0
        self.compile_s = 0.0
        self.device = "" if setup.device == "auto" else setup.device
        self._process: subprocess.Popen[bytes] | None = None
        self._scratch: tempfile.TemporaryDirectory[str] | None = None
        self._unusable: Failed | None = None
        self._warm = setup.warm_up is None

    @property
    def running(self) -> bool:
        """True where the process was started and has not ended."""
        return self._process is not None

    def __enter__(self) -> CodecProcess:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def call(
        self, do: str, keys: Sequence[tuple[str, Any]], images: int = 1, **what: Any
    ) -> dict[str, Any]:
        """Answer of a request (see `worker.handle`) that concerns a number of images.

        Raises Failed: `timeout` and `crashed` end the process, and the next call starts another.
        A codec that cannot even be loaded fails every call with the same reason.
        """
        if self._process is None:
            self._start()
        request = {"do": do, "keys": dict(keys), **what}
        answer = self._exchange(request, images * self.setup.seconds)
        if "error" in answer:
            text = f"{answer['error']}: {answer['detail']}"
            code = "crashed" if answer["error"] == ProgramCrashed.__name__ else "failed"
            raise Failed(code, text, typed=answer["typed"])
        return answer

    @property
    def _runs_programs(self) -> bool:
        """True where the process leads a group of its own, so that its programs end with it.

        Others stay in the job's group, by which a cluster may count a job's memory.
        """
        return self.setup.definition is not None

    def stop(self) -> None:
        """End the child process with the programs that it runs, and remove their files."""
        if self._process is not None:
            if self._runs_programs:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(self._process.pid, signal.SIGKILL)
            self._process.kill()
            self._process.wait()
            for pipe in (self._process.stdin, self._process.stdout):
                with contextlib.suppress(BrokenPipeError):
                    assert pipe is not None
                    pipe.close()
            self._process = None
        if self._scratch is not None:
            self._scratch.cleanup()
            self._scratch = None

    def _start(self) -> None:
        begin, compiled = time.perf_counter(), self.compile_s
        self._load()
        if not self._warm:
            self._warm = True
            try:
                request = {
                    "do": "warm-up",
                    "keys": self.setup.warm_up,
                    "decode": self.setup.decodes,
                }
                self._exchange(request, self.setup.seconds)
            except Failed as failure:
                # A hang or a crash on the small image says nothing about the images.
                log.warning("warm-up of %s: %s", self.setup.codec, failure.detail)
                self._load()
        taken = time.perf_counter() - begin - (self.compile_s - compiled)
        hold(taken)  # `_answer` does so for what was compiled
        self.start_s = self.start_s or taken

    def _load(self) -> None:
        if self._unusable is not None:
            raise self._unusable
        self._scratch = tempfile.TemporaryDirectory(prefix="icmbench-", ignore_cleanup_errors=True)
        self._process = start_python(
            "-m",
            worker.__name__,
            changes={
                **dict.fromkeys(_THREADS, str(self.setup.threads)),
                "TMPDIR": self._scratch.name,
            },
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            preexec_fn=die_with_parent,
            process_group=0 if self._runs_programs else None,
        )
        first = {
            "codec": self.setup.codec,
            "models": self.setup.models,
            "device": self.setup.device,
            "threads": self.setup.threads,
            "definition": self.setup.definition,
        }
        try:
            answer = self._exchange(first, START_SECONDS)
            if "error" in answer:
                text = f"the codec does not load: {answer['error']}: {answer['detail']}"
                raise Failed("failed", text, typed=answer["typed"])
        except Failed as failure:
            self.stop()
            self._unusable = failure
            raise
        self.device = answer["device"]

    def _exchange(self, message: dict[str, Any], seconds: float) -> dict[str, Any]:
        process = self._process
        assert process is not None
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            worker.send(process.stdin, message)
            answer = self._answer(process, seconds)
        except BrokenPipeError:
            answer = None
        if answer is None:
            code = process.wait()
            self.stop()
            how = f"signal {signal_name(-code)}" if code < 0 else f"exit code {code}"
            raise Failed("crashed", f"the codec's process ended with {how}")
        return answer

    def _answer(self, process: subprocess.Popen[bytes], seconds: float) -> dict[str, Any] | None:
        """The process's answer to a request, None where it died; Failed after the time limit.

        While it compiles, the limit is that of a start.
        """
        assert isinstance(process.stdout, BufferedReader)
        pipe = process.stdout.raw  # what a buffer holds is no more in the pipe that is waited for
        left = seconds
        while True:
            begin = time.monotonic() - _kept_waiting(process.pid)
            if not _answers(process, left):
                break
            answer = worker.receive(pipe)
            if answer is None or "compiling" not in answer:
                return answer
            left -= time.monotonic() - _kept_waiting(process.pid) - begin
            begin = time.monotonic()
            if not _answers(process, START_SECONDS):
                break
            answer = worker.receive(pipe)
            if answer is None:
                return None
            self.compile_s += time.monotonic() - begin
            hold(time.monotonic() - begin)
        self.stop()
        raise Failed("timeout", f"no answer within {seconds:g} s")


def _answers(process: subprocess.Popen[bytes], seconds: float) -> bool:
    """Wait until a process writes to its output; False after `seconds` of run time.

    Time that the process waited for a processor does not count: on a machine that other jobs
    share, images would otherwise fail by the time limit.
    """
    assert process.stdout is not None
    end = time.monotonic() + seconds - _kept_waiting(process.pid)
    while (left := end + _kept_waiting(process.pid) - time.monotonic()) > 0:
        if select.select([process.stdout], [], [], left)[0]:
            return True
    return False


def _kept_waiting(pid: int) -> float:
    """Seconds that a process was ready to run and had no processor; 0 where nobody counts them."""
    try:
        return int(Path(f"/proc/{pid}/schedstat").read_text(encoding="utf-8").split()[1]) / 1e9
    except (OSError, IndexError):
        return 0.0
