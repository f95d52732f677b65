#!/bin/sh
# Makes the first corpora: a golden frame per kind for wire_decoder, a golden segment for queue_recovery, requests of
# openssl for identity_request.
set -eu
cd "$(dirname "$0")"
mkdir -p corpus/wire_decoder
for hex in ../tests/golden/wire-1/*.hex; do
    grep -v '^#' "$hex" | xxd -r -p > "corpus/wire_decoder/$(basename "$hex" .hex)"
done
mkdir -p corpus/queue_recovery
for parts in 00 01 02; do
    { echo $parts; cat ../tests/golden/queue-segment-1.hex; } | xxd -r -p > "corpus/queue_recovery/segment-$parts"
done
mkdir -p corpus/identity_request
for key in rsa:2048 ec ed25519; do
    case $key in ec) arguments="ec -pkeyopt ec_paramgen_curve:P-256" ;; *) arguments=$key ;; esac
    for purposes in serverAuth serverAuth,clientAuth; do
        # shellcheck disable=SC2086
        openssl req -new -nodes -newkey $arguments -keyout /dev/null -subj /CN=pc7.branch.example -outform DER \
            -addext subjectAltName=DNS:pc7.branch.example -addext "extendedKeyUsage=$purposes" \
            -out "corpus/identity_request/${key%%:*}-$purposes" 2>/dev/null
    done
done
echo fpt1-B9D5MPJ-TB9D5MP-JTB9D5M-PJTB9D5-MPJTB9D-5MPJTB9-D5MPJTB-9D359YZ > corpus/identity_request/token
