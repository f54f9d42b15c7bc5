//! Whose requests a connection carries: by which listener they come, and on whose behalf.

use std::fmt;
use std::sync::Arc;

/// What a listener is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Clients; what brokers ask of each other is not served.
    Client,
    /// Brokers among themselves: the private listener.
    Broker,
}

/// On whose behalf requests come, in Kafka's form `kind:name` (KafkaPrincipal).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    kind: Arc<str>,
    name: Arc<str>,
}

/// The kind of principals that are people or programs.
const USER: &str = "User";
/// The user who has not been asked for a name.
const ANONYMOUS: &str = "ANONYMOUS";

impl Principal {
    /// Who has not been asked.
    pub fn anonymous() -> Principal {
        Principal { kind: USER.into(), name: ANONYMOUS.into() }
    }

    /// Reads `kind:name`; the name may have colons of its own. `None` if either is missing.
    pub fn parse(text: &str) -> Option<Principal> {
        let (kind, name) = text.split_once(':')?;
        let is_whole = !kind.is_empty() && !name.is_empty();
        is_whole.then(|| Principal { kind: kind.into(), name: name.into() })
    }
}

impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.kind, self.name)
    }
}

/// Whose requests a connection carries.
#[derive(Clone, Debug)]
pub struct Session {
    /// The listener's name, as in `listeners`.
    pub listener: Arc<str>,
    /// What the listener is for.
    pub role: Role,
    /// On whose behalf its requests come.
    pub principal: Principal,
}

impl Session {
    /// That of whoever connects to a listener that asks nobody who they are (`PLAINTEXT`).
    pub fn anonymous(listener: &str, role: Role) -> Session {
        Session { listener: listener.into(), role, principal: Principal::anonymous() }
    }

    /// Whether a broker is at the other end.
    pub fn is_broker(&self) -> bool {
        self.role == Role::Broker
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn principals_have_a_kind_and_a_name_that_may_hold_colons() {
        let text = "User:CN=a,O=b:c";
        assert_eq!(Principal::parse(text).map(|principal| principal.to_string()).as_deref(), Some(text));
        assert_eq!(Principal::parse("User:ANONYMOUS"), Some(Principal::anonymous()));
        for broken in ["", "User", "User:", ":name"] {
            assert_eq!(Principal::parse(broken), None, "{broken}");
        }
    }
}
