"""How scripts read their command line and end: metrics as the last line, mistakes with code 2."""

import errno
import json
from dataclasses import dataclass

import pytest

from journal import script


@dataclass(frozen=True)
class Config:
    preset: str = "small"
    n_layer: int = 2
    rate: float = 0.1


PRESETS = {"small": Config(), "large": Config(preset="large", n_layer=40)}


def seen(config: Config) -> dict[str, object]:
    print("working")
    return {"preset": config.preset, "n_layer": config.n_layer, "rate": config.rate}


def run(*argv: str, main=seen, config=PRESETS) -> None:
    script.run(main, config, argv)


def test_the_last_line_is_the_metrics_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    run()
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "working"
    assert json.loads(lines[-1]) == {"preset": "small", "n_layer": 2, "rate": 0.1}


@pytest.mark.parametrize("argv", [("--preset", "large"), ("--preset=large",)])
def test_options_override_the_values_of_a_preset(
    argv: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    run("--rate", "0.5", *argv)
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert found == {"preset": "large", "n_layer": 40, "rate": 0.5}


def test_help_shows_the_values_of_the_preset(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        run("--preset", "large", "--help")
    assert stop.value.code == 0
    assert "40" in capsys.readouterr().out


def test_an_unknown_preset_names_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        run("--preset", "lage")
    assert stop.value.code == 2
    assert capsys.readouterr().err == "error: there is no preset 'lage'; did you mean large?\n"


def test_an_unknown_option_names_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        run("--n-layers", "3")
    assert stop.value.code == 2
    assert "--n-layer" in capsys.readouterr().err


def test_a_users_mistake_is_one_sentence_and_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    def main(config: Config) -> None:
        script.parse({"tiny": config}, ["--preset", "none-such"])

    with pytest.raises(SystemExit) as stop:
        run(main=main)
    assert stop.value.code == 2
    assert capsys.readouterr().err == "error: there is no preset 'none-such'; there are tiny\n"


def test_a_full_disk_is_one_sentence_and_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    def main(config: Config) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "runs/x")

    with pytest.raises(SystemExit) as stop:
        run(main=main)
    assert stop.value.code == 2
    assert "No space left on device: 'runs/x'" in capsys.readouterr().err


def test_a_bug_of_ours_keeps_its_traceback() -> None:
    def main(config: Config) -> None:
        json.loads("{")  # a ValueError, raised by a library that was called wrongly

    with pytest.raises(json.JSONDecodeError):
        run(main=main)


def test_ctrl_c_ends_with_code_130(capsys: pytest.CaptureFixture[str]) -> None:
    def main(config: Config) -> None:
        raise KeyboardInterrupt

    with pytest.raises(SystemExit) as stop:
        run(main=main)
    assert stop.value.code == 130


@dataclass(frozen=True)
class Seeded:
    seed: int = 0


def test_a_seed_below_0_is_refused_for_every_script(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        run("--seed", "-1", main=lambda config: {"seed": config.seed}, config=Seeded)
    assert stop.value.code == 2
    assert capsys.readouterr().err == "error: a seed is 0 or more, not -1\n"


def test_a_milestone_closes_with_its_costs_and_its_questions(capsys):
    script.close([("parameters", "3", "one per input [and a bias]")], ["Why 3?", "What of [x]?"])
    out = capsys.readouterr().out.splitlines()
    assert out[1].split() == ["what", "it", "costs", "here", "how", "it", "grows"]
    assert out[2].split() == ["parameters", "3", "one", "per", "input", "[and", "a", "bias]"]
    assert out[-2:] == ["1. Why 3?", "2. What of [x]?"]
