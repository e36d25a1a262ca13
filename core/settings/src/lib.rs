//! Flags, environment and file, looked up in layers; and the log set-up.
//!
//! A setting has one name everywhere: `request-timeout` is the flag `--request-timeout`, the
//! variable `MESH_REQUEST_TIMEOUT` and the key `request-timeout` of the file. The first layer that
//! names it decides, and every complaint names the layer:
//!
//! ```text
//!   Flags        as typed    --.
//!   Environment  MESH_...    --+--> Settings --> settings.seconds("request-timeout", ..)?
//!   File         key: value  --'        |
//!   default      in the code            `--> Settings::report: every value and where it is from
//! ```
//!
//! Two kinds of settings are not in all layers: records, which are lists of mappings, can only be in
//! the file, and secrets only in the environment.
//!
//! Nothing else reads the command line or, but for AWS's own variables, the environment, and nothing here panics when
//! standard output or standard error is closed.

pub mod command_line;
mod environment;
mod error;
mod file;
mod flags;
mod layers;
pub mod logging;
mod named;
mod nearest;
pub mod output;
mod records;
mod report;
mod settings;
pub mod value;
mod version;

pub use environment::{Environment, machine_name};
pub use error::{Error, reason};
pub use file::{Entry, File, Value, read_text};
pub use flags::{Flags, Kind};
pub use layers::{Found, Layers, Origin};
pub use named::NamedFile;
pub use nearest::nearest;
pub use records::Record;
pub use settings::Settings;
pub use version::version;
