//! Credentials that do not serve, or not any more, in every way in.

use super::{
    way::WAYS,
    world::{key, service},
};
use parlance_tests::{Device, PATIENCE, Server, User, eventually, mqtt::ReasonCode};
use serde_json::{Value, json};

/// A login that is refused.
struct Login {
    what: &'static str,
    name: Option<String>,
    secret: Option<String>,
    client_id: &'static str,
    /// The CONNACK.
    mqtt: ReasonCode,
    /// The code over HTTP; `None`: HTTP has no such login, or lets it in.
    http: Option<&'static str>,
}

const ENDED: ReasonCode = ReasonCode::NotAuthorized;
const WRONG: ReasonCode = ReasonCode::BadUserNameOrPassword;

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("expected text, got {value}")).to_owned()
}

async fn minted(server: &Server, user: &User, client_id: Option<&str>, ttl_s: u64) -> String {
    let items = json!([{"user": user.id, "clientId": client_id}]);
    let made = server.admin("mintTokens", json!({"items": items, "ttlS": ttl_s})).await;
    text(&made["tokens"][0]["token"])
}

async fn session(server: &Server, user: &User) -> Value {
    let request = json!({"handle": user.handle, "password": user.password});
    server.call("", "login", request).await
}

/// With one character in the middle of its last part changed.
fn altered(token: &str) -> String {
    let mut bytes = token.as_bytes().to_vec();
    let at = bytes.len() - 20;
    bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
    String::from_utf8(bytes).expect("ASCII")
}

/// With another header in front of its claims.
fn with_header(token: &str, header: &str, signature: &str) -> String {
    let claims = token.split('.').nth(1).expect("three parts");
    format!("{header}.{claims}.{signature}")
}

async fn logins(server: &Server) -> Vec<Login> {
    let users = server.users(&["disabled", "expired", "everywhere", "bound", "forger", "other"]).await;
    let [disabled, expired, everywhere, bound, forger, other] = &users[..] else {
        panic!("six were asked for")
    };
    let (known, gone) = (server.register("known").await, server.register("gone").await);
    let bot = service(server, "bot").await;
    let (live_key, dead_key) =
        (key(server, &bot, &["messages.read"]).await, key(server, &bot, &["messages.read"]).await);

    let short = minted(server, expired, None, 1).await;
    let (at_phone, tokens) =
        (minted(server, bound, Some("phone"), 3_600).await, session(server, &known).await);
    let (out, refresh) = (text(&tokens["accessToken"]), text(&tokens["refreshToken"]));
    server.call(&out, "logout", json!({})).await;
    server.call(&everywhere.token, "logout", json!({"everywhere": true})).await;
    for user in [disabled, &gone] {
        server.admin("setDisabled", json!({"user": user.id, "disabled": true})).await;
    }
    let dead = dead_key.token.split('_').nth(1).expect("plk_{id}_{secret}");
    server.admin("revokeApiKey", json!({"id": dead})).await;
    eventually(PATIENCE, "the token expires", async || server.try_call(&short, "me", json!({})).await.err())
        .await;

    let none = "eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0"; // {"alg":"none","typ":"JWT"}
    let shared = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9"; // {"alg":"HS256","typ":"JWT"}
    let signature = forger.token.rsplit('.').next().expect("three parts");
    let row = |what, name: &str, secret: &str, mqtt, http| Login {
        what,
        name: Some(name.to_owned()),
        secret: Some(secret.to_owned()),
        client_id: "c",
        mqtt,
        http,
    };
    let mut logins = vec![
        row("a disabled user's token", "disabled", &disabled.token, ENDED, Some("account_disabled")),
        row("a disabled user's password", "gone", gone.password.as_deref().unwrap_or_default(), ENDED, None),
        row("an expired token", "expired", &short, ENDED, Some("token_expired")),
        row("a logged-out session", "known", &out, ENDED, Some("session_ended")),
        row(
            "a minted token after a logout everywhere",
            "everywhere",
            &everywhere.token,
            ENDED,
            Some("session_ended"),
        ),
        row("a token of another client id", "bound", &at_phone, ENDED, None),
        Login { client_id: "", ..row("a bound token without a client id", "bound", &at_phone, ENDED, None) },
        row("a token with another user's name", "known", &other.token, WRONG, None),
        row("a token with nobody's name", "nobody", &other.token, WRONG, None),
        row("an altered token", "forger", &altered(&forger.token), ENDED, Some("token_invalid")),
        row(
            "a token without an algorithm",
            "forger",
            &with_header(&forger.token, none, ""),
            WRONG,
            Some("token_invalid"),
        ),
        row(
            "a token with a shared-secret algorithm",
            "forger",
            &with_header(&forger.token, shared, signature),
            ENDED,
            Some("token_invalid"),
        ),
        row("a refresh token", "known", &refresh, WRONG, Some("token_invalid")),
        row("an altered API key", "bot", &altered(&live_key.token), ENDED, Some("token_invalid")),
        row("a revoked API key", "bot", &dead_key.token, ENDED, Some("token_invalid")),
        row("an API key with another user's name", "other", &live_key.token, WRONG, None),
        row(
            "an altered operator's token",
            "admin",
            &altered(server.admin_token()),
            WRONG,
            Some("token_invalid"),
        ),
        row("the operator's token with a user's name", "other", server.admin_token(), WRONG, None),
        row("an endless password", "disabled", &"x".repeat(60_000), WRONG, None),
        row("no password of an account that has none", "everywhere", "", WRONG, None),
    ];
    for name in [None, Some("known".to_owned())] {
        let http = Some("not_authenticated");
        logins.push(Login { what: "no credential", name, secret: None, client_id: "c", mqtt: ENDED, http });
    }
    logins
}

#[tokio::test]
async fn nobody_comes_in_with_what_does_not_serve() {
    let server = Server::start(Server::options()).await;
    let logins = logins(&server).await;
    let anybody = server.user("anybody").await;
    for Login { what, name, secret, client_id, mqtt, http } in logins {
        for way in WAYS {
            let device = way.device(client_id).login(name.as_deref(), secret.as_deref());
            let refused = device.try_connect(&server, &anybody).await;
            let reason = refused.err().and_then(|closed| closed.reason());
            assert_eq!(reason, Some(mqtt), "{what}, over {way:?}");
        }
        let Some(code) = http else { continue };
        for method in ["me", "messages", "sendMessage", "removeDevice"] {
            let token = secret.as_deref().unwrap_or_default();
            let problem = server.try_call(token, method, json!({})).await.expect_err(what);
            assert_eq!(problem.code, code, "{what}, {method} over HTTP");
        }
    }
    assert_eq!(server.metric("parlance_connections").await, 0.0);
}

/// A credential that ends closes what was opened with it, and nothing else.
#[tokio::test]
async fn connections_end_with_their_credential() {
    let server = Server::start(Server::options()).await;
    for (number, way) in WAYS.into_iter().enumerate() {
        let user = server.register(&format!("user{number}")).await;
        let bot = service(&server, &format!("bot{number}")).await;
        let (first, second) =
            (key(&server, &bot, &["messages.read"]).await, key(&server, &bot, &["messages.read"]).await);
        let other = text(&session(&server, &user).await["accessToken"]);
        let short = User { token: minted(&server, &user, None, 2).await, ..user.clone() };

        let mut logged_out = way.device("a").connect(&server, &user).await;
        let mut stays = way.device("b").connect(&server, &User { token: other, ..user.clone() }).await;
        let mut expires = way.device("c").connect(&server, &short).await;
        let mut revoked = way.device("a").connect(&server, &first).await;
        let mut bot_stays = way.device("b").connect(&server, &second).await;

        server.call(&user.token, "logout", json!({})).await;
        let id = first.token.split('_').nth(1).expect("plk_{id}_{secret}");
        server.admin("revokeApiKey", json!({"id": id})).await;
        for ended in [&mut logged_out, &mut revoked, &mut expires] {
            let reason = ended.closed().await.reason();
            assert!(matches!(reason, None | Some(ReasonCode::NotAuthorized)), "{way:?}: {reason:?}");
        }
        stays.ping().await;
        bot_stays.ping().await;

        server.admin("setDisabled", json!({"user": user.id, "disabled": true})).await;
        stays.closed().await;
        bot_stays.ping().await;
    }
}

/// A new password ends what the old one opened.
#[tokio::test]
async fn a_new_password_ends_what_the_old_one_opened() {
    let server = Server::start(Server::options()).await;
    let user = server.register("alice").await;
    let old = user.password.clone();
    let mut by_password =
        Device::new("phone").login(Some("alice"), old.as_deref()).connect(&server, &user).await;
    let request = json!({"oldPassword": old, "newPassword": "another long password"});
    server.call(&user.token, "changePassword", request).await;
    assert_eq!(by_password.closed().await.reason(), Some(ReasonCode::NotAuthorized));
    let again = Device::new("phone").login(Some("alice"), old.as_deref()).try_connect(&server, &user).await;
    assert_eq!(again.expect_err("refused").reason(), Some(WRONG));
    Device::new("phone").login(Some("alice"), Some("another long password")).connect(&server, &user).await;
}
