//! `parlance group`: the operator is a member of nothing, so these act as a user.

use super::{
    admin::{Api, at},
    error::CliError,
    place::Place,
    print,
};
use clap::{Args, Subcommand};
use parlance_schema::api::{
    AddMembersRequest, CreateGroupRequest, Done, Group, MembersAdded, RemoveMemberRequest,
};
use std::process::ExitCode;

const CREATE_EXAMPLES: &str = "\
Examples:
  parlance group create 'The team' --as alice bob carol     alice is its owner
  parlance group create 'The team' --handle team --as alice";

const ADD_EXAMPLES: &str = "\
Example:
  parlance group add @team --as alice dave erin     alice must be owner or admin of it";

const REMOVE_EXAMPLES: &str = "\
Example:
  parlance group remove @team --as alice dave     dave receives nothing more from this moment";

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Make a group
    #[command(after_help = CREATE_EXAMPLES)]
    Create(Create),
    /// Add members
    #[command(after_help = ADD_EXAMPLES)]
    Add(Members),
    /// Remove members
    #[command(after_help = REMOVE_EXAMPLES)]
    Remove(Members),
}

#[derive(Debug, Args)]
pub(super) struct Create {
    /// 1 to 100 characters
    name: String,
    /// A public handle for it
    #[arg(long)]
    handle: Option<String>,
    /// The user who makes it and owns it
    #[arg(long = "as", value_name = "USER")]
    by: String,
    /// Print the group as JSON
    #[arg(long)]
    json: bool,
    /// Handles or ids of the first members
    members: Vec<String>,
}

#[derive(Debug, Args)]
pub(super) struct Members {
    /// @handle or id of the group
    group: String,
    /// The user who does it: owner or admin of the group
    #[arg(long = "as", value_name = "USER")]
    by: String,
    /// Handles or ids
    #[arg(required = true)]
    users: Vec<String>,
}

pub(super) async fn run(place: &Place, command: Command) -> Result<ExitCode, CliError> {
    match command {
        Command::Create(create) => create.run(place).await?,
        Command::Add(members) => members.add(place).await?,
        Command::Remove(members) => members.remove(place).await?,
    }
    Ok(ExitCode::SUCCESS)
}

impl Create {
    async fn run(self, place: &Place) -> Result<(), CliError> {
        let api = Api::as_operator(place)?.acting_as(&self.by).await?;
        let members = self.members.iter().map(|member| at(member)).collect();
        let handle = self.handle.map(|handle| handle.trim_start_matches('@').to_owned());
        let group: Group =
            api.call("createGroup", &CreateGroupRequest { name: self.name, handle, members }).await?;
        if self.json {
            return print::json(&group);
        }
        let handle = group.handle.map(|handle| format!(", @{handle}")).unwrap_or_default();
        print::line(&format!(
            "{} is {}{handle}, {} members",
            print::printable(&group.name),
            group.id,
            group.members
        ))
    }
}

impl Members {
    async fn add(self, place: &Place) -> Result<(), CliError> {
        let api = Api::as_operator(place)?.acting_as(&self.by).await?;
        let users = self.users.iter().map(|user| at(user)).collect();
        let request = AddMembersRequest { group: self.group, users };
        let answer: MembersAdded = api.call("addMembers", &request).await?;
        print::line(&format!("{} added, {} were members already", answer.added.len(), answer.already.len()))
    }

    async fn remove(self, place: &Place) -> Result<(), CliError> {
        let api = Api::as_operator(place)?.acting_as(&self.by).await?;
        for user in &self.users {
            let request = RemoveMemberRequest { group: self.group.clone(), user: at(user) };
            let Done {} = api.call("removeMember", &request).await?;
            print::line(&format!("{} is no member any more", request.user))?;
        }
        Ok(())
    }
}
