use super::{Origin, Profiles};
use crate::Environment;
use crate::tests::{Folder, environment};

fn read(config: &str, credentials: &str, profile: Option<&str>) -> Result<Profiles, String> {
    let folder = Folder::new();
    folder.file(".aws/config", config);
    folder.file(".aws/credentials", credentials);
    let variables = [("HOME", folder.name())];
    let chosen = profile.map(|profile| ("AWS_PROFILE", profile));
    let environment: Environment = variables.into_iter().chain(chosen).collect();
    // The folder's name differs each time.
    Profiles::read(&environment).map_err(|error| error.replace(folder.name(), "~"))
}

fn setting(config: &str, credentials: &str, name: &str) -> Option<String> {
    let profiles = read(config, credentials, None).unwrap();
    profiles.chosen().and_then(|profile| profile.get(name)).map(str::to_owned)
}

#[test]
fn heads_differ_between_the_files() {
    let profiles = read(
        "[default]\na=1\n[profile shop]\na=2\n[shop]\na=3\n[sso-session x]\na=4\n",
        "[default]\nb=1\n[shop]\nb=2\n",
        Some("shop"),
    )
    .unwrap();
    assert_eq!(profiles.choice.origin, Origin::Variable);
    let shop = profiles.chosen().unwrap();
    assert_eq!((shop.get("a"), shop.get("b")), (Some("2"), Some("2")));
    let default = profiles.get("default").unwrap();
    assert_eq!((default.get("a"), default.get("b")), (Some("1"), Some("1")));
    assert!(profiles.get("sso-session x").is_none());
    assert!(profiles.get("nobody").is_none());
}

#[test]
fn the_credentials_file_counts_more() {
    assert_eq!(setting("[default]\na=1\n", "[default]\na=2\n", "a").as_deref(), Some("2"));
}

#[test]
fn values_are_taken_as_people_write_them() {
    let check = |line: &str, expected: &str| {
        let found = setting(&format!("[default]\n{line}\n"), "", "a");
        assert_eq!(found.as_deref(), Some(expected).filter(|it| !it.is_empty()), "{line}");
    };
    check("a=1", "1");
    check("a = 1 ", "1");
    check("A\t=\t1", "1");
    check("a = b=c==", "b=c==");
    check("a = b # comment", "b");
    check("a = b\t; comment", "b");
    check("a = b#c;d", "b#c;d");
    check("a = é # x", "é");
    check("a =", "");
    check("# a = 1", "");
    check("; a = 1", "");
    check("a = 1\na = 2", "2");
    check("a = 1\r", "1");
    check("s3 =\n  a = 1", "");
    check("a = 1\n  a = 2", "1");
    // Indented as a whole, as the AWS CLI takes it.
    check("  a = 1", "1");
    check("  b = 1\n  a = 2", "2");
    check("\tb = 1\n\n\t# c\n\ta = 2", "2");
    check("  s3 =\n    a = 1\n  b = 2", "");
    check("  s3 =\n    a = 1\n  a = 2", "2");
    check("  b = 1\na = 2", "2");
    check("b = 1\n[profile x]\n  b = 1\n[default]\n  a = 2", "2");
}

#[test]
fn heads_are_taken_as_people_write_them() {
    let found = |config: &str| read(config, "", Some("shop")).unwrap().chosen().is_some();
    for config in [
        "[profile shop]",
        "[ profile  shop ]",
        "[profile shop] # comment",
        "[profile \"shop\"]",
        "  [profile shop]",
        "\u{feff}[profile shop]",
    ] {
        assert!(found(config), "{config}");
    }
}

#[test]
fn a_line_that_makes_no_sense_is_named_and_not_quoted() {
    let complaint = |config: &str| read(config, "", None).err().unwrap();
    assert_eq!(
        complaint("[default]\nwJalrXUtnFEMI\n"),
        "~/.aws/config: line 2 is neither a [profile] nor a setting with ="
    );
    assert_eq!(
        complaint("a = wJalrXUtnFEMI\n"),
        "~/.aws/config: line 1 is a setting before any [profile]"
    );
    assert_eq!(
        complaint("\n  a = wJalrXUtnFEMI\n"),
        "~/.aws/config: line 2 is a setting before any [profile]"
    );
    for head in ["[default", "[]", "[default] x"] {
        let complaint = complaint(head);
        assert_eq!(
            complaint,
            "~/.aws/config: line 1 begins with [ and is not the head of a profile"
        );
    }
}

#[test]
fn files_may_be_missing_unless_a_variable_names_them() {
    let folder = Folder::new();
    let home = environment([("HOME", folder.name())]);
    assert!(Profiles::read(&home).unwrap().chosen().is_none());
    assert!(Profiles::read(&environment([])).unwrap().chosen().is_none());
    let path = folder.path("credentials");
    let path = path.to_str().unwrap();
    let named = environment([("AWS_SHARED_CREDENTIALS_FILE", path)]);
    let complaint = Profiles::read(&named).err().unwrap();
    assert_eq!(
        complaint,
        format!("AWS_SHARED_CREDENTIALS_FILE names {path}, which does not exist")
    );
    let folder_itself = environment([("AWS_CONFIG_FILE", folder.name())]);
    let complaint = Profiles::read(&folder_itself).err().unwrap();
    assert_eq!(complaint, format!("cannot read {}: is a directory", folder.name()));
}

/// As in a container that runs as some user with the home folder of root.
#[test]
fn files_that_may_not_be_read_are_missing_unless_a_variable_names_them() {
    let folder = Folder::new();
    // Root may read everything: what is no folder stands for one that may not be entered.
    let home = folder.file("home", "");
    let home = home.to_str().unwrap();
    let profiles = Profiles::read(&environment([("HOME", home)])).unwrap();
    assert!(profiles.chosen().is_none());
    assert_eq!(profiles.looks.len(), 2);
    let reasons = [".aws/config", ".aws/credentials"]
        .map(|name| format!("cannot read {home}/{name}: not a directory"));
    assert_eq!(
        profiles.explain("there is none"),
        format!("there is none ({})", reasons.join(", "))
    );
    for variable in ["AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"] {
        let named = environment([(variable, "~/file"), ("HOME", home)]);
        let complaint = Profiles::read(&named).err().unwrap();
        assert_eq!(complaint, format!("cannot read {home}/file: not a directory"));
    }
}

#[test]
fn a_tilde_that_begins_a_path_is_the_home_folder() {
    let folder = Folder::new();
    folder.file("aws/config", "[default]\na = 1\n");
    let read = |path: &str, home: &str| {
        Profiles::read(&environment([("AWS_CONFIG_FILE", path), ("HOME", home)]))
    };
    let profiles = read("~/aws/config", folder.name()).unwrap();
    assert_eq!(profiles.chosen().and_then(|profile| profile.get("a")), Some("1"));
    assert!(read("~//aws/config", folder.name()).is_ok());
    for (path, home) in [("~/aws/config", ""), ("~nobody/aws/config", folder.name())] {
        let complaint = read(path, home).err().unwrap();
        assert_eq!(complaint, format!("AWS_CONFIG_FILE names {path}, which does not exist"));
    }
}
