#!/usr/bin/env bash
# Compares Taskfile.yml with what there is: the tasks that are promised, and every call that they
# make. Programs that need a cloud, a container engine or a long time are stood in for by ones that
# write down how they were called.
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD

task=${TASK:-$(.ci/go-tool.sh task)} || {
    echo 'the Taskfile is not tried here'
    exit 0
}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
calls=$work/calls
export CALLS=$calls
mkdir "$work/bin"

# --- Programs that stand in for others.

stub() {
    cat >"$work/bin/$1"
    chmod +x "$work/bin/$1"
}
for program in docker npm npx cargo shellcheck cargo-cyclonedx; do
    stub "$program" <<'END'
#!/bin/sh
echo "${0##*/} $*" >>"$CALLS"
END
done
stub k6 <<'END'
#!/bin/sh
echo "k6 $*: $TARGET_URL $TARGET_HOST $REGISTRATION_URL $DURATION" >>"$CALLS"
END
stub aws <<'END'
#!/bin/sh
echo "aws $*" >>"$CALLS"
case "$*" in
*OutputKey==\'TestUrl\'*) echo "$TEST_URL" ;;
*OutputKey==\'AgentEndpoint\'*) echo wss://mesh.example.com:8082 ;;
*OutputKey==\'Cluster\'*) echo edge ;;
*OutputKey==\'TestService\'*) echo mesh-test-app ;;
*list-tasks*) echo arn:aws:ecs:eu-central-1:123456789012:task/edge/1 ;;
esac
END

# What programs that are not stood in for need, and nothing else of the caller.
run() {
    : >"$calls"
    env -i PATH="$work/bin:$PATH" HOME="$work" CALLS="$calls" \
        TEST_URL="${test_url-https://test-app.mesh.example.com/}" \
        "$task" --yes --dir "$work/tree" "$@" >"$work/out" 2>&1
}
# The project without anybody's .env.
mkdir "$work/tree"
find "$root" -mindepth 1 -maxdepth 1 ! -name .env -exec ln -s -t "$work/tree" {} +

failed() {
    echo "$*" >&2
    sed 's/^/    /' "$work/out" >&2
    exit 1
}

# The calls of a task are these lines, in this order, and it succeeds.
makes() {
    run "$@" || failed "task $* fails"
    diff -u --label 'expected' --label "task $*" - "$calls" || failed "task $* makes other calls"
    echo "task $*: the expected calls"
}

# It fails before it calls anything that changes something, and says these words.
refuses() {
    local words=$1
    shift
    ! run "$@" || failed "task $* succeeds"
    grep -qF "$words" "$work/out" || failed "task $* does not say: $words"
    ! grep -vE '^aws cloudformation describe-stacks ' "$calls" || failed "task $* did something"
    echo "task $*: refused"
}

# --- What is promised.

version=$(sed -n '/^\[workspace.package\]/,/^\[/s/^version = "\(.*\)"$/\1/p' Cargo.toml)
# Images are built without .git.
commit=$(git rev-parse HEAD 2>/dev/null || true)
promised='build build-amd64 build-arm64 deploy-e2e-infra dist e2e e2e-down exec-test-app lint load-test publish push test'
listed=$("$task" --list-all --silent | sort | grep -vx default | tr '\n' ' ')
[ "${listed% }" = "$promised" ] || {
    echo "the tasks are: $listed" >&2
    exit 1
}
described=$("$task" --list --silent | wc -l)
[ "$described" = "$(wc -w <<<"$promised")" ] || {
    echo 'a task has no description' >&2
    exit 1
}

# --- Images.

makes build <<END
docker build --build-arg MESH_COMMIT=$commit --target ingress --tag localhost/mesh:$version .
docker build --build-arg MESH_COMMIT=$commit --target agent --tag localhost/mesh-agent:$version .
docker build --build-arg MESH_COMMIT=$commit --file test-app/Dockerfile --tag localhost/test-app:$version .
END
for arch in amd64 arm64; do
    makes "build-$arch" TAG=t <<END
docker build --platform linux/$arch --build-arg MESH_COMMIT=$commit --target ingress --tag localhost/mesh:t-$arch .
docker build --platform linux/$arch --build-arg MESH_COMMIT=$commit --target agent --tag localhost/mesh-agent:t-$arch .
docker build --platform linux/$arch --build-arg MESH_COMMIT=$commit --file test-app/Dockerfile --tag localhost/test-app:t-$arch .
END
done
refuses 'REGISTRY is missing; give for example' push
refuses 'REGISTRY is missing; give for example' publish
makes push REGISTRY=registry.example.com <<END
docker push registry.example.com/mesh:$version
docker push registry.example.com/mesh-agent:$version
docker push registry.example.com/test-app:$version
END
{
    for arch in amd64 arm64; do
        cat <<END
docker build --platform linux/$arch --build-arg MESH_COMMIT=$commit --target ingress --tag registry.example.com/mesh:1-$arch .
docker build --platform linux/$arch --build-arg MESH_COMMIT=$commit --target agent --tag registry.example.com/mesh-agent:1-$arch .
docker build --platform linux/$arch --build-arg MESH_COMMIT=$commit --file test-app/Dockerfile --tag registry.example.com/test-app:1-$arch .
END
    done
    for image in mesh mesh-agent test-app; do
        image=registry.example.com/$image:1
        cat <<END
docker push $image-amd64
docker push $image-arm64
docker manifest rm $image
docker manifest create $image $image-amd64 $image-arm64
docker manifest push $image
END
    done
} | makes publish REGISTRY=registry.example.com TAG=1
# Targets and files are there; `makes` above has just seen that these are the ones.
grep -qi '^FROM .* AS ingress$' Dockerfile
grep -qi '^FROM .* AS agent$' Dockerfile
[ -f test-app/Dockerfile ]

# --- Checks. Without packages they are fetched first.

npm_ci() {
    if [ ! "$1/node_modules/.package-lock.json" -nt "$1/package-lock.json" ]; then echo 'npm ci'; fi
}
{
    echo 'cargo fmt --all -- --check'
    echo 'cargo clippy --workspace --all-targets --locked -- -D warnings'
    echo "shellcheck $(git ls-files '*.sh' .ci/run | tr '\n' ' ' | sed 's/ $//')"
    npm_ci infra
    echo 'npm run build'
    npm_ci load-test
    echo 'npm run test'
} | makes lint
{
    echo 'cargo test --workspace --locked'
    npm_ci infra
    echo 'npm run test'
    npm_ci load-test
    echo 'npm run test'
} | makes test
for script in infra:build infra:test load-test:test; do
    grep -qE "^ *\"${script#*:}\": \"" "${script%:*}/package.json" || {
        echo "${script%:*}/package.json has no script ${script#*:}" >&2
        exit 1
    }
done

# --- Files of the project that tasks run, of which there are no stand-ins.

run --dry dist -- x86_64-unknown-linux-musl || failed 'task dist fails'
grep -oE '(cross|\.ci)/[a-z-]+\.sh.*' "$work/out" | diff -u --label expected --label 'task dist' \
    <(printf '%s\n' 'cross/build.sh x86_64-unknown-linux-musl' '.ci/sbom.sh dist' '.ci/package.sh dist') - ||
    failed 'task dist makes other calls'
run --dry load-test -- sse.js || failed 'task load-test fails'
grep -q 'TEST_APP=target/release/test-app load-test/local.sh sse.js$' "$work/out" ||
    failed 'task load-test makes other calls'
for file in cross/build.sh .ci/sbom.sh .ci/package.sh load-test/local.sh; do
    [ -x "$file" ] || failed "$file cannot be run"
done
echo 'task dist, task load-test: what they run is there'

# --- The deployed stack.

{
    npm_ci infra
    echo 'npx cdk deploy -c params=params.test.json --require-approval never'
} | makes deploy-e2e-infra PARAMS=params.test.json
{
    npm_ci infra
    echo 'npx cdk destroy -c params=params.json --force'
} | makes e2e-down
asked() {
    echo "aws cloudformation describe-stacks --stack-name $1 --output text --query Stacks[0].Outputs[?OutputKey=='$2'].OutputValue"
}
place='https://test-app.mesh.example.com test-app.mesh.example.com wss://mesh.example.com:8082 30s'
{
    asked mesh TestUrl
    asked mesh AgentEndpoint
    for script in http-smoke http-baseline ws-connect sse; do
        [ -f "load-test/$script.js" ]
        echo "k6 run $script.js: $place"
    done
} | makes e2e
test_url='' refuses 'has no output TestUrl' e2e
in_the_task() {
    local arn=arn:aws:ecs:eu-central-1:123456789012:task/edge/1
    asked other Cluster
    asked other TestService
    echo "aws ecs list-tasks --cluster edge --service-name mesh-test-app --query taskArns[0] --output text"
    echo "aws ecs execute-command --cluster edge --task $arn --container test-app --interactive --command $1"
}
in_the_task '/mesh health --url http://127.0.0.1:3000/health' | makes exec-test-app STACK=other
in_the_task '/test-app --help' | makes exec-test-app STACK=other -- /test-app --help
for output in TestUrl AgentEndpoint Cluster TestService; do
    grep -q "output(stack, '$output'," infra/lib/stack.ts || {
        echo "infra/ has no output $output" >&2
        exit 1
    }
done
