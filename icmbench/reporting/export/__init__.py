"""A run's numbers in the formats of others' programs."""
