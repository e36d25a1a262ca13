use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;

use super::is_named;

#[test]
fn only_the_stream_with_that_device_and_number_is_the_journal() {
    let (one, other) = UnixStream::pair().unwrap();
    let name = |stream: &UnixStream| {
        let stream = std::fs::File::from(stream.as_fd().try_clone_to_owned().unwrap());
        let found = stream.metadata().unwrap();
        format!("{}:{}", found.dev(), found.ino())
    };
    assert!(is_named(&one, &name(&one)));
    assert!(!is_named(&one, &name(&other)));
    for nonsense in ["", ":", "8", "8:", ":1", "a:b"] {
        assert!(!is_named(&one, nonsense), "{nonsense}");
    }
}
