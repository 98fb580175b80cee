"""
All features under NVIDIA's compute-sanitizer: `python tests/sanitize.py`, on a GPU.

memcheck finds accesses outside of what was allocated, racecheck hazards between the threads of a program in shared
memory. There is a case for every feature (`sanitize_cases`), and there are random calls (`attention_calls`), every
other one small; PyTorch's caching allocator is off, so that every tensor is an allocation of its own. Kernels are
compiled first, in processes without the sanitizer.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import torch
from attention_calls import random_call
from sanitize_cases import FEATURES

TOOLS = ("memcheck", "racecheck")


def run_cases(numbers: list[int]) -> None:
    """In a process of its own: the features, and random calls from there on."""
    features = list(FEATURES.items())
    for number in numbers:
        name = f"random call {number - len(features)}"
        if number < len(features):
            name, feature = features[number]
            feature("cuda")
        else:
            call = random_call(number, "cuda", small=number % 2 == 0)
            call.run()
            torch.cuda.synchronize()
            call.check()
        print(f"checked {number}: {name}", flush=True)


def in_processes(prefix: list[str], cases: int, shards: int) -> tuple[int, list[str]]:
    """The number of calls whose numbers were right, and what the processes printed."""
    command = [*prefix, sys.executable, __file__, "--run"]
    environment = {**os.environ, "PYTORCH_NO_CUDA_MEMORY_CACHING": "1"}
    environment["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    processes = [
        subprocess.Popen(
            [*command, *map(str, range(shard, cases, shards))],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for shard in range(shards)
    ]
    outputs = [process.communicate()[0] for process in processes]
    return sum(len(re.findall(r"^checked \d+: ", output, re.MULTILINE)) for output in outputs), outputs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--random", type=int, default=8, help="random calls beside the features")
    parser.add_argument("--shards", type=int, default=8, help="processes at once")
    parser.add_argument("--run", type=int, nargs="+", help="run cases of these numbers here, without a sanitizer")
    options = parser.parse_args()
    if options.run is not None:
        run_cases(options.run)
        return
    cases = len(FEATURES) + options.random
    sanitizer = shutil.which("compute-sanitizer")
    if sanitizer is None:
        sys.exit("compute-sanitizer is not on the PATH; it comes with NVIDIA's CUDA toolkit")
    checked, outputs = in_processes([], cases, options.shards)
    print(f"without: {checked} of {cases} calls right")
    failed = checked != cases
    for tool in TOOLS:
        checked, outputs = in_processes([sanitizer, "--tool", tool], cases, options.shards)
        found = [
            re.findall(r"^========= ((?:ERROR|RACECHECK) SUMMARY:.*)$", output, re.MULTILINE) for output in outputs
        ]
        clean = all(len(lines) == 1 and re.search(r": 0 (errors|hazards)", lines[0]) for lines in found)
        print(f"{tool}: {checked} of {cases} calls right, {'clean' if clean else found}")
        if not clean or checked != cases:
            failed = True
            print(max((o for o, lines in zip(outputs, found) if not lines or " 0 " not in lines[0]), key=len)[-4000:])
    sys.exit(failed)


if __name__ == "__main__":
    main()
