#!/bin/sh
# Makes the first corpora: from the golden bytes one frame per kind for wire_decoder and a segment for queue_recovery;
# requests of OpenSSL for identity_request, one file of every format for identity_import, its first byte being the options
# (src/fuzzing.rs); a CA, a node's certificate and lists for crl and chain.
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

mkdir -p corpus/crl corpus/chain
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cat > "$work/ca.cnf" <<END
[ca]
default_ca = lab
[lab]
database = $work/index
crlnumber = $work/number
default_md = sha256
default_crl_days = 36500
certificate = $work/ca.pem
private_key = $work/ca.key
END
: > "$work/index"
echo 01 > "$work/number"
printf 'subjectAltName=DNS:pc7.branch.example\nkeyUsage=digitalSignature\nextendedKeyUsage=serverAuth,clientAuth\n' \
    > "$work/extensions"
key="-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes"
# shellcheck disable=SC2086
{
    openssl req -x509 $key -days 36500 -subj /CN=root -addext keyUsage=critical,keyCertSign,cRLSign \
        -keyout "$work/ca.key" -out "$work/ca.pem"
    openssl req -new $key -subj /CN=pc7.branch.example -keyout "$work/leaf.key" -out "$work/leaf.csr"
    openssl x509 -req -in "$work/leaf.csr" -CA "$work/ca.pem" -CAkey "$work/ca.key" -set_serial 7 -days 36500 \
        -extfile "$work/extensions" -out "$work/leaf.pem"
    openssl ca -config "$work/ca.cnf" -gencrl -out corpus/crl/empty.pem
    openssl ca -config "$work/ca.cnf" -revoke "$work/leaf.pem"
    openssl ca -config "$work/ca.cnf" -gencrl -out corpus/crl/one.pem
} 2> "$work/told" || { cat "$work/told"; exit 1; }
for list in empty one; do
    openssl crl -in corpus/crl/$list.pem -outform DER -out corpus/crl/$list
done
openssl x509 -in "$work/ca.pem" -outform DER -out "$work/0"
openssl x509 -in "$work/leaf.pem" -outform DER -out "$work/1"
# An item of the target: kind, length, bytes.
item() {
    length=$(wc -c < "$2")
    printf "\\$(printf %03o "$1")\\$(printf %03o $((length / 256)))\\$(printf %03o $((length % 256)))"
    cat "$2"
}
for list in empty one; do
    { item 0 "$work/0"; item 1 "$work/1"; item 2 corpus/crl/$list; } > corpus/chain/$list
done
