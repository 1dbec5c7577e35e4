"""A simulated CT scan with and without metal: the benchmark's polychromatic forward model.

    tissue (1/cm at 70 keV) -> water part and bone part -> P -> exp(-sum) for each energy -> sum over the spectrum
        -> photons, scatter, Poisson noise -> -ln -> water correction

Metal is added to the tissue under it (Zhang and Yu 2018, IEEE Trans. Med. Imaging 37, 1370, section III-A, whose
simulation the paper uses). A ray whose path has few materials needs few projections: the energies only meet on the
sinogram, in blocks that stay in the processor's cache.
"""

from dataclasses import dataclass, field

import torch

from ..ct.attenuation import hu_to_attenuation
from ..errors import InputError
from ..tomography.projector import FanBeamProjector
from .physics import REFERENCE_ENERGY_KEV, XRayPhysics, load_physics

NOISE_CHOICES = ("independent", "shared", "none")
RAYS_PER_BLOCK = 8192  # times 101 energies in float32: 3 MB


@dataclass(frozen=True, kw_only=True)
class ScanProtocol:
    """What is scanned with what; the defaults are the benchmark's, on the shipped 120 kV spectrum. Raises InputError.

    physics: spectrum and tables. material: the metal. metal_density_g_per_cm3: None takes the material's own.
    photons: on each ray, without an object. scatter_photons: added to each ray. bow_tie: the share of the photons that a bow-tie filter
    leaves at the edge of the fan; a parabola from the middle on, 1 for no filter.
    reference_energy_kev: where images have their attenuation.
    water_below_hu, bone_above_hu: tissue below is water, above is cortical bone, in between a mixture.
    partial_volume_divisor: of the metal's path in the first and the last bin of each run along the detector.
    shortest_metal_path_pixels: a ray crosses metal if its path is longer. (The benchmark's sinograms were projected
    on a GPU
    whose interpolation has 8 bits: weights under 1/512 vanished, which this reproduces.)
    noise: "independent" draws the metal-free scan's noise anew, as the benchmark; "shared" gives both scans the same
    noise on the rays that miss the metal; "none".
    """

    physics: XRayPhysics = field(default_factory=load_physics)
    material: str = "titanium"
    metal_density_g_per_cm3: float | None = None
    photons: float = 2e7
    scatter_photons: float = 20.0
    bow_tie: float = 1.0
    reference_energy_kev: float = REFERENCE_ENERGY_KEV
    water_below_hu: float = 100.0
    bone_above_hu: float = 1500.0
    partial_volume_divisor: float = 4.0
    shortest_metal_path_pixels: float = 0.0024
    noise: str = "independent"

    def __post_init__(self):
        if not 1 <= self.photons < 1e12:
            raise InputError(f"photons is {self.photons}: give the number of photons on each ray, such as 2e7.")
        if not 0 <= self.scatter_photons < 1e9:
            raise InputError(f"scatter_photons is {self.scatter_photons}: give 0 or more photons on each ray.")
        if not 0 < self.bow_tie <= 1:
            raise InputError(f"bow_tie is {self.bow_tie}: give the share of photons at the edge of the fan, above 0, at most 1.")
        if not self.water_below_hu < self.bone_above_hu:
            raise InputError(f"water_below_hu ({self.water_below_hu:g}) must be below bone_above_hu ({self.bone_above_hu:g}).")
        if not self.partial_volume_divisor >= 1:
            raise InputError(f"partial_volume_divisor is {self.partial_volume_divisor}: give 1 or more.")
        if not self.shortest_metal_path_pixels >= 0:
            raise InputError(f"shortest_metal_path_pixels is {self.shortest_metal_path_pixels}: give 0 or more.")
        if self.noise not in NOISE_CHOICES:
            raise InputError(f"There is no noise {self.noise!r}: choose one of {', '.join(NOISE_CHOICES)}.")
        self.metal_attenuation_per_cm  # noqa: B018  (refuses an unknown metal or energy at once)

    @property
    def metal_attenuation_per_cm(self) -> float:
        """The metal's attenuation at the reference energy."""
        return self.physics.metal_attenuation_per_cm(self.material, self.metal_density_g_per_cm3, self.reference_energy_kev)


@dataclass(frozen=True, eq=False)
class SimulatedScan:
    """Slices scanned with metal and without. Sinograms are line integrals after water correction, without unit.

    sinogram: (slices, views, bins), with metal. metal_free_sinogram: the same without the metal ("poly").
    metal_trace: boolean (slices, views, bins). metal_mask: boolean (slices, rows, columns).
    """

    sinogram: torch.Tensor
    metal_free_sinogram: torch.Tensor
    metal_trace: torch.Tensor
    metal_mask: torch.Tensor


def simulate_scan(
    image: torch.Tensor,
    metal_mask: torch.Tensor,
    projector: FanBeamProjector,
    protocol: ScanProtocol | None = None,
    generator: torch.Generator | None = None,
    *,
    pixel_size_cm: float | None = None,
) -> SimulatedScan:
    """Scan slices with and without metal.

    image: (slices, rows, columns) or (rows, columns), attenuation in 1/cm at the reference energy, without metal.
    metal_mask: boolean, or the share of each pixel that is metal (0 to 1); the image's shape, or the other of the two
    shapes: several masks in one slice share the slice's projections. The result always has the axis of slices, and its
    mask is where metal covers half of a pixel.
    generator: of any device; the same state gives the same noise. None draws from torch's own.
    pixel_size_cm: the image's true pixel where it differs from the geometry's. The paths through the object have
    their true lengths then, and sinograms are to be divided by pixel_size_cm / projector.geometry.pixel_size_cm
    before `projector.fbp`.

    Raises InputError for shapes that do not fit.
    """
    protocol = protocol if protocol is not None else ScanProtocol()
    image, metal_cover = _checked(image, metal_mask, projector)
    ratio = _pixel_ratio(projector, pixel_size_cm)
    with torch.no_grad():
        tissue_paths = ratio * projector.project(decompose_tissue(image, protocol))
        metal_path_cm = projector.project(metal_cover)
        trace = metal_path_cm > protocol.shortest_metal_path_pixels * projector.geometry.pixel_size_cm
        metal_path_cm = thin_at_run_ends(metal_path_cm, trace, protocol.partial_volume_divisor) * ratio
        tissue_only = _transmission(tissue_paths.movedim(1, -1).reshape(-1, 2), ("water", "cortical_bone"), protocol)
        tissue_only = tissue_only.reshape(tissue_paths.shape[0], *tissue_paths.shape[-2:])

        slices = trace.shape[0]
        metal_rays = torch.cat(
            [
                tissue_paths.expand(slices, -1, -1, -1).movedim(1, -1)[trace],
                metal_path_cm[trace][:, None] * protocol.metal_attenuation_per_cm,
            ],
            dim=1,
        )
        through_metal = _transmission(metal_rays, ("water", "cortical_bone", protocol.material), protocol)

        photons = _photons(trace.shape, protocol, trace.device)
        metal_free = detect(tissue_only, protocol, generator, photons[: len(tissue_only)])
        if protocol.noise == "shared":
            sinogram = metal_free.expand(slices, -1, -1).clone()
            sinogram[trace] = detect(through_metal, protocol, generator, photons[trace])
        else:
            transmission = tissue_only.expand(slices, -1, -1).clone()
            transmission[trace] = through_metal
            sinogram = detect(transmission, protocol, generator, photons)
    metal_free = metal_free.expand(slices, -1, -1)
    return SimulatedScan(sinogram, metal_free, trace, metal_cover >= 0.5)


def decompose_tissue(image: torch.Tensor, protocol: ScanProtocol) -> torch.Tensor:
    """Attenuation (slices, rows, columns) in 1/cm -> (slices, 2, rows, columns): its water part and its bone part.

    Between the two thresholds t_w and t_b the bone part is (x - t_w) / (t_b - t_w) x; the two parts add up to x.
    """
    water_per_cm = hu_to_attenuation(protocol.water_below_hu)
    bone_per_cm = hu_to_attenuation(protocol.bone_above_hu)
    bone = ((image - water_per_cm) / (bone_per_cm - water_per_cm)).clamp(0, 1) * image
    return torch.stack([image - bone, bone], dim=1)


def thin_at_run_ends(metal_path: torch.Tensor, trace: torch.Tensor, divisor: float) -> torch.Tensor:
    """The metal's path (..., bins), 0 outside the trace, divided in the first and the last bin of each run.

    So the edge of metal covers a part of a detector cell only. A run that ends at the edge of the detector goes on
    behind it.
    """
    before = torch.nn.functional.pad(trace[..., :-1], (1, 0), value=True)
    behind = torch.nn.functional.pad(trace[..., 1:], (0, 1), value=True)
    path = metal_path * trace
    return torch.where(before & behind, path, path / divisor)


def _photons(shape, protocol: ScanProtocol, device) -> torch.Tensor:
    """(slices, views, bins) photons without an object; a view of one row."""
    position = torch.linspace(-1, 1, shape[-1], device=device)
    return (protocol.photons * (1 - (1 - protocol.bow_tie) * position.square())).expand(shape)


def detect(
    transmission: torch.Tensor,
    protocol: ScanProtocol,
    generator: torch.Generator | None = None,
    photons: torch.Tensor | float | None = None,
) -> torch.Tensor:
    """The share of photons that gets through (any shape) -> line integrals after noise and water correction.

    N = Poisson(round(photons * transmission) + scatter), at least 1; p = -ln(N / photons); the water correction's
    polynomial. photons: on each ray, None for the protocol's.
    """
    photons = protocol.photons if photons is None else photons
    counts = (transmission * photons).round_().add_(protocol.scatter_photons)
    if protocol.noise != "none":
        if generator is not None and generator.device != counts.device:
            counts = torch.poisson(counts.to(generator.device), generator=generator).to(counts.device)
        else:
            counts = torch.poisson(counts, generator=generator)
    line_integrals = -(counts.clamp_(min=1.0) / photons).log()
    return correct_for_water(line_integrals, protocol.physics.water_correction)


def correct_for_water(line_integrals: torch.Tensor, coefficients: tuple[float, ...]) -> torch.Tensor:
    """c1 p + c2 p^2 + ...: polychromatic measurements -> water's line integrals at the reference energy."""
    result = torch.zeros_like(line_integrals)
    for coefficient in reversed(coefficients):
        result.add_(coefficient).mul_(line_integrals)
    return result


def _transmission(paths: torch.Tensor, materials: tuple[str, ...], protocol: ScanProtocol) -> torch.Tensor:
    """Line integrals at the reference energy (rays, materials) -> share of photons that gets through, (rays,)."""
    physics = protocol.physics
    used = torch.from_numpy(physics.spectrum > 0)
    relative = [physics.relative_attenuation(name, protocol.reference_energy_kev) for name in materials]
    relative = -torch.stack([torch.from_numpy(values.copy())[used] for values in relative]).to(paths)
    spectrum = torch.from_numpy(physics.spectrum.copy())[used].to(paths)
    result = torch.ones(len(paths), dtype=paths.dtype, device=paths.device)
    crossing = paths.abs().amax(dim=1).nonzero()[:, 0] if len(paths) else torch.empty(0, dtype=torch.long)
    blocks = crossing.split(RAYS_PER_BLOCK if paths.device.type == "cpu" else 16 * RAYS_PER_BLOCK)
    for block in blocks:
        result[block] = (paths[block] @ relative).exp_() @ spectrum
    return result


def _checked(image, metal_mask, projector) -> tuple[torch.Tensor, torch.Tensor]:
    expected = projector.geometry.image_shape
    for name, values in (("image", image), ("metal_mask", metal_mask)):
        if not isinstance(values, torch.Tensor) or values.dim() not in (2, 3) or tuple(values.shape[-2:]) != expected:
            found = tuple(values.shape) if isinstance(values, torch.Tensor) else type(values).__name__
            raise InputError(
                f"{name} must be a torch tensor ([slices,] {expected[0]}, {expected[1]}), as the projector's image, not {found}."
            )
    image = (image if image.dim() == 3 else image[None]).to(projector.dtype)
    metal_mask = (metal_mask if metal_mask.dim() == 3 else metal_mask[None]).to(projector.dtype)
    if image.shape[0] != metal_mask.shape[0] and 1 not in (image.shape[0], metal_mask.shape[0]):
        raise InputError(f"There are {image.shape[0]} slices and {metal_mask.shape[0]} metal masks: give one mask per slice.")
    if not bool(torch.isfinite(image).all()):
        raise InputError("The image has NaN or infinite pixels: replace them first.")
    if image.min() < 0:
        raise InputError(f"The image has the attenuation {float(image.min()):g} 1/cm: give 1/cm, not HU, from 0 (vacuum) on.")
    if not (metal_mask.min() >= 0 and metal_mask.max() <= 1):
        raise InputError(
            f"The metal mask goes from {float(metal_mask.min()):g} to {float(metal_mask.max()):g}: give a boolean mask, or the "
            "share of each pixel that is metal, 0 to 1."
        )
    slices = max(image.shape[0], metal_mask.shape[0])
    return image, metal_mask.expand(slices, -1, -1)


def _pixel_ratio(projector, pixel_size_cm) -> float:
    if pixel_size_cm is None:
        return 1.0
    if not 0 < pixel_size_cm < 10:
        raise InputError(f"pixel_size_cm is {pixel_size_cm}: give the size of a pixel in cm, above 0.")
    return pixel_size_cm / projector.geometry.pixel_size_cm
