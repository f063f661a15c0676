use super::*;

/// A workspace where every layer imports all that it may.
fn sound() -> Graph {
    let mut graph = Graph::default();
    let folders = [
        ("mqtt", "broker/mqtt"),
        ("schema", "broker/schema"),
        ("engine", "broker/engine"),
        ("journal", "broker/journal"),
        ("plugin-api", "broker/plugin-api"),
        ("auth", "plugins/auth"),
        ("groups", "plugins/groups"),
        ("client", "client-sdk"),
        ("server", "broker/server"),
        ("tests", "tests"),
        ("xtask", "xtask"),
    ];
    for (name, folder) in folders {
        graph.add(name, name, Some(folder.to_owned()));
    }
    for name in ["bytes", "rumqttc", "tokio"] {
        graph.add(name, name, None);
    }
    let imports = [
        ("engine", "mqtt"),
        ("plugin-api", "schema"),
        ("auth", "plugin-api"),
        ("groups", "schema"),
        ("client", "schema"),
        ("server", "engine"),
        ("server", "journal"),
        ("server", "auth"),
        ("server", "client"),
        ("tests", "server"),
        ("mqtt", "bytes"),
        ("server", "tokio"),
        ("auth", "tokio"),
        ("rumqttc", "tokio"),
    ];
    for (from, to) in imports {
        graph.import(from, to, true);
    }
    graph
}

fn import(from: &str, to: &str) -> Vec<Violation> {
    vec![Violation::Import { from: from.to_owned(), to: to.to_owned() }]
}

#[test]
fn this_workspace_keeps_the_rules() {
    let workspace = Workspace::find().unwrap();
    if let Err(error) = check(&workspace) {
        panic!("{}", crate::step::chain(&error));
    }
}

#[test]
fn this_workspace_is_read_whole() {
    let graph = read(&Workspace::find().unwrap()).unwrap();
    let folders: Vec<&str> = graph.members().map(|(_, folder)| folder).collect();
    for folder in ["broker/mqtt", "broker/engine", "broker/server", "plugins/auth", "xtask"] {
        assert!(folders.contains(&folder), "{folder} is not among {folders:?}");
    }
    let (server, _) = graph.members().find(|(_, folder)| *folder == "broker/server").unwrap();
    assert!(graph.shipped_path(server, &RUNTIMES).is_some(), "the server has no runtime?");
}

#[test]
fn a_sound_workspace_has_no_violation() {
    assert_eq!(violations(&sound()), []);
}

#[test]
fn imports_against_the_direction_are_found() {
    let forbidden = [
        ("mqtt", "engine"),
        ("mqtt", "schema"),
        ("engine", "schema"),
        ("engine", "plugin-api"),
        ("schema", "mqtt"),
        ("plugin-api", "engine"),
        ("journal", "schema"),
        ("auth", "journal"),
        ("plugin-api", "auth"),
        ("auth", "groups"),
        ("auth", "server"),
        ("auth", "engine"),
        ("groups", "client"),
        ("client", "plugin-api"),
        ("client", "server"),
        ("tests", "auth"),
        ("xtask", "schema"),
        ("server", "xtask"),
        ("server", "tests"),
    ];
    for (from, to) in forbidden {
        for shipped in [true, false] {
            let mut graph = sound();
            graph.import(from, to, shipped);
            assert!(violations(&graph).starts_with(&import(from, to)), "{from} → {to}, shipped: {shipped}");
        }
    }
}

#[test]
fn a_runtime_is_found_through_other_crates() {
    let mut graph = sound();
    graph.import("mqtt", "rumqttc", true);
    let path =
        |names: &[&str]| Violation::Runtime { path: names.iter().map(|&name| name.to_owned()).collect() };
    let expected = [path(&["engine", "mqtt", "rumqttc", "tokio"]), path(&["mqtt", "rumqttc", "tokio"])];
    assert_eq!(violations(&graph), expected);
}

#[test]
fn a_runtime_that_only_tests_use_is_allowed() {
    let mut graph = sound();
    graph.import("mqtt", "rumqttc", false);
    assert_eq!(violations(&graph), []);
}

#[test]
fn a_package_without_a_layer_is_found() {
    let mut graph = sound();
    graph.add("extra", "extra", Some("broker/extra".to_owned()));
    let expected = Violation::Unplaced { package: "extra".to_owned(), folder: "broker/extra".to_owned() };
    assert_eq!(violations(&graph), [expected]);
}
