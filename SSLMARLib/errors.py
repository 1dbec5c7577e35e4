"""The one family of errors: each message says what is wrong, with which value, and what to do about it."""

import unicodedata

NO_TEXT = {"Cc": " ", "Zl": " ", "Zp": " ", "Cs": "?"}
"""Unicode's categories of control characters (escape codes begin with one) and line separators, and of half characters, which no
terminal takes; and what is shown in their place."""
LONGEST_QUOTE = 200
TURNS = ("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI")
"""Unicode's bidirectional classes of the characters that turn what follows them around, so that another text is read than was written."""


def plain_text(text: str) -> str:
    """Text of a file, such as a name in a header, as it may be shown: in one line, without codes that command a terminal."""
    return "".join(NO_TEXT.get(unicodedata.category(one), one) for one in text if unicodedata.bidirectional(one) not in TURNS)


def short_text(error: object) -> str:
    """What a library says of a file, as a part of a sentence: damaged files make some of them quote all of it."""
    text = plain_text(str(error))
    return text if len(text) <= LONGEST_QUOTE else f"{text[:LONGEST_QUOTE]}..."


class MARError(Exception):
    """Anything SSLMAR reports to a user. The message is a full sentence for that user, not for a developer; as it may quote a file,
    it goes through `plain_text`. details: what only an administrator wants to know, such as what pip said; mostly empty."""

    details = ""

    def __init__(self, *values, **options) -> None:
        super().__init__(*(plain_text(value) if isinstance(value, str) else value for value in values), **options)


class InputError(MARError, ValueError):
    """The data or the arguments cannot be used (command line: exit status 2)."""


class NoMetalError(InputError):
    """There is no metal in the data, so there is nothing to correct."""


class MissingPackageError(MARError, ImportError):
    """A package that this step needs is not installed (command line: exit status 2)."""


class Cancelled(MARError):
    """The user cancelled; nothing was written (command line: exit status 130)."""
