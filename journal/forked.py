"""Runs the same tests many times, each time on other modules, without importing torch each time.

    python -m journal.forked numpy torch        # the server; a line of json in, a line of json out

A server imports pytest, its plugins and what the tests import once, but none of the modules that
are tested. For each request it forks; the child puts the folders of its request first on the path,
runs pytest with all output thrown away and leaves with pytest's exit code. It has a process group
of its own, which is killed when it is done or its time is up, with whatever it had started.

Where forking is not safe, each run is a fresh process: Windows cannot fork, and on macOS the system
libraries under NumPy may not be used in a forked child.

In those runs this module is a plugin of pytest too: with `-x` pytest gives tests that could not
even be collected the exit code of a failed test, 1, and here it becomes 2.
"""

import contextlib
import gc
import importlib
import json
import os
import queue
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    import pytest

CAN_FORK = sys.platform == "linux"
BROKEN = 70  # exit code of a child in which pytest itself failed
MEMORY = 4 * 2**30  # bytes that a child may take: a wrong loop must not fill the machine
# Hypothesis' own profile for CI: the same examples each time, none remembered, no deadline.
OPTIONS = (
    *("-x", "-q", "--assert=plain", "-p", "no:cacheprovider"),
    *("-p", "journal.forked", "--hypothesis-profile=ci"),
)
FAILED, INTERRUPTED = 1, 2  # of pytest's exit codes
STEADY = {
    "PYTHONHASHSEED": "0",
    "PYTHONDONTWRITEBYTECODE": "1",
    "OMP_NUM_THREADS": "1",  # also for those that are imported before the tests' own settings
    "OPENBLAS_NUM_THREADS": "1",
}


def arguments(tests: Iterable[str]) -> list[str]:
    """What pytest is given: it stops at the first failure and writes nothing."""
    return [*OPTIONS, *tests]


class Runners:
    """Processes that run tests, as many side by side as there are; a thread takes a free one."""

    def __init__(self, preload: Sequence[str], count: int) -> None:
        self._all = [Server(preload) for _ in range(count)] if CAN_FORK else []
        self._free: queue.SimpleQueue[Server] = queue.SimpleQueue()
        for server in self._all:
            self._free.put(server)

    def run(
        self, root: Path, tests: Sequence[str], variables: Mapping[str, str], seconds: float
    ) -> int | None:
        """pytest's exit code, negative where a signal ended it; None where the time was up.

        `tests` are files, from `root`; `variables` are set on top of this process's own.
        """
        if not self._all:
            return run_fresh(root, tests, variables, seconds)
        server = self._free.get()
        try:
            return server.run(root, tests, variables, seconds)
        finally:
            self._free.put(server)

    def close(self) -> None:
        for server in self._all:
            server.close()


class Server:
    """The near end of a server process."""

    def __init__(self, preload: Sequence[str]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "journal.forked", *preload],
            env={**os.environ, **STEADY},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,  # Ctrl-C is for the process that asks
        )

    def run(
        self, root: Path, tests: Sequence[str], variables: Mapping[str, str], seconds: float
    ) -> int | None:
        requests, answers = self._process.stdin, self._process.stdout
        assert requests is not None
        assert answers is not None
        request = {"root": str(root), "tests": list(tests), "seconds": seconds}
        request["variables"] = dict(variables)
        try:
            requests.write(json.dumps(request) + "\n")
            requests.flush()
            answer = answers.readline()
        except BrokenPipeError:
            answer = ""
        if not answer:
            raise ValueError(
                "the process that runs the tests has ended; run the same command again"
            )
        return json.loads(answer)

    def close(self) -> None:
        """End the server, and with it the tests that it may be running."""
        self._process.terminate()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                with contextlib.suppress(BrokenPipeError):
                    stream.close()


def run_fresh(
    root: Path, tests: Sequence[str], variables: Mapping[str, str], seconds: float
) -> int | None:
    """The same in a process of its own."""
    command = [sys.executable, "-m", "pytest", *arguments(tests)]
    environment = {**os.environ, **variables, **STEADY}
    null = subprocess.DEVNULL
    try:
        return subprocess.run(
            command,
            cwd=root,
            env=environment,
            stdin=null,
            stdout=null,
            stderr=null,
            timeout=seconds,
            check=False,
        ).returncode
    except subprocess.TimeoutExpired:
        return None


# ---- the server --------------------------------------------------------------------------


def serve(preload: Iterable[str]) -> None:
    """Answer requests until there are no more."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what an import prints is no answer
    for name in ("pytest", *preload):
        with contextlib.suppress(ImportError):  # then the tests will say so
            importlib.import_module(name)
    for plugin in entry_points(group="pytest11"):
        plugin.load()
    gc.freeze()  # what is here now is no garbage, and need not be looked through in each child
    for line in _lines(0):
        answers.write(json.dumps(_forked(json.loads(line))) + "\n")
        answers.flush()


def _lines(descriptor: int) -> Iterator[bytes]:
    """The lines of a pipe, read without Python's standard input, which children would share."""
    with os.fdopen(os.dup(descriptor), "rb") as stream:
        yield from iter(stream.readline, b"")


def _forked(request: dict[str, Any]) -> int | None:
    """Run one request in a child; its exit code, or None where it took too long."""
    child = os.fork()
    if child == 0:
        _run_and_leave(request)
    with contextlib.suppress(OSError):  # the child does the same: whoever comes first
        os.setpgid(child, child)
    code = None
    try:
        code = _wait(child, request["seconds"])
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child, signal.SIGKILL)
        if code is None:
            os.waitpid(child, 0)
    return code


def _wait(child: int, seconds: float) -> int | None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.005)
    return None


def _run_and_leave(request: dict[str, Any]) -> NoReturn:
    """In the child: become a fresh test process and leave with pytest's exit code."""
    code = BROKEN
    try:
        os.setpgid(0, 0)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        null = os.open(os.devnull, os.O_RDWR)
        for descriptor in (0, 1, 2):
            os.dup2(null, descriptor)
        _limit_memory()
        os.chdir(request["root"])
        os.environ.update(request["variables"])
        folders = request["variables"].get("PYTHONPATH", "").split(os.pathsep)
        sys.path[:0] = [folder for folder in folders if folder]
        import pytest

        code = int(pytest.main(arguments(request["tests"])))
    finally:
        os._exit(code)


def _limit_memory() -> None:
    import resource

    _, most = resource.getrlimit(resource.RLIMIT_DATA)
    limit = MEMORY if most == resource.RLIM_INFINITY else min(MEMORY, most)
    resource.setrlimit(resource.RLIMIT_DATA, (limit, most))


# ---- the plugin --------------------------------------------------------------------------

_started: list[str] = []


def pytest_runtest_logstart(nodeid: str) -> None:
    _started.append(nodeid)


def pytest_sessionfinish(session: "pytest.Session", exitstatus: int) -> None:
    if exitstatus == FAILED and not _started:
        session.exitstatus = INTERRUPTED


if __name__ == "__main__":
    serve(sys.argv[1:])
