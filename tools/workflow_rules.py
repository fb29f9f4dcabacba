"""The rules of the workflow that run a script, read from the rule files."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

RULES: Final = Path(__file__).resolve().parent.parent / "rules"
NO_TASKS: Final = {"decoded"}  # rules of runs that have no tasks: those of packed.smk


@dataclass(frozen=True)
class Rule:
    """A rule that runs a script.

    `environments`: those that it names; a second one is for runs without tasks.
    """

    name: str
    file: str
    environments: tuple[str, ...]
    script: Path

    def uses(self) -> list[tuple[str, bool]]:
        """Its environments, and for each whether its script looks at tasks there."""
        tasks = self.name not in NO_TASKS
        return list(zip(self.environments, (tasks, False), strict=False))


def workflow_rules(folder: Path = RULES) -> list[Rule]:
    """Every rule of a folder of rule files that runs a script, in the order of the files."""
    found = []
    for path in sorted(folder.glob("*.smk")):
        parts = re.split(r"^ *rule (\w+):\n", path.read_text("utf-8"), flags=re.MULTILINE)
        for name, body in zip(parts[1::2], parts[2::2], strict=True):
            script = re.search(r'^ *script:\n +"(.+)"', body, re.MULTILINE)
            conda = re.search(r"^ *conda:\n(.+)", body, re.MULTILINE)
            if script:
                named = re.findall(r'"\.\./envs/(\w+)\.yaml"', conda[1]) if conda else []
                file = (folder / script[1]).resolve()
                found.append(Rule(name, path.name, tuple(named), file))
    return found
