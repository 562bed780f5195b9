"""The learner's modules in the place of the reference's: a tree of packages, first on the path.

For each module that is replaced its whole package is laid out anew, with the learner's text where
the reference's stood; the reference's text is not in it. The tree comes first in PYTHONPATH of a
fresh process, so that whatever imports the module there, the tests, a script of any phase or a
child that it spawns, gets the learner's. An overlay rather than an import hook: what is run are
files that one can look at.
"""

import hashlib
import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

from journal import roadmap

# What `journal.check` tells the process that it starts; `journal.judge` reads them there.
VERDICT = "JOURNAL_VERDICT"  # the file that the child writes its lines to
REPLACED = "JOURNAL_REPLACED"  # json: module -> its file in the tree
FORBIDDEN = "JOURNAL_FORBIDDEN"  # json: the reference's files, which nobody may open

IGNORED = shutil.ignore_patterns("__pycache__", "*.pyc")


def lay_out(folder: Path, root: Path, replaced: Mapping[str, Path | str]) -> dict[str, str]:
    """Lay out the packages of the `replaced` modules under `folder`, which is new or empty.

    `replaced` maps `phase00.linear_algebra` to the file, or to the text, that stands in for it.
    Returns the environment variables for a process that shall see the tree before all else.
    """
    known = roadmap.modules(root)
    for name in replaced:
        if name not in known:
            raise ValueError(f"there is no module {name} that could be replaced")
    for package in sorted({name.partition(".")[0] for name in replaced}):
        source = next(file.parent for name, file in known.items() if name.startswith(package + "."))
        # Contents alone, not their modes: the checkout may be read-only.
        shutil.copytree(source, folder / package, ignore=IGNORED, copy_function=shutil.copyfile)
    for name, content in replaced.items():
        place = place_of(folder, name)
        place.unlink(missing_ok=True)
        place.write_bytes(content.encode() if isinstance(content, str) else content.read_bytes())
    return environment(folder, root)


def place_of(folder: Path, module: str) -> Path:
    """Where a module lies in the tree under `folder`."""
    package, _, stem = module.partition(".")
    return folder / package / f"{stem}.py"


def environment(folder: Path, root: Path) -> dict[str, str]:
    """The variables of a process that imports from the tree first, and from nowhere by accident."""
    variables = roadmap.environment(root)
    variables["PYTHONPATH"] = os.pathsep.join([str(folder), variables["PYTHONPATH"]])
    variables["PYTHONSAFEPATH"] = "1"  # else the folder one stands in would come before the tree
    variables["PYTHONDONTWRITEBYTECODE"] = "1"
    return variables


def lasting(root: Path, replaced: Mapping[str, Path]) -> dict[str, str]:
    """Lay the tree out under `build/`, under a name of its content, and return the variables.

    For a process that takes this one's place and so leaves nobody behind who could clean up.
    """
    digest = hashlib.sha256(sys.version.encode())
    packages = {name.partition(".")[0] for name in replaced}
    texts = {name: file.read_bytes().decode() for name, file in replaced.items()}  # read once
    for name, file in roadmap.modules(root).items():
        if name.partition(".")[0] in packages:
            text = texts[name].encode() if name in texts else file.read_bytes()
            digest.update(f"{name} {len(text)} ".encode() + text)
    folder = root / "build" / "overlays" / digest.hexdigest()[:16]
    if not folder.exists():
        draft = folder.with_name(f"{folder.name}.{os.getpid()}")
        shutil.rmtree(draft, ignore_errors=True)
        draft.parent.mkdir(parents=True, exist_ok=True)
        lay_out(draft, root, texts)
        for name in replaced:  # a traceback names this copy: let nobody edit it by mistake
            place_of(draft, name).chmod(0o444)
        try:
            draft.rename(folder)
        except OSError:  # another process was faster, with the same content
            shutil.rmtree(draft)
    return environment(folder, root)
