# The papers' figures and tables as targets: `snakemake --cores all figure_mpd_2`. Each is there in
# every run; one that the run's configuration cannot make says what it lacks, before anything runs.

from icmbench.config.targets import paper_items

# Files of an item, or an input function whose error names the missing part of the configuration.
PAPER = {
    item.target: refusal(lacks) if lacks else plan.results_of(item.rules)
    for item, lacks in paper_items(run)
}


rule figure_mpd_2:
    """MPD, figure 2: taps of the VGG for one patch, and their Fourier magnitudes."""
    input:
        PAPER["figure_mpd_2"],
    localrule: True


rule figure_mpd_4:
    """MPD, figure 4: distortion against the number of clusters, typical patches of the clusters."""
    input:
        PAPER["figure_mpd_4"],
    localrule: True


rule figure_mpd_5:
    """MPD, figure 5: palette hierarchy of an image, state by state."""
    input:
        PAPER["figure_mpd_5"],
    localrule: True


rule figure_diff_icmh_3:
    """Diff-ICMH, figure 3: distance of a backbone's features between original and reconstruction, by depth."""
    input:
        PAPER["figure_diff_icmh_3"],
    localrule: True


rule rd_curves:
    """MPD and Diff-ICMH, RD curves: image metrics against rate, BD-rates."""
    input:
        PAPER["rd_curves"],
    localrule: True


rule task_curves:
    """MPD and Diff-ICMH, task curves: accuracy of the machine tasks against rate."""
    input:
        PAPER["task_curves"],
    localrule: True


rule paper_mpd:
    """MPD, all of the above, visual comparison, ablation: the paper's results."""
    input:
        PAPER["paper_mpd"],
    localrule: True


rule paper_diff_icmh:
    """Diff-ICMH, all of the above, visual comparison, ablation, complexity: the paper's results."""
    input:
        PAPER["paper_diff_icmh"],
    localrule: True
