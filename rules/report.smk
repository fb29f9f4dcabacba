# The report: one page with all tables and figures. Then the exit status of the run.

from icmbench.core.follow_logs import print_at_exit
from icmbench.reporting.captions import write_captions
from icmbench.reporting.catalogue import CATALOGUE

VERDICT_LINE = Path(run.config["results"]) / "logs" / "verdict.txt"

if workflow.is_main_process:
    write_captions(CATALOGUE)


rule report:
    input:
        # `report` marks them for `snakemake --report`.
        tables=[report(file, **words) for file, words in plan.reported("table")],
        comparison="<results>/tables/comparison.json",
        provenance="<results>/provenance.json",
        manifests=expand("<results>/datasets/{dataset}/manifest.csv", dataset=run.datasets),
        annotations=[f"<results>/{one.path}" for one in plan.made("data", rule="annotations")],
        figures=[report(file, **words) for file, words in plan.reported("figure")],
        viewers=plan.files_of("visual_comparison", "data"),
    output:
        report="<results>/report.html",
    log:
        "<logs>/report.log",
    benchmark:
        "<benchmarks>/report/all.tsv"
    conda:
        "../envs/reporting.yaml"
    params:
        code=code_of("report"),
        config=run.config,
        units=plan.units(),
        notices=list(run.notices),
        unavailable=dict(run.unavailable),
        names=curve_names(run),
        texts={
            "tables": [vars(one.text) for one in plan.made("table")],
            "figures": [vars(one.text) for one in plan.made("figure")],
        },
    script:
        "../workflow_scripts/report.py"


# The last job, with everything as its input. Its output is written only where the run passes, so
# that a run without results fails again when it is started again.
rule check_results:
    input:
        plan.finished("check_results"),
        tables=expand(
            "<results>/tables/{name}.csv", name=["rd", "failures"] + ["tasks"] * bool(run.tasks)
        ),
        manifests=expand("<results>/datasets/{dataset}/manifest.csv", dataset=run.datasets),
    output:
        verdict="<results>/verdict.json",
    log:
        "<logs>/check_results.log",
    retries: 0
    localrule: True
    conda:
        "../envs/reporting.yaml"
    params:
        code=code_of("check_results"),
        fail_on=run.config["fail_on"],
        split=run.config["split"],
        units=plan.units(),
        task_sets={name: run.config["tasks"][name]["datasets"] for name in run.tasks},
        line=str(VERDICT_LINE),
    script:
        "../workflow_scripts/check_results.py"


onstart:
    VERDICT_LINE.unlink(missing_ok=True)


# Snakemake prints its own closing lines after these handlers: ours is printed at exit.
onsuccess:
    print_at_exit(VERDICT_LINE)


onerror:
    print_at_exit(VERDICT_LINE)
