"""`journal post`: begin a post, list all, check one, publish it."""

from datetime import date
from pathlib import Path
from typing import Annotated

import tyro
from tyro.conf import Positional, arg

from journal import roadmap

ABOUT = "Blog posts: new, list, check and publish. Without a command: list."
COMMANDS = ("new", "list", "check", "publish")
COMMAND = "uv run journal"

app = tyro.extras.SubcommandApp()


@app.command
def new(phase: Positional[int], title: str = "") -> None:
    """Begin a post from the template, as a draft: phase-NN-name/blog/<title>.md.

    Args:
        phase: the number of the phase that it belongs to
        title: of a post of your own; without it, the title that the roadmap gives the phase's post
    """
    from journal import posts

    root = roadmap.find_root()
    path = posts.begin(root, roadmap.load(root).phase(phase), title)
    print(f"{path.relative_to(root).as_posix()}: a draft, yours to write")
    print(f"  {COMMAND} post check {path.stem}")


@app.command(name="list")
def list_() -> None:
    """Every post: phase, title, date, words, draft or published."""
    from journal import posts, views

    found = posts.list_all(roadmap.find_root())
    if not found:
        print(f"no posts yet; `{COMMAND} post new 0` begins one")
        return
    out = views.console()
    table = views.columns(out, "Phase", "Post", "Date", "Words", "State", "File")
    for post in found:
        phase = "" if post.phase is None else str(post.phase)
        when = post.date.isoformat() if post.date else "no date"
        table.add_row(phase, post.title, when, str(post.words), post.state, post.path.stem)
    views.emit(out, table)


@app.command
def check(post: Positional[str]) -> int:
    """What is wrong with a post: front matter, links, pictures, numbers, and what its code prints.

    Args:
        post: its file, its file's name without .md, its title, or the number of its phase
    """
    from journal import posts

    root = roadmap.find_root()
    return _report(posts.find(root, post), root)


@app.command
def publish(
    post: Positional[str],
    on: Annotated[str, arg(metavar="2026-01-31")] = "",
) -> int:
    """Check a post, and if nothing is wrong with it set its date and end its being a draft.

    Args:
        post: its file, its file's name without .md, its title, or the number of its phase
        on: the date to give it; today's when left out
    """
    from journal import posts

    root = roadmap.find_root()
    found = posts.find(root, post)
    try:
        when = date.fromisoformat(on) if on else date.today()
    except ValueError:
        raise ValueError(f"--on is a date such as 2026-01-31, not {on!r}") from None
    if not found.draft:
        raise ValueError(f"{found.name} is published already, dated {found.date}")
    if _report(found, root):
        return 1
    posts.publish(root, found, on=when)
    print(f"{found.name}: published, dated {when}")
    print(f"  {COMMAND} site build puts it into the list of posts and the feed")
    return 0


def _report(found, root: Path) -> int:
    from journal import posts

    wrong = list(posts.faults(root, found))
    for complaint in wrong:
        print(complaint)
    print(f"{found.name}: {len(wrong) or 'nothing'} wrong")
    return int(bool(wrong))
