# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# What the tests of pytest-plugin share, besides common.bash and shim.bash.

setup() {
    pytest_setup
    needs_the_plain_build
}

# In a directory of its own, with a suite that logs its jobs to $LOG; nothing of the tester's pytest.
pytest_setup() {
    shim_setup
    unset "${!PYTEST_@}" "${!COV_@}"
    export PYTHONPATH=$LIB PYTHONDONTWRITEBYTECODE=1
    use_pytest newest
}

# Sanitizers have nothing to say of Python programs.
needs_the_plain_build() {
    ! is_sanitized || skip 'sanitizers see nothing of Python programs'
}

# use_pytest newest|oldest|pypi: the one that a test runs.
use_pytest() {
    local name=VENV_${1^^}
    require_python "$name"
    PYTEST=${!name}/bin/pytest
}

# require_python NAME: sets the variable to the path of what tests/lib/python-venvs makes.
require_python() {
    local lines
    [ -z "${!1-}" ] || return 0
    lines=$("$LIB/python-venvs" "$1") || missing "no $1: see tests/lib/python-venvs"
    eval "$lines"
}

# suite KIND [NAME...]: files with the tests of a kind, by default of one file named `a`.
suite() {
    local name kind=$1
    shift
    [ $# -gt 0 ] || set -- a
    cp "$LIB/pytest-suite"/{stamps,conftest}.py .
    for name in "$@"; do
        cp "$LIB/pytest-suite/$kind.py" "test_$name.py"
    done
}

# pytest_run [ARGUMENT...]: to its end, with nothing left behind; one that hangs is ended. What it says
# is in `said`, too.
pytest_run() {
    rm -rf "$LOG" "$LOG.met" worker.*
    run "$LIB/subreaper" timeout 120 "$PYTEST" -p no:cacheprovider -W ignore::pytest.PytestUnknownMarkWarning "$@" 3>&-
    echo "$output" | tee said
}

# passes N [ARGUMENT...]: that many tests, and nothing else happens.
passes() {
    local number=$1
    shift
    pytest_run "$@"
    [ "$status" = 0 ]
    [[ ${lines[-1]} == *" $number passed in "* ]]
    run ! grep -iE 'warning|internal ?error|traceback' said
}

# pytest_spawn [ARGUMENT...]: in a session of its own, as below a terminal's shell, and with the SIGINT
# that a script takes from what it starts in the background. The group is $spawned.
pytest_spawn() {
    rm -rf "$LOG" "$LOG.met" worker.* go
    spawn setsid env --default-signal=INT "$LIB/subreaper" --limit 20 \
        "$PYTEST" -p no:cacheprovider "$@" >said 2>&1
}

# spawned_status: of pytest_spawn's; says what it said.
spawned_status() {
    status_of "$spawned" 60
    cat said
}

# ran N: that many tests, each to its end, whatever else is in the log.
ran() {
    [ "$(grep -c '^end test\.' "$LOG")" = "$1" ]
}

# runs NAME: a test has started, for wait_for.
runs() {
    grep -qs "^start test\.$1\." "$LOG"
}

# below_steved JOBS: whose slot nobody has paid for.
below_steved() {
    start_steved --jobs "$1"
    # shellcheck disable=SC2153 # common.bash sets it
    export MAKEFLAGS=" -j$1 --jobserver-auth=fifo:$SERVER"
}

# in_jobwrap JOBS SCRIPT: of bash, below a jobwrap that is a pool of its own, in the background. SERVER is
# its FIFO, as steved_get and steved_has ask it, too.
in_jobwrap() {
    rm -f fifo
    export PYTEST
    # shellcheck disable=SC2016 # the inner shell's
    spawn env -u MAKEFLAGS "$JOBWRAP" -j"$1" --parent=none -- \
        bash -euc 'echo "$JOBWRAP_FIFO" >fifo.new; mv fifo.new fifo; eval "$1"' - "$2" >said 2>&1
    wait_for 20 test -e fifo
    SERVER=$(cat fifo)
}

# steved_is_whole: all its tokens are free, and nobody returned one that was not his.
steved_is_whole() {
    wait_for 10 steved_has free "$(steved_get jobs)"
    [ "$(steved_get dropped)" = 0 ]
}
