# shellcheck shell=bash
# Sourced by the scripts here: where foreign programs for the tests are kept, and how they get there.
cache=${XDG_CACHE_HOME:-$HOME/.cache}/switchboard-tests
mkdir -p "$cache"

# need PROGRAM PACKAGE...: installs the packages unless the program is there.
need() {
  command -v "$1" >/dev/null || get "$@"
}

# Python with the means to make virtual environments, which Debian packages apart.
need_python() {
  python3 -c 'import ensurepip, venv' 2>/dev/null || get python3 python3 python3-venv
}

get() {
  local program=$1 root=()
  shift
  [ "$(id -u)" = 0 ] || root=(sudo)
  if ! command -v apt-get >/dev/null || ! command -v "${root[@]:-env}" >/dev/null; then
    echo "The tests need $program. Install it (in Debian: the packages $*) and run this again." >&2
    exit 1
  fi
  echo "installing $* with apt-get"
  # Lists may be missing or old; if they cannot be had, the installation says what is wrong.
  "${root[@]}" apt-get update -qq || true
  "${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null
}
