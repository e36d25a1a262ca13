//! From the words of the command line to a program that runs, or to one sentence why not.

use std::ffi::OsString;
use std::io;
use std::process::ExitCode;

use argh::{EarlyExit, FromArgs};

use crate::error::Fault;
use crate::logging::journal;
use crate::{Error, logging, nearest, output};

/// The program started and could not go on.
const FAILED: u8 = 1;
/// The command line made no sense.
const MISUSED: u8 = 2;

/// Takes the command line apart, runs the program, and tells the operator how it ended.
pub fn run<T: FromArgs>(program: &str, body: impl FnOnce(T) -> Result<(), Error>) -> ExitCode {
    let words = match words(std::env::args_os().skip(1)) {
        Ok(words) => words,
        Err(error) => return fail(program, &error.to_string(), MISUSED),
    };
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match T::from_args(&[program], &words) {
        Ok(args) => {
            let outcome = body(args);
            logging::finish();
            match outcome {
                Ok(()) => ExitCode::SUCCESS,
                Err(error) => fail(program, &error.to_string(), code(&error)),
            }
        }
        Err(EarlyExit { output, status: Ok(()) }) => {
            output::say(&wrapped(&output));
            ExitCode::SUCCESS
        }
        Err(EarlyExit { output, status: Err(()) }) => {
            fail(program, &mistake::<T>(program, &words, &output), MISUSED)
        }
    }
}

const fn code(error: &Error) -> u8 {
    match error.fault() {
        Fault::Misuse => MISUSED,
        Fault::Failure => FAILED,
    }
}

fn fail(program: &str, sentence: &str, code: u8) -> ExitCode {
    // The journal would take it for a remark otherwise.
    let priority = if journal::is_behind(io::stderr()) { "<3>" } else { "" };
    output::complain(&format!("{priority}{program}: {}", logging::printable(sentence)));
    ExitCode::from(code)
}

/// The words as text, `--name=value` taken apart into two.
fn words(words: impl Iterator<Item = OsString>) -> Result<Vec<String>, Error> {
    let mut result = Vec::new();
    for word in words {
        let word = word.into_string().map_err(|word| {
            Error::new(format!(
                "{:?} on the command line is not UTF-8 text",
                word.to_string_lossy()
            ))
        })?;
        match word.split_once('=') {
            Some((flag, value)) if flag.starts_with("--") => {
                result.extend([flag.to_owned(), value.to_owned()]);
            }
            Some(_) | None => result.push(word),
        }
    }
    Ok(result)
}

/// What is wrong with the command line, said as the rest of the program says it.
fn mistake<T: FromArgs>(program: &str, words: &[&str], complaint: &str) -> String {
    let (command, help) = help::<T>(program, words);
    let complaint = complaint.trim();
    let quoted = complaint.split('\'').nth(1).unwrap_or_default();
    let sentence = if let Some(word) = complaint.strip_prefix("Unrecognized argument:") {
        unknown(word.trim(), before::<T>(program, words, complaint), &help)
    } else if complaint.starts_with("No value provided") {
        format!("{quoted} needs a value")
    } else if complaint.ends_with("duplicate values provided") {
        format!("{quoted} is given twice")
    } else {
        complaint.lines().collect::<Vec<_>>().join(" ")
    };
    format!("{sentence}; see {command} --help")
}

/// The words before the one that was complained about.
fn before<'a, 'w, T: FromArgs>(
    program: &str,
    words: &'a [&'w str],
    complaint: &str,
) -> &'a [&'w str] {
    let is_wrong = |end: &usize| match T::from_args(&[program], &words[..*end]) {
        Err(EarlyExit { output, status: Err(()) }) => output.trim() == complaint,
        Ok(_) | Err(_) => false,
    };
    let end = (1..=words.len()).find(is_wrong).unwrap_or_default();
    &words[..end.saturating_sub(1)]
}

/// What is wrong with a word that comes after these, by the help of the command.
fn unknown(word: &str, before: &[&str], help: &str) -> String {
    if !word.starts_with('-') {
        return match (help.split_once("Commands:"), before.last()) {
            (Some((_, commands)), _) => {
                format!("{word:?} is not a command; give {}", choice(commands))
            }
            // One that takes a value would have taken this.
            (None, Some(flag)) if flags(help).any(|name| Some(name) == flag.strip_prefix("--")) => {
                format!("{word:?} stands alone, and {flag} takes no value")
            }
            // The image of the agent has another program than that of `mesh client`.
            (None, None) if word == "client" => {
                format!("this program is the client alone; leave {word:?} out")
            }
            (None, _) => format!("{word:?} stands alone; a value needs its flag before it"),
        };
    }
    if before.contains(&"--") {
        return format!("{word} comes after --, where nothing is a flag");
    }
    let name = word.trim_start_matches('-');
    let is_known = flags(help).any(|known| known == name);
    let has_two_dashes = word.strip_prefix("--") == Some(name);
    if is_known && has_two_dashes {
        return format!("{word} belongs after the command");
    }
    let longer = || flags(help).find(|known| known.starts_with(&format!("{name}-")));
    let meant = if is_known { Some(name) } else { nearest(name, flags(help)).or_else(longer) };
    let hint = meant.map_or_else(String::new, |name| format!("; --{name} may be meant"));
    format!("{word} is not a flag of this command{hint}")
}

/// The flags in the list of a help, without their dashes; its texts speak of those of others too.
fn flags(help: &str) -> impl Iterator<Item = &str> {
    help.lines()
        .filter_map(|line| line.strip_prefix("  --"))
        .filter_map(|line| line.split([' ', ',']).next())
}

/// The names in a list of commands, which stand alone at the left: `a, b or c`.
fn choice(commands: &str) -> String {
    let names: Vec<&str> = commands
        .lines()
        .skip(1)
        .take_while(|line| !line.is_empty())
        .filter_map(|line| line.strip_prefix("  ").filter(|rest| !rest.starts_with(' ')))
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    match names.as_slice() {
        [others @ .., last] if !others.is_empty() => format!("{} or {last}", others.join(", ")),
        _ => names.concat(),
    }
}

/// The help with its paragraphs broken into lines, as its lists already are.
fn wrapped(help: &str) -> String {
    let mut text = String::with_capacity(help.len());
    for line in help.lines() {
        let mut width = 0;
        for (index, word) in line.split(' ').enumerate() {
            let length = word.chars().count();
            let separator = match index {
                0 => "",
                _ if width + 1 + length > COLUMNS && !line.starts_with(' ') => "\n",
                _ => " ",
            };
            width = if separator == "\n" { length } else { width + separator.len() + length };
            text.extend([separator, word]);
        }
        text.push('\n');
    }
    text
}

/// As wide as the lists in the help.
const COLUMNS: usize = 80;

/// The command that the words are about, and its help.
fn help<T: FromArgs>(program: &str, words: &[&str]) -> (String, String) {
    let ask = |words: &[&str]| match T::from_args(&[program], words) {
        Err(EarlyExit { output, status: Ok(()) }) => Some(output),
        Ok(_) | Err(_) => None,
    };
    words
        .iter()
        .filter(|word| !word.starts_with('-'))
        .find_map(|word| Some((format!("{program} {word}"), ask(&[word, "--help"])?)))
        .unwrap_or_else(|| (program.to_owned(), ask(&["--help"]).unwrap_or_default()))
}

#[cfg(test)]
mod tests;
