"""Tables of a run, each derived from measurements."""
