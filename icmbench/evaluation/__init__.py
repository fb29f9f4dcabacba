"""The three jobs of a shard: encode, decode in a fresh process, measure."""
