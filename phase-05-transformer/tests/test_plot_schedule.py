"""The drawing of the paper's learning rate: its peaks, its files, its refusals."""

import dataclasses
import json
from xml.etree import ElementTree

import pytest

from phase05.plot_schedule import Config, main

SMALL = Config(d_model=16, warmup_steps=25, n_steps=300)


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    folder = tmp_path_factory.mktemp("schedule")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        return main(SMALL), folder / "runs" / "phase05"


def test_peaks_stand_at_the_end_of_each_warmup(ran):
    peaks = list(ran[0]["peaks"].values())
    assert [peak["step"] for peak in peaks] == [25, 25, 50, 1]
    # (16 * 25)^-0.5, (8 * 25)^-0.5, (16 * 50)^-0.5, 16^-0.5
    assert [peak["rate"] for peak in peaks] == pytest.approx([0.05, 0.07071, 0.03536, 0.25])
    assert ran[0]["first_rate"] == pytest.approx(0.002)


def test_numbers_and_picture_are_written(ran):
    metrics, folder = ran
    names = sorted(file.name for file in folder.iterdir())
    assert names == ["plot_schedule-rates.svg", "plot_schedule.json"]
    assert ElementTree.parse(folder / "plot_schedule-rates.svg").getroot().tag.endswith("svg")
    written = json.loads((folder / "plot_schedule.json").read_text(encoding="utf-8"))
    assert written["metrics"] == metrics


@pytest.mark.parametrize("fault", [{"d_model": 1}, {"warmup_steps": 0}, {"n_steps": 50}])
def test_settings_that_make_no_sense_are_refused(fault):
    with pytest.raises(ValueError, match=next(iter(fault))):
        dataclasses.replace(SMALL, **fault)
