"""What the figures were taken on."""

import os
import platform
import subprocess
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
