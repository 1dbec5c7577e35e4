"""Train PriorNet on sinograms of metal-free slices, measured with metal in the product's own fan beam. Made for a GPU with 40 GB or more.

    python Testing/Benchmarks/training/priornet.py DATA OUTPUT [--from priornet] [--seconds 560] [--device cuda] [--workers 7]

DATA is a folder of metal-free scans, as `sslmar train` reads it; three of its patients validate. OUTPUT/priornet.safetensors and its JSON
file come out, anew with each validation, and a checkpoint, from which the same command goes on. One loop: eight sinograms are simulated
and corrected as the product does and kept, then two steps learn from any eight of those kept: from the image, and from what eq. 8 makes
of it.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass, replace
from pathlib import Path

import numpy
import torch
from drawing import DrawnSlices, drawn_ahead
from learning import Course, Learner, checkpoint_path, error_of, rmse_hu, steps_before
from slicenet import masks_as_found, metal_of, random_protocol, split_patients

from SSLMARLib.ct.attenuation import attenuation_to_hu, hu_to_attenuation
from SSLMARLib.methods.base import MetalAffectedScan
from SSLMARLib.methods.prior_finish import network_inputs
from SSLMARLib.methods.sslmar import SSLMAR
from SSLMARLib.networks.slice_network import PriorNet
from SSLMARLib.simulation.physics import load_physics
from SSLMARLib.simulation.scan import simulate_scan
from SSLMARLib.sinogram.interpolation import linear_interpolation
from SSLMARLib.sinogram.trace import metal_trace, widened
from SSLMARLib.tomography.projector import get_projector
from SSLMARLib.training.slices import read_metal_free_slices

METALS = {"titanium": 0.6, "cobalt_chromium": 0.13, "stainless_steel": 0.13, "amalgam": 0.03, "gold": 0.03, "platinum": 0.03, "iron": 0.05}
CHANNELS = [48, 64, 96, 128, 160]
BATCH = 8
PIXELS_MM = (0.55, 1.1)
OWN_PIXELS, OWN_PHOTONS, OWN_VOLTAGE = 0.5, 0.5, 0.6  # shares of the batches as the benchmark's: its pixels, 2e7 photons, 120 kV
OTHER_MASK, WIDER_TRACE = 0.3, 0.25  # shares of the batches
END_TO_END = 0.7  # weight of the loss behind eq. 8


@dataclass
class Examples:
    """A batch on one device; images (slices, rows, columns) in 1/cm, trace (slices, views, bins) boolean.

    corrected: by SSLMAR without PriorNet. inputs: PriorNet's further ones. wanted: what is to be added to it. replaced_wanted: the same for
    what eq. 8 makes of it. known: where no metal is.
    """

    corrected: torch.Tensor
    inputs: dict[str, torch.Tensor]
    wanted: torch.Tensor
    replaced_wanted: torch.Tensor
    known: torch.Tensor
    trace: torch.Tensor

    def of(self, function) -> Examples:
        """The same with a function of each tensor."""
        tensors = {name: function(value) for name, value in vars(self).items() if name != "inputs"}
        return Examples(inputs={name: function(value) for name, value in self.inputs.items()}, **tensors)

    @classmethod
    def together(cls, parts) -> Examples:
        """One batch of several examples that have no axis of slices; computed with in float32."""

        def stack(tensors):
            stacked = torch.stack(list(tensors))
            return stacked if stacked.dtype == torch.bool else stacked.float()

        inputs = {name: stack(part.inputs[name] for part in parts) for name in parts[0].inputs}
        return cls(inputs=inputs, **{name: stack(getattr(part, name) for part in parts) for name in vars(parts[0]) if name != "inputs"})


@torch.no_grad()
def examples(drawn, method, projector, generator, noise, device) -> Examples:
    """A drawn batch, measured with metal and corrected."""
    truth_hu, cover, _, pixel_mm = drawn
    truth_hu, cover = truth_hu.to(device), cover.to(device, torch.float32)
    metal = metal_of(cover)
    own_pixel_cm = projector.geometry.pixel_size_cm
    pixel_cm = own_pixel_cm if generator.random() < OWN_PIXELS else pixel_mm / 10
    photons = 2e7 if generator.random() < OWN_PHOTONS else 10 ** generator.uniform(6, 7.4)
    voltage = 120.0 if generator.random() < OWN_VOLTAGE else float(generator.choice((100.0, 110.0, 130.0, 140.0)))
    protocol = replace(random_protocol(generator, METALS), photons=photons, physics=load_physics(voltage))
    image = hu_to_attenuation(truth_hu).clamp(min=0)
    scan = simulate_scan(image, metal.float(), projector, protocol, noise, pixel_size_cm=pixel_cm)
    sinogram, metal_free = (own_pixel_cm / pixel_cm * one for one in (scan.sinogram, scan.metal_free_sinogram))
    trace, mask = scan.metal_trace, metal
    if generator.random() < OTHER_MASK:
        mask = masks_as_found(attenuation_to_hu(projector.fbp(sinogram)), metal, generator)
        if generator.random() < 0.5:
            trace = metal_trace(mask, projector)
    if generator.random() < WIDER_TRACE:
        trace = widened(trace, 1)
    affected = MetalAffectedScan(sinogram, trace, mask, projector)
    corrected = projector.fbp(method.correct(affected))
    wanted = projector.fbp(metal_free) - corrected
    again = replaced(corrected, trace, projector) + projector.fbp(affected.interpolated_sinogram)
    return Examples(corrected, network_inputs(affected), wanted, corrected + wanted - again, ~metal, trace)


def replaced(image, trace, projector) -> torch.Tensor:
    """What an image (slices, rows, columns) in 1/cm adds to LI's image when its projections fill the trace (eq. 8); it is linear in it."""
    projections = projector.project(image)
    return projector.fbp(torch.where(trace, projections - linear_interpolation(projections, trace), 0.0))


@torch.no_grad()
def validate(network, batches, projector) -> dict:
    """RMSE in HU outside metal, means of the slices: uncorrected, without PriorNet, its image, and after eq. 8."""
    errors = []
    for one in batches:
        added = network(one.corrected, one.inputs)
        left = one.inputs["slice"] - one.corrected - one.wanted, one.wanted, added - one.wanted
        left = [*left, replaced(added, one.trace, projector) - one.replaced_wanted]
        errors.append(rmse_hu(left, one.known))
    uncorrected, without, image, result = torch.cat(errors, 1).mean(1).tolist()
    return {"validation_rmse_hu": {"uncorrected": uncorrected, "without": without, "image": image, "result": result}}


def train(options):
    torch.manual_seed(0)
    torch.backends.cudnn.benchmark = True
    steps = steps_before(checkpoint_path(options.output, "priornet"))
    device, generator = options.device, numpy.random.default_rng(6)
    training, validation = split_patients(read_metal_free_slices(options.data, leave_out=options.leave_out))
    projector, method = get_projector(device), SSLMAR(with_prior_network=False)
    pixels = projector.geometry.image_shape[0]
    ahead = drawn_ahead(DrawnSlices(training, BATCH, 31 + steps, PIXELS_MM, with_noise=True, pixels=pixels), options.workers)
    validating = drawn_ahead(DrawnSlices(validation, BATCH, 32, PIXELS_MM, with_noise=True, pixels=pixels), 0)
    drawn_to_validate = [next(validating) for _ in range(options.validation_batches)]
    noise = torch.Generator(device).manual_seed(1)
    fixed = method, projector, generator, noise, device
    to_validate = [examples(one, *fixed) for one in drawn_to_validate]
    learner = Learner(PriorNet(CHANNELS), options.start, device, options.rate)
    print(json.dumps({"step": 0, **validate(learner.average, to_validate, projector)}), flush=True)
    kept = []
    course = Course(options, "priornet", learner, generator, noise)
    while (share := course.share) < 1:
        made = examples(next(ahead), *fixed).of(lambda one: one if one.dtype == torch.bool else one.half())
        kept += [made.of(lambda tensor, index=index: tensor[index].clone()) for index in range(BATCH)]
        del kept[: -options.kept]
        for _ in range(2):
            one = Examples.together([kept[index] for index in generator.integers(len(kept), size=options.slices)])
            with torch.autocast(torch.device(device).type, dtype=torch.bfloat16):
                added = learner.network(one.corrected, one.inputs)
            added = added.float()
            loss = error_of(added, one.wanted, one.known)
            loss = loss + END_TO_END * error_of(replaced(added, one.trace, projector), one.replaced_wanted, one.known)
            learner.learn(loss, share)
        facts = lambda: {"scans": learner.step // 2 * BATCH, **validate(learner.average, to_validate, projector)}  # noqa: E731
        course.save_now_and_then(loss, facts, title="PriorNet")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--from", dest="start", metavar="WEIGHTS", help="weights to start from, such as priornet, the shipped ones")
    parser.add_argument("--seconds", type=float, default=560)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--workers", type=int, default=7)
    parser.add_argument("--kept", type=int, default=3500, help="examples, 4 MB each")
    parser.add_argument("--slices", type=int, default=BATCH, help="of a step")
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--validate-every", type=float, default=60)
    parser.add_argument("--validation-batches", type=int, default=6)
    parser.add_argument("--leave-out", nargs="*", default=(), help="files of DATA that are not read")
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    train(options)
