//! kcat: librdkafka's command line.

use tokio::process::Command;

use crate::clients::place::Place;
use crate::requirement::unmet;

/// An installed kcat.
#[derive(Clone, Copy, Debug)]
pub struct Kcat(());

/// The installed kcat; none, and a visible skip, where there is none.
pub fn kcat() -> Option<Kcat> {
    if std::process::Command::new("kcat").arg("-V").output().is_ok() {
        return Some(Kcat(()));
    }
    unmet("kcat is not installed", "apt-get install -y kcat");
    None
}

impl Kcat {
    /// kcat against `bootstrap`, with room for its own arguments.
    pub fn command(&self, place: &Place, bootstrap: &str) -> Command {
        let mut command = place.command("kcat", &[]);
        command.args(["-b", bootstrap]);
        command
    }
}
