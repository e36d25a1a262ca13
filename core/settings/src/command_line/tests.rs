use argh::FromArgs;

use super::{mistake, words, wrapped};

/// a program
#[derive(FromArgs, Debug)]
#[argh(example = "{command_name} server")]
#[allow(dead_code)]
struct Program {
    /// how much is logged
    #[argh(option)]
    log_level: Option<String>,
    #[argh(subcommand)]
    command: Command,
}

#[derive(FromArgs, Debug)]
#[argh(subcommand)]
#[allow(dead_code)]
enum Command {
    Server(Server),
    Client(Client),
}

/// one command
#[derive(FromArgs, Debug)]
#[argh(subcommand, name = "server")]
#[allow(dead_code)]
struct Server {
    /// a port, and not --health-port
    #[argh(option)]
    alb_port: Option<String>,
    /// look, and go
    #[argh(switch)]
    check: bool,
}

/// another command
#[derive(FromArgs, Debug)]
#[argh(subcommand, name = "client")]
struct Client {}

#[test]
fn a_mistake_is_one_sentence_that_says_what_would_be_right() {
    let cases: [(&[&str], &str); 16] = [
        (
            &["server", "--alb-prot", "1"],
            "--alb-prot is not a flag of this command; --alb-port may be meant; see mesh server \
             --help",
        ),
        (
            &["--log-level", "debug", "server", "-x"],
            "-x is not a flag of this command; see mesh server --help",
        ),
        (
            &["server", "-check"],
            "-check is not a flag of this command; --check may be meant; see mesh server --help",
        ),
        (
            &["-alb-port", "1", "server"],
            "-alb-port is not a flag of this command; --alb-port may be meant; see mesh server --help",
        ),
        (&["serve"], "\"serve\" is not a command; give server or client; see mesh --help"),
        (
            &["server", "8080"],
            "\"8080\" stands alone; a value needs its flag before it; see mesh server --help",
        ),
        (&["server", "--alb-port"], "--alb-port needs a value; see mesh server --help"),
        (
            &["server", "--alb-port", "1", "--alb-port", "2"],
            "--alb-port is given twice; see mesh server --help",
        ),
        (&["--colour", "server"], "--colour is not a flag of this command; see mesh server --help"),
        (
            &["--alb-port", "1", "server"],
            "--alb-port belongs after the command; see mesh server --help",
        ),
        (
            &["server", "--health-port", "1"],
            "--health-port is not a flag of this command; see mesh server --help",
        ),
        (
            &["server", "--", "--check"],
            "--check comes after --, where nothing is a flag; see mesh server --help",
        ),
        (&[""], "\"\" is not a command; give server or client; see mesh --help"),
        (
            &["server", ""],
            "\"\" stands alone; a value needs its flag before it; see mesh server --help",
        ),
        (
            &["server", "--check", "true", "--alb-port", "true"],
            "\"true\" stands alone, and --check takes no value; see mesh server --help",
        ),
        (
            &["server", "--alb-port", "true", "true"],
            "\"true\" stands alone; a value needs its flag before it; see mesh server --help",
        ),
    ];
    for (words, expected) in cases {
        let exit = Program::from_args(&["mesh"], words).unwrap_err();
        assert_eq!(mistake::<Program>("mesh", words, &exit.output), expected);
    }
}

#[test]
fn the_beginning_of_a_flag_may_mean_that_flag() {
    let words = ["server", "--alb", "80"];
    let exit = Program::from_args(&["mesh"], &words).unwrap_err();
    assert_eq!(
        mistake::<Program>("mesh", &words, &exit.output),
        "--alb is not a flag of this command; --alb-port may be meant; see mesh server --help"
    );
}

#[test]
fn a_program_that_is_the_client_alone_says_so() {
    let exit = Client::from_args(&["mesh-agent"], &["client"]).unwrap_err();
    assert_eq!(
        mistake::<Client>("mesh-agent", &["client"], &exit.output),
        "this program is the client alone; leave \"client\" out; see mesh-agent --help"
    );
}

#[test]
fn a_value_may_follow_an_equals_sign() {
    let typed = ["server", "--alb-port=80", "--host=a=b", "a=b", "-x=y"].map(Into::into);
    let expected = ["server", "--alb-port", "80", "--host", "a=b", "a=b", "-x=y"];
    assert_eq!(words(typed.into_iter()).unwrap(), expected);
}

#[test]
fn paragraphs_are_wrapped_and_lists_are_left_alone() {
    let word = "a234567890";
    let paragraph = [word; 9].join(" ");
    let list = format!("  {paragraph}");
    let expected = format!("{}\n{word} {word}\n\n{list}\n", [word; 7].join(" "));
    assert_eq!(wrapped(&format!("{paragraph}\n\n{list}\n")), expected);
}
