"""What every weir peer needs: frames, and sessions at either end of a link. From docs/protocol.md alone.

Link is the end that connects (a DEALER), Peers the end that binds (a ROUTER). Both keep the session alive and
renew it after a reconnect; what they hand to a role is the messages of section 4 that are the role's business.
A WELCOME that Link hands over, or a HELLO that Peers does, says: the session begins, or begins again; do your opening.
"""

import os
import time

import msgpack
import zmq
from zmq.utils.monitor import recv_monitor_message

HELLO, WELCOME, TASK, RESULT, WINDOW, CANCEL, RELEASE = 1, 2, 3, 4, 6, 7, 8
REGISTER, REGISTERED, ACK, COMMITTED, RESEND, FINISH = 9, 10, 11, 12, 13, 14
PROGRESS, ALIVE, BYE, ERROR = 15, 16, 17, 18
SAY_HELLO, BAD_VERSION, MALFORMED, BAD_ROLE, FENCED = 1, 2, 3, 4, 5
VERSION, MAX_PAYLOAD = 1, 16 << 20
MAX_ITEMS, GOOD_BODY, GOOD_DETAILS = 16384, 256 << 10, 256 << 10

SESSION = os.urandom(8)  # this incarnation of the node


class Failed(Exception):
    """For handlers: fails the task with a code and details of section 4. Failed(3, "no such row", final=True)."""

    def __init__(self, code, msg="", payload=b"", **details):
        super().__init__(msg)
        self.outcome = payload, code, {"msg": msg, **details}


# --- frames (section 2) -------------------------------------------------------------------------------------

def encode(message, body=b""):
    return [msgpack.packb(message), body] if body else [msgpack.packb(message)]


def decode(frames):
    """The message and its body. ValueError if it cannot be read."""
    try:
        message = msgpack.unpackb(frames[0], unicode_errors="replace")
    except Exception as reason:  # msgpack raises a dozen kinds
        raise ValueError(f"not MessagePack: {reason}") from None
    if not isinstance(message, list) or not message or not isinstance(message[0], int) or len(frames) > 2:
        raise ValueError("not [kind, ...] and at most one body")
    return message, b"".join(frames[1:])


def items_of(runs, body):
    """Unfolds the runs of TASK or RESULT: (seq, attempt, payload, code or None, options or details)."""
    at = 0
    for first, attempt, count, lengths, *rest in runs:
        lengths = lengths if isinstance(lengths, list) else [lengths] * min(count, MAX_ITEMS + 1)
        if len(lengths) != count or count > MAX_ITEMS:
            raise ValueError("a run's lengths do not match its count")
        is_result = bool(rest) and isinstance(rest[0], int)
        more = rest[1] if is_result and len(rest) > 1 else None if is_result else rest[0] if rest else None
        for i, length in enumerate(lengths):
            each = more[i] if isinstance(more, list) else more
            yield first + i, attempt, body[at:at + length], rest[0] if is_result else None, each or {}
            at += length
    if at != len(body):
        raise ValueError("the lengths do not add up to the body")


def batches_of(items):
    """Folds (seq, attempt, payload[, code, details]) into the runs and bodies of as many messages as it takes."""
    runs, body, count, size, packed = [], [], 0, 0, 0
    for seq, attempt, payload, *outcome in sorted(items, key=lambda item: item[0]):
        details = len(msgpack.packb(outcome[1])) if outcome else 0
        if count and (count == MAX_ITEMS or size + len(payload) > GOOD_BODY or packed + details > GOOD_DETAILS):
            yield runs, b"".join(body)
            runs, body, count, size, packed = [], [], 0, 0, 0
        run = runs[-1] if runs else None
        if run and run[0] + run[2] == seq and run[1] == attempt and run[4:5] == outcome[:1]:
            run[2] += 1
            run[3].append(len(payload))
            if outcome:
                run[5].append(outcome[1])
        else:
            runs.append([seq, attempt, 1, [len(payload)]] + ([outcome[0], [outcome[1]]] if outcome else []))
        body.append(payload)
        count, size, packed = count + 1, size + len(payload), packed + details
    if count:
        yield runs, b"".join(body)


def ranges_of(seqs):
    ranges = []
    for seq in sorted(seqs):
        if ranges and ranges[-1] + 1 == seq:
            ranges[-1] = seq
        else:
            ranges += [seq, seq]
    return ranges


def seqs_of(ranges):
    for first, last in zip(ranges[::2], ranges[1::2]):
        yield from range(first, last + 1)


# --- sessions (section 3) -----------------------------------------------------------------------------------

class Link:
    """One session, seen from the end that connects."""

    def __init__(self, context, endpoint, role, more=None, name=""):
        self.endpoint, self.hello = endpoint, [HELLO, VERSION, role, name, SESSION, more or {}]
        self.socket = context.socket(zmq.DEALER)
        self.socket.sndhwm = self.socket.rcvhwm = 0  # the window is the limit, and a full pipe would drop
        self.monitor = self.socket.get_monitor_socket(zmq.EVENT_DISCONNECTED)
        self.socket.connect(endpoint)
        self.heartbeat, self.peer, self.ticked_at = 1.0, None, time.monotonic()
        self.begin()

    def begin(self):
        """HELLO from now on, until WELCOME."""
        self.open, self.pause, self.hello_at = False, 0.25, 0.0
        self.heard_at = time.monotonic()

    def send(self, message, body=b""):
        self.sent_at = time.monotonic()
        self.socket.send_multipart(encode(message, body))

    def close(self, reason):
        """Says BYE, which has two seconds to leave; a HELLO to a peer that is gone has no time at all."""
        if self.open:
            self.send([BYE, reason])
        self.socket.disable_monitor()
        self.socket.close(linger=2000 if self.open else 0)

    def tick(self):
        now = time.monotonic()
        if now - self.ticked_at > self.heartbeat:
            self.heard_at = now  # we were stopped ourselves: nobody else is to blame
        self.ticked_at = now
        if now - self.heard_at > 5 * self.heartbeat:  # TCP may never notice a vanished host: a new connection
            self.socket.disconnect(self.endpoint)
            self.socket.connect(self.endpoint)
            self.begin()
        if not self.open and now >= self.hello_at:
            self.send(self.hello)
            self.hello_at, self.pause = now + self.pause, min(2 * self.pause, self.heartbeat)
        elif self.open and now - self.sent_at >= self.heartbeat:
            self.send([ALIVE])

    def receive(self):
        while self.monitor.poll(0):
            recv_monitor_message(self.monitor)
            self.begin()
        while self.socket.poll(0):
            frames = self.socket.recv_multipart()
            self.heard_at = time.monotonic()
            message, body = decode(frames)
            if message[0] == WELCOME:
                if not self.open or message[4] != self.peer:
                    self.open, self.peer, self.heartbeat = True, message[4], message[5] / 1000
                    yield message, b""
            elif message[0] == ERROR and message[1] == SAY_HELLO:
                if self.open:  # otherwise HELLO is on its way already
                    self.begin()
            elif message[0] == ERROR and message[1] != MALFORMED:
                raise SystemExit(f"{self.endpoint}: {message[2]}")
            elif message[0] != ALIVE:
                yield message, body


class Peer:
    def __init__(self, hello, routing_id):
        _, _, self.role, self.name, self.session, self.more = hello[:6]
        self.id, self.closed_at = routing_id, None
        self.heard_at = self.sent_at = time.monotonic()


class Peers:
    """The sessions of all peers, seen from the end that binds."""

    def __init__(self, context, endpoint, role, serves, more=None, name="", heartbeat=1.0):
        self.role, self.serves, self.more, self.name, self.heartbeat = role, serves, more or {}, name, heartbeat
        self.by_id, self.by_session, self.left = {}, {}, set()
        self.socket = context.socket(zmq.ROUTER)
        self.socket.linger = 2000
        self.socket.sndhwm = self.socket.rcvhwm = 0
        self.socket.router_mandatory = True  # a send to a closed connection fails
        self.socket.bind(endpoint)
        self.ticked_at = time.monotonic()

    def __iter__(self):
        return iter(list(self.by_session.values()))

    def send(self, peer, message, body=b""):
        try:
            self.socket.send_multipart([peer.id] + encode(message, body))
            peer.sent_at = time.monotonic()
        except zmq.ZMQError:
            peer.closed_at = peer.closed_at or time.monotonic()

    def answer(self, routing_id, *message):
        try:
            self.socket.send_multipart([routing_id] + encode(list(message)))
        except zmq.ZMQError:
            pass  # it has gone already

    def drop(self, peer):
        self.by_session.pop(peer.session, None)
        self.by_id.pop(peer.id, None)

    def tick(self):
        """Keeps the sessions alive, and returns the peers that have died."""
        now = time.monotonic()
        if now - self.ticked_at > self.heartbeat:
            for peer in self:
                peer.heard_at = now  # it was us who slept
        self.ticked_at, dead = now, []
        for peer in self:
            if now - peer.sent_at >= self.heartbeat:
                self.send(peer, [ALIVE])
            closed = peer.closed_at and now - peer.closed_at > self.heartbeat
            if closed or now - peer.heard_at > 5 * self.heartbeat:
                self.drop(peer)
                dead.append(peer)
        return dead

    def receive(self):
        while self.socket.poll(0):
            routing_id, *frames = self.socket.recv_multipart()
            if routing_id in self.left:  # its session has moved to another connection: late news
                continue
            try:
                message, body = decode(frames)
            except ValueError as reason:
                self.answer(routing_id, ERROR, MALFORMED, str(reason))
                continue
            peer = self.by_id.get(routing_id)
            if message[0] == HELLO:
                peer = self.greet(routing_id, message)
            elif peer is None:
                self.answer(routing_id, ERROR, SAY_HELLO, "no session on this connection: say HELLO")
            if peer is not None:
                peer.heard_at = time.monotonic()
                if message[0] != ALIVE:
                    yield peer, message, body

    def greet(self, routing_id, hello):
        if hello[1] != VERSION:
            return self.answer(routing_id, ERROR, BAD_VERSION, f"this is version {VERSION}")
        if hello[2] not in self.serves:
            return self.answer(routing_id, ERROR, BAD_ROLE, f"a {self.role} has no use for a {hello[2]}")
        peer = self.by_session.get(hello[4])
        if peer is None:
            peer = self.by_session[hello[4]] = Peer(hello, routing_id)
        elif peer.id != routing_id:  # it comes back over another connection
            self.left.add(peer.id)
            self.by_id.pop(peer.id, None)
        peer.id, peer.closed_at = routing_id, None
        self.by_id[routing_id] = peer
        self.send(peer, [WELCOME, VERSION, self.role, self.name, SESSION, int(self.heartbeat * 1000), self.more])
        return peer
