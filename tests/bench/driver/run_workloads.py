"""The table of issue 4, point 8: what is measured, with what it is compared, and the bar."""

from functools import partial

from . import measurements as fanout, run_measurements as m
from .table import Measurement, Row

RATE, MIB, BYTES = "tasks_per_second", "mib", "bytes_per_second"


def measurements(quick):
    n = 20 if quick else 1
    tasks, lines, size = 20_000 // n, 2_000_000 // n, 2_000_000_000 // n
    taken = []

    def measure(row, take, once=False, **options):
        taken.append(Measurement(row, partial(take, **options), once=once))

    for command in ("true", "echo"):
        # The same argument that the others append: `true` with one argument does more work.
        measure(f"spawn {command}", fanout.spawn, command=[f"/bin/{command}", "1"], tasks=tasks)
        measure(f"weir {command}", m.each_line, name="weir", options=["-j2", command, "{}"], tasks=tasks)
        measure(f"xargs {command}", m.each_line, name="xargs", options=["-P2", "-n1", command], tasks=tasks)
    measure("weir echo -k", m.each_line, name="weir", options=["-k", "-j2", "echo", "{}"], tasks=tasks)
    measure("parallel true", m.each_line, name="parallel", options=["-j2", "true"], tasks=tasks // 10, once=True)
    for name, options in (("weir", ["true"]), ("xargs", ["true"]), ("parallel", ["true"])):
        measure(f"{name} start", m.startup, name=name, options=options, times=5 if quick else 20)
    measure("cat | wc", m.pipe, name="cat", options=[], size=size)
    measure("weir --pipe", m.pipe, name="weir", options=[], size=size)
    measure("weir --pipe --round-robin", m.pipe, name="weir", options=["--round-robin"], size=size)
    measure("parallel --pipe", m.pipe, name="parallel", options=[], size=size // 4, once=True)
    measure("weir --coproc", m.each_line, name="weir", options=["-j2", "--coproc", "cat"], tasks=lines)
    measure("weir --coproc -k", m.each_line, name="weir", options=["-k", "-j2", "--coproc", "cat"], tasks=lines)
    return taken

ROWS = [
    Row("true", "tasks/s", "weir true", RATE, "spawn true", at_least=0.85),
    Row("echo {}", "tasks/s", "weir echo", RATE, "spawn echo", at_least=0.85),
    Row("true, beside xargs -P2", "tasks/s", "weir true", RATE, "xargs true", at_least=1.0),
    Row("echo {}, beside xargs -P2", "tasks/s", "weir echo", RATE, "xargs echo", at_least=1.0),
    Row("true, beside parallel", "tasks/s", "weir true", RATE, "parallel true"),
    Row("echo {}, -k beside without", "tasks/s", "weir echo -k", RATE, "weir echo", at_least=0.8),
    Row("start-up, beside xargs", "ms", "weir start", "ms", "xargs start", at_most=3.0),
    Row("start-up, beside parallel", "ms", "weir start", "ms", "parallel start"),
    Row("--pipe wc -l, beside cat | wc -l", "B/s", "weir --pipe", BYTES, "cat | wc", at_least=0.6),
    Row("--pipe wc -l, beside parallel", "B/s", "weir --pipe", BYTES, "parallel --pipe",
        at_least=3.0),
    Row("--round-robin, beside cat | wc -l", "B/s", "weir --pipe --round-robin", BYTES, "cat | wc"),
    Row("--coproc cat", "lines/s", "weir --coproc", RATE, at_least=1e6),
    Row("--coproc cat, -k beside without", "lines/s", "weir --coproc -k", RATE, "weir --coproc",
        at_least=0.8),
    Row("memory, echo {}", "MiB", "weir echo", MIB, at_most=64),
    Row("memory, --pipe", "MiB", "weir --pipe", MIB, at_most=64),
    Row("memory, --coproc -k", "MiB", "weir --coproc -k", MIB, at_most=64),
]
