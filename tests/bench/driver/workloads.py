"""The table of issue 2, point 7: what is measured, with what it is compared, and the bar."""

from functools import partial

from . import measurements as m
from .table import Measurement, Row

RATE = "tasks_per_second"


def measurements(quick):
    n = 20 if quick else 1
    small, large = 2_000_000 // n, 500_000 // n
    processes = 10_000 // n
    many = 10_000_000 // (5 if quick else 1)
    sizes = [10_000, 100_000] if quick else [10_000, 100_000, 1_000_000, 10_000_000]
    true, echo = ["/bin/true"], ["/bin/echo"]
    # Of what is compared, raw and weir take turns, so that a noisy minute hurts both.
    return [
        Measurement("raw 64 B single", partial(m.raw, options=m.RAW_SINGLE, tasks=small, size=64)),
        Measurement("weir 64 B", partial(m.weir, tasks=small, size=64)),
        Measurement("raw 64 B packed", partial(m.raw, options=m.RAW_PACKED, tasks=small, size=64)),
        Measurement("raw 64 B credit", partial(m.raw, options=m.RAW_CREDIT, tasks=small, size=64)),
        Measurement("raw 1 KiB single",
                    partial(m.raw, options=m.RAW_SINGLE, tasks=large, size=1024)),
        Measurement("weir 1 KiB", partial(m.weir, tasks=large, size=1024)),
        Measurement("raw 1 KiB packed",
                    partial(m.raw, options=m.RAW_PACKED, tasks=large, size=1024)),
        Measurement("raw 1 KiB credit",
                    partial(m.raw, options=m.RAW_CREDIT, tasks=large, size=1024)),
        Measurement("raw latency", partial(m.raw_latency, round_trips=10_000 // n)),
        Measurement("weir latency", partial(m.weir_latency, round_trips=10_000 // n)),
        # The same argument that weir and xargs append: `true` with one argument does more work.
        Measurement("spawn true", partial(m.spawn, command=[*true, "1"], tasks=processes)),
        Measurement("weir true", partial(m.weir_processes, command=true, tasks=processes,
                                         lines_expected=0)),
        Measurement("spawn echo", partial(m.spawn, command=[*echo, "1"], tasks=processes)),
        Measurement("weir echo", partial(m.weir_processes, command=[*echo, "{}"],
                                         tasks=processes, lines_expected=processes)),
        Measurement("xargs true", partial(m.line_tool, name="xargs", options=["-P2", "-n1"],
                                          command=true, tasks=processes), once=True),
        Measurement("xargs echo", partial(m.line_tool, name="xargs", options=["-P2", "-n1"],
                                          command=echo, tasks=processes), once=True),
        Measurement("parallel true", partial(m.line_tool, name="parallel",
                                             options=["--will-cite", "-j2"], command=true,
                                             tasks=processes // 5), once=True),
        Measurement("fairness middle", partial(m.fairness, tasks=10_000 // n,
                                               long_at=5_000 // n), once=True),
        Measurement("fairness end", partial(m.fairness, tasks=10_000 // n,
                                            long_at=10_000 // n - 50), once=True),
        Measurement("memory", partial(m.memory, tasks=many), once=True),
        Measurement("memory stalled", partial(m.memory_behind_stalled_sink, tasks=many,
                                              stall_seconds=3), once=True),
        Measurement("flatness", partial(m.flatness, sizes=sizes), once=True),
        Measurement("idle workers", partial(m.idle_workers, count=200,
                                            seconds=2 if quick else 10), once=True),
    ]


ROWS = [
    Row("64 B / single", "tasks/s", "weir 64 B", RATE, "raw 64 B single", at_least=1.0),
    Row("64 B / packed", "tasks/s", "weir 64 B", RATE, "raw 64 B packed", at_least=0.5),
    Row("1 KiB / single", "tasks/s", "weir 1 KiB", RATE, "raw 1 KiB single", at_least=1.5),
    Row("1 KiB / packed", "tasks/s", "weir 1 KiB", RATE, "raw 1 KiB packed", at_least=0.7),
    Row("credit 64 B / single", "tasks/s", "raw 64 B credit", RATE, "raw 64 B single"),
    Row("credit 64 B / packed", "tasks/s", "raw 64 B credit", RATE, "raw 64 B packed"),
    Row("credit 1 KiB / single", "tasks/s", "raw 1 KiB credit", RATE, "raw 1 KiB single"),
    Row("credit 1 KiB / packed", "tasks/s", "raw 1 KiB credit", RATE, "raw 1 KiB packed"),
    Row("latency median", "us", "weir latency", "median_us", "raw latency", at_most=1.25),
    Row("latency p99", "us", "weir latency", "p99_us", "raw latency", at_most=1.25),
    Row("process /bin/true", "tasks/s", "weir true", RATE, "spawn true", at_least=0.85),
    Row("process /bin/echo", "tasks/s", "weir echo", RATE, "spawn echo", at_least=0.85),
    Row("xargs -P2 /bin/true", "tasks/s", "xargs true", RATE, "spawn true"),
    Row("xargs -P2 /bin/echo", "tasks/s", "xargs echo", RATE, "spawn echo"),
    Row("parallel /bin/true", "tasks/s", "parallel true", RATE, "spawn true"),
    Row("idle beside 1 s task, middle", "s", "fairness middle", "idle_seconds", at_most=0.2),
    Row("idle beside 1 s task, end", "s", "fairness end", "idle_seconds", at_most=0.2),
    Row("largest node, flowing", "MiB", "memory", "mib", at_most=64),
    Row("largest node, stalled sink", "MiB", "memory stalled", "mib", at_most=64),
    Row("CPU per task, growth", "x", "flatness", "growth", at_most=1.25),
    Row("200 idle workers", "% of a core", "idle workers", "core_percent", at_most=2),
]

