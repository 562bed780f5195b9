"""`journal site build`: the whole site, made anew, in the place of the former one once it is right.

    stage      every page as HTML into build/site-src                      journal.site.staging
    set        every formula with KaTeX                                    journal.site.mathematics
    generate   navigation, list of posts, search, by zensical (strict)
    feed       the posts for readers of feeds                              journal.site.feed
    finish     formulas into their places, KaTeX's styles and fonts beside them
    inspect    every link, anchor, picture; nothing loaded from elsewhere  journal.site.inspection

All of it happens in folders of its own under build/; build/site is replaced at the end.
"""

import contextlib
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import time
import tomllib
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from journal import roadmap
from journal.record import replace_file
from journal.site import addresses, feed, inspection, mathematics, staging
from journal.site.addresses import Repository
from journal.site.staging import Staged

SETTINGS = "website/zensical.toml"
PLAIN = re.compile(r"\x1b\[[0-9;]*m")


@dataclass(frozen=True)
class Built:
    """What was built: where, for which address, how much, in how many seconds."""

    path: Path
    address: str
    why: str
    pages: int
    posts: int
    formulas: int
    seconds: float


def build(root: Path) -> Built:
    """Build the site into build/site; ValueError has a line for each fault, nothing is replaced."""
    with alone(root / "build"):
        return _build(root)


@contextlib.contextmanager
def alone(folder: Path) -> Generator[None]:
    """Refuse a second build in this folder; Windows has no such locks, there both would run."""
    folder.mkdir(parents=True, exist_ok=True)
    try:
        import fcntl
    except ImportError:
        yield
        return
    with (folder / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ValueError(
                f"another build of the site is at work in {folder}: wait until it has ended"
            ) from None
        yield


def _build(root: Path) -> Built:
    start = time.perf_counter()
    settings = read_settings(root)
    repository = addresses.repository(root)
    address, why = addresses.site(str(settings.get("site_url") or ""), repository)
    folder = root / "build"
    staged = staging.stage(root, folder / "site-src", repository)
    katex = mathematics.read(mathematics.package(root)) if staged.formulas.found else {}
    formulas = mathematics.set_all(root, staged.formulas, katex)
    fresh = folder / "site-new"
    shutil.rmtree(fresh, ignore_errors=True)
    generate(root, configuration(settings, staged, address, repository))
    about = str(settings.get("site_description", ""))
    entries = feed.write(fresh, address, str(settings["site_name"]), about, staged.posts)
    replace_file(fresh / staging.FEED, entries)
    count = finish(fresh, formulas, katex)
    if staged.formulas.found and not count:
        raise RuntimeError("no formula found its place: the generator has changed the pages")
    wrong = list(inspection.faults(fresh, address))
    if wrong:
        raise ValueError("\n".join(wrong))
    site = replace(folder / "site", fresh)
    pages = sum(1 for _ in site.rglob("*.html"))
    seconds = time.perf_counter() - start
    return Built(site, address, why, pages, len(staged.posts), len(formulas), seconds)


def read_settings(root: Path) -> dict[str, Any]:
    """The project's settings of website/zensical.toml."""
    try:
        return tomllib.loads((root / SETTINGS).read_text(encoding="utf-8"))["project"]
    except (tomllib.TOMLDecodeError, KeyError) as error:
        raise ValueError(f"{SETTINGS} must be TOML with a table [project]: {error}") from None


def configuration(
    settings: Mapping[str, Any], staged: Staged, address: str, repository: Repository | None
) -> dict[str, Any]:
    """The generator's configuration: the settings, the folders, the addresses, the navigation."""
    licence = "Text and code under the MIT licence."
    if repository is not None:
        licence += (
            f' <a href="{repository.address}">The repository</a> has every script and result.'
        )
    return {
        **settings,
        "site_url": address,
        "copyright": licence,
        "docs_dir": "site-src",
        "site_dir": "site-new",
        "theme": {**settings["theme"], "custom_dir": "../website/theme"},
        "nav": staging.navigation(staged),
    }


def generate(root: Path, configuration: Mapping[str, Any]) -> None:
    """Run zensical, strict, on build/site-src; ValueError has its words where it is not content."""
    if importlib.util.find_spec("zensical") is None:
        raise ModuleNotFoundError("zensical is not installed: run `make setup`, or `uv sync`")
    file = root / "build" / "zensical.yml"  # json is YAML, and the generator reads YAML
    replace_file(file, json.dumps(configuration, indent=1))
    command = [
        sys.executable,
        "-m",
        "zensical.main",
        "build",
        "--strict",
        "--clean",
        "-f",
        str(file),
    ]
    ran = subprocess.run(
        command,
        cwd=file.parent,
        env={**roadmap.environment(root), "NO_COLOR": "1", "PYTHONUTF8": "1"},
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
    )
    if ran.returncode or not (file.parent / "site-new" / "index.html").is_file():
        said = PLAIN.sub("", ran.stdout + ran.stderr).strip()
        raise ValueError(f"zensical does not build the site:\n{said}")


def finish(site: Path, formulas: Sequence[str], katex: Mapping[str, bytes]) -> int:
    """Put formulas into the pages and KaTeX beside them; returns how many places there were."""
    total = 0
    for path in site.rglob("*.html"):
        page, count = mathematics.put_in(path.read_text(encoding="utf-8"), formulas)
        if count:
            up = os.path.relpath(site, path.parent)
            sheet = f'<link rel="stylesheet" href="{up}/{mathematics.STYLES}">\n'
            replace_file(path, page.replace("</head>", f"{sheet}</head>", 1))
        total += count
    for name, content in katex.items():
        if name != "katex.js":
            target = site / mathematics.FOLDER / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
    return total


def replace(site: Path, fresh: Path) -> Path:
    """Put the fresh site where the former one stood."""
    former = site.with_name("site-old")
    shutil.rmtree(former, ignore_errors=True)
    if site.exists():
        site.rename(former)
    fresh.rename(site)
    shutil.rmtree(former, ignore_errors=True)
    return site
