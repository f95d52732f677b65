/*
 * farpost: carries agents' data across a trust boundary.
 *
 * A call that can fail returns a farpost_status_t and, if its last argument is not NULL, stores a new
 * farpost_error_t there, which the caller frees. Results are written on success only. Every farpost_X_free accepts
 * NULL. Texts are UTF-8 and end with NUL; texts and bytes that a call gives live as long as the object they come
 * from. Numbers never change their meaning; new ones may come.
 *
 * Any thread may call any function, and none blocks, unless its comment says otherwise. An object must not be freed
 * while another call uses it. docs/c.md shows how it all fits together.
 *
 * Written by build.rs from src/ffi and src/code.rs: change those.
 */

#ifndef FARPOST_H
#define FARPOST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** The release that this header belongs to. */
#define FARPOST_VERSION "0.1.0"
#define FARPOST_VERSION_NUMBER 256

/* Results with a name of their own; any other is the negative of a FARPOST_CODE_ constant. */
#define FARPOST_ERR_FULL (-4001)
#define FARPOST_ERR_CLOSED (-5010)
#define FARPOST_ERR_FORKED (-5011)
#define FARPOST_ERR_THREAD (-5012)
#define FARPOST_ERR_TIMED_OUT (-5014)
#define FARPOST_ERR_NULL (-5015)
#define FARPOST_ERR_UTF8 (-5016)
#define FARPOST_ERR_ROLE (-5017)
#define FARPOST_ERR_WOULD_BLOCK (-5019)
#define FARPOST_ERR_ARGUMENT (-5020)
#define FARPOST_ERR_INTERNAL (-9001)
#define FARPOST_ERR_POISONED (-9002)

/* The permanent codes of errors and events. */
#define FARPOST_CODE_CERTIFICATE_MISSING 1001
#define FARPOST_CODE_CHAIN_TOO_LARGE 1002
#define FARPOST_CODE_CERTIFICATE_UNREADABLE 1003
#define FARPOST_CODE_TRUST_MISSING 1004
#define FARPOST_CODE_TRUST_UNUSABLE 1005
#define FARPOST_CODE_KEY_UNREADABLE 1006
#define FARPOST_CODE_KEY_MISMATCH 1007
#define FARPOST_CODE_KEY_EXPOSED 1008
#define FARPOST_CODE_IDENTITY_MISSING 1009
#define FARPOST_CODE_IDENTITY_AMBIGUOUS 1010
#define FARPOST_CODE_PASSWORD_MISSING 1011
#define FARPOST_CODE_PASSWORD_WRONG 1012
#define FARPOST_CODE_PFX_UNREADABLE 1013
#define FARPOST_CODE_PFX_UNPROTECTED 1014
#define FARPOST_CODE_PFX_UNSUPPORTED 1015
#define FARPOST_CODE_PFX_WITHOUT_KEY 1016
#define FARPOST_CODE_PFX_WITHOUT_CERTIFICATE 1017
#define FARPOST_CODE_WORK_TOO_LARGE 1018
#define FARPOST_CODE_KEY_ENCRYPTION_UNSUPPORTED 1019
#define FARPOST_CODE_SOURCE_UNREADABLE 1020
#define FARPOST_CODE_DIRECTORY_EXPOSED 1021
#define FARPOST_CODE_PASSWORD_EXPOSED 1022
#define FARPOST_CODE_KEY_MISSING 1023
#define FARPOST_CODE_CANDIDATE_UNUSABLE 1024
#define FARPOST_CODE_STORE_TOO_LARGE 1025
#define FARPOST_CODE_HANDSHAKE_FAILED 1026
#define FARPOST_CODE_ISSUER_UNKNOWN 1101
#define FARPOST_CODE_PATH_INVALID 1102
#define FARPOST_CODE_SIGNATURE_INVALID 1103
#define FARPOST_CODE_NAME_CONSTRAINT_VIOLATED 1104
#define FARPOST_CODE_INTERMEDIATE_UNUSABLE 1105
#define FARPOST_CODE_CERTIFICATE_NOT_YET_VALID 1201
#define FARPOST_CODE_CERTIFICATE_EXPIRED 1202
#define FARPOST_CODE_EKU_MISSING 1203
#define FARPOST_CODE_EKU_INCOMPLETE 1204
#define FARPOST_CODE_KEY_USAGE_WRONG 1205
#define FARPOST_CODE_KEY_UNSUPPORTED 1206
#define FARPOST_CODE_SIGNATURE_ALGORITHM_WEAK 1207
#define FARPOST_CODE_CERTIFICATE_IS_CA 1208
#define FARPOST_CODE_SAN_MISSING 1301
#define FARPOST_CODE_NAME_MISMATCH 1302
#define FARPOST_CODE_WILDCARD_NAME 1303
#define FARPOST_CODE_COMMON_NAME_NOT_IN_SAN 1304
#define FARPOST_CODE_NAME_UNREADABLE 1305
#define FARPOST_CODE_CERTIFICATE_REVOKED 1401
#define FARPOST_CODE_CRL_MISSING 1402
#define FARPOST_CODE_CRL_STALE 1403
#define FARPOST_CODE_CRL_UNUSABLE 1404
#define FARPOST_CODE_ATTESTATION_INVALID 1501
#define FARPOST_CODE_ATTESTATION_STALE 1502
#define FARPOST_CODE_ATTESTATION_ELSEWHERE 1503
#define FARPOST_CODE_SIGNER_FAILED 1504
#define FARPOST_CODE_CHAIN_UNKNOWN 1505
#define FARPOST_CODE_SIGNER_TIMED_OUT 1506
#define FARPOST_CODE_SIGNER_UNUSABLE 1507
#define FARPOST_CODE_IDENTITY_RELOADED 1601
#define FARPOST_CODE_IDENTITY_RELOAD_FAILED 1602
#define FARPOST_CODE_IDENTITY_NOT_TAKEN 1603
#define FARPOST_CODE_LINK_RENEWED 1604
#define FARPOST_CODE_SUCCESSION_INVALID 1605
#define FARPOST_CODE_REVOCATION_UNKNOWN 1606
#define FARPOST_CODE_CERTIFICATE_EXPIRING 1701
#define FARPOST_CODE_CRL_EXPIRING 1702
#define FARPOST_CODE_CLOCK_STEPPED 1703
#define FARPOST_CODE_OWN_CERTIFICATE_REFUSED 1801
#define FARPOST_CODE_REQUEST_UNUSABLE 1802
#define FARPOST_CODE_REQUEST_REFUSED 1803
#define FARPOST_CODE_REQUESTS_FULL 1804
#define FARPOST_CODE_AUTHORITY_ANSWER_UNUSABLE 1805
#define FARPOST_CODE_TOKEN_UNREADABLE 1806
#define FARPOST_CODE_TOKEN_UNKNOWN 1807
#define FARPOST_CODE_TOKEN_EXPIRED 1808
#define FARPOST_CODE_TOKEN_USED 1809
#define FARPOST_CODE_TOKEN_ELSEWHERE 1810
#define FARPOST_CODE_TOKEN_PROOF_INVALID 1811
#define FARPOST_CODE_TOKENS_FULL 1812
#define FARPOST_CODE_CERTIFICATE_RENEWED 1813
#define FARPOST_CODE_RENEWAL_PENDING 1814
#define FARPOST_CODE_RENEWAL_REFUSED 1815
#define FARPOST_CODE_RENEWAL_NAME_MISMATCH 1816
#define FARPOST_CODE_RENEWAL_BY_HAND 1817
#define FARPOST_CODE_RENEWAL_SIGNATURE_INVALID 1818
#define FARPOST_CODE_RENEWAL_TOO_OFTEN 1819
#define FARPOST_CODE_RENEWAL_FAILED 1820
#define FARPOST_CODE_CERTIFICATE_ISSUED_TO 1821
#define FARPOST_CODE_ENROLMENT_REFUSED 1822
#define FARPOST_CODE_ENROLMENT_UNAVAILABLE 1823
#define FARPOST_CODE_PEER_OVERRAN_CREDIT 2001
#define FARPOST_CODE_FRAME_TOO_LONG 2002
#define FARPOST_CODE_FRAME_UNKNOWN 2003
#define FARPOST_CODE_FRAME_UNEXPECTED 2004
#define FARPOST_CODE_FRAME_MALFORMED 2005
#define FARPOST_CODE_HELLO_TIMEOUT 2006
#define FARPOST_CODE_ALPN_MISSING 2007
#define FARPOST_CODE_VERSION_UNSUPPORTED 2008
#define FARPOST_CODE_TLS_FAILED 2009
#define FARPOST_CODE_CHANNEL_UNKNOWN 2012
#define FARPOST_CODE_SEQUENCE_BROKEN 2013
#define FARPOST_CODE_HELLO_NAME_MISMATCH 2014
#define FARPOST_CODE_GROUP_MISMATCH 2015
#define FARPOST_CODE_TOO_MANY_CONNECTIONS 2016
#define FARPOST_CODE_ROLE_UNEXPECTED 2017
#define FARPOST_CODE_CHANNEL_REUSED 2018
#define FARPOST_CODE_PEER_DOES_NOT_READ 2019
#define FARPOST_CODE_LINK_UP 2101
#define FARPOST_CODE_LINK_DOWN 2102
#define FARPOST_CODE_LINK_SILENT 2103
#define FARPOST_CODE_CONNECT_FAILED 2104
#define FARPOST_CODE_NAME_NOT_RESOLVED 2105
#define FARPOST_CODE_NO_UPSTREAM 2106
#define FARPOST_CODE_FAILED_OVER 2107
#define FARPOST_CODE_FAILED_BACK 2108
#define FARPOST_CODE_UPSTREAM_NOT_ASSIGNED 2109
#define FARPOST_CODE_UPSTREAM_UNAVAILABLE 2110
#define FARPOST_CODE_PEER_REFUSED 2111
#define FARPOST_CODE_SESSION_FENCED 2112
#define FARPOST_CODE_SESSION_STALE 2113
#define FARPOST_CODE_LINK_CLOSED 2114
#define FARPOST_CODE_CHANNEL_CLOSED 2115
#define FARPOST_CODE_AGENT_CONNECTED 2116
#define FARPOST_CODE_AGENT_GONE 2117
#define FARPOST_CODE_GATEWAY_CONNECTED 2118
#define FARPOST_CODE_GATEWAY_GONE 2119
#define FARPOST_CODE_SHUTTING_DOWN 2120
#define FARPOST_CODE_GATEWAY_LOOP 2121
#define FARPOST_CODE_PATH_TOO_LONG 2122
#define FARPOST_CODE_IDENTITY_SHARED 2123
#define FARPOST_CODE_ASSIGNMENT_PENDING 2130
#define FARPOST_CODE_CHANGE_UNCONFIRMED 2135
#define FARPOST_CODE_ASKED_TOO_MUCH 2136
#define FARPOST_CODE_ASK_UNREADABLE 2137
#define FARPOST_CODE_GATEWAY_PENDING 3001
#define FARPOST_CODE_AGENT_PENDING 3002
#define FARPOST_CODE_NAME_REJECTED 3003
#define FARPOST_CODE_ROLE_NOT_APPROVED 3005
#define FARPOST_CODE_SERVER_EXCLUDED 3006
#define FARPOST_CODE_APPROVAL_WITHDRAWN 3007
#define FARPOST_CODE_PARENT_NOT_APPROVED 3008
#define FARPOST_CODE_PENDING_FULL 3009
#define FARPOST_CODE_ASSIGNMENT_FORGED 3010
#define FARPOST_CODE_ASSIGNMENT_OLD 3011
#define FARPOST_CODE_PRIMARY_IS_FAILOVER 3012
#define FARPOST_CODE_NAME_UNKNOWN 3013
#define FARPOST_CODE_AGENT_ELSEWHERE 3015
#define FARPOST_CODE_STORE_UNAVAILABLE 3016
#define FARPOST_CODE_STORE_NEWER 3017
#define FARPOST_CODE_STORE_CORRUPT 3018
#define FARPOST_CODE_STORE_BUSY 3019
#define FARPOST_CODE_ASSIGNMENT_CHANGED 3020
#define FARPOST_CODE_APPROVED 3021
#define FARPOST_CODE_GROUP_KEY_MISMATCH 3022
#define FARPOST_CODE_SERVER_UNKNOWN 3023
#define FARPOST_CODE_STORE_BACK 3030
#define FARPOST_CODE_STORE_LOGIN_FAILED 3031
#define FARPOST_CODE_STORE_FORBIDDEN 3032
#define FARPOST_CODE_STORE_UNTRUSTED 3033
#define FARPOST_CODE_OPERATOR_UNKNOWN 3040
#define FARPOST_CODE_OPERATOR_READ_ONLY 3041
#define FARPOST_CODE_OPERATION_LOCAL 3042
#define FARPOST_CODE_OPERATOR_KEY_MISMATCH 3043
#define FARPOST_CODE_OPERATOR_CONNECTED 3044
#define FARPOST_CODE_OPERATORS_FULL 3045
#define FARPOST_CODE_FAILOVER_NOWHERE 3046
#define FARPOST_CODE_KEY_NOT_PINNED 3050
#define FARPOST_CODE_GATEWAY_MAY_NOT_SPEAK 3051
#define FARPOST_CODE_PATTERN_UNREADABLE 3052
#define FARPOST_CODE_RULE_EXISTS 3053
#define FARPOST_CODE_RULE_UNKNOWN 3054
#define FARPOST_CODE_RULES_FULL 3055
#define FARPOST_CODE_CHAIN_LOOP 3057
#define FARPOST_CODE_CHAIN_TOO_LONG 3058
#define FARPOST_CODE_SITE_UNKNOWN 3059
#define FARPOST_CODE_SITE_TAKEN 3060
#define FARPOST_CODE_NOT_FAILOVER 3061
#define FARPOST_CODE_GROUP_KEY_ROTATED 3062
#define FARPOST_CODE_GROUP_KEY_IN_USE 3063
#define FARPOST_CODE_KEY_BACKUP_UNUSABLE 3064
#define FARPOST_CODE_SERVER_RUNS 3065
#define FARPOST_CODE_SERVER_ASSIGNED 3066
#define FARPOST_CODE_MESSAGE_UNKNOWN 3070
#define FARPOST_CODE_MESSAGE_ENDED 3071
#define FARPOST_CODE_QUEUE_FULL 4001
#define FARPOST_CODE_MESSAGE_TOO_LARGE 4002
#define FARPOST_CODE_QUEUE_CORRUPT 4003
#define FARPOST_CODE_QUEUE_TORN 4004
#define FARPOST_CODE_QUEUE_SYNC_FAILED 4005
#define FARPOST_CODE_QUEUE_FORMAT 4006
#define FARPOST_CODE_QUEUE_DROPPED 4007
#define FARPOST_CODE_ROLLED_BACK 4008
#define FARPOST_CODE_NOT_HELD 4009
#define FARPOST_CODE_CURSOR_FENCED 4010
#define FARPOST_CODE_OUTPUT_FAILED 4013
#define FARPOST_CODE_INPUT_REPLACED 4014
#define FARPOST_CODE_INPUT_UNREADABLE 4015
#define FARPOST_CODE_DOWN_QUEUE_FULL 4018
#define FARPOST_CODE_QUEUE_IN_MEMORY 4019
#define FARPOST_CODE_QUEUE_RECOVERED 4020
#define FARPOST_CODE_CONFIG_UNKNOWN_KEY 5001
#define FARPOST_CODE_CONFIG_BAD_VALUE 5002
#define FARPOST_CODE_CONFIG_MISSING_KEY 5003
#define FARPOST_CODE_FILE_MISSING 5004
#define FARPOST_CODE_FILE_UNREADABLE 5005
#define FARPOST_CODE_STATE_DIRECTORY_IN_USE 5006
#define FARPOST_CODE_LISTEN_FAILED 5007
#define FARPOST_CODE_NOT_RUNNING 5008
#define FARPOST_CODE_USAGE 5009
#define FARPOST_CODE_CLOSED 5010
#define FARPOST_CODE_FORKED 5011
#define FARPOST_CODE_WRONG_THREAD 5012
#define FARPOST_CODE_OPEN_FILES_LOW 5013
#define FARPOST_CODE_TIMED_OUT 5014
#define FARPOST_CODE_NULL_ARGUMENT 5015
#define FARPOST_CODE_NOT_UTF8 5016
#define FARPOST_CODE_ROLE_WRONG 5017
#define FARPOST_CODE_STATE_DIRECTORY_FOREIGN 5018
#define FARPOST_CODE_WOULD_BLOCK 5019
#define FARPOST_CODE_ARGUMENT_INVALID 5020
#define FARPOST_CODE_INTERNAL 9001
#define FARPOST_CODE_POISONED 9002

/**
 * The version of the binary interface, and the number in the library's file name.
 */
#define FARPOST_ABI_VERSION 0

/**
 * The start of a chain: sends messages.
 */
#define FARPOST_ROLE_AGENT 1

/**
 * Accepts agents and forwards all on one connection.
 */
#define FARPOST_ROLE_GATEWAY 2

/**
 * The end of a chain: hands messages to the program.
 */
#define FARPOST_ROLE_MANAGEMENT_SERVER 3

/**
 * Like FARPOST_PRIORITY_NORMAL.
 */
#define FARPOST_PRIORITY_DEFAULT 0

/**
 * Refused or dropped first.
 */
#define FARPOST_PRIORITY_BULK 1

/**
 * What most messages are.
 */
#define FARPOST_PRIORITY_NORMAL 2

/**
 * Never dropped for the others.
 */
#define FARPOST_PRIORITY_CRITICAL 3

/**
 * On this computer's disk: survives the process and power loss.
 */
#define FARPOST_STAGE_STORED 1

/**
 * On a gateway's disk, or further.
 */
#define FARPOST_STAGE_RELAYED 2

/**
 * Acknowledged by the application at the management server.
 */
#define FARPOST_STAGE_DELIVERED 3

/**
 * Something happened at the node: see farpost_event_code and farpost_event_message.
 */
#define FARPOST_EVENT_NOTICE 1

/**
 * A message came from the management server: see farpost_event_payload; acknowledge it.
 */
#define FARPOST_EVENT_MESSAGE 2

/**
 * The queue may have space again after FARPOST_ERR_FULL.
 */
#define FARPOST_EVENT_WRITABLE 3

/**
 * farpost_session_wakeup was called.
 */
#define FARPOST_EVENT_WAKEUP 4

/**
 * Worth knowing; nothing to do.
 */
#define FARPOST_SEVERITY_INFO 1

/**
 * It goes on by itself, but somebody should look.
 */
#define FARPOST_SEVERITY_WARNING 2

/**
 * Somebody has to act.
 */
#define FARPOST_SEVERITY_ERROR 3

/**
 * Either end of TLS, as every link demands: both serverAuth and clientAuth.
 */
#define FARPOST_PEER_ANY 0

/**
 * The peer answers: serverAuth.
 */
#define FARPOST_PEER_SERVER 1

/**
 * The peer dials: clientAuth.
 */
#define FARPOST_PEER_CLIENT 2

/**
 * An exact dNSName; a common name, if there is one, is among them.
 */
#define FARPOST_NAME_RULE_SAN 0

/**
 * Exactly one common name, which is a dNSName as well.
 */
#define FARPOST_NAME_RULE_CN_AND_SAN 1

/**
 * The common name; for old certificates without alternative names.
 */
#define FARPOST_NAME_RULE_CN 2

/**
 * Where lists are given, an issuer without one or with a stale one is refused.
 */
#define FARPOST_CRL_POLICY_IF_GIVEN 0

/**
 * Every issuer needs a current list.
 */
#define FARPOST_CRL_POLICY_REQUIRE 1

/**
 * Only a revocation is refused; the rest is a warning.
 */
#define FARPOST_CRL_POLICY_WARN 2

/**
 * A node's configuration. Any thread.
 */
typedef struct farpost_config_t farpost_config_t;

/**
 * What went wrong: a permanent code, what was found, what was expected, what to do.
 *
 * A function that fails stores one in its last argument, unless that is NULL. The caller frees it.
 */
typedef struct farpost_error_t farpost_error_t;

/**
 * What one poll gave. It owns what it shows: the session may be freed first.
 */
typedef struct farpost_event_t farpost_event_t;

/**
 * What a verification found: for a good peer its names, for another one everything that is wrong.
 */
typedef struct farpost_report_t farpost_report_t;

/**
 * A running node. Any thread may use it; farpost_session_free alone must not race with another call.
 */
typedef struct farpost_session_t farpost_session_t;

/**
 * CA certificates and revocation lists that peers are verified with. Any thread.
 */
typedef struct farpost_trust_t farpost_trust_t;

/**
 * The result of a call: FARPOST_OK, or the negative of a FARPOST_CODE_ constant. New codes may come.
 */
typedef int32_t farpost_status_t;

/**
 * Options of farpost_session_send. Set struct_size to sizeof the struct and all else to 0, then what you need.
 */
typedef struct {
    /**
     * sizeof(farpost_send_options_t).
     */
    uint32_t struct_size;
    /**
     * A FARPOST_PRIORITY_ constant.
     */
    int32_t priority;
} farpost_send_options_t;

/**
 * How far the messages are: each number covers all sequences up to itself; 0 covers none.
 */
typedef struct {
    /**
     * sizeof(farpost_receipt_t), set by the caller.
     */
    uint32_t struct_size;
    /**
     * 1 if the queue is on disk; 0 if it is in memory: then `stored` never comes.
     */
    uint32_t durable;
    /**
     * On this computer's disk.
     */
    uint64_t stored;
    /**
     * On a gateway's disk.
     */
    uint64_t relayed;
    /**
     * Acknowledged by the application at the management server.
     */
    uint64_t delivered;
} farpost_receipt_t;

/**
 * Options of farpost_peer_verify. Set struct_size to sizeof the struct and all else to 0, then what you need.
 */
typedef struct {
    /**
     * sizeof(farpost_verify_options_t).
     */
    uint32_t struct_size;
    /**
     * A FARPOST_PEER_ constant.
     */
    int32_t role;
    /**
     * The time of the verification in seconds since 1970; 0 is now.
     */
    int64_t at_unix_s;
    /**
     * A FARPOST_NAME_RULE_ constant.
     */
    int32_t name_rule;
    /**
     * A FARPOST_CRL_POLICY_ constant.
     */
    int32_t crl_policy;
    /**
     * 1: a certificate with serverAuth alone is enough for either end.
     */
    int32_t accept_server_auth_alone;
    /**
     * 1: the form of RFC 5280 is demanded too (key identifiers, which extensions are critical).
     */
    int32_t strict;
} farpost_verify_options_t;

/**
 * It was done.
 */
#define FARPOST_OK 0

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/**
 * The version of the library's binary interface; compare with FARPOST_ABI_VERSION, or call
 * farpost_abi_is_compatible. Any thread.
 */
uint32_t farpost_abi_version(void);

/**
 * Whether a program that was compiled with this FARPOST_ABI_VERSION can use the library. Any thread.
 */
bool farpost_abi_is_compatible(uint32_t abi_version);

/**
 * The library's release, such as "0.1.0"; FARPOST_VERSION is that of the header. Any thread; never freed.
 */
const char *farpost_version(void);

/**
 * The library's release as major × 65536 + minor × 256 + patch, like FARPOST_VERSION_NUMBER. Any thread.
 */
uint32_t farpost_version_number(void);

/**
 * The permanent code, a FARPOST_CODE_ constant; the status that the call returned is its negative. 0 for NULL.
 *
 * The caller sees to it that:
 * `error` is NULL or was given by a farpost call and is not freed yet.
 */
int32_t farpost_error_code(const farpost_error_t *error);

/**
 * The code's name, such as "QueueFull". Empty for NULL. The text lives as long as the error.
 *
 * The caller sees to it that:
 * `error` is NULL or was given by a farpost call and is not freed yet.
 */
const char *farpost_error_name(const farpost_error_t *error);

/**
 * The whole error as one line, without control characters. Empty for NULL. The text lives as long as the error.
 *
 * The caller sees to it that:
 * `error` is NULL or was given by a farpost call and is not freed yet.
 */
const char *farpost_error_message(const farpost_error_t *error);

/**
 * What was found; may be empty. The text lives as long as the error.
 *
 * The caller sees to it that:
 * `error` is NULL or was given by a farpost call and is not freed yet.
 */
const char *farpost_error_found(const farpost_error_t *error);

/**
 * What was expected instead; may be empty. The text lives as long as the error.
 *
 * The caller sees to it that:
 * `error` is NULL or was given by a farpost call and is not freed yet.
 */
const char *farpost_error_expected(const farpost_error_t *error);

/**
 * What to do; may be empty. The text lives as long as the error.
 *
 * The caller sees to it that:
 * `error` is NULL or was given by a farpost call and is not freed yet.
 */
const char *farpost_error_remedy(const farpost_error_t *error);

/**
 * What it is about: a node, a file, a configuration key, an argument; may be empty. The text lives as long as the
 * error.
 *
 * The caller sees to it that:
 * `error` is NULL or was given by a farpost call and is not freed yet.
 */
const char *farpost_error_subject(const farpost_error_t *error);

/**
 * Whether the same call may succeed later without anybody's help. False for NULL.
 *
 * The caller sees to it that:
 * `error` is NULL or was given by a farpost call and is not freed yet.
 */
bool farpost_error_is_retriable(const farpost_error_t *error);

/**
 * Whether the session is of no more use: close it, free it, open a new one. False for NULL.
 *
 * The caller sees to it that:
 * `error` is NULL or was given by a farpost call and is not freed yet.
 */
bool farpost_error_is_fatal(const farpost_error_t *error);

/**
 * Frees an error. NULL is allowed.
 *
 * The caller sees to it that:
 * `error` is NULL or was given by a farpost call and is not freed yet; no text borrowed from it is used any more.
 */
void farpost_error_free(farpost_error_t *error);

/**
 * Makes a configuration with the defaults of a role, a FARPOST_ROLE_ constant. Any thread; does not block.
 *
 * The caller sees to it that:
 * `config` is NULL or may be written; `error` as well.
 */
farpost_status_t farpost_config_new(int32_t role, farpost_config_t **config, farpost_error_t **error);

/**
 * Reads a configuration from a TOML file, the same that the command `farpost` takes; its key `role` says the role.
 * farpost_config_set may change it afterwards. Any thread; blocks while it reads the file.
 *
 * The caller sees to it that:
 * `path` is NULL or a text that ends with NUL; `config` is NULL or may be written; `error` as well.
 */
farpost_status_t farpost_config_load(const char *path,
                                     farpost_config_t **config,
                                     farpost_error_t **error);

/**
 * Sets one property, such as "upstream.primary" to "gw1.branch.example:5723". Both texts are copied. A list is
 * comma-separated. An unknown key is an error that names the nearest one. Any thread; does not block.
 *
 * The caller sees to it that:
 * `config` is NULL or not freed yet; `key` and `value` are NULL or texts that end with NUL; `error` is NULL or
 * may be written.
 */
farpost_status_t farpost_config_set(farpost_config_t *config,
                                    const char *key,
                                    const char *value,
                                    farpost_error_t **error);

/**
 * Frees a configuration. NULL is allowed. Sessions that were opened with it have their own copy.
 *
 * The caller sees to it that:
 * `config` is NULL or not freed yet, and no other call uses it.
 */
void farpost_config_free(farpost_config_t *config);

/**
 * Opens a session: starts the node that the configuration describes. The configuration is copied and may be freed.
 * Any thread but the library's; blocks while the queue on disk is opened, not for a connection.
 *
 * The caller sees to it that:
 * `config` is NULL or not freed yet; `session` and `error` are NULL or may be written.
 */
farpost_status_t farpost_session_open(const farpost_config_t *config,
                                      farpost_session_t **session,
                                      farpost_error_t **error);

/**
 * The descriptor to wait for with poll(2), epoll or an event loop: readable while farpost_session_poll has something to
 * give (rarely when another thread was faster: then poll gives FARPOST_ERR_WOULD_BLOCK), and from the close of the
 * session on. It is the library's: do not read, write or close it. -1 for NULL and in a forked child. Any
 * thread; does not block.
 *
 * The caller sees to it that:
 * `session` is NULL or not freed yet.
 */
int farpost_session_fd(const farpost_session_t *session);

/**
 * Takes the next event. Waits for one up to `timeout_ms`; 0 does not wait, a negative number waits without limit.
 * FARPOST_ERR_WOULD_BLOCK if none came, or if a signal handler ran meanwhile. A closed session gives what still waits,
 * then FARPOST_ERR_CLOSED. The caller frees the event. Any thread, with a timeout none of the library's.
 *
 * The caller sees to it that:
 * `session` is NULL or not freed yet; `event` and `error` are NULL or may be written.
 */
farpost_status_t farpost_session_poll(farpost_session_t *session,
                                      int32_t timeout_ms,
                                      farpost_event_t **event,
                                      farpost_error_t **error);

/**
 * Makes the descriptor readable and gives a FARPOST_EVENT_WAKEUP to the next poll. Several calls may give one event.
 * NULL is allowed. Any thread; async-signal-safe.
 *
 * The caller sees to it that:
 * `session` is NULL or not freed yet.
 */
void farpost_session_wakeup(const farpost_session_t *session);

/**
 * Sends a message: copies its bytes into the queue. `(NULL, 0)` is an empty message. FARPOST_ERR_FULL if the queue is
 * full: wait for FARPOST_EVENT_WRITABLE. `options` and `sequence` may be NULL. Any thread; does not block.
 *
 * The caller sees to it that:
 * `session` is NULL or not freed yet; `length` bytes can be read at `data`; `options` is NULL or as large as its
 * struct_size says; `sequence` and `error` are NULL or may be written.
 */
farpost_status_t farpost_session_send(farpost_session_t *session,
                                      const uint8_t *data,
                                      size_t length,
                                      const farpost_send_options_t *options,
                                      uint64_t *sequence,
                                      farpost_error_t **error);

/**
 * Tells how far the messages are. Set `receipt->struct_size` first. Any thread; does not block.
 *
 * The caller sees to it that:
 * `session` is NULL or not freed yet; `receipt` is NULL or as large as its struct_size says; `error` is NULL or may be
 * written.
 */
farpost_status_t farpost_session_receipt(const farpost_session_t *session,
                                         farpost_receipt_t *receipt,
                                         farpost_error_t **error);

/**
 * Waits until a stage, a FARPOST_STAGE_ constant, covers a sequence; 0 means everything that was sent so far, in
 * earlier runs too. Waits up to `timeout_ms`, a negative number without limit; then FARPOST_ERR_TIMED_OUT. Without a
 * state directory FARPOST_STAGE_STORED never comes: an error at once. Any thread but the library's.
 *
 * The caller sees to it that:
 * `session` is NULL or not freed yet; `error` is NULL or may be written.
 */
farpost_status_t farpost_session_flush(farpost_session_t *session,
                                       int32_t stage,
                                       uint64_t sequence,
                                       int32_t timeout_ms,
                                       farpost_error_t **error);

/**
 * Reads the identity's files again and takes what they hold into use; the link stays. Files are watched as well: what
 * changed is in use within two seconds without this call. Waits up to `timeout_ms`, a negative number without limit; then
 * FARPOST_ERR_TIMED_OUT, and the reload goes on. On an error the last good identity stays in use. Any thread but the
 * library's.
 *
 * The caller sees to it that:
 * `session` is NULL or not freed yet; `error` is NULL or may be written.
 */
farpost_status_t farpost_session_reload_identity(farpost_session_t *session,
                                                 int32_t timeout_ms,
                                                 farpost_error_t **error);

/**
 * Closes the session: waits up to `timeout_ms`, a negative number without limit, until everything is delivered, then up
 * to 4 s more for the links and the disk. FARPOST_ERR_TIMED_OUT if something was not delivered: it is closed all the
 * same, and the rest stays in the queue on disk for the next run; without a state directory it is lost. Other calls,
 * also those that wait, end with FARPOST_ERR_CLOSED. A repeat is harmless. Any thread but the library's.
 *
 * The caller sees to it that:
 * `session` is NULL or not freed yet; `error` is NULL or may be written.
 */
farpost_status_t farpost_session_close(farpost_session_t *session,
                                       int32_t timeout_ms,
                                       farpost_error_t **error);

/**
 * Frees a session, closed or not; waits for its threads up to 5 s. NULL is allowed. In a forked child nothing happens.
 * Events and errors that it gave stay valid. Must not race with another call on the session.
 *
 * The caller sees to it that:
 * `session` is NULL or not freed yet, and no other call uses it.
 */
void farpost_session_free(farpost_session_t *session);

/**
 * What the event is, a FARPOST_EVENT_ constant; later releases may add kinds: skip those. 0 for NULL.
 *
 * The caller sees to it that:
 * `event` is NULL or was given by farpost_session_poll and is not freed yet.
 */
int32_t farpost_event_kind(const farpost_event_t *event);

/**
 * A notice's permanent code, a FARPOST_CODE_ constant. 0 for other kinds and NULL.
 *
 * The caller sees to it that:
 * `event` is NULL or was given by farpost_session_poll and is not freed yet.
 */
int32_t farpost_event_code(const farpost_event_t *event);

/**
 * How bad it is, a FARPOST_SEVERITY_ constant. 0 for NULL.
 *
 * The caller sees to it that:
 * `event` is NULL or was given by farpost_session_poll and is not freed yet.
 */
int32_t farpost_event_severity(const farpost_event_t *event);

/**
 * A notice's event number in Operations Manager, where it has one; else 0.
 *
 * The caller sees to it that:
 * `event` is NULL or was given by farpost_session_poll and is not freed yet.
 */
int32_t farpost_event_operations_manager(const farpost_event_t *event);

/**
 * When a notice happened, in milliseconds since 1970 (UTC). 0 for other kinds and NULL.
 *
 * The caller sees to it that:
 * `event` is NULL or was given by farpost_session_poll and is not freed yet.
 */
int64_t farpost_event_time_unix_ms(const farpost_event_t *event);

/**
 * The name of a notice's code, such as "FailedOver". Empty for other kinds and NULL. Lives as long as the event.
 *
 * The caller sees to it that:
 * `event` is NULL or was given by farpost_session_poll and is not freed yet.
 */
const char *farpost_event_name(const farpost_event_t *event);

/**
 * What a notice is about: a node, an address, a file; may be empty. Lives as long as the event.
 *
 * The caller sees to it that:
 * `event` is NULL or was given by farpost_session_poll and is not freed yet.
 */
const char *farpost_event_subject(const farpost_event_t *event);

/**
 * A notice as one line, without control characters. Empty for other kinds and NULL. Lives as long as the event.
 *
 * The caller sees to it that:
 * `event` is NULL or was given by farpost_session_poll and is not freed yet.
 */
const char *farpost_event_message(const farpost_event_t *event);

/**
 * A message's number among the messages to this agent. 0 for other kinds and NULL.
 *
 * The caller sees to it that:
 * `event` is NULL or was given by farpost_session_poll and is not freed yet.
 */
uint64_t farpost_event_sequence(const farpost_event_t *event);

/**
 * A message's bytes, which live as long as the event; their count is stored in `length`. NULL and 0 for other kinds
 * and NULL. The bytes of an empty message are not NULL.
 *
 * The caller sees to it that:
 * `event` is NULL or was given by farpost_session_poll and is not freed yet; `length` is NULL or may be written.
 */
const uint8_t *farpost_event_payload(const farpost_event_t *event,
                                     size_t *length);

/**
 * Acknowledges a message, so that it is not handed out again. A repeat is harmless. Any thread; does not block.
 *
 * The caller sees to it that:
 * `event` is NULL or was given by farpost_session_poll and is not freed yet; `error` is NULL or may be written.
 */
farpost_status_t farpost_event_acknowledge(farpost_event_t *event,
                                           farpost_error_t **error);

/**
 * Frees an event. NULL is allowed. A message that was not acknowledged is handed out again by a later session.
 *
 * The caller sees to it that:
 * `event` is NULL or was given by farpost_session_poll and is not freed yet, and no other call uses it; nothing
 * borrowed from it is used any more.
 */
void farpost_event_free(farpost_event_t *event);

/**
 * Reads what to trust: CA certificates, and revocation lists or `(NULL, 0)`; PEM sections, or one object in DER each.
 * There is no system store behind it. FARPOST_CODE_TRUST_UNUSABLE, FARPOST_CODE_TRUST_MISSING, FARPOST_CODE_CRL_UNUSABLE.
 * The bytes are copied. Any thread; does not block, but a list of 500,000 entries takes half a second.
 *
 * The caller sees to it that:
 * As many bytes as the lengths say can be read at `anchors` and `lists`; `trust` and `error` are NULL or may be
 * written.
 */
farpost_status_t farpost_trust_new(const uint8_t *anchors,
                                   size_t anchors_length,
                                   const uint8_t *lists,
                                   size_t lists_length,
                                   farpost_trust_t **trust,
                                   farpost_error_t **error);

/**
 * Frees what farpost_trust_new gave. NULL is allowed. Reports stay valid.
 *
 * The caller sees to it that:
 * `trust` is NULL or not freed yet, and no other call uses it.
 */
void farpost_trust_free(farpost_trust_t *trust);

/**
 * Verifies a peer's chain, leaf first, PEM or one certificate in DER, as sessions verify their peers. `name` is the DNS
 * name that the peer must prove; with NULL, ask farpost_report_name which it proves before you rely on one.
 * FARPOST_OK if and only if the peer is good; otherwise the status is that of the first finding. `report`, unless NULL,
 * is written in both cases, and not where an argument was wrong; the caller frees it. `options` may be NULL. Any thread;
 * does not block.
 *
 * The caller sees to it that:
 * `trust` is NULL or not freed yet; `length` bytes can be read at `chain`; `name` is NULL or a text that ends with NUL;
 * `options` is NULL or as large as its struct_size says; `report` and `error` are NULL or may be written.
 */
farpost_status_t farpost_peer_verify(const farpost_trust_t *trust,
                                     const uint8_t *chain,
                                     size_t length,
                                     const char *name,
                                     const farpost_verify_options_t *options,
                                     farpost_report_t **report,
                                     farpost_error_t **error);

/**
 * Whether the peer is good: nothing is wrong. False for NULL.
 *
 * The caller sees to it that:
 * `report` is NULL or not freed yet.
 */
bool farpost_report_is_good(const farpost_report_t *report);

/**
 * Everything that is wrong, in the order leaf, key, names, path, revocation: the finding with this number, counted from
 * 0, or NULL after the last. It belongs to the report: do not free it.
 *
 * The caller sees to it that:
 * `report` is NULL or not freed yet.
 */
const farpost_error_t *farpost_report_finding(const farpost_report_t *report,
                                              size_t number);

/**
 * What FARPOST_CRL_POLICY_WARN only tells: the warning with this number, counted from 0, or NULL after the last. It
 * belongs to the report: do not free it.
 *
 * The caller sees to it that:
 * `report` is NULL or not freed yet.
 */
const farpost_error_t *farpost_report_warning(const farpost_report_t *report,
                                              size_t number);

/**
 * A name that a good peer proves, counted from 0; NULL after the last, and of a peer that is not good. The text lives
 * as long as the report.
 *
 * The caller sees to it that:
 * `report` is NULL or not freed yet.
 */
const char *farpost_report_name(const farpost_report_t *report,
                                size_t number);

/**
 * When the first certificate of a good peer's path ends, in seconds since 1970. 0 for another one, and for NULL.
 *
 * The caller sees to it that:
 * `report` is NULL or not freed yet.
 */
int64_t farpost_report_not_after_unix_s(const farpost_report_t *report);

/**
 * All findings as text for people, several lines each; empty for a good peer and for NULL. The text lives as long as the
 * report.
 *
 * The caller sees to it that:
 * `report` is NULL or not freed yet.
 */
const char *farpost_report_text(const farpost_report_t *report);

/**
 * Frees a report. NULL is allowed.
 *
 * The caller sees to it that:
 * `report` is NULL or not freed yet; nothing borrowed from it is used any more.
 */
void farpost_report_free(farpost_report_t *report);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* FARPOST_H */
