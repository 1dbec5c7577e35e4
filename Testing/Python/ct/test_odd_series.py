"""Each kind of odd series has the outcome that the standard asks for; see the package odd_series."""

from __future__ import annotations

import logging
import re

import numpy
import pytest
from odd_series import KINDS

from SSLMARLib.ct.dicom_series import list_series
from SSLMARLib.ct.reading_writing import read_volume
from SSLMARLib.errors import InputError


def test_there_are_many_kinds():
    assert len(KINDS) >= 60
    assert len({kind.name for kind in KINDS}) == len(KINDS)


@pytest.mark.filterwarnings("ignore:Invalid value for VR|The value length")
@pytest.mark.parametrize("kind", KINDS, ids=[kind.name for kind in KINDS])
def test_an_odd_series(kind, tmp_path, caplog):
    series = kind.make()
    series.write(tmp_path)
    with caplog.at_level(logging.INFO, "SSLMARLib"):
        if kind.refused is not None:
            with pytest.raises(InputError, match=kind.refused) as raised:
                read_volume(tmp_path)
            assert "\n" not in str(raised.value) and str(raised.value).endswith(".")
            return
        volume = read_volume(tmp_path)
    text = "\n".join(record.getMessage() for record in caplog.records)
    for said in kind.said:
        assert re.search(said, text), text
    if not kind.said:
        assert not text
    assert "\x1b" not in text
    assert volume.shape == series.values_hu.shape
    numpy.testing.assert_allclose(volume.voxels_hu, series.values_hu, rtol=0, atol=1e-9)
    assert volume.spacing_mm == pytest.approx(series.spacing_mm, abs=1e-6)
    assert volume.origin_mm == pytest.approx(series.origin_mm, abs=1e-6)
    numpy.testing.assert_allclose(volume.direction, series.direction, atol=1e-4)
    assert sum(item.number_of_slices for item in list_series(tmp_path)) >= (volume.shape[0] if "MR" not in text else 0)
