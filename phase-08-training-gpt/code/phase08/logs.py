"""What a run writes down while it goes: one json object a line, and TensorBoard where it is.

`log.jsonl` is the record of a run: every line has `step` and whatever was measured then (`loss`,
`validation_loss`, `sample`, ...). A run that was killed wrote lines past its last checkpoint;
resuming drops them, and a last line torn by the kill, so that each step stands there once.

TensorBoard's events go beside it where the package `tensorboard` is installed; it is not needed.
"""

import importlib.util
import json
from pathlib import Path
from typing import Any

from phase08 import durable


class Log:
    """The log of one run, opened at the step that the run stands at.

    `folder` is the run's folder, `step` the number of steps already taken: lines of later steps,
    left by a run that was killed, are dropped.
    """

    def __init__(self, folder: Path, step: int = 0) -> None:
        self.path = folder / "log.jsonl"
        kept = [line for line in read(self.path) if line["step"] <= step] if step else []
        durable.write_atomically(self.path, "".join(map(_line, kept)).encode())
        self._file = self.path.open("a", encoding="utf-8")
        self._board = _tensorboard(folder, step)

    def write(self, step: int, **measured: Any) -> None:
        """Append one line; it is handed to the operating system at once."""
        self._file.write(_line({"step": step, **measured}))
        self._file.flush()
        if self._board is not None:
            for name, value in measured.items():
                if isinstance(value, int | float):
                    self._board.add_scalar(name, value, step)

    def close(self) -> None:
        self._file.close()
        if self._board is not None:
            self._board.close()


def read(path: Path) -> list[dict[str, Any]]:
    """The lines of a log; nothing where there is none. A torn last line is left out."""
    if not path.exists():
        return []
    lines = path.read_text(encoding="utf-8").splitlines()
    records = []
    for number, line in enumerate(lines, start=1):
        try:
            records.append(json.loads(line))
        except json.JSONDecodeError:
            if number < len(lines):
                raise ValueError(
                    f"line {number} of {path} is not json; remove that line and start again"
                ) from None
    return records


def _line(record: dict[str, Any]) -> str:
    return json.dumps(record) + "\n"


def _tensorboard(folder: Path, step: int) -> Any:
    """A TensorBoard writer where TensorBoard is installed, else None."""
    if importlib.util.find_spec("tensorboard") is None:
        return None
    from torch.utils.tensorboard import SummaryWriter

    return SummaryWriter(str(folder / "tensorboard"), purge_step=step + 1)
