"""Callers and workers that speak nonsense, too much or out of turn, while good calls go on beside them."""
import os
import random
import re

import msgpack
import zmq

from callers import NOT_FOUND, OK, RESOURCE_EXHAUSTED, Caller
from support import Case, main, wait_until

(HELLO, WELCOME, TASK, RESULT, PART, WINDOW, CANCEL, RELEASE, REGISTER, REGISTERED, ACK, COMMITTED, RESEND, FINISH,
 PROGRESS, ALIVE, BYE, ERROR, OFFER, CALL, REPLY, CREDIT, CANCEL_CALLS, CALL_PROGRESS) = range(1, 25)
SEED = int(os.environ.get("WEIR_SEED", "1"))
PAGE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "docs", "protocol.md")
#: What one node may come to, in MiB. Up to 100 messages of a peer wait unread in libzmq's queue, and a
#: header may have 1 MiB; so a flood of large ones is worth some 100 MiB by itself.
MOST = 160


def frames_of_the_page():
    """Every frame that docs/protocol.md shows, to be accepted or refused: [header] or [header, body]."""
    with open(PAGE, encoding="utf-8") as file:
        blocks = re.findall(r"^```(?:golden|same|refused) .*?\n(.*?)^```$", file.read(), re.S | re.M)
    frames = []
    for block in blocks:
        header, body = (b"".join(bytes.fromhex(line[2:]) for line in block.splitlines() if line.startswith(tag))
                        for tag in ("H ", "B "))
        frames.append([header, body] if body else [header])
    return frames


class HostileCalls(Case):
    """A gateway with a good worker behind it, and a good worker that clients call directly."""

    def setUp(self):
        super().setUp()
        self.context, self.callers, self.peers = zmq.Context(), [], []
        self.front, self.place = self.endpoint(), self.endpoint()
        self.node = self.gateway("--bind", self.front)
        self.says(self.node, "listening")
        self.crew = self.worker("--from", self.front, "--method", "echo=cat")
        self.alone = self.worker("--bind", self.place, "--method", "echo=cat")
        self.joined(self.node, self.crew)
        self.bound = {"gateway": (self.front, self.node), "worker": (self.place, self.alone)}

    def tearDown(self):
        for caller in self.callers:
            caller.close()
        for peer in self.peers:
            peer.close()
        self.context.destroy(linger=0)
        super().tearDown()

    def dealer(self, endpoint, **options):
        peer = self.context.socket(zmq.DEALER)
        for name, value in options.items():
            peer.setsockopt(getattr(zmq, name), value)
        peer.setsockopt(zmq.SNDTIMEO, 10_000)
        peer.setsockopt(zmq.LINGER, 0)  # a node that is gone takes nothing more, and nobody waits for it
        peer.connect(endpoint)
        self.peers.append(peer)
        return peer

    def say(self, peer, *frames):
        peer.send_multipart([f if isinstance(f, bytes) else msgpack.packb(f) for f in frames])

    def hear(self, peer, *kinds):
        """The next message of one of these kinds."""
        found = []

        def look():
            while not found and peer.poll(0):
                header, *body = peer.recv_multipart()
                message = msgpack.unpackb(header)
                if message[0] in kinds:
                    found.append((message, *body))
            return found
        return wait_until(look, "a message of kind %r" % (kinds,))[0]

    def session(self, role, endpoint):
        peer = self.dealer(endpoint)
        self.say(peer, [HELLO, 1, role, "hostile", os.urandom(8), {}])
        self.hear(peer, WELCOME)
        return peer

    def settled(self, peer):
        """All that the peer has sent has been read, and it may begin anew."""
        self.say(peer, [ALIVE])
        self.say(peer, [HELLO, 1, "client", "last", os.urandom(8), {}])
        self.hear(peer, WELCOME)

    def good_calls(self, count=200):
        for endpoint, node in self.bound.values():
            self.assertTrue(node.running(), node.name + node.stderr())
            caller = Caller(endpoint)
            self.callers.append(caller)
            calls = [caller.start("echo", "line %d" % n) for n in range(count)]
            self.assertEqual([caller.await_(call)[:2] for call in calls],
                             [(OK, "line %d" % n) for n in range(count)])
            self.assertLess(node.peak_rss(), MOST, node.name)

    # ---- Bytes that are no messages

    def test_every_frame_of_the_page_from_strangers_and_in_sessions(self):
        frames = frames_of_the_page()
        self.assertGreater(len(frames), 90)
        for endpoint, _ in self.bound.values():
            for role in (None, "client", "worker" if endpoint == self.front else "gateway"):
                for frame in frames:
                    peer = self.session(role, endpoint) if role else self.dealer(endpoint)
                    self.say(peer, *frame)
                    self.settled(peer)
                    peer.close()
        self.good_calls()

    def test_frames_of_the_page_with_bytes_that_are_wrong(self):
        frames, chance = frames_of_the_page(), random.Random(SEED)
        for endpoint, _ in self.bound.values():
            for role in ("client", "worker" if endpoint == self.front else "gateway"):
                peer = self.session(role, endpoint)
                for _ in range(3000):
                    header, *body = chance.choice(frames)
                    wrong = bytearray(header)
                    for _ in range(chance.randrange(1, 4)):
                        wrong[chance.randrange(len(wrong))] = chance.randrange(256)
                    self.say(peer, bytes(wrong), *body)
                self.settled(peer)
        self.good_calls()

    def test_an_error_from_whoever_comes_ends_nobody(self):
        for endpoint, _ in self.bound.values():
            for role in ("client", "worker" if endpoint == self.front else "gateway"):
                for code in (2, 4, 5, 6, 77):
                    peer = self.session(role, endpoint)
                    self.say(peer, [ERROR, code, "give up"])
                    self.settled(peer)
        self.good_calls()

    # ---- Messages out of turn

    def test_calls_before_hello_are_told_to_say_hello(self):
        for endpoint, _ in self.bound.values():
            peer = self.dealer(endpoint)
            self.say(peer, [CALL, 0, [[1, 1, "echo", 1000, 1]]], b"\x90")
            self.assertEqual(self.hear(peer, ERROR)[0][1], 1)
        self.good_calls()

    def test_credit_cancels_and_low_for_calls_that_were_never_made(self):
        for endpoint, _ in self.bound.values():
            peer = self.session("client", endpoint)
            self.say(peer, [CREDIT, [1, 5, 2**53 - 1, 9, 0, 7]])
            self.say(peer, [CANCEL_CALLS, [1, 2**53 - 1], "all"])
            self.say(peer, [CALL, 2**53 - 1, []])
            self.say(peer, [CALL, 0, [[2**53 - 1, 1, "echo", 1000, 3]]], msgpack.packb(["x"]))
            self.settled(peer)
        self.good_calls()

    def test_answers_that_nobody_asked_for(self):
        for role, endpoint in (("client", self.front), ("worker", self.front), ("client", self.place)):
            peer = self.session(role, endpoint)
            self.say(peer, [REPLY, [[1, 3, 1, 0], [2**53 - 1, 1, 1, 0]]], b"\x01\x02\x03\x04")
            self.say(peer, [PART, [[1, 1, 2, 1]]], b"\x01\x02")
            self.say(peer, [CALL_PROGRESS, 1, 1, 2, "half"])
            self.settled(peer)
        self.good_calls()

    def test_a_worker_that_answers_wrongly_harms_only_the_calls_that_it_was_given(self):
        peer = self.session("worker", self.front)
        self.say(peer, [OFFER, [["mine", {}]]])
        self.say(peer, [WINDOW, 10, 1 << 20])
        caller = Caller(self.front)
        self.callers.append(caller)
        wait_until(lambda: "mine" in [one["name"] for one in self.ask(caller, "weir.services")], "it is offered")
        number = caller.start("mine", 1, sw=2)
        call = self.hear(peer, CALL)[0][2][0][0]
        self.say(peer, [PART, [[call, 3, 5, 1]]], b"12345")  # too early
        self.say(peer, [PART, [[call, 1, 9, 1]]], b"\x01\x02\x03\x04\x05\x06\x07\x08\x09")  # more than was asked for
        self.say(peer, [PART, [[call + 1, 1, 1, 1]]], b"\x01")
        self.say(peer, [REPLY, [[call, 9, 0, 2]]])  # nine calls, of which it has one
        self.say(peer, [REPLY, [[call, 1, 1, 0]]], b"\x07")  # and again
        self.assertEqual(caller.await_(number).code, 2)
        self.assertLessEqual(len(caller.parts[number]), 2)
        self.good_calls()

    def test_a_worker_may_not_offer_methods_of_weirs_own(self):
        peer = self.session("worker", self.front)
        self.say(peer, [OFFER, [["weir.ping", {}], ["weir.submit", {}]]])
        self.say(peer, [WINDOW, 1000, 1 << 20])
        caller = Caller(self.front)
        self.callers.append(caller)
        self.assertEqual(self.ask(caller, "weir.ping")["role"], "gateway")
        self.good_calls()

    # ---- Too much

    def test_more_calls_than_the_window_allows(self):
        for endpoint, node in self.bound.values():
            peer = self.session("client", endpoint)
            window = self.hear(peer, WINDOW)[0][1]
            body = b"\x91\xa1x" * 16_384
            for n in range(6):
                self.say(peer, [CALL, 0, [[1 + n * 16_384, 16_384, "echo", 60_000, 3]]], body)
            refused = 0
            while not refused:
                for first, count, _, code, *_ in self.hear(peer, REPLY)[0][1]:
                    refused += count if code == RESOURCE_EXHAUSTED else 0
            self.assertLess(window, 6 * 16_384)
            self.say(peer, [BYE, 0])
            self.settled(peer)
        self.good_calls()

    def test_a_flood_of_offers(self):
        peer = self.session("worker", self.front)
        for n in range(100):
            self.say(peer, [OFFER, [["m%d-%d" % (n, i), {"doc": "d" * 300}] for i in range(1024)]])
        self.settled(peer)
        self.good_calls()

    def test_a_flood_of_calls_to_methods_that_do_not_exist(self):
        chance = random.Random(SEED)
        for endpoint, _ in self.bound.values():
            peer = self.session("client", endpoint)
            for n in range(0, 3000, 100):
                runs = [[n + i + 1, 1, "%x" % chance.getrandbits(800), 50, 1] for i in range(100)]
                self.say(peer, [CALL, n, runs], b"\x90" * 100)
                answered = 0
                while answered < 100:
                    for first, count, _, code, *_ in self.hear(peer, REPLY)[0][1]:
                        self.assertIn(code, (NOT_FOUND, RESOURCE_EXHAUSTED, 4))
                        answered += count
            self.settled(peer)
        self.good_calls()

    def test_failures_do_not_pile_up_behind_a_caller_that_reads_nothing(self):
        peer = self.dealer(self.front, RCVHWM=1)
        self.say(peer, [HELLO, 1, "client", "hostile", os.urandom(8), {}])
        count, end = 16_384, 150 * 16_384
        for n in range(0, end, count):  # it has got all that came before, it says
            self.say(peer, [CALL, n, [[n + 1, count, "weir." + "no" * 100, 60_000, 1]]], b"\x90" * count)
        self.say(peer, [CALL, end, [[end + 1, 1, "echo", 60_000, 1]]], b"\x90")
        caller = Caller(self.front)
        self.callers.append(caller)
        wait_until(lambda: any(method["name"] == "echo" for method in self.ask(caller, "weir.stats")["methods"]),
                   "all its calls have been taken")
        self.good_calls()

    def test_callers_that_come_and_go_with_their_calls(self):
        for endpoint, _ in self.bound.values():
            for _ in range(100):
                peer = self.session("client", endpoint)
                self.say(peer, [CALL, 0, [[1, 100, "echo", 60_000, 3]]], b"\x91\xa1x" * 100)
                peer.close(linger=1000)
        self.good_calls()

    def ask(self, caller, method, *arguments):
        answer = caller.await_(caller.start(method, *arguments))
        self.assertEqual(answer.code, OK)
        return answer.result


if __name__ == "__main__":
    main()
