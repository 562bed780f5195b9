"""The command line of the journal: where you stand, what comes next, and running it.

    uv run journal                      # where you stand
    uv run journal show 7.1             # one item
    uv run journal run phase08.sample --help
    uv run journal train --source shakespeare

It knows no phase: what there is it reads from ROADMAP.md, and it runs the scripts of the phases in
a process of their own. Tables and bars are rich's on a terminal and plain text elsewhere. A
mistake on the command line is one sentence on stderr and exit code 2.

Left out, and to come: practice, check, papers, posts, the site.
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

from journal import roadmap, script, views
from journal.nearest import nearest, suggestion
from journal.plan import Roadmap

TRAINING_ITEM = "8.4"  # its Run link is the main job's script

app = tyro.extras.SubcommandApp()
data_app = tyro.extras.SubcommandApp()
Rest = Annotated[Positional[tuple[str, ...]], arg(metavar="...", help_behavior_hint="")]
COMMANDS = ("status", "next", "show", "run", "train", "data", "doctor")
DATA_COMMANDS = ("list", "fetch", "verify")


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
        case ["run", module, *rest] if not module.startswith("-"):
            return run(module, tuple(rest))
        case ["data"]:
            return list_()
        case [command, *_] if not command.startswith("-") and command not in COMMANDS:
            raise ValueError(_unknown("command", command, COMMANDS))
        case ["data", command, *_] if not command.startswith("-") and command not in DATA_COMMANDS:
            raise ValueError(_unknown("data command", command, DATA_COMMANDS))
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
    views.show_status(roadmap.load())


@app.command(name="next")
def next_() -> None:
    """The item that is due, and the first one that can be done today."""
    views.show_next(roadmap.load())


@app.command
def show(item: Positional[str]) -> None:
    """An item (2.3) or a whole phase (2): what to read, write and run.

    Args:
        item: the id of an item, or the number of a phase
    """
    plan = roadmap.load()
    if item.isdecimal():
        views.show_phase(plan.phase(int(item)))
    else:
        views.show_item(plan, plan.item(item))


# ---- running the phases ------------------------------------------------------------------


@app.command
def run(
    module: Annotated[Positional[str | None], arg(metavar="MODULE", help_behavior_hint="")] = None,
    arguments: Rest = (),
) -> int | None:
    """Run a script of a phase, for example phase08.sample; all further arguments are its own.

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
    command = [sys.executable, "-m", module, *arguments]
    sys.stdout.flush()
    if os.name == "posix":
        os.execve(sys.executable, command, environment)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    return subprocess.run(command, env=environment, check=False).returncode


# ---- data and machine --------------------------------------------------------------------


@data_app.command(name="list")
def list_() -> None:
    """Every data set: what it is, where from, its size and licence, and whether it is here."""
    from journal import data

    views.show_data(data.list_sets())


@data_app.command
def fetch(name: Positional[str]) -> None:
    """Bring a set or a file here: downloaded where it is missing, verified in any case.

    Args:
        name: a set (mnist) or one file (tinyshakespeare/input.txt)
    """
    from journal import data

    files = [name] if "/" in name else data.names(f"{name}/*")
    if not files:
        sets = [found.name for found in data.list_sets()]
        raise ValueError(_unknown("data set", name, sets))
    for file in files:
        print(data.fetch(file))


@data_app.command
def verify(
    name: Annotated[Positional[str | None], arg(metavar="[NAME]", help_behavior_hint="")] = None,
) -> int:
    """Hash what is here of a set, a file or everything; exit code 1 where something is damaged.

    Args:
        name: a set or a file; everything that is here when left out
    """
    from journal import data

    sets = [found.name for found in data.list_sets() if found.found]
    verdicts = [verdict for one in ([name] if name else sets) for verdict in data.verify(one)]
    return views.show_verdicts(verdicts)


ABOUT_DATA = "The data sets: list, fetch and verify them. Without a command: list."
app.command(data_app, name="data", help=ABOUT_DATA)


@app.command
def doctor() -> int:
    """What this machine has (Python, device, memory, data), what will not work and what to do."""
    from journal import doctor

    return views.show_findings(doctor.examine(roadmap.find_root()))


if __name__ == "__main__":
    main()
