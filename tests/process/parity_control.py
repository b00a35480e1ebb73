"""How many at once, how often, for how long, until when; and what it all comes to."""
from parity_case import ANY_ORDER, Result, case, lines, script

#: A task that waits until N of its kind run, and one that fails if its slot is taken.
TOGETHER = "touch run.{}; until [ $(ls run.* | wc -l) -ge N ]; do sleep 0.01; done"
SLOT = "mkdir slot.{%} || exit 9; sleep 0.05; rmdir slot.{%}; echo {%} >>slots; : {}"

SLOTS = [
    script("-j3 runs three at once", "tool -j3 '%s' ::: 1 2 3 4; rm run.*"
           % TOGETHER.replace("N", "3")),
    script("-j3 runs no more, each in a slot of its own", "seq 12 | tool -j3 '%s' || exit; "
           "sort -u slots; rm slots" % SLOT, out=b"1\n2\n3\n"),
    script("-j1 is one after the other", "seq 4 | tool -j1 '%s' || exit; sort -u slots; rm slots"
           % SLOT, out=b"1\n"),
    script("-j0 runs all at once", "tool -j0 '%s' ::: 1 2 3 4 5 6 7 8; rm run.*"
           % TOGETHER.replace("N", "8")),
    script("-j100% runs one for each CPU", "seq $(nproc) | tool -j100%% '%s'; rm run.*"
           % TOGETHER.replace("N", "$(nproc)")),
    script("without -j it is the same", "seq $(nproc) | tool '%s'; rm run.*"
           % TOGETHER.replace("N", "$(nproc)")),
    script("-j200% runs two for each CPU", "seq $((2*$(nproc))) | tool -j200%% '%s'; rm run.*"
           % TOGETHER.replace("N", "$((2*$(nproc)))")),
    script("-j+1 runs one more", "seq $((1+$(nproc))) | tool -j+1 '%s'; rm run.*"
           % TOGETHER.replace("N", "$((1+$(nproc)))")),
    script("-j-1 runs one less", "seq $((3*$(nproc))) | tool -j-1 '%s' || exit; "
           "[ $(sort -u slots | wc -l) -le $(($(nproc)-1)) ]; echo $?; rm slots" % SLOT, out=b"0\n"),
    script("-j50% runs one for two CPUs", "seq $((2*$(nproc))) | tool -j50%% '%s' || exit; "
           "[ $(sort -u slots | wc -l) -le $((($(nproc)+1)/2)) ]; echo $?; rm slots" % SLOT,
           out=b"0\n"),
    case("-j less than there are is one", "-j", "-1000", "echo", ":::", "a", status=255, out=b"",
         differs=Result(status=0, out=b"a\n"), because="parallel's manual promises one"),
    case("--jobs is -j", "--jobs", "2", "-k", "echo", ":::", "a", "b", out=b"a\nb\n"),
    case("-P is -j", "-P2", "-k", "echo", ":::", "a", "b", out=b"a\nb\n"),
    case("--max-procs is -j", "--max-procs", "2", "-k", "echo", ":::", "a", "b", out=b"a\nb\n"),
    case("100 000 short tasks", "-k", "-j2", "echo", stdin=lines(*range(100000)),
         out=lines(*range(100000)), deadline=270.0,
         without_parallel="it takes more than four minutes"),
    case("1000 short tasks", "-k", "-j2", "echo", stdin=lines(*range(1000)),
         out=lines(*range(1000))),
]

STATUS = [
    case("no task is no failure", "false", stdin=b"", status=0),
    case("all well is 0", "true", ":::", *"abc", status=0),
    case("one failure is 1", "exit {}", ":::", "0", "7", "0", status=1),
    case("failures are counted, not their status", "exit {}", ":::", "255", "7", status=2),
    script("a hundred failures are 100", "seq 100 | tool -n1 false", status=100),
    script("more are 101", "seq 101 | tool -n1 false", status=101),
    script("many more are 101", "seq 300 | tool -n1 false", status=101),
]

HALT = [
    case("--halt never is the default", "--halt", "never", "-j1", "echo {}; exit {}", ":::", "1", "0",
         "3", status=2, out=b"1\n0\n3\n"),
    case("--halt now,fail=1 ends with the task's own status", "--halt", "now,fail=1", "-j1",
         "echo {}; exit {}", ":::", "0", "7", "5", status=7, out=b"0\n7\n"),
    case("--halt now,fail=1 with 255", "--halt", "now,fail=1", "-j1", "exit {}", ":::", "255", "0",
         status=255),
    case("--halt now,fail=1 with a task that was killed", "--halt", "now,fail=1", "-j1",
         "kill -9 $$; : {}", ":::", "a", "b", status=137),
    case("--halt now,fail=1 with a command that is not there", "--halt", "now,fail=1", "-j1",
         "no-such-command", ":::", "a", "b", status=127),
    case("--halt now,fail=1 with no failure", "--halt", "now,fail=1", "-k", "echo", ":::", "a", "b",
         out=b"a\nb\n"),
    script("--halt now,fail=1 kills who runs", "tool --halt now,fail=1 -j2 --joblog log "
           "'[ {} = a ] || { until [ -e a ]; do sleep 0.01; done; exit 3; }; touch a; sleep 60; "
           "touch over' ::: a b c", status=3, out=b"", left={"a": b"", "over": None},
           varies=("log",)),
    case("--halt now,fail=2 counts", "--halt", "now,fail=2", "-j1", "echo {}; exit {}", ":::", "1",
         "0", "5", "6", status=2, out=b"1\n0\n5\n"),
    case("--halt now,fail=50%", "--halt", "now,fail=50%", "-j1", "echo {}; exit {}", ":::", "1", "0",
         "3", "0", status=50, out=b"1\n0\n3\n"),
    script("--halt soon,fail=1 lets run who runs", "tool --halt soon,fail=1 -j2 "
           "'[ {} = a ] && { until [ -e b ]; do sleep 0.01; done; sleep 0.3; echo a; exit 0; }; "
           "touch b; echo {}; exit 4' ::: a b c", status=4, out=b"a\nb\n", order=ANY_ORDER),
    case("--halt soon,fail=2", "--halt", "soon,fail=2", "-j1", "echo {}; exit {}", ":::", "1", "0",
         "3", "0", status=2, out=b"1\n0\n3\n"),
    case("--halt soon,fail=50%", "--halt", "soon,fail=50%", "-j1", "echo {}; exit {}", ":::", "1", "1",
         "1", "1", status=50, out=b"1\n1\n"),
    case("--halt now,success=1 ends with 0", "--halt", "now,success=1", "-j1", "echo {}; exit {}",
         ":::", "1", "0", "1", status=0, out=b"1\n0\n"),
    case("--halt now,success=1: the first answer wins", "--halt", "now,success=1", "-j2",
         "sleep {}; echo {}", ":::", "60", "0", status=0, out=b"0\n"),
    case("--halt now,success=1 with no success", "--halt", "now,success=1", "-j2", "exit {}", ":::",
         "9", "7", status=2),
    case("--halt soon,success=2", "--halt", "soon,success=2", "-j1", "echo {}; exit {}", ":::", "1",
         "0", "0", "5", status=0, out=b"1\n0\n0\n"),
    case("--halt now,done=1", "--halt", "now,done=1", "-j1", "echo {}; exit {}", ":::", "0", "1",
         status=0, out=b"0\n"),
    case("--halt now,done=1 with a failure", "--halt", "now,done=1", "-j1", "echo {}; exit {}", ":::",
         "1", "0", status=1, out=b"1\n"),
    case("--halt soon,done=2", "--halt", "soon,done=2", "-j1", "echo {}; exit {}", ":::", "1", "0",
         "1", status=1, out=b"1\n0\n"),
    case("--halt 1 is soon,fail=1", "--halt", "1", "-j1", "echo {}; exit {}", ":::", "3", "0",
         status=3, out=b"3\n"),
    case("--halt 2 is now,fail=1", "--halt", "2", "-j1", "echo {}; exit {}", ":::", "3", "0",
         status=3, out=b"3\n"),
    case("--halt -1 is soon,success=1", "--halt", "-1", "-j1", "echo {}; exit {}", ":::", "3", "0",
         "0", status=0, out=b"3\n0\n"),
    case("--halt-on-error is --halt", "--halt-on-error", "now,fail=1", "-j1", "exit {}", ":::", "5",
         status=5),
    case("--halt with a word it does not know", "--halt", "bogus", "echo", ":::", "a", status=255,
         out=b"", err="halt"),
]

AGAIN = [
    case("--retries tries again what failed", "-j1", "--retries", "3", "--joblog", "log",
         "echo x >>{}.tries; [ $(wc -l <{}.tries) -ge 2 ]", ":::", "a", "b", status=0,
         left={"a.tries": b"x\nx\n", "b.tries": b"x\nx\n"},
         log=((1, 0, 0, "echo x >>a.tries; [ $(wc -l <a.tries) -ge 2 ]"),
              (2, 0, 0, "echo x >>b.tries; [ $(wc -l <b.tries) -ge 2 ]"))),
    case("--retries gives up after so many", "-j1", "--retries", "3", "--joblog", "log",
         "echo x >>tries; exit 4; : {}", ":::", "a", status=1, left={"tries": b"x\nx\nx\n"},
         log=((1, 4, 0, "echo x >>tries; exit 4; : a"),)),
    case("--retries: only the last attempt's output counts", "-j1", "--retries", "3",
         "echo {}; exit 1", ":::", "a", status=1, out=b"a\n"),
    case("--retries 0 never gives up", "-j1", "--retries", "0",
         "echo x >>tries; [ $(wc -l <tries) -ge 8 ] && : {}", ":::", "a", status=0,
         left={"tries": b"x\n" * 8}),
    case("--retries with a task that is killed", "-j1", "--retries", "2", "--joblog", "log",
         "echo x >>tries; kill -9 $$; : {}", ":::", "a", status=1, left={"tries": b"x\nx\n"},
         log=((1, 0, 9, "echo x >>tries; kill -9 $$; : a"),)),
    case("--retries and --halt: the last attempt is what counts", "-j1", "--retries", "2", "--halt",
         "now,fail=1", "echo {} >>tries; exit {}", ":::", "5", status=5,
         left={"tries": b"5\n5\n"}),
    case("--timeout ends a task, and says so in the joblog", "-j2", "--timeout", "1", "--joblog",
         "log", "echo {}; exec sleep {}", ":::", "0", "60", status=1,
         log=((1, 0, 0, "echo 0; exec sleep 0"), (2, -1, 15, "echo 60; exec sleep 60")),
         order=ANY_ORDER),
    case("--timeout ends what a task has started", "--timeout", "1", "sleep {}; : x", ":::", "60",
         status=1, out=b""),
    case("--timeout with a task that does not heed TERM", "--timeout", "1", "--joblog", "log",
         "trap '' TERM; sleep {}; sleep {}", ":::", "60", status=1,
         log=((1, -1, 9, "trap '' TERM; sleep 60; sleep 60"),)),
    case("--timeout in percent of the median", "-j1", "--timeout", "300%", "--joblog", "log",
         "exec sleep {}", ":::", "0.2", "0.2", "0.2", "60", "0.2", status=1, log=(
             (1, 0, 0, "exec sleep 0.2"), (2, 0, 0, "exec sleep 0.2"), (3, 0, 0, "exec sleep 0.2"),
             (4, -1, 15, "exec sleep 60"), (5, 0, 0, "exec sleep 0.2"))),
    case("--timeout and --retries", "-j1", "--timeout", "0.3", "--retries", "2",
         "echo x >>tries; exec sleep {}", ":::", "60", status=1, left={"tries": b"x\nx\n"}),
    case("--timeout with a unit", "--timeout", "1m", "echo", ":::", "a", out=b"a\n"),
    case("--term-seq chooses the signals", "--timeout", "1", "--term-seq", "INT,2000,KILL,25",
         "trap 'echo got INT; exit 4' INT; while :; do sleep 0.05; done; : {}", ":::", "a", status=1,
         out=b"got INT\n"),
    script("--delay is kept between starts", "tool -j4 --delay 0.3 --joblog log true ::: 1 2 3; "
           "tail -n +2 log | cut -f 3 | sort -n | "
           "awk 'NR>1 && $1-last < 0.28 {print \"early\"} {last=$1}'", out=b""),
    case("--delay with a unit", "--delay", "0.1s", "-k", "echo", ":::", "a", "b", out=b"a\nb\n"),
    script("--shuf runs all, in some order", "seq 200 | tool --shuf -j1 echo >got; sort -n got | cksum; "
           "seq 200 | cksum; seq 200 | cmp -s - got || echo shuffled",
           out=b"316596948 692\n" * 2 + b"shuffled\n", varies=("got",)),
    case("--nice makes tasks nicer", "--nice", "5", "nice; : {}", ":::", "a"),
    case("--memfree with enough of it", "--memfree", "1k", "echo", ":::", "a", out=b"a\n"),
]

COMMAND = "'echo {} >>ran; exit {}'"
RESUME = [
    script("--resume runs what is not in the joblog", "tool -j1 --joblog log %s ::: 0 1; "
           "tool -j1 --resume --joblog log %s ::: 0 1 2 3" % (COMMAND, COMMAND), status=2,
           left={"ran": b"0\n1\n2\n3\n"}, log=tuple(
               (n + 1, n, 0, "echo %d >>ran; exit %d" % (n, n)) for n in range(4))),
    script("--resume with nothing left", "tool -j1 --joblog log %s ::: 0 0; "
           "tool --resume --joblog log %s ::: 0 0" % (COMMAND, COMMAND), status=0,
           left={"ran": b"0\n0\n"}),
    script("--resume without a joblog yet", "tool -j1 --resume --joblog log %s ::: 0 0" % COMMAND,
           left={"ran": b"0\n0\n"}),
    script("--resume after a run that was killed", "tool -j1 --joblog log 'echo {} >>ran; "
           "[ {} != b ] || kill -9 $PARALLEL_PID' ::: a b c 2>err; rm err; "
           "tool -j1 --resume --joblog log 'echo {} >>ran; :' ::: a b c", varies=("log", "ran")),
    script("--resume-failed runs what failed, and the rest", "tool -j1 --joblog log %s ::: 0 1 2; "
           "rm ran; tool -j1 --resume-failed --joblog log %s ::: 0 1 2 3" % (COMMAND, COMMAND),
           status=3, left={"ran": b"1\n2\n3\n"}),
    script("--resume-failed runs what was killed", "c='echo {} >>ran; [ -e well ] || kill -{} $$'; "
           "tool -j1 --joblog log \"$c\" ::: 9 15 0; rm ran; touch well; "
           "tool -j1 --resume-failed --joblog log \"$c\" ::: 9 15 0", varies=("log",),
           left={"ran": b"9\n15\n"}),
    script("--retry-failed runs what failed, as the joblog has it", "tool -j1 --joblog log %s "
           "::: 0 1 2; rm ran; tool -j1 --retry-failed --joblog log" % COMMAND, status=2,
           left={"ran": b"1\n2\n"}),
    script("--retry-failed does not look at the command line", "tool -j1 --joblog log %s ::: 0 1; "
           "rm ran; tool -j1 --retry-failed --joblog log echo other" % COMMAND, status=1, out=b"",
           left={"ran": b"1\n"}),
    script("--retry-failed when all is well now", "tool -j1 --joblog log 'echo {} >>ran; [ -e ok ]' "
           "::: a b; touch ok; tool -j1 --retry-failed --joblog log; "
           "tool -j1 --retry-failed --joblog log", status=0, left={"ran": b"a\nb\na\nb\n"}),
    script("--resume with a list that has grown at its beginning",
           "tool -j1 --joblog log 'echo {} >>ran; :' ::: b c; rm ran; "
           "tool -j1 --resume --joblog log 'echo {} >>ran; :' ::: a b c", varies=("log", "ran"),
           left={"ran": b"c\n"}, differs=Result(left={"ran": b"a\n"}),
           because="what is resumed is known by its content: parallel would leave out a, and run c "
           "twice"),
    script("--resume with a list in another order",
           "tool -j1 --joblog log 'echo {} >>ran; :' ::: a b; rm ran; "
           "tool -j1 --resume --joblog log 'echo {} >>ran; :' ::: c b a", varies=("log", "ran"),
           left={"ran": b"a\n"}, differs=Result(left={"ran": b"c\n"}),
           because="what is resumed is known by its content: parallel would leave out c, and run a "
           "twice"),
    case("--resume without --joblog", "--resume", "echo", ":::", "a", status=255, out=b"",
         err="joblog"),
]

SIGNALS = [
    script("HUP: who runs may end, nobody starts", "tool -j1 'echo {}; touch began; "
           "until [ -e go ]; do sleep 0.01; done' ::: a b c & until [ -e began ]; do sleep 0.01; done; "
           "kill -HUP $!; sleep 0.3; touch go; wait $!", status=0, out=b"a\n"),
    script("TERM: who runs is killed", "tool -j1 'touch began; sleep 60; touch over; : {}' ::: a b & "
           "until [ -e began ]; do sleep 0.01; done; kill -TERM $!; wait $!; [ $? -ne 0 ] && echo ended",
           out=b"ended\n", left={"over": None}),
    # Again and again: parallel hears the signal before it has noted the task that it has started.
    script("USR1: says what is running", "tool -j1 'touch began; until [ -e go ]; do sleep 0.01; done; "
           ": {}' ::: mine 2>err & until [ -e began ]; do sleep 0.01; done; "
           "until grep -q mine err; do kill -USR1 $!; sleep 0.1; done; touch go; wait $!; echo $?",
           out=b"0\n", varies=("err",)),
]

CASES = SLOTS + STATUS + HALT + AGAIN + RESUME + SIGNALS
