//! The text forms of tokens: access tokens (JWT, EdDSA), refresh tokens (`plr_…`), API keys (`plk_{id}_{secret}`).

use crate::{
    keys::AuthKeys,
    options::TOKEN_BYTES_MAX,
    secret::{self, Secret256},
};
use jsonwebtoken::{Algorithm, Header, Validation};
use parlance_plugin_api::{
    UnixMillis, UserId,
    identity::{AuthError, CredentialId},
    store::{Vault, hex},
};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

const ISSUER: &str = "parlance";
const AUDIENCE: &str = "parlance";
const ACCESS: &str = "access";
const MINTED_PREFIX: &str = "mint:";
const REFRESH_PREFIX: &str = "plr_";
const API_KEY_PREFIX: &str = "plk_";

/// What an access token says, as JSON (RFC 7519 §4).
#[derive(Serialize, Deserialize)]
struct Claims {
    iss: String,
    aud: String,
    typ: String,
    /// User id.
    sub: String,
    /// The session: a family id, or `mint:` and the token's own id.
    fam: String,
    /// The client id it is bound to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cid: Option<String>,
    /// A minted token's epoch of the account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    epoch: Option<u64>,
    iat: u64,
    exp: u64,
}

/// What an access token lives by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lineage {
    /// A session that was begun by a login.
    Family,
    /// Nothing but the account's epoch.
    Minted {
        /// The epoch it was minted in.
        epoch: u64,
    },
}

/// An access token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Access {
    pub(crate) user: UserId,
    pub(crate) credential: CredentialId,
    pub(crate) lineage: Lineage,
    pub(crate) client_id: Option<String>,
    pub(crate) expires_ms: UnixMillis,
}

impl Access {
    /// Signs it. Its time is cut to whole seconds.
    pub(crate) fn sign(self, keys: &AuthKeys, now: UnixMillis) -> Result<Zeroizing<String>, AuthError> {
        let (key_id, key) = keys.signing();
        let id = hex(&self.credential.0);
        let (fam, epoch) = match self.lineage {
            Lineage::Family => (id, None),
            Lineage::Minted { epoch } => (format!("{MINTED_PREFIX}{id}"), Some(epoch)),
        };
        let claims = Claims {
            iss: ISSUER.to_owned(),
            aud: AUDIENCE.to_owned(),
            typ: ACCESS.to_owned(),
            sub: self.user.to_string(),
            fam,
            cid: self.client_id,
            epoch,
            iat: now / 1_000,
            exp: self.expires_ms / 1_000,
        };
        let header = Header { kid: Some(key_id.to_owned()), ..Header::new(Algorithm::EdDSA) };
        jsonwebtoken::encode(&header, &claims, key).map(Zeroizing::new).map_err(|_| AuthError::Internal)
    }

    /// Checks signature, algorithm, issuer, audience, type and time, in that order: of a forged token nothing is told.
    pub(crate) fn verify(token: &[u8], keys: &AuthKeys, now: UnixMillis) -> Result<Self, AuthError> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(AuthError::TokenInvalid);
        }
        let header = jsonwebtoken::decode_header(token).map_err(|_| AuthError::TokenInvalid)?;
        let key_id = header.kid.as_deref().ok_or(AuthError::TokenInvalid)?;
        let key = keys.verifying(key_id).ok_or(AuthError::TokenInvalid)?;
        let mut rules = Validation::new(Algorithm::EdDSA);
        rules.set_issuer(&[ISSUER]);
        rules.set_audience(&[AUDIENCE]);
        rules.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        // The time is checked below, by our own clock and without leeway.
        rules.validate_exp = false;
        let claims =
            jsonwebtoken::decode::<Claims>(token, key, &rules).map_err(|_| AuthError::TokenInvalid)?.claims;
        if claims.typ != ACCESS {
            return Err(AuthError::TokenInvalid);
        }
        let expires_ms = claims.exp.saturating_mul(1_000);
        if expires_ms <= now {
            return Err(AuthError::TokenExpired);
        }
        let (id, lineage) = match (claims.fam.strip_prefix(MINTED_PREFIX), claims.epoch) {
            (Some(id), Some(epoch)) => (id, Lineage::Minted { epoch }),
            (None, None) => (&*claims.fam, Lineage::Family),
            _ => return Err(AuthError::TokenInvalid),
        };
        Ok(Self {
            user: claims.sub.parse().map_err(|_| AuthError::TokenInvalid)?,
            credential: CredentialId(secret::parse_hex(id.as_bytes()).ok_or(AuthError::TokenInvalid)?),
            lineage,
            client_id: claims.cid,
            expires_ms,
        })
    }

    /// Whether a secret has the form of an access token rather than of a password.
    pub(crate) fn looks_like(secret: &[u8]) -> bool {
        secret.len() <= TOKEN_BYTES_MAX && jsonwebtoken::decode_header(secret).is_ok()
    }
}

/// A refresh token: family, secret, and a keyed hash of both. The keyed hash tells an old token, which ends the
/// family, from an invented one, which must not: family ids are no secret.
pub(crate) struct Refresh {
    pub(crate) family: CredentialId,
    secret: Secret256,
}

impl Refresh {
    /// A fresh one of a family.
    pub(crate) fn fresh(family: CredentialId) -> Result<Self, AuthError> {
        Ok(Self { family, secret: secret::random_secret()? })
    }

    /// What is stored of it.
    pub(crate) fn hash(&self) -> [u8; 32] {
        secret::sha256(&self.secret[..])
    }

    fn seal(&self, vault: &dyn Vault) -> [u8; 16] {
        let mut both = Zeroizing::new([0; 48]);
        both[..16].copy_from_slice(&self.family.0);
        both[16..].copy_from_slice(&self.secret[..]);
        let mut seal = [0; 16];
        seal.copy_from_slice(&vault.pseudonym("refresh token", &both[..])[..16]);
        seal
    }

    /// Its text.
    pub(crate) fn text(&self, vault: &dyn Vault) -> Zeroizing<String> {
        let mut whole = Zeroizing::new([0; 64]);
        whole[..16].copy_from_slice(&self.family.0);
        whole[16..48].copy_from_slice(&self.secret[..]);
        whole[48..].copy_from_slice(&self.seal(vault));
        Zeroizing::new(format!("{REFRESH_PREFIX}{}", *Zeroizing::new(secret::encode(&whole[..]))))
    }

    /// Back from its text; `None` unless this broker made it.
    pub(crate) fn parse(text: &str, vault: &dyn Vault) -> Option<Self> {
        let whole = secret::decode::<64>(text.strip_prefix(REFRESH_PREFIX)?.as_bytes())?;
        let family = CredentialId(whole[..16].try_into().ok()?);
        let token = Self { family, secret: Zeroizing::new(whole[16..48].try_into().ok()?) };
        secret::same(&token.seal(vault), &whole[48..]).then_some(token)
    }
}

/// An API key.
pub(crate) struct ApiKeyToken {
    pub(crate) id: CredentialId,
    secret: Secret256,
}

impl ApiKeyToken {
    /// A fresh one.
    pub(crate) fn fresh(now: UnixMillis) -> Result<Self, AuthError> {
        Ok(Self { id: CredentialId(secret::fresh_id(now)?), secret: secret::random_secret()? })
    }

    /// What is stored of it.
    pub(crate) fn hash(&self) -> [u8; 32] {
        secret::sha256(&self.secret[..])
    }

    /// Its text.
    pub(crate) fn text(&self) -> Zeroizing<String> {
        let secret = Zeroizing::new(secret::encode(&self.secret[..]));
        Zeroizing::new(format!("{API_KEY_PREFIX}{}_{}", hex(&self.id.0), *secret))
    }

    /// Back from its text; `None` when it has not this form.
    pub(crate) fn parse(text: &[u8]) -> Option<Self> {
        let (id, rest) = text.strip_prefix(API_KEY_PREFIX.as_bytes())?.split_at_checked(32)?;
        let secret = secret::decode::<32>(rest.strip_prefix(b"_")?)?;
        Some(Self { id: CredentialId(secret::parse_hex(id)?), secret })
    }
}

#[cfg(test)]
mod tests;
