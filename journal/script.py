"""How every script of the journal starts and ends.

A script has a config dataclass and `main(config) -> dict`, and closes with

    if __name__ == "__main__":
        script.run(main, Config)

`run` reads the command line into the config (tyro), runs `main`, and prints the metrics that it
returned as json, the script's last line. With several presets it takes a dictionary of configs
instead of a class: `--preset NAME` chooses the values that the other options then override, and
`--help` shows them.

A user's mistake (a `ValueError` or an `OSError` that the project itself raised) becomes one
sentence on stderr and exit code 2. Anything else is a bug of ours and keeps its traceback.
"""

import errno
import io
import json
import os
import re
import sys
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import tyro
from rich.console import Console
from rich.table import Table
from rich.text import Text

from journal import record
from journal.nearest import suggestion

C = TypeVar("C")
EXIT_USER_ERROR = 2


def run(
    main: Callable[[C], dict[str, Any] | None],
    config: type[C] | Mapping[str, C],
    argv: Sequence[str] | None = None,
) -> None:
    """Parse the command line into a config, run `main` on it, print its metrics as json."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    replace_what_cannot_be_shown()
    try:
        chosen = parse(config, arguments, description=_first_paragraph(main))
        seed = getattr(chosen, "seed", 0)  # NumPy's own refusal would look like a bug of ours
        if isinstance(seed, int) and seed < 0:
            raise ValueError(f"a seed is 0 or more, not {seed}")
        metrics = main(chosen)
    except (ValueError, OSError) as error:
        if not is_user_error(error):
            raise
        fail(error)
    except KeyboardInterrupt:
        print("\nStopped.", file=sys.stderr)
        raise SystemExit(130) from None
    while record.written:
        print(f"written: {_near(record.written.pop(0))}")
    if metrics is not None:
        print(json.dumps(metrics), flush=True)


def close(costs: Iterable[tuple[str, str, str]], questions: Iterable[str]) -> None:
    """Print how a milestone's script ends: what the run cost, and what to think about.

    A cost is (quantity, how much it was here, how it grows with the size of the problem).
    """
    table = Table("what it costs", "here", "how it grows", box=None, pad_edge=False)
    for cost in costs:
        table.add_row(*(Text(cell) for cell in cost))
    print()
    Console().print(table)
    print("\nTo think about:")
    for number, question in enumerate(questions, start=1):
        print(f"{number}. {question}")


def _near(path: Path) -> Path:
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def replace_what_cannot_be_shown() -> None:
    """Let a character that the output cannot encode (a pipe on Windows) come out as `?`."""
    for output in (sys.stdout, sys.stderr):
        if isinstance(output, io.TextIOWrapper):
            output.reconfigure(errors="replace")


def parse(
    config: type[C] | Mapping[str, C], arguments: Sequence[str], description: str | None = None
) -> C:
    """The config that these arguments ask for; exits with code 2 where they are no good."""
    # Boxes and colours are for a terminal; through a pipe, plain text.
    tyro._experimental_options["utf8_boxes"] = sys.stdout.isatty()
    shown: dict[str, Any] = {"prog": _program(), "args": arguments, "description": description}
    if isinstance(config, Mapping):
        default = config[_chosen_preset(config, arguments)]
        return tyro.cli(type(default), default=default, **shown)
    return tyro.cli(config, **shown)


def _program() -> str | None:
    """The command that `--help` names: `journal run phase08.train`, not the path of a file."""
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    name = spec.name if spec else ""
    return f"journal run {name}" if re.fullmatch(r"phase\d\d\.\w+", name) else None


def _chosen_preset(presets: Mapping[str, Any], arguments: Sequence[str]) -> str:
    """The value of `--preset` among the arguments, else the first preset."""
    name = next(iter(presets))
    for position, argument in enumerate(arguments):
        if argument == "--preset" and position + 1 < len(arguments):
            name = arguments[position + 1]
        elif argument.startswith("--preset="):
            name = argument.removeprefix("--preset=")
    if name not in presets:
        raise ValueError(f"there is no preset {name!r}; {suggestion(name, presets)}")
    return name


def is_user_error(error: BaseException) -> bool:
    """Whether this is a mistake or misfortune of the user's rather than a bug of ours.

    The operating system's own refusals (disk full, no permission) are. A `ValueError` is one where
    the line that raised it belongs to the project: a `ValueError` from deep inside a library means
    that the project called it wrongly.
    """
    if isinstance(error, OSError) and error.errno is not None:
        return True
    innermost = None
    for frame, _ in traceback.walk_tb(error.__traceback__):
        innermost = frame.f_globals.get("__name__", "")
    return (
        innermost is not None and re.match(r"(journal|phase\d\d|__main__)\b", innermost) is not None
    )


def fail(error: BaseException | str) -> None:
    """Print one sentence and leave with exit code 2 (the traceback too where JOURNAL_DEBUG is)."""
    if isinstance(error, BaseException) and os.environ.get("JOURNAL_DEBUG"):
        traceback.print_exception(error)
    full = isinstance(error, OSError) and error.errno == errno.ENOSPC
    advice = "; what was whole before still is: make room and run the same command" if full else ""
    print(f"error: {error}{advice}", file=sys.stderr, flush=True)
    raise SystemExit(EXIT_USER_ERROR)


def _first_paragraph(main: Callable[..., Any]) -> str | None:
    """What `--help` says first: the opening paragraph of the script's docstring."""
    text = sys.modules[main.__module__].__doc__
    return text.strip().split("\n\n")[0] if text else None
