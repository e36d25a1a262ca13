//! What is checked after each turn of anybody.

use mesh_agent::Agent;
use mesh_ingress::Ingress;
use mesh_sim::{NodeId, World};

/// Heads that may wait besides body bytes.
const HEADS: usize = 128 * 1024;

/// Watches an ingress. What waits for callers is bounded by their windows: the peer that goes beyond
/// is thrown out, and the applications check that credit returns for nothing that still waits.
pub(crate) fn ingress(world: &mut World, id: NodeId, config: &mesh_ingress::Config) {
    let tunnel_max = 2 * config.limits.tunnel_bytes + HEADS;
    world.on_step(move |world| {
        let app = world.app::<Ingress>(id);
        app.check_invariants();
        let census = app.census();
        assert!(census.tunnel_tx <= tunnel_max, "too much waits for a tunnel: {census:?}");
        assert_eq!(world.conns_without_deadline(id), []);
    });
}

/// Watches an agent.
pub(crate) fn agent(world: &mut World, id: NodeId) {
    let tunnel_max = 256 * 1024 + HEADS;
    world.on_step(move |world| {
        let app = world.app::<Agent>(id);
        app.check_invariants();
        let census = app.census();
        assert!(census.tunnel_tx <= tunnel_max, "too much waits for a tunnel: {census:?}");
        assert_eq!(world.conns_without_deadline(id), []);
    });
}
