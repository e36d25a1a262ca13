//! From where somebody comes, and what that is worth.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use mesh_ingress::Admission;
use mesh_sim::peers::{HttpClient, Request};
use mesh_sim::{World, seeds};

use crate::stage::{Plan, Stage, TRAFFIC_ADDRESS, census};

const SEEDS: u64 = 4;
const OUTSIDE: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 5);

/// Addresses, and whether they are this very machine's. A socket that listens on IPv6 and IPv4 says
/// the latter in the form of the former.
fn addresses() -> [(IpAddr, bool); 6] {
    [
        (Ipv4Addr::LOCALHOST.into(), true),
        (Ipv6Addr::LOCALHOST.into(), true),
        (Ipv4Addr::LOCALHOST.to_ipv6_mapped().into(), true),
        (OUTSIDE.into(), false),
        (OUTSIDE.to_ipv6_mapped().into(), false),
        (Ipv6Addr::from_bits(0xfd00 << 112 | 5).into(), false),
    ]
}

#[test]
fn without_authentication_agents_of_this_machine_are_accepted_and_no_others() {
    for (address, is_here) in addresses() {
        seeds(SEEDS, |seed| {
            let mut plan = Plan::calm();
            plan.ingress.admission = Admission::Loopback;
            let mut stage = Stage::new(seed, plan);
            stage.world.set_ip(stage.agents[0], address);
            let ingress = stage.ingress;
            let registered = move |world: &World| census(world, ingress).tunnels > 0;
            let came = stage.world.run_until(registered, Duration::from_secs(5));
            assert_eq!(came, is_here, "an agent from {address}");
        });
    }
}

/// Nobody else serves that host: they get a 404.
#[test]
fn callers_from_elsewhere_are_not_told_what_is_registered() {
    for (address, is_here) in addresses() {
        seeds(SEEDS, |seed| {
            let mut stage = Stage::new(seed, Plan::calm());
            stage.expect_ready(Duration::from_secs(5));
            let page = Request::get("localhost", "/debug/services");
            let caller = HttpClient::new(TRAFFIC_ADDRESS, vec![page]);
            let caller = stage.world.add_peer("caller", caller, &[]);
            stage.world.set_ip(caller, address);
            let done = move |world: &World| world.peer::<HttpClient>(caller).is_done();
            stage.world.expect("an answer", done, Duration::from_secs(5));
            let response = &stage.responses(caller)[0];
            assert_eq!(response.status(), if is_here { 200 } else { 404 }, "from {address}");
        });
    }
}
