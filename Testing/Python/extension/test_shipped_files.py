"""A file that no CMakeLists.txt names does not ship; one that is named and absent stops the build."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import textwrap

import pytest

FOLDERS = ("SSLMAR", "SSLMARLib")
NOT_TO_SHIP = {"CMakeLists.txt", "README.md"}  # by the name of the file: pages are for who reads the source tree


@pytest.mark.parametrize("folder", FOLDERS)
@pytest.mark.parametrize("variable", ["MODULE_PYTHON_SCRIPTS", "MODULE_PYTHON_RESOURCES"])
def test_every_file_is_named(folder, variable, cmake_variables, files_of):
    named = cmake_variables(folder)[variable]
    scripts = variable == "MODULE_PYTHON_SCRIPTS"
    present = {name for name in files_of(folder) if name.endswith(".py") == scripts and name.split("/")[-1] not in NOT_TO_SHIP}
    missing, absent = sorted(present - set(named)), sorted(set(named) - present)
    lines = [f"{folder}/CMakeLists.txt, {variable}:"]
    lines += ["add these lines:", *(f"  {name}" for name in missing)] if missing else []
    lines += ["remove these lines:", *(f"  {name}" for name in absent)] if absent else []
    assert not missing and not absent, "\n".join(lines)
    assert len(named) == len(set(named)), f"{folder}/CMakeLists.txt names a file twice"


def test_the_folders_and_tests_are_added(repository):
    text = (repository / "CMakeLists.txt").read_text(encoding="utf-8")
    for folder in (*FOLDERS, "Testing"):
        assert f"add_subdirectory({folder})" in text
    assert "add_subdirectory(Python)" in (repository / "Testing" / "CMakeLists.txt").read_text(encoding="utf-8")


def test_what_ctest_runs_is_run_by_slicer_s_own_python(repository):
    """A pytest that is found on the path has another Python, without what the tests need."""
    files = [
        repository / "CMakeLists.txt",
        *(file for folder in (*FOLDERS, "Testing") for file in (repository / folder).rglob("CMakeLists.txt")),
    ]
    assert len(files) > 4
    for file in files:
        lines = [line.partition("#")[0] for line in file.read_text(encoding="utf-8").splitlines()]
        assert not re.search(r"\b(add_test|find_program|find_package\(Python)", "\n".join(lines), re.IGNORECASE), file


FIND_SLICER = """
set(Slicer_FOUND TRUE)
set(Slicer_USE_FILE "${CMAKE_CURRENT_LIST_DIR}/UseSlicer.cmake")
set(Slicer_EXTENSION_GENERATE_CONFIG "${CMAKE_CURRENT_LIST_DIR}/Config.cmake")
set(Slicer_EXTENSION_CPACK "${CMAKE_CURRENT_LIST_DIR}/Pack.cmake")
"""

USE_SLICER = """
include(CTest)
include(CMakeParseArguments)
function(slicerMacroBuildScriptedModule)
  cmake_parse_arguments(MY "WITH_GENERIC_TESTS;WITH_SUBDIR" "NAME" "SCRIPTS;RESOURCES" ${ARGN})
  if(MY_UNPARSED_ARGUMENTS OR NOT MY_NAME)
    message(FATAL_ERROR "slicerMacroBuildScriptedModule: ${MY_UNPARSED_ARGUMENTS}")
  endif()
  set(destination ".")
  if(MY_WITH_SUBDIR)
    get_filename_component(destination ${CMAKE_CURRENT_SOURCE_DIR} NAME)
  endif()
  foreach(file ${MY_SCRIPTS} ${MY_RESOURCES})
    if(NOT EXISTS ${CMAKE_CURRENT_SOURCE_DIR}/${file})
      message(FATAL_ERROR "given nonexistent file ${file}")
    endif()
    get_filename_component(folder ${file} DIRECTORY)
    install(FILES ${file} DESTINATION qt-scripted-modules/${destination}/${folder})
  endforeach()
endfunction()
function(slicer_add_python_unittest)
  cmake_parse_arguments(MY "" "SCRIPT" "SLICER_ARGS;TESTNAME_PREFIX" ${ARGN})
  if(NOT EXISTS ${CMAKE_CURRENT_SOURCE_DIR}/${MY_SCRIPT})
    message(FATAL_ERROR "no test ${MY_SCRIPT}")
  endif()
  add_test(NAME py_${MY_SCRIPT} COMMAND ${CMAKE_COMMAND} -E true)
endfunction()
"""


@pytest.fixture
def installed(repository, tmp_path):
    """The folder that the extension installs into, built by CMake against a stub of Slicer's macros."""
    cmake = shutil.which("cmake")
    if cmake is None:
        pytest.skip("cmake is not installed, so the extension was NOT configured")
    if not any(shutil.which(compiler) for compiler in (os.environ.get("CXX", "c++"), "g++", "clang++")):
        pytest.skip("CMake needs a C++ compiler to start, so the extension was NOT configured")
    stub = tmp_path / "slicer"
    stub.mkdir()
    for name, content in {"FindSlicer": FIND_SLICER, "UseSlicer": USE_SLICER, "Config": "", "Pack": ""}.items():
        (stub / f"{name}.cmake").write_text(textwrap.dedent(content))
    build, prefix = tmp_path / "build", tmp_path / "prefix"
    arguments = [f"-DCMAKE_MODULE_PATH={stub}", f"-DCMAKE_INSTALL_PREFIX={prefix}"]
    for command in ([cmake, "-S", repository, "-B", build, *arguments], [cmake, "--install", build]):
        run = subprocess.run(command, capture_output=True, text=True)
        if run.returncode and re.search(r"CMake \S+ or higher is required", run.stderr):
            pytest.skip(f"this CMake is too old, so the extension was NOT configured: {run.stderr.splitlines()[1]}")
        assert run.returncode == 0, run.stderr
    return prefix / "qt-scripted-modules"


def test_the_extension_configures_and_installs_every_file(installed, files_of):
    arrived = {path.relative_to(installed).as_posix() for path in installed.rglob("*") if path.is_file()}
    expected = set(files_of("SSLMAR")) | {f"SSLMARLib/{name}" for name in files_of("SSLMARLib")}
    assert arrived == {name for name in expected if name.split("/")[-1] not in NOT_TO_SHIP}
