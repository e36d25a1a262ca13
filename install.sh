#!/bin/sh
# Installs Anywhere Mesh on a host: the program, its systemd unit and a file for its settings.
# It asks nothing, does nothing twice, and takes no program whose checksum it has not seen.
set -eu
umask 022

usage() {
    cat <<'TEXT'
Usage: install.sh install   --from <file or URL> --sums <file or URL> [options]
       install.sh upgrade   --from <file or URL> --sums <file or URL> [options]
       install.sh rollback  [options]
       install.sh uninstall [--purge] [options]
       install.sh status    [options]

  install    puts the program and its unit in place, and starts it: an agent once its settings name a
             host, an ingress at once; another version that is there is upgraded
  upgrade    the same where there is one already; the old program drains and is kept, and comes back
             if the new one does not start
  rollback   goes back to the program that was kept
  uninstall  stops and removes program and unit; the settings stay, unless --purge is given
  status     says what is installed and how it is; exit code 0: it runs, 3: it does not, 4: it is
             not installed

Options:
  --from       a release archive (.tar.gz) or a program alone
  --sums       the SHA256SUMS file of the release, which must name the former
  --program    mesh-agent for the agent, mesh for the ingress [default: mesh-agent]
  --drop-in    a drop-in of the unit to install as well, such as ssm-credentials; may be repeated
  --units      folder of the units [default: systemd in the archive, else beside this script]
  --root       folder to install below, for images and tests [default: /]
  --no-start   neither start nor restart anything
  --purge      with uninstall: remove settings and all drop-ins, too
TEXT
}

say() { printf '%s\n' "$*"; }
fail() {
    printf 'install.sh: %s\n' "$*" >&2
    exit 1
}
misused() {
    printf 'install.sh: %s; see install.sh --help\n' "$*" >&2
    exit 2
}

main() {
    command=''
    from='' sums='' program=mesh-agent drop_ins='' added='' units='' root='' start=yes purge=no
    while [ $# -gt 0 ]; do
        case $1 in
            install | upgrade | rollback | uninstall | status)
                [ -z "$command" ] || misused "there is a command already: $command"
                command=$1
                ;;
            --from | --sums | --program | --drop-in | --units | --root)
                [ $# -ge 2 ] || misused "$1 needs a value"
                take "$1" "$2"
                shift
                ;;
            --no-start) start=no ;;
            --purge) purge=yes ;;
            -h | --help | help)
                usage
                exit 0
                ;;
            *) misused "\"$1\" is neither a command nor an option" ;;
        esac
        shift
    done
    [ -n "$command" ] || misused 'a command is missing; give install, upgrade, rollback, uninstall or status'
    case $program in
        mesh-agent) unit=mesh-agent settings=agent.env ;;
        mesh) unit=mesh-ingress settings=ingress.env ;;
        *) misused "--program: \"$program\" is no program; give mesh-agent or mesh" ;;
    esac
    if [ -n "$root" ] && [ ! -d "$root" ]; then
        fail "--root: $root is no folder"
    fi
    root=${root%/}
    binary=$root/usr/local/bin/$program
    previous=$binary.previous
    unit_folder=$root/etc/systemd/system
    unit_file=$unit_folder/$unit.service
    settings_file=$root/etc/mesh/$settings
    if [ "$command" != status ] && [ -z "$root" ] && [ "$(id -u)" != 0 ]; then
        fail "to $command, it has to be run as root; for example with sudo"
    fi
    "do_$command"
}

take() {
    [ -n "$2" ] || misused "$1 needs a value"
    case $1 in
        --from) from=$2 ;;
        --sums) sums=$2 ;;
        --program) program=$2 ;;
        --drop-in) drop_ins="$drop_ins ${2%.conf}" ;;
        --units) units=$2 ;;
        --root) root=$2 ;;
    esac
}

# --- Commands ------------------------------------------------------------------------------------

do_install() {
    get_new
    check_systemd
    check_units
    was_there=no
    [ ! -e "$binary" ] || was_there=yes
    put_program
    put_units
    put_settings
    if ! has_systemd; then
        takes_units || say "no unit was installed: there is no $unit_folder"
        say "systemd does not run here: start the program by other means, as in"
        say "    (while read -r line || [ -n \"\$line\" ]; do case \$line in [A-Z]*=*) export \"\$line\" ;; esac; done" \
            "<$settings_file; exec $binary$(arguments))"
        return
    fi
    systemctl daemon-reload
    systemctl enable --quiet "$unit"
    if [ "$start" = no ]; then
        say "not started (--no-start): systemctl restart $unit"
    elif ! has_settings && ! systemctl is-active --quiet "$unit"; then
        say "it has no settings yet: write them to $settings_file, then systemctl start $unit"
    elif [ "$was_there" = yes ]; then
        restart
    else
        systemctl start "$unit" || fail "$unit does not start; journalctl -u $unit says why"
        say "$unit runs"
    fi
}

do_upgrade() {
    [ -e "$binary" ] || fail "there is no $binary to upgrade; install it first"
    do_install
}

do_rollback() {
    [ -e "$previous" ] || fail "there is no $previous to go back to"
    swap
    say "back to $(version_of "$binary")"
    if has_systemd && [ "$start" = yes ]; then
        systemctl restart "$unit" || give_way
        say "$unit runs"
    fi
}

do_uninstall() {
    found=no
    for file in "$binary" "$previous" "$unit_file"; do
        [ ! -e "$file" ] || found=yes
    done
    [ "$found" = yes ] || [ "$purge" = yes ] || {
        say "$program is not installed"
        return
    }
    if has_systemd && [ -e "$unit_file" ]; then
        # Stopping waits for the drain.
        systemctl disable --quiet --now "$unit" || fail "$unit cannot be stopped"
    fi
    rm -f "$binary" "$previous"
    for_units remove_unit
    if [ "$purge" = yes ]; then
        rm -rf "$unit_file.d"
        rm -f "$settings_file"
        rmdir "$root/etc/mesh" 2>/dev/null || true
    else
        rmdir "$unit_file.d" 2>/dev/null || true
        [ ! -e "$settings_file" ] || say "the settings stay: $settings_file"
    fi
    ! has_systemd || systemctl daemon-reload
    say "$program is removed"
}

do_status() {
    if [ ! -x "$binary" ]; then
        say "$program is not installed"
        exit 4
    fi
    say "installed: $(version_of "$binary")"
    [ ! -x "$previous" ] || say "kept:      $(version_of "$previous")"
    if ! has_systemd; then
        say "state:     unknown, systemd does not run here"
        exit 3
    fi
    state=$(systemctl is-active "$unit" 2>/dev/null) || true
    say "state:     ${state:-unknown}, $(systemctl is-enabled "$unit" 2>/dev/null || true)"
    words=$(systemctl show --property=StatusText --value "$unit" 2>/dev/null) || words=''
    [ -z "$words" ] || say "it says:   $words"
    [ "$state" = active ] || exit 3
}

# --- Getting -------------------------------------------------------------------------------------

# The new program as $new, and the units that came with it as $units.
get_new() {
    [ -n "$from" ] || misused "--from is missing; give the file or URL to $command from"
    [ -n "$sums" ] || misused "--sums is missing; nothing is installed without its checksum"
    folder=$(mktemp -d)
    trap 'rm -rf "$folder"' EXIT
    trap 'exit 1' HUP INT TERM
    name=${from##*/}
    name=${name%%\?*}
    [ -n "$name" ] || fail "--from: $from names no file"
    get --from "$from" "$folder/$name"
    get --sums "$sums" "$folder/SHA256SUMS.given"
    verify "$folder/$name"
    case $name in
        *.tar.gz | *.tgz) unpack "$folder/$name" ;;
        *) new=$folder/$name ;;
    esac
    chmod 755 "$new"
    version=$(version_of "$new") || fail "$(why_not_run)"
    case $version in
        "$program "*) ;;
        *) fail "$name is not $program: it calls itself \"$version\"" ;;
    esac
    if [ -z "$units" ]; then
        case $0 in
            */*) units=${0%/*}/systemd ;;
            *) units=systemd ;;
        esac
    fi
}

# get OPTION SOURCE TARGET
get() {
    case $2 in
        https://*)
            if command -v curl >/dev/null; then
                curl --fail --silent --show-error --location --proto '=https' --retry 3 \
                    --output "$3" "$2" || fail "$1: $2 cannot be fetched"
            elif command -v wget >/dev/null; then
                wget -q -O "$3" "$2" || fail "$1: $2 cannot be fetched"
            else
                fail "$1: fetching $2 needs curl or wget; or give a file"
            fi
            ;;
        *://*) fail "$1: $2 can be changed on its way; give an https:// URL or a file" ;;
        *)
            [ -f "$2" ] || fail "$1: there is no file $2"
            cp "$2" "$3"
            ;;
    esac
}

# Whatever is not named in the sums, or not with this sum, is not taken.
verify() {
    file=${1##*/}
    # Lines may end as on Windows, and `find` puts ./ before names.
    expected=$(awk -v name="$file" '{ sub(/\r$/, ""); n = $2; sub(/^\*/, "", n); sub(/^\.\//, "", n) }
        n == name { print tolower($1) }' "$folder/SHA256SUMS.given")
    case $expected in
        '') fail "--sums: $sums does not name $file" ;;
        *[!0-9a-f]*) fail "--sums: $sums has no single SHA-256 sum for $file" ;;
    esac
    [ ${#expected} -eq 64 ] || fail "--sums: $sums has no SHA-256 sum for $file"
    if command -v sha256sum >/dev/null; then
        actual=$(sha256sum <"$1")
    elif command -v shasum >/dev/null; then
        actual=$(shasum -a 256 <"$1")
    else
        fail 'checking the sum needs sha256sum or shasum'
    fi
    actual=${actual%% *}
    [ "$actual" = "$expected" ] ||
        fail "the checksum of $from is $actual, and $sums wants $expected: nothing was changed"
    say "$file: the checksum is right"
}

unpack() {
    mkdir "$folder/archive"
    tar -xzf "$1" -C "$folder/archive" --no-same-owner 2>/dev/null ||
        tar -xzf "$1" -C "$folder/archive" || fail "$from cannot be unpacked"
    new=''
    for candidate in "$folder/archive/$program" "$folder"/archive/*/"$program"; do
        [ ! -f "$candidate" ] || new=$candidate
    done
    [ -n "$new" ] || fail "there is no $program in $from"
    if [ -z "$units" ] && [ -d "${new%/*}/systemd" ]; then
        units=${new%/*}/systemd
    fi
}

version_of() { "$1" --version 2>/dev/null; }

# What keeps the new program from running, where it was put for that.
why_not_run() {
    printf '#!/bin/sh\n' >"$folder/try"
    chmod 755 "$folder/try"
    if "$folder/try" 2>/dev/null; then
        echo "$name does not run on this machine ($(uname -m)); is it for another architecture?"
    else
        echo "no program runs in $folder, as on a file system with noexec; give another folder:" \
            "TMPDIR=/root sh install.sh ..."
    fi
}

# --- Putting in place ----------------------------------------------------------------------------

put_program() {
    changed=no replaced=no
    if [ -e "$binary" ] && cmp -s "$new" "$binary"; then
        say "$version is there already"
        return
    fi
    changed=yes
    mkdir -p "${binary%/*}"
    if [ -e "$binary" ]; then
        # Copies under another name, then renames: there is a whole program at every moment.
        cp "$binary" "$previous.part"
        mv -f "$previous.part" "$previous"
        for_units keep_unit
        replaced=yes
        say "kept:      $(version_of "$previous" || say unknown) as $previous"
    fi
    cp "$new" "$binary.part"
    chmod 755 "$binary.part"
    mv -f "$binary.part" "$binary"
    say "installed: $version as $binary"
}

# Below 239 @system-service is no group of system calls: the unit would let the program make none that it
# needs, and it would die without a word. One that runs has a drop-in that sees to that.
check_systemd() {
    has_systemd || return 0
    ! systemctl is-active --quiet "$unit" || return 0
    number=$(systemd_version)
    # One that does not say its version may do.
    if [ "$number" -gt 0 ] && [ "$number" -lt 239 ]; then
        fail "systemd $number runs here, and the units need 239 or newer: run the ${unit#mesh-} as a container"
    fi
}

# Before anything is touched: a program whose unit is missing would be there and not run.
check_units() {
    if ! takes_units; then
        [ -z "$drop_ins" ] || fail "--drop-in: there is no $unit_folder, so that no unit is installed"
        return
    fi
    if [ ! -f "$units/$unit.service" ]; then
        [ -f "$unit_file" ] ||
            fail "there is no $unit.service in $units; give its folder with --units"
        [ -z "$drop_ins" ] || fail "there are no drop-ins in $units; give their folder with --units"
        return
    fi
    for name in $drop_ins; do
        [ -f "$units/$unit.service.d/$name.conf" ] ||
            fail "--drop-in: there is no $name.conf in $units/$unit.service.d"
    done
}

takes_units() { has_systemd || [ -d "$unit_folder" ]; }

put_units() {
    takes_units || return 0
    [ -f "$units/$unit.service" ] || return 0
    # What runs here is not what will run in an image.
    if has_systemd && [ "$(systemd_version)" -ge 254 ]; then
        drop_ins="$drop_ins backoff"
    fi
    mkdir -p "$unit_folder"
    put_file "$units/$unit.service" "$unit_file" 644
    for name in $drop_ins; do
        mkdir -p "$unit_file.d"
        [ -e "$unit_file.d/$name.conf" ] || added="$added $name"
        put_file "$units/$unit.service.d/$name.conf" "$unit_file.d/$name.conf" 644
    done
    for_units renew_drop_in
}

# An earlier run put it there; what is new in it belongs to the new program.
renew_drop_in() {
    newer=$units/$unit.service.d/${1##*/}
    if [ -f "$1" ] && [ -f "$newer" ]; then
        put_file "$newer" "$1" 644
    fi
}

# for_units FUNCTION: calls it with the unit and with each drop-in of ours, whether it is there or not.
# What `systemctl edit` wrote is the operator's.
for_units() {
    "$1" "$unit_file"
    for name in backoff ssm-credentials token tls low-ports; do
        "$1" "$unit_file.d/$name.conf"
    done
}

remove_unit() { rm -f "$1" "$1.previous"; }

# What is not there now is not to come back by a rollback either.
keep_unit() {
    if [ -f "$1" ]; then
        cp "$1" "$1.previous"
    else
        rm -f "$1.previous"
    fi
}

# put_file FROM TO MODE
put_file() {
    if cmp -s "$1" "$2"; then
        return
    fi
    changed=yes
    cp "$1" "$2.part"
    chmod "$3" "$2.part"
    mv -f "$2.part" "$2"
    say "installed: $2"
}

# Settings may hold a token. Those that are there are the operator's.
put_settings() {
    [ ! -e "$settings_file" ] || return 0
    mkdir -p "${settings_file%/*}"
    template=$units/$settings
    [ -f "$template" ] || template=/dev/null
    (umask 077 && cp "$template" "$settings_file")
    chmod 600 "$settings_file"
    say "installed: $settings_file"
}

# An agent without a host cannot start; an ingress can do with defaults.
has_settings() {
    [ "$program" = mesh ] || grep -Eq '^[[:space:]]*MESH_(HOST|CONFIG)=.' "$settings_file"
}

arguments() { [ "$program" = mesh-agent ] || printf ' server'; }

# --- systemd -------------------------------------------------------------------------------------

has_systemd() { [ -d "$root/run/systemd/system" ] && command -v systemctl >/dev/null; }

systemd_version() {
    number=$(systemctl --version 2>/dev/null | sed -n '1s/^systemd \([0-9][0-9]*\).*/\1/p')
    printf '%s\n' "${number:-0}"
}

# Program, unit and drop-ins change places with those that were kept.
swap() {
    copy "$binary"
    for_units copy_unit
    exchange "$binary" "$previous"
    for_units exchange_unit
    ! has_systemd || systemctl daemon-reload
}

copy_unit() { ! has_two "$1" || copy "$1"; }
exchange_unit() { ! has_two "$1" || exchange "$1" "$1.previous"; }
has_two() { [ -f "$1" ] && [ -f "$1.previous" ]; }

copy() {
    cp -p "$1" "$1.part" && return
    rm -f "$binary.part" "$unit_file.part" "$unit_file.d/"*.part
    fail "there is no room for a copy of $1; nothing was changed"
}

# With a copy of the first one, so that there is always something in its place.
exchange() {
    mv -f "$2" "$1"
    mv -f "$1.part" "$2"
}

# Whether the process is of another file than the program: that was replaced, and it not restarted.
runs_the_former() {
    pid=$(systemctl show --property=MainPID --value "$unit" 2>/dev/null) || return 1
    running=$(stat -Lc %d:%i "/proc/$pid/exe" 2>/dev/null) || return 1
    [ "$running" != "$(stat -Lc %d:%i "$binary")" ]
}

# Returns when the old process has drained and the new one is ready, or the old one is back.
restart() {
    if runs_the_former; then
        # Nothing has changed now, but with the last run, which did not come this far.
        changed=yes
        [ ! -e "$previous" ] || replaced=yes
    fi
    if [ "$changed" = no ] && systemctl is-active --quiet "$unit"; then
        say "$unit runs, and nothing has changed"
        return
    fi
    if systemctl restart "$unit"; then
        say "$unit was restarted and runs"
        return
    fi
    if [ "$replaced" = no ]; then
        fail "$unit does not start; journalctl -u $unit says why"
    fi
    give_way
}

# The program in place did not start: the one that ran before takes its place again.
give_way() {
    failed=$(version_of "$binary") || failed='the program'
    # A drop-in that came with it may be what keeps it from starting.
    for name in $added; do rm -f "$unit_file.d/$name.conf"; done
    swap
    systemctl restart "$unit" ||
        fail "$unit starts neither as $failed nor as it was before; journalctl -u $unit says why"
    fail "$failed did not start, and $(version_of "$binary") runs again; journalctl -u $unit says why"
}

main "$@"
