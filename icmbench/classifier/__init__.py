"""EfficientNet-Lite0, the published classifier that metrics, a task, a guide and tags share."""
