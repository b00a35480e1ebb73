"""A client of calls in a few lines, for tests: any arguments, many calls at a time, over restarts.

    with Client(endpoint) as client:
        client.call("add", 1, 2)                  # 3, or raises CallError
        call = client.start("weir.wait", id)      # returns at once
        client.outcome(call)                      # waits for it
"""
import collections
import os
import time

import msgpack
import zmq

HELLO, WELCOME, WINDOW, ALIVE, ERROR, CALL, REPLY = 1, 2, 6, 16, 18, 20, 21
SAY_HELLO = 1
OK, DEADLINE_EXCEEDED, UNAVAILABLE = 0, 4, 14
#: Longer than any test waits.
DEADLINE = 90.0


class CallError(Exception):
    def __init__(self, code, details):
        super().__init__("%d: %s" % (code, details.get("msg", "")))
        self.code = code
        self.details = details


class Call:
    def __init__(self, method, arguments, deadline, options):
        self.method = method
        self.packed = msgpack.packb(arguments)
        self.until = time.monotonic() + deadline
        self.options = options
        self.code = None  # until it has ended
        self.details = {}
        self.result = None


class Client:
    """One session with one gateway. What a gateway had of calls when it was replaced by another
    ends as UNAVAILABLE: what became of it is not known."""

    def __init__(self, endpoint):
        self.context = zmq.Context()
        self.link = self.context.socket(zmq.DEALER)
        self.link.linger = 0
        self.link.reconnect_ivl = 20
        self.link.set_hwm(0)  # the window bounds what is sent
        self.link.connect(endpoint)
        self.session = os.urandom(8)
        self.callee = None
        self.joined = False
        self.window = (0, 0)  # calls, bytes
        self.last = 0     # number that this callee has seen
        self.sent = {}    # by number, those without an outcome
        self.bytes = 0    # of them
        self.unsent = collections.deque()
        self.spoke = 0.0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.link.close()
        self.context.term()

    def start(self, method, *arguments, deadline=DEADLINE, **options):
        self.unsent.append(Call(method, arguments, deadline, options))
        call = self.unsent[-1]
        self.pump(0)
        return call

    def outcome(self, call):
        """(code, details, result)"""
        end = time.monotonic() + DEADLINE
        while call.code is None:
            if time.monotonic() > end:
                raise AssertionError("waited in vain for the outcome of %s" % call.method)
            self.pump()
        return call.code, call.details, call.result

    def call(self, method, *arguments, **how):
        code, details, result = self.outcome(self.start(method, *arguments, **how))
        if code != OK:
            raise CallError(code, details)
        return result

    def ask(self, method, *arguments, **how):
        """A question that may be asked again: over the ends of gateways, until one answers."""
        end = time.monotonic() + DEADLINE
        while True:
            try:
                return self.call(method, *arguments, **how)
            except CallError as why:
                if why.code != UNAVAILABLE or time.monotonic() > end:
                    raise

    def pump(self, timeout=0.02):
        """Sends what may be sent, and takes what comes within so many seconds."""
        if self.joined and self.unsent:
            self._send_unsent()
        if self.link.poll(int(timeout * 1000)):
            while self.link.poll(0):
                self._take(*(self.link.recv_multipart() + [b""])[:2])
        elif time.monotonic() - self.spoke > 0.1:
            self._send(*([ALIVE] if self.joined else self._hello()))

    def _hello(self):
        return [HELLO, 1, "client", "test:%d" % os.getpid(), self.session, {}]

    def _send(self, *message, body=b""):
        self.spoke = time.monotonic()
        frames = [msgpack.packb(message)] + ([body] if body else [])
        try:
            self.link.send_multipart(frames, zmq.NOBLOCK)
        except zmq.Again:
            pass  # what matters is sent again after WELCOME

    def _send_unsent(self):
        while self.unsent and len(self.sent) < self.window[0]:
            if self.sent and self.bytes + len(self.unsent[0].packed) > self.window[1]:
                break
            self.last += 1
            self.sent[self.last] = self.unsent.popleft()
            self.bytes += len(self.sent[self.last].packed)
            self._transmit(self.last)

    def _transmit(self, number):
        call = self.sent[number]
        ttl = max(1, int((call.until - time.monotonic()) * 1000))
        run = [number, 1, call.method, ttl, len(call.packed), call.options]
        self._send(CALL, next(iter(self.sent)) - 1, [run], body=call.packed)

    def _end(self, number, code, details, result):
        call = self.sent.pop(number, None)
        if call:
            self.bytes -= len(call.packed)
            call.code, call.details, call.result = code, details, result

    def _take(self, header, body):
        kind, *fields = msgpack.unpackb(header)
        if kind == WELCOME:
            if self.callee != fields[3]:  # it knows nothing of what was sent
                for number in list(self.sent):
                    self._end(number, UNAVAILABLE, {"msg": "the gateway was replaced"}, None)
                self.callee, self.last, self.window = fields[3], 0, (0, 0)
            self.joined = True
            for number in self.sent:
                self._transmit(number)
        elif kind == WINDOW:
            self.window = fields[:2]
        elif kind == REPLY:
            for first, count, lengths, code, *more in fields[0]:
                details = (more and more[0]) or [{}] * count
                lengths = lengths if isinstance(lengths, list) else [lengths] * count
                for at, length in enumerate(lengths):
                    result, body = body[:length], body[length:]
                    self._end(first + at, code, details[at] or {},
                              msgpack.unpackb(result) if result else None)
        elif kind == ERROR and fields[0] == SAY_HELLO:
            self.joined = False
            self._send(*self._hello())
