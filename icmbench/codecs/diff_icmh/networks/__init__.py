"""Networks of Diff-ICMH: LFGCM, control network, prior, tagger."""
