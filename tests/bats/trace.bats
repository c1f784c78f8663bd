#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# jobwrap --trace and --report=FILE.html: what is shown of jobs is what their own stamps say.

# shellcheck disable=SC1003,SC2016 # what single quotes hold is make's, or another shell's
# shellcheck disable=SC2154 # run and common.bash set status, output and spawned
load ../lib/bash/common

setup() {
    common_setup
    unset NINJA_SHIM_GATE NINJA_SHIM_REAL NINJAFLAGS MAKE_SHIM_REAL
    cd "$BATS_TEST_TMPDIR" || return
    export LOG=$BATS_TEST_TMPDIR/log NINJA_STATUS=
}

# stamped NAME SECONDS: a job that makes NAME, as far as its command line tells.
stamped() {
    printf '"%s" "%s" %s -- sh -c "sleep %s" -o %s' "$STAMP" "$LOG" "$1" "$2" "$1"
}

# ninja_tree DIRECTORY JOBS SECONDS
ninja_tree() {
    local i
    mkdir -p "$1"
    printf 'rule job\n  command = $command\n' >"$1/build.ninja"
    for i in $(seq "$2"); do
        printf 'build %s%d.o: job\n  command = %s\n' "$1" "$i" "$(stamped "$1$i.o" "$3")"
    done >>"$1/build.ninja"
}

# make_tree NAME JOBS SECONDS: NAME.mk
make_tree() {
    local i
    printf 'all: %s\n' "$(seq -s ' ' -f "$1%g.o" "$2")" >"$1.mk"
    for i in $(seq "$2"); do
        printf '%s:; @%s\n' "$1$i.o" "$(stamped "$1$i.o" "$3")"
    done >>"$1.mk"
}

check() {
    "$LIB/check-trace" "$@"
}

@test 'ninja: a span a job, in as many lanes as there are tokens, and waits' {
    require ninja
    ninja_tree n 9 0.05
    at_once 3
    "$JOBWRAP" -j3 --parent=none --trace=t.json ninja -C n
    run -0 check t.json --spans 9 --at-most 3 --log "$LOG"
    [[ ${lines[0]} == '0 0 jobwrap ninja -C n' && ${lines[1]} == '9 3 ninja '*'-C n in '* ]]
    grep -q '"ph":"b".*"waits for a token"' t.json
    grep -q '"ph":"e".*"waits for a token".*"job":[2-9],"name":"n[2-9].o"' t.json
    grep -q '"ph":"C".*"tokens".*"held":3' t.json
    grep -q '"ph":"C".*"tokens".*"waiting":[1-9]' t.json
    grep -q '"ph":"C".*"memory (bytes)".*"used":' t.json
    # All of it, without what the check makes up for.
    python3 -c 'import json; json.load(open("t.json"))'
}

@test 'the seccomp gate' {
    require ninja
    ninja_tree n 5 0.05
    NINJA_SHIM_GATE=seccomp "$JOBWRAP" -j2 --parent=none --trace=t.json ninja -C n
    check t.json --spans 5 --at-most 2
}

# tree_of_classes: three jobs of each kind that the gate knows, and three that are none.
tree_of_classes() {
    local i tool
    for tool in icecc ld; do
        printf '#!/bin/sh\nexec "%s" "%s" "$1" -- sleep 0.05\n' "$STAMP" "$LOG.$tool" >$tool
        chmod +x $tool
    done
    ninja_tree n 3 0.05
    for i in 1 2 3; do
        printf 'build r%d.o: job\n  command = ../icecc r%d.o g++ -c r.cc -o r%d.o\n' $i $i $i
        printf 'build l%d: job\n  command = ../ld l%d a.o -o l%d\n' $i $i $i
    done >>n/build.ninja
}

@test 'classes: jobs that run instead of on the cpu have lanes of their own, and each class a counter and a chart' {
    require ninja
    tree_of_classes
    "$JOBWRAP" -j2 --parent=none --class remote=3 --class link=1 --class idle=4 --trace=t.json --report=r.html \
        ninja -C n -j16
    run -0 check t.json --spans 9
    check t.json --in slot --spans 6 --at-most 2
    check t.json --in remote --spans 3 --at-most 3 --log "$LOG.icecc"
    grep -q '"ph":"B".*"name":"r1.o".*"class":"remote"' t.json
    grep -q '"ph":"B".*"name":"l1".*"class":"link"' t.json
    run ! grep -q '"name":"n1.o".*"class"' t.json
    grep -q '"ph":"C".*"tokens of remote".*"held":[1-3]}' t.json
    grep -q '"ph":"C".*"tokens of link".*"held":1}' t.json
    run ! grep -qE '"tokens of link".*"held":[2-9]|"tokens of remote".*"held":[4-9]' t.json
    run -0 page r.html
    for what in 'Tokens of class remote over time' 'Tokens of class link over time' 'Tokens of the class' \
        'Waited for memoryBegan afterBuildClassNotes'; do
        [[ $output == *"$what"* ]] || { echo "no '$what'"; false; }
    done
    [[ $output != *'of class idle'* ]]
    grep -q '>r1.o</th>.*<td>remote</td><td></td></tr>' r.html
    grep -q '>n1.o</th>.*<td></td><td></td></tr>' r.html
}

@test 'classes of the server around: what is seen of them is jobs of this build' {
    require ninja
    require_fuse
    tree_of_classes
    start_steved --jobs 2 --class link=1 --class remote=3
    "$JOBWRAP" --parent "$SERVER" -- "$JOBWRAP" --trace=t.json --report=r.html ninja -C n -j16
    check t.json --spans 9
    check t.json --in remote --spans 3 --at-most 3
    grep -q '"ph":"C".*"tokens of link".*"held":1}' t.json
    grep -q '"ph":"C".*"tokens of remote".*"held":0}' t.json
    run -0 page r.html
    [[ $output == *'Tokens of class link over time'* && $output != *'Tokens of the class'* ]]
}

@test "make, whose shim puts up a gate to show its jobs, and a sub-make's are its own" {
    make_tree m 6 0.05
    make_tree sub 3 0.05
    printf 'all: sub\nsub:; +@$(MAKE) -f sub.mk\n' >>m.mk
    at_once 3
    "$JOBWRAP" -j3 --parent=none --trace=t.json make -f m.mk
    run -0 check t.json --spans 9 --at-most 3 --log "$LOG"
    [[ ${lines[1]} == '9 3 make -f m.mk in '* ]]
    # As it was without.
    "$JOBWRAP" -j3 --parent=none --trace=t.json --memory=off make -f m.mk
    check t.json --spans 0
}

@test 'builds within builds are in one file, each a process; a jobwrap among them has its own part' {
    require ninja
    ninja_tree n 4 0.05
    make_tree m 4 0.05
    make_tree other 3 0.05
    makefile outer '"$(JOBWRAP)" --trace=inner.json $(MAKE) -f m.mk' 'ninja -C n' \
        '"$(JOBWRAP)" sh -c "$(MAKE) -f other.mk; $(STAMP) $(LOG) last.o -- true"'
    "$JOBWRAP" -j4 --parent=none --trace=outer.json make -f outer
    grep -v last.o "$LOG" >stamps
    run -0 check outer.json --spans 11 --at-most 4 --log stamps
    [[ $output == *$'\n4 '*' ninja '*'-C n in '* && $output == *$'\n4 '*' make -f m.mk in '* ]]
    [[ $output == *$'\n3 '*' make -f other.mk in '* ]]
    run -0 check inner.json --spans 4 --at-most 4
}

@test 'a build that is killed: what it had done by then, and what was running' {
    gated_jobs 5
    spawn_gated "$JOBWRAP" -j3 --parent=none --trace=t.json make
    wait_for 10 lives_jobs 3
    let_end 1
    wait_for 10 grep -q '^end' "$LOG"
    wait_for 10 lives_jobs 3
    wait_for 10 grep -q '"ph":"E"' t.json
    wait_for 10 check t.json --broken --spans 4 --at-most 3
    kill -KILL "$spawned"
    wait_for 10 lives_jobs 0
    check t.json --broken --spans 4 --at-most 3
}

@test 'jobs that fail, and one that waits when another has failed' {
    require ninja
    ninja_tree n 3 0.05
    printf 'build x.o: job\n  command = %s; exit 3\n' "$(stamped x.o 0.2)" >>n/build.ninja
    run -1 "$JOBWRAP" -j2 --parent=none --trace=t.json --report=r.html ninja -C n
    grep -q '"ph":"E".*"x.o".*"exit_status":3' t.json
    check t.json --at-most 2
    grep -q '<td>exit 3</td>' r.html
}

@test 'a trace or a page that cannot be written: nothing is run; one that cannot any more ends there' {
    run -125 "$JOBWRAP" --parent=none --trace=/no/such/file touch run
    [ "$output" = 'jobwrap: open /no/such/file: No such file or directory' ]
    [ ! -e run ]
    run -125 "$JOBWRAP" --parent=none --report=/no/such.html touch run
    [ "$output" = 'jobwrap: write /no/such.html: No such file or directory' ]
    [ ! -e run ]
    run -3 "$JOBWRAP" --parent=none --trace=/dev/full sh -c 'exit 3'
    [ "$output" = 'jobwrap: write /dev/full: No space left on device; the trace ends there' ]
    # Nobody reads on: the build does not wait.
    mkfifo fifo
    # shellcheck disable=SC2034 # it lives as long as the test
    exec {reader}<>fifo
    require ninja
    ninja_tree n 150 0
    "$JOBWRAP" -j2 --parent=none --trace=fifo ninja -C n 2>said
    grep -q 'jobwrap: write fifo: Resource temporarily unavailable; the trace ends there' said
}

@test 'a trace that a jobwrap below writes to as well, or that the build removes' {
    run -125 "$JOBWRAP" --parent=none --trace=t.json "$JOBWRAP" --trace=t.json touch run
    [ "$output" = 'jobwrap: open t.json: another jobwrap writes it' ]
    [ ! -e run ]
    check t.json --spans 0
    mkdir made
    run -0 "$JOBWRAP" --parent=none --trace=made/t.json rm -r made
    [ "$output" = 'jobwrap: write made/t.json: it was removed meanwhile' ]
}

# page FILE: prints its text; fails if it is not well formed, has a script, or needs the network.
page() {
    python3 - "$1" <<'END'
import html.parser
import sys

EMPTY = {"meta", "br", "path", "rect"}


class Page(html.parser.HTMLParser):
    def __init__(self):
        super().__init__()
        self.open, self.text, self.ids, self.labels = [], [], [], []

    def handle_starttag(self, tag, attributes):
        names = dict(attributes)
        assert tag not in ("script", "link", "img", "iframe"), tag
        assert not [n for n in names if n.startswith("on") or n in ("href", "src")], attributes
        self.ids += [names["id"]] if "id" in names else []
        self.labels += names.get("aria-labelledby", "").split()
        assert tag != "th" or names.get("scope") in ("col", "row"), attributes
        if tag not in EMPTY:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag not in EMPTY:
            assert self.open.pop() == tag, tag

    def handle_data(self, data):
        self.text.append(data)


page = Page()
page.feed(open(sys.argv[1], encoding="utf-8").read())
page.close()
assert not page.open, page.open
assert len(set(page.ids)) == len(page.ids) and set(page.labels) <= set(page.ids), page.ids
print("".join(page.text))
END
}

@test 'the page: one file, well formed, with what was run and what it waited for' {
    require ninja
    ninja_tree n 6 0.05
    make_tree m 3 0.02
    "$JOBWRAP" -j2 --parent=none --report=r.html sh -c 'ninja -C n && make -f m.mk'
    run -0 page r.html
    for what in 'Tokens over time' 'Memory over time' 'Longest jobs' 'Jobs that waited longest' \
        'Who waited for what' '9, of which 0 failed' n6.o m3.o "ninja -C n && make -f m.mk"; do
        [[ $output == *"$what"* ]] || { echo "no '$what'"; false; }
    done
    [ "$(find . -name 'r.html*' | wc -l)" = 1 ]
    # Nothing to show.
    "$JOBWRAP" -j2 --parent=none --report=r.html true
    run -0 page r.html
    [[ $output == *'No gate has reported jobs.'* && $output == *'No gate has reported memory.'* ]]
}

# reports_memory: as a gate below jobwrap, which has 8000 MiB, and then knows nothing, until t.json tells either.
reports_memory() {
    cat >reports_memory.py <<'END'
import os
import struct
import time

from jobserver_client import CONTROL_HEADER, connect_in, open_directory
from memory_packet import CONTROL_MEMORY, MEMORY_SIZE

client = connect_in(open_directory(os.environ["JOBWRAP_FIFO"]))
for available, used, told in ((8000 << 20, 7, '"used":7,'), (0, 0, '"used":0,')):
    memory = struct.pack("=6I5Q", 0, 1, 0, 0, 0, 0xFFFFFFFF, available, available // 16, 0, 0, used)
    while told not in open("t.json").read():
        client.send(CONTROL_HEADER.pack(CONTROL_MEMORY, 0) + memory.ljust(MEMORY_SIZE, b"\0"))
        assert CONTROL_HEADER.unpack_from(client.recv(4096))[1] == 0
        time.sleep(0.02)
END
    PYTHONPATH=$ROOT/libjobserver/python:$LIB python3 reports_memory.py
}

@test 'what nobody reports is left out, and is not none' {
    export -f reports_memory
    "$JOBWRAP" -j2 --parent=none --trace=t.json --report=r.html bash -euc reports_memory
    grep -q '"memory (bytes)".*"used":7,.*"available":8388608000,"floor":524288000}' t.json
    grep -q '"memory (bytes)".*"used":0,"expected growth":0}' t.json
    run ! grep -q '"available":0' t.json
}

@test 'hostile names are text, in the page and in the trace' {
    require ninja
    local name='<script>alert("1")</script>&amp;\'"'" build='./a<b>&"c'
    mkdir n
    printf 'rule job\n  command = %s log job -- true -o "%s"\nbuild a: job\n' "$STAMP" "<i>x\\\\y'\\\"&lt;"$'\033[2J\377' >n/build.ninja
    printf '#!/bin/sh\nexec ninja -C n\n' >"$build"
    chmod +x "$build"
    "$JOBWRAP" -j2 --parent=none --trace=t.json --report=r.html "$build" "$name" $'Y=\033[2J\377'
    run -0 page r.html
    [[ $output == *"$build $name Y=?[2J?"* && $output == *"<i>x\\y'\"&lt;"* ]]
    run -0 check t.json --spans 1
    [[ ${lines[0]} == "0 0 jobwrap $build $name Y=?[2J?" ]]
    run -0 grep -c '"ph":"B".*"<i>x\\\\y'"'"'\\"&lt;?\[2J?"' t.json
}
