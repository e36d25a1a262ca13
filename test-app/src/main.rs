//! The sample service's program: everything is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    test_app::run()
}
