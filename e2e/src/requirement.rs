//! What a test needs of the machine and does not find: told and skipped, or failed where nothing may be skipped.

/// Tells that this test cannot run here, and the `remedy` that changes that.
///
/// # Panics
/// In CI (`CI=true`), where a test that did not run must not look like one that passed.
pub fn unmet(what: &str, remedy: &str) {
    let test = std::thread::current().name().unwrap_or("test").to_owned();
    let text = format!("SKIPPED {test}: {what}. To run it: {remedy}");
    assert!(std::env::var("CI").as_deref() != Ok("true"), "{text}");
    // Past the capture of the test runner: a skip that nobody sees looks like a pass.
    let _ = std::io::Write::write_all(&mut std::io::stderr(), format!("{text}\n").as_bytes());
}
