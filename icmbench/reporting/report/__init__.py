"""The report, provenance, and the verdict on a run."""
