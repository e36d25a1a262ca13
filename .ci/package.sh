#!/usr/bin/env bash
# Packs what a host needs, for each target whose programs are in a folder: .ci/package.sh dist
# The same programs give the same bytes: order, owners and times do not depend on the machine.
set -euo pipefail
cd "$(dirname "$0")/.."

folder=${1:?'give the folder of the programs, as in: .ci/package.sh dist'}
version=$(sed -n '/^\[workspace.package\]/,/^\[/s/^version = "\(.*\)"$/\1/p' Cargo.toml)
time=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || echo 0)}
stage=$(mktemp -d)
trap 'rm -rf "$stage"' EXIT

found=0
for program in "$folder/mesh-agent-$version"-*-linux-*; do
    [ -f "$program" ] || continue
    target=${program#"$folder/mesh-agent-$version-"}
    name=anywhere-mesh-$version-${target%%-*}
    mkdir -p "$stage/$name/systemd"
    install -m 755 "$program" "$stage/$name/mesh-agent"
    install -m 755 "$folder/mesh-$version-$target" "$stage/$name/mesh"
    install -m 755 install.sh "$stage/$name/install.sh"
    install -m 644 LICENSE CHANGELOG.md "$stage/$name/"
    cp -r systemd/*.service systemd/*.service.d systemd/*.env "$stage/$name/systemd/"
    chmod -R u=rwX,go=rX "$stage/$name"
    tar -C "$stage" --sort=name --mtime="@$time" --owner=0 --group=0 --numeric-owner \
        --format=gnu -cf - "$name" | gzip -n9 >"$folder/$name.tar.gz"
    found=$((found + 1))
done
if [ "$found" = 0 ]; then
    echo "there is no mesh-agent-$version-TARGET in $folder" >&2
    exit 1
fi
install -m 755 install.sh "$folder/install.sh"
# Programs, archives, the installer, and lists of what they consist of.
(
    cd "$folder"
    # Found first: the shell makes the file before find looks, and it must not be in itself.
    rm -f SHA256SUMS
    files=$(find . -maxdepth 1 -type f -printf '%P\n' | LC_ALL=C sort)
    xargs sha256sum <<<"$files" >SHA256SUMS
    cat SHA256SUMS
)
