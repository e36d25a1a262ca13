use super::Limits;

/// The streams of each ingress with so many files.
fn streams(limits: Limits, files: usize) -> u32 {
    let mut limits = limits;
    limits.fit_into(files);
    limits.streams
}

#[test]
fn requests_leave_files_for_tunnels_up_to_a_half() {
    let one = Limits { tunnels: 1, tunnels_per_ingress: 1, ..Limits::default() };
    assert_eq!(streams(one.clone(), 65_536), 1024, "there are enough");
    assert_eq!(streams(one.clone(), 2708), 1024, "just enough for a tunnel and the one before it");
    assert_eq!(streams(one.clone(), 2707), 1023);
    assert_eq!(streams(one.clone(), 400), 100, "a half is the requests' in any case");
    let four = Limits { tunnels: 4, tunnels_per_ingress: 2, ..one.clone() };
    assert_eq!(streams(four.clone(), 4096), 406, "they share the rest of 4096");
    assert_eq!(streams(four, 4), 2, "each tunnel has one");
    assert_eq!(streams(one, usize::MAX), 1024);
}

/// A tunnel that the ingress asked to replace keeps its requests, beside those of the next one.
#[test]
fn requests_of_a_tunnel_and_of_the_one_before_it_fit_into_the_files() {
    for files in [1024, 1500, 2048, 4096, 65_536] {
        let mut limits = Limits::default();
        limits.fit_into(files);
        let used = 2 + limits.idle_upstreams + 2 * limits.streams as usize + 256;
        assert!(used <= files, "{used} of {files}");
    }
}

#[test]
fn unused_connections_get_an_eighth_of_the_files() {
    let idle = |files| {
        let mut limits = Limits::default();
        limits.fit_into(files);
        limits.idle_upstreams
    };
    assert_eq!((idle(65_536), idle(8192), idle(4096), idle(300)), (1024, 1024, 512, 37));
}

#[test]
fn as_many_connections_are_kept_as_there_are_requests_at_once() {
    let limits = Limits::default();
    assert!(limits.idle_upstreams >= limits.streams as usize);
}

/// A host that is registered anew is elsewhere by then, unless its operator says where it is.
#[cfg(feature = "aws")]
#[test]
fn where_an_agent_is_may_change_but_for_what_its_operator_said() {
    use crate::identity::Place;
    let place = |container_instance: &str, cluster: &str| Place {
        container_instance: container_instance.to_owned(),
        cluster: cluster.to_owned(),
        ..Place::default()
    };
    assert_eq!(place("new", "b").overridden_by(&Place::default()), place("new", "b"));
    assert_eq!(place("new", "b").overridden_by(&place("", "a")), place("new", "a"));
    assert_eq!(place("new", "b").overridden_by(&place("given", "")), place("given", "b"));
}
