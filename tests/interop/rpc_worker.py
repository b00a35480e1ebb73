#!/usr/bin/env python3
"""A weir worker that offers a module's functions; generators stream. They run in the loop that says ALIVE: be quick.
    weir-gateway &  rpc_worker.py tcp://127.0.0.1:5555 rpc_methods &  weir call tcp://127.0.0.1:5555 add 2 3"""
import importlib, inspect, os, sys, types, msgpack, zmq

HELLO, WELCOME, PART, WINDOW, ALIVE, ERROR, OFFER, CALL, REPLY, CREDIT, CANCEL = 1, 2, 5, 6, 16, 18, 19, 20, 21, 22, 23
codes = {KeyError: 5, TypeError: 3}  # of others: their `code`, or 2
methods = inspect.getmembers(importlib.import_module(sys.argv[2]), inspect.isfunction)  # names and functions
hello = beat = [HELLO, 1, "worker", "", os.urandom(8), {"slots": 1}]
caller, calls, link = None, {}, zmq.Context().socket(zmq.DEALER)  # calls by number, until the caller has the reply
link.connect(sys.argv[1])
def send(*message, body=b""):
    link.send_multipart([msgpack.packb(message), body] if body else [msgpack.packb(message)])
def tell(call, *message, body):  # and keep it
    call.told.append((message, body))
    call.quiet or send(*message, body=body)
def steps(method, arguments, streams):  # yields the elements, returns the result
    inspect.signature(dict(methods)[method]).bind(*arguments)
    result = dict(methods)[method](*arguments)
    return result if not inspect.isgenerator(result) else (yield from result) if streams else list(result)
def go_on(call, until):  # to this element, or to the end
    try:
        while call.steps and len(call.told) < until:
            element = msgpack.packb(next(call.steps))
            tell(call, PART, [[call.number, len(call.told) + 1, 1, len(element)]], body=element)
    except StopIteration as result:
        end(call, 0, msgpack.packb(result.value))
    except Exception as why:
        end(call, getattr(why, "code", codes.get(type(why), 2)), msg=str(why), type=type(why).__name__)
def end(call, code, result=b"", **details):
    if call.steps:
        call.steps, details["parts"] = None, len(call.told)
        tell(call, REPLY, [[call.number, 1, len(result), code, [details]]], body=result)
while True:
    while not link.poll(200):
        send(*beat)
    header, body = (link.recv_multipart() + [b""])[:2]
    kind, *fields = msgpack.unpackb(header)
    if kind == WELCOME:
        calls, caller, beat = calls if caller == fields[3] else {}, fields[3], [ALIVE]
        send(OFFER, [[n, {"doc": f.__doc__ or "", "stream": inspect.isgeneratorfunction(f)}] for n, f in methods])
        send(WINDOW, 1000, 16 << 20)
    elif kind == CALL:
        calls = {number: call for number, call in calls.items() if number > fields[0]}
        for first, count, method, _, lengths, *more in fields[1]:
            for number, length in enumerate(lengths if isinstance(lengths, list) else [lengths] * count, first):
                arguments, body, options = msgpack.unpackb(body[:length]), body[length:], (more or [{}])[0] or {}
                if number in calls:  # again, after a reconnect: something may have been lost
                    [send(*message, body=old) for message, old in calls[number].told]
                elif number > fields[0]:
                    calls[number] = types.SimpleNamespace(number=number, quiet=options.get("nr"), told=[])
                    calls[number].steps = steps(method, arguments, "sw" in options)
                    go_on(calls[number], options.get("sw", 1))
    elif kind == CREDIT:
        [go_on(calls[number], until) for number, until in zip(fields[0][::3], fields[0][2::3]) if number in calls]
    elif kind == CANCEL:
        ranges = [range(first, last + 1) for first, last in zip(fields[0][::2], fields[0][1::2])]
        [end(call, 1, msg="cancelled") for call in calls.values() if any(call.number in some for some in ranges)]
    elif kind == ERROR and fields[0] == 1:  # the connection is new
        beat = hello
