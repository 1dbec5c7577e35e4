"""The command line: `sslmar VERB ...`. Each verb is a file in `commands/`; here is what they share.

Exit status: 0 done; 1 a batch was done, but for some scans; 2 bad input or arguments, with one line that says what and what to do;
130 cancelled (Ctrl-C).
"""

import argparse
import logging
import os
import sys
from importlib import import_module

from ._version import __version__
from .commands.interruption import STATUS_CANCELLED, Interruption
from .errors import Cancelled, MARError, plain_text

VERBS = ("demo", "segment", "correct", "correct-sinogram", "batch", "simulate", "train", "evaluate", "bench", "info")
DONE, BAD_INPUT = 0, 2
REQUIRED_PACKAGES = {"torch", "odl", "safetensors", "SimpleITK", "scipy", "numpy", "tqdm", "filelock", "pydicom"}


def build_parser() -> argparse.ArgumentParser:
    """The parser of all verbs. Each verb's file gives `HELP`, `add_arguments(parser)` and `run(arguments)`."""
    parser = _Parser(
        prog="sslmar",
        description="Metal artifact reduction in CT. For research; not a medical device.",
        epilog="`sslmar VERB --help` tells more about each verb. `sslmar demo` is a good start.",
    )
    parser.add_argument("--version", action="version", version=f"sslmar {__version__}")
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    for verb in VERBS:
        command = import_module(f".commands.{verb.replace('-', '_')}", __package__)
        verb_parser = verbs.add_parser(verb, help=command.HELP, description=command.HELP)
        command.add_arguments(verb_parser)
        verb_parser.add_argument("--quiet", action="store_true", help="no progress and no remarks, only errors")
        verb_parser.set_defaults(run=command.run)
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run one verb and return the exit status. Never shows a traceback for what a user can cause."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by who started this program; else the next file would take its place
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115 (as long as the program)
    with Interruption() as interruption:
        try:
            return _run(argv)
        except (Cancelled, KeyboardInterrupt) as reason:
            sys.stderr.write(f"sslmar: cancelled. {reason}".rstrip() + "\n")
        except Exception:
            if not interruption.requested:  # else a library made another error of the interruption
                raise
            sys.stderr.write("sslmar: cancelled.\n")
    if argv is None:  # as a program: at once, as threads of libraries may still be at work on what nobody waits for
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(STATUS_CANCELLED)
    return STATUS_CANCELLED


def _run(argv: list[str] | None) -> int:
    # torch's threads sleep while they wait for each other: on a computer that is busy with other things too, spinning only slows down
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    arguments = build_parser().parse_args(argv)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_PlainFormatter("sslmar: %(message)s"))
    logging.basicConfig(level=logging.ERROR if arguments.quiet else logging.WARNING, handlers=[handler])
    try:
        return arguments.run(arguments)
    except Cancelled:
        raise
    except MARError as error:
        sys.stderr.write(f"sslmar: error: {' '.join(str(error).split())}\n")
        return BAD_INPUT
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in REQUIRED_PACKAGES:
            raise
        sys.stderr.write(
            f"sslmar: error: The Python package {package} is not installed, and `sslmar {arguments.verb}` needs it: install it with "
            f"`pip install {package}`.\n"
        )
        return BAD_INPUT
    except MemoryError:
        sys.stderr.write("sslmar: error: The computer's memory is not enough for this volume: close other programs.\n")
        return BAD_INPUT
    except BrokenPipeError:  # the reader of our output (`| head`) has gone
        sys.stderr.close()
        return DONE
    except OSError as error:  # a name that is too long, a disk that was pulled out
        name = "" if error.filename is None else f"{error.filename}: "
        sys.stderr.write(f"sslmar: error: {plain_text(f'{name}{error.strerror or error}')}.\n")
        return BAD_INPUT


class _PlainFormatter(logging.Formatter):
    """Warnings quote headers of files, which may hold anything."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 (the library's name)
        return plain_text(super().formatMessage(record))


class _Parser(argparse.ArgumentParser):
    """Says what is wrong with the arguments in one line, as every other error."""

    def error(self, message: str):
        self.exit(BAD_INPUT, f"sslmar: error: {' '.join(plain_text(message).split())}; `{self.prog} --help` shows what is possible.\n")
