#!/bin/sh
# What tests need beside Python: of Debian chromium (pages), bubblewrap (sandboxes), g++, clang, and a cross-compiler with
# qemu (the native runner, and on ARM); axe-core from npm.
#   scripts/test_tools.sh       installs what is missing, as root on Debian; elsewhere it says what the tests skip
#   scripts/test_tools.sh axe   fetches axe-core alone
# Tests never fetch anything: they find build/axe/axe.min.js, or skip with a reason that names this script.
set -eu
root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
axe=axe-core-4.14.0
sha512=f564d9c448ec67b6f5dd31fc24f99b576cfc0876e5f34ff6866dd73c41b826035d40b2bcd480515e64b11df3003a44aa41e4714ffd1dc0d0f3d863a6df3ce971
folder=$root/build/axe

say() { printf '%s\n' "test_tools: $*" >&2; }

packages() { # of Debian, those whose program is missing
    command -v chromium >/dev/null 2>&1 || printf 'chromium '
    command -v bwrap >/dev/null 2>&1 || printf 'bubblewrap '
    command -v g++ >/dev/null 2>&1 || printf 'g++ '
    command -v clang++ >/dev/null 2>&1 || printf 'clang '
    command -v aarch64-linux-gnu-g++ >/dev/null 2>&1 || printf 'g++-aarch64-linux-gnu '
    command -v qemu-aarch64 >/dev/null 2>&1 || printf 'qemu-user '
    command -v npm >/dev/null 2>&1 || [ -f "$folder/axe.min.js" ] || printf 'npm '
}

install_packages() {
    wanted=$(packages)
    [ -n "$wanted" ] || return 0
    if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null 2>&1; then
        say "missing and not installed (that takes root and apt): $wanted; the tests that need them skip"
        return 0
    fi
    apt-get update -qq
    # shellcheck disable=SC2086  # several words on purpose
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $wanted
}

fetch_axe() {
    [ ! -f "$folder/axe.min.js" ] || return 0
    if ! command -v npm >/dev/null 2>&1; then
        say "npm is missing, so axe-core is not fetched; the accessibility tests skip"
        return 0
    fi
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    npm pack --silent --pack-destination "$work" "$(echo "$axe" | sed 's/-\([0-9]\)/@\1/')" >/dev/null
    found=$(sha512sum "$work/$axe.tgz" | cut -d ' ' -f 1)
    if [ "$found" != "$sha512" ]; then
        say "$axe.tgz has sha512 $found, not $sha512; it is not used"
        return 1
    fi
    tar -xzf "$work/$axe.tgz" -C "$work"
    mkdir -p "$folder"
    cp "$work/package/LICENSE" "$folder/"
    cp "$work/package/axe.min.js" "$folder/axe.part"
    mv "$folder/axe.part" "$folder/axe.min.js" # whole, or not there
}

[ "${1:-}" = axe ] || install_packages
fetch_axe
