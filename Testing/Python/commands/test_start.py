"""What a start costs: which libraries are loaded for what."""

from __future__ import annotations

import pytest

from SSLMARLib import cli

HEAVY = ("torch", "odl", "SimpleITK", "matplotlib", "tqdm")
REPORT = "print('loaded', *[name for name in {names!r} if name in sys.modules])"


def loaded(start, script: str, names=HEAVY) -> list[str]:
    process = start(script=f"import sys\n{script}\n{REPORT.format(names=names)}")
    output, error = process.communicate(timeout=60)
    assert process.returncode == 0, error
    return output.splitlines()[-1].split()[1:]


def test_the_import_needs_numpy_at_most(start):
    assert loaded(start, "import SSLMARLib", ("scipy", *HEAVY)) == []


def test_the_public_names_load_what_they_need_when_they_are_used(start):
    assert loaded(start, "import SSLMARLib\nSSLMARLib.segment_metal") == []
    assert "torch" in loaded(start, "import SSLMARLib\nSSLMARLib.FanBeamProjector")


@pytest.mark.parametrize("words", [["--help"], ["--version"], *([verb, "--help"] for verb in cli.VERBS)], ids=" ".join)
def test_help_loads_nothing_heavy(start, words):
    script = f"""
from SSLMARLib.cli import main
try:
    main({words!r})
except SystemExit as end:
    assert end.code == 0
"""
    assert loaded(start, script) == []


@pytest.mark.parametrize("verb", cli.VERBS)
def test_help_says_what_a_verb_does(sslmar, verb):
    status, output, error = sslmar(verb, "--help")
    assert (status, error) == (0, "")
    assert output.startswith(f"usage: sslmar {verb}") and "--quiet" in output
    assert verb in sslmar("--help")[1]


def test_the_module_is_the_program(start):
    from SSLMARLib import __version__

    output, error = start("--version").communicate(timeout=60)
    assert (output, error) == (f"sslmar {__version__}\n", "")
    process = start("correct", "absent.nrrd", "out.nrrd")
    assert process.communicate(timeout=60) == ("", "sslmar: error: absent.nrrd does not exist.\n")
    assert process.returncode == 2


def test_a_reader_that_goes_away(start):
    """`sslmar info | true`"""
    import os

    reading, writing = os.pipe()
    os.close(reading)
    process = start("info", stdout=writing)
    os.close(writing)
    error = process.communicate(timeout=60)[1]
    assert "Traceback" not in error
