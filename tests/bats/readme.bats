#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# Every command of the README is run here as it stands there, in a directory with tiny projects. The
# first test fails if a block has no test. needs_the_plain_build: what the commands run is run under the
# sanitizers by tests of its own; here it is the README that is tested.

load ../lib/bash/common
load ../lib/bash/documented

DOCUMENT=$ROOT/README.md

setup() {
    common_setup
    PROJECT=$BATS_TEST_TMPDIR/project
    LOG=$BATS_TEST_TMPDIR/log
    mkdir "$PROJECT" "$BATS_TEST_TMPDIR/bin"
    ln -s "$JOBWRAP" "$STEVED" "$STEVECTL" "$BATS_TEST_TMPDIR/bin/"
    PATH=$BATS_TEST_TMPDIR/bin:$PATH
    export LOG
    cd "$PROJECT" || return
}

# Twelve jobs, which prove when they ran.
write_makefile() {
    # shellcheck disable=SC2016 # make's variables
    printf '%s\n' 'jobs := 1 2 3 4 5 6 7 8 9 10 11 12' 'all: $(jobs)' '.PHONY: all $(jobs)' '$(jobs):' \
        "	@'$STAMP' '$LOG' make.\$@ 0.1" >Makefile
}

ran_within() {
    "$LIB/concurrency" --expect-max "$1" --expect-jobs "$2" "$LOG"
}

@test 'readme: every command block has its test' {
    every_block_has_its_test
    # No block of commands hides behind another mark or none.
    [ "$(grep -c '^```$' "$ROOT/README.md")" = $(($(grep -c '^```sh$' "$ROOT/README.md") + 4)) ]
}

# The quickstart has tests of its own, which take minutes, and ./check is what runs this: here they
# only prove that they are there and start.
@test 'readme: try it, test it' {
    local command
    [ "$(block 'Try it, test it')" = $'./quickstart\n./check' ]
    grep -qx '    run quickstart' "$ROOT/tests/bats/quickstart.bats"
    for command in quickstart check; do
        printf '#!/bin/sh\nexec "%s" --help\n' "$ROOT/$command" >"$command"
        chmod +x "$command"
    done
    run_block 'Try it, test it'
    [[ $output == *'usage: ./quickstart'*'usage: ./check'* ]]
}

@test 'readme: install' {
    require meson
    ln -s "$BUILD" build
    DESTDIR=$PROJECT/root run_block 'Install'
    # An ordinary user has no sbin on PATH.
    for program in jobgate jobwrap stevectl steved; do
        [ -x "root/usr/local/bin/$program" ]
    done
    require scdoc
    for page in jobgate.1 jobwrap.1 ninja-shim.1 stevectl.1 steved.conf.5 jobserver.7 steved.8; do
        [ -s "root/usr/local/share/man/man${page##*.}/$page" ]
    done
}

@test 'readme: make' {
    require make
    write_makefile
    run_block 'make'
    ran_within "$(nproc)" 12
}

@test 'readme: ninja' {
    require ninja
    local i
    # shellcheck disable=SC2016 # ninja's variable
    {
        printf 'rule job\n  command = "%s" "%s" ninja.$out 0.1\n' "$STAMP" "$LOG"
        for i in 1 2 3 4 5 6 7 8 9 10 11 12; do
            printf 'build job%s: job\n' $i
        done
    } >build.ninja
    run_block 'ninja'
    ran_within "$(nproc)" 12
}

@test 'readme: cargo' {
    require cargo
    local i
    printf '[workspace]\nmembers = ["a1", "a2", "a3", "a4", "a5", "a6"]\n' >Cargo.toml
    for i in 1 2 3 4 5 6; do
        mkdir -p "a$i/src"
        printf '[package]\nname = "a%s"\nversion = "0.1.0"\n' $i >"a$i/Cargo.toml"
        echo 'pub fn one() -> u32 { 1 }' >"a$i/src/lib.rs"
    done
    # cargo asks for rustc's version by the same wrapper.
    # shellcheck disable=SC2016 # the wrapper expands them
    printf '#!/bin/sh\ncase $* in\n*--crate-name\\ a*) exec "%s" "%s" rustc -- "$@" ;;\nesac\nexec "$@"\n' \
        "$STAMP" "$LOG" >rustc-stamp
    chmod +x rustc-stamp
    RUSTC_WRAPPER=$PROJECT/rustc-stamp run_block 'cargo'
    ran_within "$(nproc)" 6
}

# No Debian has an emerge. What stands in for it looks at what it is handed: a FIFO of tokens in
# MAKEFLAGS, from which it takes one as Portage does, without waiting, and the feature that asks for it.
@test 'readme: emerge, by a stand-in that takes a token as Portage does' {
    cat >"$BATS_TEST_TMPDIR/bin/emerge" <<'END'
#!/usr/bin/env python3
import os, re, select, stat, sys

assert sys.argv[1:] == ["--jobs=4", "--update", "@world"], sys.argv
assert "jobserver-token" in os.environ["FEATURES"].split()
path = re.search(r"--jobserver-auth=fifo:(\S+)", os.environ["MAKEFLAGS"])[1]
fifo = os.open(path, os.O_RDWR | os.O_NONBLOCK)
assert stat.S_ISFIFO(os.fstat(fifo).st_mode), path
if int(os.environ["JOBWRAP_JOBS"]) > 1:
    assert select.select([fifo], [], [], 10)[0], "no token in 10 s"
    token = os.read(fifo, 1)
    assert len(token) == 1
    os.write(fifo, token)
print("stand-in for emerge: took a token and gave it back")
END
    chmod +x "$BATS_TEST_TMPDIR/bin/emerge"
    run_block 'emerge'
    [[ $output == *'stand-in for emerge: took a token and gave it back'* ]]
}

# A pytest of its own, beside the system.
require_pytest() {
    local lines
    lines=$("$LIB/python-venvs" VENV_NEWEST) || missing 'no pytest: see tests/lib/python-venvs'
    eval "$lines"
    # shellcheck disable=SC2031 # each test has a PATH of its own
    PATH=$VENV_NEWEST/bin:$PATH
}

@test 'readme: pytest' {
    require_pytest
    cat >test_twelve.py <<'END'
import os, subprocess
import pytest

@pytest.mark.parametrize("n", range(12))
def test_job(n):
    subprocess.run([os.environ["STAMP"], os.environ["LOG"], f"pytest.{n}", "0.2"], check=True)
END
    run_block 'pytest'
    [[ $output == *'12 passed'* ]]
    ran_within "$(nproc)" 12
}

@test 'readme: pytest, and a single token is enough' {
    require_pytest
    echo 'def test_one(): pass' >test_one.py
    run -0 timeout 100 "$JOBWRAP" -j1 -- pytest -p jobserver -n 4
    [[ $output == *'1 passed'* ]]
}

@test 'readme: see and change what goes on' {
    require_fuse
    require make
    write_makefile
    STEVED_MOUNTS+=("$XDG_RUNTIME_DIR/steve")
    run_block 'See and change what goes on'
    [[ $output == *'tokens borrowed'*'+ stevectl status'*'free'* ]]
    ran_within 4 12
    [ "$(stevectl get jobs)" = 4 ]
    wait_for 10 all_free
    stop "$(pgrep -f -- "--mount $XDG_RUNTIME_DIR/steve")"
}

all_free() {
    [ "$(stevectl get free)" = 4 ]
}
