#!/usr/bin/env python3
"""The smallest useful weir worker: one task at a time, no sink, nothing but pyzmq and msgpack. To copy and change.

    seq 10 | weir-ventilator &  smallest_worker.py tcp://127.0.0.1:5557

It needs a ventilator without --sink, which then collects the results itself. The handler runs in the loop that says
ALIVE: make it quick (well under five heartbeats), or take worker.py, which runs handlers on threads.
"""

import os
import sys

import msgpack
import zmq

HELLO, WELCOME, TASK, RESULT, WINDOW, COMMITTED, ALIVE, BYE, ERROR = 1, 2, 3, 4, 6, 12, 16, 17, 18
link = zmq.Context().socket(zmq.DEALER)
link.connect(sys.argv[1])
session, greeted, held = os.urandom(8), False, {}  # held: (source, seq) -> code and frames of an unconfirmed RESULT


def send(*message, body=b""):
    link.send_multipart([msgpack.packb(message), body] if body else [msgpack.packb(message)])


def perform(source, seq, attempt, payload):
    try:
        code, result, details = 0, payload.upper(), {}  # the work
    except Exception as reason:
        code, result, details = 2, b"", {"msg": str(reason)}
    held[source, seq] = code, (RESULT, source, [[seq, attempt, 1, len(result), code, [details]]]), result
    send(*held[source, seq][1], body=result)


def opening():
    for code, message, result in sorted(held.values(), key=lambda it: it[0] == 0):  # failures before WINDOW
        send(*message, body=result)
    send(WINDOW, 1, 16 << 20, [[source, [seq, seq]] for (source, seq), (code, _, _) in held.items() if code == 0])


while True:
    if not greeted:
        send(HELLO, 1, "worker", "", session, {"slots": 1})
    if not link.poll(500):
        if greeted:
            send(ALIVE)
        continue
    header, body = (link.recv_multipart() + [b""])[:2]
    kind, *fields = msgpack.unpackb(header)
    if kind == WELCOME and not greeted:
        greeted = True
        opening()
    elif kind == TASK:
        for first, attempt, count, lengths, *_ in fields[1]:
            for seq, length in enumerate(lengths if isinstance(lengths, list) else [lengths] * count, first):
                perform(fields[0], seq, attempt, body[:length])
                body = body[length:]
    elif kind == COMMITTED:
        for first, last in zip(fields[1][::2], fields[1][1::2]):
            for seq in range(first, last + 1):
                held.pop((fields[0], seq), None)
    elif kind == BYE:
        break
    elif kind == ERROR and fields[0] == 1:  # the connection is new: HELLO again
        greeted = False
    elif kind == ERROR:
        sys.exit(fields[1])
