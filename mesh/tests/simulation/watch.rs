//! What is checked after each turn of anybody.

use mesh_agent::Agent;
use mesh_ingress::Ingress;
use mesh_sim::{NodeId, World};

/// Heads, frame headers and chunk sizes that may wait besides a window of body bytes.
const OVERHEAD: usize = 128 * 1024;

/// Watches an ingress.
pub(crate) fn ingress(world: &mut World, id: NodeId, config: &mesh_ingress::Config) {
    let caller_max = config.limits.stream_window as usize * 5 / 4 + OVERHEAD;
    let tunnel_max = 2 * config.limits.tunnel_bytes + OVERHEAD;
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
    let upstream_max = config.limits.stream_window as usize * 5 / 4 + OVERHEAD;
    let tunnel_max = 256 * 1024 + OVERHEAD;
    world.on_step(move |world| {
        let app = world.app::<Agent>(id);
        app.check_invariants();
        let census = app.census();
        assert!(census.upstream_tx <= upstream_max, "too much waits for a service: {census:?}");
        assert!(census.tunnel_tx <= tunnel_max, "too much waits for a tunnel: {census:?}");
        assert_eq!(world.conns_without_deadline(id), []);
    });
}
