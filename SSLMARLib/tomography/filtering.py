"""The filter of FBP: a weight on each bin, then a convolution along the detector, done by FFT."""

import math

import numpy
import torch

from .geometry import FanBeamGeometry

INTERPOLATION_SHARPENING = 0.5  # see ramp_kernel: a quarter of what full compensation would be, chosen on real slices
FFT_LENGTH_STEP = 64  # multiples of it are fast


class RowFilter:
    """filtered = kernel * (weights sinogram), along the last axis, and its exact adjoint.

    kernel: (bins,) a symmetric convolution kernel at distances 0 to bins - 1; weights: (bins,), applied before it.
    """

    def __init__(self, kernel: numpy.ndarray, weights: numpy.ndarray, dtype: torch.dtype, device):
        bins = len(kernel)
        shortest = 2 * bins - 1  # so that the ends of the detector do not meet
        self.length = -(-shortest // FFT_LENGTH_STEP) * FFT_LENGTH_STEP
        circular = numpy.zeros(self.length)
        circular[:bins] = kernel
        circular[self.length - bins + 1 :] = kernel[:0:-1]
        self.bins = bins
        self.response = torch.from_numpy(numpy.fft.rfft(circular).real).to(device=device, dtype=dtype)
        self.weights = torch.from_numpy(numpy.array(weights, dtype=float)).to(device=device, dtype=dtype)

    def apply(self, sinogram: torch.Tensor) -> torch.Tensor:
        """(..., bins) -> (..., bins)"""
        return self._convolve(sinogram * self.weights)

    def apply_adjoint(self, sinogram: torch.Tensor) -> torch.Tensor:
        """The exact adjoint of `apply`: (..., bins) -> (..., bins)"""
        return self._convolve(sinogram) * self.weights

    def _convolve(self, rows: torch.Tensor) -> torch.Tensor:
        spectrum = torch.fft.rfft(rows, n=self.length) * self.response
        return torch.fft.irfft(spectrum, n=self.length)[..., : self.bins]


def fan_beam_filter(geometry: FanBeamGeometry, dtype: torch.dtype = torch.float32, device="cpu") -> RowFilter:
    """The filter of exact fan-beam FBP.

    Cosine weight R / sqrt(R^2 + u^2), band-limited ramp of Ramachandran and Lakshminarayanan sampled at the bins, the step
    of the views and the 1/2 of a full turn in one (Kak and Slaney 1988, equations 61 and 178 to 184). u is the bin's position
    scaled to the axis, in cm. See `ramp_kernel` for the sharpening.
    """
    bins, radius_cm = geometry.bins, geometry.source_radius_cm
    step_cm = geometry.bin_width_cm / geometry.magnification
    position_cm = (numpy.arange(bins) - (bins - 1) / 2) * step_cm
    cosine = radius_cm / numpy.hypot(radius_cm, position_cm)
    return RowFilter(ramp_kernel(bins) * math.pi / (geometry.views * step_cm), cosine, dtype, device)


def ramp_kernel(bins: int, sharpening: float = INTERPOLATION_SHARPENING) -> numpy.ndarray:
    """The band-limited ramp for a bin distance of 1, at distances 0 to bins - 1; float64 (bins,).

    Linear interpolation between bins, which follows in the backprojection, damps the frequency f (cycles per bin) by sinc(f)^2. The
    ramp is divided by sinc(f)^sharpening to make up for a part of that: 0 is the plain ramp, 2 all of it, which amplifies noise.
    """
    length = 1 << (8 * bins).bit_length()  # so long that its copies do not reach each other
    distance = numpy.fft.fftfreq(length, 1 / length)
    odd = distance % 2 != 0
    ramp = numpy.zeros(length)
    ramp[0] = 0.25
    ramp[odd] = -1 / (numpy.pi * distance[odd]) ** 2
    response = numpy.fft.fft(ramp).real / numpy.sinc(numpy.fft.fftfreq(length)) ** sharpening
    return numpy.fft.ifft(response).real[:bins]
