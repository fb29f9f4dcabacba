"""The embedded stream of MPD: contexts, sections, coder."""
