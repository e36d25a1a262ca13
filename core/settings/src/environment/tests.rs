use super::machine_name;

/// Also where there is no `/proc`.
#[test]
fn the_machine_is_called_what_the_kernel_calls_it() {
    let system = rustix::system::uname();
    assert_eq!(machine_name(), system.nodename().to_str().unwrap());
}
