# Targets that only other configurations have: typed here, they end the planning with what they need.

from icmbench.config.targets import TABLES


def refusal(text):
    """An input function that raises."""

    def refuse(wildcards):
        raise WorkflowError(text)

    return refuse


for target, reason in ABSENT.items():

    rule:
        name:
            target
        input:
            refusal(reason),
        output:
            expand("<results>/tables/{name}.csv", name=TABLES.get(target, [])),
