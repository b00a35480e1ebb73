"""What comes out, in which order, and what is written down about it."""
from parity_case import ANY_ORDER, Result, case, lines, script

ALL_BYTES = bytes(range(256))

#: Shows a CSV or JSON file of --results without what differs from run to run.
CSV = ("python3 -c 'import csv,sys; print([[v for n, v in enumerate(r) if n not in (1, 2, 3)]"
       " for r in csv.reader(open(sys.argv[1], newline=\"\"), delimiter=sys.argv[2])])'")
JSON = ("python3 -c 'import json,sys\nfor line in open(sys.argv[1]): d = json.loads(line); "
        "print([(k, d[k]) for k in sorted(d) if k not in (\"Host\", \"Starttime\", \"JobRuntime\")])'")

ORDER = [
    case("stdout of a task is whole, then comes its stderr", "-k",
         "echo o{}; echo e{} >&2; echo p{}", ":::", "a", "b", out=b"oa\npa\nob\npb\n",
         err=b"ea\neb\n"),
    script("stdout of a task comes before its stderr", "tool -k 'echo e{} >&2; echo o{}' ::: a b 2>&1",
           out=b"oa\nea\nob\neb\n"),
    case("-k keeps the order with a slow first task", "-k", "-j2", "sleep {}; echo {}", ":::", "0.7",
         "0", "0.1", "0.2", out=b"0.7\n0\n0.1\n0.2\n"),
    case("--keep-order is -k", "--keep-order", "-j4", "sleep {}; echo {}", ":::", "0.3", "0.1", "0",
         out=b"0.3\n0.1\n0\n"),
    case("without -k whoever ends first is first", "-j2",
         "until [ {} = b -o -e b.out ]; do sleep 0.01; done; echo {} | tee {}.out", ":::", "a", "b",
         out=b"b\na\n", order=ANY_ORDER),
    case("-k with tasks that fail", "-k", "-j2", "echo {}; exit {}", ":::", "1", "0", "2", status=2,
         out=b"1\n0\n2\n"),
    case("-k with tasks that write nothing", "-k", "-j2", "[ {} = b ] || echo {}; true", ":::", *"abc",
         out=b"a\nc\n"),
    case("--line-buffer mixes whole lines", "--line-buffer", "-j2",
         "echo {}1; sleep 0.{}; echo {}2", ":::", "1", "5", out=b"11\n12\n51\n52\n",
         order=ANY_ORDER),
    case("--lb is --line-buffer", "--lb", "-j2", "printf 'a{}'; sleep 0.2; echo b{}", ":::", "1", "2",
         out=b"a1b1\na2b2\n", order=ANY_ORDER),
    case("--lb with -k", "--lb", "-k", "-j2", "echo {}1; sleep 0.{}; echo {}2", ":::", "5", "1",
         out=b"51\n52\n11\n12\n"),
    case("--lb: a last line without newline", "--lb", "-k", "-j1", "printf {}", ":::", "a", "b",
         out=b"ab"),
    script("--lb shows a line while its task runs",
           "tool --lb -j1 'echo {}; until [ -e seen ]; do sleep 0.01; done' ::: a | "
           "{ read line; echo $line >seen; }", left={"seen": b"a\n"}),
    case("-u hands output on as it comes", "-u", "-j1", "printf {}; echo {} >&2", ":::", "a", "b",
         out=b"ab", err=b"a\nb\n"),
    script("-u shows part of a line while its task runs",
           "tool -u -j1 'printf {}; until [ -e seen ]; do sleep 0.01; done' ::: a | "
           "{ head -c 1 >seen; cat >/dev/null; }", left={"seen": b"a"}),
    case("--group is the default", "--group", "-k", "echo {}", ":::", "a", out=b"a\n"),
    case("a last line without newline is not given one", "-k", "printf {}", ":::", "a", "b",
         out=b"ab"),
    case("NUL and all other bytes", "-k", "cat", ":::", "in", "in", files={"in": ALL_BYTES * 100},
         out=ALL_BYTES * 200),
    case("NUL and all other bytes with --lb", "--lb", "-k", "cat", ":::", "in",
         files={"in": ALL_BYTES * 100}, out=ALL_BYTES * 100),
    script("200 MB from two tasks", "tool -k -j2 'yes {} | head -c 104857600' ::: a b | cksum; "
           "{ yes a | head -c 104857600; yes b | head -c 104857600; } | cksum",
           out=b"3883995574 209715200\n" * 2),
    script("200 MB from one task, as lines", "tool --lb 'yes {} | head -c 209715200' ::: abc | cksum",
           out=b"387115331 209715200\n"),
    script("much on stderr and stdout at once",
           "tool 'yes {} | head -c 5000000; yes e{} | head -c 5000000 >&2' ::: a 2>err | cksum; "
           "cksum <err; rm err", out=b"3067379845 5000000\n283625053 5000000\n"),
    script("100 kB on one line", "tool --lb -j2 'head -c 100000 /dev/zero | tr \"\\0\" {}; echo' "
           "::: a b | sort | cksum", out=b"622617893 200002\n"),
    script("stdout that is closed", "tool 'echo {} >{}' ::: a >&-", left={"a": b"a\n"}),
    script("stderr that is closed", "tool 'echo {}' ::: a 2>&-", out=b"a\n"),
    script("a full disk under stdout", "tool -k echo ::: a b >/dev/full", status=0,
           differs=Result(status=255, err="[Nn]o space left"),
           because="results that could not be written are an error"),
    script("a reader that goes away ends the run",
           "{ tool -j1 'echo {}; echo {} >>ran' ::: $(seq 2000); } | head -n 1; "
           "[ $(wc -l <ran) -lt 2000 ] && echo early", out=b"1\nearly\n", varies=("ran",)),
]

TAG = [
    case("--tag puts the value before every line", "-k", "--tag", "echo {}; echo x; echo e >&2", ":::",
         "a", "b c", out=b"a\ta\na\tx\nb c\tb c\nb c\tx\n", err=b"a\te\nb c\te\n"),
    case("--tag with an empty line and one without newline", "-k", "--tag", "printf 'x\\n\\ny'; : {}",
         ":::", "a", out=b"a\tx\na\t\na\ty"),
    case("--tag with nothing to tag", "-k", "--tag", "true", ":::", "a", out=b""),
    case("--tag with two sources", "-k", "--tag", "echo", ":::", "a", ":::", "1", "2",
         out=b"a 1\ta 1\na 2\ta 2\n"),
    case("--tag with --lb", "-k", "--tag", "--lb", "echo {}; echo x", ":::", "a", "b",
         out=b"a\ta\na\tx\nb\tb\nb\tx\n"),
    case("--tagstring", "-k", "--tagstring", "{#}-{.}", "echo", ":::", "a.x", "b.y",
         out=b"1-a\ta.x\n2-b\tb.y\n"),
    case("--tagstring without a value in it", "-k", "--tagstring", "T", "echo", ":::", "a",
         out=b"T\ta\n"),
    case("-u does not tag", "-u", "-j1", "--tag", "echo", ":::", "a", out=b"a\n",
         differs=Result(status=255, out=b"", err="--tag"),
         because="what would have no effect is refused"),
]

RECORDS = [
    case("--joblog: what became of each task", "-j1", "--joblog", "log", "echo {}; exit {}", ":::", "0",
         "3", status=1, out=b"0\n3\n", log=((1, 0, 0, "echo 0; exit 0", 0, 2),
                                           (2, 3, 0, "echo 3; exit 3", 0, 2))),
    case("--joblog: every exit status", "-j1", "--joblog", "log", "exit {}", ":::", "1", "2", "126",
         "127", "128", "129", "137", "254", "255", status=9, log=tuple(
             (n + 1, s, 0, "exit %d" % s) for n, s in enumerate((1, 2, 126, 127, 128, 129, 137, 254,
                                                                 255)))),
    case("--joblog: commands of several words", "--joblog", "log", "echo", "x", "{}", ":::", "a",
         "b c", order=ANY_ORDER, out=b"x a\nx b c\n",
         log=((1, 0, 0, "echo x a", 0, 4), (2, 0, 0, "echo x 'b c'", 0, 6))),
    case("--joblog: what a task wrote is counted", "-j1", "--joblog", "log",
         "head -c {} /dev/zero; echo e >&2", ":::", "0", "1", "100000",
         log=((1, 0, 0, "head -c 0 /dev/zero; echo e >&2", 0, 0),
              (2, 0, 0, "head -c 1 /dev/zero; echo e >&2", 0, 1),
              (3, 0, 0, "head -c 100000 /dev/zero; echo e >&2", 0, 100000))),
    case("--jl is --joblog", "--jl", "log", "true", ":::", "a", log=((1, 0, 0, "true a"),)),
    case("--joblog begins anew", "--joblog", "log", "true", ":::", "a", files={"log": b"old\n"},
         log=((1, 0, 0, "true a"),)),
    script("--joblog with + appends", "tool --joblog log true ::: a; "
           "tool --joblog +log false ::: b", status=1,
           log=((1, 0, 0, "true a"), (1, 1, 0, "false b"))),
    script("--joblog with + makes a new file", "tool --joblog +log true ::: a; cut -f 1,7- log",
           varies=("log",), out=b"1\t0\t0\ttrue a\n",
           differs=Result(out=b"Seq\tExitval\tSignal\tCommand\n1\t0\t0\ttrue a\n"),
           because="every joblog says what its columns are"),
    case("--joblog where no file can be", "--joblog", "nowhere/log", "true", ":::", "a", status=255,
         err="nowhere/log"),
    script("--joblog: its header is there when the first task begins",
           "tool -j1 --joblog log 'wc -l <log; : {}' ::: a", out=b"1\n"),
    case("--results makes a folder", "-k", "--results", "r", "echo {}; echo e{} >&2", ":::", "a", "b",
         out=b"", err=b"",
         left={"r/1/a/stdout": b"a\n", "r/1/a/stderr": b"ea\n", "r/1/a/seq": b"1",
               "r/1/b/stdout": b"b\n", "r/1/b/stderr": b"eb\n", "r/1/b/seq": b"2"}),
    case("--results with two sources", "-k", "--results", "r", "echo", ":::", "a", ":::", "1", "2",
         out=b"", left={"r/1/a/2/1/stdout": b"a 1\n", "r/1/a/2/2/stdout": b"a 2\n"}),
    case("--results with values that are no names", "-k", "--results", "r", "printf %s", ":::", "", ".",
         "..", "a/b", "a\\b", out=b"", left={"r/1/a\\_b/stdout": b"a/b", "r/1/a\\\\b/stdout": b"a\\b"},
         differs=Result(left={
             **{"r/1/a\\_b/" + name: b for name, b in (("stdout", b"a/b"), ("stderr", b""), ("seq", b"4"))},
             **{"r/1/\\%s/%s" % (value or "e", name): b for n, value in enumerate(("", ".", ".."), 1)
                for name, b in (("stdout", value.encode()), ("stderr", b""), ("seq", b"%d" % n))},
             **{"r/1/" + name: None for name in ("stdout", "stderr", "seq")},
             **{"r/" + name: None for name in ("stdout", "stderr", "seq")}}),
         because="parallel writes some of these over each other, and others above the folder"),
    case("--results with names", "-k", "--header", ":", "--results", "r", "echo {x} {y}", ":::", "x",
         "a", ":::", "y", "1", out=b"", left={"r/x/a/y/1/stdout": b"a 1\n"}),
    script("--results as CSV", "tool -k --results r.csv 'echo {}; echo e >&2; exit {#}' ::: a 'b\"c'; "
           + CSV + " r.csv ,", varies=("r.csv",), out=None),
    script("--results as TSV", "tool -k --results r.tsv 'printf {}' ::: a b; " + CSV +
           " r.tsv '\t'", varies=("r.tsv",), out=None),
    script("--results as JSON", "tool -k --results r.json 'echo {}; echo e >&2; exit {#}' ::: a "
           "'b\"c'; " + JSON + " r.json", varies=("r.json",), out=None),
    case("--results keeps what failed", "-k", "--results", "r", "echo {}; exit 1", ":::", "a",
         status=1, out=b"", left={"r/1/a/stdout": b"a\n"}),
    case("--results with bytes that are not text", "--results", "r", "cat", ":::", "in",
         files={"in": ALL_BYTES}, out=b"", left={"r/1/in/stdout": ALL_BYTES}),
]

SHOWING = [
    script("--dry-run shows commands that a shell understands",
           "tool --dry-run -k printf '[%s]' {} ::: 'a b' \"it's\" '' '$x' '*' '\\' a | sh",
           out=b"[a b][it's][][$x][*][\\][a]"),
    case("--dry-run runs nothing", "--dry-run", "-k", "touch {}", ":::", "a", out=b"touch a\n",
         left={"a": None}),
    case("--dry-run of a shell's command line", "--dry-run", "-k", "echo {} | cat", ":::", "a", "b",
         out=b"echo a | cat\necho b | cat\n"),
    case("--dry-run with a product", "--dry-run", "-k", "cp", "{1}", "{2}", ":::", "a", "b", ":::", "c",
         out=b"cp a c\ncp b c\n"),
    case("--verbose says what it runs, on stderr", "--verbose", "-k", "echo", ":::", "a", out=b"a\n",
         err="echo a"),
    case("-t is --verbose", "-t", "-k", "echo", ":::", "a", out=b"a\n", err="echo a"),
    case("--bar leaves stdout alone", "--bar", "-k", "echo", ":::", "a", "b", out=b"a\nb\n"),
    case("--eta leaves stdout alone", "--eta", "-k", "echo", ":::", "a", "b", out=b"a\nb\n"),
    case("--progress leaves stdout alone", "--progress", "-k", "echo", ":::", "a", "b",
         out=b"a\nb\n"),
]

CASES = ORDER + TAG + RECORDS + SHOWING
