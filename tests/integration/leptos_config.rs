//! The page's settings are in two files, since cargo-leptos reads only Cargo.toml and the server only Leptos.toml.

use std::{fs, path::Path};

/// The `[package.metadata.leptos]` section of a file of the project.
fn leptos_section(file: &str) -> toml::Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{} can be read: {error}", path.display()));
    let document: toml::Table = text.parse().unwrap_or_else(|error| panic!("{file} is TOML: {error}"));
    document["package"]["metadata"]["leptos"].clone()
}

#[test]
fn both_files_give_the_page_the_same_settings() {
    assert_eq!(
        leptos_section("Leptos.toml"),
        leptos_section("Cargo.toml"),
        "copy [package.metadata.leptos] from Cargo.toml to Leptos.toml"
    );
}

#[test]
fn leptos_itself_reads_the_servers_file() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("Leptos.toml");
    let options =
        leptos::config::get_configuration(file.to_str()).expect("Leptos.toml is a Leptos configuration").leptos_options;
    assert_eq!(&*options.output_name, "netra");
    assert_eq!(&*options.site_root, "target/site");
    assert!(options.hash_files);
}
