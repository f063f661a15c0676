//! `admin.addUsers`: many accounts at once, hashed on all turns there are, created in short transactions.

use crate::{
    account::{self, NewAccount},
    options::{ADD_USERS_MAX, ADD_USERS_PER_TRANSACTION},
    password::{self, Password},
    state::State,
};
use parlance_plugin_api::{
    UserId,
    identity::{AccountKind, AuthError},
    record::handle_pseudonym,
};
use parlance_schema::{Handle, api};
use std::sync::Arc;
use tokio::task::JoinSet;

/// An account that was asked for, checked.
struct Asked {
    handle: Handle,
    kind: AccountKind,
    password: Option<Password>,
}

type Answer = Result<UserId, AuthError>;

impl State {
    pub(crate) async fn import(
        self: &Arc<Self>,
        users: Vec<api::NewUser>,
    ) -> Result<api::Outcomes, AuthError> {
        if users.len() > ADD_USERS_MAX {
            return Err(AuthError::Limit("at most 500 accounts at once"));
        }
        let handles: Vec<String> = users.iter().map(|user| user.handle.clone()).collect();
        let mut answers: Vec<Option<Answer>> = handles.iter().map(|_| None).collect();
        let mut asked = Vec::with_capacity(users.len());
        for (index, user) in users.into_iter().enumerate() {
            match self.check_new(user) {
                Ok(user) => asked.push((index, user)),
                Err(error) => answers[index] = Some(Err(error)),
            }
        }
        let mut hashed = Vec::with_capacity(asked.len());
        for (index, outcome) in self.hash_all(asked).await? {
            match outcome {
                Ok(new) => hashed.push((index, new)),
                Err(error) => answers[index] = Some(Err(error)),
            }
        }
        for (index, answer) in self.create_all(hashed).await {
            answers[index] = Some(answer);
        }
        let outcomes = handles.into_iter().zip(answers).map(|(handle, answer)| outcome(handle, answer));
        Ok(api::Outcomes { outcomes: outcomes.collect() })
    }

    fn check_new(&self, user: api::NewUser) -> Result<Asked, AuthError> {
        let password = user.password.map(password::take);
        let handle: Handle = user.handle.parse()?;
        let kind = if user.service { AccountKind::Service } else { AccountKind::Person };
        if let Some(password) = &password {
            if user.service {
                return Err(AuthError::WrongKind("a service account has no password: give it an API key"));
            }
            password::check(password)?;
        }
        // An import that is repeated is told so at once.
        if self.named(&handle)?.is_some() {
            return Err(AuthError::HandleTaken);
        }
        Ok(Asked { handle, kind, password })
    }

    /// As many workers as there are turns, so that a login waits for one hash at most, not for the batch.
    async fn hash_all(
        self: &Arc<Self>,
        asked: Vec<(usize, Asked)>,
    ) -> Result<Vec<(usize, Result<NewAccount, AuthError>)>, AuthError> {
        let workers = self.hasher.at_once();
        let mut shares: Vec<Vec<(usize, Asked)>> = (0..workers).map(|_| Vec::new()).collect();
        for (place, item) in asked.into_iter().enumerate() {
            shares[place % workers].push(item);
        }
        let mut tasks = JoinSet::new();
        for share in shares {
            let state = self.clone();
            tasks.spawn(async move {
                let mut done = Vec::with_capacity(share.len());
                for (index, user) in share {
                    done.push((index, state.hash_one(user).await));
                }
                done
            });
        }
        let mut all = Vec::new();
        while let Some(done) = tasks.join_next().await {
            all.extend(done.map_err(|_| AuthError::Internal)?);
        }
        // In the order asked, so that of two with one handle the first gets it.
        all.sort_unstable_by_key(|(index, _)| *index);
        Ok(all)
    }

    async fn hash_one(&self, asked: Asked) -> Result<NewAccount, AuthError> {
        let password = match asked.password {
            Some(password) => {
                let turn = self.hasher.patient_turn().await?;
                self.hasher.hash(turn, password).await?
            }
            None => String::new(),
        };
        let name_key = handle_pseudonym(&*self.vault, &asked.handle);
        Ok(NewAccount { user: UserId::fresh(), handle: asked.handle, name_key, kind: asked.kind, password })
    }

    async fn create_all(&self, mut hashed: Vec<(usize, NewAccount)>) -> Vec<(usize, Answer)> {
        let mut answers = Vec::with_capacity(hashed.len());
        while !hashed.is_empty() {
            let rest = hashed.split_off(hashed.len().min(ADD_USERS_PER_TRANSACTION));
            let part = std::mem::replace(&mut hashed, rest);
            let indices: Vec<usize> = part.iter().map(|(index, _)| *index).collect();
            let created = self
                .create(move |tx| {
                    let create = |(index, new): (usize, NewAccount)| {
                        let user = new.user;
                        (index, account::create(tx, new).map(|()| user))
                    };
                    Ok(part.into_iter().map(create).collect::<Vec<_>>())
                })
                .await;
            match created {
                Ok(created) => answers.extend(created),
                Err(error) => answers.extend(indices.into_iter().map(|index| (index, Err(error.clone())))),
            }
        }
        answers
    }
}

fn outcome(handle: String, answer: Option<Answer>) -> api::Outcome {
    match answer.unwrap_or(Err(AuthError::Internal)) {
        Ok(user) => api::Outcome { handle, user: Some(user), error: None },
        Err(error) => api::Outcome { handle, user: None, error: Some(error.to_string()) },
    }
}
