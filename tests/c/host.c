/*
 * What a C host does to the library: forks, has signal handlers, exits when it likes.
 *
 *     host agent.toml [abandon]
 *
 * Prints the first thing that is wrong and exits with 1.
 */
#define _POSIX_C_SOURCE 200809L

#include <dirent.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "farpost.h"

static farpost_session_t *session;
static pthread_t main_thread;
static volatile sig_atomic_t handled;
static volatile sig_atomic_t handled_elsewhere;

static void require(int holds, const char *what)
{
    if (!holds) {
        fprintf(stderr, "not so: %s\n", what);
        exit(1);
    }
}

/* The error is read after the call: C does not say which argument is evaluated first. */
static void require_ok(farpost_status_t status, farpost_error_t **error, const char *what)
{
    if (status != FARPOST_OK) {
        fprintf(stderr, "%s: %d %s\n", what, (int)status, farpost_error_message(*error));
        exit(1);
    }
}

static void on_signal(int number)
{
    (void)number;
    handled = 1;
    handled_elsewhere |= !pthread_equal(pthread_self(), main_thread);
    farpost_session_wakeup(session);
}

static int is_readable(void)
{
    struct pollfd ready;
    ready.fd = farpost_session_fd(session);
    ready.events = POLLIN;
    ready.revents = 0;
    return poll(&ready, 1, 0) == 1;
}

/* Takes events until one of the kind comes. */
static void take_until(int32_t kind)
{
    for (;;) {
        farpost_event_t *event = NULL;
        farpost_status_t status = farpost_session_poll(session, 10000, &event, NULL);
        int32_t found = farpost_event_kind(event);
        farpost_event_free(event);
        if (found == kind) {
            return;
        }
        require(status == FARPOST_OK || handled, "an event comes");
    }
}

static void open_session(const char *path)
{
    farpost_config_t *config = NULL;
    farpost_error_t *error = NULL;
    require_ok(farpost_config_load(path, &config, &error), &error, "load");
    require_ok(farpost_session_open(config, &session, &error), &error, "open");
    farpost_config_free(config);
}

static void versions_agree(void)
{
    require(farpost_abi_is_compatible(FARPOST_ABI_VERSION), "the header's ABI is the library's");
    require(strcmp(farpost_version(), FARPOST_VERSION) == 0, "the header's release is the library's");
    require(farpost_version_number() == FARPOST_VERSION_NUMBER, "and its number");
}

static void messages_are_stored(void)
{
    farpost_error_t *error = NULL;
    farpost_receipt_t receipt = {sizeof receipt, 0, 0, 0, 0};
    uint64_t before = 0;
    uint64_t sequence = 0;
    int count;
    for (count = 0; count < 100; count++) {
        require_ok(farpost_session_send(session, (const uint8_t *)"hello", 5, NULL, &sequence, &error), &error, "send");
        require(sequence > before, "sequences rise");
        before = sequence;
    }
    require_ok(farpost_session_flush(session, FARPOST_STAGE_STORED, 0, 10000, &error), &error, "flush");
    require_ok(farpost_session_receipt(session, &receipt, &error), &error, "receipt");
    require(receipt.durable == 1 && receipt.stored >= sequence, "what was flushed is stored");
}

/*
 * A write to a closed connection must not kill the program: the library's threads have SIGPIPE masked, like all signals
 * that are not their own fault. This program has the default disposition.
 */
static void the_librarys_threads_mask_sigpipe(void)
{
    DIR *threads = opendir("/proc/self/task");
    const struct dirent *entry;
    int others = 0;
    require(threads != NULL, "the threads can be listed");
    while ((entry = readdir(threads)) != NULL) {
        char path[300];
        char line[256];
        FILE *status;
        if (entry->d_name[0] == '.' || atol(entry->d_name) == (long)getpid()) {
            continue;
        }
        snprintf(path, sizeof path, "/proc/self/task/%s/status", entry->d_name);
        status = fopen(path, "r");
        while (status != NULL && fgets(line, sizeof line, status) != NULL) {
            if (strncmp(line, "SigBlk:", 7) == 0) {
                unsigned long long blocked = strtoull(line + 7, NULL, 16);
                others++;
                require((blocked >> (SIGPIPE - 1)) & 1, "a thread of the library masks SIGPIPE");
                require((blocked >> (SIGTERM - 1)) & 1, "and SIGTERM");
                require(!((blocked >> (SIGSEGV - 1)) & 1), "but not SIGSEGV");
            }
        }
        if (status != NULL) {
            fclose(status);
        }
    }
    closedir(threads);
    require(others >= 2, "there are threads of the library");
}

/* A signal runs its handler on a thread of the program, never on one of the library. */
static void signals_stay_with_the_program(void)
{
    struct sigaction action;
    int count;
    memset(&action, 0, sizeof action);
    action.sa_handler = on_signal;
    sigaction(SIGUSR1, &action, NULL);
    for (count = 0; count < 100; count++) {
        handled = 0;
        kill(getpid(), SIGUSR1);
        take_until(FARPOST_EVENT_WAKEUP);
        require(handled, "the handler ran");
    }
    require(!handled_elsewhere, "it ran on the main thread");
    signal(SIGUSR1, SIG_IGN);
}

/* NULL and a wrong struct_size on a real session; tests in Rust go through every argument. */
static void what_is_wrong_is_refused(void)
{
    farpost_error_t *error = NULL;
    farpost_receipt_t receipt = {0, 0, 7, 7, 7};
    farpost_send_options_t options = {4, FARPOST_PRIORITY_NORMAL};
    farpost_session_t *none = NULL;
    require(farpost_session_send(NULL, NULL, 0, NULL, NULL, NULL) == FARPOST_ERR_NULL, "NULL is no session");
    require(farpost_session_send(session, NULL, 1, NULL, NULL, NULL) == FARPOST_ERR_NULL, "NULL is no byte");
    require(farpost_session_open(NULL, &none, NULL) == FARPOST_ERR_NULL && none == NULL, "NULL is no configuration");
    require(farpost_session_receipt(session, &receipt, &error) == FARPOST_ERR_ARGUMENT, "struct_size must be set");
    require(receipt.stored == 7, "a result is written on success only");
    require(strstr(farpost_error_message(error), "struct_size") != NULL, "the error says so");
    farpost_error_free(error);
    require(farpost_session_send(session, NULL, 0, &options, NULL, NULL) == FARPOST_ERR_ARGUMENT, "nor be too small");
    require(farpost_session_flush(session, FARPOST_STAGE_DELIVERED, 0, 20, NULL) == FARPOST_ERR_TIMED_OUT,
            "nobody is there to deliver to, and flush does not wait longer than it was told");
}

static void a_child_is_refused(void)
{
    int status = 0;
    pid_t child = fork();
    if (child == 0) {
        farpost_event_t *event = NULL;
        int refused = farpost_session_send(session, NULL, 0, NULL, NULL, NULL) == FARPOST_ERR_FORKED
            && farpost_session_poll(session, -1, &event, NULL) == FARPOST_ERR_FORKED
            && farpost_session_flush(session, FARPOST_STAGE_STORED, 0, -1, NULL) == FARPOST_ERR_FORKED
            && farpost_session_close(session, -1, NULL) == FARPOST_ERR_FORKED && farpost_session_fd(session) == -1;
        farpost_session_wakeup(session);
        farpost_session_free(session);
        /* Not _exit: valgrind would count the session, which a child leaks on purpose. */
        execlp(refused ? "true" : "false", "child", (char *)NULL);
        _exit(1);
    }
    require(child > 0 && waitpid(child, &status, 0) == child, "a child was forked");
    require(WIFEXITED(status) && WEXITSTATUS(status) == 0, "every call in the child is refused");
    require(farpost_session_send(session, NULL, 0, NULL, NULL, NULL) == FARPOST_OK, "and the parent goes on");
}

static void the_end_is_clean(void)
{
    farpost_error_t *error = NULL;
    farpost_event_t *event = NULL;
    farpost_status_t status;
    status = farpost_session_close(session, 100, &error);
    require(status == FARPOST_ERR_TIMED_OUT, "what could not be delivered is told, and kept for the next run");
    farpost_error_free(error);
    error = NULL;
    require(is_readable(), "a closed session is readable");
    do {
        farpost_event_free(event);
        event = NULL;
        status = farpost_session_poll(session, -1, &event, NULL);
    } while (status == FARPOST_OK);
    require(status == FARPOST_ERR_CLOSED, "poll says closed");
    require(farpost_session_send(session, NULL, 0, NULL, NULL, &error) == FARPOST_ERR_CLOSED, "send too");
    farpost_session_free(session);
    session = NULL;
    require(farpost_error_code(error) == FARPOST_CODE_CLOSED && farpost_error_is_fatal(error), "the error is still there");
    farpost_error_free(error);
}

int main(int count, char **arguments)
{
    if (count < 2) {
        fprintf(stderr, "usage: %s agent.toml [abandon]\n", arguments[0]);
        return 2;
    }
    main_thread = pthread_self();
    versions_agree();
    open_session(arguments[1]);
    messages_are_stored();
    if (count > 2) {
        return 0; /* without close or free */
    }
    the_librarys_threads_mask_sigpipe();
    signals_stay_with_the_program();
    what_is_wrong_is_refused();
    a_child_is_refused();
    the_end_is_clean();
    open_session(arguments[1]); /* the state directory is free again */
    farpost_session_free(session);
    return 0;
}
