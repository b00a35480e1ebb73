"""A caller of methods, for the tests: one call after the other, or several at once.

    caller = Caller(endpoint)
    caller.call("add", 1, 2)              -> Answer(code=0, result=3, details={})
    number = caller.start("sleep", 10)    # and then caller.cancel(number), caller.await_(number)

docs/protocol.md is all that it knows.
"""
import collections
import os
import time

import msgpack
import zmq

HELLO, WELCOME, PART, WINDOW, ALIVE, BYE, ERROR = 1, 2, 5, 6, 16, 17, 18
OFFER, CALL, REPLY, CREDIT, CANCEL = 19, 20, 21, 22, 23
#: gRPC's codes, by name.
OK, CANCELLED, UNKNOWN, INVALID_ARGUMENT, DEADLINE_EXCEEDED, NOT_FOUND = range(6)
PERMISSION_DENIED, RESOURCE_EXHAUSTED, FAILED_PRECONDITION, ABORTED = 7, 8, 9, 10
UNIMPLEMENTED = 12
INTERNAL, UNAVAILABLE, DATA_LOSS = 13, 14, 15

Answer = collections.namedtuple("Answer", "code result details")


class Caller:
    def __init__(self, endpoint, deadline=90.0, ahead=1000):
        """`ahead`: messages that are read before they are asked for."""
        self.deadline = deadline
        self.context = zmq.Context()
        self.link = self.context.socket(zmq.DEALER)
        self.link.setsockopt(zmq.RCVHWM, ahead)
        self.link.setsockopt(zmq.LINGER, 0)
        self.link.connect(endpoint)
        self.hello = [HELLO, 1, "client", "test", os.urandom(8), {}]
        self.methods = None  # of a worker: what it offers
        self.window = None
        self.left = False
        self.answers = {}
        self.parts = collections.defaultdict(list)
        self.last = 0
        self.low = 0  # up to there all calls are answered
        self.joined = False
        self.spoke = 0.0  # when it sent something last
        self._until(lambda: self.window is not None, "a window came")

    def close(self):
        self.context.destroy(linger=0)

    def start(self, method, *arguments, ttl=60.0, **options):
        self.last += 1
        packed = msgpack.packb(list(arguments))
        run = [self.last, 1, method, max(1, int(ttl * 1000)), [len(packed)]]
        while self.low + 1 in self.answers:
            self.low += 1
        self._send(CALL, self.low, [run + ([options] if options else [])], body=packed)
        return self.last

    def cancel(self, number):
        self._send(CANCEL, [number, number], "not wanted any more")

    def credit(self, number, got, until):
        """Of this stream so many elements have been taken; it may send those before `until`."""
        self._send(CREDIT, [number, got, until])

    def await_(self, number):
        self._until(lambda: number in self.answers, "call %d was answered" % number)
        return self.answers[number]

    def call(self, method, *arguments, **how):
        return self.await_(self.start(method, *arguments, **how))

    def says_alive(self):
        """Without reading anything."""
        self._send(ALIVE)

    def listen(self, seconds):
        """Takes what comes, for as long as that."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self._take(10)

    def _send(self, *message, body=b""):
        self.spoke = time.monotonic()
        self.link.send_multipart([msgpack.packb(message)] + ([body] if body else []))

    def _until(self, condition, what):
        end = time.monotonic() + self.deadline
        while not condition():
            if time.monotonic() > end:
                raise AssertionError("waited %.0f s in vain until %s" % (self.deadline, what))
            self._take(50)

    def _take(self, milliseconds):
        if not self.link.poll(milliseconds):
            self._send(*([ALIVE] if self.joined else self.hello))
            return
        if self.joined and time.monotonic() - self.spoke > 0.05:
            self._send(ALIVE)  # also while it has much to read
        header, body = (self.link.recv_multipart() + [b""])[:2]
        kind, *fields = msgpack.unpackb(header, strict_map_key=False)
        if kind == WELCOME:
            self.joined = True
        elif kind == WINDOW:
            self.window = fields[0]
        elif kind == OFFER:
            self.methods = {name: about for name, about in fields[0]}
        elif kind == BYE:
            self.left = True
        elif kind == ERROR and fields[0] == 1:
            self._send(*self.hello)
        elif kind == REPLY:
            self._on_reply(fields[0], body)
        elif kind == PART:
            for number, _, count, lengths in fields[0]:
                for _, piece, body in _pieces(0, count, lengths, body):
                    self.parts[number].append(msgpack.unpackb(piece))

    def _on_reply(self, runs, body):
        for first, count, lengths, code, *more in runs:
            details = more[0] if more and more[0] else [{}] * count
            for number, piece, body in _pieces(first, count, lengths, body):
                result = msgpack.unpackb(piece) if piece else None
                self.answers[number] = Answer(code, result, details[number - first] or {})


def _pieces(first, count, lengths, body):
    for number, length in enumerate(
            lengths if isinstance(lengths, list) else [lengths] * count, first):
        piece, body = body[:length], body[length:]
        yield number, piece, body
