//! Pages of the ingress that are long, and whoever asks for them and does not read them.

use std::time::Duration;

use mesh_sim::peers::{HttpClient, Reading, Request, Response};
use mesh_sim::{LinkConfig, LinkRules, NodeId, World, seeds};

use crate::stage::{ADMIN_ADDRESS, Plan, Stage, census};

const SEEDS: u64 = 2;
/// Pages that are there at once, at the most.
const PAGES: usize = 8;

/// Somebody who asks for a page, over a connection that holds little of it.
fn ask(stage: &mut Stage, path: &str, reading: Reading) -> NodeId {
    let client = HttpClient::new(ADMIN_ADDRESS, vec![Request::get("ingress", path)]);
    let node = stage.world.add_peer("scraper", client.reading(reading), &[]);
    let narrow = LinkConfig { capacity: 1024, ..LinkConfig::fast() };
    stage.world.set_links(node, stage.ingress, LinkRules::fixed(narrow));
    node
}

fn answer(stage: &mut Stage, path: &str) -> Response {
    let node = ask(stage, path, Reading::Eager);
    let is_done = move |world: &World| world.peer::<HttpClient>(node).is_done();
    stage.world.expect("the page is there", is_done, Duration::from_secs(1));
    stage.responses(node)[0].clone()
}

#[test]
fn pages_that_nobody_reads_are_few_and_the_rest_is_put_off() {
    const SCRAPERS: usize = 200;
    for path in ["/metrics", "/debug/services"] {
        seeds(SEEDS, |seed| {
            let mut plan = Plan::calm();
            plan.ingress.limits.hosts_per_tunnel = 400;
            plan.agent.hosts.extend((0..200).map(|number| format!("host{number}.example")));
            let mut stage = Stage::new(seed, plan);
            stage.expect_ready(Duration::from_secs(5));
            let page = answer(&mut stage, path);
            assert!(page.is(200) && page.body.len() > 5_000, "{} bytes", page.body.len());

            let scrapers = (0..SCRAPERS).map(|_| ask(&mut stage, path, Reading::UpTo(1000)));
            let scrapers: Vec<_> = scrapers.collect();
            stage.world.run_for(Duration::from_secs(1));
            let put_off = scrapers.iter().flat_map(|node| stage.responses(*node));
            let put_off = put_off.filter(|response| {
                response.is(503) && response.header("retry-after").as_deref() == Some("1")
            });
            assert_eq!(put_off.count(), SCRAPERS - PAGES);
            let waiting = census(&stage.world, stage.ingress).pages_tx;
            assert!(waiting > 0 && waiting <= PAGES * (page.body.len() + 1000), "{waiting} bytes");
            assert!(answer(&mut stage, path).is(503));
            assert!(answer(&mut stage, "/health").is(200));

            // Who takes nothing is asked to go, and then cut.
            stage.world.run_for(Duration::from_secs(10 + 60 + 1));
            assert!(answer(&mut stage, path).is(200));
            stage.expect_empty_after_drain();
        });
    }
}

#[test]
fn an_ingress_is_not_ready_while_it_warms_up() {
    let mut plan = Plan::calm();
    plan.ingress.timeouts.warm_up = Duration::from_secs(60);
    let mut stage = Stage::new(1, plan);
    stage.expect_ready(Duration::from_secs(5));
    stage.world.run_for(Duration::from_secs(50));
    let page = answer(&mut stage, "/ready");
    assert!(page.is(503), "{page:?}");
    assert_eq!(page.body, b"warming up\n");
    assert!(answer(&mut stage, "/health").is(200));
    stage.world.run_for(Duration::from_secs(10));
    let page = answer(&mut stage, "/ready");
    assert!(page.is(200), "{page:?}");
}
