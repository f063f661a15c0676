//! `parlance access`: the rules of free topics.

use super::{
    admin::{Api, at},
    error::CliError,
    place::Place,
    print,
};
use clap::{Args, Subcommand};
use parlance_schema::api::{
    AccessChecked, AccessRule, AccessRules, AccessRulesRequest, CheckAccessRequest, SetAccessRulesRequest,
};
use std::process::ExitCode;

const LIST_EXAMPLES: &str = "\
The first rule that matches decides; what no rule matches is denied. The rules of the server's file come first.

Examples:
  parlance access list
  parlance access list --json | jq -r 'select(.deny) | .topic'";

const ALLOW_EXAMPLES: &str = "\
WHO     * (everybody who is logged in), person, service, @handle, a user id, or group:@team for the members of a group
TOPIC   a topic filter. %u stands for the handle, %i for the user id, %c for the client id of who asks

Examples: a fleet of devices, each a service account that writes to a place of its own and hears its commands
  parlance user add sensor-17 --service
  parlance access allow service publish 'app/sensors/%u/#'
  parlance access allow service subscribe 'app/commands/%u/#'
  parlance access allow group:@operators both 'app/#'            whoever is a member of @operators, while it is one
  parlance access check @sensor-17 publish app/sensors/sensor-17/temperature

Live at once, for connected clients too.";

const DENY_EXAMPLES: &str = "\
WHO and TOPIC are those of parlance access allow. A denial stands before what allows, unless --last is given.

Examples:
  parlance access deny @sensor-17 both '#'                       nothing more from or to a device that is broken
  parlance access deny person subscribe 'app/internal/#'";

const REMOVE_EXAMPLES: &str = "\
Example:
  parlance access remove 3      parlance access list shows the numbers";

const CHECK_EXAMPLES: &str = "\
The exit code is 0 if it is allowed and 1 if it is not.

Examples:
  parlance access check @sensor-17 publish app/sensors/sensor-17/temperature
  parlance access check @alice subscribe 'app/#' --client-id phone-1";

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// List the rules in their order
    #[command(after_help = LIST_EXAMPLES)]
    List {
        /// One JSON object on each line
        #[arg(long)]
        json: bool,
    },
    /// Add a rule that allows
    #[command(after_help = ALLOW_EXAMPLES)]
    Allow {
        #[command(flatten)]
        rule: Rule,
        /// Before all others, not behind them
        #[arg(long)]
        first: bool,
    },
    /// Add a rule that denies
    #[command(after_help = DENY_EXAMPLES)]
    Deny {
        #[command(flatten)]
        rule: Rule,
        /// Behind all others, not before them
        #[arg(long)]
        last: bool,
    },
    /// Take rules away
    #[command(after_help = REMOVE_EXAMPLES)]
    Remove {
        /// Numbers of the list
        #[arg(required = true)]
        numbers: Vec<usize>,
    },
    /// What do the rules say about somebody and a topic?
    #[command(after_help = CHECK_EXAMPLES)]
    Check(Check),
}

#[derive(Debug, Args)]
pub(super) struct Rule {
    /// Whom it is about
    who: String,
    /// publish, subscribe or both
    #[arg(value_parser = ["publish", "subscribe", "both"])]
    action: String,
    /// Which topics
    topic: String,
}

#[derive(Debug, Args)]
pub(super) struct Check {
    /// Handle or user id
    user: String,
    /// publish or subscribe
    #[arg(value_parser = ["publish", "subscribe"])]
    action: String,
    /// A topic; with subscribe also a filter
    topic: String,
    /// The client id that %c stands for
    #[arg(long)]
    client_id: Option<String>,
}

pub(super) async fn run(place: &Place, command: Command) -> Result<ExitCode, CliError> {
    let api = Api::as_operator(place)?;
    match command {
        Command::List { json } => list(&api, json).await?,
        Command::Allow { rule, first } => add(&api, rule.into_rule(false), first).await?,
        Command::Deny { rule, last } => add(&api, rule.into_rule(true), !last).await?,
        Command::Remove { numbers } => remove(&api, &numbers).await?,
        Command::Check(check) => return check.run(&api).await,
    }
    Ok(ExitCode::SUCCESS)
}

impl Rule {
    fn into_rule(self, deny: bool) -> AccessRule {
        let Self { who, action, topic } = self;
        AccessRule { who, action, topic, deny }
    }
}

async fn rules(api: &Api) -> Result<AccessRules, CliError> {
    api.call("admin.accessRules", &AccessRulesRequest {}).await
}

async fn list(api: &Api, json: bool) -> Result<(), CliError> {
    let AccessRules { file, rules, .. } = rules(api).await?;
    if json {
        return file.iter().chain(&rules).try_for_each(print::json);
    }
    let mut table = print::Table::new(&["RULE", "WHO", "MAY", "ACTION", "TOPIC", "FROM"]);
    let all = file.iter().map(|rule| (rule, "file")).chain(rules.iter().map(|rule| (rule, "call")));
    for (number, (rule, from)) in all.enumerate() {
        let number = (number + 1).to_string();
        let cells = [&number, &rule.who, verdict(rule), &rule.action, &rule.topic, from];
        table.row(cells.map(str::to_owned).into());
    }
    table.print()
}

fn verdict(rule: &AccessRule) -> &'static str {
    if rule.deny { "may not" } else { "may" }
}

/// Sets rules, if they still are those that were read.
async fn set(api: &Api, revision: u64, rules: Vec<AccessRule>) -> Result<AccessRules, CliError> {
    api.call("admin.setAccessRules", &SetAccessRulesRequest { rules, revision: Some(revision) }).await
}

async fn add(api: &Api, rule: AccessRule, first: bool) -> Result<(), CliError> {
    let AccessRules { revision, file, mut rules } = rules(api).await?;
    let place = if first { 0 } else { rules.len() };
    rules.insert(place, rule);
    let set = set(api, revision, rules).await?;
    let told = set.rules.get(place).map(|rule| described(file.len() + place + 1, rule)).unwrap_or_default();
    print::line(&told)
}

async fn remove(api: &Api, numbers: &[usize]) -> Result<(), CliError> {
    let AccessRules { revision, file, rules } = rules(api).await?;
    let (removed, kept) = without(file.len(), rules, numbers)?;
    set(api, revision, kept).await?;
    removed
        .iter()
        .try_for_each(|(number, rule)| print::line(&format!("removed: {}", described(*number, rule))))
}

type Numbered = Vec<(usize, AccessRule)>;

/// The rules that go, with their numbers, and those that stay.
fn without(
    of_file: usize,
    rules: Vec<AccessRule>,
    numbers: &[usize],
) -> Result<(Numbered, Vec<AccessRule>), CliError> {
    let all = of_file + rules.len();
    for &number in numbers {
        match number {
            _ if number == 0 || number > all => return Err(CliError::NoRule(number)),
            _ if number <= of_file => return Err(CliError::RuleOfFile(number)),
            _ => {}
        }
    }
    let numbered = rules.into_iter().enumerate().map(|(place, rule)| (of_file + place + 1, rule));
    let (gone, kept): (Numbered, Numbered) = numbered.partition(|(number, _)| numbers.contains(number));
    Ok((gone, kept.into_iter().map(|(_, rule)| rule).collect()))
}

fn described(number: usize, rule: &AccessRule) -> String {
    let action = if rule.action == "both" { "publish and subscribe" } else { &rule.action };
    print::printable(&format!("rule {number}: {} {} {action} to {}", rule.who, verdict(rule), rule.topic))
}

impl Check {
    async fn run(self, api: &Api) -> Result<ExitCode, CliError> {
        let is_topic = !self.topic.contains(['+', '#']) && !self.topic.starts_with("$share/");
        let request = CheckAccessRequest {
            user: at(&self.user),
            client_id: self.client_id,
            action: self.action,
            topic: self.topic,
        };
        let checked: AccessChecked = api.call("admin.checkAccess", &request).await?;
        let verdict = if checked.allowed { "allowed" } else { "denied" };
        let why = match checked.rule.and_then(|number| usize::try_from(number).ok()) {
            Some(number) => {
                let AccessRules { file, rules, .. } = rules(api).await?;
                let rule = number.checked_sub(1).and_then(|place| file.iter().chain(&rules).nth(place));
                rule.map_or(format!("rule {number}"), |rule| described(number, rule))
            }
            None if is_topic => "no rule matches".to_owned(),
            None if checked.allowed => {
                "some topic that it matches is; each message is checked again".to_owned()
            }
            None => "no topic that it matches is allowed".to_owned(),
        };
        print::line(&format!("{verdict}: {why}"))?;
        Ok(if checked.allowed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(topic: &str) -> AccessRule {
        AccessRule { who: "service".into(), action: "both".into(), topic: topic.into(), deny: false }
    }

    #[test]
    fn rules_are_removed_by_the_numbers_of_the_list() {
        let rules = || vec![rule("a"), rule("b"), rule("c")];
        let (gone, kept) = without(2, rules(), &[5, 3]).unwrap();
        assert_eq!(gone, [(3, rule("a")), (5, rule("c"))]);
        assert_eq!(kept, [rule("b")]);
        assert!(matches!(without(2, rules(), &[3, 2]), Err(CliError::RuleOfFile(2))));
        for number in [0, 6] {
            assert!(
                matches!(without(2, rules(), &[number]), Err(CliError::NoRule(found)) if found == number)
            );
        }
    }

    #[test]
    fn a_rule_reads_as_a_sentence() {
        assert_eq!(described(3, &rule("app/%u/#")), "rule 3: service may publish and subscribe to app/%u/#");
        let denied = AccessRule { action: "publish".into(), deny: true, ..rule("app/\u{1b}") };
        assert_eq!(described(1, &denied), "rule 1: service may not publish to app/\u{fffd}");
    }
}
