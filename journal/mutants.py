"""How many wrong versions of a phase's modules do the tests of its items notice?

    uv run python -m journal.mutants                             # every phase that is written
    uv run python -m journal.mutants --phase 0 --record          # into that phase's results/
    uv run python -m journal.mutants --module phase00.linear_algebra

Each mutant of a library module (`journal.mutation`) stands in for the module in an overlay, and
the test files run that ROADMAP.md links from the items that link the module, up to the first
failure. A failure kills the mutant; so do a hang (`hung`) and tests that cannot even start
(`broke`), both counted among the killed and also apart. What is left has survived and is printed
with its function and line: a test is missing, or the mutant is equivalent and belongs, with the
reason, into the phase's mutants.toml. The planted mistakes of that file must all be killed.

A module with more than `--sample` mutants is judged by that many, chosen by the seed and the text.
Verdicts are kept in build/mutants/, one line each under the hash of the mutant and of its tests, so
that the same command goes on after an interruption and repeats nothing. Two run side by side.

Ends with 1 where a module of a written phase (one with a mutants.toml) has a share below 90 %, or a
planted mistake survives. Left out: modules that no item links as Code or to be read, and scripts.
"""

import ast
import hashlib
import json
import re
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tqdm import tqdm

from journal import mutation, overlay, record, roadmap, script, views
from journal.forked import Runners
from journal.mutation import Mutant
from journal.nearest import suggestion
from journal.plan import Phase, Roadmap

ENOUGH = 0.9  # the share that the tests of a written phase kill, for each module
SIDE_BY_SIDE = 2
LISTED = "mutants.toml"  # of a phase: its planted mistakes and its equivalent mutants
UNFINISHED = re.compile(r"^Status: (in progress|to come)$", re.MULTILINE)
KILLED, SURVIVED, HUNG, BROKE = "killed", "survived", "hung", "broke"


@dataclass(frozen=True)
class Config:
    phase: int | None = None
    """only this phase, be it written or not; else every written one"""
    module: str | None = None
    """only this module, phase00.linear_algebra for example"""
    sample: int = 100
    """at most so many generated mutants of a module"""
    seed: int = 0
    """of the sample"""
    seconds_each: float = 30
    """time for the tests on one mutant"""
    record: bool = False
    """write the shares into the phase's results/"""


@dataclass
class Subject:
    """A module with its tests, the mutants that are run on it, and how each fared."""

    name: str
    text: str
    tests: list[str]  # paths from the root
    generated: int
    equivalent: int  # of the sample
    mutants: list[Mutant]  # of the sample, without the equivalent ones
    planted: list[Mutant]
    verdicts: dict[Mutant, str] = field(default_factory=dict)
    seconds: float = 0.0  # all test runs together

    def count(self, *verdicts: str) -> int:
        return sum(self.verdicts[mutant] in verdicts for mutant in self.mutants)

    @property
    def share(self) -> float:
        return self.count(KILLED, HUNG, BROKE) / len(self.mutants) if self.mutants else 1.0

    @property
    def survivors(self) -> list[Mutant]:
        """Those that the tests did not notice, the planted ones last."""
        every = [*self.mutants, *self.planted]
        return [mutant for mutant in every if self.verdicts[mutant] == SURVIVED]


def main(config: Config) -> None:
    """Run the mutants of the chosen modules, show what survived, print the shares as json."""
    if config.record and config.module:
        raise ValueError("--record is for whole phases: leave out --module")
    if config.sample < 1 or config.seconds_each <= 0:
        raise ValueError("--sample must be 1 or more, and --seconds-each above 0")
    root = roadmap.find_root()
    plan = roadmap.load(root)
    found: dict[str, Any] = {}
    short: list[str] = []
    for phase in chosen(root, plan, config):
        subjects = prepare(root, plan, phase, config)
        run(root, subjects, config.seconds_each)
        show(subjects)
        metrics = measured(subjects)
        found[f"phase{phase.number:02}"] = metrics
        write(root, phase, config, metrics, sum(subject.seconds for subject in subjects))
        short += complaints(subjects, written=is_written(root, phase))
    for complaint in short:
        print(complaint)
    print(json.dumps(found), flush=True)
    if short:
        raise SystemExit(1)


# ---- what is run -------------------------------------------------------------------------


def is_written(root: Path, phase: Phase) -> bool:
    """True where the code is done: there is a mutants.toml, or the README names no other status."""
    readme = root / phase.folder / "README.md"
    if (root / phase.folder / LISTED).is_file():
        return True
    return readme.is_file() and not UNFINISHED.search(readme.read_text(encoding="utf-8"))


def chosen(root: Path, plan: Roadmap, config: Config) -> list[Phase]:
    """The phases whose modules are run: the named one, or every written one."""
    if config.module is not None:
        known = tested_modules(plan)
        if config.module not in known:
            raise ValueError(
                f"no item of ROADMAP.md has code and tests for a library module {config.module}; "
                f"{suggestion(config.module, known)}"
            )
        return [plan.phase(int(config.module[5:7]))]
    if config.phase is not None:
        return [plan.phase(config.phase)]
    phases = [phase for phase in plan.phases if is_written(root, phase)]
    if not phases:
        raise ValueError("no phase is written yet: name one with --phase")
    return phases


def tested_modules(plan: Roadmap) -> dict[str, list[str]]:
    """The library modules that items link, each with the test files of those items."""
    found: dict[str, list[str]] = {}
    for item in plan.items:
        for module in (link.module for link in (*item.of("Code"), *item.of("Read"))):
            if module is None or roadmap.is_script(int(module[5:7]), module.partition(".")[2]):
                continue
            paths = found.setdefault(module, [])
            paths += [link.path for link in item.of("Tests") if link.path not in paths]
    return {module: tests for module, tests in found.items() if tests}


def prepare(root: Path, plan: Roadmap, phase: Phase, config: Config) -> list[Subject]:
    """The modules of a phase with their mutants; ValueError where mutants.toml does not fit."""
    package = f"phase{phase.number:02}"
    known = {n: t for n, t in tested_modules(plan).items() if n.startswith(package + ".")}
    if not known:
        raise ValueError(f"no item of phase {phase.number} links code and tests in ROADMAP.md yet")
    listed = root / phase.folder / LISTED
    equivalent, planted = mutation.load(listed, package)
    for entry in (*equivalent, *planted):
        if entry.module not in known:
            raise ValueError(
                f"{listed} names the module {entry.module}; {suggestion(entry.module, known)}"
            )
    files = roadmap.modules(root)
    subjects = []
    for name, tests in known.items():
        if config.module not in (None, name):
            continue
        text = files[name].read_bytes().decode()
        every = mutation.generate(name, text)
        _, same = mutation.without_equivalent(every, [e for e in equivalent if e.module == name])
        sampled = mutation.sample(every, config.sample, config.seed, text)
        mutants = [mutant for mutant in sampled if mutant not in same]
        mistakes = list(mutation.planted_of(name, text, planted))
        left_out = len(sampled) - len(mutants)
        subjects.append(Subject(name, text, tests, len(every), left_out, mutants, mistakes))
    return subjects


# ---- running -----------------------------------------------------------------------------


def run(root: Path, subjects: Sequence[Subject], seconds_each: float) -> None:
    """Find a verdict for every mutant: a kept one, or that of its tests."""
    todo: list[tuple[Subject, Mutant, Verdicts, str]] = []
    for subject in subjects:
        kept = Verdicts(root / "build" / "mutants" / f"{subject.name}.jsonl")
        tests = "".join((root / test).read_text(encoding="utf-8") for test in subject.tests)
        for mutant in (*subject.mutants, *subject.planted):
            key = hashlib.sha256(f"{mutant.text}\0{tests}".encode()).hexdigest()
            found = kept.get(key, seconds_each)
            if found is None:
                todo.append((subject, mutant, kept, key))
            else:
                subject.verdicts[mutant] = found["verdict"]
                subject.seconds += found["seconds"]
    if not todo:
        return
    runners = Runners(preloaded(root, subjects), SIDE_BY_SIDE)
    pool = ThreadPoolExecutor(SIDE_BY_SIDE)

    def judged(subject: Subject, mutant: Mutant) -> tuple[str, float]:
        started = time.perf_counter()
        code = outcome(runners, root, subject, mutant.text, seconds_each)
        return verdict(code), round(time.perf_counter() - started, 2)

    try:
        waiting = {subject.name: subject for subject, *_ in todo}
        list(pool.map(lambda one: must_pass(runners, root, one, seconds_each), waiting.values()))
        jobs = {pool.submit(judged, job[0], job[1]): job for job in todo}
        for done in tqdm(as_completed(jobs), total=len(jobs), unit="mutant", disable=None):
            subject, mutant, kept, key = jobs[done]
            subject.verdicts[mutant], seconds = done.result()
            subject.seconds += seconds
            kept.add(key, subject.verdicts[mutant], seconds, seconds_each)
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
        runners.close()


def outcome(
    runners: Runners, root: Path, subject: Subject, text: str, seconds: float
) -> int | None:
    """pytest's exit code with `text` in the module's place; None where the time was up."""
    with TemporaryDirectory() as folder:
        variables = overlay.lay_out(Path(folder), root, {subject.name: text})
        return runners.run(root, subject.tests, variables, seconds)


def must_pass(runners: Runners, root: Path, subject: Subject, seconds: float) -> None:
    """ValueError where the tests do not even pass on the module as it is."""
    code = outcome(runners, root, subject, subject.text, seconds)
    if code != 0:
        what = f"fail (exit code {code})" if code is not None else f"take over {seconds:g} seconds"
        raise ValueError(
            f"the tests of {subject.name} {what} on the module as it is; "
            f"see to `uv run pytest {' '.join(subject.tests)}` first"
        )


def verdict(code: int | None) -> str:
    """What pytest's exit code says of the mutant."""
    return {None: HUNG, 0: SURVIVED, 1: KILLED}.get(code, BROKE)


def preloaded(root: Path, subjects: Iterable[Subject]) -> list[str]:
    """What the tests and modules import, apart from the phases and the journal: all at once."""
    tests = {root / test for subject in subjects for test in subject.tests}
    texts = [test.read_text(encoding="utf-8") for test in sorted(tests)]
    texts += [subject.text for subject in subjects]
    names = {name for text in texts for name in imported(text)}
    return sorted(name for name in names if not re.match(r"(phase\d\d|journal)\b", name))


def imported(text: str) -> Iterator[str]:
    """The modules that a text imports; of `from a import b` also `a.b`, which may be one."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


class Verdicts:
    """What is known of a module's mutants already, a line of json for each."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._known: dict[str, dict[str, Any]] = {}
        text = path.read_text(encoding="utf-8") if path.exists() else ""
        for line in text.splitlines():
            try:
                entry = json.loads(line)
                self._known[entry["key"]] = entry
            except (ValueError, KeyError, TypeError):
                continue  # half a line, from a run that was killed while it wrote
        self._torn = bool(text) and not text.endswith("\n")

    def get(self, key: str, seconds: float) -> dict[str, Any] | None:
        """The entry of a mutant, unless it hung and would now be given more time."""
        found = self._known.get(key)
        return None if found and found["verdict"] == HUNG and found["limit"] < seconds else found

    def add(self, key: str, verdict: str, seconds: float, limit: float) -> None:
        entry = {"key": key, "verdict": verdict, "seconds": seconds, "limit": limit}
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a", encoding="utf-8", newline="\n") as stream:
            stream.write("\n" * self._torn + json.dumps(entry) + "\n")
        self._torn = False


# ---- what came of it ---------------------------------------------------------------------


def measured(subjects: Iterable[Subject]) -> dict[str, Any]:
    """The numbers of each module under its name without the package."""
    return {
        subject.name.partition(".")[2]: {
            "generated": subject.generated,
            "run": len(subject.mutants),
            "equivalent": subject.equivalent,
            "killed": subject.count(KILLED, HUNG, BROKE),
            "hung": subject.count(HUNG),
            "broke": subject.count(BROKE),
            "survived": subject.count(SURVIVED),
            "share": round(subject.share, 4),
            "planted": len(subject.planted),
            "planted_killed": sum(subject.verdicts[m] != SURVIVED for m in subject.planted),
        }
        for subject in subjects
    }


def show(subjects: Iterable[Subject]) -> None:
    """A table with a row for each module, then each survivor as a small diff."""
    out = views.console()
    headers = ("module", "mutants", "run", "equivalent", "killed", "hung", "broke")
    table = views.columns(out, *headers, "survived", "share", "planted")
    table.columns[0].no_wrap = True
    for name, row in measured(subjects).items():
        keys = ("generated", "run", "equivalent", "killed", "hung", "broke", "survived")
        planted = f"{row['planted_killed']} of {row['planted']}"
        table.add_row(
            name, *(str(row[key]) for key in keys), f"{100 * row['share']:.1f} %", planted
        )
    views.emit(out, table)
    for subject in subjects:
        for mutant in subject.survivors:
            out.print(f"\nsurvived: {subject.name}, {mutant.function}, line {mutant.line}")
            out.print(mutation.diff(mutant), soft_wrap=True)
    out.print()


def complaints(subjects: Iterable[Subject], *, written: bool) -> Iterator[str]:
    """Why the command ends with 1: a low share in a written phase, a planted mistake alive."""
    for subject in subjects:
        if written and subject.share < ENOUGH:
            share = f"{100 * subject.share:.1f} %"
            yield f"{subject.name}: its tests kill {share} of the mutants, less than the 90 % due"
        for mutant in subject.survivors:
            if mutant in subject.planted:
                yield f"{subject.name}: the mistake survives, {mutant.function}"


def write(
    root: Path, phase: Phase, config: Config, metrics: dict[str, Any], seconds: float
) -> None:
    """Write the shares as a result of this command; `seconds` are those of all test runs."""
    name = "mutants.json"
    recorded = root / phase.folder / "results" / name
    path = recorded if config.record else Path.cwd() / "runs" / f"phase{phase.number:02}" / name
    document = {
        "script": "journal/mutants.py",
        "metrics": metrics,
        "seconds": round(seconds, 1),
        "config": asdict(config),
        "versions": record.versions(),
        "machine": record.machine(),
    }
    record.replace_file(path, json.dumps(document, indent=2, sort_keys=True) + "\n")


if __name__ == "__main__":
    script.run(main, Config)
