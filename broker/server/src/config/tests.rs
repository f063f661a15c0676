//! Every way a configuration is refused, as an operator sees it.

use std::{
    ffi::{OsStr, OsString},
    fs,
    os::unix::ffi::OsStrExt,
    path::Path,
};

use super::{summary::check_with, *};

const NONE: [(OsString, OsString); 0] = [];

fn variables(pairs: &[(&str, &str)]) -> Vec<(OsString, OsString)> {
    pairs.iter().map(|(name, value)| (name.into(), value.into())).collect()
}

fn load(text: &str, environment: &[(&str, &str)]) -> Result<Config, ConfigError> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("parlance.toml");
    fs::write(&path, text).unwrap();
    Config::load_with(Some(&path), variables(environment)).map(|(config, _)| config)
}

/// What is printed, without the folder.
fn refusal(text: &str, environment: &[(&str, &str)]) -> String {
    let told = load(text, environment).unwrap_err().to_string();
    match told.find("parlance.toml:") {
        Some(start) => told[start..].to_owned(),
        None => told,
    }
}

#[test]
fn an_empty_file_is_the_default() {
    assert_eq!(load("", &[]).unwrap(), Config::default());
    assert_eq!(rules::broken(&Config::default()), None);
}

#[test]
fn the_example_parses_back_to_the_default() {
    let example = Config::example();
    assert_eq!(load(&example, &[]).unwrap(), Config::default());
    for section in SECTIONS {
        for key in section.keys {
            assert!(example.contains(&format!("\n{} = ", key.name)), "{}", key.name);
        }
    }
    for (_, table) in TABLES {
        for key in table.keys {
            assert!(example.contains(&format!("\n# {} = ", key.name)), "{}.{}", table.name, key.name);
        }
    }
    assert!(
        example.contains("# Content of one message, bytes.\n# 1 to 16777216\nmessage_bytes_max = 262144\n")
    );
}

#[test]
fn every_field_is_a_described_key() {
    let table = toml::Table::try_from(Config::default()).unwrap();
    let described: usize = SECTIONS.iter().map(|section| section.keys.len()).sum();
    let tables = TABLES.len();
    let fields: usize = table.values().map(|value| value.as_table().map_or(1, toml::Table::len)).sum();
    assert_eq!(fields - tables, described);
    let rows = [toml::Table::try_from(Listener::default()), toml::Table::try_from(CertificateFor::default())];
    for (row, (_, table)) in rows.into_iter().zip(TABLES) {
        assert_eq!(row.unwrap().len(), table.keys.len(), "{}", table.name);
    }
}

#[test]
fn a_file_sets_what_it_names_and_the_environment_wins() {
    let text = "
        data_dir = '/srv/parlance'
        limits = { message_bytes_max = 1_000, connections_max = 0x10 }
        [listen]
        mqtt = '0.0.0.0:1883'
        https = ''
        [store]
        engine = 'sled'
    ";
    let environment = [
        ("PARLANCE__LIMITS__MESSAGE_BYTES_MAX", "2_000"),
        ("PARLANCE__DATA_DIR", "/elsewhere"),
        ("PARLANCE__LOG__FORMAT", "json"),
        ("PARLANCE__LISTEN__HTTP", ""),
        ("PARLANCE_TOKEN", "not a key"),
        ("HOME", "/root"),
    ];
    let config = load(text, &environment).unwrap();
    assert_eq!(config.data_dir, Path::new("/elsewhere"));
    assert_eq!(config.limits.message_bytes_max, 2_000);
    assert_eq!(config.limits.connections_max, 16);
    assert_eq!(config.listen.mqtt.get(), Some("0.0.0.0:1883".parse().unwrap()));
    assert_eq!((config.listen.http, config.listen.https), (Address::OFF, Address::OFF));
    assert_eq!(config.store.engine, StoreEngine::Sled);
    assert_eq!(config.log.format, LogFormat::Json);
    assert_eq!(config.auth, Auth::default());
}

#[test]
fn unknown_keys_get_a_line_and_a_suggestion() {
    assert_eq!(
        refusal("# mine\n[limits]\n  message_byte_max = 5\n", &[]),
        "parlance.toml:3: unknown key `message_byte_max` in [limits]\n\
         3 |   message_byte_max = 5\n  |   ^^^^^^^^^^^^^^^^ did you mean `message_bytes_max`?"
    );
    assert_eq!(
        refusal("[limit]\nconnections_max = 1", &[]),
        "parlance.toml:1: unknown section [limit]\n1 | [limit]\n  |  ^^^^^ did you mean `[limits]`?"
    );
    assert_eq!(
        refusal("data_dri = 'x'", &[]),
        "parlance.toml:1: unknown key `data_dri` before the first section\n\
         1 | data_dri = 'x'\n  | ^^^^^^^^ did you mean `data_dir`?"
    );
    assert_eq!(
        refusal("[log]\nworkers = 3", &[]),
        "parlance.toml:2: unknown key `workers` in [log]\n2 | workers = 3\n  | ^^^^^^^ did you mean `runtime.workers`?"
    );
    assert_eq!(
        refusal("[log]\nlevel = 'info'\ncolour = 'red'", &[]),
        "parlance.toml:3: unknown key `colour` in [log]\n3 | colour = 'red'\n  | ^^^^^^"
    );
    assert_eq!(
        refusal("[log]\ndata_dir = 'x'", &[]),
        "parlance.toml:2: unknown key `data_dir` in [log]\n2 | data_dir = 'x'\n  | ^^^^^^^^ \
         did you mean `data_dir` before the first section?"
    );
}

#[test]
fn wrong_types_are_named() {
    let cases = [
        (
            "[limits]\ntrusted_addresses = '::1'",
            "`trusted_addresses` must be a list of strings, not a string",
        ),
        ("[limits]\ntrusted_addresses = [1]", "`trusted_addresses` must be a list of strings, not a list"),
        ("[listener]\nname = 'x'", "`listener` must be a list of sections: [[name]], not a section"),
        ("listener = [1]", "`listener` must be a list of sections: [[name]], not a number"),
        (
            "[[listener]]\nopen_to_the_network = 'yes'",
            "`open_to_the_network` must be true or false, not a string",
        ),
        ("[limits]\nconnections_max = '5'", "`connections_max` must be a whole number, not a string"),
        (
            "[limits]\nconnections_max = 1.5",
            "`connections_max` must be a whole number, not a number with a fraction",
        ),
        ("[limits]\nconnections_max = [1]", "`connections_max` must be a whole number, not a list"),
        ("data_dir = 5\n\n", "`data_dir` must be a string, not a number"),
        ("log = true\n", "`log` must be a section, not true or false"),
        ("[log.level]\nx = 1", "`level` must be a string, not a section"),
        ("[[log]]\nlevel = 'info'", "`log` must be a section, not a list"),
    ];
    for (text, expected) in cases {
        let told = refusal(text, &[]);
        assert!(told.lines().next().unwrap().ends_with(expected), "{told}");
        assert!(told.contains(" | "), "{told}");
    }
}

#[test]
fn ranges_words_and_addresses_are_checked() {
    assert_eq!(
        refusal("[limits]\nreceive_maximum = 70000", &[]),
        "parlance.toml:2: `receive_maximum` is 70000; it must be from 1 to 65535\n\
         2 | receive_maximum = 70000\n  | ^^^^^^^^^^^^^^^"
    );
    assert_eq!(
        refusal("[store]\nengine = 'fjal'", &[]),
        "parlance.toml:2: `engine` is \"fjal\"; it must be \"fjall\" or \"sled\"\n\
         2 | engine = 'fjal'\n  | ^^^^^^ did you mean \"fjall\"?"
    );
    assert!(
        refusal("[listen]\nmqtt = 'localhost:1883'", &[])
            .contains("such as \"127.0.0.1:1883\", or \"\" for off")
    );
    assert!(refusal("[limits]\nconnections_max = -1", &[]).contains("is -1; it must be from 1 to"));
    assert!(load("[limits]\nconnections_max = 99999999999999999999999999999999999999999999", &[]).is_err());
}

#[test]
fn what_is_not_toml_is_shown() {
    let told = refusal("[limits]\nconnections_max 5\n", &[]);
    assert!(told.starts_with("parlance.toml:2: "), "{told}");
    assert!(told.contains("2 | connections_max 5"), "{told}");
    assert!(refusal("data_dir = 'a'\ndata_dir = 'b'", &[]).starts_with("parlance.toml:2: duplicate key"));
    assert!(matches!(load("x", &[]), Err(ConfigError::Syntax { .. })));
}

#[test]
fn variables_are_checked_like_the_file() {
    let cases = [
        (
            ("PARLANCE__LIMITS__CONNECTION_MAX", "5"),
            "environment variable PARLANCE__LIMITS__CONNECTION_MAX: unknown key; \
             did you mean `PARLANCE__LIMITS__CONNECTIONS_MAX`?",
        ),
        (
            ("PARLANCE__LIMITS__CONNECTIONS_MAX", "many"),
            "environment variable PARLANCE__LIMITS__CONNECTIONS_MAX: `connections_max` must be a whole number, not this text",
        ),
        (
            ("PARLANCE__LIMITS__CONNECTIONS_MAX", "0"),
            "environment variable PARLANCE__LIMITS__CONNECTIONS_MAX: `connections_max` is 0; it must be from 1 to 10000000",
        ),
        (
            ("PARLANCE__LOG__FORMAT", "jsn"),
            "environment variable PARLANCE__LOG__FORMAT: `format` is \"jsn\"; it must be \"text\" or \"json\"; \
             did you mean \"json\"?",
        ),
    ];
    for (variable, expected) in cases {
        assert_eq!(refusal("", &[variable]), expected);
    }
    let latin1 = [("PARLANCE__DATA_DIR".into(), OsStr::from_bytes(b"\xe9").to_owned())];
    let refused = Config::load_with(None, latin1);
    assert!(matches!(refused, Err(ConfigError::Value { problem: Problem::NotText, .. })));
}

#[test]
fn keys_must_fit_each_other() {
    let same = "[listen]\nmqtt = '127.0.0.1:80'\nhttp = '127.0.0.1:80'";
    let cases = [
        (
            "[limits]\nmessage_bytes_max = 4096\npacket_bytes_max = 2048",
            "parlance.toml:3: packet_bytes_max is 2048, less",
        ),
        (
            "[limits]\nmessage_bytes_max = 4096\nhttp_body_bytes_max = 2048",
            "parlance.toml:3: http_body_bytes_max is",
        ),
        (
            "[store]\njournal_segment_bytes = 5_000_001",
            "parlance.toml:2: journal_segment_bytes is 5000001; it must be a",
        ),
        ("[tls]\ncertificate = 'x.pem'", "parlance.toml:2: tls.certificate is set and tls.key is not"),
        ("[tls]\nkey = 'x.pem'", "parlance.toml:2: tls.key is set and tls.certificate is not"),
        (
            "[auth]\nrefresh_ttl_s = 100",
            "parlance.toml:2: refresh_ttl_s is 100, less than access_ttl_s (900)",
        ),
        ("[listen]\nmqtt=''\nmqtts=''\nhttp=''\nhttps=''", "parlance.toml:2: every listener is off"),
        (same, "parlance.toml:3: listen.mqtt and listen.http have the same address"),
        ("[log]\nlevel = 'info,=='", "parlance.toml:2: `info,==` is no log level"),
        ("[log]\nlevel = ''", "parlance.toml:2: `` is no log level"),
    ];
    for (text, expected) in cases {
        let told = refusal(text, &[]);
        assert!(told.starts_with(expected), "{told}");
    }
    let small = [("PARLANCE__LIMITS__PACKET_BYTES_MAX", "1024")];
    assert!(
        refusal("", &small)
            .starts_with("environment variable PARLANCE__LIMITS__PACKET_BYTES_MAX: packet_bytes_max")
    );
    let large = "[limits]\nmessage_bytes_max = 2_000_000";
    assert!(
        refusal(large, &[]).starts_with("packet_bytes_max is 1048576, less"),
        "the key at fault is a default"
    );
    load("[listen]\nmqtt = '127.0.0.1:0'\nhttp = '127.0.0.1:0'", &[]).unwrap();
}

#[test]
fn a_named_file_must_be_there() {
    let missing = Config::load_with(Some(Path::new("/nowhere/parlance.toml")), NONE);
    let error = missing.unwrap_err();
    assert!(matches!(error, ConfigError::Read { .. }));
    assert_eq!(error.to_string(), "/nowhere/parlance.toml cannot be read");
}

#[test]
fn check_tells_what_is_set_and_where() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("my.toml");
    fs::write(&path, "data_dir = 'd'\n[limits]\nconnections_max = 7\n").unwrap();
    let told = check_with(Some(&path), variables(&[("PARLANCE__STORE__ENGINE", "sled")])).unwrap();
    let path = path.display();
    assert_eq!(
        told,
        format!(
            "The configuration is valid ({path}, 3 keys set).\n  data_dir = \"d\"  ({path}:1)\n  \
             store.engine = \"sled\"  (PARLANCE__STORE__ENGINE)\n  limits.connections_max = 7  ({path}:3)\n"
        )
    );
}

#[test]
fn a_certificate_is_two_files_or_none() {
    assert_eq!(Config::default().tls.files(), None);
    let config = load("[tls]\ncertificate = 'c.pem'\nkey = 'k.pem'", &[]).unwrap();
    assert_eq!(config.tls.files(), Some((Path::new("c.pem"), Path::new("k.pem"))));
}

/// A listener that is whole, with some keys besides.
fn listener(keys: &str) -> String {
    format!("[[listener]]\nname = 'lab'\naddress = '127.0.0.1:99'\n{keys}")
}

#[test]
fn listeners_stand_in_tables_beside_the_simple_keys() {
    let text = listener("transport = 'wss'\nproxy_protocol = true\nproxy_from = ['10.0.0.0/8', '::1']\n")
        + "[[listener]]\nname = 'devices'\naddress = '0.0.0.0:8884'\ntransport = 'tls'\nclient_ca = 'ca.pem'\n\
           client_certificates = 'required'\n[listen]\nhttp = ''\n\
           [[tls.certificate_for]]\nnames = ['a.example', '*.b.example']\ncertificate = 'a'\nkey = 'b'\n";
    let config = load(&text, &[("PARLANCE__LISTEN__QUIC", "127.0.0.1:14567")]).unwrap();
    let names: Vec<_> = config.listeners().iter().map(|it| (it.name.clone(), it.transport)).collect();
    let expected = [
        ("mqtt", Transport::Tcp),
        ("mqtts", Transport::Tls),
        ("https", Transport::Https),
        ("quic", Transport::Quic),
        ("lab", Transport::Wss),
        ("devices", Transport::Tls),
    ];
    assert_eq!(names, expected.map(|(name, transport)| (name.to_owned(), transport)));
    assert!(config.listener[0].proxy_from[0].contains("10.1.2.3".parse().unwrap()));
    assert_eq!(config.tls.certificate_for[0].names, ["a.example", "*.b.example"]);
    // The environment does not lose them.
    assert_eq!(load(&text, &[]).unwrap().listener, config.listener);
}

#[test]
fn a_listener_that_cannot_be_meant_is_refused_at_its_line() {
    let cases = [
        (listener("nmae = 'x'"), "parlance.toml:4: unknown key `nmae` in [[listener]]"),
        (listener("transport = 'udp'"), "parlance.toml:4: `transport` is \"udp\"; it must be \"tcp\" or"),
        (listener("proxy_from = ['10.0.0']"), "parlance.toml:4: `proxy_from` has \"10.0.0\"; it must"),
        ("[[listener]]\naddress = '127.0.0.1:9'".into(), "parlance.toml:1: the listener \"\" needs a name"),
        ("[[listener]]\nname = 'x'".into(), "parlance.toml:1: the listener \"x\" needs an address"),
        (
            "[[listener]]\nname = 'mqtt'".into(),
            "parlance.toml:2: the listener \"mqtt\" has a name that another",
        ),
        (listener("") + &listener(""), "parlance.toml:5: the listener \"lab\" has a name that another"),
        (
            listener("") + &listener("").replace("lab", "b"),
            "parlance.toml:6: the listener \"lab\" and the listener \"b\" have the same address",
        ),
        (
            listener("").replace(":99", ":1883"),
            "parlance.toml:3: listen.mqtt and the listener \"lab\" have the",
        ),
        (
            listener("profile = 'open'").replace("127.0.0.1", "0.0.0.0"),
            "parlance.toml:3: the listener \"lab\" is open: anybody could",
        ),
        (
            listener("profile = 'open'\ntransport = 'http'"),
            "parlance.toml:5: the listener \"lab\" is open: it carries MQTT alone",
        ),
        (
            listener(
                "profile = 'open'\ntransport = 'tls'\nclient_ca = 'x'\nclient_certificates = 'optional'",
            ),
            "parlance.toml:7: the listener \"lab\" is open: nobody logs in",
        ),
        (listener("proxy_protocol = true"), "parlance.toml:4: the listener \"lab\" believes PROXY protocol"),
        (
            listener("proxy_protocol = true\nproxy_from = ['::1']\ntransport = 'quic'"),
            "parlance.toml:4: the listener \"lab\" speaks QUIC",
        ),
        (listener("proxy_from = ['::1']"), "parlance.toml:1: the listener \"lab\" names load balancers"),
        (listener("client_ca = 'x'"), "parlance.toml:1: the listener \"lab\" has no TLS"),
        (
            listener("transport = 'tls'\nclient_certificates = 'required'"),
            "parlance.toml:1: the listener \"lab\" checks certificates",
        ),
        (
            listener("transport = 'tls'\nclient_ca = 'x'"),
            "parlance.toml:1: the listener \"lab\" names a client_ca",
        ),
        (
            listener("transport = 'tls'\nkey = 'x'"),
            "parlance.toml:1: the listener \"lab\" needs certificate and key",
        ),
        ("[[tls.certificate_for]]\nnames = ['x']".into(), "parlance.toml:2: a certificate for a name needs"),
        ("[[listner]]\nname = 'x'".into(), "parlance.toml:1: unknown section [listner]"),
    ];
    for (text, expected) in cases {
        let told = refusal(&text, &[]);
        assert!(told.starts_with(expected), "{told}\nexpected: {expected}");
    }
    assert!(refusal("[[listner]]\nname = 'x'", &[]).contains("did you mean `[[listener]]`?"));
    let open = listener("profile = 'open'\nopen_to_the_network = true").replace("127.0.0.1", "0.0.0.0");
    load(&open, &[]).unwrap();
    let both = listener("transport = 'quic'").replace(":99", ":1883");
    load(&both, &[]).expect("UDP and TCP have ports of their own");
}

#[test]
fn lists_come_from_the_environment_with_commas() {
    let trusted = [("PARLANCE__LIMITS__TRUSTED_ADDRESSES", "10.0.0.0/8, ::1")];
    assert_eq!(load("", &trusted).unwrap().limits.trusted_addresses.len(), 2);
    assert!(
        load("", &[("PARLANCE__LIMITS__TRUSTED_ADDRESSES", "")]).unwrap().limits.trusted_addresses.is_empty()
    );
    assert!(refusal("", &[("PARLANCE__LIMITS__TRUSTED_ADDRESSES", "x")]).contains("has \"x\""));
}
