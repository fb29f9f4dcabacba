"""The latent of a controlled prediction as a mixture of the prior's and of c (ours).

Each channel of each cell has its own proportion w and a correction d::

    x_0 = w * c + (1 - w) * x_0 of the prior + d

The noise in x_t masks values that c holds exactly. Without the mixture, the control network would
have to copy c through all layers of the UNet. Both w and d are computed from c and from the
features before the UNet's output layer, which depend on x_t, its noise level and the text.
"""

from __future__ import annotations

from typing import Final

import torch

from icmbench.codecs.diff_icmh.sampling import latent_of_noise, noise_of_latent

START_OF_C: Final = 2.0  # w starts at 0.88, the sigmoid of this, everywhere


class Blend(torch.nn.Module):
    """Two hidden layers of 3 x 3; w, before its sigmoid, and d start the same everywhere."""

    def __init__(self, features: int, latent: int, hidden: int) -> None:
        super().__init__()
        self.layers = torch.nn.Sequential(
            torch.nn.Conv2d(features + latent, hidden, 3, padding=1),
            torch.nn.SiLU(),
            torch.nn.Conv2d(hidden, hidden, 3, padding=1),
            torch.nn.SiLU(),
            torch.nn.Conv2d(hidden, 2 * latent, 1),
        )
        last = self.layers[-1]
        assert isinstance(last, torch.nn.Conv2d)
        assert last.bias is not None
        torch.nn.init.zeros_(last.weight)
        torch.nn.init.zeros_(last.bias)
        torch.nn.init.constant_(last.bias[:latent], START_OF_C)

    def forward(
        self,
        features: torch.Tensor,
        c: torch.Tensor,
        x_t: torch.Tensor,
        eps: torch.Tensor,
        timesteps: torch.Tensor,
    ) -> torch.Tensor:
        """Compute the noise in x_t whose latent is the mixture of that of `eps` and of c, float32.

        Args:
            features: of the UNet before its output layer, (n, features, h, w).
            c, x_t, eps: conditioning latent, noisy latent and the prior's noise, (n, latent, h, w).
            timesteps: t, int (n,).
        """
        w, d = self.layers(torch.cat([features, c], 1)).float().chunk(2, 1)
        w = w.sigmoid()
        # At t = 0 rounding of the latent counts 34 times in the noise: compute in float32, also
        # where the networks, and with them x_t and c, are in half precision.
        x_t, c, eps = x_t.float(), c.float(), eps.float()
        latent = w * c + (1 - w) * latent_of_noise(x_t, eps, timesteps) + d
        return noise_of_latent(x_t, latent, timesteps)
