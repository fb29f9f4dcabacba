#!/bin/sh
# Create .venv and install the pinned packages: `tools/bootstrap.sh` for a run, `... dev` for tests.
# Does nothing where the same packages are installed already. One sentence for what is missing.
set -eu

python=${PYTHON:-python3}
want=${1:-run}

fail() {
    echo "icmbench: $1" >&2
    exit 1
}

command -v "$python" >/dev/null 2>&1 ||
    fail "$python is not installed: install Python 3.11 or newer (Debian: apt install python3 python3-venv)."
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    fail "$("$python" --version) is too old: install Python 3.11 or newer, then run 'make PYTHON=python3.11 ...'."
"$python" -c 'import venv, ensurepip' 2>/dev/null ||
    fail "Python's venv module is missing: install it (Debian: apt install python3-venv)."

lock=requirements.lock
[ "$want" = dev ] && lock=requirements-dev.lock
digest=$(cat $lock pyproject.toml | sha256sum | cut -c1-16)
stamp=.venv/icmbench-$want-$digest
[ -e "$stamp" ] && exit 0

need=9500000 # kB: the packages (most of it torch with CUDA) and a run
[ -d .venv ] && need=1500000
free=$(df -Pk . | awk 'NR == 2 { print $4 }')
[ "$free" -ge "$need" ] ||
    fail "too little disk space: $((free / 1000000)) GB are free here, $((need / 1000000 + 1)) GB are needed."

[ -x .venv/bin/python ] || "$python" -m venv .venv
echo "icmbench: installing the packages of $lock into .venv (minutes, about 6 GB)"
# Python compiles what it imports when it first does; all of it is two and a half minutes of a core.
set -- --disable-pip-version-check --quiet --no-deps --no-compile
.venv/bin/python -m pip install "$@" -r "$lock" ||
    fail "the packages of $lock could not be installed: see the message above, then run the same command again."
.venv/bin/python -m pip install "$@" --editable .
# opencv-python-headless stands in for opencv-python, which some packages name: the same module cv2.
.venv/bin/python -m pip check | grep -v "requires opencv-python, which is not installed" |
    grep -v "^No broken requirements found" >&2 && fail "the installed packages do not fit together: see above."
# Where Python is told to keep no bytecode, as in many containers, every process would compile all
# that it imports: twice the seconds of most jobs.
if [ -n "${PYTHONDONTWRITEBYTECODE:-}" ]; then
    echo "icmbench: PYTHONDONTWRITEBYTECODE is set: compiling the packages once (a minute)"
    # Some packages hold files of other Python versions, or templates: those fail, and nothing imports them.
    .venv/bin/python -m compileall -qq -j 0 -x '/tests?/' .venv/lib icmbench || true
fi
rm -f .venv/icmbench-"$want"-*
touch "$stamp"
