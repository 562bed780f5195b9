"""How fast prepare is, against tiktoken alone, and whether its memory stays what it is.

    JOURNAL_DATA=... uv run python -m phase08.benchmark_prepare --record

Bare tiktoken encodes the same texts, already in memory, in one thread of this process, into lists
(`encode_ordinary`) and into arrays (`encode_to_numpy`); the faster counts: that rate
times the number of workers is what a preparation without any cost of its own would reach. Prepare
reads, unpacks, splits, encodes in several processes, and writes shards; its rate is taken between
its first and its last result, so the start of the processes is left out. The bare rate is measured
before and after and the mean is used, since a machine's speed drifts. Processor time is compared
too, since other programs disturb it less: tiktoken's alone over that of all of prepare's processes
for the same text (from the difference of the two sizes, which leaves the start out). Peak memory is
the sum of this run's processes, sampled, at two sizes of the corpus.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import psutil

from journal import data, record, script, texts

SAMPLE_SECONDS = 0.05


@dataclass(frozen=True)
class BenchmarkConfig:
    """What is measured."""

    source: str = "novels"
    """a text of the registry"""
    repeat: int = 10
    """the corpus is read this many times over"""
    small_repeat: int = 2
    """and this many times for the other measurement of memory"""
    workers: int = 2
    """processes that encode"""
    start_method: str = "spawn"
    """how they are started"""
    record: bool = False
    """write the result into the phase's results folder"""


def main(config: BenchmarkConfig) -> dict[str, Any]:
    """Measures bare tiktoken, prepare at two sizes, and bare tiktoken again."""
    if config.repeat <= config.small_repeat:
        raise ValueError(
            f"repeat is {config.repeat}, but it must be more than small_repeat, "
            f"which is {config.small_repeat}"
        )
    start = time.perf_counter()
    data.use_tiktoken_cache()
    metrics: dict[str, Any] = {}
    bare_runs = [bare_rates(config.source)]
    small = measure(config, config.small_repeat)
    large = measure(config, config.repeat)
    if "steady_mb_per_s" not in large:
        raise ValueError(f"{config.source} x{config.repeat} is too little text; use more --repeat")
    bare_runs.append(bare_rates(config.source))
    bare = [run["mb_per_s"] for run in bare_runs]
    bare_cpu = min(run["cpu_s_per_mb"] for run in bare_runs)
    more_mb = (config.repeat - config.small_repeat) * bare_runs[0]["mb"]
    more_cpu = large["cpu_s"] - small["cpu_s"]  # of coarse clocks: nothing where little was done
    cpu_ratio = bare_cpu * more_mb / more_cpu if more_cpu > 0 else None
    metrics = {
        "bare_mb_per_s": statistics.mean(bare),
        "bare_runs": bare_runs,
        "workers": config.workers,
        "prepare_mb_per_s": large["steady_mb_per_s"],
        "ratio": large["steady_mb_per_s"] / (config.workers * statistics.mean(bare)),
        "cpu_ratio": cpu_ratio,
        "small": small,
        "large": large,
        "memory_growth": large["peak_mb"] / small["peak_mb"],
    }
    in_cpu = "too little to tell" if cpu_ratio is None else f"{cpu_ratio:.2f}"
    print(
        f"bare tiktoken {metrics['bare_mb_per_s']:.2f} MB/s in one thread; prepare with "
        f"{config.workers} processes {metrics['prepare_mb_per_s']:.2f} MB/s, "
        f"{metrics['ratio']:.2f} of {config.workers} times that "
        f"({in_cpu} in processor time); peak memory {small['peak_mb']:.0f} MB "
        f"at x{config.small_repeat}, {large['peak_mb']:.0f} MB at x{config.repeat}"
    )
    seconds = time.perf_counter() - start
    record.write(__file__, config=config, metrics=metrics, seconds=seconds, record=config.record)
    return metrics


def bare_rates(source: str) -> dict[str, float]:
    """tiktoken's speed on the texts of the source, in memory, in one thread: its faster call."""
    import tiktoken

    encoding = tiktoken.get_encoding("gpt2")
    corpus = [text for _, text in texts.documents(source)]
    megabytes = sum(len(text.encode("utf-8")) for text in corpus) / 1e6
    to_list = _timed(encoding.encode_ordinary, corpus)
    to_array = _timed(partial(encoding.encode_to_numpy, disallowed_special=()), corpus)
    return {
        "mb": megabytes,
        "list_mb_per_s": megabytes / to_list[0],
        "array_mb_per_s": megabytes / to_array[0],
        "mb_per_s": megabytes / min(to_list[0], to_array[0]),
        "cpu_s_per_mb": min(to_list[1], to_array[1]) / megabytes,
    }


def _timed(encode: Callable[[str], Any], corpus: list[str]) -> tuple[float, float]:
    """Seconds, and seconds of processor time, that encoding all texts takes."""
    encode(corpus[0])
    start, start_cpu = time.perf_counter(), time.process_time()
    for text in corpus:
        encode(text)
    return time.perf_counter() - start, time.process_time() - start_cpu


def measure(config: BenchmarkConfig, repeat: int) -> dict[str, Any]:
    """One preparation in a process of its own: what it reports, and the peak of its memory."""
    with tempfile.TemporaryDirectory() as folder:
        command = [
            *(sys.executable, "-m", "phase08.prepare", "--source", config.source),
            *("--tokenizer", "gpt2", "--out", str(Path(folder) / "out")),
            *("--repeat", str(repeat), "--workers", str(config.workers)),
            *("--start-method", config.start_method),
        ]
        before = os.times()
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        peak: dict[str, float] = {}
        sampler = threading.Thread(target=_sample, args=(process, peak))
        sampler.start()
        output, _ = process.communicate()
        sampler.join()
        after = os.times()  # the workers' times included, since prepare waited for them
        cpu = sum(after[2:4]) - sum(before[2:4])
        if process.returncode != 0:
            raise ValueError(
                f"prepare ended with {process.returncode}; run it by itself to see why"
            )
    return {
        "repeat": repeat,
        "cpu_s": cpu,
        **peak,
        **_without_folder(json.loads(output.splitlines()[-1])),
    }


def _without_folder(metrics: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in metrics.items() if name != "folder"}


def _sample(process: subprocess.Popen, peak: dict[str, float]) -> None:
    """Keeps the largest sum of resident memory, and the largest of a single process."""
    parent = psutil.Process(process.pid)
    while process.poll() is None:
        sizes = []
        try:
            for one in (parent, *parent.children(recursive=True)):
                sizes.append(one.memory_info().rss / 1e6)
        except psutil.Error:  # one of them ended meanwhile
            pass
        if sizes:
            peak["peak_mb"] = max(peak.get("peak_mb", 0.0), sum(sizes))
            peak["peak_of_one_mb"] = max(peak.get("peak_of_one_mb", 0.0), *sizes)
        time.sleep(SAMPLE_SECONDS)


if __name__ == "__main__":
    script.run(main, BenchmarkConfig)
