#!/bin/sh
# Installs stave as a single file into ~/.local/bin, without root.
# usage: sh install.sh [--url URL] [--to DIR]
# URL is the folder of a release, with SHA256SUMS in it. Nothing is unpacked before its checksum is right.
set -eu

# The address of the releases. `make release` writes it from `repository` in package.json.
default_url=''

fail() {
  printf 'error: %s\n' "$1" >&2
  if [ $# -gt 1 ]; then printf '  hint: %s\n' "$2" >&2; fi
  exit 1
}

has() {
  command -v "$1" >/dev/null 2>&1
}

# fetch URL FILE BLOCKS: downloads at most that many blocks of 512 bytes. What begins with https stays with https.
fetch() {
  if has curl; then
    with=with_curl
  elif has wget; then
    with=with_wget
  else
    fail 'curl and wget are missing' 'install one of them'
  fi
  case $1 in
    [Hh][Tt][Tt][Pp][Ss]:*) with=${with}_tls ;;
  esac
  if [ "$with" = with_wget_tls ]; then
    case $(wget --version 2>/dev/null || :) in
      GNU*) ;;
      *) fail 'this wget may follow a redirect from https to http' 'install curl or GNU wget' ;;
    esac
  fi
  # With the signal ignored, the program fails to write. A limit that cannot be set is above one that is there already.
  (trap '' XFSZ && { ulimit -f "$3" 2>/dev/null || :; } && "$with" "$1" "$2") ||
    fail "cannot download $1" 'check the address, and the proxy in https_proxy; a redirect to http is not followed'
}

with_curl() {
  curl --fail --silent --show-error --location --retry 2 --connect-timeout 30 --output "$2" "$1"
}

with_curl_tls() {
  curl --proto '=https' --proto-redir '=https' \
    --fail --silent --show-error --location --retry 2 --connect-timeout 30 --output "$2" "$1"
}

with_wget() {
  wget --quiet --tries 3 --timeout 30 --output-document "$2" "$1"
}

# wget cannot be told to follow only redirects to https, so each is followed here.
with_wget_tls() {
  from=$1
  for _ in 1 2 3 4 5; do
    if LC_ALL=C wget --max-redirect 0 --no-verbose --server-response --tries 3 --timeout 30 \
      --output-document "$2" "$from" 2>"$2.log"; then return 0; fi
    to_next=
    while read -r field value _; do
      case $field in
        [Ll]ocation:) to_next=$value ;;
      esac
    done <"$2.log"
    case $to_next in
      [Hh][Tt][Tt][Pp][Ss]:*) from=$to_next ;;
      *) break ;;
    esac
  done
  cat "$2.log" >&2
  return 1
}

sha256_of() {
  if has sha256sum; then
    sha256sum "$1" | cut -d ' ' -f 1
  elif has shasum; then
    shasum -a 256 "$1" | cut -d ' ' -f 1
  elif has openssl; then
    openssl dgst -sha256 -r "$1" | cut -d ' ' -f 1
  else
    fail 'no program computes SHA-256' 'install sha256sum, shasum or openssl'
  fi
}

# Prints DIGEST NAME of the archive for this machine, from a file of checksums.
find_archive() {
  while read -r digest name rest; do
    name=${name#\*}
    case $name in */* | *[!A-Za-z0-9._-]*) continue ;; esac
    case $digest in *[!0-9a-f]*) continue ;; esac
    if [ ${#digest} -ne 64 ] || [ -n "$rest" ]; then continue; fi
    case $name in
      stave-*-linux-"$2".tar."$3")
        printf '%s %s\n' "$digest" "$name"
        return 0
        ;;
    esac
  done <"$1"
  return 1
}

# All of it is a function, so that a script that was cut off does nothing.
main() {
  url=${STAVE_URL:-$default_url}
  to=
  while [ $# -gt 0 ]; do
    case $1 in
      --url | --to)
        if [ $# -lt 2 ]; then fail "$1 needs a value"; fi
        if [ "$1" = --url ]; then url=$2; else to=$2; fi
        shift 2
        ;;
      -h | --help)
        printf 'usage: sh install.sh [--url URL] [--to DIR]\n'
        printf '  --url URL  the folder of a release (default: $STAVE_URL%s)\n' "${default_url:+, $default_url}"
        printf '  --to DIR   where to put stave (default: ~/.local/bin)\n'
        exit 0
        ;;
      *) fail "unknown argument $1" 'sh install.sh --help' ;;
    esac
  done
  if [ -z "$url" ]; then
    fail 'no address of a release is given' 'sh install.sh --url https://HOST/PATH, a folder with SHA256SUMS in it'
  fi
  if [ -z "$to" ]; then
    if [ -z "${HOME:-}" ]; then fail 'HOME is not set' 'name a folder with --to DIR'; fi
    to=$HOME/.local/bin
  fi

  if [ "$(uname -s)" != Linux ]; then
    fail "there is no single file for $(uname -s)" 'install Node 24, then: npm install --global stave'
  fi
  case $(uname -m) in
    x86_64 | amd64) arch=x64 ;;
    aarch64 | arm64) arch=arm64 ;;
    *) fail "there is no single file for $(uname -m)" 'install Node 24, then: npm install --global stave' ;;
  esac
  if has xz; then kind=xz; else kind=gz; fi

  work=$(mktemp -d) || fail 'cannot create a temporary folder' 'set TMPDIR to a folder that can be written'
  trap 'rm -rf "$work"' EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM

  fetch "${url%/}/SHA256SUMS" "$work/SHA256SUMS" 2048
  found=$(find_archive "$work/SHA256SUMS" "$arch" "$kind") ||
    fail "$url has no checksum of an archive for linux on $arch" 'check the address; it is the folder of a release'
  expected=${found%% *}
  name=${found#* }
  fetch "${url%/}/$name" "$work/$name" 1024000
  actual=$(sha256_of "$work/$name")
  if [ "$actual" != "$expected" ]; then
    fail "$name has the checksum $actual, expected $expected" 'run the same command again; nothing was installed'
  fi

  # An archive of ours has one folder, with the program in it.
  folder=${name%.tar.*}
  if [ "$kind" = xz ]; then xz -dc "$work/$name"; else gzip -dc "$work/$name"; fi >"$work/archive.tar" ||
    fail "cannot decompress $name"
  tar -xf "$work/archive.tar" -C "$work" "$folder/stave" || fail "cannot unpack $name"
  if ! version=$("$work/$folder/stave" --version); then
    fail 'stave does not run on this machine' 'it needs glibc 2.28 or later, libstdc++ and libgcc_s'
  fi

  mkdir -p "$to" || fail "cannot create $to" 'name another folder with --to DIR'
  # Renamed into place, so that a running stave is not disturbed.
  cp "$work/$folder/stave" "$to/.stave.$$" && chmod 755 "$to/.stave.$$" && mv -f "$to/.stave.$$" "$to/stave" || {
    rm -f "$to/.stave.$$"
    fail "cannot write to $to" 'name another folder with --to DIR'
  }
  printf 'installed %s as %s\n' "$version" "$to/stave"
  case :${PATH:-}: in
    *:"$to":*) ;;
    *) printf 'to use it, type: export PATH="%s:$PATH"\n' "$to" ;;
  esac
}

main "$@"
