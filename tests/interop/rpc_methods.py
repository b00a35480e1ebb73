"""What the Python worker offers in the tests."""

import os
import time


def add(a, b):
    return a + b


def echo(value):
    return value


def fail(text):
    raise ValueError(text)


def overload():
    error = RuntimeError("come back later")
    error.code = 8
    raise error


def count(first, last):
    """Streams the numbers from first to last, and returns how many they were."""
    for n in range(first, last + 1):
        yield n
    return last + 1 - first


def broken(after):
    yield from range(after)
    raise ValueError("broken off")


def mark(name):
    """Leaves a mark that the test can see, one for each time that it is run."""
    with open(os.path.join(os.environ["MARKS"], f"{name}-{time.monotonic_ns()}"), "w"):
        return name


def marked_count(last, *marked):
    """Streams the numbers up to last, and leaves marks at some."""
    for n in range(1, last + 1):
        if n in marked:
            mark(str(n))
        yield n
