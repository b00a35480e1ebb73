"""What the figures were taken on."""

import os
import platform
import resource
import subprocess
import time
from pathlib import Path


def _first_line(argv):
    try:
        return subprocess.run(argv, capture_output=True, text=True).stdout.splitlines()[0]
    except (OSError, IndexError):
        return "unknown"


def _cpu_model():
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.lower().startswith(("model name", "hardware")):
            return line.split(":", 1)[1].strip()
    return platform.machine()


def _cmake_cache(build):
    cache = build / "CMakeCache.txt"
    if not cache.is_file():
        return {}
    lines = (line for line in cache.read_text().splitlines() if line[:1].isalpha())
    pairs = (line.partition("=") for line in lines)
    return {key.partition(":")[0]: value for key, _, value in pairs}


def describe(build):
    cache = _cmake_cache(build)
    return {
        "cpu": _cpu_model(),
        "cores": len(os.sched_getaffinity(0)),
        "kernel": platform.release(),
        "compiler": _first_line([cache.get("CMAKE_CXX_COMPILER", "c++"), "--version"]),
        "build_type": cache.get("CMAKE_BUILD_TYPE", "unknown"),
        "flags": cache.get("CMAKE_CXX_FLAGS", ""),
        "libzmq": _first_line(["pkg-config", "--modversion", "libzmq"]),
        "load_before": os.getloadavg()[0],
    }


class Others:
    """How much of the processors programs other than ours, and other machines on the same
    hardware, have used since: as a number of processors."""

    def __init__(self):
        self._since = time.monotonic()
        self._before = self._used()

    def seconds(self):
        return max(0.0, self._used() - self._before)

    def cores(self):
        return self.seconds() / (time.monotonic() - self._since)

    @staticmethod
    def _used():
        """CPU seconds of everybody else. Ours are counted once their programs have ended."""
        fields = Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]
        user, nice, system, _, _, irq, softirq, steal = map(int, fields[:8])
        everybody = (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")
        ours = (resource.getrusage(who)
                for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
        return everybody - sum(used.ru_utime + used.ru_stime for used in ours)
