"""What the worker of spool_test.py and gateway_test.py offers. MARKS is a file to which each run
adds a line."""
import os
import time


def mark(text):
    with open(os.environ["MARKS"], "ab", buffering=0) as marks:
        marks.write(text.encode() + b"\n")
    return text


def fail(text):
    mark(text)
    raise ValueError(text)


def wrong(text):
    error = RuntimeError(text)
    error.code = 3
    raise error


def hold(text):
    """Runs until there is a file of this name."""
    mark(text)
    while not os.path.exists(os.path.join(os.path.dirname(os.environ["MARKS"]), text)):
        time.sleep(0.01)
    return text


def size(data):
    return len(data)
