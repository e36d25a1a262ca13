//! What is wrong with a PEM file, in words: the library shows parts of it as lists of bytes.

use rustls::pki_types::pem::Error;

/// Behind what a file lacks: it may well be there in DER, or indented.
pub(crate) const IN_PEM: &str = " in PEM, where a line begins with -----BEGIN";

pub(crate) fn describe(error: &Error) -> String {
    let shown = |bytes: &[u8]| String::from_utf8_lossy(bytes).escape_debug().to_string();
    if let Error::MissingSectionEnd { end_marker } = error {
        return format!("its section {} has no end", shown(end_marker));
    }
    if let Error::IllegalSectionStart { line } = error {
        return format!("no section begins like {}", shown(line));
    }
    error.to_string()
}
