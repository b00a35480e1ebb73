"""The Python sink behind weir-worker and weir-ventilator."""

import os
import unittest

import msgpack

from harness import PIPE, InteropCase, gated, numbers


class PythonSink(InteropCase):
    def coproc(self, *options):
        return self.weir_worker("cat", options=("--coproc", *options))

    def test_every_result_is_recorded_once(self):
        stdin, lines = numbers(5000)
        sink = self.python_sink()
        worker = self.coproc()
        ventilator = self.weir_ventilator("--sink", self.results, stdin=stdin)
        self.assert_ends(ventilator, worker, sink)
        self.assertEqual([payload for _, payload, _ in map(self.records().get, range(1, 5001))], lines)

    def test_no_tasks_at_all_end_well(self):
        sink = self.python_sink()
        self.assert_ends(self.weir_ventilator("--sink", self.results), sink)
        self.assertEqual(self.records(), {})

    def test_two_ventilators_are_served_and_it_ends_after_the_last(self):
        stdin, lines = numbers(300)
        sink = self.python_sink()
        other = self.endpoint("t2")
        ventilators = [self.weir_ventilator("--sink", self.results, stdin=PIPE),
                       self.weir_ventilator("--sink", self.results, stdin=PIPE, bind=other)]
        worker = self.weir_worker("cat", options=("--coproc", "--from", other))
        for ventilator in ventilators:
            self.wait_for_workers(ventilator, 2)
        for ventilator in ventilators:
            ventilator.feed(stdin)
        self.assert_ends(*ventilators, worker, sink)
        with open(self.path("records"), "rb") as file:
            records = [(source, payload) for source, _, _, payload, _ in msgpack.Unpacker(file)]
        self.assertEqual(len(set(records)), 600)
        self.assertEqual(sorted(payload for _, payload in records), sorted(lines * 2))

    def test_binary_empty_and_large_payloads_arrive_unchanged(self):
        payloads = [b"", b"\0", bytes(range(256)), b"\n\r\n", os.urandom(1 << 20), os.urandom(16 << 20)]
        sink = self.python_sink()
        worker = self.weir_worker("cat", options=("--stdin",))
        ventilator = self.weir_ventilator("--sink", self.results, "--format", "msgpack",
                                          stdin=b"".join(msgpack.packb(payload) for payload in payloads))
        self.assert_ends(ventilator, worker, sink)
        records = self.records()
        self.assertEqual([records[seq + 1][1] for seq in range(len(payloads))], payloads)

    def test_what_fails_for_good_is_recorded_with_its_code_and_details(self):
        sink = self.python_sink()
        worker = self.weir_worker('echo partial; echo "why" >&2; kill -USR1 $$', options=("--shell",))
        ventilator = self.weir_ventilator("--sink", self.results, "--retry-delay", "10ms", stdin=b"one\ntwo\n")
        self.assert_ends(ventilator, sink, status=1)
        self.assert_ends(worker)
        for code, payload, details in self.records().values():
            self.assertEqual((payload, details["err"], details["sig"]), (b"partial\n", b"why\n", 10))
            self.assertNotEqual(code, 0)

    def test_killed_and_started_again_on_its_file_it_records_everything_exactly_once(self):
        stdin, lines = numbers(20_000)
        worker = self.coproc()
        ventilator = self.weir_ventilator("--sink", self.results, "--max-attempts", "1", stdin=PIPE)
        for part in range(4):
            sink = self.python_sink()
            before = os.path.getsize(self.path("records")) if part else 0
            ventilator.write(b"".join(line + b"\n" for line in lines[part * 5000:(part + 1) * 5000]))
            self.wait_until(lambda: os.path.exists(self.path("records")) and
                            os.path.getsize(self.path("records")) > before, "the sink has written something")
            if part < 3:
                sink.kill()
        ventilator.feed()
        self.assert_ends(ventilator, worker, sink)
        self.assertEqual([payload for _, payload, _ in map(self.records().get, range(1, 20_001))], lines)

    def test_a_record_that_was_half_written_when_it_was_killed_is_written_again(self):
        stdin, lines = numbers(10)
        with open(self.path("records"), "wb") as file:
            file.write(msgpack.packb([b"s" * 16, 1, 0, b"of an earlier source", {}])[:-4])
        sink = self.python_sink()
        worker = self.coproc()
        ventilator = self.weir_ventilator("--sink", self.results, stdin=stdin)
        self.assert_ends(ventilator, worker, sink)
        self.assertEqual(len(self.records()), 10)

    def test_a_worker_killed_with_results_on_their_way_loses_and_doubles_nothing(self):
        stdin, lines = numbers(40)
        sink = self.python_sink()
        victim = self.weir_worker(*gated("victim"), options=("-j", "2"))
        ventilator = self.weir_ventilator("--sink", self.results, stdin=PIPE)
        ventilator.write(stdin)
        self.wait_until(lambda: len(self.begun("victim")) == 2, "the worker began two tasks")
        self.open_gate()
        victim.kill()
        worker = self.weir_worker(*gated("other"), options=("-j", "2"))
        self.wait_for_workers(ventilator, 3)  # with the sink
        ventilator.feed()
        self.assert_ends(ventilator, worker, sink)
        self.assertEqual(sorted(payload for _, payload, _ in self.records().values()),
                         sorted(line + b"\n" for line in lines))

    def test_cut_connections_lose_nothing_and_double_nothing(self):
        _, lines = numbers(5000)
        proxy, results = self.proxy("r")
        sink = self.python_sink()
        worker = self.coproc()
        ventilator = self.weir_ventilator("--sink", results, "--max-attempts", "20", stdin=PIPE)
        self.feed_and_cut(ventilator, lines, [proxy])
        self.assert_ends(ventilator, worker, sink)
        self.assertEqual([payload for _, payload, _ in map(self.records().get, range(1, 5001))], lines)


if __name__ == "__main__":
    unittest.main()
