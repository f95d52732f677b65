#!/bin/sh
# Makes the first corpora from the golden bytes: one frame per kind for wire_decoder, a segment for queue_recovery.
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
