#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# The commands of docs/recipes.md as they stand there, on small projects. needs_the_plain_build: what they
# run is run under the sanitizers by tests of its own; here it is the document that is tested.

load ../lib/bash/common
load ../lib/bash/documented

DOCUMENT=$ROOT/docs/recipes.md
JOBS=8 # of each build

setup() {
    common_setup
    LOG=$BATS_TEST_TMPDIR/project/log
    mkdir "$BATS_TEST_TMPDIR/project" "$BATS_TEST_TMPDIR/bin"
    ln -s "$JOBWRAP" "$STEVED" "$STEVECTL" "$BUILD/ninja-shim/jobgate" "$BATS_TEST_TMPDIR/bin/"
    PATH=$BATS_TEST_TMPDIR/bin:$PATH
    cd "$BATS_TEST_TMPDIR/project" || return
    export LOG
}

# write_makefile [OPTION]: JOBS jobs, called after the build's NAME. What is installed is a file.
write_makefile() {
    # shellcheck disable=SC2016 # make's variables
    printf '%s\n' "jobs := $(seq -s ' ' $JOBS)" 'all: $(jobs)' '.PHONY: all clean install $(jobs)' '$(jobs):' \
        "	@'$STAMP' '$LOG' make\$(NAME).\$@ ${1-0.1}" 'clean:' 'install:' \
        '	install -D Makefile $(DESTDIR)/usr/share/tiny/file' >Makefile
}

ran_within() {
    "$LIB/concurrency" --expect-max "$1" --expect-jobs "$2" "$LOG"
}

# yaml_of NAME EXPRESSION: of the block's value, called y.
yaml_of() {
    /usr/bin/python3 -c 'import yaml' || missing 'no python3-yaml'
    block "$1" yaml | /usr/bin/python3 -c "import sys, yaml; y = yaml.safe_load(sys.stdin); print($2)"
}

@test 'recipes: every command block has its test, or a reason for none' {
    every_block_has_its_test
}

# What it installs is what quickstart needs, but for steved. actionlint, which is in no distribution, finds
# nothing wrong with it.
@test 'recipes: GitHub Actions' {
    require make
    write_makefile
    yaml_of 'GitHub Actions' "y['jobs']['build']['steps'][-1]['run']" >commands
    [ "$(yaml_of 'GitHub Actions' "' '.join(s.get('name', s.get('uses')) for s in y['jobs']['build']['steps'])")" = \
        'actions/checkout@v4 actions/checkout@v4 Install jobwrap actions/cache@v4 Build' ]
    run -0 bash -eux commands
    [[ $output == *'jobwrap: jobs at once: '* ]]
    ran_within "$(nproc)" $JOBS
}

@test 'recipes: GitLab CI' {
    require make
    write_makefile
    yaml_of 'GitLab CI' "'\n'.join(y['build']['script'])" >commands
    [ "$(yaml_of 'GitLab CI' "y['build']['cache']['paths']")" = "['.cache/jobwrap']" ]
    run -0 bash -eux commands
    [[ $output == *'jobwrap: jobs at once: '* ]]
    ran_within "$(nproc)" $JOBS
}

@test 'recipes: containers' {
    require_fuse
    require make bwrap
    bwrap --unshare-pid --ro-bind / / --proc /proc true || missing 'bwrap is not allowed here'
    write_makefile
    STEVED_MOUNTS+=("$XDG_RUNTIME_DIR/steve")
    run_block 'Containers'
    SERVER=$XDG_RUNTIME_DIR/steve/jobserver
    ran_within 2 $((2 * JOBS))
    wait_for 10 steved_has free 2
    stop "$(pgrep -f -- "--mount $XDG_RUNTIME_DIR/steve")"
}

# What stands in for Buildroot: packages that are built at once, each with a -jN of its own.
@test 'recipes: Buildroot' {
    require make
    mkdir package
    (cd package && write_makefile)
    # shellcheck disable=SC2016 # make's variables
    printf '%s\n' 'packages := one two three' 'all: $(packages)' '.PHONY: all $(packages)' '$(packages):' \
        '	+@$(MAKE) -j4 -C package NAME=$@' >Makefile
    run_block 'Buildroot'
    ran_within "$(nproc)" $((3 * JOBS))
}

# BitBake itself is in no registry. A task's environment is what it makes of these lines: make gets a -j, below
# nothing but a jobserver in MAKEFLAGS, and with the shims on PATH.
@test 'recipes: Yocto, two tasks as BitBake starts them' {
    require make
    write_makefile
    start_steved --jobs 2
    block 'Yocto' bitbake >local.conf
    [ "$(wc -l <local.conf)" = 4 ]
    sed "s|/dev/steve|$SERVER|; s|/usr/local/libexec/jobwrap/shims|$BUILD/jobwrap/shims|; s/^export //; s/ = /=/
        s/^PATH:prepend=\"\(.*\)\"/PATH=\"\1\$PATH\"/" local.conf >task
    # shellcheck disable=SC2016 # the task's
    echo 'export PATH MAKEFLAGS; exec make $PARALLEL_MAKE NAME=$1' >>task
    spawn bash -eu task one
    bash -eu task two
    status_of "$spawned"
    [ "$status" = 0 ]
    ran_within 2 $((2 * JOBS))
    wait_for 10 steved_has free 2
}

@test 'recipes: Debian packages' {
    require make dpkg-buildpackage dh fakeroot
    write_makefile
    mkdir -p debian/source
    echo '3.0 (native)' >debian/source/format
    printf '%s\n' 'tiny (1.0) unstable; urgency=low' '' '  * First.' '' \
        ' -- Nobody <nobody@example.org>  Thu, 01 Jan 2026 00:00:00 +0000' >debian/changelog
    printf '%s\n' 'Source: tiny' 'Maintainer: Nobody <nobody@example.org>' 'Build-Depends: debhelper-compat (= 13)' \
        '' 'Package: tiny' 'Architecture: any' 'Description: eight jobs' >debian/control
    printf '#!/usr/bin/make -f\n%%:\n\tdh $@\n' >debian/rules
    chmod +x debian/rules
    run_block 'Debian packages'
    [[ $output == *'make -j64'* ]]
    ran_within "$(nproc)" $JOBS
    compgen -G "../tiny_1.0_*.deb"
}

@test 'recipes: RPM packages' {
    require make rpmbuild
    write_makefile
    printf '%s\n' 'Name: tiny' 'Version: 1.0' 'Release: 1' 'Summary: Eight jobs' 'License: none' \
        '%description' 'Eight jobs.' '%prep' "cp '$PWD/Makefile' ." '%build' '%make_build' \
        '%install' '%make_install' '%files' '/usr/share/tiny/file' >tiny.spec
    HOME=$BATS_TEST_TMPDIR run_block 'RPM packages'
    ran_within "$(nproc)" $JOBS
    [ -n "$(find "$BATS_TEST_TMPDIR/rpmbuild/RPMS" -name 'tiny-1.0-1.*.rpm')" ]
}

# wheel_project REQUIREMENT...: C, but no extension of Python, which would need its headers.
wheel_project() {
    local i
    for i in $(seq $JOBS); do
        echo "int f$i(void) { return $i; }" >"f$i.c"
    done
    echo 'int main(void) { return 0; }' >main.c
    printf "project('tiny', 'c')\nexecutable('tiny', 'main.c', %s, install: true)\n" \
        "$(seq -s ', ' -f "'f%g.c'" $JOBS)" >meson.build
    printf '[build-system]\nbuild-backend = "mesonpy"\nrequires = [%s]\n[project]\nname = "tiny"\nversion = "1.0"\n' \
        "$(printf '"%s", ' "$@")" >pyproject.toml
}

# with_pip: in an environment of its own; what was fetched stays for the next time.
with_pip() {
    local lines
    require ninja cc
    lines=$("$LIB/python-venvs" VENV_NEWEST) || missing 'no pip: see tests/lib/python-venvs'
    eval "$lines"
    PATH=$VENV_NEWEST/bin:$PATH
    export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_VERBOSE=1 PIP_CACHE_DIR=$STEVED_TEST_TOOLS/pip
}

# it_finds_the_shim: meson-python says which ninja it takes.
it_finds_the_shim() {
    compgen -G "wheels/tiny-1.0-*.whl"
    grep -q "^ *Found ninja-.* at $BUILD/jobwrap/shims/ninja" <<<"$output"
}

@test 'recipes: wheels for Python' {
    with_pip
    wheel_project meson-python
    run_block 'Wheels for Python'
    it_finds_the_shim
}

@test 'recipes: wheels for Python, of a project with a ninja of its own' {
    with_pip
    wheel_project meson-python ninja
    run_block 'A project with a ninja of its own'
    it_finds_the_shim
}

# run_block 'Large trees': its command is the README's, and the size is for tests/bench.

# run_block 'A service on Debian and Fedora' would change the system: gentoo.bats installs so, below a directory,
# and tests/vm/systemd.bats starts the service.
