"""What a script measured: written as json, read back by notes, posts and READMEs.

A normal run writes `runs/phaseNN/<script>.json` under the current folder, which git ignores. With
`record=True` the file goes into the phase's `results/`, which is committed: keys are sorted, so
that two runs can be compared line by line, and nothing in it names the machine's folders, its host
or its user.

Left out on purpose: time stamps and commits (git knows both), and anything that is not json.
Neither NumPy nor torch nor matplotlib is imported here; their values are recognised by `tolist`.
"""

import difflib
import json
import math
import os
import platform
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from importlib import metadata
from pathlib import Path, PurePath
from typing import Any

import psutil

DISTRIBUTION = "transformers-from-scratch"
PRACTICE = "JOURNAL_PRACTICE"  # set where a script runs on the learner's modules: their folder
written: list[Path] = []  # by this process, so that a script can say at its end where to look
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def write(
    script: str,
    *,
    config: Any,
    metrics: Mapping[str, Any],
    seconds: float,
    record: bool = False,
    name: str = "",
) -> Path:
    """Write what `script` (its `__file__`) measured and return the path of the json file.

    `seconds` is the wall time of the run. `name` tells several results of one script apart:
    `<script>-<name>.json`. Raises ValueError, naming the key, where a number is not finite.
    """
    path = _target(script, name, ".json", record)
    places = _places(script)
    document = {
        "script": _script_name(script),
        "metrics": _plain(metrics, "metrics", places),
        "seconds": _plain(round(float(seconds), 3), "seconds", places),
        "config": _plain(config, "config", places),
        "versions": versions(),
        "machine": machine(),
    }
    text = json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False)
    replace_file(path, text + "\n")
    written.append(path)
    return path


def write_picture(script: str, name: str, figure: Any, *, record: bool = False) -> Path:
    """Draw `figure` as `<script>-<name>.svg` beside the script's numbers and return its path."""
    from journal import plotting  # here, since matplotlib takes a second to import

    path = _target(script, name, ".svg", record)
    plotting.save(figure, path)
    written.append(path)
    return path


def load(path: str | Path) -> dict[str, Any]:
    """Read a result file; the error says how such a file is made, or what is wrong with it."""
    path = Path(path)
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise FileNotFoundError(
            f"there is no result {path}: run the script of that name with --record to write it"
        ) from None
    except ValueError as error:
        raise ValueError(
            f"{path} is not json ({error}): run its script again to write it"
        ) from None
    if not isinstance(document, dict):
        raise ValueError(f"{path} holds a {type(document).__name__}, expected a json object")
    return document


def number(path: str | Path, key: str, fmt: str = ".3f") -> str:
    """One value of a result as text: `number(path, "metrics.val_loss", ".2f")`.

    `key` is dotted; a list is entered by index (`metrics.losses.0`).
    """
    values = dict(_leaves(load(path), ""))
    if key not in values:
        near = difflib.get_close_matches(key, values, n=3, cutoff=0.5)
        inside = [known for known in values if known.startswith(key + ".")]
        choice = inside[:5] or near or list(values)[:5]
        raise ValueError(f"{path} has no value {key!r}; the nearest are: {', '.join(choice)}")
    value = values[key]
    if value is None or (isinstance(value, bool) and fmt):
        raise ValueError(f"{key} in {path} is {value!r}, which format {fmt!r} does not fit")
    try:
        return format(value, fmt)
    except ValueError as error:
        raise ValueError(
            f"{key} in {path} is {value!r}, which format {fmt!r} does not fit: {error}"
        ) from None


def replace_file(path: Path, text: str) -> None:
    """Write a text file in full or not at all: to a name of its own, synced, then renamed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with draft.open("w", encoding="utf-8", newline="\n") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def versions() -> dict[str, str]:
    """Python, the journal, NumPy, and torch where the script used it."""
    found = {"python": platform.python_version()}
    for name, distribution in (("journal", DISTRIBUTION), ("numpy", "numpy")):
        try:
            found[name] = metadata.version(distribution)
        except metadata.PackageNotFoundError:
            found[name] = "not installed"
    if "torch" in sys.modules:
        # The module's own version tells a CPU build from a CUDA build, the distribution's may not.
        found["torch"] = str(sys.modules["torch"].__version__)
    return found


def machine() -> dict[str, Any]:
    """What a reader needs in order to judge a time: processor, cores, memory, system."""
    if hasattr(os, "sched_getaffinity"):
        cores = len(os.sched_getaffinity(0))
    else:
        cores = os.cpu_count() or 1
    found: dict[str, Any] = {
        "processor": _processor(),
        "cores": cores,
        "memory_gib": round(psutil.virtual_memory().total / 2**30),
        "system": f"{platform.system()} {platform.machine()}",
    }
    torch: Any = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available() and torch.cuda.is_initialized():
        found["accelerator"] = torch.cuda.get_device_name()
    return found


def _processor() -> str:
    """The processor's name as its maker gives it; each system keeps it in another place."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        named = re.search(r"^model name\s*:\s*(.+)$", cpuinfo.read_text(), re.MULTILINE)
        if named:
            return " ".join(named[1].split())
    if platform.system() == "Darwin":
        command = ["/usr/sbin/sysctl", "-n", "machdep.cpu.brand_string"]
        answer = subprocess.run(command, capture_output=True, text=True, check=False)
        if answer.returncode == 0 and answer.stdout.strip():
            return answer.stdout.strip()
    return platform.processor() or platform.machine()


def _phase_folder(script: str) -> Path | None:
    """`phase-NN-name` of `phase-NN-name/code/phaseNN/x.py`, or None for a script elsewhere."""
    package = Path(script).resolve().parent
    folder = package.parent.parent
    inside = re.fullmatch(r"phase(\d\d)", package.name)
    if not inside or package.parent.name != "code":
        return None
    return folder if folder.name.startswith(f"phase-{inside[1]}-") else None


def _target(script: str, name: str, suffix: str, record: bool) -> Path:
    """Where a result of `script` goes: `<script>.json`, or `<script>-<name>.json`."""
    source = Path(script)
    if name and not NAME.fullmatch(name):
        raise ValueError(
            f"a result cannot be called {name!r}: use letters, digits, dots and hyphens"
        )
    file = f"{source.stem}-{name}{suffix}" if name else f"{source.stem}{suffix}"
    if not record:
        return Path.cwd() / "runs" / source.resolve().parent.name / file
    if os.environ.get(PRACTICE):  # a run on the learner's modules: theirs, not the journal's result
        return Path(os.environ[PRACTICE]) / source.resolve().parent.name / "results" / file
    folder = _phase_folder(script)
    if folder is None:
        raise ValueError(
            f"{source.name} lies in no phase-NN-name/code/phaseNN folder, so it has no results "
            "folder to record into: run it from a checkout, or without --record"
        )
    return folder / "results" / file


def _script_name(script: str) -> str:
    folder = _phase_folder(script)
    source = Path(script).resolve()
    if folder is None:
        return f"{source.parent.name}/{source.name}"
    return source.relative_to(folder.parent).as_posix()


def _places(script: str) -> list[tuple[str, str]]:
    """This machine's folders and what stands for them in a result, the longest first."""
    known: dict[Path, str] = {Path.home(): "~"}
    if os.environ.get("JOURNAL_DATA"):
        known[Path(os.environ["JOURNAL_DATA"])] = "$JOURNAL_DATA"
    known[Path.cwd()] = "."
    folder = _phase_folder(script)
    if folder is not None:
        known[folder.parent] = "."
    pairs = {str(path): word for path, word in known.items() if path.is_absolute()}
    pairs |= {str(path.resolve()): word for path, word in known.items()}
    # A home or working folder that is the root of the disk stands for nothing in particular.
    pairs = {path: word for path, word in pairs.items() if len(PurePath(path).parts) > 1}
    return sorted(pairs.items(), key=lambda pair: -len(pair[0]))


def _plain(value: Any, key: str, places: list[tuple[str, str]]) -> Any:
    """`value` in json's own types, no folder of this machine in it."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, Enum):
        return _plain(value.value, key, places)
    if isinstance(value, str | PurePath):
        return _portable(value, places)
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(f"{key} is {value}: a result holds finite numbers only")
        return float(value)
    if is_dataclass(value) and not isinstance(value, type):
        pairs = {field.name: getattr(value, field.name) for field in fields(value)}
        return _plain(pairs, key, places)
    if isinstance(value, Mapping):
        plain = {
            _portable(str(name), places): _plain(item, f"{key}.{name}", places)
            for name, item in value.items()
        }
        if len(plain) < len(value):
            raise ValueError(f"{key} has two keys that are the same once they are text")
        return plain
    if isinstance(value, list | tuple):
        return [_plain(item, f"{key}.{index}", places) for index, item in enumerate(value)]
    if isinstance(value, set | frozenset):
        return _plain(sorted(value), key, places)
    if callable(getattr(value, "tolist", None)):  # NumPy's and torch's scalars and arrays
        to_list: Callable[[], Any] = value.tolist
        return _plain(to_list(), key, places)
    raise ValueError(
        f"{key} is a {type(value).__name__}, which json cannot hold: give a number, a text, "
        "a path, a list, a dict or a dataclass"
    )


def _portable(value: str | PurePath, places: list[tuple[str, str]]) -> str:
    """A text or path without this machine's folders; outside them only the last name is kept."""
    text = str(value)
    for place, word in places:
        # Whole folder names only: /home/ada must not be found in /home/adam.
        text = re.sub(re.escape(place) + r"(?![\w.-])", lambda _, word=word: word, text)
    text = text.removeprefix("./") if text != str(value) else text
    path = PurePath(text)
    is_path = isinstance(value, PurePath) or "\n" not in text
    if is_path and path.is_absolute() and len(path.parts) > 2:
        return f".../{path.name}"
    return path.as_posix() if isinstance(value, PurePath) else text


def _leaves(value: Any, key: str) -> Iterator[tuple[str, Any]]:
    """Every value that is no list or object, under its dotted key."""
    if isinstance(value, dict | list):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for name, item in items:
            yield from _leaves(item, f"{key}.{name}" if key else str(name))
    else:
        yield key, value
