"""Train a GPT: text in, a model, a loss curve and a sample out.

    uv run journal train                                    # tiny, on text that Python carries
    uv run journal train --source shakespeare
    uv run python -m phase08.train --preset gpt2-small-check
    torchrun --nproc-per-node 4 -m phase08.train --preset gpt2-small

Ctrl-C (or SIGTERM) finishes the step, saves and exits. The same command asks whether to go on from
there, and with --resume does, to the same bytes that an uninterrupted run ends in. Everything of a
run is in its folder under runs/: config.json, log.jsonl, checkpoints/, loss.svg, sample.txt.
"""

import signal
import sys
import time
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from tqdm import tqdm

from journal import data, plotting, record, script
from phase07.generate import generate, stream
from phase07.gpt import GPT
from phase08 import allocator, budget, devices, distributed, durable, logs, prepare, shards
from phase08.batches import Batches
from phase08.devices import Device
from phase08.distributed import World
from phase08.perplexity import Evaluation, evaluate, perplexity
from phase08.presets import PRESETS, TrainConfig
from phase08.run_folder import RunFolder
from phase08.sources import HUB_SETS
from phase08.tokenizers import GPT2Tokenizer
from phase08.trainer import Measured, NonFiniteLossError, Trainer


def main(config: TrainConfig) -> dict[str, Any] | None:
    """Prepare what is missing, train, evaluate, sample, draw; returns the run's metrics."""
    started = time.perf_counter()
    config.check()
    if config.threads:
        torch.set_num_threads(config.threads)
    # In float32 compiling gained nothing on a CPU (see the README): its time goes into products.
    on_cpu = config.device == "cpu" or devices.available() == ["cpu"]
    device = devices.choose(
        config.device,
        config.dtype,
        config.compile,
        worth_compiling=_is_long(config) and not (on_cpu and not devices.cpu_bfloat16()),
    )
    world = distributed.join(device.device)
    try:
        run = Run(config, device, world)
        run.open()
        with Stop() as stop:
            run.train(stop)
        metrics = run.close(started)
        return metrics if world.is_main else None
    finally:
        distributed.leave()


class Stop:
    """Ctrl-C or SIGTERM asks the loop to end after this step; a second Ctrl-C ends it at once."""

    def __init__(self) -> None:
        self.requested = False

    def __enter__(self) -> "Stop":
        self._before = {s: signal.signal(s, self._ask) for s in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _ask(self, number: int, _frame: FrameType | None) -> None:
        if self.requested and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.requested = True


class Run:
    """One run: its folder, its trainer, and what it says while it goes."""

    def __init__(self, config: TrainConfig, device: Device, world: World) -> None:
        self.config, self.device, self.world = config, device, world
        name = prepare.name_of(config.source, config.tokenizer, config.vocab_size)
        self.folder = RunFolder(config.run_dir or Path("runs") / f"{config.preset}-{name}")
        self.data = config.data_dir or Path("data") / name
        self.flops_per_token, self.peak = 1, 1.0  # known once `say_cost` has measured

    # --- opening ------------------------------------------------------------------------------

    def open(self) -> None:
        """Prepare data, build the model, resume where there is something to resume."""
        config, main = self.config, self.world.is_main
        self.say(f"device: {self.device.reason}")
        prepare_if_missing(config, self.data, alone=self.world.size == 1)
        self.train_tokens = shards.open_split(self.data, "train", verify=main)
        self.val_tokens = shards.open_split(self.data, "val", verify=main)
        self.tokenizer = shards.read_tokenizer(self.data)
        if isinstance(self.tokenizer, GPT2Tokenizer):
            data.use_tiktoken_cache()
        rows = config.batch_size * config.accumulation
        batches = Batches(self.train_tokens, config.block_size, rows, config.seed)
        torch.manual_seed(config.seed)
        model = GPT(config.model(self.tokenizer.vocab_size))
        self.trainer = Trainer(config, model, batches, self.device, self.world)
        stream(model, *self.prompt(), **self.sampling())  # refuses options that sampling would
        step = self.choose_start() if main else None
        # The main process decides, and every process goes its way.
        chosen = -1.0 if step is None else float(step)
        step = int(distributed.from_main(chosen, self.world, self.where))
        if step >= 0:
            self.trainer.restore(self.folder.checkpoint_of(step))
        if main:
            fingerprint = self.train_tokens.fingerprint
            self.folder.begin(config, model.config, self.tokenizer, self.data, fingerprint)
        self.log = logs.Log(self.folder.path, self.trainer.step) if main else None

    def choose_start(self) -> int | None:
        """The step of the checkpoint to go on from, once the user agreed; None for a new run."""
        if self.config.overwrite:
            kept = self.folder.set_aside()
            if kept is not None:
                self.say(f"kept the run that was there as {kept}")
        if not self.folder.exists:
            return None
        self.folder.refuse_another(self.config, self.train_tokens.fingerprint)
        path, state, complaints = self.folder.latest()
        for complaint in complaints:
            self.say(complaint)
        if path is None:
            return None
        if self.config.record:
            raise ValueError(
                f"--record wants a run in one go, and {self.folder.path} holds a part of this one "
                f"or all of it: add --overwrite"
            )
        step = int(state["step"])
        if step >= self.config.steps:
            self.say(f"this run is finished ({self.folder.path}); --overwrite trains it anew")
        elif not self.config.resume and not self.agree(step):
            raise ValueError(
                f"{self.folder.path} holds this run, stopped at step {step} of "
                f"{self.config.steps}: go on with --resume, or start anew with --overwrite "
                f"(which keeps it under another name)"
            )
        else:
            self.say(f"resumed at step {step} from {path}")
        return step

    def agree(self, step: int) -> bool:
        """Ask whether to resume; no where nobody can answer."""
        if not sys.stdin.isatty() or self.world.size > 1:
            return False
        try:
            answer = input(f"{self.folder.path} stopped at step {step}. Go on from there? [Y/n] ")
        except EOFError:
            return False
        return answer.strip().lower() in ("", "y", "yes")

    # --- training -----------------------------------------------------------------------------

    def train(self, stop: Stop) -> None:
        """The loop: a step, and every so often an evaluation, a sample, a checkpoint."""
        config, trainer = self.config, self.trainer
        if trainer.step < config.steps:
            self.say_cost()
        recent: list[Measured] = []
        stopping = False
        with tqdm(
            total=config.steps, initial=trainer.step, unit="step", disable=not self.shows_bar
        ) as bar:
            while trainer.step < config.steps and not stopping:
                recent.append(self.step_or_explain())
                bar.update()
                step, last = trainer.step, trainer.step == config.steps
                if step % config.log_every == 0 or last:
                    bar.set_postfix_str(self.report(recent))
                    recent = []
                better = (step % config.eval_every == 0 or last) and self.validate()
                if config.sample_every and step % config.sample_every == 0 and not last:
                    self.show_sample(step)
                # Asked again at every step, since a signal may come to one process only.
                stopping = distributed.any_of(stop.requested, self.world, self.where)
                if step % config.save_every == 0 or better or last or stopping:
                    self.save()

    def say_cost(self) -> None:
        """What the run takes, with the time at a rate measured here and now."""
        if self.device.compile:
            self.say("compiling the model: this takes a minute, once")
        model, config = self.trainer.model.config, self.config
        expected = budget.plan(
            model,
            config,
            len(self.train_tokens),
            dtype=self.device.dtype,
            device_type=self.device.type,
        )
        if self.device.type == "cpu" and sum(expected.memory.values()) > 1e9:
            allocator.give_back_freed_memory()  # small tensors are quicker without
        self.flops_per_token = budget.flops_per_token(model)
        self.peak = devices.measure_peak_flops(self.device, n=1024, repeats=3)
        rate = self.trainer.measure_rate() * self.world.size * self.flops_per_token
        self.say(
            budget.report(
                model,
                config,
                len(self.train_tokens),
                dtype=self.device.dtype,
                flops_per_second=rate,
                device_type=self.device.type,
            )
        )

    def step_or_explain(self) -> Measured:
        """One step; where its loss is not finite or memory runs out, say what to do."""
        try:
            return self.trainer.train_step()
        except NonFiniteLossError as error:
            raise self.explained(error) from None
        except torch.OutOfMemoryError:
            raise ValueError(
                f"{self.device.device} has too little memory for this run: halve --batch-size "
                f"and double --accumulation, which computes the same steps"
            ) from None

    def explained(self, error: NonFiniteLossError) -> NonFiniteLossError:
        """The error, with the last good checkpoint and what to do."""
        path = self.folder.latest().path
        anew = "a lower --learning-rate or more --warmup-steps, and --overwrite"
        if path is None:
            return NonFiniteLossError(f"{error}; there is no checkpoint yet: start with {anew}")
        return NonFiniteLossError(
            f"{error}; last good checkpoint: {path}: go on from it with --resume "
            f"--dtype float32 if it was bfloat16, else start with {anew}"
        )

    def report(self, recent: list[Measured]) -> str:
        """Log the mean of the steps since the last report; the same as text for the bar."""
        config, last = self.config, recent[-1]
        loss = sum(measured.loss for measured in recent) / len(recent)
        seconds = sum(measured.seconds for measured in recent)
        rate = config.tokens_per_step * len(recent) / seconds  # tokens a second
        utilization = rate * self.flops_per_token / (self.peak * self.world.size)
        if self.log is not None:
            self.log.write(
                last.step,
                loss=loss,
                learning_rate=last.learning_rate,
                gradient_norm=last.gradient_norm,
                seconds=round(seconds, 4),
                tokens_per_second=round(rate),
                utilization=round(utilization, 4),
            )
        text = (
            f"loss {loss:.3f} ppl {perplexity(loss):.1f} lr {last.learning_rate:.1e} "
            f"norm {last.gradient_norm:.2f} {rate:,.0f} tok/s MFU {utilization:.0%}"
        )
        # Without a bar, a line for every tenth report is enough to follow.
        if not self.shows_bar and last.step % (10 * config.log_every) == 0:
            left = (config.steps - last.step) * config.tokens_per_step / rate
            self.say(f"step {last.step}/{config.steps} {text} left {left:,.0f} s")
        return text

    def validate(self) -> bool:
        """Estimate the validation loss; returns whether it is the best so far."""
        found = self.evaluate(self.config.eval_tokens)
        if self.log is not None:
            self.log.write(
                self.trainer.step, validation_loss=found.loss, perplexity=found.perplexity
            )
        self.say(f"step {self.trainer.step}: validation loss {found.loss:.4f} nats a token")
        # Two processes may differ in the last digit, and must not differ in what they save.
        return self.trainer.note_validation(
            distributed.from_main(found.loss, self.world, self.where)
        )

    def evaluate(self, max_tokens: int | None) -> Evaluation:
        with self.trainer.uncompiled():
            return evaluate(
                self.trainer.model,
                self.val_tokens,
                self.device,
                token_bytes=self.tokenizer.token_bytes(),
                # No gradients are kept, so more rows fit than in training: 4096 tokens at once.
                batch_size=max(self.config.batch_size, 4096 // self.config.block_size),
                max_tokens=max_tokens,
            )

    def prompt(self) -> tuple[torch.Tensor, int]:
        """The prompt's ids (1, T), the first of them end-of-text, and how many are to follow."""
        ids = [self.tokenizer.end_of_text, *self.tokenizer.encode(self.config.prompt).tolist()]
        return torch.tensor([ids], device=self.where), self.config.sample_tokens

    def sampling(self) -> dict[str, Any]:
        """The options of a sample; the generator is its own, so that sampling changes nothing."""
        generator = torch.Generator(self.where).manual_seed(self.config.seed)
        temperature, top_k = self.config.temperature, self.config.top_k
        return {"temperature": temperature, "top_k": top_k, "generator": generator}

    def sample(self) -> str:
        """A text after the prompt; the same for the same model and seed."""
        with self.trainer.uncompiled():
            written = generate(self.trainer.model, *self.prompt(), **self.sampling())
        return self.tokenizer.decode(written[0, 1:].cpu().numpy())

    def show_sample(self, step: int) -> None:
        if self.log is not None:  # the main process
            text = self.sample()
            self.log.write(step, sample=text)
            self.say(f"--- sample at step {step} ---\n{text}\n---")

    def save(self) -> None:
        try:
            self.trainer.check_finite()
        except NonFiniteLossError as error:
            raise self.explained(error) from None
        if self.world.is_main:
            self.trainer.save(self.folder.checkpoints)
        distributed.barrier(self.world)

    # --- closing ------------------------------------------------------------------------------

    def close(self, started: float) -> dict[str, Any]:
        """The final evaluation, sample and picture; where everything is. The run's seconds count
        from `started`, a reading of `time.perf_counter`."""
        if self.log is not None:
            self.log.close()
        step, steps = self.trainer.step, self.config.steps
        if step < steps:
            self.say(
                f"stopped at step {step} of {steps} and saved in {self.folder.path}; the same "
                f"command with --resume (and without --overwrite) goes on"
            )
            return {"step": step, "finished": False}
        found, text = self.evaluate(None), self.sample()
        metrics = {
            "step": step,
            "finished": True,
            "parameters": sum(p.numel() for p in self.trainer.model.parameters()),
            "train_tokens": len(self.train_tokens),
            "validation_tokens": found.tokens,
            "validation_loss": found.loss,
            "perplexity": found.perplexity,
            "bits_per_byte": found.bits_per_byte,
            "seconds": round(time.perf_counter() - started, 2),
        }
        if self.world.is_main:
            lines = logs.read(self.folder.path / "log.jsonl")
            trained = sum(line.get("seconds", 0) for line in lines)  # also before a resume
            metrics["training_seconds"] = round(trained, 2)
            self.write_results(metrics, text, loss_curve(lines))
        return metrics

    def write_results(self, metrics: dict[str, Any], text: str, curve: dict[str, Any]) -> None:
        folder = self.folder.path
        durable.write_atomically(folder / "sample.txt", text.encode())
        plotting.save(draw(curve), folder / "loss.svg")
        if self.config.record:
            name = folder.name
            record.write(
                __file__,
                config=self.config,
                metrics={**metrics, "curve": curve, "sample": text},
                seconds=metrics["seconds"],
                record=True,
                name=name,
            )
            record.write_picture(__file__, f"{name}-loss", draw(curve), record=True)
        self.say(f"--- what it writes after {metrics['step']} steps ---\n{text}\n---")
        self.say(
            f"validation loss {metrics['validation_loss']:.4f} nats a token, perplexity "
            f"{metrics['perplexity']:.2f}, {metrics['bits_per_byte']:.3f} bits a byte"
        )
        self.say(f"loss curve: {folder / 'loss.svg'}")
        self.say(f"everything of this run: {folder}")
        self.say(f"more text: uv run journal run phase08.sample --run-dir {folder}")

    # --- talking ------------------------------------------------------------------------------

    @property
    def where(self) -> torch.device:
        return self.device.device

    @property
    def shows_bar(self) -> bool:
        return self.world.is_main and sys.stderr.isatty()

    def say(self, text: str) -> None:
        if self.world.is_main:
            tqdm.write(text, file=sys.stdout)
            sys.stdout.flush()


def prepare_if_missing(config: TrainConfig, folder: Path, *, alone: bool) -> None:
    """Prepare a source that is quickly prepared, and say how for one that is not.

    Data that is there must be what the config says: prepared from that source, by that tokenizer.
    """
    remote, there = config.source in HUB_SETS, (folder / shards.MANIFEST).exists()
    # Files are looked at even if they are prepared: others may be meant than those before.
    if alone and not remote and config.data_dir is None and (not there or config.source == "files"):
        prepare.prepare(
            prepare.PrepareConfig(
                source=config.source,
                tokenizer=config.tokenizer,
                vocab_size=config.vocab_size,
                files=config.files,
                out=folder,
            )
        )
        return
    if not there:
        tokens = config.steps * config.tokens_per_step
        part = f" --max-tokens {tokens}" if remote else ""
        size = f" --vocab-size {config.vocab_size}" if config.vocab_size else ""
        raise FileNotFoundError(
            f"no data is prepared in {folder}: prepare it with `uv run journal run "
            f"phase08.prepare --source {config.source} --tokenizer {config.tokenizer}{size} "
            f"--out {folder}{part}`"
        )
    manifest = shards.Manifest.read(folder)
    request = manifest.preparation.get("request", {})
    for option, asked, found in (
        ("source", config.source, manifest.dataset),
        ("tokenizer", config.tokenizer, manifest.tokenizer.get("kind")),
        ("vocab-size", config.vocab_size, request.get("vocab_size", manifest.vocab_size)),
    ):
        if asked not in (None, found):
            raise ValueError(
                f"{folder} was prepared with --{option} {found}, not {asked}: say --{option} "
                f"{found}, or give another --data-dir"
            )


def loss_curve(lines: list[dict[str, Any]]) -> dict[str, list[tuple[int, float]]]:
    """The two curves of a run's log: (step, nats a token) while training and on validation."""
    return {
        name: [(line["step"], line[name]) for line in lines if name in line]
        for name in ("loss", "validation_loss")
    }


def draw(curve: dict[str, list[tuple[int, float]]]) -> Any:
    """The loss curve as a figure."""
    figure, axes = plotting.figure()
    for name, label in (("loss", "training"), ("validation_loss", "validation")):
        steps, values = zip(*curve[name], strict=True) if curve[name] else ((), ())
        axes.plot(steps, values, label=label, marker="o" if name == "validation_loss" else None)
    axes.set(xlabel="step", ylabel="nats a token", title="Loss while training")
    axes.legend()
    return figure


def _is_long(config: TrainConfig) -> bool:
    """Whether the run earns back a minute of compiling: about an hour of a CPU's 100 GFLOP/s."""
    model = config.model(vocab_size=2)  # small presets have small vocabularies, large ones 50,257
    return budget.flops_per_token(model) * config.tokens_per_step * config.steps > 3e14


if __name__ == "__main__":
    script.run(main, PRESETS)
