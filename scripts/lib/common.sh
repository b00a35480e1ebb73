# What the scripts in this directory share. Source it from bash, with `name` set to the script's.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
export LC_ALL=C

say() { printf '%s: %s\n' "$name" "$*"; }
fail() { # EXIT-CODE TEXT...
  local code=$1
  shift
  printf '%s: %s\n' "$name" "$*" >&2
  exit "$code"
}

# packages GROUP...: the names in scripts/packages
packages() {
  local group pattern=''
  for group in "$@"; do pattern+="${pattern:+|}$group"; done
  sed -nE "s/^($pattern) +([^ ]+) *\$/\\2/p" "$root/scripts/packages"
}

# need_packages GROUP...: installs what is missing, or ends with 69 and the command that would.
need_packages() {
  local wanted missing=() package
  mapfile -t wanted < <(packages "$@")
  command -v dpkg-query >/dev/null ||
    fail 69 "no dpkg here; on another system than Debian, install what scripts/packages names" \
      "and build with cmake (README, \"Building\")"
  for package in "${wanted[@]}"; do
    [[ $(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null) == installed ]] ||
      missing+=("$package")
  done
  ((${#missing[@]} > 0)) || return 0
  local as_root=()
  if ((EUID != 0)); then
    if command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
      as_root=(sudo -n)
    else
      fail 69 "packages are missing, and installing them takes root:" \
        "apt-get install --no-install-recommends ${missing[*]}"
    fi
  fi
  say "installing ${missing[*]}"
  # As arguments of env: sudo drops the environment.
  local apt=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q -y)
  { "${apt[@]}" update && "${apt[@]}" install --no-install-recommends "${missing[@]}"; } \
    >"${TMPDIR:-/tmp}/weir-apt.$$" 2>&1 || {
    cat "${TMPDIR:-/tmp}/weir-apt.$$" >&2
    rm -f "${TMPDIR:-/tmp}/weir-apt.$$"
    fail 69 "these packages cannot be installed: ${missing[*]}"
  }
  rm -f "${TMPDIR:-/tmp}/weir-apt.$$"
}

# Refuses early what would end as a long message of CMake's.
need_build_folder() { # FOLDER
  [[ ! -e $1/CMakeCache.txt || -w $1/CMakeCache.txt ]] && [[ ! -e $1 || -w $1 ]] ||
    fail 73 "$1 belongs to another user: remove it, or set WEIR_BUILD to a folder of your own"
  [[ -e $1 ]] || mkdir -p "$1" 2>/dev/null ||
    fail 73 "cannot create $1: set WEIR_BUILD to a folder of your own"
}
