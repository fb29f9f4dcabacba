"""`snakemake`, asking after its Slurm jobs every second, and squeue alone.

The plugin asks more and more rarely while no job ends, up to every three minutes. That is right for
a cluster, and most of the time that small jobs would take. And if `scontrol` is slow to answer
once, it turns to sacct, which knows nothing where there is no accounting: it would wait for ever.
"""

import sys

import snakemake_executor_plugin_slurm as plugin
from snakemake.cli import main

plugin.Executor.next_seconds_between_status_checks = property(lambda _: 1, lambda *_: None)
plugin.is_query_tool_available = lambda tool: tool != "sacct"

if __name__ == "__main__":
    sys.exit(main())
