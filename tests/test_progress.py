"""Progress: lines of a log with what is done and what is left, at a fixed pace; else silence."""

from __future__ import annotations

import logging

import pytest

from icmbench.core import progress as module
from icmbench.core.progress import progress


class Clock:
    """Time that passes only when it is told to."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(module._lines(), "_time", made, raising=False)
    return made


def taken(
    clock: Clock, caplog: pytest.LogCaptureFixture, seconds: float, items: int = 100
) -> list[str]:
    """The lines of a loop whose steps take so long."""
    bar = progress(range(items), desc="decode webp", unit="stream")
    bar._time = clock
    bar.start_t = bar.last_print_t = clock.now
    with caplog.at_level(logging.INFO):
        for _ in bar:
            clock.now += seconds
    return [record.getMessage() for record in caplog.records]


def test_long_work_says_how_far_it_is(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    """One step a second: a line every half minute, with the rate and the time left."""
    lines = taken(clock, caplog, 1.0)
    assert 3 <= len(lines) <= 5
    assert lines[0].startswith("decode webp: 3")
    for line in lines:
        done = int(line.split()[2])
        gone, left = line.split(", ")[2].split()[0], line.split(", ")[3].split()[0]
        assert "1.00stream/s" in line or done == 100
        assert gone == f"{done // 60:02d}:{done % 60:02d}"
        assert left == f"{(100 - done) // 60:02d}:{(100 - done) % 60:02d}"
    assert not any("\r" in line or "\x1b" in line for line in lines)


def test_short_work_leaves_nothing(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    assert taken(clock, caplog, 0.1) == []


def test_nothing_is_printed(
    clock: Clock, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """Not a terminal: what a program prints is what it is asked for."""
    taken(clock, caplog, 10.0)
    found = capfd.readouterr()
    assert (found.out, found.err) == ("", "")
