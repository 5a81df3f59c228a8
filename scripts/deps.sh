#!/bin/sh
# deps.sh [tests]: installs the Debian 12 packages that building Weft needs (and, with `tests`, those of its tests), if any is
# missing. Does nothing, and needs no rights, when all are there.
set -eu

packages='gcc libc6-dev cmake ninja-build re2c llvm-19-dev libomp-19-dev libdlpack-dev libedit-dev libsleef3'
case "${1-}" in
'') ;;
tests) packages="$packages libcmocka-dev libmpfr-dev pkg-config g++" ;;
*)
    echo "usage: sh scripts/deps.sh [tests]" >&2
    exit 2
    ;;
esac

if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
    echo "deps.sh: this is no Debian system; what Debian calls the following has to be there: $packages" >&2
    exit 0
fi

missing=
for package in $packages; do
    state=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || :)
    case "$state" in
    installed*) ;;
    *) missing="$missing $package" ;;
    esac
done
[ -n "$missing" ] || exit 0

as_root=
if [ "$(id -u)" -ne 0 ]; then
    if ! command -v sudo >/dev/null; then
        echo "deps.sh: missing packages, and neither root nor sudo to install them:$missing" >&2
        exit 1
    fi
    as_root=sudo
fi
echo "Installing:$missing"
$as_root apt-get update -q
# --no-remove: rather stop than take away another version that somebody installed.
# shellcheck disable=SC2086  # a list of words
$as_root env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends --no-remove $missing
