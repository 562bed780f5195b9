"""`journal data`: the data sets, listed, fetched and verified."""

from typing import Annotated

import tyro
from tyro.conf import Positional, arg

from journal import views
from journal.nearest import suggestion

ABOUT = "The data sets: list, fetch and verify them. Without a command: list."
COMMANDS = ("list", "fetch", "verify")

app = tyro.extras.SubcommandApp()


@app.command(name="list")
def list_() -> None:
    """Every data set: what it is, where from, its size and licence, and whether it is here."""
    from journal import data

    views.show_data(data.list_sets())


@app.command
def fetch(name: Positional[str]) -> None:
    """Bring a set or a file here: downloaded where it is missing, verified in any case.

    Args:
        name: a set (mnist) or one file (tinyshakespeare/input.txt)
    """
    from journal import data

    files = [name] if "/" in name else data.names(f"{name}/*")
    if not files:
        sets = [found.name for found in data.list_sets()]
        raise ValueError(f"there is no data set {name!r}; {suggestion(name, sets)}")
    for file in files:
        print(data.fetch(file))


@app.command
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
