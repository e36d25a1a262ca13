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
    assert_eq!(streams(one.clone(), 1537), 1024, "just enough");
    assert_eq!(streams(one.clone(), 1536), 1023);
    assert_eq!(streams(one.clone(), 1024), 512, "a half is the requests' in any case");
    let four = Limits { tunnels: 4, tunnels_per_ingress: 2, ..one.clone() };
    assert_eq!(streams(four.clone(), 4096), 894, "they share the rest of 4096");
    assert_eq!(streams(four, 4), 2, "each tunnel has one");
    assert_eq!(streams(one, usize::MAX), 1024);
}
