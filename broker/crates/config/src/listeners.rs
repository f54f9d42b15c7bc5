//! Addresses in settings: listeners, protocol maps, voters, servers. No I/O; names are not resolved.

use std::collections::BTreeMap;
use std::fmt;

use ottla_broker_types::NodeId;

/// How a listener protects its connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SecurityProtocol {
    /// Neither TLS nor SASL.
    Plaintext,
    /// TLS.
    Ssl,
    /// SASL without TLS.
    SaslPlaintext,
    /// SASL over TLS.
    SaslSsl,
}

impl SecurityProtocol {
    /// The protocol of that name, in any case.
    pub fn parse(name: &str) -> Option<SecurityProtocol> {
        match name.to_ascii_uppercase().as_str() {
            "PLAINTEXT" => Some(SecurityProtocol::Plaintext),
            "SSL" => Some(SecurityProtocol::Ssl),
            "SASL_PLAINTEXT" => Some(SecurityProtocol::SaslPlaintext),
            "SASL_SSL" => Some(SecurityProtocol::SaslSsl),
            _ => None,
        }
    }

    /// Kafka's name for it.
    pub const fn name(self) -> &'static str {
        match self {
            SecurityProtocol::Plaintext => "PLAINTEXT",
            SecurityProtocol::Ssl => "SSL",
            SecurityProtocol::SaslPlaintext => "SASL_PLAINTEXT",
            SecurityProtocol::SaslSsl => "SASL_SSL",
        }
    }

    /// The code in registrations and Metadata-like answers.
    pub const fn code(self) -> i16 {
        match self {
            SecurityProtocol::Plaintext => 0,
            SecurityProtocol::Ssl => 1,
            SecurityProtocol::SaslPlaintext => 2,
            SecurityProtocol::SaslSsl => 3,
        }
    }
}

/// One listener: where to bind, or what to tell clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// Its name, in capitals.
    pub name: String,
    /// A host name or address without brackets; empty means every interface when bound, this machine's name
    /// when advertised.
    pub host: String,
    /// The port; zero lets the system choose when bound.
    pub port: u16,
    /// How connections are protected.
    pub protocol: SecurityProtocol,
}

impl fmt::Display for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.name, HostPort { host: self.host.clone(), port: self.port })
    }
}

/// Where something listens; IPv6 addresses are written in brackets.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct HostPort {
    /// A host name or address without brackets.
    pub host: String,
    /// The TCP port.
    pub port: u16,
}

impl HostPort {
    /// Reads `host:port` or `[address]:port`; the host may be empty.
    pub fn parse(text: &str) -> Option<HostPort> {
        let (host, port) = text.trim().rsplit_once(':')?;
        let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        let host = match bare {
            Some(address) if is_numeric_address(address) => address,
            Some(_) => return None,
            None if host.contains([':', '[', ']', '/', ' ', '@']) => return None,
            None => host,
        };
        Some(HostPort { host: host.to_owned(), port: port.parse().ok()? })
    }
}

/// Whether `text` is made of what a numeric address, with a zone if need be, is made of; whoever binds or connects
/// parses it in full.
fn is_numeric_address(text: &str) -> bool {
    let (address, zone) = text.split_once('%').unwrap_or((text, "0"));
    let digits = |c: char| c.is_ascii_hexdigit() || matches!(c, ':' | '.');
    address.contains(':') && address.chars().all(digits) && zone.chars().all(|c| c.is_ascii_alphanumeric())
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// A voter of the metadata quorum.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Voter {
    /// The voter's node id.
    pub id: NodeId,
    /// Where its controller listener is.
    pub address: HostPort,
}

/// A part of a list that does not read as an address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{part:?} {problem}")]
pub struct AddressError {
    /// The part in question.
    pub part: String,
    /// What is wrong with it.
    pub problem: &'static str,
}

fn bad(part: &str, problem: &'static str) -> AddressError {
    AddressError { part: part.chars().take(128).collect(), problem }
}

fn parts(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|part| !part.is_empty())
}

/// Reads `NAME://host:port,...`; names come out in capitals, without protocols.
pub fn parse_listeners(text: &str) -> Result<Vec<(String, HostPort)>, AddressError> {
    let mut listeners: Vec<(String, HostPort)> = Vec::new();
    for part in parts(text) {
        let (name, address) = part.split_once("://").ok_or_else(|| bad(part, "has no NAME:// in front"))?;
        let name = name.to_ascii_uppercase();
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
        if name.is_empty() || !name.chars().all(plain) {
            return Err(bad(part, "has a listener name with other than letters, digits, '_', '-' and '.'"));
        }
        let address = HostPort::parse(address).ok_or_else(|| bad(part, "does not end in host:port"))?;
        if listeners.iter().any(|(other, _)| *other == name) {
            return Err(bad(part, "uses a listener name a second time"));
        }
        if address.port != 0 && listeners.iter().any(|(_, other)| *other == address) {
            return Err(bad(part, "uses the address of another listener"));
        }
        listeners.push((name, address));
    }
    Ok(listeners)
}

/// Reads `NAME:PROTOCOL,...`; names come out in capitals.
pub fn parse_protocol_map(text: &str) -> Result<BTreeMap<String, SecurityProtocol>, AddressError> {
    let mut map = BTreeMap::new();
    for part in parts(text) {
        let (name, protocol) = part.rsplit_once(':').ok_or_else(|| bad(part, "is not NAME:PROTOCOL"))?;
        let protocol =
            SecurityProtocol::parse(protocol.trim()).ok_or_else(|| bad(part, "names no protocol"))?;
        if map.insert(name.trim().to_ascii_uppercase(), protocol).is_some() {
            return Err(bad(part, "maps a listener a second time"));
        }
    }
    Ok(map)
}

/// Reads `id@host:port,...`.
pub fn parse_voters(text: &str) -> Result<Vec<Voter>, AddressError> {
    let mut voters: Vec<Voter> = Vec::new();
    for part in parts(text) {
        let (id, address) = part.split_once('@').ok_or_else(|| bad(part, "is not id@host:port"))?;
        let id =
            id.trim().parse().ok().and_then(NodeId::from_wire).ok_or_else(|| bad(part, "has no node id"))?;
        let address = HostPort::parse(address).filter(|address| !address.host.is_empty());
        let address = address.ok_or_else(|| bad(part, "does not end in host:port"))?;
        if voters.iter().any(|voter| voter.id == id) {
            return Err(bad(part, "uses a node id a second time"));
        }
        voters.push(Voter { id, address });
    }
    Ok(voters)
}

/// Reads `host:port,...`.
pub fn parse_servers(text: &str) -> Result<Vec<HostPort>, AddressError> {
    let server = |part| {
        let address = HostPort::parse(part).filter(|address| !address.host.is_empty());
        address.ok_or_else(|| bad(part, "is not host:port"))
    };
    parts(text).map(server).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listeners_may_leave_the_host_out_or_bracket_an_address() {
        let read = parse_listeners("client://:9092, REPLICATION://[::1]:9091").expect("both read");
        assert_eq!(read[0], ("CLIENT".to_owned(), HostPort { host: String::new(), port: 9092 }));
        assert_eq!(read[1].1.to_string(), "[::1]:9091");
    }

    #[test]
    fn broken_listeners_name_the_part_and_the_problem() {
        for (text, problem) in [
            (":9092", "NAME://"),
            ("A://host", "host:port"),
            ("A://host:99999", "host:port"),
            ("A://h:1,A://h:2", "second time"),
            ("A://h:1,B://h:1", "address of another"),
            ("A B://h:1", "listener name"),
            ("A://[host]:1", "host:port"),
            ("A://[]:1", "host:port"),
            ("A://::1:9092", "host:port"),
        ] {
            let error = parse_listeners(text).expect_err(text).to_string();
            assert!(error.contains(problem), "{text}: {error}");
        }
    }

    #[test]
    fn voters_need_distinct_ids_and_hosts() {
        let voters = parse_voters("0@a:9093,1@b:9093").expect("two voters");
        assert_eq!(voters[1], Voter { id: NodeId(1), address: HostPort { host: "b".into(), port: 9093 } });
        assert!(parse_voters("0@a:9093,0@b:9093").is_err());
        assert!(parse_voters("0@:9093").is_err());
        assert!(parse_voters("-1@a:9093").is_err());
    }

    #[test]
    fn protocol_maps_know_four_protocols() {
        let map = parse_protocol_map("client:SASL_SSL,REPLICATION:PLAINTEXT").expect("both read");
        assert_eq!(map["CLIENT"], SecurityProtocol::SaslSsl);
        assert!(parse_protocol_map("A:TLS").is_err());
    }
}
