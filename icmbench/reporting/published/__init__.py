"""Published points: rates and qualities that others measured, and their overlay on a run's own."""
