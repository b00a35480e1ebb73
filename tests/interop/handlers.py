"""What the Python worker does in the tests."""

import os
import time

from weir_link import Failed

seen = set()


def upper(payload):
    return payload.upper()


def echo(payload):
    return payload


def flaky(payload):
    """Fails each task once."""
    if payload not in seen:
        seen.add(payload)
        raise Failed(14, "not yet")
    return payload


def fail(payload):
    """CODE, or CODE final: fails with it; anything else succeeds."""
    code, _, final = payload.partition(b" ")
    if not code.isdigit():
        return payload
    raise Failed(int(code), f"says {code.decode()}", b"partial", err=b"tail\xff", exit=3, final=final == b"final")


def gated(payload):
    """Leaves a mark in $MARKS for every task that it begins, and ends when there is a file `gate`."""
    marks = os.environ["MARKS"]
    open(os.path.join(marks, f"{os.getpid()}-{payload.hex()}"), "w").close()
    while not os.path.exists(os.path.join(marks, "gate")):
        time.sleep(0.01)
    return payload
