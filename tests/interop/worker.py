#!/usr/bin/env python3
"""A weir worker: runs a Python function on every task.

    worker.py tcp://127.0.0.1:5557 handlers:upper      with handlers.py holding: def upper(payload): return payload.upper()

A handler takes bytes and returns bytes; it fails by raising, with weir_link.Failed if the code matters. It runs on threads of
its own, so that it may take its time: ALIVE comes from the loop below. SIGTERM drains.
"""

import argparse
import importlib
import os
import queue
import signal
import time
from concurrent.futures import ThreadPoolExecutor

import zmq

from weir_link import (BYE, CANCEL, COMMITTED, MAX_PAYLOAD, RELEASE, RESEND, RESULT, TASK, WELCOME, WINDOW,
                       Failed, Link, batches_of, items_of, ranges_of, seqs_of)


class Worker:
    def __init__(self, ventilator, handler, to=None, slots=2, window=64):
        self.context, self.handler, self.slots, self.window = zmq.Context(), handler, slots, window
        self.more = {"slots": slots, "max": MAX_PAYLOAD}
        self.ventilator = Link(self.context, ventilator, "worker", self.more)
        self.to, self.sink = to, Link(self.context, to, "worker", self.more) if to else None
        self.pool, self.finished, self.wake = ThreadPoolExecutor(slots), queue.SimpleQueue(), os.eventfd(0)
        self.in_hand = {}  # (source, seq) -> [future, attempt, outcome or None, deadline or None]
        self.sessions, self.draining, self.done = {}, False, False  # link -> the session at its other end

    def run(self):
        while not self.done:
            links = [self.ventilator] + ([self.sink] if self.sink else [])
            poller = zmq.Poller()
            for it in [end for link in links for end in (link.socket, link.monitor)] + [self.wake]:
                poller.register(it, zmq.POLLIN)
            if any(fd == self.wake for fd, _ in poller.poll(100)):
                os.eventfd_read(self.wake)
            for link in links:
                for message, body in link.receive():
                    self.on_message(link, message, body)
                link.tick()
            self.deliver(self.newly_finished())
            if self.draining:
                self.drain()
        for link in links:
            link.close(0)
        self.pool.shutdown(wait=False, cancel_futures=True)

    # On a thread of the pool.
    def attempt(self, key, held, payload, ttl):
        held[3] = time.monotonic() + ttl / 1000 if ttl else None
        try:
            outcome = (self.handler(payload), 0, {})
        except Failed as failed:
            outcome = failed.outcome
        except Exception as reason:
            outcome = (b"", 2, {"msg": f"{type(reason).__name__}: {reason}"})
        self.finished.put((key, held, outcome))
        os.eventfd_write(self.wake, 1)

    def newly_finished(self):
        keys = []
        while not self.finished.empty():
            key, held, outcome = self.finished.get()
            if self.in_hand.get(key) is held and not held[2]:  # else it was stopped, or ran out of time
                held[2] = outcome
                keys.append(key)
        for key, held in self.in_hand.items():
            if held[3] and not held[2] and time.monotonic() > held[3]:
                held[2] = (b"", 4, {"msg": "timed out"})
                keys.append(key)
        return keys

    def deliver(self, keys):
        """Success goes to the sink, or where there is none back to the ventilator, which then also gets failures."""
        for link, wanted in ((self.sink or self.ventilator, lambda code: code == 0), (self.ventilator, bool)):
            outcomes = {}
            for source, seq in keys:
                _, attempt, outcome, _ = self.in_hand[source, seq]
                if outcome and wanted(outcome[1]):
                    outcomes.setdefault(source, []).append((seq, attempt, *outcome))
            if link.open:  # otherwise they are held, and sent when the session begins again
                for source, items in outcomes.items():
                    for runs, body in batches_of(items):
                        link.send([RESULT, source, runs], body)

    def on_message(self, link, message, body):
        kind, source = message[0], message[1] if len(message) > 1 else None
        held = [key for key in self.in_hand if key[0] == source] if kind in (CANCEL, RESEND) else []
        if kind == WELCOME:
            self.on_welcome(link, message[6])
        elif kind == TASK:
            for seq, attempt, payload, _, options in items_of(message[2], body):
                if (source, seq) not in self.in_hand:
                    held = self.in_hand[source, seq] = [None, attempt, None, None]
                    held[0] = self.pool.submit(self.attempt, (source, seq), held, payload, options.get("ttl"))
        elif kind == COMMITTED:
            for seq in seqs_of(message[2]):
                self.in_hand.pop((source, seq), None)
        elif kind == RESEND:
            self.deliver([key for key in held if (self.in_hand[key][2] or (0, 1))[1] == 0])
        elif kind == CANCEL and message[3] == 1:
            self.release(source, seqs_of(message[2]))
        elif kind == CANCEL:
            self.stop([(source, seq) for seq in seqs_of(message[2])])
        elif kind == BYE:
            link.open = False
            self.done = self.done or link is self.ventilator

    def on_welcome(self, link, more):
        """The openings of section 5: what is held, failures before WINDOW."""
        before, self.sessions[link] = self.sessions.get(link, link.peer), link.peer
        if link is self.ventilator:
            if before != link.peer:  # another incarnation: it has other tasks, and nobody wants those of before
                self.stop(list(self.in_hand))
            to = self.to or more.get("to")
            if to and not self.sink:
                self.sink = Link(self.context, to, "worker", self.more)
            self.deliver([key for key, held in self.in_hand.items() if held[2] and held[2][1] != 0])
            holding = {}
            for (source, seq), held in self.in_hand.items():
                if not held[2] or held[2][1] == 0:
                    holding.setdefault(source, []).append(seq)
            items = 0 if self.draining else self.window
            link.send([WINDOW, items, items and MAX_PAYLOAD,
                       [[source, ranges_of(seqs)] for source, seqs in holding.items()]])
        elif before != link.peer and self.ventilator.open:
            # The sink of before may have told us to forget a result, and died before it told the ventilator: resync.
            self.ventilator.begin()
        if link is (self.sink or self.ventilator):
            self.deliver([key for key, held in self.in_hand.items() if held[2] and held[2][1] == 0])

    def stop(self, keys):
        for key in keys:
            held = self.in_hand.pop(key, None)
            if held:
                held[0].cancel()

    def release(self, source, seqs):
        back = [seq for seq in seqs if (source, seq) in self.in_hand and self.in_hand[source, seq][0].cancel()]
        for seq in back:
            del self.in_hand[source, seq]
        if back and self.ventilator.open:
            self.ventilator.send([RELEASE, source, ranges_of(back)])

    def drain(self):
        if self.draining == "asked":
            self.draining = True
            if self.ventilator.open:
                self.ventilator.send([WINDOW, 0, 0])
        for source in {source for source, _ in self.in_hand}:
            self.release(source, [seq for s, seq in self.in_hand if s == source])
        self.done = not self.in_hand


def main():
    options = argparse.ArgumentParser(description="A weir worker that runs a Python function on every task.")
    options.add_argument("ventilator", help="where to get tasks, for example tcp://127.0.0.1:5557")
    options.add_argument("handler", help="module:function, from bytes to bytes")
    options.add_argument("--to", help="where to send results, instead of where the ventilator says")
    options.add_argument("-j", "--slots", type=int, default=2)
    options.add_argument("--window", type=int, default=64)
    given = options.parse_args()
    module, function = given.handler.split(":")
    worker = Worker(given.ventilator, getattr(importlib.import_module(module), function), given.to, given.slots,
                    given.window)

    def drain(*_):
        worker.draining = "asked"
        os.eventfd_write(worker.wake, 1)
    signal.signal(signal.SIGTERM, drain)
    worker.run()


if __name__ == "__main__":
    main()
