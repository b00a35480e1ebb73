"""Peers that speak nonsense, too much or out of turn, while a good run goes on beside them."""
import os
import random
import socket
import struct
import time

import msgpack
import zmq

from support import ECHO, PIPE, Case, main, numbers, wait_until

# docs/protocol.md, section 4.
(HELLO, WELCOME, TASK, RESULT, _, WINDOW, CANCEL, RELEASE, REGISTER, REGISTERED, ACK, COMMITTED,
 RESEND, FINISH, PROGRESS, ALIVE, BYE, ERROR) = range(1, 19)
SOURCE = b"\x5e\x11" * 8
SEED = int(os.environ.get("WEIR_SEED", "1"))


def hello(role, session=None, version=1, name="hostile", **more):
    return msgpack.packb([HELLO, version, role, name, session or os.urandom(8), more])


#: One well-formed message of every kind.
EVERY_KIND = [
    [[WELCOME, 1, "sink", "x", b"12345678", 1000, {}]],
    [[TASK, SOURCE, [[1, 1, 2, 3]]], b"onetwo"],
    [[RESULT, SOURCE, [[1, 1, 2, 3, 0]]], b"ONETWO"],
    [[WINDOW, 64, 1 << 20, []]],
    [[CANCEL, SOURCE, [1, 4], 0]],
    [[RELEASE, SOURCE, [1, 4]]],
    [[REGISTER, SOURCE, 1, 0, []]],
    [[REGISTERED, SOURCE, 1, 2, [5, 5]]],
    [[ACK, SOURCE, 1, 70000, []]],
    [[COMMITTED, SOURCE, [1, 2]]],
    [[RESEND, SOURCE]],
    [[FINISH, SOURCE, 1, 7]],
    [[PROGRESS, SOURCE, 1, 1, 2, 3, "reading"]],
    [[ALIVE]],
    [[BYE, 0]],
    [[ERROR, 1, "say HELLO"]],
]


class Hostile(Case):
    """A good run with a gate: its tasks come when the hostile peers have done their worst."""

    def setUp(self):
        super().setUp()
        self.context = zmq.Context()
        self.sockets = []
        self.before = []  # tasks that have been done before the good run proper
        self.tasks, self.results = self.tcp_endpoint(), self.tcp_endpoint()
        self.sink_node = self.sink("--bind", self.results, "--format", "lines")
        self.node = self.ventilator("--bind", self.tasks, "--sink", self.results, "--failed",
                                    self.path("failed"), input=PIPE)
        # This one binds too, and is the only one at its task.
        self.place = self.tcp_endpoint()
        self.crew = self.worker("--from", self.tasks, "--bind", self.place, *ECHO)
        self.joined(self.node, self.crew)
        self.bound = {"ventilator": (self.tasks, self.node),
                      "sink": (self.results, self.sink_node), "worker": (self.place, self.crew)}

    def tearDown(self):
        for open_one in self.sockets:
            open_one.close()
        self.context.destroy(linger=0)
        super().tearDown()

    def dealer(self, endpoint):
        peer = self.context.socket(zmq.DEALER)
        peer.setsockopt(zmq.LINGER, 0)
        peer.setsockopt(zmq.SNDTIMEO, 10_000)
        peer.connect(endpoint)
        self.sockets.append(peer)
        return peer

    def tcp(self, endpoint):
        host, port = endpoint[len("tcp://"):].rsplit(":", 1)
        raw = socket.create_connection((host, int(port)))
        self.sockets.append(raw)
        return raw

    def say(self, peer, *frames):
        peer.send_multipart([f if isinstance(f, bytes) else msgpack.packb(f) for f in frames])

    def answer(self, peer, kinds):
        """The next message of one of these kinds."""
        end = time.monotonic() + 60
        while time.monotonic() < end:
            if peer.poll(100):
                header = msgpack.unpackb(peer.recv_multipart()[0], raw=False)
                if header[0] in kinds:
                    return header
        self.fail("no answer of kind %r" % (kinds,))

    def session(self, role, peer_role):
        """A peer that has said HELLO and heard WELCOME."""
        peer = self.dealer(self.bound[peer_role][0])
        self.say(peer, hello(role))
        self.answer(peer, [WELCOME])
        return peer

    def settled(self, role, peer):
        """Everything that the peer has sent to that node has been read: it answers a HELLO."""
        self.say(peer, hello("ventilator" if role == "worker" else "worker", name="last"))
        self.answer(peer, [WELCOME])

    def good_run(self, count=5000, most=64):
        lines, text = numbers(count)
        self.node.feed(text)
        all_lines = count + len(self.before)
        wait_until(lambda: self.sink_node.count() >= all_lines or not self.sink_node.running(),
                   "all results are written")
        for _, one in self.bound.values():
            self.assertLess(one.peak_rss(), most, one.name)
        self.ends(self.node, 0)
        self.ends(self.sink_node, 0)
        self.assertOnce(self.sink_node.lines(), self.before + lines)
        self.crew.send(15)
        self.ends(self.crew, 0)

    # ---- Bytes that are no messages

    def test_random_bytes_as_frames(self):
        chance = random.Random(SEED)
        for role, (endpoint, _) in self.bound.items():
            peer = self.dealer(endpoint)
            for _ in range(300):
                self.say(peer, *[chance.randbytes(chance.randrange(200))
                                 for _ in range(chance.randrange(1, 4))])
            self.settled(role, peer)
        self.good_run()

    def test_random_bytes_on_a_bare_connection(self):
        chance = random.Random(SEED)
        for endpoint, _ in self.bound.values():
            for _ in range(30):
                raw = self.tcp(endpoint)
                try:
                    raw.sendall(chance.randbytes(chance.randrange(1, 5000)))
                except OSError:
                    pass
        self.good_run()

    def test_a_frame_that_claims_to_be_huge(self):
        greeting = (b"\xff" + bytes(8) + b"\x7f" + b"\x03\x00" + b"NULL".ljust(20, b"\0")
                    + b"\0" + bytes(31))
        ready = b"\x05READY\x0bSocket-Type" + struct.pack(">I", 6) + b"DEALER"
        for endpoint, _ in self.bound.values():
            for length in (1 << 30, 1 << 40, (1 << 63) - 1, 1 << 63, (1 << 64) - 1):
                raw = self.tcp(endpoint)
                try:
                    raw.sendall(greeting + b"\x04" + bytes([len(ready)]) + ready)
                    raw.sendall(b"\x02" + struct.pack(">Q", length) + b"x" * 1000)
                except OSError:
                    pass
        self.good_run()

    def test_a_message_of_very_many_frames(self):
        for role, (endpoint, _) in self.bound.items():
            peer = self.dealer(endpoint)
            self.say(peer, *[b"x"] * 10_000)
            self.settled(role, peer)
        self.good_run()

    def test_messagepack_that_is_cut_short_or_lies_about_its_size(self):
        whole = [msgpack.packb(m[0]) for m in EVERY_KIND] + [hello("worker"), hello("sink")]
        lies = [b"\xdd\xff\xff\xff\xff", b"\xdf\xff\xff\xff\xff", b"\xc6\xff\xff\xff\xff",
                b"\xdb\xff\xff\xff\xff", b"\x91" * 100_000, b"\xdc\xff\xff" + b"\xc0" * 65535,
                b"\x94\x03\xc4\x10" + SOURCE + b"\x91\x94\x01\x01\xce\xff\xff\xff\xff\x00"]
        for role, (endpoint, _) in self.bound.items():
            peer = self.dealer(endpoint)
            for message in whole:
                for end in range(len(message)):
                    self.say(peer, message[:end])
                    self.say(peer, message[:end], b"body")
            for lie in lies:
                self.say(peer, lie)
                self.say(peer, lie, b"body" * 1000)
            self.settled(role, peer)
        self.good_run()

    # ---- Messages out of turn

    def test_every_kind_before_hello_is_answered_with_say_hello(self):
        for role, (endpoint, _) in self.bound.items():
            for message in EVERY_KIND:
                if message[0][0] in (WELCOME, ERROR):
                    continue
                peer = self.dealer(endpoint)
                self.say(peer, *message)
                self.assertEqual(self.answer(peer, [ERROR])[1], 1, (role, message))
                peer.close()
        self.good_run()

    def test_every_kind_from_every_role_in_a_session(self):
        for role in self.bound:
            for claimed in ("ventilator", "worker", "sink"):
                peer = self.dealer(self.bound[role][0])
                self.say(peer, hello(claimed))
                for message in EVERY_KIND + EVERY_KIND[::-1]:
                    # Who registers a source and leaves has left it incomplete: the sink says so,
                    # and is right.
                    if (role, claimed, message[0][0]) != ("sink", "ventilator", REGISTER):
                        self.say(peer, *message)
                self.settled(role, peer)
                peer.close()
        self.good_run()

    def test_another_version_and_useless_roles_are_told_so(self):
        for role, (endpoint, _) in self.bound.items():
            peer = self.dealer(endpoint)
            self.say(peer, hello("worker", version=99))
            self.assertEqual(self.answer(peer, [ERROR])[1:], [2, self.Containing("version 1")])
            for claimed in (role, "emperor", ""):
                peer = self.dealer(endpoint)
                self.say(peer, hello(claimed))
                self.assertEqual(self.answer(peer, [ERROR])[1], 4, (role, claimed))
        self.good_run()

    class Containing(str):
        def __eq__(self, other):
            return self in other

        __hash__ = str.__hash__

    def test_a_stranger_cannot_pose_as_the_ventilators_sink(self):
        peer = self.dealer(self.tasks)
        self.say(peer, hello("sink"))
        self.assertEqual(self.answer(peer, [ERROR])[1], 4)
        self.good_run()

    def test_an_ack_for_tasks_that_were_never_sent_ends_nothing_early(self):
        source, epoch = self.source_of_the_good_run()
        for claimed in ("worker", "sink"):
            peer = self.dealer(self.tasks)
            self.say(peer, hello(claimed))
            for low in (101, 5000, (1 << 53) - 1):
                self.say(peer, [ACK, source, epoch, low, []])
                self.say(peer, [ACK, source, epoch, 0, [1, low]])
                self.say(peer, [REGISTERED, source, epoch, low, []])
                self.say(peer, [COMMITTED, source, [1, low]])
            self.settled("ventilator", peer)
        self.good_run()

    def test_results_of_tasks_that_it_was_never_given_do_not_count(self):
        source, epoch = self.source_of_the_good_run()
        peer = self.session("worker", "ventilator")
        self.say(peer, [WINDOW, 0, 0, []])
        self.say(peer, [RESULT, source, [[1, 1, 3, 1, 2]]], b"xyz")
        self.say(peer, [RESULT, source, [[1, 1, 3, 1, 0]]], b"xyz")
        self.say(peer, [RELEASE, source, [1, 5000]])
        self.say(peer, [PROGRESS, source, 1, 1, 5, 3, "x"])
        self.say(peer, [WINDOW, 0, 0, [[source, [1, 5000]]]])
        self.settled("ventilator", peer)
        self.say(peer, [BYE, 0])
        self.good_run()
        self.assertEqual(self.read("failed"), b"")

    def source_of_the_good_run(self):
        """What a real task says its source is: a second worker is given one."""
        lines, text = numbers(100, first=10 ** 6)
        peer = self.session("worker", "ventilator")
        self.say(peer, [WINDOW, 1, 1 << 20, []])
        # More than the good worker takes while it is stopped.
        self.crew.stop()
        self.node.feed(text, more=True)
        header = self.answer(peer, [TASK])
        self.crew.cont()
        seq = header[2][0][0]
        self.say(peer, [WINDOW, 0, 0])
        self.say(peer, [RELEASE, header[1], [seq, seq]])
        self.say(peer, [BYE, 0])
        wait_until(lambda: self.sink_node.count() == 100, "the tasks are done by the other")
        self.before = lines
        return header[1], 1

    # ---- Too much

    def test_200_connections_that_never_finish_their_greeting(self):
        for endpoint, _ in self.bound.values():
            for i in range(200):
                raw = self.tcp(endpoint)
                if i % 2:
                    raw.sendall(b"\xff\0\0\0\0\0\0\0\x01\x7f")
        self.good_run()

    def test_a_flood_of_hellos(self):
        for role, (endpoint, _) in self.bound.items():
            claimed = "ventilator" if role == "worker" else "worker"
            peer = self.dealer(endpoint)
            again = hello(claimed)
            for _ in range(3000):
                self.say(peer, again)
            for _ in range(3000):
                self.say(peer, hello(claimed))
            self.settled(role, peer)
        self.good_run()

    def test_a_flood_from_peers_that_never_read_an_answer(self):
        for role, (endpoint, _) in self.bound.items():
            claimed = "ventilator" if role == "worker" else "worker"
            for message in (hello(claimed, name="x" * 1000), b"nonsense"):
                deaf = self.context.socket(zmq.DEALER)
                deaf.setsockopt(zmq.LINGER, 0)
                deaf.setsockopt(zmq.RCVHWM, 1)
                deaf.connect(endpoint)
                self.sockets.append(deaf)
                for _ in range(30_000):
                    # The node may well stop reading what comes from somebody like this.
                    if not deaf.poll(1000, zmq.POLLOUT):
                        break
                    deaf.send(message)
        self.good_run(most=96)

    def test_peers_that_come_and_go(self):
        for role, (endpoint, _) in self.bound.items():
            claimed = "ventilator" if role == "worker" else "worker"
            for _ in range(100):
                peer = self.dealer(endpoint)
                self.say(peer, hello(claimed))
                self.answer(peer, [WELCOME])
                peer.close()
        self.good_run()

    def test_sources_and_results_that_nobody_asked_for(self):
        peer = self.session("worker", "sink")
        body = b"x" * 100_000
        for _ in range(500):
            self.say(peer, [RESULT, os.urandom(16), [[1, 1, 1, len(body), 0]]], body)
        self.settled("sink", peer)
        self.good_run(most=96)


if __name__ == "__main__":
    main()
