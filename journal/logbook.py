"""What the learner has done: ROADMAP.md's ticks, and the evidence in `practice/log.jsonl`.

A line of the log is one json object: what was passed, when, at which commit, with which files.
The state of an item follows from both: a tick is `verified` while the files are the ones that
passed, `stale` once they were edited, `failing` where the same files failed since, and
`self-reported` where no evidence was written. Nothing else is kept, and nothing leaves the machine.
"""

import contextlib
import hashlib
import json
import os
import subprocess
import time
from collections.abc import Generator, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from journal import roadmap
from journal.plan import Item, Roadmap
from journal.record import replace_file

LOG = Path("practice") / "log.jsonl"
CHECK, EVIDENCE, SELF, HINT = "check", "evidence", "self-reported", "hint"
KINDS = (CHECK, EVIDENCE, SELF, HINT)
PATIENCE = 5.0  # seconds to wait for another command's tick


@dataclass(frozen=True)
class Entry:
    """One line of the log. `files` maps paths from the journal's folder to their sha256."""

    item: str
    kind: str
    time: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))
    commit: str | None = None
    files: Mapping[str, str] = field(default_factory=dict)
    passed: int = 0
    expected: int = 0
    ok: bool = True  # the verdict; a run can fail although every test that reported has passed
    say: str = ""  # which hint was shown


def read(root: Path) -> list[Entry]:
    """The log from its beginning; half a last line, cut off by a kill, is left out."""
    path = root / LOG
    if not path.exists():
        return []
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{LOG} is not UTF-8 text (byte {error.start}): mend that line") from None
    lines = text[: len(text) - len(_torn(text))].splitlines()
    return [_entry(line, number) for number, line in enumerate(lines, 1) if line.strip()]


def _torn(text: str) -> str:
    """What stands behind the last line end, unless it is a whole entry that just lacks its end."""
    rest = text[text.rfind("\n") + 1 :]
    try:
        json.loads(rest or "!")
    except ValueError:
        return rest
    return ""


def _entry(line: str, number: int) -> Entry:
    try:
        content: dict[str, Any] = json.loads(line)
        known = {field.name for field in fields(Entry)}  # a later version may have added some
        entry = Entry(**{key: value for key, value in content.items() if key in known})
        if entry.kind not in KINDS:
            raise ValueError(f"{entry.kind!r} is not one of {', '.join(KINDS)}")
        if not isinstance(entry.files, dict):
            raise ValueError("its files are no json object")
    except (ValueError, TypeError, AttributeError) as error:
        raise ValueError(
            f"{LOG}, line {number} is not an entry of the log ({error}); mend or delete that line"
        ) from None
    return entry


def append(root: Path, entry: Entry) -> None:
    """Add one line, synced; half a line that a kill left at the end is cut off first."""
    path = root / LOG
    path.parent.mkdir(parents=True, exist_ok=True)
    line = json.dumps(asdict(entry), sort_keys=True) + "\n"
    with path.open("a+b") as stream:
        stream.seek(0)
        text = stream.read().decode("utf-8")
        torn = _torn(text)
        if torn:
            stream.truncate(len(text.encode()) - len(torn.encode()))
        elif text and not text.endswith("\n"):
            line = "\n" + line
        stream.write(line.encode())
        stream.flush()
        os.fsync(stream.fileno())


def hashes(root: Path, files: Iterable[Path]) -> dict[str, str]:
    """The files' sha256, under their paths from `root`; empty text for one that is not there."""
    found = {}
    for file in files:
        place = root / file
        text = place.read_bytes() if place.is_file() else None
        name = place.relative_to(root).as_posix() if place.is_relative_to(root) else str(place)
        found[name] = "" if text is None else hashlib.sha256(text).hexdigest()
    return found


def commit(root: Path) -> str | None:
    """The commit that the checkout stands at, or None where there is no git."""
    command = ["git", "rev-parse", "HEAD"]
    try:
        answer = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    except OSError:
        return None
    return answer.stdout.strip() or None if answer.returncode == 0 else None


def tick(root: Path, item: Item, done: bool = True) -> bool:
    """Put the item's tick into ROADMAP.md, or take it out; True where that changed anything."""
    path = root / "ROADMAP.md"
    with _alone(root):
        with path.open(encoding="utf-8", newline="") as stream:  # line ends stay as they are
            lines = stream.readlines()
        place = roadmap.load(root).item(item.id).line - 1  # it may have moved during a long check
        line = lines[place]
        new = f"- [{'x' if done else ' '}] {line[len('- [ ] ') :]}"
        if new == line:
            return False
        lines[place] = new
        replace_file(path, "".join(lines))
    return True


@contextlib.contextmanager
def _alone(root: Path) -> Generator[None]:
    """Keeps two commands from ticking at once, when the later would undo the earlier."""
    lock = root / "build" / "roadmap.lock"
    lock.parent.mkdir(exist_ok=True)
    end = time.monotonic() + PATIENCE
    while True:
        try:
            lock.open("x").close()
            break
        except FileExistsError:
            if time.monotonic() > end:  # its owner was killed: a tick takes milliseconds
                lock.unlink(missing_ok=True)
            time.sleep(0.01)
    try:
        yield
    finally:
        lock.unlink(missing_ok=True)


# ---- the state of an item ----------------------------------------------------------------


def states(root: Path, plan: Roadmap) -> dict[str, str]:
    """Every item's state: verified, stale, failing, self-reported, begun, open or to come."""
    evidence: dict[str, list[Entry]] = {}
    for entry in read(root):
        if entry.kind in (CHECK, EVIDENCE):
            evidence.setdefault(entry.item, []).append(entry)
    return {item.id: _state(root, item, evidence.get(item.id, [])) for item in plan.items}


def _state(root: Path, item: Item, evidence: Sequence[Entry]) -> str:
    if not item.done:
        if not item.written:
            return "to come"
        begun = any((root / file).exists() for file in practice_files(item).values())
        return "begun" if begun else "open"
    if not any(entry.ok for entry in evidence):
        return SELF
    of_these_files = [entry for entry in evidence if _matches(root, entry)]
    if not of_these_files:
        return "stale"
    return "verified" if of_these_files[-1].ok else "failing"


def _matches(root: Path, entry: Entry) -> bool:
    """True while the files are the ones that this entry is about."""
    return hashes(root, map(Path, entry.files)) == dict(entry.files)


def practice_files(item: Item) -> dict[str, Path]:
    """The learner's file for each module that the item's Code links: `practice/phase00/x.py`."""
    return {module: practice_file(module) for module in modules(item)}


def practice_file(module: str) -> Path:
    package, _, stem = module.partition(".")
    return Path("practice") / package / f"{stem}.py"


def modules(item: Item) -> list[str]:
    """The modules that the item's Code links, in their order."""
    return [link.module for link in item.of("Code") if link.module]
