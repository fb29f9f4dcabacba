"""Networks of MPD: reverse process, contrastive features, descriptors."""
