use super::*;

fn is_health(words: &[&str]) -> bool {
    matches!(Command::from_args(&["mesh-agent"], words), Ok(Command::Health(_)))
}

#[test]
fn health_may_stand_behind_flags_of_logging_and_nothing_else() {
    assert!(is_health(&["health", "--timeout", "1"]));
    assert!(is_health(&["--verbose", "health"]));
    assert!(is_health(&["--log-level", "debug", "--verbose", "health", "--timeout", "1"]));
    assert!(!is_health(&["--host", "health"]));
    assert!(!is_health(&["--log-level", "health"]));
}
