"""Summaries of an evaluation: means over the cases of each method, in all and by metal size; as text."""

from collections.abc import Sequence

# The benchmark's ten test masks in the five groups in which the literature reports them (2061 | 890, 881 | 451, 254 |
# 124 ... 112 | 53, 35).
METAL_SIZE_GROUPS_PIXELS = ((0, 80), (80, 200), (200, 600), (600, 1500), (1500, None))
REFERENCE_METHOD = "li"
MEASURES = ("rmse_hu", "rmse_near_metal_hu", "ssim", "psnr_db")
IMAGE_MEASURES = ("rmse_hu", "ssim", "psnr_db")


def metal_size_group(metal_pixels: int) -> str:
    """The name of the group of sizes that a number of metal pixels belongs to: "80 to 199"."""
    for low, high in METAL_SIZE_GROUPS_PIXELS:
        if high is None or metal_pixels < high:
            return f"{low} and more" if high is None else f"{low} to {high - 1}" if low else f"below {high}"
    raise AssertionError


def _mean(values) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def _means_of(records: list[dict], field: str) -> dict[str, float | None]:
    parts = [record[field] for record in records if record.get(field)]
    names = dict.fromkeys(name for part in parts for name in part)
    return {name: _mean(part.get(name) for part in parts) for name in names}


def _summarize_method(records: list[dict]) -> dict:
    summary = {"cases": len(records)} | {name: _mean(record.get(name) for record in records) for name in MEASURES}
    summary["bias_hu"] = _means_of(records, "bias_hu")
    summary["without_reference"] = _means_of(records, "without_reference")
    against_image = [record["against_image"] for record in records if "against_image" in record]
    if against_image:
        summary["against_image"] = {name: _mean(record[name] for record in against_image) for name in IMAGE_MEASURES}
    return summary


def summarize(records: Sequence[dict], methods: Sequence[str]) -> dict[str, dict]:
    """Means over cases for each method: {method: {cases, rmse_hu, ssim, psnr_db, rmse_ratio_to_li, ...}}.

    Every case weighs the same. rmse_ratio_to_li is the method's mean RMSE over LI's; None where LI was not run.
    Published figures are on other slices, so only this ratio can be compared with them.
    """
    summary = {method: _summarize_method([one for one in records if one["method"] == method]) for method in methods}
    interpolated_hu = summary.get(REFERENCE_METHOD, {}).get("rmse_hu")
    for values in summary.values():
        known = values["rmse_hu"] is not None and interpolated_hu
        values["rmse_ratio_to_li"] = values["rmse_hu"] / interpolated_hu if known else None
    return summary


def summarize_by_metal_size(records: Sequence[dict], methods: Sequence[str]) -> dict[str, dict[str, dict]]:
    """`summarize` for each group of metal sizes that has cases, smallest first: {group: {method: {...}}}."""
    groups: dict[str, list[dict]] = {}
    for record in sorted(records, key=lambda record: record["metal_pixels"]):
        groups.setdefault(metal_size_group(record["metal_pixels"]), []).append(record)
    return {name: summarize(members, methods) for name, members in groups.items()}


def evaluation_report(records: Sequence[dict], methods: Sequence[str], fbps: Sequence[str], **described) -> dict:
    """What `sslmar evaluate --json` writes; summary and by_metal_size are of the primary (first) FBP."""
    by_fbp = {fbp: [record for record in records if record["fbp"] == fbp] for fbp in fbps}
    by_fbp = {fbp: members for fbp, members in by_fbp.items() if members} or {"exact": list(records)}
    primary = next(iter(by_fbp.values()))
    return {
        **described,
        "fbp": next(iter(by_fbp)),
        "summary": summarize(primary, methods),
        "by_metal_size": summarize_by_metal_size(primary, methods),
        "summary_by_fbp": {fbp: summarize(members, methods) for fbp, members in by_fbp.items()},
        "cases": list(records),
    }


def _text(value, pattern: str) -> str:
    return "-" if value is None else format(value, pattern)


def _table(rows: list[list[str]]) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [
        "  ".join(
            cell.ljust(width) if column == 0 else cell.rjust(width) for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    ]
    return [lines[0], "-" * len(lines[0]), *lines[1:]]


def format_table(report: dict) -> str:
    """The tables for the terminal: all cases by FBP, RMSE by metal size, and what is measured without a reference."""
    lines = []
    references = sorted({record["reference"] for record in report["cases"] if record["reference"]})
    for fbp, summary in report["summary_by_fbp"].items():
        count = max(values["cases"] for values in summary.values())
        against = f"against {', '.join(references)}" if references else "without a reference"
        lines += [f"{count} case{'s' if count > 1 else ''}, {fbp} FBP, {against}; metal left out", ""]
        if references:
            lines += [*_table(_rows_with_reference(summary)), ""]
    sizes = report["by_metal_size"]
    if references and len(sizes) > 1:
        lines += [f"RMSE (HU) by metal size in pixels, {report['fbp']} FBP", ""]
        methods = list(report["summary"])
        rows = [["method", *sizes]]
        rows += [[method, *(_text(sizes[group][method]["rmse_hu"], ".1f") for group in sizes)] for method in methods]
        rows.append(["cases", *(str(max(values["cases"] for values in sizes[group].values())) for group in sizes)])
        lines += [*_table(rows), ""]
    if report.get("published"):
        lines += ["What the methods learned from, and their published figures (the paper's 2000 cases, LI 50.31 HU)", ""]
        lines += [*_table(_rows_of_published(report["published"], report["summary"])), ""]
    lines += [f"Measured without a reference, {report['fbp']} FBP", "", *_table(_rows_without_reference(report["summary"]))]
    return "\n".join(lines) + "\n"


def _rows_with_reference(summary: dict) -> list[list[str]]:
    with_image = any("against_image" in values for values in summary.values())
    rows = [["method", "RMSE (HU)", "of LI", "near metal (HU)", "SSIM", "PSNR (dB)"]]
    rows[0] += ["against image: RMSE (HU)", "SSIM"] if with_image else []
    for method, values in summary.items():
        row = [
            method,
            _text(values["rmse_hu"], ".1f"),
            _text(values["rmse_ratio_to_li"], ".2f"),
            _text(values["rmse_near_metal_hu"], ".1f"),
            _text(values["ssim"], ".4f"),
            _text(values["psnr_db"], ".1f"),
        ]
        if with_image:
            row += [_text(values["against_image"]["rmse_hu"], ".1f"), _text(values["against_image"]["ssim"], ".4f")]
        rows.append(row)
    return rows


def _rows_without_reference(summary: dict) -> list[list[str]]:
    rows = [["method", "streak amplitude (HU)", "artifact index (HU)", "change far from metal (HU)", "sharpness"]]
    names = ("streak_amplitude_hu", "artifact_index_hu", "change_far_from_metal_hu", "sharpness")
    for method, values in summary.items():
        measured = values["without_reference"]
        rows.append([method, *(_text(measured.get(name), ".2f" if name == "sharpness" else ".1f") for name in names)])
    return rows


def _rows_of_published(published: dict, summary: dict) -> list[list[str]]:
    rows = [["method", "learned from", "published RMSE (HU)", "of LI", "here of LI"]]
    interpolated_hu = published.get(REFERENCE_METHOD, {}).get("rmse_hu")
    for method, facts in published.items():
        ratio = facts["rmse_hu"] / interpolated_hu if facts["rmse_hu"] and interpolated_hu else None
        here = _text(summary[method]["rmse_ratio_to_li"], ".2f")
        rows.append([method, facts["learned_from"] or "-", _text(facts["rmse_hu"], ".2f"), _text(ratio, ".2f"), here])
    return rows
