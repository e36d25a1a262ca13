//! A network of a test's own, in which AWS's link-local addresses belong to this machine.

use crate::aws::python;
use crate::peers::network::Network;

/// The addresses: ECS's and EC2's. Where the machine has no IPv6, the last one is missing.
const AWS: Network = Network {
    script: "
        set -e
        ip link set lo up
        ip address add 169.254.170.2/32 dev lo
        ip address add 169.254.169.254/32 dev lo
        ip address add fd00:ec2::254/128 dev lo nodad 2>/dev/null || true
        exec \"$@\"
    ",
};

/// Runs `test`, which is the whole of a test, in such a network.
///
/// # Panics
/// When it fails there.
pub(crate) fn inside<T: FnOnce()>(test: T) {
    // In there nothing can be downloaded.
    if python::script("serve.py").is_some() {
        AWS.inside(test);
    }
}
