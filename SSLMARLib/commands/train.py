"""`sslmar train`: learn from a folder of metal-free CT, as a JSON file says."""

from pathlib import Path

from .console import progress_bar, say

TASKS = {  # network -> (file, class, whether torchrun may start several processes)
    "cnnmar": ("cnnmar", "CNNMARTask", False),
    "sslmar_image": ("sslmar_image", "SSLMARImageTask", False),
    "sslmar": ("sslmar", "SSLMARTask", True),
    "sslmar_paper": ("sslmar", "SSLMARPaperTask", True),
    "sslmar_paper_image": ("sslmar_image", "SSLMARPaperImageTask", False),
    "cganmar": ("peers", "CGANMARTask", True),
    "dudonet": ("peers", "DuDoNetTask", True),
    "dudonet++": ("peers", "DuDoNetPlusPlusTask", True),
    "sinogram_completion": ("peers", "DeepSinogramCompletionTask", True),
    "adn": ("peers", "ADNTask", True),
}
HELP = "Train a network on a folder of metal-free CT scans."


def add_arguments(parser) -> None:
    parser.add_argument("configuration", type=Path, metavar="CONFIG.json", help="all hyper-parameters; see SSLMARLib/training/README.md")
    parser.add_argument("--resume", action="store_true", help="go on from the checkpoint in the output folder")
    parser.add_argument("--from", dest="start_from", metavar="WEIGHTS", help="begin with these weights: shipped ones by name, or a file")
    parser.add_argument("--steps", type=int, metavar="N", help="other number of steps than the configuration's")


def run(arguments) -> int:
    from contextlib import nullcontext
    from dataclasses import replace

    from ..errors import InputError
    from ..optional_imports import import_optional
    from ..training.configuration import TrainingConfiguration

    configuration = TrainingConfiguration.read(arguments.configuration)
    if arguments.steps is not None:
        configuration = replace(configuration, steps=arguments.steps)
    import_optional("torch")
    if configuration.network not in TASKS:
        raise InputError(f"There is no network {configuration.network!r} to train: choose one of {', '.join(TASKS)}.")
    from importlib import import_module

    from ..training import checkpoints
    from ..training.distributed import process_group, processes, rank
    from ..training.trainer import train

    file, name, in_several_processes = TASKS[configuration.network]
    with process_group(configuration.device):
        if processes() > 1 and not in_several_processes:
            raise InputError(f"The network {configuration.network!r} is trained by one process: start it without torchrun.")
        if rank() > 0:
            arguments.quiet = True
        with checkpoints.output_lock(configuration.output) if rank() == 0 else nullcontext():
            if (Path(configuration.output) / checkpoints.NAME).exists() and not arguments.resume:
                raise InputError(f"{configuration.output} has a checkpoint: give --resume to go on, or remove the folder to start anew.")
            with progress_bar(arguments) as progress:
                task = getattr(import_module(f"..training.{file}", __package__), name)(configuration, progress)
                weights = train(task, configuration, arguments.resume, progress, start_from=arguments.start_from)
    say(arguments, f"The best weights are {weights}")
    return 0
