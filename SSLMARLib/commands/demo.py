"""`sslmar demo`: the main job on a simulated scan, where the truth is known."""

from __future__ import annotations

from pathlib import Path

from ..methods import DEFAULT_METHOD, available_methods, get_method
from .console import progress_bar, say

HELP = "Correct a built-in simulated scan and draw the result."
KINDS = ("pelvis", "jaw")
MATERIAL = "titanium"
WINDOW_HU = (-200.0, 300.0)


def add_arguments(parser) -> None:
    parser.add_argument("--output", type=Path, default=Path("sslmar_demo"), metavar="DIR", help="folder to write (default %(default)s)")
    parser.add_argument("--kind", choices=KINDS, default="pelvis", help="a pelvis with a hip prosthesis, or a jaw with dental implants")
    parser.add_argument(
        "--weights", type=Path, metavar="FILE.safetensors", help="also correct with these weights, which `sslmar train` wrote, and draw it"
    )
    parser.add_argument("--device", default="auto", metavar="DEVICE", help="auto, cpu, cuda (default auto)")
    parser.add_argument("--overwrite", action="store_true", help="replace files of an earlier demo")


def run(arguments) -> int:
    import numpy

    from ..atomic_files import all_or_none, refuse_existing
    from ..correction import reduce_metal_artifacts
    from ..ct.reading_writing import write_volume
    from ..device import choose_device
    from ..errors import InputError
    from ..evaluation.figures import check_figures_possible, figure_before_after
    from ..evaluation.metrics import rmse_hu
    from ..sample_data import phantom_metal
    from ..simulation.phantom import body_phantom
    from ..simulation.volume import simulate_metal

    folder = arguments.output
    methods = {name: get_method(name) for name in available_methods()}
    if arguments.weights is not None:
        methods["own_weights"] = get_method(arguments.weights)
    names = ["truth", "with_metal", "metal", *methods]
    paths = {name: folder / f"{name}.nii.gz" for name in names} | {"figure": folder / "before_after.png"}
    check_figures_possible(paths["figure"])
    device = choose_device(arguments.device)
    with progress_bar(arguments) as progress, all_or_none() as write:
        try:
            write([folder], folder.mkdir, parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"The folder {folder} cannot be made ({error.strerror}): choose another with --output.") from error
        for path in paths.values():
            refuse_existing(path, arguments.overwrite)
        progress(0.0, f"Making a {arguments.kind} phantom")
        truth = body_phantom(arguments.kind)
        metal = phantom_metal(arguments.kind, truth)
        scan_hu = simulate_metal(
            truth.voxels_hu,
            truth.spacing_mm,
            metal,
            MATERIAL,
            device=device,
            progress=lambda fraction, message: progress(0.05 + 0.35 * fraction, message),
        )
        corrected_hu = {}
        for number, (name, method) in enumerate(methods.items()):
            corrected_hu[name] = reduce_metal_artifacts(
                scan_hu,
                truth.spacing_mm,
                metal,
                method,
                device,
                lambda fraction, message, number=number: progress(0.4 + 0.5 * (number + fraction) / len(methods), message),
            ).volume_hu
        progress(0.9, "Writing")
        for name, voxels in {
            "truth": truth.voxels_hu,
            "with_metal": scan_hu,
            "metal": metal.astype(numpy.uint8),
            **corrected_hu,
        }.items():
            write([paths[name]], write_volume, truth.with_voxels(voxels), paths[name], overwrite=True)

        with_metal = numpy.flatnonzero(metal.any(axis=(1, 2)))

        def rmse(voxels_hu):
            """Over all slices with metal, laid below each other."""
            columns = metal.shape[-1]
            return rmse_hu(*(one[with_metal].reshape(-1, columns) for one in (voxels_hu, truth.voxels_hu, metal)))

        before = rmse(scan_hu)
        after = {name: rmse(voxels_hu) for name, voxels_hu in corrected_hu.items()}
        drawn = DEFAULT_METHOD if arguments.weights is None else "own_weights"
        worst = int(with_metal[numpy.abs(scan_hu[with_metal].astype(float) - truth.voxels_hu[with_metal]).sum(axis=(1, 2)).argmax()])
        write(
            [paths["figure"]],
            figure_before_after,
            scan_hu[worst],
            corrected_hu[drawn][worst],
            metal[worst],
            paths["figure"],
            title=f"Simulated {arguments.kind} with {MATERIAL}, slice {worst + 1}",
            method_title=methods[drawn].title,
            spacing_mm=truth.spacing_mm[1:],
            window_hu=WINDOW_HU,
            captions=(f"all slices: RMSE {before:.0f} HU", f"all slices: RMSE {after[drawn]:.0f} HU"),
            overwrite=True,
        )
    say(arguments, f"RMSE to the truth, metal left out, {len(with_metal)} slices with metal:")
    say(arguments, f"  uncorrected {before:7.1f} HU")
    for name, method in methods.items():
        say(arguments, f"  {method.title:<11} {after[name]:7.1f} HU")
    say(arguments, f"Volumes and the figure {paths['figure'].name} are in {folder}")
    return 0
