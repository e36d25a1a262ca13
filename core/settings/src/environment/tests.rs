use super::machine;

/// Also where there is no `/proc`.
#[test]
fn the_machine_is_called_what_the_kernel_calls_it() {
    let system = rustix::system::uname();
    assert_eq!(machine(), system.nodename().to_str().unwrap());
}
