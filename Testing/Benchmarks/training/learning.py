"""How SliceNet and MetalNet learn: AdamW, a rate that falls as a cosine over a given time, and a moving average of the weights."""

from __future__ import annotations

import math

import torch

from SSLMARLib.networks.weights import load_network

WARM_UP_STEPS, LEAST_SHARE_OF_RATE = 100, 0.02
LARGEST_GRADIENT, LONGEST_MEMORY = 1.0, 0.998


class Learner:
    """network: what learns. average: the mean of its latest weights, which is validated and saved. step: how many were made."""

    def __init__(self, untrained, start: str | None, device, rate: float):
        """untrained: the network; or with `start`, weights of its class to go on from, those."""
        network = untrained
        if start:
            network = load_network(type(untrained), start)[0].float().train().requires_grad_(True)
        self.network = network.to(device, memory_format=torch.channels_last)
        self.average = type(untrained)(**network.options).to(device)
        self.average.load_state_dict(network.state_dict())
        self.step, self._rate = 0, rate
        self._optimizer = torch.optim.AdamW(self.network.parameters(), lr=rate, betas=(0.9, 0.99), weight_decay=1e-4)

    def learn(self, loss, share: float) -> None:
        """One step down the gradient of a loss; share: of the time that has passed, 0 to 1."""
        falling = (0.5 - LEAST_SHARE_OF_RATE / 2) * (1 + math.cos(math.pi * share)) + LEAST_SHARE_OF_RATE
        self._optimizer.param_groups[0]["lr"] = self._rate * min(1, (self.step + 1) / WARM_UP_STEPS) * falling
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()
        if torch.isfinite(torch.nn.utils.clip_grad_norm_(self.network.parameters(), LARGEST_GRADIENT)):
            self._optimizer.step()
        self.step += 1
        for mean, now in zip(self.average.parameters(), self.network.parameters(), strict=True):
            mean.data.lerp_(now.data, 1 - min(LONGEST_MEMORY, self.step / (self.step + 9)))

    def weights(self) -> dict:
        """The average in half precision."""
        return {name: tensor.half() for name, tensor in self.average.state_dict().items()}
