//! Standard output and standard error, without `println!`: that panics when the reader is gone,
//! and a server does not end because nobody listens to it.

use std::io::{self, Write};

/// Writes lines to standard output at once; a reader that is gone misses them.
pub fn say(text: &str) {
    write(io::stdout().lock(), text);
}

/// Writes lines to standard error at once; a reader that is gone misses them.
pub fn complain(text: &str) {
    write(io::stderr().lock(), text);
}

fn write(mut stream: impl Write, text: &str) {
    let end = if text.ends_with('\n') { "" } else { "\n" };
    // One write per call, so that lines of several threads do not mix.
    let whole = [text, end].concat();
    let _ = stream.write_all(whole.as_bytes());
    let _ = stream.flush();
}
