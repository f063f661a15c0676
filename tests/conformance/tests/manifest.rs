//! The manifests are complete, and agree with the tests.

use parlance_conformance::{Coverage, Deviations, Manifest, tests};
use parlance_mqtt::Version;
use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

/// How many statements each chapter of a specification has.
fn chapters(version: Version) -> (Manifest, BTreeMap<u16, usize>) {
    let manifest = Manifest::load(version).unwrap_or_else(|error| panic!("{error}"));
    let mut chapters = BTreeMap::new();
    for id in manifest.statements.keys() {
        *chapters.entry(id.chapter()).or_default() += 1;
    }
    (manifest, chapters)
}

#[test]
fn every_statement_of_3_1_1_is_covered() {
    let (manifest, chapters) = chapters(Version::V3);
    assert_eq!(chapters, BTreeMap::from([(1, 3), (2, 9), (3, 95), (4, 26), (6, 4), (7, 4)]));
    assert_eq!(manifest.statements.len(), 141);
}

#[test]
fn every_statement_of_5_is_covered() {
    let (manifest, chapters) = chapters(Version::V5);
    assert_eq!(chapters, BTreeMap::from([(1, 5), (2, 7), (3, 175), (4, 60), (6, 4)]));
    assert_eq!(manifest.statements.len(), 251);
}

/// The last number of each part is the number of its statements: none is missing in between. In 5 there is no 2.2.1-1.
#[test]
fn the_numbers_have_no_holes() {
    for version in [Version::V3, Version::V5] {
        let mut parts: BTreeMap<String, BTreeSet<u16>> = BTreeMap::new();
        for id in Manifest::load(version).unwrap_or_else(|error| panic!("{error}")).statements.keys() {
            let id = id.to_string();
            let (part, number) = id.rsplit_once('-').expect("an id");
            parts.entry(part.to_owned()).or_default().insert(number.parse().expect("a number"));
        }
        for (part, numbers) in parts {
            let first = if version == Version::V5 && part == "MQTT-2.2.1" { 2 } else { 1 };
            let last = first + u16::try_from(numbers.len()).expect("few") - 1;
            assert_eq!(numbers, (first..=last).collect(), "{version:?} {part}");
        }
    }
}

#[test]
fn a_reason_says_something() {
    for version in [Version::V3, Version::V5] {
        let manifest = Manifest::load(version).unwrap_or_else(|error| panic!("{error}"));
        for (id, statement) in manifest.statements {
            assert!(statement.summary.len() > 10, "{id}");
            if let Coverage::Reason(reason) = statement.coverage {
                assert!(reason.len() > 10, "{id}");
            }
        }
    }
}

#[test]
fn tests_have_names_of_their_own_and_prove_something() {
    let mut names = BTreeSet::new();
    for test in tests() {
        assert!(names.insert(test.name), "two tests are called {}", test.name);
        assert!(!test.v3.is_empty() || !test.v5.is_empty(), "{} proves nothing", test.name);
    }
}

#[test]
fn known_deviations_are_of_known_tests() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("deviations/mosquitto.toml");
    Deviations::read(&file).unwrap_or_else(|error| panic!("{error}"));
}
