#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# The jobs of a make or a cargo, which take tokens for them themselves, wait for memory: builds that need more than
# there is, in a control group of their own.
# needs_the_plain_build: a sanitizer's own memory is not that of a compiler.

# shellcheck disable=SC2016 # what single quotes hold is make's, or another shell's
# shellcheck disable=SC2154 # run sets status
load ../lib/bash/common
load ../lib/bash/memory

setup() {
    common_setup
    SHIMS=$BUILD/ninja-shim
    cd "$BATS_TEST_TMPDIR" || return
    memory_setup
    unset MAKE_SHIM_REAL MAKE_SHIM_CAP CARGO_SHIM_REAL JOBSERVER_SHIM NINJA_SHIM_GATE
    export LOG=$BATS_TEST_TMPDIR/log CC=$BATS_TEST_TMPDIR/bin/cc
    REAL_MAKE=$(command -v make) || missing 'no make'
    PATH=$SHIMS:$PATH
}

# jobs FILE NAME OPTIONS...: rules of a makefile, of which `all` needs them all.
jobs() {
    local file=$1
    shift
    while [ $# -gt 0 ]; do
        printf 'all: %s.o\n%s.o:; @$(CC) %s -c %s.c -o $@\n' "$1" "$1" "$2" "$1" >>"$file"
        shift 2
    done
}

# heavy_tree: four heavy jobs, of which two fit into 256 MiB, and a light one, here and in two directories below: of
# one make is told by a recipe of one word, of the other by a shell's line.
heavy_tree() {
    mkdir direct line
    jobs Makefile heavy1 '-DMIB=80 -DMS=400 -DHOLD_MS=100' heavy2 '-DMIB=80 -DMS=400 -DHOLD_MS=100' light '-DMIB=4'
    jobs direct/Makefile heavy3 '-DMIB=80 -DMS=400 -DHOLD_MS=100'
    jobs line/Makefile heavy4 '-DMIB=80 -DMS=400 -DHOLD_MS=100' gates '-DMIB=1'
    {
        echo 'all: in-direct in-line'
        echo 'in-direct:; +@$(MAKE) -C direct'
        echo 'in-line:; +@for d in line; do (cd $$d && $(MAKE)) || exit; done'
    } >>Makefile
    export MAKEFLAGS=--no-print-directory
}

again() {
    wait_for 10 gate_has_gone
    find . -name '*.o' -delete
    rm -f "$LOG"
}

all_have_run() {
    [ "$(grep -c '^end' "$LOG")" = "$1" ]
}

# The gate around the process that is asked has the name of its tracer.
traced='t=$$(awk "/^TracerPid/ { print \$$2 }" /proc/$$PPID/status); cat /proc/$$t/comm 2>/dev/null || echo none'

@test 'make -j8, recursive: without the gate the kernel kills; with it nothing dies, and one gate has all' {
    limited_to 256
    heavy_tree
    sed -i '/^gates.o/s/\t*$/; grep -lx jobgate \/proc\/[0-9]*\/comm | cut -d\/ -f3 | grep -cxFf $(GROUP)\/cgroup.procs >..\/gates/' \
        line/Makefile
    run -0 limited env GROUP="$GROUP" make -j8
    kills_are 0
    all_have_run 6
    [[ $output == *'jobgate: heavy'*.o' needed '*' MiB and was put off; run again when there are '*' MiB'* ]]
    [ "$(cat gates)" = 1 ]
    again
    run -0 limited env GROUP="$GROUP" make -j8
    kills_are 0
    [[ $output != *'put off'* ]]
    again
    run ! limited env GROUP="$GROUP" "$REAL_MAKE" -j8
    run ! kills_are 0
}

@test 'a gate is there only where memory is short for so many jobs, or by JOBWRAP_MEMORY and --memory' {
    local wanted
    printf 'all:; @%s\n' "$traced" >Makefile
    limited_to 1024
    while read -r wanted command; do
        run -0 limited sh -c "$command"
        [ "$output" = "$wanted" ] || { echo "$command: $output"; false; }
    done <<END
none make
none make -j1
jobgate make -j2
jobgate make -j
none JOBWRAP_MEMORY=off make -j2
none NINJA_SHIM_GATE=none make -j2
jobgate JOBWRAP_MEMORY=on make
none $JOBWRAP --memory=off -j8 make
jobgate $JOBWRAP --memory=on -j1 make
jobgate $JOBWRAP -j8 make
jobgate $JOBWRAP -j8 make -j2
END
    JOBWRAP_MEMORY=much run -2 make
    [ "$output" = "make-shim: JOBWRAP_MEMORY: 'much' is not auto, on or off" ]
}

@test 'nothing is started where memory is ample' {
    printf 'all:; @%s\n' "$traced" >Makefile
    [ "$(awk '/^MemAvailable/ { print int($2 / 1048576) }' /proc/meminfo)" -ge 5 ] || missing '5 GiB of memory'
    run -0 make -j2
    [ "$output" = none ]
}

# said COMMAND...: what a build says and exits with, in any order.
said() {
    local status=0
    "$@" >raw 2>&1 || status=$?
    sort raw
    echo "exit $status"
    rm -f made.mk ./*.out
}

@test 'what make does it does behind the gate: $(shell), makefiles that are made, failures, -k, -O, pipes' {
    cat >Makefile <<'END'
said := $(shell echo shell; echo error >&2)
also != sh -c 'echo assigned'
include made.mk
all: one.out two.out fails dies sub quiet
made.mk:; @echo 'made = yes' >$@
%.out:; @echo $@ $(said) $(also) $(made) | cat; test $(shell echo 1) = 1; : >$@
fails:; @sh -c 'exit 3'
dies:; @kill -SEGV $$$$
sub:; +@$(MAKE) --no-print-directory -f sub.mk
quiet:; -@false
.PHONY: fails dies sub quiet
END
    printf 'all: a b\na b:; @echo sub $@ $(MAKELEVEL)\n' >sub.mk
    ulimit -c 0
    for options in '-j4 -k' '-j4 -k -O' '-j3' '-k' '-j2 -k --output-sync=line' '-j2 one.out' '-j2 no-such'; do
        echo "$options"
        # shellcheck disable=SC2086 # words
        [ "$options" = -j3 ] || said "$REAL_MAKE" $options >alone
        # shellcheck disable=SC2086
        JOBWRAP_MEMORY=on said make $options >gated
        if [ "$options" = -j3 ]; then
            grep -qx 'exit 2' gated
        else
            sed -i "s,$REAL_MAKE,make," alone
            diff alone gated
        fi
    done
}

# heavy_pair MS: the first is the oldest for certain; the second is put off.
heavy_pair() {
    jobs Makefile begun '-DMS=200' first "-DMIB=150 -DMS=1000 -DHOLD_MS=$1" second "-DMIB=150 -DMS=1600 -DHOLD_MS=$1"
    echo 'second.o: begun.o' >>Makefile
}

@test 'SIGTERM to make alone, and ^C, while a job is put off: all end as make says, and nothing is left' {
    local signal code word make
    heavy_pair 60000
    limited_to 256
    for signal in 'TERM 143 Terminated' 'INT 130 Interrupt'; do
        read -r signal code word <<<"$signal"
        spawn limited setsid env --default-signal=INT make -j2 >said 2>&1
        wait_for 60 grep -qs 'put off' said
        make=$(in_group make)
        [ "$signal" = INT ] || kill -TERM "$make"
        [ "$signal" = TERM ] || kill -INT -- "-$make"
        status_of "$spawned"
        echo "$signal: status $status: $(cat said)"
        [ "$status" = "$code" ]
        [ "$(grep -c "^make: .*first.o\] $word" said)" = 1 ]
        [ "$(grep -c "^make: .*second.o\] $word" said)" = 1 ]
        wait_for 10 gate_has_gone
        run ! grep -q '^end [fs]' "$LOG"
        kills_are 0
        again
    done
}

@test 'the report: who waits for memory with a token does not wait for one; the trace shows the same' {
    # Both tokens are taken all the time.
    jobs Makefile first '-DMIB=150 -DMS=500 -DHOLD_MS=1500' second '-DMIB=150 -DMS=500' light '-DMS=600'
    limited_to 256
    limited "$JOBWRAP" -j2 --parent=none --report=report --trace=trace make
    kills_are 0
    "$LIB/check-trace" --at-most 2 trace
    python3 - report trace <<-'END'
		import json, sys
		report = json.load(open(sys.argv[1]))
		trace = json.load(open(sys.argv[2]))
		runs = [event for event in trace if event["ph"] == "E" and event["cat"] == "job"]
		put_off = [event for event in runs if event["args"]["put_off"]]
		assert len(put_off) == report["memory"]["put_off"], put_off
		assert len(runs) == 3 + len(put_off), runs
		assert max(event["args"].get("peak_bytes", 0) for event in runs) > 150 << 20, runs
		assert any(event["ph"] == "b" and event["name"] == "waits for memory" for event in trace), trace
		waited = report["memory"]["waited_s"]
		assert waited > 0.4, report
		assert report["starved_s"] + waited < report["wall_s"] + 0.3, report
	END
}

@test 'what must not run twice is stopped; the sidecar is killed then, and it goes on' {
    limited_to 256
    ln -s "$BUILD/tests/lib/eat" bin/generate
    export JOBWRAP_MEMORY=on
    # The first is the oldest for certain.
    jobs Makefile begun '-DMS=50' first '-DMIB=50 -DMS=100' second '-DMIB=60 -DMS=100'
    echo 'second.o: begun.o' >>Makefile
    sed -i "s,\$(CC),$PWD/bin/generate," Makefile
    limited make
    again
    sed -i 's/MIB=50 -DMS=100/MIB=170 -DMS=1500 -DHOLD_MS=500/; s/MIB=60 -DMS=100/& -DHOLD_MS=2000/' Makefile
    spawn limited make -j2 >said 2>&1
    wait_for 60 grep -qs 'second.o has .* is stopped' said
    kill -KILL "$(in_group jobgate)"
    status_of "$spawned"
    [ "$status" = 137 ]
    wait_for 10 gate_has_gone
    all_have_run 3
    again
    rm said
    run -0 limited make -j2
    [[ $output == *'is stopped until there is memory again'* ]]
    kills_are 0
    [ "$(grep -c ^start "$LOG")" = 3 ]
}

@test 'a ninja below a make has a gate of its own, and all jobs of both wait' {
    require ninja
    limited_to 256
    jobs Makefile heavy1 '-DMIB=80 -DMS=400' heavy2 '-DMIB=80 -DMS=400'
    echo 'all: tree
tree:; +@ninja --quiet' >>Makefile
    {
        printf 'rule cc\n  command = %s $options -c $in -o $out\n' "$CC"
        printf 'build heavy%d.o: cc Makefile\n  options = -DMIB=80 -DMS=400\n' 3 4
    } >build.ninja
    run -0 limited "$JOBWRAP" -j4 make
    all_have_run 4
    [[ $output != *'hold jobs back'* ]]
}

# crates N: a workspace of so many. Their compiler goes by a wrapper of a known name, in which it needs memory first.
crates() {
    local i
    export CARGO_HOME=$PWD/cargo-home CARGO_NET_OFFLINE=true CARGO_TARGET_DIR=$PWD/target CARGO_TERM_COLOR=never
    unset RUSTFLAGS CARGO_BUILD_JOBS CARGO_ENCODED_RUSTFLAGS
    for ((i = 0; i < $1; i++)); do
        mkdir -p "crates/heavy$i/src"
        printf '[package]\nname = "heavy%d"\nversion = "0.1.0"\nedition = "2021"\n' "$i" >"crates/heavy$i/Cargo.toml"
        echo 'pub fn answer() -> u32 { 42 }' >"crates/heavy$i/src/lib.rs"
    done
    printf '[workspace]\nmembers = ["heavy*"]\nresolver = "2"\n' >crates/Cargo.toml
    cat >sccache <<'END'
#!/bin/sh
case " $* " in
*" --crate-name heavy"*) "$CC" -DMIB=150 -DMS=1000 -DHOLD_MS=2500 -c "$3.rs" -o "$3" || exit ;;
esac
exec "$@"
END
    sed -i 's,-o "$3",-o "$TMPDIR/$3",' sccache
    chmod +x sccache
    export RUSTC_WRAPPER=$PWD/sccache TMPDIR=$PWD
}

@test 'cargo: without the gate the kernel kills; with it crates wait, and are run again' {
    require cargo rustc
    crates 4
    # Two crates fit beside cargo itself, whose memory nobody expects, and three never do. Where the third might, it
    # depends on the moment at which it is looked.
    limited_to 448
    run -0 limited cargo build --quiet -j4 --manifest-path crates/Cargo.toml
    kills_are 0
    all_have_run 4
    [[ $output == *'jobgate: heavy'*' was put off'* ]]
    again
    rm -rf target
    run -0 limited cargo build --quiet -j4 --manifest-path crates/Cargo.toml
    kills_are 0
    echo "$output"
    [[ $output != *'put off'* ]]
    again
    rm -rf target
    JOBWRAP_MEMORY=off run limited cargo build --quiet -j4 --manifest-path crates/Cargo.toml
    [ "$status" != 0 ]
    run ! kills_are 0
}

# cargo starts what needs a crate as soon as that has told of its metadata, and panics if it is told twice.
@test 'cargo: a crate that has told of its metadata is stopped, not run again' {
    require cargo rustc
    crates 3
    mv crates/heavy2 crates/user
    printf '[package]\nname = "user"\nversion = "0.1.0"\nedition = "2021"\n[dependencies]\n' >crates/user/Cargo.toml
    printf 'heavy%d = { path = "../heavy%d" }\n' 0 0 1 1 >>crates/user/Cargo.toml
    printf '[workspace]\nmembers = ["heavy0", "heavy1", "user"]\nresolver = "2"\n' >crates/Cargo.toml
    # Behind the real compiler, that is.
    cat >sccache <<'END'
#!/bin/sh
case " $* " in
*" --crate-name heavy"*) "$@" && echo "$3" >>"$RAN" && exec "$CC" -DMIB=150 -DMS=1000 -DHOLD_MS=2500 -c "$3.rs" -o "$TMPDIR/$3" ;;
esac
exec "$@"
END
    limited_to 310
    export RAN=$BATS_TEST_TMPDIR/ran
    run limited cargo build --quiet -j2 --manifest-path crates/Cargo.toml
    echo "$output"
    [ "$status" = 0 ]
    kills_are 0
    [ "$(wc -l <"$RAN")" = 2 ]
    [[ $output == *'is stopped until there is memory again'* ]]
    # The one that uses them may be: nobody uses it.
    run ! grep 'heavy.*put off' <<<"$output"
}

@test 'builds for which memory does not suffice, and random deaths' {
    limited_to 600 # is it there at all?
    "$LIB/memory-rounds" --make --seed "$RANDOM" "${MEMORY_ROUNDS:-2}" "$SHIMS/make" "$BUILD/tests/lib/eat" "$REAL_MAKE"
}
