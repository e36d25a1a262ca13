use std::sync::Arc;
use std::time::Duration;

use mesh_protocol::control::{self, RefusalCode};

use super::{Authority, Failure, Hosts, Metrics, Observation, ProofKind, Reason};
use crate::routes::{RouteId, Routes};

/// So many routes.
fn routes(count: usize) -> Vec<RouteId> {
    let mut routes = Routes::default();
    (0..count).map(|number| routes.learn(&format!("host{number}"), &"shop".into())).collect()
}

/// Counters for one host and service.
fn metrics(host: &str, service: &str) -> (Metrics, RouteId) {
    let (mut metrics, route) = (Metrics::default(), routes(1)[0]);
    metrics.hosts.claim(route, host, &service.into());
    (metrics, route)
}

fn observe(metrics: &mut Metrics, route: RouteId, service: &str, duration: Duration) {
    let (status, request_bytes, response_bytes) = (200, 3, 5);
    metrics.observe(&Observation {
        route,
        service,
        status,
        duration,
        request_bytes,
        response_bytes,
    });
}

fn page(metrics: &Metrics) -> String {
    let mut out = String::new();
    metrics.write(&mut out, &[], |_| 7).unwrap();
    out
}

/// The lines of a page with this in them.
fn lines<'p>(page: &'p str, part: &str) -> Vec<&'p str> {
    page.lines().filter(|line| line.contains(part) && !line.starts_with('#')).collect()
}

#[test]
fn a_histogram_reads_as_prometheus_wants_it() {
    let (mut metrics, route) = metrics("a.example", "shop");
    for nanos in [1_000_000, 1_000_100, 31_000_000_000] {
        observe(&mut metrics, route, "shop", Duration::from_nanos(nanos));
    }
    let page = page(&metrics);
    let is_of_host = |line: &&str| line.contains("host=\"a.example\"");
    let text: Vec<_> = page.lines().filter(is_of_host).collect();
    let labels = "host=\"a.example\",service=\"shop\"";
    let name = "mesh_request_duration_seconds";
    let mut wanted = vec![
        "mesh_host_agents_available{host=\"a.example\"} 7".to_owned(),
        format!("mesh_requests_total{{{labels},class=\"2xx\"}} 3"),
        format!("mesh_request_bytes_total{{{labels}}} 9"),
        format!("mesh_response_bytes_total{{{labels}}} 15"),
        // What is a bound belongs to it.
        format!("{name}_bucket{{{labels},le=\"0.001\"}} 1"),
    ];
    let rest = [
        "0.0025", "0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1", "2.5", "5", "10",
        "30",
    ];
    wanted.extend(rest.map(|bound| format!("{name}_bucket{{{labels},le=\"{bound}\"}} 2")));
    wanted.push(format!("{name}_bucket{{{labels},le=\"+Inf\"}} 3"));
    wanted.push(format!("{name}_sum{{{labels}}} 31.0020001"));
    wanted.push(format!("{name}_count{{{labels}}} 3"));
    assert_eq!(text, wanted);
    let head = format!("# HELP {name} From request head to end.\n# TYPE {name} histogram\n");
    assert_eq!(page.matches(&head).count(), 1);
}

#[test]
fn what_agents_choose_cannot_break_out_of_a_label() {
    let (metrics, _) = metrics("*.example", "a\"b\\c\nd");
    let page = page(&metrics);
    let bytes = lines(&page, "mesh_request_bytes_total");
    let right = r#"mesh_request_bytes_total{host="*.example",service="a\"b\\c\nd"} 0"#;
    assert_eq!(bytes[0], right);
}

#[test]
fn no_control_character_gets_into_a_label() {
    let controls: String = (0..=0x9f_u8).map(char::from).filter(|char| char.is_control()).collect();
    let (metrics, _) = metrics("*.example", &controls);
    let page = page(&metrics);
    assert!(page.chars().all(|char| char == '\n' || !char.is_control()), "{page:?}");
    let bytes = lines(&page, "mesh_request_bytes_total");
    let service = format!("{}\\n{}", "\u{fffd}".repeat(10), "\u{fffd}".repeat(54));
    let right = format!("mesh_request_bytes_total{{host=\"*.example\",service=\"{service}\"}} 0");
    assert_eq!(bytes[0], right);
}

#[test]
fn what_has_no_counters_of_its_own_is_counted_with_the_rest() {
    let routes = routes(Hosts::MAX + 1);
    let (service, mut metrics) = (Arc::from("shop"), Metrics::default());
    for (number, route) in routes.iter().enumerate() {
        metrics.hosts.claim(*route, &format!("host{number}"), &service);
    }
    let last = routes[Hosts::MAX];
    assert!(!metrics.hosts.has(last, "shop"));
    observe(&mut metrics, last, "shop", Duration::ZERO);
    observe(&mut metrics, routes[Hosts::MAX - 1], "shop", Duration::ZERO);
    // Another service of a host that is counted.
    observe(&mut metrics, routes[0], "bakery", Duration::ZERO);
    let shown = page(&metrics);
    assert_eq!(
        lines(&shown, "host=\"\",service=\"\",class=\"2xx\"")[0].rsplit(' ').next(),
        Some("2")
    );
    assert_eq!(lines(&shown, "mesh_requests_total").len(), 2);
    assert_eq!(lines(&shown, "mesh_host_agents_available").len(), Hosts::MAX);
    // Somebody else gets the place of one that is given up, and begins at nothing.
    metrics.hosts.give_up(routes[Hosts::MAX - 1], "shop");
    metrics.hosts.claim(last, "last", &service);
    observe(&mut metrics, last, "shop", Duration::ZERO);
    let shown = page(&metrics);
    let label = "mesh_requests_total{host=\"last\",service=\"shop\",class=\"2xx\"} 1";
    assert!(shown.contains(label), "{shown}");
}

/// Counters of which no two are equal, and those of another worker.
fn distinct() -> [Metrics; 2] {
    [1, 1_000].map(|step| {
        let (mut metrics, route) = metrics("a.example", "shop");
        let mut number = 0;
        let mut next = || {
            number += step;
            number
        };
        metrics.connections = next();
        metrics.connections_refused = next();
        metrics.caller_aborts = next();
        metrics.retries = next();
        metrics.moves = next();
        metrics.tunnels_lost = next();
        metrics.ejections = next();
        let counts = [
            &mut metrics.reasons[..],
            &mut metrics.cuts[..],
            &mut metrics.registered[..],
            &mut metrics.refused[..],
            &mut metrics.withdrawn[..],
        ];
        counts.into_iter().flatten().for_each(|count| *count = next());
        metrics.checks.iter_mut().flatten().for_each(|count| *count = next());
        for _ in 0..next() {
            observe(&mut metrics, route, "shop", Duration::from_millis(step));
        }
        for _ in 0..next() {
            observe(&mut metrics, route, "unknown", Duration::from_secs(step));
        }
        metrics
    })
}

#[test]
fn the_counts_of_two_workers_add_up() {
    let [mut sum, other] = distinct();
    let pages = [page(&sum), page(&other)];
    sum.add(&other);
    let sums = page(&sum);
    let value = |line: &str| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap();
    let mut seen = 0;
    for line in sums.lines().filter(|line| !line.starts_with('#')) {
        let (name, _) = line.rsplit_once(' ').unwrap();
        if name.starts_with("mesh_host_agents_available") {
            continue;
        }
        let parts = pages.iter().filter_map(|page| lines(page, name).first().map(|one| value(one)));
        let right: f64 = parts.sum();
        assert!((value(line) - right).abs() <= 1e-6 * right, "{line}, and not {right}");
        seen += 1;
    }
    assert!(seen > 60, "{seen} values");
}

#[test]
fn a_worker_that_knows_more_adds_nothing_to_what_was_given_up() {
    let routes = routes(2);
    let (mut sum, mut other) = (Metrics::default(), Metrics::default());
    sum.hosts.claim(routes[0], "a", &"shop".into());
    for route in &routes {
        other.hosts.claim(*route, "a", &"shop".into());
        observe(&mut other, *route, "shop", Duration::ZERO);
    }
    sum.add(&other);
    assert_eq!(lines(&page(&sum), "mesh_requests_total").len(), 1);
}

#[test]
fn everything_has_its_place() {
    let mut metrics = Metrics::default();
    for reason in Reason::ALL {
        metrics.count(reason);
        assert_eq!(metrics.reason(reason), 1);
    }
    ProofKind::ALL.into_iter().for_each(|proof| metrics.registered(proof));
    metrics.refused(RefusalCode::Overloaded);
    metrics.withdrawn(RefusalCode::Forbidden);
    metrics.checked(Authority::Ecs, None);
    metrics.checked(Authority::Sts, Some(&Failure::Unreachable("gone".to_owned())));
    // Nobody was asked.
    metrics.checked(Authority::Sts, Some(&Failure::StaleProof("old".to_owned())));
    metrics.cut(Reason::UpstreamReset);
    metrics.cut(Reason::RequestTimeout);
    let page = page(&metrics);
    for line in [
        "mesh_registrations_total{method=\"certificate\"} 1",
        "mesh_registrations_refused_total{reason=\"overloaded\"} 1",
        "mesh_registrations_withdrawn_total{reason=\"forbidden\"} 1",
        "mesh_identity_checks_total{service=\"ecs\",outcome=\"answered\"} 1",
        "mesh_identity_checks_total{service=\"sts\",outcome=\"refused\"} 0",
        "mesh_identity_checks_total{service=\"sts\",outcome=\"unreachable\"} 1",
        "mesh_answers_cut_total{reason=\"upstream_reset\"} 1",
        // The word of the access log.
        "mesh_answers_cut_total{reason=\"stream_idle\"} 1",
    ] {
        assert!(page.contains(line), "{line}");
    }
}

#[test]
fn refusals_are_counted_under_the_words_that_agents_are_told() {
    for code in RefusalCode::ALL {
        assert_eq!(control::encode(&code), format!("{:?}", code.name()).into_bytes());
    }
}
