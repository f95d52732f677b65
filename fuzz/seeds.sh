#!/bin/sh
# Makes the first corpora: from the golden bytes one frame per kind for wire_decoder and a segment for queue_recovery;
# requests of OpenSSL for identity_request, and one file of every format for identity_import, its first byte being the
# options (src/fuzzing.rs).
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
mkdir -p corpus/identity_import
import=$PWD/corpus/identity_import
files=$(mktemp -d)
(
    cd "$files"
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout key.pem -out leaf.pem -days 9 \
        -subj /CN=pc7.branch.example -addext subjectAltName=DNS:pc7.branch.example 2> /dev/null
    cat key.pem leaf.pem > all.pem
    openssl x509 -in leaf.pem -outform DER -out leaf.der
    openssl crl2pkcs7 -nocrl -certfile leaf.pem -outform DER -out chain.p7b
    openssl pkcs8 -topk8 -in key.pem -outform DER -passout pass:x -iter 1 -out encrypted.der
    openssl pkcs8 -topk8 -in key.pem -outform DER -nocrypt -out plain.der
    export="openssl pkcs12 -export -in leaf.pem -inkey key.pem -passout pass:x -iter 1"
    $export -out new.p12
    $export -legacy -descert -out old-3des.p12
    $export -legacy -certpbe PBE-SHA1-RC2-40 -out old-rc2.p12
    $export -nomac -out no-mac.p12
    $export -keypbe NONE -certpbe NONE -out in-clear.p12
    for file in *; do { printf '\002'; cat "$file"; } > "$import/$file"; done
)
rm -r "$files"
