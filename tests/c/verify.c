/*
 * Verifies chains as a C program does.
 *
 *     verify CA CHAIN NAME OTHER_CHAIN
 *
 * CHAIN is NAME's and good, OTHER_CHAIN is of another CA. Prints the first thing that is wrong and exits with 1.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "farpost.h"

static void require(int holds, const char *what)
{
    if (!holds) {
        fprintf(stderr, "not so: %s\n", what);
        exit(1);
    }
}

static size_t read_file(const char *path, uint8_t *bytes, size_t size)
{
    FILE *file = fopen(path, "rb");
    size_t length;
    require(file != NULL, path);
    length = fread(bytes, 1, size, file);
    fclose(file);
    require(length > 0 && length < size, path);
    return length;
}

static farpost_verify_options_t options_for(int32_t role)
{
    farpost_verify_options_t options;
    memset(&options, 0, sizeof options);
    options.struct_size = sizeof options;
    options.role = role;
    return options;
}

static void good_chains(const farpost_trust_t *trust, const uint8_t *chain, size_t length, const char *name)
{
    static const int32_t roles[] = {FARPOST_PEER_ANY, FARPOST_PEER_SERVER, FARPOST_PEER_CLIENT};
    farpost_report_t *report = NULL;
    farpost_error_t *error = NULL;
    size_t at;
    for (at = 0; at < sizeof roles / sizeof roles[0]; at++) {
        farpost_verify_options_t options = options_for(roles[at]);
        require(farpost_peer_verify(trust, chain, length, name, &options, &report, &error) == FARPOST_OK, "good");
        require(error == NULL && farpost_report_is_good(report), "a good report");
        require(farpost_report_finding(report, 0) == NULL && farpost_report_warning(report, 0) == NULL, "nothing");
        require(strcmp(farpost_report_name(report, 0), name) == 0, "the name");
        require(farpost_report_name(report, 1) == NULL, "one name");
        require(farpost_report_not_after_unix_s(report) > 1700000000, "an end");
        farpost_report_free(report);
        report = NULL;
    }
    require(farpost_peer_verify(trust, chain, length, NULL, NULL, NULL, NULL) == FARPOST_OK, "no options");
}

static void bad_chains(const farpost_trust_t *trust, const uint8_t *chain, size_t length, int32_t expected,
                       const char *name, int64_t at)
{
    farpost_verify_options_t options = options_for(FARPOST_PEER_ANY);
    farpost_report_t *report = NULL;
    farpost_error_t *error = NULL;
    const farpost_error_t *finding;
    size_t number = 0;
    int32_t status;
    options.at_unix_s = at;
    status = farpost_peer_verify(trust, chain, length, name, &options, &report, &error);
    require(status == -expected && farpost_error_code(error) == expected, "the status is the first finding's");
    require(!farpost_report_is_good(report) && farpost_report_name(report, 0) == NULL, "no name of a bad peer");
    require(strlen(farpost_report_text(report)) > 0, "a text");
    while ((finding = farpost_report_finding(report, number)) != NULL) {
        require(farpost_error_code(finding) > 1000 && strlen(farpost_error_found(finding)) > 0, "a finding");
        require(strlen(farpost_error_remedy(finding)) > 0, "a remedy");
        number++;
    }
    require(number > 0, "a finding at least");
    farpost_report_free(report);
    farpost_error_free(error);
}

int main(int count, char **arguments)
{
    static uint8_t ca[65536], chain[65536], other[65536];
    size_t ca_length, length, other_length, cut;
    farpost_trust_t *trust = NULL;
    farpost_report_t *report = NULL;
    farpost_verify_options_t options = options_for(9);
    require(count == 5, "usage: verify CA CHAIN NAME OTHER_CHAIN");
    ca_length = read_file(arguments[1], ca, sizeof ca);
    length = read_file(arguments[2], chain, sizeof chain);
    other_length = read_file(arguments[4], other, sizeof other);

    require(farpost_trust_new(NULL, 0, NULL, 0, &trust, NULL) == -FARPOST_CODE_TRUST_UNUSABLE, "no anchors");
    require(farpost_trust_new(chain, length, NULL, 0, &trust, NULL) == -FARPOST_CODE_TRUST_UNUSABLE, "a leaf");
    require(trust == NULL, "nothing was written");
    require(farpost_trust_new(ca, ca_length, NULL, 0, &trust, NULL) == FARPOST_OK, "trust");

    good_chains(trust, chain, length, arguments[3]);
    bad_chains(trust, chain, length, FARPOST_CODE_NAME_MISMATCH, "elsewhere.example", 0);
    bad_chains(trust, chain, length, FARPOST_CODE_CERTIFICATE_EXPIRED, arguments[3], 253402300799);
    bad_chains(trust, other, other_length, FARPOST_CODE_SIGNATURE_INVALID, arguments[3], 0);
    bad_chains(trust, NULL, 0, FARPOST_CODE_CERTIFICATE_UNREADABLE, arguments[3], 0);
    for (cut = 1; cut < length; cut += 37) {
        farpost_status_t status = farpost_peer_verify(trust, chain, cut, NULL, NULL, NULL, NULL);
        require(status == -FARPOST_CODE_CERTIFICATE_UNREADABLE || status == FARPOST_OK, "a chain that is cut short");
    }
    require(farpost_peer_verify(trust, chain, length, "no name", NULL, &report, NULL) == -FARPOST_CODE_NAME_UNREADABLE,
            "a name that is none");
    require(farpost_peer_verify(trust, chain, length, NULL, &options, &report, NULL) == FARPOST_ERR_ARGUMENT, "a role");
    options.struct_size = 4;
    require(farpost_peer_verify(trust, chain, length, NULL, &options, &report, NULL) == FARPOST_ERR_ARGUMENT, "a size");
    require(report == NULL, "no report where an argument is wrong");
    farpost_trust_free(trust);
    return 0;
}
