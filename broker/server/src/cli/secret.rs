//! Passwords: from standard input or the environment, never from arguments, which every user of the machine can see.

use super::error::CliError;
use parlance_schema::api::Secret;
use std::io::{Read, stdin};

/// Longest password that is read, bytes: API keys and tokens are the longest secrets there are.
const SECRET_BYTES_MAX: u64 = 16 * 1024;

/// The first line of standard input.
pub(super) fn from_stdin() -> Result<Secret, CliError> {
    let mut text = String::new();
    stdin().lock().take(SECRET_BYTES_MAX).read_to_string(&mut text).map_err(CliError::Input)?;
    first_line(&text).ok_or(CliError::NoPassword)
}

/// `PARLANCE_PASSWORD`.
pub(super) fn from_environment() -> Option<Secret> {
    std::env::var("PARLANCE_PASSWORD").ok().filter(|secret| !secret.is_empty()).map(Secret)
}

fn first_line(text: &str) -> Option<Secret> {
    text.lines().next().filter(|line| !line.is_empty()).map(|line| Secret(line.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_one_line_with_its_spaces() {
        assert_eq!(first_line("correct horse \r\nmore\n").unwrap().0, "correct horse ");
        assert!(first_line("").is_none() && first_line("\nx").is_none());
    }
}
