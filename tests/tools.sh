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

# Prints where cargo-deny is. Building it takes about a minute of processor time without optimization, two minutes of waiting.
cargo_deny() {
  cargo_tool cargo-deny 0.20.2
}

# Prints where cargo-deb is. Building it takes half a minute of processor time without optimization.
cargo_deb() {
  cargo_tool cargo-deb 3.8.0
}

cargo_tool() {
  local name=$1 version=$2
  local root=$cache/$name-$version
  if command -v "$name"; then
    return
  fi
  if [ ! -x "$root/bin/$name" ]; then
    echo "building $name $version into $root" >&2
    CARGO_PROFILE_RELEASE_OPT_LEVEL=0 CARGO_PROFILE_RELEASE_DEBUG=false CARGO_PROFILE_RELEASE_LTO=off \
      cargo install --quiet --locked --no-default-features --root "$root" --target-dir "$root/target" \
      "$name@$version" >&2 || return
    rm -rf "$root/target"
  fi
  echo "$root/bin/$name"
}

# Prints where promtool is. Debian has it in one package with Prometheus, which would be started: it is only taken out of there.
promtool_of_debian() {
  local place=$cache/prometheus folder
  if command -v promtool; then
    return
  fi
  if [ ! -x "$place/usr/bin/promtool" ]; then
    if ! command -v apt-get >/dev/null; then
      echo "The tests need promtool, which comes with Prometheus. Install it and run this again." >&2
      return 1
    fi
    echo "taking promtool out of the package prometheus, into $place" >&2
    folder=$(mktemp -d)
    download "$folder" prometheus >&2 && dpkg -x "$folder"/prometheus_*.deb "$place"
    rm -rf "$folder"
  fi
  ls "$place/usr/bin/promtool"
}

# Into that folder, without installing it. Lists of packages may be missing or old. As root apt would rather be another user, who
# may not write there.
download() (
  cd "$1" || return
  get=(apt-get -o APT::Sandbox::User=root download -qq "$2")
  if ! "${get[@]}" 2>/dev/null; then
    if [ "$(id -u)" = 0 ]; then apt-get update -qq; else sudo apt-get update -qq; fi
    "${get[@]}"
  fi
)
