#!/usr/bin/env python3
"""A weir client: makes the calls on stdin, lines of JSON, [method, arguments, options], and prints their outcomes.
    echo '["add", [2, 3], {}]' | rpc_client.py tcp://127.0.0.1:5555        With {"sw": 8} a method streams."""
import itertools, json, os, sys, time, types, msgpack, zmq

HELLO, WELCOME, PART, WINDOW, ALIVE, ERROR, CALL, REPLY, CREDIT, CANCEL = 1, 2, 5, 6, 16, 18, 20, 21, 22, 23
callee, window, sent, deadline = None, 0, 0, time.monotonic() + float(os.environ.get("DEADLINE", 30))
calls = [types.SimpleNamespace(number=n, run=call[::2], data=msgpack.packb(call[1]), code=None, details={}, parts=[])
         for n, call in enumerate(map(json.loads, sys.stdin), 1)]
hello = beat = [HELLO, 1, "client", "", os.urandom(8), {}]
link = zmq.Context().socket(zmq.DEALER)
link.connect(sys.argv[1])
def send(*message, body=b""):
    link.send_multipart([msgpack.packb(message), body] if body else [msgpack.packb(message)])
def transmit(some):  # neighbours of one method as one run
    ttl, runs = max(1, int((deadline - time.monotonic()) * 1000)), []
    for (run, _), members in itertools.groupby(enumerate(some), lambda it: (it[1].run, it[1].number - it[0])):
        numbers, lengths = zip(*[(call.number, len(call.data)) for _, call in members])
        runs.append([numbers[0], len(numbers), run[0], ttl, lengths, run[1]])
    send(CALL, waiting[0].number - 1, runs, body=b"".join(call.data for call in some))
def payloads(first, count, lengths):  # the next ones of the body, numbered
    global body
    for number, length in enumerate(lengths if isinstance(lengths, list) else [lengths] * count, first):
        piece, body = body[:length], body[length:]
        yield number, msgpack.unpackb(piece) if piece else None
def unanswered():
    return [call for call in calls if call.code is None or len(call.parts) < call.details.get("parts", 0)]
while (waiting := unanswered()) and time.monotonic() < deadline:
    room = window - sent + len(calls) - len(waiting)
    if some := calls[sent:sent + max(0, min(room, 1000))]:
        sent += len(some)
        transmit(some)
    if not link.poll(100):
        send(*beat)
        continue
    header, body = (link.recv_multipart() + [b""])[:2]
    kind, *fields = msgpack.unpackb(header)
    if kind == WELCOME:
        assert callee in (None, fields[3]), "the callee has restarted: what became of the calls is not known"
        callee, beat, again = fields[3], [ALIVE], [call for call in waiting if call.number <= sent]
        again and transmit(again)
        send(CREDIT, [n for call in again for n in (call.number, len(call.parts), len(call.parts) + 8) if call.parts])
    elif kind == WINDOW:
        window = fields[0]
    elif kind == REPLY:
        for first, count, lengths, code, *more in fields[0]:
            details = more and more[0] or [{}] * count
            for number, result in payloads(first, count, lengths):
                vars(calls[number - 1]).update(code=code, details=dict(details[number - first] or {}, result=result))
    elif kind == PART:
        for number, first, count, lengths in fields[0]:
            parts = calls[number - 1].parts
            for n, element in payloads(first, count, lengths):
                parts += [element] if n == len(parts) + 1 else []
            send(CREDIT, [number, len(parts), len(parts) + 8])
    beat = hello if kind == ERROR and fields[0] == 1 else beat  # the connection is new
send(CANCEL, [n for call in waiting for n in (call.number, call.number)], "the deadline has passed")
for call in calls:
    outcome = {"code": 4 if call.code is None else call.code, **call.details, "elements": call.parts}
    print(json.dumps(outcome, default=bytes.hex))
