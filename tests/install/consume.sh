#!/usr/bin/env bash
# Builds and runs the consumer in one of the ways that weir can be used, from nothing.
#
#   consume.sh WAY SOURCE BUILD CXX       WAY: find_package, add_subdirectory, pkg_config, programs
#
# CXX is the compiler with which weir in BUILD was built. Exit status 0: it worked.
set -euo pipefail
way=$1 source=$2 build=$3 cxx=$4
here=$(cd "$(dirname "$0")" && pwd)
# Socket paths are short; $TMPDIR may not be.
work=$(mktemp -d /tmp/weir-install.XXXXXX)
trap 'rm -rf "$work"' EXIT
mkdir "$work/run"

install_weir() { cmake --install "$build" --prefix "$work/usr" >/dev/null; }
build_consumer() { # CMAKE-ARGUMENT...
  cmake -S "$here/consumer" -B "$work/build" -G Ninja -DCMAKE_CXX_COMPILER="$cxx" "$@" >/dev/null
  cmake --build "$work/build" --target consumer
  "$work/build/consumer" "$work/run"
}

case $way in
  find_package)
    install_weir
    build_consumer -DCMAKE_PREFIX_PATH="$work/usr"
    ;;
  add_subdirectory)
    # With the settings of BUILD, so that what is the same there need not be compiled again.
    same=()
    for setting in CMAKE_BUILD_TYPE CMAKE_CXX_FLAGS WEIR_UNITY; do
      same+=("-D$setting=$(sed -n "s/^$setting:[^=]*=//p" "$build/CMakeCache.txt")")
    done
    build_consumer -DWEIR_SOURCE="$source" "${same[@]}" \
      -DCMAKE_CXX_COMPILER_LAUNCHER="/usr/bin/env;python3;$here/reuse.py;$build"
    # weir is a part of the program here: installing the program installs nothing of weir's.
    cmake --install "$work/build" --prefix "$work/usr" >/dev/null
    [[ $(cd "$work/usr" && find . -type f) == ./bin/consumer ]] || {
      find "$work/usr" -type f
      exit 1
    }
    ;;
  pkg_config)
    install_weir
    pc=$(dirname "$(find "$work/usr" -name weir.pc)")
    export PKG_CONFIG_PATH=$pc
    read -ra cflags <<<"$(pkg-config --cflags weir)"
    read -ra libs <<<"$(pkg-config --libs weir)"
    "$cxx" -std=c++20 "${cflags[@]}" "$here/consumer/main.cpp" -o "$work/consumer" "${libs[@]}"
    LD_LIBRARY_PATH=$(dirname "$pc") "$work/consumer" "$work/run"
    ;;
  programs)
    install_weir
    for node in ventilator worker sink gateway; do
      "$work/usr/bin/weir-$node" --version
      grep -q "^\.SH OPTIONS" "$work"/usr/share/man/man1/weir-$node.1
    done
    ;;
  *) exit 64 ;;
esac
