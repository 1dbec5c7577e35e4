"""What SSLMARLib needs in Slicer: said, asked for once, installed at the first Apply. Never when the module loads.

PyTorch comes through Slicer's PyTorch extension, the rest through slicer.packaging. The packages that Slicer itself
rests on are held at their versions meanwhile.
"""

import contextlib
import importlib
import importlib.metadata
import importlib.util
import logging
import os
import platform
import tempfile
from pathlib import Path

import slicer
import slicer.packaging
from slicer.i18n import tr as _

TORCH_REQUIREMENT = ">=2.2"
KEPT_PACKAGES = ("numpy", "scipy", "SimpleITK", "pydicom", "requests")
SIMULATION = "simulation"  # in the place of a method: what making a sample scan needs
REQUESTER = "SSLMAR"


def missingLibrarySentence():
    """Return "" where SSLMARLib can be imported, else the sentence to show in its place. Imports nothing of it."""
    if importlib.util.find_spec("SSLMARLib") is not None:
        return ""
    return _(
        "The library SSLMARLib is missing, so nothing can be computed: install the extension again, or in a source "
        "tree keep the folder SSLMARLib beside the folder SSLMAR."
    )


def packagesNeeded(requirementsFile, method):
    """Return the requirements of a method as texts such as "odl>=1.0", PyTorch first.

    :param requirementsFile: path of Resources/requirements.txt; it lists all but PyTorch.
    :param method: a method as SSLMARLib.methods.get_method takes it, or SIMULATION. What only other methods need is left out.
    """
    from SSLMARLib.methods import METHODS

    own = _packagesOf(method)
    ofMethods = {_nameOf(package) for one in METHODS.values() for package in one.packages}
    requirements = slicer.packaging.load_requirements(requirementsFile)
    kept = [one for one in requirements if one.name not in ofMethods or one.name in map(_nameOf, own)]
    further = [package for package in own if _nameOf(package) not in [one.name for one in requirements]]
    return [f"torch{TORCH_REQUIREMENT}", *map(str, kept), *further]


def _packagesOf(method):
    """Return what a method itself says that it needs; nothing for one that is not there, which is refused elsewhere."""
    from SSLMARLib import InputError
    from SSLMARLib.methods import get_method

    if method == SIMULATION:
        return ()
    try:
        return get_method(method).packages
    except InputError:
        return ()


def packagesMissing(requirementsFile, method):
    """Return those of `packagesNeeded` that are not installed, or too old. Imports none of them."""
    importlib.invalidate_caches()
    return [package for package in packagesNeeded(requirementsFile, method) if not slicer.packaging.pip_check(package)]


def needsSentence(requirementsFile, method):
    """Return a sentence that says that something a method needs is missing, and the way to it; "" where all is there."""
    missing = packagesMissing(requirementsFile, method)
    if not missing:
        return ""
    if _torchOf(missing) and _torchExtension() is None:
        return _("{method} needs Slicer's extension 'PyTorch': install it in the Extensions Manager first.").format(method=_title(method))
    return _("{method} needs Python packages that are not installed yet; Apply asks before it installs them.").format(method=_title(method))


def ensurePackages(requirementsFile, method):
    """Install what a method needs and lacks, after one question for all of it. Waits until it is done; main thread.

    :raises SSLMARLib.MissingPackageError: something is missing still, with the sentence that says why and what to do, and `details`.
    """
    missing = packagesMissing(requirementsFile, method)
    if not missing:
        return
    problem = _problemBeforeInstalling(missing, method)
    if problem:
        raise _withDetails(problem, _wheelsSentence(missing))
    if not _agreed(missing, method):
        sentence = _("{method} needs packages that you did not want to install: press Apply again to be asked once more.")
        raise _withDetails(sentence.format(method=_title(method)), _listed(missing))
    try:
        with _heldPackages() as constraintsFile:
            _install(missing, constraintsFile)
    except Exception as error:  # pip, the extension and the network fail in ways of their own
        logging.exception("Installing %s failed", ", ".join(missing))
        raise _notInstalled(missing, method, error) from error
    missing = packagesMissing(requirementsFile, method)
    if missing:
        raise _notInstalled(missing, method, _("they are not there after the installation"))


def _withDetails(sentence, details):
    """Return a MissingPackageError of one sentence, with what only an administrator wants to know as its `details`."""
    from SSLMARLib import MissingPackageError

    error = MissingPackageError(sentence)
    error.details = details
    return error


def _problemBeforeInstalling(missing, method):
    """Return why nothing can be installed now, or ""."""
    if slicer.app.testingEnabled():
        return _("{method} needs {packages}, and Slicer installs nothing while it runs tests: install them first.").format(
            method=_title(method), packages=_listed(missing)
        )
    if slicer.packaging.isPipInstallInProgress():
        return _("Slicer is installing other packages now: wait until that has ended, and press Apply again.")
    if _torchOf(missing) and _torchExtension() is None:
        text = _("{method} needs PyTorch: install the extension 'PyTorch' in the Extensions Manager, restart Slicer and press Apply again.")
        return text.format(method=_title(method))
    return ""


def _agreed(missing, method):
    """Ask the one question. PyTorch is large, so it is said."""
    text = _("{method} needs Python packages that are not installed yet:\n\n{packages}\n\n").format(
        method=_title(method), packages="\n".join(f"- {package}" for package in missing)
    )
    if _torchOf(missing):
        text += _("PyTorch is large: downloading it can take some minutes.\n\n")
    text += _("Download them and install them into Slicer?")
    return slicer.util.confirmOkCancelDisplay(text, _("Metal Artifact Reduction - Install Python packages"))


def _install(missing, constraintsFile):
    torch = _torchOf(missing)
    if torch:
        logic = _torchExtension().PyTorchUtilsLogic()
        logic.installTorch(askConfirmation=False, torchVersionRequirement=TORCH_REQUIREMENT)
    others = [package for package in missing if package not in torch]
    if others:
        slicer.packaging.pip_ensure(others, constraints=constraintsFile, prompt_install=False, requester=REQUESTER, skip_in_testing=False)


def _torchExtension():
    """Return the module PyTorchUtils of the PyTorch extension, or None where that is not installed."""
    try:
        import PyTorchUtils
    except ImportError:
        return None
    return PyTorchUtils


@contextlib.contextmanager
def _heldPackages():
    """Write the versions of KEPT_PACKAGES into a constraints file, hold pip to it, and remove it afterwards.

    The PyTorch extension takes no constraints, so pip also reads them from its environment variable (as a URL, since
    that variable is split at spaces).
    """
    held = list(KEPT_PACKAGES)
    if slicer.packaging.pip_check(f"torch{TORCH_REQUIREMENT}"):  # one that is too old may change
        held.append("torch")
    lines = []
    for name in held:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            lines.append(f"{name}=={importlib.metadata.version(name)}\n")
    handle, path = tempfile.mkstemp(prefix="SSLMAR-constraints-", suffix=".txt", dir=slicer.app.temporaryPath)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.writelines(lines)
    before = os.environ.get("PIP_CONSTRAINT")
    os.environ["PIP_CONSTRAINT"] = " ".join(filter(None, [before, Path(path).as_uri()]))
    try:
        yield path
    finally:
        if before is None:
            del os.environ["PIP_CONSTRAINT"]
        else:
            os.environ["PIP_CONSTRAINT"] = before
        Path(path).unlink(missing_ok=True)


def _notInstalled(missing, method, error):
    """Return the error that says that it failed; why, and the way to install without the Internet, in its details."""
    reason = (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
    details = _("{packages} could not be installed ({reason}). {offline}").format(
        packages=_listed(missing), reason=reason, offline=_wheelsSentence(missing)
    )
    sentence = _("The packages that {method} needs could not be installed: press Apply again when there is Internet.")
    return _withDetails(sentence.format(method=_title(method)), details)


def _wheelsSentence(missing):
    """Return how to bring the wheels to a computer that has no Internet."""
    version = ".".join(platform.python_version_tuple()[:2])
    quoted = " ".join(f'"{package}"' for package in missing)
    names = " ".join(_nameOf(package) for package in missing)
    return _(
        "Without Internet: on a computer that has it, with the same operating system ({system}) and Python {version}, "
        "run python -m pip download --only-binary=:all: -d wheels {quoted}; copy the folder wheels here, and run in "
        "Slicer's Python console "
        'slicer.util.pip_install("--no-index --find-links FOLDER/wheels {names}").'
    ).format(system=f"{platform.system()} {platform.machine()}", version=version, quoted=quoted, names=names)


def _torchOf(packages):
    return [package for package in packages if _nameOf(package) == "torch"]


def _nameOf(package):
    return package.split(">")[0].split("=")[0].strip()


def _listed(packages):
    return ", ".join(packages)


def _title(method):
    from SSLMARLib import slicer_logic

    return _("Simulating a scan") if method == SIMULATION else slicer_logic.methodTitle(method)
