#!/bin/sh
# Makes the first corpus of wire_decoder from the golden frames: one file per kind.
set -eu
cd "$(dirname "$0")"
mkdir -p corpus/wire_decoder
for hex in ../tests/golden/wire-1/*.hex; do
    grep -v '^#' "$hex" | xxd -r -p > "corpus/wire_decoder/$(basename "$hex" .hex)"
done
