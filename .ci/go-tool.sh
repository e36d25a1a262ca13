#!/usr/bin/env bash
# Prints the path of a tool that is written in Go: .ci/go-tool.sh actionlint
# It is built once for each machine and version, and kept in TOOLS_CACHE. Where that cannot be done,
# one sentence on standard error says why, and the exit code is 1.
set -euo pipefail

name=${1:?'give the name of a tool, as in: .ci/go-tool.sh actionlint'}
case $name in
actionlint) module=github.com/rhysd/actionlint/cmd/actionlint version=v1.7.12 ;;
k6) module=go.k6.io/k6 version=v1.8.1 ;;
task) module=github.com/go-task/task/v3/cmd/task version=v3.34.1 ;;
*)
    echo "$name is no tool that is known here; give actionlint, k6 or task" >&2
    exit 2
    ;;
esac

cache=${TOOLS_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/anywhere-mesh}
program=$cache/$name-$version
if [ ! -x "$program" ]; then
    command -v go >/dev/null || {
        echo "$name cannot be built, because Go is missing (https://go.dev/dl)" >&2
        exit 1
    }
    mkdir -p "$cache"
    # Of two runs at once one builds, and the other waits for it.
    exec 9>"$cache/$name.lock"
    flock 9
    if [ ! -x "$program" ]; then
        new=$(mktemp -d "$cache/$name.XXXXXX")
        trap 'rm -rf "$new"' EXIT
        # Outside of the project, and without what the caller set for a project of his own.
        (cd "$new" && env GOBIN="$new" GOFLAGS=-buildvcs=false GOWORK=off CGO_ENABLED=0 \
            nice -n 5 go install -trimpath "$module@$version") >"$new/log" 2>&1 || {
            echo "$name cannot be built: $(tail -n 1 "$new/log")" >&2
            exit 1
        }
        mv "$new/$name" "$program"
    fi
fi
echo "$program"
