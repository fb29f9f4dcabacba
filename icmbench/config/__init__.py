"""The configuration of a run: schema, checks, and the objects that it describes."""
