"""Tables, figures and the report, derived from measurements and nothing else."""
