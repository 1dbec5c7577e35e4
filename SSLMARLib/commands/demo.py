"""`sslmar demo`: the main job on a simulated scan, where the truth is known."""

from pathlib import Path

from ..methods import DEFAULT_METHOD, available_methods, get_method
from ..sample_data import SAMPLE_KINDS, simulate_scan_of
from .console import progress_bar, say

HELP = "Correct a built-in simulated scan and draw the result."
SLICES = 9
WINDOW_HU = (-200.0, 300.0)


def add_arguments(parser) -> None:
    parser.add_argument("--output", type=Path, default=Path("sslmar_demo"), metavar="DIR", help="folder to write (default %(default)s)")
    parser.add_argument("--kind", choices=SAMPLE_KINDS, default="hip", help="a pelvis with a hip prosthesis, or a jaw with crowns")
    parser.add_argument(
        "--weights", type=Path, metavar="FILE.safetensors", help="also correct with these weights, which `sslmar train` wrote, and draw it"
    )
    parser.add_argument("--device", default="auto", metavar="DEVICE", help="auto, cpu, cuda (default auto)")
    parser.add_argument("--overwrite", action="store_true", help="replace files of an earlier demo")


def run(arguments) -> int:
    from ..atomic_files import all_or_none, refuse_existing
    from ..correction import reduce_metal_artifacts
    from ..ct.reading_writing import write_volume
    from ..device import choose_device
    from ..errors import InputError
    from ..evaluation.figures import check_figures_possible

    folder = arguments.output
    methods = {name: get_method(name) for name in available_methods()}
    if arguments.weights is not None:
        methods["own_weights"] = get_method(arguments.weights)
    paths = {name: folder / f"{name}.nii.gz" for name in ("truth", "with_metal", "metal", *methods)}
    figure_path = folder / "before_after.png"
    check_figures_possible(figure_path)
    device = choose_device(arguments.device)
    with progress_bar(arguments) as progress, all_or_none() as write:
        try:
            write([folder], folder.mkdir, parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"The folder {folder} cannot be made ({error.strerror}): choose another with --output.") from error
        for path in (*paths.values(), figure_path):
            refuse_existing(path, arguments.overwrite)

        def part(start: float, length: float):
            return lambda fraction, message: progress(start + length * fraction, message)

        scan = simulate_scan_of(arguments.kind, SLICES, device=device, progress=part(0.0, 0.4))
        volumes = {"truth": scan.truth, "with_metal": scan.volume, "metal": scan.truth.with_voxels(scan.metal_mask.astype("uint8"))}
        for number, (name, method) in enumerate(methods.items()):
            share = 0.5 / len(methods)
            corrected = reduce_metal_artifacts(
                scan.volume.voxels_hu, scan.truth.spacing_mm, scan.metal_mask, method, device, part(0.4 + share * number, share)
            )
            volumes[name] = scan.truth.with_voxels(corrected.volume_hu)
        progress(0.9, "Writing")
        for name, volume in volumes.items():
            write([paths[name]], write_volume, volume, paths[name], overwrite=True)
        drawn = DEFAULT_METHOD if arguments.weights is None else "own_weights"
        errors_hu = _errors_hu(scan, {"with_metal": volumes["with_metal"]} | {name: volumes[name] for name in methods})
        write([figure_path], _draw, scan, arguments.kind, volumes[drawn], methods[drawn].title, errors_hu, drawn, figure_path)
    say(arguments, f"RMSE to the truth, metal left out, {len(_slices_with_metal(scan))} slices with metal:")
    say(arguments, f"  uncorrected {errors_hu['with_metal']:7.1f} HU")
    for name, method in methods.items():
        say(arguments, f"  {method.title:<11} {errors_hu[name]:7.1f} HU")
    say(arguments, f"Volumes and the figure {figure_path.name} are in {folder}")
    return 0


def _slices_with_metal(scan):
    return scan.metal_mask.any(axis=(1, 2)).nonzero()[0]


def _errors_hu(scan, volumes) -> dict[str, float]:
    """The RMSE of each volume over all slices with metal, laid below each other."""
    from ..evaluation.metrics import rmse_hu

    def rows(voxels):
        return voxels[_slices_with_metal(scan)].reshape(-1, voxels.shape[-1])

    return {name: rmse_hu(*map(rows, (volume.voxels_hu, scan.truth.voxels_hu, scan.metal_mask))) for name, volume in volumes.items()}


def _draw(scan, kind, corrected, method_title, errors_hu, drawn, path) -> None:
    """The slice with the strongest artifacts before and after."""
    from ..evaluation.figures import figure_before_after, most_changed_slice

    worst = most_changed_slice(scan.truth.voxels_hu, scan.volume.voxels_hu, of=_slices_with_metal(scan))
    figure_before_after(
        scan.volume.voxels_hu[worst],
        corrected.voxels_hu[worst],
        scan.metal_mask[worst],
        path,
        title=f"Simulated {kind} implant, slice {worst + 1}",
        method_title=method_title,
        spacing_mm=scan.truth.spacing_mm[1:],
        window_hu=WINDOW_HU,
        captions=tuple(f"all slices: RMSE {errors_hu[name]:.0f} HU" for name in ("with_metal", drawn)),
        overwrite=True,
    )
