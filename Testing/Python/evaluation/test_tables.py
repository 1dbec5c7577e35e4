"""Means, ratios and size groups against sums by hand."""

from __future__ import annotations

import pytest

from SSLMARLib.evaluation.tables import evaluation_report, format_table, metal_size_group, summarize


def _record(method, error, pixels=100, fbp="exact", reference="poly_CT"):
    known = reference is not None
    return {
        "slice": "s",
        "mask": str(pixels),
        "method": method,
        "fbp": fbp,
        "reference": reference,
        "metal_pixels": pixels,
        "rmse_hu": error if known else None,
        "ssim": 1 - error / 1000 if known else None,
        "psnr_db": None,
        "rmse_near_metal_hu": 2 * error,
        "bias_hu": {"bone": error, "soft_tissue": None},
        "without_reference": {"sharpness": 1.0, "streak_amplitude_hu": None},
    }


RECORDS = [_record("li", 20), _record("li", 40, 2000), _record("nmar", 10), _record("nmar", 35, 2000)]


def test_means_and_ratio():
    summary = summarize(RECORDS, ("li", "nmar"))
    assert summary["li"]["rmse_hu"] == 30 and summary["nmar"]["rmse_hu"] == 22.5
    assert summary["nmar"]["ssim"] == pytest.approx(1 - 0.0225)
    assert summary["nmar"]["rmse_ratio_to_li"] == 0.75 and summary["li"]["rmse_ratio_to_li"] == 1
    assert summary["nmar"]["bias_hu"] == {"bone": 22.5, "soft_tissue": None}
    assert summary["nmar"]["psnr_db"] is None and summary["nmar"]["cases"] == 2
    assert summarize(RECORDS[2:], ("nmar",))["nmar"]["rmse_ratio_to_li"] is None


def test_the_test_masks_fall_into_the_usual_groups():
    groups = [[35, 53], [112, 118, 124], [254, 451], [881, 890], [2061]]
    names = [{metal_size_group(size) for size in group} for group in groups]
    assert all(len(name) == 1 for name in names) and len(set.union(*names)) == 5
    assert metal_size_group(79) == "below 80" and metal_size_group(80) == "80 to 199"
    assert metal_size_group(1500) == "1500 and more"


def test_report_by_size_and_fbp():
    other = [_record("li", 21, fbp="benchmark"), _record("nmar", 7, fbp="benchmark")]
    report = evaluation_report(RECORDS + other, ("li", "nmar"), ("exact", "benchmark"), folder="test")
    assert report["fbp"] == "exact" and report["folder"] == "test" and len(report["cases"]) == 6
    assert report["summary"]["nmar"]["rmse_hu"] == 22.5
    assert report["summary_by_fbp"]["benchmark"]["nmar"]["rmse_hu"] == 7
    assert list(report["by_metal_size"]) == ["80 to 199", "1500 and more"]
    assert report["by_metal_size"]["1500 and more"]["nmar"]["rmse_hu"] == 35


def test_the_table_shows_the_figures():
    text = format_table(evaluation_report(RECORDS, ("li", "nmar"), ("exact",)))
    (row,) = (line.split() for line in text.splitlines() if line.startswith("nmar") and "0.9775" in line)
    assert row[1:3] == ["22.5", "0.75"]
    assert "2 cases, exact FBP, against poly_CT" in text and "1500 and more" in text
    assert max(map(len, text.splitlines())) <= 120


def test_the_table_of_real_scans_has_no_errors_to_show():
    records = [_record("li", 0, reference=None)]
    text = format_table(evaluation_report(records, ("li",), ("benchmark",)))
    assert "1 case, exact FBP, without a reference" in text and "RMSE" not in text and "sharpness" in text
