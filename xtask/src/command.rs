//! Running other programs: never with a terminal to read from, always with an error that names the whole command.

use std::{
    ffi::OsStr,
    io,
    path::{Path, PathBuf},
    process::{Command, ExitStatus, Stdio},
};

/// Why a program did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CommandError {
    /// The program could not be started at all.
    #[error("cannot start `{command}`")]
    Start {
        /// The command as one would type it.
        command: String,
        /// What the system said.
        source: io::Error,
    },
    /// The program ran and failed.
    #[error("`{command}` ended with {status}{}", said(.stderr))]
    Failed {
        /// The command as one would type it.
        command: String,
        /// How it ended.
        status: ExitStatus,
        /// What it said, where it was not shown already.
        stderr: String,
    },
}

fn said(stderr: &str) -> String {
    if stderr.is_empty() { String::new() } else { format!(": {stderr}") }
}

/// The cargo that runs this task, or the one on the search path.
pub(crate) fn cargo(folder: &Path) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(folder);
    command
}

/// Shows the command, then runs it with its output on the terminal.
pub(crate) fn run(command: &mut Command) -> Result<(), CommandError> {
    println!("      $ {}", line(command));
    let status = command.stdin(Stdio::null()).status();
    let status = status.map_err(|source| CommandError::Start { command: line(command), source })?;
    if status.success() {
        return Ok(());
    }
    Err(CommandError::Failed { command: line(command), status, stderr: String::new() })
}

/// Shows the command, then runs it; of its output, only the errors are shown, and only if it fails.
pub(crate) fn run_quietly(command: &mut Command) -> Result<(), CommandError> {
    println!("      $ {}", line(command));
    output(command).map(drop)
}

/// Runs the command silently and gives its standard output.
pub(crate) fn output(command: &mut Command) -> Result<Vec<u8>, CommandError> {
    let output = command.stdin(Stdio::null()).output();
    let output = output.map_err(|source| CommandError::Start { command: line(command), source })?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    let stderr = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(CommandError::Failed { command: line(command), status: output.status, stderr })
}

/// Whether the command can be run and succeeds; its output is dropped.
pub(crate) fn succeeds(command: &mut Command) -> bool {
    output(command).is_ok()
}

/// Finds a program on the search path, and in the system folders that are not on a plain user's path.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let system = ["/usr/sbin", "/sbin"].map(PathBuf::from);
    std::env::split_paths(&path).chain(system).map(|folder| folder.join(program)).find(|file| file.is_file())
}

/// The command as one would type it.
fn line(command: &Command) -> String {
    let program = Path::new(command.get_program());
    let program = program.file_name().unwrap_or(command.get_program());
    let words = std::iter::once(program).chain(command.get_args());
    words.map(OsStr::to_string_lossy).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_program_is_named() {
        let error = run(Command::new("/nowhere/no-such-program").arg("--now")).unwrap_err();
        assert_eq!(error.to_string(), "cannot start `no-such-program --now`");
    }

    #[test]
    fn a_failure_tells_what_the_program_said() {
        let error = output(Command::new("sh").args(["-c", "echo why >&2; exit 3"])).unwrap_err();
        let text = error.to_string();
        assert!(text.contains("exit status: 3: why"), "{text}");
    }

    #[test]
    fn programs_are_found_by_name() {
        assert!(find("sh").is_some());
        assert!(find("no-such-program-anywhere").is_none());
    }
}
