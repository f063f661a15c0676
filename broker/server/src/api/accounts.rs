//! What people do with their own accounts.

use super::{ApiError, Caller, methods::NoRequest, overview, reading};
use crate::{config::Registration, context::Context, places, sessions};
use parlance_mqtt::ReasonCode;
use parlance_plugin_api::{
    UserId,
    identity::{Principal, Scopes},
    ledger::Ledger,
    record::{DeviceId, SessionKey},
};
use parlance_schema::api::{
    ChangePasswordRequest, Devices, Done, LoginRequest, LogoutRequest, Me, RefreshRequest, RegisterRequest,
    RemoveDeviceRequest, Tokens,
};
use std::{collections::HashSet, sync::Arc};

pub(super) async fn register(
    context: &Context,
    caller: Caller<'_>,
    request: RegisterRequest,
) -> Result<Tokens, ApiError> {
    if context.config.auth.registration == Registration::Closed {
        return Err(ApiError::RegistrationClosed);
    }
    Ok(context.accounts.register(request, caller.from).await?)
}

pub(super) async fn login(
    context: &Context,
    caller: Caller<'_>,
    request: LoginRequest,
) -> Result<Tokens, ApiError> {
    Ok(context.accounts.login(request, caller.from).await?)
}

pub(super) async fn refresh(
    context: &Context,
    caller: Caller<'_>,
    request: RefreshRequest,
) -> Result<Tokens, ApiError> {
    Ok(context.accounts.refresh(request, caller.from).await?)
}

pub(super) async fn logout(
    context: &Context,
    caller: Caller<'_>,
    request: LogoutRequest,
) -> Result<Done, ApiError> {
    Ok(context.accounts.logout(caller.who()?, request).await?)
}

pub(super) async fn change_password(
    context: &Context,
    caller: Caller<'_>,
    request: ChangePasswordRequest,
) -> Result<Done, ApiError> {
    Ok(context.accounts.change_password(caller.who()?, request, caller.from).await?)
}

pub(super) async fn me(_: &Context, caller: Caller<'_>, _: NoRequest) -> Result<Me, ApiError> {
    Ok(describe(caller.who()?))
}

fn describe(who: &Principal) -> Me {
    let scopes = match &who.scopes {
        Scopes::Everything => Vec::new(),
        Scopes::Only(scopes) => scopes.iter().map(ToString::to_string).collect(),
    };
    Me { user: who.user, handle: who.handle.as_str().to_owned(), kind: who.kind.as_str().to_owned(), scopes }
}

pub(super) async fn devices(
    context: &Context,
    caller: Caller<'_>,
    _: NoRequest,
) -> Result<Devices, ApiError> {
    let user = caller.who()?.user;
    let online: HashSet<_> = context.hub.online_devices(user).into_iter().collect();
    reading(context, move |view, _| {
        Ok(overview::devices(view, user, |client_id| online.contains(client_id))?)
    })
    .await
}

pub(super) async fn remove_device(
    context: &Context,
    caller: Caller<'_>,
    request: RemoveDeviceRequest,
) -> Result<Done, ApiError> {
    let user = caller.who()?.user;
    let client_id: Arc<str> = request.client_id.as_str().into();
    let done = context.accounts.remove_device(caller.who()?, request).await?;
    forget(context, user, client_id).await?;
    Ok(done)
}

/// Forgets what is durable of a device. Its connection ends first, and none begins meanwhile: neither writes it anew.
async fn forget(context: &Context, user: UserId, client_id: Arc<str>) -> Result<(), ApiError> {
    let device = DeviceId::of(&*context.vault, user, client_id.as_bytes());
    let place = places::newcomer(context, user, device, client_id, None);
    places::take(context, &place, ReasonCode::AdministrativeAction, "the device was removed").await?;
    let ledger: &dyn Ledger = &*context.ledger;
    let mut forgotten = sessions::forget(ledger, user, device).await;
    if forgotten.is_ok() {
        forgotten = places::end_session(context, SessionKey { user, device }).await;
    }
    places::leave(context, &place);
    Ok(forgotten?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::testing::World;
    use parlance_plugin_api::{
        ConversationId,
        identity::{Action, Scope},
    };

    #[test]
    fn scopes_read_as_they_were_asked_for() {
        let mut world = World::default();
        let alice = world.user("alice");
        let mut who = world.principal(alice);
        assert_eq!(describe(&who).scopes, Vec::<String>::new());
        let group = ConversationId::fresh_group();
        let one = |action, conversation| Scope { action, conversation };
        who.scopes = Scopes::Only([one(Action::Send, Some(group)), one(Action::Read, None)].into());
        assert_eq!(describe(&who).scopes, [format!("messages.send:{group}"), "messages.read".to_owned()]);
    }
}
