"""How the figures of `weir run` and of what it is compared with are taken."""

import os
import shutil
import statistics
import time

from .measurements import MIB_IN_KIB
from .programs import Missing

LINE = b"a short line of thirty-one bytes\n"


def tool(bench, name):
    """weir's own from the build folder, others from PATH."""
    if name == "weir":
        return [bench.tools.path("weir"), "run"]
    found = shutil.which(name)
    if found is None:
        raise Missing(f"{name} is not installed")
    return [found] + (["--will-cite"] if name == "parallel" else [])


def _numbers(run, count):
    path = run.folder / "numbers"
    path.write_text("".join(f"{n}\n" for n in range(1, count + 1)))
    return path


def each_line(bench, name, options, tasks):
    """A process, or an answer of a coprocess, for each line. Memory of the tool itself."""
    with bench.run() as run:
        with open(_numbers(run, tasks), "rb") as stdin:
            start = time.monotonic()
            program = run.start(name, [*tool(bench, name), *options], stdin=stdin)
            run.wait(watch=program.sample_memory)
            seconds = time.monotonic() - start
        return {"tasks_per_second": tasks / seconds, "mib": program.peak_kib / MIB_IN_KIB}


def startup(bench, name, options, times):
    """From the start to the end of a run of one task: the median, in ms."""
    taken = []
    for _ in range(times):
        with bench.run() as run:
            with open(_numbers(run, 1), "rb") as stdin:
                start = time.monotonic()
                run.start(name, [*tool(bench, name), *options], stdin=stdin)
                run.wait()
            taken.append(1000 * (time.monotonic() - start))
    return {"ms": statistics.median(taken)}


def pipe(bench, name, options, size):
    """Short lines from a file into commands that count them: bytes a second."""
    with bench.run() as run:
        path = run.folder / "lines"
        some = LINE * (1024 * 1024 // len(LINE))
        with open(path, "wb") as file:
            for _ in range(size // len(some)):
                file.write(some)
        with open(path, "rb") as stdin:
            os.posix_fadvise(stdin.fileno(), 0, 0, os.POSIX_FADV_WILLNEED)
            start = time.monotonic()
            argv = ["/bin/sh", "-c", "cat | wc -l"] if name == "cat" else [
                *tool(bench, name), "--pipe", *options, "wc", "-l"]
            program = run.start(name, argv, stdin=stdin)
            run.wait(watch=program.sample_memory)
            seconds = time.monotonic() - start
        return {"bytes_per_second": size / seconds, "mib": program.peak_kib / MIB_IN_KIB}
