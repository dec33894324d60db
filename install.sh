#!/bin/sh
# Makes .venv and installs pinned requirements; does nothing where they are installed already.
# Usage: ./install.sh requirements.txt|requirements-dev.txt
set -eu
cd "$(dirname "$0")"
wanted=$1

fail() {
    printf '%s\n' "$@" >&2
    exit 1
}

# Python 3.11 or newer, tried by running it: a shim of that name may have nothing behind it.
find_python() {
    for python in ${PYTHON:-} python3 python3.11 python3.12 python3.13; do
        if "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            echo "$python"
            return
        fi
    done
    fail 'Testbench needs Python 3.11 or newer.' 'On Debian: apt-get install python3 python3-venv'
}

# Debian keeps ensurepip in a package of its own: virtualenv, or a pip from outside, do as well.
make_venv() {
    python=$(find_python)
    if "$python" -c 'import ensurepip' 2>/dev/null; then
        "$python" -m venv .venv
    elif "$python" -c 'import virtualenv' 2>/dev/null; then
        "$python" -m virtualenv -q .venv
    elif command -v virtualenv >/dev/null; then
        virtualenv -q -p "$python" .venv
    elif "$python" -m pip --version >/dev/null 2>&1; then
        "$python" -m venv --without-pip .venv
        "$python" -m pip --python .venv/bin/python install -q pip
    else
        fail "$python cannot make a virtual environment." \
            'On Debian, as root: apt-get install python3-venv   (elsewhere: pip install virtualenv)'
    fi
}

stamp=.venv/$wanted.installed
hash=$(cat requirements.txt "$wanted" | sha256sum)
if [ -x .venv/bin/python ] && [ "$(cat "$stamp" 2>/dev/null)" = "$hash" ]; then
    exit 0
fi
[ -x .venv/bin/python ] || make_venv
echo "Installing $wanted …"
for try in 1 2 3; do
    if .venv/bin/python -m pip install -q --disable-pip-version-check -r "$wanted"; then
        echo "$hash" >"$stamp"
        exit 0
    fi
    echo "pip failed (try $try of 3)" >&2
    sleep 5
done
fail "The requirements could not be installed; what pip said stands above."
