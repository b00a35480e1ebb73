"""How the figures of calls are taken: plain libzmq, and weir by way of tests/bench/weir_rpc.cpp."""

from .programs import Failed, endpoint

MIB_IN_KIB = 1024


def raw(bench, mode, calls, size=64, in_flight=1, pack=1):
    argv = [bench.tools.path("raw_rpc"), "--mode", mode, "--calls", calls, "--size", size,
            "--in-flight", in_flight, "--pack", pack, "--deadline", bench.deadline]
    return bench.one_program("raw_rpc", argv)


def grpc(bench, calls, size=64, in_flight=1):
    argv = [bench.tools.path("grpc_rpc"), "--calls", calls, "--size", size,
            "--in-flight", in_flight, "--deadline", bench.deadline]
    return bench.one_program("grpc_rpc", argv)


class Calls:
    """A client and servers, with a gateway between them or without."""

    def __init__(self, bench, run, route, client, slots=1, handler=()):
        program = bench.tools.path("weir_rpc")
        front = endpoint()
        servers = 2
        if route == "direct":
            servers, where = 1, [["--bind", front]]
        else:
            self.gateway = run.start(
                "gateway", [bench.tools.path("weir-gateway"), "--bind", front])
            direct = [["--bind", own, "--direct", own] for own in (endpoint(), endpoint())]
            where = [["--from", front, *(direct[i] if route == "introduced" else [])]
                     for i in range(servers)]
        self.servers = [
            run.start(f"server-{i}", [program, "server", "--slots", slots, *where[i], *handler])
            for i in range(servers)
        ]
        introduce = ["--introduce"] if route == "introduced" else []
        self.client = run.start(
            "client",
            [program, "client", "--connect", front, "--servers", servers, *introduce, *client])

    def wait(self, run, watch=None):
        """The client ends by itself; the others serve until they are told to stop."""
        def ended():
            if watch:
                watch()
            return not self.client.poll()

        run.wait_for(ended, "the client")
        if self.client.status != 0:
            raise Failed(self.client.complaint())
        return self.client.figure()


def weir(bench, route, calls, size=64, in_flight=1, batch=1, slots=1, slow=0):
    with bench.run() as run:
        options = ["--calls", calls, "--size", size, "--in-flight", in_flight, "--batch", batch,
                   "--slow-per-mille", slow]
        figure = Calls(bench, run, route, options, slots=slots).wait(run)
        if figure.get("calls") != calls or figure.get("errors") != 0:
            raise Failed(f"not every call was answered: {figure}")
        return figure


def queued_memory(bench, calls):
    """What the gateway holds while all its workers are busy and `calls` calls wait."""
    with bench.run() as run:
        options = ["--calls", calls, "--size", 64, "--in-flight", calls, "--pile-up"]
        nodes = Calls(bench, run, "gateway", options)
        nodes.wait(run, watch=nodes.gateway.sample_memory)
        return {"mib": nodes.gateway.peak_kib / MIB_IN_KIB}


def flat_memory(bench, calls):
    """The gateway's memory after all calls, relative to that after a hundredth of them."""
    peaks = []
    for some in (calls // 100, calls):
        with bench.run() as run:
            options = ["--calls", some, "--size", 64, "--in-flight", 1000]
            nodes = Calls(bench, run, "gateway", options)
            nodes.wait(run, watch=nodes.gateway.sample_memory)
            peaks.append(nodes.gateway.peak_kib / MIB_IN_KIB)
    return {"growth": peaks[1] / peaks[0], "mib": peaks}
