"""Machine vision on what was decoded: models that look, and what their answers are worth."""
