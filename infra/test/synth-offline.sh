#!/usr/bin/env bash
# Makes the template without network, home, credentials or any variable of the caller.
set -euo pipefail
cd "$(dirname "$0")/.."

home=$(mktemp -d)
trap 'rm -rf "$home"' EXIT
node_folder=$(dirname "$(command -v node)")
unshare --net --map-root-user env -i PATH="$node_folder:/usr/bin:/bin" HOME="$home" CI=1 \
    ./node_modules/.bin/cdk synth --quiet --no-notices --output "$home/cdk.out" "$@"
for template in "$home"/cdk.out/*.template.json; do
    echo "made without a network: $(basename "$template")"
done
