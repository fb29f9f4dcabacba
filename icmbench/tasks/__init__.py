"""Machine tasks: predictions of task models on reconstructions, and their scores."""
