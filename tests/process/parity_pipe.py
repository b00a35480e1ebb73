"""--pipe: the input cut into blocks, each the stdin of a task."""
from parity_case import ANY_ORDER, Result, case, lines, script

TEN = lines(*range(1, 11))
SHOW = "echo; cat"

RECORDS = [
    case("-N lines are a block", "--pipe", "-N3", "-k", SHOW, stdin=TEN,
         out=b"\n1\n2\n3\n\n4\n5\n6\n\n7\n8\n9\n\n10\n"),
    case("--spreadstdin is --pipe", "--spreadstdin", "-N5", "-k", SHOW, stdin=TEN,
         out=b"\n1\n2\n3\n4\n5\n\n6\n7\n8\n9\n10\n"),
    case("a last line without newline is a record", "--pipe", "-N1", "-k", SHOW, stdin=b"a\nb",
         out=b"\na\n\nb"),
    case("little input is one block", "--pipe", "-k", SHOW, stdin=TEN, out=b"\n" + TEN),
    case("no input is no task", "--pipe", SHOW, stdin=b"", out=b""),
    case("--block cuts between records", "--pipe", "--block", "8", "-k", SHOW, stdin=TEN,
         out=b"\n1\n2\n3\n4\n\n5\n6\n7\n8\n\n9\n10\n"),
    case("--recend sets what ends a record", "--pipe", "--recend", ";", "-N2", "-k", SHOW,
         stdin=b"a;b;c;d", out=b"\na;b;\nc;d"),
    case("--recend understands an escape", "--pipe", "--recend", r"\0", "-N2", "-k", SHOW,
         stdin=b"a\0b\0c\0", out=b"\na\0b\0\nc\0"),
    case("--recend of several characters", "--pipe", "--recend", "--\\n", "-N1", "-k", SHOW,
         stdin=b"a\n--\nb\n--\n", out=b"\na\n--\n\nb\n--\n"),
    case("--recend with nothing cuts anywhere", "--pipe", "--recend", "", "--block", "4", "-k", SHOW,
         stdin=b"abcdefghij", out=b"\nabcd\nefgh\nij"),
    case("--recstart sets what begins a record", "--pipe", "--recstart", ">", "-N1", "-k", SHOW,
         stdin=b">a\nb\n>c\n>d\n", out=b"\n>a\nb\n\n>c\n\n>d\n"),
    case("--header : comes before every block", "--pipe", "--header", ":", "-N2", "-k", SHOW,
         stdin=b"h\n1\n2\n3\n", out=b"\nh\n1\n2\n\nh\n3\n"),
    case("a record longer than the block", "--pipe", "--block", "10", "-k", "wc -c",
         stdin=b"x" * 1000 + b"\n", out=b"1001\n"),
    case("--recend with nothing, and so many bytes", "--pipe", "--recend", "", "-N2", "-k", "-j1", SHOW, stdin=b"abcde",
         out=b"\nab\ncd\ne"),
    case("bytes that are not text", "--pipe", "--recend", "", "--block", "1000", "-k", "cat",
         stdin=bytes(range(256)) * 40, out=bytes(range(256)) * 40),
]

RUNNING = [
    case("several words without a shell", "--pipe", "-N5", "-k", "wc", "-l", stdin=TEN,
         out=b"5\n5\n"),
    case("{#} is the number of the block", "--pipe", "-N5", "-k", "cat >{#}.part", stdin=TEN, out=b"",
         left={"1.part": lines(1, 2, 3, 4, 5), "2.part": lines(6, 7, 8, 9, 10)}),
    case("a task that reads nothing", "--pipe", "-N1", "-k", "exec <&-; echo x", stdin=b"a\nb\n",
         out=b"x\nx\n", without_parallel="it calls that a failure now and then"),
    case("failures are counted", "--pipe", "-N1", "exit 3", stdin=b"a\nb\n", status=2),
    case("--joblog counts what goes in and out", "--pipe", "-N2", "-j1", "--joblog", "log",
         "cat; echo", stdin=b"aa\nb\nc\n", out=b"aa\nb\n\nc\n\n",
         log=((1, 0, 0, "cat; echo", 5, 6), (2, 0, 0, "cat; echo", 2, 3))),
    case("--halt now,fail=1", "--pipe", "-N1", "-j1", "--halt", "now,fail=1", "cat; exit 3",
         stdin=b"a\nb\n", status=3, out=b"a\n"),
    script("--retries gives a block again",
           "printf 'a\\nb\\n' | tool --pipe -N1 -j1 --retries 2 'cat >>got; exit 1'; echo $?; "
           "sort got; rm got", out=b"2\na\na\nb\nb\n"),
    case("--tagstring", "--pipe", "-N1", "-k", "--tagstring", "{#}", "cat", stdin=b"a\nb\n",
         out=b"1\ta\n2\tb\n"),
    script("all slots together give back all", "seq 200000 | tool --pipe -j2 --block 100k -k cat | "
           "cksum; seq 200000 | cksum", out=b"3581800518 1288895\n" * 2),
    script("100 MB of lines", "yes 0123456789 | head -c 100000000 | tool --pipe --block 10M wc -c | "
           "awk '{s+=$1} END {print s}'", out=b"100000000\n"),
    script("--round-robin starts one command for each slot",
           # Neither reads before the other one is there.
           "seq 1000 | tool --pipe --round-robin -j2 --block 1k 'touch {#}.part; "
           "until [ -e 1.part ] && [ -e 2.part ]; do sleep 0.01; done; cat >{#}.part; echo x' | "
           "wc -l; sort -n *.part | cksum; seq 1000 | cksum; rm *.part",
           out=b"2\n" + b"1830648734 3893\n" * 2),
    script("--round is --round-robin", "seq 1000 | tool --pipe --round -j2 --block 1k 'wc -l' | "
           "awk '{s+=$1} END {print s}'", out=b"1000\n"),
    script("--pipe begins before its input ends",
           "{ echo a; until [ -e a.done ]; do sleep 0.01; done; echo b; } | "
           "tool --pipe -N1 -j1 'read x; touch $x.done; echo $x'", out=b"a\nb\n",
           left={"a.done": b"", "b.done": b""},
           without_parallel="it waits until a block is full or the input ends"),
    script("--pipe with an endless input ends with --halt",
           "yes | tool --pipe -N1 -j1 --halt now,done=3 cat", out=b"y\ny\ny\n", status=101,
           differs=Result(status=0), because="none failed: parallel counts what it did not start"),
]

CASES = RECORDS + RUNNING
