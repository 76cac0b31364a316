"""Run every contender in turn, for several rounds, and print a table.

``python -m benchmarks --photos FOLDER``
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

from benchmarks import corpus
from benchmarks.local import cores
from benchmarks.measuring import Pass

# name -> (module, function, backend, share of the corpus that it gets)
CONTENDERS: dict[str, tuple[str, str, str, float]] = {
    "decode": ("local", "decode_alone", "", 1),
    "cascade": ("local", "cascade_alone", "openvino", 1),
    "cascade-bf16": ("local", "cascade_alone", "openvino_bf16", 1),
    "cascade-litert": ("local", "cascade_alone", "litert_float32", 1),
    "cascade-int8": ("local", "cascade_alone", "litert_int8", 1),
    "cascade-tensorflow": ("local", "cascade_alone", "tensorflow", 1),
    "bare": ("local", "bare_loop", "openvino", 1),
    "bare-bf16": ("local", "bare_loop", "openvino_bf16", 1),
    "bare-litert": ("local", "bare_loop", "litert_float32", 1),
    "bare-int8": ("local", "bare_loop", "litert_int8", 1),
    "bare-tensorflow": ("local", "bare_loop", "tensorflow", 1),
    "label": ("local", "label", "openvino", 1),
    "label-bf16": ("local", "label", "openvino_bf16", 1),
    "label-int8": ("local", "label", "litert_int8", 1),
    "queue": ("queue", "whole_system", "openvino", 1),
    "queue-1": ("queue", "one_process", "openvino", 1),
    "queue-2": ("queue", "two_processes", "openvino", 1),
    "queue-bf16": ("queue", "whole_system", "openvino_bf16", 1),
    "onnx": ("local", "onnx_loop", "onnx", 1),
    "keras": ("local", "keras_predict", "tensorflow", 1),
    "ray": ("ray_data", "map_batches", "openvino", 1),
    "celery-batches": ("celery_batches_run", "gathered", "openvino", 1),
    "obvious": ("queue", "naive_worker", "tensorflow", 0.1),
}
REFERENCE = "bare"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks")
    parser.add_argument("--photos", type=Path, required=True, help="a folder of photographs")
    parser.add_argument("--model", type=Path, help="the bundle [the shipped one]")
    parser.add_argument(
        "--work", type=Path, default=Path("runs/bench"), help="folder of corpora and results"
    )
    parser.add_argument("--kind", choices=["shop", "large", "crawl"], default="shop")
    parser.add_argument("--count", type=int, default=2000, help="number of pictures")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--only", nargs="*", choices=list(CONTENDERS), help="only these contenders")
    parser.add_argument("--ray-python", default=sys.executable, help="Python with Ray installed")
    parser.add_argument(
        "--batches-python", default=sys.executable, help="Python with celery-batches installed"
    )
    parser.add_argument("--once", choices=list(CONTENDERS), help=argparse.SUPPRESS)
    parser.add_argument("--result", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.model is None:
        from cascade.bundle import SHIPPED

        options.model = SHIPPED
    options.work.mkdir(parents=True, exist_ok=True)
    paths = corpus.make(options.photos, options.work.resolve(), options.kind, options.count)
    if options.once:
        _run_once(options.once, paths, options.model).write(options.result)
        return
    passes = _run_all(options)
    _report(options, passes)


def _run_once(name: str, paths: Sequence[Path], bundle: Path) -> Pass:
    import importlib

    module, function, backend, share = CONTENDERS[name]
    run = getattr(importlib.import_module(f"benchmarks.{module}"), function)
    done: Pass = run(paths[: int(len(paths) * share)], bundle, backend)
    return done


def _run_all(options: argparse.Namespace) -> dict[str, list[Pass]]:
    """Run each contender in a new process, one after the other, in every round."""
    passes: dict[str, list[Pass]] = {}
    result = options.work / "pass.json"
    for number in range(options.repeats):
        for name in options.only or CONTENDERS:
            python = {"ray": options.ray_python, "celery-batches": options.batches_python}
            command = [python.get(name, sys.executable), "-m", "benchmarks"]
            command += ["--photos", str(options.photos)]
            command += ["--model", str(options.model), "--work", str(options.work)]
            command += ["--kind", options.kind, "--count", str(options.count)]
            command += ["--once", name, "--result", str(result)]
            finished = subprocess.run(command, capture_output=True, text=True, check=False)
            if finished.returncode:
                last = finished.stderr.strip().splitlines()[-1:]
                print(f"{name}: not measured: {last}", file=sys.stderr, flush=True)
                continue
            done = Pass.read(result)
            passes.setdefault(name, []).append(done)
            print(
                f"{number + 1}/{options.repeats} {name}: {done.rate:.0f} pictures/s, "
                f"{done.cpu_seconds / done.pictures * 1e3:.2f} ms of processor",
                file=sys.stderr,
                flush=True,
            )
    return passes


def _report(options: argparse.Namespace, passes: dict[str, list[Pass]]) -> None:
    machine = _machine()
    rows = [_row(name, runs, passes) for name, runs in passes.items()]
    table = "\n".join(
        [
            f"{machine['date']}, {machine['processor']}, {machine['cores']} cores, "
            f"{options.count} {options.kind} pictures, {options.repeats} rounds.",
            "",
            "| | pictures/s, median (range) | against the bare loop | ms of processor a picture "
            "| peak memory | same labels | other work on the machine |",
            "|---|---|---|---|---|---|---|",
            *rows,
            "",
            *_notes(passes),
        ]
    )
    content = {
        "machine": machine,
        "options": {name: str(value) for name, value in vars(options).items()},
        "passes": {
            name: [asdict(run) | {"labels": len(run.labels)} for run in runs]
            for name, runs in passes.items()
        },
    }
    (options.work / f"{options.kind}.json").write_text(json.dumps(content, indent=1) + "\n")
    (options.work / f"{options.kind}.md").write_text(table + "\n")
    print(table)


def _row(name: str, runs: list[Pass], passes: dict[str, list[Pass]]) -> str:
    rates = [run.rate for run in runs]
    middle = statistics.median(rates)
    ratio = ""
    if REFERENCE in passes:
        # compared within a round: other work on the machine slows both down
        pairs = zip(runs, passes[REFERENCE], strict=False)
        ratio = f"{statistics.median(run.rate / other.rate for run, other in pairs):.2f}"
    cpu = statistics.median(run.cpu_seconds / run.pictures * 1e3 for run in runs)
    memory = statistics.median(run.peak_bytes for run in runs) / 1e6
    return (
        f"| {runs[0].contender} ({name}) | {middle:.0f} ({min(rates):.0f}–{max(rates):.0f}) "
        f"| {ratio} | {cpu:.2f} | {memory:.0f} MB | {_agreement(runs[0], passes)} "
        f"| {statistics.median(run.others for run in runs):.0%} |"
    )


def _notes(passes: dict[str, list[Pass]]) -> list[str]:
    """Further figures of the contenders, as medians."""
    return [
        f"- {name}, {note}: {statistics.median(run.notes[note] for run in runs):.2f}"
        for name, runs in passes.items()
        for note in runs[0].notes
    ]


def _agreement(run: Pass, passes: dict[str, list[Pass]]) -> str:
    if not run.labels or REFERENCE not in passes:
        return "–"
    expected = passes[REFERENCE][0].labels
    common = [name for name in run.labels if name in expected]
    right = sum(run.labels[name] == expected[name] for name in common)
    return f"{right / len(common):.2%}" if common else "–"


def _machine() -> dict[str, str]:
    runtimes = ("tensorflow", "keras", "openvino", "ai-edge-litert", "onnxruntime")
    versions = {}
    for name in (*runtimes, "pillow", "celery", "numpy"):
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "processor": _processor(),
        "cores": str(cores()),
        "python": platform.python_version(),
        **versions,
    }


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.machine()


if __name__ == "__main__":
    main()
