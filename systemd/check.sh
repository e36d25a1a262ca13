#!/usr/bin/env bash
# Looks whether systemd understands the units, and how exposed it finds them, with each of their
# drop-ins. Neither systemd nor the programs have to run here.
set -euo pipefail
cd "$(dirname "$0")"

# In tenths, as systemd counts them: 100 is a unit without any restriction.
exposure_max=20

if ! command -v systemd-analyze >/dev/null; then
    echo 'the units are not checked: there is no systemd-analyze (Debian: apt-get install systemd)'
    exit 0
fi
version=$(systemd-analyze --version | sed -n '1s/^systemd \([0-9]*\).*/\1/p')

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
failed=0

# check UNIT [DROP-IN]
check() {
    local unit=$1 drop_in=${2:-} place="$folder/$1-${2:-plain}"
    local name="$unit${drop_in:+ with $drop_in}"
    mkdir -p "$place/$unit.d"
    # verify wants programs that are there.
    sed 's|=/usr/local/bin/mesh[a-z-]*|=/bin/true|' "$unit" >"$place/$unit"
    [ -z "$drop_in" ] || cp "$unit.d/$drop_in" "$place/$unit.d/"
    # It also tells of other units of this machine, which are not ours.
    local complaints
    complaints=$(systemd-analyze verify --man=no --recursive-errors=no "$place/$unit" 2>&1 |
        grep -F 'mesh-' || true)
    if [ -n "$complaints" ]; then
        printf '%s: %s\n' "$name" "$complaints" >&2
        failed=1
    fi
    local verdict
    if ! verdict=$(systemd-analyze security --no-pager --offline=true \
        --threshold="$exposure_max" "$place/$unit" 2>&1); then
        printf '%s\n%s: too exposed\n' "$verdict" "$name" >&2
        failed=1
    fi
    printf '%s: exposure %s\n' "$name" \
        "$(sed -n 's/.*exposure level for .*: \([0-9.]*\) .*/\1/p' <<<"$verdict")"
}

# %d is not known before systemd 251, and hosts with less are in use.
if grep -n '^[^#]*%d' ./*.service ./*.service.d/*.conf; then
    echo 'take %t/credentials/%n in place of %d' >&2
    failed=1
fi
for unit in *.service; do
    check "$unit"
    for drop_in in "$unit".d/*.conf; do
        name=${drop_in##*/}
        if [ "$name" = backoff.conf ] && [ "$version" -lt 254 ]; then
            echo "$unit with $name is not checked: systemd $version is older than 254"
            continue
        fi
        check "$unit" "$name"
    done
done
exit "$failed"
