"""What `journal doctor` finds out, and that its comparison of devices sees a wrong device."""

import os
import subprocess
import sys

import pytest
import torch

from journal import data, doctor, views
from journal.doctor import Finding

CPU = torch.device("cpu")
SIZES = {"rows": 700, "d_in": 24, "d_out": 410}


def test_python_out_of_range_fails_and_names_what_to_install():
    assert doctor.python((3, 11)).verdict == "ok"
    assert doctor.python((3, 13)).verdict == "ok"
    for version in ((3, 10), (3, 14)):
        finding = doctor.python(version)
        assert finding.verdict == "fails"
        assert "uv python install 3.11" in finding.advice


def test_little_memory_and_disk_are_noted(tmp_path):
    assert doctor.memory(8 * 10**9, 10**9) == Finding("Memory", "8.0 GB, 1.0 GB of them free")
    assert "GPT-2 Small does not" in doctor.memory(2 * 10**9, 10**9).advice
    assert doctor.disk(tmp_path, free=6 * 10**9) == Finding("Disk", "6.0 GB free")
    assert "1.5 GB" in doctor.disk(tmp_path, free=10**9).advice


def test_missing_tools_and_data_are_noted_with_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.delenv("JOURNAL_DATA", raising=False)
    monkeypatch.setenv("JOURNAL_CACHE", str(tmp_path))
    assert doctor.compiler() == Finding("C++ compiler", "none", doctor.compiler().advice)
    monkeypatch.setenv("CXX", "no-such-compiler")
    assert doctor.compiler().found == "CXX is no-such-compiler, not found"
    assert "uncompiled" in doctor.compiler().advice
    assert "make setup" in doctor.uv(tmp_path).advice
    assert "journal data fetch tiktoken-cache" in doctor.vocabulary().advice
    assert "journal data list" in doctor.data_sets().advice


def test_data_folder_that_is_not_there_is_a_finding_and_the_rest_is_still_examined(
    tmp_path, monkeypatch
):
    monkeypatch.setenv("JOURNAL_DATA", str(tmp_path / "nowhere"))
    monkeypatch.setattr(doctor, "training_device", lambda root: Finding("Training", "cpu"))
    monkeypatch.setattr(doctor, "accelerators", lambda: iter(()))
    findings = {finding.subject: finding for finding in doctor.examine(tmp_path)}
    assert findings["Data sets"].verdict == "fails"
    assert "JOURNAL_DATA is set to" in findings["Data sets"].advice
    assert findings["torch"].verdict == "ok"
    assert findings["Training"].verdict == "ok"


@pytest.mark.skipif(os.name != "posix", reason="an executable is a file mode on POSIX only")
def test_present_tools_and_data_are_ok(tmp_path, monkeypatch):
    for name in ("g++", "uv"):
        (tmp_path / name).touch(mode=0o755)
    for name in data.TIKTOKEN_FILES:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("CXX", "")
    monkeypatch.setenv("JOURNAL_DATA", str(tmp_path))
    assert doctor.compiler() == Finding("C++ compiler", str(tmp_path / "g++"))
    assert doctor.uv(tmp_path) == Finding("uv", str(tmp_path / "uv"))
    assert doctor.vocabulary() == Finding("GPT-2 vocabulary", "here")
    assert doctor.data_sets().verdict == "ok"
    assert "tiktoken-cache" in doctor.data_sets().found


@pytest.mark.parametrize(("dtype", "bound"), [(torch.float32, 1e-5), (torch.bfloat16, 1e-2)])
def test_cpu_agrees_with_itself_on_logits_and_gradients(dtype, bound):
    differences = doctor.linear_differences(CPU, dtype, *SIZES.values())
    assert list(differences) == [
        "logits",
        "the gradient of x",
        "the gradient of the weight",
        "the gradient of the bias",
    ]
    assert max(differences.values()) < bound
    finding = doctor.compared(CPU, dtype, **SIZES)
    assert finding.verdict == "ok"
    assert "24 -> 410, 700 rows" in finding.found


class BrokenLinear(torch.autograd.Function):
    """A linear layer whose named result is wrong in its last row, as on a faulty device."""

    part = ""

    @staticmethod
    def forward(ctx, x, weight, bias):
        ctx.save_for_backward(x, weight)
        y = x @ weight.T + bias
        if BrokenLinear.part == "logits":
            y[-1] = 0
        return y

    @staticmethod
    def backward(ctx, dy):  # ty: ignore[incompatible-method-override]
        x, weight = ctx.saved_tensors
        result = {"x": dy @ weight, "weight": dy.T @ x, "bias": dy.sum(0)}
        if BrokenLinear.part in result:
            result[BrokenLinear.part][-1] = float("nan")
        return tuple(result.values())


@pytest.mark.parametrize("part", ["logits", "x", "weight", "bias"])
def test_wrong_device_fails_and_the_wrong_part_is_named(part, monkeypatch):
    monkeypatch.setattr(torch.nn.functional, "linear", BrokenLinear.apply)
    monkeypatch.setattr(BrokenLinear, "part", part)
    finding = doctor.compared(CPU, torch.float32, **SIZES)
    assert finding.verdict == "fails"
    assert f"{part} wrongly at this size" in finding.advice
    assert "--device cpu" in finding.advice
    monkeypatch.setattr(BrokenLinear, "part", "")
    assert doctor.compared(CPU, torch.float32, **SIZES).verdict == "ok"


def test_device_that_runs_out_of_memory_is_a_note(monkeypatch):
    def full(*args):
        raise torch.OutOfMemoryError("out of memory\nand a long report")

    monkeypatch.setattr(torch.nn.functional, "linear", full)
    finding = doctor.compared(CPU, torch.float32, **SIZES)
    assert finding.verdict == "note"
    assert "(out of memory)" in finding.advice


def test_exit_code_is_1_only_where_something_needed_fails(capsys):
    note = Finding("Disk", "little", "free some")
    assert views.show_findings([Finding("Python", "3.11.9"), note]) == 0
    assert views.show_findings([note, Finding("torch", "none", "install it", needed=True)]) == 1
    out = capsys.readouterr().out.splitlines()
    assert out[:3] == [
        "ok     Python            3.11.9",
        "note   Disk              little",
        "                         free some",
    ]


def test_phase_8_that_cannot_choose_is_reported_with_its_reason(tmp_path):
    folder = tmp_path / "phase-08-name" / "code" / "phase08"
    folder.mkdir(parents=True)
    (folder / "__init__.py").touch()
    (folder / "devices.py").write_text("raise ValueError('no such luck')")
    finding = doctor.training_device(tmp_path)
    assert finding.verdict == "fails"
    assert "ValueError: no such luck" in finding.advice


@pytest.mark.skipif(
    torch.cuda.is_available() or torch.backends.mps.is_available(),
    reason="with an accelerator this compares real devices, which takes gigabytes",
)
def test_doctor_examines_this_machine_in_plain_text(tmp_path):
    answer = subprocess.run(
        [sys.executable, "-m", "journal.cli", "doctor"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "JOURNAL_CACHE": str(tmp_path)},
        check=False,
    )
    assert answer.stderr == ""
    lines = {line[7:25].strip(): line for line in answer.stdout.splitlines()}
    assert lines["torch"].endswith(torch.__version__)
    assert "cpu" in lines["Training runs on"]
    assert "no accelerator" in lines["CPU and device"]
    assert answer.returncode == (1 if "fails " in answer.stdout else 0)
