"""Checkpoints survive a kill at any operation and notice any damage.

The kills are real: a forked child sends itself SIGKILL before and in the middle of the n-th of the
operations of `phase08.durable`, for every n (after the n-th is before the next), and the parent
looks at what is left on the disk.
"""

import errno
import filecmp
import json
import os
import random
import shutil
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

from phase08 import checkpoint, durable

OPERATIONS = ("make_folder", "write", "sync", "sync_folder", "rename", "remove")


def content(step: int, flavour: int = 0) -> dict[str, Any]:
    """What the checkpoint of a step holds in these tests; another flavour, other numbers."""
    generator = torch.Generator().manual_seed(1000 * flavour + step)
    return {
        "tensors": {
            "model": {
                "wte.weight": torch.randn(5, 3, generator=generator),
                "ln_f.bias": torch.randn(3, generator=generator).bfloat16(),
            },
            "optimizer": {"wte.weight.step": torch.tensor(float(step))},
        },
        "state": {"step": step, "flavour": flavour, "best": {"step": None, "loss": 4.25}},
    }


def save(folder: Path, step: int, flavour: int = 0) -> Path:
    return checkpoint.save(folder, step, **content(step, flavour))


def assert_holds(path: Path, step: int, flavour: int = 0) -> None:
    tensors, state = checkpoint.load(path)
    expected = content(step, flavour)
    assert state == expected["state"]
    assert tensors.keys() == expected["tensors"].keys()
    for stem, named in expected["tensors"].items():
        assert tensors[stem].keys() == named.keys()
        for name, tensor in named.items():
            assert tensors[stem][name].dtype == tensor.dtype
            assert torch.equal(tensors[stem][name], tensor), f"{stem}: {name}"


def names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


@pytest.fixture(autouse=True)
def no_waiting_for_the_disk(monkeypatch):
    """A kill loses nothing that the system has taken over: syncing is for power cuts, whose test
    is that of the order of the operations. Without the waiting these tests take a tenth."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


# --- round trips -------------------------------------------------------------------------------


def test_what_was_saved_comes_back_to_the_last_bit(tmp_path):
    generator = torch.Generator().manual_seed(3)
    base = torch.randn(4, 6, generator=generator)
    odd = {
        "scalar": torch.tensor(2.5, dtype=torch.float64),
        "empty": torch.zeros(0, 3),
        "transposed": base.T,
        "slice": base[1:3, ::2],
        "half": base.half(),
        "brain": base.bfloat16(),
        "long": torch.arange(-3, 4),
        "int": torch.arange(5, dtype=torch.int32),
        "short": torch.arange(3, dtype=torch.int16),
        "signed": torch.arange(-2, 1, dtype=torch.int8),
        "bytes": torch.arange(250, 256, dtype=torch.uint8),
        "flags": torch.tensor([True, False, True]),
        "odd floats": torch.tensor([float("nan"), -0.0, float("inf"), 1e-45]),
        "parameter": torch.nn.Parameter(base),
    }
    path = checkpoint.save(tmp_path, 7, tensors={"all": odd, "none": {}}, state={"é": [1, None]})
    tensors, state = checkpoint.load(path)
    assert state == {"é": [1, None]}
    assert tensors["none"] == {}
    assert tensors["all"].keys() == odd.keys()
    for name, tensor in odd.items():
        back = tensors["all"][name]
        assert back.dtype == tensor.dtype
        assert back.shape == tensor.shape
        bits, expected = (
            t.detach().contiguous().reshape(-1).view(torch.uint8) for t in (back, tensor)
        )
        assert torch.equal(bits, expected), name


def test_files_are_those_of_the_safetensors_library(tmp_path):
    named = {
        "b": torch.randn(3, 5, generator=torch.Generator().manual_seed(0)),
        "a": torch.tensor([True, False, True]),
        "c": torch.tensor([1, 2, 3]),
    }
    path = checkpoint.save(tmp_path, 0, tensors={"model": named}, state={})
    assert (path / "model.safetensors").read_bytes() == safetensors.torch.save(named)


def test_same_content_gives_same_bytes_whatever_the_order(tmp_path):
    one = save(tmp_path / "one", 4)
    tensors, state = content(4)["tensors"], content(4)["state"]
    turned = {stem: dict(reversed(named.items())) for stem, named in reversed(tensors.items())}
    two = checkpoint.save(tmp_path / "two", 4, tensors=turned, state=dict(reversed(state.items())))
    same, different, odd = filecmp.cmpfiles(one, two, names(one), shallow=False)
    assert (sorted(same), different, odd) == (names(two), [], [])


def test_folder_holds_the_listed_files_and_sums_that_sha256sum_accepts(tmp_path):
    path = save(tmp_path, 123)
    assert path == tmp_path / "step-00000123"
    files = ["SHA256SUMS", "model.safetensors", "optimizer.safetensors", "state.json"]
    assert names(path) == files
    assert json.loads((path / "state.json").read_text())["step"] == 123
    if shutil.which("sha256sum") is None:
        pytest.skip("sha256sum is not installed")
    subprocess.run(["sha256sum", "--strict", "-c", "SHA256SUMS"], cwd=path, check=True)


@pytest.mark.parametrize(
    ("state", "complaint"),
    [
        ({"loss": float("nan")}, "without NaN or infinity"),
        ({"best": float("inf")}, "without NaN or infinity"),
        ({"path": Path("a")}, "plain json"),
        ({"betas": (0.9, 0.95)}, "lists for tuples"),
        ({"names": {1: "a"}}, "strings for the keys"),
    ],
)
def test_state_that_json_would_change_is_refused(tmp_path, state, complaint):
    with pytest.raises(ValueError, match=complaint):
        checkpoint.save(tmp_path, 1, tensors={}, state=state)
    assert names(tmp_path) == []


@pytest.mark.parametrize(
    ("step", "tensors", "complaint"),
    [
        (-1, {}, "must be 0 or more, not -1"),
        (1, {"../model": {}}, "no file stem"),
        (1, {"model": {"w": torch.zeros(2, dtype=torch.complex64)}}, "'w' of model is .*complex64"),
        (1, {"model": {"w": torch.zeros(2, 2).to_sparse()}}, "dense tensors"),
    ],
)
def test_what_cannot_be_stored_is_refused_before_anything_is_written(
    tmp_path, step, tensors, complaint
):
    with pytest.raises(ValueError, match=complaint):
        checkpoint.save(tmp_path, step, tensors=tensors, state={})
    assert names(tmp_path) == []


# --- finding the newest ------------------------------------------------------------------------


def test_no_checkpoints_are_no_error(tmp_path):
    assert checkpoint.latest(tmp_path / "not there") == (None, {}, [])
    (tmp_path / "step-x").mkdir()
    (tmp_path / ".new-step-00000005").mkdir()
    assert checkpoint.latest(tmp_path) == (None, {}, [])


def test_newest_is_by_number_not_by_name(tmp_path):
    for step in (100_000_000, 99_999_999, 20):
        save(tmp_path, step)
    path, state, complaints = checkpoint.latest(tmp_path)
    assert path == tmp_path / "step-100000000"
    assert state == content(100_000_000)["state"]
    assert complaints == []


def test_error_when_no_checkpoint_is_whole_names_each(tmp_path):
    for step in (1, 2):
        (save(tmp_path, step) / "state.json").unlink()
    with pytest.raises(ValueError, match=r"no whole checkpoint .*step-00000002.*step-00000001"):
        checkpoint.latest(tmp_path)


def test_loading_what_is_not_there_is_a_file_not_found_error(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no checkpoint"):
        checkpoint.load(tmp_path / "step-00000001")


# --- saving again ------------------------------------------------------------------------------


def test_saving_the_same_again_leaves_the_old_one_in_place(tmp_path):
    before = save(tmp_path, 3).stat().st_ino
    assert save(tmp_path, 3).stat().st_ino == before
    assert names(tmp_path) == ["step-00000003"]


def test_saving_other_content_replaces_the_old_one(tmp_path):
    save(tmp_path, 3)
    assert_holds(save(tmp_path, 3, flavour=1), 3, flavour=1)
    assert names(tmp_path) == ["step-00000003"]


def test_saving_replaces_a_torn_checkpoint_and_a_file_of_its_name(tmp_path):
    (save(tmp_path, 3) / "state.json").write_text("{}")
    (tmp_path / "step-00000004").write_text("not a folder")
    for step in (3, 4):
        assert_holds(save(tmp_path, step), step)
    assert names(tmp_path) == ["step-00000003", "step-00000004"]


def test_only_left_overs_of_our_own_are_tidied_up(tmp_path):
    ours = [".new-step-00000009", ".trash-step-00000001", ".old-step-00000002"]
    theirs = [".new-step-9", ".trash", "step-1", "notes", "new-step-00000001"]
    for name in ours + theirs:
        (tmp_path / name / "inner").mkdir(parents=True)
    save(tmp_path, 10)
    assert names(tmp_path) == sorted([*theirs, "step-00000010"])


# --- kills -------------------------------------------------------------------------------------


def run_in_child(action: Callable[[], object], patch: Callable[[], None]) -> int:
    """Run the action in a forked child, its `durable` patched; returns its wait status."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            patch()
            action()
            status = 0
        finally:
            os._exit(status)
    return os.waitpid(child, 0)[1]


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def wrap(around: Callable[[str, Callable[..., None], tuple[Any, ...]], None]) -> None:
    """Put `around(name, operation, arguments)` in the place of each operation."""
    for name in OPERATIONS:
        operation = getattr(durable, name)

        def wrapped(*arguments: Any, name: str = name, operation: Any = operation) -> None:
            around(name, operation, arguments)

        setattr(durable, name, wrapped)


def dying(at: int, moment: str) -> Callable[[], None]:
    """A patch that kills the process before operation `at`, or in the middle of that write."""
    seen = iter(range(1_000_000))

    def around(name: str, operation: Callable[..., None], arguments: tuple[Any, ...]) -> None:
        if next(seen) != at:
            return operation(*arguments)
        if moment == "in":
            path, data = arguments
            whole = data if isinstance(data, bytes) else b"".join(map(bytes, data))
            path.write_bytes(whole[: len(whole) // 2])
        return die()

    return lambda: wrap(around)


def recorded(
    action: Callable[[], object], monkeypatch: pytest.MonkeyPatch
) -> list[tuple[str, tuple[Any, ...]]]:
    """The operations that the action performs, in order."""
    calls: list[tuple[str, tuple[Any, ...]]] = []

    def around(name: str, operation: Callable[..., None], arguments: tuple[Any, ...]) -> None:
        calls.append((name, arguments))
        operation(*arguments)

    with monkeypatch.context() as patched:
        for name in OPERATIONS:
            patched.setattr(durable, name, getattr(durable, name))
        wrap(around)
        action()
    return calls


def two_old_ones(folder: Path) -> None:
    for step in (1, 2, 3):
        save(folder, step)


def torn_newest(folder: Path) -> None:
    save(folder, 2)
    (save(folder, 3) / "model.safetensors").write_bytes(b"torn")


def killed_while_replacing(folder: Path) -> None:
    """As a kill between the two renames leaves it: neither has its name."""
    save(folder, 1)
    save(folder, 3)
    save(folder.with_name("other"), 3, flavour=1).rename(folder / ".new-step-00000003")
    (folder / "step-00000003").rename(folder / ".old-step-00000003")


def killed_while_pruning(folder: Path) -> None:
    save(folder, 3)
    (save(folder, 1) / "state.json").unlink()
    (folder / "step-00000001").rename(folder / ".trash-step-00000001")


def save_and_prune(folder: Path) -> None:
    save(folder, 4)
    checkpoint.prune(folder, keep_last=2, best=1)


SCENARIOS: dict[str, Any] = {
    # what is there before, what the child does, what may be newest after: (step, flavour)
    "first save": (lambda folder: folder.mkdir(), lambda f: save(f, 4), [None, (4, 0)]),
    "save and prune": (two_old_ones, save_and_prune, [(3, 0), (4, 0)]),
    "replace": (two_old_ones, lambda f: save(f, 3, flavour=1), [(3, 0), (3, 1)]),
    "save the same": (two_old_ones, lambda f: save(f, 3), [(3, 0)]),
    "replace a torn one": (torn_newest, lambda f: save(f, 3, flavour=1), [(2, 0), (3, 1)]),
    "killed while replacing": (killed_while_replacing, save_and_prune, [(3, 0), (4, 0)]),
    "killed while pruning": (killed_while_pruning, save_and_prune, [(3, 0), (4, 0)]),
}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_kill_around_every_operation_leaves_the_old_or_the_new(scenario, tmp_path, monkeypatch):
    before, action, allowed = SCENARIOS[scenario]
    start = tmp_path / "start"
    before(start)
    rehearsal = shutil.copytree(start, tmp_path / "rehearsal")
    calls = recorded(lambda: action(rehearsal), monkeypatch)
    assert len(calls) > 8
    torn_before = torn(start)
    seen = []
    for at, moment in moments(calls):
        folder = shutil.copytree(start, tmp_path / f"{at}-{moment}")
        where = f"killed {moment} operation {at} of {[name for name, _ in calls]}"
        status = run_in_child(lambda f=folder: kill_after(action, f), dying(at, moment))
        assert os.WIFSIGNALED(status), where
        assert os.WTERMSIG(status) == signal.SIGKILL, where
        seen.append(newest(folder))
        assert seen[-1] in allowed, where
        assert torn(folder) <= torn_before, where  # no name ever stands for a part
        save(folder, 9)
        assert newest(folder) == (9, 0), where
        assert all(name.startswith("step-") for name in names(folder)), where
        if seen[-1] is not None:  # nor did the tidying lose what was found
            assert_holds(folder / f"step-{seen[-1][0]:08d}", *seen[-1])
    assert seen == sorted(seen, key=allowed.index)  # the new one, once there, stays
    assert set(seen) == set(allowed)


def moments(calls: list[tuple[str, tuple[Any, ...]]]) -> list[tuple[int, str]]:
    """Before and, where it is a write, in each operation, and after the last."""
    found = []
    for at, (name, _) in enumerate(calls):
        found += [(at, "before")] + ([(at, "in")] if name == "write" else [])
    return [*found, (len(calls), "before")]


def torn(folder: Path) -> set[str]:
    """The names of checkpoints that are not whole."""
    found = set()
    for path in folder.glob("step-*"):
        try:
            checkpoint.verify(path)
        except checkpoint.DamagedCheckpointError:
            found.add(path.name)
    return found


def kill_after(action: Callable[[Path], object], folder: Path) -> None:
    action(folder)
    die()


def newest(folder: Path) -> tuple[int, int] | None:
    """Step and flavour of the newest checkpoint, all of whose contents are compared."""
    path, state, _ = checkpoint.latest(folder)
    if path is None:
        return None
    found = (state["step"], state["flavour"])
    assert_holds(path, *found)
    return found


def test_every_file_is_synced_before_the_rename_and_the_names_after_it(tmp_path, monkeypatch):
    (tmp_path / "run").mkdir()
    calls = recorded(lambda: save(tmp_path / "run", 3), monkeypatch)
    new, final = tmp_path / "run" / ".new-step-00000003", tmp_path / "run" / "step-00000003"
    files = ["model.safetensors", "optimizer.safetensors", "state.json", "SHA256SUMS"]
    in_order = [(name, *(a for a in arguments if isinstance(a, Path))) for name, arguments in calls]
    assert in_order == [
        ("make_folder", new),
        *[(name, new / file) for file in files for name in ("write", "sync")],
        ("sync_folder", new),
        ("rename", new, final),
        ("sync_folder", tmp_path / "run"),
    ]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_kill_around_every_operation_of_an_atomic_write_leaves_old_or_new(tmp_path):
    path = tmp_path / "config.json"
    for at, moment, expected in (
        (0, "before", b"old"),
        (0, "in", b"old"),
        (1, "before", b"old"),
        (2, "before", b"old"),
        (3, "before", b"new and longer"),
    ):
        durable.write_atomically(path, b"old")
        status = run_in_child(
            lambda: durable.write_atomically(path, b"new and longer"), dying(at, moment)
        )
        assert os.WIFSIGNALED(status)
        assert path.read_bytes() == expected
    durable.write_atomically(path, iter([b"pie", memoryview(b"ces")]))
    assert path.read_bytes() == b"pieces"
    assert names(tmp_path) == ["config.json"]


# --- full disks --------------------------------------------------------------------------------


def failing(at: int, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = iter(range(1_000_000))

    def around(name: str, operation: Callable[..., None], arguments: tuple[Any, ...]) -> None:
        if next(seen) == at:
            if name == "write":
                arguments[0].write_bytes(b"half of i")
            raise OSError(errno.ENOSPC, "No space left on device")
        operation(*arguments)

    for name in OPERATIONS:
        monkeypatch.setattr(durable, name, getattr(durable, name))  # to be put back
    wrap(around)


@pytest.mark.parametrize("at", range(11))
def test_full_disk_is_an_os_error_that_leaves_the_older_ones_alone(at, tmp_path, monkeypatch):
    save(tmp_path, 1)
    with monkeypatch.context() as patched:
        failing(at, patched)
        with pytest.raises(OSError, match="No space left"):
            save(tmp_path, 2)
    assert names(tmp_path) == ["step-00000001"]
    assert_holds(tmp_path / "step-00000001", 1)
    assert_holds(save(tmp_path, 2), 2)


@pytest.mark.skipif(not Path("/dev/full").is_char_device(), reason="needs /dev/full")
def test_a_file_that_cannot_be_written_fails_on_a_real_full_device():
    with pytest.raises(OSError, match="No space left"):
        durable.write(Path("/dev/full"), b"x" * 100)


def test_failed_atomic_write_keeps_the_old_file_and_no_other(tmp_path):
    def pieces():
        yield b"the beginning"
        raise OSError(errno.ENOSPC, "No space left on device")

    durable.write_atomically(tmp_path / "a.json", b"old")
    with pytest.raises(OSError, match="No space left"):
        durable.write_atomically(tmp_path / "a.json", pieces())
    assert names(tmp_path) == ["a.json"]
    assert (tmp_path / "a.json").read_bytes() == b"old"


# --- damage ------------------------------------------------------------------------------------


def assert_detected(folder: Path, file: str) -> None:
    """`latest` falls back from step 2 to step 1, and says which file is to blame."""
    damaged = folder / "step-00000002"
    with pytest.raises(checkpoint.DamagedCheckpointError, match=file):
        checkpoint.load(damaged)
    path, state, complaints = checkpoint.latest(folder)
    assert path == folder / "step-00000001"
    assert state == content(1)["state"]
    assert len(complaints) == 1
    assert "step-00000002" in complaints[0]
    assert file in complaints[0]


def test_any_flipped_bit_in_any_byte_of_any_file_is_detected(tmp_path):
    rng = random.Random(5)
    small = {"model": {"weight": torch.tensor([1.5, -2.0])}}
    path = checkpoint.save(tmp_path, 2, tensors=small, state={"best": 4.5})
    for name in names(path):
        file = path / name
        whole = file.read_bytes()
        for position in range(len(whole)):
            damaged = bytearray(whole)
            damaged[position] ^= 1 << rng.randrange(8)
            file.write_bytes(damaged)
            with pytest.raises(checkpoint.DamagedCheckpointError):
                checkpoint.verify(path)
        file.write_bytes(whole)
    checkpoint.verify(path)


@pytest.mark.parametrize("seed", range(30))
def test_random_damage_is_detected_and_the_one_before_is_used(seed, tmp_path):
    rng = random.Random(seed)
    save(tmp_path, 1)
    path = save(tmp_path, 2)
    file = path / rng.choice(names(path))
    whole = file.read_bytes()
    start = rng.randrange(len(whole))
    stop = rng.randrange(start, len(whole)) + 1
    damaged = rng.choice(
        [
            whole[:start],
            whole[:start] + bytes(stop - start) + whole[stop:],
            whole[:start] + rng.randbytes(stop - start) + whole[stop:],
            whole + rng.randbytes(rng.randrange(1, 9)),
            whole[:start] + whole[stop:],
            whole[:start] + whole[start:stop] + whole[start:],
            b"",
        ]
    )
    if damaged == whole:
        damaged = whole[::-1]
    file.write_bytes(damaged)
    # A damaged list of sums may accuse another file, or that a file is not listed.
    assert_detected(tmp_path, "SHA256SUMS" if file.name == "SHA256SUMS" else file.name)


@pytest.mark.parametrize(
    "edit",
    [
        lambda content: content["state"].update(flavour=1),
        lambda content: content["state"].update(extra=None),
        lambda content: content["state"].pop("best"),
        lambda content: content["state"]["best"].update(loss=4.250001),
        lambda content: content.update(step=1),
        lambda content: content.update(format=2),
    ],
)
def test_edit_that_keeps_valid_json_is_detected(edit, tmp_path):
    save(tmp_path, 1)
    file = save(tmp_path, 2) / "state.json"
    edited = json.loads(file.read_text())
    edit(edited)
    file.write_text(json.dumps(edited))
    assert_detected(tmp_path, "state.json")


def test_same_json_in_other_words_is_detected(tmp_path):
    save(tmp_path, 1)
    file = save(tmp_path, 2) / "state.json"
    file.write_text(json.dumps(json.loads(file.read_text())))
    assert_detected(tmp_path, "state.json")


@pytest.mark.parametrize("name", ["SHA256SUMS", "model.safetensors", "state.json"])
def test_lost_file_is_detected(name, tmp_path):
    save(tmp_path, 1)
    (save(tmp_path, 2) / name).unlink()
    assert_detected(tmp_path, name)


def test_extra_file_folder_or_link_is_detected(tmp_path):
    save(tmp_path, 1)
    path = save(tmp_path, 2)
    (path / "model.safetensors~").write_bytes(b"")
    assert_detected(tmp_path, "model.safetensors~")
    (path / "model.safetensors~").unlink()
    (path / "inner").mkdir()
    assert_detected(tmp_path, "inner")
    (path / "inner").rmdir()
    (path / "state.json").rename(tmp_path / "state.json")
    (path / "state.json").symlink_to(tmp_path / "state.json")
    assert_detected(tmp_path, "state.json")


def test_files_of_two_checkpoints_mixed_are_detected(tmp_path):
    save(tmp_path, 1)
    path = save(tmp_path, 2)
    shutil.copy(save(tmp_path / "other", 2, flavour=1) / "model.safetensors", path)
    assert_detected(tmp_path, "model.safetensors")


def with_new_sums(path: Path) -> None:
    """As somebody would who edits a checkpoint by hand and corrects the sums."""
    files = [name for name in names(path) if name != "SHA256SUMS"]
    done = subprocess.run(["sha256sum", *files], cwd=path, capture_output=True, check=True)
    (path / "SHA256SUMS").write_bytes(done.stdout)


@pytest.mark.skipif(shutil.which("sha256sum") is None, reason="sha256sum is not installed")
@pytest.mark.parametrize(
    ("name", "damaged"),
    [
        ("state.json", b'{"format": 1, "step": 2, "state": {'),
        ("state.json", b"\xff\xfe"),
        ("state.json", b"[]"),
        ("state.json", b'{"format": 1, "step": 2}'),
        ("state.json", b'{"format": 1, "step": "2", "state": {}}'),
        ("state.json", b'{"format": 1, "step": 3, "state": {}}'),
        ("state.json", b'{"format": 7, "step": 2, "state": {}}'),
        ("model.safetensors", b"short"),
        ("model.safetensors", b"\x08\0\0\0\0\0\0\0{'a': 1}"),
    ],
)
def test_malformed_file_with_right_sums_is_detected(name, damaged, tmp_path):
    save(tmp_path, 1)
    path = save(tmp_path, 2)
    (path / name).write_bytes(damaged)
    with_new_sums(path)
    assert_detected(tmp_path, name)


def test_checkpoint_under_another_steps_name_is_detected(tmp_path):
    save(tmp_path, 1)
    (save(tmp_path, 7)).rename(tmp_path / "step-00000002")
    assert_detected(tmp_path, "state.json is of step 7")


# --- pruning -----------------------------------------------------------------------------------


def test_prune_keeps_the_last_few_and_the_best(tmp_path):
    for step in (10, 20, 30, 40, 50):
        save(tmp_path, step)
    checkpoint.prune(tmp_path, keep_last=2, best=20)
    assert names(tmp_path) == ["step-00000020", "step-00000040", "step-00000050"]
    checkpoint.prune(tmp_path, keep_last=1)
    assert names(tmp_path) == ["step-00000050"]
    checkpoint.prune(tmp_path, keep_last=3, best=99)
    assert names(tmp_path) == ["step-00000050"]


def test_prune_goes_by_number_not_by_name(tmp_path):
    for step in (99_999_999, 100_000_000):
        save(tmp_path, step)
    checkpoint.prune(tmp_path, keep_last=1)
    assert names(tmp_path) == ["step-100000000"]


def test_prune_never_deletes_the_newest_whole_one(tmp_path):
    for step in (1, 2, 3, 4):
        save(tmp_path, step)
    for step in (3, 4):
        (tmp_path / f"step-0000000{step}" / "model.safetensors").write_bytes(b"torn")
    checkpoint.prune(tmp_path, keep_last=1)
    assert names(tmp_path) == [f"step-0000000{step}" for step in (2, 3, 4)]
    assert checkpoint.latest(tmp_path).path == tmp_path / "step-00000002"


def test_prune_must_keep_at_least_one(tmp_path):
    save(tmp_path, 1)
    with pytest.raises(ValueError, match="keep_last must be 1 or more, not 0"):
        checkpoint.prune(tmp_path, keep_last=0)
    assert names(tmp_path) == ["step-00000001"]
