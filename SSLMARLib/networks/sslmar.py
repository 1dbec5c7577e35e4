"""SinoNet and ImgNet together, in the sizes that are trained."""

from contextlib import nullcontext

import torch
from torch import nn

from ..errors import InputError
from .imgnet import ImgNet
from .sinonet import SinoNet

SIZES = {  # of SinoNet and of ImgNet
    "paper": ({"channels": 64, "stem": 1}, {"channels": 32, "stem": 1}),  # ImgNet has half of SinoNet's channels (Yu et al., II-A)
    "small": ({"channels": 16, "stem": 2, "residual": True}, {"channels": [48, 64, 96, 128], "stem": 2, "residual": True}),
}


class SSLMARNetwork(nn.Module):
    """Both networks. size: one of SIZES; sinogram_network, image_network: options of SinoNet and ImgNet that differ from it.

    autocast: torch.bfloat16 lets the networks compute in it, float32 results come back; None for float32 throughout.
    """

    title = "SSLMAR"

    def __init__(self, size: str = "small", sinogram_network: dict | None = None, image_network: dict | None = None):
        super().__init__()
        if size not in SIZES:
            raise InputError(f"There is no network of size {size!r}: choose one of {', '.join(SIZES)}.")
        sinogram_options, image_options = SIZES[size]
        self.sinogram_network = SinoNet(**{**sinogram_options, **(sinogram_network or {})})
        self.image_network = ImgNet(**{**image_options, **(image_network or {})})
        self.options = {"sinogram_network": self.sinogram_network.options, "image_network": self.image_network.options}
        self.autocast: torch.dtype | None = None

    def complete(self, interpolated_sinogram: torch.Tensor, trace: torch.Tensor) -> torch.Tensor:
        """S_sn of eq. 2, (slices, views, bins)."""
        with self._precision(interpolated_sinogram.device):
            return self.sinogram_network(interpolated_sinogram, trace)

    def refine(self, image: torch.Tensor, further=None) -> torch.Tensor:
        """X_out of eq. 5, (slices, rows, columns) in 1/cm. further: what `image_network.further_inputs` names."""
        with self._precision(image.device):
            return self.image_network(image, further)

    def _precision(self, device: torch.device):
        return torch.autocast(device.type, dtype=self.autocast) if self.autocast is not None else nullcontext()
