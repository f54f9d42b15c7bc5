//! Where the checkout and the built programs are.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

/// The root of the checkout.
pub fn checkout() -> PathBuf {
    let crate_dir = Path::new(env!("CARGO_MANIFEST_DIR"));
    crate_dir.parent().expect("the crate is a folder of the checkout").to_owned()
}

/// The built program `name`: from `OTTLA_BIN_DIR` where that is set, else beside the tests, where cargo puts both.
///
/// # Errors
/// When it is not there, with the command that builds it.
pub fn binary(name: &str) -> Result<PathBuf> {
    let folder = match std::env::var_os("OTTLA_BIN_DIR") {
        Some(folder) => PathBuf::from(folder),
        None => {
            let test = std::env::current_exe().context("find the running test")?;
            let deps = test.parent().context("the running test lies in a folder")?;
            deps.parent().context("cargo puts tests one folder below programs")?.to_owned()
        }
    };
    let path = folder.join(name);
    if !path.is_file() {
        bail!("{} is not built: cargo build --bins", path.display());
    }
    Ok(path)
}
