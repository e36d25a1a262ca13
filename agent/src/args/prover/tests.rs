use mesh_settings::NamedFile;

use super::TokenSource;

const ONE: &str = "5c0d0a3f6d0b4f0e9a7c1f2e8b3d4c5a";
const TWO: &str = "a4e1d7c2b9f04836a5d2e1c7b8f90342";

#[test]
fn a_file_without_a_token_leaves_the_one_that_it_had() {
    let path = std::env::temp_dir().join(format!("mesh-token-{}", std::process::id()));
    let path = path.to_str().unwrap();
    let put = |text: &str| std::fs::write(path, text).unwrap();
    put("short");
    let source = TokenSource::from(NamedFile::new(path, "--token-file"));
    assert!(source.token().is_err(), "it never had one");

    put(ONE);
    let other = source.clone();
    assert_eq!(other.token(), Ok(ONE.to_owned()));
    for text in ["", "two words", "short"] {
        put(text);
        let sentence = source.read().unwrap_err();
        assert!(
            sentence.starts_with(&format!("--token-file: {path} holds no token")),
            "{sentence}"
        );
        assert_eq!(source.token(), Ok(ONE.to_owned()));
    }
    std::fs::remove_file(path).unwrap();
    assert!(source.read().is_err());
    assert_eq!(source.token(), Ok(ONE.to_owned()));

    put(TWO);
    assert_eq!(source.token(), Ok(TWO.to_owned()));
    std::fs::remove_file(path).unwrap();
    assert_eq!(source.token(), Ok(TWO.to_owned()));
}
