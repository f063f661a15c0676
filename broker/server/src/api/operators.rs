//! What the operator does with accounts. The table admits nobody else ([`super::METHODS`]).

use super::{ApiError, Caller};
use crate::context::Context;
use parlance_schema::api::{
    AddUsersRequest, ApiKey, ApiKeys, ApiKeysRequest, CreateApiKeyRequest, Done, MintTokensRequest,
    MintedTokens, Outcomes, RevokeApiKeyRequest, SetDisabledRequest, Users, UsersRequest,
};

macro_rules! operator_calls {
    ($($name:ident($request:ty) -> $answer:ty;)*) => {$(
        pub(super) async fn $name(context: &Context, _: Caller<'_>, request: $request) -> Result<$answer, ApiError> {
            Ok(context.operators.$name(request).await?)
        }
    )*};
}

operator_calls! {
    add_users(AddUsersRequest) -> Outcomes;
    users(UsersRequest) -> Users;
    set_disabled(SetDisabledRequest) -> Done;
    mint_tokens(MintTokensRequest) -> MintedTokens;
    create_api_key(CreateApiKeyRequest) -> ApiKey;
    api_keys(ApiKeysRequest) -> ApiKeys;
    revoke_api_key(RevokeApiKeyRequest) -> Done;
}
