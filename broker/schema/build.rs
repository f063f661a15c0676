//! Compiles `proto/*.proto` without a `protoc` on the machine.

use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=proto");
    let descriptors = protox::compile(["proto/parlance.proto"], ["proto"])?;
    let json =
        "#[derive(serde::Serialize, serde::Deserialize)] #[serde(rename_all = \"camelCase\", default)]";
    let sparse = "#[serde(skip_serializing_if = \"crate::json::is_default\")]";
    let mut build = prost_build::Config::new();
    build.bytes(["."]).type_attribute(".", "#[allow(missing_docs)]").message_attribute(".", json);
    for message in ["Send", "Data", "Message", "Change", "Read", "Receipt", "Typing", "Presence", "Event"] {
        build.field_attribute(format!(".parlance.v1.{message}"), sparse);
    }
    build.field_attribute(".parlance.v1.Data.bytes", "#[serde(with = \"crate::json::base64_bytes\")]");
    build.field_attribute(".parlance.v1.Message.kind", "#[serde(with = \"crate::json::kind\")]");
    build.compile_fds(descriptors)?;
    Ok(())
}
