"""Training that can be killed: images in memory, one loop, checkpoints, losses as a table."""
