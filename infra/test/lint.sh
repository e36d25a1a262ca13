#!/usr/bin/env bash
# Asks cfn-lint about the template: the one of params.json, the least, and those with all that can be
# turned on, with agents behind either kind of load balancer. It knows the resources of CloudFormation
# from files of its own and asks nobody.
set -euo pipefail
cd "$(dirname "$0")/.."

# shellcheck source=infra/test/environment.sh
. test/environment.sh
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# In one process, which takes a quarter of the time of the CDK's own command for each.
# shellcheck disable=SC2016 # JavaScript has dollars of its own.
node -r ts-node/register/transpile-only -e '
    const { App } = require("aws-cdk-lib");
    const { context } = require("./cdk.json");
    const { checkParams, readParams } = require("./lib/params");
    const { makeStack } = require("./lib/stack");
    const { EVERYTHING, MINIMAL, TEST_APP } = require("./test/support");
    const balanced = {
        ...MINIMAL,
        serviceConnectNamespace: "mesh.internal",
        memory: 2048,
        testWorkload: { image: TEST_APP, desiredCount: 1, exec: true },
    };
    const sets = {
        minimal: checkParams(MINIMAL, "minimal"),
        params: readParams("params.json"),
        everything: checkParams(EVERYTHING, "everything"),
        balanced: checkParams(balanced, "balanced"),
    };
    for (const [name, params] of Object.entries(sets)) {
        const app = new App({ context, outdir: `${process.argv[1]}/${name}.out` });
        makeStack(app, params);
        app.synth();
    }
' "$work"
for output in "$work"/*.out; do mv "$output"/*.template.json "${output%.out}.template"; done
# W3005 is about dependencies that the CDK writes down twice. That it finds anything at all is seen
# first.
sed 's/"AWS::ECS::Cluster"/"AWS::ECS::Clutter"/' "$work/params.template" >"$work/wrong"
cfn_lint() { "$python" -c 'import sys; from cfnlint.runner import main; sys.exit(main())' -i W3005 -t "$@"; }
{ cfn_lint "$work/wrong" || true; } | grep Clutter >/dev/null || {
    echo 'cfn-lint finds nothing, whatever it is given' >&2
    exit 1
}
cfn_lint "$work"/*.template
echo "cfn-lint has nothing to say about: $(cd "$work" && echo *.template)"
