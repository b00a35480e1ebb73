"""How each figure is taken. Every function returns a dict of figures, or raises Failed or Missing."""

import os
import shutil
import signal
import statistics
import time

from .fairness import longest_idle, read_log
from .programs import Failed, Missing, Run, endpoint

MIB_IN_KIB = 1024
WORKERS = 2

# The yardstick is to be as strong as plain libzmq goes. High-water marks of 16 to 10 000 and none
# were tried for each. libzmq's default of 1000 is the best for single tasks; packed messages like
# shorter queues, which stay in the caches.
RAW_SINGLE = ["--mode", "push", "--pack", 1, "--hwm", 1000]
RAW_PACKED = ["--mode", "push", "--pack", 64, "--hwm", 32]
RAW_CREDIT = ["--mode", "credit", "--pack", 64, "--window", 4096]


class Bench:
    """What the measurements need to know: where the programs are, and how long a run may take."""

    def __init__(self, tools, deadline):
        self.tools = tools
        self.deadline = deadline

    def run(self):
        return Run(self.deadline)

    def one_program(self, name, argv):
        with self.run() as run:
            program = run.start(name, argv)
            run.wait()
            return program.figure()


# Plain libzmq and plain posix_spawn


def raw(bench, options, tasks, size):
    argv = [bench.tools.path("raw_fanout"), *options, "--tasks", tasks, "--size", size]
    # PUSH passes over a worker that the system has put aside for a moment. A run in which one
    # worker did nearly everything measured another topology, and is taken again.
    for _ in range(3):
        figure = bench.one_program("raw_fanout", argv + ["--deadline", bench.deadline])
        if figure.get("least_share", 0.5) >= 0.3:
            return figure
    raise Failed(f"the workers did not share the tasks about equally: {figure}")


def raw_latency(bench, round_trips):
    return raw(bench, ["--mode", "latency", "--workers", 1], round_trips, 64)


def spawn(bench, command, tasks):
    argv = [bench.tools.path("spawn_baseline"), "--tasks", tasks, "--", *command]
    return bench.one_program("spawn_baseline", argv)


def line_tool(bench, name, options, command, tasks):
    """xargs and the like: one argument per line of stdin, one process per line."""
    tool = shutil.which(name)
    if tool is None:
        raise Missing(f"{name} is not installed")
    with bench.run() as run:
        with open(_numbered_lines(run, tasks), "rb") as stdin:
            start = time.monotonic()
            run.start(name, [tool, *options, *command], stdin=stdin)
            run.wait()
        return {"tasks_per_second": tasks / (time.monotonic() - start)}


# weir, by way of the embedded library (tests/bench/weir_fanout.cpp)


class Fanout:
    """A ventilator, workers and a sink, all weir_fanout. The ventilator waits until its workers
    are there before it submits, as the raw programs do."""

    def __init__(self, bench, run, ventilator, worker=(), workers=WORKERS):
        program = bench.tools.path("weir_fanout")
        tasks, results = endpoint(), endpoint()
        self.ventilator = run.start(
            "ventilator",
            [program, "ventilator", "--bind", tasks, "--sink", results, "--workers", workers]
            + ventilator,
        )
        self.sink = run.start("sink", [program, "sink", "--bind", results])
        self.workers = [
            run.start(
                f"worker-{i}",
                [program, "worker", "--from", tasks]
                + [str(word).replace("%", str(i)) for word in worker],
            )
            for i in range(workers)
        ]
        self.all = [self.ventilator, self.sink, *self.workers]

    def sample_memory(self):
        for program in self.all:
            if program.running():
                program.sample_memory()

    def peak_mib(self):
        return {program.name: program.peak_kib / MIB_IN_KIB for program in self.all}


def _check_complete(tasks, *programs):
    for program in programs:
        counted = program.figure().get("tasks")
        if counted != tasks:
            raise Failed(f"{program.name} counted {counted} tasks, not {tasks}")


def weir(bench, tasks, size):
    with bench.run() as run:
        fanout = Fanout(bench, run, ["--tasks", tasks, "--size", size])
        run.wait()
        _check_complete(tasks, fanout.ventilator, fanout.sink)
        timed = fanout.ventilator.figure()
        seconds = timed["seconds"]
        return {
            "tasks": tasks,
            "seconds": seconds,
            "sink_seconds": fanout.sink.figure()["seconds"],
            "tasks_per_second": timed["timed"] / seconds,
            "cpu_seconds": run.cpu_seconds(),
            "cpu_us_per_task": run.cpu_seconds() * 1e6 / tasks,
            "cpu_seconds_by_program": {p.name: p.cpu_seconds for p in fanout.all},
        }


def weir_latency(bench, round_trips):
    with bench.run() as run:
        fanout = Fanout(bench, run, ["--latency", round_trips, "--size", 64], workers=1)
        run.wait()
        return fanout.ventilator.figure()


def memory(bench, tasks):
    with bench.run() as run:
        fanout = Fanout(bench, run, ["--tasks", tasks, "--size", 64])
        run.wait(watch=fanout.sample_memory)
        _check_complete(tasks, fanout.ventilator, fanout.sink)
        peaks = fanout.peak_mib()
        return {"mib": max(peaks.values()), "mib_by_program": peaks}


def memory_behind_stalled_sink(bench, tasks, stall_seconds):
    with bench.run() as run:
        fanout = Fanout(bench, run, ["--tasks", tasks, "--size", 64])
        run.wait_for(lambda: fanout.sink.cpu_so_far() > 0.1, "results to arrive at the sink")
        fanout.sink.send(signal.SIGSTOP)
        time.sleep(stall_seconds)
        fanout.sink.send(signal.SIGCONT)
        run.wait(watch=fanout.sample_memory)
        _check_complete(tasks, fanout.ventilator, fanout.sink)
        peaks = fanout.peak_mib()
        return {"mib": max(peaks.values()), "mib_by_program": peaks}


def flatness(bench, sizes):
    """CPU per task as the number of tasks grows, without what starting and ending costs. `growth`
    is the most by which any size is dearer per task than a smaller one."""

    def cpu(tasks, runs):
        return statistics.median(weir(bench, tasks, 64)["cpu_seconds"] for _ in range(runs))

    fixed = cpu(1, 5)
    costs = [(cpu(n, 5 if n <= 100_000 else 1) - fixed) * 1e6 / n for n in sizes]
    if min(costs) <= 0:
        raise Failed(f"too small to measure: {costs} us per task")
    growth = max(b / a for i, a in enumerate(costs) for b in costs[i:])
    return {"growth": growth, "fixed_cpu_seconds": fixed,
            "cpu_us_per_task": dict(zip(map(str, sizes), costs))}


def fairness(bench, tasks, long_at):
    """One task of 1 s among tasks of 1 ms. Near the end is where prefetch hurts most: nothing
    is left for the other worker but what waits behind the long task."""
    with bench.run() as run:
        log = str(run.folder / "worker-%.log")
        fanout = Fanout(
            bench, run,
            ["--tasks", tasks, "--sleep-us", 1000, "--long-us", 1_000_000, "--long-at", long_at],
            worker=["--sleep-us-from-payload", "--log", log],
        )
        run.wait()
        _check_complete(tasks, fanout.ventilator, fanout.sink)
        logs = [read_log((run.folder / f"worker-{i}.log").read_text()) for i in range(WORKERS)]
        if sum(map(len, logs)) != tasks:
            raise Failed(f"the workers logged {sum(map(len, logs))} tasks, not {tasks}")
        return {"idle_seconds": longest_idle(logs) / 1e9, "tasks_by_worker": list(map(len, logs))}


# weir's programs, as a shell user starts them


def weir_processes(bench, command, tasks, lines_expected):
    """From starting the three programs to the end of the last one: nothing is left out."""
    ventilator, worker, sink = (
        bench.tools.path(f"weir-{role}") for role in ("ventilator", "worker", "sink")
    )
    with bench.run() as run:
        lines = _numbered_lines(run, tasks)
        source, results = endpoint(), endpoint()
        start = time.monotonic()
        collected = run.start("sink", [sink, "--bind", results])
        run.start("ventilator", [ventilator, "--bind", source, "--sink", results, lines])
        run.start("worker", [worker, "--from", source, "-j", 2, "--", *command])
        run.wait()
        seconds = time.monotonic() - start
        lines_got = collected.output().count("\n")
        if lines_got != lines_expected:
            raise Failed(f"the sink wrote {lines_got} lines, not {lines_expected}")
        return {"tasks_per_second": tasks / seconds, "cpu_seconds": run.cpu_seconds()}


def idle_workers(bench, count, seconds):
    """Share of a core that a ventilator without tasks spends on idle workers."""
    program = bench.tools.path("weir_fanout")
    node = bench.tools.path("weir-ventilator")
    # An open pipe: no task comes, and no end either.
    reads, writes = os.pipe()
    with open(reads, "rb") as silent, open(writes, "wb"), bench.run() as run:
        tasks = endpoint()
        ventilator = run.start("ventilator", [node, "--bind", tasks], stdin=silent)
        workers = run.start(
            "workers", [program, "idle-workers", "--count", count, "--from", tasks]
        )
        run.wait_for(lambda: workers.output().strip(), f"{count} sessions")
        if workers.figure().get("sessions") != count:
            raise Failed(f"idle-workers: {workers.figure()}")
        time.sleep(1)  # the burst of HELLOs is not idleness
        before, since = ventilator.cpu_so_far(), time.monotonic()
        time.sleep(seconds)
        used, took = ventilator.cpu_so_far() - before, time.monotonic() - since
        return {"core_percent": 100 * used / took}


def _numbered_lines(run, count):
    path = run.folder / "lines"
    path.write_text("".join(f"{i}\n" for i in range(count)))
    return str(path)
