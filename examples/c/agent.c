/*
 * An agent in C: sends the lines of standard input and prints what comes back.
 *
 *     agent agent.toml < /var/log/app.log
 *
 * One thread, one poll(2) over standard input and the session's descriptor. What was read is sent or kept:
 * when the queue is full the program stops reading until the session says that it is writable again.
 */
#define _POSIX_C_SOURCE 200809L

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "farpost.h"

enum { LINE_BYTES_MAX = 65536, CLOSE_MS = 10000 };

static farpost_session_t *session;
static volatile sig_atomic_t stopped;

static void stop(int signal_number)
{
    (void)signal_number;
    stopped = 1;
    farpost_session_wakeup(session); /* async-signal-safe */
}

/* Tells what went wrong and what to do, and frees the error. */
static void report(farpost_error_t *error)
{
    fprintf(stderr, "%s\n", farpost_error_message(error)); /* begins with the code, such as FP4001 */
    farpost_error_free(error);
}

/* Sends one line. Returns 1 if it was taken, 0 if the queue is full, -1 on failure. */
static int send_line(const char *line, size_t length)
{
    farpost_send_options_t options = {sizeof options, FARPOST_PRIORITY_NORMAL};
    farpost_error_t *error = NULL;
    uint64_t sequence = 0;
    farpost_status_t status =
        farpost_session_send(session, (const uint8_t *)line, length, &options, &sequence, &error);
    if (status == FARPOST_OK) {
        return 1;
    }
    if (status == FARPOST_ERR_FULL) {
        farpost_error_free(error);
        return 0;
    }
    report(error);
    return -1;
}

/* Sends the whole lines of a buffer and keeps the rest. Returns what send_line returned last. */
static int send_lines(char *buffer, size_t *filled, int at_end)
{
    int taken = 1;
    size_t start = 0;
    while (start < *filled) {
        char *newline = memchr(buffer + start, '\n', *filled - start);
        size_t length = newline != NULL ? (size_t)(newline - buffer) - start : *filled - start;
        if (newline == NULL && !at_end && *filled < LINE_BYTES_MAX) {
            break; /* the line goes on */
        }
        taken = send_line(buffer + start, length);
        if (taken != 1) {
            break;
        }
        start += length + (newline != NULL ? 1 : 0);
    }
    memmove(buffer, buffer + start, *filled - start);
    *filled -= start;
    return taken;
}

/* Prints a message from the management server. It is acknowledged once it is out: until then it comes again. */
static void take_message(farpost_event_t *event)
{
    farpost_error_t *error = NULL;
    size_t length = 0;
    const uint8_t *payload = farpost_event_payload(event, &length);
    if (fwrite(payload, 1, length, stdout) != length || putchar('\n') == EOF || fflush(stdout) != 0) {
        perror("standard output");
        return;
    }
    if (farpost_event_acknowledge(event, &error) != FARPOST_OK) {
        report(error);
    }
}

/* Takes everything that waits. Sets *writable if the queue has space again. Returns -1 on failure. */
static int take_events(int *writable)
{
    for (;;) {
        farpost_event_t *event = NULL;
        farpost_error_t *error = NULL;
        farpost_status_t status = farpost_session_poll(session, 0, &event, &error);
        if (status == FARPOST_ERR_WOULD_BLOCK) {
            farpost_error_free(error);
            return 0;
        }
        if (status != FARPOST_OK) {
            report(error);
            return -1;
        }
        switch (farpost_event_kind(event)) {
        case FARPOST_EVENT_NOTICE:
            fprintf(stderr, "%s\n", farpost_event_message(event));
            break;
        case FARPOST_EVENT_MESSAGE:
            take_message(event);
            break;
        case FARPOST_EVENT_WRITABLE:
            *writable = 1;
            break;
        default: /* kinds that a later release adds */
            break;
        }
        farpost_event_free(event);
    }
}

static int run(void)
{
    static char buffer[LINE_BYTES_MAX];
    size_t filled = 0;
    int writable = 1;
    int at_end = 0;
    while (!stopped && !(at_end && filled == 0)) {
        struct pollfd ready[2];
        ready[0].fd = farpost_session_fd(session);
        ready[0].events = POLLIN;
        ready[0].revents = 0;
        ready[1].fd = writable && !at_end ? STDIN_FILENO : -1;
        ready[1].events = POLLIN;
        ready[1].revents = 0;
        if (poll(ready, 2, -1) < 0 && errno != EINTR) {
            perror("poll");
            return 1;
        }
        if (take_events(&writable) != 0) {
            return 1;
        }
        if (ready[1].revents != 0) {
            ssize_t count = read(STDIN_FILENO, buffer + filled, sizeof buffer - filled);
            if (count < 0 && errno != EINTR) {
                perror("read");
                return 1;
            }
            at_end = count == 0;
            filled += count > 0 ? (size_t)count : 0;
        }
        if (writable) {
            int taken = send_lines(buffer, &filled, at_end);
            if (taken < 0) {
                return 1;
            }
            writable = taken;
        }
    }
    return 0;
}

int main(int count, char **arguments)
{
    farpost_config_t *config = NULL;
    farpost_error_t *error = NULL;
    farpost_receipt_t receipt = {sizeof receipt, 0, 0, 0, 0};
    struct sigaction action;
    int result;

    if (count != 2) {
        fprintf(stderr, "usage: %s agent.toml\n", arguments[0]);
        return 2;
    }
    if (!farpost_abi_is_compatible(FARPOST_ABI_VERSION)) {
        fprintf(stderr, "farpost.h is of ABI %d, the library (%s) of ABI %u\n", FARPOST_ABI_VERSION,
                farpost_version(), (unsigned)farpost_abi_version());
        return 1;
    }
    if (farpost_config_load(arguments[1], &config, &error) != FARPOST_OK) {
        report(error);
        return 1;
    }
    if (farpost_session_open(config, &session, &error) != FARPOST_OK) {
        report(error);
        farpost_config_free(config);
        return 1;
    }
    farpost_config_free(config); /* the session has its own copy */

    memset(&action, 0, sizeof action);
    action.sa_handler = stop;
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);

    result = run();

    if (farpost_session_close(session, CLOSE_MS, &error) != FARPOST_OK) {
        report(error); /* FARPOST_ERR_TIMED_OUT: what is undelivered is on disk and goes out in the next run */
    }
    if (farpost_session_receipt(session, &receipt, NULL) == FARPOST_OK) {
        fprintf(stderr, "stored up to %llu, delivered up to %llu\n", (unsigned long long)receipt.stored,
                (unsigned long long)receipt.delivered);
    }
    signal(SIGINT, SIG_DFL);
    signal(SIGTERM, SIG_DFL);
    farpost_session_free(session);
    return result;
}
