#!/usr/bin/env bash
# Tries install.sh in a temporary root, with programs and a systemctl that only pretend.
set -uo pipefail
here=$(cd "$(dirname "$0")/../.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# dash, busybox sh or bash: any of them has to do.
shell=${SHELL_UNDER_TEST:-sh}
failures=0
out=''

# --- What the tests are made of ------------------------------------------------------------------

# A root of its own, with systemd in it.
fresh() {
    echo "- $*"
    root=$work/root
    rm -rf "$root" "$work/calls" "$work/broken"
    mkdir -p "$root/run/systemd/system"
    : >"$work/calls"
}

# release VERSION PROGRAM: a program that says its version, in folder $work/VERSION, and its sums.
release() {
    mkdir -p "$work/$1"
    printf '#!/bin/sh\necho "%s %s"\n' "$2" "$1" >"$work/$1/$2"
    chmod +x "$work/$1/$2"
    (cd "$work/$1" && sha256sum "$2" >SHA256SUMS)
}

# run STATUS ARGUMENTS...: install.sh in that root must end with this status.
run() {
    local expected=$1 status=0
    shift
    out=$(PATH="$work/bin:$PATH" CALLS="$work/calls" BROKEN="$work/broken" \
        "$shell" "$here/install.sh" "$@" --root "$root" 2>&1) || status=$?
    [ "$status" = "$expected" ] || blame "status $status instead of $expected: install.sh $*" "$out"
}

blame() {
    failures=$((failures + 1))
    printf 'FAILED: %s\n' "$@" >&2
}

says() { grep -qF -- "$1" <<<"$out" || blame "it does not say \"$1\"" "$out"; }
says_not() { ! grep -qF -- "$1" <<<"$out" || blame "it says \"$1\"" "$out"; }
called() { grep -qxF -- "$1" "$work/calls" || blame "no call \"$1\"" "$(cat "$work/calls")"; }
not_called() { ! grep -q -- "$1" "$work/calls" || blame "a call \"$1\"" "$(cat "$work/calls")"; }
is_there() { [ -e "$root/$1" ] || blame "$1 is not there"; }
is_gone() { [ ! -e "$root/$1" ] || blame "$1 is there"; }
has_version() {
    [ "$("$root/usr/local/bin/$1" --version)" = "$1 $2" ] || blame "$1 is not of version $2"
}
mode_of() { [ "$(stat -c %a "$root/$1")" = "$2" ] || blame "$1 has not the mode $2"; }

# begin PROGRAM: a process of it, as $former, which systemctl takes for the unit's.
begin() {
    "$1" 300 &
    former=$!
    echo "$former" >"$work/pid"
    # Until then it is of the program that runs this test.
    for _ in $(seq 1000); do
        [ ! "/proc/$former/exe" -ef "$1" ] || return
        sleep 0.01
    done
    blame "$1 does not begin"
}

mkdir -p "$work/bin"
# Notes its words. A restart fails as often as $BROKEN has lines.
cat >"$work/bin/systemctl" <<'FAKE'
#!/bin/sh
printf '%s\n' "$*" >>"$CALLS"
case $1 in
    --version) echo "systemd ${SYSTEMD:-252} (252.1)" ;;
    is-active) [ "$2" = --quiet ] || echo "${STATE:-active}"; [ "${STATE:-active}" = active ] ;;
    is-enabled) echo enabled ;;
    show)
        case $2 in
            --property=MainPID) cat "${CALLS%/calls}/pid" 2>/dev/null || echo 0 ;;
            *) echo "${SAID:-registered, tunnels: 1 of 1, service: healthy}" ;;
        esac
        ;;
    restart | start)
        if [ -s "$BROKEN" ]; then
            sed -i 1d "$BROKEN"
            exit 1
        fi
        ;;
esac
FAKE
# Fetches from a folder, and notes how it was asked to.
cat >"$work/bin/curl" <<'FAKE'
#!/bin/sh
printf 'curl %s\n' "$*" >>"$CALLS"
while [ $# -gt 1 ]; do
    [ "$1" != --output ] || target=$2
    shift
done
file=${1##*/}
cp "${CALLS%/calls}/1.0.0/${file%%\?*}" "$target"
FAKE
chmod +x "$work/bin/systemctl" "$work/bin/curl"

release 1.0.0 mesh-agent
release 2.0.0 mesh-agent
release 3.0.0 mesh
agent1=(--from "$work/1.0.0/mesh-agent" --sums "$work/1.0.0/SHA256SUMS")
agent2=(--from "$work/2.0.0/mesh-agent" --sums "$work/2.0.0/SHA256SUMS")
unit=etc/systemd/system/mesh-agent.service

# --- Tests ---------------------------------------------------------------------------------------

fresh 'an agent without settings is installed, enabled and not started'
STATE=inactive run 0 install "${agent1[@]}"
has_version mesh-agent 1.0.0
is_there "$unit"
mode_of usr/local/bin/mesh-agent 755
mode_of etc/mesh/agent.env 600
called daemon-reload
called 'enable --quiet mesh-agent'
not_called '^start'
says 'it has no settings yet'
is_gone "$unit.d"
echo '- and so it is by an upgrade'
STATE=inactive run 0 upgrade "${agent2[@]}"
not_called '^start'
not_called '^restart'
says 'it has no settings yet'

fresh 'an agent that runs has settings, wherever they are, and is restarted by an upgrade'
STATE=inactive run 0 install "${agent1[@]}"
run 0 upgrade "${agent2[@]}"
called 'restart mesh-agent'
says_not 'no settings yet'

fresh 'with settings it is started, and a second time changes nothing'
mkdir -p "$root/etc/mesh"
echo MESH_HOST=a.example.com >"$root/etc/mesh/agent.env"
run 0 install "${agent1[@]}"
called 'start mesh-agent'
before=$(cd "$root" && find . -type f -newermt '1970-01-01' -exec stat -c '%n %Y %i' {} + | sort)
: >"$work/calls"
run 0 install "${agent1[@]}"
says 'is there already'
says 'nothing has changed'
not_called '^restart'
after=$(cd "$root" && find . -type f -exec stat -c '%n %Y %i' {} + | sort)
[ "$before" = "$after" ] || blame 'files have changed'
[ "$(cat "$root/etc/mesh/agent.env")" = MESH_HOST=a.example.com ] || blame 'settings have changed'

echo '- an upgrade restarts and keeps the old program'
run 0 upgrade "${agent2[@]}"
has_version mesh-agent 2.0.0
[ "$("$root/usr/local/bin/mesh-agent.previous" --version)" = 'mesh-agent 1.0.0' ] ||
    blame 'the old program is not kept'
called 'restart mesh-agent'
run 0 status
says 'installed: mesh-agent 2.0.0'
says 'kept:      mesh-agent 1.0.0'
says 'registered, tunnels: 1 of 1'

echo '- upgrade.md waits for an agent with a tunnel to each ingress task and a service that answers'
# As it is typed by ssh, with the number of tasks filled in, and as Systems Manager gets it.
mapfile -t waits < <(grep -o "grep -q 'registered[^']*'" "$here/docs/upgrade.md" | sed 's/[$]TASKS/2/')
[ "${#waits[@]}" = 2 ] || blame 'upgrade.md does not wait in two places' "${waits[@]}"
for wait in "${waits[@]}"; do
    for said in 'not registered, tunnels: 0 of 3, service: healthy' \
        'registered, tunnels: 1 of 3, service: healthy' \
        'registered, tunnels: 2 of 3, service: not healthy'; do
        SAID=$said run 0 status
        ! sh -c "$wait" <<<"$out" || blame 'the next host would be upgraded' "$wait" "$out"
    done
    SAID='registered, tunnels: 2 of 3, service: healthy' run 0 status
    sh -c "$wait" <<<"$out" || blame 'it would wait for ever' "$wait" "$out"
done

echo '- a rollback goes back, and another one forth again'
run 0 rollback
has_version mesh-agent 1.0.0
run 0 rollback
has_version mesh-agent 2.0.0

fresh 'a new program that does not start gives way to the old one and its unit'
mkdir -p "$root/etc/mesh" "$work/units"
echo MESH_HOST=a.example.com >"$root/etc/mesh/agent.env"
run 0 install "${agent1[@]}"
cp -r "$here/systemd/." "$work/units"
echo '# newer' >>"$work/units/mesh-agent.service"
echo fail >"$work/broken"
run 1 upgrade "${agent2[@]}" --units "$work/units"
says 'did not start, and mesh-agent 1.0.0 runs again'
has_version mesh-agent 1.0.0
cmp -s "$root/$unit" "$here/systemd/mesh-agent.service" || blame 'the newer unit is still there'
echo '- and so it does if somebody goes back to it'
echo fail >"$work/broken"
: >"$work/calls"
run 1 rollback
says 'mesh-agent 2.0.0 did not start, and mesh-agent 1.0.0 runs again'
has_version mesh-agent 1.0.0
[ "$(grep -cx 'restart mesh-agent' "$work/calls")" = 2 ] || blame 'it does not run' "$(cat "$work/calls")"
cmp -s "$root/$unit" "$here/systemd/mesh-agent.service" || blame 'the unit is not the former one'

fresh 'a program that was replaced, and not restarted, is restarted by the next run'
mkdir -p "$root/etc/mesh"
echo MESH_HOST=a.example.com >"$root/etc/mesh/agent.env"
run 0 install "${agent1[@]}"
run 0 upgrade "${agent2[@]}" --no-start
# A process whose program was replaced, as that of version 1.0.0 now is.
cp "$(command -v sleep)" "$work/former"
begin "$work/former"
rm "$work/former"
: >"$work/calls"
run 0 upgrade "${agent2[@]}"
called 'restart mesh-agent'
echo '- and gives way to the former one if it does not start'
echo fail >"$work/broken"
run 1 upgrade "${agent2[@]}"
says 'did not start, and mesh-agent 1.0.0 runs again'
has_version mesh-agent 1.0.0
kill "$former"
rm "$work/pid"

fresh 'so is one that was gone back from, and not restarted'
mkdir -p "$root/etc/mesh" "$work/programs"
echo MESH_HOST=a.example.com >"$root/etc/mesh/agent.env"
run 0 install "${agent1[@]}"
run 0 upgrade "${agent2[@]}"
# A process whose program is now the one that is kept.
cp "$(command -v sleep)" "$work/programs/mesh-agent.previous"
begin "$work/programs/mesh-agent.previous"
run 0 rollback --no-start
: >"$work/calls"
run 0 install "${agent1[@]}"
called 'restart mesh-agent'
kill "$former"
rm "$work/pid"

fresh 'a rollback that is cut short leaves a program in place'
mkdir -p "$root/etc/mesh"
echo MESH_HOST=a.example.com >"$root/etc/mesh/agent.env"
run 0 install "${agent1[@]}"
run 0 upgrade "${agent2[@]}"
printf '#!/bin/sh\n[ ! -e "%s/moved" ] || exit 1\n: >"%s/moved"\nexec %s "$@"\n' \
    "$work" "$work" "$(command -v mv)" >"$work/bin/mv"
chmod +x "$work/bin/mv"
run 1 rollback
rm "$work/bin/mv" "$work/moved"
"$root/usr/local/bin/mesh-agent" --version >/dev/null || blame 'there is no program'
run 0 install "${agent2[@]}"
has_version mesh-agent 2.0.0

if unshare -rm true 2>/dev/null; then
    fresh 'a folder in which nothing runs is named'
    mkdir -p "$work/closed"
    # shellcheck disable=SC2016 # for the inner shell
    out=$(unshare -rm sh -c 'mount -t tmpfs -o noexec none "$1" && shift && TMPDIR=$1 && export TMPDIR &&
        shift && exec "$@"' sh "$work/closed" "$work/closed" \
        "$shell" "$here/install.sh" install "${agent1[@]}" --root "$root" 2>&1) && blame 'it went well'
    says "no program runs in $work/closed"
fi

fresh 'sums are understood as other systems and tools write them'
sed 's/$/\r/' "$work/1.0.0/SHA256SUMS" >"$work/sums-crlf"
sed 's,mesh-agent,./mesh-agent,' "$work/1.0.0/SHA256SUMS" >"$work/sums-found"
sed 's,  mesh-agent, *mesh-agent,' "$work/1.0.0/SHA256SUMS" >"$work/sums-binary"
for sums in crlf found binary; do
    run 0 install "${agent1[@]:0:2}" --sums "$work/sums-$sums" --no-start
    says 'the checksum is right'
done

fresh 'nothing is installed without the right checksum'
run 2 install --from "$work/1.0.0/mesh-agent"
says '--sums is missing'
run 1 install --from "$work/1.0.0/mesh-agent" --sums "$work/3.0.0/SHA256SUMS"
says 'does not name mesh-agent'
run 1 install --from "$work/1.0.0/mesh-agent" --sums "$work/2.0.0/SHA256SUMS"
says 'nothing was changed'
echo 'short  mesh-agent' >"$work/sums"
run 1 install --from "$work/1.0.0/mesh-agent" --sums "$work/sums"
cat "$work/1.0.0/SHA256SUMS" "$work/2.0.0/SHA256SUMS" >"$work/sums"
run 1 install --from "$work/1.0.0/mesh-agent" --sums "$work/sums"
is_gone usr/local/bin/mesh-agent
is_gone "$unit"
[ ! -s "$work/calls" ] || blame 'systemctl was called' "$(cat "$work/calls")"

fresh 'a URL is fetched by https and by nothing else'
run 0 install --from https://releases.example.com/v1/mesh-agent?x=1 \
    --sums https://releases.example.com/v1/SHA256SUMS --units "$here/systemd"
has_version mesh-agent 1.0.0
grep -q -- '--proto =https' "$work/calls" || blame 'curl may be led elsewhere'
run 1 install --from http://releases.example.com/mesh-agent --sums "$work/1.0.0/SHA256SUMS"
says 'give an https:// URL or a file'

fresh 'an archive brings its units along'
mkdir -p "$work/archive/anywhere-mesh-1.0.0"
cp "$work/1.0.0/mesh-agent" "$work/archive/anywhere-mesh-1.0.0/"
cp -r "$here/systemd" "$work/archive/anywhere-mesh-1.0.0/"
echo '# of the archive' >>"$work/archive/anywhere-mesh-1.0.0/systemd/mesh-agent.service"
tar -czf "$work/mesh.tar.gz" -C "$work/archive" anywhere-mesh-1.0.0
(cd "$work" && sha256sum mesh.tar.gz >SUMS)
run 0 install --from "$work/mesh.tar.gz" --sums "$work/SUMS" --drop-in ssm-credentials
has_version mesh-agent 1.0.0
grep -q '# of the archive' "$root/$unit" || blame 'the unit is another one'
is_there "$unit.d/ssm-credentials.conf"
is_gone "$unit.d/backoff.conf"
run 1 upgrade "${agent2[@]}" --drop-in nonsense
says 'there is no nonsense.conf'
has_version mesh-agent 1.0.0
is_gone usr/local/bin/mesh-agent.previous

fresh 'an upgrade brings new drop-ins for those that are there, and no others'
mkdir -p "$root/etc/mesh"
echo MESH_HOST=a.example.com >"$root/etc/mesh/agent.env"
rm -rf "$work/units"
cp -r "$here/systemd" "$work/units"
run 0 install "${agent1[@]}" --units "$work/units" --drop-in token
echo '[Service]' >"$root/$unit.d/override.conf"
for name in token ssm-credentials; do echo '# newer' >>"$work/units/mesh-agent.service.d/$name.conf"; done
run 0 upgrade "${agent2[@]}" --units "$work/units"
grep -q '# newer' "$root/$unit.d/token.conf" || blame 'the drop-in is the former one'
is_gone "$unit.d/ssm-credentials.conf"
called 'restart mesh-agent'
echo '- which go back with the program'
run 0 rollback
cmp -s "$root/$unit.d/token.conf" "$here/systemd/mesh-agent.service.d/token.conf" ||
    blame 'the newer drop-in is still there'
run 0 rollback
grep -q '# newer' "$root/$unit.d/token.conf" || blame 'the drop-in is the former one'
echo '- and one that was taken away does not come back'
rm "$root/$unit.d/token.conf"
run 0 rollback
is_gone "$unit.d/token.conf"
run 0 upgrade "${agent2[@]}" --units "$work/units"
run 0 rollback
is_gone "$unit.d/token.conf"
run 0 uninstall
[ "$(ls "$root/$unit.d")" = override.conf ] || blame 'drop-ins are left' "$(ls "$root/$unit.d")"

fresh 'a drop-in that the new units no longer have stays'
run 0 install "${agent1[@]}" --units "$work/units" --drop-in token
rm "$work/units/mesh-agent.service.d/token.conf"
run 0 upgrade "${agent2[@]}" --units "$work/units"
is_there "$unit.d/token.conf"

fresh 'what an upgrade added goes when it does not start'
mkdir -p "$root/etc/mesh"
echo MESH_HOST=a.example.com >"$root/etc/mesh/agent.env"
run 0 install "${agent1[@]}"
echo fail >"$work/broken"
run 1 upgrade "${agent2[@]}" --drop-in token
has_version mesh-agent 1.0.0
is_gone "$unit.d/token.conf"

fresh 'a systemd that knows growing waits gets them'
SYSTEMD=257 run 0 install "${agent1[@]}"
is_there "$unit.d/backoff.conf"

fresh 'with a systemd that is too old for the units nothing is touched'
STATE=inactive SYSTEMD=238 run 1 install "${agent1[@]}"
says 'systemd 238 runs here, and the units need 239 or newer: run the agent as a container'
is_gone usr/local/bin/mesh-agent
is_gone "$unit"
is_gone etc/mesh
STATE=inactive SYSTEMD=219 run 1 install --program mesh --from "$work/3.0.0/mesh" --sums "$work/3.0.0/SHA256SUMS"
says 'run the ingress as a container'
SYSTEMD=239 run 0 install "${agent1[@]}"
is_there "$unit"
STATE=inactive SYSTEMD=238 run 1 upgrade "${agent2[@]}"
has_version mesh-agent 1.0.0
# With a drop-in that lifts the unit's restriction it runs there.
SYSTEMD=238 run 0 upgrade "${agent2[@]}"
has_version mesh-agent 2.0.0

fresh "what the systemd of this machine knows says nothing of an image's"
rm -r "$root/run"
mkdir -p "$root/etc/systemd/system"
SYSTEMD=257 run 0 install "${agent1[@]}"
is_there "$unit"
is_gone "$unit.d"
says_not 'no unit was installed'

fresh 'the ingress has a unit of its own, and starts without settings'
run 0 install --program mesh --from "$work/3.0.0/mesh" --sums "$work/3.0.0/SHA256SUMS"
is_there etc/systemd/system/mesh-ingress.service
is_there etc/mesh/ingress.env
called 'start mesh-ingress'

fresh 'a program that is another one, or for another machine, is not taken'
run 1 install --program mesh "${agent1[@]}"
says 'mesh-agent is not mesh'
printf '\177ELF' >"$work/1.0.0/broken"
(cd "$work/1.0.0" && sha256sum broken >SUMS)
run 1 install --from "$work/1.0.0/broken" --sums "$work/1.0.0/SUMS"
says 'does not run on this machine'
is_gone usr/local/bin/mesh-agent

fresh 'without systemd the program is installed, and a sentence says how to go on'
rm -r "$root/run"
run 1 install "${agent1[@]}" --drop-in token
says "--drop-in: there is no $root/etc/systemd/system, so that no unit is installed"
is_gone usr/local/bin/mesh-agent
run 0 install "${agent1[@]}"
has_version mesh-agent 1.0.0
says 'systemd does not run here'
says "no unit was installed: there is no $root/etc/systemd/system"
is_gone etc/systemd
not_called .
echo '- and what it says to do instead takes the settings as systemd does, and runs nothing in them'
hostile="http://user:pa\$HOME\$(touch $work/evaluated)&touch $work/evaluated;x * y"
printf '# MESH_HOST=no\n\nMESH_HOST=a.example.com\nMESH_PROXY=%s\n' "$hostile" >"$root/etc/mesh/agent.env"
cat >"$root/usr/local/bin/mesh-agent" <<'FAKE'
#!/bin/sh
printf '%s %s' "$MESH_HOST" "$MESH_PROXY"
FAKE
said=$("$shell" -c "$(grep '^    ' <<<"$out")" 2>&1)
[ "$said" = "a.example.com $hostile" ] || blame 'the settings are others' "$said"
[ ! -e "$work/evaluated" ] || blame 'a command in the settings was run'
run 3 status

echo '- and the documents run nothing in settings that they try'
cat >"$work/bin/sudo" <<'FAKE'
#!/bin/sh
exec "$@"
FAKE
printf '#!/bin/sh\n' >"$work/bin/systemd-run"
chmod +x "$work/bin/sudo" "$work/bin/systemd-run"
for document in getting-started-ecs-anywhere upgrade; do
    line=$(grep 'sudo .*/etc/mesh/agent.env' "$here/docs/$document.md") || blame "$document.md does not try settings"
    PATH="$work/bin:$PATH" "$shell" -c "${line//\/etc/$root/etc}" >/dev/null 2>&1
    [ ! -e "$work/evaluated" ] || blame "$document.md runs a command in the settings" "$line"
    rm -f "$work/evaluated"
done

fresh 'uninstalling stops, removes, keeps settings, and can be repeated'
run 0 install "${agent1[@]}" --drop-in token
mkdir -p "$root/$unit.d"
echo '[Service]' >"$root/$unit.d/override.conf"
run 0 uninstall
called 'disable --quiet --now mesh-agent'
is_gone usr/local/bin/mesh-agent
is_gone "$unit"
is_gone "$unit.d/token.conf"
is_there "$unit.d/override.conf"
is_there etc/mesh/agent.env
run 4 status
run 0 uninstall
says 'is not installed'
run 0 uninstall --purge
is_gone "$unit.d"
is_gone etc/mesh

fresh 'nothing is started with --no-start'
mkdir -p "$root/etc/mesh"
echo MESH_HOST=a.example.com >"$root/etc/mesh/agent.env"
run 0 install "${agent1[@]}" --no-start
not_called '^start'
not_called '^restart'

fresh 'mistakes are named'
run 2
says 'a command is missing'
run 2 instal
says '"instal" is neither a command nor an option'
run 2 install --from ''
says '--from needs a value'
run 2 install --program nginx
says 'give mesh-agent or mesh'
run 1 upgrade "${agent1[@]}"
says 'install it first'
run 1 rollback
says 'to go back to'
run 1 install --from "$work/nowhere" --sums "$work/1.0.0/SHA256SUMS"
says 'there is no file'

if [ "$failures" != 0 ]; then
    echo "$failures failures" >&2
    exit 1
fi
echo 'install.sh does what it should'
