#!/usr/bin/env python3
"""A weir ventilator: every line of its input is a task.

    ventilator.py tcp://127.0.0.1:5557 --sink tcp://127.0.0.1:5558 < tasks

Without --sink it collects the results itself and writes them to its output, a line each. Ends when all tasks are done:
0 all OK, 1 some failed for good. What failed is retried after a pause, as often as --max-attempts allows.
"""

import argparse
import heapq
import os
import sys
import time

import msgpack
import zmq

from weir_link import (ACK, BYE, CANCEL, COMMITTED, FINISH, HELLO, MAX_PAYLOAD, REGISTER, REGISTERED, RELEASE, RESULT,
                       TASK, WELCOME, WINDOW, Link, Peers, batches_of, items_of, ranges_of, seqs_of)

SOURCE, EPOCH = os.urandom(16), 1


class Task:
    def __init__(self, payload):
        self.payload, self.attempt, self.failures, self.worker, self.outcome = payload, 0, 0, None, None


class Ventilator:
    def __init__(self, endpoint, payloads, sink=None, to=None, max_attempts=3, retry_delay=0.1, heartbeat=1.0):
        context = zmq.Context()
        more = {"to": to or sink or "", "max": MAX_PAYLOAD}
        self.peers = Peers(context, endpoint, "ventilator", ("worker",), more, heartbeat=heartbeat)
        self.sink = Link(context, sink, "ventilator", more) if sink else None
        self.max_attempts, self.retry_delay = max_attempts, retry_delay
        self.tasks = {seq: Task(payload) for seq, payload in enumerate(payloads, 1)}
        self.total, self.low, self.failed = len(self.tasks), 0, 0
        self.waiting = [(0.0, seq) for seq in self.tasks]  # a heap: when it may be sent, and which
        self.may_dispatch = self.finished = not self.sink
        for seq, task in self.tasks.items():
            if len(task.payload) > MAX_PAYLOAD:  # nobody would take it: given up before the first attempt
                task.outcome = (b"", 8, {"msg": "payload too large", "final": True})

    def run(self):
        while self.tasks or not self.finished:
            poller = zmq.Poller()
            for socket in [self.peers.socket] + ([self.sink.socket, self.sink.monitor] if self.sink else []):
                poller.register(socket, zmq.POLLIN)
            poller.poll(20 if self.waiting else 100)  # a retry may be due
            for message, _ in self.sink.receive() if self.sink else ():
                self.on_sink(message)
            for peer, message, body in self.peers.receive():
                self.on_worker(peer, message, body)
            for worker in self.peers.tick():
                self.take_back(worker, worker.in_hand, died=True)
            if self.sink:
                self.sink.tick()
            if self.may_dispatch:
                self.dispatch()
        for worker in self.peers:
            self.peers.send(worker, [BYE, 1])
        if self.sink:
            self.sink.close(1)
        return 1 if self.failed else 0

    def dispatch(self):
        workers = [peer for peer in self.peers if peer.items]
        outbox = {}
        while self.waiting and self.waiting[0][0] <= time.monotonic():
            task = self.tasks.get(self.waiting[0][1])
            if task is None or task.worker or task.outcome:
                heapq.heappop(self.waiting)
                continue
            fits = [w for w in workers if not w.in_hand or
                    (len(w.in_hand) < w.items and w.load + len(task.payload) <= w.bytes)]
            if not fits:
                break
            worker = min(fits, key=lambda w: len(w.in_hand))
            seq = heapq.heappop(self.waiting)[1]
            task.attempt += 1
            self.hand_to(worker, seq, task)
            outbox.setdefault(worker, []).append((seq, task.attempt, task.payload))
        for worker, items in outbox.items():
            for runs, body in batches_of(items):
                self.peers.send(worker, [TASK, SOURCE, runs], body)

    def hand_to(self, worker, seq, task):
        task.worker = worker
        worker.in_hand.add(seq)
        worker.load += len(task.payload)

    def let_go(self, seq, task):
        if task.worker:
            task.worker.in_hand.discard(seq)
            task.worker.load -= len(task.payload)
        task.worker = None

    def on_worker(self, worker, message, body):
        if message[0] == HELLO:
            if not hasattr(worker, "in_hand"):
                worker.in_hand, worker.load = set(), 0
            worker.items, worker.synced = 0, False  # no TASK before the resync
        elif message[0] == WINDOW and len(message) > 3 and message[3] is not None:
            self.resync(worker, dict((source, set(seqs_of(ranges))) for source, ranges in message[3]))
            worker.items, worker.bytes, worker.synced = message[1], message[2], True
        elif message[0] == WINDOW and worker.synced:
            worker.items, worker.bytes = message[1], message[2]
        elif message[0] == BYE:
            self.take_back(worker, worker.in_hand)
            self.peers.drop(worker)
        elif message[0] == RELEASE and message[1] == SOURCE:
            self.take_back(worker, [seq for seq in seqs_of(message[2]) if seq in worker.in_hand])
        elif message[0] == RESULT and message[1] == SOURCE:
            items = list(items_of(message[2], body))
            for seq, attempt, payload, code, details in items:
                self.on_result(worker, seq, attempt, payload, code, details)
            sys.stdout.flush()
            self.peers.send(worker, [COMMITTED, SOURCE, ranges_of(item[0] for item in items)])

    def on_result(self, worker, seq, attempt, payload, code, details):
        task = self.tasks.get(seq)
        if task is None:
            return
        if code == 0:  # there is no sink, so it comes to us
            sys.stdout.buffer.write(payload + b"\n")
            self.forget([seq])
        elif task.worker is worker and task.attempt != attempt:
            self.take_back(worker, [seq])
        elif task.worker is worker:
            task.failures += 1
            task.outcome = (payload, code, details)
            self.retry_or_give_up(seq, task, final=details.get("final", False))

    def retry_or_give_up(self, seq, task, final=False):
        self.let_go(seq, task)
        if task.failures < self.max_attempts and not final:
            task.outcome = None
            heapq.heappush(self.waiting, (time.monotonic() + self.retry_delay * 2 ** task.failures, seq))
        elif self.sink:
            self.report([seq])
        else:
            print(f"task {seq} failed: {task.outcome[2].get('msg', task.outcome[1])}", file=sys.stderr)
            self.failed += 1
            self.forget([seq])

    def take_back(self, worker, seqs, died=False, pause=0.0):
        for seq in list(seqs):
            task = self.tasks.get(seq)
            if task and task.worker is worker and died:
                task.failures, task.outcome = task.failures + 1, (b"", 14, {"msg": "its worker died"})
                self.retry_or_give_up(seq, task)
            elif task and task.worker is worker:
                self.let_go(seq, task)
                heapq.heappush(self.waiting, (time.monotonic() + pause, seq))

    def resync(self, worker, holding):
        held = holding.pop(SOURCE, set())
        self.take_back(worker, worker.in_hand - held, pause=0.25)  # lost, or done and its ACK is under way
        for seq in held:
            task = self.tasks.get(seq)
            if task and not task.worker and not task.outcome:  # we had given it up as lost
                self.hand_to(worker, seq, task)
        unwanted = {seq for seq in held if seq not in worker.in_hand}
        for source, seqs in [(SOURCE, unwanted), *holding.items()]:
            if seqs:
                self.peers.send(worker, [CANCEL, source, ranges_of(seqs), 0])

    def on_sink(self, message):
        if message[0] == WELCOME:
            self.sink.send([REGISTER, SOURCE, EPOCH, self.low, self.done_above_low()])
        elif message[0] in (REGISTERED, ACK) and message[1:3] == [SOURCE, EPOCH]:
            self.forget(range(self.low + 1, message[3] + 1))
            self.forget(seqs_of(message[4]))
            while self.low < self.total and self.low + 1 not in self.tasks:
                self.low += 1
            self.finished = message[0] == ACK and message[3] == self.total
            if message[0] == REGISTERED:
                self.may_dispatch = True
                self.report([seq for seq, task in self.tasks.items() if task.outcome])
                self.sink.send([FINISH, SOURCE, EPOCH, self.total])

    def done_above_low(self):
        return ranges_of(seq for seq in range(self.low + 1, self.total + 1) if seq not in self.tasks)

    def report(self, seqs):
        """What was given up goes to the sink, and stays with us until acknowledged, like a task."""
        items = [(seq, self.tasks[seq].attempt, *self.tasks[seq].outcome) for seq in seqs]
        for runs, body in batches_of(items) if self.sink.open else ():
            self.sink.send([RESULT, SOURCE, runs], body)

    def forget(self, seqs):
        stop = {}
        for seq in seqs:
            task = self.tasks.pop(seq, None)
            if task and task.worker:
                if task.attempt > 1:  # an earlier holder may have done it, and this one be at it still
                    stop.setdefault(task.worker, []).append(seq)
                self.let_go(seq, task)
            elif task and task.outcome:
                self.failed += 1
        for worker, stopped in stop.items():
            self.peers.send(worker, [CANCEL, SOURCE, ranges_of(stopped), 0])


def main():
    options = argparse.ArgumentParser(description="A weir ventilator: every line of its input is a task.")
    options.add_argument("endpoint", help="where to listen, for example tcp://127.0.0.1:5557")
    options.add_argument("--sink", help="the sink's endpoint (none: collect the results here)")
    options.add_argument("--to", help="the sink's endpoint as the workers see it, if it is another")
    options.add_argument("--format", choices=("lines", "msgpack"), default="lines", help="of the input")
    options.add_argument("--max-attempts", type=int, default=3)
    options.add_argument("--heartbeat", type=float, default=1.0, help="in seconds")
    given = options.parse_args()
    tasks = sys.stdin.buffer.read().splitlines() if given.format == "lines" else msgpack.Unpacker(sys.stdin.buffer)
    sys.exit(Ventilator(given.endpoint, tasks, given.sink, given.to, given.max_attempts,
                        heartbeat=given.heartbeat).run())


if __name__ == "__main__":
    main()
