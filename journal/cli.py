"""The command line of the journal: where you stand, what comes next, and running it.

    uv run journal                      # where you stand
    uv run journal show 7.1             # one item
    uv run journal run phase08.sample --help
    uv run journal train --source shakespeare

It knows no phase: what there is it reads from ROADMAP.md, and it runs the scripts of the phases in
a process of their own. Tables and bars are rich's on a terminal and plain text elsewhere. A
mistake on the command line is one sentence on stderr and exit code 2.

The groups of commands (`data`, `papers`, `post`, `site`) are in `journal.commands`.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import tyro
from tyro.conf import Positional, arg

from journal import logbook, overlay, record, roadmap, script, views
from journal.commands import data, papers, posts, site
from journal.nearest import nearest, suggestion
from journal.plan import Roadmap

MINE = "--mine"
TRAINING_ITEM = "8.4"  # its Run link is the main job's script

app = tyro.extras.SubcommandApp()
Rest = Annotated[Positional[tuple[str, ...]], arg(metavar="...", help_behavior_hint="")]
COMMANDS = (
    *("status", "next", "show", "practice", "check", "hint", "diff", "tick"),
    *("run", "train", "milestones", "museum", "papers", "post", "site", "data", "doctor"),
)
GROUPS = {"papers": papers, "post": posts, "site": site, "data": data}


def main(argv: Sequence[str] | None = None) -> None:
    """Entry point: run one command and leave with its exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    script.replace_what_cannot_be_shown()
    try:
        code = _dispatch(arguments)
    except BrokenPipeError:  # `journal status | head`: nobody is reading any more
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 0
    except (ValueError, OSError) as error:
        if not script.is_user_error(error):
            raise
        script.fail(error)
    except KeyboardInterrupt:
        code = 128 + signal.SIGINT
    raise SystemExit(code or 0)


def _dispatch(arguments: list[str]) -> int | None:
    match arguments:
        case []:
            return status()
        case ["train", *rest]:  # these two hand everything on, --help too
            return train(tuple(rest))
        case ["run", "--mine", module, *rest]:
            return run(module, (MINE, *rest))
        case ["run", module, *rest] if not module.startswith("-"):
            return run(module, tuple(rest))
        case [group] if group in GROUPS and "list" in GROUPS[group].COMMANDS:
            arguments = [group, "list"]
        case [command, *_] if not command.startswith("-") and command not in COMMANDS:
            raise ValueError(_unknown("command", command, COMMANDS))
        case [group, command, *_] if group in GROUPS and not command.startswith("-"):
            if command not in GROUPS[group].COMMANDS:
                raise ValueError(_unknown(f"{group} command", command, GROUPS[group].COMMANDS))
    on_terminal = sys.stdout.isatty() and sys.stderr.isatty()
    tyro._experimental_options["utf8_boxes"] = on_terminal
    about = "Transformers from scratch: a learning journal that runs. Without a command: status."
    return app.cli(prog="journal", description=about, args=arguments)


def _unknown(kind: str, name: str, known: Sequence[str]) -> str:
    return f"there is no {kind} {name!r}; {suggestion(name, known)}"


# ---- where the learner stands ------------------------------------------------------------


@app.command
def status() -> None:
    """Where you stand: a bar for each phase, the next item, the milestones."""
    root = roadmap.find_root()
    plan = roadmap.load(root)
    views.show_status(plan, logbook.states(root, plan))


@app.command(name="next")
def next_() -> None:
    """The item that is due, and the first one that can be done today."""
    root = roadmap.find_root()
    plan = roadmap.load(root)
    views.show_next(root, plan, logbook.states(root, plan))


@app.command
def show(item: Positional[str]) -> None:
    """An item (2.3) or a whole phase (2): what to read, write and run.

    Args:
        item: the id of an item, or the number of a phase
    """
    root = roadmap.find_root()
    plan = roadmap.load(root)
    states = logbook.states(root, plan)
    if item.isdecimal():
        views.show_phase(plan.phase(int(item)), states)
    else:
        views.show_item(root, plan, plan.item(item), states)


# ---- your own version of a module --------------------------------------------------------


@app.command
def practice(item: Positional[str], fresh: bool = False) -> None:
    """Begin your own version of an item's modules: signatures and docstrings, the bodies yours.

    Args:
        item: the id of an item
        fresh: begin again where there is a file already; a dated copy of it is kept
    """
    from journal import practice

    root = roadmap.find_root()
    plan = roadmap.load(root)
    found = plan.item(item)
    modules = set(logbook.modules(found))
    shared = [other for other in plan.items if modules & set(logbook.modules(other))]
    others = [other.id for other in shared if other.id != found.id]
    views.show_begun(found, others, practice.begin(root, found, fresh=fresh))


@app.command
def check(item: Positional[str], watch: bool = False, seconds: float = 300.0) -> int:
    """Run an item's tests on your own module, and tick the item where they pass.

    Args:
        item: the id of an item (0.1), or the number of a phase: every item of it that you began
        watch: check again on every save, until Ctrl-C
        seconds: the time limit of one check
    """
    from journal import practice

    root = roadmap.find_root()
    plan = roadmap.load(root)
    for name in ("SIGTERM", "SIGHUP"):  # so that the process with the tests is ended too
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), lambda number, _: sys.exit(128 + number))
    if seconds <= 0:
        raise ValueError(
            f"--seconds is the time limit of a check and must be above 0, not {seconds}"
        )
    if not watch:
        chosen = practice.begun(root, plan, item)
        return views.show_judged(practice.judge_all(root, chosen, seconds=seconds))
    if item.isdecimal():
        raise ValueError("--watch takes one item, 0.1 for example, not a whole phase")
    found = plan.item(item)
    for _ in practice.saves(root, found):
        try:
            views.show_judged(practice.judge_all(root, [found], seconds=seconds))
        except (ValueError, OSError) as error:  # a roadmap or log that is being edited: go on
            print(f"error: {error}")
        print("watching for the next save (Ctrl-C ends it)", flush=True)
    return 0


@app.command
def hint(
    item: Positional[str],
    part: Annotated[Positional[str | None], arg(metavar="[PART]", help_behavior_hint="")] = None,
    again: bool = False,
) -> None:
    """The next hint for an item, from the idea to the line; each call shows one more.

    Args:
        item: the id of an item
        part: a function of it, where you want a hint for that one
        again: show all that were shown already instead
    """
    from journal import practice

    root = roadmap.find_root()
    plan = roadmap.load(root)
    found = plan.item(item)
    if again:
        views.show_hints(practice.hints_shown(root, plan, found), None)
    else:
        one, left = practice.next_hint(root, plan, found, part)
        views.show_hints([one], left)


@app.command
def diff(item: Positional[str], reveal: bool = False) -> None:
    """Your version and the journal's side by side: once yours passes, or with --reveal.

    Args:
        item: the id of an item
        reveal: show the journal's version although yours does not pass yet
    """
    from journal import practice

    root = roadmap.find_root()
    plan = roadmap.load(root)
    found = plan.item(item)
    views.show_pairs(practice.pairs(root, plan, found, reveal=reveal))


@app.command
def tick(item: Positional[str], undo: bool = False) -> None:
    """Tick an item that no test can verify (shown as self-reported), or take a tick back.

    Args:
        item: the id of an item
        undo: take the tick out again
    """
    from journal import practice

    root = roadmap.find_root()
    print(practice.tick(root, roadmap.load(root).item(item), undo=undo))


# ---- running the phases ------------------------------------------------------------------


@app.command
def run(
    module: Annotated[Positional[str | None], arg(metavar="MODULE", help_behavior_hint="")] = None,
    arguments: Rest = (),
) -> int | None:
    """Run a script of a phase, for example phase08.sample; all further arguments are its own.

    With --mine it runs on your own modules, those that have nothing left to be written.

    Args:
        module: the script's module; without it the scripts are listed
        arguments: handed to the script as they are
    """
    root = roadmap.find_root()
    known = roadmap.scripts(root)
    if module is None:
        return views.show_scripts(known)
    if module in known:
        return _replace_by(root, module, arguments)
    if module in roadmap.modules(root):
        raise ValueError(f"{module} is a library module, not a script; import it instead")
    named_so = [name for name in known if name.partition(".")[2] == module.rpartition(".")[2]]
    near = named_so or nearest(module, known)
    hint = f"did you mean {' or '.join(near)}?" if near else "`uv run journal run` lists them"
    raise ValueError(f"there is no script {module!r}; {hint}")


@app.command
def train(
    arguments: Rest = (),
) -> int | None:
    """Train a GPT on text that Python carries, ending in a sample; options are the trainer's own.

    Args:
        arguments: handed to the training script as they are; --help shows them
    """
    root = roadmap.find_root()
    return _replace_by(root, training_module(roadmap.load(root)), arguments)


@app.command
def milestones(
    action: Annotated[Positional[str | None], arg(metavar="[run]", help_behavior_hint="")] = None,
    year: Annotated[Positional[str | None], arg(metavar="[YEAR]", help_behavior_hint="")] = None,
    mine: bool = False,
) -> int | None:
    """The six historic milestones and how far each is; `milestones run 1957 --mine` reaches one.

    Args:
        action: run, to run a milestone's scripts; without it they are listed
        year: which one
        mine: on your own modules, which its items must have passed
    """
    return _history("milestones", action, year, mine)


@app.command
def museum(
    action: Annotated[Positional[str | None], arg(metavar="[run]", help_behavior_hint="")] = None,
    number: Annotated[
        Positional[str | None], arg(metavar="[NUMBER]", help_behavior_hint="")
    ] = None,
    mine: bool = False,
) -> int | None:
    """The museum's exhibits as a timeline; `museum run 02` runs one.

    Args:
        action: run, to run an exhibit; without it they are listed
        number: which one
        mine: on your own modules
    """
    return _history("museum", action, number, mine)


def training_module(plan: Roadmap) -> str:
    """The module of the main job, by the roadmap."""
    found = [link.module for link in plan.item(TRAINING_ITEM).of("Run") if link.module]
    if not found:
        raise ValueError(
            f"the training script is to come: item {TRAINING_ITEM} of ROADMAP.md has no Run link"
        )
    return next((module for module in found if module.endswith(".train")), found[0])


def _replace_by(root: Path, module: str, arguments: Sequence[str]) -> int:
    """Run `python -m module` in this process's place and return its exit code.

    Where the system can, the interpreter becomes the script's: Ctrl-C, SIGTERM and SIGKILL meet
    the script itself, just once, and nothing of it is left behind. Windows cannot, so there this
    process waits, deaf to Ctrl-C, which the console gives to both.
    """
    environment = roadmap.environment(root)
    if MINE in arguments:
        environment = _on_mine(root, [module])
        arguments = [argument for argument in arguments if argument != MINE]
    command = [sys.executable, "-m", module, *arguments]
    sys.stdout.flush()
    if os.name == "posix":
        os.execve(sys.executable, command, environment)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    return subprocess.run(command, env=environment, check=False).returncode


def _on_mine(root: Path, scripts: Sequence[str]) -> dict[str, str]:
    """The variables for a run of these scripts on the learner's modules; says which they are."""
    from journal import practice

    needed = practice.imported(root, scripts)
    found = [module for module in practice.mine(root) if module.name in needed]
    views.show_mine(found)
    replaced = {module.name: root / module.path for module in found if module.used}
    items = [item for item in roadmap.load(root).items if needed & set(logbook.modules(item))]
    if items and not replaced:
        raise ValueError(
            f"{' and '.join(scripts)} would run on none of your modules; "
            f"`uv run journal practice {items[0].id}` begins one that it uses"
        )
    return {**overlay.lasting(root, replaced), record.PRACTICE: str(root / "practice")}


def _history(kind: str, action: str | None, name: str | None, mine: bool) -> int:
    """List the milestones or the exhibits, or run the scripts of one, one after the other."""
    from journal import history

    root = roadmap.find_root()
    plan = roadmap.load(root)
    if action is None:
        views.show_history(plan, kind)
        return 0
    if action != "run" or name is None:
        raise ValueError(f"write `uv run journal {kind}`, or `uv run journal {kind} run NAME`")
    if kind == "milestones":
        row = history.find_milestone(plan, name)
        states = logbook.states(root, plan)
        closed = history.gate(plan, row, lambda item_id: states[item_id] == "verified")
        if mine and closed:
            raise ValueError(closed)
    else:
        row = history.find_exhibit(plan, name)
    modules = history.to_run(row)
    environment = _on_mine(root, modules) if mine else roadmap.environment(root)
    for module in modules:
        print(f"--- {module}", flush=True)
        command = [sys.executable, "-m", module]
        code = subprocess.run(command, env=environment, check=False).returncode
        if code != 0:
            return code
    return 0


# ---- the machine, and the groups of commands -------------------------------------------------


@app.command
def doctor() -> int:
    """What this machine has (Python, device, memory, data), what will not work and what to do."""
    from journal import doctor

    return views.show_findings(doctor.examine(roadmap.find_root()))


for name, group in GROUPS.items():
    app.command(group.app, name=name, help=group.ABOUT)


if __name__ == "__main__":
    main()
