"""Parts that every trained model shares: weight files, the latent autoencoder, tiling, norms."""
