"""The folder of a run: what makes it this run and no other, and where it is to go on from.

config.json     the resolved config, the model's config, the tokenizer, the data's fingerprint
log.jsonl       what was measured (`phase08.logs`)
checkpoints/    (`phase08.checkpoint`)
loss.svg, sample.txt    written at the end
"""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from phase07.gpt import GPTConfig
from phase08 import checkpoint, durable, shards
from phase08.presets import TrainConfig, as_json, differences
from phase08.tokenizers import Tokenizer

CONFIG = "config.json"


class RunFolder:
    """The folder at `path`, there already or not."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.checkpoints = path / "checkpoints"

    @property
    def exists(self) -> bool:
        """Whether a run was begun here."""
        return (self.path / CONFIG).exists()

    def begin(
        self,
        config: TrainConfig,
        model: GPTConfig,
        tokenizer: Tokenizer,
        data_dir: Path,
        fingerprint: str,
    ) -> None:
        """Make the folder and save what defines the run; a folder with other content is refused."""
        if not self.exists and (self.checkpoints.exists() or (self.path / "log.jsonl").exists()):
            raise ValueError(
                f"{self.path} holds checkpoints or a log but no {CONFIG}, so it is not known whose "
                f"they are: choose another --run-dir, or move them away"
            )
        self.path.mkdir(parents=True, exist_ok=True)
        content = {
            "config": as_json(config),
            "model": asdict(model),
            "tokenizer": tokenizer.to_dict(),
            "data": fingerprint,
            "data_dir": data_dir.as_posix(),
        }
        shards.write_json(self.path / CONFIG, content)

    def read(self) -> dict[str, Any]:
        """What `begin` saved; a ValueError where it was altered."""
        advice = "train into another --run-dir, or start anew with --overwrite"
        return shards.read_json(self.path / CONFIG, advice)

    def refuse_another(self, config: TrainConfig, fingerprint: str) -> None:
        """A ValueError that names what differs, where the run in this folder is another one."""
        saved = self.read()
        different = differences(saved["config"], config)
        if saved["data"] != fingerprint:
            different.append("the prepared data is another")
        if different:
            raise ValueError(
                f"{self.path} holds another run ({'; '.join(different)}): choose another "
                f"--run-dir, or start anew with --overwrite (which keeps it under another name)"
            )

    def latest(self) -> checkpoint.Latest:
        """The newest whole checkpoint, and what was wrong with newer ones."""
        return checkpoint.latest(self.checkpoints)

    def checkpoint_of(self, step: int) -> Path:
        """Where the checkpoint of a step is."""
        return self.checkpoints / f"step-{step:08d}"

    def set_aside(self) -> Path | None:
        """Rename the folder, where it exists, to a dated name that is free; returns that."""
        return durable.set_aside(self.path) if self.path.exists() else None
