//! What the fuzzer's talk comes to.

/// Lines shown of a failure: the panic, and where the input lies.
const FAILURE_LINES_MAX: usize = 30;

/// One line: executions, speed, coverage, corpus, memory. What the fuzzer did not come to say is left out.
pub(super) fn figures(log: &str) -> String {
    let last = log.lines().rev().find(|line| line.starts_with('#') && line.contains(" cov: "));
    let after = |name: &str| {
        let mut words = last?.split_whitespace();
        words.find(|word| *word == name)?;
        words.next()
    };
    let stat = |name: &str| {
        let line = log.lines().rev().find_map(|line| line.strip_prefix("stat::")?.strip_prefix(name));
        line.and_then(|rest| rest.strip_prefix(':')).map(str::trim)
    };
    let figures = [
        stat("number_of_executed_units").map(|it| format!("{} executions", grouped(it))),
        stat("average_exec_per_sec").map(|it| format!("{}/s", grouped(it))),
        after("cov:").map(|it| format!("{} edges", grouped(it))),
        after("ft:").map(|it| format!("{} features", grouped(it))),
        after("corp:").map(|it| format!("corpus {}", it.replace('/', " inputs, "))),
        stat("new_units_added").map(|it| format!("{} new", grouped(it))),
        stat("peak_rss_mb").map(|it| format!("{it} MiB at most")),
    ];
    figures.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

/// The end of the talk: why the fuzzer stopped.
pub(super) fn failure(log: &str) -> Vec<&str> {
    let lines: Vec<&str> = log.lines().collect();
    let begin = lines.iter().position(|line| line.contains("panicked at") || line.contains("ERROR: "));
    let begin = begin.unwrap_or(lines.len().saturating_sub(FAILURE_LINES_MAX));
    let wanted = |line: &&&str| !line.starts_with("stat::") && !line.trim_start().starts_with('#');
    lines[begin..].iter().filter(wanted).take(FAILURE_LINES_MAX).copied().collect()
}

/// `1955763` → `1,955,763`.
fn grouped(number: &str) -> String {
    let mut grouped = String::new();
    for (index, digit) in number.chars().enumerate() {
        if index > 0 && (number.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = "INFO: seed corpus\n\
        #2048\tNEW    cov: 580 ft: 3491 corp: 447/27Kb lim: 434 exec/s: 8031 rss: 31Mb L: 12/391\n\
        #152604\tREDUCE cov: 586 ft: 3594 corp: 522/27Kb lim: 434 exec/s: 8031 rss: 31Mb L: 12/391\n\
        Done 152604 runs in 21 second(s)\n\
        stat::number_of_executed_units: 152604\n\
        stat::average_exec_per_sec:     7266\n\
        stat::peak_rss_mb:              31\n";

    #[test]
    fn the_last_figures_count() {
        let expected =
            "152,604 executions, 7,266/s, 586 edges, 3,594 features, corpus 522 inputs, 27Kb, 31 MiB at most";
        assert_eq!(figures(LOG), expected);
        assert_eq!(figures("error: nothing ran"), "");
    }

    #[test]
    fn a_failure_begins_with_its_panic() {
        let log = format!(
            "{LOG}thread '<unnamed>' panicked at src/packet.rs:1:\nthe round trip\n==1== ERROR: libFuzzer\n"
        );
        assert_eq!(failure(&log).len(), 3);
        assert!(failure(&log)[0].contains("panicked at"));
    }
}
