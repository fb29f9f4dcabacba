"""Machine vision on what was decoded: models that see pictures, and what their answers are worth."""
