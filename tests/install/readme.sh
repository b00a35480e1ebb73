#!/usr/bin/env bash
# Does what the README shows: its shell pipeline, its C++ worker, its calls, and its `weir run`. Only the addresses
# are other ones, so that tests can run side by side.
#
#   readme.sh sh|cpp|calls|run SOURCE BUILD CXX
set -euo pipefail
what=$1 source=$2 build=$3 cxx=$4
# Socket paths are short; $TMPDIR may not be.
work=$(mktemp -d /tmp/weir-readme.XXXXXX)
clean_up() {
  local pids
  mapfile -t pids < <(jobs -p)
  ((${#pids[@]} == 0)) || kill -KILL "${pids[@]}" 2>/dev/null || true
  rm -rf "$work"
}
trap clean_up EXIT
cd "$work"
export PATH=$build/nodes:$build/cli:$PATH LD_LIBRARY_PATH=$build/lib LC_ALL=C
export WEIR_VENTILATOR_BIND=ipc://$work/5557 WEIR_TASKS=ipc://$work/5557
export WEIR_SINK_BIND=ipc://$work/5558 WEIR_GATEWAY_BIND=ipc://$work/5555

# block LANGUAGE NUMBER: that block of the README, with addresses in here.
block() {
  awk -v begin="^\`\`\`$1\$" -v number="$2" '
    $0 ~ begin { on = ++seen == number; next } /^```/ { on = 0 } on' "$source/README.md" |
    sed "s#tcp://127\.0\.0\.1:#ipc://$work/#g" >"block$2.$1"
  [[ -s block$2.$1 ]] || {
    echo "README.md has no block $2 of $1"
    exit 1
  }
}
compile() { # SOURCE PROGRAM
  "$cxx" -std=c++20 -Wall -Wextra -Werror -I"$source/lib/include" "$1" -o "$2" \
    -L"$build/lib" -lweir $(pkg-config --libs libzmq sqlite3) -pthread
}

case $what in
  sh)
    # A tree of our own in place of /usr/share/doc, which may be empty.
    mkdir -p doc/a doc/b
    printf 'one two two\nthree three three\n' >doc/a/copyright
    printf 'three, two.' >doc/b/copyright
    block sh 1
    sed -i "s#/usr/share/doc#$work/doc#" block1.sh
    sh -eu block1.sh >printed
    awk '{ print $1, $2 }' printed >got
    printf '4 three\n3 two\n1 one\n' >expected
    [[ ! -s failed.txt ]]
    ;;
  cpp)
    block cpp 1
    compile block1.cpp worker
    ./worker &
    worker=$!
    printf 'one\ntwo\n' | weir-ventilator --keep-order --output-format lines >got
    wait "$worker"
    printf 'ONE\nTWO\n' >expected
    ;;
  calls)
    block sh 3
    # What the block starts in the background ends with it. A user would look whether the worker
    # is there before calling it.
    awk '/^weir services/ { print "until weir services " $3 " --names | grep -q greet; do sleep 0.05; done" }
         { print } END { print "kill $(jobs -p); wait" }' block3.sh >calls.sh
    sed -i 's/^weir services/& -q/; s/^ls /printf "one\\ntwo\\n" /' calls.sh
    bash -u calls.sh >printed
    grep -v -e METHOD -e '(.*) ->' printed >got
    {
      echo 'hello world'
      for word in one two; do printf %s "$word" | sha256sum; done
    } >expected
    diff expected got
    block cpp 2
    block cpp 3
    compile block2.cpp worker
    compile block3.cpp client
    weir-gateway -q &
    ./worker &
    until weir services "$WEIR_GATEWAY_BIND" --names | grep -q add; do sleep 0.05; done
    ./client >got
    echo 3 >expected
    ;;
  run)
    block sh 2
    # What the recipes name and a machine may not have. Each says what it was asked to do.
    mkdir bin
    stub() { printf '#!/bin/sh\n%s\n' "$2" >"$1" && chmod +x "$1"; }
    stub bin/ffmpeg 'cp "$2" "$3"'
    stub bin/curl 'echo "$2" >>tries; [ "$(grep -cF "$2" tries)" = 3 ] && echo "$2" >>fetched'
    stub bin/wget 'case $2 in *//a/*) exec sleep 1000 ;; *) echo "from $2" ;; esac'
    stub bin/make 'echo "made $2"'
    stub step 'echo "step $1"; [ ! -e "broken $1" ]'
    stub check 'grep -q ok "$1" || exit 3'
    export PATH=$work/bin:$PATH
    touch 'a song.flac' b.flac
    printf 'error\nerror\nwarning\n' >x.log
    printf 'error\nwarning\n' >y.log
    printf 'http://one\nhttp://two\n' >urls
    printf 'first\nsecond one\nthird\n' >list
    printf ok >good.conf
    printf bad >bad.conf
    seq 100000 | sed 's,.*,a line,' >huge.txt
    mkdir sub
    # What depends on how much else the machine does, and an address in here.
    sed -i 's/--memfree 2G --load 100%/--memfree 1M --load 1000000/
            s#tcp://0.0.0.0:5557#ipc://run#' block2.sh
    recipe() { # NUMBER: exit status and standard output of that line
      local status=0
      sed -n "$1p" block2.sh >recipe.sh
      sh -u recipe.sh || status=$?
      echo "$1: $status"
    }
    [[ $(wc -l <block2.sh) == 10 ]]
    {
      recipe 1
      ls -- *.mp3
      recipe 2
      recipe 3
      sort fetched
      touch 'broken second one'
      recipe 4 | sort
      rm 'broken second one'
      recipe 4
      recipe 5
      recipe 6
      (cd sub && ln -s ../block2.sh . && printf 12345 >five && recipe 7 && cut -d, -f10,11 out.csv | grep -o 'five.*')
      recipe 8
      recipe 9 | sort
      recipe 10 | sort
    } >got
    cat >expected <<'END'
1: 0
a song.mp3
b.mp3
error x.log	2
error y.log	1
warning x.log	1
warning y.log	1
2: 0
3: 0
http://one
http://two
4: 1
step first
step second one
step third
step second one
4: 0
5: 3
from https://b/file
6: 0
7: 0
five,"5
 100000 a line
8: 0
9: 0
made bin/
made sub/
10: 0
step first
step second one
step third
END
    ;;
esac
diff expected got
