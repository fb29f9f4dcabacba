"""Rules of the test suite itself: absent official files, and markers."""

from __future__ import annotations

from pathlib import Path

import official
import pytest
from _pytest.outcomes import Failed, Skipped


@pytest.mark.parametrize(("required", "outcome"), [("0", Skipped), ("1", Failed)])
def test_absent_files_skip_or_fail(
    required: str, outcome: type[BaseException], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ICMBENCH_REQUIRE_SHARED", required)
    official.check([tmp_path])
    with pytest.raises(outcome, match=r"gone.* ICMBENCH_SHARED"):
        official.check([tmp_path, tmp_path / "gone"])
