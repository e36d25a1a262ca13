#!/usr/bin/env bash
# Gives each file the time at which its content became what it is in this target folder. Cargo compares
# times alone, and a target folder that several clones share, as that of the Dockerfiles, would pass what
# one of them built for that of another whose files are older. What is the same in both stays built.
set -euo pipefail
cd "$(dirname "$0")/.."
seen=${CARGO_TARGET_DIR:-target}/sources
mkdir -p "$seen"
find . -path ./target -prune -o -type f -print0 | while IFS= read -r -d '' file; do
    if cmp -s "$file" "$seen/$file"; then
        touch -r "$seen/$file" "$file"
    else
        touch "$file"
        cp -p --parents "$file" "$seen"
    fi
done
