"""The table of issue 3, point 9: what is measured, with what it is compared, and the bar."""

from functools import partial

from . import rpc_measurements as m
from .table import Measurement, Row

RATE, MEDIAN, P99 = "calls_per_second", "median_us", "p99_us"
SIZES = {"64 B": 64, "1 KiB": 1024}


def measurements(quick):
    n = 20 if quick else 1
    # Each figure is taken for half a second to two, which is long beside what it takes to get going.
    one, some, many = 10_000 // n, 300_000 // n, 800_000 // n
    taken = []

    def measure(name, take, *args, once=False, **options):
        taken.append(Measurement(name, partial(take, *args, **options), once=once))

    for text, size in SIZES.items():
        part = 1 if size == 64 else 2
        # Of what is compared, raw and weir take turns, so that a noisy minute hurts both.
        measure(f"raw direct, {text}", m.raw, mode="direct", calls=one, size=size)
        measure(f"weir direct, {text}", m.weir, route="direct", calls=one, size=size)
        measure(f"gRPC, {text}", m.grpc, calls=one, size=size)
        measure(f"raw proxy, {text}", m.raw, mode="proxy", calls=one, size=size)
        measure(f"weir gateway, {text}", m.weir, route="gateway", calls=one, size=size)
        measure(f"weir introduced, {text}", m.weir, route="introduced", calls=one, size=size)
        for flying, calls in ((100, some // part), (1000, many // part)):
            measure(f"raw proxy x{flying}, {text}", m.raw, mode="proxy", calls=calls,
                    size=size, in_flight=flying)
            measure(f"weir gateway x{flying}, {text}", m.weir, route="gateway", calls=calls,
                    size=size, in_flight=flying)
        measure(f"raw direct x1000, {text}", m.raw, mode="direct", calls=many // part,
                size=size, in_flight=1000)
        measure(f"weir direct x1000, {text}", m.weir, route="direct", calls=2 * many // part,
                size=size, in_flight=1000)
        measure(f"gRPC x1000, {text}", m.grpc, calls=many // 20, size=size, in_flight=1000)
        measure(f"weir batch, {text}", m.weir, route="direct", calls=4 * many // part,
                size=size, in_flight=1024, batch=64)
    # 16 slots: a call of 20 ms must not be alone with the others on few threads.
    measure("all fast", m.weir, route="gateway", calls=one, in_flight=4, slots=16)
    measure("1 % slow", m.weir, route="gateway", calls=one, in_flight=4, slots=16, slow=10)
    measure("queued memory", m.queued_memory, calls=100_000, once=True)
    measure("flat memory", m.flat_memory, calls=10_000_000 // n, once=True)
    return taken


def rows_for(text):
    return [
        Row(f"direct, median, {text}", "us", f"weir direct, {text}", MEDIAN,
            f"raw direct, {text}", at_most=1.15),
        Row(f"direct, p99, {text}", "us", f"weir direct, {text}", P99, f"raw direct, {text}",
            at_most=1.5),
        Row(f"gateway, median, {text}", "us", f"weir gateway, {text}", MEDIAN,
            f"raw proxy, {text}", at_most=1.15),
        Row(f"gateway, p99, {text}", "us", f"weir gateway, {text}", P99, f"raw proxy, {text}"),
        Row(f"introduced / direct, median, {text}", "us", f"weir introduced, {text}", MEDIAN,
            f"weir direct, {text}", at_most=1.15),
        Row(f"gateway, 100 in flight, {text}", "calls/s", f"weir gateway x100, {text}", RATE,
            f"raw proxy x100, {text}", at_least=1.5),
        Row(f"gateway, 1000 in flight, {text}", "calls/s", f"weir gateway x1000, {text}", RATE,
            f"raw proxy x1000, {text}", at_least=2.0),
        Row(f"gateway, 1000 in flight, p99, {text}", "us", f"weir gateway x1000, {text}", P99,
            f"raw proxy x1000, {text}", at_most=1.0),
        Row(f"direct, 1000 in flight, {text}", "calls/s", f"weir direct x1000, {text}", RATE,
            f"raw direct x1000, {text}", at_least=1.0),
        Row(f"direct / gRPC C++, median, {text}", "us", f"weir direct, {text}", MEDIAN,
            f"gRPC, {text}", needs="grpc_rpc"),
        Row(f"direct / gRPC C++, p99, {text}", "us", f"weir direct, {text}", P99,
            f"gRPC, {text}", needs="grpc_rpc"),
        Row(f"introduced / gRPC C++, median, {text}", "us", f"weir introduced, {text}", MEDIAN,
            f"gRPC, {text}", needs="grpc_rpc"),
        Row(f"direct / gRPC C++, 1000 in flight, {text}", "calls/s",
            f"weir direct x1000, {text}", RATE, f"gRPC x1000, {text}", needs="grpc_rpc"),
        Row(f"batches of 64, {text}", "calls/s", f"weir batch, {text}", RATE,
            at_least=3e6 if text == "64 B" else None),
    ]


ROWS = [
    *(row for text in SIZES for row in rows_for(text)),
    Row("1 % of calls take 20 ms, median of the others", "us", "1 % slow", MEDIAN, "all fast",
        at_most=1.5),
    Row("1 % of calls take 20 ms, p99 of the others", "us", "1 % slow", P99, "all fast",
        at_most=1.5),
    Row("gateway with 100 000 calls queued", "MiB", "queued memory", "mib", at_most=64),
    Row("gateway memory, growth over 10 M calls", "x", "flat memory", "growth", at_most=1.25),
]
