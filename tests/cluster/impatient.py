"""`snakemake`, asking after its Slurm jobs every second.

The plugin asks more and more rarely while no job ends, up to every three minutes. That is right for
a cluster, and most of the time that small jobs would take.
"""

import sys

from snakemake.cli import main
from snakemake_executor_plugin_slurm import Executor

Executor.next_seconds_between_status_checks = property(lambda self: 1, lambda self, value: None)

if __name__ == "__main__":
    sys.exit(main())
