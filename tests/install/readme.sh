#!/usr/bin/env bash
# Does what the README shows: its shell pipeline, and its C++ worker. Only the addresses are other
# ones, so that tests can run side by side.
#
#   readme.sh sh|cpp SOURCE BUILD CXX
set -euo pipefail
language=$1 source=$2 build=$3 cxx=$4
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
export PATH=$build/nodes:$PATH LD_LIBRARY_PATH=$build/lib LC_ALL=C
export WEIR_VENTILATOR_BIND=ipc://$work/5557 WEIR_TASKS=ipc://$work/5557
export WEIR_SINK_BIND=ipc://$work/5558

# The first block of the language, with addresses in here.
awk -v begin="^\`\`\`$language\$" '$0 ~ begin { on = 1; next } /^```/ { if (on) exit } on' \
  "$source/README.md" | sed "s#tcp://127\.0\.0\.1:#ipc://$work/#" >"block.$language"
[[ -s block.$language ]] || {
  echo "README.md has no block of $language"
  exit 1
}

case $language in
  sh)
    # A tree of our own in place of /usr/share/doc, which may be empty.
    mkdir -p doc/a doc/b
    printf 'one two two\nthree three three\n' >doc/a/copyright
    printf 'three, two.' >doc/b/copyright
    sed -i "s#/usr/share/doc#$work/doc#" block.sh
    sh -eu block.sh >printed
    awk '{ print $1, $2 }' printed >got
    printf '4 three\n3 two\n1 one\n' >expected
    [[ ! -s failed.txt ]]
    ;;
  cpp)
    "$cxx" -std=c++20 -Wall -Wextra -Werror -I"$source/lib/include" block.cpp -o worker \
      -L"$build/lib" -lweir $(pkg-config --libs libzmq) -pthread
    ./worker &
    worker=$!
    printf 'one\ntwo\n' | weir-ventilator --keep-order --output-format lines >got
    wait "$worker"
    printf 'ONE\nTWO\n' >expected
    ;;
esac
diff expected got
