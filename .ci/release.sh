#!/usr/bin/env bash
# Tries what a release consists of: archives, checksums, lists of what is in the programs, and the
# installer that takes them: .ci/release.sh FOLDER, with programs that cross/build.sh put there, or
# .ci/release.sh with those that the tests built.
set -euo pipefail
cd "$(dirname "$0")/.."

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
version=$(sed -n '/^\[workspace.package\]/,/^\[/s/^version = "\(.*\)"$/\1/p' Cargo.toml)
dist=$work/dist
mkdir "$dist"
if [ $# -gt 0 ]; then
    find "$1" -maxdepth 1 -type f -name "mesh*-$version-*-linux-*" ! -name '*without-aws*' \
        -exec cp -t "$dist" {} +
else
    # Not what is released, but programs all the same.
    for program in mesh mesh-agent; do
        built=${CARGO_TARGET_DIR:-target}/debug/$program
        [ -x "$built" ] || { echo "$built is not there; run cargo build first" >&2; exit 1; }
        install -m 755 "$built" "$dist/$program-$version-$(uname -m)-unknown-linux-gnu"
        if command -v strip >/dev/null; then strip "$dist/$program-$version-"*; fi
    done
fi

# The list names this version and the crates that cargo tree names, and no folder of this machine.
same_crates='
import json
import sys

path, root, program, version = sys.argv[1:]
with open(path, encoding="utf-8") as file:
    text = file.read()
assert root not in text and "/tmp" not in text, "a path of this machine is in it"
bom = json.loads(text)
assert bom["bomFormat"] == "CycloneDX" and bom["specVersion"] == "1.5", bom["specVersion"]
assert bom["metadata"]["component"]["version"] == version, bom["metadata"]["component"]
names = {component["name"] for component in bom["components"]}
names.discard(program)
tree = {line.split()[0] for line in sys.stdin if line.strip()} - {program}
assert tree <= names, f"it lacks {sorted(tree - names)}"
# An optional part of the crate time that nobody turns on; cargo metadata names it all the same.
assert names - tree <= {"time-macros"}, f"it has too much: {sorted(names - tree)}"
print(path.rsplit("/", 1)[1], "names", len(names), "crates, those of cargo tree")
'
if command -v cargo-cyclonedx >/dev/null; then
    .ci/sbom.sh "$dist"
    for program in mesh mesh-agent; do
        cargo tree --locked -p "$program" -e normal --prefix none \
            --target x86_64-unknown-linux-musl >"$work/tree"
        python3 -c "$same_crates" "$dist/$program-$version.cdx.json" "$PWD" "$program" "$version" \
            <"$work/tree"
    done
else
    echo 'no list of crates is written, because cargo-cyclonedx is missing (cargo install --locked cargo-cyclonedx)'
fi

SOURCE_DATE_EPOCH=1 .ci/package.sh "$dist" >/dev/null
(cd "$dist" && sha256sum --quiet --check --strict SHA256SUMS)
(cd "$dist" && find . -type f ! -name SHA256SUMS -printf '%P\n' | sort) >"$work/files"
awk '{ print $2 }' "$dist/SHA256SUMS" | sort | diff -u --label files --label SHA256SUMS "$work/files" -
cp "$dist/SHA256SUMS" "$work/sums"
SOURCE_DATE_EPOCH=1 .ci/package.sh "$dist" >/dev/null
diff -u --label 'the first time' --label 'packed again' "$work/sums" "$dist/SHA256SUMS"
echo "packed twice, with the same bytes: $(cd "$dist" && echo *.tar.gz)"

# As somebody who has nothing but these files.
archive=$dist/anywhere-mesh-$version-$(uname -m).tar.gz
[ -f "$archive" ] || {
    echo "the installer is not tried, because there is no program for $(uname -m)"
    exit 0
}
installer=(sh "$dist/install.sh")
for program in mesh-agent mesh; do
    # With the folder of systemd, as in an image for hosts: else there would be no units.
    root=$work/root-$program
    mkdir -p "$root/etc/systemd/system"
    options=(--program "$program" --root "$root")
    "${installer[@]}" install --from "$archive" --sums "$dist/SHA256SUMS" "${options[@]}" >"$work/log" ||
        { cat "$work/log" >&2; exit 1; }
    installed=$("$root/usr/local/bin/$program" --version)
    [[ $installed == "$program $version"* ]]
    # The units are those of the archive, whatever is beside the installer.
    unit=mesh-agent
    [ "$program" = mesh-agent ] || unit=mesh-ingress
    cmp "systemd/$unit.service" "$root/etc/systemd/system/$unit.service"
    "${installer[@]}" uninstall --purge "${options[@]}" >/dev/null
    left=$(find "$root" ! -type d)
    [ -z "$left" ] || { echo "the installer leaves $left" >&2; exit 1; }
    echo "installed and removed again: $installed"
done

# Nothing whose checksum is another one.
cp "$archive" "$work/changed.tar.gz"
printf x >>"$work/changed.tar.gz"
sed "s|  .*$(uname -m).tar.gz|  changed.tar.gz|" "$dist/SHA256SUMS" >"$work/changed.sums"
mkdir "$work/root"
if "${installer[@]}" install --from "$work/changed.tar.gz" --sums "$work/changed.sums" \
    --root "$work/root" >"$work/log" 2>&1; then
    echo 'the installer took an archive with another checksum' >&2
    exit 1
fi
[ -z "$(find "$work/root" ! -type d)" ]
echo "refused: $(tail -n 1 "$work/log")"
