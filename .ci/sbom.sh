#!/usr/bin/env bash
# Writes down what each program consists of, as CycloneDX: .ci/sbom.sh dist
# It takes cargo-cyclonedx (cargo install --locked cargo-cyclonedx).
set -euo pipefail
cd "$(dirname "$0")/.."

folder=${1:?'give the folder to write to, as in: .ci/sbom.sh dist'}
folder=$(cd "$folder" && pwd)
command -v cargo-cyclonedx >/dev/null || {
    echo 'cargo-cyclonedx is not installed: cargo install --locked cargo-cyclonedx' >&2
    exit 1
}
version=$(sed -n '/^\[workspace.package\]/,/^\[/s/^version = "\(.*\)"$/\1/p' Cargo.toml)
# Dated like the commit, so that the same sources give the same files.
export SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || echo 0)}

# It writes beside each manifest of the workspace, and we want two of them elsewhere.
stage=$(mktemp -d)
trap 'rm -rf "$stage"' EXIT
tree=$stage/tree
mkdir "$tree"
git ls-files -z | tar --null -cf - -T - | tar -C "$tree" -xf -
# What the sample service wants of a crate would be counted as theirs.
sed -i '/^ *"test-app",\{0,1\}$/d' "$tree/Cargo.toml"
(cd "$tree" && cargo cyclonedx --quiet --format json --spec-version 1.5 --describe binaries \
    --no-build-deps --target x86_64-unknown-linux-musl)
for program in mesh mesh-agent; do
    found=$(find "$tree" -name "${program}_bin.cdx.json" | head -n1)
    [ -n "$found" ] || {
        echo "cargo-cyclonedx wrote nothing about $program" >&2
        exit 1
    }
    # Paths of this machine are nobody's business.
    sed "s|path+file://$tree|path+file://|g; s|$tree|.|g" "$found" \
        >"$folder/$program-$version.cdx.json"
done
