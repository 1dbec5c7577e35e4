"""What Slicer's extension index and extension manager read."""

from __future__ import annotations

import ast
import re
import struct
import tomllib
import xml.etree.ElementTree as ElementTree

import pytest
from packaging.requirements import Requirement

CATEGORIES = {"Filtering", "Segmentation", "Registration", "Quantification", "Radiotherapy", "DICOM", "Utilities"}


def test_the_metadata_is_where_the_index_looks(repository, cmake_variables):
    text = (repository / "CMakeLists.txt").read_text(encoding="utf-8")
    assert re.search(r"^project\(SSLMAR\b", text, re.MULTILINE)
    for name in ("HOMEPAGE", "CATEGORY", "CONTRIBUTORS", "DESCRIPTION", "ICONURL", "SCREENSHOTURLS", "DEPENDS"):
        assert re.search(rf'^set\(EXTENSION_{name} "[^"\n]+"\)$', text, re.MULTILINE), f"EXTENSION_{name}, on one line"
        # In CMake a semicolon divides a list: in Slicer's catalog the text would end there.
        assert not re.search(rf'^set\(EXTENSION_{name} "[^"]*;', text, re.MULTILINE), name
    variables = {name: " ".join(values) for name, values in cmake_variables(".").items()}
    assert variables["EXTENSION_CATEGORY"] in CATEGORIES
    assert variables["EXTENSION_DEPENDS"] == "PyTorch"
    assert 1 <= variables["EXTENSION_DESCRIPTION"].count(".") <= 2
    homepage = variables["EXTENSION_HOMEPAGE"]
    assert re.fullmatch(r"https://github\.com/\w+/Slicer\w+", homepage)
    raw = homepage.replace("github.com", "raw.githubusercontent.com") + "/main/"
    for name in ("EXTENSION_ICONURL", "EXTENSION_SCREENSHOTURLS"):
        for address in variables[name].split():
            assert address.startswith(raw)
            assert (repository / address.removeprefix(raw)).is_file(), f"{name}: the repository has no such picture"


@pytest.mark.parametrize("icon", ["SSLMAR.png", "SSLMAR/Resources/Icons/SSLMAR.png"])
def test_icons_are_128_pixels_wide_and_high_with_transparency(repository, icon):
    header = (repository / icon).read_bytes()[:26]
    assert header[:8] == b"\x89PNG\r\n\x1a\n"
    width, height, bits, color_type = struct.unpack(">IIBB", header[16:26])
    assert (width, height, bits, color_type) == (128, 128, 8, 6)


def test_the_license_is_in_the_root(repository):
    assert "Apache License" in (repository / "LICENSE.txt").read_text(encoding="utf-8")


@pytest.fixture
def slicer_requirements(repository):
    lines = (repository / "SSLMAR" / "Resources" / "requirements.txt").read_text(encoding="utf-8").splitlines()
    return {
        requirement.name: requirement for requirement in (Requirement(line) for line in lines if line.strip() and not line.startswith("#"))
    }


def test_requirements_are_those_of_the_library_without_torch(repository, slicer_requirements):
    """Lower bounds only, equal to pyproject.toml's; torch comes from the PyTorch extension."""
    project = tomllib.loads((repository / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    library = {requirement.name: requirement for requirement in map(Requirement, project["dependencies"])}
    assert "torch" not in slicer_requirements
    for name, requirement in slicer_requirements.items():
        assert [bound.operator for bound in requirement.specifier] == [">="]
        assert requirement.specifier == library[name].specifier
    only_on_the_command_line = {"tqdm", "filelock"}
    assert set(slicer_requirements) == set(library) - {"torch"} - only_on_the_command_line
    module = (repository / "SSLMAR" / "SSLMARPanel" / "installing.py").read_text(encoding="utf-8")
    assert f'TORCH_REQUIREMENT = "{library["torch"].specifier}"' in module


@pytest.fixture
def panel_file(repository):
    return ElementTree.parse(repository / "SSLMAR" / "Resources" / "UI" / "SSLMAR.ui").getroot()


def test_bound_widgets_name_parameters_that_exist(repository, panel_file):
    module = (repository / "SSLMAR" / "SSLMARPanel" / "parameters.py").read_text(encoding="utf-8")
    (described,) = (node for node in ast.walk(ast.parse(module)) if isinstance(node, ast.ClassDef))
    parameters = {node.target.id for node in described.body if isinstance(node, ast.AnnAssign)}
    bound = [prop.find("string").text for prop in panel_file.iter("property") if prop.get("name") == "SlicerParameterName"]
    assert len(bound) == len(set(bound))
    shown_by_code = {"preset", "excludedSegmentIDs", "method", "weightsFile", "device", "metalMaterial"}
    assert set(bound) == parameters - shown_by_code


def test_the_panel_file_is_one_that_slicer_loads(repository, panel_file):
    top = panel_file.find("widget")
    assert (top.get("class"), top.get("name")) == ("qMRMLWidget", "SSLMAR")
    names = [widget.get("name") for widget in panel_file.iter("widget")]
    assert len(names) == len(set(names))
    custom = {element.find("class").text for element in panel_file.iter("customwidget")}
    used = {widget.get("class") for widget in panel_file.iter("widget")}
    assert {name for name in used if not name.startswith("Q")} == custom
    selectors = {w.get("name") for w in panel_file.iter("widget") if w.get("class") == "qMRMLNodeComboBox"}
    connected = {
        connection.find("receiver").text
        for connection in panel_file.iter("connection")
        if connection.find("signal").text == "mrmlSceneChanged(vtkMRMLScene*)"
        and connection.find("slot").text == "setMRMLScene(vtkMRMLScene*)"
        and connection.find("sender").text == "SSLMAR"
    }
    assert connected == selectors
    module = (repository / "SSLMAR" / "SSLMAR.py").read_text(encoding="utf-8")
    assert set(re.findall(r"self\.ui\.(\w+)", module)) <= set(names)


def test_every_input_of_the_panel_has_a_tooltip(panel_file):
    for widget in panel_file.iter("widget"):
        if widget.get("class") in {"qMRMLNodeComboBox", "ctkSliderWidget", "QComboBox"}:
            tips = [prop for prop in widget.findall("property") if prop.get("name") == "toolTip"]
            assert tips and tips[0].find("string").text, widget.get("name")
