"""What cannot be done is refused: exit status 2, one sentence, no traceback, nothing written, nothing left behind."""

from __future__ import annotations

import errno
import os

import numpy
import pytest
import SimpleITK


@pytest.mark.parametrize("verb", ["correct", "segment"])
@pytest.mark.parametrize(
    "name, content, sentence",
    [
        ("absent.nrrd", None, "does not exist"),
        ("absent", None, "does not exist"),
        ("empty.nrrd", b"", "cannot be read as NRRD"),
        ("noise.nii.gz", bytes(range(256)) * 20, "cannot be read as NIfTI"),
        ("cut.mha", b"ObjectType = Image\nNDims = 3\nDimSize = 5 5\n", "cannot be read as MetaImage"),
        ("negative.mha", b"ObjectType = Image\nNDims = 3\nDimSize = -5 5 5\nElementType = MET_SHORT\nElementDataFile = LOCAL\n", "damaged"),
        ("vast.nrrd", b"NRRD0004\ntype: short\ndimension: 3\nsizes: 1000000 1000000 1000\nencoding: raw\nendian: little\n\n", "damaged"),
        ("text.txt", b"no image", "is of no known type"),
        ("broken.dcm", b"\0" * 128 + b"DICM" + b"?" * 200, "cannot be read as DICOM"),
    ],
)
def test_files_that_cannot_be_read(refusal, tmp_path, verb, name, content, sentence):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    assert sentence in refusal(verb, tmp_path / name, tmp_path / "out.nrrd")


def test_a_file_that_ends_early(refusal, scan, tmp_path):
    content = scan.read_bytes()
    scan.write_bytes(content[: len(content) // 2])
    assert "incomplete" in refusal("correct", scan, tmp_path / "out.nrrd")


def test_a_folder_without_dicom(refusal, tmp_path):
    (tmp_path / "empty").mkdir()
    assert "no DICOM images" in refusal("correct", tmp_path / "empty", tmp_path / "out.nrrd")


def test_a_file_without_permission(refusal, scan, tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: os.fspath(path) != os.fspath(scan))
    assert "permission denied" in refusal("correct", scan, tmp_path / "out.nrrd")


@pytest.mark.parametrize("value", [numpy.nan, numpy.inf, -numpy.inf])
@pytest.mark.parametrize("suffix", [".nrrd", ".nii.gz"])
def test_voxels_that_are_no_numbers(refusal, save, make_voxels, tmp_path, value, suffix):
    voxels = make_voxels(dtype="float32")
    voxels[0, 3, 3:5] = value
    assert "2 voxels that are NaN or infinite" in refusal("correct", save(f"scan{suffix}", voxels), tmp_path / "out.nrrd")


@pytest.mark.parametrize("dtype, value", [("float32", 3e38), ("float64", 1e300), ("int32", 2**31 - 1)])
def test_voxels_that_are_no_hounsfield_units(refusal, save, make_voxels, tmp_path, dtype, value):
    voxels = make_voxels(dtype=dtype)
    voxels[0, 3, 3] = value
    assert "no Hounsfield units" in refusal("correct", save("scan.nrrd", voxels), tmp_path / "out.nrrd")


def test_color_and_time_series(refusal, save, tmp_path):
    color = save("color.nrrd", numpy.zeros((3, 20, 20, 3), numpy.uint8), isVector=True)
    assert "3 values in each voxel" in refusal("correct", color, tmp_path / "out.nrrd")
    series = save("series.nii.gz", numpy.zeros((2, 3, 20, 20), numpy.int16), isVector=False)
    assert "4D volume" in refusal("correct", series, tmp_path / "out.nrrd")


@pytest.mark.parametrize(
    "change, sentence",
    [
        (lambda mask: mask[:3], "mask .*80 x 80 x 3 voxels and the volume 80 x 80 x 4"),
        (lambda mask: mask * 0, "mask is empty"),
        (lambda mask: mask * 0 + 1, "covers 100 % of slice 1"),
    ],
)
def test_masks_that_do_not_fit(refusal, scan, save, make_voxels, tmp_path, change, sentence):
    mask = save("mask.nrrd", change((make_voxels() == 3000).astype(numpy.uint8)))
    error = refusal("correct", scan, tmp_path / "out.nrrd", "--mask", mask)
    assert all(part in error for part in sentence.split(".*"))


def test_a_mask_that_lies_elsewhere(refusal, scan, save, make_voxels, tmp_path):
    mask = save("mask.nrrd", (make_voxels() == 3000).astype(numpy.uint8), origin=(0.0, 0.0, 40.0))
    assert "lies elsewhere" in refusal("correct", scan, tmp_path / "out.nrrd", "--mask", mask)


@pytest.mark.parametrize("verb", ["correct", "segment"])
def test_no_metal(refusal, save, make_voxels, tmp_path, verb):
    voxels = make_voxels(slices=(0, 0))
    voxels[2, 40, 40] = 1234
    error = refusal(verb, save("scan.nrrd", voxels), tmp_path / "out.nrrd", "--threshold-hu", "2100")
    assert "No metal found" in error and "2100 HU" in error and "maximum is 1234 HU" in error


def test_all_of_one_value_is_no_scan(refusal, save, tmp_path):
    scan = save("scan.nrrd", numpy.full((3, 40, 40), 3000, numpy.int16))
    assert "nothing is left" in refusal("correct", scan, tmp_path / "out.nrrd")


def test_outputs_that_exist(refusal, scan, tmp_path):
    out = tmp_path / "out.nrrd"
    out.write_text("mine")
    assert "--overwrite" in refusal("correct", scan, out)
    assert "--overwrite" in refusal("segment", scan, out)
    for option, name in (("--mask-output", "m.nrrd"), ("--trust-output", "t.nrrd"), ("--report", "r.json"), ("--figure", "f.png")):
        (tmp_path / name).write_text("mine")
        assert "--overwrite" in refusal("correct", scan, tmp_path / "new.nrrd", option, tmp_path / name)
    assert out.read_text() == "mine"


def test_the_input_is_never_replaced(refusal, scan, save, make_voxels, tmp_path):
    (tmp_path / "link.nrrd").symlink_to(scan)
    (tmp_path / "folder").symlink_to(tmp_path, target_is_directory=True)
    mask = save("mask.nrrd", (make_voxels() == 3000).astype(numpy.uint8))
    for output in (scan, tmp_path / "link.nrrd", tmp_path / "folder" / "scan.nrrd"):
        assert "is the input itself" in refusal("correct", scan, output, "--overwrite")
        assert "is the input itself" in refusal("segment", scan, output, "--overwrite")
        for option in ("--mask-output", "--trust-output", "--report", "--figure"):
            assert "is the input itself" in refusal("correct", scan, tmp_path / "out.nrrd", option, output, "--overwrite")
    for option in ("--report", "--mask-output"):
        error = refusal("correct", scan, tmp_path / "out.nrrd", "--mask", mask, option, mask, "--overwrite")
        assert "is the input itself" in error


def test_two_outputs_of_one_name(refusal, scan, tmp_path):
    out = tmp_path / "out.nrrd"
    for option in ("--mask-output", "--trust-output", "--report", "--figure"):
        assert "another output" in refusal("correct", scan, out, option, out, "--overwrite")
    # both would write pair.raw
    assert "another output" in refusal("correct", scan, tmp_path / "pair.mhd", "--mask-output", tmp_path / "pair.nhdr")


@pytest.mark.parametrize(
    "option, name",
    [(None, "o.nrrd"), ("--mask-output", "m.nrrd"), ("--trust-output", "t.nrrd"), ("--report", "r.json"), ("--figure", "f.png")],
)
def test_missing_folders_are_noticed_before_the_work(refusal, scan, tmp_path, monkeypatch, option, name):
    from SSLMARLib.ct import reading_writing

    monkeypatch.setattr(reading_writing, "read_volume", None)  # reading would be a TypeError
    missing = tmp_path / "absent" / name
    words = [missing] if option is None else [tmp_path / "out.nrrd", option, missing]
    assert "does not exist; make it first" in refusal("correct", scan, *words)


def test_other_outputs_that_cannot_be(refusal, scan, tmp_path, monkeypatch):
    assert "no known suffix" in refusal("correct", scan, tmp_path / "out.tiff")
    assert "no known suffix" in refusal("correct", scan, tmp_path / "out")
    assert "ends in .png" in refusal("correct", scan, tmp_path / "out.nrrd", "--figure", tmp_path / "figure.jpg")
    assert "too long" in refusal("correct", scan, tmp_path / ("a" * 260 + ".nrrd"))
    assert "too long" in refusal("correct", scan, tmp_path / "out.nrrd", "--report", tmp_path / ("a" * 260 + ".json"))
    (tmp_path / "full.nrrd").mkdir()
    assert "is a folder" in refusal("correct", scan, tmp_path / "full.nrrd", "--overwrite")
    (tmp_path / "closed").mkdir()
    access = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: "closed" not in os.fspath(path) and access(path, mode))
    assert "not writable" in refusal("correct", scan, tmp_path / "closed" / "out.nrrd")


@pytest.mark.skipif(os.name != "posix", reason="names are bytes on POSIX alone")
def test_names_that_are_no_text(start, scan, tmp_path):
    """SimpleITK ends the process at such a name, so this runs in one of its own."""
    odd = os.fsencode(tmp_path) + b"/a\xff.nrrd"
    try:
        os.close(os.open(odd, os.O_CREAT))
    except OSError:
        pytest.skip("this file system takes UTF-8 names alone")
    for words in ([odd, tmp_path / "out.nrrd"], [scan, os.fsencode(tmp_path) + b"/b\xff.nrrd"]):
        process = start("correct", *map(os.fsdecode, words))
        error = process.communicate(timeout=60)[1]
        assert process.returncode == 2 and "not in UTF-8" in error and error.count("\n") == 1, error
    assert sorted(os.listdir(os.fsencode(tmp_path))) == [b"a\xff.nrrd", b"scan.nrrd"]


def test_methods_and_devices(refusal, scan, tmp_path):
    import torch

    out = tmp_path / "out.nrrd"
    assert "no method 'magic': choose one of li, nmar" in refusal("correct", scan, out, "--method", "magic")
    assert "choose one of auto, cpu, cuda" in refusal("correct", scan, out, "--device", "tpu")
    if torch.cuda.is_available():
        pytest.skip("there is a GPU here, so it cannot be missed")
    assert "finds no CUDA device" in refusal("correct", scan, out, "--device", "cuda")
    assert "finds no CUDA device" in refusal("demo", "--output", tmp_path / "demo", "--device", "cuda")


@pytest.mark.parametrize(
    "words",
    [
        ["--threshold-hu", "much"],
        ["--threshold-hu", "-5"],
        ["--threshold-hu", "nan"],
        ["--threshold-hu", "inf"],
        ["--smallest-component-mm3", "-1"],
        ["--peak-hu", "x"],
        ["--dilation-mm", "-1"],
        ["--dilation-mm", "1e9"],
        ["--batch-size", "0"],
        ["--batch-size", "1.5"],
        ["--trace-dilation-bins", "-1"],
        ["--trace-dilation-bins", "400"],
        ["--trace-dilation-bins", "x"],
        ["--mask", "m.nrrd", "--threshold-hu", "2000"],
        ["--mask", "m.nrrd", "--dilation-mm", "2"],
        ["--mask", "m.nrrd", "--smallest-component-mm3", "2"],
        ["--mask", "m.nrrd", "--peak-hu", "0"],
        ["--magic"],
        ["a third name"],
    ],
)
def test_bad_arguments(refusal, scan, tmp_path, words):
    refusal("correct", scan, tmp_path / "out.nrrd", *words)


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["improve"],
        ["correct"],
        ["bench", "everything"],
        ["bench", "pipeline", "--slices", "0.5"],
        ["evaluate", "/absent"],
        ["train", "/absent.json"],
        ["simulate", "/absent.nrrd", "out.nrrd"],
        ["simulate", "/absent.nrrd", "out.nrrd", "--implant", "hip"],
        ["segment", "/absent.nrrd", "mask.nrrd"],
        ["info", "more"],
    ],
)
def test_other_verbs(refusal, tmp_path, monkeypatch, words):
    monkeypatch.chdir(tmp_path)
    refusal(*words)


def test_too_little_memory(refusal, scan, tmp_path, monkeypatch):
    from SSLMARLib import correction

    def none_left(*_, **__):
        raise MemoryError

    monkeypatch.setattr(correction._SliceRun, "correct_slices", none_left)
    assert "not enough memory" in refusal("correct", scan, tmp_path / "out.nrrd")
    monkeypatch.setattr(correction, "find_metal", none_left)
    assert "memory is not enough" in refusal("correct", scan, tmp_path / "out.nrrd")


@pytest.mark.parametrize("failing", ["out.nrrd", "mask.nii.gz", "report.json", "figure.png"])
def test_a_full_disk_leaves_none_of_the_outputs(refusal, scan, tmp_path, monkeypatch, failing):
    """Whichever of the four outputs does not fit: the others go too."""
    replace = os.replace

    def no_space(source, target):
        if os.fspath(target).endswith(failing):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        replace(source, target)

    monkeypatch.setattr(os, "replace", no_space)
    words = ["--mask-output", tmp_path / "mask.nii.gz", "--report", tmp_path / "report.json", "--figure", tmp_path / "figure.png"]
    error = refusal("correct", scan, tmp_path / "out.nrrd", *words)
    assert failing in error and ("full" in error or "No space" in error)


def test_a_missing_package_is_named_before_the_work(refusal, scan, tmp_path, monkeypatch):
    import sys

    from SSLMARLib.ct import reading_writing

    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "matplotlib", None)
        patch.setattr(reading_writing, "read_volume", None)
        assert "matplotlib is not installed" in refusal("correct", scan, tmp_path / "o.nrrd", "--figure", tmp_path / "f.png")
    monkeypatch.setitem(sys.modules, "torch", None)
    assert "pip install torch" in refusal("correct", scan, tmp_path / "o.nrrd")


@pytest.mark.parametrize("words", [["correct", "OUT", "--method", "li"], ["simulate", "OUT", "--implant", "hip"]])
def test_missing_pytorch_is_a_sentence(start, scan, tmp_path, words):
    """In a process of its own, where no file that needs PyTorch was imported before."""
    verb, *options = (tmp_path / "out.nrrd" if word == "OUT" else word for word in words)
    arguments = [str(word) for word in (verb, scan, *options)]
    script = f"import sys\nsys.modules['torch'] = None\nfrom SSLMARLib.cli import main\nsys.exit(main({arguments!r}))"
    process = start(script=script)
    error = process.communicate(timeout=60)[1]
    assert process.returncode == 2 and "pip install torch" in error and error.count("\n") == 1, error
    assert not (tmp_path / "out.nrrd").exists()


def test_a_mask_of_nan_alone_is_refused(refusal, scan, save, make_voxels, tmp_path):
    mask = numpy.zeros((4, 80, 80), numpy.float32)
    mask[1, 40, 40] = numpy.nan
    assert "metal" in refusal("correct", scan, tmp_path / "out.nrrd", "--mask", save("mask.nrrd", mask))  # NaN is none
    assert SimpleITK.ReadImage(str(scan)).GetSize() == (80, 80, 4)


COMMANDS_OF_A_TERMINAL = "\x1b[2J\x1b]0;owned\x07Head\x9b31m"


def _series_beside(folder, make_dicom_folder, modality):
    """Puts a second series into the folder; both have descriptions that command a terminal."""
    import pydicom

    for path in make_dicom_folder("other").iterdir():
        data = pydicom.dcmread(path)
        data.Modality = modality
        data.save_as(folder / f"other{path.name}")
    for path in folder.iterdir():
        data = pydicom.dcmread(path)
        data.SpecificCharacterSet = "ISO_IR 100"
        data.SeriesDescription = COMMANDS_OF_A_TERMINAL
        data.save_as(path)


def _has_no_controls(text: str) -> bool:
    return all(character.isprintable() for character in text.replace("\n", ""))


def test_escape_codes_of_a_header_do_not_reach_the_terminal_in_errors(refusal, make_dicom_folder, tmp_path):
    folder = make_dicom_folder()
    _series_beside(folder, make_dicom_folder, "CT")
    sentence = refusal("segment", folder, tmp_path / "out.nrrd")
    assert "2 CT series" in sentence and "Head" in sentence and _has_no_controls(sentence)


def test_escape_codes_of_a_header_do_not_reach_the_terminal_in_warnings(start, make_dicom_folder, tmp_path):
    folder = make_dicom_folder()
    _series_beside(folder, make_dicom_folder, "PT")
    output, error = start("segment", folder, tmp_path / "out.nrrd").communicate(timeout=120)
    assert "several series" in error and "Head" in error and _has_no_controls(error + output)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such names")
def test_escape_codes_of_a_name_do_not_reach_the_terminal(refusal, start, scan, tmp_path):
    assert _has_no_controls(refusal("segment", tmp_path / "a\x1b[31mb.nrrd", tmp_path / "out.nrrd"))
    assert _has_no_controls(refusal("segment", scan, tmp_path / "out.nrrd", "--no\x1b[31msuch"))
    output, error = start("segment", scan, tmp_path / "a\x1b[31mb.nrrd").communicate(timeout=120)
    assert "[31mb.nrrd" in output and _has_no_controls(output + error)


def test_every_message_is_one_line_of_text():
    from SSLMARLib.errors import Cancelled, InputError, MissingPackageError, plain_text

    for kind in (InputError, Cancelled, MissingPackageError):
        assert str(kind("a\x1b[0m\nb\x00\u2028c\ud800")) == "a [0m b  c?"
    assert plain_text("Müller 頭部 ✓") == "Müller 頭部 ✓"
    assert MissingPackageError("gone", name="torch").name == "torch"
