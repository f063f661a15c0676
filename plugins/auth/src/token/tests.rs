use super::*;
use jsonwebtoken::EncodingKey;
use parlance_plugin_api::testing::PlainVault;
use proptest::prelude::*;
use serde_json::{Value, json};

const NOW: UnixMillis = 1_800_000_000_000;

fn keys() -> AuthKeys {
    AuthKeys::load_or_create(tempfile::tempdir().unwrap().path()).unwrap()
}

fn access() -> Access {
    Access {
        user: UserId([7; 16]),
        credential: CredentialId([9; 16]),
        lineage: Lineage::Family,
        client_id: Some("phone".into()),
        expires_ms: NOW + 60_000,
    }
}

fn claims() -> Value {
    let user = UserId([7; 16]).to_string();
    let fam = hex(&[9; 16]);
    json!({"iss": ISSUER, "aud": AUDIENCE, "typ": ACCESS, "sub": user, "fam": fam, "iat": NOW / 1_000,
           "exp": NOW / 1_000 + 60})
}

fn signed(keys: &AuthKeys, claims: &Value, change: impl FnOnce(&mut Header)) -> String {
    let (kid, key) = keys.signing();
    let mut header = Header { kid: Some(kid.to_owned()), ..Header::new(Algorithm::EdDSA) };
    change(&mut header);
    jsonwebtoken::encode(&header, claims, key).unwrap()
}

#[test]
fn a_token_says_what_was_signed_until_it_expires() {
    let keys = keys();
    for lineage in [Lineage::Family, Lineage::Minted { epoch: 3 }] {
        let access = Access { lineage, ..access() };
        let token = access.clone().sign(&keys, NOW).unwrap();
        assert!(Access::looks_like(token.as_bytes()));
        assert_eq!(Access::verify(token.as_bytes(), &keys, NOW + 59_999), Ok(access));
        assert_eq!(Access::verify(token.as_bytes(), &keys, NOW + 60_000), Err(AuthError::TokenExpired));
    }
}

#[test]
fn wrong_claims_are_refused() {
    let keys = keys();
    let token = signed(&keys, &claims(), |_| ());
    assert!(Access::verify(token.as_bytes(), &keys, NOW).is_ok());
    for (name, value) in [
        ("iss", json!("other")),
        ("aud", json!("other")),
        ("typ", json!("refresh")),
        ("sub", json!("u")),
        ("fam", json!("mint:")),
        ("fam", json!(format!("mint:{}", hex(&[9; 16])))),
        ("epoch", json!(1)),
        ("exp", json!("soon")),
        ("exp", Value::Null),
        ("iss", Value::Null),
        ("aud", Value::Null),
    ] {
        let mut wrong = claims();
        wrong[name] = value.clone();
        if value.is_null() {
            wrong.as_object_mut().unwrap().remove(name);
        }
        let token = signed(&keys, &wrong, |_| ());
        let refused = Access::verify(token.as_bytes(), &keys, NOW);
        assert_eq!(refused, Err(AuthError::TokenInvalid), "{name}: {value}");
    }
}

#[test]
fn other_keys_and_algorithms_are_refused() {
    let (keys, strangers) = (keys(), keys());
    let kid = keys.signing().0.to_owned();
    let hmac = EncodingKey::from_secret(b"public");
    let by_hmac = Header { kid: Some(kid.clone()), ..Header::new(Algorithm::HS256) };
    let none = |header: &str| {
        let whole = claims().to_string();
        format!("{}.{}.", secret::encode(header.as_bytes()), secret::encode(whole.as_bytes()))
    };
    for (what, token) in [
        ("a stranger's key", signed(&strangers, &claims(), |_| ())),
        ("a stranger's key under our id", signed(&strangers, &claims(), |h| h.kid = Some(kid.clone()))),
        ("an unknown key id", signed(&keys, &claims(), |h| h.kid = Some("0000000000000000".into()))),
        ("no key id", signed(&keys, &claims(), |h| h.kid = None)),
        ("HMAC", jsonwebtoken::encode(&by_hmac, &claims(), &hmac).unwrap()),
        ("alg none", none(&format!(r#"{{"alg":"none","kid":"{kid}"}}"#))),
        ("alg None", none(&format!(r#"{{"alg":"None","kid":"{kid}"}}"#))),
        ("no signature", none(&format!(r#"{{"alg":"EdDSA","kid":"{kid}"}}"#))),
        ("too long", "a".repeat(TOKEN_BYTES_MAX + 1)),
        ("nothing", String::new()),
    ] {
        assert_eq!(Access::verify(token.as_bytes(), &keys, NOW), Err(AuthError::TokenInvalid), "{what}");
    }
}

#[test]
fn a_password_with_dots_is_no_token() {
    for password in ["one.two.three", "a.b.c", "..", "eyJ.x.y"] {
        assert!(!Access::looks_like(password.as_bytes()), "{password}");
    }
}

#[test]
fn refresh_tokens_and_api_keys_are_only_what_was_made() {
    let refresh = Refresh::fresh(CredentialId([1; 16])).unwrap();
    let text = refresh.text(&PlainVault);
    let back = Refresh::parse(&text, &PlainVault).unwrap();
    assert_eq!((back.family, back.hash()), (refresh.family, refresh.hash()));
    let key = ApiKeyToken::fresh(NOW).unwrap();
    let back = ApiKeyToken::parse(key.text().as_bytes()).unwrap();
    assert_eq!((back.id, back.hash()), (key.id, key.hash()));
    for text in ["", "plr_", "plk_", "plk_00_00", &text[..text.len() - 1], &text.to_uppercase()] {
        assert!(Refresh::parse(text, &PlainVault).is_none(), "{text}");
        assert!(ApiKeyToken::parse(text.as_bytes()).is_none(), "{text}");
    }
}

proptest! {
    #[test]
    fn no_change_of_one_byte_survives(at in 0_usize..300, by in 1_u8..=255) {
        let keys = keys();
        let mut token = access().sign(&keys, NOW).unwrap().as_bytes().to_vec();
        let at = at % token.len();
        token[at] ^= by;
        prop_assert!(Access::verify(&token, &keys, NOW).is_err());
        let mut refresh = Refresh::fresh(CredentialId([1; 16])).unwrap().text(&PlainVault).as_bytes().to_vec();
        let at = at % refresh.len();
        refresh[at] ^= by;
        if let Ok(text) = str::from_utf8(&refresh) {
            prop_assert!(Refresh::parse(text, &PlainVault).is_none());
        }
    }

    #[test]
    fn no_bytes_panic(bytes: Vec<u8>) {
        let keys = keys();
        prop_assert!(Access::verify(&bytes, &keys, NOW).is_err());
        prop_assert!(ApiKeyToken::parse(&bytes).is_none());
    }
}
