"""Times of calls on a GPU."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence

import torch


def graph_time(calls: Sequence[Callable[[], object]], *, least_calls: int = 20, milliseconds: float = 12.0) -> float:
    """
    Seconds a call takes within a CUDA graph, which is how a server runs a decode step: the median of seven replays.

    The calls, one for each set of inputs, are captured in turn, so that no input is in the L2 cache.
    """
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    with torch.cuda.stream(stream):
        for call in calls:
            call()
        begin.record(stream)
        for call in calls:
            call()
        end.record(stream)
        stream.synchronize()
        # With eager launches between them: an upper bound, and so a lower one for the count.
        estimate = max(begin.elapsed_time(end) / len(calls), 1e-3)
        rounds = -(-min(max(least_calls, int(milliseconds / estimate)), 400) // len(calls))
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, stream=stream):
            for _ in range(rounds):
                for call in calls:
                    call()
        graph.replay()
        times: list[float] = []
        for _ in range(7):
            begin.record(stream)
            graph.replay()
            end.record(stream)
            stream.synchronize()
            times.append(begin.elapsed_time(end) / (rounds * len(calls)))
    return statistics.median(times) / 1e3


def copy_bandwidth(gigabytes: int = 2) -> float:
    """Bytes a second that a large copy reads and writes, both counted."""
    source = torch.empty(gigabytes << 29, dtype=torch.bfloat16, device="cuda").normal_()
    target = torch.empty_like(source)
    return 2 * source.nbytes / graph_time([lambda: target.copy_(source)], least_calls=4)
