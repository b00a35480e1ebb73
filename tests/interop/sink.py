#!/usr/bin/env python3
"""A weir sink: writes every task's outcome exactly once into a file of MessagePack records, and survives its own death.

    sink.py tcp://127.0.0.1:5558 results.msgpack

A record is [source, seq, code, payload, details]. The file is the sink's memory too: a sink that is started on it
again knows what it has. Ends when every ventilator that registered has finished: 0 all OK, 1 some tasks failed.
"""

import argparse
import os
import sys

import msgpack
import zmq

from weir_link import (ACK, BYE, COMMITTED, ERROR, FENCED, FINISH, HELLO, MAX_PAYLOAD, REGISTER, REGISTERED, RESEND,
                       RESULT, Peers, items_of, ranges_of, seqs_of)


class Source:
    def __init__(self):
        self.epoch, self.low, self.above, self.total, self.failed, self.ventilator = 0, 0, set(), None, 0, None

    def has(self, seq):
        return seq <= self.low or seq in self.above

    def add(self, seqs):
        self.above.update(seq for seq in seqs if seq > self.low)
        while self.low + 1 in self.above:
            self.low += 1
            self.above.remove(self.low)


class Sink:
    def __init__(self, endpoint, path):
        self.peers = Peers(zmq.Context(), endpoint, "sink", ("ventilator", "worker"), {"max": MAX_PAYLOAD})
        self.known, self.registered, self.dropped = {}, {}, {}  # source -> Source, Source, workers to say RESEND to
        self.failed = self.ended = False
        self.out = open(path, "a+b")
        self.remember(path)

    def remember(self, path):
        records, whole = msgpack.Unpacker(open(path, "rb")), 0
        for source, seq, *_ in records:
            self.known.setdefault(source, Source()).add([seq])
            whole = records.tell()
        self.out.truncate(whole)  # we were killed while writing: what was half written was never confirmed

    def run(self):
        while not self.ended:
            self.peers.socket.poll(100)
            for peer, message, body in self.peers.receive():
                if message[0] == HELLO:
                    pass  # WELCOME has been said; the opening is the other's
                elif message[0] == RESULT:
                    self.on_result(peer, message[1], message[2], body)
                elif message[0] == BYE:
                    self.on_bye(peer, message[1])
                elif message[0] == REGISTER:
                    self.on_register(peer, *message[1:5])
                elif message[0] == FINISH and message[1] in self.registered:
                    self.registered[message[1]].total = message[3]
                    self.acknowledge(message[1])
            self.peers.tick()
        for peer in self.peers:
            self.peers.send(peer, [BYE, 0])
        self.peers.socket.close()
        return 1 if self.failed else 0

    def on_register(self, ventilator, source, epoch, low, ranges):
        it = self.known.setdefault(source, Source())
        if epoch < it.epoch:
            return self.peers.send(ventilator, [ERROR, FENCED, "a newer ventilator of this source has registered"])
        it.epoch, it.ventilator = epoch, ventilator
        it.add(range(it.low + 1, low + 1))
        it.add(seqs_of(ranges))
        self.registered[source] = it
        self.peers.send(ventilator, [REGISTERED, source, epoch, it.low, ranges_of(it.above)])
        for worker in self.dropped.pop(source, set()):
            self.peers.send(worker, [RESEND, source])

    def on_result(self, peer, source, runs, body):
        it = self.registered.get(source)
        if it is None:
            return self.dropped.setdefault(source, set()).add(peer)
        items = list(items_of(runs, body))
        for seq, _, payload, code, details in items:
            if not it.has(seq):
                self.out.write(msgpack.packb([source, seq, code, payload, details]))
                it.add([seq])
                self.failed = self.failed or code != 0
        self.out.flush()
        os.fdatasync(self.out.fileno())  # committed: now it may be confirmed, and not a moment earlier
        seqs = [item[0] for item in items]
        self.peers.send(peer, [COMMITTED, source, ranges_of(seqs)])
        self.acknowledge(source, seqs)

    def acknowledge(self, source, seqs=()):
        it = self.registered[source]
        self.peers.send(it.ventilator, [ACK, source, it.epoch, it.low, ranges_of(s for s in seqs if s > it.low)])

    def on_bye(self, peer, reason):
        self.peers.drop(peer)
        for source, it in list(self.registered.items()):
            if it.ventilator is peer and reason == 1 and it.low == it.total:
                del self.registered[source]
                self.ended = not self.registered
            elif it.ventilator is peer:
                sys.exit("a ventilator left before all its tasks were done")


def main():
    options = argparse.ArgumentParser(description="A weir sink that writes MessagePack records.")
    options.add_argument("endpoint", help="where to listen, for example tcp://127.0.0.1:5558")
    options.add_argument("out", help="file of records; what it holds already is not written again")
    given = options.parse_args()
    sys.exit(Sink(given.endpoint, given.out).run())


if __name__ == "__main__":
    main()
