use super::Limits;

/// The callers that are let in with so many files, by default or when so many are wanted.
fn connections(wanted: usize, files: usize) -> usize {
    let mut limits = Limits { connections: wanted, ..Limits::default() };
    limits.fit_into(files);
    limits.connections
}

#[test]
fn callers_leave_files_for_agents_and_health_checks_up_to_a_half() {
    assert_eq!(connections(20_000, 65_535), 20_000, "there are enough");
    assert_eq!(connections(20_000, 23_600), 20_000, "just enough");
    assert_eq!(connections(20_000, 23_599), 19_999);
    assert_eq!(connections(100_000, 65_536), 61_936);
    assert_eq!(connections(20_000, 4096), 2048, "a half is the callers' in any case");
    assert_eq!(connections(20_000, 1024), 512);
    assert_eq!(connections(100, 1024), 100);
    assert_eq!(connections(20_000, 0), 1, "none at all makes no sense");
    assert_eq!(connections(20_000, usize::MAX), 20_000);
}
