//! Tests about the repository itself: the rules of the house as far as a machine can check them.
//!
//! Each rule is a function from the sources to the places that break it; reading the tree and running cargo are in
//! `tree.rs` and `workspace.rs`. A rule that is worth saying twice in review becomes one here.

mod chart;
mod generated;
mod lexer;
mod rules;
mod settings;
mod tree;
mod workspace;

use rules::{
    asserts, circles, headers, ignored, layers, order, orphans, paths, planted, purity, readers, sizes,
    unused, words, writes,
};
use tree::Tree;
use workspace::{Links, Workspace};

/// Fails with every place, so that one run shows all that is to do.
fn expect_none(rule: &str, places: Vec<String>) {
    assert!(places.is_empty(), "{rule}:\n  {}\n", places.join("\n  "));
}

#[test]
fn imports_go_down_the_layers_and_every_arrow_has_a_reason() {
    let table = layers::Table::read().expect("layers.toml is readable");
    expect_none("layers (e2e/tidy/layers.toml)", layers::broken(&table, &Workspace::read()));
}

#[test]
fn crates_below_the_shell_touch_no_clock_socket_file_or_environment() {
    let table = layers::Table::read().expect("layers.toml is readable");
    expect_none("purity", purity::broken(&table, &Workspace::read(), &Tree::read()));
}

#[test]
fn crates_below_the_shell_are_linked_with_no_runtime_through_others() {
    let table = layers::Table::read().expect("layers.toml is readable");
    expect_none("purity of what is below", purity::broken_below(&table, &Links::read()));
}

#[test]
fn every_write_to_the_api_server_is_listed_with_its_check() {
    let table = writes::Table::read().expect("writes.toml is readable");
    expect_none("writes (e2e/tidy/writes.toml)", writes::broken(&table, &Tree::read()));
}

#[test]
fn no_order_of_a_hash_map_reaches_an_output() {
    let table = layers::Table::read().expect("layers.toml is readable");
    expect_none("order", order::broken(&table, &Workspace::read(), &Tree::read()));
}

#[test]
fn every_crate_takes_the_lints_of_the_workspace() {
    let missing = Workspace::read().packages.into_iter().filter(|package| !package.takes_lints());
    expect_none("[lints] workspace = true is missing", missing.map(|package| package.name).collect());
}

#[test]
fn files_and_functions_stay_readable_in_one_sitting() {
    expect_none("sizes", sizes::broken(&Tree::read()));
}

#[test]
fn every_module_says_what_it_owns() {
    expect_none("headers", headers::broken(&Tree::read()));
}

#[test]
fn every_source_file_is_compiled() {
    expect_none("orphans", orphans::broken(&Tree::read(), &Workspace::read()));
}

#[test]
fn no_test_looks_without_asserting() {
    expect_none("matches! without assert!", asserts::broken(&Tree::read()));
}

#[test]
fn every_test_can_fail() {
    expect_none("tests that assert nothing", asserts::silent(&Tree::read(), &Workspace::read()));
}

#[test]
fn modules_beside_each_other_import_one_way_only() {
    expect_none("circles", circles::broken(&Tree::read()));
}

#[test]
fn no_public_item_is_there_for_tests_alone() {
    expect_none("public items that only tests use", unused::broken(&Tree::read()));
}

#[test]
fn a_test_that_is_left_out_names_the_command_that_runs_it() {
    expect_none("#[ignore] without a target of make", ignored::broken(&Tree::read()));
}

#[test]
fn a_setting_that_is_said_to_work_has_a_reader_that_ships() {
    expect_none("settings (broker/crates/config/src/table)", readers::broken(&Tree::read()));
}

#[test]
fn paths_in_documents_lead_somewhere() {
    expect_none("paths", paths::broken(&Tree::read()));
}

#[test]
fn planted_bugs_fit_the_code_that_they_break() {
    expect_none("planted", planted::broken(&Tree::read()));
}

#[test]
fn texts_name_no_machine_and_leave_nothing_to_do() {
    expect_none("words", words::broken(&Tree::read()));
}

#[test]
fn the_codec_is_what_its_specification_generates() {
    generated::check("ottla-broker-protocol-codegen", &["--check"]);
}

#[test]
fn the_crds_are_what_their_types_generate() {
    generated::check("ottla-operator", &["crdgen", "--check"]);
}
