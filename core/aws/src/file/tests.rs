use std::fs;
use std::io::Write;

use super::{Content, read_text, read_watched};
use crate::tests::Folder;

#[test]
fn a_look_is_outdated_when_the_file_is_written_replaced_or_removed() {
    let folder = Folder::new();
    let path = folder.file("f", "one");
    let (text, look) = read_watched(&path).unwrap();
    assert_eq!(text, Content::Text("one".to_owned()));
    assert!(!look.is_outdated());
    fs::OpenOptions::new().append(true).open(&path).unwrap().write_all(b"!").unwrap();
    assert!(look.is_outdated());

    let (_, look) = read_watched(&path).unwrap();
    // Of the same length, perhaps in the same tick of the clock: the inode tells.
    fs::rename(folder.file("g", "two!"), &path).unwrap();
    assert!(look.is_outdated());

    let (_, look) = read_watched(&path).unwrap();
    fs::remove_file(&path).unwrap();
    assert!(look.is_outdated());
}

#[test]
fn a_file_that_comes_is_a_change() {
    let folder = Folder::new();
    let path = folder.path("f");
    let (text, look) = read_watched(&path).unwrap();
    assert_eq!(text, Content::Missing);
    assert!(!look.is_outdated());
    folder.file("f", "");
    assert!(look.is_outdated());
}

#[test]
fn a_file_in_no_folder_is_withheld_until_it_can_be_seen() {
    let folder = Folder::new();
    let home = folder.file("home", "");
    let path = home.join("f");
    let (text, look) = read_watched(&path).unwrap();
    assert_eq!(text, Content::Withheld("not a directory".to_owned()));
    assert!(!look.is_outdated());
    fs::remove_file(home).unwrap();
    folder.file("home/f", "");
    assert!(look.is_outdated());
}

#[test]
fn what_cannot_be_read_says_why() {
    let folder = Folder::new();
    assert_eq!(read_text(&folder.path("f")).unwrap_err(), "no such file or directory");
    assert_eq!(read_text(&folder.path("")).unwrap_err(), "is a directory");
    assert!(read_text("/dev/zero".as_ref()).is_err());
    let bytes = folder.path("bytes");
    fs::write(&bytes, b"\xff\xfe").unwrap();
    assert!(read_text(&bytes).is_err());
}

#[test]
fn a_large_file_is_refused() {
    let folder = Folder::new();
    let path = folder.file("f", &"x".repeat(1024 * 1024));
    assert_eq!(read_text(&path).unwrap_err(), "it is larger than 1 MiB");
}
