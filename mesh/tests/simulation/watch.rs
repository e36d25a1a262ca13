//! What is checked after each turn of anybody.

use mesh_agent::Agent;
use mesh_ingress::Ingress;
use mesh_sim::{NodeId, World};

/// Heads that may wait besides a window of body bytes.
const HEADS: usize = 128 * 1024;
/// Bytes that one byte in a chunk of its own takes. The body bytes alone are bounded by the window;
/// the applications check that themselves.
const CHUNKED: usize = "1\r\nx\r\n".len();

/// Watches an ingress.
pub(crate) fn ingress(world: &mut World, id: NodeId, config: &mesh_ingress::Config) {
    let window = config.limits.stream_window + config.limits.window_growth;
    let caller_max = CHUNKED * window as usize + HEADS;
    let tunnel_max = 2 * config.limits.tunnel_bytes + HEADS;
    world.on_step(move |world| {
        let app = world.app::<Ingress>(id);
        app.check_invariants();
        let census = app.census();
        assert!(census.caller_tx <= caller_max, "too much waits for a caller: {census:?}");
        assert!(census.tunnel_tx <= tunnel_max, "too much waits for a tunnel: {census:?}");
        assert_eq!(world.conns_without_deadline(id), []);
    });
}

/// Watches an agent.
pub(crate) fn agent(world: &mut World, id: NodeId, config: &mesh_agent::Config) {
    let window = config.limits.stream_window + config.limits.window_growth;
    let upstream_max = CHUNKED * window as usize + HEADS;
    let tunnel_max = 256 * 1024 + HEADS;
    world.on_step(move |world| {
        let app = world.app::<Agent>(id);
        app.check_invariants();
        let census = app.census();
        assert!(census.upstream_tx <= upstream_max, "too much waits for a service: {census:?}");
        assert!(census.tunnel_tx <= tunnel_max, "too much waits for a tunnel: {census:?}");
        assert_eq!(world.conns_without_deadline(id), []);
    });
}
