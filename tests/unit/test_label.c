/* SPDX-License-Identifier: GPL-2.0-or-later */

/* Builds are told apart: the command behind jobwrap and jobgate, the directory, whether it is stopped. */

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "libjobserver/holder.h"
#include "libjobserver/process.h"

#define PATIENCE_MS 60000
#define WORDS_MAX 12
/* Set in a child that this program is executed in again: it only waits. */
#define WAITS "TEST_LABEL_WAITS"

/* By its own path, which gives it its name. */
static _Noreturn void
execute(const char *directory, const char *const *words)
{
    char path[4096];
    ssize_t length = readlink("/proc/self/exe", path, sizeof(path) - 1);

    path[length > 0 ? length : 0] = '\0';
    if (chdir(directory) == 0 && setenv(WAITS, "1", 1) == 0)
        execv(path, (char *const *)(uintptr_t)words);
    _exit(127);
}

static pid_t
start(const char *directory, const char *const *words)
{
    int executed[2];
    char byte;

    assert_int_equal(pipe2(executed, O_CLOEXEC), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0)
        execute(directory, words);
    close(executed[1]);
    assert_int_equal(read(executed[0], &byte, 1), 0);
    close(executed[0]);
    return pid;
}

static void
end(pid_t pid)
{
    kill(pid, SIGKILL);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static void
take_label(pid_t pid, struct process_label *label)
{
    int patience_ms = PATIENCE_MS;

    assert_int_equal(process_label(pid, 0, &patience_ms, label), 0);
    assert_true(patience_ms <= PATIENCE_MS);
}

/* --- the command --- */

static void
expect_command(const char *const *words, const char *expected)
{
    struct process_label label;
    pid_t pid = start("/", words);

    take_label(pid, &label);
    assert_string_equal(label.command, expected);
    process_label_clear(&label);
    assert_null(label.command);
    end(pid);
}

#define COMMAND(expected, ...) expect_command((const char *const[]){__VA_ARGS__, NULL}, expected)

static void
test_command(void **state)
{
    COMMAND("make -C foo", "make", "-C", "foo");
    COMMAND("make -C foo", "jobwrap", "make", "-C", "foo");
    COMMAND("make -C foo", "/usr/bin/jobwrap", "--", "make", "-C", "foo");
    COMMAND("make -j3", "jobwrap", "-j", "4", "--parent=fifo:/dev/steve", "make", "-j3");
    COMMAND("make --style fifo", "jobwrap", "-j4", "--style", "pipe", "--", "make", "--style",
            "fifo");
    COMMAND("make", "jobwrap", "--weight", "50", "--class", "link=2", "make");
    COMMAND("make", "jobwrap", "--report", "--no-shims", "--par", "x", "--report=f", "make");
    COMMAND("sh -c a?b ?[31m?  z", "jobwrap", "sh", "-c", "a\tb \x1b[31m\xff", "", "z");
    COMMAND("make größe?", "jobwrap", "make", "größe\xe2");
    COMMAND("waf build", "jobgate", "--jobs-of=waf", "--gate", "ptrace", "--", "waf", "build");
    COMMAND("waf", "jobwrap", "--class-rules", "rules", "jobgate", "--class-rules", "rules",
            "--jobs-of=waf", "waf");
    COMMAND("waf", "jobwrap", "-j2", "jobwrap", "jobgate", "--jobs-of", "waf", "waf");
    COMMAND("jobwrapper -j 4 x", "jobwrapper", "-j", "4", "x");
    COMMAND("-x", "jobwrap", "--", "-x");
    COMMAND("- x", "jobwrap", "-", "x");
}

/* As of who changes its own. */
static void
test_command_that_is_none(void **state)
{
    COMMAND("jobwrap", "jobwrap");
    COMMAND("jobwrap --", "jobwrap", "--");
    COMMAND("jobwrap -j", "jobwrap", "-j");
    COMMAND("jobwrap -j 4 --style", "jobwrap", "-j", "4", "--style");
    COMMAND("jobgate", "jobwrap", "jobgate");
    COMMAND("(test_label)", "");
}

static void
test_long_command(void **state)
{
    static char argument[100001];
    struct process_label label;

    memset(argument, 'x', sizeof(argument) - 1);
    pid_t pid = start("/", (const char *const[]){"jobwrap", "echo", argument, argument, NULL});
    take_label(pid, &label);
    assert_int_equal(strlen(label.command), sizeof("echo") + 2 * sizeof(argument) - 1);
    char *text = process_label_text(&label, 7);
    assert_string_equal(text, "echo xx... in /");
    free(text);
    process_label_clear(&label);
    end(pid);
}

/* Each cut at another byte. */
static void
test_cut_command(void **state)
{
    struct process_label label = {.command = (char[]){"makeé€"}, .directory = (char[]){""}};
    static const char *const texts[] = {"make...",  "make...",  "makeé...",
                                        "makeé...", "makeé...", "makeé€"};

    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        char *text = process_label_text(&label, (int)(4 + i));
        assert_string_equal(text, texts[i]);
        free(text);
    }
}

/* The option stands in the help as "--name=VALUE", "--name[=VALUE]" or "--name". */
static void
expect_option_known(const char *program, const char *line)
{
    const char *name = strrchr(program, '/') + 1, *option = strstr(line, "--");
    char letter[3] = "", word[64];

    if (!option || line[0] != ' ' || strspn(line, " ") > 6)
        return;
    size_t length = strcspn(option, "=[ \n");
    bool takes_value = option[length] == '=';
    snprintf(word, sizeof(word), "%.*s", (int)length, option);
    if (sscanf(line, " -%1[a-zA-Z],", letter + 1) == 1)
        letter[0] = '-';
    COMMAND(takes_value ? "make foo" : "value make foo", name, word, "value", "make", "foo");
    if (letter[0])
        COMMAND(takes_value ? "make foo" : "value make foo", name, letter, "value", "make", "foo");
}

static void
test_options_of_the_programs(void **state)
{
    char *programs = getenv("TEST_PROGRAMS"), *rest = programs, *program;

    if (!programs)
        skip();
    while ((program = strsep(&rest, ":"))) {
        char command[4096], line[256];
        snprintf(command, sizeof(command), "%s --help", program);
        FILE *help = popen(command, "re");
        assert_non_null(help);
        while (fgets(line, sizeof(line), help))
            expect_option_known(program, line);
        assert_int_equal(pclose(help), 0);
    }
}

/* --- the rest --- */

static void
test_directory(void **state)
{
    struct process_label label;
    char home[] = "/tmp/test-größe.XXXXXX", below[sizeof(home) + 10], beside[sizeof(home) + 10];
    const char *const make[] = {"make", NULL};
    const struct {
        const char *directory, *text;
    } cases[] = {{home, "make in ~"}, {below, "make in ~/a?ö"}, {"/", "make in /"}, {beside, NULL}};

    assert_non_null(mkdtemp(home));
    snprintf(below, sizeof(below), "%s/a\tö", home);
    snprintf(beside, sizeof(beside), "%s-x", home);
    assert_int_equal(mkdir(below, 0700), 0);
    assert_int_equal(mkdir(beside, 0700), 0);
    setenv("HOME", home, 1);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char full[2 * sizeof(beside)];
        pid_t pid = start(cases[i].directory, make);
        take_label(pid, &label);
        char *text = process_label_text(&label, 80);
        snprintf(full, sizeof(full), "make in %s", beside);
        assert_string_equal(text, cases[i].text ? cases[i].text : full);
        free(text);
        process_label_clear(&label);
        end(pid);
    }
    setenv("HOME", "/", 1);
    rmdir(below);
    rmdir(beside);
    rmdir(home);
}

static void
test_stopped(void **state)
{
    struct process_label label;
    pid_t pid = start("/", (const char *const[]){"make", NULL});

    take_label(pid, &label);
    assert_false(label.is_stopped);
    process_label_clear(&label);
    kill(pid, SIGSTOP);
    assert_int_equal(waitpid(pid, NULL, WUNTRACED), pid);
    take_label(pid, &label);
    assert_true(label.is_stopped);
    process_label_clear(&label);
    end(pid);
}

static void
test_another_process(void **state)
{
    struct process_label label = {.is_stopped = true};
    struct process_info info;
    int patience_ms = PATIENCE_MS;
    pid_t pid = start("/", (const char *const[]){"make", NULL});

    assert_int_equal(process_info(pid, &info), 0);
    assert_int_equal(process_label(pid, info.start_ticks + 1, &patience_ms, &label), -ESRCH);
    assert_null(label.command);
    assert_false(label.is_stopped);
    assert_int_equal(process_label(pid, info.start_ticks, &patience_ms, &label), 0);
    assert_string_equal(label.command, "make");
    process_label_clear(&label);
    end(pid);
    assert_int_equal(process_label(pid, 0, &patience_ms, &label), -ESRCH);
}

static void
test_no_time_left(void **state)
{
    struct process_label label;
    int patience_ms = 0;
    pid_t pid = start("/", (const char *const[]){"make", NULL});

    assert_int_equal(process_label(pid, 0, &patience_ms, &label), 0);
    assert_string_equal(label.command, "(test_label)");
    assert_string_equal(label.directory, "/");
    process_label_clear(&label);
    end(pid);
}

/* One that was not there in time is killed, and may end later. */
static void
test_a_late_reader_is_reaped(void **state)
{
    struct process_label label;
    int patience_ms = PATIENCE_MS;
    pid_t late = (pid_t)syscall(SYS_clone, 0L, NULL, NULL, NULL, NULL);
    if (late == 0)
        _exit(0);
    assert_int_equal(waitid(P_PID, (id_t)late, &(siginfo_t){0}, WEXITED | WNOWAIT | __WALL), 0);

    assert_int_equal(process_label(getpid(), 0, &patience_ms, &label), 0);
    process_label_clear(&label);
    assert_int_equal(kill(late, 0), -1);
    assert_int_equal(errno, ESRCH);
}

/* A wait for all children, which ends with ECHILD, must not hear of one that reads. */
static void
test_no_child_is_left(void **state)
{
    struct process_label label;

    take_label(getpid(), &label);
    process_label_clear(&label);
    assert_int_equal(waitpid(-1, NULL, __WALL | WNOHANG), -1);
    assert_int_equal(errno, ECHILD);
}

/* --- what a server says --- */

static void
test_holder(void **state)
{
    struct steved_client client = {.pid = getpid(), .command = "make"};
    struct process_label label;
    struct process_info info;
    int patience_ms = PATIENCE_MS;

    assert_int_equal(process_info(getpid(), &info), 0);
    client.start_ticks = info.start_ticks;
    assert_int_equal(holder_label(&client, &patience_ms, &label), 0);
    assert_non_null(strstr(label.command, "test_label"));
    process_label_clear(&label);
    client.start_ticks++;
    assert_int_equal(holder_label(&client, &patience_ms, &label), 0);
    assert_string_equal(label.command, "(make)");
    assert_string_equal(label.directory, "");
    char *text = process_label_text(&label, 80);
    assert_string_equal(text, "(make)");
    free(text);
    process_label_clear(&label);
    client = (struct steved_client){.command = "(outside)"};
    assert_int_equal(holder_label(&client, &patience_ms, &label), 0);
    assert_string_equal(label.command, "(outside)");
    process_label_clear(&label);
    memset(client.command, 'x', sizeof(client.command));
    assert_int_equal(holder_label(&client, &patience_ms, &label), 0);
    assert_int_equal(strlen(label.command), sizeof(client.command) - 1 + 2);
    process_label_clear(&label);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_command),
        cmocka_unit_test(test_command_that_is_none),
        cmocka_unit_test(test_long_command),
        cmocka_unit_test(test_cut_command),
        cmocka_unit_test(test_options_of_the_programs),
        cmocka_unit_test(test_directory),
        cmocka_unit_test(test_stopped),
        cmocka_unit_test(test_another_process),
        cmocka_unit_test(test_no_time_left),
        cmocka_unit_test(test_a_late_reader_is_reaped),
        cmocka_unit_test(test_no_child_is_left),
        cmocka_unit_test(test_holder),
    };

    if (getenv(WAITS)) {
        alarm(100);
        pause();
        return 0;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
