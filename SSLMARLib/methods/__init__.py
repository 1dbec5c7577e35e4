"""The correction methods, one file each, behind one protocol (`base.Method`): a batch of sinograms in, corrected ones out.

A new method is a file with a class, and its place in `METHODS`.
"""

import os

from ..errors import InputError
from .base import Method
from .cnnmar import CNNMAR
from .linear_interpolation import LinearInterpolation
from .nmar import NMAR
from .peers import ADN, CGANMAR, DeepSinogramCompletion, DuDoNet, DuDoNetPlusPlus
from .sslmar import SSLMAR
from .sslmar_paper import SSLMARPaper

DEFAULT_METHOD = "sslmar"  # of the library, the command line and the panel
METHODS: dict[str, type[Method]] = {  # in the order in which users see them
    one.name: one
    for one in (
        *(LinearInterpolation, NMAR, CNNMAR, SSLMAR),
        *(SSLMARPaper, CGANMAR, DuDoNet, DuDoNetPlusPlus, DeepSinogramCompletion, ADN),  # for research
    )
}
WEIGHTS_SUFFIX = ".safetensors"


def available_methods(for_research: bool = False) -> tuple[str, ...]:
    """Names of the methods that can be used. Imports nothing heavy.

    for_research: with those that are here to be compared with: the paper's method exactly as published, and its peers.
    """
    return tuple(name for name, one in METHODS.items() if for_research or not one.for_research)


def get_method(method: str | os.PathLike | Method) -> Method:
    """The method of a name, of weights, or the one that is given. Imports nothing heavy.

    method: one of `available_methods(for_research=True)`; the path of a .safetensors file that `sslmar train` wrote, whose JSON file
        says which method it belongs to; or a `base.Method`. Raises InputError, which says what there is, for anything else.
    """
    if isinstance(method, Method):
        return method
    if is_weights(method):
        return _method_of_weights(method)
    key = str(method).lower()
    if key not in METHODS:
        raise InputError(
            f"There is no method {str(method)!r}: choose one of {', '.join(METHODS)}, or give a {WEIGHTS_SUFFIX} file that "
            "`sslmar train` wrote."
        )
    return METHODS[key]()


def is_weights(method) -> bool:
    """Whether a method is given as a file of weights."""
    return isinstance(method, str | os.PathLike) and os.fspath(method).lower().endswith(WEIGHTS_SUFFIX)


def _method_of_weights(path: str | os.PathLike) -> Method:
    from ..networks.weights import load_description
    from .learned import LearnedMethod

    name = load_description(path).get("method")
    learned = [name for name, one in METHODS.items() if issubclass(one, LearnedMethod)]
    if name not in learned:
        raise InputError(
            f'The JSON file beside the weights {path} names no method that uses them: its "method" must be one of {", ".join(learned)}.'
        )
    return METHODS[name](weights=path)
