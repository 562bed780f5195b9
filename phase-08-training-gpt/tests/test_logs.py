"""A run's log: appended line by line, cut back to the checkpoint on resuming."""

from pathlib import Path

import pytest

from phase08 import logs


def written(folder: Path, *steps: int) -> Path:
    log = logs.Log(folder)
    for step in steps:
        log.write(step, loss=float(step))
    log.close()
    return folder / "log.jsonl"


def test_lines_come_back_as_they_were_written(tmp_path: Path) -> None:
    path = written(tmp_path, 1, 2)
    assert logs.read(path) == [{"step": 1, "loss": 1.0}, {"step": 2, "loss": 2.0}]


def test_a_new_run_starts_an_empty_log(tmp_path: Path) -> None:
    written(tmp_path, 1, 2)
    assert logs.read(written(tmp_path)) == []


def test_resuming_drops_the_lines_past_the_checkpoint(tmp_path: Path) -> None:
    path = written(tmp_path, 10, 20, 30, 40)
    log = logs.Log(tmp_path, step=20)
    log.write(30, loss=-1.0)
    log.close()
    assert [(line["step"], line["loss"]) for line in logs.read(path)] == [
        (10, 10.0),
        (20, 20.0),
        (30, -1.0),
    ]


def test_a_torn_last_line_is_left_out_and_a_torn_earlier_one_is_named(tmp_path: Path) -> None:
    path = written(tmp_path, 1, 2)
    whole = path.read_text()
    path.write_text(whole + '{"step": 3, "lo')
    assert [line["step"] for line in logs.read(path)] == [1, 2]
    path.write_text('{"step": 0, "lo\n' + whole)
    with pytest.raises(ValueError, match=r"line 1 of .*log.jsonl is not json"):
        logs.read(path)


def test_no_log_reads_as_empty(tmp_path: Path) -> None:
    assert logs.read(tmp_path / "log.jsonl") == []
