use super::is_host;

#[test]
fn a_service_is_a_host_with_or_without_a_port() {
    for host in ["orders", "orders.mesh.internal", "order_history-2", "10.0.0.7:81"] {
        assert!(is_host(host), "{host}");
    }
    for other in ["", ":80", "a:", "a:b", "a:65536", "a/b", "a?b", "a#b", "me@a", "a b", "[::1]"] {
        assert!(!is_host(other), "{other}");
    }
}
