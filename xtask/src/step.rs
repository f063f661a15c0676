//! Steps with a name, a time, and advice for when they fail.

use std::{
    error::Error,
    fmt,
    time::{Duration, Instant},
};

use crate::workspace::Workspace;

/// What a step answers. Each step has an error type of its own; here only its text matters.
pub(crate) type StepResult = Result<(), Box<dyn Error>>;

/// One thing that a task does.
pub(crate) struct Step {
    /// Shown before and after the step.
    pub(crate) name: &'static str,
    /// Shown when the step fails: what the reader can do next.
    pub(crate) advice: &'static str,
    /// The work itself.
    pub(crate) run: Box<dyn Fn(&Workspace) -> StepResult>,
}

impl Step {
    /// A step from a function whose error has any type.
    pub(crate) fn new<E: Error + 'static>(
        name: &'static str,
        advice: &'static str,
        run: impl Fn(&Workspace) -> Result<(), E> + 'static,
    ) -> Self {
        Self { name, advice, run: Box::new(move |workspace| Ok(run(workspace)?)) }
    }
}

/// A step failed; its text is the last thing that a run prints.
#[derive(Debug)]
pub(crate) struct StepFailed {
    name: &'static str,
    advice: &'static str,
    after: Duration,
    cause: String,
}

impl fmt::Display for StepFailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\nFAILED: {} (after {})", self.name, seconds(self.after))?;
        writeln!(f, "  cause: {}", self.cause)?;
        write!(f, "  next:  {}", self.advice)
    }
}

/// Runs the steps in order and stops at the first that fails.
pub(crate) fn run_all(workspace: &Workspace, steps: Vec<Step>) -> Result<(), StepFailed> {
    let total = steps.len();
    let begin = Instant::now();
    let mut times = Vec::with_capacity(total);
    for (index, step) in steps.into_iter().enumerate() {
        println!("[{}/{total}] {} ...", index + 1, step.name);
        let begin = Instant::now();
        let result = (step.run)(workspace);
        let after = begin.elapsed();
        if let Err(cause) = result {
            let cause = chain(cause.as_ref());
            return Err(StepFailed { name: step.name, advice: step.advice, after, cause });
        }
        println!("[{}/{total}] {}: ok in {}", index + 1, step.name, seconds(after));
        times.push((step.name, after));
    }
    if total > 1 {
        println!("\nAll {total} steps passed in {}:", seconds(begin.elapsed()));
        for (name, time) in times {
            println!("  {:>9}  {name}", seconds(time));
        }
    }
    Ok(())
}

/// An error with all its causes, in one line.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

fn seconds(time: Duration) -> String {
    let seconds = time.as_secs();
    if seconds >= 60 {
        format!("{} min {:02} s", seconds / 60, seconds % 60)
    } else {
        format!("{:.1} s", time.as_secs_f64())
    }
}

#[cfg(test)]
mod tests {
    use std::{cell::Cell, path::PathBuf, rc::Rc};

    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("outer")]
    struct Outer(#[source] std::num::ParseIntError);

    fn nowhere() -> Workspace {
        Workspace { root: PathBuf::new(), target: PathBuf::new() }
    }

    #[test]
    fn stops_at_the_first_failure_and_names_it() {
        let ran = Rc::new(Cell::new(0));
        let count = Rc::clone(&ran);
        let parse = "x".parse::<u8>().unwrap_err();
        let steps = vec![
            Step::new("fails", "look at it", move |_| Err(Outer(parse.clone()))),
            Step::new("never", "", move |_| {
                count.set(count.get() + 1);
                Ok::<(), Outer>(())
            }),
        ];
        let text = run_all(&nowhere(), steps).unwrap_err().to_string();
        assert!(text.contains("FAILED: fails"), "{text}");
        assert!(text.contains("outer: invalid digit"), "{text}");
        assert!(text.contains("look at it"), "{text}");
        assert_eq!(ran.get(), 0);
    }

    #[test]
    fn times_read_well() {
        assert_eq!(seconds(Duration::from_millis(1_250)), "1.2 s");
        assert_eq!(seconds(Duration::from_secs(185)), "3 min 05 s");
    }
}
